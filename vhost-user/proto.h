/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user on the wire: the structs and numbers of the protocol (QEMU's docs/interop/
 * vhost-user.rst), for a front end. All fields are little endian (the document says native, and
 * we are x86-64). Nothing here does anything; messages.c holds the table of messages.
 */
#ifndef LANYARD_VHOST_USER_PROTO_H
#define LANYARD_VHOST_USER_PROTO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define VU_VERSION         0x1u
#define VU_VERSION_MASK    0x3u
#define VU_FLAG_REPLY      (1u << 2)
#define VU_FLAG_NEED_REPLY (1u << 3)

#define VU_REGIONS_MAX 8
#define VU_CONFIG_MAX  256

/* Feature bit 30: there are protocol features, and rings start disabled. */
#define VU_F_PROTOCOL_FEATURES 30

enum vu_protocol_feature {
	VU_PF_MQ = 0,
	VU_PF_LOG_SHMFD = 1,
	VU_PF_RARP = 2,
	VU_PF_REPLY_ACK = 3,
	VU_PF_NET_MTU = 4,
	VU_PF_BACKEND_REQ = 5,
	VU_PF_CONFIG = 9,
	VU_PF_INFLIGHT_SHMFD = 12,
	VU_PF_RESET_DEVICE = 13,
	VU_PF_MEM_SLOTS = 15,
};

/* X(name, number, request bytes min, max, reply bytes min, max (0: none), fds min, max) */
#define VU_MESSAGES(X)                                        \
	X(GET_FEATURES, 1, 0, 0, 8, 8, 0, 0)                  \
	X(SET_FEATURES, 2, 8, 8, 0, 0, 0, 0)                  \
	X(SET_OWNER, 3, 0, 0, 0, 0, 0, 0)                     \
	X(SET_MEM_TABLE, 5, 40, 264, 0, 0, 1, VU_REGIONS_MAX) \
	X(SET_VRING_NUM, 8, 8, 8, 0, 0, 0, 0)                 \
	X(SET_VRING_ADDR, 9, 40, 40, 0, 0, 0, 0)              \
	X(SET_VRING_BASE, 10, 8, 8, 0, 0, 0, 0)               \
	X(GET_VRING_BASE, 11, 8, 8, 8, 8, 0, 0)               \
	X(SET_VRING_KICK, 12, 8, 8, 0, 0, 0, 1)               \
	X(SET_VRING_CALL, 13, 8, 8, 0, 0, 0, 1)               \
	X(SET_VRING_ERR, 14, 8, 8, 0, 0, 0, 1)                \
	X(GET_PROTOCOL_FEATURES, 15, 0, 0, 8, 8, 0, 0)        \
	X(SET_PROTOCOL_FEATURES, 16, 8, 8, 0, 0, 0, 0)        \
	X(GET_QUEUE_NUM, 17, 0, 0, 8, 8, 0, 0)                \
	X(SET_VRING_ENABLE, 18, 8, 8, 0, 0, 0, 0)             \
	X(NET_SET_MTU, 20, 8, 8, 0, 0, 0, 0)                  \
	X(GET_CONFIG, 24, 13, 268, 12, 268, 0, 0)             \
	X(SET_CONFIG, 25, 13, 268, 0, 0, 0, 0)

enum vu_request {
#define X(name, number, ...) VU_##name = (number),
	VU_MESSAGES(X)
#undef X
		VU_REQUEST_MAX = 44,
};

struct vu_header {
	le32_t request;
	le32_t flags;
	le32_t size; /* of the payload */
};
static_assert(sizeof(struct vu_header) == 12, "vhost-user header");

struct vu_vring_state {
	le32_t index;
	le32_t num;
};
static_assert(sizeof(struct vu_vring_state) == 8, "vring state");

/* The document's "ring address description": used comes before avail. User addresses. */
struct vu_vring_addr {
	le32_t index;
	le32_t flags;
	le64_t desc;
	le64_t used;
	le64_t avail;
	le64_t log;
};
static_assert(sizeof(struct vu_vring_addr) == 40, "vring addresses");

struct vu_mem_region {
	le64_t gpa;
	le64_t size;
	le64_t user_addr;
	le64_t mmap_offset;
};
static_assert(sizeof(struct vu_mem_region) == 32, "memory region");

struct vu_mem_table {
	le32_t n_regions;
	le32_t padding;
	struct vu_mem_region region[VU_REGIONS_MAX];
};
static_assert(sizeof(struct vu_mem_table) == 264, "memory table");

struct vu_config {
	le32_t offset;
	le32_t size;
	le32_t flags;
	uint8_t data[VU_CONFIG_MAX];
};
static_assert(sizeof(struct vu_config) == 268, "device configuration");

/* Payloads of SET_VRING_KICK, CALL and ERR: the index, and whether no fd comes with it. */
#define VU_VRING_INDEX_MASK 0xffull
#define VU_VRING_NO_FD      (1ull << 8)

union vu_payload {
	le64_t u64;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_mem_table mem;
	struct vu_config config;
	uint8_t bytes[268];
};
static_assert(sizeof(union vu_payload) == 272, "payload"); /* aligned to 8 */

struct vu_message {
	struct vu_header h;
	union vu_payload p;
};
static_assert(offsetof(struct vu_message, p) == 16, "payload is sent apart from the header");

/* What may be in a message; NULL name: not a message of ours. */
struct vu_op {
	const char *name;
	uint16_t request_min, request_max; /* bytes of payload */
	uint16_t reply_min, reply_max; /* 0, 0: no reply of its own (REPLY_ACK may ask for one) */
	uint8_t fds_min, fds_max;
};

/* The row for a request number, or NULL. */
const struct vu_op *vu_op_of(uint32_t request);

/* Feature-bit names: "VERSION_1" for 32 and so on; NULL if the bit has none. */
const char *vu_net_feature_name(unsigned bit);
const char *vu_blk_feature_name(unsigned bit);
const char *vu_fs_feature_name(unsigned bit);

/* What a back end is for. The protocol has no message that says so: this is a guess by what it
 * offers (all of its features and protocol features), to tell apart sockets that were mixed up. */
enum vu_kind { VU_KIND_ANY, VU_KIND_NET, VU_KIND_BLK, VU_KIND_FS };
enum vu_kind vu_kind_guess(uint64_t features, uint64_t protocol);
const char *vu_kind_name(enum vu_kind kind);

#endif
