/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The netlink transport: sends one request, hands over its answers. Behind an interface, so that
 * tests answer as a kernel would.
 *
 * Ours is a libnl socket with a receiver of our own: an answer may be longer than any buffer that
 * one would think of (64 KiB are passed by some 220 VFs), so each is measured before it is taken.
 */
#ifndef LANYARD_SRIOV_NL_H
#define LANYARD_SRIOV_NL_H

#include <linux/netlink.h>
#include <stddef.h>

#include "base/err.h"

struct nl_msg;

/* An answer; nonzero ends the talk with that. */
typedef int (*sriov_nl_fn)(void *arg, const struct nlmsghdr *h);

struct sriov_nl {
	/* Sends msg (the caller's still) and calls fn (may be NULL) with each answer until the
	 * kernel has acknowledged. 0, or -errno: the kernel's answer, or the transport's. */
	int (*talk)(struct sriov_nl *nl, struct nl_msg *msg, sriov_nl_fn fn, void *arg);
	void (*free)(struct sriov_nl *nl);
	char said[160]; /* the kernel's own words about the last error, or "" */
};

struct sriov_nl *sriov_nl_open(struct err *e);
void sriov_nl_free(struct sriov_nl *nl); /* NULL is nothing */

/*
 * One datagram of any size from fd, within timeout_ms, to *buf (realloc'd as needed, *size says
 * how large it is). Returns its length, or -errno (-ETIMEDOUT).
 */
int sriov_nl_receive(int fd, int timeout_ms, char **buf, size_t *size);

#endif
