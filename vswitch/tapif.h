/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tap interfaces of the kernel, made and ended with the port that they belong to: not persistent,
 * so whatever ends the switch ends them. Control thread.
 */
#ifndef LANYARD_VSWITCH_TAPIF_H
#define LANYARD_VSWITCH_TAPIF_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "vswitch/dp/view.h"

struct tapif {
	char name[IFNAMSIZ]; /* as last seen: it may be renamed, or moved to another namespace */
	int ctl;             /* a socket of the network namespace that it is in */
	ino_t netns;         /* that namespace's number */
	uint16_t n_queues;
	int fd[DP_PAIRS_MAX];
};

/* Is this a name that we give to an interface? 0, or a sentence about the field "ifname". */
int tapif_name_check(const char *name, struct err *e);

/* Makes the interface, n queues, and sets it up. -errno: nothing was made. */
int tapif_open(struct tapif *t, const char *name, uint16_t n_queues, uint32_t mtu, struct err *e);
void tapif_close(struct tapif *t);

/* Is it up? Finds it again where it was moved or renamed. */
bool tapif_is_up(struct tapif *t);
int tapif_set_mtu(struct tapif *t, uint32_t mtu, struct err *e);

#endif
