/* SPDX-License-Identifier: Apache-2.0 */
/* base/: units, addresses, fds, processes, the loop. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/cpulist.h"
#include "base/ether.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/proc.h"
#include "base/units.h"
#include "base/wire.h"

static void test_err(void **state)
{
	struct err e = { 0 };

	assert_int_equal(err_request(&e, -EINVAL, "bad %s", "mtu"), -EINVAL);
	assert_int_equal(err_field(&e, "mtu"), -EINVAL);
	assert_int_equal(err_prefix(&e, "node \"%s\"", "a"), -EINVAL);
	assert_string_equal(e.text, "node \"a\": bad mtu");
	assert_string_equal(e.field, "mtu");
	assert_int_equal(e.class, ERR_REQUEST);
	/* An error may wrap its own text, and none may be wanted at all. */
	err_set(&e, -EIO, "again: %s", e.text);
	assert_string_equal(e.text, "again: node \"a\": bad mtu");
	assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
	/* Too long a sentence is cut, never written past its end. */
	for (int i = 0; i < 40; i++)
		err_prefix(&e, "%0200d", i);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void test_size(void **state)
{
	static const struct {
		const char *s;
		int64_t want; /* -1: an error */
		const char *sentence;
	} t[] = {
		{ "64M", 64 << 20, NULL },
		{ "1.5G", 3ll << 29, NULL },
		{ "0B", 0, NULL },
		{ "7B", 7, NULL },
		{ "4K", 4096, NULL },
		{ "1T", 1ll << 40, NULL },
		{ "64", -1, "size \"64\" has no unit: add B, K, M, G or T, such as \"64M\"" },
		{ "64MB", -1, "size \"64MB\": unknown unit \"MB\"; use B, K, M, G or T" },
		{ "", -1, NULL },
		{ "-1M", -1, NULL },
		{ "1e3M", -1, NULL },
		{ "1.M", -1, NULL },
		{ ".5M", -1, NULL },
		{ "0.3B", -1, NULL },
		{ "99999999T", -1, NULL },
		{ "0x10M", -1, NULL },
		{ " 1M", -1, NULL },
		{ "11111111111111111111111111111111111111M", -1, NULL },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct err e = { 0 };
		uint64_t v = 99;

		int rc = units_parse_size(t[i].s, &v, &e);
		if (t[i].want < 0) {
			assert_true(rc < 0);
			assert_int_equal(e.class, ERR_REQUEST);
			if (t[i].sentence)
				assert_string_equal(e.text, t[i].sentence);
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(v, t[i].want);
		}
	}
}

static void test_rate(void **state)
{
	struct rate r;
	struct err e;
	static const char *const bad[] = { "10", "10k", "0pps", "10kpp", "kpps", "10 kpps", "-1pps",
		"10Tbps", "0.1pps", "99999999Gbps", "MAX", "" };

	assert_int_equal(units_parse_rate("max", &r, &e), 0);
	assert_int_equal(r.kind, RATE_MAX);
	assert_int_equal(units_parse_rate("10kpps", &r, &e), 0);
	assert_int_equal(r.kind, RATE_PPS);
	assert_int_equal(r.value, 10000);
	assert_int_equal(units_parse_rate("2.5Gbps", &r, &e), 0);
	assert_int_equal(r.kind, RATE_BPS);
	assert_int_equal(r.value, 2500000000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(units_parse_rate(bad[i], &r, &e) < 0);
	units_parse_rate("10", &r, &e);
	assert_non_null(strstr(e.text, "has no unit"));
}

static void test_format(void **state)
{
	char s[16];

	assert_string_equal(units_format_si(0, s), "0");
	assert_string_equal(units_format_si(999, s), "999");
	assert_string_equal(units_format_si(999.7, s), "1.00 k");
	assert_string_equal(units_format_si(1234567, s), "1.23 M");
	assert_string_equal(units_format_si(99960, s), "100 k");
	assert_string_equal(units_format_si(12345678901., s), "12.3 G");
	assert_string_equal(units_format_size(64 << 20, s), "64M");
	assert_string_equal(units_format_size(1000, s), "1000B");
}

static void test_ether(void **state)
{
	struct ether_mac m;
	char s[ETHER_MAC_STR];
	static const char *const bad[] = { "", "02:00:00:00:00", "02:00:00:00:00:01:02",
		"02-00-00-00-00-01", "2:0:0:0:0:1", "02:00:00:00:00:0g", "02:00:00:00:00:01 " };

	assert_int_equal(ether_mac_parse("02:aB:00:00:00:fE", &m), 0);
	assert_string_equal(ether_mac_str(m, s), "02:ab:00:00:00:fe");
	assert_int_equal(ether_mac_u64(m), 0x02ab000000fe);
	assert_false(ether_mac_is_multicast(m));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ether_mac_parse(bad[i], &m), -1);
	assert_int_equal(be16_of(0x0800).raw, 0x0008);
	assert_int_equal(le32_get(le32_of(7)), 7);
}

