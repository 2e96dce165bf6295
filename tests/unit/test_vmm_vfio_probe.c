/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a device may be passed on, and the sentences if not, over a sysfs made of folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/options_disk.h"
#include "vmm/vfio_probe.h"

#define VF  "0000:01:10.0"
#define VF2 "0000:01:10.2"
#define PF  "0000:01:00.0"

static char root[32];

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void sh(const char *fmt, ...)
{
	char cmd[1024], line[1100];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "cd %s && %s", root, cmd);
	assert_int_equal(0, system(line));
}

/* A device as the kernel shows it: its real folder elsewhere, a link at bus/pci/devices. driver,
 * net, group: NULL for none. */
static void device(const char *addr, const char *driver, const char *net, const char *group)
{
	sh("mkdir -p sys/bus/pci/devices sys/devices/%s && ln -s ../../../devices/%s "
	   "sys/bus/pci/devices/%s",
		addr, addr, addr);
	if (driver)
		sh("mkdir -p sys/bus/pci/drivers/%s && ln -s ../../bus/pci/drivers/%s "
		   "sys/devices/%s/driver",
			driver, driver, addr);
	if (net)
		sh("mkdir -p sys/devices/%s/net/%s", addr, net);
	if (group)
		sh("mkdir -p sys/kernel/iommu_groups/%s/devices && ln -s "
		   "../../kernel/iommu_groups/%s sys/devices/%s/iommu_group && ln -s "
		   "../../../../devices/%s sys/kernel/iommu_groups/%s/devices/%s",
			group, group, addr, addr, group, addr);
}

static int set_up(void **state)
{
	strcpy(root, "/tmp/lanyard-vfio-XXXXXX");
	assert_non_null(mkdtemp(root));
	sh("mkdir -p sys/bus/pci/devices dev/vfio proc && touch dev/vfio/vfio");
	return 0;
}

static int tear_down(void **state)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -r %s", root);
	return system(cmd);
}

static int probe(const char *addr, struct vfio_found *found, struct err *e)
{
	char sysfs[64], dev[64];

	snprintf(sysfs, sizeof(sysfs), "%s/sys", root);
	snprintf(dev, sizeof(dev), "%s/dev", root);
	*e = (struct err){ 0 };
	return vfio_probe(sysfs, dev, addr, found, e);
}

static void refused(const char *addr, enum err_class class, const char *words)
{
	struct vfio_found found;
	struct err e;

	assert_true(probe(addr, &found, &e) < 0);
	assert_int_equal(e.class, class);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, e.text);
}

static void test_good(void **state)
{
	struct vfio_found found;
	struct err e;

	device(PF, "igb", "eth0", "7");
	device(VF, "vfio-pci", NULL, "8");
	sh("ln -s ../" PF " sys/devices/" VF "/physfn");
	device("0000:03:00.0", "mlx5_vfio_pci", NULL, "12");
	assert_int_equal(probe(VF, &found, &e), 0);
	assert_true(found.vf);
	assert_int_equal(found.group, 8);
	assert_string_equal(found.pf, PF);
	assert_string_equal(found.driver, "vfio-pci");
	assert_int_equal(probe("0000:03:00.0", &found, &e), 0);
	assert_false(found.vf);
	assert_int_equal(found.group, 12);
}

static void test_absent(void **state)
{
	refused(VF, ERR_REQUEST, "there is no PCI device " VF " on this host (lspci -D lists");
}

static void test_no_iommu(void **state)
{
	device(VF, "vfio-pci", NULL, NULL);
	refused(VF, ERR_HOST, "behind no IOMMU");
	/* What the kernel makes of one without (a group of its own, by another name) is none. */
	device(VF2, "vfio-pci", NULL, "0");
	sh("echo vfio-noiommu >sys/kernel/iommu_groups/0/name");
	refused(VF2, ERR_HOST, "behind no IOMMU");
}

