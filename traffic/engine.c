/* SPDX-License-Identifier: Apache-2.0 */
/* Flows: adding, starting, stopping. The rounds are in send.c and receive.c. */
#include "traffic/engine.h"
#include "traffic/rounds.h"

const uint16_t traffic_imix[TRAFFIC_MIX_MAX] = { 64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594,
	64 };

#define RECEIVE_BURSTS 4 /* of one port in a round, at most */

void traffic_engine_init(struct traffic_engine *e, uint64_t tsc_hz)
{
	e->tsc_hz = tsc_hz;
	e->owners = 0;
	e->seeds = 0;
	e->body_mask = 0;
	e->n_ports = 0;
	e->n_flows = 0;
	e->load = (struct traffic_load){ 0 };
}

void traffic_engine_seed(struct traffic_engine *e, uint64_t seed)
{
	e->seeds = (uint32_t)(traffic_mix(seed + 1) >> 32);
}

int traffic_engine_add_port(struct traffic_engine *e, struct traffic_port *p)
{
	if (e->n_ports == TRAFFIC_PORTS_MAX)
		return -1;
	e->last_rx[e->n_ports] = NULL;
	e->port[e->n_ports++] = p;
	return 0;
}

void traffic_engine_reset(struct traffic_engine *e)
{
	e->n_flows = 0;
	e->load = (struct traffic_load){ 0 };
	for (uint32_t i = 0; i < e->n_ports; i++) {
		struct traffic_port *p = e->port[i];

		e->last_rx[i] = NULL;
		p->rx_frames = p->tx_frames = p->rx_other = 0;
	}
}

static bool flow_exists(const struct traffic_engine *e, const struct traffic_flow_spec *s)
{
	for (uint32_t i = 0; i < e->n_flows; i++) {
		const struct traffic_flow_spec *o = &e->flow[i].spec;

		if (o->id == s->id && o->role == s->role && o->port == s->port)
			return true;
	}
	return false;
}

static uint32_t sizes_of(const struct traffic_flow_spec *s)
{
	return s->n_mix ? s->n_mix : 1;
}

static uint32_t size_of(const struct traffic_flow_spec *s, uint32_t i)
{
	return s->n_mix ? s->mix[i] : s->size;
}

const char *traffic_engine_check(
	const struct traffic_engine *e, const struct traffic_flow_spec *s, const char **why)
{
	*why = NULL;
	if (e->n_flows == TRAFFIC_FLOWS_MAX)
		return *why = "at most 32 flows at a time; use \"reset\" to forget the old ones",
		       "flows";
	if (s->port >= e->n_ports)
		return *why = "there is no such NIC", "nic";
	if (!s->id)
		return *why = "expected 1 to 65535", "id";
	if (flow_exists(e, s))
		return *why = "the NIC has a flow with this id and role; use \"reset\", or another id",
		       "id";
	if (ether_mac_is_zero(s->peer))
		return *why = "expected the peer's address, found zeros", "peer_mac";
	if (s->n_macs > TRAFFIC_MACS_MAX)
		return *why = "expected 1 to 16777216", "n_macs";
	if (s->role == TRAFFIC_RECEIVE)
		return NULL;
	if (s->n_mix > TRAFFIC_MIX_MAX)
		return *why = "at most 12 sizes", "size";
	for (uint32_t i = 0; i < sizes_of(s); i++) {
		if (size_of(s, i) < TRAFFIC_SIZE_MIN || size_of(s, i) > TRAFFIC_SIZE_MAX)
			return *why = "expected 64 to 9234 bytes", "size";
		if (size_of(s, i) - ETHER_FCS_LEN > e->port[s->port]->max_len)
			return *why = "longer than the NIC's MTU allows", "size";
	}
	if (s->rate_mfps > TRAFFIC_RATE_MAX)
		return *why = "expected at most 10^12 (frames per 1000 s)", "rate_mfps";
	if (!s->l4_flows || s->l4_flows > TRAFFIC_L4_MAX)
		return *why = "expected 1 to 16384", "l4_flows";
	return NULL;
}

