/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring client as a program that tests drive: a command a line on stdin, a JSON object a line
 * on stdout. It dies with its stdin.
 *
 *	ringclient SOCKET rx=LAYOUT features=HEX pairs=N regions=1|2 size=N [private]
 *
 *	send DST SRC LEN LAYOUT COUNT SEQ [PAIR] [TYPE]	waits until the switch has taken them all
 *	receive COUNT TIMEOUT_MS	until COUNT more came; says how many, and what was wrong
 *	run DST SRC LEN LAYOUT MS [SEQ]	sends flat out and receives, while there is a switch
 *	macs DST SRC COUNT	sends from COUNT addresses
 *	raw COUNT HEX		sends these bytes; from then on what comes is kept
 *	frames COUNT MS		until COUNT are kept, or for so long: {"frames": [hex], "lost": n}
 *	attack NAME | restart | restart_kept | reconnect | reconnect_kept
 *	regions 1|2 | memtable | callfds
 *	calls			how often the switch wrote the call fds since the last time
 *	interrupts on|off	asks for notifications, or not
 *	unique			from here on no frame may come twice
 *	stale			after a broken connection, packed rings are started at 0
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ringclient.h"

#define MOVE_TIMEOUT_MS 5000

static enum rc_layout layout_of(const char *name)
{
	for (int i = 0; i < RC_LAYOUTS; i++)
		if (strcmp(rc_layout_names[i], name) == 0)
			return (enum rc_layout)i;
	fprintf(stderr, "no layout %s\n", name);
	exit(2);
}

static void reply(int ok, const struct rc *c, uint64_t n)
{
	printf("{\"ok\": %s, \"n\": %llu, \"got\": %llu, \"bytes\": %llu, \"bad\": %llu, "
	       "\"why\": \"%s\"}\n",
		ok ? "true" : "false", (unsigned long long)n, (unsigned long long)c->got,
		(unsigned long long)c->bytes, (unsigned long long)c->bad, c->why);
	fflush(stdout);
}

static void reply_err(const struct err *e)
{
	printf("{\"ok\": false, \"error\": \"%s\"}\n", e->text);
	fflush(stdout);
}

static uint64_t deadline_ms(unsigned ms)
{
	return clock_now_ns() + ms * NS_PER_MS;
}

static bool switch_gone(const struct rc *c)
{
	struct pollfd pfd = { .fd = vu_fd(c->fe), .events = POLLRDHUP };

	return poll(&pfd, 1, 0) == 1;
}

/* Waits until the switch has given all transmit slots back. */
static bool drain(struct rc *c, uint64_t until)
{
	while (rc_reclaim(c), rc_tx_busy(c)) {
		if (switch_gone(c))
			return false;
		if (rc_receive(c) == 0)
			sched_yield();
		if (clock_now_ns() > until)
			return false;
	}
	return true;
}

static bool frame_args(
	const char *args, struct rc_frame *f, enum rc_layout *layout, unsigned *n, uint32_t *pair)
{
	char dst[32], src[32], name[16];
	unsigned len = 0, seq = 0, type = 0;

	*pair = 0;
	if (sscanf(args, "%31s %31s %u %15s %u %u %u %x", dst, src, &len, name, n, &seq, pair,
		    &type) < 5)
		return false;
	f->len = len;
	f->seq = seq;
	f->type = (uint16_t)type;
	*layout = layout_of(name);
	return ether_mac_parse(dst, &f->dst) == 0 && ether_mac_parse(src, &f->src) == 0 &&
		len <= RC_SLOT - 512 && len > 0;
}

static void do_send(struct rc *c, const char *args)
{
	uint64_t until = deadline_ms(MOVE_TIMEOUT_MS);
	enum rc_layout layout;
	struct rc_frame f = { 0 };
	unsigned n, sent = 0;
	uint32_t pair;

	if (!frame_args(args, &f, &layout, &n, &pair) || pair >= c->n_pairs)
		exit(2);
	while (sent < n && clock_now_ns() < until) {
		if (rc_send(c, pair, layout, &f) == 0) {
			sent++;
			f.seq++;
		} else if (rc_receive(c) == 0) {
			sched_yield();
		}
	}
	reply(drain(c, until) && sent == n, c, sent);
}

static void do_receive(struct rc *c, const char *args)
{
	unsigned n = 0, ms = 0;
	uint64_t until, from = c->got;

	sscanf(args, "%u %u", &n, &ms);
	until = deadline_ms(ms);
	do
		if (rc_receive(c) == 0)
			sched_yield();
	while (c->got - from < n && clock_now_ns() < until);
	reply(c->got - from >= n && !c->bad, c, c->got - from);
}

