/* SPDX-License-Identifier: Apache-2.0 */
/* The table of vhost-user messages and of feature names: data, checked before anything is sent
 * or believed. Pure. */
#include "vhost-user/proto.h"

static const struct vu_op vu_ops[VU_REQUEST_MAX] = {
#define X(id, number, rmin, rmax, pmin, pmax, fmin, fmax) \
	[number] = {                                      \
		.name = #id,                              \
		.request_min = rmin,                      \
		.request_max = rmax,                      \
		.reply_min = pmin,                        \
		.reply_max = pmax,                        \
		.fds_min = fmin,                          \
		.fds_max = fmax,                          \
	},
	VU_MESSAGES(X)
#undef X
};

const struct vu_op *vu_op_of(uint32_t request)
{
	if (request >= VU_REQUEST_MAX || !vu_ops[request].name)
		return NULL;
	return &vu_ops[request];
}

/* virtio 1.2, 6: of the ring, not of what the device does. */
static const char *const ring_features[64] = {
	[24] = "NOTIFY_ON_EMPTY",
	[26] = "LOG_ALL",
	[28] = "INDIRECT_DESC",
	[29] = "EVENT_IDX",
	[30] = "PROTOCOL_FEATURES",
	[32] = "VERSION_1",
	[33] = "ACCESS_PLATFORM",
	[34] = "RING_PACKED",
	[35] = "IN_ORDER",
	[36] = "ORDER_PLATFORM",
	[38] = "NOTIFICATION_DATA",
	[40] = "RING_RESET",
};

/* 5.1.3 */
static const char *const net_features[64] = {
	[0] = "CSUM",
	[1] = "GUEST_CSUM",
	[2] = "CTRL_GUEST_OFFLOADS",
	[3] = "MTU",
	[5] = "MAC",
	[7] = "GUEST_TSO4",
	[8] = "GUEST_TSO6",
	[9] = "GUEST_ECN",
	[10] = "GUEST_UFO",
	[11] = "HOST_TSO4",
	[12] = "HOST_TSO6",
	[13] = "HOST_ECN",
	[14] = "HOST_UFO",
	[15] = "MRG_RXBUF",
	[16] = "STATUS",
	[17] = "CTRL_VQ",
	[18] = "CTRL_RX",
	[19] = "CTRL_VLAN",
	[21] = "GUEST_ANNOUNCE",
	[22] = "MQ",
	[23] = "CTRL_MAC_ADDR",
	[57] = "HASH_REPORT",
	[60] = "RSS",
	[63] = "SPEED_DUPLEX",
};

/* 5.2.3 */
static const char *const blk_features[64] = {
	[1] = "SIZE_MAX",
	[2] = "SEG_MAX",
	[4] = "GEOMETRY",
	[5] = "RO",
	[6] = "BLK_SIZE",
	[9] = "FLUSH",
	[10] = "TOPOLOGY",
	[11] = "CONFIG_WCE",
	[12] = "MQ",
	[13] = "DISCARD",
	[14] = "WRITE_ZEROES",
	[15] = "LIFETIME",
	[16] = "SECURE_ERASE",
};

static const char *feature_name(const char *const names[64], unsigned bit)
{
	if (bit >= 64)
		return NULL;
	return names && names[bit] ? names[bit] : ring_features[bit];
}

const char *vu_net_feature_name(unsigned bit)
{
	return feature_name(net_features, bit);
}

const char *vu_blk_feature_name(unsigned bit)
{
	return feature_name(blk_features, bit);
}

const char *vu_fs_feature_name(unsigned bit)
{
	return feature_name(NULL, bit);
}

enum {
	NET_CSUM = 0,
	NET_GUEST_CSUM = 1,
	NET_MRG_RXBUF = 15,
	BLK_SEG_MAX = 2,
	BLK_BLK_SIZE = 6,
	BLK_FLUSH = 9,
	DEVICE_BITS = 24, /* bits below are the device type's own (6) */
};

/* A disk says its size by GET_CONFIG and nearly always its block size; ports of switches have
 * mergeable buffers or checksums, and the messages of a NIC; virtiofsd has nothing of its own, but
 * what its library has. */
enum vu_kind vu_kind_guess(uint64_t features, uint64_t protocol)
{
	uint64_t own = features & ((1ull << DEVICE_BITS) - 1);

	if (protocol & (1ull << VU_PF_NET_MTU | 1ull << VU_PF_RARP) || own & 1ull << NET_MRG_RXBUF)
		return VU_KIND_NET;
	if (protocol & 1ull << VU_PF_CONFIG &&
		own & (1ull << BLK_SEG_MAX | 1ull << BLK_BLK_SIZE | 1ull << BLK_FLUSH))
		return VU_KIND_BLK;
	if (own & (1ull << NET_CSUM | 1ull << NET_GUEST_CSUM))
		return VU_KIND_NET;
	if (own || !(protocol & (1ull << VU_PF_BACKEND_REQ | 1ull << VU_PF_MEM_SLOTS)))
		return VU_KIND_ANY; /* too bare to tell */
	return VU_KIND_FS;
}

const char *vu_kind_name(enum vu_kind kind)
{
	static const char *const names[] = {
		[VU_KIND_ANY] = "a device that is not known here",
		[VU_KIND_NET] = "a network port (a switch's, say)",
		[VU_KIND_BLK] = "a disk (qemu-storage-daemon, say)",
		[VU_KIND_FS] = "no disk and no network port (virtiofsd, say)",
	};

	return names[kind];
}
