/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcapng, as far as we need it: one section, one Ethernet interface, nanoseconds. What the switch
 * writes, `lanyard capture` reads, and Wireshark, tshark and tcpdump do. "PCAP Next Generation
 * (pcapng) Capture File Format", draft-ietf-opsawg-pcapng.
 *
 *	SHB IDB (EPB | ISB)* ISB	the last ISB alone says when the capture ended
 *
 * Writers put one whole block at out, which has room for it, and return its bytes: a multiple of 4.
 */
#ifndef LANYARD_BASE_PCAPNG_H
#define LANYARD_BASE_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pcapng_type {
	PCAPNG_SHB = 0x0a0d0d0a, /* section header */
	PCAPNG_IDB = 1,          /* interface description */
	PCAPNG_ISB = 5,          /* interface statistics */
	PCAPNG_EPB = 6,          /* a packet */
};

/* epb_flags, bits 0 and 1. */
enum pcapng_dir { PCAPNG_DIR_UNKNOWN, PCAPNG_INBOUND, PCAPNG_OUTBOUND };

#define PCAPNG_TEXT_MAX  255  /* bytes that are written of a text option */
#define PCAPNG_HEAD_MAX  1024 /* of SHB and IDB together */
#define PCAPNG_EPB_EXTRA 52   /* the most that an EPB is longer than its packet's bytes */
#define PCAPNG_ISB_MAX   96

struct pcapng_packet {
	uint64_t time_ns; /* since the epoch */
	uint32_t cap_len; /* bytes that are here */
	uint32_t len;     /* of the packet */
	enum pcapng_dir dir;
	const uint8_t *data;
};

struct pcapng_stats {
	uint64_t time_ns, start_ns;
	uint64_t end_ns;   /* 0: it goes on */
	uint64_t received; /* packets of the interface, kept or not */
	uint64_t dropped;  /* that were not kept */
};

size_t pcapng_put_shb(uint8_t *out, const char *application);
/* snaplen 0: no limit. */
size_t pcapng_put_idb(uint8_t *out, const char *name, const char *description, uint32_t snaplen);
size_t pcapng_put_epb(uint8_t *out, const struct pcapng_packet *p);
size_t pcapng_put_isb(uint8_t *out, const struct pcapng_stats *s);

struct pcapng_block {
	uint32_t type; /* enum pcapng_type, or one that we don't know */
	uint32_t body_len;
	const uint8_t *body;
};

/* The block that begins at buf. Returns its bytes; 0: more than len are needed; -EINVAL: this is
 * no pcapng of this machine's byte order. */
long pcapng_block(const uint8_t *buf, size_t len, struct pcapng_block *b);

/* -EINVAL: the block's fields contradict each other. b->type has been looked at. */
int pcapng_get_epb(const struct pcapng_block *b, struct pcapng_packet *p);
int pcapng_get_isb(const struct pcapng_block *b, struct pcapng_stats *s);

#endif
