/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550A: registers, interrupts, and that no byte is lost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/uart.h"

static int setup(void **state)
{
	struct uart *u = calloc(1, sizeof(*u));

	*state = u;
	return uart_init(u);
}

static int teardown(void **state)
{
	uart_free(*state);
	free(*state);
	return 0;
}

static void test_registers(void **state)
{
	struct uart *u = *state;

	uart_write(u, 7, 0x5a);
	assert_int_equal(uart_read(u, 7), 0x5a);
	uart_write(u, 3, 0x83); /* DLAB */
	uart_write(u, 0, 0x12);
	uart_write(u, 1, 0x34);
	assert_int_equal(uart_read(u, 0), 0x12);
	assert_int_equal(uart_read(u, 1), 0x34);
	assert_int_equal(uart_tx_count(u), 0); /* a divisor is no byte */
	uart_write(u, 3, 0x03);
	uart_write(u, 1, 0xff);
	assert_int_equal(uart_read(u, 1), 0x0f);
	uart_write(u, 2, 0x01);
	assert_int_equal(uart_read(u, 2) & 0xc0, 0xc0); /* a 16550A says so */
	assert_int_equal(uart_read(u, 5), 0x60);
	assert_int_equal(uart_read(u, 6), 0xb0);
}

static void test_receive(void **state)
{
	struct uart *u = *state;

	assert_int_equal(uart_read(u, 0), 0); /* nothing there */
	assert_int_equal(uart_rx_push(u, "ab", 2), 2);
	assert_false(uart_irq(u));
	uart_write(u, 1, 1);
	assert_true(uart_irq(u));
	assert_int_equal(uart_read(u, 2) & 0xf, 4);
	uart_write(u, 2, 0x07); /* "clear": what came stays */
	assert_int_equal(uart_read(u, 5) & 1, 1);
	assert_int_equal(uart_read(u, 0), 'a');
	assert_int_equal(uart_read(u, 0), 'b');
	assert_false(uart_irq(u));
	assert_int_equal(uart_read(u, 5) & 1, 0);
}

static void test_receive_full(void **state)
{
	struct uart *u = *state;
	uint8_t *big = malloc(UART_FIFO_BYTES + 10);

	for (unsigned i = 0; i < UART_FIFO_BYTES + 10; i++)
		big[i] = (uint8_t)(i * 7);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(uart_rx_push(u, big, UART_FIFO_BYTES + 10), UART_FIFO_BYTES);
		assert_int_equal(uart_rx_room(u), 0);
		assert_int_equal(uart_rx_push(u, big, 1), 0);
		for (unsigned i = 0; i < UART_FIFO_BYTES; i++)
			assert_int_equal(uart_read(u, 0), big[i]);
		assert_int_equal(uart_rx_count(u), 0);
		assert_int_equal(uart_rx_push(u, big, 100), 100); /* shift where it wraps */
		for (unsigned i = 0; i < 100; i++)
			uart_read(u, 0);
	}
	free(big);
}

static void test_transmit(void **state)
{
	struct uart *u = *state;
	char buf[8] = "";

	uart_write(u, 1, 2); /* enabling it raises it: the transmitter is empty */
	assert_true(uart_irq(u));
	assert_int_equal(uart_read(u, 2) & 0xf, 2);
	assert_false(uart_irq(u)); /* reading it cleared it */
	uart_write(u, 0, 'x');
	assert_true(uart_irq(u));
	uart_write(u, 0, 'y');
	assert_int_equal(uart_tx_peek(u, buf, 8), 2);
	assert_memory_equal(buf, "xy", 2);
	uart_tx_drop(u, 1);
	assert_int_equal(uart_tx_peek(u, buf, 8), 1);
	assert_int_equal(buf[0], 'y');
}

static void test_transmit_full(void **state)
{
	struct uart *u = *state;

	for (unsigned i = 0; i < UART_FIFO_BYTES; i++)
		uart_write(u, 0, 'z');
	assert_int_equal(uart_read(u, 5) & 0x20, 0); /* not ready for more */
	uart_write(u, 0, 'z');
	assert_int_equal(u->dropped, 1);
	uart_write(u, 1, 2);
	assert_false(uart_irq(u));
	uart_tx_drop(u, 10);
	assert_true(uart_irq(u)); /* there is room again */
	assert_int_equal(uart_read(u, 5) & 0x20, 0x20);
}

static void test_loop_back(void **state)
{
	struct uart *u = *state;

	uart_write(u, 4, 0x1f);
	uart_write(u, 0, 'q');
	assert_int_equal(uart_tx_count(u), 0);
	assert_int_equal(uart_read(u, 0), 'q');
	assert_int_equal(uart_read(u, 6), 0xf0);
	uart_write(u, 4, 0x1a); /* what Linux probes with */
	assert_int_equal(uart_read(u, 6) & 0xf0, 0x90);
}

static void test_reset_keeps_bytes(void **state)
{
	struct uart *u = *state;

	uart_rx_push(u, "hello", 5);
	uart_write(u, 1, 1);
	uart_reset(u);
	assert_false(uart_irq(u));
	assert_int_equal(uart_rx_count(u), 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_registers),
		T(test_receive),
		T(test_receive_full),
		T(test_transmit),
		T(test_transmit_full),
		T(test_loop_back),
		T(test_reset_keeps_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