static char *temp_dir(char *buf)
{
	strcpy(buf, "/tmp/lanyard-unit-XXXXXX");
	return mkdtemp(buf);
}

static void test_unix_listen(void **state)
{
	char dir[64], path[128], long_path[200];
	struct err e;
	struct stat st;

	assert_non_null(temp_dir(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	int fd = fd_unix_listen(path, &e);
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* In use: refused, and the socket stays. */
	assert_int_equal(fd_unix_listen(path, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "another process listens"));
	int c = fd_unix_connect(path, 1000, &e);
	assert_true(c >= 0);
	close(c);
	/* Its owner gone: stale, and replaced. */
	close(fd);
	assert_int_equal(fd_unix_connect(path, 10, &e), -ECONNREFUSED);
	fd = fd_unix_listen(path, &e);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
	/* A file that is no socket is never removed. */
	fclose(fopen(path, "w"));
	assert_int_equal(fd_unix_listen(path, &e), -EADDRINUSE);
	assert_int_equal(unlink(path), 0);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(fd_unix_listen(long_path, &e), -ENAMETOOLONG);
	assert_non_null(strstr(e.text, "has 199 bytes"));
	assert_int_equal(rmdir(dir), 0);
}

static void test_pass_fds(void **state)
{
	int sv[2], in[3], out[2] = { -1, -1 };
	size_t n = 2;
	char b[8];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	for (int i = 0; i < 3; i++)
		in[i] = eventfd((unsigned)i + 1, EFD_NONBLOCK);
	assert_int_equal(fd_send_fds(sv[0], "hi", 2, in, 3), 2);
	assert_int_equal(fd_recv_fds(sv[1], b, sizeof(b), out, &n), 2);
	/* More came than were wanted: the third is closed, not leaked. */
	assert_int_equal(n, 2);
	assert_int_equal(fd_event_take(out[0]), 1);
	assert_int_equal(fd_event_take(out[1]), 2);
	fd_close(&out[0]);
	fd_close(&out[1]);
	for (int i = 0; i < 3; i++)
		fd_close(&in[i]);
	fd_close(&sv[0]);
	assert_int_equal(fd_wait(sv[1], 1, clock_now_ns() + NS_PER_S), 0);
	assert_int_equal(fd_read_full(sv[1], b, 1), -EPIPE);
	fd_close(&sv[1]);
	assert_int_equal(sv[1], -1);
}

static void test_read_file(void **state)
{
	char *text;
	size_t len;
	struct err e;

	assert_int_equal(fd_read_file("/proc/self/comm", 100, &text, &len, &e), 0);
	assert_string_equal(text, "test_base\n");
	free(text);
	assert_int_equal(fd_read_file("/nonexistent", 100, &text, &len, &e), -ENOENT);
	assert_string_equal(e.text, "cannot read /nonexistent: No such file or directory");
	assert_int_equal(fd_read_file("/proc/self/maps", 100, &text, &len, &e), -EFBIG);
	assert_int_equal(fd_read_file("/tmp", 100, &text, &len, &e), -EISDIR);
}

static void test_proc(void **state)
{
	struct proc_id id, self;

	assert_int_equal(proc_id_of(getpid(), &self), 0);
	assert_true(proc_is_alive(self));
	self.start_ticks++; /* the same pid, another process */
	assert_false(proc_is_alive(self));
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t si;
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	assert_int_equal(proc_id_of(pid, &id), -ESRCH); /* a zombie is dead */
	waitpid(pid, NULL, 0);
	assert_int_equal(proc_id_of(pid, &id), -ESRCH);
}

struct loop_case {
	struct loop *l;
	struct loop_handler *a, *b;
	int calls_a, calls_b, ticks;
};

static void on_a(void *arg, uint32_t events)
{
	struct loop_case *c = arg;

	c->calls_a++;
	/* Both are ready: whichever comes first deletes both, and the other is never called. */
	loop_del(c->l, c->a);
	loop_del(c->l, c->b);
}

static void on_b(void *arg, uint32_t events)
{
	struct loop_case *c = arg;

	c->calls_b++;
	loop_del(c->l, c->a);
	loop_del(c->l, c->b);
}

static void on_tick(void *arg, uint32_t n)
{
	struct loop_case *c = arg;

	c->ticks += (int)n;
	if (c->ticks >= 3)
		loop_stop(c->l);
}

static void on_signal(void *arg, uint32_t signo)
{
	struct loop_case *c = arg;

	assert_int_equal(signo, SIGUSR1);
	loop_stop(c->l);
}

static void test_loop(void **state)
{
	struct err e;
	struct loop_case c = { .l = loop_new(&e) };
	int fa = eventfd(1, EFD_NONBLOCK), fb = eventfd(1, EFD_NONBLOCK);

	assert_non_null(c.l);
	c.a = loop_add_fd(c.l, fa, EPOLLIN, on_a, &c);
	c.b = loop_add_fd(c.l, fb, EPOLLIN, on_b, &c);
	assert_int_equal(loop_step(c.l, 1000), 1);
	assert_int_equal(c.calls_a + c.calls_b, 1);
	assert_int_equal(loop_step(c.l, 0), 0);
	struct loop_handler *t = loop_add_timer(c.l, NS_PER_MS, NS_PER_MS, on_tick, &c);
	assert_int_equal(loop_run(c.l), 0);
	assert_true(c.ticks >= 3);
	loop_del(c.l, t);
	loop_del(c.l, NULL);
	assert_non_null(loop_add_signal(c.l, SIGUSR1, on_signal, &c));
	raise(SIGUSR1);
	assert_int_equal(loop_run(c.l), 0);
	loop_free(c.l);
	close(fa);
	close(fb);
}

static void test_cpulist(void **state)
{
	char out[16];
	cpu_set_t set;

	CPU_ZERO(&set);
	assert_string_equal(cpulist_text(&set, out, sizeof(out)), "");
	CPU_SET(0, &set);
	assert_string_equal(cpulist_text(&set, out, sizeof(out)), "0");
	CPU_SET(2, &set);
	CPU_SET(1023, &set);
	assert_string_equal(cpulist_text(&set, out, sizeof(out)), "0,2,1023");
	assert_string_equal(cpulist_text(&set, out, 9), "0,2,1023");
	assert_string_equal(cpulist_text(&set, out, 8), "0,2");
	assert_string_equal(cpulist_text(&set, out, 1), "");
	assert_true(*cpulist_allowed(out, sizeof(out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_ether),
		cmocka_unit_test(test_unix_listen),
		cmocka_unit_test(test_pass_fds),
		cmocka_unit_test(test_read_file),
		cmocka_unit_test(test_proc),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_cpulist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
