/* SPDX-License-Identifier: Apache-2.0 */
/* Initramfs images: the parsers, and archives of folders that the test makes. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "image/elfneeds.h"
#include "image/image.h"
#include "image/kernel.h"
#include "image/libs.h"
#include "image/modules.h"
#include "image/unpack.h"

#define BYTES_MAX (64u << 20)

static char dir[64];

/* Paths below the test's folder; four at a time. */
static const char *at(const char *name)
{
	static char paths[4][512];
	static unsigned i;
	char *out = paths[i++ % 4];

	snprintf(out, sizeof(paths[0]), "%s/%s", dir, name);
	return out;
}

static void put_bytes(const char *name, const void *bytes, size_t len, mode_t mode)
{
	char path[512];

	snprintf(path, sizeof(path), "%s", at(name));
	for (char *p = path + strlen(dir) + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, bytes, len), 0);
	fchmod(fd, mode);
	close(fd);
}

static void put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text), 0644);
}

static int set_up(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/lanyard-image-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

/* --- modules --- */

static const struct modules_text tables = {
	.dep = "kernel/a/net.ko.xz: kernel/a/ring.ko.xz kernel/b/bus.ko.xz\n"
	       "kernel/a/ring.ko.xz: kernel/b/bus.ko.xz\n"
	       "kernel/b/bus.ko.xz:\n"
	       "kernel/c/virtio-rng.ko: kernel/b/bus.ko.xz\n"
	       "kernel/c/fs.ko.zst:\n"
	       "kernel/c/sum_generic.ko:\n"
	       "kernel/c/sum_fast.ko:\n"
	       "kernel/c/late.ko:\n"
	       "kernel/d/one.ko:\n"
	       "kernel/d/two.ko:\n",
	.builtin = "kernel/x/ext4.ko\nkernel/x/built-in.ko\n",
	.softdep = "# a comment\n"
		   "softdep fs pre: sum built_in no_such post: late\n"
		   "softdep one pre: two\n"
		   "softdep two pre: one\n",
	.alias = "alias sum sum_generic\nalias sum sum_fast\nalias sums net\nalias pci:v*d* net\n",
};

static void expect_order(struct modules *m, const char *name, const char *expected)
{
	struct modules_order o = { 0 };
	struct err e = { 0 };
	char got[512] = "";

	assert_int_equal(modules_add(m, name, &o, &e), 0);
	for (size_t i = 0; i < o.n; i++) {
		strcat(got, strrchr(o.paths[i], '/') + 1);
		strcat(got, " ");
	}
	assert_string_equal(got, expected);
	modules_order_free(&o);
	modules_free(m);
}

static struct modules *parsed(void)
{
	struct err e = { 0 };
	struct modules *m = modules_parse("/lib/modules/1", &tables, &e);

	assert_non_null(m);
	return m;
}

static void test_modules_order(void **state)
{
	expect_order(parsed(), "net", "bus.ko.xz ring.ko.xz net.ko.xz ");
	expect_order(parsed(), "virtio_rng", "bus.ko.xz virtio-rng.ko ");
	expect_order(parsed(), "virtio-rng", "bus.ko.xz virtio-rng.ko ");
	expect_order(parsed(), "ext4", "");
	expect_order(parsed(), "built_in", "");
}

static void test_modules_softdep(void **state)
{
	/* Aliases of a soft dependency: all of them; one that is unknown is none; each its turn. */
	expect_order(parsed(), "fs", "sum_generic.ko sum_fast.ko fs.ko.zst late.ko ");
	/* A circle ends. */
	expect_order(parsed(), "one", "two.ko one.ko ");
}

/* The modules that a device's modalias asks for, with what they need; or it is built in. */
static void test_modules_device(void **state)
{
	static const char modinfo[] = "mlx.alias=pci:v000015B3d*sv*sd*bc*sc*i*\0mlx.license=GPL";
	static const struct modules_text text = {
		.dep = "k/igbvf.ko.xz: k/ptp.ko\nk/ptp.ko:\nk/vfio-pci.ko:\nk/usb.ko:\n",
		.alias = "# Aliases\n"
			 "alias pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf\n"
			 "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
			 "alias pci:v00008086d00001520sv*sd*bc*sc*i* nowhere\n"
			 "alias usb:v0BDAp81[5-7]?d* usb\n",
		.modinfo = modinfo,
		.modinfo_len = sizeof(modinfo),
	};
	static const struct {
		const char *modalias, *order;
		int rc;
	} rows[] = {
		{ "pci:v00008086d000010CAsv00008086sd0000A03Cbc02sc00i00", "k/ptp.ko k/igbvf.ko.xz",
			0 },
		{ "pci:v000015B3d00001018sv000015B3sd00000000bc02sc00i00", "", 0 },
		{ "usb:v0BDAp8160d0001", "k/usb.ko", 0 },
		{ "usb:v0BDAp8180d0001", "", -ENOENT },
		{ "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00", "", -ENOENT },
		{ "pci:v00008086d00001520sv00008086sd0000A03Cbc02sc00i00", "", -ENOENT },
		{ "pci:v00008086d000010CA", "", -ENOENT },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = { 0 };
		struct modules *m = modules_parse("/m", &text, &e);
		struct modules_order o = { 0 };
		char order[256] = "";

		assert_non_null(m);
		assert_int_equal(modules_add_device(m, rows[i].modalias, &o, &e), rows[i].rc);
		for (size_t k = 0; k < o.n; k++)
			snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%s",
				k ? " " : "", o.paths[k]);
		assert_string_equal(order, rows[i].order);
		if (rows[i].rc)
			assert_non_null(strstr(e.text, "no driver for its NIC (pci:") ?: strstr(
				e.text, "no driver for its NIC (usb:"));
		modules_order_free(&o);
		modules_free(m);
	}
}

