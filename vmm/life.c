/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's life: its states, what moves it from one to the next, and who is told of it. Main
 * thread, but for vm_post and its kin.
 *
 *	created -> running <-> paused;  any -> stopped
 *
 * A reset keeps the state: a paused machine starts anew when it is resumed. What a guest says of
 * itself (a panic) is no state: it goes on with what its kernel does next.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/layout.h"
#include "vmm/vm.h"

#define RESETS_LOGGED   16
#define DEVICE_RESET_MS 1500 /* then a back end that keeps the rings is cut off */

const char *const vm_state_names[VM_STATES] = {
	[VM_CREATED] = "created",
	[VM_RUNNING] = "running",
	[VM_PAUSED] = "paused",
	[VM_STOPPED] = "stopped",
};

static const unsigned legal_moves[VM_STATES] = {
	[VM_CREATED] = 1u << VM_RUNNING | 1u << VM_STOPPED,
	[VM_RUNNING] = 1u << VM_PAUSED | 1u << VM_STOPPED,
	[VM_PAUSED] = 1u << VM_RUNNING | 1u << VM_STOPPED,
	[VM_STOPPED] = 0,
};

/* The only writer of vm->state. */
static int vm_set_state(struct vm *vm, enum vm_state to, struct err *e)
{
	if (!(legal_moves[vm->state] & 1u << to))
		return err_request(e, -EBUSY, "%s: the machine is %s and cannot become %s",
			vm->opt->name, vm_state_names[vm->state], vm_state_names[to]);
	vm->state = to;
	return 0;
}

/* more: further members of the event, or NULL; taken. */
static void vm_tell(struct vm *vm, const char *event, json_t *more)
{
	json_t *o = json_pack("{s:I, s:s}", "time_ns", (json_int_t)clock_now_ns(), "event", event);

	if (more)
		json_object_update(o, more);
	json_decref(more);
	if (vm->rpc)
		rpc_server_notify(vm->rpc, "event", o);
	else
		json_decref(o);
}

void vm_post(struct vm *vm, enum vm_event event)
{
	atomic_fetch_or(&vm->events, event);
	fd_event_signal(vm->event_fd);
}

void vm_device_changed(void *arg)
{
	vm_post(arg, VM_EVENT_DEVICE);
}

void vm_panicked(void *arg, uint8_t events)
{
	if (events & PVPANIC_PANICKED)
		vm_post(arg, VM_EVENT_PANICKED);
	if (events & PVPANIC_CRASH_LOADED)
		vm_post(arg, VM_EVENT_CRASH_LOADED);
}

static void vm_end(struct vm *vm, int status, const char *reason)
{
	if (vm_set_state(vm, VM_STOPPED, NULL))
		return;
	vm->stop_reason = reason;
	vm->status = status;
	if (status)
		log_error("ended: %s", reason);
	else
		log_info("ended: %s", reason);
	vm_tell(vm, "stopped", json_pack("{s:s, s:i}", "reason", reason, "status", status));
	loop_stop(vm->loop);
}

/* A guest that does it for ever must not fill the disk: the first few, then ever fewer. */
static bool worth_a_line(uint64_t n)
{
	return n <= RESETS_LOGGED || (n & (n - 1)) == 0;
}

int vm_begin(struct vm *vm, struct err *e)
{
	int err = vcpus_start(&vm->vcpus, e);

	return err ? err : vm_set_state(vm, VM_RUNNING, e);
}

static int vm_reset_devices(struct vm *vm, struct err *e)
{
	int err;

	for (unsigned i = 0; i < vm->n_devices; i++)
		vm->devices[i]->ops->reset(vm->devices[i], DEVICE_RESET_MS);
	pvpanic_reset(&vm->pvpanic);
	vm->bus.address = 0;
	err = kvm_reset_irqchip(&vm->kvm);
	if (err)
		return err_set(e, err, "KVM_SET_IRQCHIP: %s", err_str(err));
	serial_reset(vm->com1);
	serial_reset(vm->com2);
	return 0;
}

int vm_reset(struct vm *vm, const char *cause, struct err *e)
{
	int err;

	vcpus_pause(&vm->vcpus);
	/* A guest that asked for something while it was being stopped asked its old self. */
	atomic_fetch_and(&vm->events,
		VM_EVENT_STOP | VM_EVENT_POWER_OFF | VM_EVENT_BROKEN | VM_EVENT_DEVICE);
	if ((err = vm_reset_devices(vm, e)) || (err = vm_load(vm, e)))
		return err;
	vm->resets++;
	vm->panicked = false;
	if (worth_a_line(vm->resets))
		log_info("%s: reset number %llu", vm->opt->name, (unsigned long long)vm->resets);
	vm_tell(vm, "reset",
		json_pack("{s:s, s:I}", "cause", cause, "resets", (json_int_t)vm->resets));
	if (vm->state == VM_RUNNING)
		vcpus_resume(&vm->vcpus);
	return 0;
}

/* A guest's clock would take the time of a pause for a lock-up of its own; kvmclock has a flag
 * that says it was none. A guest without kvmclock has no need of it (-EINVAL). */
static void vm_excuse_clocks(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpus.n; i++)
		ioctl(vm->vcpus.v[i].fd, KVM_KVMCLOCK_CTRL, 0);
}

