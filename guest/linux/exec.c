/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* What failed in the child before the command ran, through a pipe that exec closes. */
struct failure {
	int error;
	bool cwd;
};

int execs_init(struct execs *x, struct err *e)
{
	sigset_t set;

	*x = (struct execs){ .signal_fd = -1 };
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigdelset(&set, SIGPIPE);
	x->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return x->signal_fd < 0 ? err_set(e, -errno, "signalfd: %s", err_str(errno)) : 0;
}

static void slot_clear(struct exec *c)
{
	for (int i = 0; i < EXEC_STREAMS; i++) {
		fd_close(&c->streams[i].fd);
		free(c->streams[i].bytes);
	}
	*c = (struct exec){ 0 };
}

void execs_free(struct execs *x)
{
	for (int i = 0; i < EXEC_MAX; i++) {
		struct exec *c = &x->slots[i];

		if (!c->id)
			continue;
		if (!c->reaped) {
			kill(-c->pid, SIGKILL);
			waitpid(c->pid, NULL, 0);
		}
		slot_clear(c);
	}
	fd_close(&x->signal_fd);
}

/* A free slot; one that only drains a stray stream gives way. */
static struct exec *slot_new(struct execs *x)
{
	struct exec *stray = NULL;

	for (int i = 0; i < EXEC_MAX; i++) {
		if (!x->slots[i].id)
			return &x->slots[i];
		if (x->slots[i].forgotten && x->slots[i].reaped &&
			(!stray || x->slots[i].id < stray->id))
			stray = &x->slots[i];
	}
	if (stray)
		slot_clear(stray);
	return stray;
}

static void child_run(const struct exec_command *c, const int pipes[EXEC_STREAMS][2], int report)
{
	struct failure f = { 0 };
	sigset_t none;

	setsid();
	for (int i = 0; i < EXEC_STREAMS; i++)
		if (dup2(pipes[i][i == EXEC_IN ? 0 : 1], i) < 0)
			f.error = errno;
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!f.error && chdir(c->cwd) < 0)
		f = (struct failure){ errno, true };
	if (!f.error) {
		environ = (char **)c->env; /* its PATH is looked in */
		execvp(c->argv[0], c->argv);
		f.error = errno;
	}
	if (write(report, &f, sizeof(f)) < 0) {
		/* Nobody is left to tell. */
	}
	_exit(127);
}

static const char *path_of(const struct exec_command *c)
{
	for (char *const *v = c->env; *v; v++)
		if (!strncmp(*v, "PATH=", 5))
			return *v + 5;
	return "";
}

static int say_failure(const struct exec_command *c, const struct failure *f, struct err *e)
{
	const char *name = c->argv[0];

	if (f->cwd)
		return err_request_at(e, -f->error, "cwd",
			"the guest's folder \"%.300s\" can't be the working folder: %s", c->cwd,
			err_str(f->error));
	if (f->error == ENOENT && !strchr(name, '/'))
		return err_request_at(e, -ENOENT, "argv",
			"the guest has no program \"%.300s\" in its PATH (%.200s); put it there with "
			"\"files\", or give the guest the host's root",
			name, path_of(c));
	if (f->error == ENOENT && access(name, F_OK) == 0)
		return err_request_at(e, -ENOENT, "argv",
			"\"%.300s\" is there, but the guest lacks its interpreter or its dynamic "
			"loader",
			name);
	return err_request_at(e, -f->error, "argv", "the guest can't run \"%.300s\": %s", name,
		err_str(f->error));
}

