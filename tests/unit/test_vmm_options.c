/* SPDX-License-Identifier: Apache-2.0 */
/* lanyard-vmm's command line: what is taken, and what is said of what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/options.h"

static int parse(struct vmm_options *o, struct err *e, const char *extra, const char *value)
{
	char *argv[16] = { "lanyard-vmm", "--name", "a", "--control", "/tmp/c", "--kernel", "k",
		"--memory", "64M", (char *)extra, (char *)value, NULL };
	int argc = 9 + (extra != NULL) + (value != NULL);

	return vmm_options_parse(o, argc, argv, e);
}

static void test_options(void **state)
{
	static const struct {
		const char *option, *value, *says;
	} bad[] = {
		{ "--memory", "64", "unit" },
		{ "--memory", "0M", "--memory is missing or 0" },
		{ "--vcpus", "0", "from 1 to 64" },
		{ "--vcpus", "two", "from 1 to 64" },
		{ "--vcpus", "2x", "from 1 to 64" },
		{ "--vcpus", "65", "from 1 to 64" },
		{ "--vcpus", "4,socket=2", "expected sockets=N, cores=N or threads=N" },
		{ "--vcpus", "4,sockets=0", "expected sockets=N, cores=N or threads=N" },
		{ "--vcpus", "4,", "expected sockets=N, cores=N or threads=N" },
		{ "--vcpus", "6,sockets=2,cores=2,threads=1",
			"expected numbers whose product is 6" },
		{ "--vcpus", "6,sockets=4", "6 vCPUs can't be had as 4 socket(s) of 1 core(s)" },
		{ "--cpu-without", "cx_16", "nearest is \"cx16\"" },
		{ "--cpu-without", "cx16,avx512", "nearest is \"avx512f\"" },
		{ "--cpu-without", "", "is no CPU feature" },
		{ "--hugepages", "4M", "expected auto, 2M, 1G or none" },
		{ "--cpus", "0-", "expected CPUs" },
		{ "--cpus", "3-1", "expected CPUs" },
		{ "--cpus", "", "expected CPUs" },
		{ "--nic", "socket=/tmp/s", "expected socket=PATH,mac=MAC, or tap=NAME,mac=MAC" },
		{ "--nic", "tap=t0,socket=/tmp/s,mac=02:00:00:00:00:01", "or tap=NAME,mac=MAC" },
		{ "--nic", "tap=a-name-too-long0,mac=02:00:00:00:00:01",
			"has 16 characters: an interface's has 15 at most" },
		{ "--nic", "tap=a/b,mac=02:00:00:00:00:01", "\"a/b\" is no interface's name" },
		{ "--nic", "tap=t0,mac=02:00:00:00:00:01,listen=on", "listens on no socket" },
		{ "--nic", "socket=/tmp/s,mac=01:00:00:00:00:00", "unicast" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00", "unicast" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,queues=17", "from 1 to 16" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,mtu=67", "from 68" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,ring=63", "from 64 to 4096" },
		{ "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,ring=1000", "a power of two" },
		{ "--nic", "socket=/tmp/s,packed=yes", "packed is \"yes\", expected on or off" },
		{ "--nic", "socket=/tmp/s,offloads=1", "expected on or off" },
		{ "--nic", "socket=/tmp/s,listen=", "expected on or off" },
		{ "--nic", "socket=/tmp/s,color=red", "unknown key \"color\"" },
		{ "--nic", "socket", "expected key=value" },
		{ "--log-level", "loud", "expected error" },
		{ "--nonsense", NULL, "unknown option" },
		{ "--nic", NULL, "unknown option, or one without its value" },
		{ "stray", NULL, "is no option" },
	};
	struct vmm_options o;
	struct err e = { 0 };
	char *none[] = { "lanyard-vmm", NULL };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(parse(&o, &e, bad[i].option, bad[i].value) < 0);
		assert_int_equal(e.class, ERR_REQUEST);
		if (!strstr(e.text, bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.text, bad[i].says);
		vmm_options_free(&o);
	}
	assert_true(vmm_options_parse(&o, 1, none, &e) < 0);
	assert_non_null(strstr(e.text, "--name is missing"));
	assert_int_equal(
		parse(&o, &e, "--nic", "socket=/tmp/s,mac=02:00:00:00:00:01,queues=2,mtu=9000"), 0);
	assert_int_equal(o.n_nics, 1);
	assert_int_equal(o.nics[0].pairs, 2);
	assert_int_equal(o.nics[0].mtu, 9000);
	assert_string_equal(o.nics[0].socket, "/tmp/s");
	assert_int_equal(o.memory, 64 << 20);
	assert_int_equal(o.pages, GMEM_AUTO);
	vmm_options_free(&o);
	assert_int_equal(parse(&o, &e, "--vcpus", "8,sockets=2,threads=2"), 0);
	assert_int_equal(o.vcpus, 8);
	assert_int_equal(o.topology.cores, 2);
	assert_int_equal(parse(&o, &e, "--cpu-without", "cx16,avx"), 0);
	assert_string_equal(o.cpu_without, "cx16,avx");
	assert_null(o.user);
	assert_int_equal(parse(&o, &e, "--user", "own"), 0);
	assert_string_equal(o.user, "own");
	assert_int_equal(parse(&o, &e, "--hugepages", "1G"), 0);
	assert_int_equal(o.pages, GMEM_1G);
	assert_int_equal(parse(&o, &e, "--cpus", "3,0-1"), 0);
	assert_int_equal(o.n_cpus, 3);
	assert_int_equal(o.cpus[0], 3);
	assert_int_equal(o.cpus[2], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
