/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/vf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/sysroot.h"

/* ---- what is wanted, as a desired-state file says it ---- */

static json_t *rate_json(uint32_t mbps)
{
	return mbps ? json_sprintf("%uMbps", mbps) : json_string("none");
}

static json_t *driver_json(const char *driver)
{
	return json_string(driver[0] ? driver : "none");
}

static json_t *vf_json(const struct vf_attrs *a)
{
	static const char *const states[] = {
		[VF_LINK_AUTO] = "auto", [VF_LINK_UP] = "up", [VF_LINK_DOWN] = "down"
	};
	json_t *j = json_object();
	char mac[ETHER_MAC_STR];

	if (a->has & 1u << VF_MAC)
		json_object_set_new(j, "mac", json_string(ether_mac_str(a->mac, mac)));
	if (a->has & 1u << VF_VLAN) {
		json_object_set_new(j, "vlan", json_integer(a->vlan));
		if (a->vlan)
			json_object_set_new(j, "qos", json_integer(a->qos));
		if (a->vlan && a->vlan_proto == 0x88a8)
			json_object_set_new(j, "vlan_protocol", json_string("802.1ad"));
	}
	if (a->has & 1u << VF_MIN_RATE)
		json_object_set_new(j, "min_rate", rate_json(a->min_rate));
	if (a->has & 1u << VF_MAX_RATE)
		json_object_set_new(j, "max_rate", rate_json(a->max_rate));
	if (a->has & 1u << VF_SPOOFCHK)
		json_object_set_new(j, "spoofchk", json_boolean(a->spoofchk));
	if (a->has & 1u << VF_TRUST)
		json_object_set_new(j, "trust", json_boolean(a->trust));
	if (a->has & 1u << VF_LINK_STATE)
		json_object_set_new(j, "link_state", json_string(states[a->link_state]));
	if (a->has & 1u << VF_DRIVER)
		json_object_set_new(j, "driver", driver_json(a->driver));
	return j;
}

static json_t *pf_json(const struct pf_want *pf)
{
	const struct pf_attrs *a = &pf->attrs;
	json_t *j = json_object(), *vfs = json_object();
	char index[16];

	if (pf->pci[0])
		json_object_set_new(j, "pci", json_string(pf->pci));
	else
		json_object_set_new(j, "interface", json_string(pf->interface));
	if (a->has & 1u << PF_NUM_VFS)
		json_object_set_new(j, "num_vfs", json_integer(a->num_vfs));
	if (a->has & 1u << PF_AUTOPROBE)
		json_object_set_new(j, "autoprobe", json_boolean(a->autoprobe));
	if (a->has & 1u << PF_MTU)
		json_object_set_new(j, "mtu", json_integer(a->mtu));
	if (a->has & 1u << PF_UP)
		json_object_set_new(j, "up", json_boolean(a->up));
	if (a->has & 1u << PF_DRIVER)
		json_object_set_new(j, "driver", driver_json(a->driver));
	for (size_t i = 0; i < pf->n_vfs; i++) {
		snprintf(index, sizeof index, "%u", pf->vfs[i].index);
		json_object_set_new(vfs, index, vf_json(&pf->vfs[i].attrs));
	}
	if (pf->n_vfs)
		json_object_set(j, "vfs", vfs);
	json_decref(vfs);
	return j;
}

/* VFIO locks all of a guest's memory: that of the largest. */
static uint64_t memory_of_users(const struct topology *t, size_t pf)
{
	uint64_t most = 0;

	for (size_t i = 0; i < t->n_nodes; i++)
		for (size_t j = 0; j < t->nodes[i].n_nics; j++) {
			const struct topo_vf *vf = &t->nodes[i].nics[j].vf;

			if (vf->want && vf->pf == pf && t->nodes[i].memory > most)
				most = t->nodes[i].memory;
		}
	return most;
}

void vf_add_pfs(struct plan *p, const struct topology *t)
{
	for (size_t i = 0; i < t->pfs->n; i++) {
		const struct pf_want *pf = &t->pfs->v[i];
		struct step *s = plan_add(p, STEP_PF);

		s->name = lab_strdup(pf->name);
		s->device = lab_strdup(pf->pci[0] ? pf->pci : pf->interface);
		s->policy = pf_json(pf);
		s->pages = memory_of_users(t, i);
	}
}

void vf_lines(const struct step *s, struct strs *out)
{
	const char *index, *key;
	json_t *vf, *value;

	json_object_foreach (json_object_get(s->policy, "vfs"), index, vf) {
		char text[512] = "";
		size_t at = 0;

		json_object_foreach (vf, key, value) {
			char *said = json_is_string(value)
				? NULL
				: json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

			if (at < sizeof text)
				at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %s",
					at ? ", " : "", key,
					said ? said : json_string_value(value));
			free(said);
		}
		strs_add(out, "VF %s: %s", index, text);
	}
}

