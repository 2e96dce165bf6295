/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial line: a UART at one end; at the other a UNIX stream socket (one client at a time), a
 * pseudo-terminal or the terminal that we were started from, and perhaps a log file.
 *
 * vCPU threads call serial_pio; the main thread's loop moves bytes between the FIFOs and the
 * client. The lock is held for register accesses and copies of at most a FIFO, never over a wait. A
 * vCPU wakes the main thread when there is something to send where there was nothing, and when a
 * full receive FIFO has room again.
 *
 * The console (COM1) shows a new client what was printed last. The agent line (COM2) is for
 * JSON lines of one client after the other: what was meant for a client that left is not given to
 * the next, and a request that it left half said is ended by a newline.
 */
#ifndef LANYARD_VMM_SERIAL_H
#define LANYARD_VMM_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "vmm/kvm.h"

struct serial;

struct serial_setup {
	const char *name; /* "console", "agent": for messages */
	/* At most one of these three; none: nobody can connect. */
	const char *socket;
	const char *pty; /* path of the link to the slave */
	bool stdio;
	void (*escape)(void *arg); /* the user of stdio typed Ctrl-A X */
	void *escape_arg;

	const char *log;  /* or NULL; truncated when opened */
	bool scrollback;  /* a new client is shown the last output */
	const char *busy; /* line for a second client */
	uint32_t irq;
};

int serial_new(const struct serial_setup *s, struct loop *l, struct kvm *k, struct serial **out,
	struct err *e);
/* Unlinks the socket or link, restores the terminal. What the guest printed last still reaches the
 * log and the client. */
void serial_free(struct serial *s);
void serial_reset(struct serial *s); /* machine reset */

/* count accesses of one byte each at register reg (rep insb / outsb). */
void serial_pio(struct serial *s, unsigned reg, uint8_t *data, unsigned count, bool out);
/* Bytes in the receive FIFO; bytes that may be sent. */
uint32_t serial_rx_count(struct serial *s);
uint32_t serial_tx_room(struct serial *s);

#endif
