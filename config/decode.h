/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table-driven decoder: an object of the file is a table of its keys, a key is a row: its
 * name, what decodes its value, where the result goes, what holds if it is absent. A new key is a
 * new row. Decoders of values that occur in several places are declared here too (values.c).
 *
 * Private to config/. One thread; the first error ends the decoding.
 */
#ifndef LANYARD_CONFIG_DECODE_H
#define LANYARD_CONFIG_DECODE_H

#include "config/jtree.h"
#include "config/pfs.h"
#include "config/topology.h"

struct dec {
	const char *file;
	struct topology *t; /* NULL in a file of PFs alone */
	struct err *e;
	char where[256];   /* "node \"a\", NIC 0", or "" */
	const char *field; /* the key being decoded: goes to err.field */
};

struct dec_field;

/* Decodes v to out (the object's field). 0 or -errno with d->e filled. */
typedef int (*dec_fn)(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out);

struct dec_field {
	const char *name; /* NULL ends a table */
	dec_fn fn;
	size_t offset; /* of the result in the object */
	bool required;
	const char *def;  /* JSON text decoded when the key is absent; NULL: left as it is */
	const void *arg;  /* for fn: struct dec_range, names ending with NULL */
	unsigned kinds;   /* nodes: 1 << enum dec_kind of those that have the key; 0: all */
	const char *only; /* who they are, for whoever gave the key to another: "VMs whose ..." */
	const char *hint; /* what else may be done; NULL: "change the node's kind or guest" */
};

/* A node's kind, and of a VM what runs in it, as far as that says which keys there are. */
enum dec_kind { DEC_PROBE, DEC_PROCESS, DEC_EXTERNAL, DEC_LINUX, DEC_FILE };

struct dec_range {
	double min, max;
	const char *unit; /* " bytes", or "" */
};

/* Decodes an object's keys to out, in the order of the table (so that a row may use what rows
 * before it found). kind: see dec_field.kinds. */
int dec_object(
	struct dec *d, const struct jtree *v, const struct dec_field *table, int kind, void *out);

