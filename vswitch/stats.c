/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and addresses as JSON: docs/control.md, `stats` and `fdb`. */
#include "vswitch/switch.h"

#include <errno.h>
#include <jansson.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "base/clock.h"
#include "base/ether.h"
#include "vswitch/eal.h"
#include "vswitch/edge.h"

static const struct {
	uint8_t bit;
	const char *name;
} feature_names[] = {
	{ VIRTIO_NET_F_CSUM, "CSUM" },
	{ VIRTIO_NET_F_GUEST_CSUM, "GUEST_CSUM" },
	{ VIRTIO_NET_F_MTU, "MTU" },
	{ VIRTIO_NET_F_GUEST_TSO4, "GUEST_TSO4" },
	{ VIRTIO_NET_F_GUEST_TSO6, "GUEST_TSO6" },
	{ VIRTIO_NET_F_GUEST_ECN, "GUEST_ECN" },
	{ VIRTIO_NET_F_HOST_TSO4, "HOST_TSO4" },
	{ VIRTIO_NET_F_HOST_TSO6, "HOST_TSO6" },
	{ VIRTIO_NET_F_HOST_ECN, "HOST_ECN" },
	{ VIRTIO_NET_F_MRG_RXBUF, "MRG_RXBUF" },
	{ VIRTIO_NET_F_CTRL_VQ, "CTRL_VQ" },
	{ VIRTIO_NET_F_CTRL_RX, "CTRL_RX" },
	{ VIRTIO_NET_F_GUEST_ANNOUNCE, "GUEST_ANNOUNCE" },
	{ VIRTIO_NET_F_MQ, "MQ" },
	{ 27, "ANY_LAYOUT" },
	{ VIRTIO_RING_F_INDIRECT_DESC, "INDIRECT_DESC" },
	{ VIRTIO_RING_F_EVENT_IDX, "EVENT_IDX" },
	{ 30 /* the vhost-user specification */, "PROTOCOL_FEATURES" },
	{ VIRTIO_F_VERSION_1, "VERSION_1" },
	{ VIRTIO_F_RING_PACKED, "RING_PACKED" },
	{ VIRTIO_F_IN_ORDER, "IN_ORDER" },
};

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *features_json(uint64_t features)
{
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(feature_names) / sizeof(feature_names[0]); i++)
		if (features & 1ull << feature_names[i].bit)
			json_array_append_new(list, json_string(feature_names[i].name));
	return list;
}

static json_t *traffic_json(const struct dp_traffic *t)
{
	return json_pack("{s:o, s:o}", "frames", number(dp_counter_read(&t->frames)), "bytes",
		number(dp_counter_read(&t->bytes)));
}

static void queue_drops(const struct dp_port *p, uint32_t q, uint64_t *drops)
{
	for (int d = 0; d < DP_DROP_MAX; d++)
		drops[d] +=
			dp_counter_read(&p->in[q].drops[d]) + dp_counter_read(&p->out[q].drops[d]);
}

static json_t *drops_json(const uint64_t *drops)
{
	json_t *o = json_object();

	for (int d = 0; d < DP_DROP_MAX; d++)
		json_object_set_new(o, dp_drop_name((enum dp_drop)d), number(drops[d]));
	return o;
}

static json_t *queue_json(const struct sw_port *p, uint32_t q)
{
	const struct sw_queue_load *l = &p->load[q];
	uint64_t drops[DP_DROP_MAX] = { 0 };

	queue_drops(p->dp, q, drops);
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:b, s:f, s:o}", "index", (int)q, "rx",
		traffic_json(&p->dp->in[q].traffic), "tx", traffic_json(&p->dp->out[q].traffic),
		"drops", drops_json(drops), "worker",
		p->in[q] ? json_integer(p->in[q]->owner) : json_null(), "pinned", l->pinned != 0,
		"load", l->meter.load, "busy_cycles",
		number(dp_counter_read(&p->dp->in[q].busy_cycles)));
}

static json_t *queues_json(const struct sw_port *p)
{
	json_t *list = json_array();

	for (uint32_t q = 0; q < p->queues; q++)
		json_array_append_new(list, queue_json(p, q));
	return list;
}

