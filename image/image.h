/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initramfs images: what a guest with no image of its own boots from. An archive holds our static
 * init, what it is told (JSON), the kernel's modules in load order, and files of the host with the
 * libraries that they need. docs/linux-guests.md says what a guest makes of it.
 *
 * The same input gives the same bytes. Nothing of what is packed is ever run: ELF files and the
 * tables of depmod and ldconfig are read by our own parsers, which trust none of them. Blocking;
 * no globals.
 */
#ifndef LANYARD_IMAGE_IMAGE_H
#define LANYARD_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define IMAGE_PATH_MAX    4096
#define IMAGE_VERSION_MAX 128
#define IMAGE_BYTES_MAX   (1ull << 30) /* of an archive, unless the spec says otherwise */
#define IMAGE_ENTRIES_MAX 65536
#define IMAGE_DEPTH_MAX   32 /* of folders named in `files` */

/* Where the guest's root file system is. */
enum image_root {
	IMAGE_ROOT_NONE, /* the initramfs itself */
	IMAGE_ROOT_HOST, /* the host's, read-only over virtiofs (tag "lanyard-root"), tmpfs on top */
	IMAGE_ROOT_DISK, /* a virtio disk's */
};

/* A file or folder of the host (absolute), and where it is in the guest (absolute; NULL: the same
 * place). A program brings its libraries, a script its interpreter, a folder all that is in it. */
struct image_file {
	const char *from, *to;
};

struct image_spec {
	const char *init;    /* lanyard-init, a static program */
	const char *config;  /* text of /lanyard.json; NULL: none */
	const char *modules; /* /lib/modules/VERSION or its like; NULL: the kernel needs none */
	enum image_root root;
	bool disks, shares;               /* the guest has virtio disks, virtiofs shares */
	const char *const *extra_modules; /* by name, besides those that the above want */
	size_t n_extra_modules;
	const char *const *devices; /* "pci:v00008086d000010CA...", as sysfs's modalias has it: the
				     * kernel's modules for each are taken */
	size_t n_devices;
	const struct image_file *files; /* not with IMAGE_ROOT_DISK */
	size_t n_files;
	uint64_t max_bytes; /* 0: IMAGE_BYTES_MAX */
};

/*
 * Writes the archive to path (replaced as a whole, or not at all). 0; ERR_REQUEST: a file that is
 * missing, a module that is unknown, an image too large; ERR_HOST: no modules for that kernel, a
 * library that the host lacks; ERR_FAILED: reading or writing failed.
 */
int image_write(const struct image_spec *spec, const char *path, struct err *e);

/* Whether the kernel with that folder of modules has a driver for a device, by its modalias. 0, or
 * ERR_REQUEST: it has none; as image_write would say it. */
int image_check_driver(const char *modules, const char *modalias, struct err *e);

/* A kernel that is there to boot. */
struct image_kernel {
	char path[IMAGE_PATH_MAX];       /* of the bzImage or ELF */
	char version[IMAGE_VERSION_MAX]; /* as `uname -r` says it */
	char modules[IMAGE_PATH_MAX];    /* its modules' folder */
};

/*
 * The kernel to boot when none is named: of boot's vmlinuz-* (NULL: /boot) the one that runs now,
 * else the newest that can be read. modules: as image_kernel_open.
 */
int image_kernel_find(
	const char *boot, const char *modules, struct image_kernel *out, struct err *e);

/*
 * The kernel at path: its version is read from the file (a bzImage's header, an ELF's banner).
 * modules: the folder that was named for it, or NULL: /lib/modules/VERSION of the file system that
 * the kernel lies in (PREFIX/boot/vmlinuz-* has PREFIX/lib/modules/VERSION), else the host's.
 */
int image_kernel_open(
	const char *path, const char *modules, struct image_kernel *out, struct err *e);

#endif
