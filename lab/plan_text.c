/* SPDX-License-Identifier: Apache-2.0 */
/* What a step does, and what undoing it does, in words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lab/plan.h"
#include "lab/policy.h"
#include "lab/vf.h"

static const char *cpus_word(const char *list)
{
	return strchr(list, ',') ? "CPUs" : "CPU";
}

char *step_describe_short(const struct step *s, char *out, size_t size)
{
	const char *what = s->kind == STEP_VM ? "VM"
		: s->kind == STEP_SWITCH      ? "the switch"
		: s->kind == STEP_DISKS       ? "storage daemon of"
		: s->kind == STEP_PF          ? "PF"
					      : step_kind_name(s->kind);

	snprintf(out, size, "%s%s%s", what, s->name ? " " : "", s->name ? s->name : "");
	return out;
}

static void describe_configure(const struct step *s, char *out, size_t size)
{
	size_t networks = json_object_size(json_object_get(s->policy, "networks"));
	size_t ports = json_object_size(json_object_get(s->policy, "ports"));
	const char *name = json_object_iter_key(
		json_object_iter(json_object_get(s->policy, ports ? "ports" : "networks")));

	if (networks + ports == 1)
		snprintf(out, size, "%s %s", ports ? "port" : "network", name);
	else if (!networks)
		snprintf(out, size, "%zu ports, at once", ports);
	else
		snprintf(out, size, "%zu port%s, %zu network%s, at once", ports,
			ports == 1 ? "" : "s", networks, networks == 1 ? "" : "s");
}

/* Disks that a storage daemon's arguments name. */
static size_t n_served(const struct step *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->args.n; i++)
		n += strcmp(s->args.v[i], "--export") == 0;
	return n;
}

/* "port up0 on lan, pci 0000:03:00.0, VLAN 10", or "..., VF 3 of pf0" */
static void describe_port(const struct step *s, char *out, size_t size)
{
	char policy[256], device[300] = "";
	struct vf_place place;

	policy_brief(s->policy, policy, sizeof policy);
	if (s->leads_to && vf_find(s->device, &place))
		vf_say(s->device, device, sizeof device);
	else if (s->leads_to)
		snprintf(device, sizeof device, "%s %s", s->leads_to, s->device);
	snprintf(out, size, "port %s on %s%s%s%s%s%s%s", s->name, s->network, device[0] ? ", " : "",
		device, policy[0] ? ", " : "", policy, s->external ? ", for a client at " : "",
		s->external ? s->socket : "");
}

/* "PF pf0, 0000:03:00.0, 7 VFs", and what it is beside */
static void describe_pf(const struct step *s, char *out, size_t size)
{
	json_int_t n = json_integer_value(json_object_get(s->policy, "num_vfs"));
	const char *driver = json_string_value(json_object_get(s->policy, "driver"));
	const json_t *mtu = json_object_get(s->policy, "mtu");
	size_t at = (size_t)snprintf(out, size, "PF %s, %s", s->name, s->device);

	if (n && at < size)
		at += (size_t)snprintf(out + at, size - at, ", %" JSON_INTEGER_FORMAT " VF%s", n,
			n == 1 ? "" : "s");
	if (mtu && at < size)
		at += (size_t)snprintf(out + at, size - at, ", MTU %" JSON_INTEGER_FORMAT,
			json_integer_value(mtu));
	if (driver && at < size)
		snprintf(out + at, size - at, ", bound to %s", driver);
}

