/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A as the guest sees it, with deep FIFOs (docs/control.md). Pure: bytes go in and out by
 * uart_rx_push and uart_tx_take, and uart_irq says the level of its interrupt line. The caller
 * locks. Nothing is lost towards the guest: a full receive FIFO takes no more, and FCR's "clear"
 * leaves what has come.
 */
#ifndef LANYARD_VMM_UART_H
#define LANYARD_VMM_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UART_FIFO_BYTES (64u << 10) /* each way; a power of two */
#define UART_PORTS      8

struct uart_fifo {
	uint8_t *bytes;      /* UART_FIFO_BYTES */
	uint32_t head, tail; /* free-running: head - tail bytes are in it */
};

struct uart {
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	bool thr_irq; /* the transmitter-empty interrupt is pending */
	bool overrun;
	struct uart_fifo rx, tx;
	uint64_t dropped; /* bytes sent by the guest into a full FIFO */
};

/* -ENOMEM. uart_free after a failure too. */
int uart_init(struct uart *u);
void uart_free(struct uart *u);
/* Registers as at reset. Bytes that wait for the guest stay; those on their way out too. */
void uart_reset(struct uart *u);

uint8_t uart_read(struct uart *u, unsigned reg);
void uart_write(struct uart *u, unsigned reg, uint8_t v);
bool uart_irq(const struct uart *u);

size_t uart_rx_room(const struct uart *u);
size_t uart_rx_count(const struct uart *u);
size_t uart_tx_room(const struct uart *u);
size_t uart_tx_count(const struct uart *u);
/* How many of len were taken. */
size_t uart_rx_push(struct uart *u, const void *buf, size_t len);
/* Up to len of the bytes that leave; they stay until dropped, so that a short write loses none. */
size_t uart_tx_peek(const struct uart *u, void *buf, size_t len);
void uart_tx_drop(struct uart *u, size_t len);

#endif
