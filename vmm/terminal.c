/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal as a console: see terminal.h. */
#include "vmm/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define CTRL_A 1

/* A description of our own: O_NONBLOCK on the one given would be the shell's problem, too. */
static int reopen(int fd, int flags)
{
	char path[32];
	int own;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 3); /* a socket */
}

/* The guard: waits for our end, and puts the terminal back unless told that this was done. */
static void guard_run(int fd, int tty, const struct termios *before)
{
	char done;
	ssize_t n;

	setsid(); /* no job control's signals; setting the terminal is allowed all the same */
	while ((n = read(fd, &done, 1)) < 0 && errno == EINTR)
		;
	if (n != 1)
		tcsetattr(tty, TCSANOW, before);
	_exit(0);
}

static int guard_start(struct terminal *t, struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_set(e, -errno, "console: pipe: %s", err_str(errno));
	t->guard = fork();
	if (t->guard == 0) {
		/* Nothing else of ours is to live as long as the guard does. */
		dup2(t->in, STDIN_FILENO);
		dup2(p[0], STDOUT_FILENO);
		close_range(STDERR_FILENO, ~0u, 0);
		guard_run(STDOUT_FILENO, STDIN_FILENO, &t->before);
	}
	fd_close(&p[0]);
	t->guard_fd = p[1];
	if (t->guard < 0)
		return err_set(e, -errno, "console: fork: %s", err_str(errno));
	return 0;
}

int terminal_open(struct terminal *t, struct err *e)
{
	struct termios raw;
	int err;

	*t = (struct terminal){ .in = -1, .out = -1, .guard_fd = -1, .guard = -1 };
	t->in = reopen(STDIN_FILENO, O_RDONLY);
	t->out = reopen(STDOUT_FILENO, O_WRONLY);
	if (t->in < 0 || t->out < 0)
		return err_request(e, -errno, "--console-stdio: standard %s cannot be opened: %s",
			t->in < 0 ? "input" : "output", err_str(errno));
	if (!isatty(t->in))
		return 0;
	if (tcgetattr(t->in, &t->before))
		return err_request(
			e, -errno, "--console-stdio: the terminal's modes: %s", err_str(errno));
	if ((err = guard_start(t, e)))
		return err;
	raw = t->before;
	cfmakeraw(&raw);
	raw.c_oflag = t->before.c_oflag;
	t->is_raw = true;
	if (tcsetattr(t->in, TCSANOW, &raw))
		return err_request(
			e, -errno, "--console-stdio: the terminal's modes: %s", err_str(errno));
	return 0;
}

void terminal_close(struct terminal *t)
{
	if (t->is_raw)
		tcsetattr(t->in, TCSADRAIN, &t->before);
	t->is_raw = false;
	if (t->guard_fd >= 0)
		fd_write_full(t->guard_fd, "d", 1);
	fd_close(&t->guard_fd);
	if (t->guard > 0)
		waitpid(t->guard, NULL, 0);
	t->guard = -1;
	fd_close(&t->in);
	fd_close(&t->out);
}

size_t terminal_filter(struct terminal *t, char *bytes, size_t n, bool *end)
{
	size_t kept = 0;

	*end = false;
	if (!t->is_raw)
		return n;
	for (size_t i = 0; i < n; i++) {
		char c = bytes[i];

		if (!t->escaped && c == CTRL_A) {
			t->escaped = true;
			continue;
		}
		if (t->escaped && (c == 'x' || c == 'X'))
			*end = true;
		else if (!t->escaped || c == CTRL_A)
			bytes[kept++] = c;
		t->escaped = false; /* another key after Ctrl-A is none at all */
	}
	return kept;
}
