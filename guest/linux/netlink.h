/* SPDX-License-Identifier: Apache-2.0 */
/* The little of rtnetlink(7) that a guest's set-up needs; each call waits for the kernel's answer.
 * */
#ifndef LANYARD_GUEST_LINUX_NETLINK_H
#define LANYARD_GUEST_LINUX_NETLINK_H

#include <stdint.h>

struct netlink_address {
	int family;        /* AF_INET, AF_INET6 */
	uint8_t bytes[16]; /* network order */
	unsigned prefix;   /* bits of its network; 0 in a route: all addresses */
};

int netlink_open(void); /* the socket, or -errno */

/* Each: 0 or -errno. An address or route that is there already is no error. */
int netlink_set_up(int nl, unsigned index);
int netlink_set_mtu(int nl, unsigned index, unsigned mtu);
int netlink_set_name(int nl, unsigned index, const char *name); /* of one that is down */
int netlink_add_address(int nl, unsigned index, const struct netlink_address *a);
int netlink_add_route(int nl, const struct netlink_address *to, const struct netlink_address *via);

#endif
