/* SPDX-License-Identifier: Apache-2.0 */
/* See edge.h. */
#include "vswitch/edge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "vswitch/dp/tun.h"
#include "vswitch/eal.h"
#include "vswitch/nic.h"
#include "vswitch/pcidev.h"
#include "vswitch/tapif.h"

#define SYSFS         "/sys"
#define VDEV_NAME_MAX 63 /* DPDK's RTE_DEV_NAME_MAX_LEN, less the NUL */

struct sw_edge {
	bool up; /* the link, as last seen; lock */
	bool vf; /* of an SR-IOV NIC; constant */
	struct tapif tap;
	struct dp_tun tun[DP_PAIRS_MAX];
	struct nic nic;
};

/* By kind: its name; the parameter that says which device; those that make no sense for it. */
static const struct {
	const char *name, *device;
	const char *not_for_it[6];
} kinds[] = {
	[SW_PORT_VHOST] = { "vhost", "socket", { "ifname", "pci", "vdev" } },
	[SW_PORT_TAP] = { "tap", "ifname", { "socket", "pci", "vdev", "role", "mergeable" } },
	[SW_PORT_PCI] = { "pci", "pci", { "socket", "ifname", "vdev", "role", "mergeable" } },
	[SW_PORT_VDEV] = { "vdev", "vdev", { "socket", "ifname", "pci", "role", "mergeable" } },
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

int sw_edge_request(const json_t *params, struct sw_port_config *c, struct err *e)
{
	const char *kind = json_string_value(json_object_get(params, "kind"));
	size_t k = 0;

	while (kind && k < N_KINDS && strcmp(kind, kinds[k].name))
		k++;
	if (k == N_KINDS) {
		err_request(e, -EINVAL,
			"kind \"%.64s\": expected \"vhost\", \"tap\", \"pci\" or \"vdev\"", kind);
		return err_field(e, "kind");
	}
	if (!json_object_get(params, kinds[k].device)) {
		err_request(e, -EINVAL, "a port of kind \"%s\" needs \"%s\"", kinds[k].name,
			kinds[k].device);
		return err_field(e, kinds[k].device);
	}
	for (int i = 0; kinds[k].not_for_it[i]; i++) {
		if (!json_object_get(params, kinds[k].not_for_it[i]))
			continue;
		err_request(e, -EINVAL, "a port of kind \"%s\" has no \"%s\"", kinds[k].name,
			kinds[k].not_for_it[i]);
		return err_field(e, kinds[k].not_for_it[i]);
	}
	c->kind = (enum sw_port_kind)k;
	if (c->kind == SW_PORT_VHOST)
		return 0;
	c->device = json_string_value(json_object_get(params, kinds[k].device));
	if (c->kind != SW_PORT_PCI)
		return 0;
	if (pcidev_addr(c->device, c->pci, e))
		return e->code;
	c->device = c->pci;
	return 0;
}

/* "net_tap0,iface=lab0" -> "net_tap0"; the rest are its arguments. */
static const char *vdev_split(const char *devargs, char name[static VDEV_NAME_MAX + 1])
{
	size_t len = strcspn(devargs, ",");

	snprintf(name, VDEV_NAME_MAX + 1, "%.*s", (int)len, devargs);
	return devargs[len] ? devargs + len + 1 : "";
}

static int vdev_check(const char *devargs, struct err *e)
{
	size_t len = strcspn(devargs, ",");

	if (strncmp(devargs, "net_", 4) == 0 && len > 4 && len <= VDEV_NAME_MAX &&
		strlen(devargs) <= SW_DEVICE_MAX &&
		strspn(devargs, "abcdefghijklmnopqrstuvwxyz0123456789_") == len)
		return 0;
	err_request(e, -EINVAL,
		"vdev \"%.*s\": expected a virtual device as DPDK names them, with its arguments, "
		"like net_tap0,iface=lab0 (at most %d bytes)",
		SW_DEVICE_MAX, devargs, SW_DEVICE_MAX);
	return err_field(e, "vdev");
}

/* Of two of the same kind. A vdev is known by its name, whatever its arguments are. */
static bool same_device(enum sw_port_kind kind, const char *a, const char *b)
{
	char name_a[VDEV_NAME_MAX + 1], name_b[VDEV_NAME_MAX + 1];

	if (kind != SW_PORT_VDEV)
		return strcmp(a, b) == 0;
	vdev_split(a, name_a);
	vdev_split(b, name_b);
	return strcmp(name_a, name_b) == 0;
}

int sw_edge_check(const struct sw *sw, const struct sw_port_config *c, struct err *e)
{
	int ret = c->kind == SW_PORT_TAP  ? tapif_name_check(c->device, e)
		: c->kind == SW_PORT_VDEV ? vdev_check(c->device, e)
					  : pcidev_check(SYSFS, c->device, e);

	for (uint32_t id = 0; ret == 0 && id < sw->n_ports; id++) {
		const struct sw_port *p = sw->ports[id];

		if (p && p->kind == c->kind && same_device(c->kind, p->device, c->device)) {
			err_request(e, -EEXIST, "%s is port \"%s\"'s already", p->device, p->name);
			ret = err_field(e, kinds[c->kind].device);
		}
	}
	return ret;
}

static int tap_queues(struct sw_edge *ed, const struct tapif *t, struct err *e)
{
	size_t size = (size_t)DP_TUN_BURST * DP_TUN_STEP;

	for (uint32_t i = 0; i < t->n_queues; i++) {
		struct dp_tun *q = &ed->tun[i];

		/* Mapped, not allocated: pages that no frame reaches cost nothing. */
		q->buf = mmap(
			NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (q->buf == MAP_FAILED) {
			q->buf = NULL;
			return err_set(e, -ENOMEM, "no memory for a port's frames");
		}
		q->fd = t->fd[i];
		q->pace_cycles = eal_tsc_hz() / 1000000 * DP_TUN_PACE_US;
	}
	return 0;
}

bool sw_edge_reflects(const struct sw_port *p)
{
	return p->edge && p->edge->vf;
}

static bool link_is_up(struct sw_port *p)
{
	return p->kind == SW_PORT_TAP ? tapif_is_up(&p->edge->tap) : nic_is_up(&p->edge->nic);
}

int sw_edge_open(struct sw *sw, struct sw_port *p, struct err *e)
{
	struct sw_edge *ed = calloc(1, sizeof(*ed));
	uint32_t mtu = sw->nets[p->net].mtu;
	int ret;

	if (!ed)
		return err_set(e, -ENOMEM, "no memory for a port");
	p->edge = ed;
	if (p->kind == SW_PORT_TAP) {
		ret = tapif_open(&ed->tap, p->device, p->queues, mtu, e);
		if (ret == 0)
			ret = tap_queues(ed, &ed->tap, e);
	} else {
		char vdev[VDEV_NAME_MAX + 1];
		bool pci = p->kind == SW_PORT_PCI;
		const char *args = pci ? "" : vdev_split(p->device, vdev);

		ed->vf = pci && pcidev_is_vf(SYSFS, p->device);
		ret = nic_open(&ed->nic, &sw->nics_left, kinds[p->kind].device,
			pci ? p->device : vdev, args, p->queues, mtu, e);
	}
	if (ret) {
		sw_edge_close(sw, p);
		return ret;
	}
	pthread_mutex_lock(&sw->lock);
	ed->up = link_is_up(p);
	sw_edge_sync(sw, p, false);
	pthread_mutex_unlock(&sw->lock);
	return 0;
}

void sw_edge_close(struct sw *sw, struct sw_port *p)
{
	struct sw_edge *ed = p->edge;

	if (!ed)
		return;
	if (p->kind == SW_PORT_TAP)
		tapif_close(&ed->tap);
	else
		nic_close(&ed->nic, &sw->nics_left);
	for (uint32_t i = 0; i < DP_PAIRS_MAX; i++)
		if (ed->tun[i].buf)
			munmap(ed->tun[i].buf, (size_t)DP_TUN_BURST * DP_TUN_STEP);
	free(ed);
	p->edge = NULL;
}

void sw_edge_set_mtu(struct sw_port *p, uint32_t mtu)
{
	struct err e = { 0 };
	int ret;

	link_is_up(p); /* finds a tap again that was moved or renamed */
	ret = p->kind == SW_PORT_TAP ? tapif_set_mtu(&p->edge->tap, mtu, &e)
				     : nic_set_mtu(&p->edge->nic, mtu, &e);

	if (ret)
		log_error("port %s keeps its MTU: %s", p->name, e.text);
}

/* What wakes a sleeping worker when a frame comes: in the place of a guest's kick fd. */
static int wake_fd(const struct sw_port *p, uint16_t i)
{
	if (p->kind == SW_PORT_TAP)
		return fcntl(p->edge->tun[i].fd, F_DUPFD_CLOEXEC, 3);
	return nic_wake_fd(&p->edge->nic, i);
}

static bool queue_make(struct sw *sw, struct sw_port *p, uint32_t i)
{
	struct dp_inq *in = aligned_alloc(64, sizeof(*in));
	struct dp_outq *out = aligned_alloc(64, sizeof(*out));

	if (!in || !out) {
		free(in);
		free(out);
		log_error("port %s: no memory for queue %u", p->name, i);
		return false;
	}
	memset(in, 0, sizeof(*in));
	memset(out, 0, sizeof(*out));
	if (p->kind == SW_PORT_TAP) {
		in->edge = out->edge = &dp_tun_ops;
		in->edge_queue = out->edge_queue = &p->edge->tun[i];
	} else {
		in->edge = out->edge = &dp_eth_ops;
		in->edge_queue = &p->edge->nic.rx[i];
		out->edge_queue = &p->edge->nic.tx[i];
	}
	in->port = out->port = p->dp;
	in->stats = &p->dp->in[i];
	out->stats = &p->dp->out[i];
	in->net = p->net;
	in->ring.call_fd = out->ring.call_fd = out->ring.kick_fd = -1;
	in->ring.kick_fd = wake_fd(p, (uint16_t)i);
	in->owner = in->to = in->claim = sw_worker_pick(sw, p, i);
	if (in->ring.kick_fd >= 0 && dp_worker_watch(&sw->workers[in->owner], in->ring.kick_fd, in))
		fd_close(&in->ring.kick_fd); /* looked at by time */
	p->in[i] = in;
	p->out[i] = out;
	return true;
}

static void queues_end(struct sw *sw, struct sw_port *p)
{
	struct dp_inq *in[DP_PAIRS_MAX];
	struct dp_outq *out[DP_PAIRS_MAX];

	memcpy(in, p->in, sizeof(in));
	memcpy(out, p->out, sizeof(out));
	memset(p->in, 0, sizeof(p->in));
	memset(p->out, 0, sizeof(p->out));
	sw_publish(sw);
	for (uint32_t i = 0; i < p->queues; i++) {
		if (in[i] && in[i]->ring.kick_fd >= 0)
			dp_worker_unwatch(&sw->workers[in[i]->owner], in[i]->ring.kick_fd);
		if (in[i])
			fd_close(&in[i]->ring.kick_fd);
		free(in[i]);
		free(out[i]);
	}
}

void sw_edge_sync(struct sw *sw, struct sw_port *p, bool hold)
{
	bool want = !hold && p->edge && p->edge->up, have = p->in[0] != NULL;

	if (want == have)
		return;
	if (want) {
		for (uint32_t i = 0; i < p->queues && queue_make(sw, p, i); i++)
			;
		p->connects++;
		sw_publish(sw);
	} else {
		queues_end(sw, p);
	}
	log_info("port %s: %s", p->name, want ? "up" : "its link is down");
}

void sw_edge_tick(struct sw *sw)
{
	for (uint32_t id = 0; id < sw->n_ports; id++) {
		struct sw_port *p = sw->ports[id];
		bool up;

		/* Only this thread adds and deletes ports. */
		if (!p || !p->edge)
			continue;
		up = link_is_up(p);
		if (up == p->edge->up)
			continue;
		pthread_mutex_lock(&sw->lock);
		p->edge->up = up;
		sw_edge_sync(sw, p, false);
		pthread_mutex_unlock(&sw->lock);
	}
	nic_left_free(&sw->nics_left);
}

void sw_edge_stats(const struct sw_port *p, json_t *port)
{
	json_object_set_new(port, "kind", json_string(kinds[p->kind].name));
	if (p->kind == SW_PORT_TAP)
		json_object_set_new(
			port, "ifname", json_string(p->edge ? p->edge->tap.name : p->device));
	if (p->kind != SW_PORT_PCI && p->kind != SW_PORT_VDEV)
		return;
	json_object_set_new(port, kinds[p->kind].device, json_string(p->device));
	if (p->edge)
		json_object_set_new(port, "device", nic_json(&p->edge->nic));
}
