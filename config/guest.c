/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in a VM, and on what kind of CPU: the keys of guests that are Linux, or a file of the
 * user's. Paths are kept as given; lab/ finds out what they lead to. Disks and shares are
 * storage.c's, addresses and routes address.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/schema.h"
#include "config/suggest.h"

enum topo_guest guest_kind(const struct jtree *v)
{
	const char *s = v ? json_string_value(v->json) : NULL;

	if (s && strcmp(s, "linux") == 0)
		return TOPO_GUEST_LINUX;
	return s && strpbrk(s, "/.") ? TOPO_GUEST_FILE : TOPO_GUEST_PROBE;
}

int dec_path(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "a path");
	if (!*s)
		return dec_error(
			d, v->place, "\"%s\" is empty: name a file, or leave it out", d->field);
	if (strlen(s) >= TOPO_PATH_MAX)
		return dec_error(d, v->place, "\"%s\" has %zu bytes; a path has at most %d",
			d->field, strlen(s), TOPO_PATH_MAX - 1);
	for (const char *c = s; *c; c++)
		if ((unsigned char)*c < ' ' || *c == ',' || *c == 0x7f)
			return dec_error(d, v->place,
				"a path may have no comma and no control character, which options of "
				"programs could not carry: rename it; found %s",
				dec_show(v->json, found));
	*(char **)out = strdup(s);
	return *(char **)out ? 0 : dec_nomem(d);
}

/* A word is a guest that Lanyard has; with a slash or a dot it is a file's name. */
int guest_decode(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	static const char *const words[] = { "probe", "linux" };
	struct topo_node *node = out;
	const char *s = json_string_value(v->json), *near = NULL;
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "\"probe\", \"linux\", or the path of an image");
	node->guest_kind = guest_kind(v);
	node->guest_place = v->place;
	if (node->guest_kind == TOPO_GUEST_FILE)
		return dec_path(d, v, f, &node->guest);
	for (size_t i = 0; i < 2; i++) {
		if (strcmp(s, words[i]) == 0) {
			node->guest = strdup(s);
			return node->guest ? 0 : dec_nomem(d);
		}
		if (suggest_distance(s, words[i]) <= 2)
			near = words[i];
	}
	return dec_error(d, v->place,
		"unknown guest %s%s%s%s (known: probe, linux; a file of your own is named with its "
		"folder, such as \"./guest.elf\")",
		dec_show(v->json, found), near ? "; did you mean \"" : "", near ? near : "",
		near ? "\"?" : "");
}

int guest_kernel(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	node->kernel_place = v->place;
	return dec_path(d, v, f, &node->kernel);
}

int guest_modules(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	node->modules_place = v->place;
	return dec_path(d, v, f, &node->modules);
}

int guest_initramfs(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	node->initramfs_place = v->place;
	return dec_path(d, v, f, &node->initramfs);
}