static const char *port_state(const struct sw_port *p, enum ring_fault fault)
{
	if (fault)
		return "disabled";
	return p->mem || (p->edge && p->in[0]) ? "up" : "waiting";
}

static int pairs_in_use(const struct sw_port *p)
{
	int n = 0;

	for (uint32_t q = 0; q < p->queues; q++)
		n += p->in[q] && p->out[q];
	return n;
}

/* What was completed in software for the port's guest. */
static void soft_add(const struct sw_port *p, json_t *port)
{
	uint64_t checksums = 0, segmented = 0;

	for (uint32_t q = 0; q < p->queues; q++) {
		checksums += dp_counter_read(&p->dp->out[q].soft_checksums);
		segmented += dp_counter_read(&p->dp->out[q].soft_segmented);
	}
	json_object_set_new(port, "soft_checksums", number(checksums));
	json_object_set_new(port, "soft_segmented", number(segmented));
}

static json_t *port_json(struct sw *sw, struct sw_port *p)
{
	struct dp_traffic rx = { 0 }, tx = { 0 };
	uint64_t drops[DP_DROP_MAX] = { 0 }, flooded = 0, notifications = 0;
	/* Workers set it: state and reason are of one moment. */
	enum ring_fault fault = __atomic_load_n(&p->dp->fault, __ATOMIC_RELAXED);
	json_t *port;

	sw_port_kicks(sw, p);
	drops[DP_DROP_tx_port_down] = dp_counter_read(&p->dp->drops_down);
	for (uint32_t q = 0; q < p->queues; q++) {
		const struct dp_queue_stats *in = &p->dp->in[q], *out = &p->dp->out[q];

		rx.frames += dp_counter_read(&in->traffic.frames);
		rx.bytes += dp_counter_read(&in->traffic.bytes);
		tx.frames += dp_counter_read(&out->traffic.frames);
		tx.bytes += dp_counter_read(&out->traffic.bytes);
		flooded += dp_counter_read(&in->flooded);
		notifications +=
			dp_counter_read(&in->notifications) + dp_counter_read(&out->notifications);
		queue_drops(p->dp, q, drops);
	}
	port = json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			 "s:o, s:o}",
		"name", p->name, "network", sw->nets[p->net].name, "socket",
		p->kind == SW_PORT_VHOST ? p->socket : NULL, "state", port_state(p, fault),
		"reason", fault ? ring_fault_text(fault) : p->trouble, "features",
		features_json(p->vid >= 0 ? p->features : 0), "queues", pairs_in_use(p), "connects",
		number(p->connects), "vhost_pid", p->pid ? json_integer(p->pid) : json_null(), "rx",
		traffic_json(&rx), "tx", traffic_json(&tx), "drops", drops_json(drops), "flooded",
		number(flooded), "notifications_sent", number(notifications), "kicks_received",
		number(p->kicks), "queue", queues_json(p));
	soft_add(p, port);
	sw_edge_stats(p, port);
	json_object_set(port, "policy", p->policy.given);
	json_object_set_new(port, "fdb_entries",
		number(__atomic_load_n(&sw->fdb.port_entries[p->dp->id], __ATOMIC_RELAXED)));
	json_object_set_new(port, "unlearned", number(dp_counter_read(&p->dp->unlearned)));
	return port;
}

static json_t *nets_json(struct sw *sw)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < sw->n_nets; i++) {
		const struct sw_net *n = &sw->nets[i];

		if (!n->name[0])
			continue;
		json_array_append_new(list,
			json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name", n->name, "mtu",
				number(n->mtu), "ports", number(n->n_ports), "fdb_entries",
				number(__atomic_load_n(
					&sw->fdb.net_entries[i + 1], __ATOMIC_RELAXED)),
				"flooded", number(dp_counter_read(&n->stats->flooded)), "learned",
				number(dp_counter_read(&n->stats->learned)), "moved",
				number(dp_counter_read(&n->stats->moved))));
	}
	return list;
}

