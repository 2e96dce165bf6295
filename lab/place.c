/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/pfs.h"

/* What is on a CPU so far. */
struct use {
	unsigned workers, vcpus;
};

struct state {
	const struct host *h;
	struct use *cpu;  /* by index in h->cpus */
	struct use *core; /* by CPU number of the core's first CPU */
	int home;
	bool spare; /* more CPUs than takers */
};

static void take(struct state *st, struct lab_cpu *c, size_t i)
{
	struct use *core = &st->core[st->h->cpus[i].core % TOPO_CPUS_MAX];

	c->cpu = st->h->cpus[i].cpu;
	if (c->node < 0) {
		st->cpu[i].workers++;
		core->workers++;
	} else {
		st->cpu[i].vcpus++;
		core->vcpus++;
	}
}

/* Lower is better; the rules of place.h from the most significant bits down. */
static uint64_t cost(const struct state *st, size_t i)
{
	const struct host_cpu *hc = &st->h->cpus[i];
	const struct use *u = &st->cpu[i], *core = &st->core[hc->core % TOPO_CPUS_MAX];
	uint64_t v = u->workers & 0xff;

	v = v << 16 | ((u->vcpus + (unsigned)hc->taken) & 0xffff);
	v = v << 1 | (hc->node != st->home);
	v = v << 8 | (core->workers & 0xff);
	v = v << 16 | (core->vcpus & 0xffff);
	v = v << 1 | (st->spare && i == 0);
	return v;
}

static size_t best_cpu(const struct state *st)
{
	size_t best = 0;

	for (size_t i = 1; i < st->h->n_cpus; i++) {
		if (cost(st, i) < cost(st, best))
			best = i;
	}
	return best;
}

static int pick_home(const struct state *st, const struct placement *p)
{
	size_t n_best = 0;
	int home = 0;

	if (p->n && p->cpus[0].node < 0 && p->cpus[0].cpu >= 0)
		return host_find_cpu(st->h, p->cpus[0].cpu)->node;
	for (size_t i = 0; i < st->h->n_cpus; i++)
		if (st->h->n_pfs && st->h->cpus[i].node == st->h->pf_node[0])
			return st->h->pf_node[0];
	for (size_t i = 0; i < st->h->n_cpus; i++) {
		int node = st->h->cpus[i].node;
		size_t n = 0;

		for (size_t j = 0; j < st->h->n_cpus; j++)
			n += st->h->cpus[j].node == node && !st->cpu[j].vcpus;
		if (n > n_best) {
			n_best = n;
			home = node;
		}
	}
	return home;
}

/* One entry a worker and vCPU, cpu -1 where it is ours to choose. */
static void list_takers(const struct topology *t, struct placement *p)
{
	size_t workers = !topology_has_switch(t) ? 0 : t->sw.cpus.n ? t->sw.cpus.n : 1, n = workers;

	for (size_t i = 0; i < t->n_nodes; i++)
		n += t->nodes[i].vcpus;
	p->cpus = lab_calloc(n, sizeof *p->cpus);
	p->n = 0;
	for (size_t i = 0; i < workers; i++) {
		struct lab_cpu *c = &p->cpus[p->n++];

		snprintf(c->who, sizeof c->who, "worker%zu", i);
		c->node = -1;
		c->index = (int)i;
		c->cpu = t->sw.cpus.n ? t->sw.cpus.cpu[i] : -1;
	}
	for (size_t i = 0; i < t->n_nodes; i++) {
		const struct topo_node *node = &t->nodes[i];

		for (uint32_t v = 0; v < node->vcpus; v++) {
			struct lab_cpu *c = &p->cpus[p->n++];

			snprintf(c->who, sizeof c->who,
				node->kind == TOPO_VM ? "%s/vcpu%u" : "%s/thread%u", node->name, v);
			c->node = (int)i;
			c->index = (int)v;
			c->cpu = node->cpus.n ? node->cpus.cpu[v % node->cpus.n] : -1;
		}
	}
}

static int check_named(
	const struct topology *t, const struct host *h, const struct lab_cpu *c, struct err *e)
{
	const struct topo_cpus *named = c->node < 0 ? &t->sw.cpus : &t->nodes[c->node].cpus;
	char have[256];

	if (host_find_cpu(h, c->cpu))
		return 0;
	return topology_error(t, named->place, ERR_REQUEST, -EINVAL, e,
		"%s is to run on CPU %d, but the CPUs that may be used here are %s", c->who, c->cpu,
		host_cpus_text(h, have, sizeof have));
}

static void warn_shared(const struct host *h, const struct placement *p, struct strs *w)
{
	bool told = false;

	for (size_t i = 0; i < h->n_cpus; i++) {
		struct strs who = { 0 };
		char names[256];

		for (size_t j = 0; j < p->n; j++) {
			if (p->cpus[j].cpu == h->cpus[i].cpu)
				strs_add(&who, "%s", p->cpus[j].who);
		}
		if (who.n > 1) {
			strs_join(&who, names, sizeof names);
			if (told)
				strs_add(w, "CPU %d is shared by %s", h->cpus[i].cpu, names);
			else
				strs_add(w,
					"CPU %d is shared by %s: figures will be lower; "
					"%zu CPUs would give each its own",
					h->cpus[i].cpu, names, p->n);
			told = true;
		}
		strs_free(&who);
	}
}