static void test_modules_twice(void **state)
{
	struct modules_order o = { 0 };
	struct modules *m = parsed();
	struct err e = { 0 };

	assert_int_equal(modules_add(m, "ring", &o, &e), 0);
	assert_int_equal(modules_add(m, "net", &o, &e), 0);
	assert_int_equal(modules_add(m, "net", &o, &e), 0);
	assert_int_equal(o.n, 3);
	assert_int_equal(modules_add(m, "nothing", &o, &e), -ENOENT);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_non_null(strstr(e.text, "no module \"nothing\""));
	assert_non_null(strstr(e.text, "/lib/modules/1/modules.dep"));
	modules_order_free(&o);
	modules_free(m);
}

static void test_modules_paths_outside(void **state)
{
	static const char *const bad[] = { "../../etc/shadow.ko:\n", "kernel/../../x.ko:\n",
		"/etc/x.ko:\n" };

	for (size_t i = 0; i < 3; i++) {
		struct err e = { 0 };

		assert_null(modules_parse("/m", &(struct modules_text){ .dep = bad[i] }, &e));
		assert_non_null(strstr(e.text, "no path below that folder"));
	}
}

static void test_modules_deep(void **state)
{
	char text[8192] = "";
	struct modules_order o = { 0 };
	struct err e = { 0 };

	for (int i = 0; i < 100; i++)
		sprintf(text + strlen(text), "k/m%d.ko: k/m%d.ko\n", i, i + 1);
	struct modules *m = modules_parse("/m", &(struct modules_text){ .dep = text }, &e);
	assert_non_null(m);
	assert_int_equal(modules_add(m, "m0", &o, &e), -ELOOP);
	assert_non_null(strstr(e.text, "depmod"));
	modules_order_free(&o);
	modules_free(m);
}

static void test_modules_missing(void **state)
{
	struct err e = { 0 };

	assert_null(modules_load(at("lib/modules/6.9.9-none"), &e));
	assert_int_equal(e.class, ERR_HOST);
	assert_non_null(strstr(e.text, "no modules for kernel 6.9.9-none"));
	assert_non_null(strstr(e.text, "linux-image-6.9.9-none"));
	put("lib/modules/6.9.9-none/kernel/x", "");
	assert_null(modules_load(at("lib/modules/6.9.9-none"), &e));
	assert_non_null(strstr(e.text, "depmod"));
}

/* --- ELF --- */

/* A program: headers, one loaded segment over all of it, an interpreter, a dynamic section. */
struct elf {
	Elf64_Ehdr head;
	Elf64_Phdr segments[3];
	Elf64_Dyn dynamic[8];
	char strings[128];
};

static struct elf elf_of(void)
{
	struct elf f = { .head = { .e_type = ET_DYN,
				 .e_machine = EM_X86_64,
				 .e_phoff = offsetof(struct elf, segments),
				 .e_phentsize = sizeof(Elf64_Phdr),
				 .e_phnum = 3 } };
	static const char strings[] = "\0liba.so.1\0libb.so\0$ORIGIN/lib\0/ld.so";
	const uint64_t base = 0x1000;

