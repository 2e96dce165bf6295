/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as a whole: made, reset, ended. See vm.h. All of it runs on the main thread. */
#include "vmm/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/units.h"
#include "vmm/acpi.h"
#include "vmm/blk.h"
#include "vmm/layout.h"
#include "vmm/rng.h"
#include "vmm/sandbox.h"
#include "vmm/vublk.h"
#include "vmm/vfio.h"
#include "vmm/vufs.h"

/* How long the guest's start waits, at most, for back ends that are there to say what they offer:
 * an answer takes well below a millisecond, unless the host has other work. */
#define FIRST_CONNECT_MS 500

static uint64_t host_bridge_read(void *arg, int bar, uint64_t off, unsigned len)
{
	return ~0ull;
}

static void host_bridge_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
}

static const struct pci_ops host_bridge_ops = {
	.bar_read = host_bridge_read,
	.bar_write = host_bridge_write,
};

static void vm_make_bridge(struct vm *vm)
{
	/* A generic PCIe host bridge (QEMU's gpex has the same ids). */
	struct pci_id id = { .vendor = 0x1b36,
		.device = 0x0008,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x060000 };

	pci_function_init(&vm->host_bridge, &id, &host_bridge_ops, NULL);
	vm->bus.slot[0] = &vm->host_bridge;
}

static uint64_t bars_start(const struct vm *vm)
{
	uint64_t end = (gmem_end(&vm->mem) + (1ull << 30) - 1) & ~((1ull << 30) - 1);

	return end > LAYOUT_BARS64 ? end : LAYOUT_BARS64;
}

/* Takes the device, also if it was made in part (err). */
static int vm_add_device(struct vm *vm, struct device *dev, int err)
{
	if (dev)
		vm->devices[vm->n_devices++] = dev;
	if (!err)
		vm->bus.slot[vm->n_devices] = dev->fn;
	return err;
}

/* Where the next device's BAR is at reset. -E2BIG: the bus is full. */
static int vm_next_bar(const struct vm *vm, uint64_t *bar, struct err *e)
{
	if (vm->n_devices == VM_DEVICES_MAX)
		return err_request(
			e, -E2BIG, "too many devices: a machine has room for %d", VM_DEVICES_MAX);
	*bar = bars_start(vm) + (vm->n_devices + 1) * LAYOUT_BARS64_SLOT;
	return 0;
}

static int vm_make_nics(struct vm *vm, const struct vdev_host *host, struct err *e)
{
	uint64_t bar = 0;
	int err = 0;

	for (unsigned i = 0; i < vm->opt->n_nics && !err; i++) {
		struct nic *n = NULL;

		err = vm_next_bar(vm, &bar, e);
		if (!err)
			err = nic_new(i, &vm->opt->nics[i], bar, host, &n, e);
		err = vm_add_device(vm, n ? &n->dev : NULL, err);
	}
	return err;
}

static int vm_make_disks(struct vm *vm, const struct vdev_host *host, struct err *e)
{
	uint64_t bar = 0;
	int err = 0;

	for (unsigned i = 0; i < vm->opt->n_disks && !err; i++) {
		const struct disk_setup *setup = &vm->opt->disks[i];
		struct vublk *vu = NULL;
		struct blk *b = NULL;

		err = vm_next_bar(vm, &bar, e);
		if (!err && setup->file)
			err = blk_new(i, setup, bar, host, &b, e);
		else if (!err)
			err = vublk_new(i, setup, bar, host, &vu, e);
		err = vm_add_device(vm, b ? &b->dev : vu ? &vu->dev : NULL, err);
	}
	return err;
}

static int vm_make_fs(struct vm *vm, const struct vdev_host *host, struct err *e)
{
	uint64_t bar = 0;
	int err = 0;

	for (unsigned i = 0; i < vm->opt->n_fs && !err; i++) {
		struct vufs *s = NULL;

		err = vm_next_bar(vm, &bar, e);
		if (!err)
			err = vufs_new(i, &vm->opt->fs[i], bar, host, &s, e);
		err = vm_add_device(vm, s ? &s->dev : NULL, err);
	}
	return err;
}

