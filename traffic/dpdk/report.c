/* SPDX-License-Identifier: Apache-2.0 */
/* See report.h. */
#include "traffic/dpdk/report.h"

#include <errno.h>
#include <jansson.h>

#include "traffic/dpdk/device.h"

static json_int_t ns(const struct tg_trial *t, uint64_t tsc)
{
	return (json_int_t)((double)tsc * 1e9 / (double)t->engine.tsc_hz + 0.5);
}

static json_t *latency(const struct tg_trial *t, const struct traffic_hist *h)
{
	if (!h->count)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)h->count,
		"min", ns(t, h->min), "mean", ns(t, h->sum / h->count), "p50",
		ns(t, traffic_hist_quantile(h, 500000)), "p90",
		ns(t, traffic_hist_quantile(h, 900000)), "p99",
		ns(t, traffic_hist_quantile(h, 990000)), "p999",
		ns(t, traffic_hist_quantile(h, 999000)), "max", ns(t, h->max));
}

static json_t *direction(const struct tg_trial *t, uint32_t d)
{
	const struct traffic_flow *tx = &t->engine.flow[2 * d], *rx = tx + 1;
	double s = (double)t->measured_tsc / (double)t->engine.tsc_hz;
	uint64_t sent = tx->frames - t->unsent[d];
	uint64_t once = rx->frames - rx->seq.duplicated + rx->corrupt;
	uint64_t lost = sent > once ? sent - once : 0;

	return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, "
			 "s:f, s:I, s:I, s:o}",
		"from", (int)d, "to", (int)(1 - d), "sent", (json_int_t)sent, "received",
		(json_int_t)rx->frames, "lost", (json_int_t)lost, "duplicated",
		(json_int_t)rx->seq.duplicated, "reordered", (json_int_t)rx->seq.reordered, "stale",
		(json_int_t)rx->seq.stale, "corrupt", (json_int_t)rx->corrupt, "sent_bytes",
		(json_int_t)tx->bytes, "received_bytes", (json_int_t)rx->bytes, "sent_pps",
		(double)sent / s, "received_pps", (double)rx->frames / s, "received_bps",
		(double)rx->bytes * 8 / s, "loss", sent ? (double)lost / (double)sent : 0.0,
		"ring_full", (json_int_t)tx->ring_full, "late_max_ns", ns(t, tx->late_max_tsc),
		"latency_ns", latency(t, &rx->latency));
}

static json_t *port(struct tg_trial *t, uint32_t i)
{
	bool interface = t->options->interfaces;
	const struct traffic_port *p = tg_port(t, i);
	char mac[ETHER_MAC_STR];

	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", interface ? "interface" : "socket",
		t->options->socket[i], "mac", ether_mac_str(p->mac, mac), "tx_frames",
		(json_int_t)p->tx_frames, "rx_frames", (json_int_t)p->rx_frames, "rx_other",
		(json_int_t)p->rx_other, interface ? "rx_ring_full" : "rx_chained",
		(json_int_t)(interface ? packet_port_dropped(&t->packet[i])
				       : t->port[i].rx_chained),
		"unsent", (json_int_t)t->unsent[i]);
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static json_t *load(const struct tg_load *l)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "polls", (json_int_t)l->polls,
		"empty_polls", (json_int_t)l->empty_polls, "frames", (json_int_t)l->frames,
		"busy_cycles", (json_int_t)l->busy_cycles, "empty_cycles",
		(json_int_t)l->empty_cycles, "empty_poll_share", ratio(l->empty_polls, l->polls),
		"empty_time_share", ratio(l->empty_cycles, l->busy_cycles + l->empty_cycles),
		"busy_cycles_per_frame", ratio(l->busy_cycles, l->frames));
}

static json_t *settings(const struct tg_options *o)
{
	const char *kind = o->rate.kind == RATE_PPS ? "rate_pps" : "rate_bps";
	json_t *s = json_pack("{s:s, s:f, s:i, s:i, s:b, s:b, s:b, s:b, s:i, s:i, s:b, s:i}",
		"size", o->size_name, "mean_size", tg_mean_size(o), "flows", (int)o->flows, "macs",
		(int)o->macs, "packed", o->packed, "mergeable", o->mergeable, "in_order",
		o->in_order, "vectorized", o->vectorized, "queue_size", (int)o->queue_size,
		"tx_descriptors", (int)(o->tx_descriptors ? o->tx_descriptors : o->queue_size),
		"both_ways", !o->one_way, "verify_bodies_every", (int)o->body_every);

	if (s && o->rate.kind != RATE_MAX)
		json_object_set_new(s, kind, json_integer((json_int_t)o->rate.value));
	return s;
}

int tg_report_print(struct tg_trial *t, FILE *out)
{
	json_t *directions = json_array(), *ports = json_array(), *root;
	int ret = 0;

	for (uint32_t d = 0; d < t->n_directions; d++)
		json_array_append_new(directions, direction(t, d));
	for (uint32_t i = 0; i < TG_PORTS; i++)
		json_array_append_new(ports, port(t, i));
	root = json_pack("{s:s, s:s, s:s, s:i, s:I, s:f, s:o, s:o, s:o, s:o}", "name",
		"lanyard-traffic", "version", LANYARD_VERSION, "dpdk", tg_dpdk_version(), "cpu",
		t->options->cpu, "tsc_hz", (json_int_t)t->engine.tsc_hz, "seconds",
		(double)t->measured_tsc / (double)t->engine.tsc_hz, "asked", settings(t->options),
		"directions", directions, "ports", ports, "generator", load(&t->load));
	if (!root)
		return -ENOMEM;
	if (json_dumpf(root, out, JSON_INDENT(2)) || fputc('\n', out) == EOF || fflush(out))
		ret = -EIO;
	json_decref(root);
	return ret;
}
