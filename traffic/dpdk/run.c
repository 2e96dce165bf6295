/* SPDX-License-Identifier: Apache-2.0 */
/* See run.h. */
#include "traffic/dpdk/run.h"

#include <errno.h>
#include <stdio.h>

#define ID_WARM_UP    100 /* + direction */
#define ID_MEASURE    1
#define LEARN_S       10 /* warming up ends with an error if nothing came through by then */
#define DRAIN_MS      1000
#define DRAIN_IDLE_MS 200 /* a switch that has lost its CPU comes back by then */

static uint64_t ms(const struct tg_trial *t, uint64_t n)
{
	return t->engine.tsc_hz / 1000 * n;
}

static const struct traffic_flow *receiver(const struct tg_trial *t, uint32_t direction)
{
	return &t->engine.flow[2 * direction + 1];
}

static void spec_fill(const struct tg_trial *t, struct traffic_flow_spec *s)
{
	const struct tg_options *o = t->options;

	s->size = o->size;
	s->n_mix = o->n_mix;
	for (uint32_t i = 0; i < o->n_mix; i++)
		s->mix[i] = o->mix[i];
	s->l4_flows = o->flows;
	s->n_macs = o->macs;
	if (o->rate.kind == RATE_PPS)
		s->rate_mfps = o->rate.value * 1000;
	else if (o->rate.kind == RATE_BPS)
		s->rate_mfps = (uint64_t)((double)o->rate.value * 1000 / 8 / tg_mean_size(o) + 0.5);
}

/* Two flows of the engine for each direction. */
static int flows_add(
	struct tg_trial *t, uint32_t n, uint16_t id, uint64_t frames, uint64_t tsc, struct err *e)
{
	struct traffic_engine *en = &t->engine;

	traffic_engine_reset(en);
	for (uint32_t i = 0; i < 2 * n; i++) {
		uint32_t d = i / 2, there = 1 - d;
		struct traffic_flow_spec s = { .id = (uint16_t)(id + d) };
		const char *why, *key;

		s.role = i % 2 ? TRAFFIC_RECEIVE : TRAFFIC_SEND;
		s.port = i % 2 ? there : d;
		s.peer = tg_port(t, i % 2 ? d : there)->mac;
		s.frames = frames;
		s.duration_tsc = tsc;
		spec_fill(t, &s);
		/* A rate that rounds to nothing would mean flat out. */
		if (t->options->rate.kind != RATE_MAX && !s.rate_mfps)
			return err_request(e, -EINVAL, "--rate: less than a frame in 1000 s");
		key = traffic_engine_check(en, &s, &why);
		if (key)
			return err_request(e, -EINVAL, "--%s: %s", key, why);
		traffic_engine_add(en, &s);
	}
	return 0;
}

static bool sending(const struct tg_trial *t)
{
	for (uint32_t i = 0; i < t->engine.n_flows; i += 2)
		if (!t->engine.flow[i].done)
			return true;
	return false;
}

/* Polls until all flows have sent what they shall. */
static void send_all(struct tg_trial *t, struct tg_load *load)
{
	uint64_t last = traffic_tsc(), now;
	struct tg_load l = { 0 };

	while (sending(t) && !*t->stop) {
		uint32_t n = traffic_engine_poll(&t->engine);

		now = traffic_tsc();
		l.polls++;
		if (n) {
			l.frames += n;
			l.busy_cycles += now - last;
		} else {
			l.empty_polls++;
			l.empty_cycles += now - last;
		}
		last = now;
	}
	traffic_engine_stop(&t->engine);
	*load = l;
}

static bool all_arrived(const struct tg_trial *t)
{
	for (uint32_t i = 0; i < t->engine.n_flows; i += 2)
		if (t->engine.flow[i].frames > t->engine.flow[i + 1].frames)
			return false;
	return true;
}

/* Takes what is still on its way: until all is there, or nothing has come for a while. */
static void drain(struct tg_trial *t)
{
	uint64_t now = traffic_tsc(), end = now + ms(t, DRAIN_MS), quiet = now;

	for (uint32_t i = 0; i < TG_PORTS; i++)
		t->unsent[i] = 0;
	while (!all_arrived(t) && now < end && now - quiet < ms(t, DRAIN_IDLE_MS)) {
		uint32_t n = traffic_engine_poll(&t->engine);

		for (uint32_t i = 0; i < TG_PORTS; i++) {
			t->unsent[i] = t->options->interfaces ? packet_port_flush(&t->packet[i])
							      : dpdk_port_flush(&t->port[i]);
			n += t->unsent[i] != 0;
		}
		now = traffic_tsc();
		if (n)
			quiet = now;
	}
}

static bool learnt(const struct tg_trial *t, uint32_t n)
{
	for (uint32_t d = 0; d < n; d++)
		if (!receiver(t, d)->frames)
			return false;
	return true;
}

/*
 * One way, the other one is warmed up as well, for a moment: a switch that has not learnt the
 * receiver's address floods. Frames arrive only once the switch has started the device.
 */
static int warm_up(struct tg_trial *t, struct err *e)
{
	uint64_t began = traffic_tsc(), limit = began + t->engine.tsc_hz * LEARN_S;
	uint64_t part = ms(t, 20),
		 want = (uint64_t)(t->options->warmup_s * (double)t->engine.tsc_hz);
	struct tg_load load;
	bool first = true;
	int ret;

	do {
		bool last = !first && traffic_tsc() - began < want;

		ret = flows_add(t, first ? TG_PORTS : t->n_directions, ID_WARM_UP, 0,
			last ? want : part, e);
		if (ret)
			return ret;
		traffic_engine_start(&t->engine, traffic_tsc());
		send_all(t, &load);
		drain(t);
		first = first && !learnt(t, TG_PORTS);
		if (*t->stop)
			return err_set(e, -EINTR, "ended by a signal while warming up");
		if (last)
			return 0;
	} while (traffic_tsc() < limit && (first || traffic_tsc() - began < want));
	if (!first)
		return 0;
	return err_set(e, -ETIMEDOUT,
		"in %d s of warming up nothing came through from %s to %s. %s", LEARN_S,
		t->options->socket[receiver(t, 0)->frames ? 1 : 0],
		t->options->socket[receiver(t, 0)->frames ? 0 : 1],
		t->options->interfaces
			? "Does a path lead from one interface to the other (ip link, ethtool)?"
			: "Are both sockets ports of one network of one switch, and is it running?");
}

int tg_trial_run(struct tg_trial *t, struct err *e)
{
	const struct tg_options *o = t->options;
	uint64_t tsc = (uint64_t)(o->seconds * (double)t->engine.tsc_hz);
	uint64_t began;
	int ret;

	t->n_directions = o->one_way ? 1 : TG_PORTS;
	t->engine.body_mask = o->body_every - 1;
	ret = warm_up(t, e);
	if (!ret)
		ret = flows_add(t, t->n_directions, ID_MEASURE, o->frames, tsc, e);
	if (ret)
		return ret;
	/* For whoever reads a switch's counters around the measurement. */
	fputs("measuring\n", stderr);
	began = traffic_tsc();
	traffic_engine_start(&t->engine, began);
	send_all(t, &t->load);
	t->measured_tsc = traffic_tsc() - began;
	drain(t);
	return 0;
}
