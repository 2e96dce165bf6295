/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traffic engine: flows of test frames (frame.h) over ports (port.h). One thread, no locks,
 * no libc, no clock but the TSC that the caller passes: the probe's main loop and host programs
 * use the same code.
 *
 *	traffic_engine_init, traffic_engine_add (each flow), traffic_engine_start;
 *	then traffic_engine_poll for ever; traffic_engine_stop ends sending.
 *
 * Sending is open loop. A paced flow has a deadline for every frame; frames that cannot be sent
 * on time are sent late, as soon as there is room, and the worst delay is kept (late_max_tsc):
 * the rate is never lowered in silence. When a flow's time is over it has 50 ms to catch up, then
 * the deadlines that were missed are given up: frames / (rate * time) says how much. A flat-out
 * flow fills its ring.
 *
 * A paced frame's time stamp is read just before the frame is written; flat out, frames of one
 * burst share one, read before the burst (TRAFFIC_BURST frames at most). Arrival is stamped once
 * a received burst, when the burst was found.
 */
#ifndef LANYARD_TRAFFIC_ENGINE_H
#define LANYARD_TRAFFIC_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "traffic/frame.h"
#include "traffic/hist.h"
#include "traffic/pacer.h"
#include "traffic/port.h"
#include "traffic/seq.h"

#define TRAFFIC_FLOWS_MAX 32
#define TRAFFIC_PORTS_MAX 16
#define TRAFFIC_BURST     64
#define TRAFFIC_RATE_MAX  1000000000000ull /* frames per 1000 s: a frame a nanosecond */
#define TRAFFIC_MIX_MAX   12

/* RFC 6985's "simple IMIX": 7 x 40, 4 x 576, 1 x 1500 bytes of IP; here with Ethernet's 18, and the
 * shortest padded to Ethernet's least. */
extern const uint16_t traffic_imix[TRAFFIC_MIX_MAX];

/* A sender renews the pattern of one buffer each so many frames (frame.h says what for). */
#define TRAFFIC_RENEW 256

enum traffic_role { TRAFFIC_SEND, TRAFFIC_RECEIVE };

struct traffic_flow_spec {
	enum traffic_role role;
	uint16_t id;   /* not 0 */
	uint32_t port; /* index */
	struct ether_mac peer;
	uint32_t size;         /* send: with FCS */
	uint32_t n_mix;        /* send: how many of mix[] are in use; 0: all frames are of `size` */
	uint32_t l4_flows;     /* send: UDP source ports used, from 1 */
	uint32_t n_macs;       /* addresses used, of each end (frame.h); 0 is 1 */
	uint64_t rate_mfps;    /* send: frames per 1000 s; 0: flat out */
	uint64_t frames;       /* send: stop after so many; 0: no limit */
	uint64_t delay_tsc;    /* send: begin so long after the start */
	uint64_t duration_tsc; /* send: stop so long after the beginning; 0: no limit */
	/*
	 * Send: sizes with FCS, in the shares in which they are to be sent (IMIX: 64 seven times,
	 * 594 four times, 1518 once). Buffers get their sizes in this order, and keep them, so the
	 * order on the wire is that in which buffers come round, and shares hold over a ring's lap.
	 */
	uint16_t mix[TRAFFIC_MIX_MAX];
};

struct traffic_flow {
	struct traffic_flow_spec spec;
	bool started, done;
	uint64_t frames, bytes;       /* sent, or received well and of this flow; bytes with FCS */
	uint64_t first_tsc, last_tsc; /* of the first and last of them; 0: none yet */
	/* send */
	struct traffic_template tmpl[TRAFFIC_MIX_MAX];
	uint32_t n_tmpl, mix_next;
	struct traffic_pacer pacer;
	uint64_t owner; /* + k: the mark of slots filled from tmpl[k]: never used again */
	uint64_t begin_tsc;
	uint64_t end_tsc; /* 0: no limit */
	uint64_t ring_full, late_max_tsc;
	uint32_t renew_in;
	/* receive */
	uint64_t peer_lo; /* the frame's first 12 bytes: ours and the peer's address */
	uint32_t peer_hi;
	uint64_t mask_lo; /* what of them must be so */
	uint32_t mask_hi;
	uint64_t corrupt;      /* of this flow by address and id, but harmed; not in `frames` */
	uint64_t last_gap_tsc; /* when a frame last came that was not the next: some are lost */
	struct traffic_seq seq;
	struct traffic_hist latency;
};

/*
 * What the engine can do on its ports: frames sent and received in rounds that were full (half a
 * burst or more, and not interrupted by whoever else wants the CPU), and the time that these took.
 * tsc_hz * frames / tsc is the generator's own limit, in frames a second that it moves.
 */
struct traffic_load {
	uint64_t frames, tsc;
};
#define TRAFFIC_LOAD_MIN (TRAFFIC_BURST / 2)
#define TRAFFIC_LOAD_US  100 /* a round that takes longer was interrupted */

struct traffic_engine {
	uint64_t tsc_hz;
	uint64_t owners;    /* marks given out */
	uint32_t seeds;     /* seeds given out */
	uint32_t body_mask; /* bodies are verified of received frames k with !(k & body_mask) */
	uint32_t n_ports, n_flows;
	struct traffic_load load;
	struct traffic_port *port[TRAFFIC_PORTS_MAX];
	struct traffic_flow *last_rx[TRAFFIC_PORTS_MAX]; /* the flow of a port's last frame */
	struct traffic_flow flow[TRAFFIC_FLOWS_MAX];
};

/* Of zeroed memory. tsc_hz: below 2^54 / 1000. */
void traffic_engine_init(struct traffic_engine *e, uint64_t tsc_hz);

/* Patterns of engines with different seeds (a MAC, say) differ. Before the first flow starts. */
void traffic_engine_seed(struct traffic_engine *e, uint64_t seed);

/* Ports are numbered as they are added. -1 if there are TRAFFIC_PORTS_MAX. The caller keeps p. */
int traffic_engine_add_port(struct traffic_engine *e, struct traffic_port *p);

/* Forgets all flows and their counters, and the ports' counters. */
void traffic_engine_reset(struct traffic_engine *e);

/* NULL if the flow can be added to those there are, else the key of the agent's protocol that is
 * wrong, and *why the sentence. */
const char *traffic_engine_check(
	const struct traffic_engine *e, const struct traffic_flow_spec *s, const char **why);

/* Adds a checked flow. It does nothing before traffic_engine_start. */
void traffic_engine_add(struct traffic_engine *e, const struct traffic_flow_spec *s);

/* Starts the flows that have not been started: the first frames are due at now_tsc. */
void traffic_engine_start(struct traffic_engine *e, uint64_t now_tsc);

/* Ends all sending; flows that receive go on. */
void traffic_engine_stop(struct traffic_engine *e);

/* One round: receives from each port, sends what is due. Returns frames received plus sent. */
uint32_t traffic_engine_poll(struct traffic_engine *e);

/*
 * When the engine next wants to be polled although nothing comes in: 0 at once (flat out, or
 * late, with room or not), UINT64_MAX never, else the TSC of the next deadline.
 */
uint64_t traffic_engine_next(const struct traffic_engine *e);

static inline uint64_t traffic_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

#endif
