/* SPDX-License-Identifier: Apache-2.0 */
/* lanyard-vmm's JSON-RPC methods (docs/control.md). They run on the main thread. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
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

static json_t *exits_info(const struct vm *vm)
{
	json_t *o = json_object();

	for (unsigned k = 0; k < EXIT_MAX; k++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < vm->vcpus.n; i++) {
			const struct vcpu *v = &vm->vcpus.v[i];

			sum += atomic_load_explicit(&v->exits[k], memory_order_relaxed);
			if (k == EXIT_HLT) /* KVM deals with it, and counts */
				sum += vcpu_stat_get(&v->halts);
		}
		json_object_set_new(o, vcpu_exit_names[k], json_integer((json_int_t)sum));
	}
	return o;
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
	struct vm *vm = ctx;
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string("lanyard-vmm"));
	json_object_set_new(o, "version", json_string(LANYARD_VERSION));
	json_object_set_new(o, "pid", json_integer(getpid()));
	json_object_set_new(o, "node", json_string(vm->opt->name));
	json_object_set_new(o, "state", json_string(vm->stop_reason ? "stopped" : "running"));
	json_object_set_new(o, "reason", string_or_null(vm->stop_reason));
	json_object_set_new(o, "memory_bytes", json_integer((json_int_t)vm->mem.size));
	json_object_set_new(o, "huge", json_boolean(vm->mem.page_size > 4096));
	json_object_set_new(o, "vcpus", vcpus_info(vm));
	json_object_set_new(o, "exits", exits_info(vm));
	json_object_set_new(o, "resets", json_integer((json_int_t)vm->resets));
	json_object_set_new(
		o, "uptime_s", json_real((double)(clock_now_ns() - vm->started_ns) / NS_PER_S));
	devices_info(vm, o);
	*result = o;
	return 0;
}

static int method_stop(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	vm_post(ctx, VM_EVENT_STOP); /* after the reply has left */
	*result = json_object();
	return 0;
}

static int method_reset(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	int err = vm_reset(ctx, e);

	if (err) {
		vm_post(ctx, VM_EVENT_BROKEN);
		return err;
	}
	*result = json_object();
	return 0;
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

const struct rpc_method vm_methods[] = {
	{ "info", method_info, NULL },
	{ "stop", method_stop, NULL },
	{ "reset", method_reset, NULL },
	{ "console", method_console, NULL },
	{ 0 },
};
