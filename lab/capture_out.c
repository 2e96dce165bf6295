/* SPDX-License-Identifier: Apache-2.0 */
/* See capture.h: an output that may be slow, or stopped, without our missing a Ctrl-C. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab/capture.h"

#define STALL_MS 1000 /* while ending: so long may the output take nothing */

/* Ready for PIPE_BUF bytes, which then don't block (pipe(7)). False: no use any more. */
static bool wait_ready(struct capture *c, uint64_t *stalled_since_ns)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = c->out, .events = POLLOUT },
			{ .fd = c->signal_fd, .events = POLLIN },
		};

		if (poll(p, 2, c->ending ? STALL_MS / 10 : -1) < 0 && errno != EINTR)
			return false;
		if (p[1].revents)
			capture_signalled(c);
		if (c->give_up)
			return false;
		if (p[0].revents)
			return true;
		if (!c->ending)
			continue;
		if (!*stalled_since_ns)
			*stalled_since_ns = clock_now_ns();
		if (clock_now_ns() - *stalled_since_ns > STALL_MS * NS_PER_MS)
			return false;
	}
}

long capture_write(struct capture *c, const void *buf, size_t len, struct err *e)
{
	uint64_t stalled_since_ns = 0;
	struct stat st;
	size_t done = 0;
	bool file = fstat(c->out, &st) == 0 && S_ISREG(st.st_mode);

	while (done < len && !c->out_gone) {
		size_t take = file || len - done < PIPE_BUF ? len - done : PIPE_BUF;
		ssize_t n;

		if (!file && !wait_ready(c, &stalled_since_ns)) {
			c->out_gone = true;
			break;
		}
		n = write(c->out, (const char *)buf + done, take);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno == EPIPE) { /* its reader has seen enough: no failure */
			c->out_gone = true;
			break;
		}
		if (n < 0) {
			c->out_gone = true;
			return err_set(e, -errno, "%s: %s; %llu frames are in it",
				c->file ? c->file : "stdout", err_str(errno),
				(unsigned long long)c->frames);
		}
		done += (size_t)n;
		stalled_since_ns = 0;
	}
	return (long)done;
}
