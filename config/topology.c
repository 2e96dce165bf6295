/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the topology file's objects, but for traffic (traffic.c), and the load. */
#include "config/topology.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "config/decode.h"
#include "config/ends.h"
#include "config/schema.h"
#include "config/suggest.h"

#define VERSION   1
#define LINUX_MIN (128ull << 20)

/* Who has a key: see enum dec_kind. */
#define ONLY_LINUX   (1u << DEC_LINUX)
#define ONLY_FILE    (1u << DEC_FILE)
#define IMAGES       (ONLY_LINUX | ONLY_FILE)
#define ONLY_VM      (1u << DEC_PROBE | IMAGES)
#define ONLY_PROCESS (1u << DEC_PROCESS)
#define OURS         (ONLY_VM | ONLY_PROCESS)
#define NOBODY       (1u << 31)

/* The same for whoever gave one to another. */
#define SAY_LINUX  "VMs whose guest is \"linux\""
#define SAY_FILE   "VMs whose guest is an image's file"
#define SAY_IMAGES "VMs whose guest is \"linux\" or an image's file"
#define SAY_VM     "VMs"

static int decode_version(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	char found[DEC_SHOW];

	if (!json_is_integer(v->json) || json_integer_value(v->json) != VERSION)
		return dec_error(d, v->place,
			"this lanyard reads topology files of version %d; found %s", VERSION,
			dec_show(v->json, found));
	return 0;
}

static const struct dec_range mtu_range = { TOPO_MTU_MIN, TOPO_MTU_MAX, " bytes" };
static const struct dec_range ageing_range = { 1, 86400, " seconds" };
static const struct dec_range queues_range = { 1, TOPO_QUEUES_MAX, " queue pairs" };
static const struct dec_range vcpus_range = { 1, TOPO_VCPUS_MAX, " vCPUs" };
static const char *const poll_names[] = {
	[TOPO_POLL_ADAPTIVE] = "adaptive",
	[TOPO_POLL_BUSY] = "busy",
	NULL,
};
static const char *const kind_names[] = {
	[TOPO_VM] = "vm",
	[TOPO_PROCESS] = "process",
	[TOPO_EXTERNAL] = "external",
	NULL,
};

/* ---- switch ---- */

static const struct dec_field switch_keys[] = {
	{ "cpus", dec_cpus, offsetof(struct topo_switch, cpus), .def = "\"auto\"" },
	{ "poll", dec_enum, offsetof(struct topo_switch, poll), .def = "\"adaptive\"",
		.arg = poll_names },
	{ 0 },
};

static int decode_switch(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	size_t outer = dec_enter(d, "switch");
	struct topo_switch *sw = out;

	sw->place = v->place;
	if (dec_object(d, v, switch_keys, 0, sw))
		return -EINVAL;
	dec_leave(d, outer);
	return 0;
}

/* ---- networks, nodes: objects whose keys are names ---- */

/* Checks an object of named things; allocates n of them, zeroed, to *out. what: of which there must
 * be one; NULL: there need not. */
static int items_new(struct dec *d, const struct jtree *v, const char *what, size_t size, void *out)
{
	if (!json_is_object(v->json))
		return dec_error_type(d, v, "an object of names, { \"NAME\": { ... } }");
	if (v->n == 0 && what)
		return dec_error(d, v->place, "a topology needs one %s at least", what);
	if (v->n > TOPO_ITEMS_MAX)
		return dec_error(
			d, v->place, "%zu of them; at most %d are possible", v->n, TOPO_ITEMS_MAX);
	*(void **)out = calloc(v->n ? v->n : 1, size);
	return *(void **)out ? 0 : dec_nomem(d);
}

static const char *const network_kinds[] = {
	[TOPO_NET_SWITCH] = "switch",
	[TOPO_NET_BRIDGE] = "bridge",
	NULL,
};

static const struct dec_field network_keys[] = {
	{ "kind", dec_enum, offsetof(struct topo_network, kind), .def = "\"switch\"",
		.arg = network_kinds },
	{ "mtu", dec_uint, offsetof(struct topo_network, mtu), .def = "1500", .arg = &mtu_range },
	{ "ageing_s", dec_uint, offsetof(struct topo_network, ageing_s), .def = "300",
		.arg = &ageing_range },
	{ 0 },
};

