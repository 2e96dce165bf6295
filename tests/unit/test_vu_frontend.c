/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-user: the wire, the table of messages, and the front end against a scripted back end at the
 * other end of a socket pair. */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "vhost-user/frontend.h"

/* What the back end does with one request. The script ends with a zero. */
struct step {
	uint32_t request; /* expected */
	int answer;       /* what is sent back, below */
	uint64_t value;   /* u64 payload of the answer */
	uint32_t size;    /* the answer's size if it is to be wrong */
};
enum {
	ANSWER_ACK = 1,
	ANSWER_U64,
	ANSWER_NONE,
	ANSWER_HANG_UP,
	ANSWER_WRONG,
	ANSWER_RAW,
	ANSWER_ECHO_STATE,
	ANSWER_SILENCE
};

struct backend {
	int fd;
	const struct step *script;
	pthread_t thread;
	struct vu_message last;
	size_t n_fds;
	int fds[8];
	unsigned n_done;
};

static void send_reply(int fd, uint32_t request, uint32_t size, const void *p, size_t len)
{
	struct vu_header h = { le32_of(request), le32_of(VU_VERSION | VU_FLAG_REPLY),
		le32_of(size) };

	/* In two pieces: the front end must put them together. It may have hung up by now. */
	if (send(fd, &h, sizeof(h), MSG_NOSIGNAL) == sizeof(h) &&
		send(fd, p, len, MSG_NOSIGNAL) < 0)
		return;
}

static void *backend_main(void *arg)
{
	struct backend *b = arg;

	for (const struct step *s = b->script; s->request; s++) {
		struct vu_header h;
		uint64_t v = s->value;
		bool need;

		size_t n_fds = 8;
		if (fd_recv_fds(b->fd, &h, sizeof(h), b->fds, &n_fds) != sizeof(h))
			break;
		b->n_fds = n_fds;
		for (size_t i = 0; i < n_fds; i++)
			close(b->fds[i]);
		b->last.h = h;
		if (le32_get(h.size))
			fd_read_full(b->fd, b->last.p.bytes, le32_get(h.size));
		if (le32_get(h.request) != s->request)
			break;
		b->n_done++;
		need = le32_get(h.flags) & VU_FLAG_NEED_REPLY;
		if (s->answer == ANSWER_HANG_UP)
			break;
		if (s->answer == ANSWER_U64 || (s->answer == ANSWER_ACK && need))
			send_reply(b->fd, s->request, 8, &v, 8);
		else if (s->answer == ANSWER_WRONG)
			send_reply(b->fd, s->request + 1, 8, &v, 8);
		else if (s->answer == ANSWER_RAW)
			send_reply(b->fd, s->request, s->size, &v, 8);
		else if (s->answer == ANSWER_ECHO_STATE) {
			struct vu_vring_state st = { b->last.p.state.index, le32_of((uint32_t)v) };

			send_reply(b->fd, s->request, 8, &st, 8);
		}
	}
	if (b->script[b->n_done].request || b->script[b->n_done - 1].answer != ANSWER_SILENCE)
		shutdown(b->fd, SHUT_RDWR);
	return NULL;
}

static struct vu_frontend *start(struct backend *b, const struct step *script, int cancel_fd)
{
	struct vu_frontend *f;
	struct err e = { 0 };
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	*b = (struct backend){ .fd = sv[1], .script = script };
	assert_int_equal(vu_from_fd(sv[0], "/run/x.vhost", 100, cancel_fd, &f, &e), 0);
	assert_int_equal(pthread_create(&b->thread, NULL, backend_main, b), 0);
	return f;
}

static void finish(struct backend *b, struct vu_frontend *f)
{
	vu_close(f);
	pthread_join(b->thread, NULL);
	close(b->fd);
}

#define ALL_PROTOCOL (1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK)
#define OFFER        (1ull << VU_F_PROTOCOL_FEATURES | 1ull << 32 | 1ull << 15)

