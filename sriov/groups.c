/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IOMMU groups, and who holds a VFIO device open. A group goes to one user as a whole: its members
 * count, whatever they are. Unbinding a function that somebody has open hangs until he lets go, so
 * holders are looked for in /proc first: /dev/vfio/GROUP, or /dev/vfio/devices/vfioN of newer
 * kernels.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sriov/own.h"

bool driver_is_vfio(const char *driver)
{
	return strncmp(driver, "vfio", 4) == 0 || strstr(driver, "_vfio") ||
		strstr(driver, "-vfio");
}

/* Where a name below /dev/vfio leads: a group, if it is one of ours. */
struct node {
	char name[40]; /* "12", "devices/vfio3" */
	struct sriov_group *group;
};

struct nodes {
	size_t n;
	struct node *v;
};

static int node_order(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static int add_node(struct nodes *nodes, struct sriov_group *g, const char *in, const char *name)
{
	struct node *node = sriov_grow(&nodes->v, &nodes->n, sizeof(*node));

	if (!node)
		return -ENOMEM;
	snprintf(node->name, sizeof(node->name), "%s%.24s", in, name);
	node->group = g;
	return 0;
}

static int nodes_of_group(const struct sriov_world *w, struct nodes *nodes, struct sriov_group *g)
{
	char number[16];
	int r;

	snprintf(number, sizeof(number), "%d", g->number);
	r = add_node(nodes, g, "", number);
	for (size_t i = 0; i < g->n_members && !r; i++) {
		DIR *d = driver_is_vfio(g->members[i].driver)
			? sysfs_dir(w->sys, "bus/pci/devices/%s/vfio-dev", g->members[i].addr)
			: NULL;
		const char *name;

		while (d && !r && (name = sysfs_next(d)))
			r = add_node(nodes, g, "devices/", name);
		if (d)
			closedir(d);
	}
	return r;
}

static int add_holder(const struct sriov_world *w, struct sriov_group *g, pid_t pid)
{
	struct sriov_holder *h;

	for (size_t i = 0; i < g->n_holders; i++)
		if (g->holders[i].pid == pid)
			return 0;
	h = sriov_grow(&g->holders, &g->n_holders, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->pid = pid;
	sysfs_read(w->proc, h->comm, sizeof(h->comm), "%d/comm", (int)pid);
	return 0;
}

/* One process: processes of others can't be looked into without root. */
static int scan_process(const struct sriov_world *w, const char *pid, const struct nodes *nodes)
{
	DIR *d = sysfs_dir(w->proc, "%s/fd", pid);
	const char *fd;
	int r = 0;

	while (d && !r && (fd = sysfs_next(d))) {
		char to[64];
		struct node key, *found;
		ssize_t n = readlinkat(dirfd(d), fd, to, sizeof(to) - 1);

		to[n > 0 ? n : 0] = '\0';
		if (strncmp(to, "/dev/vfio/", 10))
			continue;
		snprintf(key.name, sizeof(key.name), "%s", to + 10);
		found = bsearch(&key, nodes->v, nodes->n, sizeof(key), node_order);
		if (found)
			r = add_holder(w, found->group, atoi(pid));
	}
	if (d)
		closedir(d);
	return r;
}

static int scan_processes(const struct sriov_world *w, const struct nodes *nodes)
{
	DIR *d = sysfs_dir(w->proc, ".");
	const char *name;
	int r = 0;

	while (d && !r && (name = sysfs_next(d)))
		if (isdigit((unsigned char)name[0]))
			r = scan_process(w, name, nodes);
	if (d)
		closedir(d);
	return r;
}

/* Only where a member is VFIO's: looking through all processes takes its time. */
static int find_holders(const struct sriov_world *w, struct sriov_group *groups, size_t n)
{
	struct nodes nodes = { 0 };
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		for (size_t j = 0; j < groups[i].n_members; j++)
			if (driver_is_vfio(groups[i].members[j].driver)) {
				r = nodes_of_group(w, &nodes, &groups[i]);
				break;
			}
	if (nodes.n)
		qsort(nodes.v, nodes.n, sizeof(*nodes.v), node_order);
	if (!r && nodes.n)
		r = scan_processes(w, &nodes);
	free(nodes.v);
	return r;
}

static int member_order(const void *a, const void *b)
{
	return strcmp(
		((const struct sriov_member *)a)->addr, ((const struct sriov_member *)b)->addr);
}

static int read_group(const struct sriov_world *w, int number, struct sriov_group *g)
{
	DIR *d = sysfs_dir(w->sys, "kernel/iommu_groups/%d/devices", number);
	const char *addr;
	int r = 0;

	g->number = number;
	while (d && !r && (addr = sysfs_next(d))) {
		struct sriov_member *m = sriov_grow(&g->members, &g->n_members, sizeof(*m));

		if (!m) {
			r = -ENOMEM;
			break;
		}
		snprintf(m->addr, sizeof(m->addr), "%s", addr);
		facts_driver(w, addr, m->driver, NULL);
	}
	if (d)
		closedir(d);
	if (g->n_members)
		qsort(g->members, g->n_members, sizeof(*g->members), member_order);
	return r;
}

static int add_group(const struct sriov_world *w, struct sriov_state *s, int number)
{
	struct sriov_group *g;

	if (number < 0 || sriov_group_find(s, number))
		return 0;
	g = sriov_grow(&s->groups, &s->n_groups, sizeof(*g));
	return g ? read_group(w, number, g) : -ENOMEM;
}

int facts_groups(const struct sriov_world *w, struct sriov_state *s, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < s->n_pfs && !r; i++) {
		r = add_group(w, s, s->pfs[i].fn.group);
		for (size_t j = 0; j < s->pfs[i].n_vfs && !r; j++)
			r = add_group(w, s, s->pfs[i].vfs[j].fn.group);
	}
	if (!r)
		r = find_holders(w, s->groups, s->n_groups);
	return r ? sriov_nomem(e) : 0;
}

char *facts_holders(const struct sriov_world *w, const char *addr, char *out, size_t size)
{
	struct sriov_function fn = { 0 };
	struct sriov_group g = { 0 };

	out[0] = '\0';
	facts_function(w, addr, &fn);
	if (fn.group >= 0 && !read_group(w, fn.group, &g) && !find_holders(w, &g, 1))
		holders_text(&g, out, size);
	free(g.members);
	free(g.holders);
	return out;
}

int facts_viable(const struct sriov_world *w, const char *addr, const char *pf, struct err *e)
{
	struct sriov_function fn = { 0 };
	struct sriov_group g = { 0 };
	char physfn[PFS_ADDR_LEN];
	int r = 0;

	facts_function(w, addr, &fn);
	if (fn.group < 0)
		return err_host(e, -ENOTSUP, "%s is behind no IOMMU, so VFIO can't have it", addr);
	if (read_group(w, fn.group, &g))
		r = sriov_nomem(e);
	for (size_t i = 0; i < g.n_members && !r; i++) {
		const struct sriov_member *m = &g.members[i];

		sysfs_link(w->sys, physfn, sizeof(physfn), "bus/pci/devices/%s/physfn", m->addr);
		if (!m->driver[0] || driver_is_vfio(m->driver) || !strcmp(m->driver, "pcieport") ||
			!strcmp(m->addr, addr) || !strcmp(physfn, pf))
			continue;
		r = err_host(e, -EBUSY,
			"%s can't be given away by itself: its IOMMU group %d has %s (%s) as well; "
			"put the NIC in a slot below a port with ACS",
			addr, fn.group, m->addr, m->driver);
	}
	free(g.members);
	return r;
}

struct sriov_group *sriov_group_find(const struct sriov_state *s, int number)
{
	for (size_t i = 0; i < s->n_groups; i++)
		if (s->groups[i].number == number)
			return &s->groups[i];
	return NULL;
}
