/* SPDX-License-Identifier: Apache-2.0 */
#include "sriov/vfmsg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>

#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3)
#endif
#define UNKNOWN 0xffffffffu /* what the kernel says of a setting that the driver does not tell */

/* ---- building ---- */

static struct nl_msg *message(int type, int ifindex, unsigned flags, unsigned change)
{
	struct ifinfomsg head = { .ifi_index = ifindex, .ifi_flags = flags, .ifi_change = change };
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_ACK);

	if (msg && nlmsg_append(msg, &head, sizeof(head), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static struct nl_msg *checked(struct nl_msg *msg, int r)
{
	if (r >= 0)
		return msg;
	nlmsg_free(msg);
	return NULL;
}

struct nl_msg *vfmsg_get(int ifindex, bool stats)
{
	uint32_t mask = RTEXT_FILTER_VF | (stats ? 0 : RTEXT_FILTER_SKIP_STATS);
	struct nl_msg *msg = message(RTM_GETLINK, ifindex, 0, 0);

	return msg ? checked(msg, nla_put_u32(msg, IFLA_EXT_MASK, mask)) : NULL;
}

struct nl_msg *vfmsg_set_up(int ifindex, bool up)
{
	return message(RTM_SETLINK, ifindex, up ? IFF_UP : 0, IFF_UP);
}

struct nl_msg *vfmsg_set_mtu(int ifindex, uint32_t mtu)
{
	struct nl_msg *msg = message(RTM_SETLINK, ifindex, 0, 0);

	return msg ? checked(msg, nla_put_u32(msg, IFLA_MTU, mtu)) : NULL;
}

/* The list form is the one that has the protocol; its entry must be of exactly this length. */
static int put_vlan(struct nl_msg *msg, uint32_t vf, const struct vf_attrs *a)
{
	struct ifla_vf_vlan_info info = {
		.vf = vf, .vlan = a->vlan, .qos = a->qos, .vlan_proto = htons(a->vlan_proto)
	};
	struct nlattr *list = nla_nest_start(msg, IFLA_VF_VLAN_LIST);
	int r = list ? nla_put(msg, IFLA_VF_VLAN_INFO, sizeof(info), &info) : -1;

	return r < 0 ? r : nla_nest_end(msg, list);
}

static int put_attr(struct nl_msg *msg, uint32_t vf, enum vf_attr attr, const struct vf_attrs *a)
{
	struct ifla_vf_mac mac = { .vf = vf };
	struct ifla_vf_rate rate = {
		.vf = vf, .min_tx_rate = a->min_rate, .max_tx_rate = a->max_rate
	};
	struct ifla_vf_spoofchk spoofchk = { .vf = vf, .setting = a->spoofchk };
	struct ifla_vf_trust trust = { .vf = vf, .setting = a->trust };
	struct ifla_vf_link_state state = { .vf = vf, .link_state = (uint32_t)a->link_state };

	switch (attr) {
	case VF_MAC:
		memcpy(mac.mac, a->mac.b, sizeof(a->mac.b));
		return nla_put(msg, IFLA_VF_MAC, sizeof(mac), &mac);
	case VF_VLAN:
		return put_vlan(msg, vf, a);
	case VF_MIN_RATE:
	case VF_MAX_RATE:
		return nla_put(msg, IFLA_VF_RATE, sizeof(rate), &rate);
	case VF_SPOOFCHK:
		return nla_put(msg, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	case VF_TRUST:
		return nla_put(msg, IFLA_VF_TRUST, sizeof(trust), &trust);
	case VF_LINK_STATE:
		return nla_put(msg, IFLA_VF_LINK_STATE, sizeof(state), &state);
	default:
		return -1; /* a driver is not netlink's */
	}
}

struct nl_msg *vfmsg_set(int ifindex, uint32_t vf, enum vf_attr attr, const struct vf_attrs *a)
{
	struct nl_msg *msg = message(RTM_SETLINK, ifindex, 0, 0);
	struct nlattr *list = msg ? nla_nest_start(msg, IFLA_VFINFO_LIST) : NULL;
	struct nlattr *info = list ? nla_nest_start(msg, IFLA_VF_INFO) : NULL;

	if (info && put_attr(msg, vf, attr, a) >= 0) {
		nla_nest_end(msg, info);
		nla_nest_end(msg, list);
		return msg;
	}
	nlmsg_free(msg);
	return NULL;
}

/* ---- parsing ---- */

/* The attribute's value if it is at least that long. */
static const void *value(struct nlattr *a, size_t size)
{
	return a && (size_t)nla_len(a) >= size ? nla_data(a) : NULL;
}

static void parse_stats(struct nlattr *a, struct vfmsg_vf *vf)
{
	static const struct {
		int type;
		size_t at;
	} rows[] = {
		{ IFLA_VF_STATS_RX_PACKETS, offsetof(struct sriov_stats, rx_packets) },
		{ IFLA_VF_STATS_TX_PACKETS, offsetof(struct sriov_stats, tx_packets) },
		{ IFLA_VF_STATS_RX_BYTES, offsetof(struct sriov_stats, rx_bytes) },
		{ IFLA_VF_STATS_TX_BYTES, offsetof(struct sriov_stats, tx_bytes) },
		{ IFLA_VF_STATS_BROADCAST, offsetof(struct sriov_stats, broadcast) },
		{ IFLA_VF_STATS_MULTICAST, offsetof(struct sriov_stats, multicast) },
		{ IFLA_VF_STATS_RX_DROPPED, offsetof(struct sriov_stats, rx_dropped) },
		{ IFLA_VF_STATS_TX_DROPPED, offsetof(struct sriov_stats, tx_dropped) },
	};
	struct nlattr *tb[IFLA_VF_STATS_MAX + 1];

	if (nla_parse_nested(tb, IFLA_VF_STATS_MAX, a, NULL) < 0)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const void *v = value(tb[rows[i].type], sizeof(uint64_t));

		if (!v)
			continue;
		memcpy((char *)&vf->stats + rows[i].at, v, sizeof(uint64_t)); /* unaligned */
		vf->has_stats = true;
	}
}

static void parse_vlan(struct nlattr *list, struct nlattr *plain, struct vf_attrs *a)
{
	const struct ifla_vf_vlan *vlan = value(plain, sizeof(*vlan));
	const struct ifla_vf_vlan_info *info = NULL;
	struct nlattr *entry;
	int rest;

	if (list)
		nla_for_each_nested(entry, list, rest) if (nla_type(entry) == IFLA_VF_VLAN_INFO &&
			!info) info = value(entry, sizeof(*info));
	if (!info && !vlan)
		return;
	a->has |= 1u << VF_VLAN;
	a->vlan = (uint16_t)(info ? info->vlan : vlan->vlan);
	a->qos = (uint8_t)(info ? info->qos : vlan->qos);
	a->vlan_proto = info ? ntohs(info->vlan_proto) : 0x8100;
}

static void parse_settings(struct nlattr **tb, struct vf_attrs *a)
{
	const struct ifla_vf_spoofchk *spoofchk = value(tb[IFLA_VF_SPOOFCHK], sizeof(*spoofchk));
	const struct ifla_vf_trust *trust = value(tb[IFLA_VF_TRUST], sizeof(*trust));
	const struct ifla_vf_link_state *state = value(tb[IFLA_VF_LINK_STATE], sizeof(*state));

	if (spoofchk && spoofchk->setting != UNKNOWN) {
		a->has |= 1u << VF_SPOOFCHK;
		a->spoofchk = spoofchk->setting;
	}
	if (trust && trust->setting != UNKNOWN) {
		a->has |= 1u << VF_TRUST;
		a->trust = trust->setting;
	}
	if (state && state->link_state <= VF_LINK_DOWN) {
		a->has |= 1u << VF_LINK_STATE;
		a->link_state = (int)state->link_state;
	}
}

static bool parse_vf(struct nlattr *info, struct vfmsg_vf *vf)
{
	struct nlattr *tb[IFLA_VF_MAX + 1];
	const struct ifla_vf_mac *mac;
	const struct ifla_vf_rate *rate;
	const struct ifla_vf_tx_rate *tx_rate;

	*vf = (struct vfmsg_vf){ 0 };
	if (nla_parse_nested(tb, IFLA_VF_MAX, info, NULL) < 0)
		return false;
	mac = value(tb[IFLA_VF_MAC], sizeof(*mac));
	rate = value(tb[IFLA_VF_RATE], sizeof(*rate));
	tx_rate = value(tb[IFLA_VF_TX_RATE], sizeof(*tx_rate));
	if (!mac) /* every driver tells it: without, this is no VF */
		return false;
	vf->index = mac->vf;
	vf->attrs.has = 1u << VF_MAC;
	memcpy(vf->attrs.mac.b, mac->mac, sizeof(vf->attrs.mac.b));
	if (rate || tx_rate) {
		vf->attrs.has |= 1u << VF_MAX_RATE | (rate ? 1u << VF_MIN_RATE : 0);
		vf->attrs.min_rate = rate ? rate->min_tx_rate : 0;
		vf->attrs.max_rate = rate ? rate->max_tx_rate : tx_rate->rate;
	}
	parse_vlan(tb[IFLA_VF_VLAN_LIST], tb[IFLA_VF_VLAN], &vf->attrs);
	parse_settings(tb, &vf->attrs);
	if (tb[IFLA_VF_STATS])
		parse_stats(tb[IFLA_VF_STATS], vf);
	return true;
}

static int parse_list(struct nlattr *list, struct vfmsg_link *out)
{
	struct nlattr *info;
	size_t n = 0;
	int rest;

	nla_for_each_nested(info, list, rest) n++;
	out->vfs = calloc(n + 1, sizeof(*out->vfs));
	if (!out->vfs)
		return -ENOMEM;
	nla_for_each_nested(info, list, rest) if (nla_type(info) == IFLA_VF_INFO && out->n < n &&
		parse_vf(info, &out->vfs[out->n])) out->n++;
	return 0;
}

int vfmsg_parse(const struct nlmsghdr *h, struct vfmsg_link *out)
{
	struct nlattr *tb[IFLA_MAX + 1];
	const struct ifinfomsg *head = NLMSG_DATA(h);
	const uint32_t *num_vfs;

	*out = (struct vfmsg_link){ 0 };
	if (h->nlmsg_type != RTM_NEWLINK || NLMSG_PAYLOAD(h, 0) < sizeof(*head) ||
		nlmsg_parse((struct nlmsghdr *)h, sizeof(*head), tb, IFLA_MAX, NULL) < 0)
		return -EBADMSG;
	num_vfs = value(tb[IFLA_NUM_VF], sizeof(*num_vfs));
	out->ifindex = head->ifi_index;
	out->num_vfs = num_vfs ? *num_vfs : 0;
	return tb[IFLA_VFINFO_LIST] ? parse_list(tb[IFLA_VFINFO_LIST], out) : 0;
}

/* ---- talking ---- */

struct reading {
	struct vfmsg_link *out;
	bool found;
};

static int take(void *arg, const struct nlmsghdr *h)
{
	struct reading *r = arg;

	if (r->found || h->nlmsg_type != RTM_NEWLINK)
		return 0;
	r->found = true;
	return vfmsg_parse(h, r->out);
}

static int read_once(struct sriov_nl *nl, int ifindex, bool stats, struct vfmsg_link *out)
{
	struct nl_msg *msg = vfmsg_get(ifindex, stats);
	struct reading reading = { .out = out };
	int r;

	*out = (struct vfmsg_link){ 0 };
	if (!msg)
		return -ENOMEM;
	r = nl->talk(nl, msg, take, &reading);
	nlmsg_free(msg);
	if (!r && !reading.found)
		r = -ENODEV;
	/* The list's own length has 16 bits: too many VFs make it wrap, and some are missing. */
	if (!r && out->n < out->num_vfs)
		r = -EMSGSIZE;
	if (r) {
		free(out->vfs);
		out->vfs = NULL;
		out->n = 0;
	}
	return r;
}

int vfmsg_read(struct sriov_nl *nl, int ifindex, struct vfmsg_link *out)
{
	int r = read_once(nl, ifindex, true, out);

	return r == -EMSGSIZE || r == -EBADMSG ? read_once(nl, ifindex, false, out) : r;
}

int vfmsg_send(struct sriov_nl *nl, struct nl_msg *msg)
{
	int r;

	if (!msg)
		return -ENOMEM;
	r = nl->talk(nl, msg, NULL, NULL);
	nlmsg_free(msg);
	return r;
}