static int decode_networks(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topology *t = d->t;
	int rc = items_new(d, v, t->pfs->n ? NULL : "network", sizeof(*t->networks), &t->networks);

	for (const struct jtree *c = v->first; c && !rc; c = c->next) {
		struct topo_network *net = &t->networks[t->n_networks];

		if (dec_check_name(d, c->key_place, "a network's name", c->key))
			return -EINVAL;
		t->n_networks++;
		net->place = c->key_place;
		net->name = strdup(c->key);
		if (!net->name)
			return dec_nomem(d);
		size_t outer = dec_enter(d, "network \"%s\"", net->name);
		rc = dec_object(d, c, network_keys, 0, net);
		if (!rc)
			dec_leave(d, outer);
	}
	return rc;
}

static const char *word_of_networks(const void *ctx, size_t i)
{
	return ((const struct topology *)ctx)->networks[i].name;
}

int dec_network(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const struct topology *t = d->t;
	const char *s = json_string_value(v->json);

	if (!s)
		return dec_error_type(d, v, "the name of a network");
	for (size_t i = 0; i < t->n_networks; i++) {
		if (strcmp(t->networks[i].name, s) == 0) {
			*(size_t *)out = i;
			return 0;
		}
	}
	return dec_error_unknown(d, v->place, "network", s, t->n_networks, word_of_networks, t);
}

static const char *const ring_names[] = { "split", "packed", NULL };

static int decode_packed(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	bool packed = false;
	int rc = dec_bool(d, v, f, &packed);

	((struct topo_nic *)out)->packed = packed;
	return rc;
}

/* Of a NIC that is a VF (vf.c): named here for whoever gives them to another. */
#define VF_ONLY(key)                                                       \
	{                                                                  \
		key, .kinds = NOBODY, .only = "NICs that are VFs, \"vf\"", \
		     .hint = "name a PF in \"vf\" instead of a network"    \
	}

static const struct dec_field nic_keys[] = {
	{ "network", dec_network, offsetof(struct topo_nic, network), .required = true },
	{ "mac", dec_mac, 0, .def = NULL },
	{ "queues", dec_uint, offsetof(struct topo_nic, queues), .def = "1", .arg = &queues_range },
	{ "ring", dec_enum, offsetof(struct topo_nic, packed), .def = "\"split\"",
		.arg = ring_names, .kinds = ONLY_PROCESS,
		.only = "nodes of kind process (a VM has \"packed\")" },
	{ "packed", decode_packed, 0, .def = "true", .kinds = IMAGES, .only = SAY_IMAGES },
	{ "addresses", address_list, 0, .kinds = ONLY_LINUX, .only = SAY_LINUX },
	{ "mergeable", dec_bool, offsetof(struct topo_nic, mergeable), .def = "true" },
	VF_ONLY("index"),
	VF_ONLY("qos"),
	VF_ONLY("vlan_protocol"),
	VF_ONLY("min_rate"),
	VF_ONLY("max_rate"),
	VF_ONLY("spoofchk"),
	VF_ONLY("trust"),
	VF_ONLY("link_state"),
	VF_ONLY("driver"),
	POLICY_KEYS(struct topo_nic),
	{ 0 },
};

static int decode_nic(
	struct dec *d, const struct jtree *v, enum dec_kind kind, struct topo_nic *nic)
{
	if (json_is_object(v->json) && jtree_get(v, "vf"))
		return vf_nic(d, v, kind, nic);
	int rc = dec_object(d, v, nic_keys, kind, nic);

	return rc ? rc : bridge_check_nic(d, v, kind, nic);
}

static enum dec_kind kind_of(const struct topo_node *n)
{
	static const enum dec_kind guests[] = { [TOPO_GUEST_PROBE] = DEC_PROBE,
		[TOPO_GUEST_LINUX] = DEC_LINUX,
		[TOPO_GUEST_FILE] = DEC_FILE };

	if (n->kind == TOPO_PROCESS)
		return DEC_PROCESS;
	return n->kind == TOPO_EXTERNAL ? DEC_EXTERNAL : guests[n->guest_kind];
}

