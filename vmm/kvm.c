/* SPDX-License-Identifier: Apache-2.0 */
/* The VM in the kernel: see kvm.h. Source: Documentation/virt/kvm/api.rst. */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vmm/cpuid.h"
#include "vmm/layout.h"

#define KVM_PATH    "/dev/kvm"
#define MSI_GSI_MAX 1024 /* routes for MSI: 16 NICs of 34 vectors */

static const struct {
	int cap;
	const char *name;
} kvm_needs[] = {
	{ KVM_CAP_IRQCHIP, "IRQCHIP" },
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
	{ KVM_CAP_IRQFD, "IRQFD" },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD" },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, "IOEVENTFD_NO_LENGTH" },
	{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
	{ KVM_CAP_MP_STATE, "MP_STATE" },
};

static int kvm_open_device(struct kvm *k, struct err *e)
{
	int version;

	k->dev_fd = open(KVM_PATH, O_RDWR | O_CLOEXEC);
	if (k->dev_fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
		return err_host(e, -errno,
			KVM_PATH ": %s; this host has no KVM: turn on virtualization in its "
				 "firmware and load kvm_intel or kvm_amd (in a VM: allow nesting)",
			err_str(errno));
	if (k->dev_fd < 0 && (errno == EACCES || errno == EPERM))
		return err_host(e, -errno,
			KVM_PATH ": no permission to open it; run as root, or join the group that "
				 "owns it (sudo usermod -aG kvm $USER, then log in again)");
	if (k->dev_fd < 0)
		return err_host(e, -errno, KVM_PATH ": %s", err_str(errno));
	version = ioctl(k->dev_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_host(e, -ENOTSUP,
			KVM_PATH " is not KVM, or has API version %d: expected %d", version,
			KVM_API_VERSION);
	for (size_t i = 0; i < sizeof(kvm_needs) / sizeof(kvm_needs[0]); i++)
		if (ioctl(k->dev_fd, KVM_CHECK_EXTENSION, kvm_needs[i].cap) <= 0)
			return err_host(e, -ENOTSUP,
				"this host's KVM lacks %s: a newer kernel is needed",
				kvm_needs[i].name);
	k->run_bytes = ioctl(k->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	return k->run_bytes > 0 ? 0 : err_host(e, -EIO, "KVM_GET_VCPU_MMAP_SIZE failed");
}

/* What KVM can show a guest, less what its emulator cannot carry out in software. */
static int kvm_get_cpuid(struct kvm *k, struct err *e)
{
	unsigned max = 128;

	for (;; max *= 2) {
		size_t bytes = sizeof(*k->cpuid) + max * sizeof(k->cpuid->entries[0]);

		free(k->cpuid);
		k->cpuid = calloc(1, bytes);
		if (!k->cpuid)
			return err_set(e, -ENOMEM, "out of memory");
		k->cpuid->nent = max;
		if (ioctl(k->dev_fd, KVM_GET_SUPPORTED_CPUID, k->cpuid) == 0)
			return 0;
		if (errno != E2BIG || max > 4096)
			return err_host(e, -errno, "KVM_GET_SUPPORTED_CPUID: %s", err_str(errno));
	}
}

static void host_cpuid(uint32_t leaf, uint32_t r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "a"(leaf), "c"(0));
}

static bool host_has_virtualization(void)
{
	uint32_t intel[4], amd[4];

	host_cpuid(1, intel);
	host_cpuid(0x80000001, amd);
	return (intel[2] & 1u << 5) || (amd[2] & 1u << 2);
}

static void kvm_mask_cpuid(struct kvm *k)
{
	for (unsigned i = 0; i < k->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *c = &k->cpuid->entries[i];

		if (c->function == 1) {
			c->ecx |=
				1u << 24 | 1u << 31; /* TSC deadline timer; a hypervisor is here */
			if (k->software)
				c->ecx &= ~(1u << 13); /* CMPXCHG16B */
		}
		if (c->function == 7 && c->index == 0 && k->software)
			c->edx &= ~(1u << 29); /* ARCH_CAPABILITIES */
	}
}

/* The pins as KVM itself routes them: PIC 0..15, IOAPIC 0..23. */
static int kvm_init_routes(struct kvm *k, struct err *e)
{
	k->routing_max = 16 + GSI_PINS + MSI_GSI_MAX;
	/* Most of it is never touched. */
	k->routing =
		calloc(1, sizeof(*k->routing) + k->routing_max * sizeof(k->routing->entries[0]));
	if (!k->routing)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned gsi = 0; gsi < GSI_PINS; gsi++) {
		struct kvm_irq_routing_entry *r = &k->routing->entries[k->routing->nr++];

		r->gsi = gsi;
		r->type = KVM_IRQ_ROUTING_IRQCHIP;
		r->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		r->u.irqchip.pin = gsi == 0 ? 2 : gsi;
		if (gsi >= 16)
			continue;
		r = &k->routing->entries[k->routing->nr++];
		r->gsi = gsi;
		r->type = KVM_IRQ_ROUTING_IRQCHIP;
		r->u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		r->u.irqchip.pin = gsi % 8;
	}
	k->next_gsi = GSI_PINS;
	return 0;
}

static int kvm_create_vm(struct kvm *k, struct err *e)
{
	uint64_t identity = LAYOUT_KVM_IDENTITY;

	k->vm_fd = ioctl(k->dev_fd, KVM_CREATE_VM, 0);
	if (k->vm_fd < 0)
		return err_host(e, -errno, "KVM_CREATE_VM: %s", err_str(errno));
	/* Needed by Intel without unrestricted guest; others ignore or refuse it. */
	ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	ioctl(k->vm_fd, KVM_SET_TSS_ADDR, LAYOUT_KVM_TSS);
	if (ioctl(k->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_host(e, -errno, "KVM_CREATE_IRQCHIP: %s", err_str(errno));
	for (unsigned i = 0; i < 3; i++) {
		k->chips[i].chip_id = i;
		if (ioctl(k->vm_fd, KVM_GET_IRQCHIP, &k->chips[i]) < 0)
			return err_host(e, -errno, "KVM_GET_IRQCHIP: %s", err_str(errno));
	}
	return 0;
}

int kvm_open(struct kvm *k, const char *without, struct err *e)
{
	int err;

	*k = (struct kvm){ .dev_fd = -1, .vm_fd = -1, .vfio_fd = -1 };
	k->software = !host_has_virtualization();
	if ((err = kvm_open_device(k, e)) || (err = kvm_get_cpuid(k, e)) ||
		(err = kvm_create_vm(k, e)) || (err = kvm_init_routes(k, e)))
		return err;
	kvm_mask_cpuid(k);
	if (without)
		cpuid_mask(k->cpuid, without);
	return 0;
}

void kvm_close(struct kvm *k)
{
	fd_close(&k->vfio_fd);
	fd_close(&k->vm_fd);
	fd_close(&k->dev_fd);
	free(k->cpuid);
	free(k->routing);
	k->cpuid = NULL;
	k->routing = NULL;
}

int kvm_slot_set(struct kvm *k, unsigned slot, uint64_t gpa, void *host, uint64_t bytes)
{
	struct kvm_userspace_memory_region m = { .slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)host };

	return ioctl(k->vm_fd, KVM_SET_USER_MEMORY_REGION, &m) < 0 ? -errno : 0;
}

unsigned kvm_slots_new(struct kvm *k, unsigned n)
{
	unsigned first = k->next_slot;

	k->next_slot += n;
	return first;
}

int kvm_set_memory(struct kvm *k, const struct gmem *g, struct err *e)
{
	unsigned slot = kvm_slots_new(k, g->n);

	for (unsigned i = 0; i < g->n; i++) {
		int err = kvm_slot_set(k, slot + i, g->r[i].gpa, g->r[i].host, g->r[i].size);

		if (err)
			return err_host(e, err, "KVM_SET_USER_MEMORY_REGION: %s", err_str(err));
	}
	return 0;
}

int kvm_vfio_group(struct kvm *k, int group_fd, bool add)
{
	struct kvm_create_device make = { .type = KVM_DEV_TYPE_VFIO };
	int32_t fd = group_fd;
	struct kvm_device_attr a = { .group = KVM_DEV_VFIO_GROUP,
		.attr = add ? KVM_DEV_VFIO_GROUP_ADD : KVM_DEV_VFIO_GROUP_DEL,
		.addr = (uintptr_t)&fd };

	if (k->vfio_fd < 0 && !add)
		return 0;
	if (k->vfio_fd < 0 && ioctl(k->vm_fd, KVM_CREATE_DEVICE, &make) < 0)
		return -errno;
	if (k->vfio_fd < 0)
		k->vfio_fd = (int)make.fd;
	return ioctl(k->vfio_fd, KVM_SET_DEVICE_ATTR, &a) < 0 ? -errno : 0;
}

int kvm_reset_irqchip(struct kvm *k)
{
	for (unsigned i = 0; i < 3; i++)
		if (ioctl(k->vm_fd, KVM_SET_IRQCHIP, &k->chips[i]) < 0)
			return -errno;
	return 0;
}

static int kvm_gsi_new(struct kvm *k, uint32_t *gsi)
{
	if (k->next_gsi >= GSI_PINS + MSI_GSI_MAX)
		return -ENOSPC;
	*gsi = k->next_gsi++;
	return 0;
}

static int kvm_gsi_route(struct kvm *k, uint32_t gsi, uint64_t addr, uint32_t data)
{
	struct kvm_irq_routing_entry *r = NULL;

	for (unsigned i = 16 + GSI_PINS; i < k->routing->nr && !r; i++)
		if (k->routing->entries[i].gsi == gsi)
			r = &k->routing->entries[i];
	if (!r && k->routing->nr == k->routing_max)
		return -ENOSPC;
	if (!r)
		r = &k->routing->entries[k->routing->nr++];
	r->gsi = gsi;
	r->type = KVM_IRQ_ROUTING_MSI;
	r->u.msi.address_lo = (uint32_t)addr;
	r->u.msi.address_hi = (uint32_t)(addr >> 32);
	r->u.msi.data = data;
	return ioctl(k->vm_fd, KVM_SET_GSI_ROUTING, k->routing) < 0 ? -errno : 0;
}

int kvm_msi_route(struct kvm *k, struct msi_route *m, uint64_t addr, uint32_t data, const char *who,
	unsigned vector)
{
	int err = 0;

	if (!m->gsi && (err = kvm_gsi_new(k, &m->gsi))) {
		m->gsi = 0;
		log_warn("%s: no interrupt route is left for vector %u", who, vector);
		return err;
	}
	if (m->addr == addr && m->data == data)
		return 0;
	err = kvm_gsi_route(k, m->gsi, addr, data);
	if (err)
		log_warn("%s: route of vector %u: %s", who, vector, err_str(err));
	m->addr = err ? 0 : addr;
	m->data = data;
	return err;
}

int kvm_irqfd_level(struct kvm *k, int fd, int eoi_fd, uint32_t gsi, bool attach)
{
	struct kvm_irqfd r = { .fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = attach ? KVM_IRQFD_FLAG_RESAMPLE : KVM_IRQFD_FLAG_DEASSIGN,
		.resamplefd = (uint32_t)eoi_fd };

	return ioctl(k->vm_fd, KVM_IRQFD, &r) < 0 ? -errno : 0;
}

int kvm_irqfd(struct kvm *k, int fd, uint32_t gsi, bool attach)
{
	struct kvm_irqfd r = {
		.fd = (uint32_t)fd, .gsi = gsi, .flags = attach ? 0 : KVM_IRQFD_FLAG_DEASSIGN
	};

	return ioctl(k->vm_fd, KVM_IRQFD, &r) < 0 ? -errno : 0;
}

int kvm_ioeventfd(struct kvm *k, int fd, uint64_t addr, bool attach)
{
	struct kvm_ioeventfd r = {
		.fd = fd, .addr = addr, .len = 0, .flags = attach ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN
	};

	return ioctl(k->vm_fd, KVM_IOEVENTFD, &r) < 0 ? -errno : 0;
}

void kvm_irq_line(struct kvm *k, uint32_t irq, bool level)
{
	struct kvm_irq_level l = { .irq = irq, .level = level };

	ioctl(k->vm_fd, KVM_IRQ_LINE, &l);
}
