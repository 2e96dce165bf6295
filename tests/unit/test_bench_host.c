/* SPDX-License-Identifier: Apache-2.0 */
/* lab/report_host, lab/bench_cpu: what the host says of itself and of threads. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lab/bench_cpu.h"
#include "lab/report.h"
#include "bench_topology.h"

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_machine(void **state)
{
	char dir[] = "/tmp/lanyard-test-XXXXXX", path[256];

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/proc", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(dir, "proc/cpuinfo", "processor\t: 0\nmodel name\t: A CPU @ 3 GHz\nx\t: y\n");
	write_file(dir, "proc/meminfo",
		"MemTotal:  1024 kB\nHugePages_Total:    7\nHugepagesize: 2048 kB\n");
	json_t *j = report_machine(dir);
	assert_string_equal(json_string_value(json_object_get(j, "cpu_model")), "A CPU @ 3 GHz");
	assert_int_equal(json_integer_value(json_object_get(j, "memory_kib")), 1024);
	assert_int_equal(json_integer_value(json_object_get(j, "hugepages")), 7);
	assert_true(json_is_null(json_object_get(j, "hugepages_free")));
	assert_true(json_is_null(json_object_get(j, "kernel")));
	json_decref(j);
	snprintf(path, sizeof(path), "%s/proc/cpuinfo", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/proc/meminfo", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/proc", dir);
	rmdir(path);
	rmdir(dir);
}

/* Threads are summed; a process that isn't there, and one without schedstat, are not known. */
static void test_cpu_read(void **state)
{
	static const char *const dirs[] = { "7", "7/task", "7/task/7", "7/task/8", "9", "9/task",
		"9/task/9" };
	char dir[] = "/tmp/lanyard-test-XXXXXX", path[256];

	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	write_file(dir, "7/task/7/schedstat", "1000 200 3\n");
	write_file(dir, "7/task/8/schedstat", "50 1 3\n");
	struct bench_cpu_sample s = bench_cpu_read(dir, 7);
	assert_true(s.known);
	assert_int_equal(s.run_ns, 1050);
	assert_int_equal(s.waited_ns, 201);
	assert_false(bench_cpu_read(dir, 8).known);
	assert_false(bench_cpu_read(dir, 9).known);
	/* A node's process is the peer of its port; "b" is not found in "bb.0". */
	struct topology *t = make(HEAD TAIL);
	struct bench_cpu_sample out[4];
	json_t *info = js("{'pid': 9}");
	json_t *peers =
		js("{'ports': [{'name': 'bb.0', 'vhost_pid': 7}, {'name': 'a.0', 'vhost_pid': "
		   "null}, {'name': 'a.1', 'vhost_pid': 7}]}");
	bench_cpu_sample(dir, t, info, peers, out);
	assert_false(out[0].known);
	assert_true(out[1].known);
	assert_false(out[2].known);
	json_decref(info);
	json_decref(peers);
	topology_free(t);
	for (int k = 7; k <= 8; k++) {
		snprintf(path, sizeof(path), "%s/7/task/%d/schedstat", dir, k);
		unlink(path);
	}
	for (size_t i = sizeof(dirs) / sizeof(dirs[0]); i-- > 0;) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		rmdir(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_cpu_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
