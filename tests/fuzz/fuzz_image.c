/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What image/ reads and nobody vouches for: the first byte says which. depmod's tables (four texts,
 * with NULs between), an ELF file, ldconfig's cache, a kernel, a packed module. What comes out must
 * lie in what went in.
 */
#include <stdlib.h>
#include <string.h>

#include "image/elfneeds.h"
#include "image/kernel.h"
#include "image/libs.h"
#include "image/modules.h"
#include "image/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_modules(const char *text, size_t size)
{
	struct modules_text t = { .dep = text };
	const char **parts[] = { &t.builtin, &t.softdep, &t.alias };
	const char *names[] = { "a", "b", "virtio_net" };
	struct modules_order o = { 0 };
	struct err e = { 0 };
	size_t at = strlen(text) + 1;

	for (size_t i = 0; i < 3 && at < size; i++) {
		*parts[i] = text + at;
		at += strlen(text + at) + 1;
	}
	struct modules *m = modules_parse("/m", &t, &e);
	if (!m) {
		if (e.class == ERR_NONE || !e.text[0])
			abort();
		return;
	}
	for (size_t i = 0; i < 3; i++)
		modules_add(m, names[i], &o, &e);
	for (size_t i = 0; i < o.n; i++) {
		const char *p = o.paths[i];

		if (p[0] == '/' || strstr(p, "/../") || !strncmp(p, "../", 3))
			abort();
		for (size_t k = 0; k < i; k++)
			if (o.paths[k] == p)
				abort();
	}
	modules_order_free(&o);
	modules_free(m);
}

static void fuzz_elf(const uint8_t *bytes, size_t size)
{
	struct elf_needs n;
	size_t total = 0;

	if (elf_read(bytes, size, &n) != 1)
		return;
	for (size_t i = 0; i < n.n_needed; i++)
		total += strlen(n.needed[i]);
	if (n.interpreter)
		total += strlen(n.interpreter);
	if (n.runpath)
		total += strlen(n.runpath);
	if (n.rpath)
		total += strlen(n.rpath);
	if (total > size * (ELF_NEEDED_MAX + 3))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const packed[] = { "m.ko.xz", "m.ko.zst", "m.ko.gz" };
	char version[IMAGE_VERSION_MAX];
	struct err e = { 0 };
	uint8_t *out = NULL;
	size_t len;

	if (!size)
		return 0;
	unsigned kind = data[0] % 7;
	/* Exactly as large, and with a NUL that is not counted: what reads beyond it is seen. */
	size--;
	char *copy = malloc(size + (kind == 0));
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size);
	if (kind == 0) {
		copy[size] = '\0';
		fuzz_modules(copy, size + 1);
	} else if (kind == 1) {
		fuzz_elf((uint8_t *)copy, size);
	} else if (kind == 2) {
		const char *p = libs_cached(copy, size, "libc.so.6");

		if (p && p[0] != '/')
			abort();
	} else if (kind == 3) {
		if (kernel_version((uint8_t *)copy, size, version) && strchr(version, '/'))
			abort();
	} else if (unpack_bytes(packed[kind - 4], (uint8_t *)copy, size, &out, &len, &e) == 0) {
		free(out);
	}
	free(copy);
	return 0;
}