	memcpy(f.head.e_ident, ELFMAG, SELFMAG);
	f.head.e_ident[EI_CLASS] = ELFCLASS64;
	memcpy(f.strings, strings, sizeof(strings));
	f.segments[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_vaddr = base, .p_filesz = sizeof(f) };
	f.segments[1] = (Elf64_Phdr){
		.p_type = PT_INTERP, .p_offset = offsetof(struct elf, strings) + 31, .p_filesz = 7
	};
	f.segments[2] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
		.p_offset = offsetof(struct elf, dynamic),
		.p_filesz = sizeof(f.dynamic) };
	f.dynamic[0] = (Elf64_Dyn){ DT_NEEDED, { 1 } };
	f.dynamic[1] = (Elf64_Dyn){ DT_STRTAB, { base + offsetof(struct elf, strings) } };
	f.dynamic[2] = (Elf64_Dyn){ DT_STRSZ, { sizeof(f.strings) } };
	f.dynamic[3] = (Elf64_Dyn){ DT_NEEDED, { 11 } };
	f.dynamic[4] = (Elf64_Dyn){ DT_RUNPATH, { 19 } };
	return f;
}

static void test_elf_needs(void **state)
{
	struct elf f = elf_of();
	struct elf_needs n;

	assert_int_equal(elf_read((uint8_t *)&f, sizeof(f), &n), 1);
	assert_string_equal(n.interpreter, "/ld.so");
	assert_string_equal(n.runpath, "$ORIGIN/lib");
	assert_null(n.rpath);
	assert_int_equal(n.n_needed, 2);
	assert_string_equal(n.needed[0], "liba.so.1");
	assert_string_equal(n.needed[1], "libb.so");
}

static void test_elf_none(void **state)
{
	struct elf f = elf_of();
	struct elf_needs n;

	assert_int_equal(elf_read((const uint8_t *)"#!/bin/sh\n", 10, &n), 0);
	assert_int_equal(elf_read((uint8_t *)&f, 0, &n), 0);
	f.head.e_machine = EM_386;
	assert_int_equal(elf_read((uint8_t *)&f, sizeof(f), &n), 0);
	f = elf_of();
	f.head.e_type = ET_REL;
	assert_int_equal(elf_read((uint8_t *)&f, sizeof(f), &n), 0);
	f = elf_of();
	f.segments[1].p_type = f.segments[2].p_type = PT_NULL;
	assert_int_equal(elf_read((uint8_t *)&f, sizeof(f), &n), 0);
}

static void test_elf_damaged(void **state)
{
	struct elf_needs n;
	struct elf f;

	for (size_t len = SELFMAG; len < sizeof(f) - sizeof(f.strings); len++) {
		f = elf_of();
		assert_int_equal(elf_read((uint8_t *)&f, len, &n), -EBADMSG);
	}
#define DAMAGED(change)                                                             \
	do {                                                                        \
		f = elf_of();                                                       \
		change;                                                             \
		assert_int_equal(elf_read((uint8_t *)&f, sizeof(f), &n), -EBADMSG); \
	} while (0)
	DAMAGED(f.head.e_phoff = UINT64_MAX - 8);
	DAMAGED(f.head.e_phentsize = 1);
	DAMAGED(f.head.e_phnum = 60000);
	DAMAGED(f.segments[1].p_offset = UINT64_MAX);
	DAMAGED(f.segments[1].p_filesz = 2); /* no NUL in it */
	DAMAGED(f.segments[2].p_offset = UINT64_MAX - 4);
	DAMAGED(f.segments[2].p_filesz = UINT64_MAX);
	DAMAGED(f.dynamic[0].d_un.d_val = sizeof(f.strings));
	DAMAGED(f.dynamic[0].d_un.d_val = UINT64_MAX);
	DAMAGED(f.dynamic[1].d_un.d_ptr = UINT64_MAX);
	DAMAGED(f.dynamic[1].d_un.d_ptr = 0);
	DAMAGED(f.segments[0].p_offset = UINT64_MAX);
	DAMAGED(f.dynamic[2].d_un.d_val = 0);
	DAMAGED((memset(f.strings, 'x', sizeof(f.strings)), f.segments[1].p_type = PT_NULL));
}

