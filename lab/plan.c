/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "lab/netdev.h"
#include "lab/policy.h"
#include "lab/vf.h"

#define SWITCH_MEMORY_MB 32 /* its heap: rings and tables; frames stay in the guests */

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

/* Pages of 1 GiB are for whoever set the host up: they are hardly ever to be had later. */
static bool takes_pages(const struct topo_node *n)
{
	return n->kind == TOPO_PROCESS ||
		(n->kind == TOPO_VM && n->hugepages != TOPO_HUGE_NONE &&
			n->hugepages != TOPO_HUGE_1G);
}

static void add_hugepages(struct plan *p, const struct topology *t)
{
	uint64_t pages = topology_has_switch(t) ? SWITCH_MEMORY_MB / 2 : 0;

	for (size_t i = 0; i < t->n_nodes; i++) {
		if (takes_pages(&t->nodes[i]))
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
		struct step *s;

		if (t->networks[i].kind != TOPO_NET_SWITCH)
			continue;
		s = plan_add(p, STEP_NETWORK);
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
	json_t *policy;
	struct step *s;

	if (nic->vf.want || topology_nic_is_tap(t, nic))
		return;
	policy = policy_of_nic(t, nic, topology_port_name(t, i, j, name));
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

/* To the switch a function of the lab's is a PCI device; its address is known when it is there. */
static void lead(struct step *s, const struct topology *t, const struct topo_port *port)
{
	bool whole = port->kind == TOPO_PORT_PF;

	if (!whole && port->kind != TOPO_PORT_VF) {
		s->leads_to = lab_strdup(topo_port_kind_names[port->kind]);
		s->device = lab_strdup(port->device);
		return;
	}
	s->leads_to = lab_strdup(topo_port_kind_names[TOPO_PORT_PCI]);
	s->device = whole ? vf_ref_pf(t, port->vf.pf) : vf_ref(t, &port->vf, port->mac);
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
	lead(s, t, port);
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

static void add_bridges(struct plan *p, const struct topology *t)
{
	char name[NETDEV_NAME];

	for (size_t i = 0; i < t->n_networks; i++) {
		struct step *s;

		if (t->networks[i].kind != TOPO_NET_BRIDGE)
			continue;
		s = plan_add(p, STEP_BRIDGE);
		s->name = lab_strdup(t->networks[i].name);
		s->device = lab_strdup(netdev_name(t->lab, s->name, name));
		s->mtu = t->networks[i].mtu;
		s->ageing_s = t->networks[i].ageing_s;
	}
}

static void add_taps(struct plan *p, const struct topology *t)
{
	char name[TOPO_NAME_MAX + 12], device[NETDEV_NAME], mac[ETHER_MAC_STR];

	for (size_t i = 0; i < t->n_nodes; i++) {
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			const struct topo_nic *nic = &t->nodes[i].nics[j];
			struct step *s;

			if (!topology_nic_is_tap(t, nic))
				continue;
			s = plan_add(p, STEP_TAP);
			s->name = lab_strdup(topology_port_name(t, i, j, name));
			s->network = lab_strdup(t->networks[nic->network].name);
			s->mac = lab_strdup(ether_mac_str(nic->mac, mac));
			s->device = lab_strdup(netdev_name(t->lab, name, device));
			s->mtu = t->networks[nic->network].mtu;
			s->queues = nic->queues;
		}
	}
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
	vf_add_pfs(p, t);
	if (topology_has_switch(t))
		add_switch(p, t, paths);
	add_networks(p, t);
	add_ports(p, t);
	add_bridges(p, t);
	add_taps(p, t);
	plan_add_nodes(p, t, h, paths);
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

bool step_is_helper(const struct step *s)
{
	return s->kind == STEP_IMAGE || step_is_server(s);
}

bool step_is_server(const struct step *s)
{
	return s->kind == STEP_DISKS || s->kind == STEP_SHARE;
}

bool step_is_process(const struct step *s)
{
	return s->kind == STEP_SWITCH || step_is_node(s) || step_is_server(s);
}

bool step_helps(const struct step *s, const char *node)
{
	size_t n = strlen(node);

	return step_is_helper(s) && strncmp(s->name, node, n) == 0 &&
		(!s->name[n] || s->name[n] == '.');
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
