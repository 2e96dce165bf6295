/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's disks and shared folders, and where a Linux guest's root file system is. What two nodes
 * of a lab write to at once would be ruined: refused here; that another lab has a disk is for its
 * lock to say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/schema.h"

/* ---- disks ---- */

static const char *const format_names[] = {
	[TOPO_RAW] = "raw",
	[TOPO_QCOW2] = "qcow2",
	[TOPO_VMDK] = "vmdk",
	[TOPO_VHD] = "vhd",
	NULL,
};
static const struct dec_range disk_queues = { 1, TOPO_QUEUES_MAX, " queues" };

static int disk_format(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	int format, rc = dec_enum(d, v, f, &format);

	if (!rc)
		((struct topo_disk *)out)->format = (enum topo_format)format;
	return rc;
}

/* Goes into an option and into the guest's /dev/disk/by-id. */
static int disk_serial(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	struct topo_disk *disk = out;
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "a string");
	if (!*s || strlen(s) > TOPO_SERIAL_MAX ||
		strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") !=
			strlen(s))
		return dec_error(d, v->place,
			"a disk's serial number has 1 to %d letters, digits, and _ - .; found %s",
			TOPO_SERIAL_MAX, dec_show(v->json, found));
	disk->serial = strdup(s);
	return disk->serial ? 0 : dec_nomem(d);
}

static const struct dec_field disk_keys[] = {
	{ "file", dec_path, offsetof(struct topo_disk, file), .required = true },
	{ "format", disk_format, 0, .def = "\"raw\"", .arg = format_names },
	{ "readonly", dec_bool, offsetof(struct topo_disk, readonly), .def = "false" },
	{ "serial", disk_serial, 0 },
	{ "queues", dec_uint, offsetof(struct topo_disk, queues), .def = "1", .arg = &disk_queues },
	{ 0 },
};

/* Checks a list of objects; allocates as many, zeroed, to *out. */
static int list_new(struct dec *d, const struct jtree *v, const char *wanted, const char *what,
	size_t max, size_t size, void *out)
{
	if (!json_is_array(v->json))
		return dec_error_type(d, v, wanted);
	if (v->n > max)
		return dec_error(
			d, v->place, "a node has at most %zu %s; found %zu", max, what, v->n);
	*(void **)out = calloc(v->n ? v->n : 1, size);
	return *(void **)out ? 0 : dec_nomem(d);
}

int storage_disks(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;
	int rc = list_new(d, v, "a list of disks, [ { \"file\": \"disk.img\" } ]", "disks",
		TOPO_DISKS_MAX, sizeof(*node->disks), &node->disks);

	for (const struct jtree *c = v->first; c && !rc; c = c->next) {
		struct topo_disk *disk = &node->disks[node->n_disks];
		size_t outer = dec_enter(d, "disk %zu", node->n_disks);

		node->n_disks++;
		disk->place = c->place;
		d->field = NULL;
		rc = dec_object(d, c, disk_keys, 0, disk);
		if (!rc && disk->serial && disk->format != TOPO_RAW)
			rc = dec_error(d, jtree_get(c, "serial")->place,
				"only raw disks have a serial number: qemu-storage-daemon, which serves "
				"\"format\": \"%s\", tells none",
				format_names[disk->format]);
		for (size_t i = 0; !rc && disk->serial && i + 1 < node->n_disks; i++)
			if (node->disks[i].serial &&
				strcmp(node->disks[i].serial, disk->serial) == 0)
				rc = dec_error(d, jtree_get(c, "serial")->place,
					"serial number \"%s\" is disk %zu's already (line %d)",
					disk->serial, i, node->disks[i].place.line);
		if (!rc)
			dec_leave(d, outer);
	}
	return rc;
}

/* ---- shares ---- */

static int share_tag(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	struct topo_share *share = out;
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "a string");
	if (!*s || strlen(s) > TOPO_TAG_MAX || s[0] == '.' ||
		strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") !=
			strlen(s))
		return dec_error(d, v->place,
			"a share's tag has 1 to %d letters, digits, and _ - . (not as the first); "
			"found %s",
			TOPO_TAG_MAX, dec_show(v->json, found));
	if (strcmp(s, "root") == 0)
		return dec_error(d, v->place,
			"the tag \"root\" is that of the guest's own root: choose another");
	share->tag = strdup(s);
	return share->tag ? 0 : dec_nomem(d);
}

static const struct dec_field share_keys[] = {
	{ "path", dec_path, offsetof(struct topo_share, path), .required = true },
	{ "tag", share_tag, 0, .required = true },
	{ "readonly", dec_bool, offsetof(struct topo_share, readonly), .def = "false" },
	{ 0 },
};

