/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librte_vhost's callbacks. They come on its own threads, one at a time for a connection; some of
 * them while it holds the locks of the device's queues, so nothing is called here that takes those.
 *
 * librte_vhost locks a queue against its own data path while it carries out a message. Our rings
 * are not under that lock. So a hook before each message that changes what we use takes the rings
 * out of the workers' view (sw_port_sync returns when none uses them), and a hook after it puts
 * back what is whole again. Replies are sent after the second hook.
 */
#include "vswitch/switch.h"

#include <dirent.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <rte_vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "vswitch/dp/offload.h"

/* The front end's messages that concern us (vhost-user specification, "Front-end message types"). */
enum {
	VU_SET_FEATURES = 2,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_NET_SET_MTU = 20,
};

/* A message's beginning, as the hooks are given it ("Message Specification"). */
struct vu_msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
	} __attribute__((packed)) payload;
} __attribute__((packed));

static_assert(offsetof(struct vu_msg, payload) == 12, "vhost-user header");

#define VU_VRING_IDX_MASK 0xff

/* What we don't do: UFO (dropped from Linux in 2017) and dirty logging. */
#define FEATURES_OFF                                                \
	(1ull << VIRTIO_NET_F_GSO | 1ull << VIRTIO_NET_F_HOST_UFO | \
		1ull << VIRTIO_NET_F_GUEST_UFO | 1ull << VHOST_F_LOG_ALL)

#define PROTOCOL_FEATURES                                                             \
	(1ull << VHOST_USER_PROTOCOL_F_MQ | 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK | \
		1ull << VHOST_USER_PROTOCOL_F_NET_MTU | 1ull << VHOST_USER_PROTOCOL_F_STATUS)

/* Callbacks carry no argument of ours: the one global, set before the first port. */
static struct sw *the_switch;

void sw_vhost_attach(struct sw *sw)
{
	the_switch = sw;
}

/* The port of a connection, with the lock taken; NULL (and no lock) if it is gone. */
static struct sw_port *port_enter(int vid)
{
	struct sw *sw = the_switch;
	char path[FD_UNIX_PATH_MAX + 1];

	if (rte_vhost_get_ifname(vid, path, sizeof(path)))
		return NULL;
	pthread_mutex_lock(&sw->lock);
	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id] && strcmp(sw->ports[id]->socket, path) == 0)
			return sw->ports[id];
	pthread_mutex_unlock(&sw->lock);
	return NULL;
}

static void port_leave(void)
{
	pthread_mutex_unlock(&the_switch->lock);
}

static bool is_path(const struct sockaddr_un *un, socklen_t len, const char *path)
{
	return len > sizeof(sa_family_t) && un->sun_family == AF_UNIX &&
		strncmp(un->sun_path, path, sizeof(un->sun_path)) == 0;
}

/* The peer's pid if fd is the connected socket of a port; 0 if it is not. */
static pid_t peer_pid(int fd, const char *path)
{
	struct sockaddr_un self, peer;
	socklen_t self_len = sizeof(self), peer_len = sizeof(peer), len = sizeof(struct ucred);
	struct ucred cred;

	if (getsockname(fd, (struct sockaddr *)&self, &self_len) ||
		getpeername(fd, (struct sockaddr *)&peer, &peer_len))
		return 0;
	if (!is_path(&self, self_len, path) && !is_path(&peer, peer_len, path))
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return 0;
	return cred.pid;
}

/* librte_vhost keeps a connection's fd to itself, so it is looked for among all of ours; the
 * port's earlier one is not meant. -1: not found. */
