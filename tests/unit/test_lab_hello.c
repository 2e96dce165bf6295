/* SPDX-License-Identifier: Apache-2.0 */
/* The first word from an agent: which answer counts, and when it is asked again. Time is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "lab/hello.h"

#define MS 1000000ull

struct peer {
	char dir[32], path[64];
	int listen, conn;
	struct hello h;
};

static void begin(struct peer *p)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(p->dir, "/tmp/hello.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof p->path, "%s/agent", p->dir);
	strcpy(sa.sun_path, p->path);
	p->listen = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(p->listen, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(p->listen, 4), 0);
	hello_init(&p->h, p->path);
	p->conn = -1;
}

static void end(struct peer *p)
{
	hello_free(&p->h);
	close(p->conn);
	close(p->listen);
	unlink(p->path);
	rmdir(p->dir);
}

/* The id that the next question has, which is there. */
static long long question(struct peer *p)
{
	char text[512] = "";
	long long id = -1;
	ssize_t n;

	if (p->conn < 0)
		p->conn = accept(p->listen, NULL, NULL);
	for (n = 0; !strchr(text, '\n');)
		n += recv(p->conn, text + n, 1, 0);
	assert_int_equal(
		sscanf(text, "{\"jsonrpc\": \"2.0\", \"id\": %lld, \"method\": \"hello\"}", &id),
		1);
	return id;
}

static bool has_question(struct peer *p)
{
	char c;

	return recv(p->conn, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* The line with the id for "ID". */
static void say(struct peer *p, const char *line, long long id)
{
	const char *at = strstr(line, "ID");
	char text[512];

	if (at)
		snprintf(text, sizeof text, "%.*s%lld%s", (int)(at - line), line, id, at + 2);
	else
		snprintf(text, sizeof text, "%s", line);
	assert_int_equal(send(p->conn, text, strlen(text), 0), strlen(text));
}

#define ANSWER "{\"jsonrpc\": \"2.0\", \"id\": ID, \"result\": {\"guest\": \"linux\"}}\n"

static void expect_answer(struct peer *p, uint64_t now)
{
	json_t *j = hello_step(&p->h, now);

	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "guest")), "linux");
	json_decref(j);
}

/* The answer to an earlier question comes after a later one was asked: it counts. */
static void test_late(void **state)
{
	struct peer p;
	long long first;

	begin(&p);
	assert_null(hello_step(&p.h, 1000 * MS));
	first = question(&p);
	assert_null(hello_step(&p.h, 1100 * MS));
	assert_false(has_question(&p));
	assert_null(hello_step(&p.h, 1400 * MS));
	assert_int_equal(question(&p), first + 1);
	say(&p, ANSWER, first);
	expect_answer(&p, 1401 * MS);
	end(&p);
}

/* Less and less often, and never more seldom than every two seconds. */
static void test_intervals(void **state)
{
	uint64_t now = 0;
	struct peer p;
	int asked = 0;

	begin(&p);
	for (; now < 60000 * MS; now += 10 * MS) {
		assert_null(hello_step(&p.h, now));
		if (p.conn < 0 || has_question(&p)) {
			question(&p);
			asked++;
		}
	}
	assert_in_range(asked, 30, 40);
	end(&p);
}

static void test_passed_over(void **state)
{
	struct peer p;
	long long id;

	begin(&p);
	assert_null(hello_step(&p.h, 0));
	id = question(&p);
	say(&p, ANSWER, id - 1); /* to somebody before us */
	say(&p, ANSWER, id + 1); /* to nobody yet */
	say(&p, "garbage\n\n[1]\n{\"id\": \"ID\", \"result\": {}}\n", id);
	say(&p, "{\"jsonrpc\": \"2.0\", \"id\": null, \"error\": {}}\n", id);
	say(&p, "{\"jsonrpc\": \"2.0\", \"id\": ID, \"error\": {\"message\": \"no\"}}\n", id);
	assert_null(hello_step(&p.h, MS));
	say(&p, "{\"jsonrpc\": \"2.0\", \"id\": ID, ", id); /* in two parts */
	assert_null(hello_step(&p.h, 2 * MS));
	say(&p, "\"result\": {\"guest\": \"linux\"}}\n", id);
	expect_answer(&p, 3 * MS);
	end(&p);
}

/* Noise without an end of line is thrown away; a channel that is closed is opened again. */
static void test_noise(void **state)
{
	static char noise[4096];
	struct peer p;

	begin(&p);
	assert_null(hello_step(&p.h, 0));
	question(&p);
	memset(noise, 'x', sizeof noise);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(send(p.conn, noise, sizeof noise, 0), sizeof noise);
		assert_null(hello_step(&p.h, MS));
	}
	close(p.conn);
	p.conn = -1;
	assert_null(hello_step(&p.h, 2 * MS));
	assert_null(hello_step(&p.h, 3 * MS));
	assert_null(hello_step(&p.h, 100 * MS));
	say(&p, ANSWER, question(&p));
	expect_answer(&p, 101 * MS);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_passed_over),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests_name("lab/hello", tests, NULL, NULL);
}