char *step_describe(const struct step *s, char *out, size_t size)
{
	const char *cpus = step_option(s, "--cpus"), *kernel;

	switch (s->kind) {
	case STEP_FOLDER:
		snprintf(out, size, "run folder %s, locked", s->path);
		break;
	case STEP_HUGEPAGES:
		snprintf(out, size, "%" PRIu64 " hugepages of 2 MiB free", s->pages);
		break;
	case STEP_SWITCH:
		snprintf(out, size, "switch, %s on %s %s", strchr(cpus, ',') ? "workers" : "worker",
			cpus_word(cpus), cpus);
		break;
	case STEP_NETWORK:
		snprintf(out, size, "network %s, MTU %" PRIu64, s->name, s->mtu);
		break;
	case STEP_PORT:
		describe_port(s, out, size);
		break;
	case STEP_BRIDGE:
		snprintf(out, size, "bridge %s for network %s, MTU %" PRIu64, s->device, s->name,
			s->mtu);
		break;
	case STEP_TAP:
		snprintf(out, size, "tap %s for %s, in the bridge of %s", s->device, s->name,
			s->network);
		break;
	case STEP_PF:
		describe_pf(s, out, size);
		break;
	case STEP_VM:
		snprintf(out, size, "VM %s, %s, %s %s", s->name, step_option(s, "--memory"),
			cpus_word(cpus), cpus);
		break;
	case STEP_PROCESS:
		snprintf(out, size, "process %s, CPU %s", s->name, step_option(s, "--cpu"));
		break;
	case STEP_IMAGE:
		kernel = json_string_value(json_object_get(s->policy, "kernel"));
		snprintf(out, size, "initramfs of %s, for %s", s->name,
			kernel && *kernel ? kernel : "no kernel");
		break;
	case STEP_DISKS:
		snprintf(out, size, "storage daemon of %s, %zu disk%s", s->name, n_served(s),
			n_served(s) == 1 ? "" : "s");
		break;
	case STEP_SHARE:
		snprintf(out, size, "share %s, %s%s", s->name, s->network,
			s->path ? ", read-only" : "");
		break;
	case STEP_CONFIGURE:
		describe_configure(s, out, size);
		break;
	case STEP_GUEST:
		snprintf(out, size, "%s %s", s->name, s->socket ? "answers" : "runs");
		break;
	case STEP_LINKS:
		snprintf(out, size, "%zu link%s up", s->args.n, s->args.n == 1 ? "" : "s");
		break;
	case STEP_KIND_N:
		break;
	}
	return out;
}

char *step_describe_undo(const struct step *s, char *out, size_t size)
{
	out[0] = '\0';
	switch (s->kind) {
	case STEP_FOLDER:
		snprintf(out, size, "run folder removed, with the files that we made");
		break;
	case STEP_HUGEPAGES:
		if (s->state == STEP_PLANNED)
			snprintf(out, size, "number of hugepages put back");
		else if (s->pages_raised)
			snprintf(out, size, "number of hugepages put back (%" PRIu64 " fewer)",
				s->pages_raised);
		break;
	case STEP_SWITCH:
		snprintf(out, size, "switch stopped");
		break;
	case STEP_NETWORK:
		snprintf(out, size, "network %s deleted", s->name);
		break;
	case STEP_PORT:
		snprintf(out, size, "port %s deleted", s->name);
		break;
	case STEP_BRIDGE:
		snprintf(out, size, "bridge %s deleted", s->device);
		break;
	case STEP_TAP:
		snprintf(out, size, "tap %s deleted", s->device);
		break;
	case STEP_PF:
		snprintf(out, size, "PF %s put back as it was", s->name);
		break;
	case STEP_VM:
		snprintf(out, size, "VM %s stopped", s->name);
		break;
	case STEP_PROCESS:
		snprintf(out, size, "process %s stopped", s->name);
		break;
	case STEP_IMAGE:
		snprintf(out, size, "initramfs of %s removed", s->name);
		break;
	case STEP_DISKS:
		snprintf(out, size, "storage daemon of %s stopped", s->name);
		break;
	case STEP_SHARE:
		snprintf(out, size, "share %s stopped", s->name);
		break;
	case STEP_CONFIGURE:
	case STEP_GUEST:
	case STEP_LINKS:
	case STEP_KIND_N:
		break;
	}
	return out;
}
