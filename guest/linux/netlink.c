/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ATTRIBUTES_MAX 128

/* A request: the header, the message of its type, attributes. */
struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
		struct rtmsg route;
		char room[NLMSG_ALIGN(sizeof(struct ifinfomsg)) + ATTRIBUTES_MAX];
	};
};

int netlink_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? -errno : fd;
}

static struct request request_new(int type, size_t len, int flags)
{
	return (struct request){ .head = { .nlmsg_len = NLMSG_LENGTH(len),
					 .nlmsg_type = (uint16_t)type,
					 .nlmsg_flags =
						 (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags) } };
}

static void attribute(struct request *r, int type, const void *value, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = (uint16_t)type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), value, len);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

/* Sends it, and returns what the kernel answers. */
static int call(int nl, struct request *r)
{
	union {
		struct nlmsghdr head;
		char room[1024];
	} reply;
	struct nlmsgerr error;
	ssize_t n;

	if (send(nl, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	do
		n = recv(nl, &reply, sizeof(reply), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(error)) || reply.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	memcpy(&error, NLMSG_DATA(&reply.head), sizeof(error));
	return error.error;
}

static struct request link_request(unsigned index)
{
	struct request r = request_new(RTM_NEWLINK, sizeof(struct ifinfomsg), 0);

	r.link.ifi_family = AF_UNSPEC;
	r.link.ifi_index = (int)index;
	return r;
}

int netlink_set_up(int nl, unsigned index)
{
	struct request r = link_request(index);

	r.link.ifi_flags = r.link.ifi_change = IFF_UP;
	return call(nl, &r);
}

int netlink_set_mtu(int nl, unsigned index, unsigned mtu)
{
	struct request r = link_request(index);

	attribute(&r, IFLA_MTU, &mtu, sizeof(mtu));
	return call(nl, &r);
}

int netlink_set_name(int nl, unsigned index, const char *name)
{
	struct request r = link_request(index);

	attribute(&r, IFLA_IFNAME, name, strlen(name) + 1);
	return call(nl, &r);
}

static size_t bytes_of(const struct netlink_address *a)
{
	return a->family == AF_INET ? 4 : 16;
}

int netlink_add_address(int nl, unsigned index, const struct netlink_address *a)
{
	struct request r =
		request_new(RTM_NEWADDR, sizeof(struct ifaddrmsg), NLM_F_CREATE | NLM_F_EXCL);

	r.address.ifa_family = (uint8_t)a->family;
	r.address.ifa_prefixlen = (uint8_t)a->prefix;
	r.address.ifa_index = index;
	/* The topology says whose it is: no need to ask around, and to wait for no answer. */
	r.address.ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0;
	attribute(&r, IFA_LOCAL, a->bytes, bytes_of(a));
	attribute(&r, IFA_ADDRESS, a->bytes, bytes_of(a));
	int rc = call(nl, &r);
	return rc == -EEXIST ? 0 : rc;
}

int netlink_add_route(int nl, const struct netlink_address *to, const struct netlink_address *via)
{
	struct request r =
		request_new(RTM_NEWROUTE, sizeof(struct rtmsg), NLM_F_CREATE | NLM_F_EXCL);

	if (to->family != via->family)
		return -EAFNOSUPPORT;
	r.route.rtm_family = (uint8_t)to->family;
	r.route.rtm_dst_len = (uint8_t)to->prefix;
	r.route.rtm_table = RT_TABLE_MAIN;
	r.route.rtm_protocol = RTPROT_BOOT;
	r.route.rtm_scope = RT_SCOPE_UNIVERSE;
	r.route.rtm_type = RTN_UNICAST;
	if (to->prefix)
		attribute(&r, RTA_DST, to->bytes, bytes_of(to));
	attribute(&r, RTA_GATEWAY, via->bytes, bytes_of(via));
	int rc = call(nl, &r);
	return rc == -EEXIST ? 0 : rc;
}