/* From here on frames are kept. */
static void keep(struct rc *c)
{
	if (!c->kept)
		c->kept = calloc(1, sizeof(*c->kept));
	if (!c->kept)
		exit(1);
}

static void do_raw(struct rc *c, const char *args)
{
	uint64_t until = deadline_ms(MOVE_TIMEOUT_MS);
	static uint8_t bytes[RC_KEPT_LEN];
	struct rc_frame f = { .raw = bytes };
	unsigned n = 0, sent = 0, at = 0, byte;

	if (sscanf(args, "%u %n", &n, &at) < 1)
		exit(2);
	keep(c);
	for (args += at; f.len < RC_KEPT_LEN && sscanf(args, "%2x", &byte) == 1; args += 2)
		bytes[f.len++] = (uint8_t)byte;
	while (sent < n && clock_now_ns() < until) {
		if (rc_send(c, 0, RC_ONE, &f) == 0)
			sent++;
		else if (rc_receive(c) == 0)
			sched_yield();
	}
	reply(drain(c, until) && sent == n, c, sent);
}

static void do_frames(struct rc *c, const char *args)
{
	unsigned n = 0, ms = 0;
	uint64_t until;

	keep(c);
	sscanf(args, "%u %u", &n, &ms);
	until = deadline_ms(ms);
	do
		if (rc_receive(c) == 0)
			sched_yield();
	while (c->kept->n < n && clock_now_ns() < until);
	printf("{\"lost\": %u, \"frames\": [", c->kept->lost);
	for (uint32_t i = 0; i < c->kept->n; i++) {
		printf(i ? ", \"" : "\"");
		for (uint32_t k = 0; k < c->kept->frame[i].len; k++)
			printf("%02x", c->kept->frame[i].bytes[k]);
		printf("\"");
	}
	printf("]}\n");
	fflush(stdout);
	c->kept->n = c->kept->lost = 0;
}

static void do_run(struct rc *c, const char *args)
{
	enum rc_layout layout;
	struct rc_frame f = { 0 };
	unsigned ms, sent = 0;
	uint64_t until;
	uint32_t pair;

	if (!frame_args(args, &f, &layout, &ms, &pair))
		exit(2);
	until = deadline_ms(ms);
	while (clock_now_ns() < until) {
		bool full = rc_send(c, sent % c->n_pairs, layout, &f) != 0;

		if (!full) {
			sent++;
			f.seq++;
		}
		if (rc_receive(c) == 0 && full) {
			if (switch_gone(c))
				break;
			sched_yield();
		}
	}
	reply(drain(c, deadline_ms(MOVE_TIMEOUT_MS)), c, sent);
}

/* COUNT frames, each from another source address, counted up from SRC. */
static void do_macs(struct rc *c, const char *args)
{
	uint64_t until = deadline_ms(MOVE_TIMEOUT_MS);
	struct rc_frame f = { .len = 60 };
	char dst[32], src[32];
	unsigned n, sent = 0;

	if (sscanf(args, "%31s %31s %u", dst, src, &n) != 3 || ether_mac_parse(dst, &f.dst) ||
		ether_mac_parse(src, &f.src))
		exit(2);
	while (sent < n && clock_now_ns() < until) {
		f.src.b[4] = (uint8_t)(sent >> 8);
		f.src.b[5] = (uint8_t)sent;
		if (rc_send(c, 0, RC_ONE, &f) == 0)
			sent++;
		else if (rc_receive(c) == 0)
			sched_yield();
	}
	reply(drain(c, until) && sent == n, c, sent);
}

static uint64_t calls_take(struct rc_ring *r)
{
	return fd_event_take(r->call_fd);
}

static void do_calls(struct rc *c)
{
	uint64_t n = 0;

	for (uint32_t p = 0; p < c->n_pairs; p++)
		n += calls_take(&c->pair[p].rx) + calls_take(&c->pair[p].tx);
	reply(1, c, n);
}

/* With EVENT_IDX, "at the next entry": told once. */
static void interrupts_packed(const struct rc *c, struct rc_ring *r, bool on)
{
	uint16_t flags = on ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;

	if (on && c->features & 1ull << VIRTIO_RING_F_EVENT_IDX) {
		flags = VRING_PACKED_EVENT_FLAG_DESC;
		r->pd.driver->off_wrap = pd_base(&r->pd);
	}
	__atomic_store_n(&r->pd.driver->flags, flags, __ATOMIC_SEQ_CST);
}

