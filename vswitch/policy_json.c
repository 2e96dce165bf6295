/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy keys of `port_add` and `configure`: see policy.h. A table of readers, one for each
 * key; each says what is wrong in a sentence that names the key. What one key says may depend on
 * another (static addresses on VLANs), so the table's order matters.
 */
#include "vswitch/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/ether.h"
#include "vswitch/dp/fdb.h"
#include "vswitch/dp/offload.h"

#define STATICS_MAX   1024
#define RATE_BPS_MIN  8000
#define RATE_BPS_MAX  1000000000000ll
#define BURST_MIN     9234 /* bytes: a tagged frame of the greatest MTU */
#define BURST_DEFAULT 65536
#define BURST_MAX     (1ll << 30)
#define PPS_MAX       1000000000
#define STORM_BURST   10 /* frames, at least; else a tenth of a second's */

#define bad(e, field, ...) err_request_at(e, -EINVAL, field, __VA_ARGS__)

/* v is an object of no keys but those of names (ended by NULL). */
static int object_check(const char *field, const json_t *v, const char *const *names, struct err *e)
{
	const char *key;
	json_t *value;

	if (!json_is_object(v))
		return bad(e, field, "%s: expected an object", field);
	json_object_foreach ((json_t *)v, key, value) {
		const char *const *n = names;

		while (*n && strcmp(*n, key))
			n++;
		if (!*n)
			return bad(e, field, "%s: unknown key \"%.100s\"", field, key);
	}
	return 0;
}

static int int_read(const char *field, const char *what, const json_t *v, json_int_t min,
	json_int_t max, json_int_t *out, struct err *e)
{
	if (!json_is_integer(v))
		return bad(e, field, "%s: %s must be an integer from %lld to %lld", field, what,
			(long long)min, (long long)max);
	*out = json_integer_value(v);
	if (*out < min || *out > max)
		return bad(e, field, "%s: %s is %lld; it must be from %lld to %lld", field, what,
			(long long)*out, (long long)min, (long long)max);
	return 0;
}

static int vlan_id_read(
	const char *field, const char *what, const json_t *v, uint16_t *vid, struct err *e)
{
	json_int_t n = 0;
	int ret = int_read(field, what, v, 1, DP_VLAN_LAST, &n, e);

	*vid = (uint16_t)n;
	return ret;
}

static int mac_read(const char *field, const json_t *v, uint64_t *raw, struct err *e)
{
	const char *text = json_string_value(v);
	struct ether_mac m;

	if (!text || ether_mac_parse(text, &m))
		return bad(e, field, "%s: \"%.40s\" is no MAC address like 02:00:00:00:00:01",
			field, text ? text : "");
	if (ether_mac_is_multicast(m) || ether_mac_is_zero(m))
		return bad(e, field,
			"%s: %s is no station's address (it is zero, or that of a group)", field,
			text);
	*raw = 0;
	memcpy(raw, m.b, 6);
	return 0;
}

static void vlan_allow(struct dp_policy *p, uint32_t from, uint32_t to)
{
	for (uint32_t vid = from; vid <= to; vid++)
		p->vlans[vid / 64] |= 1ull << vid % 64;
}

static int trunk_read(const json_t *list, struct dp_policy *p, struct err *e)
{
	json_t *v;
	size_t i;

	if (!json_is_array(list) || !json_array_size(list))
		return bad(e, "vlan", "vlan: trunk must be a list of VLANs, like [10, [20, 29]]");
	json_array_foreach (list, i, v) {
		uint16_t from, to;
		int ret;

		if (json_is_array(v) && json_array_size(v) != 2)
			return bad(
				e, "vlan", "vlan: a range in trunk is two numbers, like [20, 29]");
		ret = vlan_id_read("vlan", "a VLAN of trunk",
			json_is_array(v) ? json_array_get(v, 0) : v, &from, e);
		to = from;
		if (!ret && json_is_array(v))
			ret = vlan_id_read("vlan", "a VLAN of trunk", json_array_get(v, 1), &to, e);
		if (ret)
			return ret;
		if (from > to)
			return bad(
				e, "vlan", "vlan: the range [%u, %u] in trunk is empty", from, to);
		vlan_allow(p, from, to);
	}
	return 0;
}

