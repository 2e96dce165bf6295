/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Front ends that are set up wrong in ways that look like silence: their memory is not shared, or
 * their MTU is not the network's. Each is said once in the log, with what to do, and the memory's
 * trouble in `stats` as the port's reason. All functions hold sw->lock.
 */
#include "vswitch/switch.h"

#include <stddef.h>

#include "base/log.h"

#define SHARE_IT                                                         \
	"give the VM memory that can be shared, such as QEMU's "         \
	"-object memory-backend-memfd,id=mem,size=1G,share=on -machine " \
	"memory-backend=mem (libvirt: memoryBacking with access mode shared)"

#define NOT_MAPPED \
	"the front end's memory can't be mapped: it came without a file, or none can map it; " SHARE_IT

static const char not_shared[] =
	"the guest kicks, but its rings stay empty: its memory is mapped privately; " SHARE_IT;

/* A driver that kicks a ring so often without an entry in it does not exist; but a VMM kicks each
 * ring once when it starts. */
#define KICKS_IN_VAIN 3

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

void sw_trouble_mem_done(struct sw_port *p)
{
	p->mem_asked = 0;
	p->trouble = NULL;
	p->in_kicks = 0;
}

void sw_trouble_mem_refused(struct sw_port *p)
{
	if (p->mem_asked)
		trouble_set(p, NOT_MAPPED);
	p->mem_asked = 0;
}

/* Has any input ring ever held an entry? The worker's fields may change while they are read; but a
 * ring that was used at all has counted frames, and is not looked at again. */
static bool has_sent(const struct sw_port *p)
{
	for (uint32_t i = 0; i < p->queues; i++) {
		const struct dp_inq *q = p->in[i];

		if (q && (dp_counter_read(&q->stats->traffic.frames) || ring_has_history(&q->ring)))
			return true;
	}
	return false;
}

/* Kicks for input rings that have never held an entry. */
static void kicks_in_vain(struct sw *sw, struct sw_port *p)
{
	if (has_sent(p)) {
		if (p->trouble == not_shared)
			p->trouble = NULL;
		return;
	}
	sw_port_kicks(sw, p);
	if (p->in_kicks >= KICKS_IN_VAIN)
		trouble_set(p, not_shared);
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
		if (p->mem && p->in[0] && (!p->trouble || p->trouble == not_shared))
			kicks_in_vain(sw, p);
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
