/* SPDX-License-Identifier: Apache-2.0 */
/* The map of ports and of device memory: who answers a vCPU's access. Addresses: layout.h. */
#include <assert.h>
#include <string.h>

#include "base/wire.h"
#include "vmm/layout.h"
#include "vmm/uart.h"
#include "vmm/vm.h"

struct uart_string {
	le64_t addr;
	le32_t len;     /* bytes; when done: bytes moved */
	le32_t receive; /* 0: from memory to the line */
};
static_assert(sizeof(struct uart_string) == 16, "docs/control.md");

static void serial_ports(
	struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	struct serial *s = (port & ~7) == PORT_COM1 ? vm->com1 : vm->com2;

	if (size == 1)
		serial_pio(s, port & 7, data, count, out);
	else if (!out)
		memset(data, 0xff, (size_t)size * count);
}

/* 0x610, 0x614: bytes to be read, bytes that may be sent of COM1; 0x618, 0x61c: of COM2. */
static void count_ports(
	struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	struct serial *s = port & 8 ? vm->com2 : vm->com1;
	uint32_t n = port & 4 ? serial_tx_room(s) : serial_rx_count(s);

	for (unsigned i = 0; !out && i < count; i++)
		memcpy(data + (size_t)i * size, &n, size < 4 ? size : 4);
}

/*
 * A string for a serial line, in one exit (an `outsb` is an exit a byte on many a KVM). The guest
 * writes the address of a struct uart_string to the port; `len` says afterwards how much was moved.
 */
static void string_ports(
	struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	struct serial *s = port & 8 ? vm->com2 : vm->com1;
	struct uart_string *u, r;
	uint32_t at, n;
	void *bytes;

	if (!out)
		memset(data, 0xff, (size_t)size * count);
	if (!out || size != 4 || count != 1)
		return;
	memcpy(&at, data, sizeof(at));
	u = gmem_at(&vm->mem, (gpa_t){ at }, sizeof(*u));
	if (!u)
		return;
	memcpy(&r, u, sizeof(r));
	n = le32_get(r.receive) ? serial_rx_count(s) : serial_tx_room(s);
	if (n > le32_get(r.len))
		n = le32_get(r.len);
	bytes = gmem_at(&vm->mem, (gpa_t){ le64_get(r.addr) }, n);
	if (!bytes)
		n = 0;
	if (n)
		serial_pio(s, 0, bytes, n, !le32_get(r.receive));
	r.len = le32_of(n);
	memcpy(u, &r, sizeof(r));
}

static void machine_event(struct vm *vm, enum vm_event event)
{
	vm_post(vm, event);
	vcpus_pause_from_handler(&vm->vcpus);
}

static void sleep_port(
	struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	if (out && port == PORT_SLEEP && data[0] == PORT_SLEEP_S5)
		machine_event(vm, VM_EVENT_POWER_OFF);
	if (!out)
		memset(data, 0, (size_t)size * count);
}

static void reset_port(
	struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	if (out && (data[0] & 4))
		machine_event(vm, VM_EVENT_RESET);
	if (!out)
		memset(data, 0, (size_t)size * count);
}

/* Only the reset pulse; reads say that no keyboard controller is busy. */
static void keyboard_port(
	struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	if (out && data[0] == 0xfe)
		machine_event(vm, VM_EVENT_RESET);
	if (!out)
		memset(data, 0, (size_t)size * count);
}

static void pci_ports(
	struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	pthread_mutex_lock(&vm->device_lock);
	for (unsigned i = 0; i < count; i++, data += size) {
		uint32_t v = 0;

		if (out) {
			memcpy(&v, data, size);
			pci_port_write(&vm->bus, port - PORT_PCI_CONFIG, v, size);
		} else {
			v = pci_port_read(&vm->bus, port - PORT_PCI_CONFIG, size);
			memcpy(data, &v, size);
		}
	}
	pthread_mutex_unlock(&vm->device_lock);
}

static const struct {
	uint16_t first, last;
	void (*fn)(struct vm *vm, uint16_t port, uint8_t *data, unsigned size, unsigned count,
		bool out);
} port_map[] = {
	{ PORT_COM2, PORT_COM2 + UART_PORTS - 1, serial_ports },
	{ PORT_COM1, PORT_COM1 + UART_PORTS - 1, serial_ports },
	{ PORT_UART_COUNTS, PORT_UART_COUNTS + 15, count_ports },
	{ PORT_UART_STRINGS, PORT_UART_STRINGS + 15, string_ports },
	{ PORT_SLEEP, PORT_SLEEP_STATUS, sleep_port },
	{ PORT_RESET, PORT_RESET, reset_port },
	{ PORT_KBD_CMD, PORT_KBD_CMD, keyboard_port },
	{ PORT_PCI_CONFIG, PORT_PCI_CONFIG + PORT_PCI_PORTS - 1, pci_ports },
};

static void vm_pio(void *arg, uint16_t port, uint8_t *data, unsigned size, unsigned count, bool out)
{
	for (size_t i = 0; i < sizeof(port_map) / sizeof(port_map[0]); i++) {
		if (port < port_map[i].first || port > port_map[i].last)
			continue;
		port_map[i].fn(arg, port, data, size, count, out);
		return;
	}
	if (!out)
		memset(data, 0xff, (size_t)size * count);
}

/* Devices know accesses of 1, 2, 4 and 8 bytes; the emulator may hand us others, in pieces. */
static void vm_mmio_one(struct vm *vm, uint64_t addr, uint8_t *data, unsigned len, bool write)
{
	bool ecam = addr >= LAYOUT_ECAM && addr - LAYOUT_ECAM < LAYOUT_ECAM_SIZE;
	uint64_t v = 0;

	if (write) {
		memcpy(&v, data, len);
		if (ecam)
			pci_ecam_write(&vm->bus, addr - LAYOUT_ECAM, v, len);
		else
			pci_mmio_write(&vm->bus, addr, v, len);
		return;
	}
	if (ecam)
		v = pci_ecam_read(&vm->bus, addr - LAYOUT_ECAM, len);
	else
		pci_mmio_read(&vm->bus, addr, &v, len);
	memcpy(data, &v, len);
}

static void vm_mmio(void *arg, uint64_t addr, uint8_t *data, unsigned len, bool write)
{
	struct vm *vm = arg;

	pthread_mutex_lock(&vm->device_lock);
	while (len) {
		unsigned n = len >= 8 ? 8 : len >= 4 ? 4 : len >= 2 ? 2 : 1;

		vm_mmio_one(vm, addr, data, n, write);
		addr += n;
		data += n;
		len -= n;
	}
	pthread_mutex_unlock(&vm->device_lock);
}

static void vm_event(void *arg, enum vm_event event)
{
	vm_post(arg, event);
}

const struct vcpu_ops vm_vcpu_ops = {
	.pio = vm_pio,
	.mmio = vm_mmio,
	.event = vm_event,
};
