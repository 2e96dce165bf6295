/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that are there to boot, and their versions: see image.h. */
#include "image/image.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "image/kernel.h"

#define PREFIX "vmlinuz-"

/* Linux: Documentation/x86/boot.rst */
#define HDR_MAGIC   0x202 /* "HdrS" */
#define HDR_VERSION 0x20e /* le16: the version string's place, less 0x200; 0: none */
#define HDR_END     0x210

static bool take_word(const uint8_t *bytes, size_t len, char out[IMAGE_VERSION_MAX])
{
	size_t n = 0;

	while (n < len && isgraph(bytes[n]) && bytes[n] != '/' && n + 1 < IMAGE_VERSION_MAX) {
		out[n] = (char)bytes[n];
		n++;
	}
	out[n] = '\0';
	return n && n < len && isdigit(bytes[0]) && (bytes[n] == ' ' || bytes[n] == '\0');
}

bool kernel_version(const uint8_t *bytes, size_t len, char out[IMAGE_VERSION_MAX])
{
	static const char banner[] = "Linux version ";

	if (len >= HDR_END && !memcmp(bytes + HDR_MAGIC, "HdrS", 4)) {
		size_t at = bytes[HDR_VERSION] | (size_t)bytes[HDR_VERSION + 1] << 8;

		at += 0x200;
		return at > 0x200 && at < len && take_word(bytes + at, len - at, out);
	}
	if (len < 4 || memcmp(bytes, "\177ELF", 4))
		return false;
	/* The banner is there more than once, also as a format string. */
	for (const uint8_t *p = bytes;
		(p = memmem(p, len - (size_t)(p - bytes), banner, sizeof(banner) - 1));) {
		p += sizeof(banner) - 1;
		if (take_word(p, len - (size_t)(p - bytes), out))
			return true;
	}
	return false;
}

static int read_version(const char *path, char out[IMAGE_VERSION_MAX], struct err *e)
{
	uint8_t *bytes = MAP_FAILED;
	struct stat st = { 0 };
	int rc = 0;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_request_at(e, -errno, "kernel", "kernel %s cannot be read: %s%s", path,
			err_str(errno),
			errno == ENOENT ? ": check the path, or install a kernel (apt-get install "
					  "linux-image-cloud-amd64)"
					: "");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED || !kernel_version(bytes, (size_t)st.st_size, out))
		rc = err_request_at(e, -EINVAL, "kernel",
			"%s is no Linux kernel: expected a bzImage (vmlinuz-*) or an ELF (vmlinux) "
			"that says its version",
			path);
	if (bytes != MAP_FAILED)
		munmap(bytes, (size_t)st.st_size);
	close(fd);
	return rc;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* PREFIX/boot/vmlinuz-* has PREFIX/lib/modules/VERSION; another has the host's. */
static int find_modules(struct image_kernel *k, struct err *e)
{
	static const char *const below[] = { "lib/modules", "usr/lib/modules" };
	char prefix[IMAGE_PATH_MAX];
	int n = 0;

	snprintf(prefix, sizeof(prefix), "%s", k->path);
	char *boot = strstr(prefix, "/boot/");
	for (char *later; boot && (later = strstr(boot + 1, "/boot/"));)
		boot = later;
	if (boot)
		*boot = '\0';
	for (size_t i = 0; i < 4; i++) {
		if (i < 2 && !boot)
			continue;
		n = snprintf(k->modules, sizeof(k->modules), "%s/%s/%s", i < 2 ? prefix : "",
			below[i % 2], k->version);
		if (n < (int)sizeof(k->modules) && is_folder(k->modules))
			return 0;
	}
	snprintf(k->modules, sizeof(k->modules), "%.2000s/lib/modules/%s", boot ? prefix : "",
		k->version);
	return err_host(e, -ENOENT,
		"no modules for kernel %s: the folder %s is missing: install the package "
		"linux-image-%s (Ubuntu: linux-modules-%s), or name the folder that has them in "
		"\"modules\"",
		k->version, k->modules, k->version, k->version);
}

int image_kernel_open(
	const char *path, const char *modules, struct image_kernel *out, struct err *e)
{
	char *real = realpath(path, NULL);

	*out = (struct image_kernel){ 0 };
	snprintf(out->path, sizeof(out->path), "%s", real ? real : path);
	free(real);
	int rc = read_version(out->path, out->version, e);
	if (rc)
		return rc;
	if (!modules)
		return find_modules(out, e);
	if (!is_folder(modules))
		return err_request_at(e, -ENOENT, "modules",
			"the folder of modules %s is not there: expected the /lib/modules/%s of kernel "
			"%s",
			modules, out->version, out->path);
	snprintf(out->modules, sizeof(out->modules), "%s", modules);
	return 0;
}

static int is_kernel(const struct dirent *d)
{
	return !strncmp(d->d_name, PREFIX, sizeof(PREFIX) - 1);
}

int image_kernel_find(
	const char *boot, const char *modules, struct image_kernel *out, struct err *e)
{
	char path[IMAGE_PATH_MAX];
	struct dirent **names = NULL;
	struct utsname running;
	int n, best = -1, rc;

	boot = boot ? boot : "/boot";
	if (uname(&running) < 0)
		running.release[0] = '\0';
	n = scandir(boot, &names, is_kernel, versionsort);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", boot, names[i]->d_name);
		if (access(path, R_OK) < 0)
			continue;
		best = i; /* sorted: the newest is last */
		if (!strcmp(names[i]->d_name + sizeof(PREFIX) - 1, running.release))
			break;
	}
	if (best >= 0) {
		snprintf(path, sizeof(path), "%s/%s", boot, names[best]->d_name);
		rc = image_kernel_open(path, modules, out, e);
	} else if (n > 0) {
		rc = err_host(e, -EACCES,
			"no kernel in %s (%s*) can be read: run as root, or name one in \"kernel\"",
			boot, PREFIX);
	} else {
		rc = err_host(e, -ENOENT,
			"this host has no kernel in %s (%s*): install one (apt-get install "
			"linux-image-cloud-amd64), or name one in \"kernel\"",
			boot, PREFIX);
	}
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return rc;
}