static int vm_make_rng(struct vm *vm, const struct vdev_host *host, struct err *e)
{
	struct rng *r = NULL;
	uint64_t bar = 0;
	int err;

	if (!vm->opt->rng)
		return 0;
	err = vm_next_bar(vm, &bar, e);
	if (!err)
		err = rng_new(bar, host, &r, e);
	return vm_add_device(vm, r ? &r->dev : NULL, err);
}

static int vm_make_vfio(struct vm *vm, const struct vdev_host *host, struct err *e)
{
	/* Behind the places of virtio devices. */
	struct vfio_space space = { .first32 = LAYOUT_BARS32,
		.next32 = LAYOUT_BARS32,
		.end32 = LAYOUT_BARS32_END,
		.first64 = bars_start(vm),
		.next64 = bars_start(vm) + PCI_SLOTS * LAYOUT_BARS64_SLOT,
		.end64 = bars_start(vm) + LAYOUT_BARS64_SIZE };
	uint64_t unused;
	int err = 0;

	for (unsigned i = 0; i < vm->opt->n_vfio && !err; i++) {
		struct vfio_place_in in = { .host = &vm->vfio,
			.space = &space,
			.loop = vm->loop,
			.pin_gsi = acpi_pin_gsi(vm->n_devices + 1) };
		struct device *dev = NULL;

		err = vm_next_bar(vm, &unused, e);
		if (!err)
			err = vfio_new(&vm->opt->vfio[i], host, &in, &dev, e);
		err = vm_add_device(vm, dev, err);
	}
	return err;
}

static int vm_make_devices(struct vm *vm, struct err *e)
{
	struct vdev_host host = { .kvm = &vm->kvm,
		.mem = &vm->mem,
		.lock = &vm->device_lock,
		.changed = vm_device_changed,
		.changed_arg = vm };
	int err = vm_make_nics(vm, &host, e);

	pvpanic_init(
		&vm->pvpanic, bars_start(vm) + PVPANIC_SLOT * LAYOUT_BARS64_SLOT, vm_panicked, vm);
	vm->bus.slot[PVPANIC_SLOT] = &vm->pvpanic.fn;
	if (!err)
		err = vm_make_disks(vm, &host, e);
	if (!err)
		err = vm_make_fs(vm, &host, e);
	if (!err)
		err = vm_make_rng(vm, &host, e);
	if (!err)
		err = vm_make_vfio(vm, &host, e);
	return err;
}

static int vm_start_devices(struct vm *vm, struct err *e)
{
	int err = 0;

	for (unsigned i = 0; i < vm->n_devices && !err; i++)
		if (vm->devices[i]->ops->start)
			err = vm->devices[i]->ops->start(vm->devices[i], e);
	uint64_t until = clock_now_ns() + FIRST_CONNECT_MS * NS_PER_MS;
	for (unsigned i = 0; i < vm->n_devices && !err; i++) {
		uint64_t now = clock_now_ns();
		int left_ms = now < until ? (int)((until - now) / NS_PER_MS) : 0;

		/* Disks and shares wait for longer, and say so: each is asked. */
		if (vm->devices[i]->ops->wait_first)
			vm->devices[i]->ops->wait_first(vm->devices[i], left_ms);
	}
	return err;
}

