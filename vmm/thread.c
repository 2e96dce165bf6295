/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/thread.h"

#include <errno.h>
#include <sched.h>

/* The deepest call is a log line with its buffers; sanitizers want red zones around them. */
#ifdef __SANITIZE_ADDRESS__
#define STACK_BYTES (512u << 10)
#else
#define STACK_BYTES (96u << 10)
#endif

int thread_start(
	pthread_t *t, const char *name, int cpu, void *(*fn)(void *), void *arg, struct err *e)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	CPU_ZERO(&set);
	if (cpu >= 0) {
		if (cpu < CPU_SETSIZE)
			CPU_SET(cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	err = pthread_create(t, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	if (err && cpu >= 0)
		return err_request(e, -err, "thread %s cannot be pinned to CPU %d: %s", name, cpu,
			err_str(err));
	if (err)
		return err_set(e, -err, "thread %s: %s", name, err_str(err));
	pthread_setname_np(*t, name);
	return 0;
}
