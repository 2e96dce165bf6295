/* SPDX-License-Identifier: Apache-2.0 */
/* lanyard-vmm's JSON-RPC methods (docs/control.md). They run on the main thread. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/sandbox.h"
#include "vmm/vm.h"

static json_t *string_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *vcpus_info(const struct vm *vm)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < vm->vcpus.n; i++) {
		const struct vcpu *v = &vm->vcpus.v[i];
		json_t *o = json_object();

		json_object_set_new(o, "cpu", v->cpu >= 0 ? json_integer(v->cpu) : json_null());
		json_object_set_new(o, "tid", json_integer(atomic_load(&v->tid)));
		json_array_append_new(a, o);
	}
	return a;
}

static void set_number(json_t *o, const char *name, uint64_t n)
{
	json_object_set_new(o, name, json_integer((json_int_t)n));
}

/* Of vCPUs from .. to - 1. */
static json_t *exits_info(const struct vm *vm, unsigned from, unsigned to)
{
	json_t *o = json_object();

	for (unsigned k = 0; k < EXIT_MAX; k++) {
		uint64_t sum = 0;

		for (unsigned i = from; i < to; i++) {
			const struct vcpu *v = &vm->vcpus.v[i];

			sum += atomic_load_explicit(&v->exits[k], memory_order_relaxed);
			if (k == EXIT_HLT) /* KVM deals with it, and counts */
				sum += vcpu_stat_get(&v->halts);
		}
		set_number(o, vcpu_exit_names[k], sum);
	}
	return o;
}

static void set_kvm_number(void *arg, const char *name, uint64_t value)
{
	set_number(arg, name, value);
}

static json_t *vcpu_counters(const struct vm *vm, unsigned i)
{
	const struct vcpu *v = &vm->vcpus.v[i];
	struct vcpu_times t = { 0 };
	json_t *o = json_object(), *kvm = json_object();

	if (atomic_load(&v->times_open))
		t = vcpu_times_get(&v->times);
	vcpu_stat_each(&v->halts, set_kvm_number, kvm);
	json_object_set_new(o, "exits", exits_info(vm, i, i + 1));
	set_number(o, "user_ns", t.user_ns);
	set_number(o, "system_ns", t.system_ns);
	set_number(o, "guest_ns", t.guest_ns);
	set_number(o, "run_ns", t.run_ns);
	set_number(o, "wait_ns", t.wait_ns);
	json_object_set_new(o, "kvm", kvm);
	return o;
}

static int method_counters(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	const struct vm *vm = ctx;
	json_t *vcpus = json_array();

	for (unsigned i = 0; i < vm->vcpus.n; i++)
		json_array_append_new(vcpus, vcpu_counters(vm, i));
	*result = json_object();
	set_number(*result, "time_ns", clock_now_ns());
	json_object_set_new(*result, "vcpus", vcpus);
	set_number(*result, "resets", vm->resets);
	set_number(*result, "triple_faults", vm->n_faults);
	set_number(*result, "panics", vm->panics);
	return 0;
}

/* "nics": [...] and so on: a list for each kind of device, empty or not there if it has none. */
static void devices_info(const struct vm *vm, json_t *o)
{
	json_object_set_new(o, "nics", json_array());
	for (unsigned i = 0; i < vm->n_devices; i++) {
		const struct device_ops *ops = vm->devices[i]->ops;

		if (!json_object_get(o, ops->list))
			json_object_set_new(o, ops->list, json_array());
		json_array_append_new(json_object_get(o, ops->list), ops->info(vm->devices[i]));
	}
}

static int method_info(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	const struct sandbox_state *sandbox = sandbox_state();
	struct vm *vm = ctx;
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string("lanyard-vmm"));
	json_object_set_new(o, "version", json_string(LANYARD_VERSION));
	json_object_set_new(o, "pid", json_integer(getpid()));
	json_object_set_new(o, "node", json_string(vm->opt->name));
	json_object_set_new(o, "state", json_string(vm_state_names[vm->state]));
	json_object_set_new(o, "reason", string_or_null(vm->stop_reason));
	json_object_set_new(o, "memory_bytes", json_integer((json_int_t)vm->mem.size));
	json_object_set_new(o, "huge", json_boolean(vm->mem.page_size > 4096));
	json_object_set_new(o, "page_bytes", json_integer((json_int_t)vm->mem.page_size));
	json_object_set_new(o, "vcpus", vcpus_info(vm));
	json_object_set_new(o, "exits", exits_info(vm, 0, vm->vcpus.n));
	json_object_set_new(o, "guest", json_string(vm->panicked ? "panicked" : "running"));
	set_number(o, "resets", vm->resets);
	set_number(o, "triple_faults", vm->n_faults);
	set_number(o, "panics", vm->panics);
	json_object_set_new(
		o, "uptime_s", json_real((double)(clock_now_ns() - vm->started_ns) / NS_PER_S));
	json_object_set_new(o, "sandbox",
		json_pack("{s:b, s:i, s:b, s:b}", "on", sandbox->on, "uid", (int)sandbox->uid,
			"landlock", sandbox->landlock, "namespaces", sandbox->namespaces));
	devices_info(vm, o);
	*result = o;
	return 0;
}

/* The result of a method that has nothing to say. */
static int done(int err, json_t **result)
{
	if (!err)
		*result = json_object();
	return err;
}

static int method_stop(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	json_int_t grace_ms = json_integer_value(json_object_get(params, "grace_ms"));

	return done(vm_stop(ctx, (uint64_t)grace_ms, e), result);
}

static int method_pause(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	return done(vm_pause(ctx, e), result);
}

static int method_resume(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	return done(vm_resume(ctx, e), result);
}

static int method_power_button(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	vm_power_button(ctx);
	return done(0, result);
}

static int method_events(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct vm *vm = ctx;

	return done(rpc_server_subscribe(vm->rpc), result);
}

static int method_reset(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	int err = vm_reset(ctx, "request", e);

	if (err)
		vm_post(ctx, VM_EVENT_BROKEN);
	return done(err, result);
}

static int method_console(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	const struct vm *vm = ctx;

	*result = json_object();
	json_object_set_new(*result, "socket", string_or_null(vm->opt->console));
	json_object_set_new(*result, "pty", string_or_null(vm->opt->console_pty));
	json_object_set_new(*result, "stdio", json_boolean(vm->opt->console_stdio));
	json_object_set_new(*result, "log", string_or_null(vm->opt->console_log));
	return 0;
}

static const struct rpc_param stop_params[] = {
	{ "grace_ms", JSON_INTEGER, false, 0, 600000 },
	{ 0 },
};

const struct rpc_method vm_methods[] = {
	{ "info", method_info, NULL },
	{ "counters", method_counters, NULL },
	{ "events", method_events, NULL },
	{ "pause", method_pause, NULL },
	{ "resume", method_resume, NULL },
	{ "power_button", method_power_button, NULL },
	{ "reset", method_reset, NULL },
	{ "stop", method_stop, stop_params },
	{ "console", method_console, NULL },
	{ 0 },
};
