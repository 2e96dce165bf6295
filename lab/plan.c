/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "lab/policy.h"

#define SWITCH_MEMORY_MB 32   /* its heap: rings and tables; frames stay in the guests */
#define PROCESS_RING     1024 /* descriptors: 0.1 s of 10,000 frames a second, if it has no CPU */

const char *step_kind_name(enum step_kind kind)
{
	static const char *const names[] = {
#define X(name, text) text,
		STEP_KINDS(X)
#undef X
	};

	return names[kind];
}

struct step *plan_add(struct plan *p, enum step_kind kind)
{
	struct step *s;

	p->steps = lab_realloc(p->steps, p->n_steps + 1, sizeof *p->steps);
	s = &p->steps[p->n_steps++];
	*s = (struct step){ .kind = kind, .pidfd = -1 };
	return s;
}

struct step *plan_find(const struct plan *p, enum step_kind kind, const char *name)
{
	for (size_t i = 0; i < p->n_steps; i++) {
		struct step *s = &p->steps[i];

		if (s->kind == kind && (!name || (s->name && strcmp(s->name, name) == 0)))
			return s;
	}
	return NULL;
}

static void add_hugepages(struct plan *p, const struct topology *t)
{
	uint64_t pages = SWITCH_MEMORY_MB / 2;

	for (size_t i = 0; i < t->n_nodes; i++) {
		if (t->nodes[i].kind != TOPO_EXTERNAL)
			pages += (t->nodes[i].memory + HOST_HUGE_SIZE - 1) / HOST_HUGE_SIZE;
	}
	plan_add(p, STEP_HUGEPAGES)->pages = pages;
}

static void add_switch(struct plan *p, const struct topology *t, const struct paths *paths)
{
	struct step *s = plan_add(p, STEP_SWITCH);
	char cpus[1024];

	s->socket = lab_asprintf("%s/switch.sock", p->dir);
	s->log = lab_asprintf("%s/switch.log", p->dir);
	strs_add(&s->args, "%s", paths->sw);
	strs_add(&s->args, "--control");
	strs_add(&s->args, "%s", s->socket);
	strs_add(&s->args, "--cpus");
	strs_add(&s->args, "%s", place_list(&p->place, -1, cpus, sizeof cpus));
	strs_add(&s->args, "--memory");
	strs_add(&s->args, "%d", SWITCH_MEMORY_MB);
	strs_add(&s->args, "--poll");
	strs_add(&s->args, "%s", t->sw.poll == TOPO_POLL_BUSY ? "busy" : "adaptive");
}

static void add_networks(struct plan *p, const struct topology *t)
{
	for (size_t i = 0; i < t->n_networks; i++) {
		struct step *s = plan_add(p, STEP_NETWORK);

		s->name = lab_strdup(t->networks[i].name);
		s->mtu = t->networks[i].mtu;
		s->ageing_s = t->networks[i].ageing_s;
	}
}

const char *step_port_kind(const struct step *s)
{
	return s->leads_to ? s->leads_to : "vhost";
}

static struct step *add_port(
	struct plan *p, const struct topology *t, const char *name, size_t network, json_t *policy)
{
	struct step *s = plan_add(p, STEP_PORT);

	s->name = lab_strdup(name);
	s->network = lab_strdup(t->networks[network].name);
	s->policy = policy;
	return s;
}

static void add_nic_port(
	struct plan *p, const struct topology *t, size_t i, size_t j, bool mirrored)
{
	const struct topo_node *node = &t->nodes[i];
	const struct topo_nic *nic = &node->nics[j];
	char name[TOPO_NAME_MAX + 12], mac[ETHER_MAC_STR];
	json_t *policy = policy_of_nic(t, nic, topology_port_name(t, i, j, name));
	struct step *s;

	if (!json_object_get(policy, "mirror") == mirrored) {
		json_decref(policy);
		return;
	}
	s = add_port(p, t, name, nic->network, policy);
	s->mac = lab_strdup(ether_mac_str(nic->mac, mac));
	s->socket = lab_asprintf("%s/%s.vhost", p->dir, name);
	s->queues = nic->queues;
	s->external = node->kind == TOPO_EXTERNAL;
	s->unmergeable = !nic->mergeable;
}

static void add_host_port(
	struct plan *p, const struct topology *t, const struct topo_port *port, bool mirrored)
{
	json_t *policy = policy_of_port(t, port);
	struct step *s;

	if (!json_object_get(policy, "mirror") == mirrored) {
		json_decref(policy);
		return;
	}
	s = add_port(p, t, port->name, port->network, policy);
	s->leads_to = lab_strdup(topo_port_kind_names[port->kind]);
	s->device = lab_strdup(port->device);
	s->queues = port->queues;
}

/* Ports that are mirrored come last: the port that listens must be there. */
static void add_ports(struct plan *p, const struct topology *t)
{
	for (int mirrored = 0; mirrored < 2; mirrored++) {
		for (size_t i = 0; i < t->n_nodes; i++)
			for (size_t j = 0; j < t->nodes[i].n_nics; j++)
				add_nic_port(p, t, i, j, mirrored);
		for (size_t i = 0; i < t->n_ports; i++)
			add_host_port(p, t, &t->ports[i], mirrored);
	}
}