static void test_table(void **state)
{
	unsigned n = 0;

	for (uint32_t r = 0; r < 300; r++) {
		const struct vu_op *op = vu_op_of(r);

		if (!op)
			continue;
		n++;
		assert_true(op->request_min <= op->request_max);
		assert_true(op->reply_min <= op->reply_max);
		assert_true(op->fds_min <= op->fds_max);
		assert_true(op->request_max <= sizeof(union vu_payload));
	}
	assert_int_equal(n, 18);
	assert_null(vu_op_of(0));
	assert_null(vu_op_of(0xffffffff));
	assert_string_equal(vu_op_of(5)->name, "SET_MEM_TABLE");
	assert_int_equal(vu_op_of(VU_SET_VRING_KICK)->fds_max, 1);
	assert_string_equal(vu_net_feature_name(32), "VERSION_1");
	assert_null(vu_net_feature_name(31));
	assert_null(vu_net_feature_name(64));
}

/* As the programs offer them: features, protocol features. */
static void test_kinds(void **state)
{
	static const struct {
		uint64_t features, protocol;
		enum vu_kind kind;
	} cases[] = {
		{ 0x175007e46, 0x8f2b, VU_KIND_BLK }, /* qemu-storage-daemon 7.2 */
		{ 0x175000000, 0x8c2b, VU_KIND_FS },  /* virtiofsd 7.2 */
		{ 0x174000000, 0x8a42b, VU_KIND_FS }, /* virtiofsd 1.13 */
		{ 0x174000000, 0x8a62b, VU_KIND_FS }, /* with a tag, and so a configuration */
		{ 0x577c08000, 0x1c3f, VU_KIND_NET }, /* a port of a switch */
		{ 0x170000003, 0x209, VU_KIND_NET },  /* a bare one, with a configuration */
		{ 0x170000000, 0x9, VU_KIND_ANY },    /* nothing to go by */
		{ 0x170000000, 0x1d, VU_KIND_NET },   /* the messages of a NIC */
		{ 0x170000040, 0x9, VU_KIND_ANY },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			vu_kind_guess(cases[i].features, cases[i].protocol), cases[i].kind);
	assert_string_equal(vu_blk_feature_name(9), "FLUSH");
	assert_string_equal(vu_blk_feature_name(32), "VERSION_1");
	assert_string_equal(vu_net_feature_name(9), "GUEST_ECN");
	assert_null(vu_fs_feature_name(9));
	assert_null(vu_blk_feature_name(64));
}

