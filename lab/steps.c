/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each kind's `run` leaves in the step what `undo` needs (a pid, a number) before it returns, on
 * failure too: undo is called for a step that was begun, whatever came of it.
 */
#include "lab/steps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "lab/daemon.h"
#include "lab/host.h"
#include "lab/steps_own.h"
#include "lab/steps_tap.h"
#include "lab/steps_vf.h"
#include "lab/vf.h"

#define READY_MS 20000 /* from a daemon's start to its first answer */

/* --- the run folder --- */

static int folder_run(struct carry *c, struct step *s, struct err *e)
{
	char *text = NULL;
	size_t len;
	int fd, r = fd_read_file(c->plan->file, TOPO_FILE_MAX, &text, &len, e);

	if (r)
		return r;
	fd = openat(c->folder->fd, "topology.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : fd_write_full(fd, text, len);
	if (r)
		err_set(e, r, "%s/topology.json: %s", s->path, err_str(r));
	fd_close(&fd);
	free(text);
	return r;
}

struct sweep {
	struct carry *c;
	int failed;
	struct err *e;
};

/* How the daemon with that control socket is asked to end; NULL: by a signal. */
static const char *stop_method(const char *name)
{
	const char *end = strrchr(name, '.');

	if (!end || strcmp(end, ".sock") != 0)
		return NULL;
	return strcmp(name, "switch.sock") == 0 ? "shutdown" : "stop";
}

static void sweep_one(struct proc_id id, const char *control, void *arg)
{
	const char *name = strrchr(control, '/') + 1, *forced;
	struct sweep *w = arg;
	char text[LAB_PATH_MAX];
	int r;

	snprintf(text, sizeof text, "process %d (%s) stopped", (int)id.pid, name);
	progress_begin(w->c->progress, text);
	r = daemon_stop(id, control, stop_method(name), &forced, w->e);
	progress_end(w->c->progress, r ? PROGRESS_FAILED : PROGRESS_UNDONE, text);
	if (r)
		w->failed = r;
}

int steps_sweep(struct carry *c, const char *dir, struct err *e)
{
	struct sweep w = { .c = c, .e = e };

	daemon_each(dir, sweep_one, &w);
	return w.failed;
}

/* All others are undone by now; what still runs here was started just before a crash. */
static int folder_undo(struct carry *c, struct step *s, struct err *e)
{
	struct strs foreign = { 0 };
	int r = steps_sweep(c, s->path, e);

	if (r)
		return r;
	folder_remove(c->folder, c->plan, c->foreign ? c->foreign : &foreign);
	strs_free(&foreign);
	return 0;
}

/* --- hugepages --- */

static int write_u64(const char *path, uint64_t v)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%" PRIu64 "\n", v) < 0)
		r = -errno;
	close(fd);
	return r;
}

int steps_raise_pages(const char *file, uint64_t free_pages, uint64_t wanted, uint64_t *raised)
{
	uint64_t before, after;
	int r = host_read_u64(file, &before);

	*raised = 0;
	if (r || free_pages >= wanted)
		return r;
	r = write_u64(file, before + (wanted - free_pages));
	if (r)
		return r;
	r = host_read_u64(file, &after);
	if (!r && after > before)
		*raised = after - before;
	return r;
}

int steps_lower_pages(const char *file, uint64_t by)
{
	uint64_t now;
	int r = host_read_u64(file, &now);

	return r ? r : write_u64(file, now > by ? now - by : 0);
}

static int lower_pages(struct step *s, uint64_t by, struct err *e)
{
	int r = steps_lower_pages(s->path, by);

	if (r)
		return err_set(e, r,
			"%s could not be lowered by the %" PRIu64 " that `up` added: %s", s->path,
			by, err_str(r));
	s->pages_raised -= by;
	return 0;
}

/* Fewer than are held already: of those that we added, what is not needed any more. */
static int fewer_pages(struct step *s, uint64_t fewer, struct err *e)
{
	uint64_t by = fewer < s->pages_raised ? fewer : s->pages_raised;

	return by ? lower_pages(s, by, e) : 0;
}

