/* SPDX-License-Identifier: Apache-2.0 */
/* What dp_peek (frame.h) consists of: the passes that the ring layouts share. */
#ifndef LANYARD_VSWITCH_DP_PEEK_H
#define LANYARD_VSWITCH_DP_PEEK_H

#include "vswitch/dp/frame.h"

/* A frame in one piece of len bytes at host, virtio-net header and all. */
static inline void dp_peek_found(
	const struct ring *r, struct dp_frame *f, uint8_t *host, uint32_t len)
{
	if (r->may)
		__builtin_prefetch(host);
	host += r->hdr_len;
	__builtin_prefetch(host);
	f->rest = host;
	f->meta = 0;
	f->deep = 0;
	f->len = len - r->hdr_len;
	f->segs = NULL;
}

/* Any chain that the short path does not take, `ahead` entries on: it becomes frame i, of length 0
 * if it was dropped. 0, -EAGAIN if there is no chain, or -EINVAL after a fault. */
int dp_peek_chain(struct ring *r, struct dp_burst *b, uint32_t i, uint16_t ahead);

/* The last pass: our copy of the headers, and what they ask for. */
void dp_peek_headers(struct ring *r, struct dp_burst *b);

/* peek_packed.c: dp_peek and dp_release of a packed ring. */
uint32_t dp_peek_packed(struct ring *r, struct dp_burst *b);
void dp_release_packed(struct ring *r, const struct dp_burst *b);

#endif
