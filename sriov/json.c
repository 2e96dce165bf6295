/* SPDX-License-Identifier: Apache-2.0 */
/* States and steps as JSON: for programs, and in journals, from where steps are read back. The keys
 * and values of attributes are those of desired-state files. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/own.h"

static const char *const link_states[] = { "auto", "up", "down", NULL };

static void set_rate(json_t *j, const char *key, uint32_t mbps)
{
	char text[24];

	snprintf(text, sizeof(text), "%uMbps", mbps);
	json_object_set_new(j, key, json_string(mbps ? text : "none"));
}

static void set_driver(json_t *j, const char *driver, const char *override)
{
	json_object_set_new(j, "driver", json_string(driver[0] ? driver : "none"));
	if (override[0])
		json_object_set_new(j, "driver_override", json_string(override));
}

json_t *vf_attrs_json(const struct vf_attrs *a)
{
	json_t *j = json_object();
	char mac[ETHER_MAC_STR];

	if (a->has & BIT(VF_MAC))
		json_object_set_new(j, "mac", json_string(ether_mac_str(a->mac, mac)));
	if (a->has & BIT(VF_VLAN)) {
		json_object_set_new(j, "vlan", json_integer(a->vlan));
		if (a->vlan) {
			json_object_set_new(j, "qos", json_integer(a->qos));
			json_object_set_new(j, "vlan_protocol",
				json_string(a->vlan_proto == 0x88a8 ? "802.1ad" : "802.1Q"));
		}
	}
	if (a->has & BIT(VF_MIN_RATE))
		set_rate(j, "min_rate", a->min_rate);
	if (a->has & BIT(VF_MAX_RATE))
		set_rate(j, "max_rate", a->max_rate);
	if (a->has & BIT(VF_SPOOFCHK))
		json_object_set_new(j, "spoofchk", json_boolean(a->spoofchk));
	if (a->has & BIT(VF_TRUST))
		json_object_set_new(j, "trust", json_boolean(a->trust));
	if (a->has & BIT(VF_LINK_STATE))
		json_object_set_new(j, "link_state", json_string(link_states[a->link_state]));
	if (a->has & BIT(VF_DRIVER))
		set_driver(j, a->driver, a->override);
	return j;
}

json_t *pf_attrs_json(const struct pf_attrs *a)
{
	json_t *j = json_object();

	if (a->has & BIT(PF_NUM_VFS))
		json_object_set_new(j, "num_vfs", json_integer(a->num_vfs));
	if (a->has & BIT(PF_AUTOPROBE))
		json_object_set_new(j, "autoprobe", json_boolean(a->autoprobe));
	if (a->has & BIT(PF_MTU))
		json_object_set_new(j, "mtu", json_integer(a->mtu));
	if (a->has & BIT(PF_UP))
		json_object_set_new(j, "up", json_boolean(a->up));
	if (a->has & BIT(PF_DRIVER))
		set_driver(j, a->driver, a->override);
	return j;
}

/* ---- back ---- */

static uint32_t get_rate(const json_t *j)
{
	const char *s = json_string_value(j);

	return s ? (uint32_t)strtoul(s, NULL, 10) : 0; /* "none": 0 */
}

/* 1: there is one; 0: there is none; -EINVAL: it is no driver's name. */
static int get_driver(const json_t *j, char *driver, char *override)
{
	const char *s = json_string_value(json_object_get(j, "driver"));
	const char *o = json_string_value(json_object_get(j, "driver_override"));

	if (!s)
		return 0;
	if (strlen(s) >= PFS_DRIVER_LEN || (o && strlen(o) >= PFS_DRIVER_LEN))
		return -EINVAL;
	snprintf(driver, PFS_DRIVER_LEN, "%s", strcmp(s, "none") ? s : "");
	snprintf(override, PFS_DRIVER_LEN, "%s", o ? o : "");
	return 1;
}

static bool get(const json_t *j, const char *key, json_t **v)
{
	*v = json_object_get(j, key);
	return *v != NULL;
}

static int vf_attrs_from_json(const json_t *j, struct vf_attrs *a)
{
	const char *s;
	json_t *v;
	int r;

	*a = (struct vf_attrs){ 0 };
	if (get(j, "mac", &v)) {
		s = json_string_value(v);
		if (!s || strlen(s) != ETHER_MAC_STR - 1 || ether_mac_parse(s, &a->mac))
			return -EINVAL;
		a->has |= BIT(VF_MAC);
	}
	if (get(j, "vlan", &v)) {
		s = json_string_value(json_object_get(j, "vlan_protocol"));
		a->has |= BIT(VF_VLAN);
		a->vlan = (uint16_t)json_integer_value(v);
		a->qos = (uint8_t)json_integer_value(json_object_get(j, "qos"));
		a->vlan_proto = s && !strcmp(s, "802.1ad") ? 0x88a8 : 0x8100;
	}
	if (get(j, "min_rate", &v)) {
		a->has |= BIT(VF_MIN_RATE);
		a->min_rate = get_rate(v);
	}
	if (get(j, "max_rate", &v)) {
		a->has |= BIT(VF_MAX_RATE);
		a->max_rate = get_rate(v);
	}
	if (get(j, "spoofchk", &v)) {
		a->has |= BIT(VF_SPOOFCHK);
		a->spoofchk = json_is_true(v);
	}
	if (get(j, "trust", &v)) {
		a->has |= BIT(VF_TRUST);
		a->trust = json_is_true(v);
	}
	if (get(j, "link_state", &v)) {
		a->has |= BIT(VF_LINK_STATE);
		s = json_string_value(v);
		while (s && a->link_state < VF_LINK_DOWN && strcmp(s, link_states[a->link_state]))
			a->link_state++;
	}
	r = get_driver(j, a->driver, a->override);
	if (r > 0)
		a->has |= BIT(VF_DRIVER);
	return r < 0 ? r : 0;
}