static int hugepages_run(struct carry *c, struct step *s, struct err *e)
{
	char path[LAB_PATH_MAX], free_path[LAB_PATH_MAX];
	uint64_t free_pages = 0, raised = 0, more;
	struct host h;
	int r;

	if (s->pages < c->pages_held)
		return fewer_pages(s, c->pages_held - s->pages, e);
	more = s->pages - c->pages_held;
	host_read("", &h);
	host_hugepages_path(h.n_nodes > 1 ? c->plan->place.home : -1, path, sizeof path);
	snprintf(free_path, sizeof free_path, "%.*s/free_hugepages",
		(int)(strrchr(path, '/') - path), path);
	host_read_u64(free_path, &free_pages);
	r = steps_raise_pages(path, free_pages, more, &raised);
	s->pages_raised += raised;
	if (raised && !s->path)
		s->path = lab_strdup(path);
	if (free_pages + raised >= more)
		return 0;
	strs_add(&c->plan->warnings,
		"%" PRIu64 " of %" PRIu64
		" hugepages of 2 MiB are free%s%s%s: guests that get none "
		"run from ordinary memory, slower",
		free_pages + raised, more,
		r ? " and more can't be reserved (" : " and the kernel found no more",
		r ? err_str(r) : "", r ? ")" : "");
	return 0;
}

static int hugepages_undo(struct carry *c, struct step *s, struct err *e)
{
	int r;

	if (!s->pages_raised)
		return 0;
	r = lower_pages(s, s->pages_raised, e);
	if (r)
		return r;
	free(s->path);
	s->path = NULL;
	return 0;
}

/* --- the switch --- */

struct rpc *steps_switch_rpc(struct carry *c, struct err *e)
{
	struct step *s = plan_find(c->plan, STEP_SWITCH, NULL);

	if (!c->sw && !c->sw_silent && s)
		c->sw = rpc_connect(s->socket, daemon_ms(STEPS_CALL_MS), e);
	return c->sw;
}

static int switch_call(struct carry *c, const char *method, json_t *params, struct err *e)
{
	struct rpc *r = steps_switch_rpc(c, e);
	json_t *reply;

	if (!r) {
		json_decref(params);
		return e ? e->code : -ECONNREFUSED;
	}
	reply = rpc_call(r, method, params, daemon_ms(STEPS_CALL_MS), e);
	json_decref(reply);
	return reply ? 0 : e->code;
}

static void switch_forget(struct carry *c)
{
	rpc_close(c->sw);
	c->sw = NULL;
	c->tsc_hz = 0;
}

/* Until `info` on the control socket gets an answer from that very process, which is returned. */
json_t *steps_wait_info(struct carry *c, const struct step *s, const char *who, struct err *e)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)daemon_ms(READY_MS) * NS_PER_MS;

	for (;;) {
		struct rpc *r = rpc_connect(s->socket, daemon_ms(STEPS_TRY_MS), NULL);
		json_t *info = r ? rpc_call(r, "info", NULL, daemon_ms(STEPS_TRY_MS), NULL) : NULL;

		rpc_close(r);
		/* Another's answer: ours is about to say that its socket is taken. */
		if (json_integer_value(json_object_get(info, "pid")) == s->proc.pid)
			return info;
		json_decref(info);
		if (carry_pause(c, STEPS_PAUSE_MS, e))
			return NULL;
		if (clock_now_ns() > deadline) {
			err_set(e, -ETIMEDOUT, "%s does not answer on %s after %d s", who,
				s->socket, daemon_ms(READY_MS) / 1000);
			return NULL;
		}
	}
}

int steps_start(struct carry *c, struct step *s, char *const *argv, struct err *e)
{
	int r;

	fd_close(&s->pidfd);
	r = daemon_start(argv, s->log, &s->proc, &s->pidfd, e);
	return r ? r : carry_save(c, e); /* the pid, before we wait for anything */
}

static int switch_run(struct carry *c, struct step *s, struct err *e)
{
	json_t *info;
	int r;

	switch_forget(c);
	c->sw_silent = false;
	r = steps_start(c, s, s->args.v, e);
	if (r)
		return r;
	info = steps_wait_info(c, s, "the switch", e);
	if (!info)
		return e->code;
	c->tsc_hz = json_integer_value(json_object_get(info, "tsc_hz"));
	json_decref(info);
	return 0;
}