void traffic_engine_add(struct traffic_engine *e, const struct traffic_flow_spec *s)
{
	struct traffic_flow *f = &e->flow[e->n_flows++];
	struct ether_mac own = e->port[s->port]->mac;
	uint8_t head[12];

	__builtin_memset(f, 0, sizeof(*f));
	f->spec = *s;
	traffic_hist_init(&f->latency);
	if (s->role == TRAFFIC_SEND) {
		f->n_tmpl = sizes_of(s);
		for (uint32_t i = 0; i < f->n_tmpl; i++) {
			traffic_template_init(
				&f->tmpl[i], s->peer, own, s->id, size_of(s, i), s->l4_flows);
			if (s->n_macs)
				f->tmpl[i].n_macs = s->n_macs;
		}
		f->owner = e->owners + 1;
		e->owners += f->n_tmpl;
		f->renew_in = TRAFFIC_RENEW;
		return;
	}
	__builtin_memcpy(head, own.b, 6);
	__builtin_memcpy(head + 6, s->peer.b, 6);
	__builtin_memcpy(&f->peer_hi, head + 8, 4);
	f->mask_lo = s->n_macs > 1 ? TRAFFIC_MACS_LO : UINT64_MAX;
	f->mask_hi = s->n_macs > 1 ? TRAFFIC_MACS_HI : UINT32_MAX;
	f->peer_lo = traffic_load64(head) & f->mask_lo;
	f->peer_hi &= f->mask_hi;
}

void traffic_engine_start(struct traffic_engine *e, uint64_t now_tsc)
{
	for (uint32_t i = 0; i < e->n_flows; i++) {
		struct traffic_flow *f = &e->flow[i];

		if (f->started)
			continue;
		f->started = true;
		if (f->spec.role != TRAFFIC_SEND)
			continue;
		f->begin_tsc = now_tsc + f->spec.delay_tsc;
		f->end_tsc = f->spec.duration_tsc ? f->begin_tsc + f->spec.duration_tsc : 0;
		if (f->spec.rate_mfps)
			traffic_pacer_init(&f->pacer, f->begin_tsc, e->tsc_hz, f->spec.rate_mfps);
	}
}

void traffic_engine_stop(struct traffic_engine *e)
{
	for (uint32_t i = 0; i < e->n_flows; i++)
		if (e->flow[i].spec.role == TRAFFIC_SEND)
			e->flow[i].done = true;
}

static void count_load(struct traffic_engine *e, uint32_t n, uint64_t took)
{
	if (took > e->tsc_hz / 1000000 * TRAFFIC_LOAD_US)
		return;
	e->load.frames += n;
	e->load.tsc += took;
}

uint32_t traffic_engine_poll(struct traffic_engine *e)
{
	uint64_t began = traffic_tsc();
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->n_ports; i++) {
		uint32_t bursts = 0, k;

		/* Several flows may send to a port in one round: take as much as they can bring. */
		do {
			k = traffic_receive_round(e, i);
			n += k;
		} while (k == TRAFFIC_BURST && ++bursts < RECEIVE_BURSTS);
	}
	for (uint32_t i = 0; i < e->n_flows; i++) {
		struct traffic_flow *f = &e->flow[i];

		if (f->started && !f->done && f->spec.role == TRAFFIC_SEND)
			n += traffic_send_round(e, f);
	}
	if (n >= TRAFFIC_LOAD_MIN)
		count_load(e, n, traffic_tsc() - began);
	return n;
}

uint64_t traffic_engine_next(const struct traffic_engine *e)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < e->n_flows; i++) {
		const struct traffic_flow *f = &e->flow[i];
		uint64_t t;

		if (!f->started || f->done || f->spec.role != TRAFFIC_SEND)
			continue;
		t = f->spec.rate_mfps ? f->pacer.next_tsc : f->spec.delay_tsc ? f->begin_tsc : 0;
		/* A slow flow's end comes before its next frame: be there to say "done". */
		if (f->end_tsc && f->end_tsc < t)
			t = f->end_tsc;
		if (t < next)
			next = t;
	}
	return next;
}