static void test_driver(void **state)
{
	device(PF, "igb", "eth0", "7");
	refused(PF, ERR_HOST,
		"is bound to the kernel driver igb (interface eth0). Hand it over with: modprobe "
		"vfio-pci && echo vfio-pci >/sys/bus/pci/devices/" PF "/driver_override && echo " PF
		" >/sys/bus/pci/devices/" PF "/driver/unbind && echo " PF
		" >/sys/bus/pci/drivers_probe");
	device(VF, NULL, NULL, "8");
	refused(VF, ERR_HOST,
		"has no driver. Hand it over with: modprobe vfio-pci && echo vfio-pci "
		">/sys/bus/pci/devices/" VF "/driver_override && echo " VF
		" >/sys/bus/pci/drivers_probe");
}

static void test_group(void **state)
{
	struct vfio_found found;
	struct err e;

	device(VF, "vfio-pci", NULL, "8");
	device("0000:00:1c.0", "pcieport", NULL, "8");
	device(VF2, NULL, NULL, "8");
	device("0000:01:10.4", "vfio-pci", NULL, "8");
	assert_int_equal(probe(VF, &found, &e), 0);
	device("0000:01:10.6", "igbvf", "eth5", "8");
	refused(VF, ERR_HOST,
		"shares its IOMMU group with 0000:01:10.6, which is bound to the kernel driver igbvf "
		"(interface eth5)");
}

static void test_no_vfio(void **state)
{
	device(VF, "vfio-pci", NULL, "8");
	sh("rm dev/vfio/vfio");
	refused(VF, ERR_HOST, "modprobe vfio-pci");
}

static void test_holder(void **state)
{
	char proc[64], who[128];

	snprintf(proc, sizeof(proc), "%s/proc", root);
	sh("mkdir -p proc/1/fd proc/4711/fd proc/sys && echo init >proc/1/comm && "
	   "echo lanyard-vmm >proc/4711/comm && ln -s /dev/vfio/9 proc/1/fd/3 && "
	   "ln -s /dev/null proc/4711/fd/0 && ln -s /dev/vfio/8 proc/4711/fd/7");
	vfio_probe_holder(proc, "/dev/vfio/8", who, sizeof(who));
	assert_string_equal(who, "process 4711 (lanyard-vmm)");
	vfio_probe_holder(proc, "/dev/vfio/80", who, sizeof(who));
	assert_string_equal(who, "");
}

static void test_addresses(void **state)
{
	static const char *const bad[] = { "", "eth0", "01:10", "0000:01:10.8", "0000:01:20.0",
		"0000:01:1g.0", "00000:01:10.0", "0000:01:10.0x", "01:10.00", "-1:10.0", " 1:10.0",
		"0x01:1:10.0", "+000:01:10.0" };
	char out[VFIO_ADDR_LEN];
	struct err e;

	assert_int_equal(vfio_addr_parse("0000:01:10.0", out, &e), 0);
	assert_string_equal(out, "0000:01:10.0");
	assert_int_equal(vfio_addr_parse("AB:1f.7", out, &e), 0);
	assert_string_equal(out, "0000:ab:1f.7");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (vfio_addr_parse(bad[i], out, &e) != -EINVAL)
			fail_msg("\"%s\" was taken, as %s", bad[i], out);
}

static void test_option(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "vf_token=0", "expected pci=ADDRESS" },
		{ "pci=77", "--vfio: pci: \"77\" is no PCI address" },
		{ "01:10.0", "expected key=value" },
		{ "pci=01:10.0,mac=x", "unknown key \"mac\", expected pci or vf_token" },
		{ "pci=01:10.0,vf_token=0123456789012345678901234567890123456", "1 to 36 bytes" },
	};
	struct vfio_setup v;
	struct err e;

	assert_int_equal(vfio_setup_parse(&v, "pci=01:10.0,vf_token=a-b", &e), 0);
	assert_string_equal(v.pci, VF);
	assert_string_equal(v.token, "a-b");
	vfio_setup_free(&v);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(vfio_setup_parse(&v, bad[i].text, &e), -EINVAL);
		if (!strstr(e.text, bad[i].says))
			fail_msg("\"%s\" is not in \"%s\"", bad[i].says, e.text);
		vfio_setup_free(&v);
	}
}

int main(void)
{
#define WITH_ROOT(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_ROOT(test_good),
		WITH_ROOT(test_absent),
		WITH_ROOT(test_no_iommu),
		WITH_ROOT(test_driver),
		WITH_ROOT(test_group),
		WITH_ROOT(test_no_vfio),
		WITH_ROOT(test_holder),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
