/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* The deepest call is a log line with its buffers; sanitizers want red zones around them. */
#ifdef __SANITIZE_ADDRESS__
#define STACK_BYTES (512u << 10)
#else
#define STACK_BYTES (96u << 10)
#endif

struct start {
	char name[16];
	enum sandbox_kind kind;
	void *(*fn)(void *);
	void *arg;
};

static void *thread_main(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), s.name); /* another's wants /proc */
	if (s.kind != SANDBOX_KINDS)
		sandbox_enter(s.kind);
	return s.fn(s.arg);
}

int thread_start(
	pthread_t *t, const char *name, int cpu, void *(*fn)(void *), void *arg, struct err *e)
{
	return thread_start_as(SANDBOX_SERVE, t, name, cpu, fn, arg, e);
}

int thread_start_as(enum sandbox_kind kind, pthread_t *t, const char *name, int cpu,
	void *(*fn)(void *), void *arg, struct err *e)
{
	struct start *s = malloc(sizeof(*s));
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	*s = (struct start){ .kind = kind, .fn = fn, .arg = arg };
	snprintf(s->name, sizeof(s->name), "%s", name);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	CPU_ZERO(&set);
	if (cpu >= 0) {
		if (cpu < CPU_SETSIZE)
			CPU_SET(cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	err = pthread_create(t, &attr, thread_main, s);
	pthread_attr_destroy(&attr);
	if (err)
		free(s);
	if (err && cpu >= 0)
		return err_request(e, -err, "thread %s cannot be pinned to CPU %d: %s", name, cpu,
			err_str(err));
	if (err)
		return err_set(e, -err, "thread %s: %s", name, err_str(err));
	return 0;
}
