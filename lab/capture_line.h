/* SPDX-License-Identifier: Apache-2.0 */
/* A captured frame in a line of text: what `lanyard capture` prints to people. Pure. */
#ifndef LANYARD_LAB_CAPTURE_LINE_H
#define LANYARD_LAB_CAPTURE_LINE_H

#include <stddef.h>

#include "base/pcapng.h"

#define CAPTURE_LINE_MAX 256 /* bytes, with the line's end and NUL */

/*
 * "21:05:25.123456789 rx 02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 10 IPv4 1514 bytes\n" to
 * out[CAPTURE_LINE_MAX], local time; rx: from the guest into the switch. Returns the length.
 */
size_t capture_line(char *out, const struct pcapng_packet *p);

#endif
