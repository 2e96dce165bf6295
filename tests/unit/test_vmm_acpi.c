/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables: their sums and pointers, AML byte by byte, and what iasl makes of all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/acpi.h"
#include "vmm/aml.h"
#include "vmm/layout.h"

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static struct acpi_setup machine(unsigned n)
{
	struct acpi_setup s = { .n_cpus = n,
		.bars64 = LAYOUT_BARS64,
		.bars64_end = LAYOUT_BARS64 + LAYOUT_BARS64_SIZE };

	for (unsigned i = 0; i < n; i++)
		s.apic_id[i] = i;
	return s;
}

/* The table with that signature, by RSDP and XSDT as a guest finds it; its sum is right. */
static const uint8_t *find(const uint8_t *buf, const char *signature)
{
	const uint8_t *xsdt, *t = NULL;

	assert_memory_equal(buf, "RSD PTR ", 8);
	assert_int_equal(sum(buf, 20), 0);
	assert_int_equal(sum(buf, 36), 0);
	xsdt = buf + get(buf + 24, 8) - LAYOUT_ACPI;
	assert_memory_equal(xsdt, "XSDT", 4);
	assert_int_equal(sum(xsdt, get(xsdt + 4, 4)), 0);
	for (unsigned i = 36; i < get(xsdt + 4, 4) && !t; i += 8) {
		t = buf + get(xsdt + i, 8) - LAYOUT_ACPI;
		if (!memcmp(t, "FACP", 4) && !strcmp(signature, "DSDT"))
			t = buf + get(t + 140, 8) - LAYOUT_ACPI;
		if (memcmp(t, signature, 4) != 0)
			t = NULL;
	}
	assert_non_null(t);
	assert_int_equal((uintptr_t)(t - buf) % 16, 0);
	assert_int_equal(sum(t, get(t + 4, 4)), 0);
	return t;
}

static void test_tables(void **state)
{
	struct acpi_setup s = machine(64);
	uint8_t *buf = malloc(LAYOUT_ACPI_SIZE);
	size_t len = acpi_build(&s, buf, LAYOUT_ACPI_SIZE);
	const uint8_t *t;
	unsigned cpus = 0;

	assert_in_range(len, 500, LAYOUT_ACPI_SIZE / 10);
	t = find(buf, "FACP");
	assert_int_equal(get(t + 4, 4), 276);
	assert_int_equal(get(t + 40, 4), get(t + 140, 8));
	assert_true(get(t + 112, 4) & 1 << 20); /* hardware-reduced */
	assert_int_equal(get(t + 120, 8), PORT_RESET);
	assert_int_equal(t[128], PORT_RESET_VALUE);
	assert_int_equal(get(t + 248, 8), PORT_SLEEP);
	assert_int_equal(get(t + 260, 8), PORT_SLEEP_STATUS);
	t = find(buf, "APIC");
	for (unsigned i = 44; i < get(t + 4, 4); i += t[i + 1]) {
		assert_true(t[i + 1] >= 8);
		if (t[i] == 0)
			assert_int_equal(t[i + 3], cpus++);
		if (t[i] == 1)
			assert_int_equal(get(t + i + 4, 4), LAYOUT_IOAPIC);
	}
	assert_int_equal(cpus, 64);
	t = find(buf, "MCFG");
	assert_int_equal(get(t + 44, 8), LAYOUT_ECAM);
	find(buf, "DSDT");
	free(buf);
}

/* An APIC id that the short entry can't tell has a long one. */
static void test_high_apic_ids(void **state)
{
	struct acpi_setup s = machine(2);
	uint8_t buf[4096];
	const uint8_t *t;

	s.apic_id[1] = 255;
	assert_true(acpi_build(&s, buf, sizeof(buf)) > 0);
	t = find(buf, "APIC");
	assert_int_equal(t[44], 0);
	assert_int_equal(t[52], 9);
	assert_int_equal(t[53], 16);
	assert_int_equal(get(t + 56, 4), 255);
}

/* In a buffer of any size that is too small: nothing is written beyond it, and it is said. */
static void test_too_small(void **state)
{
	struct acpi_setup s = machine(4);
	uint8_t full[4096];
	size_t need = acpi_build(&s, full, sizeof(full));

	for (size_t cap = 0; cap < need; cap += cap % 64 ? 1 : 7) {
		uint8_t *exact = malloc(cap ? cap : 1);
		size_t len = acpi_build(&s, exact, cap);

		assert_int_equal(len, 0);
		free(exact);
	}
}