/* Forks; 0 when the command runs. */
static int spawn(struct exec *x, const struct exec_command *c, const int pipes[EXEC_STREAMS][2],
	struct err *e)
{
	struct failure f;
	int report[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return err_set(e, -errno, "pipe: %s", err_str(errno));
	x->pid = fork();
	if (x->pid < 0) {
		int rc = err_set(e, -errno, "the guest can't start a process: %s", err_str(errno));

		close(report[0]);
		close(report[1]);
		return rc;
	}
	if (x->pid == 0)
		child_run(c, pipes, report[1]);
	close(report[1]);
	int rc = fd_read_full(report[0], &f, sizeof(f));
	close(report[0]);
	if (rc)
		return 0; /* closed by exec */
	waitpid(x->pid, NULL, 0);
	return say_failure(c, &f, e);
}

int execs_start(struct execs *x, const struct exec_command *c, struct err *e)
{
	int pipes[EXEC_STREAMS][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct exec *slot = slot_new(x);
	int rc = 0;

	if (!slot)
		return err_set(e, -EAGAIN,
			"%d commands run in this guest, or wait for their output to be taken: end one "
			"first",
			EXEC_MAX);
	for (int i = 0; !rc && i < EXEC_STREAMS; i++) {
		slot->streams[i] = (struct exec_stream){ .fd = -1, .bytes = malloc(EXEC_BUFFER) };
		if (!slot->streams[i].bytes || pipe2(pipes[i], O_CLOEXEC) < 0)
			rc = err_set(
				e, -ENOMEM, "the guest has no memory or file left for a command");
	}
	if (!rc)
		rc = spawn(slot, c, pipes, e);
	for (int i = 0; i < EXEC_STREAMS; i++) {
		int ours = i == EXEC_IN ? 1 : 0;

		fd_close(&pipes[i][!ours]);
		if (rc)
			fd_close(&pipes[i][ours]);
		slot->streams[i].fd = pipes[i][ours];
		if (!rc)
			fcntl(pipes[i][ours], F_SETFL, O_NONBLOCK);
	}
	if (rc) {
		slot_clear(slot);
		return rc;
	}
	x->last_id = x->last_id == INT32_MAX ? 1 : x->last_id + 1;
	slot->id = x->last_id;
	return slot->id;
}

struct exec *execs_find(struct execs *x, int id, struct err *e)
{
	for (int i = 0; id > 0 && i < EXEC_MAX; i++)
		if (x->slots[i].id == id && !x->slots[i].forgotten)
			return &x->slots[i];
	err_request_at(e, -ENOENT, "id",
		"no command has the id %d: it was never started, or its end was told already", id);
	return NULL;
}

static void input_flush(struct exec_stream *s)
{
	while (s->len) {
		ssize_t n = write(s->fd, s->bytes, s->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* it reads no more */
			s->len = 0;
			fd_close(&s->fd);
			return;
		}
		s->len -= (size_t)n;
		memmove(s->bytes, s->bytes + n, s->len);
	}
	if (s->eof)
		fd_close(&s->fd);
}

ssize_t exec_write(struct exec *c, const void *buf, size_t len, bool eof, struct err *e)
{
	struct exec_stream *s = &c->streams[EXEC_IN];

	if (s->fd < 0 || s->eof || c->reaped) {
		if (!len)
			return 0; /* an end said twice, or to one that has ended, does no harm */
		return err_set(e, -EPIPE, "command %d reads no more input: it %s", c->id,
			c->reaped        ? "has ended"
				: s->eof ? "was told that no more comes"
					 : "closed its standard input");
	}
	size_t n = len < EXEC_BUFFER - s->len ? len : EXEC_BUFFER - s->len;
	if (n)
		memcpy(s->bytes + s->len, buf, n);
	s->len += n;
	s->eof = eof && n == len;
	input_flush(s);
	return (ssize_t)n;
}

static void stream_end(struct exec_stream *s)
{
	fd_close(&s->fd);
	s->eof = true;
}

/* Reads what there is and fits. */
static void output_fill(struct exec *c, struct exec_stream *s)
{
	while (s->fd >= 0 && s->len < EXEC_BUFFER) {
		ssize_t n = read(s->fd, s->bytes + s->len, EXEC_BUFFER - s->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			/* What it wrote itself has all been read; others may hold the pipe. */
			s->eof = c->reaped;
			return;
		}
		if (n <= 0)
			stream_end(s);
		else if (c->forgotten)
			return;
		else
			s->len += (size_t)n;
	}
}

size_t exec_take(struct exec *c, int stream, void *buf, size_t len)
{
	struct exec_stream *s = &c->streams[stream];
	size_t n = s->len < len ? s->len : len;

	if (n)
		memcpy(buf, s->bytes, n);
	s->len -= n;
	memmove(s->bytes, s->bytes + n, s->len);
	/* The rest of what an ended command wrote may lie in the pipe still. */
	output_fill(c, s);
	return n;
}

int exec_signal(struct exec *c, int signo, struct err *e)
{
	if (c->reaped)
		return err_set(e, -ESRCH, "command %d has ended", c->id);
	if (kill(-c->pid, signo) < 0)
		return err_set(e, -errno, "command %d can't be sent signal %d: %s", c->id, signo,
			err_str(errno));
	return 0;
}

bool exec_done(const struct exec *c)
{
	return c->reaped && c->streams[EXEC_OUT].eof && c->streams[EXEC_ERR].eof &&
		!c->streams[EXEC_OUT].len && !c->streams[EXEC_ERR].len;
}

bool exec_ready(const struct exec *c)
{
	return c->streams[EXEC_OUT].len || c->streams[EXEC_ERR].len || exec_done(c);
}

/* Frees the slot of a command that nobody asks for any more, and that holds nothing. */
static void slot_settle(struct exec *c)
{
	if (c->forgotten && c->reaped && c->streams[EXEC_OUT].fd < 0 && c->streams[EXEC_ERR].fd < 0)
		slot_clear(c);
}

void exec_forget(struct exec *c)
{
	c->forgotten = true;
	fd_close(&c->streams[EXEC_IN].fd);
	c->streams[EXEC_OUT].len = c->streams[EXEC_ERR].len = 0;
	slot_settle(c);
}

bool execs_running(const struct execs *x)
{
	for (int i = 0; i < EXEC_MAX; i++)
		if (x->slots[i].id && !x->slots[i].reaped)
			return true;
	return false;
}

static void look_at_signals(struct execs *x)
{
	struct signalfd_siginfo info;

	while (read(x->signal_fd, &info, sizeof(info)) == sizeof(info))
		x->ending |= info.ssi_signo == SIGTERM;
	for (int i = 0; i < EXEC_MAX; i++) {
		struct exec *c = &x->slots[i];

		if (!c->id || c->reaped || waitpid(c->pid, &c->status, WNOHANG) != c->pid)
			continue;
		c->reaped = true;
		fd_close(&c->streams[EXEC_IN].fd);
		output_fill(c, &c->streams[EXEC_OUT]);
		output_fill(c, &c->streams[EXEC_ERR]);
		slot_settle(c);
	}
	for (int i = 0; x->ending && i < EXEC_MAX; i++)
		if (x->slots[i].id)
			exec_forget(&x->slots[i]);
}

/* Fills p with what commands wait for; returns how many. who: slot * EXEC_STREAMS + stream. */
static size_t poll_set(const struct execs *x, struct pollfd *p, int *who)
{
	size_t n = 0;

	for (int i = 0; i < EXEC_MAX; i++) {
		const struct exec *c = &x->slots[i];

		for (int k = 0; c->id && k < EXEC_STREAMS; k++) {
			const struct exec_stream *s = &c->streams[k];
			bool wait = k == EXEC_IN ? s->len > 0 : s->len < EXEC_BUFFER;

			if (s->fd < 0 || !wait)
				continue;
			who[n] = i * EXEC_STREAMS + k;
			p[n++] = (struct pollfd){ .fd = s->fd,
				.events = k == EXEC_IN ? POLLOUT : POLLIN };
		}
	}
	return n;
}

bool execs_step(struct execs *x, int watch_fd, int timeout_ms)
{
	struct pollfd p[EXEC_MAX * EXEC_STREAMS + 2];
	int who[EXEC_MAX * EXEC_STREAMS];
	size_t n = poll_set(x, p, who);

	p[n] = (struct pollfd){ .fd = x->signal_fd, .events = POLLIN };
	p[n + 1] = (struct pollfd){ .fd = watch_fd, .events = POLLIN };
	if (poll(p, n + 2, timeout_ms) <= 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct exec *c = &x->slots[who[i] / EXEC_STREAMS];
		struct exec_stream *s = &c->streams[who[i] % EXEC_STREAMS];

		if (!p[i].revents || s->fd != p[i].fd)
			continue;
		if (who[i] % EXEC_STREAMS == EXEC_IN)
			input_flush(s);
		else
			output_fill(c, s);
		slot_settle(c);
	}
	if (p[n].revents)
		look_at_signals(x);
	return p[n + 1].revents != 0;
}