static int port_peer_find(const struct sw_port *p, pid_t *pid)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *de;
	int found = -1;

	*pid = 0;
	while (dir && found < 0 && (de = readdir(dir))) {
		int fd = de->d_name[0] == '.' ? -1 : atoi(de->d_name);

		if (fd < 0 || fd == p->conn_fd)
			continue;
		*pid = peer_pid(fd, p->socket);
		if (*pid)
			found = fd;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Whether the port's front end has hung up, which librte_vhost may find out only after it has
 * accepted its successor. */
static bool port_peer_gone(const struct sw_port *p)
{
	struct pollfd pfd = { .fd = p->conn_fd, .events = POLLRDHUP };

	return p->conn_fd >= 0 && poll(&pfd, 1, 0) == 1;
}

static enum rte_vhost_msg_result before_message(int vid, void *arg)
{
	enum rte_vhost_msg_result res = RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	struct vu_msg *m = arg;
	struct sw_port *p;

	switch (m->request) {
	case VU_SET_FEATURES:
	case VU_RESET_OWNER:
	case VU_SET_MEM_TABLE:
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_ADDR:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_KICK:
	case VU_GET_QUEUE_NUM:
	case VU_NET_SET_MTU:
		break;
	default:
		return res;
	}
	p = port_enter(vid);
	if (!p)
		return RTE_VHOST_MSG_RESULT_ERR;
	sw_trouble_mem_refused(p); /* the one before failed, if any */
	if (m->request == VU_NET_SET_MTU) {
		if (sw_trouble_mtu(the_switch, p, m->payload.u64))
			res = RTE_VHOST_MSG_RESULT_ERR;
	} else if (m->request == VU_GET_QUEUE_NUM) {
		m->payload.u64 = p->queues; /* librte_vhost would say 128 */
		m->size = sizeof(m->payload.u64);
		res = RTE_VHOST_MSG_RESULT_REPLY;
	} else {
		if (m->request == VU_SET_MEM_TABLE) {
			p->mem_ok = false;
			sw_trouble_mem_asked(p);
			if ((uint32_t)m->payload.u64 == 0) /* regions */
				res = RTE_VHOST_MSG_RESULT_ERR;
		}
		sw_port_sync(the_switch, p, true);
	}
	port_leave();
	return res;
}

/* Not called for a message that failed. */
static enum rte_vhost_msg_result after_message(int vid, void *arg)
{
	const struct vu_msg *m = arg;
	struct sw_port *p;

	switch (m->request) {
	case VU_SET_FEATURES:
	case VU_RESET_OWNER:
	case VU_SET_MEM_TABLE:
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_ADDR:
	case VU_SET_VRING_BASE:
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ENABLE:
		break;
	default:
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	}
	p = port_enter(vid);
	if (!p)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	if (m->request == VU_SET_MEM_TABLE) {
		p->mem_ok = true;
		sw_trouble_mem_done(p);
	}
	if (m->request == VU_SET_FEATURES)
		p->features = m->payload.u64;
	if (m->request == VU_RESET_OWNER)
		memset(p->enabled, 0, sizeof(p->enabled));
	if (m->request == VU_SET_VRING_ENABLE && m->payload.state.index < SW_RINGS_MAX)
		p->enabled[m->payload.state.index] = m->payload.state.num != 0;
	if (m->request == VU_SET_VRING_CALL)
		sw_ring_recall(the_switch, p, (uint32_t)m->payload.u64 & VU_VRING_IDX_MASK);
	else
		sw_port_sync(the_switch, p, false);
	port_leave();
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops message_hooks = {
	.pre_msg_handle = before_message,
	.post_msg_handle = after_message,
};

static void port_stop(struct sw_port *p)
{
	sw_port_sync(the_switch, p, true);
	p->running = false;
	/* The device is started anew from here: what was wrong is forgiven. */
	sw_port_fault_tell(p);
	__atomic_store_n(&p->dp->fault, RING_OK, __ATOMIC_RELAXED);
	p->fault_told = false;
}

static void port_connected(struct sw_port *p, int vid)
{
	pid_t pid;

	p->conn_fd = port_peer_find(p, &pid);
	p->pid = pid;
	p->vid = vid;
	p->connects++;
	p->running = p->mem_ok = false;
	p->features = 0;
	memset(p->enabled, 0, sizeof(p->enabled));
	log_info("port %s: connected to pid %d", p->name, (int)p->pid);
}

static void port_disconnected(struct sw_port *p)
{
	sw_trouble_mem_refused(p);
	port_stop(p);
	p->vid = p->conn_fd = -1;
	p->pid = 0;
	log_info("port %s: disconnected", p->name);
}

/* A front end has connected. A port has one at a time. */
static int on_connect(int vid)
{
	struct sw_port *p = port_enter(vid);
	int ret = -1, old_fd;

	if (!p)
		return -1;
	old_fd = p->conn_fd;
	if (p->vid >= 0 && port_peer_gone(p)) {
		port_disconnected(p);
		p->conn_fd = old_fd; /* still open: not to be found again */
	}
	if (p->vid >= 0)
		log_warn("port %s: a second front end on %s was turned away (the first is pid %d)",
			p->name, p->socket, (int)p->pid);
	else
		ret = rte_vhost_extern_callback_register(vid, &message_hooks, NULL);
	if (ret == 0)
		port_connected(p, vid);
	port_leave();
	return ret;
}

static void on_disconnect(int vid)
{
	struct sw_port *p = port_enter(vid);

	if (!p)
		return;
	if (p->vid == vid)
		port_disconnected(p);
	port_leave();
}

static int on_start(int vid)
{
	struct sw_port *p = port_enter(vid);

	if (!p)
		return -1;
	if (p->vid == vid) {
		rte_vhost_get_negotiated_features(vid, &p->features);
		p->running = true;
		sw_port_sync(the_switch, p, false);
		log_info("port %s: device started, features 0x%llx", p->name,
			(unsigned long long)p->features);
	}
	port_leave();
	return 0;
}

/* The guest's driver was reset, or the front end went away. The memory is still mapped. */
static void on_stop(int vid)
{
	struct sw_port *p = port_enter(vid);

	if (!p)
		return;
	if (p->vid == vid) {
		port_stop(p);
		log_info("port %s: device stopped", p->name);
	}
	port_leave();
}

static const struct rte_vhost_device_ops device_ops = {
	.new_connection = on_connect,
	.destroy_connection = on_disconnect,
	.new_device = on_start,
	.destroy_device = on_stop,
};

/* The features that stand for DP_OFF_*, of either direction. */
static uint64_t features_of(uint8_t offloads)
{
	static const struct {
		uint8_t off;
		uint64_t features;
	} map[] = {
		{ DP_OFF_CSUM, 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM },
		{ DP_OFF_TSO4, 1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO4 },
		{ DP_OFF_TSO6, 1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_TSO6 },
		{ DP_OFF_ECN, 1ull << VIRTIO_NET_F_HOST_ECN | 1ull << VIRTIO_NET_F_GUEST_ECN },
	};
	uint64_t features = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (offloads & map[i].off)
			features |= map[i].features;
	return features;
}

void sw_vhost_offer(const struct sw_port *p)
{
	rte_vhost_driver_enable_features(p->socket, features_of(DP_OFF_ALL));
	rte_vhost_driver_disable_features(p->socket, features_of(p->policy.no_offloads));
}

int sw_vhost_start(struct sw *sw, const struct sw_port *p, struct err *e)
{
	uint64_t off = FEATURES_OFF | features_of(p->policy.no_offloads);
	int ret;

	if (!p->mergeable)
		off |= 1ull << VIRTIO_NET_F_MRG_RXBUF;
	if (p->queues == 1)
		off |= 1ull << VIRTIO_NET_F_MQ;
	if (!p->client) {
		ret = fd_unix_clear_stale(p->socket, e);
		if (ret)
			return err_field(e, "socket");
	}
	if (rte_vhost_driver_register(p->socket, p->client ? RTE_VHOST_USER_CLIENT : 0))
		return err_set(e, -ENOSPC, "librte_vhost takes no further socket (%s)", p->socket);
	errno = 0;
	if (rte_vhost_driver_disable_features(p->socket, off) ||
		rte_vhost_driver_set_protocol_features(p->socket, PROTOCOL_FEATURES) ||
		rte_vhost_driver_callback_register(p->socket, &device_ops) ||
		rte_vhost_driver_start(p->socket)) {
		ret = errno ? -errno : -EIO;
		err_request(e, ret, "cannot make the vhost-user socket %s: %s", p->socket,
			err_str(ret));
		err_field(e, "socket");
		rte_vhost_driver_unregister(p->socket);
		return ret;
	}
	sw_bell_ring(&sw->bell);
	return 0;
}

void sw_vhost_stop(const struct sw_port *p)
{
	rte_vhost_driver_unregister(p->socket);
}