/* All that is to be opened is open, but for back ends' sockets; there is no thread yet. */
static int vm_confine(struct vm *vm, struct err *e)
{
	const struct vmm_options *o = vm->opt;
	struct sandbox_setup s = { .user = o->user, .vfio = o->n_vfio > 0 };
	const char *more[] = { o->control, o->agent, o->console, o->console_pty };

	if (!o->sandbox)
		return 0;
	for (unsigned i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (more[i])
			s.paths[s.n_paths++] = more[i];
	for (unsigned i = 0; i < o->n_nics; i++)
		if (o->nics[i].socket)
			s.paths[s.n_paths++] = o->nics[i].socket;
	for (unsigned i = 0; i < o->n_disks; i++)
		if (o->disks[i].socket)
			s.paths[s.n_paths++] = o->disks[i].socket;
	for (unsigned i = 0; i < o->n_fs; i++)
		s.paths[s.n_paths++] = o->fs[i].socket;
	return sandbox_prepare(&s, e);
}

static int vm_make_memory(struct vm *vm, struct err *e)
{
	char why[256], size[16], page[16];
	int err = gmem_new(&vm->mem, vm->opt->memory, vm->opt->pages, why, e);

	if (err)
		return err;
	if (why[0])
		log_warn("%s", why);
	log_info("guest memory: %s in pages of %s", units_format_size(vm->mem.size, size),
		units_format_size(vm->mem.page_size, page));
	return kvm_set_memory(&vm->kvm, &vm->mem, e);
}

static void vm_escape(void *arg)
{
	vm_post(arg, VM_EVENT_STOP);
}

static int vm_make_serial(struct vm *vm, struct err *e)
{
	struct serial_setup console = { .name = "console",
		.socket = vm->opt->console,
		.pty = vm->opt->console_pty,
		.stdio = vm->opt->console_stdio,
		.escape = vm_escape,
		.escape_arg = vm,
		.log = vm->opt->console_log,
		.scrollback = true,
		.busy = "lanyard-vmm: this console is taken by another client\n",
		.irq = IRQ_COM1 };
	struct serial_setup agent = { .name = "agent",
		.socket = vm->opt->agent,
		.busy = "{\"jsonrpc\": \"2.0\", \"id\": null, \"error\": {\"code\": -32000, "
			"\"message\": \"the agent channel is taken by another client\", \"data\": "
			"{\"class\": 1, \"errno\": 16}}}\n",
		.irq = IRQ_COM2 };
	int err = serial_new(&console, vm->loop, &vm->kvm, &vm->com1, e);

	return err ? err : serial_new(&agent, vm->loop, &vm->kvm, &vm->com2, e);
}

static void vm_write_acpi(const struct vm *vm)
{
	struct acpi_setup s = { .n_cpus = vm->opt->vcpus,
		.bars64 = bars_start(vm),
		.bars64_end = bars_start(vm) + LAYOUT_BARS64_SIZE };

	for (unsigned i = 0; i < s.n_cpus; i++)
		s.apic_id[i] = cpu_apic_id(&vm->opt->topology, i);
	for (unsigned i = 0; i < vm->n_devices; i++)
		if (vm->devices[i]->fn->config[PCI_INTERRUPT_PIN])
			s.pins |= 1u << (i + 1);
	acpi_write(&s, &vm->mem);
}

int vm_load(struct vm *vm, struct err *e)
{
	struct boot_setup s = { .kernel = &vm->kernel,
		.initrd = vm->opt->initrd ? &vm->initrd : NULL,
		.cmdline = vm->opt->cmdline,
		.rsdp = LAYOUT_ACPI };
	struct vcpu_entry entry;
	int err;

	vm_write_acpi(vm);
	err = boot_load(&s, &vm->mem, &entry, e);
	return err ? err : vcpus_reset(&vm->vcpus, &entry, e);
}

/* Kept open: a reset loads the same files again. */
static int vm_open_files(struct vm *vm, struct err *e)
{
	int err = boot_file_open(
		&vm->kernel, vm->opt->kernel, "guest file", BOOT_EXPECTED, "kernel", e);

	if (err || !vm->opt->initrd)
		return err;
	return boot_file_open(&vm->initrd, vm->opt->initrd, "initramfs",
		"a cpio archive, compressed or not", "initrd", e);
}

static void vm_signal(void *arg, uint32_t signo)
{
	vm_post(arg, VM_EVENT_STOP);
}

static int vm_make_loop(struct vm *vm, struct err *e)
{
	vm->loop = loop_new(e);
	if (!vm->loop)
		return e->code;
	vm->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->event_fd < 0)
		return err_set(e, -errno, "eventfd: %s", err_str(errno));
	vm->event_handler = loop_add_fd(vm->loop, vm->event_fd, EPOLLIN, vm_events, vm);
	vm->term_handler = loop_add_signal(vm->loop, SIGTERM, vm_signal, vm);
	vm->int_handler = loop_add_signal(vm->loop, SIGINT, vm_signal, vm);
	if (vm->opt->console_stdio) /* its terminal was closed */
		vm->hup_handler = loop_add_signal(vm->loop, SIGHUP, vm_signal, vm);
	if (!vm->event_handler || !vm->term_handler || !vm->int_handler)
		return err_set(e, -ENOMEM, "event loop: out of memory");
	return 0;
}

