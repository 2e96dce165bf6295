/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_plan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/suggest.h"

#define LEARN_MFPS 1000000 /* 1000 frames/s: no ring overflows, done in 4 ms */

uint64_t bench_rate_mfps(const struct rate *r, uint32_t size)
{
	uint64_t mfps = 0;

	if (r->kind == RATE_MAX)
		return 0;
	if (r->kind == RATE_PPS)
		mfps = r->value * 1000;
	else
		mfps = r->value * 1000 / (size * 8);
	return mfps ? mfps : 1;
}

static const char *title_of(const struct topo_traffic *x)
{
	return x->group ? x->group : x->name;
}

static bool wanted(const struct topo_traffic *x, const char *only)
{
	return !only || strcmp(x->name, only) == 0 || (x->group && strcmp(x->group, only) == 0) ||
		(x->entry_name && strcmp(x->entry_name, only) == 0);
}

/* Two titles an entry: its own, and its group's or that of all its paths. */
static const char *word_of_traffic(const void *ctx, size_t i)
{
	const struct topo_traffic *x = &((const struct topology *)ctx)->traffic[i / 2];

	if (i % 2 && x->entry_name)
		return x->entry_name;
	return i % 2 ? title_of(x) : x->name;
}

static int nothing_to_do(const struct topology *t, const struct bench_opts *o, struct err *e)
{
	if (!t->n_traffic)
		return err_request(
			e, -ENOENT, "%s has no \"traffic\": there is nothing to measure", t->file);
	const char *near = suggest_nearest(o->only, t->n_traffic * 2, word_of_traffic, t);
	return err_request(e, -ENOENT, "%s: no traffic is named \"%s\"%s%s%s", t->file, o->only,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static uint32_t size_of_trial(const struct topo_traffic *x, size_t k)
{
	return x->size[x->n_sizes == 1 ? 0 : k];
}

/* Adds the flows of one entry to the k-th trial of its section. */
static int add_entry(const struct topology *t, size_t entry, size_t k, struct bench_trial *trial)
{
	const struct topo_traffic *x = &t->traffic[entry];
	struct bench_flow *flows =
		realloc(trial->flows, (trial->n_flows + x->n_flows) * sizeof(*flows));

	if (!flows)
		return -ENOMEM;
	trial->flows = flows;
	for (size_t i = 0; i < x->n_flows; i++) {
		struct bench_flow *f = &flows[trial->n_flows++];

		*f = (struct bench_flow){
			.id = (unsigned)trial->n_flows,
			.entry = entry,
			.from = x->flows[i].from,
			.to = x->flows[i].to,
			.size = size_of_trial(x, k),
			.l4_flows = x->l4_flows,
			.max_loss = x->max_loss,
		};
		f->imix = f->size == TOPO_FRAME_IMIX;
		if (f->imix)
			f->size = BENCH_IMIX_MEAN;
		f->rate_mfps = bench_rate_mfps(&x->rate, f->size);
		trial->flat_out |= f->rate_mfps == 0;
	}
	return 0;
}

/* The section that the entry begins: itself, and the later entries of its group. */
static int add_section(
	const struct topology *t, size_t entry, const struct bench_opts *o, struct bench_plan *p)
{
	const struct topo_traffic *x = &t->traffic[entry];
	bool whole_group = x->group && (!o->only || strcmp(x->group, o->only) == 0);
	size_t n = x->n_sizes;
	int rc = 0;

	for (size_t i = entry; whole_group && i < t->n_traffic; i++)
		if (t->traffic[i].group_id == x->group_id && t->traffic[i].n_sizes > n)
			n = t->traffic[i].n_sizes;
	struct bench_trial *trials = realloc(p->trials, (p->n_trials + n) * sizeof(*trials));
	if (!trials)
		return -ENOMEM;
	p->trials = trials;
	for (size_t k = 0; k < n && !rc; k++) {
		struct bench_trial *trial = &trials[p->n_trials++];

		*trial = (struct bench_trial){
			.section = p->n_sections,
			.title = whole_group ? x->group : x->name,
			.group = whole_group,
			.seconds = o->seconds > 0 ? o->seconds : x->seconds,
			.method = x->method,
		};
		if (bench_is_tcp(trial)) /* iperf3 knows whole ones */
			trial->seconds = ceil(trial->seconds);
		rc = add_entry(t, entry, k, trial);
		for (size_t i = entry + 1; whole_group && i < t->n_traffic && !rc; i++)
			if (t->traffic[i].group_id == x->group_id)
				rc = add_entry(t, i, k, trial);
	}
	p->n_sections++;
	return rc;
}

/* Whether an earlier entry's section took this one in. */
static bool taken(const struct topology *t, size_t entry, const char *only)
{
	const struct topo_traffic *x = &t->traffic[entry];

	/* --only ENTRY of a group runs that entry on its own. */
	if (!x->group || (only && strcmp(x->group, only) != 0))
		return false;
	for (size_t i = 0; i < entry; i++)
		if (t->traffic[i].group_id == x->group_id)
			return true;
	return false;
}

int bench_plan_make(
	const struct topology *t, const struct bench_opts *o, struct bench_plan *p, struct err *e)
{
	int rc = 0;

	*p = (struct bench_plan){ 0 };
	for (size_t i = 0; i < t->n_traffic && !rc; i++)
		if (wanted(&t->traffic[i], o->only) && !taken(t, i, o->only))
			rc = add_section(t, i, o, p);
	if (rc)
		err_set(e, rc, "out of memory");
	else if (!p->n_trials)
		rc = nothing_to_do(t, o, e);
	if (rc)
		bench_plan_free(p);
	return rc;
}

void bench_plan_free(struct bench_plan *p)
{
	for (size_t i = 0; i < p->n_trials; i++)
		free(p->trials[i].flows);
	free(p->trials);
	*p = (struct bench_plan){ 0 };
}

bool bench_is_tcp(const struct bench_trial *x)
{
	return topology_method_is_tcp(x->method);
}

bool bench_node_sends(const struct bench_trial *x, size_t node)
{
	for (size_t i = 0; i < x->n_flows; i++)
		if (x->flows[i].from.node == node)
			return true;
	return false;
}

bool bench_node_receives(const struct bench_trial *x, size_t node)
{
	for (size_t i = 0; i < x->n_flows; i++)
		if (x->flows[i].to.node == node)
			return true;
	return false;
}

/* A flow as a guest reads it. A request must fit 8192 bytes with 32 flows. */
static json_t *flow_json(const struct topology *t, const char *role, unsigned id,
	const struct topo_end *self, const struct topo_end *peer)
{
	char mac[ETHER_MAC_STR];

	ether_mac_str(t->nodes[peer->node].nics[peer->nic].mac, mac);
	return json_pack("{s:i, s:s, s:i, s:s}", "id", (int)id, "role", role, "nic", (int)self->nic,
		"peer_mac", mac);
}

static json_t *params_new(json_t *flows, bool reset)
{
	return json_pack("{s:o, s:b}", "flows", flows, "reset", (int)reset);
}

json_t *bench_params_receive(const struct topology *t, const struct bench_trial *x, size_t node)
{
	json_t *flows = json_array();

	for (size_t i = 0; i < x->n_flows; i++) {
		const struct bench_flow *f = &x->flows[i];

		if (f->to.node == node)
			json_array_append_new(flows,
				flow_json(t, "receive", x->id_base + f->id, &f->to, &f->from));
	}
	return params_new(flows, true);
}

static json_t *ms(double seconds)
{
	return json_integer((json_int_t)(seconds * 1000 + 0.5));
}

json_t *bench_params_send(const struct topology *t, const struct bench_trial *x, size_t node)
{
	json_t *flows = json_array();

	for (size_t i = 0; i < x->n_flows; i++) {
		const struct bench_flow *f = &x->flows[i];

		if (f->from.node != node)
			continue;
		json_t *j = flow_json(t, "send", x->id_base + f->id, &f->from, &f->to);
		json_object_set_new(j, "size", json_integer(f->size));
		json_object_set_new(j, "rate_mfps", json_integer((json_int_t)f->rate_mfps));
		json_object_set_new(j, "duration_ms", ms(f->seconds > 0 ? f->seconds : x->seconds));
		if (f->delay_s > 0)
			json_object_set_new(j, "delay_ms", ms(f->delay_s));
		if (f->frames)
			json_object_set_new(j, "frames", json_integer((json_int_t)f->frames));
		if (f->l4_flows > 1)
			json_object_set_new(j, "l4_flows", json_integer(f->l4_flows));
		if (f->imix)
			json_object_set_new(j, "imix", json_true());
		json_array_append_new(flows, j);
	}
	return params_new(flows, false);
}

/* The other end of the first flow that the NIC takes part in, or NULL. */
const struct topo_end *bench_peer(const struct bench_trial *x, size_t node, size_t nic)
{
	for (size_t i = 0; i < x->n_flows; i++) {
		const struct bench_flow *f = &x->flows[i];

		if (f->from.node == node && f->from.nic == nic)
			return &f->to;
		if (f->to.node == node && f->to.nic == nic)
			return &f->from;
	}
	return NULL;
}

bool bench_nic_takes_part(const struct bench_trial *x, size_t node, size_t nic)
{
	return bench_peer(x, node, nic) != NULL;
}

/* To traffic_status: what the guest's NICs count, too. */
json_t *bench_params_counters(const struct topology *t, const struct bench_trial *x, size_t node)
{
	return json_pack("{s:b}", "counters", 1);
}

/* Ids behind those of the trial, so that no receiver takes a late one for its own. */
json_t *bench_params_learn(const struct topology *t, const struct bench_trial *x, size_t node)
{
	json_t *flows = json_array();

	for (size_t nic = 0; nic < t->nodes[node].n_nics; nic++) {
		const struct topo_end self = { node, nic }, *peer = bench_peer(x, node, nic);

		if (!peer)
			continue;
		json_t *j = flow_json(
			t, "send", x->id_base + (unsigned)(x->n_flows + 1 + nic), &self, peer);
		json_object_set_new(j, "size", json_integer(TOPO_FRAME_MIN));
		json_object_set_new(j, "rate_mfps", json_integer(LEARN_MFPS));
		json_object_set_new(j, "frames", json_integer(BENCH_LEARN_FRAMES));
		json_array_append_new(flows, j);
	}
	return params_new(flows, true);
}