/* The guest's file: the probe of ours, or a path relative to the topology's folder. */
static char *guest_path(
	const struct plan *p, const struct topo_node *node, const struct paths *paths)
{
	const char *slash = strrchr(p->file, '/');

	if (strcmp(node->guest, "probe") == 0)
		return lab_strdup(paths->probe);
	if (node->guest[0] == '/' || !slash)
		return lab_strdup(node->guest);
	return lab_asprintf("%.*s/%s", (int)(slash - p->file), p->file, node->guest);
}

/* An option and its value, to the arguments `a`. */
#define OPT(option, ...) (strs_add(a, "--" option), strs_add(a, __VA_ARGS__))

static void add_vm(struct plan *p, const struct topology *t, size_t i, const struct paths *paths)
{
	const struct topo_node *node = &t->nodes[i];
	struct step *s = plan_add(p, STEP_VM);
	char *guest = guest_path(p, node, paths), cpus[1024];
	struct strs *a = &s->args;

	s->name = lab_strdup(node->name);
	s->socket = lab_asprintf("%s/%s.sock", p->dir, node->name);
	s->log = lab_asprintf("%s/%s.log", p->dir, node->name);
	strs_add(a, "%s", paths->vmm);
	OPT("name", "%s", node->name);
	OPT("control", "%s", s->socket);
	OPT("agent", "%s/%s.agent", p->dir, node->name);
	OPT("console", "%s/%s.console", p->dir, node->name);
	OPT("console-log", "%s/%s.console.log", p->dir, node->name);
	OPT("kernel", "%s", guest);
	if (strcmp(node->guest, "probe") == 0)
		OPT("cmdline", "tsc_hz=" PLAN_TSC_HZ " node=%s", node->name);
	OPT("memory", "%" PRIu64 "M", node->memory >> 20);
	OPT("vcpus", "%u", node->vcpus);
	OPT("cpus", "%s", place_list(&p->place, (int)i, cpus, sizeof cpus));
	for (size_t j = 0; j < node->n_nics; j++) {
		const struct topo_nic *nic = &node->nics[j];
		char mac[ETHER_MAC_STR];

		OPT("nic", "socket=%s/%s.%zu.vhost,mac=%s,queues=%u,mtu=%u", p->dir, node->name, j,
			ether_mac_str(nic->mac, mac), nic->queues, t->networks[nic->network].mtu);
	}
	free(guest);
}

static void add_process(
	struct plan *p, const struct topology *t, size_t i, const struct paths *paths)
{
	const struct topo_node *node = &t->nodes[i];
	struct step *s = plan_add(p, STEP_PROCESS);
	struct strs *a = &s->args;
	char cpu[16];

	s->name = lab_strdup(node->name);
	s->socket = lab_asprintf("%s/%s.sock", p->dir, node->name);
	s->log = lab_asprintf("%s/%s.log", p->dir, node->name);
	strs_add(a, "%s", paths->traffic);
	OPT("name", "%s", node->name);
	OPT("control", "%s", s->socket);
	OPT("agent", "%s/%s.agent", p->dir, node->name);
	OPT("tsc-hz", "%s", PLAN_TSC_HZ);
	OPT("memory", "%" PRIu64, node->memory >> 20);
	OPT("queue-size", "%d", PROCESS_RING);
	OPT("cpu", "%s", place_list(&p->place, (int)i, cpu, sizeof cpu));
	for (size_t j = 0; j < node->n_nics; j++) {
		const struct topo_nic *nic = &node->nics[j];
		char mac[ETHER_MAC_STR];

		OPT("port", "%s/%s.%zu.vhost,mac=%s,mtu=%u,ring=%s,mergeable=%s", p->dir,
			node->name, j, ether_mac_str(nic->mac, mac), t->networks[nic->network].mtu,
			nic->packed ? "packed" : "split", nic->mergeable ? "on" : "off");
	}
}

/* How the node is known to be there; the NICs that it drives for sure, to *links. */
static void add_guest(struct plan *p, const struct topo_node *node, struct strs *links)
{
	struct step *s = plan_add(p, STEP_GUEST);

	s->name = lab_strdup(node->name);
	if (node->kind == TOPO_VM && strcmp(node->guest, "probe") != 0)
		return;
	s->socket = lab_asprintf("%s/%s.agent", p->dir, node->name);
	for (size_t j = 0; j < node->n_nics; j++)
		if (!node->nics[j].policy.admin)
			strs_add(links, "%s.%zu", node->name, j);
}

static void add_nodes(struct plan *p, const struct topology *t, const struct paths *paths)
{
	struct strs links = { 0 };

	for (size_t i = 0; i < t->n_nodes; i++) {
		if (t->nodes[i].kind == TOPO_VM)
			add_vm(p, t, i, paths);
		else if (t->nodes[i].kind == TOPO_PROCESS)
			add_process(p, t, i, paths);
	}
	for (size_t i = 0; i < t->n_nodes; i++) {
		if (t->nodes[i].kind != TOPO_EXTERNAL)
			add_guest(p, &t->nodes[i], &links);
	}
	if (links.n)
		plan_add(p, STEP_LINKS)->args = links;
}