/* Last of all sockets: who can connect to it finds the others too. */
static int vm_make_control(struct vm *vm, struct err *e)
{
	vm->rpc = rpc_server_new(vm->loop, vm->opt->control, vm_methods, vm, e);
	return vm->rpc ? 0 : e->code;
}

int vm_start(struct vm *vm, const struct vmm_options *opt, struct err *e)
{
	int err;

	*vm = (struct vm){ .opt = opt, .event_fd = -1, .started_ns = clock_now_ns() };
	vm->kvm.dev_fd = vm->kvm.vm_fd = vm->mem.fd = vm->kernel.fd = vm->initrd.fd = -1;
	vm->kvm.vfio_fd = -1;
	vfio_host_init(&vm->vfio, &vm->kvm, &vm->mem);
	pthread_mutex_init(&vm->device_lock, NULL);
	vm_make_bridge(vm);
	/* The lines come before memory and KVM: a terminal's forks. */
	if ((err = vm_open_files(vm, e)) || (err = vm_make_loop(vm, e)) ||
		(err = vm_make_serial(vm, e)) || (err = kvm_open(&vm->kvm, opt->cpu_without, e)) ||
		(err = vm_make_memory(vm, e)) || (err = vm_make_devices(vm, e)) ||
		(err = vcpus_new(&vm->vcpus, &vm->kvm, &opt->topology, opt->cpus, opt->n_cpus,
			 &vm_vcpu_ops, vm, e)) ||
		(err = vm_load(vm, e)) || (err = vm_make_control(vm, e)) ||
		(err = vm_confine(vm, e)) || (err = vm_start_devices(vm, e)) ||
		(err = vm_begin(vm, e)))
		return err;
	sandbox_enter(SANDBOX_MAIN);
	return 0;
}

int vm_run(struct vm *vm)
{
	struct err e = { 0 };

	log_info("%s runs %s: %u vCPUs, %u devices, control %s", vm->opt->name, vm->opt->kernel,
		vm->opt->vcpus, vm->n_devices, vm->opt->control);
	if (loop_run(vm->loop) < 0 && vm->state != VM_STOPPED) {
		err_set(&e, -EIO, "the event loop failed");
		vm->status = 1;
	}
	return vm->status;
}

void vm_free(struct vm *vm)
{
	rpc_server_free(vm->rpc);
	vcpus_free(&vm->vcpus);
	for (unsigned i = 0; i < vm->n_devices; i++)
		vm->devices[i]->ops->free(vm->devices[i]);
	vfio_host_fini(&vm->vfio);
	serial_free(vm->com1);
	serial_free(vm->com2);
	if (vm->loop) {
		loop_del(vm->loop, vm->event_handler);
		loop_del(vm->loop, vm->term_handler);
		loop_del(vm->loop, vm->int_handler);
		loop_del(vm->loop, vm->hup_handler);
		loop_del(vm->loop, vm->stop_timer);
		loop_free(vm->loop);
	}
	fd_close(&vm->event_fd);
	kvm_close(&vm->kvm);
	gmem_free(&vm->mem);
	boot_file_close(&vm->kernel);
	boot_file_close(&vm->initrd);
	pthread_mutex_destroy(&vm->device_lock);
}
