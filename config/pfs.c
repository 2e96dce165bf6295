/* SPDX-License-Identifier: Apache-2.0 */
/* The table of "pfs" and the load of a desired-state file. A VF's keys are vf.c's. */
#include "config/pfs.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "config/decode.h"
#include "config/schema.h"

#define VERSION 1

#define X(id, key) [VF_##id] = key,
const char *const vf_attr_names[VF_ATTRS_N + 1] = { VF_ATTRS(X) };
#undef X
#define X(id, key) [PF_##id] = key,
const char *const pf_attr_names[PF_ATTRS_N + 1] = { PF_ATTRS(X) };
#undef X

static const struct dec_field vf_keys[] = { VF_KEYS(0), { 0 } };

/* ---- a PF's keys: out is a struct pf_want ---- */

int pfs_addr(const char *text, char *out)
{
	unsigned domain = 0, bus, dev, fn;
	int end = -1;

	if (strspn(text, "0123456789abcdefABCDEF:.") != strlen(text))
		return -EINVAL;
	if (sscanf(text, "%8x:%2x:%2x.%1u%n", &domain, &bus, &dev, &fn, &end) != 4 || text[end]) {
		domain = 0;
		end = -1;
		if (sscanf(text, "%2x:%2x.%1u%n", &bus, &dev, &fn, &end) != 3 || text[end])
			return -EINVAL;
	}
	if (dev > 31 || fn > 7)
		return -EINVAL;
	snprintf(out, PFS_ADDR_LEN, "%04x:%02x:%02x.%u", domain, bus, dev, fn);
	return 0;
}

static int decode_pci(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	struct pf_want *pf = out;
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "a PCI address such as \"0000:03:00.0\"");
	pf->device_place = v->place;
	if (pfs_addr(s, pf->pci))
		return dec_error(d, v->place,
			"a PCI address looks like \"0000:03:00.0\" (lspci -D lists them); found %s",
			dec_show(v->json, found));
	return 0;
}

static int decode_interface(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	struct pf_want *pf = out;
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "an interface's name such as \"eth0\"");
	if (pf->pci[0])
		return dec_error(
			d, v->place, "\"pci\" names the PF already: leave one of the two out");
	pf->device_place = v->place;
	if (!*s || strlen(s) >= sizeof(pf->interface) || strpbrk(s, "/ \t\n") || *s == '.')
		return dec_error(d, v->place,
			"an interface's name has 1 to %zu characters, without / and spaces; found %s",
			sizeof(pf->interface) - 1, dec_show(v->json, found));
	snprintf(pf->interface, sizeof(pf->interface), "%s", s);
	return 0;
}

static void pf_given(struct pf_want *pf, enum pf_attr attr, const struct jtree *v)
{
	pf->attrs.has |= 1u << attr;
	pf->places[attr] = v->place;
}

static const struct dec_range num_vfs_range = { 0, PFS_VFS_MAX, "" };
static const struct dec_field num_vfs_row = { "num_vfs", dec_uint, .arg = &num_vfs_range };

static int decode_num_vfs(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct pf_want *pf = out;

	pf_given(pf, PF_NUM_VFS, v);
	return dec_uint(d, v, &num_vfs_row, &pf->attrs.num_vfs);
}

static int decode_autoprobe(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct pf_want *pf = out;

	pf_given(pf, PF_AUTOPROBE, v);
	return dec_bool(d, v, f, &pf->attrs.autoprobe);
}

static const struct dec_range mtu_range = { TOPO_MTU_MIN, 65535, "" };
static const struct dec_field mtu_row = { "mtu", dec_uint, .arg = &mtu_range };

static int decode_mtu(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct pf_want *pf = out;

	pf_given(pf, PF_MTU, v);
	return dec_uint(d, v, &mtu_row, &pf->attrs.mtu);
}

static int decode_up(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct pf_want *pf = out;

	pf_given(pf, PF_UP, v);
	return dec_bool(d, v, f, &pf->attrs.up);
}

static int decode_pf_driver(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct pf_want *pf = out;

	pf_given(pf, PF_DRIVER, v);
	return dec_driver(d, v, pf->attrs.driver);
}

/* "3" or "0-6" to its ends. */
static int decode_indices(struct dec *d, const struct jtree *c, uint32_t *from, uint32_t *to)
{
	char quoted[DEC_SHOW];
	int end = -1;

	if (c->key[0] >= '0' && c->key[0] <= '9' && strlen(c->key) < 12) {
		if (sscanf(c->key, "%u-%u%n", from, to, &end) == 2 && end > 0 && !c->key[end])
			goto found;
		end = -1;
		if (sscanf(c->key, "%u%n", from, &end) == 1 && end > 0 && !c->key[end]) {
			*to = *from;
			goto found;
		}
	}
	return dec_error(d, c->key_place,
		"VFs are named by their index, \"0\", or a range of them, \"0-6\"; found %s",
		dec_quote(c->key, quoted));
found:
	if (*from > *to)
		return dec_error(
			d, c->key_place, "VFs %u-%u: the lower index comes first", *from, *to);
	if (*to >= PFS_VFS_MAX)
		return dec_error(d, c->key_place, "VFs are numbered 0 to %d; found %u",
			PFS_VFS_MAX - 1, *to);
	return 0;
}

