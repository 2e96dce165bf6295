/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/policy.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

static const char *const directions[] = {
	[TOPO_DIR_RX] = "rx",
	[TOPO_DIR_TX] = "tx",
	[TOPO_DIR_BOTH] = "both",
};

/* [10, [20, 30]] */
static json_t *vlans_json(const struct topo_vlan *v)
{
	json_t *list = json_array();

	for (int vlan = 1; vlan <= TOPO_VLAN_MAX; vlan++) {
		int last = vlan;

		if (!(v->has[vlan / 64] >> vlan % 64 & 1))
			continue;
		while (last < TOPO_VLAN_MAX && v->has[(last + 1) / 64] >> (last + 1) % 64 & 1)
			last++;
		json_array_append_new(
			list, last == vlan ? json_integer(vlan) : json_pack("[i, i]", vlan, last));
		vlan = last;
	}
	return list;
}

static json_t *vlan_json(const struct topo_vlan *v)
{
	json_t *j;

	if (v->mode == TOPO_VLAN_ALL)
		return NULL;
	if (v->mode == TOPO_VLAN_ACCESS)
		return json_pack("{s:i}", "access", v->untagged);
	j = json_pack("{s:o}", "trunk", vlans_json(v));
	if (v->untagged)
		json_object_set_new(j, "native", json_integer(v->untagged));
	return j;
}

static json_t *static_json(const struct topo_policy *p)
{
	json_t *list = p->n_statics ? json_array() : NULL;
	char mac[ETHER_MAC_STR];

	for (size_t i = 0; i < p->n_statics; i++) {
		json_t *j = json_pack("{s:s}", "mac", ether_mac_str(p->statics[i].mac, mac));

		if (p->statics[i].vlan)
			json_object_set_new(j, "vlan", json_integer(p->statics[i].vlan));
		json_array_append_new(list, j);
	}
	return list;
}

static void set_ips(json_t *j, const char *key, char *const *ips, size_t n)
{
	json_t *list = n ? json_array() : NULL;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(ips[i]));
	if (list)
		json_object_set_new(j, key, list);
}

static json_t *spoof_json(const struct topo_policy *p, const struct ether_mac *own)
{
	char mac[ETHER_MAC_STR];
	json_t *j;

	if (!p->anti_spoof)
		return NULL;
	j = json_pack("{s:[s]}", "macs", ether_mac_str(*own, mac));
	set_ips(j, "ipv4", p->ipv4, p->n_ipv4);
	set_ips(j, "ipv6", p->ipv6, p->n_ipv6);
	if (p->router)
		json_object_set_new(j, "router", json_true());
	return j;
}

static json_t *storm_json(const struct topo_policy *p)
{
	static const char *const names[] = { "broadcast_pps", "multicast_pps", "unknown_pps" };
	json_t *j = json_object();

	for (int i = 0; i < TOPO_STORM_N; i++)
		if (p->storm_pps[i])
			json_object_set_new(j, names[i], json_integer((json_int_t)p->storm_pps[i]));
	if (json_object_size(j))
		return j;
	json_decref(j);
	return NULL;
}

static json_t *police_json(const struct topo_policy *p)
{
	json_t *j;

	if (!p->police_bps)
		return NULL;
	j = json_pack("{s:I}", "rate_bps", (json_int_t)p->police_bps);
	if (p->police_burst)
		json_object_set_new(j, "burst_bytes", json_integer((json_int_t)p->police_burst));
	return j;
}

static json_t *listener_json(const struct topo_policy *p, const char *listener, const char *port)
{
	for (size_t i = 0; i < p->mirror.n; i++)
		if (strcmp(p->mirror.from[i].port, port) == 0)
			return json_pack("{s:s, s:s}", "to", listener, "direction",
				directions[p->mirror.direction]);
	return NULL;
}

/* Who listens to that port, if anybody does. */
static json_t *mirror_json(const struct topology *t, const char *port)
{
	json_t *j = NULL;

	for (size_t i = 0; i < t->n_nodes && !j; i++)
		for (size_t k = 0; k < t->nodes[i].n_nics && !j; k++) {
			char name[TOPO_NAME_MAX + 12];

			j = listener_json(&t->nodes[i].nics[k].policy,
				topology_port_name(t, i, k, name), port);
		}
	for (size_t i = 0; i < t->n_ports && !j; i++)
		j = listener_json(&t->ports[i].policy, t->ports[i].name, port);
	return j;
}

static json_t *offloads_json(const struct topo_policy *p)
{
	static const char *const names[] = { "csum", "tso4", "tso6" };
	json_t *list;

	if (!p->offloads_given || p->offloads == (TOPO_CSUM | TOPO_TSO4 | TOPO_TSO6))
		return NULL; /* the default */
	if (!p->offloads)
		return json_false();
	list = json_array();
	for (unsigned i = 0; i < 3; i++)
		if (p->offloads >> i & 1)
			json_array_append_new(list, json_string(names[i]));
	return list;
}

static void set(json_t *j, const char *key, json_t *value)
{
	if (value)
		json_object_set_new(j, key, value);
}