static void warn_smt(const struct host *h, const struct placement *p, struct strs *w)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct host_cpu *a = host_find_cpu(h, p->cpus[i].cpu);

		for (size_t j = i + 1; j < p->n; j++) {
			const struct host_cpu *b = host_find_cpu(h, p->cpus[j].cpu);

			if (a->cpu == b->cpu || a->core != b->core)
				continue;
			strs_add(w,
				"%s (CPU %d) and %s (CPU %d) share a core: figures will be "
				"lower",
				p->cpus[i].who, a->cpu, p->cpus[j].who, b->cpu);
			return; /* one says enough */
		}
	}
}

static void warn_taken(const struct host *h, const struct placement *p, struct strs *w)
{
	struct strs cpus = { 0 };
	char names[256];

	for (size_t i = 0; i < h->n_cpus; i++) {
		bool ours = false;

		for (size_t j = 0; j < p->n; j++)
			ours |= p->cpus[j].cpu == h->cpus[i].cpu;
		if (ours && h->cpus[i].taken)
			strs_add(&cpus, "%d", h->cpus[i].cpu);
	}
	if (cpus.n)
		strs_add(w,
			"another lab that is up uses CPU%s %s too: figures of both will be lower",
			cpus.n > 1 ? "s" : "", strs_join(&cpus, names, sizeof names));
	strs_free(&cpus);
}

static void keep_cpus(const struct placement *keep, const struct host *h, struct placement *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct lab_cpu *c = &p->cpus[i];

		for (size_t k = 0; c->cpu < 0 && keep && k < keep->n; k++)
			if (strcmp(keep->cpus[k].who, c->who) == 0 &&
				host_find_cpu(h, keep->cpus[k].cpu))
				c->cpu = keep->cpus[k].cpu;
	}
}

/* A guest's frames, and a worker's, cross from node to node if the NIC is elsewhere. */
static void warn_far(
	const struct topology *t, const struct host *h, const struct placement *p, struct strs *w)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct lab_cpu *c = &p->cpus[i];
		const struct topo_node *n = c->node < 0 ? NULL : &t->nodes[c->node];
		int node = host_find_cpu(h, c->cpu)->node;

		for (size_t j = 0; n && j < n->n_nics; j++) {
			const struct topo_vf *vf = &n->nics[j].vf;
			int at = vf->want && vf->pf < h->n_pfs ? h->pf_node[vf->pf] : -1;

			if (at < 0 || at == node)
				continue;
			strs_add(w,
				"%s runs on CPU %d of NUMA node %d, but PF %s is on node %d: CPUs "
				"of that node would be faster",
				c->who, c->cpu, node, t->pfs->v[vf->pf].name, at);
			break;
		}
	}
}

int place_cpus(const struct topology *t, const struct host *h, struct placement *p, struct strs *w,
	struct err *e)
{
	return place_cpus_beside(t, h, NULL, p, w, e);
}

int place_cpus_beside(const struct topology *t, const struct host *h, const struct placement *keep,
	struct placement *p, struct strs *w, struct err *e)
{
	struct state st = { .h = h };
	int r = 0;

	*p = (struct placement){ 0 };
	if (!h->n_cpus)
		return err_host(e, -ENODEV, "no CPU may be used here");
	st.cpu = lab_calloc(h->n_cpus, sizeof *st.cpu);
	st.core = lab_calloc(TOPO_CPUS_MAX, sizeof *st.core);
	list_takers(t, p);
	keep_cpus(keep, h, p);
	for (size_t i = 0; i < p->n && !r; i++) {
		if (p->cpus[i].cpu < 0)
			continue;
		r = check_named(t, h, &p->cpus[i], e);
		if (!r)
			take(&st, &p->cpus[i],
				(size_t)(host_find_cpu(h, p->cpus[i].cpu) - h->cpus));
	}
	if (r)
		goto out;
	p->home = st.home = pick_home(&st, p);
	st.spare = h->n_cpus > p->n;
	for (size_t i = 0; i < p->n; i++) {
		if (p->cpus[i].cpu < 0)
			take(&st, &p->cpus[i], best_cpu(&st));
	}
	warn_shared(h, p, w);
	warn_smt(h, p, w);
	warn_taken(h, p, w);
	warn_far(t, h, p, w);
out:
	free(st.cpu);
	free(st.core);
	if (r)
		place_free(p);
	return r;
}

void place_free(struct placement *p)
{
	free(p->cpus);
	*p = (struct placement){ 0 };
}

char *place_list(const struct placement *p, int node, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < p->n && at < size; i++) {
		if (p->cpus[i].node == node)
			at += (size_t)snprintf(
				out + at, size - at, "%s%d", at ? "," : "", p->cpus[i].cpu);
	}
	return out;
}