static int decode_nics(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	if (!json_is_array(v->json))
		return dec_error_type(d, v, "a list of NICs, [ { \"network\": \"NAME\" } ]");
	if (v->n == 0 || v->n > TOPO_NICS_MAX)
		return dec_error(
			d, v->place, "a node has 1 to %d NICs; found %zu", TOPO_NICS_MAX, v->n);
	node->nics = calloc(v->n, sizeof(*node->nics));
	if (!node->nics)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next) {
		struct topo_nic *nic = &node->nics[node->n_nics];
		size_t outer = dec_enter(d, "NIC %zu", node->n_nics);

		node->n_nics++;
		nic->place = c->place;
		d->field = NULL;
		int rc = decode_nic(d, c, kind_of(node), nic);
		if (rc)
			return rc;
		dec_leave(d, outer);
	}
	return 0;
}

static int decode_node_memory(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	char found[DEC_SHOW];

	node->memory_place = v->place;
	if (dec_memory(d, v, f, &node->memory))
		return -EINVAL;
	if (node->memory < LINUX_MIN && node->guest_kind == TOPO_GUEST_LINUX)
		return dec_error(d, v->place, "a Linux guest needs 128M at least; found %s",
			dec_show(v->json, found));
	return 0;
}

static int decode_vcpus(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	node->vcpus_place = v->place;
	return dec_uint(d, v, f, &node->vcpus);
}

static int decode_node_cpus(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;
	int rc = dec_cpus(d, v, f, &node->cpus);

	if (!rc && node->cpus.n && node->cpus.n != node->vcpus)
		return dec_error(d, v->place,
			"%zu CPU%s for %u %s%s: name one for each, or say \"auto\"", node->cpus.n,
			node->cpus.n == 1 ? "" : "s", node->vcpus,
			node->kind == TOPO_VM ? "vCPU" : "thread", node->vcpus == 1 ? "" : "s");
	return rc;
}

static const struct dec_field node_keys[] = {
	{ "kind", dec_enum, offsetof(struct topo_node, kind), .required = true, .arg = kind_names },
	{ "guest", guest_decode, 0, .def = "\"probe\"", .kinds = ONLY_VM, .only = SAY_VM },
	{ "vcpus", decode_vcpus, 0, .def = "1", .arg = &vcpus_range, .kinds = ONLY_VM,
		.only = SAY_VM },
	{ "memory", decode_node_memory, 0, .def = "\"64M\"", .kinds = OURS & ~ONLY_LINUX },
	{ "memory", decode_node_memory, 0, .def = "\"256M\"", .kinds = ONLY_LINUX },
	{ "cpus", decode_node_cpus, 0, .def = "\"auto\"", .kinds = OURS },
	{ "nics", decode_nics, 0, .required = true },
	{ "kernel", guest_kernel, 0, .kinds = ONLY_LINUX, .only = SAY_LINUX },
	{ "modules", guest_modules, 0, .kinds = ONLY_LINUX, .only = SAY_LINUX },
	{ "files", guest_files, 0, .kinds = ONLY_LINUX, .only = SAY_LINUX },
	{ "disks", storage_disks, 0, .kinds = IMAGES, .only = SAY_IMAGES },
	{ "shares", storage_shares, 0, .kinds = IMAGES, .only = SAY_IMAGES },
	{ "root", storage_root, 0, .kinds = ONLY_LINUX, .only = SAY_LINUX },
	{ "routes", address_routes, 0, .kinds = ONLY_LINUX, .only = SAY_LINUX },
	{ "forward", dec_bool, offsetof(struct topo_node, forward), .kinds = ONLY_LINUX,
		.only = SAY_LINUX },
	{ "initramfs", guest_initramfs, 0, .kinds = ONLY_FILE, .only = SAY_FILE },
	{ "cmdline", guest_cmdline, 0, .kinds = IMAGES, .only = SAY_IMAGES },
	{ "cpu", guest_cpu, 0, .kinds = ONLY_VM, .only = SAY_VM },
	{ "hugepages", guest_hugepages, 0, .kinds = ONLY_VM, .only = SAY_VM },
	{ 0 },
};

/* The kind and the guest come first: they say which of the other keys there are. */
static int decode_node(struct dec *d, const struct jtree *v, struct topo_node *node)
{
	const struct jtree *kind = jtree_get(v, "kind");

	d->field = NULL;
	if (json_is_object(v->json) && kind) {
		d->field = "kind";
		int rc = dec_enum(d, kind, &node_keys[0], &node->kind);

		if (rc)
			return rc;
		d->field = NULL;
	}
	node->vcpus = node->kind == TOPO_PROCESS; /* its one thread */
	if (json_is_object(v->json) && node->kind == TOPO_VM)
		node->guest_kind = guest_kind(jtree_get(v, "guest"));
	return dec_object(d, v, node_keys, (int)kind_of(node), node);
}

