/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's port and memory accesses, as vCPUs hand them over: every port, the serial lines' string
 * ports with what they point to, power, reset and keyboard ports, pvpanic, ECAM, memory that nobody
 * has. With the console's and the agent's real lines, whose output goes to nobody. No KVM is there.
 *
 * Input: operations: kind and width, count, port or low bits of an address, 8 bytes of data. Every
 * other kind writes the data into the guest's memory, where the string ports find it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vmm/layout.h"
#include "vmm/vm.h"

#define MEM_BYTES (64u << 10)
#define BAR       (LAYOUT_BARS64 + PVPANIC_SLOT * LAYOUT_BARS64_SLOT)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct op {
	uint8_t kind, count;
	uint16_t where;
	uint64_t v;
} __attribute__((packed));

static struct vm vm;
static uint8_t *memory;

static uint64_t none_read(void *arg, int bar, uint64_t off, unsigned len)
{
	return ~0ull;
}

static void none_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
}

static int make_vm(void)
{
	static const struct pci_ops none = { .bar_read = none_read, .bar_write = none_write };
	struct serial_setup console = { .name = "console", .scrollback = true, .irq = IRQ_COM1 };
	struct serial_setup agent = { .name = "agent", .irq = IRQ_COM2 };
	struct pci_id id = { 0x1b36, 8, 0x1af4, 0x1100, 0x060000, 0 };
	struct err e;

	log_set_level(LOG_ERROR - 1);
	memory = malloc(MEM_BYTES); /* exactly as large: an access beyond it is seen */
	vm.kvm.vm_fd = vm.kvm.dev_fd = -1;
	vm.event_fd = eventfd(0, EFD_NONBLOCK);
	vm.loop = loop_new(&e);
	pthread_mutex_init(&vm.device_lock, NULL);
	pci_function_init(&vm.host_bridge, &id, &none, NULL);
	vm.bus.slot[0] = &vm.host_bridge;
	if (!memory || !vm.loop || serial_new(&console, vm.loop, &vm.kvm, &vm.com1, &e) ||
		serial_new(&agent, vm.loop, &vm.kvm, &vm.com2, &e))
		return -1;
	gmem_wrap(&vm.mem, memory, MEM_BYTES);
	return 0;
}

/* Ports that are somebody's, more often than not. */
static uint16_t a_port(const struct op *op)
{
	static const uint16_t ports[] = { PORT_COM1, PORT_COM2, PORT_UART_COUNTS,
		PORT_UART_COUNTS + 8, PORT_UART_STRINGS, PORT_UART_STRINGS + 8, PORT_SLEEP,
		PORT_RESET, PORT_KBD_CMD, PORT_PCI_CONFIG, PORT_PCI_CONFIG + 4 };
	unsigned n = sizeof(ports) / sizeof(ports[0]), i = op->where >> 8 & 15;

	return i < n ? (uint16_t)(ports[i] + (op->where & 7)) : op->where;
}

static void pio(const struct op *op)
{
	unsigned size = 1u << (op->kind >> 2 & 3) % 3, count = op->count ? op->count : 1;
	uint8_t *bytes = malloc((size_t)size * count);

	if (!bytes)
		return;
	for (size_t i = 0; i < (size_t)size * count; i++)
		bytes[i] = (uint8_t)(op->v >> 8 * (i % 8));
	vm_vcpu_ops.pio(&vm, a_port(op), bytes, size, count, op->kind & 0x80);
	free(bytes);
}

static void mmio(const struct op *op)
{
	static const uint64_t bases[] = { LAYOUT_ECAM, LAYOUT_ECAM + (31 << 15), BAR, 0 };
	unsigned len = (op->kind >> 2 & 7) + 1;
	uint8_t bytes[8];

	memcpy(bytes, &op->v, 8);
	vm_vcpu_ops.mmio(&vm, bases[op->kind >> 5 & 3] + op->where, bytes, len, op->kind & 0x80);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct op op;

	if (!memory && make_vm())
		abort();
	memset(memory, 0, 4096);
	serial_reset(vm.com1);
	serial_reset(vm.com2);
	pvpanic_init(&vm.pvpanic, BAR, vm_panicked, &vm);
	vm.bus.slot[PVPANIC_SLOT] = &vm.pvpanic.fn;
	for (; size >= sizeof(op); data += sizeof(op), size -= sizeof(op)) {
		memcpy(&op, data, sizeof(op));
		switch (op.kind & 3) {
		case 0:
		case 1:
			pio(&op);
			break;
		case 2:
			mmio(&op);
			break;
		default:
			memcpy(memory + op.where % (MEM_BYTES - 8), &op.v, 8);
			break;
		}
		if (op.count == 0xff) /* the main thread takes what was printed */
			loop_step(vm.loop, 0);
	}
	while (loop_step(vm.loop, 0) > 0)
		;
	atomic_store(&vm.events, 0);
	fd_event_take(vm.event_fd);
	return 0;
}
