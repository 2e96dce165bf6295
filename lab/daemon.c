/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/daemon.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/rpc.h"

#define ASK_MS    2000 /* for the reply to stop or shutdown */
#define END_MS    3000 /* from the reply to the end */
#define TERM_MS   2000
#define FLUSH_MS  30000 /* for a storage daemon to write out what it holds */
#define KILL_MS   2000
#define LAST_WORD "ended: "
#define STAMP_LEN 24
#define TAIL_MAX  (16 << 10) /* bytes of a log that are looked at for its last lines */

int daemon_ms(int ms)
{
	const char *text = getenv("LANYARD_PATIENCE");
	int times = text ? atoi(text) : 1;

	return ms * (times < 1 ? 1 : times > 100 ? 100 : times);
}

static int spawn(char *const argv[], const char *log, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	/* Not ours to keep: the lock of a caller such as flock(1), its pipes. */
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	posix_spawn_file_actions_addchdir_np(&fa, "/");
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(pid, argv[0], &fa, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return -r;
}

int daemon_start(char *const argv[], const char *log, struct proc_id *id, int *pidfd, struct err *e)
{
	pid_t pid;
	int r = spawn(argv, log, &pid);

	if (r)
		return err_host(e, r, "%s can't be started: %s", argv[0], err_str(r));
	*pidfd = pidfd_open(pid, 0);
	if (*pidfd < 0) {
		r = -errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return err_set(e, r, "%s: pidfd_open: %s", argv[0], err_str(r));
	}
	if (proc_id_of(pid, id)) /* it has ended already: the next look at the pidfd says how */
		*id = (struct proc_id){ .pid = pid };
	return 0;
}

int daemon_open(struct proc_id id)
{
	int fd;

	if (id.pid <= 0)
		return -ESRCH;
	fd = pidfd_open(id.pid, 0);
	if (fd < 0)
		return -ESRCH;
	if (!proc_is_alive(id)) /* looked at with the fd in hand: the pid can't be reused now */
		fd_close(&fd);
	return fd < 0 ? -ESRCH : fd;
}

/* 0 once the process has ended; reaps it if it is a child of ours. */
static int wait_end(int pidfd, int timeout_ms)
{
	int r = fd_wait(pidfd, POLLIN, clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS);
	siginfo_t si;

	if (!r)
		waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG);
	return r;
}

static int ask(const char *control, const char *method)
{
	struct rpc *r = rpc_connect(control, daemon_ms(ASK_MS), NULL);
	struct err e = { 0 };
	json_t *reply;

	if (!r)
		return -ECONNREFUSED;
	reply = rpc_call(r, method, NULL, daemon_ms(ASK_MS), &e);
	rpc_close(r);
	json_decref(reply);
	return reply || e.code == -EPIPE ? 0 : -EIO;
}

int daemon_stop(struct proc_id id, const char *control, const char *method, const char **forced,
	struct err *e)
{
	int fd = daemon_open(id), r = 0;

	*forced = NULL;
	if (fd < 0)
		return 0;
	if (method && ask(control, method) == 0 && wait_end(fd, daemon_ms(END_MS)) == 0)
		goto out;
	*forced = method ? "SIGTERM" : NULL;
	pidfd_send_signal(fd, SIGTERM, NULL, 0);
	if (wait_end(fd, daemon_ms(method ? TERM_MS : FLUSH_MS)) == 0)
		goto out;
	*forced = "SIGKILL";
	pidfd_send_signal(fd, SIGKILL, NULL, 0);
	r = wait_end(fd, daemon_ms(KILL_MS));
	if (r)
		err_set(e, r, "process %d did not end, not even by SIGKILL, within %d ms",
			(int)id.pid, daemon_ms(KILL_MS));
out:
	fd_close(&fd);
	return r;
}

struct find {
	const char *control;
	struct proc_id id;
};

static void find_one(struct proc_id id, const char *control, void *arg)
{
	struct find *f = arg;

	if (strcmp(control, f->control) == 0)
		f->id = id;
}

int daemon_find(const char *control, struct proc_id *id)
{
	const char *slash = strrchr(control, '/');
	struct find f = { .control = control };
	char *dir = lab_asprintf("%.*s", slash ? (int)(slash - control) : 0, control);

	daemon_each(dir, find_one, &f);
	free(dir);
	*id = f.id;
	return f.id.pid ? 0 : -ESRCH;
}

