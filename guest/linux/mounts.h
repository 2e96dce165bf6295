/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems of a guest: the kernel's own, the root (the initramfs, the host's over virtiofs, a
 * disk's), shares; and their end. Used by init only.
 */
#ifndef LANYARD_GUEST_LINUX_MOUNTS_H
#define LANYARD_GUEST_LINUX_MOUNTS_H

#include <jansson.h>

#include "base/err.h"

/* /proc, /sys, /dev and its like, /run, /tmp. */
void mounts_kernel(json_t *problems);

/* Makes what config's "root" says the root of this process and all that come after it. On failure
 * the initramfs stays the root. */
int mounts_root(const json_t *config, json_t *problems, struct err *e);

/* Each of config's "shares" at its place. */
void mounts_shares(const json_t *config, json_t *problems);

/* At the end, when no process is left: all is written, and nothing can be written any more. */
void mounts_end(void);

#endif