static int vf_order(const void *a, const void *b)
{
	const struct vf_want *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static int add_vfs(struct dec *d, const struct jtree *c, struct pf_want *pf)
{
	struct vf_want one = { .place = c->key_place };
	uint32_t from, to;
	size_t outer;

	if (decode_indices(d, c, &from, &to))
		return -EINVAL;
	outer = dec_enter(d, from == to ? "VF %u" : "VFs %u-%u", from, to);
	if (dec_object(d, c, vf_keys, 0, &one))
		return -EINVAL;
	if (from < to && one.attrs.has & 1u << VF_MAC)
		return dec_error(d, one.places[VF_MAC],
			"one MAC address can't be that of %u VFs: name each by itself",
			to - from + 1);
	for (size_t i = 0; i < pf->n_vfs; i++)
		if (pf->vfs[i].index >= from && pf->vfs[i].index <= to)
			return dec_error(d, c->key_place,
				"VF %u is described in line %d already: describe each once",
				pf->vfs[i].index, pf->vfs[i].place.line);
	dec_leave(d, outer);
	struct vf_want *grown = realloc(pf->vfs, (pf->n_vfs + to - from + 1) * sizeof(*grown));
	if (!grown)
		return dec_nomem(d);
	pf->vfs = grown;
	for (uint32_t i = from; i <= to; i++) {
		one.index = i;
		pf->vfs[pf->n_vfs++] = one;
	}
	return 0;
}

static int decode_vfs(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct pf_want *pf = out;
	int rc = 0;

	if (!json_is_object(v->json))
		return dec_error_type(
			d, v, "an object of VFs, { \"0\": { ... }, \"1-6\": { ... } }");
	for (const struct jtree *c = v->first; c && !rc; c = c->next) {
		d->field = NULL;
		rc = add_vfs(d, c, pf);
	}
	if (rc)
		return rc;
	if (pf->n_vfs)
		qsort(pf->vfs, pf->n_vfs, sizeof(*pf->vfs), vf_order);
	const struct vf_want *last = pf->n_vfs ? &pf->vfs[pf->n_vfs - 1] : NULL;
	if (last && pf->attrs.has & 1u << PF_NUM_VFS && last->index >= pf->attrs.num_vfs)
		return dec_error(d, last->place,
			"there is no VF %u with \"num_vfs\" %u: they are counted from 0",
			last->index, pf->attrs.num_vfs);
	return 0;
}

static const struct dec_field pf_keys[] = {
	{ "pci", decode_pci, 0 },
	{ "interface", decode_interface, 0 },
	{ "num_vfs", decode_num_vfs, 0 },
	{ "autoprobe", decode_autoprobe, 0 },
	{ "mtu", decode_mtu, 0 },
	{ "up", decode_up, 0 },
	{ "driver", decode_pf_driver, 0 },
	{ "vfs", decode_vfs, 0 },
	{ 0 },
};

static int decode_pf(struct dec *d, const struct jtree *c, struct pf_want *pf)
{
	d->field = NULL;
	if (dec_object(d, c, pf_keys, 0, pf))
		return -EINVAL;
	if (!pf->pci[0] && !pf->interface[0])
		return dec_error(d, c->place,
			"which PF is it? \"pci\" or \"interface\" says so, such as \"pci\": "
			"\"0000:03:00.0\"");
	return 0;
}

/* Two names for one PF would fight over it. Interfaces are resolved later, and checked there. */
static int check_twins(struct dec *d, const struct pfs *p)
{
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; j < i; j++)
			if (!strcmp(p->v[i].pci, p->v[j].pci) &&
				!strcmp(p->v[i].interface, p->v[j].interface))
				return dec_error(d, p->v[i].device_place,
					"PF \"%s\" is that one already (line %d): describe it once",
					p->v[j].name, p->v[j].place.line);
	return 0;
}

/* A MAC address is one VF's in the whole file: PFs may share a wire. */
static int check_macs(struct dec *d, const struct pfs *p)
{
	const struct vf_want *vf, *other;
	char mac[ETHER_MAC_STR];

	for (size_t i = 0; i < p->n; i++)
		for (size_t a = 0; a < p->v[i].n_vfs; a++)
			for (size_t j = 0; j <= i; j++)
				for (size_t b = 0; b < (i == j ? a : p->v[j].n_vfs); b++) {
					vf = &p->v[i].vfs[a];
					other = &p->v[j].vfs[b];
					if (!(vf->attrs.has & other->attrs.has & 1u << VF_MAC) ||
						ether_mac_u64(vf->attrs.mac) !=
							ether_mac_u64(other->attrs.mac))
						continue;
					return dec_error(d, vf->places[VF_MAC],
						"MAC address %s is given to VF %u of \"%s\" already (line "
						"%d): each needs its own",
						ether_mac_str(vf->attrs.mac, mac), other->index,
						p->v[j].name, other->places[VF_MAC].line);
				}
	return 0;
}

