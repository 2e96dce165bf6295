/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanyard-switch: the virtual switch of a lab. docs/switch.md says how it works.
 *
 * The main thread is the control thread: options, DPDK's environment, the event loop with the
 * JSON-RPC server, a tick a second, the signals that end it. Frames are the workers' business.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/rpc.h"
#include "vswitch/eal.h"
#include "vswitch/methods.h"
#include "vswitch/options.h"

/* Why the loop ended: the log's last line. */
static const char *stop_cause = "its event loop ended";

static void on_shutdown(void *arg, uint32_t events)
{
	stop_cause = "asked by shutdown";
	loop_stop(arg);
}

static void on_signal(void *arg, uint32_t events)
{
	stop_cause = events == SIGINT ? "SIGINT" : "SIGTERM";
	loop_stop(arg);
}

static void on_tick(void *arg, uint32_t events)
{
	sw_tick(arg);
}

static void on_fault(void *arg, uint32_t events)
{
	sw_faults(arg);
}

static void on_capture(void *arg, uint32_t events)
{
	sw_captures_reap(arg);
}

static int serve(struct sw *sw, struct loop *l, const char *control, struct err *e)
{
	struct sw_service service = { .sw = sw };
	struct rpc_server *server = NULL;
	int ret = -ENOMEM;

	service.stop_timer = loop_add_timer(l, UINT64_MAX / 4, 0, on_shutdown, l);
	if (!service.stop_timer || !loop_add_timer(l, NS_PER_S, NS_PER_S, on_tick, sw) ||
		!loop_add_fd(l, sw->shared.fault_fd, EPOLLIN, on_fault, sw) ||
		!loop_add_fd(l, sw->capture_fd, EPOLLIN, on_capture, sw)) {
		err_set(e, ret, "no memory for the event loop");
		goto out;
	}
	server = rpc_server_new(l, control, sw_methods, &service, e);
	if (!server) {
		ret = e->code;
		goto out;
	}
	log_info("ready at %s: %u workers, %s polling", control, sw->n_workers,
		sw->shared.busy ? "busy" : "adaptive");
	ret = loop_run(l);
	if (ret)
		err_set(e, ret, "the event loop broke: %s", err_str(ret));
out:
	rpc_server_free(server);
	return ret;
}

static int run(const struct sw_options *o, struct err *e)
{
	struct sw *sw = aligned_alloc(64, (sizeof(*sw) + 63) & ~(size_t)63);
	struct loop *l = NULL;
	bool huge = !o->no_huge;
	int ret;

	if (!sw)
		return err_set(e, -ENOMEM, "no memory for the switch");
	l = loop_new(e);
	if (!l || !loop_add_signal(l, SIGTERM, on_signal, l) ||
		!loop_add_signal(l, SIGINT, on_signal, l)) {
		ret = err_set(e, -ENOMEM, "no event loop");
		goto out;
	}
	ret = eal_start(o->memory_mb, &huge, e);
	if (ret)
		goto out;
	ret = sw_init(sw, o, eal_tsc_hz(), e);
	sw->huge = huge;
	if (ret == 0) {
		sw_bell_start(&sw->bell, o->control);
		ret = serve(sw, l, o->control, e);
		sw_bell_stop(&sw->bell);
	}
	sw_fini(sw);
	eal_stop();
out:
	loop_free(l);
	free(sw);
	return ret;
}

/* A port has up to eight fds: its socket, the connection, each ring's two, and our copies of them.
 * The usual soft limit of 1024 would end at 120 ports. Nothing here uses select(). */
static void allow_fds(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char **argv)
{
	enum log_level level = LOG_INFO;
	struct sw_options o;
	struct err e = { 0 };
	bool help;

	if (sw_options_parse(argc, argv, &o, &level, &help, &e)) {
		fprintf(stderr, "lanyard-switch: %s\n%s", e.text, sw_usage);
		return ERR_REQUEST;
	}
	if (help) {
		fputs(sw_usage, stdout);
		return 0;
	}
	log_set_level(level);
	allow_fds();
	umask(0177); /* vhost-user sockets are ours alone */
	if (run(&o, &e)) {
		log_error("ended: %s", e.text);
		return e.class ? (int)e.class : ERR_FAILED;
	}
	log_info("ended: %s", stop_cause);
	return 0;
}
