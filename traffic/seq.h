/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sequence numbers of a flow came: lost, duplicated, reordered (in the sense of RFC 4737: a
 * frame is reordered if one with a higher number came before it).
 *
 * A number above the highest seen makes those between lost; one that comes late turns from lost
 * into reordered; one that came before is duplicated. The last TRAFFIC_SEQ_WINDOW numbers are
 * remembered; of an older one it can't be told whether it was lost or came already: it counts as
 * `stale` and changes nothing else. Numbers begin with 0.
 *
 * frames = next - lost + duplicated + stale holds at any time. Freestanding.
 */
#ifndef LANYARD_TRAFFIC_SEQ_H
#define LANYARD_TRAFFIC_SEQ_H

#include <stdint.h>

#define TRAFFIC_SEQ_WINDOW 8192u
#define TRAFFIC_SEQ_WORDS  (TRAFFIC_SEQ_WINDOW / 64)

struct traffic_seq {
	uint64_t next; /* highest seen + 1 */
	uint64_t lost, duplicated, reordered, stale;
	/* Bit s % window, for each s of [next - window, next): set when it came, wiped when it was
	 * passed over. Bits that are not of these are of older numbers, and never looked at. */
	uint64_t seen[TRAFFIC_SEQ_WORDS];
};

/* Anything but the next number in order. */
void traffic_seq_odd(struct traffic_seq *q, uint64_t seq);

static inline void traffic_seq_add(struct traffic_seq *q, uint64_t seq)
{
	if (__builtin_expect(seq != q->next, 0)) {
		traffic_seq_odd(q, seq);
		return;
	}
	q->seen[seq / 64 % TRAFFIC_SEQ_WORDS] |= 1ull << seq % 64;
	q->next = seq + 1;
}

#endif
