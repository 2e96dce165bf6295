/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent is polled: a poll waits in the guest until there is something, or for wait_ms, which
 * grows while nothing comes, so that a long silent command costs little, and input that arrives
 * meanwhile waits a fifth of a second at most.
 */
#include "lab/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/fd.h"
#include "lab/agent.h"
#include "lab/daemon.h"

#define CALL_MS     30000
#define WAIT_MIN_MS 5
#define WAIT_MAX_MS 200
#define INPUT_MAX   12288          /* bytes of one write, 16 KiB in base 64 */
#define KEEP_MAX    (64u << 20)    /* bytes of each stream that are kept */
#define GRACE_NS    (5 * NS_PER_S) /* from SIGTERM to SIGKILL */

struct exec {
	const struct exec_request *q;
	struct exec_result *r;
	struct agent agent;
	json_int_t id;
	int signal_fd;
	uint64_t deadline_ns, kill_ns; /* 0: none */
	char input[INPUT_MAX];
	size_t n_input;
	bool input_ended, eof_told, no_reader; /* no_reader: nobody takes our output */
	int wait_ms;
};

static int start(struct exec *x, struct err *e)
{
	json_t *hello = agent_call(&x->agent, "hello", NULL, daemon_ms(CALL_MS), e), *reply;
	const char *guest = json_string_value(json_object_get(hello, "guest"));
	bool is_linux = guest && strcmp(guest, "linux") == 0;

	json_decref(hello);
	if (!hello)
		return e->code;
	if (!is_linux)
		return err_request(e, -EOPNOTSUPP,
			"the guest of %s runs no commands: its agent is the traffic engine's; exec "
			"is for nodes with \"guest\": \"linux\"",
			x->agent.who);
	reply = agent_call(&x->agent, "exec",
		json_pack(
			"{s:O, s:O, s:s}", "argv", x->q->argv, "env", x->q->env, "cwd", x->q->cwd),
		daemon_ms(CALL_MS), e);
	x->id = json_integer_value(json_object_get(reply, "id"));
	json_decref(reply);
	return reply ? 0 : e->code;
}

static void send_signal(struct exec *x, int signal)
{
	struct err ignored = { 0 }; /* it has ended meanwhile */

	json_decref(agent_call(&x->agent, "exec_kill",
		json_pack("{s:I, s:i}", "id", x->id, "signal", signal), daemon_ms(CALL_MS),
		&ignored));
}

/* ---- input ---- */

static void read_input(struct exec *x)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;

	if (x->input_ended || x->n_input || poll(&p, 1, 0) <= 0)
		return;
	n = read(STDIN_FILENO, x->input, sizeof x->input);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	x->n_input = n > 0 ? (size_t)n : 0;
	x->input_ended = n <= 0;
}

/* A command that reads no more, or has ended, is no failure of ours. */
static void write_input(struct exec *x)
{
	char text[INPUT_MAX / 3 * 4 + 5];
	struct err ignored = { 0 };
	json_t *reply;
	size_t taken;

	if (!x->n_input && (!x->input_ended || x->eof_told))
		return;
	base64_encode(x->input, x->n_input, text);
	reply = agent_call(&x->agent, "exec_write",
		json_pack("{s:I, s:s, s:b}", "id", x->id, "data", text, "eof", x->input_ended),
		daemon_ms(CALL_MS), &ignored);
	if (!reply) {
		x->n_input = 0;
		x->input_ended = x->eof_told = true;
		return;
	}
	taken = (size_t)json_integer_value(json_object_get(reply, "taken"));
	taken = taken < x->n_input ? taken : x->n_input;
	json_decref(reply);
	if (taken)
		x->wait_ms = WAIT_MIN_MS;
	x->n_input -= taken;
	memmove(x->input, x->input + taken, x->n_input);
	x->eof_told = x->input_ended && !x->n_input;
}

/* ---- output ---- */

ssize_t exec_output_add(struct exec_output *o, const json_t *reply, const char *key, size_t max)
{
	const char *text = json_string_value(json_object_get(reply, key));
	size_t len = text ? strlen(text) : 0;
	ssize_t n;

	o->bytes = lab_realloc(o->bytes, o->len + len + 3, 1);
	n = base64_decode(text ? text : "", len, (uint8_t *)o->bytes + o->len);
	if (n < 0)
		n = -EPROTO;
	else if ((size_t)n > max - o->len)
		n = -EFBIG;
	else
		o->len += (size_t)n;
	o->bytes[o->len] = '\0';
	return n;
}

