/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's accesses to everything that a NIC shows it: configuration space by ECAM, the BAR
 * (common configuration, notify, MSI-X, the PCI-configuration window), and the control queue's
 * ring, in any order and width. The machine's KVM is not there: its calls fail, which the device
 * must bear too.
 *
 * Input: operations of 12 bytes: kind and width, offset, value.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vmm/nic.h"

#define MEM_BYTES (2u << 20)
#define BAR       0x4000100000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct op {
	uint8_t kind, width;
	uint16_t off;
	uint64_t v;
} __attribute__((packed));

static void access_bar(struct nic *n, struct pci_bus *b, const struct op *op, unsigned len)
{
	uint64_t at = BAR + op->off % (VIRTIO_BAR_SIZE + 16), v;

	if (op->kind & 1)
		pci_mmio_write(b, at, op->v, len);
	else
		pci_mmio_read(b, at, &v, len);
}

static void access_ecam(struct pci_bus *b, const struct op *op, unsigned len)
{
	uint64_t at = (uint64_t)(op->kind >> 6) << 15 | (op->off & 0xfff);

	if (op->kind & 1)
		pci_ecam_write(b, at, op->v, len);
	else
		pci_ecam_read(b, at, len);
}

/* What must hold whatever a guest did. */
static void check(const struct nic *n)
{
	for (unsigned i = 0; i < n->d.v.n_queues; i++) {
		const struct virtio_queue *q = &n->d.v.queue[i];

		if (q->vector != VIRTIO_NO_VECTOR && q->vector >= n->d.v.msix.n)
			abort();
		if (!q->enabled)
			continue;
		if (!gmem_at(n->d.mem, (gpa_t){ q->desc }, virtio_desc_bytes(q->size)) ||
			!gmem_at(n->d.mem, (gpa_t){ q->driver }, virtio_queue_driver_bytes(q)) ||
			!gmem_at(n->d.mem, (gpa_t){ q->device }, virtio_queue_device_bytes(q)))
			abort();
	}
	if ((n->d.v.status & VIRTIO_S_FEATURES_OK) && (n->d.v.acked & ~n->d.v.offered))
		abort();
	if (n->pairs_wanted < 1 || n->pairs_wanted > n->setup.pairs)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *memory;
	static char socket[] = "/none";
	struct nic_setup setup = {
		.socket = socket, .mac = { { 2, 0, 0, 0, 0, 1 } }, .pairs = 2, .mtu = 1500
	};
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct kvm kvm = { .dev_fd = -1, .vm_fd = -1 };
	struct pci_bus bus = { 0 };
	struct gmem mem;
	struct vdev_host host = { .kvm = &kvm, .mem = &mem, .lock = &lock };
	struct nic *n;
	struct err e;

	log_set_level(LOG_ERROR);
	if (!memory && !(memory = calloc(1, MEM_BYTES)))
		return 0;
	gmem_wrap(&mem, memory, MEM_BYTES);
	kvm.routing_max = 16;
	kvm.routing = calloc(1, sizeof(*kvm.routing) + 64 * sizeof(kvm.routing->entries[0]));
	kvm.next_gsi = 24;
	if (!kvm.routing || nic_new(0, &setup, BAR, &host, &n, &e))
		abort();
	bus.slot[1] = n->dev.fn;
	pci_config_write(&n->d.v.fn, 4, 6, 2);
	for (; size >= sizeof(struct op); data += sizeof(struct op), size -= sizeof(struct op)) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		unsigned len = 1u << (op.width & 3);

		switch (op.kind >> 1 & 3) {
		case 0:
			access_ecam(&bus, &op, len);
			break;
		case 1:
		case 2:
			access_bar(n, &bus, &op, len);
			break;
		default: /* the guest's memory, where rings may lie */
			memcpy(memory + (op.off & 0x1fff), &op.v, len);
			nic_ctrl_serve(n);
			virtio_pci_reset_done(&n->d.v);
			break;
		}
		check(n);
	}
	memset(memory, 0, 0x3000);
	n->dev.ops->free(&n->dev);
	free(kvm.routing);
	return 0;
}
