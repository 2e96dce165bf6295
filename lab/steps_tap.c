/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of networks that are bridges of the kernel's, and of their taps; what is looked at
 * before and between. */
#include "lab/steps_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lab/netdev.h"
#include "lab/steps_own.h"

#define VHOST_PATH "/dev/vhost-net"
#define TUN_PATH   "/dev/net/tun"

int steps_bridge_run(struct carry *c, struct step *s, struct err *e)
{
	const struct netdev_bridge b = {
		.name = s->device, .lab = c->plan->lab, .mtu = s->mtu, .ageing_s = s->ageing_s
	};

	return netdev_bridge_make(&b, e);
}

int steps_bridge_undo(struct carry *c, struct step *s, struct err *e)
{
	return netdev_bridge_delete(s->device, c->plan->lab, e);
}

static const char *bridge_of(const struct plan *p, const struct step *tap)
{
	const struct step *bridge = plan_find(p, STEP_BRIDGE, tap->network);

	return bridge ? bridge->device : "";
}

int steps_tap_run(struct carry *c, struct step *s, struct err *e)
{
	const struct netdev_tap t = { .name = s->device,
		.lab = c->plan->lab,
		.bridge = bridge_of(c->plan, s),
		.mtu = s->mtu,
		.queues = s->queues };

	return netdev_tap_make(&t, e);
}

int steps_tap_undo(struct carry *c, struct step *s, struct err *e)
{
	return netdev_tap_delete(s->device, c->plan->lab, e);
}

bool steps_tap_is_whole(const struct plan *p, const struct step *s)
{
	if (netdev_look(s->device, p->lab) != NETDEV_OURS)
		return false;
	return s->kind == STEP_BRIDGE || netdev_is_in(s->device, bridge_of(p, s));
}

bool steps_tap_is_gone(const struct plan *p, const struct step *s)
{
	return netdev_look(s->device, p->lab) != NETDEV_OURS;
}

/* ---- before anything is made ---- */

static struct topo_place place_of(const struct topology *t)
{
	for (size_t i = 0; i < t->n_networks; i++)
		if (t->networks[i].kind == TOPO_NET_BRIDGE)
			return t->networks[i].place;
	return (struct topo_place){ 0 };
}

/* Opening it has the kernel load the module, where it can. */
static int check_device(
	const struct topology *t, const char *path, const char *module, struct err *e)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), r;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	r = -errno;
	if (r == -ENOENT || r == -ENODEV || r == -ENXIO)
		return topology_error(t, place_of(t), ERR_HOST, r, e,
			"taps need %s, which is not there (%s): modprobe %s", path, err_str(r),
			module);
	return topology_error(t, place_of(t), ERR_HOST, r, e,
		"taps need %s, which can't be opened: %s", path, err_str(r));
}

static int check_name(
	const struct topology *t, const struct plan *p, const struct step *s, struct err *e)
{
	if (s->state != STEP_PLANNED || netdev_look(s->device, p->lab) != NETDEV_FOREIGN)
		return 0;
	return topology_error(t, place_of(t), ERR_HOST, -EEXIST, e,
		"%s %s needs an interface named %s, and this host has one already, of somebody else's: "
		"delete it (ip link del %s), or rename the lab, the network or the node",
		s->kind == STEP_BRIDGE ? "network" : "NIC", s->name, s->device, s->device);
}

int steps_tap_check(
	const struct topology *t, const struct plan *p, const struct host *h, struct err *e)
{
	int r = 0;

	if (!plan_find(p, STEP_BRIDGE, NULL))
		return 0;
	if (!h->root)
		return topology_error(t, place_of(t), ERR_HOST, -EPERM, e,
			"bridges and taps are made by root only: use sudo");
	r = check_device(t, TUN_PATH, "tun", e);
	if (!r && plan_find(p, STEP_TAP, NULL))
		r = check_device(t, VHOST_PATH, "vhost_net", e);
	for (size_t i = 0; i < p->n_steps && !r; i++)
		if (p->steps[i].kind == STEP_BRIDGE || p->steps[i].kind == STEP_TAP)
			r = check_name(t, p, &p->steps[i], e);
	return r;
}
