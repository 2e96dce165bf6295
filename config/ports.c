/* SPDX-License-Identifier: Apache-2.0 */
/* Host ports: the switch's ends of links that are no node's. A tap is an interface of the host's
 * kernel that the switch makes; a PCI address is a physical NIC that the switch takes; a vdev is
 * any virtual device of DPDK's; a VF, or a whole PF, is one that the lab hands over. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/schema.h"

const char *const topo_port_kind_names[TOPO_PORT_KINDS_N] = {
#define X(id, key, what) [TOPO_PORT_##id] = key,
	TOPO_PORT_KINDS(X)
#undef X
};

static const char *const kind_things[TOPO_PORT_KINDS_N] = {
#define X(id, key, what) [TOPO_PORT_##id] = what,
	TOPO_PORT_KINDS(X)
#undef X
};

static int port_leads_to(struct dec *d, const struct jtree *v, struct topo_port *port,
	enum topo_port_kind kind, const char *device)
{
	if (port->device)
		return dec_error(d, v->place,
			"a host port leads to one thing: \"%s\" is there already",
			topo_port_kind_names[port->kind]);
	port->kind = kind;
	port->device_place = v->place;
	port->device = strdup(device);
	return port->device ? 0 : dec_nomem(d);
}

/* As the kernel's dev_valid_name has it. */
static int port_tap(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_port *port = out;
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];
	bool bad;

	if (!s)
		return dec_error_type(d, v, "the name of an interface, such as \"lan0\"");
	bad = !*s || !strcmp(s, ".") || !strcmp(s, "..");
	for (const char *c = s; *c; c++)
		bad |= *c <= ' ' || *c > '~' || strchr("/:%,=\"\\", *c);
	if (bad)
		return dec_error(d, v->place,
			"an interface's name has letters, digits and . _ - only; found %s",
			dec_show(v->json, found));
	if (strlen(s) > TOPO_IFNAME_MAX)
		return dec_error(d, v->place,
			"an interface's name has at most %d characters in Linux; %s has %zu",
			TOPO_IFNAME_MAX, dec_show(v->json, found), strlen(s));
	return port_leads_to(d, v, port, TOPO_PORT_TAP, s);
}

/* "0000:03:00.0", or without the domain, of hex digits; made lower case with its domain. */
static int port_pci(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_port *port = out;
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW], text[16];
	static const char shape[] = "xxxx:xx:xx.7";
	bool good = s && (strlen(s) == 12 || strlen(s) == 7);

	if (good)
		snprintf(text, sizeof(text), "%s%s", strlen(s) == 7 ? "0000:" : "", s);
	for (size_t i = 0; good && i < 12; i++) {
		text[i] = (char)tolower((unsigned char)text[i]);
		good = shape[i] == 'x'    ? isxdigit((unsigned char)text[i]) != 0
			: shape[i] == '7' ? text[i] >= '0' && text[i] <= '7'
					  : text[i] == shape[i];
	}
	if (!good)
		return dec_error(d, v->place,
			"a PCI address is written as \"0000:03:00.0\" (lspci -D lists them); found %s",
			dec_show(v->json, found));
	return port_leads_to(d, v, port, TOPO_PORT_PCI, text);
}

/* A function of the lab's: a VF, or all of a PF, which then makes none. */
static int port_function(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_port *port = out;
	bool whole = strcmp(f->name, "pf") == 0;

	if (vf_pf(d, v, f, &port->vf))
		return -EINVAL;
	return port_leads_to(
		d, v, port, whole ? TOPO_PORT_PF : TOPO_PORT_VF, d->t->pfs->v[port->vf.pf].name);
}

/* A name of DPDK's, net_ and more, then arguments that are the driver's business. */
static int port_vdev(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	size_t len = s ? strcspn(s, ",") : 0;
	char found[DEC_SHOW];

	if (len <= 4 || len > TOPO_VDEV_NAME_MAX || strncmp(s, "net_", 4) != 0 ||
		strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != len ||
		strlen(s) > TOPO_VDEV_MAX)
		return dec_error(d, v->place,
			"a virtual device is written as DPDK does, with its arguments: "
			"\"net_tap0,iface=lab0\" (at most %d bytes); found %s",
			TOPO_VDEV_MAX, dec_show(v->json, found));
	return port_leads_to(d, v, out, TOPO_PORT_VDEV, s);
}

static const struct dec_range queues_range = { 1, TOPO_QUEUES_MAX, " queue pairs" };

/* A port, and what is wanted of its VF if it is one. */
struct entry {
	struct topo_port port; /* first: rows tell offsets in it */
	struct vf_want want;
};

/* VLANs are the switch's business here, so those of the VF aren't there. */
enum { PLAIN, IS_VF };
#define VF_KEY(name, fn, at)                                                              \
	{                                                                                 \
		name, fn, at, .kinds = 1u << IS_VF, .only = "ports that are VFs, \"vf\"", \
			      .hint = "name a PF in \"vf\""                               \
	}
#define WANT offsetof(struct entry, want)

