/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's policy on the control side: from the keys of a request (docs/control.md) to what workers
 * go by (dp/policy.h). The keys are kept as they were given: `stats` shows them, and a change is
 * laid over them and read anew as a whole. So what is checked is always the policy that will be.
 */
#ifndef LANYARD_VSWITCH_POLICY_H
#define LANYARD_VSWITCH_POLICY_H

#include <stdint.h>

#include "base/err.h"
#include "vswitch/dp/policy.h"
#include "vswitch/dp/tap.h"

#define SW_NAME_MAX 63 /* bytes of a port's or network's name */

struct json_t;
struct sw;
struct sw_port;

struct sw_static {
	uint64_t mac; /* as an 8-byte load of a frame gives it, masked */
	uint16_t vid;
};

struct sw_policy {
	struct json_t *given; /* an object */
	struct dp_policy *dp; /* NULL: nothing is demanded. In views: freed after a grace period */
	uint32_t n_statics;
	struct sw_static *statics;
	uint8_t no_offloads; /* DP_OFF_* (dp/offload.h) that the front end is not offered */
	char mirror_to[SW_NAME_MAX + 1]; /* a port's name; "": none */
	bool mirror[TAP_DIRS];
};

/* The policy keys of a request: names, ended by NULL. */
extern const char *const sw_policy_keys[];

/* The object of policy keys that `changes` makes of `given` (may be NULL): null takes a key away.
 * Keys that are no policy's are left out. A new reference. */
struct json_t *sw_policy_merge(const struct json_t *given, const struct json_t *changes);

/* Reads policy keys, and takes over the reference to them. On failure *p is empty. */
int sw_policy_read(struct json_t *given, struct sw_policy *p, struct err *e);
void sw_policy_free(struct sw_policy *p);

/* rate.c: a bucket that gets `rate` tokens a second (not 0) and holds `burst`. */
int sw_rate_set(struct dp_rate *r, uint64_t rate, uint64_t burst);

/* A port and the policy that it is to have. */
struct sw_change {
	struct sw_port *port;
	struct sw_policy policy;
};

/*
 * configure.c, under the lock: all the changes, with one view, or (on failure) none of them. Takes
 * the policies over in either case. A change of what a port may learn makes it forget what it has.
 */
int sw_changes_apply(struct sw *sw, struct sw_change *c, uint32_t n, struct err *e);

/* The port that is mirrored to p, if any; the first of them. Under the lock. */
const struct sw_port *sw_mirror_source(const struct sw *sw, const struct sw_port *p);

/* The method `configure`, without the lock. networks, ports: objects by name, or NULL. */
int sw_configure(
	struct sw *sw, const struct json_t *networks, const struct json_t *ports, struct err *e);

#endif
