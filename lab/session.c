/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/session.h"

#include <errno.h>
#include <sys/signalfd.h>

#include "base/fd.h"
#include "lab/steps.h"

int session_begin(struct session *s, const struct lab_opts *o, bool interruptible, struct err *e)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	*s = (struct session){ .folder = FOLDER_CLOSED };
	paths_read(&s->paths);
	progress_init(&s->progress, o && o->quiet);
	if (o && o->step) {
		s->progress.step = o->step;
		s->progress.step_arg = o->step_arg;
	}
	s->carry = (struct carry){ .folder = &s->folder,
		.ops = steps_ops,
		.signal_fd = -1,
		.progress = &s->progress,
		.foreign = &s->foreign };
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (interruptible) {
		s->carry.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
		if (s->carry.signal_fd < 0)
			return err_set(e, -errno, "signalfd: %s", err_str(errno));
	}
	sigprocmask(SIG_BLOCK, &set, &s->old_mask);
	sigaction(SIGPIPE, &ignore, &s->old_pipe); /* a closed terminal must not stop us half way */
	return 0;
}

void session_end(struct session *s)
{
	for (size_t i = 0; i < s->foreign.n; i++)
		progress_warn(&s->progress, "%s is not ours: left there", s->foreign.v[i]);
	rpc_close(s->carry.sw);
	folder_close(&s->folder);
	fd_close(&s->carry.signal_fd);
	strs_free(&s->foreign);
	sigaction(SIGPIPE, &s->old_pipe, NULL);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
}