/* With EVENT_IDX: "at the next entry", or half the index space away. */
static void do_interrupts(struct rc *c, const char *args)
{
	bool on = strncmp(args, "on", 2) == 0;

	for (uint32_t i = 0; i < 2 * c->n_pairs; i++) {
		struct rc_ring *r = i % 2 ? &c->pair[i / 2].tx : &c->pair[i / 2].rx;
		uint16_t *event = &r->avail->ring[r->size];

		if (r->packed) {
			interrupts_packed(c, r, on);
			continue;
		}
		r->avail->flags = on ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
		__atomic_store_n(
			event, (uint16_t)(r->used->idx + (on ? 0 : 0x8000)), __ATOMIC_SEQ_CST);
	}
	reply(1, c, 0);
}

static void do_step(struct rc *c, int (*fn)(struct rc *, struct err *))
{
	struct err e = { 0 };

	if (fn(c, &e))
		reply_err(&e);
	else
		reply(1, c, 0);
}

static int reconnect(struct rc *c, struct err *e)
{
	vu_close(c->fe);
	c->fe = NULL;
	return rc_connect(c, false, e);
}

static int reconnect_kept(struct rc *c, struct err *e)
{
	vu_close(c->fe);
	c->fe = NULL;
	return rc_connect(c, true, e);
}

static void command(struct rc *c, char *line)
{
	char *args = strchr(line, ' ');

	if (args)
		*args++ = '\0';
	else
		args = line + strlen(line);
	if (strcmp(line, "send") == 0)
		do_send(c, args);
	else if (strcmp(line, "receive") == 0)
		do_receive(c, args);
	else if (strcmp(line, "raw") == 0)
		do_raw(c, args);
	else if (strcmp(line, "frames") == 0)
		do_frames(c, args);
	else if (strcmp(line, "run") == 0)
		do_run(c, args);
	else if (strcmp(line, "macs") == 0)
		do_macs(c, args);
	else if (strcmp(line, "calls") == 0)
		do_calls(c);
	else if (strcmp(line, "interrupts") == 0)
		do_interrupts(c, args);
	else if (strcmp(line, "attack") == 0)
		reply(rc_attack(c, args), c, 0);
	else if (strcmp(line, "restart") == 0)
		do_step(c, rc_restart);
	else if (strcmp(line, "memtable") == 0)
		do_step(c, rc_mem_table);
	else if (strcmp(line, "regions") == 0)
		c->two_regions = args[0] == '2', reply(1, c, 0);
	else if (strcmp(line, "callfds") == 0)
		do_step(c, rc_call_fds);
	else if (strcmp(line, "unique") == 0)
		rc_unique(c), reply(1, c, 0);
	else if (strcmp(line, "stale") == 0)
		c->stale = true, reply(1, c, 0);
	else if (strcmp(line, "restart_kept") == 0)
		do_step(c, rc_restart_kept);
	else if (strcmp(line, "reconnect") == 0)
		do_step(c, reconnect);
	else if (strcmp(line, "reconnect_kept") == 0)
		do_step(c, reconnect_kept);
	else
		exit(2);
}

int main(int argc, char **argv)
{
	struct rc c = { .n_pairs = 1, .size = 256, .features = 1ull << 32, .mem_fd = -1 };
	struct err e = { 0 };
	static char line[2 * RC_KEPT_LEN + 64];

	if (argc < 2)
		return 2;
	snprintf(c.path, sizeof(c.path), "%s", argv[1]);
	for (int i = 2; i < argc; i++) {
		if (strncmp(argv[i], "rx=", 3) == 0)
			c.rx_layout = layout_of(argv[i] + 3);
		else if (strncmp(argv[i], "features=", 9) == 0)
			c.features = strtoull(argv[i] + 9, NULL, 16);
		else if (strncmp(argv[i], "pairs=", 6) == 0)
			c.n_pairs = (uint32_t)atoi(argv[i] + 6);
		else if (strncmp(argv[i], "size=", 5) == 0)
			c.size = (uint16_t)atoi(argv[i] + 5);
		else if (strcmp(argv[i], "private") == 0)
			c.private = true;
		else if (strncmp(argv[i], "regions=", 8) == 0)
			c.two_regions = argv[i][8] == '2';
		else
			return 2;
	}
	if (c.n_pairs < 1 || c.n_pairs > RC_PAIRS_MAX || c.size < 1 || c.size > RC_SIZE_MAX)
		return 2;
	if (rc_open(&c, &e) || rc_connect(&c, false, &e))
		reply_err(&e);
	else
		reply(1, &c, 0);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		command(&c, line);
	}
	rc_close(&c);
	return 0;
}