static void test_libs_cache(void **state)
{
	static const char names[] = "libx.so.1\0/opt/x/libx.so.1\0/opt/v3/libx.so.1";
	struct {
		char magic[20];
		uint32_t n, len;
		uint32_t rest[5];
		struct {
			int32_t flags;
			uint32_t name, path, os;
			uint64_t hwcap;
		} entries[2];
		char strings[64];
	} c = { .n = 2, .len = sizeof(names) };
	const char *bytes = (const char *)&c;
	const uint32_t s = (uint32_t)offsetof(typeof(c), strings);

	memcpy(c.magic, "glibc-ld.so.cache1.1", 20);
	memcpy(c.strings, names, sizeof(names));
	c.entries[0].flags = c.entries[1].flags = 0x0303;
	c.entries[0].name = c.entries[1].name = s;
	c.entries[0].path = s + 27;
	c.entries[0].hwcap = 1ull << 62; /* of some CPUs only */
	c.entries[1].path = s + 10;
	assert_string_equal(libs_cached(bytes, sizeof(c), "libx.so.1"), "/opt/x/libx.so.1");
	assert_null(libs_cached(bytes, sizeof(c), "liby.so.1"));
	for (size_t len = 0; len < s; len++)
		assert_null(libs_cached(bytes, len, "libx.so.1"));
	c.entries[1].path = UINT32_MAX;
	assert_null(libs_cached(bytes, sizeof(c), "libx.so.1"));
	c.n = UINT32_MAX;
	assert_null(libs_cached(bytes, sizeof(c), "liby.so.1"));
	c.magic[0] = 'x';
	assert_null(libs_cached(bytes, sizeof(c), "libx.so.1"));
}

static void test_libs_folders(void **state)
{
	struct elf_needs n = { .runpath = "/no/such:$ORIGIN/lib" };
	char out[IMAGE_PATH_MAX], expected[IMAGE_PATH_MAX];
	struct libs l;

	put("bin/lib/libown.so", "");
	put("rpath/libr.so", "");
	libs_open(&l, at("no-cache"));
	assert_int_equal(libs_find(&l, "libown.so", at("bin/p"), &n, NULL, out), 0);
	snprintf(expected, sizeof(expected), "%s/bin/lib/libown.so", dir);
	assert_string_equal(out, expected);
	/* A program's DT_RPATH counts for its libraries, but not for those with a DT_RUNPATH. */
	assert_int_equal(libs_find(&l, "libr.so", at("bin/p"), &n, at("rpath"), out), -ENOENT);
	n.runpath = NULL;
	assert_int_equal(libs_find(&l, "libr.so", at("bin/p"), &n, at("rpath"), out), 0);
	assert_int_equal(libs_find(&l, "libno.so", at("bin/p"), &n, NULL, out), -ENOENT);
	n.runpath = "${ORIGIN}/lib:$LIB";
	assert_int_equal(libs_find(&l, "libown.so", at("bin/p"), &n, NULL, out), 0);
	assert_int_equal(libs_find(&l, at("rpath/libr.so"), at("bin/p"), &n, NULL, out), 0);
	libs_close(&l);
}

/* --- kernels --- */

static size_t bzimage(uint8_t *k, const char *version)
{
	memset(k, 0, 4096);
	memcpy(k + 0x202, "HdrS", 4);
	k[0x20f] = 0x04; /* 0x200 + 0x400 */
	strcpy((char *)k + 0x600, version);
	return 4096;
}

static void test_kernel_version(void **state)
{
	static const char elf[] = "\177ELF....Linux version %s (%s)\0Linux version "
				  "6.12.9+deb13-amd64 (debian-kernel@x)";
	char v[IMAGE_VERSION_MAX];
	uint8_t k[4096];

	size_t len = bzimage(k, "6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP");
	assert_true(kernel_version(k, len, v));
	assert_string_equal(v, "6.1.0-56-cloud-amd64");
	assert_true(kernel_version((const uint8_t *)elf, sizeof(elf), v));
	assert_string_equal(v, "6.12.9+deb13-amd64");
	for (size_t n = 0; n < 0x600; n++)
		assert_false(kernel_version(k, n, v));
	k[0x20f] = 0xff;
	assert_false(kernel_version(k, len, v));
	k[0x20e] = k[0x20f] = 0;
	assert_false(kernel_version(k, len, v));
	bzimage(k, "../../etc (x)");
	assert_false(kernel_version(k, len, v));
	bzimage(k, "6/../x (x)");
	assert_false(kernel_version(k, len, v));
	assert_false(kernel_version((const uint8_t *)"\177ELF", 4, v));
}

static void put_kernel(const char *name, const char *version)
{
	uint8_t k[4096];
	size_t len = bzimage(k, version);

	put_bytes(name, k, len, 0644);
}