/* How each program is told the file that we know it by: --control PATH, --socket-path=PATH. */
static const struct known {
	const char *name; /* of the program; ends with '-': all that begin so */
	const char *option;
} knowns[] = {
	{ "lanyard-", "--control" },
	{ "lanyard", "--socket-path=" }, /* on its way to be a virtiofsd */
	{ "virtiofsd", "--socket-path=" },
	{ "qemu-storage-daemon", "--pidfile" },
};

static bool is_named(const char *base, const char *name)
{
	size_t n = strlen(name);

	return name[n - 1] == '-' ? strncmp(base, name, n) == 0 : strcmp(base, name) == 0;
}

/* That file in a NUL-separated command line of one of our programs, or NULL. */
static const char *our_control(const char *cmd, size_t len)
{
	const char *base = memrchr(cmd, '/', strlen(cmd)), *end = cmd + len;

	base = base ? base + 1 : cmd;
	for (size_t i = 0; i < sizeof knowns / sizeof knowns[0]; i++) {
		const char *option = knowns[i].option;
		size_t n = strlen(option);

		if (!is_named(base, knowns[i].name))
			continue;
		for (const char *a = cmd; a < end; a += strlen(a) + 1) {
			if (option[n - 1] == '=' && strncmp(a, option, n) == 0)
				return a + n;
			if (strcmp(a, option) == 0 && a + strlen(a) + 1 < end)
				return a + strlen(a) + 1;
		}
	}
	return NULL;
}

void daemon_each(
	const char *dir, void (*fn)(struct proc_id id, const char *control, void *arg), void *arg)
{
	DIR *d = opendir("/proc");
	size_t dir_len = strlen(dir);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		char path[300], *cmd;
		const char *control;
		struct proc_id id;
		size_t len;

		if (!isdigit((unsigned char)de->d_name[0]) ||
			proc_id_of((pid_t)atoi(de->d_name), &id))
			continue;
		snprintf(path, sizeof path, "/proc/%s/cmdline", de->d_name);
		if (fd_read_file(path, 1 << 20, &cmd, &len, NULL))
			continue;
		control = our_control(cmd, len);
		if (control && strncmp(control, dir, dir_len) == 0 && control[dir_len] == '/' &&
			!strchr(control + dir_len + 1, '/'))
			fn(id, control, arg);
		free(cmd);
	}
	if (d)
		closedir(d);
}

int daemon_fate(int pidfd, char *out, size_t size)
{
	siginfo_t si = { 0 };

	snprintf(out, size, "ended");
	if (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || !si.si_pid)
		return -1;
	if (si.si_code != CLD_EXITED) {
		snprintf(out, size, "was killed by SIG%s", sigabbrev_np(si.si_status));
		return -1;
	}
	snprintf(out, size, "ended with status %d", si.si_status);
	return si.si_status;
}

const char *daemon_log_text(const char *line)
{
	/* "2026-11-22T17:47:10.123Z warn  text": see base/log.h */
	if (strlen(line) < STAMP_LEN + 7 || line[10] != 'T' || line[STAMP_LEN - 1] != 'Z')
		return line;
	line = strchr(line + STAMP_LEN + 1, ' ');
	return line ? line + strspn(line, " ") : "";
}

const char *daemon_last_word(const char *line)
{
	const char *text = daemon_log_text(line);

	return strncmp(text, LAST_WORD, strlen(LAST_WORD)) ? NULL : text + strlen(LAST_WORD);
}

void daemon_log_tail(const char *log, size_t n, struct strs *out)
{
	int fd = open(log, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	char *buf = lab_calloc(TAIL_MAX + 1, 1), *save = NULL;
	struct strs all = { 0 };

	if (end > 0) {
		ssize_t got = pread(fd, buf, TAIL_MAX, end > TAIL_MAX ? end - TAIL_MAX : 0);

		buf[got > 0 ? got : 0] = '\0';
		for (char *l = strtok_r(buf, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
			strs_add(&all, "%s", l);
	}
	for (size_t i = all.n > n ? all.n - n : 0; i < all.n; i++)
		strs_add(out, "%s", all.v[i]);
	strs_free(&all);
	free(buf);
	fd_close(&fd);
}