static int vlan_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	static const char *const names[] = { "access", "trunk", "native", NULL };
	const json_t *access = json_object_get(v, "access"), *trunk = json_object_get(v, "trunk");
	const json_t *native = json_object_get(v, "native");
	struct dp_policy *p = s->dp;
	int ret = object_check("vlan", v, names, e);

	if (ret)
		return ret;
	if (!access == !trunk || (access && native))
		return bad(e, "vlan",
			"vlan: expected {\"access\": VLAN} or {\"trunk\": [VLANs], \"native\": VLAN}");
	memset(p->vlans, 0, sizeof(p->vlans));
	p->untagged = DP_NO_VLAN;
	p->tagged = trunk != NULL;
	if (access) {
		ret = vlan_id_read("vlan", "access", access, &p->untagged, e);
		if (!ret)
			vlan_allow(p, p->untagged, p->untagged);
		return ret;
	}
	ret = trunk_read(trunk, p, e);
	if (ret || !native)
		return ret;
	ret = vlan_id_read("vlan", "native", native, &p->untagged, e);
	if (!ret && !dp_policy_member(p, p->untagged))
		return bad(
			e, "vlan", "vlan: native %u is not among the VLANs of trunk", p->untagged);
	return ret;
}

static int isolated_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	if (!json_is_boolean(v))
		return bad(e, "isolated", "isolated: expected true or false");
	s->dp->isolated = json_is_true(v);
	return 0;
}

static int admin_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	const char *text = json_string_value(v);

	if (!text || (strcmp(text, "up") && strcmp(text, "down")))
		return bad(e, "admin", "admin: expected \"up\" or \"down\"");
	s->dp->admin_down = strcmp(text, "down") == 0;
	return 0;
}

static int mac_limit_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	json_int_t n = 0;
	int ret = int_read("mac_limit", "the limit", v, 0, 1 << 21, &n, e);

	s->dp->mac_limit = (uint32_t)n;
	return ret;
}

static int static_one(const json_t *v, struct sw_policy *s, struct err *e)
{
	static const char *const names[] = { "mac", "vlan", NULL };
	struct sw_static *to = &s->statics[s->n_statics];
	int ret = object_check("static", v, names, e);

	if (!ret)
		ret = mac_read("static", json_object_get(v, "mac"), &to->mac, e);
	if (ret)
		return ret;
	to->vid = s->dp->untagged;
	if (json_object_get(v, "vlan"))
		ret = vlan_id_read("static", "vlan", json_object_get(v, "vlan"), &to->vid, e);
	if (ret)
		return ret;
	if (to->vid == DP_NO_VLAN)
		return bad(e, "static",
			"static: %s needs a \"vlan\": the port has no VLAN for untagged frames",
			json_string_value(json_object_get(v, "mac")));
	if (!dp_policy_member(s->dp, to->vid))
		return bad(e, "static", "static: %s is in VLAN %u, of which the port is no member",
			json_string_value(json_object_get(v, "mac")), to->vid);
	for (uint32_t i = 0; i < s->n_statics; i++)
		if (s->statics[i].mac == to->mac && s->statics[i].vid == to->vid)
			return bad(e, "static", "static: %s is there twice",
				json_string_value(json_object_get(v, "mac")));
	s->n_statics++;
	return 0;
}

static int static_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n > STATICS_MAX)
		return bad(e, "static", "static: expected a list of at most %d addresses",
			STATICS_MAX);
	s->statics = calloc(n ? n : 1, sizeof(*s->statics));
	if (!s->statics)
		return err_set(e, -ENOMEM, "no memory for %zu static addresses", n);
	for (size_t i = 0; i < n; i++) {
		int ret = static_one(json_array_get(v, i), s, e);

		if (ret)
			return ret;
	}
	return 0;
}

/* The IP addresses of a list, each of `size` bytes, into out. */
static int ips_read(const json_t *list, const char *key, int family, uint32_t size, uint8_t *out,
	uint16_t *n, struct err *e)
{
	json_t *v;
	size_t i;

	*n = 0;
	if (!list)
		return 0;
	if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > DP_SPOOF_MAX)
		return bad(e, "spoof", "spoof: %s must be a list of 1 to %d addresses", key,
			DP_SPOOF_MAX);
	json_array_foreach (list, i, v) {
		const char *text = json_string_value(v);

		if (!text || inet_pton(family, text, out + *n * size) != 1)
			return bad(e, "spoof", "spoof: \"%.60s\" in %s is no such address",
				text ? text : "", key);
		++*n;
	}
	return 0;
}

