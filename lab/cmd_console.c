/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console: bytes both ways between this terminal and a guest's COM1 (NODE.console). The terminal
 * is raw meanwhile, so that Ctrl-C is the guest's; Ctrl-] ends, as in telnet. It is put back on
 * every way out, signals included.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/cmd.h"
#include "lab/lab.h"
#include "lab/plan.h"

#define ESCAPE     0x1d /* Ctrl-] */
#define CONNECT_MS 1000
#define QUIET_MS   300 /* without a terminal: after the input's end, so long without output */

struct console {
	int sock, signal_fd;
	bool tty, input_ended;
	struct termios saved;
};

static int make_raw(struct console *c)
{
	struct termios raw;

	c->tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &c->saved) == 0;
	if (!c->tty)
		return 0;
	raw = c->saved;
	cfmakeraw(&raw);
	return tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0 ? -errno : 0;
}

/* 1: the user has ended it. */
static int from_user(struct console *c)
{
	char buf[4096];
	ssize_t n = read(STDIN_FILENO, buf, sizeof buf);
	const char *escape;

	if (n <= 0) {
		c->input_ended = true;
		return c->tty; /* a terminal's end is the user's */
	}
	escape = c->tty ? memchr(buf, ESCAPE, (size_t)n) : NULL;
	if (escape)
		n = escape - buf;
	if (fd_write_full(c->sock, buf, (size_t)n))
		return 1;
	return escape != NULL;
}

/* 1: the guest's end has gone. */
static int from_guest(struct console *c)
{
	char buf[4096];
	ssize_t n = read(c->sock, buf, sizeof buf);

	if (n <= 0)
		return 1;
	return fd_write_full(STDOUT_FILENO, buf, (size_t)n) ? 1 : 0;
}

/* Why it ended, for the user. */
static const char *talk(struct console *c)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = c->sock, .events = POLLIN },
			{ .fd = c->signal_fd, .events = POLLIN },
			{ .fd = c->input_ended ? -1 : STDIN_FILENO, .events = POLLIN },
		};
		int n = poll(p, 3, c->input_ended ? QUIET_MS : -1);

		if (n == 0)
			return NULL;
		if (p[1].revents)
			return "ended by a signal";
		if (p[0].revents && from_guest(c))
			return "the VM has ended, or another console took its place";
		if (p[2].revents && from_user(c))
			return "ended";
	}
}

static int connect_console(const struct lab *l, const char *node, struct err *e)
{
	char path[LAB_PATH_MAX];
	int fd;

	if (!plan_find(l->plan, STEP_VM, node))
		return err_request(e, -ENOENT, "%s \"%s\"; lanyard status %s lists the lab's nodes",
			plan_node(l->plan, node) ? "there is no console at the process"
						 : "the lab has no VM",
			node, l->name);
	fd = fd_unix_connect(lab_file(l, path, "%s.console", node), CONNECT_MS, e);
	if (fd < 0)
		err_prefix(e, "the console of %s/%s (lanyard status %s says how it is)", l->name,
			node, l->name);
	return fd;
}

static int run(const struct lab *l, const char *node, struct err *e)
{
	struct console c = { .sock = connect_console(l, node, e) };
	const char *why;
	sigset_t set, old;

	if (c.sock < 0)
		return c.sock;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	c.signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	make_raw(&c);
	if (c.tty) /* now, when Ctrl-] is ours: a script may wait for this line */
		fprintf(stderr, "console of %s/%s; Ctrl-] ends\r\n", l->name, node);
	why = talk(&c);
	if (c.tty)
		tcsetattr(STDIN_FILENO, TCSANOW, &c.saved);
	if (c.tty && why)
		fprintf(stderr, "\nconsole of %s/%s: %s\n", l->name, node, why);
	fd_close(&c.signal_fd);
	fd_close(&c.sock);
	sigprocmask(SIG_SETMASK, &old, NULL); /* a signal that ended it ends us now */
	return 0;
}

int cmd_console(const struct cmd_args *a)
{
	const char *slash = strchr(a->arg[0], '/');
	char *name = lab_asprintf("%.*s", slash ? (int)(slash - a->arg[0]) : 0, a->arg[0]);
	struct err e = { 0 };
	struct lab *l;
	int r;

	if (!slash || !slash[1])
		r = err_request(
			&e, -EINVAL, "\"%s\" names no node: console takes LAB/NODE", a->arg[0]);
	else
		r = lab_open(name, &l, &e);
	if (!r) {
		r = run(l, slash + 1, &e);
		lab_free(l);
	}
	free(name);
	return r ? lab_fail(&e) : 0;
}
