/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/power.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "guest/linux/mounts.h"
#include "guest/linux/say.h"

#define EVENTS   32   /* /dev/input/event0 ... */
#define GRACE_MS 5000 /* between SIGTERM and SIGKILL */

size_t power_keys_open(int fds[POWER_KEYS_MAX])
{
	size_t n = 0;

	for (int i = 0; i < EVENTS && n < POWER_KEYS_MAX; i++) {
		uint8_t keys[KEY_MAX / 8 + 1] = { 0 };
		char path[32];

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys) >= 0 &&
			(keys[KEY_POWER / 8] & 1 << KEY_POWER % 8))
			fds[n++] = fd;
		else
			fd_close(&fd);
	}
	return n;
}

bool power_key_pressed(int fd)
{
	struct input_event ev;
	bool pressed = false;

	while (read(fd, &ev, sizeof(ev)) == sizeof(ev))
		pressed |= ev.type == EV_KEY && ev.code == KEY_POWER && ev.value == 1;
	return pressed;
}

void power_end(bool again)
{
	uint64_t deadline = clock_now_ns() + GRACE_MS * NS_PER_MS;

	say(again ? "reboots" : "powers off");
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	while (clock_now_ns() < deadline) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			break;
		if (pid == 0)
			clock_sleep_ns(5 * NS_PER_MS);
	}
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	mounts_end();
	reboot(again ? RB_AUTOBOOT : RB_POWER_OFF);
	/* The machine can't: it stands still. */
	for (;;)
		pause();
}