int storage_shares(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;
	int rc = list_new(d, v,
		"a list of shared folders, [ { \"path\": \"/srv\", \"tag\": \"srv\" } ]",
		"shared folders", TOPO_SHARES_MAX, sizeof(*node->shares), &node->shares);

	for (const struct jtree *c = v->first; c && !rc; c = c->next) {
		struct topo_share *share = &node->shares[node->n_shares];
		size_t outer = dec_enter(d, "share %zu", node->n_shares);

		node->n_shares++;
		share->place = c->place;
		d->field = NULL;
		rc = dec_object(d, c, share_keys, 0, share);
		for (size_t i = 0; !rc && i + 1 < node->n_shares; i++)
			if (strcmp(node->shares[i].tag, share->tag) == 0)
				rc = dec_error(d, jtree_get(c, "tag")->place,
					"the tag \"%s\" is share %zu's already (line %d)",
					share->tag, i, node->shares[i].place.line);
		if (!rc)
			dec_leave(d, outer);
	}
	return rc;
}

/* ---- the root file system ---- */

static const char *const root_names[] = {
	[TOPO_ROOT_NONE] = "none", [TOPO_ROOT_HOST] = "host", [TOPO_ROOT_DISK] = "disk", NULL
};
static const struct dec_field root_row = { .name = "root", .fn = dec_enum, .arg = root_names };

int storage_root(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;
	int root, rc = dec_enum(d, v, &root_row, &root);

	if (rc)
		return rc;
	node->root = (enum topo_root)root;
	node->root_place = v->place;
	if (root == TOPO_ROOT_DISK && !node->n_disks)
		return dec_error(d, v->place,
			"\"root\": \"disk\" is the node's first disk, and it has none: say \"disks\": [ "
			"{ \"file\": .. } ], or another \"root\" (none, host)");
	if (root == TOPO_ROOT_DISK && node->n_files)
		return dec_error(d, v->place,
			"with \"root\": \"disk\" there is no place for \"files\" (the first in line "
			"%d): put them on the disk",
			node->files[0].place.line);
	return 0;
}

/* ---- all nodes ---- */

static int check_disk(struct dec *d, size_t node, const struct topo_disk *disk)
{
	const struct topology *t = d->t;

	for (size_t i = 0; i <= node; i++)
		for (size_t k = 0; k < t->nodes[i].n_disks; k++) {
			const struct topo_disk *o = &t->nodes[i].disks[k];

			if (o == disk)
				return 0;
			if (strcmp(o->file, disk->file) != 0 || (o->readonly && disk->readonly))
				continue;
			d->field = "disks";
			dec_enter(d, "node \"%s\"", t->nodes[node].name);
			return dec_error(d, disk->place,
				"%s is a disk of node \"%s\" already (line %d): what two disks share "
				"must be \"readonly\" in both",
				disk->file, t->nodes[i].name, o->place.line);
		}
	return 0;
}

int storage_settle(struct dec *d)
{
	int rc = 0;

	for (size_t i = 0; i < d->t->n_nodes; i++)
		for (size_t k = 0; !rc && k < d->t->nodes[i].n_disks; k++)
			rc = check_disk(d, i, &d->t->nodes[i].disks[k]);
	return rc;
}

void storage_free(struct topo_node *n)
{
	for (size_t i = 0; i < n->n_disks; i++) {
		free(n->disks[i].file);
		free(n->disks[i].serial);
	}
	for (size_t i = 0; i < n->n_shares; i++) {
		free(n->shares[i].path);
		free(n->shares[i].tag);
	}
	free(n->disks);
	free(n->shares);
}

#define SHAPE_WORD(first, max)                                                         \
	"{'type': 'string', 'pattern': '^" first "[A-Za-z0-9_.-]*$', 'minLength': 1, " \
	"'maxLength': " SHAPE_N(max) "}"

const struct dec_shape storage_shapes[] = {
	{ disk_format, .like = dec_enum },
	{ disk_serial, .json = SHAPE_WORD("", TOPO_SERIAL_MAX) },
	{ storage_disks, .json = SHAPE_LIST(0, TOPO_DISKS_MAX, SHAPE_REF("disk")), .object = "disk",
		.keys = disk_keys },
	{ share_tag, .json = SHAPE_WORD("(?!root$)[A-Za-z0-9_-]", TOPO_TAG_MAX) },
	{ storage_shares, .json = SHAPE_LIST(0, TOPO_SHARES_MAX, SHAPE_REF("share")),
		.object = "share", .keys = share_keys },
	{ storage_root, .row = &root_row },
	{ 0 },
};
