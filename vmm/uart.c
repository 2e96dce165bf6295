/* SPDX-License-Identifier: Apache-2.0 */
/* A 16550A: see uart.h. Source: National's PC16550D data sheet. */
#include "vmm/uart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	REG_DATA = 0, /* RBR, THR; DLL with DLAB */
	REG_IER = 1,  /* DLM with DLAB */
	REG_IIR = 2,  /* FCR when written */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,

	IER_RX = 0x01,
	IER_THR = 0x02,
	IER_LINE = 0x04,
	IIR_NONE = 0x01,
	IIR_THR = 0x02,
	IIR_RX = 0x04,
	IIR_LINE = 0x06,
	IIR_FIFO = 0xc0,
	FCR_ENABLE = 0x01,
	LCR_DLAB = 0x80,
	MCR_LOOP = 0x10,
	LSR_DATA = 0x01,
	LSR_OVERRUN = 0x02,
	LSR_THR_EMPTY = 0x20,
	LSR_IDLE = 0x40,
	MSR_ALWAYS = 0xb0, /* CTS, DSR, DCD */
};

static uint32_t fifo_count(const struct uart_fifo *f)
{
	return f->head - f->tail;
}

static void fifo_put(struct uart_fifo *f, uint8_t b)
{
	f->bytes[f->head++ & (UART_FIFO_BYTES - 1)] = b;
}

int uart_init(struct uart *u)
{
	*u = (struct uart){ 0 };
	/* Untouched pages of them cost nothing. */
	u->rx.bytes = malloc(UART_FIFO_BYTES);
	u->tx.bytes = malloc(UART_FIFO_BYTES);
	uart_reset(u);
	return u->rx.bytes && u->tx.bytes ? 0 : -ENOMEM;
}

void uart_free(struct uart *u)
{
	free(u->rx.bytes);
	free(u->tx.bytes);
	u->rx.bytes = u->tx.bytes = NULL;
}

void uart_reset(struct uart *u)
{
	u->ier = u->lcr = u->scr = u->fcr = u->dlm = 0;
	u->mcr = 0x08;
	u->dll = 1; /* 115200 */
	u->thr_irq = u->overrun = false;
}

size_t uart_rx_count(const struct uart *u)
{
	return fifo_count(&u->rx);
}

size_t uart_rx_room(const struct uart *u)
{
	return UART_FIFO_BYTES - fifo_count(&u->rx);
}

size_t uart_tx_count(const struct uart *u)
{
	return fifo_count(&u->tx);
}

size_t uart_tx_room(const struct uart *u)
{
	return UART_FIFO_BYTES - fifo_count(&u->tx);
}

size_t uart_rx_push(struct uart *u, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t n = len < uart_rx_room(u) ? len : uart_rx_room(u);

	for (size_t i = 0; i < n; i++)
		fifo_put(&u->rx, p[i]);
	return n;
}

size_t uart_tx_peek(const struct uart *u, void *buf, size_t len)
{
	uint8_t *p = buf;
	size_t n = len < uart_tx_count(u) ? len : uart_tx_count(u);

	for (size_t i = 0; i < n; i++)
		p[i] = u->tx.bytes[(u->tx.tail + i) & (UART_FIFO_BYTES - 1)];
	return n;
}

void uart_tx_drop(struct uart *u, size_t len)
{
	bool was_full = !uart_tx_room(u);

	u->tx.tail += (uint32_t)len;
	if (was_full && len)
		u->thr_irq = true;
}

static uint8_t iir_value(const struct uart *u)
{
	if ((u->ier & IER_LINE) && u->overrun)
		return IIR_LINE;
	if ((u->ier & IER_RX) && uart_rx_count(u))
		return IIR_RX;
	if ((u->ier & IER_THR) && u->thr_irq)
		return IIR_THR;
	return IIR_NONE;
}

bool uart_irq(const struct uart *u)
{
	return iir_value(u) != IIR_NONE;
}

static uint8_t data_read(struct uart *u)
{
	return uart_rx_count(u) ? u->rx.bytes[u->rx.tail++ & (UART_FIFO_BYTES - 1)] : 0;
}

static void data_write(struct uart *u, uint8_t v)
{
	if (u->mcr & MCR_LOOP) {
		u->overrun |= uart_rx_push(u, &v, 1) == 0;
	} else if (uart_tx_room(u)) {
		fifo_put(&u->tx, v);
	} else {
		u->dropped++;
	}
	/* As it would be once the byte was sent, which here is at once unless the FIFO is full. */
	u->thr_irq = uart_tx_room(u) != 0;
}

static uint8_t lsr_read(struct uart *u)
{
	uint8_t v = 0;

	if (uart_rx_count(u))
		v |= LSR_DATA;
	if (u->overrun)
		v |= LSR_OVERRUN;
	if (uart_tx_room(u))
		v |= LSR_THR_EMPTY;
	if (!uart_tx_count(u))
		v |= LSR_IDLE;
	else if (uart_tx_room(u) >= UART_FIFO_BYTES / 2)
		v |= LSR_IDLE; /* drivers wait for it before they sleep: our FIFO is the wire */
	u->overrun = false;
	return v;
}

static uint8_t iir_read(struct uart *u)
{
	uint8_t v = iir_value(u);

	if (v == IIR_THR)
		u->thr_irq = false;
	return v | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* In loop-back mode the modem outputs are the modem inputs. */
static uint8_t msr_read(const struct uart *u)
{
	uint8_t m = u->mcr;

	if (!(m & MCR_LOOP))
		return MSR_ALWAYS;
	return (uint8_t)((m & 0x02) << 3 | (m & 0x01) << 5 | (m & 0x04) << 4 | (m & 0x08) << 4);
}

uint8_t uart_read(struct uart *u, unsigned reg)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? u->dll : data_read(u);
	case REG_IER:
		return dlab ? u->dlm : u->ier;
	case REG_IIR:
		return iir_read(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return lsr_read(u);
	case REG_MSR:
		return msr_read(u);
	default:
		return reg == REG_SCR ? u->scr : 0xff;
	}
}

void uart_write(struct uart *u, unsigned reg, uint8_t v)
{
	bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->dll = v;
		else
			data_write(u, v);
		break;
	case REG_IER:
		if (dlab) {
			u->dlm = v;
			break;
		}
		if ((v & IER_THR) && !(u->ier & IER_THR) && uart_tx_room(u))
			u->thr_irq = true;
		u->ier = v & 0x0f;
		break;
	case REG_IIR:
		u->fcr = v;
		break;
	case REG_LCR:
		u->lcr = v;
		break;
	case REG_MCR:
		u->mcr = v & 0x1f;
		break;
	case REG_SCR:
		u->scr = v;
		break;
	default:
		break;
	}
}