static json_t *worker_json(const struct dp_worker *w, double load)
{
	const struct dp_worker_stats *s = &w->stats;
	json_t *hist = json_array();

	for (int i = 0; i < DP_BURST_BUCKETS; i++)
		json_array_append_new(hist, number(dp_counter_read(&s->burst_histogram[i])));
	return json_pack("{s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "cpu",
		w->cpu >= 0 ? json_integer(w->cpu) : json_null(), "load", load, "frames",
		number(dp_counter_read(&s->frames)), "bursts", number(dp_counter_read(&s->bursts)),
		"polls", number(dp_counter_read(&s->polls)), "empty_polls",
		number(dp_counter_read(&s->empty_polls)), "busy_cycles",
		number(dp_counter_read(&s->busy_cycles)), "idle_cycles",
		number(dp_counter_read(&s->idle_cycles)), "sleeps",
		number(dp_counter_read(&s->sleeps)), "wakeups",
		number(dp_counter_read(&s->wakeups)), "burst_histogram", hist);
}

json_t *sw_stats(struct sw *sw, const char *port, struct err *e)
{
	json_t *ports = json_array(), *workers = json_array(), *nets;

	pthread_mutex_lock(&sw->lock);
	if (port && !sw_port_find(sw, port)) {
		pthread_mutex_unlock(&sw->lock);
		json_decref(ports);
		json_decref(workers);
		err_request(e, -ENOENT, "there is no port \"%s\"", port);
		err_field(e, "port");
		return NULL;
	}
	for (uint32_t id = 0; id < sw->n_ports; id++)
		if (sw->ports[id] && (!port || strcmp(sw->ports[id]->name, port) == 0))
			json_array_append_new(ports, port_json(sw, sw->ports[id]));
	nets = nets_json(sw);
	for (uint32_t w = 0; w < sw->n_workers; w++)
		json_array_append_new(workers, worker_json(&sw->workers[w], sw->load[w].load));
	pthread_mutex_unlock(&sw->lock);
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "tsc_hz", number(eal_tsc_hz()), "time_ns",
		number(clock_now_ns()), "ports", ports, "networks", nets, "workers", workers);
}

struct list_arg {
	const struct sw *sw;
	json_t *list;
	struct sw_fdb_filter filter;
	uint32_t n, limit; /* those that fit the filter; of them, how many are listed */
};

static bool entry_list(void *arg, const struct fdb_entry *en)
{
	struct list_arg *a = arg;
	const struct sw_fdb_filter *f = &a->filter;
	uint32_t net = (uint32_t)(en->key >> 48) - 1;
	const struct sw_port *p = en->port < a->sw->n_ports ? a->sw->ports[en->port] : NULL;
	struct ether_mac mac;
	char text[ETHER_MAC_STR];

	if ((f->net >= 0 && (int)net != f->net) || (f->port >= 0 && en->port != f->port) ||
		(f->vid >= 0 && en->vid != f->vid) || net >= a->sw->n_nets || !p)
		return true;
	if (a->n++ >= a->limit)
		return true;
	for (int i = 0; i < 6; i++)
		mac.b[i] = (uint8_t)(en->key >> 8 * i);
	json_array_append_new(a->list,
		json_pack("{s:s, s:s, s:i, s:s, s:b, s:o}", "network", a->sw->nets[net].name, "mac",
			ether_mac_str(mac, text), "vlan", (int)en->vid, "port", p->name, "static",
			(int)en->is_static, "age_s",
			en->is_static ? json_null()
				      : json_integer(a->sw->shared.now_s - en->seen_s)));
	return true;
}

json_t *sw_fdb_list(struct sw *sw, struct sw_fdb_filter f, uint32_t limit)
{
	struct list_arg a = { .sw = sw, .list = json_array(), .filter = f, .limit = limit };

	pthread_mutex_lock(&sw->lock);
	fdb_sweep(&sw->fdb, entry_list, &a);
	pthread_mutex_unlock(&sw->lock);
	return json_pack("{s:o, s:o}", "entries", a.list, "total", number(a.n));
}
