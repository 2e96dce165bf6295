/* SPDX-License-Identifier: Apache-2.0 */
/* See eal.h. */
#include "vswitch/eal.h"

#include <errno.h>
#include <limits.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_version.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpulist.h"
#include "base/hugepages.h"
#include "base/log.h"

#define HEAP_MB_DEFAULT 32
#define NO_DEVICE       "ffff:ff:1f.7"

/*
 * EAL makes a folder for what its processes share, and leaves it. We share nothing: it is empty,
 * and goes now rather than at the end, since a switch may be killed. Another's isn't empty.
 */
static void remove_runtime_dir(void)
{
	char dir[PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	rmdir(dir);
	slash = strrchr(dir, '/');
	if (slash) {
		*slash = '\0';
		rmdir(dir); /* .../dpdk */
	}
}

int eal_start(uint32_t memory_mb, bool *huge, struct err *e)
{
	char cpus[4096], lcores[sizeof(cpus) + 32], mem[16];
	uint32_t mb = memory_mb ? memory_mb : HEAP_MB_DEFAULT;
	char *argv[16];
	int argc = 0;

	if (*huge && !hugepages_free(mb)) {
		log_warn("not %u MiB of free hugepages for the switch: works without, a little "
			 "slower. To have them: sysctl vm.nr_hugepages=1024",
			mb);
		*huge = false;
	}
	/* EAL's one lcore is our main thread, free to run where we may. */
	snprintf(lcores, sizeof(lcores), "--lcores=0@(%s)", cpulist_allowed(cpus, sizeof(cpus)));
	snprintf(mem, sizeof(mem), "%u", mb);
	argv[argc++] = "lanyard-switch";
	argv[argc++] = "-a"; /* no device but those that ports ask for: none is there */
	argv[argc++] = NO_DEVICE;
	argv[argc++] = "--no-telemetry";
	argv[argc++] = "--log-level=*:error";
	argv[argc++] = lcores;
	argv[argc++] = "-m";
	argv[argc++] = mem;
	if (*huge) {
		argv[argc++] = "--in-memory";
	} else {
		argv[argc++] = "--no-huge"; /* which EAL does not take together with the other */
		argv[argc++] = "--no-shconf";
	}
	argv[argc] = NULL;
	rte_openlog_stream(stderr);
	if (rte_eal_init(argc, argv) < 0)
		return err_host(e, rte_errno ? -rte_errno : -EIO,
			"DPDK's environment can't be started: %s", rte_strerror(rte_errno));
	remove_runtime_dir();
	return 0;
}

void eal_stop(void)
{
	rte_eal_cleanup();
}

uint64_t eal_tsc_hz(void)
{
	return rte_get_tsc_hz();
}

const char *eal_version(void)
{
	return rte_version();
}
