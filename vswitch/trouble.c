/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Front ends that are set up wrong in ways that look like silence: their memory is not shared, or
 * their MTU is not the network's. Each is said once in the log, with what to do, and the memory's
 * trouble in `stats` as the port's reason. All functions hold sw->lock.
 */
#include "vswitch/switch.h"

#include <rte_vhost.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/log.h"

#define SHARE_IT                                                         \
	"give the VM memory that can be shared, such as QEMU's "         \
	"-object memory-backend-memfd,id=mem,size=1G,share=on -machine " \
	"memory-backend=mem (libvirt: memoryBacking with access mode shared)"

#define NOT_MAPPED \
	"the front end's memory can't be mapped: it came without a file, or none can map it; " SHARE_IT

static const char not_shared[] =
	"the front end has mapped its memory privately, so that what the guest writes never reaches "
	"us; " SHARE_IT;

static void trouble_set(struct sw_port *p, const char *text)
{
	if (p->trouble != text)
		log_error("port %s: %s", p->name, text);
	p->trouble = text;
}

void sw_trouble_mem_asked(struct sw_port *p)
{
	p->mem_asked = 1;
}

/* How a process has mapped a file: as /proc/PID/maps tells. */
static bool is_mapped_privately(pid_t pid, const struct stat *file)
{
	char path[32], line[512];
	bool shared = false, private = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	while (maps && !shared && fgets(line, sizeof(line), maps)) {
		unsigned major, minor;
		unsigned long inode;
		char perms[5];

		if (sscanf(line, "%*x-%*x %4s %*x %x:%x %lu", perms, &major, &minor, &inode) != 4 ||
			inode != file->st_ino || makedev(major, minor) != file->st_dev)
			continue;
		shared = perms[3] == 's';
		private = true;
	}
	if (maps)
		fclose(maps);
	return private && !shared;
}

static bool memory_is_private(const struct sw_port *p)
{
	struct rte_vhost_memory *m = NULL;
	bool private = false;
	struct stat st;

	if (!p->pid || rte_vhost_get_mem_table(p->vid, &m))
		return false;
	for (uint32_t i = 0; i < m->nregions && !private; i++)
		private = fstat(m->regions[i].fd, &st) == 0 && is_mapped_privately(p->pid, &st);
	free(m);
	return private;
}

void sw_trouble_mem_done(struct sw_port *p)
{
	p->mem_asked = 0;
	p->trouble = NULL;
	if (memory_is_private(p))
		trouble_set(p, not_shared);
}

void sw_trouble_mem_refused(struct sw_port *p)
{
	if (p->mem_asked)
		trouble_set(p, NOT_MAPPED);
	p->mem_asked = 0;
}

void sw_trouble_tick(struct sw *sw)
{
	for (uint32_t id = 0; id < sw->n_ports; id++) {
		struct sw_port *p = sw->ports[id];

		if (!p)
			continue;
		/* The message fails, but the connection stays: nobody else tells us. */
		if (p->mem_asked && p->mem_asked++ > 1)
			sw_trouble_mem_refused(p);
	}
}

bool sw_trouble_mtu(const struct sw *sw, const struct sw_port *p, uint64_t mtu)
{
	const struct sw_net *n = &sw->nets[p->net];

	if (mtu <= n->mtu)
		return false;
	log_error("port %s: the front end wants an MTU of %llu, but network %s has %u: set its "
		  "host_mtu to that, or give the network a greater one",
		p->name, (unsigned long long)mtu, n->name, n->mtu);
	return true;
}