/* Whoever read our output has gone: the command is told as it would be by its own pipe. */
static void pass_on(struct exec *x, int fd, const struct exec_output *o)
{
	if (x->no_reader || !fd_write_full(fd, o->bytes, o->len))
		return;
	x->no_reader = true;
	send_signal(x, SIGPIPE);
}

static int take(struct exec *x, const json_t *reply, const char *key, int fd,
	struct exec_output *kept, struct err *e)
{
	struct exec_output passing = { 0 };
	ssize_t n = exec_output_add(x->q->keep ? kept : &passing, reply, key, KEEP_MAX);

	if (n == -EPROTO)
		err_set(e, -EPROTO, "the agent of %s sent no base 64", x->agent.who);
	if (n == -EFBIG)
		err_set(e, -EFBIG, "the command wrote more than %u MiB: too much for --json",
			KEEP_MAX >> 20);
	if (passing.len)
		pass_on(x, fd, &passing);
	if (n > 0)
		x->wait_ms = WAIT_MIN_MS;
	free(passing.bytes);
	return n < 0 ? (int)n : 0;
}

/* 1: the command has ended, and all that it wrote is here. */
static int poll_agent(struct exec *x, struct err *e)
{
	bool input_waits = x->n_input > 0;
	json_t *reply = agent_call(&x->agent, "exec_poll",
		json_pack("{s:I, s:i}", "id", x->id, "wait_ms",
			input_waits ? WAIT_MIN_MS : x->wait_ms),
		daemon_ms(CALL_MS), e);
	int r;

	if (!reply)
		return e->code;
	x->wait_ms = x->wait_ms * 2 < WAIT_MAX_MS ? x->wait_ms * 2 : WAIT_MAX_MS;
	r = take(x, reply, "out", STDOUT_FILENO, &x->r->out, e);
	if (!r)
		r = take(x, reply, "err", STDERR_FILENO, &x->r->err, e);
	if (!r && json_is_true(json_object_get(reply, "ended"))) {
		x->r->status = (int)json_integer_value(json_object_get(reply, "status"));
		x->r->signal = (int)json_integer_value(json_object_get(reply, "signal"));
		r = 1;
	}
	json_decref(reply);
	return r;
}

/* ---- the end ---- */

static void look_at_signals(struct exec *x)
{
	struct signalfd_siginfo si;

	while (read(x->signal_fd, &si, sizeof si) == sizeof si)
		send_signal(x, (int)si.ssi_signo);
}

static void look_at_clock(struct exec *x)
{
	uint64_t now = clock_now_ns();

	if (x->deadline_ns && now > x->deadline_ns) {
		x->r->timed_out = true;
		x->deadline_ns = 0;
		x->kill_ns = now + GRACE_NS;
		send_signal(x, SIGTERM);
	}
	if (x->kill_ns && now > x->kill_ns) {
		x->kill_ns = 0;
		send_signal(x, SIGKILL);
	}
}

static int follow(struct exec *x, struct err *e)
{
	int r;

	do {
		look_at_signals(x);
		look_at_clock(x);
		read_input(x);
		write_input(x);
		r = poll_agent(x, e);
	} while (!r);
	if (r < 0)
		send_signal(x, SIGKILL);
	return r < 0 ? r : 0;
}

int exec_run(const struct exec_request *q, struct exec_result *result, struct err *e)
{
	struct exec x = { .q = q, .r = result, .wait_ms = WAIT_MIN_MS, .signal_fd = -1 };
	sigset_t set, old;
	int r;

	*result = (struct exec_result){ 0 };
	agent_init(&x.agent, q->lab, q->node);
	if (q->wait_s > 0)
		x.agent.take_s = q->wait_s;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	x.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (x.signal_fd < 0) {
		r = err_set(e, -errno, "signalfd: %s", err_str(errno));
	} else {
		r = start(&x, e);
		if (!r && q->timeout_s > 0)
			x.deadline_ns =
				clock_now_ns() + (uint64_t)(q->timeout_s * (double)NS_PER_S);
		if (!r)
			r = follow(&x, e);
	}
	agent_release(&x.agent);
	fd_close(&x.signal_fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}

void exec_result_free(struct exec_result *r)
{
	free(r->out.bytes);
	free(r->err.bytes);
	*r = (struct exec_result){ 0 };
}