static void test_kernel_find(void **state)
{
	struct image_kernel k;
	struct err e = { 0 };
	char expected[512];

	assert_int_equal(image_kernel_find(at("boot"), NULL, &k, &e), -ENOENT);
	assert_int_equal(e.class, ERR_HOST);
	assert_non_null(strstr(e.text, "apt-get install linux-image"));
	put_kernel("boot/vmlinuz-6.1.0-9-x", "6.1.0-9-x (a)");
	put_kernel("boot/vmlinuz-6.1.0-10-x", "6.1.0-10-x (a)");
	put("boot/config-6.2", "");
	assert_int_equal(image_kernel_find(at("boot"), NULL, &k, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no modules for kernel 6.1.0-10-x"));
	assert_non_null(strstr(e.text, "lib/modules/6.1.0-10-x is missing"));
	put("lib/modules/6.1.0-10-x/modules.dep", "");
	assert_int_equal(image_kernel_find(at("boot"), NULL, &k, &e), 0);
	assert_string_equal(k.version, "6.1.0-10-x");
	snprintf(expected, sizeof(expected), "%s/lib/modules/6.1.0-10-x", dir);
	assert_string_equal(k.modules, expected);
	assert_int_equal(image_kernel_open(at("boot/vmlinuz-6.1.0-9-x"),
				 at("lib/modules/6.1.0-10-x"), &k, &e),
		0);
	assert_string_equal(k.version, "6.1.0-9-x");
}

static void test_kernel_running(void **state)
{
	struct image_kernel k;
	struct err e = { 0 };
	struct utsname u;
	char name[512], text[512];

	/* The one that runs goes before a newer one. */
	assert_int_equal(uname(&u), 0);
	snprintf(name, sizeof(name), "boot/vmlinuz-%s", u.release);
	snprintf(text, sizeof(text), "%s (a)", u.release);
	put_kernel("boot/vmlinuz-999.1-x", "999.1-x (a)");
	put_kernel(name, text);
	put("m/modules.dep", "");
	assert_int_equal(image_kernel_find(at("boot"), at("m"), &k, &e), 0);
	assert_string_equal(k.version, u.release);
}

static void test_kernel_wrong(void **state)
{
	struct image_kernel k;
	struct err e = { 0 };

	put("file", "text");
	put("empty", "");
	assert_int_equal(image_kernel_open(at("none"), NULL, &k, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/none cannot be read"));
	assert_int_equal(e.class, ERR_REQUEST);
	assert_int_equal(image_kernel_open(at("file"), NULL, &k, &e), -EINVAL);
	assert_non_null(strstr(e.text, "no Linux kernel"));
	assert_int_equal(image_kernel_open(at("empty"), NULL, &k, &e), -EINVAL);
	assert_int_equal(image_kernel_open(dir, NULL, &k, &e), -EINVAL);
	put_kernel("k", "6.1 (x)");
	assert_int_equal(image_kernel_open(at("k"), at("nowhere"), &k, &e), -ENOENT);
	assert_string_equal(e.field, "modules");
}

/* --- unpacking --- */

static size_t pack(const char *suffix, const uint8_t *in, size_t len, uint8_t *out, size_t room)
{
	size_t n = 0;

	if (!strcmp(suffix, ".xz")) {
		assert_int_equal(
			lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, in, len, out, &n, room),
			LZMA_OK);
	} else if (!strcmp(suffix, ".zst")) {
		n = ZSTD_compress(out, room, in, len, 1);
		assert_false(ZSTD_isError(n));
	} else {
		z_stream s = { .next_in = (Bytef *)in,
			.avail_in = (uInt)len,
			.next_out = out,
			.avail_out = (uInt)room };

		assert_int_equal(deflateInit2(&s, 1, Z_DEFLATED, 31, 8, 0), Z_OK);
		assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
		n = s.total_out;
		deflateEnd(&s);
	}
	return n;
}

static const char *const suffixes[] = { ".xz", ".zst", ".gz" };

static void test_unpack(void **state)
{
	enum { LEN = 300000 };
	uint8_t *in = malloc(LEN), *packed = malloc(2 * LEN), *out;

	for (size_t i = 0; i < LEN; i++)
		in[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t k = 0; k < 3; k++) {
		size_t n = pack(suffixes[k], in, LEN, packed, 2 * LEN), len;
		struct err e = { 0 };
		char path[32];

		snprintf(path, sizeof(path), "m.ko%s", suffixes[k]);
		assert_int_equal(unpack_suffix(path), strlen(suffixes[k]));
		assert_int_equal(unpack_bytes(path, packed, n, &out, &len, &e), 0);
		assert_int_equal(len, LEN);
		assert_memory_equal(out, in, LEN);
		free(out);
		for (size_t cut = 0; cut < n; cut += n / 7 + 1) {
			assert_int_equal(unpack_bytes(path, packed, cut, &out, &len, &e), -EBADMSG);
			assert_non_null(strstr(e.text, path));
		}
		assert_int_equal(unpack_bytes(path, in, LEN, &out, &len, &e), -EBADMSG);
		/* One with nothing in it. */
		n = pack(suffixes[k], in, 0, packed, 2 * LEN);
		assert_int_equal(unpack_bytes(path, packed, n, &out, &len, &e), 0);
		assert_int_equal(len, 0);
		free(out);
	}
	assert_int_equal(unpack_suffix("m.ko"), 0);
	assert_int_equal(unpack_suffix(".xz"), 0);
	free(in);
	free(packed);
}

static void test_unpack_too_much(void **state)
{
	size_t len = UNPACK_BYTES_MAX + 1, room = 1 << 20;
	uint8_t *in = calloc(1, len), *packed = malloc(room), *out;
	struct err e = { 0 };

	for (size_t k = 0; k < 3; k++) {
		size_t n = pack(suffixes[k], in, len, packed, room), got;
		char path[32];

		snprintf(path, sizeof(path), "m.ko%s", suffixes[k]);
		assert_int_equal(unpack_bytes(path, packed, n, &out, &got, &e), -EFBIG);
		assert_non_null(strstr(e.text, "more than 128 MiB"));
	}
	free(in);
	free(packed);
}

/* --- archives --- */

/* The archive, read by our own eyes: names and inodes in order, in the form "NAME SIZE\n". */
static char *listing(const char *path)
{
	static char text[65536];
	char *bytes;
	size_t len;
	unsigned last_inode = 0, n = 0;

	assert_int_equal(fd_read_file(path, BYTES_MAX, &bytes, &len, NULL), 0);
	assert_int_equal(len % 512, 0);
	text[0] = '\0';
	for (size_t p = 0;;) {
		unsigned v[13];

		assert_true(p + 110 <= len);
		assert_memory_equal(bytes + p, "070701", 6);
		for (int i = 0; i < 13; i++) {
			char field[9] = "";

			memcpy(field, bytes + p + 6 + 8 * i, 8);
			v[i] = (unsigned)strtoul(field, NULL, 16);
		}
		const char *name = bytes + p + 110;
		assert_int_equal(strlen(name) + 1, v[11]);
		if (!strcmp(name, "TRAILER!!!"))
			break;
		assert_true(v[0] > last_inode);
		assert_int_equal(v[2] + v[3] + v[5], 0); /* root's, and of no time */
		last_inode = v[0];
		n += (unsigned)snprintf(text + n, sizeof(text) - n, "%s %o %u\n", name, v[1], v[6]);
		p += (110 + v[11] + 3) & ~3u;
		p += (v[6] + 3) & ~3u;
	}
	free(bytes);
	return text;
}

static struct image_spec spec_of(void)
{
	uint8_t packed[4096];

	put_bytes("init", "INIT", 4, 0755);
	put("m/6.1-x/modules.dep",
		"k/virtio_pci.ko: k/virtio.ko\nk/virtio.ko:\nk/virtio_net.ko.xz: k/virtio.ko\n"
		"k/virtio_blk.ko.zst: k/virtio.ko\nk/extra.ko:\n");
	put("m/6.1-x/modules.builtin", "kernel/x/8021q.ko\n");
	put("m/6.1-x/k/virtio.ko", "VIRTIO");
	put("m/6.1-x/k/virtio_pci.ko", "PCI");
	put("m/6.1-x/k/extra.ko", "EXTRA");
	size_t n = pack(".xz", (const uint8_t *)"NETNET", 6, packed, sizeof(packed));
	put_bytes("m/6.1-x/k/virtio_net.ko.xz", packed, n, 0644);
	n = pack(".zst", (const uint8_t *)"BLK", 3, packed, sizeof(packed));
	put_bytes("m/6.1-x/k/virtio_blk.ko.zst", packed, n, 0644);
	static char init[512], modules[512];
	snprintf(init, sizeof(init), "%s", at("init"));
	snprintf(modules, sizeof(modules), "%s", at("m/6.1-x"));
	return (struct image_spec){ .init = init, .config = "{}", .modules = modules };
}

static void test_image(void **state)
{
	static const char *const extra[] = { "extra" };
	struct image_spec s = spec_of();
	struct err e = { 0 };

	s.disks = true;
	s.extra_modules = extra;
	s.n_extra_modules = 1;
	assert_int_equal(image_write(&s, at("out"), &e), 0);
	char *list = listing(at("out"));
	static const char *const lines[] = { "init 100755 4\n", "lanyard.json 100644 2\n",
		"dev/console 20600 0\n", "bin 120777 7\n", "lib64 120777 9\n", "tmp 41777 0\n",
		"usr/lib/modules/6.1-x/k/virtio_net.ko 100644 6\n",
		"usr/lib/modules/6.1-x/k/virtio_blk.ko 100644 3\n",
		"usr/lib/modules/6.1-x/k/extra.ko 100644 5\n", "etc/passwd 100644 " };
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_non_null(strstr(list, lines[i]));
	assert_true(strstr(list, "usr 4") < strstr(list, "usr/lib 4"));

	char *a, *b;
	size_t n, m;
	assert_int_equal(fd_read_file(at("out"), BYTES_MAX, &a, &n, &e), 0);
	static const char order[] =
		"/lib/modules/6.1-x/k/virtio.ko\n/lib/modules/6.1-x/k/virtio_pci.ko\n"
		"/lib/modules/6.1-x/k/virtio_net.ko\n"
		"/lib/modules/6.1-x/k/virtio_blk.ko\n"
		"/lib/modules/6.1-x/k/extra.ko\n";
	assert_non_null(memmem(a, n, order, sizeof(order) - 1));
	/* The same again: the same bytes, whatever the files' times. */
	put("m/6.1-x/k/extra.ko", "EXTRA");
	assert_int_equal(image_write(&s, at("out2"), &e), 0);
	assert_int_equal(fd_read_file(at("out2"), BYTES_MAX, &b, &m, &e), 0);
	assert_int_equal(n, m);
	assert_memory_equal(a, b, n);
	free(a);
	free(b);
}

static void test_image_files(void **state)
{
	struct image_spec s = spec_of();
	struct err e = { 0 };

	s.modules = NULL;
	put("f/deep/data", "data");
	put_bytes("f/prog", "x", 1, 04755); /* its set-user-id bit is left behind */
	assert_int_equal(symlink("deep/data", at("f/link")), 0);
	assert_int_equal(symlink("f/prog", at("to-prog")), 0);
	assert_int_equal(mkfifo(at("f/fifo"), 0600), 0);
	char from[4][512];
	snprintf(from[0], 512, "%s", at("f"));
	snprintf(from[1], 512, "%s", at("to-prog"));
	struct image_file files[] = { { from[0], "/data//x/./" }, { from[1], "/bin/prog" },
		{ from[1], "/lib64/../y" } };
	s.files = files;
	s.n_files = 2;
	assert_int_equal(image_write(&s, at("out"), &e), 0);
	char *list = listing(at("out"));
	assert_non_null(strstr(list, "\ndata/x/deep/data 100644 4\n"));
	assert_non_null(strstr(list, "\ndata/x/link 120777 9\n"));
	assert_non_null(strstr(list, "\nusr/bin/prog 100755 1\n"));
	assert_null(strstr(list, "fifo"));
	/* With the host's root they wait below /files. */
	s.root = IMAGE_ROOT_HOST;
	assert_int_equal(image_write(&s, at("out"), &e), 0);
	list = listing(at("out"));
	assert_non_null(strstr(list, "\nfiles/data/x/deep/data 100644 4\n"));
	assert_non_null(strstr(list, "\nfiles/bin/prog 100755 1\n"));
	s.root = IMAGE_ROOT_NONE;
	s.n_files = 3;
	assert_int_equal(image_write(&s, at("out"), &e), -EINVAL);
	assert_non_null(strstr(e.text, "\"..\""));
}

/* What an archive is refused for; the sentence. */
static void refuse(const struct image_spec *s, enum err_class class, const char *words)
{
	struct err e = { 0 };

	if (image_write(s, at("refused"), &e) >= 0)
		fail_msg("not refused: %s", words);
	if (!strstr(e.text, words))
		print_error("expected \"%s\", got: %s\n", words, e.text);
	assert_non_null(strstr(e.text, words));
	assert_int_equal(e.class, class);
	assert_int_equal(access(at("refused"), F_OK), -1);
}

static void test_image_refused(void **state)
{
	static const char *const unknown[] = { "nosuch" };
	struct image_spec good = spec_of(), s = good;
	char one[512], two[512];

	s.init = "/no/such/init";
	refuse(&s, ERR_HOST, "init /no/such/init cannot be read");
	s = good;
	s.modules = "/no/such/6.1";
	refuse(&s, ERR_HOST, "no modules for kernel 6.1: the folder /no/such/6.1 is missing");
	s = good;
	s.extra_modules = unknown;
	s.n_extra_modules = 1;
	refuse(&s, ERR_REQUEST, "no module \"nosuch\"");
	s.modules = NULL;
	refuse(&s, ERR_REQUEST, "but no folder of modules");
	s = good;
	s.shares = true; /* that kernel has no virtiofs */
	refuse(&s, ERR_REQUEST, "no module \"virtiofs\"");
	s = good;
	s.max_bytes = 2048;
	refuse(&s, ERR_REQUEST, "would be larger than 2K");
	unlink(at("m/6.1-x/k/virtio.ko"));
	refuse(&good, ERR_HOST, "which modules.dep there names, cannot be read");
	put("m/6.1-x/k/virtio.ko", "VIRTIO");
	put("m/6.1-x/k/virtio_net.ko.xz", "no xz at all");
	refuse(&good, ERR_REQUEST, "no whole xz file");

	s = good;
	s.modules = NULL;
	struct image_file f[2] = { { "/no/such", NULL } };
	s.files = f;
	s.n_files = 1;
	refuse(&s, ERR_REQUEST, "/no/such, to be put into the guest, cannot be read");
	f[0].from = "relative";
	refuse(&s, ERR_REQUEST, "absolute");
	f[0].from = "/dev/null";
	refuse(&s, ERR_REQUEST, "neither a file nor a folder");
	put("one", "1");
	put("two", "2");
	snprintf(one, sizeof(one), "%s", at("one"));
	snprintf(two, sizeof(two), "%s", at("two"));
	f[0] = (struct image_file){ one, "/x" };
	f[1] = (struct image_file){ two, "/x" };
	s.n_files = 2;
	refuse(&s, ERR_REQUEST, "two things in the guest");
	f[1].to = "/x/y";
	refuse(&s, ERR_REQUEST, "two things in the guest");
	f[1].to = "/init";
	refuse(&s, ERR_REQUEST, "two things in the guest");
	s.n_files = 1;
	s.root = IMAGE_ROOT_DISK;
	refuse(&s, ERR_REQUEST, "this guest's root is a disk");
}

static void test_image_libraries(void **state)
{
	struct elf prog = elf_of(), lib = elf_of();
	struct image_spec s = spec_of();
	struct err e = { 0 };
	char path[512], script[512];

	/* liba.so.1 beside the program, which needs libb.so, which is nowhere. */
	prog.segments[1].p_type = PT_NULL;
	lib.segments[1].p_type = PT_NULL;
	prog.dynamic[3].d_un.d_val = 1;
	lib.dynamic[0].d_un.d_val = 11;
	put_bytes("p/prog", &prog, sizeof(prog), 0755);
	put_bytes("p/lib/liba.so.1", &lib, sizeof(lib), 0755);
	snprintf(path, sizeof(path), "%s", at("p/prog"));
	s.modules = NULL;
	struct image_file f = { path, "/bin/prog" };
	s.files = &f;
	s.n_files = 1;
	refuse(&s, ERR_HOST, "library libb.so, which ");
	put_bytes("p/lib/lib/libb.so", "no ELF", 6, 0644);
	assert_int_equal(image_write(&s, at("out"), &e), 0);
	char expected[600];
	snprintf(expected, sizeof(expected), "\n%s/p/lib/lib/libb.so 100644 6\n", dir + 1);
	assert_non_null(strstr(listing(at("out")), expected));
	/* A damaged program is an error; in a folder it is a file. */
	put_bytes("p/prog", &prog, sizeof(prog) - sizeof(prog.strings), 0755);
	refuse(&s, ERR_REQUEST, "damaged ELF");
	snprintf(path, sizeof(path), "%s", at("p"));
	assert_int_equal(image_write(&s, at("out"), &e), 0);
	/* A script's interpreter must be there. */
	put_bytes("script", "#! /no/such/sh -e\n", 18, 0755);
	snprintf(script, sizeof(script), "%s", at("script"));
	f.from = script;
	refuse(&s, ERR_HOST, "needs /no/such/sh, which this host lacks");
	put_bytes("script", "#!/usr/bin/env -S A=b nosuchlang\n", 33, 0755);
	refuse(&s, ERR_HOST, "needs the program nosuchlang");
}

static void test_image_deep(void **state)
{
	struct image_spec s = spec_of();
	char path[2048] = "deep", from[512];

	for (int i = 0; i < 40; i++)
		strcat(path, "/d");
	strcat(path, "/f");
	char *p = path;
	put(p, "x");
	snprintf(from, sizeof(from), "%s", at("deep"));
	struct image_file f = { from, "/deep" };
	s.modules = NULL;
	s.files = &f;
	s.n_files = 1;
	refuse(&s, ERR_REQUEST, "more than 32 deep");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_modules_order),
		T(test_modules_softdep),
		T(test_modules_device),
		T(test_modules_twice),
		T(test_modules_paths_outside),
		T(test_modules_deep),
		T(test_modules_missing),
		T(test_elf_needs),
		T(test_elf_none),
		T(test_elf_damaged),
		T(test_libs_cache),
		T(test_libs_folders),
		T(test_kernel_version),
		T(test_kernel_find),
		T(test_kernel_running),
		T(test_kernel_wrong),
		T(test_unpack),
		T(test_unpack_too_much),
		T(test_image),
		T(test_image_files),
		T(test_image_refused),
		T(test_image_libraries),
		T(test_image_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