static int spoof_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	static const char *const names[] = { "macs", "ipv4", "ipv6", "router", NULL };
	const json_t *macs = json_object_get(v, "macs"), *router = json_object_get(v, "router");
	struct dp_spoof *p = &s->dp->spoof;
	int ret = object_check("spoof", v, names, e);
	json_t *mac;
	size_t i;

	if (ret)
		return ret;
	if (!json_is_array(macs) || !json_array_size(macs) || json_array_size(macs) > DP_SPOOF_MAX)
		return bad(e, "spoof", "spoof: macs must be a list of 1 to %d addresses",
			DP_SPOOF_MAX);
	if (router && !json_is_boolean(router))
		return bad(e, "spoof", "spoof: router must be true or false");
	json_array_foreach (macs, i, mac) {
		ret = mac_read("spoof", mac, &p->macs[i], e);
		if (ret)
			return ret;
		p->n_macs++;
	}
	p->router = json_is_true(router);
	ret = ips_read(
		json_object_get(v, "ipv4"), "ipv4", AF_INET, 4, (uint8_t *)p->ip4, &p->n_ip4, e);
	if (!ret)
		ret = ips_read(
			json_object_get(v, "ipv6"), "ipv6", AF_INET6, 16, p->ip6[0], &p->n_ip6, e);
	return ret;
}

static int storm_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	static const char *const names[DP_STORM_MAX + 1] = {
		[DP_STORM_BROADCAST] = "broadcast_pps",
		[DP_STORM_MULTICAST] = "multicast_pps",
		[DP_STORM_UNKNOWN] = "unknown_pps",
	};
	int ret = object_check("storm", v, names, e);

	for (int k = 0; !ret && k < DP_STORM_MAX; k++) {
		const json_t *pps = json_object_get(v, names[k]);
		json_int_t n = 0;

		if (!pps)
			continue;
		ret = int_read("storm", names[k], pps, 1, PPS_MAX, &n, e);
		if (!ret &&
			sw_rate_set(&s->dp->storm[k], (uint64_t)n,
				(uint64_t)(n / 10 > STORM_BURST ? n / 10 : STORM_BURST)))
			ret = bad(e, "storm", "storm: no meter for %s", names[k]);
	}
	return ret;
}

static int police_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	static const char *const names[] = { "rate_bps", "burst_bytes", NULL };
	const json_t *burst = json_object_get(v, "burst_bytes");
	json_int_t rate = 0, bytes = BURST_DEFAULT;
	int ret = object_check("police", v, names, e);

	if (!ret)
		ret = int_read("police", "rate_bps", json_object_get(v, "rate_bps"), RATE_BPS_MIN,
			RATE_BPS_MAX, &rate, e);
	if (!ret && burst)
		ret = int_read("police", "burst_bytes", burst, BURST_MIN, BURST_MAX, &bytes, e);
	if (!ret && sw_rate_set(&s->dp->police, (uint64_t)rate / 8, (uint64_t)bytes))
		ret = bad(e, "police", "police: no meter for rate_bps %lld", (long long)rate);
	return ret;
}

/* What the front end is offered; ECN goes with TSO. */
static int offloads_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	static const struct {
		const char *name;
		uint8_t off;
	} names[] = { { "csum", DP_OFF_CSUM }, { "tso4", DP_OFF_TSO4 }, { "tso6", DP_OFF_TSO6 } };
	uint8_t offered = 0;
	json_t *item;
	size_t i, k;

	if (!json_is_boolean(v) && !json_is_array(v))
		return bad(e, "offloads",
			"offloads: expected true, false or a list of \"csum\", \"tso4\", \"tso6\"");
	json_array_foreach (v, i, item) {
		const char *word = json_string_value(item);

		for (k = 0; k < 3 && (!word || strcmp(word, names[k].name)); k++)
			;
		if (k == 3)
			return bad(e, "offloads",
				"offloads: \"%.40s\" is none; there are \"csum\", \"tso4\" and \"tso6\"",
				word ? word : "");
		offered |= names[k].off;
	}
	if (json_is_true(v))
		offered = DP_OFF_ALL;
	if (offered & (DP_OFF_TSO4 | DP_OFF_TSO6)) {
		if (!(offered & DP_OFF_CSUM))
			return bad(e, "offloads",
				"offloads: \"tso4\" and \"tso6\" need \"csum\" too");
		offered |= DP_OFF_ECN;
	}
	s->no_offloads = DP_OFF_ALL & (uint8_t)~offered;
	return 0;
}

