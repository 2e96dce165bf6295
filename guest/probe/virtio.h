/* SPDX-License-Identifier: Apache-2.0 */
/* Wire structures of virtio 1.2: split virtqueues (2.7), PCI transport (4.1), network (5.1). */
#ifndef LANYARD_PROBE_VIRTIO_H
#define LANYARD_PROBE_VIRTIO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTIO_STATUS_ACKNOWLEDGE 1
#define VIRTIO_STATUS_DRIVER      2
#define VIRTIO_STATUS_DRIVER_OK   4
#define VIRTIO_STATUS_FEATURES_OK 8
#define VIRTIO_STATUS_NEEDS_RESET 64
#define VIRTIO_STATUS_FAILED      128

#define VIRTIO_NET_F_MTU       (1ull << 3)
#define VIRTIO_NET_F_MAC       (1ull << 5)
#define VIRTIO_NET_F_MRG_RXBUF (1ull << 15)
#define VIRTIO_NET_F_STATUS    (1ull << 16)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

#define VIRTIO_NET_S_LINK_UP 1

/* 2.7.5 */
struct vring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
#define VRING_DESC_F_WRITE 2

/* 2.7.6; after ring[] comes used_event */
struct vring_avail {
	uint16_t flags, idx;
	uint16_t ring[];
};
#define VRING_AVAIL_F_NO_INTERRUPT 1

/* 2.7.8; after ring[] comes avail_event */
struct vring_used_elem {
	uint32_t id, len;
};
struct vring_used {
	uint16_t flags, idx;
	struct vring_used_elem ring[];
};
#define VRING_USED_F_NO_NOTIFY 1

/* 4.1.4: vendor capability (id 9) */
#define VIRTIO_PCI_CAP_COMMON 1
#define VIRTIO_PCI_CAP_NOTIFY 2
#define VIRTIO_PCI_CAP_DEVICE 4

/* 4.1.4.3 */
struct virtio_common {
	uint32_t device_feature_select, device_feature;
	uint32_t driver_feature_select, driver_feature;
	uint16_t config_msix_vector, num_queues;
	uint8_t device_status, config_generation;
	uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	uint32_t queue_desc_lo, queue_desc_hi;
	uint32_t queue_driver_lo, queue_driver_hi;
	uint32_t queue_device_lo, queue_device_hi;
};
static_assert(sizeof(struct virtio_common) == 56, "virtio 1.2, 4.1.4.3");
#define VIRTIO_MSI_NO_VECTOR 0xffff

/* 5.1.4 */
struct virtio_net_config {
	uint8_t mac[6];
	uint16_t status, max_virtqueue_pairs, mtu;
};
static_assert(sizeof(struct virtio_net_config) == 12, "virtio 1.2, 5.1.4");

/* 5.1.6 */
struct virtio_net_hdr {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct virtio_net_hdr) == 12, "virtio 1.2, 5.1.6");

/* 2.7.10: true if the other side, which asked to hear of index `event`, is to be told now. */
static inline int vring_need_event(uint16_t event, uint16_t now, uint16_t before)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

#endif