int vm_pause(struct vm *vm, struct err *e)
{
	int err = vm_set_state(vm, VM_PAUSED, e);

	if (err)
		return err;
	vcpus_pause(&vm->vcpus);
	vm_excuse_clocks(vm);
	log_info("%s: paused", vm->opt->name);
	vm_tell(vm, "paused", NULL);
	return 0;
}

static void vm_take_events(struct vm *vm);

int vm_resume(struct vm *vm, struct err *e)
{
	int err;

	vm_take_events(vm); /* a vCPU that asked for a reset is not to run on before it */
	err = vm_set_state(vm, VM_RUNNING, e);
	if (err)
		return err;
	log_info("%s: resumed", vm->opt->name);
	vm_tell(vm, "resumed", NULL);
	vcpus_resume(&vm->vcpus);
	return 0;
}

void vm_power_button(struct vm *vm)
{
	kvm_irq_line(&vm->kvm, IRQ_POWER_BUTTON, true);
	kvm_irq_line(&vm->kvm, IRQ_POWER_BUTTON, false);
	vm_tell(vm, "power_button", NULL);
}

static void stop_overdue(void *arg, uint32_t periods)
{
	vm_end(arg, 0, "it was told to stop, and the guest did not power itself off in time");
}

int vm_stop(struct vm *vm, uint64_t grace_ms, struct err *e)
{
	if (!grace_ms || vm->state != VM_RUNNING) {
		vm_post(vm, VM_EVENT_STOP); /* after the reply has left */
		return 0;
	}
	if (!vm->stop_timer)
		vm->stop_timer =
			loop_add_timer(vm->loop, grace_ms * NS_PER_MS, 0, stop_overdue, vm);
	else
		loop_set_timer(vm->stop_timer, grace_ms * NS_PER_MS, 0);
	if (!vm->stop_timer)
		return err_set(e, -ENOMEM, "out of memory");
	vm_power_button(vm);
	return 0;
}

/* True: too many of them in too short a time. */
static bool vm_count_fault(struct vm *vm)
{
	uint64_t now = clock_now_ns(), *oldest = &vm->fault_ns[vm->n_faults % VM_FAULTS_MAX];
	bool many = vm->n_faults >= VM_FAULTS_MAX && now - *oldest < VM_FAULTS_WITHIN_NS;

	*oldest = now;
	vm->n_faults++;
	vm_tell(vm, "triple_fault", json_pack("{s:I}", "triple_faults", (json_int_t)vm->n_faults));
	return many;
}

static void vm_reset_or_end(struct vm *vm, const char *cause, const char *said)
{
	struct err e = { 0 };

	if (worth_a_line(vm->resets + 1))
		log_info("%s: %s", vm->opt->name, said);
	if (vm_reset(vm, cause, &e)) {
		log_error("%s", e.text);
		vm_end(vm, 1, "the reset failed");
	}
}

static void vm_guest_panicked(struct vm *vm, bool crash_kernel)
{
	vm->panics++;
	vm->panicked = true;
	if (worth_a_line(vm->panics))
		log_warn("%s: the guest's kernel panicked%s; its console says why", vm->opt->name,
			crash_kernel ? ", and a crash kernel takes over" : "");
	vm_tell(vm, "panicked",
		json_pack("{s:I, s:b}", "panics", (json_int_t)vm->panics, "crash_kernel",
			crash_kernel));
}

/* Which devices' back ends came or went since the last look. */
static void vm_look_at_devices(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_devices; i++) {
		json_t *info = vm->devices[i]->ops->info(vm->devices[i]);
		json_t *connected = json_object_get(info, "connected");
		uint32_t bit = 1u << i;

		if (connected && json_is_true(connected) != !!(vm->connected & bit)) {
			vm->connected ^= bit;
			vm_tell(vm, "link",
				json_pack("{s:s, s:i, s:b}", "list", vm->devices[i]->ops->list,
					"slot", (int)i + 1, "connected", json_is_true(connected)));
		}
		json_decref(info);
	}
}

static void vm_take_events(struct vm *vm)
{
	unsigned events = atomic_exchange(&vm->events, 0);

	if (events & VM_EVENT_DEVICE)
		vm_look_at_devices(vm);
	if (events & (VM_EVENT_PANICKED | VM_EVENT_CRASH_LOADED))
		vm_guest_panicked(vm, events & VM_EVENT_CRASH_LOADED);
	if (events & VM_EVENT_STOP)
		vm_end(vm, 0, "it was told to stop");
	else if (events & VM_EVENT_BROKEN)
		vm_end(vm, 1, "KVM could not run the guest any further");
	else if (events & VM_EVENT_POWER_OFF)
		vm_end(vm, 0,
			vm->stop_timer ? "it was told to stop, and the guest powered itself off"
				       : "the guest powered itself off");
	else if ((events & VM_EVENT_TRIPLE_FAULT) && vm_count_fault(vm))
		vm_end(vm, 1, "the guest crashed (triple fault) more than 5 times in 10 s");
	else if (events & VM_EVENT_TRIPLE_FAULT)
		vm_reset_or_end(vm, "triple_fault", "the guest crashed (triple fault)");
	else if (events & VM_EVENT_RESET)
		vm_reset_or_end(vm, "guest", "the guest asked for a reset");
}

void vm_events(void *arg, uint32_t unused)
{
	struct vm *vm = arg;

	fd_event_take(vm->event_fd);
	vm_take_events(vm);
}
