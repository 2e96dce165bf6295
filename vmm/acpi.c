/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables: see acpi.h. Sections are those of the ACPI specification 6.4. */
#include "vmm/acpi.h"

#include <assert.h>
#include <string.h>

#include "base/wire.h"
#include "vmm/aml.h"
#include "vmm/layout.h"

#define OEM_ID       "LANYRD"
#define OEM_TABLE_ID "LANYARD"
#define CREATOR_ID   "LNYD"

struct header { /* 5.2.6 */
	char signature[4];
	le32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	le32_t oem_revision;
	char creator_id[4];
	le32_t creator_revision;
} __attribute__((packed));
static_assert(sizeof(struct header) == 36, "System Description Table Header");

struct rsdp { /* 5.2.5.3 */
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	le32_t rsdt, length;
	le64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
static_assert(sizeof(struct rsdp) == 36, "RSDP, revision 2");

struct gas { /* 5.2.3.2 */
	uint8_t space, bits, offset, size;
	le64_t addr;
} __attribute__((packed));

struct fadt { /* 5.2.9: what a hardware-reduced machine has of it */
	struct header h;
	le32_t firmware_ctrl, dsdt;
	uint8_t reserved0, profile;
	uint8_t fixed[109 - 46];
	le16_t boot_arch;
	uint8_t reserved1;
	le32_t flags;
	struct gas reset_reg;
	uint8_t reset_value;
	le16_t arm_boot_arch;
	uint8_t minor;
	le64_t x_firmware_ctrl, x_dsdt;
	uint8_t x_fixed[244 - 148];
	struct gas sleep_control, sleep_status;
	le64_t hypervisor;
} __attribute__((packed));
static_assert(offsetof(struct fadt, flags) == 112 && offsetof(struct fadt, x_dsdt) == 140 &&
		offsetof(struct fadt, sleep_control) == 244 && sizeof(struct fadt) == 276,
	"FADT, revision 6");

enum {
	GAS_IO = 1,
	GAS_BYTE = 1,
	PROFILE_SERVER = 4,
	BOOT_NO_VGA = 1 << 2,
	BOOT_NO_RTC = 1 << 5,
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_POWER_BUTTON = 1 << 4, /* is a device, or not there at all */
	FADT_SLEEP_BUTTON = 1 << 5, /* so is this */
	FADT_RESET_REG = 1 << 10,
	FADT_HW_REDUCED = 1 << 20,
};

struct madt_lapic { /* 5.2.12.2 */
	uint8_t type, len, uid, apic_id;
	le32_t flags;
} __attribute__((packed));
struct madt_ioapic { /* 5.2.12.3 */
	uint8_t type, len, id, reserved;
	le32_t addr, gsi_base;
} __attribute__((packed));
struct madt_override { /* 5.2.12.5 */
	uint8_t type, len, bus, source;
	le32_t gsi;
	le16_t flags;
} __attribute__((packed));
struct madt_x2apic { /* 5.2.12.12 */
	uint8_t type, len, reserved[2];
	le32_t apic_id, flags, uid;
} __attribute__((packed));
static_assert(sizeof(struct madt_lapic) == 8 && sizeof(struct madt_ioapic) == 12 &&
		sizeof(struct madt_override) == 10 && sizeof(struct madt_x2apic) == 16,
	"MADT's entries");

struct mcfg { /* PCI Firmware Specification 3.2, 4.1.2 */
	struct header h;
	le64_t reserved;
	le64_t base;
	le16_t segment;
	uint8_t first_bus, last_bus;
	le32_t reserved1;
} __attribute__((packed));
static_assert(sizeof(struct mcfg) == 60, "MCFG with one window");

/* Tables are put one behind the other, each at a multiple of 16. */
struct builder {
	uint8_t *buf;
	size_t len, cap;
};

static uint8_t checksum(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static void header_init(struct header *h, const char *signature, uint8_t revision)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->signature, signature, 4);
	memcpy(h->oem_id, OEM_ID, 6);
	memcpy(h->oem_table_id, OEM_TABLE_ID, sizeof(OEM_TABLE_ID));
	memcpy(h->creator_id, CREATOR_ID, 4);
	h->revision = revision;
	h->oem_revision = h->creator_revision = le32_of(1);
}

/* Where the next table begins; may lie beyond cap. */
static size_t table_begin(const struct builder *b)
{
	return (b->len + 15) & ~(size_t)15;
}

