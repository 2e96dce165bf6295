/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture: the frames of a port, live: options, the socket, and what is said in the end. The
 * socket's file is in the run folder for as long as the switch takes to connect.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/rpc.h"
#include "lab/args.h"
#include "lab/capture.h"
#include "lab/cmd.h"
#include "lab/lab.h"

#define SNAPLEN_MAX 262144
#define CALL_MS     5000

enum { OPT_SECONDS = 256 };

static const struct argp_option option_rows[] = {
	{ "write", 'w', "FILE", 0,
		"Write pcapng to FILE, for Wireshark, tshark or tcpdump; -: to stdout", 0 },
	{ "direction", 'd', "rx|tx|both", 0,
		"rx: what the guest sends into the switch; tx: what it is sent; both is the default",
		0 },
	{ "snaplen", 's', "BYTES", 0, "Keep so much of each frame; 0: all, the default", 0 },
	{ "count", 'c', "N", 0, "End after N frames", 0 },
	{ "seconds", OPT_SECONDS, "S", 0, "End after S seconds", 0 },
	{ 0 },
};

static uint64_t parse_whole(
	struct argp_state *state, const char *name, const char *arg, double min, double max)
{
	double v = args_number(state, name, arg, min, max);

	if (v != (double)(uint64_t)v)
		argp_error(state, "--%s takes a whole number, not \"%s\"", name, arg);
	return (uint64_t)v;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct capture *c = state->input;

	switch (key) {
	case 'w':
		c->file = arg;
		return 0;
	case 'd':
		if (strcmp(arg, "rx") && strcmp(arg, "tx") && strcmp(arg, "both"))
			argp_error(state, "--direction takes rx, tx or both, not \"%s\"", arg);
		c->direction = arg;
		return 0;
	case 's':
		c->snaplen = (unsigned)parse_whole(state, "snaplen", arg, 0, SNAPLEN_MAX);
		return 0;
	case 'c':
		c->count = parse_whole(state, "count", arg, 1, 1e15);
		return 0;
	case OPT_SECONDS:
		c->seconds = args_number(state, "seconds", arg, 0.001, 1e7);
		return 0;
	default:
		return args_one(key, arg, state, &c->what, "LAB/PORT");
	}
}

static const struct argp argp = {
	.options = option_rows,
	.parser = parse_one,
	.args_doc = "LAB/PORT",
	.doc = "Show the frames of a port of the switch as they pass: a line for each, or pcapng with "
	       "-w. PORT is NODE.NIC, as lanyard status shows it. Ctrl-C ends. The lab goes on "
	       "undisturbed: frames that came faster than they could be written are counted, and the "
	       "count is printed in the end.\v"
	       "Example: lanyard capture pair/a.0 -w - | wireshark -k -i -",
};

/* The ports that there are, for who named another: " it has a.0, b.0". */
static void ports_add(struct rpc *sw, const char *lab, const char *port, struct err *e)
{
	json_t *stats = rpc_call(sw, "stats", NULL, CALL_MS, NULL), *p;
	char names[700] = "";
	size_t i, n = 0;

	json_array_foreach (json_object_get(stats, "ports"), i, p) {
		const char *name = json_string_value(json_object_get(p, "name"));

		if (name && n < sizeof names)
			n += (size_t)snprintf(
				names + n, sizeof names - n, "%s%s", n ? ", " : "", name);
	}
	if (stats)
		err_request(e, -ENOENT, "lab %s has no port \"%s\"; it has %s", lab, port,
			n ? names : "none");
	json_decref(stats);
}

/* Listens at path and has the switch connect there. Returns the connection. */
static int start(
	struct capture *c, struct rpc *sw, const char *path, const char *port, struct err *e)
{
	int listener = fd_unix_listen(path, e), sock = -1;
	json_t *r;

	if (listener < 0)
		return listener;
	r = rpc_call(sw, "capture_start",
		json_pack("{s:s, s:s, s:s, s:i}", "port", port, "socket", path, "direction",
			c->direction ? c->direction : "both", "snaplen", (int)c->snaplen),
		CALL_MS, e);
	if (r) {
		sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (sock < 0)
			err_set(e, -errno, "the switch did not connect to %s: %s", path,
				err_str(errno));
	}
	/* Gone already, however we may end. */
	unlink(path);
	close(listener);
	json_decref(r);
	return r ? sock : e->code;
}

