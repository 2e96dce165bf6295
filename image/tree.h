/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be in an archive: a set of paths, each a folder, a file (of the host, or bytes), a
 * link or a device. Written in the order of their names, so that folders come before what is in
 * them and the order of additions does not matter. Files of the host are read when they are
 * written.
 *
 * /bin, /sbin, /lib and /lib64 are links into /usr, as Debian has them: paths given below them are
 * taken to be below /usr.
 */
#ifndef LANYARD_IMAGE_TREE_H
#define LANYARD_IMAGE_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "image/cpio.h"

struct tree {
	void *entries; /* of tsearch(3) */
	size_t n;
};

/* All paths are absolute, those of the guest. Missing folders above are made, mode 0755. A path
 * that is there already: the same thing is no error, another one is (-EEXIST, ERR_REQUEST). */
int tree_add_folder(struct tree *t, const char *path, mode_t mode, struct err *e);
/* unpack: as unpack_file does. Returns 1 if it is there already from the same source. */
int tree_add_file(struct tree *t, const char *path, const char *source, mode_t mode, bool unpack,
	struct err *e);
int tree_add_bytes(struct tree *t, const char *path, const void *bytes, size_t len, mode_t mode,
	struct err *e);
int tree_add_link(struct tree *t, const char *path, const char *target, struct err *e);
/* The link /NAME to usr/NAME, which tree_add_link would put below /usr. */
int tree_add_merged(struct tree *t, const char *name, struct err *e);
int tree_add_device(struct tree *t, const char *path, mode_t mode, dev_t dev, struct err *e);

bool tree_has(const struct tree *t, const char *path);

int tree_write(const struct tree *t, struct cpio *c, struct err *e);
void tree_free(struct tree *t);

#endif
