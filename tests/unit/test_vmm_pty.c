/* SPDX-License-Identifier: Apache-2.0 */
/* A console's pseudo-terminal: who has it, by what its watch tells. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/pty.h"

static char folder[] = "/tmp/lanyard-pty-XXXXXX";
static char path[sizeof(folder) + 8];
static struct pty pty;

static int setup(void **state)
{
	struct err e = { 0 };

	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/pty", folder);
	return pty_open(&pty, path, &e);
}

static int teardown(void **state)
{
	pty_close(&pty);
	rmdir(folder);
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	return 0;
}

static int slave_open(void)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void expect(bool opened, bool anew)
{
	bool was_anew;

	assert_int_equal(pty_opened(&pty, &was_anew), opened);
	assert_int_equal(was_anew, anew);
}

/* A look finds no more than the closing; before the next one, somebody has it again. */
static void test_closing_seen_alone(void **state)
{
	int fd = slave_open();

	expect(true, false);
	expect(false, false);
	close(fd);
	expect(false, false);
	expect(false, false);
	fd = slave_open();
	expect(true, true);
	close(fd);
}

static void test_reopened_at_once(void **state)
{
	int fd = slave_open();

	expect(true, false);
	close(fd);
	fd = slave_open();
	expect(true, true);
	close(fd);
	close(slave_open());
	expect(true, true); /* whatever it wrote is to be read */
}

/* One of two that have it: the other goes on. */
static void test_one_of_two_goes(void **state)
{
	int a = slave_open(), b = slave_open();

	expect(true, false);
	close(a);
	expect(false, false);
	a = slave_open();
	expect(true, false);
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_closing_seen_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reopened_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_of_two_goes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
