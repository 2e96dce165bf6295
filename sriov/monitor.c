/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: the kernel says that something about links or PCI devices has changed (rtnetlink, and
 * uevents for VFs that come, go or change drivers), and what it was is found by looking again. So
 * an event that is lost costs nothing but time, and each change is told with what was before.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "sriov/nl.h"
#include "sriov/own.h"

#define QUIET_MS    50   /* after the last event of several that come together */
#define PATIENCE_MS 1000 /* but look at last, whatever comes */

/* ---- comparing ---- */

static const char *const pf_keys[] = { "driver", "interface", "up", "carrier", "speed_mbps", "mtu",
	"autoprobe", "num_vfs", "owner", NULL };
static const char *const vf_keys[] = { "pci", "driver", "interface", "mac", "vlan", "qos",
	"vlan_protocol", "min_rate", "max_rate", "spoofchk", "trust", "link_state", NULL };

struct comparison {
	int (*fn)(void *arg, const char *text, json_t *j);
	void *arg;
	const char *pf;
};

static char *show(const json_t *v, char *out, size_t size)
{
	char *text;

	if (!v || json_is_null(v)) {
		snprintf(out, size, "none");
		return out;
	}
	if (json_is_boolean(v)) {
		snprintf(out, size, "%s", json_is_true(v) ? "on" : "off");
		return out;
	}
	text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
	snprintf(out, size, "%s", json_is_string(v) ? json_string_value(v) : text ? text : "?");
	free(text);
	return out;
}

static int tell(
	const struct comparison *c, const json_t *vf, const char *key, json_t *from, json_t *to)
{
	char a[64], b[64], text[256], who[24] = "";
	json_t *j = json_pack(
		"{s:s, s:s, s:O?, s:O?}", "pf", c->pf, "what", key, "from", from, "to", to);
	int r;

	if (!j)
		return -ENOMEM;
	if (vf) {
		json_object_set(j, "vf", json_object_get(vf, "index"));
		snprintf(who, sizeof(who), " VF %d",
			(int)json_integer_value(json_object_get(vf, "index")));
	}
	snprintf(text, sizeof(text), "%s%s: %s %s -> %s", c->pf, who, key, show(from, a, sizeof(a)),
		show(to, b, sizeof(b)));
	r = c->fn(c->arg, text, j);
	json_decref(j);
	return r;
}

static int compare_keys(const struct comparison *c, const char *const *keys, const json_t *vf,
	const json_t *before, const json_t *now)
{
	int r = 0;

	for (; *keys && !r; keys++) {
		json_t *a = json_object_get(before, *keys), *b = json_object_get(now, *keys);

		if (a != b && !(a && b && json_equal(a, b)))
			r = tell(c, vf, *keys, a, b);
	}
	return r;
}

static json_t *find(const json_t *list, const char *key, const json_t *value)
{
	json_t *one;
	size_t i;

	json_array_foreach (list, i, one)
		if (json_equal(json_object_get(one, key), value))
			return one;
	return NULL;
}

/* VFs that came or went are told by their number (num_vfs); those that stayed, in detail. */
static int compare_pf(struct comparison *c, const json_t *before, const json_t *now)
{
	const json_t *old = json_object_get(before, "vfs"), *new = json_object_get(now, "vfs");
	json_t *vf;
	size_t i;
	int r;

	c->pf = json_string_value(json_object_get(now, "pci"));
	r = compare_keys(c, pf_keys, NULL, before, now);
	json_array_foreach (new, i, vf) {
		const json_t *was = find(old, "index", json_object_get(vf, "index"));

		if (was && !r)
			r = compare_keys(c, vf_keys, vf, was, vf);
	}
	return r;
}

int monitor_compare(const json_t *before, const json_t *now,
	int (*fn)(void *arg, const char *text, json_t *j), void *arg)
{
	const json_t *old = json_object_get(before, "pfs"), *new = json_object_get(now, "pfs");
	struct comparison c = { .fn = fn, .arg = arg };
	json_t *pf;
	size_t i;
	int r = 0;

	json_array_foreach (new, i, pf) {
		const json_t *was = find(old, "pci", json_object_get(pf, "pci"));

		c.pf = json_string_value(json_object_get(pf, "pci"));
		if (was && !r)
			r = compare_pf(&c, was, pf);
		else if (!r)
			r = tell(&c, NULL, "pf", NULL, json_object_get(pf, "total_vfs"));
	}
	json_array_foreach (old, i, pf) {
		c.pf = json_string_value(json_object_get(pf, "pci"));
		if (!r && !find(new, "pci", json_object_get(pf, "pci")))
			r = tell(&c, NULL, "pf", json_object_get(pf, "total_vfs"), NULL);
	}
	return r;
}