/* "FILE:LINE:COL: WHERE: sentence"; returns -EINVAL. */
int dec_error(struct dec *d, struct topo_place at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int dec_nomem(struct dec *d);

/* "mtu" must be an integer; found "1500". */
int dec_error_type(struct dec *d, const struct jtree *v, const char *wanted);

/* Unknown `what` (as quoted), the nearest of the n words, and all of them (a few). */
int dec_error_unknown(struct dec *d, struct topo_place at, const char *what, const char *found,
	size_t n, const char *(*word)(const void *ctx, size_t i), const void *ctx);

/* The value as in the file, cut to fit, safe to print; to out[DEC_SHOW]; returns out. */
#define DEC_SHOW 80
char *dec_show(const json_t *j, char *out);
char *dec_quote(const char *s, char *out);

/* Enters a part ("node \"a\""): returns the length to give to dec_leave. */
size_t dec_enter(struct dec *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dec_leave(struct dec *d, size_t len);

/* Decoders of values: the type of *out is named. */
int dec_uint(struct dec *, const struct jtree *, const struct dec_field *, void *);   /* uint32_t */
int dec_real(struct dec *, const struct jtree *, const struct dec_field *, void *);   /* double */
int dec_bool(struct dec *, const struct jtree *, const struct dec_field *, void *);   /* bool */
int dec_enum(struct dec *, const struct jtree *, const struct dec_field *, void *);   /* int */
int dec_name(struct dec *, const struct jtree *, const struct dec_field *, void *);   /* char * */
int dec_title(struct dec *, const struct jtree *, const struct dec_field *, void *);  /* char * */
int dec_memory(struct dec *, const struct jtree *, const struct dec_field *, void *); /* uint64_t */
int dec_rate(struct dec *, const struct jtree *, const struct dec_field *, void *);
int dec_mac(struct dec *, const struct jtree *, const struct dec_field *, void *); /* topo_nic */
int dec_cpus(struct dec *, const struct jtree *, const struct dec_field *, void *);
/* An address that is some station's own: no multicast one, not all zeros. */
int dec_unicast(struct dec *d, const struct jtree *v, struct ether_mac *out);

/* A path's or a command line's characters: text to *out (char *), at most f->arg's range. */
int dec_path(struct dec *, const struct jtree *, const struct dec_field *, void *); /* char * */

/* A Linux guest's or an image's keys (guest.c, storage.c, address.c); *out is a struct topo_node,
 * or a struct topo_nic. */
int guest_decode(struct dec *, const struct jtree *, const struct dec_field *, void *);
int guest_kernel(struct dec *, const struct jtree *, const struct dec_field *, void *);
int guest_modules(struct dec *, const struct jtree *, const struct dec_field *, void *);
int guest_initramfs(struct dec *, const struct jtree *, const struct dec_field *, void *);
int guest_cmdline(struct dec *, const struct jtree *, const struct dec_field *, void *);
int guest_files(struct dec *, const struct jtree *, const struct dec_field *, void *);
int guest_cpu(struct dec *, const struct jtree *, const struct dec_field *, void *);
int guest_hugepages(struct dec *, const struct jtree *, const struct dec_field *, void *);
void guest_free(struct topo_node *n);
/* What the value of "guest" says: its keys depend on it. A wrong one counts as the probe. */
enum topo_guest guest_kind(const struct jtree *v);

int storage_disks(struct dec *, const struct jtree *, const struct dec_field *, void *);
int storage_shares(struct dec *, const struct jtree *, const struct dec_field *, void *);
int storage_root(struct dec *, const struct jtree *, const struct dec_field *, void *);
int storage_settle(struct dec *d); /* what nodes write to is their own */
void storage_free(struct topo_node *n);

int address_list(struct dec *, const struct jtree *, const struct dec_field *, void *); /* nic */
int address_routes(struct dec *, const struct jtree *, const struct dec_field *, void *);
int address_settle(struct dec *d); /* unique in a network; gateways are neighbours */
/* Whether `other` is in the network of a NIC that has the address. */
bool address_is_near(const struct topo_address *a, const struct topo_address *other);
void address_free(struct topo_node *n);

/* Policy of a port (policy.c); *out is a struct topo_policy. */
int policy_vlan(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_isolated(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_admin(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_mac_limit(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_static(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_spoof(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_storm(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_police(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_mirror(struct dec *, const struct jtree *, const struct dec_field *, void *);
int policy_offloads(struct dec *, const struct jtree *, const struct dec_field *, void *);
void policy_free(struct topo_policy *p);

/* The rows that every object with a `policy` member has. */
#define POLICY_KEYS(type)                                                  \
	{ "vlan", policy_vlan, offsetof(type, policy) },                   \
		{ "isolated", policy_isolated, offsetof(type, policy) },   \
		{ "admin", policy_admin, offsetof(type, policy) },         \
		{ "mac_limit", policy_mac_limit, offsetof(type, policy) }, \
		{ "static", policy_static, offsetof(type, policy) },       \
		{ "anti_spoof", policy_spoof, offsetof(type, policy) },    \
		{ "storm", policy_storm, offsetof(type, policy) },         \
		{ "police", policy_police, offsetof(type, policy) },       \
		{ "mirror", policy_mirror, offsetof(type, policy) },       \
	{                                                                  \
		"offloads", policy_offloads, offsetof(type, policy)        \
	}

/* A VF's attributes (pfs.c); *out is a struct vf_want. */
int vf_mac(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_vlan(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_qos(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_vlan_protocol(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_min_rate(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_max_rate(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_spoofchk(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_trust(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_link_state(struct dec *, const struct jtree *, const struct dec_field *, void *);
int vf_driver(struct dec *, const struct jtree *, const struct dec_field *, void *);

/* A driver's name to out[PFS_DRIVER_LEN]; "" for "none". */
int dec_driver(struct dec *d, const struct jtree *v, char *out);

/* The rows of these for an object that has a struct vf_want at that offset. */
#define VF_KEYS(at)                                                                         \
	{ "mac", vf_mac, at }, { "vlan", vf_vlan, at }, { "qos", vf_qos, at },              \
		{ "vlan_protocol", vf_vlan_protocol, at }, { "min_rate", vf_min_rate, at }, \
		{ "max_rate", vf_max_rate, at }, { "spoofchk", vf_spoofchk, at },           \
		{ "trust", vf_trust, at }, { "link_state", vf_link_state, at },             \
	{                                                                                   \
		"driver", vf_driver, at                                                     \
	}

/* Whose a VF is (vf.c). vf_nic decodes all of a NIC that is one; vf_port and vf_port_index the keys
 * of a port, which takes the attributes that its struct vf_want got. *out: see there. */
int vf_nic(struct dec *, const struct jtree *v, int kind, struct topo_nic *);
int vf_pf(struct dec *, const struct jtree *, const struct dec_field *, void *);    /* topo_vf */
int vf_index(struct dec *, const struct jtree *, const struct dec_field *, void *); /* topo_vf */
int vf_keep(struct dec *, struct topo_vf *, const struct vf_want *);
int vf_settle(struct dec *d); /* who has which; before MACs are settled */
int vf_finish(struct dec *d); /* all that is wanted goes to `pfs`; after it */

/* "pfs" of a file (pfs.c); *out is a struct pfs, whose file is the caller's to set. */
int pfs_decode(struct dec *, const struct jtree *, const struct dec_field *, void *);

/* [a-z0-9][a-z0-9_-]*, at most TOPO_NAME_MAX; at: its place. what: "a lab's name". */
int dec_check_name(struct dec *d, struct topo_place at, const char *what, const char *name);

/* What a network that is a bridge of the kernel's does not have (bridge.c). */
int bridge_check_nic(
	struct dec *d, const struct jtree *v, enum dec_kind kind, const struct topo_nic *nic);
int bridge_check_port(struct dec *d, const struct jtree *v, const struct topo_port *port);

/* The other files' parts of a load, in this order. */
int traffic_decode(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out); /* topology */
int method_decode(
	struct dec *, const struct jtree *, const struct dec_field *, void *); /* topo_method * */
/* TCP (tcp.c): *out is a struct topo_tcp; v of the checks: the method, the entry. */
int tcp_decode(struct dec *, const struct jtree *, const struct dec_field *, void *);
int tcp_check_method(struct dec *d, const struct jtree *v);
int tcp_check_keys(struct dec *d, const struct jtree *v);
int tcp_check_flow(struct dec *d, const struct topo_traffic *x);
int macs_settle(struct dec *d);
int policies_settle(struct dec *d);
int ports_decode(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out); /* topology */
int dec_network(struct dec *, const struct jtree *, const struct dec_field *, void *); /* size_t */

#endif
