/* SPDX-License-Identifier: Apache-2.0 */
/* Steps and attributes as people read them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sriov/own.h"

#define X(id, name) [SRIOV_##id] = name,
const char *const sriov_step_names[SRIOV_STEPS_N + 1] = { SRIOV_STEPS(X) };
#undef X

static const char *const link_states[] = { "auto", "up", "down" };

static void rate_text(uint32_t mbps, char *out, size_t size)
{
	if (mbps)
		snprintf(out, size, "%u Mbps", mbps);
	else
		snprintf(out, size, "none");
}

char *vf_attr_text(const struct vf_attrs *a, enum vf_attr attr, char *out, size_t size)
{
	char mac[ETHER_MAC_STR], rate[24];
	int n;

	switch (attr) {
	case VF_MAC:
		snprintf(out, size, "MAC %s", ether_mac_str(a->mac, mac));
		break;
	case VF_VLAN:
		n = a->vlan ? snprintf(out, size, "VLAN %u", a->vlan)
			    : snprintf(out, size, "no VLAN");
		if (a->qos && (size_t)n < size)
			n += snprintf(out + n, size - (size_t)n, ", QoS %u", a->qos);
		if (a->vlan && a->vlan_proto == 0x88a8 && (size_t)n < size)
			snprintf(out + n, size - (size_t)n, ", 802.1ad");
		break;
	case VF_MIN_RATE:
	case VF_MAX_RATE:
		rate_text(attr == VF_MIN_RATE ? a->min_rate : a->max_rate, rate, sizeof(rate));
		snprintf(out, size, "%s rate %s", attr == VF_MIN_RATE ? "min" : "max", rate);
		break;
	case VF_SPOOFCHK:
		snprintf(out, size, "spoof check %s", a->spoofchk ? "on" : "off");
		break;
	case VF_TRUST:
		snprintf(out, size, "trust %s", a->trust ? "on" : "off");
		break;
	case VF_LINK_STATE:
		snprintf(out, size, "link state %s",
			link_states[a->link_state <= VF_LINK_DOWN ? a->link_state : 0]);
		break;
	default:
		if (a->driver[0])
			snprintf(out, size, "driver %s", a->driver);
		else
			snprintf(out, size, "no driver");
	}
	return out;
}

static void rates_text(const struct vf_attrs *a, char *out, size_t size)
{
	char min[48], max[48];

	vf_attr_text(a, VF_MIN_RATE, min, sizeof(min));
	vf_attr_text(a, VF_MAX_RATE, max, sizeof(max));
	if (a->min_rate)
		snprintf(out, size, "%s, %s", min, max);
	else
		snprintf(out, size, "%s", max);
}

static enum vf_attr attr_of(enum sriov_step_kind kind)
{
	switch (kind) {
	case SRIOV_MAC:
		return VF_MAC;
	case SRIOV_VLAN:
		return VF_VLAN;
	case SRIOV_SPOOFCHK:
		return VF_SPOOFCHK;
	case SRIOV_TRUST:
		return VF_TRUST;
	case SRIOV_LINK_STATE:
		return VF_LINK_STATE;
	default:
		return VF_DRIVER;
	}
}

/* One side of a step: what it makes, or what it puts back. */
static void side_text(const struct sriov_step *s, const struct pf_attrs *pf,
	const struct vf_attrs *vf, char *out, size_t size)
{
	switch (s->kind) {
	case SRIOV_PF_UP:
	case SRIOV_PF_DOWN:
		snprintf(out, size, "%s", pf->up ? "up" : "down");
		break;
	case SRIOV_PF_MTU:
		snprintf(out, size, "MTU %u", pf->mtu);
		break;
	case SRIOV_AUTOPROBE:
		snprintf(out, size, "drivers %s VFs that are made",
			pf->autoprobe ? "take" : "leave");
		break;
	case SRIOV_NUM_VFS:
		snprintf(out, size, "%u VF%s", pf->num_vfs, pf->num_vfs == 1 ? "" : "s");
		break;
	case SRIOV_PF_DRIVER:
		snprintf(out, size, "%s%s", pf->driver[0] ? "driver " : "no driver", pf->driver);
		break;
	case SRIOV_RATE:
		rates_text(vf, out, size);
		break;
	default:
		vf_attr_text(vf, attr_of(s->kind), out, size);
	}
}

char *sriov_step_text(const struct sriov_step *s, char *out, size_t size)
{
	char side[160];

	side_text(s, &s->pf_to, &s->to, side, sizeof(side));
	if (s->vf < 0)
		snprintf(out, size, "%s: %s", s->pf, side);
	else
		snprintf(out, size, "%s VF %d: %s%s", s->pf, s->vf, side,
			s->rebind ? ", and its driver probes again" : "");
	return out;
}

char *sriov_step_undo_text(const struct sriov_step *s, char *out, size_t size)
{
	char side[160];

	if (s->fresh) {
		snprintf(out, size, "goes with the VF");
		return out;
	}
	if (!(s->vf < 0 ? s->pf_from.has : s->from.has)) {
		snprintf(out, size, "nothing: what it was is not known");
		return out;
	}
	side_text(s, &s->pf_from, &s->from, side, sizeof(side));
	snprintf(out, size, "%s%s", side,
		s->n_before && s->pf_from.num_vfs ? ", each as it was" : "");
	return out;
}

char *step_undone_text(const struct sriov_step *s, char *out, size_t size)
{
	char undo[200];

	sriov_step_undo_text(s, undo, sizeof(undo));
	if (s->vf < 0)
		snprintf(out, size, "%s: %s", s->pf, undo);
	else
		snprintf(out, size, "%s VF %d: %s", s->pf, s->vf, undo);
	return out;
}

char *holders_text(const struct sriov_group *g, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < g->n_holders && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s (pid %d)", i ? ", " : "",
			g->holders[i].comm[0] ? g->holders[i].comm : "a process",
			(int)g->holders[i].pid);
	return out;
}

void sriov_say(const struct sriov_options *o, enum sriov_word word, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!o->say)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	o->say(o->arg, word, text);
}
