/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/seq.h"

/* Marks [from, to) as not seen. */
static void wipe(struct traffic_seq *q, uint64_t from, uint64_t to)
{
	if (to - from >= TRAFFIC_SEQ_WINDOW) {
		__builtin_memset(q->seen, 0, sizeof(q->seen));
		return;
	}
	while (from < to) {
		uint64_t *w = &q->seen[from / 64 % TRAFFIC_SEQ_WORDS];
		uint64_t n = 64 - from % 64;

		if (n > to - from)
			n = to - from;
		*w &= ~((n == 64 ? ~0ull : (1ull << n) - 1) << from % 64);
		from += n;
	}
}

void traffic_seq_odd(struct traffic_seq *q, uint64_t seq)
{
	uint64_t *w = &q->seen[seq / 64 % TRAFFIC_SEQ_WORDS], bit = 1ull << seq % 64;

	if (seq >= q->next) {
		q->lost += seq - q->next;
		wipe(q, q->next, seq + 1);
		*w |= bit;
		q->next = seq + 1;
	} else if (q->next - seq > TRAFFIC_SEQ_WINDOW) {
		q->stale++;
	} else if (*w & bit) {
		q->duplicated++;
	} else {
		*w |= bit;
		q->lost--;
		q->reordered++;
	}
}