static int pf_attrs_from_json(const json_t *j, struct pf_attrs *a)
{
	json_t *v;
	int r;

	*a = (struct pf_attrs){ 0 };
	if (get(j, "num_vfs", &v)) {
		a->has |= BIT(PF_NUM_VFS);
		a->num_vfs = (uint32_t)json_integer_value(v);
	}
	if (get(j, "autoprobe", &v)) {
		a->has |= BIT(PF_AUTOPROBE);
		a->autoprobe = json_is_true(v);
	}
	if (get(j, "mtu", &v)) {
		a->has |= BIT(PF_MTU);
		a->mtu = (uint32_t)json_integer_value(v);
	}
	if (get(j, "up", &v)) {
		a->has |= BIT(PF_UP);
		a->up = json_is_true(v);
	}
	r = get_driver(j, a->driver, a->override);
	if (r > 0)
		a->has |= BIT(PF_DRIVER);
	return r < 0 ? r : 0;
}

/* ---- steps ---- */

json_t *sriov_step_json(const struct sriov_step *s)
{
	bool pf = s->vf < 0;
	char text[256];
	json_t *j = json_pack("{s:s, s:s, s:o, s:o}", "step", sriov_step_names[s->kind], "pf",
		s->pf, "to", pf ? pf_attrs_json(&s->pf_to) : vf_attrs_json(&s->to), "from",
		pf ? pf_attrs_json(&s->pf_from) : vf_attrs_json(&s->from));

	if (!pf)
		json_object_set_new(j, "vf", json_integer(s->vf));
	if (s->fresh)
		json_object_set_new(j, "fresh", json_true());
	if (s->rebind)
		json_object_set_new(j, "rebind", json_true());
	if (s->n_before) {
		json_t *before = json_array();

		for (size_t i = 0; i < s->n_before; i++) {
			json_t *vf = vf_attrs_json(&s->before[i].attrs);

			json_object_set_new(vf, "index", json_integer(s->before[i].index));
			json_array_append_new(before, vf);
		}
		json_object_set_new(j, "before", before);
	}
	json_object_set_new(j, "text", json_string(sriov_step_text(s, text, sizeof(text))));
	json_object_set_new(j, "undo", json_string(sriov_step_undo_text(s, text, sizeof(text))));
	return j;
}

static int before_from_json(const json_t *list, struct sriov_step *s)
{
	size_t n = json_array_size(list);

	if (!n)
		return 0;
	s->before = calloc(n, sizeof(*s->before));
	if (!s->before)
		return -ENOMEM;
	for (; s->n_before < n; s->n_before++) {
		const json_t *j = json_array_get(list, s->n_before);
		struct sriov_vf *vf = &s->before[s->n_before];

		vf->index = (uint32_t)json_integer_value(json_object_get(j, "index"));
		if (vf_attrs_from_json(j, &vf->attrs))
			return -EINVAL;
	}
	return 0;
}

int sriov_step_from_json(const json_t *j, struct sriov_step *out)
{
	const char *kind = json_string_value(json_object_get(j, "step"));
	const char *pf = json_string_value(json_object_get(j, "pf"));
	const json_t *vf = json_object_get(j, "vf");
	int r = 0;

	*out = (struct sriov_step){ .vf = vf ? (int)json_integer_value(vf) : -1 };
	while (kind && out->kind < SRIOV_STEPS_N && strcmp(kind, sriov_step_names[out->kind]))
		out->kind++;
	if (!kind || out->kind == SRIOV_STEPS_N || !pf || pfs_addr(pf, out->pf))
		return -EINVAL;
	out->fresh = json_is_true(json_object_get(j, "fresh"));
	out->rebind = json_is_true(json_object_get(j, "rebind"));
	if (vf) {
		r = vf_attrs_from_json(json_object_get(j, "to"), &out->to);
		if (!r)
			r = vf_attrs_from_json(json_object_get(j, "from"), &out->from);
	} else {
		r = pf_attrs_from_json(json_object_get(j, "to"), &out->pf_to);
		if (!r)
			r = pf_attrs_from_json(json_object_get(j, "from"), &out->pf_from);
	}
	if (!r)
		r = before_from_json(json_object_get(j, "before"), out);
	if (r)
		sriov_step_free(out);
	return r;
}

