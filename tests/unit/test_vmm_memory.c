/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: its bounds and sizes; what is said when hugepages are short. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/gmem.h"
#include "vmm/hugepages.h"

#define MEM_BYTES (4u << 20)

static void test_memory_bounds(void **state)
{
	static uint8_t bytes[MEM_BYTES];
	struct gmem one,
		two = { .n = 2,
			.r = { { 0, 0xc0000000, 0, (void *)0x10000 },
				{ 1ull << 32, 1 << 20, 0, (void *)0x20000 } } };

	gmem_wrap(&one, bytes, MEM_BYTES);
	assert_non_null(gmem_at(&one, (gpa_t){ 0 }, MEM_BYTES));
	assert_null(gmem_at(&one, (gpa_t){ 1 }, MEM_BYTES));
	assert_null(gmem_at(&one, (gpa_t){ MEM_BYTES }, 0));
	assert_null(gmem_at(&one, (gpa_t){ 16 }, ~0ull));
	assert_null(gmem_at(&one, (gpa_t){ ~0ull }, 2));
	assert_null(gmem_at(&two, (gpa_t){ 0xbffffff0 }, 32)); /* across the hole */
	assert_null(gmem_at(&two, (gpa_t){ 0xe0000000 }, 1));
	assert_ptr_equal(gmem_at(&two, (gpa_t){ 0x100000010 }, 16), (void *)0x20010);
	assert_int_equal(gmem_end(&two), (1ull << 32) + (1 << 20));
}

static void test_memory_sizes(void **state)
{
	char why[256];
	struct gmem g;
	struct err e = { 0 };

	assert_int_equal(gmem_new(&g, 0, GMEM_AUTO, why, &e), -EINVAL);
	assert_string_equal(e.field, "memory");
	assert_int_equal(gmem_new(&g, 3 << 20, GMEM_AUTO, why, &e), -EINVAL);
	assert_int_equal(gmem_new(&g, 1ull << 50, GMEM_AUTO, why, &e), -ENOMEM);
	assert_int_equal(e.class, ERR_HOST);
	assert_non_null(strstr(e.text, "the host has"));
	assert_int_equal(gmem_new(&g, 4 << 20, GMEM_1G, why, &e), -EINVAL);
	assert_non_null(strstr(e.text, "memory of 4M in hugepages of 1G: expected a multiple"));
	assert_int_equal(gmem_new(&g, 4 << 20, GMEM_PLAIN, why, &e), 0);
	assert_string_equal(why, "");
	memset(g.map, 1, 4 << 20);
	gmem_free(&g);
}

static void put(const char *root, const char *path, unsigned v)
{
	char line[512];

	snprintf(line, sizeof(line), "mkdir -p $(dirname %s/sys/%s) && echo %u >%s/sys/%s", root,
		path, v, root, path);
	assert_int_equal(system(line), 0);
}

/* How many are missing, of which size, and what each node has. */
static void test_hugepages(void **state)
{
	char root[] = "/tmp/lanyard-huge-XXXXXX", line[64];
	struct err e = { 0 };

	assert_non_null(mkdtemp(root));
	put(root, "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", 20);
	put(root, "kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 12);
	put(root, "kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", 2);
	put(root, "devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", 9);
	assert_int_equal(hugepages_check(root, 2 << 20, 20 << 20, &e), 0);
	assert_true(hugepages_check(root, 2 << 20, 22 << 20, &e) < 0);
	assert_int_equal(e.class, ERR_HOST);
	assert_string_equal(e.text,
		"1 hugepages of 2M are missing: the guest's 22M needs 11, and 10 of 20 are free; "
		"have more, as root: echo 21 >/sys/kernel/mm/hugepages/hugepages-2048kB/"
		"nr_hugepages");
	put(root, "devices/system/node/node2/hugepages/hugepages-2048kB/free_hugepages", 3);
	assert_true(hugepages_check(root, 2 << 20, 64 << 20, &e) < 0);
	assert_non_null(strstr(e.text, "22 hugepages of 2M are missing"));
	assert_non_null(strstr(e.text, "10 of 20 are free (node 0: 9, node 2: 3)"));
	assert_true(hugepages_check(root, 1 << 30, 1 << 30, &e) < 0);
	assert_non_null(strstr(e.text, "this host has no hugepages of 1G"));
	put(root, "kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", 0);
	assert_true(hugepages_check(root, 1 << 30, 2u << 30, &e) < 0);
	assert_non_null(strstr(e.text, "2 hugepages of 1G are missing"));
	assert_non_null(strstr(e.text, "hugepagesz=1G hugepages=N"));
	snprintf(line, sizeof(line), "rm -r %s", root);
	assert_int_equal(system(line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_bounds),
		cmocka_unit_test(test_memory_sizes),
		cmocka_unit_test(test_hugepages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