/* ---- listening ---- */

static int open_links(struct nl_sock **out, struct err *e)
{
	struct nl_sock *sock = nl_socket_alloc();

	if (!sock)
		return sriov_nomem(e);
	nl_socket_disable_seq_check(sock);
	if (nl_connect(sock, NETLINK_ROUTE) < 0 ||
		nl_socket_add_membership(sock, RTNLGRP_LINK) < 0) {
		nl_socket_free(sock);
		return err_host(e, -EPROTO, "no netlink socket for link events could be opened");
	}
	*out = sock;
	return 0;
}

/* Without it (in a container) links alone are heard. */
static int open_uevents(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		fd_close(&fd);
	return fd;
}

static void drain(int fd)
{
	char buf[8192];

	/* What it says is looked for anyway; ENOBUFS means that some was lost. */
	for (int i = 0; i < 4096; i++)
		if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
			return;
}

/* Waits for an event, and for those that come with it. 0: look; 1: stop. */
static int wait_events(int links, int uevents, int stop)
{
	struct pollfd fds[] = { { .fd = stop, .events = POLLIN }, { .fd = links, .events = POLLIN },
		{ .fd = uevents, .events = POLLIN } };
	uint64_t last_ns = 0;
	int timeout_ms = -1;

	for (;;) {
		int n = poll(fds, 3, timeout_ms);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0 && timeout_ms >= 0)
			return 0;
		if (n <= 0)
			continue;
		if (fds[0].revents)
			return 1;
		for (int i = 1; i < 3; i++)
			if (fds[i].revents)
				drain(fds[i].fd);
		if (!last_ns)
			last_ns = clock_now_ns() + PATIENCE_MS * NS_PER_MS;
		if (clock_now_ns() > last_ns)
			return 0;
		timeout_ms = QUIET_MS;
	}
}

static int look(const struct sriov_world *w, json_t **out, struct err *e)
{
	struct sriov_state s;
	int r = sriov_observe(w, &s, e);

	if (r)
		return r;
	*out = sriov_state_json(&s);
	sriov_state_free(&s);
	return *out ? 0 : sriov_nomem(e);
}

/* What there is, once. */
static int tell_all(
	const json_t *state, int (*fn)(void *arg, const char *text, json_t *j), void *arg)
{
	json_t *pf;
	size_t i;
	int r = 0;

	json_array_foreach (json_object_get(state, "pfs"), i, pf) {
		const char *net = json_string_value(json_object_get(pf, "interface"));
		json_t *j = json_pack("{s:s, s:s, s:O}", "pf",
			json_string_value(json_object_get(pf, "pci")), "what", "is", "to", pf);
		char text[160];

		snprintf(text, sizeof(text), "%s%s%s%s: %d of %d VFs, link %s",
			json_string_value(json_object_get(pf, "pci")), net ? " (" : "",
			net ? net : "", net ? ")" : "",
			(int)json_integer_value(json_object_get(pf, "num_vfs")),
			(int)json_integer_value(json_object_get(pf, "total_vfs")),
			json_is_true(json_object_get(pf, "carrier")) ? "up" : "down");
		if (!r)
			r = fn(arg, text, j);
		json_decref(j);
	}
	return r;
}

int sriov_monitor(const struct sriov_world *w, int stop_fd,
	int (*fn)(void *arg, const char *text, json_t *j), void *arg, struct err *e)
{
	struct nl_sock *links = NULL;
	json_t *before = NULL, *now = NULL;
	int uevents = -1, r = open_links(&links, e);

	if (r)
		return r;
	uevents = open_uevents();
	r = look(w, &before, e);
	if (!r)
		r = tell_all(before, fn, arg);
	while (!r) {
		r = wait_events(nl_socket_get_fd(links), uevents, stop_fd);
		if (r < 0)
			err_set(e, r, "waiting for events: %s", err_str(r));
		if (r)
			break;
		r = look(w, &now, e);
		if (!r)
			r = monitor_compare(before, now, fn, arg);
		json_decref(before);
		before = now;
		now = NULL;
	}
	json_decref(before);
	fd_close(&uevents);
	nl_socket_free(links);
	return r > 0 ? 0 : r;
}
