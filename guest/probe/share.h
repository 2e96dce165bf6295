/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does this vCPU share its CPU with somebody busy? Time that passes between two rounds of the
 * main loop without a sleep was somebody else's. A vCPU that is robbed of more than an eighth of
 * its time is polite for a while: it sleeps whenever it has nothing to do instead of spinning,
 * and flat-out senders pause after each ring of frames, because whom it shares with may be the
 * receiver of its frames. Pure; TSC passed in.
 */
#ifndef LANYARD_PROBE_SHARE_H
#define LANYARD_PROBE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct share {
	uint64_t gap_tsc, window_tsc, hold_min_tsc, hold_max_tsc; /* spans; set by share_init */
	uint64_t last, window, stolen;
	uint64_t until, hold;
	bool polite;
};

static inline void share_init(struct share *s, uint64_t tsc_hz, uint64_t now)
{
	*s = (struct share){
		.gap_tsc = tsc_hz / 1000000 * 150, /* a round with exits in it takes less */
		.window_tsc = tsc_hz / 1000 * 20,
		.hold_min_tsc = tsc_hz / 1000 * 200,
		.hold_max_tsc = tsc_hz * 5,
		.last = now,
		.window = now,
	};
	s->hold = s->hold_min_tsc;
}

/* At the end of a window. Being polite again soon after makes the next time longer. */
static inline void share_judge(struct share *s, uint64_t now)
{
	if (s->stolen > (now - s->window) / 8) {
		if (!s->polite && now - s->until < s->hold && s->until)
			s->hold = s->hold * 2 < s->hold_max_tsc ? s->hold * 2 : s->hold_max_tsc;
		else if (!s->polite)
			s->hold = s->hold_min_tsc;
		s->polite = true;
		s->until = now + s->hold;
	} else if (s->polite && now > s->until) {
		s->polite = false;
	}
	s->window = now;
	s->stolen = 0;
}

/* Once a round of the main loop. */
static inline void share_round(struct share *s, uint64_t now)
{
	if (now - s->last > s->gap_tsc)
		s->stolen += now - s->last;
	s->last = now;
	if (now - s->window > s->window_tsc)
		share_judge(s, now);
}

/* After a sleep: that time was given away. */
static inline void share_slept(struct share *s, uint64_t now)
{
	s->window += now - s->last;
	s->last = now;
}

#endif
