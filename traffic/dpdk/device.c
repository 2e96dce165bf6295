/* SPDX-License-Identifier: Apache-2.0 */
/* See device.h. */
#include "traffic/dpdk/device.h"

#include <errno.h>
#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_version.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cpulist.h"
#include "base/fd.h"

#define CONNECT_MS 2000

int tg_pin(const struct tg_options *o, struct err *e)
{
	int cpu = o->cpu;
	cpu_set_t set;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return err_host(e, -errno,
			"--cpu %d: can't run there: %s. Is it online and allowed to us "
			"(taskset -p $$)?",
			cpu, err_str(errno));
	return 0;
}

/* What the pools of two ports take, with room for hugepages that do not lie side by side. */
static uint32_t memory_default(const struct tg_options *o)
{
	uint64_t frame = o->size > 1518 ? 9600 : 2400;

	return (uint32_t)(4 * (o->queue_size + 1024) * frame >> 20) + 32;
}

int tg_eal_start(const struct tg_options *o, struct err *e)
{
	uint32_t mb = o->memory_mb ? o->memory_mb : memory_default(o);
	char cpus[4096], lcores[sizeof(cpus) + 32], mem[16];
	char *argv[16];
	int argc = 0, ret;

	ret = tg_pin(o, e);
	if (ret)
		return ret;
	/* DPDK's one lcore is our main thread, where it runs already. */
	snprintf(lcores, sizeof(lcores), "--lcores=0@(%s)", cpulist_allowed(cpus, sizeof(cpus)));
	snprintf(mem, sizeof(mem), "%u", mb);
	argv[argc++] = "lanyard-traffic";
	argv[argc++] = "--no-pci";
	argv[argc++] = "--no-telemetry";
	argv[argc++] = "--log-level=*:error";
	argv[argc++] = lcores;
	argv[argc++] = "-m";
	argv[argc++] = mem;
	if (o->no_huge) {
		argv[argc++] = "--no-huge"; /* a memfd, so it can be shared all the same */
		argv[argc++] = "--no-shconf";
	} else {
		argv[argc++] = "--in-memory";
		/* vhost-user hands over at most 8 regions, so not a file a page. */
		argv[argc++] = "--single-file-segments";
	}
	argv[argc] = NULL;
	rte_openlog_stream(stderr);
	if (rte_eal_init(argc, argv) < 0)
		return err_host(e, rte_errno ? -rte_errno : -EIO,
			"DPDK's environment can't be started with %u MiB: %s. Free hugepages "
			"(sysctl vm.nr_hugepages=1024), or --no-huge",
			mb, rte_strerror(rte_errno));
	return 0;
}

void tg_eal_stop(void)
{
	rte_eal_cleanup();
}

/* Why it did not come up, in a sentence: virtio-user says it in numbers. */
static int device_failed(const struct tg_options *o, uint32_t i, int code, struct err *e)
{
	int fd;

	if (!o->server) {
		fd = fd_unix_connect(o->socket[i], CONNECT_MS, e);
		if (fd < 0)
			return fd;
		fd_close(&fd);
	}
	return err_set(e, code, "%s: DPDK's virtio-user does not come up with it: %s", o->socket[i],
		err_str(code));
}

int tg_device_make(const struct tg_options *o, uint32_t i, uint16_t *ethdev, struct err *e)
{
	char name[32], args[512], mac[ETHER_MAC_STR];
	int ret;

	ret = fd_unix_path_check(o->socket[i], e);
	if (ret)
		return ret;
	snprintf(name, sizeof(name), "net_virtio_user%u", i);
	snprintf(args, sizeof(args),
		"path=%s,mac=%s,queues=1,queue_size=%u,server=%d,packed_vq=%d,mrg_rxbuf=%d,"
		"in_order=%d,vectorized=%d",
		o->socket[i], ether_mac_str(o->mac[i], mac), o->queue_size, o->server,
		o->packed || o->port_packed[i], o->mergeable && !o->port_unmergeable[i],
		o->in_order, o->vectorized);
	/* Not by rte_eal_hotplug_add(): that takes 127 characters from DPDK 24.11 on. */
	ret = rte_vdev_init(name, args);
	if (ret == 0)
		ret = rte_eth_dev_get_port_by_name(name, ethdev);
	return ret ? device_failed(o, i, ret, e) : 0;
}

/* Over a tenth of a second, which makes it right to some millionths. */
uint64_t tg_tsc_measure(void)
{
	struct timespec a, b, nap = { .tv_nsec = 100000000 };
	uint64_t from, to;
	double s;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	from = traffic_tsc();
	nanosleep(&nap, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	to = traffic_tsc();
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	return (uint64_t)((double)(to - from) / s);
}

uint64_t tg_tsc_hz(void)
{
	return rte_get_tsc_hz();
}

const char *tg_dpdk_version(void)
{
	return rte_version();
}