int guest_cmdline(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;
	const char *s = json_string_value(v->json);

	if (!s)
		return dec_error_type(d, v, "a string such as \"quiet loglevel=3\"");
	if (strlen(s) > TOPO_CMDLINE_MAX)
		return dec_error(d, v->place, "\"%s\" has %zu bytes; at most %d are possible",
			d->field, strlen(s), TOPO_CMDLINE_MAX);
	for (size_t i = 0; s[i]; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return dec_error(d, v->place,
				"\"%s\" has a control character at its character %zu", d->field,
				i + 1);
	node->cmdline = strdup(s);
	return node->cmdline ? 0 : dec_nomem(d);
}

/* ---- files ---- */

static const struct dec_field file_keys[] = {
	{ "from", dec_path, offsetof(struct topo_file, from), .required = true },
	{ "to", dec_path, offsetof(struct topo_file, to), .required = true },
	{ 0 },
};

/* No "..": what is written there must lie in the guest's own root. */
static bool is_absolute(const char *path)
{
	size_t n = strlen(path);

	return path[0] == '/' && path[1] && path[n - 1] != '/' && !strstr(path, "/../") &&
		(n < 3 || strcmp(path + n - 3, "/..") != 0);
}

static int decode_file(struct dec *d, const struct jtree *v, struct topo_file *file)
{
	char found[DEC_SHOW];
	int rc;

	file->place = v->place;
	if (json_is_object(v->json)) {
		rc = dec_object(d, v, file_keys, 0, file);
		if (!rc && !is_absolute(file->to))
			return dec_error(d, jtree_get(v, "to")->place,
				"\"to\" must be a file's absolute path in the guest, such as "
				"\"/usr/bin/tool\"; found %s",
				dec_quote(file->to, found));
		return rc;
	}
	if (!json_is_string(v->json))
		return dec_error_type(d, v,
			"paths such as \"/usr/bin/iperf3\", or { \"from\": \"./tool\", \"to\": "
			"\"/usr/bin/tool\" }");
	rc = dec_path(d, v, NULL, &file->from);
	if (rc)
		return rc;
	if (!is_absolute(file->from))
		return dec_error(d, v->place,
			"where in the guest does %s go? Say { \"from\": %s, \"to\": \"/PATH\" }",
			dec_quote(file->from, found), found);
	file->to = strdup(file->from);
	return file->to ? 0 : dec_nomem(d);
}

int guest_files(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;

	if (!json_is_array(v->json))
		return dec_error_type(d, v, "a list of files, such as [ \"/usr/bin/iperf3\" ]");
	if (v->n > TOPO_FILES_MAX)
		return dec_error(
			d, v->place, "%zu files; at most %d are possible", v->n, TOPO_FILES_MAX);
	node->files = calloc(v->n ? v->n : 1, sizeof(*node->files));
	if (!node->files)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next) {
		struct topo_file *file = &node->files[node->n_files++];

		d->field = "files";
		if (decode_file(d, c, file))
			return -EINVAL;
		for (const struct topo_file *o = node->files; o < file; o++)
			if (strcmp(o->to, file->to) == 0)
				return dec_error(d, c->place,
					"two files go to %s in the guest (the first in line %d)",
					file->to, o->place.line);
	}
	return 0;
}

/* ---- CPUs ---- */

static int cpu_without(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_cpu *cpu = out;
	char found[DEC_SHOW];

	if (!json_is_array(v->json))
		return dec_error_type(d, v, "a list of CPU features, such as [ \"cx16\" ]");
	if (v->n > TOPO_WITHOUT_MAX)
		return dec_error(d, v->place, "%zu features; at most %d are possible", v->n,
			TOPO_WITHOUT_MAX);
	cpu->without = calloc(v->n ? v->n : 1, sizeof(*cpu->without));
	if (!cpu->without)
		return dec_nomem(d);
	for (const struct jtree *c = v->first; c; c = c->next) {
		const char *s = json_string_value(c->json);

		if (!s || !*s || strlen(s) > TOPO_NAME_MAX ||
			strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(s))
			return dec_error(d, c->place,
				"a CPU feature is named as in /proc/cpuinfo, such as \"cx16\"; found %s",
				dec_show(c->json, found));
		for (size_t i = 0; i < cpu->n_without; i++)
			if (strcmp(cpu->without[i], s) == 0)
				return dec_error(d, c->place, "CPU feature %s is named twice",
					dec_quote(s, found));
		cpu->without[cpu->n_without] = strdup(s);
		if (!cpu->without[cpu->n_without++])
			return dec_nomem(d);
	}
	return 0;
}

static const struct dec_range parts_range = { 1, TOPO_VCPUS_MAX, "" };

static const struct dec_field cpu_keys[] = {
	{ "without", cpu_without, 0, .def = NULL },
	{ "sockets", dec_uint, offsetof(struct topo_cpu, sockets), .arg = &parts_range },
	{ "cores", dec_uint, offsetof(struct topo_cpu, cores), .arg = &parts_range },
	{ "threads", dec_uint, offsetof(struct topo_cpu, threads), .arg = &parts_range },
	{ 0 },
};

static uint32_t or_1(uint32_t n)
{
	return n ? n : 1;
}