int vf_want_of(const struct step *s, struct pfs *out, struct err *e)
{
	json_t *file = json_pack("{s:i, s:{s:O}}", "version", 1, "pfs", s->name, s->policy);
	char *text = file ? json_dumps(file, JSON_COMPACT) : NULL;
	int r = text ? pfs_parse("the lab's record", text, strlen(text), out, e) : -ENOMEM;

	if (!text)
		err_set(e, r, "out of memory");
	free(text);
	json_decref(file);
	return r;
}

/* ---- place holders ---- */

char *vf_ref(const struct topology *t, const struct topo_vf *vf, struct ether_mac mac)
{
	char text[ETHER_MAC_STR];

	return lab_asprintf(
		"@VF(%s,%u,%s)@", t->pfs->v[vf->pf].name, vf->index, ether_mac_str(mac, text));
}

char *vf_ref_pf(const struct topology *t, size_t pf)
{
	return lab_asprintf("@PF(%s)@", t->pfs->v[pf].name);
}

bool vf_find(const char *text, struct vf_place *out)
{
	for (const char *at = text; (at = strchr(at, '@')); at++) {
		int end = 0;

		out->index = -1;
		if (sscanf(at, "@VF(%32[a-z0-9_-],%d,%*[0-9a-f:])@%n", out->pf, &out->index,
			    &end) != 2 &&
			sscanf(at, "@PF(%32[a-z0-9_-])@%n", out->pf, &end) != 1)
			continue;
		if (!end)
			continue;
		out->at = (size_t)(at - text);
		out->len = (size_t)end;
		return true;
	}
	return false;
}

static bool names(const char *text, const char *pf)
{
	struct vf_place place;

	for (; text && vf_find(text, &place); text += place.at + place.len)
		if (strcmp(place.pf, pf) == 0)
			return true;
	return false;
}

bool vf_uses(const struct step *s, const char *pf)
{
	if (s->kind == STEP_PORT)
		return names(s->device, pf);
	for (size_t i = 0; s->kind == STEP_VM && i < s->args.n; i++)
		if (names(s->args.v[i], pf))
			return true;
	return false;
}

char *vf_say(const char *text, char *out, size_t size)
{
	struct vf_place place;

	if (!vf_find(text, &place))
		snprintf(out, size, "%s", text);
	else if (place.index < 0)
		snprintf(out, size, "PF %s", place.pf);
	else
		snprintf(out, size, "VF %d of %s", place.index, place.pf);
	return out;
}

char *vf_fill(const struct plan *p, const char *text, struct err *e)
{
	char *out = lab_strdup(""), address[PFS_ADDR_LEN];
	struct vf_place place;

	while (vf_find(text, &place)) {
		const struct step *s = plan_find(p, STEP_PF, place.pf);
		char *grown;

		if (sysroot_function(s ? s->path : NULL, place.index, address)) {
			char who[TOPO_NAME_MAX + 32];

			err_set(e, -ENODEV, "%s is not there: was the number of VFs of %s changed?",
				vf_say(text + place.at, who, sizeof who),
				s && s->path ? s->path : place.pf);
			free(out);
			return NULL;
		}
		grown = lab_asprintf("%s%.*s%s", out, (int)place.at, text, address);
		free(out);
		out = grown;
		text += place.at + place.len;
	}
	char *whole = lab_asprintf("%s%s", out, text);
	free(out);
	return whole;
}

/* ---- changes ---- */

/* A member as text, "none" if it isn't said. */
static const char *said(const json_t *policy, const char *key, char *out, size_t size)
{
	char *text = json_dumps(json_object_get(policy, key), JSON_ENCODE_ANY);

	snprintf(out, size, "%s", text ? text : "none");
	free(text);
	return out;
}

/* The drivers of a PF's VFs, by index: rebinding takes the VF away from whoever has it. */
const char *vf_fixed(const struct step *have, const struct step *want, char *out, size_t size)
{
	static const struct {
		const char *key, *what;
	} fixed[] = { { "pci", "device" }, { "interface", "device" },
		{ "num_vfs", "number of VFs" }, { "driver", "driver" } };
	char a[64], b[64];

	for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
		const char *key = fixed[i].key;

		if (json_equal(json_object_get(have->policy, key),
			    json_object_get(want->policy, key)) ||
			(!json_object_get(have->policy, key) &&
				!json_object_get(want->policy, key)))
			continue;
		snprintf(out, size,
			"the %s of PF %s (\"%s\", from %s to %s) can't change while the lab runs%s",
			fixed[i].what, want->name, key, said(have->policy, key, a, sizeof a),
			said(want->policy, key, b, sizeof b),
			strcmp(key, "num_vfs") ? ""
					       : ": all its VFs would go, and come anew, and with "
						 "them the NICs of guests that have one");
		return out;
	}
	return NULL;
}
