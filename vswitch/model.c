/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and ports: see switch.h. A request is carried out whole or not at all. */
#include "vswitch/switch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "vswitch/edge.h"

/* An idle worker looks at its rings for so long before it asks for kicks and sleeps: a sleep and
 * a kick cost both sides some microseconds, so short gaps in traffic should not cause them. */
#define SPIN_US 100

static void workers_end(struct sw *sw)
{
	__atomic_store_n(&sw->shared.stop, true, __ATOMIC_RELEASE);
	for (uint32_t w = 0; sw->workers && w < sw->n_workers; w++)
		dp_worker_join(&sw->workers[w]);
	free(sw->workers);
	sw->workers = NULL;
}

static int workers_start(struct sw *sw, const struct sw_options *o, uint64_t tsc_hz, struct err *e)
{
	uint32_t n = o->n_cpus ? o->n_cpus : 1;
	size_t size = n * sizeof(*sw->workers);
	int ret = dp_shared_init(&sw->shared, n, e);

	if (ret)
		return ret;
	sw->shared.busy = o->busy;
	sw->shared.spin_cycles = tsc_hz / 1000000 * SPIN_US;
	sw->workers = aligned_alloc(64, size);
	if (!sw->workers)
		return err_set(e, -ENOMEM, "no memory for %u workers", n);
	memset(sw->workers, 0, size);
	for (uint32_t w = 0; w < n; w++)
		sw->workers[w].epoll_fd = sw->workers[w].wake_fd = -1;
	sw->n_workers = n;
	sw_publish(sw); /* an empty view: a worker always has one */
	for (uint32_t w = 0; w < n; w++) {
		ret = dp_worker_start(&sw->workers[w], &sw->shared, w, n,
			o->n_cpus ? o->cpus[w] : -1, DP_PORTS_MAX * DP_PAIRS_MAX, e);
		if (ret)
			return ret;
	}
	return 0;
}

int sw_init(struct sw *sw, const struct sw_options *o, uint64_t tsc_hz, struct err *e)
{
	uint64_t seed = 0;
	int ret;

	memset(sw, 0, sizeof(*sw));
	pthread_mutex_init(&sw->lock, NULL);
	sw->started_ns = clock_now_ns();
	sw->shared.fault_fd = -1;
	sw->capture_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sw->capture_fd < 0)
		return err_set(e, -errno, "no eventfd: %s", err_str(errno));
	sw->shared.now_s = (uint32_t)(sw->started_ns / NS_PER_S);
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return err_set(e, -EIO, "no random numbers from the kernel");
	ret = fdb_init(&sw->fdb, SW_FDB_BUCKETS, DP_PORTS_MAX, seed);
	if (ret)
		return err_set(e, ret, "no memory for the forwarding database");
	ret = workers_start(sw, o, tsc_hz, e);
	if (ret)
		return ret;
	sw_vhost_attach(sw);
	return 0;
}

static void port_free(struct sw_port *p)
{
	if (!p)
		return;
	sw_policy_free(&p->policy);
	free(p->dp);
	free(p);
}

void sw_fini(struct sw *sw)
{
	sw_captures_end(sw);
	pthread_mutex_lock(&sw->lock);
	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id])
			sw->ports[id]->policy.mirror_to[0] = '\0'; /* ports go in any order */
	pthread_mutex_unlock(&sw->lock);
	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id])
			sw_port_del(sw, sw->ports[id]->name, NULL);
	workers_end(sw);
	free((void *)(uintptr_t)sw->shared.view);
	for (uint32_t i = 0; i < sw->n_nets; i++)
		free(sw->nets[i].stats);
	fd_close(&sw->capture_fd);
	dp_shared_fini(&sw->shared);
	fdb_fini(&sw->fdb);
	pthread_mutex_destroy(&sw->lock);
}

int sw_net_find(const struct sw *sw, const char *name)
{
	for (uint32_t i = 0; i < sw->n_nets; i++)
		if (sw->nets[i].name[0] && strcmp(sw->nets[i].name, name) == 0)
			return (int)i;
	return -1;
}

struct sw_port *sw_port_find(struct sw *sw, const char *name)
{
	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id] && strcmp(sw->ports[id]->name, name) == 0)
			return sw->ports[id];
	return NULL;
}

static int name_check(const char *what, const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len == 0 || len > SW_NAME_MAX)
		return err_request_at(e, -EINVAL, "name",
			"a %s's name has 1 to %d bytes, this one has %zu", what, SW_NAME_MAX, len);
	return 0;
}

void sw_ages_changed(struct sw *sw)
{
	uint32_t min = UINT32_MAX / 4;

	for (uint32_t i = 0; i < sw->n_nets; i++)
		if (sw->nets[i].name[0] && sw->nets[i].ageing_s < min)
			min = sw->nets[i].ageing_s;
	fdb_ages_changed(&sw->fdb, min, sw->shared.now_s);
}

static int net_add_locked(
	struct sw *sw, const char *name, uint32_t mtu, uint32_t ageing_s, struct err *e)
{
	struct sw_net *n;
	uint32_t i;