/* What is not given: one socket, one thread a core, and as many cores as are left. */
int guest_cpu(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;
	struct topo_cpu *cpu = &node->cpu;
	uint32_t others, product;

	cpu->place = v->place;
	if (dec_object(d, v, cpu_keys, 0, cpu))
		return -EINVAL;
	if (!cpu->sockets && !cpu->cores && !cpu->threads)
		return 0;
	others = or_1(cpu->sockets) * or_1(cpu->threads);
	if (!cpu->cores && node->vcpus % others == 0)
		cpu->cores = node->vcpus / others;
	cpu->sockets = or_1(cpu->sockets);
	cpu->cores = or_1(cpu->cores);
	cpu->threads = or_1(cpu->threads);
	product = others * cpu->cores;
	if (product == node->vcpus)
		return 0;
	return dec_error(d, v->place,
		"%u socket%s of %u core%s of %u thread%s make %u vCPU%s, and \"vcpus\" is %u: make "
		"both the same",
		cpu->sockets, cpu->sockets == 1 ? "" : "s", cpu->cores, cpu->cores == 1 ? "" : "s",
		cpu->threads, cpu->threads == 1 ? "" : "s", product, product == 1 ? "" : "s",
		node->vcpus);
}

static const char *const huge_names[] = { [TOPO_HUGE_AUTO] = "auto",
	[TOPO_HUGE_2M] = "2M",
	[TOPO_HUGE_1G] = "1G",
	[TOPO_HUGE_NONE] = "none",
	NULL };
static const struct dec_field huge_row = { .name = "hugepages", .fn = dec_enum, .arg = huge_names };

int guest_hugepages(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_node *node = out;
	int kind, rc = dec_enum(d, v, &huge_row, &kind);
	char text[16];

	if (rc)
		return rc;
	node->hugepages = (enum topo_huge)kind;
	node->huge_place = v->place;
	if (kind == TOPO_HUGE_1G && node->memory % (1ull << 30))
		return dec_error(d, v->place,
			"with pages of 1G, \"memory\" must be a multiple of 1G; it is %s",
			units_format_size(node->memory, text));
	return 0;
}

void guest_free(struct topo_node *n)
{
	for (size_t i = 0; i < n->n_files; i++) {
		free(n->files[i].from);
		free(n->files[i].to);
	}
	for (size_t i = 0; i < n->cpu.n_without; i++)
		free(n->cpu.without[i]);
	free(n->cpu.without);
	free(n->files);
	free(n->guest);
	free(n->kernel);
	free(n->modules);
	free(n->initramfs);
	free(n->cmdline);
}

#define SHAPE_ABSOLUTE "{'type': 'string', 'pattern': '^/[^,]*[^,/]$'}"

const struct dec_shape guest_shapes[] = {
	{ dec_path, .json = SHAPE_PATH },
	{ guest_decode,
		.json = "{'anyOf': [{'enum': ['probe', 'linux']}, "
			"{'allOf': [" SHAPE_PATH ", {'pattern': '[./]'}]}]}" },
	{ guest_kernel, .like = dec_path },
	{ guest_modules, .like = dec_path },
	{ guest_initramfs, .like = dec_path },
	{ guest_cmdline,
		.json = "{'type': 'string', 'maxLength': " SHAPE_N(
			TOPO_CMDLINE_MAX) ", "
					  "'pattern': '^[^\\\\u0000-\\\\u001f\\\\u007f]*$'}" },
	{ guest_files,
		.json = SHAPE_LIST(0, TOPO_FILES_MAX,
			"{'anyOf': [" SHAPE_ABSOLUTE ", " SHAPE_REF("file") "]}"),
		.object = "file", .keys = file_keys },
	{ cpu_without,
		.json = SHAPE_LIST(0, TOPO_WITHOUT_MAX,
			"{'type': 'string', 'pattern': '^[a-z0-9_]{1,32}$'}") },
	{ guest_cpu, .object = "cpu", .keys = cpu_keys },
	{ guest_hugepages, .row = &huge_row },
	{ 0 },
};