static int connect_port(struct capture *c, const struct lab *l, const char *port, struct err *e)
{
	char path[LAB_PATH_MAX];
	struct rpc *sw = rpc_connect(lab_file(l, path, "switch.sock"), CALL_MS, e);

	if (!sw)
		return err_prefix(e, "the switch of lab %s (lanyard status %s says how it is)",
			l->name, l->name);
	c->sock = start(c, sw, lab_file(l, path, "capture.%d.sock", (int)getpid()), port, e);
	if (c->sock < 0 && strcmp(e->field, "port") == 0)
		ports_add(sw, l->name, port, e);
	rpc_close(sw);
	return c->sock < 0 ? e->code : 0;
}

static int open_out(struct capture *c, struct err *e)
{
	c->out = STDOUT_FILENO;
	if (!c->file || strcmp(c->file, "-") == 0)
		return 0;
	c->out = open(c->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (c->out < 0)
		return err_set(e, -errno, "cannot write %s: %s", c->file, err_str(errno));
	return 0;
}

static int catch_signals(struct err *e)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_set(e, -errno, "no signalfd: %s", err_str(errno)) : fd;
}

static void tell(const struct capture *c)
{
	if (c->whole && !c->ending)
		fprintf(stderr,
			"lanyard: %s: the switch ended the capture: its lab went down, or "
			"the port was deleted\n",
			c->what);
	fprintf(stderr, "%llu frames captured, %s%llu not kept\n", (unsigned long long)c->frames,
		c->whole ? "" : "at least ", (unsigned long long)(c->dropped + c->spilled));
}

static int capture(struct capture *c, const struct lab *l, const char *port, struct err *e)
{
	int r = connect_port(c, l, port, e);

	if (r)
		return r;
	c->signal_fd = catch_signals(e);
	r = c->signal_fd < 0 ? c->signal_fd : open_out(c, e);
	if (r)
		return r;
	/* A script may wait for this line. */
	fprintf(stderr, "capturing %s, %s; Ctrl-C ends\n", c->what,
		c->direction ? c->direction : "both");
	if (c->seconds > 0)
		c->until_ns = clock_now_ns() + (uint64_t)(c->seconds * (double)NS_PER_S);
	r = capture_run(c, e);
	tell(c);
	if (!r && !c->whole && !c->give_up)
		r = err_set(e, -EPIPE,
			"the switch went away in the middle of it (lanyard status %s)", l->name);
	return r;
}

static int check(const struct capture *c, const char *slash, struct err *e)
{
	if (!slash || slash == c->what || !slash[1])
		return err_request(e, -EINVAL,
			"\"%s\" names no port: capture takes LAB/PORT, such as pair/a.0", c->what);
	if (c->file && strcmp(c->file, "-") == 0 && isatty(STDOUT_FILENO))
		return err_request(e, -EINVAL,
			"pcapng is not for terminals: give -w a FILE, pipe it (| wireshark -k -i -), "
			"or leave -w out");
	return 0;
}

int cmd_capture(int argc, char **argv)
{
	struct capture c = { .sock = -1, .signal_fd = -1, .out = -1 };
	struct lab *l = NULL;
	struct err e = { 0 };
	const char *slash;
	char *name;
	int r;

	argp_parse(&argp, argc, argv, 0, NULL, &c);
	slash = strchr(c.what, '/');
	name = lab_asprintf("%.*s", slash ? (int)(slash - c.what) : 0, c.what);
	r = check(&c, slash, &e);
	if (!r)
		r = lab_open(name, &l, &e);
	if (!r)
		r = capture(&c, l, slash + 1, &e);
	if (c.out > STDERR_FILENO && close(c.out) < 0 && !r)
		r = err_set(&e, -errno, "%s: %s", c.file, err_str(errno));
	fd_close(&c.sock);
	fd_close(&c.signal_fd);
	lab_free(l);
	free(c.in);
	free(name);
	return r ? lab_fail(&e) : 0;
}