json_t *sriov_plan_json(const struct sriov_plan *p)
{
	static const char *const states[] = { "planned", "begun", "done", "undone" };
	json_t *steps = json_array(), *problems = json_array();

	for (size_t i = 0; i < p->n_steps; i++) {
		json_t *j = sriov_step_json(&p->steps[i]);

		json_object_set_new(j, "state", json_string(states[p->steps[i].state]));
		json_array_append_new(steps, j);
	}
	for (size_t i = 0; i < p->n_problems; i++)
		json_array_append_new(problems,
			json_pack("{s:s, s:i, s:b}", "text", p->problems[i].err.text, "class",
				p->problems[i].err.class, "forcible", p->problems[i].forcible));
	return json_pack("{s:o, s:o}", "steps", steps, "problems", problems);
}

/* ---- states ---- */

static void set_function(json_t *j, const struct sriov_state *s, const struct sriov_function *fn)
{
	const struct sriov_group *g = sriov_group_find(s, fn->group);
	char id[16];

	json_object_set_new(j, "pci", json_string(fn->addr));
	snprintf(id, sizeof(id), "%04x:%04x", fn->vendor, fn->device);
	json_object_set_new(j, "id", json_string(id));
	json_object_set_new(j, "interface", fn->net[0] ? json_string(fn->net) : json_null());
	json_object_set_new(
		j, "numa_node", fn->numa_node >= 0 ? json_integer(fn->numa_node) : json_null());
	json_object_set_new(
		j, "iommu_group", fn->group >= 0 ? json_integer(fn->group) : json_null());
	if (!g)
		return;
	json_t *sharers = json_array(), *holders = json_array();
	for (size_t i = 0; i < g->n_members; i++)
		if (strcmp(g->members[i].addr, fn->addr))
			json_array_append_new(sharers,
				json_pack("{s:s, s:s}", "pci", g->members[i].addr, "driver",
					g->members[i].driver[0] ? g->members[i].driver : "none"));
	for (size_t i = 0; i < g->n_holders; i++)
		json_array_append_new(holders,
			json_pack("{s:i, s:s}", "pid", (int)g->holders[i].pid, "name",
				g->holders[i].comm));
	json_object_set_new(j, "shares_group_with", sharers);
	json_object_set_new(j, "held_by", holders);
}

static json_t *stats_json(const struct sriov_stats *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rx_packets",
		(json_int_t)t->rx_packets, "tx_packets", (json_int_t)t->tx_packets, "rx_bytes",
		(json_int_t)t->rx_bytes, "tx_bytes", (json_int_t)t->tx_bytes, "broadcast",
		(json_int_t)t->broadcast, "multicast", (json_int_t)t->multicast, "rx_dropped",
		(json_int_t)t->rx_dropped, "tx_dropped", (json_int_t)t->tx_dropped);
}

static json_t *vf_json(const struct sriov_state *s, const struct sriov_vf *vf)
{
	json_t *j = vf_attrs_json(&vf->attrs);

	json_object_set_new(j, "index", json_integer(vf->index));
	set_function(j, s, &vf->fn);
	if (vf->has_stats)
		json_object_set_new(j, "statistics", stats_json(&vf->stats));
	return j;
}

json_t *sriov_pf_json(const struct sriov_state *s, const struct sriov_pf *pf)
{
	static const char *const answers[] = { NULL, "yes", "no", "no permission to ask" };
	json_t *j = pf_attrs_json(&pf->attrs), *vfs = json_array(), *takes = json_object();

	set_function(j, s, &pf->fn);
	json_object_set_new(j, "total_vfs", json_integer(pf->total_vfs));
	json_object_set_new(j, "carrier", json_boolean(pf->carrier));
	json_object_set_new(
		j, "speed_mbps", pf->speed_mbps >= 0 ? json_integer(pf->speed_mbps) : json_null());
	json_object_set_new(j, "acs", pf->acs >= 0 ? json_integer(pf->acs) : json_null());
	json_object_set_new(j, "switchdev", json_boolean(pf->switchdev));
	json_object_set_new(j, "used_by", pf->uses[0] ? json_string(pf->uses) : json_null());
	json_object_set_new(j, "owner", pf->owner[0] ? json_string(pf->owner) : json_null());
	for (int a = 0; a < VF_ATTRS_N; a++)
		if (answers[pf->takes[a]])
			json_object_set_new(
				takes, vf_attr_names[a], json_string(answers[pf->takes[a]]));
	json_object_set_new(j, "takes", takes);
	for (size_t i = 0; i < pf->n_vfs; i++)
		json_array_append_new(vfs, vf_json(s, &pf->vfs[i]));
	json_object_set_new(j, "vfs", vfs);
	return j;
}

json_t *sriov_state_json(const struct sriov_state *s)
{
	json_t *pfs = json_array();

	for (size_t i = 0; i < s->n_pfs; i++)
		json_array_append_new(pfs, sriov_pf_json(s, &s->pfs[i]));
	return json_pack("{s:b, s:o}", "iommu", s->host.iommu, "pfs", pfs);
}