/* A table whose header lacks length and checksum; returns its guest address. */
static uint64_t table_end(struct builder *b, size_t at, size_t len)
{
	struct header *h = (void *)(b->buf + at);

	h->length = le32_of((uint32_t)len);
	h->checksum = 0;
	h->checksum = checksum(h, len);
	b->len = at + len;
	return LAYOUT_ACPI + at;
}

static uint64_t table_add(struct builder *b, const void *table, size_t len)
{
	size_t at = table_begin(b);

	if (at > b->cap || len > b->cap - at)
		return 0;
	memcpy(b->buf + at, table, len);
	return table_end(b, at, len);
}

/* --- DSDT --- */

/* PCI Firmware Specification 3.2, 4.5.1: 33db4d5b-1ff7-401c-9657-7441c03dd766 */
static const uint8_t pci_uuid[16] = { 0x33, 0xdb, 0x4d, 0x5b, 0x1f, 0xf7, 0x40, 0x1c, 0x96, 0x57,
	0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66 };

/* Which of PCI Express the guest may run itself: all that it asks for; nothing here stands in its
 * way. Another kind of question is answered with "not understood" (bit 2 of the first word). */
static void dsdt_osc(struct aml *a)
{
	aml_method(a, "_OSC", 4);
	aml_if(a);
	aml_op(a, AML_EQUAL);
	aml_op(a, AML_ARG0);
	aml_uuid(a, pci_uuid);
	aml_op(a, AML_RETURN);
	aml_op(a, AML_ARG0 + 3);
	aml_end(a);
	aml_op(a, AML_CREATE_DWORD_FIELD);
	aml_op(a, AML_ARG0 + 3);
	aml_int(a, 0);
	aml_ref(a, "CDW1");
	aml_op(a, AML_OR);
	aml_ref(a, "CDW1");
	aml_int(a, 4);
	aml_ref(a, "CDW1");
	aml_op(a, AML_RETURN);
	aml_op(a, AML_ARG0 + 3);
	aml_end(a);
}

uint32_t acpi_pin_gsi(unsigned slot)
{
	return 16 + slot % (GSI_PINS - 16);
}

/* 6.2.13: for each slot with a pin, which is INTA, the input that it is wired to. */
static void dsdt_pins(struct aml *a, uint32_t slots)
{
	if (!slots)
		return;
	aml_name(a, "_PRT");
	aml_package(a, (unsigned)__builtin_popcount(slots));
	for (unsigned slot = 0; slot < 32; slot++) {
		if (!(slots & 1u << slot))
			continue;
		aml_package(a, 4);
		aml_int(a, slot << 16 | 0xffff); /* any function */
		aml_int(a, 0);                   /* INTA */
		aml_int(a, 0);                   /* no link device between */
		aml_int(a, acpi_pin_gsi(slot));
		aml_end(a);
	}
	aml_end(a);
}

