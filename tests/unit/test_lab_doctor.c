/* SPDX-License-Identifier: Apache-2.0 */
/* vitals, what doctor makes of them, and the fingerprint of a bench: of folders that look like
 * hosts. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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

#include "lab/doctor.h"
#include "lab/report.h"

static char root[64];

static void full_path(char *full, size_t size, const char *path)
{
	snprintf(full, size, "%s%s", root, path);
	for (char *s = full + strlen(root) + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		mkdir(full, 0700);
		*s = '/';
	}
}

/* Writes a file below root, making its folders. */
static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	full_path(full, sizeof full, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_link(const char *path, const char *to)
{
	char full[256];

	full_path(full, sizeof full, path);
	assert_int_equal(symlink(to, full), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int make_root(void **state)
{
	strcpy(root, "/tmp/lanyard-doctor-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A server with everything as it comes from the shop. */
static void put_server(void)
{
	put("/proc/cpuinfo",
		"processor\t: 0\nmodel name\t: A CPU @ 3 GHz\nflags\t\t: fpu constant_tsc nonstop_tsc\n");
	put("/proc/meminfo",
		"MemTotal: 16384000 kB\nMemAvailable: 8192000 kB\nHugePages_Total: 8\n"
		"HugePages_Free: 3\nHugepagesize: 2048 kB\n");
	put("/proc/sys/kernel/osrelease", "6.1.0-test\n");
	put("/sys/devices/system/cpu/online", "0-3\n");
	put("/sys/devices/system/cpu/isolated", "\n");
	put("/sys/devices/system/cpu/nohz_full", "  (null)\n");
	put("/sys/devices/system/cpu/smt/active", "1\n");
	put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
	put("/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n");
	for (int cpu = 0; cpu < 4; cpu++) {
		char path[128];

		snprintf(path, sizeof path,
			"/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
		put(path, cpu ? "powersave\n" : "performance\n");
		snprintf(path, sizeof path,
			"/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
		put(path, cpu % 2 ? "1,3\n" : "0,2\n");
	}
	put("/sys/devices/system/cpu/vulnerabilities/l1tf", "Mitigation: PTE Inversion\n");
	put("/sys/devices/system/cpu/vulnerabilities/mds", "Not affected\n");
	put("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n");
	put("/sys/class/net/lo/mtu", "65536\n");
	put("/sys/devices/pci/0000:03:00.0/numa_node", "1\n");
	put_link("/sys/devices/pci/0000:03:00.0/driver", "../../../bus/pci/drivers/igb");
	put("/sys/class/net/eth0/speed", "10000\n");
	put_link("/sys/class/net/eth0/device", "../../../devices/pci/0000:03:00.0");
}

/* An IOMMU group with functions of these classes, from 0000:03:00.0 on. */
static void put_group(const char *group, const char *const *classes)
{
	char path[128];

	snprintf(path, sizeof path, "/sys/kernel/iommu_groups/%s/type", group);
	put(path, "DMA-FQ\n");
	for (int i = 0; classes[i]; i++) {
		snprintf(path, sizeof path,
			"/sys/kernel/iommu_groups/%s/devices/0000:03:00.%d/class", group, i);
		put(path, classes[i]);
	}
}

static struct vitals v;
static struct host h;
static struct doctor_finding found[DOCTOR_MAX];

static void examine(void)
{
	vitals_read(root, &v);
	host_read(root, &h);
	v.root = false; /* whoever runs the tests */
	assert_true(doctor_examine(&h, &v, found) > 10);
}

static const struct doctor_finding *finding(const char *name)
{
	for (size_t i = 0; i < DOCTOR_MAX; i++)
		if (found[i].name && strcmp(found[i].name, name) == 0)
			return &found[i];
	fail_msg("no finding is named %s", name);
	return NULL;
}

static void expect(
	const char *name, enum doctor_verdict verdict, const char *says, const char *mend)
{
	const struct doctor_finding *f = finding(name);

	if (f->verdict != verdict || !strstr(f->found, says) || !strstr(f->mend, mend))
		fail_msg("%s: %s \"%s\", mend \"%s\"; expected %s, \"%s\", \"%s\"", name,
			doctor_word(f->verdict), f->found, f->mend, doctor_word(verdict), says,
			mend);
	/* Whoever is told of a fault is told why it matters, and what to do. */
	assert_true(f->why[0]);
	assert_true(f->verdict == DOCTOR_GOOD || f->mend[0]);
}

static void test_nothing(void **state)
{
	examine(); /* an empty folder: no crash, nothing claimed */
	expect("KVM", DOCTOR_LACKING, "No such file", "modprobe kvm_intel");
	expect("clock", DOCTOR_POORER, "not constant", "another host");
	expect("governor", DOCTOR_GOOD, "none", "");
	expect("turbo", DOCTOR_GOOD, "no switch", "");
	expect("SMT", DOCTOR_GOOD, "doesn't say", "");
	expect("IOMMU", DOCTOR_POORER, "none", "intel_iommu=on");
	expect("VFIO", DOCTOR_POORER, "not loaded", "modprobe vfio-pci");
	expect("ACS", DOCTOR_GOOD, "no IOMMU", "");
	expect("modules", DOCTOR_POORER, "tun", "modprobe tun");
	expect("vhost-net", DOCTOR_POORER, "no /dev/vhost-net", "modprobe vhost_net");
	expect("bridge firewall", DOCTOR_GOOD, "no firewall", "");
}

/* What taps need, and what distorts them. */
static void test_taps(void **state)
{
	put("/dev/vhost-net", "");
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
	put("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1\n");
	examine();
	expect("vhost-net", DOCTOR_GOOD, "loads it when it is opened", "");
	expect("bridge firewall", DOCTOR_POORER, "to ip6tables",
		"sudo sysctl net.bridge.bridge-nf-call-ip6tables=0");
	put("/sys/class/misc/vhost-net/dev", "10:238\n");
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
	examine();
	expect("vhost-net", DOCTOR_GOOD, "vhost_net is loaded", "");
	expect("bridge firewall", DOCTOR_POORER, "to iptables, ip6tables",
		"net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0");
	v.vhost_net_file = false;
	doctor_examine(&h, &v, found);
	expect("vhost-net", DOCTOR_POORER, "device file", "sudo mknod /dev/vhost-net c 10 238");
}

static void test_server(void **state)
{
	static const char *const alone[] = { "0x020000\n", "0x060400\n", NULL };

	put_server();
	put_group("7", alone);
	examine();
	assert_int_equal(v.n_online, 4);
	assert_string_equal(v.governors, "performance, powersave");
	expect("governor", DOCTOR_POORER, "powersave", "scaling_governor");
	expect("turbo", DOCTOR_POORER, "on", "intel_pstate/no_turbo");
	expect("isolated CPUs", DOCTOR_POORER, "none",
		"isolcpus=managed_irq,domain,2-3 nohz_full=2-3");
	expect("SMT", DOCTOR_POORER, "on", "smt/control");
	expect("clock", DOCTOR_GOOD, "tsc", "");
	expect("bare metal", DOCTOR_GOOD, "no hypervisor", "");
	expect("hugepages", DOCTOR_POORER, "3 of 8", "vm.nr_hugepages=261");
	expect("IOMMU", DOCTOR_GOOD, "1 group, DMA-FQ", "");
	expect("ACS", DOCTOR_GOOD, "no NIC shares", "");
	expect("memlock", DOCTOR_GOOD, "no limit", "");
	v.memlock = 8 << 20;
	doctor_examine(&h, &v, found);
	expect("memlock", DOCTOR_POORER, "8192 KiB", "limits.d");
	v.root = true;
	doctor_examine(&h, &v, found);
	expect("memlock", DOCTOR_GOOD, "root", "");
}

static void test_tuned(void **state)
{
	put_server();
	for (int cpu = 0; cpu < 4; cpu++) {
		char path[128];

		snprintf(path, sizeof path,
			"/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
		put(path, "performance\n");
	}
	put("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
	put("/sys/devices/system/cpu/isolated", "2-3\n");
	put("/sys/devices/system/cpu/smt/active", "0\n");
	put("/dev/kvm", "");
	put("/dev/net/tun", "");
	put("/dev/vhost-net", "");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "300\n");
	put("/sys/bus/pci/drivers/vfio-pci/bind", "");
	examine();
	for (size_t i = 0; i < DOCTOR_MAX && found[i].name; i++)
		if (strcmp(found[i].name, "IOMMU") != 0)
			expect(found[i].name, DOCTOR_GOOD, "", "");
	expect("isolated CPUs", DOCTOR_GOOD, "taskset -c 2-3", "");
}

static void test_troubles(void **state)
{
	static const char *const several[] = { "0x020000\n", "0x020000\n", "0x060400\n", NULL };

	put_server();
	put("/proc/cpuinfo", "flags\t: constant_tsc_not nonstop_tsc hypervisor\n");
	put("/sys/devices/system/cpu/online", "0-1\n");
	put("/sys/class/misc/kvm/dev", "10:232\n");
	put("/sys/bus/pci/drivers/vfio-pci/bind", "");
	put("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	put_group("12", several);
	examine();
	expect("clock", DOCTOR_POORER, "not constant", "");
	expect("bare metal", DOCTOR_POORER, "virtual machine", "");
	expect("isolated CPUs", DOCTOR_POORER, "2 CPUs are too few", "more CPUs");
	expect("KVM", DOCTOR_LACKING, "device file", "sudo mknod /dev/kvm c 10 232");
	expect("VFIO", DOCTOR_POORER, "without an IOMMU", "noiommu");
	expect("ACS", DOCTOR_POORER, "12: 0000:03:00.0, 0000:03:00.1", "slot");
	put("/proc/cpuinfo", "flags\t: constant_tsc nonstop_tsc\n");
	put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
	examine();
	expect("clock", DOCTOR_POORER, "gave the TSC up for hpet", "");
}

static void test_siblings(void **state)
{
	struct lab_cpu threads[] = { { .who = "worker0", .cpu = 0 }, { .who = "a/vcpu0", .cpu = 1 },
		{ .who = "b/vcpu0", .cpu = 2 } };
	struct doctor_finding f;

	put_server();
	host_read(root, &h);
	assert_false(doctor_siblings(&h, threads, 2, &f));
	assert_true(doctor_siblings(&h, threads, 3, &f));
	assert_string_equal(f.found, "worker0 on CPU 0 and b/vcpu0 on CPU 2 share a core");
	threads[2].cpu = 0; /* one CPU for two is another fault, which the plan tells of */
	assert_false(doctor_siblings(&h, threads, 3, &f));
}

static void expect_json(const json_t *j, const char *key, const char *text)
{
	char *got = json_dumps(json_object_get(j, key), JSON_ENCODE_ANY | JSON_COMPACT);

	if (!got || strcmp(got, text) != 0)
		fail_msg("%s: %s; expected %s", key, got ? got : "nothing", text);
	free(got);
}

static void test_fingerprint(void **state)
{
	json_t *j = report_machine(root), *nic;

	expect_json(j, "cpu_model", "null");
	expect_json(j, "smt", "null");
	expect_json(j, "nics", "[]");
	json_decref(j);
	put_server();
	j = report_machine(root);
	expect_json(j, "cpu_model", "\"A CPU @ 3 GHz\"");
	expect_json(j, "cpus", "4");
	expect_json(j, "governor", "\"performance, powersave\"");
	expect_json(j, "turbo", "\"on\"");
	expect_json(j, "isolated", "null");
	expect_json(j, "nohz_full", "null");
	expect_json(j, "smt", "true");
	expect_json(j, "constant_tsc", "true");
	expect_json(j, "virtual", "false");
	expect_json(j, "kernel", "\"6.1.0-test\"");
	expect_json(j, "hugepages_by_node", "[8]");
	expect_json(j, "mitigations",
		"{\"l1tf\":\"Mitigation: PTE Inversion\",\"mds\":\"Not affected\"}");
	expect_json(j, "iommu", "{\"groups\":0,\"types\":null,\"vfio_without_iommu\":false}");
	nic = json_array_get(json_object_get(j, "nics"), 0);
	expect_json(nic, "interface", "\"eth0\"");
	expect_json(nic, "device", "\"0000:03:00.0\"");
	expect_json(nic, "driver", "\"igb\"");
	expect_json(nic, "numa_node", "1");
	expect_json(nic, "speed_mbps", "10000");
	assert_int_equal(json_array_size(json_object_get(j, "nics")), 1);
	json_decref(j);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_root, drop_root)
	const struct CMUnitTest tests[] = { T(test_nothing), T(test_server), T(test_tuned),
		T(test_troubles), T(test_taps), T(test_siblings), T(test_fingerprint) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