static void test_aml_bytes(void **state)
{
	static const uint8_t expected[] = { 0x10, 0x14, '\\', '_', 'S', 'B', '_', 0x08, 'A', '_',
		'_', '_', 0x0b, 0x34, 0x12, 0x08, 'B', 'C', '_', '_', 0x01, 0xff };
	uint8_t buf[300];
	struct aml a;

	aml_init(&a, buf, sizeof(buf));
	aml_scope(&a, "\\_SB");
	aml_name(&a, "A");
	aml_int(&a, 0x1234);
	aml_name(&a, "BC");
	aml_int(&a, 1);
	aml_end(&a);
	assert_false(a.overflow);
	assert_int_equal(a.len, sizeof(expected) - 1);
	assert_memory_equal(buf, expected, a.len);
	/* Lengths: 63 is the last of one byte (62 and itself), then there are two. */
	for (unsigned n = 60; n < 66; n++) {
		aml_init(&a, buf, sizeof(buf));
		aml_if(&a);
		for (unsigned i = 0; i < n; i++)
			aml_op(&a, 0xa3);
		aml_end(&a);
		assert_int_equal(a.len, n < 63 ? n + 2 : n + 3);
		if (n < 63)
			assert_int_equal(buf[1], n + 1);
		else
			assert_int_equal((buf[1] & 0xf) | buf[2] << 4, n + 2);
		assert_int_equal(buf[1] >> 6, n < 63 ? 0 : 1);
		assert_int_equal(buf[a.len - 1], 0xa3);
	}
	aml_init(&a, buf, sizeof(buf));
	aml_eisa_id(&a, "PNP0A08");
	assert_memory_equal(buf, "\x0c\x41\xd0\x0a\x08", 5);
}

static void test_aml_too_deep(void **state)
{
	uint8_t buf[300];
	struct aml a;

	aml_init(&a, buf, sizeof(buf));
	for (unsigned i = 0; i <= AML_DEPTH_MAX; i++)
		aml_if(&a);
	assert_true(a.overflow);
	aml_init(&a, buf, sizeof(buf));
	aml_end(&a); /* of nothing */
	assert_int_equal(a.len, 0);
}

static __attribute__((format(printf, 1, 2))) int shell(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return system(line);
}

static void save(const char *dir, const char *name, const uint8_t *bytes, size_t len)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

static bool dsl_says(const char *dir, const char *name, const char *text)
{
	char path[256], dsl[64 << 10];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.dsl", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(dsl, 1, sizeof(dsl) - 1, f);
	fclose(f);
	dsl[len] = 0;
	return strstr(dsl, text);
}

/* iasl reads each table, compiles what it read without a word, and gets the same table again. */
static void test_iasl(void **state)
{
	static const char *const names[] = { "FACP", "APIC", "MCFG", "DSDT", "XSDT" };
	struct acpi_setup s = machine(3);
	char dir[] = "/tmp/lanyard-acpi-XXXXXX";
	uint8_t buf[4096], again[4096];

	s.apic_id[2] = 300;
	s.pins = 1u << 1 | 1u << 9 | 1u << 30;
	assert_non_null(mkdtemp(dir));
	if (shell("iasl -v >/dev/null"))
		fail_msg("no iasl: tools/install-deps test installs acpica-tools");
	assert_true(acpi_build(&s, buf, sizeof(buf)) > 0);
	for (unsigned i = 0; i < 5; i++) {
		const uint8_t *t =
			i < 4 ? find(buf, names[i]) : buf + get(buf + 24, 8) - LAYOUT_ACPI;
		size_t len = get(t + 4, 4), n;
		char path[256];
		FILE *f;

		save(dir, names[i], t, len);
		if (shell("cd %s && iasl -d %s.aml >log 2>&1", dir, names[i]))
			fail_msg("iasl can't read %s: see %s/log", names[i], dir);
		/* -oa: as it is written; -we: a warning is an error. Then the same bytes, apart
		 * from who made it (creator) and the sum. */
		if (shell("cd %s && rm %s.aml && iasl -oa -we %s.dsl >log 2>&1", dir, names[i],
			    names[i]))
			fail_msg("iasl is not content with %s: see %s/log", names[i], dir);
		snprintf(path, sizeof(path), "%s/%s.aml", dir, names[i]);
		f = fopen(path, "rb");
		assert_non_null(f);
		n = fread(again, 1, sizeof(again), f);
		fclose(f);
		assert_int_equal(n, len);
		again[9] = t[9];
		memcpy(again + 28, t + 28, 8);
		assert_memory_equal(again, t, len);
	}
	assert_true(dsl_says(dir, "DSDT", "Name (\\_S5, Package (0x04)"));
	assert_true(dsl_says(dir, "DSDT", "EisaId (\"PNP0A08\") /* PCI Express Bus */"));
	assert_true(dsl_says(dir, "DSDT", "Notify (PWRB, 0x80)"));
	/* Slots with a pin, and their inputs of the IOAPIC. */
	assert_true(dsl_says(dir, "DSDT", "Name (_PRT, Package (0x03)"));
	assert_true(dsl_says(dir, "DSDT", "0x0001FFFF"));
	assert_true(dsl_says(dir, "DSDT", "0x001EFFFF"));
	assert_true(dsl_says(dir, "DSDT", "0x16"));
	assert_int_equal(acpi_pin_gsi(30), 0x16);
	for (unsigned slot = 0; slot < 32; slot++)
		assert_in_range(acpi_pin_gsi(slot), 16, GSI_PINS - 1);
	assert_true(dsl_says(dir, "FACP", "Hardware Reduced (V5) : 1"));
	assert_int_equal(shell("rm -r %s", dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_high_apic_ids),
		cmocka_unit_test(test_too_small),
		cmocka_unit_test(test_aml_bytes),
		cmocka_unit_test(test_aml_too_deep),
		cmocka_unit_test(test_iasl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
