/* SPDX-License-Identifier: Apache-2.0 */
/* A VF's keys, in files of PFs and in topologies. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "config/decode.h"
#include "config/schema.h"

#define MBIT 1000000ull

static void vf_given(struct vf_want *vf, enum vf_attr attr, const struct jtree *v)
{
	vf->attrs.has |= 1u << attr;
	vf->places[attr] = v->place;
}

int vf_mac(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;

	vf_given(vf, VF_MAC, v);
	return dec_unicast(d, v, &vf->attrs.mac);
}

static const struct dec_range vlan_range = { 0, TOPO_VLAN_MAX, " (0: none)" };
static const struct dec_field vlan_row = { "vlan", dec_uint, .arg = &vlan_range };

int vf_vlan(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;
	uint32_t vlan = 0;

	vf_given(vf, VF_VLAN, v);
	vf->attrs.vlan_proto = 0x8100;
	if (dec_uint(d, v, &vlan_row, &vlan))
		return -EINVAL;
	vf->attrs.vlan = (uint16_t)vlan;
	return 0;
}

/* QoS and protocol are the VLAN's. */
static int needs_vlan(struct dec *d, const struct jtree *v, const struct vf_want *vf)
{
	if (vf->attrs.has & 1u << VF_VLAN && vf->attrs.vlan)
		return 0;
	return dec_error(d, v->place, "\"%s\" is of a VLAN: give \"vlan\" as well, 1 to %d",
		d->field, TOPO_VLAN_MAX);
}

static const struct dec_range qos_range = { 0, 7, "" };
static const struct dec_field qos_row = { "qos", dec_uint, .arg = &qos_range };

int vf_qos(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;
	uint32_t qos = 0;

	if (dec_uint(d, v, &qos_row, &qos) || needs_vlan(d, v, vf))
		return -EINVAL;
	vf->attrs.qos = (uint8_t)qos;
	return 0;
}

static const char *const protocol_names[] = { "802.1Q", "802.1ad", NULL };
static const struct dec_field vlan_protocol_row = { "VLAN protocol", dec_enum,
	.arg = protocol_names };

int vf_vlan_protocol(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;
	int which = 0;

	if (dec_enum(d, v, &vlan_protocol_row, &which) || needs_vlan(d, v, vf))
		return -EINVAL;
	vf->attrs.vlan_proto = which ? 0x88a8 : 0x8100;
	return 0;
}

/* To Mbit/s, which is what the kernel counts in. */
static int decode_mbps(struct dec *d, const struct jtree *v, uint32_t *out)
{
	const char *s = json_string_value(v->json);
	struct rate r = { 0 };
	struct err e = { 0 };
	char found[DEC_SHOW];

	*out = 0;
	if (!s)
		return dec_error_type(d, v, "a rate such as \"500Mbps\", or \"none\"");
	if (strcmp(s, "none") == 0)
		return 0;
	if (units_parse_rate(s, &r, &e))
		return dec_error(d, v->place, "\"%s\": %s", d->field, e.text);
	if (r.kind != RATE_BPS || r.value % MBIT || r.value / MBIT > PFS_RATE_MAX)
		return dec_error(d, v->place,
			"\"%s\" must be whole Mbps, at most %dGbps, such as \"500Mbps\", or "
			"\"none\"; found %s",
			d->field, PFS_RATE_MAX / 1000, dec_show(v->json, found));
	*out = (uint32_t)(r.value / MBIT);
	return 0;
}

static int check_rates(struct dec *d, const struct jtree *v, const struct vf_attrs *a)
{
	const unsigned both = 1u << VF_MIN_RATE | 1u << VF_MAX_RATE;

	if ((a->has & both) != both || !a->max_rate || a->min_rate <= a->max_rate)
		return 0;
	return dec_error(d, v->place,
		"min_rate %uMbps is above max_rate %uMbps: what is promised may not be more than "
		"what is allowed",
		a->min_rate, a->max_rate);
}

int vf_min_rate(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;

	vf_given(vf, VF_MIN_RATE, v);
	if (decode_mbps(d, v, &vf->attrs.min_rate))
		return -EINVAL;
	return check_rates(d, v, &vf->attrs);
}

int vf_max_rate(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;

	vf_given(vf, VF_MAX_RATE, v);
	if (decode_mbps(d, v, &vf->attrs.max_rate))
		return -EINVAL;
	return check_rates(d, v, &vf->attrs);
}

int vf_spoofchk(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;

	vf_given(vf, VF_SPOOFCHK, v);
	return dec_bool(d, v, f, &vf->attrs.spoofchk);
}

int vf_trust(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;

	vf_given(vf, VF_TRUST, v);
	return dec_bool(d, v, f, &vf->attrs.trust);
}

static const char *const link_names[] = { "auto", "up", "down", NULL };
static const struct dec_field link_state_row = { "link state", dec_enum, .arg = link_names };

int vf_link_state(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;

	vf_given(vf, VF_LINK_STATE, v);
	return dec_enum(d, v, &link_state_row, &vf->attrs.link_state);
}

int dec_driver(struct dec *d, const struct jtree *v, char *out)
{
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];
	size_t len = s ? strlen(s) : 0;

	if (!s)
		return dec_error_type(
			d, v, "a driver's name such as \"vfio-pci\" or \"igbvf\", or \"none\"");
	if (len == 0 || len >= PFS_DRIVER_LEN ||
		strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
			len)
		return dec_error(d, v->place,
			"a driver's name has 1 to %d letters, digits, _ and -; found %s",
			PFS_DRIVER_LEN - 1, dec_show(v->json, found));
	snprintf(out, PFS_DRIVER_LEN, "%s", strcmp(s, "none") ? s : "");
	return 0;
}

int vf_driver(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct vf_want *vf = out;

	vf_given(vf, VF_DRIVER, v);
	return dec_driver(d, v, vf->attrs.driver);
}

/* ---- shapes: see schema.h ---- */

#define SHAPE_RATE "{'type': 'string', 'pattern': '^(none|[0-9]+(\\\\.[0-9]+)?[kMG]?bps)$'}"

const struct dec_shape vf_shapes[] = {
	{ vf_mac, .json = SHAPE_MAC },
	{ vf_vlan, .row = &vlan_row },
	{ vf_qos, .row = &qos_row },
	{ vf_vlan_protocol, .row = &vlan_protocol_row },
	{ vf_min_rate, .json = SHAPE_RATE },
	{ vf_max_rate, .json = SHAPE_RATE },
	{ vf_spoofchk, .like = dec_bool },
	{ vf_trust, .like = dec_bool },
	{ vf_link_state, .row = &link_state_row },
	{ vf_driver, .json = SHAPE_DRIVER },
	{ 0 },
};