int steps_stop(struct carry *c, struct step *s, const char *method, const char *who, struct err *e)
{
	const char *forced;
	int r;

	if (!s->proc.pid && daemon_find(s->socket, &s->proc))
		return 0; /* begun, but never started */
	r = daemon_stop(s->proc, s->socket, method, &forced, e);
	if (r)
		return err_prefix(e, "%s", who);
	if (forced)
		progress_warn(c->progress, "%s did not end when asked: %s ended it", who, forced);
	fd_close(&s->pidfd);
	fd_unix_clear_stale(s->socket, NULL); /* not one that another listens on */
	return 0;
}

static int switch_undo(struct carry *c, struct step *s, struct err *e)
{
	switch_forget(c);
	return steps_stop(c, s, "shutdown", "the switch", e);
}

/* --- networks and ports --- */

static int network_run(struct carry *c, struct step *s, struct err *e)
{
	return switch_call(c, "network_add",
		json_pack("{s:s, s:I, s:I}", "name", s->name, "mtu", (json_int_t)s->mtu, "ageing_s",
			(json_int_t)s->ageing_s),
		e);
}

static void set_text(json_t *j, const char *key, const char *text)
{
	if (text)
		json_object_set_new(j, key, json_string(text));
}

static int port_run(struct carry *c, struct step *s, struct err *e)
{
	char *device = s->device ? vf_fill(c->plan, s->device, e) : NULL;
	json_t *params;

	if (s->device && !device)
		return e ? e->code : -ENODEV;
	params = json_pack("{s:s, s:s, s:I}", "name", s->name, "network", s->network, "queues",
		(json_int_t)s->queues);

	set_text(params, "socket", s->socket);
	if (s->leads_to) {
		set_text(params, "kind", s->leads_to);
		set_text(params, strcmp(s->leads_to, "tap") == 0 ? "ifname" : s->leads_to, device);
	}
	free(device);
	if (s->unmergeable)
		json_object_set_new(params, "mergeable", json_false());
	if (s->bare)
		set_text(params, "admin", "down");
	else if (s->policy)
		json_object_update(params, s->policy);
	return switch_call(c, "port_add", params, e);
}

static int configure_run(struct carry *c, struct step *s, struct err *e)
{
	return switch_call(c, "configure", json_deep_copy(s->policy), e);
}

/* Networks and ports live in the switch: when it is gone or silent, so are they. */
static int delete_from_switch(struct carry *c, const char *method, const struct step *s)
{
	const struct step *sw = plan_find(c->plan, STEP_SWITCH, NULL);
	struct err why = { 0 };
	int r;

	if (!sw || !proc_is_alive(sw->proc))
		return 0;
	r = switch_call(c, method, json_pack("{s:s}", "name", s->name), &why);
	if (r == -ETIMEDOUT || r == -EPIPE || r == -ECONNREFUSED) {
		switch_forget(c);
		c->sw_silent = true;
	}
	return 0; /* an unknown name is one that was never made */
}

static int network_undo(struct carry *c, struct step *s, struct err *e)
{
	return delete_from_switch(c, "network_del", s);
}

static int port_undo(struct carry *c, struct step *s, struct err *e)
{
	delete_from_switch(c, "port_del", s);
	if (s->socket)
		fd_unix_clear_stale(s->socket, NULL);
	return 0;
}

static int nothing_undo(struct carry *c, struct step *s, struct err *e)
{
	return 0;
}

const struct step_ops steps_ops[STEP_KIND_N] = {
	[STEP_FOLDER] = { folder_run, folder_undo },
	[STEP_HUGEPAGES] = { hugepages_run, hugepages_undo },
	[STEP_PF] = { steps_pf_run, steps_pf_undo },
	[STEP_SWITCH] = { switch_run, switch_undo },
	[STEP_NETWORK] = { network_run, network_undo },
	[STEP_PORT] = { port_run, port_undo },
	[STEP_BRIDGE] = { steps_bridge_run, steps_bridge_undo },
	[STEP_TAP] = { steps_tap_run, steps_tap_undo },
	[STEP_IMAGE] = { steps_image_run, steps_image_undo },
	[STEP_DISKS] = { steps_server_run, steps_server_undo },
	[STEP_SHARE] = { steps_server_run, steps_server_undo },
	[STEP_VM] = { steps_vm_run, steps_vm_undo },
	[STEP_PROCESS] = { steps_vm_run, steps_vm_undo },
	[STEP_CONFIGURE] = { configure_run, nothing_undo },
	[STEP_GUEST] = { steps_guest_run, nothing_undo },
	[STEP_LINKS] = { steps_links_run, nothing_undo },
};