static json_t *policy_json(const struct topology *t, const struct topo_policy *p, const char *port,
	const struct ether_mac *mac)
{
	json_t *j = json_object();

	set(j, "vlan", vlan_json(&p->vlan));
	set(j, "isolated", p->isolated ? json_true() : NULL);
	set(j, "admin", p->admin ? json_string("down") : NULL);
	set(j, "mac_limit", p->mac_limited ? json_integer(p->mac_limit) : NULL);
	set(j, "static", static_json(p));
	set(j, "spoof", spoof_json(p, mac));
	set(j, "storm", storm_json(p));
	set(j, "police", police_json(p));
	set(j, "mirror", mirror_json(t, port));
	set(j, "offloads", offloads_json(p));
	if (json_object_size(j))
		return j;
	json_decref(j);
	return NULL;
}

json_t *policy_of_nic(const struct topology *t, const struct topo_nic *nic, const char *port)
{
	return policy_json(t, &nic->policy, port, &nic->mac);
}

json_t *policy_of_port(const struct topology *t, const struct topo_port *port)
{
	return policy_json(t, &port->policy, port->name, NULL);
}

json_t *policy_diff(const json_t *have, const json_t *want)
{
	json_t *j = json_object(), *v;
	const char *key;

	json_object_foreach ((json_t *)want, key, v) {
		const json_t *old = json_object_get(have, key);

		if (!old || !json_equal(old, v))
			json_object_set(j, key, v);
	}
	json_object_foreach ((json_t *)have, key, v)
		if (!json_object_get(want, key))
			json_object_set_new(j, key, json_null());
	if (json_object_size(j))
		return j;
	json_decref(j);
	return NULL;
}

struct text {
	char *at;
	size_t room;
	const char *separator;
};

static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(t->at, t->room, "%s", t->separator);

	if (n < 0 || (size_t)n >= t->room)
		return;
	t->at += n;
	t->room -= (size_t)n;
	va_start(ap, fmt);
	n = vsnprintf(t->at, t->room, fmt, ap);
	va_end(ap);
	n = (size_t)n < t->room ? n : (int)t->room - 1;
	t->at += n;
	t->room -= (size_t)n;
	t->separator = ", ";
}

static void say_vlan(struct text *t, const json_t *vlan)
{
	const json_t *v, *native = json_object_get(vlan, "native");
	size_t i;

	if (json_is_integer(json_object_get(vlan, "access"))) {
		say(t, "VLAN %d", (int)json_integer_value(json_object_get(vlan, "access")));
		return;
	}
	json_array_foreach (json_object_get(vlan, "trunk"), i, v) {
		if (i == 0)
			say(t, "trunk ");
		t->separator = i ? "," : "";
		if (json_is_array(v))
			say(t, "%d-%d", (int)json_integer_value(json_array_get(v, 0)),
				(int)json_integer_value(json_array_get(v, 1)));
		else
			say(t, "%d", (int)json_integer_value(v));
	}
	t->separator = " ";
	if (native)
		say(t, "native %d", (int)json_integer_value(native));
	t->separator = ", ";
}

static void say_offloads(struct text *t, const json_t *offloads)
{
	const json_t *v;
	size_t i;

	if (json_is_false(offloads) || (json_is_array(offloads) && !json_array_size(offloads)))
		say(t, "no offloads");
	json_array_foreach (offloads, i, v) {
		say(t, "%s%s", i ? "" : "offloads ",
			json_string_value(v) ? json_string_value(v) : "?");
		t->separator = "+";
	}
	t->separator = ", ";
}

char *policy_brief(const json_t *policy, char *out, size_t size)
{
	struct text t = { out, size, "" };
	const json_t *mirror = json_object_get(policy, "mirror");
	const char *admin = json_string_value(json_object_get(policy, "admin"));
	const json_t *rate = json_object_get(json_object_get(policy, "police"), "rate_bps");
	size_t statics = json_array_size(json_object_get(policy, "static"));
	char number[16];

	out[0] = '\0';
	if (json_is_object(json_object_get(policy, "vlan")))
		say_vlan(&t, json_object_get(policy, "vlan"));
	if (json_is_true(json_object_get(policy, "isolated")))
		say(&t, "isolated");
	if (admin && strcmp(admin, "down") == 0)
		say(&t, "admin down");
	if (json_is_integer(json_object_get(policy, "mac_limit")))
		say(&t, "at most %" JSON_INTEGER_FORMAT " addresses",
			json_integer_value(json_object_get(policy, "mac_limit")));
	if (statics)
		say(&t, "%zu static", statics);
	if (json_is_object(json_object_get(policy, "spoof")))
		say(&t, "anti-spoofing");
	if (json_is_object(json_object_get(policy, "storm")))
		say(&t, "storm control");
	if (json_is_number(rate))
		say(&t, "policed to %sbit/s", units_format_si(json_number_value(rate), number));
	if (json_is_string(json_object_get(mirror, "to")))
		say(&t, "mirrored to %s", json_string_value(json_object_get(mirror, "to")));
	if (json_object_get(policy, "offloads"))
		say_offloads(&t, json_object_get(policy, "offloads"));
	return out;
}
