/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a shared folder (vhost-user-fs), without KVM (see vdguest.h): speaks FUSE as far as
 * tests need it.
 *
 *	fsguest SOCKET TAG
 *
 * It reads commands, one a line, and answers each with a line:
 *	info			what `info` of the VMM says, tag and queues as configured
 *	init			FUSE_INIT: "ok MAJOR.MINOR"
 *	stat			the root's mode: "ok MODE"
 *	read NAME		"ok TEXT", a file's beginning
 *	write NAME TEXT		makes the file: "ok LENGTH"
 *	reset			as the machine's reset button; the driver starts anew
 *	quit
 * "error N" where the back end answered with errno N.
 */
#include <fcntl.h>
#include <jansson.h>
#include <linux/fuse.h>

#include "tests/lib/vdguest.h"
#include "vmm/vufs.h"

#define IN_MAX  4096u
#define OUT_MAX 8192u

struct folder {
	struct vdguest g;
	struct vufs *s;
	uint64_t unique;
	int error; /* of the last request: an errno */
};

/* A request and its reply's payload (NULL: an error), which is *n bytes. */
static const void *call(struct folder *f, uint32_t opcode, uint64_t node, const void *arg,
	size_t arg_len, const char *name, size_t *n)
{
	uint8_t *in = (uint8_t *)f->g.mem.map + VDG_DATA, *out = in + IN_MAX;
	size_t name_len = name ? strlen(name) + 1 : 0;
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + arg_len + name_len),
		.opcode = opcode,
		.unique = ++f->unique,
		.nodeid = node };
	struct vq_seg seg[2] = { { VDG_DATA, h.len, false }, { VDG_DATA + IN_MAX, OUT_MAX, true } };
	struct fuse_out_header o;
	uint32_t len;
	uint16_t id, got;

	memcpy(in, &h, sizeof(h));
	if (arg_len)
		memcpy(in + sizeof(h), arg, arg_len);
	if (name)
		memcpy(in + sizeof(h) + arg_len, name, name_len);
	memset(out, 0, OUT_MAX);
	if (!vq_add(&f->g.q[1], seg, 2, false, &id))
		die("the ring is full");
	vdg_kick(&f->g, 1);
	while (!vq_take(&f->g.q[1], &got, &len))
		vdg_wait(&f->g);
	memcpy(&o, out, sizeof(o));
	if (got != id || len < sizeof(o) || o.len != len || o.unique != h.unique)
		die("reply to %u: id %u, %u bytes, unique %llu", opcode, got, len,
			(unsigned long long)o.unique);
	f->error = -o.error;
	*n = len - sizeof(o);
	return f->error ? NULL : out + sizeof(o);
}

static void driver(struct folder *f)
{
	vdg_driver(&f->g, 2, ~0ull);
}

static bool init(struct folder *f)
{
	struct fuse_init_in in = { .major = 7, .minor = 31, .max_readahead = 4096 };
	const struct fuse_init_out *out;
	size_t n;

	out = call(f, FUSE_INIT, 0, &in, sizeof(in), NULL, &n);
	if (out)
		printf("ok %u.%u\n", out->major, out->minor);
	return out;
}

static bool stat_root(struct folder *f)
{
	struct fuse_getattr_in in = { 0 };
	const struct fuse_attr_out *out;
	size_t n;

	out = call(f, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in), NULL, &n);
	if (out)
		printf("ok %o\n", out->attr.mode);
	return out;
}

static bool read_file(struct folder *f, const char *name)
{
	struct fuse_open_in open_in = { .flags = O_RDONLY };
	struct fuse_read_in in = { .size = 256 };
	const struct fuse_entry_out *entry;
	const struct fuse_open_out *opened;
	const char *text;
	uint64_t node;
	size_t n;

	entry = call(f, FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, name, &n);
	if (!entry)
		return false;
	node = entry->nodeid;
	opened = call(f, FUSE_OPEN, node, &open_in, sizeof(open_in), NULL, &n);
	if (!opened)
		return false;
	in.fh = opened->fh;
	text = call(f, FUSE_READ, node, &in, sizeof(in), NULL, &n);
	if (text)
		printf("ok %.*s\n", (int)strcspn(text, "\n"), text);
	return text;
}

static bool write_file(struct folder *f, const char *name, const char *text)
{
	struct fuse_create_in create = { .flags = O_WRONLY | O_CREAT, .mode = S_IFREG | 0644 };
	struct {
		struct fuse_write_in in;
		char text[256];
	} w = { .in = { .size = (uint32_t)strlen(text) } };
	const struct {
		struct fuse_entry_out entry;
		struct fuse_open_out opened;
	} * made;
	const struct fuse_write_out *out;
	uint64_t node;
	size_t n;

	made = call(f, FUSE_CREATE, FUSE_ROOT_ID, &create, sizeof(create), name, &n);
	if (!made)
		return false;
	node = made->entry.nodeid;
	w.in.fh = made->opened.fh;
	memcpy(w.text, text, strlen(text));
	out = call(f, FUSE_WRITE, node, &w, sizeof(w.in) + w.in.size, NULL, &n);
	if (out)
		printf("ok %u\n", out->size);
	return out;
}

static bool info(struct folder *f)
{
	json_t *o = f->s->dev.ops->info(&f->s->dev);
	char tag[FS_TAG_MAX + 1] = "";

	for (unsigned i = 0; i < FS_TAG_MAX; i++)
		tag[i] = (char)vdg_read(&f->g, VIRTIO_BAR_DEVICE + i, 1);
	json_object_set_new(o, "config_tag", json_string(tag));
	json_object_set_new(o, "config_queues",
		json_integer((json_int_t)vdg_read(&f->g, VIRTIO_BAR_DEVICE + FS_TAG_MAX, 4)));
	json_dumpf(o, stdout, JSON_COMPACT);
	json_decref(o);
	fputc('\n', stdout);
	return true;
}

static bool command(struct folder *f, const char *line)
{
	char name[128], text[256];

	f->error = 0;
	if (!strncmp(line, "info", 4))
		return info(f);
	if (!strncmp(line, "init", 4))
		return init(f);
	if (!strncmp(line, "stat", 4))
		return stat_root(f);
	if (sscanf(line, "read %127s", name) == 1)
		return read_file(f, name);
	if (sscanf(line, "write %127s %255s", name, text) == 2)
		return write_file(f, name, text);
	if (strncmp(line, "reset", 5))
		die("what is \"%s\"?", line);
	f->s->dev.ops->reset(&f->s->dev, 1500);
	driver(f);
	puts("ok");
	return true;
}

int main(int argc, char **argv)
{
	static struct folder f;
	struct fs_setup setup = { .queues = 1 };
	struct err e = { 0 };
	char line[512];

	if (argc != 3)
		die("usage: fsguest SOCKET TAG");
	setup.socket = argv[1];
	setup.tag = argv[2];
	vdg_init(&f.g);
	if (vufs_new(0, &setup, 1ull << 38, &f.g.host, &f.s, &e))
		die("%s", e.text);
	vdg_start(&f.g, &f.s->dev, &f.s->d);
	driver(&f);
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (!command(&f, line))
			printf("error %d\n", f.error);
		fflush(stdout);
	}
	vdg_fini(&f.g);
	return 0;
}