	if (sw_net_find(sw, name) >= 0)
		return err_request_at(e, -EEXIST, "name", "a network \"%s\" exists already", name);
	for (i = 0; i < sw->n_nets && sw->nets[i].name[0]; i++)
		;
	if (i == DP_NETS_MAX)
		return err_request_at(e, -ENOSPC, "name",
			"there are %d networks, and no more can be", DP_NETS_MAX);
	n = &sw->nets[i];
	n->stats = aligned_alloc(64, sizeof(*n->stats));
	if (!n->stats)
		return err_set(e, -ENOMEM, "no memory for a network");
	memset(n->stats, 0, sizeof(*n->stats));
	memcpy(n->name, name, strlen(name) + 1);
	n->mtu = mtu;
	n->ageing_s = ageing_s;
	if (i == sw->n_nets)
		sw->n_nets++;
	sw_ages_changed(sw);
	sw_publish(sw);
	return 0;
}

int sw_net_add(struct sw *sw, const char *name, uint32_t mtu, uint32_t ageing_s, struct err *e)
{
	int ret = name_check("network", name, e);

	if (ret)
		return ret;
	pthread_mutex_lock(&sw->lock);
	ret = net_add_locked(sw, name, mtu, ageing_s, e);
	pthread_mutex_unlock(&sw->lock);
	return ret;
}

int sw_net_del(struct sw *sw, const char *name, struct err *e)
{
	struct dp_net_stats *stats = NULL;
	int ret = 0, i;

	pthread_mutex_lock(&sw->lock);
	i = sw_net_find(sw, name);
	if (i < 0) {
		ret = err_request_at(e, -ENOENT, "name", "there is no network \"%s\"", name);
	} else if (sw->nets[i].n_ports) {
		ret = err_request_at(e, -EBUSY, "name",
			"network \"%s\" has %u ports: delete them first", name,
			sw->nets[i].n_ports);
	} else {
		stats = sw->nets[i].stats;
		memset(&sw->nets[i], 0, sizeof(sw->nets[i]));
		sw_publish(sw);
		sw_fdb_flush(sw, (struct sw_fdb_filter){ i, -1, -1 });
	}
	pthread_mutex_unlock(&sw->lock);
	free(stats);
	return ret;
}

static int port_check(const struct sw *sw, const struct sw_port_config *c, struct err *e)
{
	for (uint32_t id = 0; id < sw->n_ports; id++) {
		const struct sw_port *p = sw->ports[id];

		if (p && strcmp(p->name, c->name) == 0)
			return err_request_at(
				e, -EEXIST, "name", "a port \"%s\" exists already", c->name);
		if (p && c->socket && strcmp(p->socket, c->socket) == 0)
			return err_request_at(e, -EADDRINUSE, "socket",
				"socket %s is port \"%s\"'s already", c->socket, p->name);
	}
	return c->kind == SW_PORT_VHOST ? 0 : sw_edge_check(sw, c, e);
}

static struct sw_port *port_new(const struct sw_port_config *c, uint16_t net, uint16_t id)
{
	struct sw_port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->dp = aligned_alloc(64, sizeof(*p->dp));
	if (!p->dp) {
		free(p);
		return NULL;
	}
	memset(p->dp, 0, sizeof(*p->dp));
	p->dp->id = id;
	memcpy(p->name, c->name, strlen(c->name) + 1);
	p->kind = c->kind;
	snprintf(p->socket, sizeof(p->socket), "%s", c->socket ? c->socket : "");
	snprintf(p->device, sizeof(p->device), "%s", c->device ? c->device : "");
	p->client = c->client;
	p->mergeable = c->mergeable;
	p->queues = c->queues;
	p->net = net;
	p->vid = p->conn_fd = -1;
	return p;
}

/* Puts a port into the model, with its policy, and publishes that; or does nothing. */
static int port_enter(
	struct sw *sw, struct sw_port *p, const struct sw_port_config *c, struct err *e)
{
	struct sw_change change = { .port = p };
	uint16_t id = p->dp->id;
	int ret = sw_policy_read(sw_policy_merge(NULL, c->policy), &change.policy, e);

	if (ret)
		return err_prefix(e, "port \"%s\"", p->name);
	sw->ports[id] = p;
	if (id == sw->n_ports)
		sw->n_ports++;
	sw->nets[p->net].n_ports++;
	ret = sw_changes_apply(sw, &change, 1, e);
	if (ret) {
		sw->ports[id] = NULL;
		sw->nets[p->net].n_ports--;
	}
	return ret;
}

static struct sw_port *port_add_locked(struct sw *sw, const struct sw_port_config *c, struct err *e)
{
	int net = sw_net_find(sw, c->network);
	struct sw_port *p;
	uint32_t id;

	if (net < 0) {
		err_request_at(e, -ENOENT, "network", "port \"%s\": there is no network \"%s\"",
			c->name, c->network);
		return NULL;
	}
	if (port_check(sw, c, e))
		return NULL;
	for (id = 0; id < sw->n_ports && sw->ports[id]; id++)
		;
	if (id == DP_PORTS_MAX) {
		err_request_at(
			e, -ENOSPC, "name", "there are %d ports, and no more can be", DP_PORTS_MAX);
		return NULL;
	}
	p = port_new(c, (uint16_t)net, (uint16_t)id);
	if (!p) {
		err_set(e, -ENOMEM, "no memory for a port");
		return NULL;
	}
	if (port_enter(sw, p, c, e)) {
		port_free(p);
		return NULL;
	}
	return p;
}