static int decode_nodes(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topology *t = d->t;
	int rc = items_new(d, v, "node", sizeof(*t->nodes), &t->nodes);

	for (const struct jtree *c = v->first; c && !rc; c = c->next) {
		struct topo_node *node = &t->nodes[t->n_nodes];

		if (dec_check_name(d, c->key_place, "a node's name", c->key))
			return -EINVAL;
		if (strcmp(c->key, "switch") == 0)
			return dec_error(d, c->key_place,
				"a node may not be named \"switch\": in a lab's folder that is the "
				"switch itself");
		t->n_nodes++;
		node->place = c->key_place;
		node->name = strdup(c->key);
		if (!node->name)
			return dec_nomem(d);
		size_t outer = dec_enter(d, "node \"%s\"", node->name);
		rc = decode_node(d, c, node);
		if (!rc)
			dec_leave(d, outer);
	}
	return rc;
}

/* ---- the file ---- */

static int decode_pfs(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topology *t = d->t;

	t->pfs = calloc(1, sizeof(*t->pfs));
	if (t->pfs)
		t->pfs->file = strdup(d->file);
	return t->pfs && t->pfs->file ? pfs_decode(d, v, f, t->pfs) : dec_nomem(d);
}

/* In the order of decoding: what a row refers to comes before it. */
const struct dec_field topology_keys[] = {
	{ "version", decode_version, 0, .required = true },
	{ "lab", dec_name, offsetof(struct topology, lab), .required = true,
		.arg = "a lab's name" },
	{ "switch", decode_switch, offsetof(struct topology, sw), .def = "{}" },
	{ "pfs", decode_pfs, 0, .def = "{}" },
	{ "networks", decode_networks, 0 }, /* required without pfs: decode_file */
	{ "nodes", decode_nodes, 0, .required = true },
	{ "ports", ports_decode, 0, .def = "{}" },
	{ "paths", paths_decode, 0, .def = "{}" },
	{ "traffic", traffic_decode, 0, .def = "[]" },
	{ 0 },
};

/* With `pfs` a lab may do without networks: guests whose NICs are all VFs need no switch. */
static int decode_file(struct dec *d, const struct jtree *root)
{
	struct dec_field keys[sizeof(topology_keys) / sizeof(topology_keys[0])];

	memcpy(keys, topology_keys, sizeof(keys));
	for (struct dec_field *f = keys; f->name; f++)
		if (f->fn == decode_networks && json_is_object(root->json))
			f->required = !jtree_get(root, "pfs");
	return dec_object(d, root, keys, 0, d->t);
}

int topology_parse(
	const char *file, const char *text, size_t len, struct topology **out, struct err *e)
{
	struct topology *t = calloc(1, sizeof(*t));
	struct jtree *root = NULL;
	struct dec d = { .file = file, .t = t, .e = e };
	int rc = -ENOMEM;

	*out = NULL;
	if (t)
		t->file = strdup(file);
	if (!t || !t->file) {
		dec_nomem(&d);
		goto out;
	}
	if (len > TOPO_FILE_MAX) {
		rc = err_request(e, -EFBIG, "%s: larger than %u KiB: this is no topology file",
			file, TOPO_FILE_MAX >> 10);
		goto out;
	}
	rc = jtree_parse(file, text, len, &root, e);
	/* The version comes first: a later one may have keys that are unknown here. */
	if (!rc && jtree_get(root, "version"))
		rc = decode_version(&d, jtree_get(root, "version"), NULL, NULL);
	if (!rc)
		rc = decode_file(&d, root);
	if (!rc)
		rc = vf_settle(&d);
	if (!rc)
		rc = macs_settle(&d);
	if (!rc)
		rc = vf_finish(&d);
	if (!rc)
		rc = policies_settle(&d);
	if (!rc)
		rc = address_settle(&d);
	if (!rc)
		rc = storage_settle(&d);
out:
	jtree_free(root);
	if (rc)
		topology_free(t);
	else
		*out = t;
	return rc;
}

int topology_load(const char *file, struct topology **out, struct err *e)
{
	char *text = NULL;
	size_t len = 0;
	int rc;

	*out = NULL;
	rc = fd_read_file(file, TOPO_FILE_MAX, &text, &len, e);
	if (rc)
		return rc;
	rc = topology_parse(file, text, len, out, e);
	free(text);
	return rc;
}

