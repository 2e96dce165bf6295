/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/nic_features.h"

/* What only the back end can do. Of these, the last two groups are offered only if it was seen to
 * have them: a guest that relies on them would get no link from a back end without. */
#define BACKEND_BASE                                                           \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | \
		VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX))
#define BACKEND_ORDER  VIRTIO_BIT(VIRTIO_F_IN_ORDER)
#define BACKEND_PACKED VIRTIO_BIT(VIRTIO_F_RING_PACKED)
/* UFO is not among them: Linux gave it up in 2017. */
#define BACKEND_OFFLOADS                                                                 \
	(VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) |            \
		VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) | \
		NIC_FEATURES_GUEST_OFFLOADS)

#define TSO(dir) (VIRTIO_BIT(VIRTIO_NET_F_##dir##_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_##dir##_TSO6))

/* A feature, and those of which it needs one (5.1.3.1). */
static const struct {
	unsigned bit;
	uint64_t any_of;
} needs[] = {
	{ VIRTIO_NET_F_GUEST_TSO4, VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_TSO6, VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_ECN, TSO(GUEST) },
	{ VIRTIO_NET_F_HOST_TSO4, VIRTIO_BIT(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_TSO6, VIRTIO_BIT(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_ECN, TSO(HOST) },
	{ VIRTIO_NET_F_CTRL_RX, VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_CTRL_VLAN, VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_CTRL_RX_EXTRA, VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_MQ, VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) },
};

uint64_t nic_features_offer(const struct nic_offer *o)
{
	uint64_t f = BACKEND_BASE;

	if (o->seen) {
		f |= BACKEND_ORDER;
		f |= o->packed ? BACKEND_PACKED : 0;
		f |= o->offloads ? BACKEND_OFFLOADS : 0;
		f &= o->backend;
	}
	f |= NIC_FEATURES_OURS;
	if (!o->mtu)
		f &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
	/* Of a back end never seen all pairs are expected: one that has less is refused later. */
	if (o->pairs < 2 || (o->seen && o->backend_pairs < o->pairs))
		f &= ~VIRTIO_BIT(VIRTIO_NET_F_MQ);
	/* A back end's set may be odd; twice, since what is left out may be needed in turn. */
	for (unsigned i = 0; i < 2 * sizeof(needs) / sizeof(needs[0]); i++) {
		unsigned k = i % (sizeof(needs) / sizeof(needs[0]));

		if (!(f & needs[k].any_of))
			f &= ~VIRTIO_BIT(needs[k].bit);
	}
	if (!(f & NIC_FEATURES_GUEST_OFFLOADS))
		f &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	return f;
}

bool nic_features_fit(uint64_t acked)
{
	for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if ((acked & VIRTIO_BIT(needs[i].bit)) && !(acked & needs[i].any_of))
			return false;
	return true;
}