/* Whether the target is a port that can be one is seen when all ports' policies are known. */
static int mirror_read(const json_t *v, struct sw_policy *s, struct err *e)
{
	static const char *const names[] = { "to", "direction", NULL };
	const char *to = json_string_value(json_object_get(v, "to"));
	const json_t *direction = json_object_get(v, "direction");
	const char *d = direction ? json_string_value(direction) : "both";
	int ret = object_check("mirror", v, names, e);

	if (ret)
		return ret;
	if (!to || !*to || strlen(to) > SW_NAME_MAX)
		return bad(e, "mirror", "mirror: to must be the name of a port");
	if (!d || (strcmp(d, "rx") && strcmp(d, "tx") && strcmp(d, "both")))
		return bad(e, "mirror",
			"mirror: direction must be \"rx\" (from the guest), \"tx\" (to it) or "
			"\"both\"");
	memcpy(s->mirror_to, to, strlen(to) + 1);
	s->mirror[TAP_RX] = strcmp(d, "tx") != 0;
	s->mirror[TAP_TX] = strcmp(d, "rx") != 0;
	return 0;
}

static const struct {
	const char *name;
	int (*read)(const json_t *v, struct sw_policy *s, struct err *e);
	bool of_frames; /* workers are to look at frames for it */
} readers[] = {
	{ "vlan", vlan_read, true }, /* before static */
	{ "isolated", isolated_read, true },
	{ "admin", admin_read, true },
	{ "mac_limit", mac_limit_read, true },
	{ "static", static_read, false },
	{ "spoof", spoof_read, true },
	{ "storm", storm_read, true },
	{ "police", police_read, true },
	{ "offloads", offloads_read, false },
	{ "mirror", mirror_read, false },
};

const char *const sw_policy_keys[] = { "vlan", "isolated", "admin", "mac_limit", "static", "spoof",
	"storm", "police", "offloads", "mirror", NULL };

json_t *sw_policy_merge(const json_t *given, const json_t *changes)
{
	json_t *merged = given ? json_copy((json_t *)given) : json_object();

	for (const char *const *key = sw_policy_keys; *key; key++) {
		json_t *v = json_object_get(changes, *key);

		if (json_is_null(v))
			json_object_del(merged, *key);
		else if (v)
			json_object_set(merged, *key, v);
	}
	return merged;
}

void sw_policy_free(struct sw_policy *p)
{
	json_decref(p->given);
	free(p->dp);
	free(p->statics);
	memset(p, 0, sizeof(*p));
}

/* A policy that demands nothing: trunk of all VLANs. */
static struct dp_policy *policy_new(void)
{
	struct dp_policy *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->tagged = true;
	p->mac_limit = FDB_NO_LIMIT;
	vlan_allow(p, 0, DP_VLAN_LAST);
	return p;
}

int sw_policy_read(json_t *given, struct sw_policy *p, struct err *e)
{
	bool any = false;
	int ret = 0;

	memset(p, 0, sizeof(*p));
	p->given = given;
	p->dp = policy_new();
	if (!p->dp)
		ret = err_set(e, -ENOMEM, "no memory for a policy");
	for (size_t i = 0; !ret && i < sizeof(readers) / sizeof(readers[0]); i++) {
		const json_t *v = json_object_get(given, readers[i].name);

		if (v)
			ret = readers[i].read(v, p, e);
		any |= v && readers[i].of_frames;
	}
	if (ret) {
		sw_policy_free(p);
		return ret;
	}
	p->dp->each = p->dp->admin_down || p->dp->spoof.n_macs || p->dp->police.burst;
	if (!any) {
		free(p->dp);
		p->dp = NULL;
	}
	return 0;
}