int plan_make(const struct topology *t, const struct host *h, const struct paths *paths,
	struct plan *p, struct err *e)
{
	return plan_make_beside(t, h, paths, NULL, p, e);
}

int plan_make_beside(const struct topology *t, const struct host *h, const struct paths *paths,
	const struct placement *keep, struct plan *p, struct err *e)
{
	char *real;
	int r;

	*p = (struct plan){ 0 };
	real = realpath(t->file, NULL);
	snprintf(p->lab, sizeof p->lab, "%s", t->lab);
	snprintf(p->file, sizeof p->file, "%s", real ? real : t->file);
	snprintf(p->dir, sizeof p->dir, "%.*s/%s", LAB_PATH_MAX - TOPO_NAME_MAX - 2, paths->run,
		t->lab);
	free(real);
	r = place_cpus_beside(t, h, keep, &p->place, &p->warnings, e);
	if (r)
		return r;
	plan_add(p, STEP_FOLDER)->path = lab_strdup(p->dir);
	add_hugepages(p, t);
	add_switch(p, t, paths);
	add_networks(p, t);
	add_ports(p, t);
	add_nodes(p, t, paths);
	return 0;
}

void plan_cut(struct plan *p, size_t n)
{
	while (p->n_steps > n) {
		struct step *s = &p->steps[--p->n_steps];

		free(s->name);
		free(s->network);
		free(s->mac);
		free(s->socket);
		free(s->log);
		free(s->path);
		free(s->leads_to);
		free(s->device);
		json_decref(s->policy);
		json_decref(s->back);
		json_decref(s->was);
		strs_free(&s->args);
		fd_close(&s->pidfd);
	}
}

void plan_drop_twins(struct plan *p)
{
	for (size_t i = p->n_steps; i-- > 0;) {
		struct step *s = &p->steps[i], gone = *s;
		bool twin = false;

		for (size_t k = 0; k < p->n_steps && s->name; k++)
			twin |= k != i && p->steps[k].kind == s->kind &&
				strcmp(p->steps[k].name, s->name) == 0 &&
				p->steps[k].state != STEP_PLANNED;
		if (!twin || s->state != STEP_PLANNED)
			continue;
		memmove(s, s + 1, (p->n_steps - i - 1) * sizeof *s);
		p->steps[p->n_steps - 1] = gone;
		plan_cut(p, p->n_steps - 1);
	}
}

void plan_clear(struct plan *p)
{
	plan_cut(p, 0);
	free(p->steps);
	place_free(&p->place);
	strs_free(&p->warnings);
	*p = (struct plan){ 0 };
}

const char *step_option(const struct step *s, const char *name)
{
	for (size_t i = 0; i + 1 < s->args.n; i++) {
		if (strcmp(s->args.v[i], name) == 0)
			return s->args.v[i + 1];
	}
	return "";
}

static const char *cpus_word(const char *list)
{
	return strchr(list, ',') ? "CPUs" : "CPU";
}

bool step_is_node(const struct step *s)
{
	return s->kind == STEP_VM || s->kind == STEP_PROCESS;
}

struct step *plan_node(const struct plan *p, const char *name)
{
	struct step *vm = plan_find(p, STEP_VM, name);

	return vm ? vm : plan_find(p, STEP_PROCESS, name);
}

char *step_describe_short(const struct step *s, char *out, size_t size)
{
	const char *what = s->kind == STEP_VM ? "VM"
		: s->kind == STEP_SWITCH      ? "the switch"
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

char *step_describe(const struct step *s, char *out, size_t size)
{
	const char *cpus = step_option(s, "--cpus");
	char policy[256];

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
		policy_brief(s->policy, policy, sizeof policy);
		snprintf(out, size, "port %s on %s%s%s%s%s%s%s%s%s", s->name, s->network,
			s->leads_to ? ", " : "", s->leads_to ? s->leads_to : "",
			s->leads_to ? " " : "", s->leads_to ? s->device : "", policy[0] ? ", " : "",
			policy, s->external ? ", for a client at " : "",
			s->external ? s->socket : "");
		break;
	case STEP_VM:
		snprintf(out, size, "VM %s, %s, %s %s", s->name, step_option(s, "--memory"),
			cpus_word(cpus), cpus);
		break;
	case STEP_PROCESS:
		snprintf(out, size, "process %s, CPU %s", s->name, step_option(s, "--cpu"));
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
	case STEP_VM:
		snprintf(out, size, "VM %s stopped", s->name);
		break;
	case STEP_PROCESS:
		snprintf(out, size, "process %s stopped", s->name);
		break;
	case STEP_CONFIGURE:
	case STEP_GUEST:
	case STEP_LINKS:
	case STEP_KIND_N:
		break;
	}
	return out;
}
