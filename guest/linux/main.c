/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanyard-init: the first process of a Linux guest, and its agent. Static: it needs nothing of what
 * the guest's root has or lacks. docs/linux-guests.md says what it does and what /lanyard.json may
 * hold.
 *
 *	as process 1	sets the guest up; then a child is the agent, and this one reaps
 *			orphans, starts the agent again should it end, and ends the guest when it
 *			is asked to: SIGTERM, SIGUSR2, SIGPWR or the power button: off; SIGINT
 *			(Ctrl-Alt-Del): again
 *	--agent TTY [CONFIG]	the agent alone, on a terminal (tests); a file like /lanyard.json
 *
 * Where the disk's own init takes over ("init": true) the agent is started first, and lives on.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "guest/linux/agent.h"
#include "guest/linux/modload.h"
#include "guest/linux/mounts.h"
#include "guest/linux/nics.h"
#include "guest/linux/power.h"
#include "guest/linux/say.h"

#define CONFIG           "/lanyard.json"
#define CONFIG_BYTES_MAX (1u << 20)
#define MODULES          "/lanyard.modules"
#define CHANNEL          "/dev/ttyS1"
#define RESTART_MS       500 /* before an agent that ended is started again */

struct guest {
	json_t *config, *problems;
	const char *root; /* what it is in the end */
	bool foreign;     /* another init is process 1 */
	pid_t agent;
};

static struct guest guest; /* one a process: what its agent's `stop` must reach */

static void stop_ours(enum agent_stop how)
{
	kill(1, how == AGENT_STOP_REBOOT ? SIGINT : SIGTERM);
}

/* By the disk's own programs, as somebody who is logged in would. */
static void stop_theirs(enum agent_stop how)
{
	const char *path = how == AGENT_STOP_REBOOT ? "/sbin/reboot" : "/sbin/poweroff";

	if (fork() == 0) {
		execl(path, path, NULL);
		_exit(127);
	}
}

static int agent_main(const char *tty, void (*stop)(enum agent_stop))
{
	static struct agent a;
	struct err e = { 0 };

	a.config = guest.config;
	a.problems = guest.problems;
	a.root = guest.root;
	a.stop = stop;
	int fd = agent_open(tty, &e);
	int rc = fd < 0 ? fd : agent_init(&a, fd, &e);
	if (!rc)
		rc = agent_run(&a, &e);
	if (rc)
		say("%s", e.text);
	agent_free(&a);
	return rc ? 1 : 0;
}

/* Signals that process 1 waits for are its own affair. */
static pid_t agent_start(void)
{
	pid_t pid = fork();
	sigset_t none;

	if (pid)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	_exit(agent_main(CHANNEL, guest.foreign ? stop_theirs : stop_ours));
}

static void read_config(void)
{
	json_error_t je;

	guest.problems = json_array();
	if (access(CONFIG, F_OK) == 0) {
		guest.config = json_load_file(CONFIG, JSON_REJECT_DUPLICATES, &je);
		if (!json_is_object(guest.config))
			say_problem(guest.problems, CONFIG " can't be read: %s (line %d)", je.text,
				je.line);
	}
	if (!guest.config)
		guest.config = json_object();
}

static void set_names(void)
{
	const char *name = json_string_value(json_object_get(guest.config, "hostname"));

	if (name && sethostname(name, strlen(name)) < 0)
		say_problem(guest.problems, "hostname %s: %s", name, err_str(errno));
}

static void set_forward(void)
{
	static const char *const switches[] = { "/proc/sys/net/ipv4/ip_forward",
		"/proc/sys/net/ipv6/conf/all/forwarding" };

	for (size_t i = 0; i < 2 && json_is_true(json_object_get(guest.config, "forward")); i++) {
		int fd = open(switches[i], O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "1", 1) != 1)
			say_problem(guest.problems, "%s: %s", switches[i], err_str(errno));
		fd_close(&fd);
	}
}

static void set_up(void)
{
	struct err e = { 0 };
	struct utsname u;

	umask(022);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	read_config();
	mounts_kernel(guest.problems);
	modload_list(MODULES, guest.problems);
	set_names();
	guest.root = json_string_value(json_object_get(guest.config, "root"));
	if (!guest.root)
		guest.root = "none";
	if (mounts_root(guest.config, guest.problems, &e)) {
		say_problem(guest.problems, "%s", e.text);
		guest.root = "none";
	}
	set_forward();
	nics_set_up(guest.config, guest.problems);
	mounts_shares(guest.config, guest.problems);
	uname(&u);
	say("ready: Linux %s, root %s", u.release, guest.root);
}

/* The disk's own init, if that is wanted and there is one. */
static void run_their_init(void)
{
	const json_t *disk = json_object_get(guest.config, "disk");

	if (strcmp(guest.root, "disk") || !json_is_true(json_object_get(disk, "init")))
		return;
	guest.foreign = true;
	if (agent_start() < 0)
		say_problem(guest.problems, "the agent: %s", err_str(errno));
	execl("/sbin/init", "/sbin/init", NULL);
	guest.foreign = false;
	say_problem(guest.problems, "/sbin/init of the disk: %s", err_str(errno));
}

/* Signals and children. Does not return. */
static void serve(void)
{
	struct pollfd p[POWER_KEYS_MAX + 1];
	struct signalfd_siginfo info;
	int keys[POWER_KEYS_MAX];
	size_t n = power_keys_open(keys);
	uint64_t restart = 0;
	sigset_t set;

	sigemptyset(&set);
	for (const int *s = (const int[]){ SIGCHLD, SIGTERM, SIGINT, SIGUSR2, SIGPWR, 0 }; *s; s++)
		sigaddset(&set, *s);
	sigprocmask(SIG_BLOCK, &set, NULL);
	reboot(RB_DISABLE_CAD);
	p[0] = (struct pollfd){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = POLLIN };
	for (size_t i = 0; i < n; i++)
		p[i + 1] = (struct pollfd){ .fd = keys[i], .events = POLLIN };
	for (;;) {
		if (!guest.agent && clock_now_ns() >= restart) {
			pid_t pid = agent_start();

			guest.agent = pid > 0 ? pid : 0;
			restart = clock_now_ns() + RESTART_MS * NS_PER_MS;
		}
		poll(p, n + 1, guest.agent ? -1 : RESTART_MS);
		for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
			if (pid == guest.agent)
				guest.agent = 0;
		while (read(p[0].fd, &info, sizeof(info)) == sizeof(info))
			if (info.ssi_signo != SIGCHLD)
				power_end(info.ssi_signo == SIGINT);
		for (size_t i = 1; i <= n; i++)
			if (p[i].revents && power_key_pressed(p[i].fd))
				power_end(false);
	}
}

int main(int argc, char **argv)
{
	guest.root = "none";
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "--agent")) {
		guest.config = argc == 4 ? json_load_file(argv[3], 0, NULL) : NULL;
		return agent_main(argv[2], NULL);
	}
	if (getpid() != 1) {
		say("this is the init of a Linux guest; usage outside of one: lanyard-init --agent "
		    "TTY [CONFIG]");
		return 2;
	}
	set_up();
	run_their_init();
	serve();
}
