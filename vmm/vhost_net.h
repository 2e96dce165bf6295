/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end in the host's kernel: vhost-net moves frames between a NIC's rings and a tap, an
 * interface of the host's that somebody made before (`ip tuntap add`, a lab) and put where frames
 * are to go: into a bridge as a rule.
 *
 * A queue pair is one open file of the tap's and one of /dev/vhost-net, with rings 0 (to the guest)
 * and 1. Both are opened at the start, before the process gives up its rights: a tap that is
 * deleted later is gone for good, and the link stays down. Frames carry virtio's header as it is:
 * what the guest takes of offloads the tap is told, and the kernel does the rest.
 *
 * vhost-net has no packed rings. Its thread is the kernel's ("vhost-PID"), none of ours.
 */
#ifndef LANYARD_VMM_VHOST_NET_H
#define LANYARD_VMM_VHOST_NET_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/vhost_back.h"

#define VHOST_NET_PAIRS_MAX 16
#define VHOST_NET_LOOK_MS   2000 /* a tap that is deleted does not say so */

/* The host as seen from here; tests bring their own. Both return -errno. */
struct vhost_net_host {
	int (*open)(const char *path, int flags);
	int (*ioctl)(int fd, unsigned long request, void *arg);
};
extern const struct vhost_net_host vhost_net_host;

struct vhost_net {
	struct vhost_back back;
	const struct vhost_net_host *host;
	char tap[IFNAMSIZ];
	unsigned pairs;
	int tap_fd[VHOST_NET_PAIRS_MAX], vhost_fd[VHOST_NET_PAIRS_MAX]; /* -1: not open */
	uint64_t kernel;  /* features that vhost-net has, of those that we know */
	uint64_t offered; /* these, and those that the tap makes up for */
	bool open;        /* link: rw */
	bool ring_on[2 * VHOST_NET_PAIRS_MAX];
};

/* 0, or why no interface can have that name. */
int vhost_net_name_check(const char *tap, struct err *e);

/* Opens all that is needed. ERR_HOST, ERR_REQUEST with what to do. The link's fini closes it; after
 * a failure too vhost_net_fini is due. *n need not be zeroed. */
int vhost_net_init(struct vhost_net *n, const char *tap, unsigned pairs,
	const struct vhost_net_host *host, struct err *e);
void vhost_net_fini(struct vhost_net *n);

#endif