int pfs_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct pfs *p = out;

	if (!json_is_object(v->json))
		return dec_error_type(d, v, "an object of PFs, { \"pf0\": { \"pci\": ... } }");
	if (v->n > PFS_PFS_MAX)
		return dec_error(
			d, v->place, "%zu of them; at most %d are possible", v->n, PFS_PFS_MAX);
	p->v = calloc(v->n + 1, sizeof(*p->v));
	if (!p->v)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next) {
		struct pf_want *pf = &p->v[p->n];

		if (dec_check_name(d, c->key_place, "a PF's name", c->key))
			return -EINVAL;
		p->n++;
		pf->place = c->key_place;
		pf->name = strdup(c->key);
		if (!pf->name)
			return dec_nomem(d);
		size_t outer = dec_enter(d, "PF \"%s\"", pf->name);
		if (decode_pf(d, c, pf))
			return -EINVAL;
		dec_leave(d, outer);
	}
	d->field = NULL;
	return check_twins(d, p) || check_macs(d, p) ? -EINVAL : 0;
}

/* ---- the file ---- */

static int decode_version(
	struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	char found[DEC_SHOW];

	d->field = "version";
	if (json_is_integer(v->json) && json_integer_value(v->json) == VERSION)
		return 0;
	return dec_error(d, v->place, "this lanyard knows version %d of the file; found %s",
		VERSION, dec_show(v->json, found));
}

static const struct dec_field file_keys[] = {
	{ "version", decode_version, 0, .required = true },
	{ "pfs", pfs_decode, 0, .required = true },
	{ 0 },
};

int pfs_parse(const char *file, const char *text, size_t len, struct pfs *out, struct err *e)
{
	struct jtree *root = NULL;
	struct dec d = { .file = file, .e = e };
	int rc;

	*out = (struct pfs){ .file = strdup(file) };
	if (!out->file)
		return dec_nomem(&d);
	if (len > TOPO_FILE_MAX)
		rc = err_request(e, -EFBIG, "%s: larger than %u KiB: this is no file of PFs", file,
			TOPO_FILE_MAX >> 10);
	else
		rc = jtree_parse(file, text, len, &root, e);
	if (!rc && jtree_get(root, "version"))
		rc = decode_version(&d, jtree_get(root, "version"), NULL, NULL);
	if (!rc)
		rc = dec_object(&d, root, file_keys, 0, out);
	jtree_free(root);
	if (rc)
		pfs_free(out);
	return rc;
}

int pfs_load(const char *file, struct pfs *out, struct err *e)
{
	char *text = NULL;
	size_t len = 0;
	int rc = fd_read_file(file, TOPO_FILE_MAX, &text, &len, e);

	*out = (struct pfs){ 0 };
	if (rc)
		return rc;
	rc = pfs_parse(file, text, len, out, e);
	free(text);
	return rc;
}

void pfs_free(struct pfs *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].name);
		free(p->v[i].vfs);
	}
	free(p->v);
	free(p->file);
	*p = (struct pfs){ 0 };
}

struct pf_want *pfs_find(const struct pfs *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].name, name) == 0)
			return &p->v[i];
	return NULL;
}

int pfs_error(const struct pfs *p, struct topo_place at, enum err_class class, int code,
	struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(e, class, code, fmt, ap);
	va_end(ap);
	if (at.line)
		err_prefix(e, "%s:%d:%d", p->file, at.line, at.col);
	else
		err_prefix(e, "%s", p->file);
	return code;
}

/* ---- shapes: see schema.h ---- */

const struct dec_shape pfs_shapes[] = {
	{ decode_pci,
		.json = "{'type': 'string', 'pattern': '^([0-9A-Fa-f]{1,8}:)?[0-9A-Fa-f]{1,2}:"
			"[0-9A-Fa-f]{1,2}\\\\.[0-7]$'}" },
	{ decode_interface, .json = "{'type': 'string', 'minLength': 1, 'maxLength': 15}" },
	{ decode_num_vfs, .row = &num_vfs_row },
	{ decode_autoprobe, .like = dec_bool },
	{ decode_mtu, .row = &mtu_row },
	{ decode_up, .like = dec_bool },
	{ decode_pf_driver, .json = SHAPE_DRIVER },
	{ decode_vfs,
		.json = "{'type': 'object', 'propertyNames': {'pattern': "
			"'^[0-9]+(-[0-9]+)?$'}, 'additionalProperties': " SHAPE_REF(
				"described") "}",
		.object = "described", .keys = vf_keys },
	{ pfs_decode, .json = SHAPE_NAMED(0, PFS_PFS_MAX, SHAPE_REF("pf")), .object = "pf",
		.keys = pf_keys },
	{ 0 },
};
