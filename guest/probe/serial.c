/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/probe/serial.h"

#include "guest/probe/cpu.h"

#define COM1 0x3f8
#define COM2 0x2f8

/* Registers of the 16550A, and bits. */
#define UART_DATA 0
#define UART_IER  1
#define UART_FCR  2
#define UART_LCR  3
#define UART_MCR  4
#define UART_LSR  5

#define LSR_DATA  0x01
#define LSR_EMPTY 0x20

/* docs/control.md: the address of a struct uart_string moves a string in one exit. */
#define COM1_STRING 0x620
#define COM2_STRING 0x628
#define STRING_MAX  4096 /* at once: the VMM copies while we wait */

struct uart_string {
	uint64_t address;
	uint32_t length; /* in: at most; out: moved */
	uint32_t receive;
};

#define FIFO_LEN 16

#define IOAPIC       0xfec00000ull
#define IOAPIC_DATA  0x10
#define IOAPIC_REDIR 0x10
#define COM2_PIN     3

static bool strings; /* this is lanyard-vmm's machine */
static uint32_t seen;

static void ioapic_write(uint32_t reg, uint32_t v)
{
	volatile uint8_t *p = (volatile uint8_t *)IOAPIC;

	mmio_put32(p, reg);
	mmio_put32(p + IOAPIC_DATA, v);
}

void serial_init(bool lanyard)
{
	static const uint32_t setup[] = {
		(COM2 + UART_FCR) << 8 | 0x01, /* FIFOs on, kept as they are */
		(COM2 + UART_LCR) << 8 | 0x03, /* 8N1 */
		(COM2 + UART_MCR) << 8 | 0x0b, /* DTR, RTS, OUT2: interrupts get out */
		(COM2 + UART_IER) << 8 | 0x01, /* at received data */
	};

	strings = lanyard;
	ioapic_write(IOAPIC_REDIR + 2 * COM2_PIN + 1, 0); /* to APIC 0 */
	ioapic_write(IOAPIC_REDIR + 2 * COM2_PIN, VEC_COM2);
	cpu_out_table(setup, sizeof(setup) / sizeof(setup[0]));
	seen = irq_count[VEC_COM2] - 1; /* look once: bytes may have come before the interrupt */
}

/* Returns how many bytes were moved. */
static size_t string_move(uint16_t port, const void *buf, size_t n, bool receive)
{
	static struct uart_string s;

	s = (struct uart_string){ (uintptr_t)buf, n < STRING_MAX ? (uint32_t)n : STRING_MAX,
		receive };
	barrier();
	cpu_out32(port, (uint32_t)(uintptr_t)&s);
	return s.length;
}

void serial_write(const char *s, size_t n)
{
	while (n) {
		size_t k = n < FIFO_LEN ? n : FIFO_LEN;

		if (strings) {
			k = string_move(COM1_STRING, s, n, false);
			if (!k) /* the console's reader is slow, or there is none: drop the rest */
				return;
		} else {
			while (!(cpu_in8(COM1 + UART_LSR) & LSR_EMPTY))
				cpu_relax();
			cpu_outsb(COM1, s, k);
		}
		s += k;
		n -= k;
	}
}

void serial_print(const char *s)
{
	serial_write(s, __builtin_strlen(s));
}

void serial_print_hex(uint64_t v)
{
	char s[16];

	for (int i = 15; i >= 0; i--, v >>= 4)
		s[i] = "0123456789abcdef"[v & 15];
	serial_write(s, sizeof(s));
}

bool serial_agent_waits(void)
{
	return seen != irq_count[VEC_COM2];
}

static size_t drop_nuls(char *buf, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (buf[i])
			buf[k++] = buf[i];
	return k;
}

/* There is no interrupt for bytes that come while others wait: look until nothing is left. */
static size_t taken(char *buf, size_t n)
{
	seen = irq_count[VEC_COM2] - 1;
	return drop_nuls(buf, n);
}

size_t serial_agent_read(char *buf, size_t n)
{
	/* Before the look: what comes after it counts again. */
	seen = irq_count[VEC_COM2];
	barrier();
	if (strings) {
		n = string_move(COM2_STRING, buf, n, true);
		return n ? taken(buf, n) : 0;
	}
	if (!(cpu_in8(COM2 + UART_LSR) & LSR_DATA))
		return 0;
	/* An empty FIFO reads as 0: take as many as it can hold. */
	cpu_insb(COM2, buf, FIFO_LEN);
	return taken(buf, FIFO_LEN);
}

size_t serial_agent_write(const char *buf, size_t n)
{
	if (strings)
		return string_move(COM2_STRING, buf, n, false);
	if (!(cpu_in8(COM2 + UART_LSR) & LSR_EMPTY))
		return 0;
	if (n > FIFO_LEN)
		n = FIFO_LEN;
	cpu_outsb(COM2, buf, n);
	return n;
}