static bool entry_not_of_port(void *arg, const struct fdb_entry *en)
{
	return en->port != *(uint16_t *)arg;
}

/* Takes a port out of the model; no front end is connected to it any more. */
static void port_remove(struct sw *sw, struct sw_port *p)
{
	uint16_t id = p->dp->id;

	pthread_mutex_lock(&sw->lock);
	sw_port_sync(sw, p, true);
	sw->ports[id] = NULL;
	sw->nets[p->net].n_ports--;
	sw_captures_detach(sw, id);
	sw_publish(sw);
	/* Nobody learns it now. A million of others' addresses take a while to look through. */
	if (p->policy.n_statics || __atomic_load_n(&sw->fdb.port_entries[id], __ATOMIC_RELAXED))
		fdb_sweep(&sw->fdb, entry_not_of_port, &id);
	pthread_mutex_unlock(&sw->lock);
	sw_edge_close(sw, p);
	port_free(p);
	sw_captures_reap(sw);
}

int sw_port_add(struct sw *sw, const struct sw_port_config *c, struct err *e)
{
	struct err mine;
	struct sw_port *p;
	int ret = name_check("port", c->name, e);

	if (ret)
		return ret;
	if (!e)
		e = &mine;
	ret = c->socket ? fd_unix_path_check(c->socket, e) : 0;
	if (ret)
		return err_field(e, "socket");
	pthread_mutex_lock(&sw->lock);
	p = port_add_locked(sw, c, e);
	pthread_mutex_unlock(&sw->lock);
	if (!p)
		return e->code;
	ret = p->kind == SW_PORT_VHOST ? sw_vhost_start(sw, p, e) : sw_edge_open(sw, p, e);
	if (ret)
		port_remove(sw, p);
	return ret;
}

int sw_port_del(struct sw *sw, const char *name, struct err *e)
{
	const struct sw_port *source;
	struct sw_port *p;

	pthread_mutex_lock(&sw->lock);
	p = sw_port_find(sw, name);
	source = p ? sw_mirror_source(sw, p) : NULL;
	pthread_mutex_unlock(&sw->lock);
	/* Only this thread adds and deletes ports, so it stays. */
	if (!p)
		return err_request_at(e, -ENOENT, "name", "there is no port \"%s\"", name);
	if (source)
		return err_request_at(e, -EBUSY, "name",
			"port \"%s\" listens to \"%s\": delete that one first, or end its mirror "
			"(configure, \"mirror\": null)",
			name, source->name);
	if (p->kind == SW_PORT_VHOST)
		sw_vhost_stop(p);
	port_remove(sw, p);
	return 0;
}

static bool entry_not_meant(void *arg, const struct fdb_entry *en)
{
	const struct sw_fdb_filter *f = arg;

	return en->is_static || (f->net >= 0 && (int)(en->key >> 48) - 1 != f->net) ||
		(f->port >= 0 && en->port != f->port) || (f->vid >= 0 && en->vid != f->vid);
}

uint32_t sw_fdb_flush(struct sw *sw, struct sw_fdb_filter f)
{
	return fdb_sweep(&sw->fdb, entry_not_meant, &f);
}

/* Ages by network id, into ages[DP_NETS_MAX + 1]. Returns how many. */
static uint32_t ages_get(const struct sw *sw, uint32_t *ages)
{
	ages[0] = 0;
	for (uint32_t i = 0; i < sw->n_nets; i++)
		ages[i + 1] = sw->nets[i].ageing_s;
	return sw->n_nets + 1;
}

void sw_tick(struct sw *sw)
{
	uint32_t ages[DP_NETS_MAX + 1], n_ages;

	__atomic_store_n(
		&sw->shared.now_s, (uint32_t)(clock_now_ns() / NS_PER_S), __ATOMIC_RELAXED);
	sw_edge_tick(sw);
	pthread_mutex_lock(&sw->lock);
	sw_load_measure(sw);
	sw_rebalance(sw);
	sw_trouble_tick(sw);
	n_ages = ages_get(sw, ages);
	pthread_mutex_unlock(&sw->lock);
	if (__atomic_load_n(&sw->fdb.n_entries, __ATOMIC_RELAXED))
		fdb_age(&sw->fdb, ages, n_ages, sw->shared.now_s);
}

void sw_faults(struct sw *sw)
{
	fd_event_take(sw->shared.fault_fd);
	pthread_mutex_lock(&sw->lock);
	for (uint32_t id = 0; id < sw->n_ports; id++) {
		struct sw_port *p = sw->ports[id];

		if (!p || !p->dp->fault)
			continue;
		sw_port_fault_tell(p);
		if (p->mem) /* or its device's own thread, between two messages, was faster */
			sw_port_sync(sw, p, true);
	}
	pthread_mutex_unlock(&sw->lock);
}