static void test_whole_life(void **state)
{
	static const struct step script[] = {
		{ VU_GET_FEATURES, ANSWER_U64, OFFER, 0 },
		{ VU_GET_PROTOCOL_FEATURES, ANSWER_U64, ~0ull, 0 },
		{ VU_SET_PROTOCOL_FEATURES, ANSWER_ACK, 0, 0 },
		{ VU_GET_QUEUE_NUM, ANSWER_U64, 4, 0 },
		{ VU_SET_OWNER, ANSWER_ACK, 0, 0 },
		{ VU_SET_FEATURES, ANSWER_ACK, 0, 0 },
		{ VU_SET_MEM_TABLE, ANSWER_ACK, 0, 0 },
		{ VU_SET_VRING_NUM, ANSWER_ACK, 0, 0 },
		{ VU_SET_VRING_BASE, ANSWER_ACK, 0, 0 },
		{ VU_SET_VRING_ADDR, ANSWER_ACK, 0, 0 },
		{ VU_SET_VRING_CALL, ANSWER_ACK, 0, 0 },
		{ VU_SET_VRING_KICK, ANSWER_ACK, 0, 0 },
		{ VU_SET_VRING_ENABLE, ANSWER_ACK, 0, 0 },
		{ VU_GET_VRING_BASE, ANSWER_ECHO_STATE, 77, 0 },
		{ 0 },
	};
	struct backend b;
	struct vu_frontend *f = start(&b, script, -1);
	int fd = eventfd(0, 0);
	struct vu_region r[2] = { { 0, 1 << 21, 0x1000, 0, fd },
		{ 1ull << 32, 1 << 21, 0x2000, 0, fd } };
	struct vu_ring ring = { .index = 1,
		.size = 256,
		.desc = 16,
		.avail = 32,
		.used = 64,
		.base = 5,
		.kick_fd = fd,
		.call_fd = -1,
		.err_fd = -1 };
	struct err e = { 0 };
	uint32_t base;

	assert_int_equal(vu_negotiate(f, ALL_PROTOCOL, &e), 0);
	assert_int_equal(vu_features(f), OFFER);
	assert_int_equal(vu_protocol_features(f), ALL_PROTOCOL);
	assert_int_equal(vu_queue_num(f), 4);
	assert_int_equal(vu_set_features(f, 1ull << 32, &e), 0);
	assert_int_equal(le64_get(b.last.p.u64), 1ull << 32 | 1ull << VU_F_PROTOCOL_FEATURES);
	/* What was not offered is not sent. */
	assert_int_equal(vu_set_features(f, 1ull << 34, &e), -EINVAL);
	assert_int_equal(vu_set_mem_table(f, r, 2, &e), 0);
	assert_int_equal(b.n_fds, 2);
	assert_int_equal(le32_get(b.last.h.size), 8 + 64);
	assert_int_equal(le64_get(b.last.p.mem.region[1].gpa), 1ull << 32);
	assert_int_equal(vu_set_mem_table(f, r, 9, &e), -EINVAL);
	assert_int_equal(vu_start_ring(f, &ring, &e), 0);
	assert_int_equal(b.n_fds, 1);
	assert_int_equal(le64_get(b.last.p.u64), 1);
	assert_int_equal(vu_enable_ring(f, 1, true, &e), 0);
	assert_int_equal(vu_stop_ring(f, 1, &base, &e), 0);
	assert_int_equal(base, 77);
	finish(&b, f);
	assert_int_equal(b.n_done, 14);
	close(fd);
}