static const struct dec_field port_keys[] = {
	{ "network", dec_network, offsetof(struct topo_port, network), .required = true },
	{ "tap", port_tap, 0, .def = NULL },
	{ "pci", port_pci, 0, .def = NULL },
	{ "vdev", port_vdev, 0, .def = NULL },
	{ "vf", port_function, 0, .def = NULL },
	{ "pf", port_function, 0, .def = NULL },
	{ "queues", dec_uint, offsetof(struct topo_port, queues), .def = "1",
		.arg = &queues_range },
	VF_KEY("index", vf_index, offsetof(struct topo_port, vf)),
	VF_KEY("mac", vf_mac, WANT),
	VF_KEY("min_rate", vf_min_rate, WANT),
	VF_KEY("max_rate", vf_max_rate, WANT),
	VF_KEY("spoofchk", vf_spoofchk, WANT),
	VF_KEY("trust", vf_trust, WANT),
	VF_KEY("link_state", vf_link_state, WANT),
	VF_KEY("driver", vf_driver, WANT),
	POLICY_KEYS(struct topo_port),
	{ 0 },
};

static int decode_port(struct dec *d, const struct jtree *v, struct topo_port *port)
{
	bool is_vf = json_is_object(v->json) && jtree_get(v, "vf");
	struct entry x = { .port = *port, .want.place = v->place };
	int rc = dec_object(d, v, port_keys, is_vf ? IS_VF : PLAIN, &x);

	if (!rc)
		rc = bridge_check_port(d, v, &x.port);

	/* The model owns what was made, whether all of it was or not. */
	*port = x.port;
	if (rc || !is_vf)
		return rc;
	port->mac = x.want.attrs.mac;
	port->mac_given = x.want.attrs.has & 1u << VF_MAC;
	port->mac_place = x.want.places[VF_MAC];
	return vf_keep(d, &port->vf, &x.want);
}

/* A virtual device is known by its name, whatever its arguments are. */
static bool same_device(const struct topo_port *a, const struct topo_port *b)
{
	size_t len = strcspn(a->device, ",");

	if (a->kind != b->kind)
		return false;
	if (a->kind == TOPO_PORT_VF)
		return false; /* a PF has many: vf.c gives them out */
	if (a->kind == TOPO_PORT_VDEV)
		return strcspn(b->device, ",") == len && strncmp(a->device, b->device, len) == 0;
	return strcmp(a->device, b->device) == 0;
}

static int check_port(struct dec *d, const struct jtree *v, const struct topo_port *new)
{
	const struct topology *t = d->t;

	if (!new->device)
		return dec_error(d, v->place,
			"a host port is a \"tap\" of the kernel's, a physical NIC, \"pci\", a "
			"virtual device of DPDK's, \"vdev\", a \"vf\" or all of a \"pf\" of the "
			"lab's: name one of them");
	for (const struct topo_port *old = t->ports; old < new; old++)
		if (same_device(new, old))
			return dec_error(d, new->device_place,
				"%s %s is port \"%s\"'s already (line %d)", kind_things[new->kind],
				new->device, old->name, old->device_place.line);
	return 0;
}

int ports_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topology *t = d->t;
	int rc = 0;

	if (!json_is_object(v->json))
		return dec_error_type(d, v, "an object of names, { \"NAME\": { ... } }");
	if (v->n > TOPO_ITEMS_MAX)
		return dec_error(
			d, v->place, "%zu of them; at most %d are possible", v->n, TOPO_ITEMS_MAX);
	t->ports = calloc(v->n ? v->n : 1, sizeof(*t->ports));
	if (!t->ports)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c && !rc; c = c->next) {
		struct topo_port *port = &t->ports[t->n_ports];

		if (dec_check_name(d, c->key_place, "a port's name", c->key))
			return -EINVAL;
		t->n_ports++;
		port->place = c->key_place;
		port->name = strdup(c->key);
		if (!port->name)
			return dec_nomem(d);
		size_t outer = dec_enter(d, "port \"%s\"", port->name);
		d->field = NULL;
		rc = decode_port(d, c, port);
		if (!rc)
			rc = check_port(d, c, port);
		if (!rc)
			dec_leave(d, outer);
	}
	return rc;
}

const struct dec_shape ports_shapes[] = {
	{ port_tap,
		.json = "{'type': 'string', 'minLength': 1, 'maxLength': " SHAPE_N(
			TOPO_IFNAME_MAX) ", 'pattern': '^[^/:%,= ]+$'}" },
	{ port_pci,
		.json = "{'type': 'string', 'pattern': '^([0-9A-Fa-f]{4}:)?[0-9A-Fa-f]{2}:"
			"[0-9A-Fa-f]{2}\\\\.[0-7]$'}" },
	{ port_vdev,
		.json = "{'type': 'string', 'maxLength': " SHAPE_N(
			TOPO_VDEV_MAX) ", "
				       "'pattern': '^net_[a-z0-9_]+(,.*)?$'}" },
	{ port_function, .like = vf_pf },
	{ ports_decode, .json = SHAPE_NAMED(0, TOPO_ITEMS_MAX, SHAPE_REF("port")), .object = "port",
		.keys = port_keys },
	{ 0 },
};