static void dsdt_pci(struct aml *a, const struct acpi_setup *s)
{
	uint8_t room[256];
	struct aml r;

	aml_device(a, "PCI0");
	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0A08");
	aml_name(a, "_CID");
	aml_eisa_id(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_name(a, "_SEG");
	aml_int(a, 0);
	aml_name(a, "_BBN");
	aml_int(a, 0);
	aml_init(&r, room, sizeof(room));
	aml_res_bus(&r, 0, LAYOUT_ECAM_BUSES - 1);
	aml_res_io(&r, PORT_PCI_CONFIG, PORT_PCI_PORTS);
	aml_res_io_window(&r, PORT_PCI_FIRST, PORT_PCI_LAST);
	aml_res_memory32(&r, (uint32_t)LAYOUT_BARS32, (uint32_t)LAYOUT_BARS32_END - 1);
	aml_res_memory64(&r, s->bars64, s->bars64_end - 1);
	aml_name(a, "_CRS");
	aml_resources(a, &r);
	dsdt_pins(a, s->pins);
	dsdt_osc(a);
	aml_end(a);
}

/* What is there and must not be given to anything else: the ECAM window. */
static void dsdt_board(struct aml *a)
{
	uint8_t room[64];
	struct aml r;

	aml_device(a, "MBRD");
	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0C02");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_init(&r, room, sizeof(room));
	aml_res_memory_fixed(&r, (uint32_t)LAYOUT_ECAM, (uint32_t)LAYOUT_ECAM_SIZE);
	aml_name(a, "_CRS");
	aml_resources(a, &r);
	aml_end(a);
}

static void dsdt_uarts(struct aml *a)
{
	static const struct {
		const char *name;
		uint8_t uid;
		uint16_t port;
		uint32_t irq;
	} uarts[] = { { "COM1", 1, PORT_COM1, IRQ_COM1 }, { "COM2", 2, PORT_COM2, IRQ_COM2 } };
	uint8_t room[64];
	struct aml r;

	for (unsigned i = 0; i < sizeof(uarts) / sizeof(uarts[0]); i++) {
		aml_device(a, uarts[i].name);
		aml_name(a, "_HID");
		aml_eisa_id(a, "PNP0501");
		aml_name(a, "_UID");
		aml_int(a, uarts[i].uid);
		aml_init(&r, room, sizeof(room));
		aml_res_io(&r, uarts[i].port, 8);
		aml_res_irq(&r, uarts[i].irq);
		aml_name(a, "_CRS");
		aml_resources(a, &r);
		aml_end(a);
	}
}

/* A press is an edge on IRQ_POWER_BUTTON, which the event device (5.6.9) turns into a notice. */
static void dsdt_power_button(struct aml *a)
{
	uint8_t room[64];
	struct aml r;

	aml_device(a, "PWRB");
	aml_name(a, "_HID");
	aml_eisa_id(a, "PNP0C0C");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_end(a);

	aml_device(a, "GED");
	aml_name(a, "_HID");
	aml_string(a, "ACPI0013");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_init(&r, room, sizeof(room));
	aml_res_irq(&r, IRQ_POWER_BUTTON);
	aml_name(a, "_CRS");
	aml_resources(a, &r);
	aml_method(a, "_EVT", 1);
	aml_if(a);
	aml_op(a, AML_EQUAL);
	aml_op(a, AML_ARG0);
	aml_int(a, IRQ_POWER_BUTTON);
	aml_op(a, AML_NOTIFY);
	aml_ref(a, "PWRB");
	aml_int(a, 0x80);
	aml_end(a);
	aml_end(a);
	aml_end(a);
}

static uint64_t dsdt_add(struct builder *b, const struct acpi_setup *s)
{
	size_t at = table_begin(b);
	struct header h;
	struct aml a;

	if (at > b->cap || b->cap - at < sizeof(h))
		return 0;
	header_init(&h, "DSDT", 2);
	memcpy(b->buf + at, &h, sizeof(h));
	aml_init(&a, b->buf + at + sizeof(h), b->cap - at - sizeof(h));
	aml_scope(&a, "\\_SB");
	dsdt_pci(&a, s);
	dsdt_board(&a);
	dsdt_uarts(&a);
	dsdt_power_button(&a);
	aml_end(&a);
	/* 7.4.2: SLP_TYPa and SLP_TYPb of S5, and two that are reserved. */
	aml_name(&a, "\\_S5");
	aml_package(&a, 4);
	aml_int(&a, PORT_SLEEP_TYPE_S5);
	aml_int(&a, PORT_SLEEP_TYPE_S5);
	aml_int(&a, 0);
	aml_int(&a, 0);
	aml_end(&a);
	return a.overflow ? 0 : table_end(b, at, sizeof(h) + a.len);
}

/* --- the others --- */

static uint64_t fadt_add(struct builder *b, uint64_t dsdt)
{
	struct gas port = { .space = GAS_IO, .bits = 8, .size = GAS_BYTE };
	struct fadt f = { .profile = PROFILE_SERVER,
		.dsdt = le32_of((uint32_t)dsdt),
		.x_dsdt = le64_of(dsdt),
		.boot_arch = le16_of(BOOT_NO_VGA | BOOT_NO_RTC),
		.flags = le32_of(FADT_WBINVD | FADT_PROC_C1 | FADT_POWER_BUTTON |
			FADT_SLEEP_BUTTON | FADT_RESET_REG | FADT_HW_REDUCED),
		.reset_value = PORT_RESET_VALUE,
		.minor = 4 };

	header_init(&f.h, "FACP", 6);
	f.reset_reg = f.sleep_control = f.sleep_status = port;
	f.reset_reg.addr = le64_of(PORT_RESET);
	f.sleep_control.addr = le64_of(PORT_SLEEP);
	f.sleep_status.addr = le64_of(PORT_SLEEP_STATUS);
	return table_add(b, &f, sizeof(f));
}

static size_t madt_cpus(const struct acpi_setup *s, uint8_t *at)
{
	size_t len = 0;

	for (unsigned i = 0; i < s->n_cpus && i < ACPI_CPUS_MAX; i++) {
		struct madt_lapic l = { .type = 0,
			.len = sizeof(l),
			.uid = (uint8_t)i,
			.apic_id = (uint8_t)s->apic_id[i],
			.flags = le32_of(1) };
		struct madt_x2apic x = { .type = 9,
			.len = sizeof(x),
			.apic_id = le32_of(s->apic_id[i]),
			.flags = le32_of(1),
			.uid = le32_of(i) };
		bool wide = s->apic_id[i] >= 255; /* 255 is all of them */

		memcpy(at + len, wide ? (void *)&x : (void *)&l, wide ? sizeof(x) : sizeof(l));
		len += wide ? sizeof(x) : sizeof(l);
	}
	return len;
}

static uint64_t madt_add(struct builder *b, const struct acpi_setup *s)
{
	static const uint8_t isa_irqs[] = { IRQ_COM2, IRQ_COM1, IRQ_POWER_BUTTON };
	uint8_t t[sizeof(struct header) + 8 + ACPI_CPUS_MAX * sizeof(struct madt_x2apic) + 64];
	struct madt_ioapic io = {
		.type = 1, .len = sizeof(io), .addr = le32_of((uint32_t)LAYOUT_IOAPIC)
	};
	le32_t fixed[2] = { le32_of((uint32_t)LAYOUT_LAPIC), le32_of(0) }; /* no 8259 to mask */
	size_t len = sizeof(struct header);

	header_init((void *)t, "APIC", 5);
	memcpy(t + len, fixed, sizeof(fixed));
	len += sizeof(fixed);
	len += madt_cpus(s, t + len);
	memcpy(t + len, &io, sizeof(io));
	len += sizeof(io);
	for (unsigned i = 0; i < sizeof(isa_irqs); i++) {
		struct madt_override o = { .type = 2,
			.len = sizeof(o),
			.source = isa_irqs[i],
			.gsi = le32_of(isa_irqs[i]),
			.flags = le16_of(5) }; /* active high, edge */

		memcpy(t + len, &o, sizeof(o));
		len += sizeof(o);
	}
	return table_add(b, t, len);
}

static uint64_t mcfg_add(struct builder *b)
{
	struct mcfg m = { .base = le64_of(LAYOUT_ECAM), .last_bus = LAYOUT_ECAM_BUSES - 1 };

	header_init(&m.h, "MCFG", 1);
	return table_add(b, &m, sizeof(m));
}

static uint64_t xsdt_add(struct builder *b, const uint64_t *tables, unsigned n)
{
	uint8_t t[sizeof(struct header) + 8 * 8];

	header_init((void *)t, "XSDT", 1);
	for (unsigned i = 0; i < n; i++)
		memcpy(t + sizeof(struct header) + 8 * i, &tables[i], 8);
	return table_add(b, t, sizeof(struct header) + 8 * n);
}

size_t acpi_build(const struct acpi_setup *s, uint8_t *buf, size_t cap)
{
	struct builder b = { .buf = buf, .len = sizeof(struct rsdp), .cap = cap };
	struct rsdp r = { .revision = 2, .length = le32_of(sizeof(r)) };
	uint64_t tables[3], dsdt, xsdt;

	if (cap < b.len)
		return 0;
	dsdt = dsdt_add(&b, s);
	if (!dsdt || !(tables[0] = fadt_add(&b, dsdt)) || !(tables[1] = madt_add(&b, s)) ||
		!(tables[2] = mcfg_add(&b)) || !(xsdt = xsdt_add(&b, tables, 3)))
		return 0;
	memcpy(r.signature, "RSD PTR ", 8);
	memcpy(r.oem_id, OEM_ID, 6);
	r.xsdt = le64_of(xsdt);
	r.checksum = checksum(&r, 20);
	r.extended_checksum = checksum(&r, sizeof(r));
	memcpy(buf, &r, sizeof(r));
	return b.len;
}

void acpi_write(const struct acpi_setup *s, const struct gmem *g)
{
	/* The smallest guest has 2 MiB, and 64 CPUs take a hundredth of the room. */
	acpi_build(s, gmem_at(g, (gpa_t){ LAYOUT_ACPI }, LAYOUT_ACPI_SIZE), LAYOUT_ACPI_SIZE);
}
