/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/hello.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

#define CONNECT_MS 200
#define FIRST_NS   (300 * NS_PER_MS) /* between two questions, at first */
#define MOST_NS    (2 * NS_PER_S)
#define AGAIN_NS   (20 * NS_PER_MS) /* after the channel was closed to us: another has it */

void hello_init(struct hello *h, const char *path)
{
	uint32_t start = 0;

	*h = (struct hello){ .path = path, .fd = -1, .wait_ns = FIRST_NS };
	if (getrandom(&start, sizeof start, GRND_NONBLOCK) != sizeof start)
		start = (uint32_t)clock_now_ns();
	h->first_id = (start & 0x3fffffff) + 1;
}

void hello_free(struct hello *h)
{
	fd_close(&h->fd);
}

static void drop(struct hello *h, uint64_t now_ns)
{
	fd_close(&h->fd);
	h->len = 0;
	h->next_ns = now_ns + AGAIN_NS;
}

static void ask(struct hello *h, uint64_t now_ns)
{
	char text[96];
	int n;

	if (now_ns < h->next_ns)
		return;
	if (h->fd < 0)
		h->fd = fd_unix_connect(h->path, CONNECT_MS, NULL);
	if (h->fd < 0)
		return;
	n = snprintf(text, sizeof text,
		"{\"jsonrpc\": \"2.0\", \"id\": %" PRIu64 ", \"method\": \"hello\"}\n",
		h->first_id + h->n_asked);
	if (send(h->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n) {
		drop(h, now_ns);
		return;
	}
	h->n_asked++;
	h->next_ns = now_ns + h->wait_ns;
	h->wait_ns = h->wait_ns * 4 / 3 < MOST_NS ? h->wait_ns * 4 / 3 : MOST_NS;
}

/* The result, if the line answers one of our questions. What it answered else, and what a guest
 * said to an earlier client, is passed over. */
static json_t *answer(const struct hello *h, const char *line)
{
	json_t *reply = json_loads(line, 0, NULL);
	const json_t *id = json_object_get(reply, "id");
	uint64_t got = (uint64_t)json_integer_value(id);
	json_t *result = NULL;

	if (json_is_integer(id) && got >= h->first_id && got - h->first_id < h->n_asked)
		result = json_incref(json_object_get(reply, "result"));
	json_decref(reply);
	return result;
}

/* The first answer among the whole lines that are there. */
static json_t *take_lines(struct hello *h)
{
	json_t *result = NULL;
	char *end;

	while (!result && (end = memchr(h->line, '\n', h->len))) {
		size_t n = (size_t)(end - h->line) + 1;

		*end = '\0';
		result = answer(h, h->line);
		h->len -= n;
		memmove(h->line, h->line + n, h->len);
	}
	if (h->len == sizeof h->line)
		h->len = 0; /* no line is so long: noise */
	return result;
}

json_t *hello_step(struct hello *h, uint64_t now_ns)
{
	ssize_t n;

	ask(h, now_ns);
	if (h->fd < 0)
		return NULL;
	n = recv(h->fd, h->line + h->len, sizeof h->line - h->len, MSG_DONTWAIT);
	if (n == 0) {
		drop(h, now_ns);
		return NULL;
	}
	h->len += n > 0 ? (size_t)n : 0;
	return n > 0 ? take_lines(h) : NULL;
}