static void nic_free(struct topo_nic *nic)
{
	policy_free(&nic->policy);
	free(nic->vf.want);
}

void topology_free(struct topology *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_networks; i++)
		free(t->networks[i].name);
	for (size_t i = 0; i < t->n_nodes; i++) {
		free(t->nodes[i].name);
		free(t->nodes[i].cpus.cpu);
		guest_free(&t->nodes[i]);
		storage_free(&t->nodes[i]);
		address_free(&t->nodes[i]);
		for (size_t j = 0; j < t->nodes[i].n_nics; j++)
			nic_free(&t->nodes[i].nics[j]);
		free(t->nodes[i].nics);
	}
	for (size_t i = 0; i < t->n_ports; i++) {
		free(t->ports[i].name);
		free(t->ports[i].device);
		free(t->ports[i].vf.want);
		policy_free(&t->ports[i].policy);
	}
	if (t->pfs)
		pfs_free(t->pfs);
	for (size_t i = 0; i < t->n_traffic; i++) {
		free(t->traffic[i].name);
		free(t->traffic[i].entry_name);
		free(t->traffic[i].flows);
		free(t->traffic[i].group);
		free(t->traffic[i].method);
	}
	for (size_t i = 0; i < t->n_paths; i++) {
		free(t->paths[i].name);
		free(t->paths[i].what);
		free(t->paths[i].from);
		free(t->paths[i].to);
	}
	free(t->networks);
	free(t->paths);
	free(t->pfs);
	free(t->nodes);
	free(t->ports);
	free(t->traffic);
	free(t->sw.cpus.cpu);
	free(t->file);
	free(t->lab);
	free(t);
}

int topology_error(const struct topology *t, struct topo_place place, enum err_class class,
	int code, struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, class, code, fmt, ap);
	va_end(ap);
	if (place.line)
		err_prefix(e, "%s:%d:%d", t->file, place.line, place.col);
	else
		err_prefix(e, "%s", t->file);
	return code;
}

char *topology_port_name(const struct topology *t, size_t node, size_t nic, char *out)
{
	snprintf(out, TOPO_NAME_MAX + 12, "%s.%zu", t->nodes[node].name, nic);
	return out;
}

/* ---- shapes: see schema.h ---- */

static const char *const node_kinds[] = {
	[DEC_PROBE] = "{'required': ['kind'], 'properties': {'kind': {'const': 'vm'}, "
		      "'guest': {'const': 'probe'}}}",
	[DEC_PROCESS] = "{'required': ['kind'], 'properties': {'kind': {'const': 'process'}}}",
	[DEC_EXTERNAL] = "{'required': ['kind'], 'properties': {'kind': {'const': 'external'}}}",
	[DEC_LINUX] = "{'required': ['kind', 'guest'], 'properties': {'kind': {'const': 'vm'}, "
		      "'guest': {'const': 'linux'}}}",
	[DEC_FILE] = "{'required': ['kind', 'guest'], 'properties': {'kind': {'const': 'vm'}, "
		     "'guest': {'not': {'enum': ['probe', 'linux']}}}}",
};

const struct dec_shape topology_shapes[] = {
	{ decode_version, .json = "{'const': " SHAPE_N(VERSION) "}" },
	{ decode_switch, .object = "switch", .keys = switch_keys },
	{ decode_networks, .json = SHAPE_NAMED(0, TOPO_ITEMS_MAX, SHAPE_REF("network")),
		.object = "network", .keys = network_keys },
	{ dec_network, .json = SHAPE_NAME },
	{ decode_packed, .like = dec_bool },
	{ decode_nics, .json = SHAPE_LIST(1, TOPO_NICS_MAX, SHAPE_REF("nic")), .object = "nic",
		.keys = nic_keys, .or_object = "vf", .or_keys = vf_nic_keys },
	{ decode_pfs, .like = pfs_decode },
	{ decode_node_memory, .like = dec_memory },
	{ decode_vcpus, .like = dec_uint },
	{ decode_node_cpus, .like = dec_cpus },
	{ decode_nodes, .json = SHAPE_NAMED(1, TOPO_ITEMS_MAX, SHAPE_REF("node")), .object = "node",
		.keys = node_keys, .kinds = node_kinds },
	{ 0 },
};