/* Each way of a back end to misbehave: its code, and a sentence that names message and socket. */
static void test_errors(void **state)
{
	static const struct {
		struct step script[2];
		int code;
		const char *says;
	} cases[] = {
		{ { { VU_GET_FEATURES, ANSWER_SILENCE, 0, 0 } }, -ETIMEDOUT, "within 100 ms" },
		{ { { VU_GET_FEATURES, ANSWER_HANG_UP, 0, 0 } }, -EPIPE, "went away" },
		{ { { VU_GET_FEATURES, ANSWER_WRONG, 0, 0 } }, -EPROTO, "message 2 instead" },
		{ { { VU_GET_FEATURES, ANSWER_RAW, 0, 7 } }, -EPROTO, "7 bytes" },
		{ { { VU_GET_FEATURES, ANSWER_RAW, 0, 0xffffffff } }, -EPROTO, "4294967295 bytes" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct backend b;
		struct vu_frontend *f = start(&b, cases[i].script, -1);
		struct err e = { 0 };

		assert_int_equal(vu_negotiate(f, 0, &e), cases[i].code);
		assert_non_null(strstr(e.text, "GET_FEATURES"));
		assert_non_null(strstr(e.text, "/run/x.vhost"));
		assert_non_null(strstr(e.text, cases[i].says));
		/* The connection stays dead, and says so at once. */
		assert_int_equal(vu_set_features(f, 0, &e), cases[i].code);
		finish(&b, f);
	}
}

static void test_refused(void **state)
{
	static const struct step script[] = {
		{ VU_GET_FEATURES, ANSWER_U64, OFFER, 0 },
		{ VU_GET_PROTOCOL_FEATURES, ANSWER_U64, ~0ull, 0 },
		{ VU_SET_PROTOCOL_FEATURES, ANSWER_ACK, 0, 0 },
		{ VU_SET_OWNER, ANSWER_ACK, 0, 0 },
		{ VU_SET_FEATURES, ANSWER_ACK, 1, 0 },
		{ VU_SET_FEATURES, ANSWER_ACK, 0, 0 },
		{ 0 },
	};
	struct backend b;
	struct vu_frontend *f = start(&b, script, -1);
	struct err e = { 0 };

	assert_int_equal(vu_negotiate(f, 1ull << VU_PF_REPLY_ACK, &e), 0);
	assert_int_equal(vu_queue_num(f), 1);
	assert_int_equal(vu_set_features(f, 1ull << 32, &e), -EREMOTEIO);
	assert_non_null(strstr(e.text, "SET_FEATURES"));
	assert_int_equal(vu_set_features(f, 1ull << 32, &e), 0); /* it lives */
	assert_int_equal(vu_get_config(f, 0, &e, 8, &e), -EOPNOTSUPP);
	assert_int_equal(vu_set_mtu(f, 9000, &e), 0); /* not agreed on: nothing is sent */
	finish(&b, f);
}

static void test_queue_num_absurd(void **state)
{
	static const struct step script[] = {
		{ VU_GET_FEATURES, ANSWER_U64, OFFER, 0 },
		{ VU_GET_PROTOCOL_FEATURES, ANSWER_U64, ~0ull, 0 },
		{ VU_SET_PROTOCOL_FEATURES, ANSWER_ACK, 0, 0 },
		{ VU_GET_QUEUE_NUM, ANSWER_U64, 1ull << 40, 0 },
		{ 0 },
	};
	struct backend b;
	struct vu_frontend *f = start(&b, script, -1);
	struct err e = { 0 };

	assert_int_equal(vu_negotiate(f, ALL_PROTOCOL, &e), -EPROTO);
	finish(&b, f);
}

/* A wait ends at once when the owner wants to end. */
static void test_cancel(void **state)
{
	static const struct step script[] = { { VU_GET_FEATURES, ANSWER_SILENCE, 0, 0 }, { 0 } };
	int cancel = eventfd(1, EFD_NONBLOCK);
	struct backend b;
	struct vu_frontend *f = start(&b, script, cancel);
	struct err e = { 0 };
	uint64_t before = clock_now_ns();

	assert_int_equal(vu_negotiate(f, 0, &e), -ECANCELED);
	assert_true(clock_now_ns() - before < 80 * NS_PER_MS);
	finish(&b, f);
	close(cancel);
}

/* Requests are held to the table before they leave. */
static void test_bounds(void **state)
{
	static const struct step script[] = { { 0 }, { 0 } };
	struct vu_frontend *f;
	uint8_t big[400] = { 0 };
	struct err e = { 0 };
	int sv[2], fds[2] = { 0, 0 };

	(void)script;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(vu_from_fd(sv[0], "s", 50, -1, &f, &e), 0);
	assert_int_equal(vu_call(f, 99, NULL, 0, NULL, 0, NULL, 0, &e), -EINVAL);
	assert_int_equal(vu_call(f, VU_SET_FEATURES, big, 7, NULL, 0, NULL, 0, &e), -EINVAL);
	assert_int_equal(vu_call(f, VU_SET_FEATURES, big, 400, NULL, 0, NULL, 0, &e), -EINVAL);
	assert_int_equal(vu_call(f, VU_SET_FEATURES, big, 8, fds, 1, NULL, 0, &e), -EINVAL);
	assert_int_equal(vu_call(f, VU_GET_FEATURES, NULL, 0, NULL, 0, NULL, 0, &e), -EINVAL);
	assert_int_equal(vu_call(f, VU_GET_FEATURES, NULL, 0, NULL, 0, big, 4, &e), -EINVAL);
	assert_int_equal(vu_call(f, VU_SET_MEM_TABLE, big, 40, NULL, 0, NULL, 0, &e), -EINVAL);
	vu_close(f);
	close(sv[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_whole_life),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_queue_num_absurd),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
