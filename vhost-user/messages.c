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

/* virtio 1.2, 5.1.3 and 6. */
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
	[57] = "HASH_REPORT",
	[60] = "RSS",
	[63] = "SPEED_DUPLEX",
};

const char *vu_net_feature_name(unsigned bit)
{
	return bit < 64 ? net_features[bit] : NULL;
}
