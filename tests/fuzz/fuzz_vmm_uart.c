/* SPDX-License-Identifier: Apache-2.0 */
/* A guest at the UART's registers and a client at its other end: counts stay within the FIFOs, and
 * what is pushed comes out in its order. Input: pairs of bytes: operation and register, value. */
#include <stdlib.h>

#include "vmm/uart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t chunk[4096];
	struct uart u;
	uint8_t next_in = 0, next_out = 0;
	bool looped = false;

	if (uart_init(&u))
		abort();
	for (; size >= 2; data += 2, size -= 2) {
		unsigned reg = data[0] & 7;
		size_t n;

		switch (data[0] >> 3 & 3) {
		case 0:
			if (reg == 0 && !(u.lcr & 0x80) && uart_rx_count(&u) && !looped) {
				if (uart_read(&u, 0) != next_out++)
					abort();
			} else {
				uart_read(&u, reg);
			}
			break;
		case 1:
			looped |= u.mcr & 0x10;
			uart_write(&u, reg, data[1]);
			break;
		case 2:
			n = (size_t)data[1] * 16;
			for (size_t i = 0; i < n; i++)
				chunk[i] = (uint8_t)(next_in + i);
			next_in = (uint8_t)(next_in + uart_rx_push(&u, chunk, n));
			break;
		default:
			uart_tx_drop(&u, uart_tx_peek(&u, chunk, data[1]));
			break;
		}
		if (uart_rx_count(&u) > UART_FIFO_BYTES || uart_tx_count(&u) > UART_FIFO_BYTES)
			abort();
		uart_irq(&u);
	}
	uart_free(&u);
	return 0;
}
