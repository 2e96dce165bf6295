/* SPDX-License-Identifier: Apache-2.0 */
/* The VMM's half of the ring client: its memory and its connection. See ringclient.h. */
#include "ringclient.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

const char *const rc_layout_names[RC_LAYOUTS] = { "one", "two", "chain", "indirect", "mixed",
	"small" };

uint64_t rc_pair_gpa(uint32_t pair, uint32_t off)
{
	return RC_GPA + (uint64_t)pair * RC_PAIR_BYTES + off;
}

uint8_t *rc_at(struct rc *c, uint64_t gpa)
{
	return c->mem + (gpa - RC_GPA);
}

int rc_open(struct rc *c, struct err *e)
{
	c->mem_size = (size_t)c->n_pairs * RC_PAIR_BYTES;
	c->mem_fd = memfd_create("ringclient", MFD_CLOEXEC);
	if (c->mem_fd < 0 || ftruncate(c->mem_fd, (off_t)c->mem_size))
		return err_set(e, -errno, "no guest memory");
	c->mem = mmap(NULL, c->mem_size, PROT_READ | PROT_WRITE,
		c->private ? MAP_PRIVATE : MAP_SHARED, c->mem_fd, 0);
	if (c->mem == MAP_FAILED)
		return err_set(e, -errno, "no guest memory");
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		struct rc_ring *r[2] = { &c->pair[p].rx, &c->pair[p].tx };

		for (int i = 0; i < 2; i++) {
			r[i]->gpa = rc_pair_gpa(p, i ? RC_TX_RING : RC_RX_RING);
			r[i]->size = c->size;
			r[i]->packed = c->features & 1ull << VIRTIO_F_RING_PACKED;
			r[i]->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
			r[i]->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
			r[i]->desc = (void *)rc_at(c, r[i]->gpa);
			r[i]->avail = (void *)rc_at(c, r[i]->gpa + RC_AVAIL);
			r[i]->used = (void *)rc_at(c, r[i]->gpa + RC_USED);
		}
	}
	return 0;
}

void rc_close(struct rc *c)
{
	vu_close(c->fe);
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		fd_close(&c->pair[p].rx.kick_fd);
		fd_close(&c->pair[p].rx.call_fd);
		fd_close(&c->pair[p].tx.kick_fd);
		fd_close(&c->pair[p].tx.call_fd);
	}
	if (c->mem)
		munmap(c->mem, c->mem_size);
	fd_close(&c->mem_fd);
	free(c->seen);
}

int rc_mem_table(struct rc *c, struct err *e)
{
	/* The seam lies inside the receive buffers of pair 0: some buffer goes over it. */
	uint64_t first = c->two_regions ? RC_RX_DATA + 8192 : c->mem_size;
	struct vu_region r[2] = {
		{ .gpa = RC_GPA, .size = first, .user_addr = RC_USER, .fd = c->mem_fd },
		{ .gpa = RC_GPA + first,
			.size = c->mem_size - first,
			.user_addr = RC_USER + first,
			.mmap_offset = first,
			.fd = c->mem_fd },
	};

	return vu_set_mem_table(c->fe, r, c->two_regions ? 2 : 1, e);
}

static int ring_start(struct rc *c, struct rc_ring *r, uint32_t index, bool kept, struct err *e)
{
	struct vu_ring v = { .index = index,
		.size = c->size,
		.desc = r->gpa - RC_GPA + RC_USER,
		.kick_fd = r->kick_fd,
		.call_fd = r->call_fd,
		.err_fd = -1 };
	int ret;

	v.avail = v.desc + RC_AVAIL;
	v.used = v.desc + RC_USED;
	v.base = !r->packed ? r->used->idx : kept && !c->stale ? pd_base(&r->pd) : 0x8000;
	ret = vu_start_ring(c->fe, &v, e);
	return ret ? ret : vu_enable_ring(c->fe, index, true, e);
}

/* Rings as a driver makes them at its start, all receive buffers posted. */
static void rings_clear(struct rc *c)
{
	for (uint32_t p = 0; p < c->n_pairs; p++) {
		struct rc_pair *q = &c->pair[p];

		memset(q->tx_busy, 0, sizeof(q->tx_busy));
		rc_ring_clear(c, &q->rx);
		rc_ring_clear(c, &q->tx);
		rc_rx_post_all(c, p);
	}
}

static int rings_start(struct rc *c, bool kept, struct err *e)
{
	int ret = vu_set_features(c->fe, c->features, e);

	if (ret == 0)
		ret = rc_mem_table(c, e);
	for (uint32_t p = 0; p < c->n_pairs && ret == 0; p++) {
		ret = ring_start(c, &c->pair[p].rx, 2 * p, kept, e);
		if (ret == 0)
			ret = ring_start(c, &c->pair[p].tx, 2 * p + 1, kept, e);
	}
	return ret;
}

int rc_connect(struct rc *c, bool kept, struct err *e)
{
	int ret = vu_connect(c->path, 5000, -1, &c->fe, e);

	if (ret)
		return ret;
	ret = vu_negotiate(c->fe, 1u << VU_PF_MQ | 1u << VU_PF_REPLY_ACK, e);
	if (ret)
		return ret;
	if (c->features & ~vu_features(c->fe))
		return err_set(e, -EOPNOTSUPP, "wanted features 0x%llx, offered 0x%llx",
			(unsigned long long)c->features, (unsigned long long)vu_features(c->fe));
	if (!kept)
		rings_clear(c);
	return rings_start(c, kept, e);
}

static int rings_stop(struct rc *c, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; i < 2 * c->n_pairs && ret == 0; i++)
		ret = vu_stop_ring(c->fe, i, NULL, e);
	return ret;
}

int rc_restart(struct rc *c, struct err *e)
{
	int ret = rings_stop(c, e);

	rings_clear(c);
	return ret ? ret : rings_start(c, false, e);
}

int rc_restart_kept(struct rc *c, struct err *e)
{
	int ret = rings_stop(c, e);

	return ret ? ret : rings_start(c, true, e);
}

int rc_call_fds(struct rc *c, struct err *e)
{
	for (uint32_t i = 0; i < 2 * c->n_pairs; i++) {
		struct rc_ring *r = i % 2 ? &c->pair[i / 2].tx : &c->pair[i / 2].rx;
		le64_t index = le64_of(i);
		int ret;

		fd_close(&r->call_fd);
		r->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ret = vu_call(c->fe, VU_SET_VRING_CALL, &index, sizeof(index), &r->call_fd, 1, NULL,
			0, e);
		if (ret < 0)
			return ret;
	}
	return 0;
}
