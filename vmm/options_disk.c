/* SPDX-License-Identifier: Apache-2.0 */
/* --disk, --fs, --vfio: see options_disk.h. A table of keys for each; a value ends at a comma. */
#include "vmm/options_disk.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "vmm/vfio_probe.h"

enum key_kind { KEY_TEXT, KEY_SOCKET, KEY_SWITCH, KEY_NUMBER };

struct key {
	const char *name;
	enum key_kind kind;
	size_t at;    /* of the member in the setup */
	unsigned max; /* bytes of a text (0: any), or the highest number */
};

static const struct key disk_keys[] = {
	{ "file", KEY_TEXT, offsetof(struct disk_setup, file), 0 },
	{ "socket", KEY_SOCKET, offsetof(struct disk_setup, socket), 0 },
	{ "readonly", KEY_SWITCH, offsetof(struct disk_setup, readonly), 0 },
	{ "serial", KEY_TEXT, offsetof(struct disk_setup, serial), DISK_SERIAL_MAX },
	{ "queues", KEY_NUMBER, offsetof(struct disk_setup, queues), DISK_QUEUES_MAX },
	{ 0 },
};

static const struct key fs_keys[] = {
	{ "socket", KEY_SOCKET, offsetof(struct fs_setup, socket), 0 },
	{ "tag", KEY_TEXT, offsetof(struct fs_setup, tag), FS_TAG_MAX },
	{ "queues", KEY_NUMBER, offsetof(struct fs_setup, queues), FS_QUEUES_MAX },
	{ 0 },
};

static const struct key vfio_keys[] = {
	{ "pci", KEY_TEXT, offsetof(struct vfio_setup, pci), 0 },
	{ "vf_token", KEY_TEXT, offsetof(struct vfio_setup, token), VFIO_TOKEN_LEN },
	{ 0 },
};

static int set_text(
	const char *option, const struct key *k, const char *value, char **to, struct err *e)
{
	size_t len = strlen(value);

	if (!len || (k->max && len > k->max))
		return err_request(e, -EINVAL, "%s: %s is \"%s\", expected 1 to %u bytes", option,
			k->name, value, k->max ? k->max : 4095);
	free(*to);
	*to = strdup(value);
	return *to ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int set_number(
	const char *option, const struct key *k, const char *value, unsigned *to, struct err *e)
{
	char *end;
	unsigned long v = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end || v < 1 || v > k->max)
		return err_request(e, -EINVAL, "%s: %s is \"%s\", expected a number from 1 to %u",
			option, k->name, value, k->max);
	*to = (unsigned)v;
	return 0;
}

static int set_switch(
	const char *option, const struct key *k, const char *value, bool *to, struct err *e)
{
	*to = !strcmp(value, "on");
	if (!*to && strcmp(value, "off"))
		return err_request(
			e, -EINVAL, "%s: %s is \"%s\", expected on or off", option, k->name, value);
	return 0;
}

static int set_key(
	const char *option, const struct key *k, const char *value, void *setup, struct err *e)
{
	void *to = (char *)setup + k->at;
	int err;

	switch (k->kind) {
	case KEY_SOCKET:
		err = fd_unix_path_check(value, e);
		return err ? err : set_text(option, k, value, to, e);
	case KEY_TEXT:
		return set_text(option, k, value, to, e);
	case KEY_SWITCH:
		return set_switch(option, k, value, to, e);
	default:
		return set_number(option, k, value, to, e);
	}
}

static int unknown_key(const char *option, const struct key *keys, const char *given, struct err *e)
{
	char known[128] = "";

	for (const struct key *k = keys; k->name; k++) {
		strcat(known, k == keys ? "" : k[1].name ? ", " : " or ");
		strcat(known, k->name);
	}
	return err_request(e, -EINVAL, "%s: unknown key \"%s\", expected %s", option, given, known);
}

/* "key=value,key=value" */
static int parse_keys(
	const char *option, const struct key *keys, const char *given, void *setup, struct err *e)
{
	char *text = strdup(given), *save = NULL;
	int err = text ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (char *p = text ? strtok_r(text, ",", &save) : NULL; p && !err;
		p = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(p, '=');
		const struct key *k = keys;

		if (!eq) {
			err = err_request(e, -EINVAL, "%s: \"%s\", expected key=value", option, p);
			break;
		}
		*eq = '\0';
		while (k->name && strcmp(k->name, p))
			k++;
		err = k->name ? set_key(option, k, eq + 1, setup, e)
			      : unknown_key(option, keys, p, e);
	}
	free(text);
	return err;
}

int disk_setup_parse(struct disk_setup *d, const char *text, struct err *e)
{
	int err;

	*d = (struct disk_setup){ .queues = 1 };
	err = parse_keys("--disk", disk_keys, text, d, e);
	if (err)
		return err;
	if (!d->file == !d->socket)
		return err_request(e, -EINVAL,
			"--disk %s: expected file=PATH or socket=PATH, one "
			"of them",
			text);
	if (d->socket && (d->readonly || d->serial))
		return err_request(e, -EINVAL,
			"--disk %s: %s is for the back end at the socket to say "
			"(qemu-storage-daemon: writable=off)",
			text, d->readonly ? "readonly" : "serial");
	return 0;
}

void disk_setup_free(struct disk_setup *d)
{
	free(d->file);
	free(d->socket);
	free(d->serial);
	*d = (struct disk_setup){ 0 };
}

int fs_setup_parse(struct fs_setup *f, const char *text, struct err *e)
{
	int err;

	*f = (struct fs_setup){ .queues = 1 };
	err = parse_keys("--fs", fs_keys, text, f, e);
	if (err)
		return err;
	if (!f->socket || !f->tag)
		return err_request(e, -EINVAL, "--fs %s: expected socket=PATH,tag=TAG", text);
	return 0;
}

void fs_setup_free(struct fs_setup *f)
{
	free(f->socket);
	free(f->tag);
	*f = (struct fs_setup){ 0 };
}

int vfio_setup_parse(struct vfio_setup *v, const char *text, struct err *e)
{
	char addr[VFIO_ADDR_LEN];
	int err;

	*v = (struct vfio_setup){ 0 };
	err = parse_keys("--vfio", vfio_keys, text, v, e);
	if (err)
		return err;
	if (!v->pci)
		return err_request(e, -EINVAL, "--vfio %s: expected pci=ADDRESS", text);
	err = vfio_addr_parse(v->pci, addr, e);
	if (err)
		return err_prefix(e, "--vfio: pci");
	free(v->pci);
	v->pci = strdup(addr);
	return v->pci ? 0 : err_set(e, -ENOMEM, "out of memory");
}

void vfio_setup_free(struct vfio_setup *v)
{
	free(v->pci);
	free(v->token);
	*v = (struct vfio_setup){ 0 };
}
