/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences about PCI devices, over a sysfs made of folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vswitch/pcidev.h"

static char root[] = "/tmp/lanyard-pcidev-XXXXXX";
static char sysfs[64];

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void sh(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	assert_int_equal(0, system(cmd));
}

/* A device as the kernel shows it: its real folder elsewhere, a link at bus/pci/devices. */
static void device(
	const char *addr, const char *class, const char *driver, const char *net, const char *group)
{
	sh("cd %s && mkdir -p bus/pci/devices devices/pci0/%s && "
	   "ln -s ../../../devices/pci0/%s bus/pci/devices/%s && echo %s > devices/pci0/%s/class",
		sysfs, addr, addr, addr, class, addr);
	if (driver)
		sh("cd %s && mkdir -p bus/pci/drivers/%s && "
		   "ln -s ../../../bus/pci/drivers/%s devices/pci0/%s/driver",
			sysfs, driver, driver, addr);
	if (net)
		sh("cd %s && mkdir -p devices/pci0/%s/%s", sysfs, addr, net);
	if (group)
		sh("cd %s && mkdir -p kernel/iommu_groups/%s/devices && "
		   "ln -s ../../../kernel/iommu_groups/%s devices/pci0/%s/iommu_group && "
		   "ln -s ../../../../devices/pci0/%s kernel/iommu_groups/%s/devices/%s",
			sysfs, group, group, addr, addr, group, addr);
}

static int set_up(void **state)
{
	strcpy(root + sizeof(root) - 7, "XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(sysfs, sizeof(sysfs), "%s/sys", root);
	sh("mkdir -p %s/bus/pci/devices", sysfs);
	return 0;
}

static int tear_down(void **state)
{
	sh("rm -rf %s", root);
	return 0;
}

static void refused(const char *addr, int class, const char *const *words)
{
	struct err e = { 0 };

	assert_true(pcidev_check(sysfs, addr, &e) < 0);
	assert_int_equal(class, e.class);
	assert_string_equal("pci", e.field);
	for (; *words; words++)
		if (!strstr(e.text, *words))
			fail_msg("not \"%s\" in: %s", *words, e.text);
}

#define REFUSED(addr, class, ...) refused(addr, class, (const char *const[]){ __VA_ARGS__, NULL })

static void test_addresses(void **state)
{
	static const char *const bad[] = { "", "eth0", "0000:03:00", "0000:03:00.8", "0000:03:20.0",
		"00000:03:00.0", "0000:3:00.0", "0000:03:00.0 ", "0000:03:00.0,a=b", "+3:00.0",
		"0000-03-00.0", "0x00:03:00.0", "0000:03:00.0.0", ":03:00.0", "0000:03:0:.0" };
	char out[PCIDEV_ADDR_LEN];
	struct err e;

	assert_int_equal(0, pcidev_addr("0000:03:00.1", out, NULL));
	assert_string_equal("0000:03:00.1", out);
	assert_int_equal(0, pcidev_addr("af:1F.7", out, NULL));
	assert_string_equal("0000:af:1f.7", out);
	assert_int_equal(0, pcidev_addr("FFfe:03:00.1", out, NULL));
	assert_string_equal("fffe:03:00.1", out);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&e, 0, sizeof(e));
		if (pcidev_addr(bad[i], out, &e) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_string_equal("pci", e.field);
		assert_non_null(strstr(e.text, "0000:03:00.0"));
	}
}

static void test_absent(void **state)
{
	REFUSED("0000:03:00.0", ERR_REQUEST, "there is no PCI device 0000:03:00.0",
		"no PCI network device");
	device("0000:01:00.0", "0x010802", "nvme", NULL, "1");
	device("0000:04:00.0", "0x020000", "e1000e", "net/eth3", "4");
	device("0000:05:00.0", "0x020000", NULL, NULL, NULL);
	REFUSED("0000:03:00.0", ERR_REQUEST, "there is no PCI device 0000:03:00.0",
		"here: 0000:04:00.0, driver e1000e (interface eth3); 0000:05:00.0, no driver");
	for (int i = 0; i < 8; i++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "0000:1%d:00.0", i);
		device(addr, "0x020000", "ixgbe", NULL, NULL);
	}
	REFUSED("0000:03:00.0", ERR_REQUEST, "and 4 more");
}

static void test_bound_to_the_kernel(void **state)
{
	device("0000:03:00.0", "0x020000", "e1000e", "net/eth1", "3");
	device("0000:04:00.0", "0x020000", "virtio-pci", "virtio2/net/ens4", "4");
	device("0000:05:00.0", "0x020000", NULL, NULL, "5");
	device("0000:06:00.0", "0x030000", "i915", NULL, "6");
	REFUSED("0000:03:00.0", ERR_HOST, "bound to the kernel driver e1000e (interface eth1)",
		"dpdk-devbind.py -b vfio-pci 0000:03:00.0", "leaves the kernel");
	REFUSED("0000:04:00.0", ERR_HOST, "virtio-pci (interface ens4)",
		"-b vfio-pci 0000:04:00.0");
	REFUSED("0000:05:00.0", ERR_HOST, "has no driver",
		"modprobe vfio-pci && dpdk-devbind.py -b vfio-pci 0000:05:00.0");
	REFUSED("0000:06:00.0", ERR_REQUEST, "no network device", "0x030000");
}

static void test_iommu(void **state)
{
	device("0000:03:00.0", "0x020000", "vfio-pci", NULL, NULL);
	REFUSED("0000:03:00.0", ERR_HOST, "behind no IOMMU", "intel_iommu=on");
	sh("mkdir -p %s/module/vfio/parameters", sysfs);
	sh("echo N > %s/module/vfio/parameters/enable_unsafe_noiommu_mode", sysfs);
	REFUSED("0000:03:00.0", ERR_HOST, "behind no IOMMU");
	sh("echo Y > %s/module/vfio/parameters/enable_unsafe_noiommu_mode", sysfs);
	assert_int_equal(0, pcidev_check(sysfs, "0000:03:00.0", NULL));
	device("0000:04:00.0", "0x020000", "vfio-pci", NULL, "4");
	device("0000:00:04.0", "0x060400", "pcieport", NULL, "4");
	device("0000:04:00.2", "0x020000", NULL, NULL, "4");
	assert_int_equal(0, pcidev_check(sysfs, "0000:04:00.0", NULL));
	device("0000:04:00.1", "0x020000", "igb", "net/eth7", "4");
	REFUSED("0000:04:00.0", ERR_HOST, "shares its IOMMU group with 0000:04:00.1",
		"kernel driver igb (interface eth7)", "dpdk-devbind.py -b vfio-pci 0000:04:00.1");
	/* Drivers that share a device with the kernel, and those that know no IOMMU. */
	device("0000:05:00.0", "0x020000", "mlx5_core", "net/eth8", "5");
	device("0000:06:00.0", "0x020000", "uio_pci_generic", NULL, NULL);
	assert_int_equal(0, pcidev_check(sysfs, "0000:05:00.0", NULL));
	assert_int_equal(0, pcidev_check(sysfs, "0000:06:00.0", NULL));
	/* A VF names its PF. */
	assert_false(pcidev_is_vf(sysfs, "0000:05:00.0"));
	sh("ln -s ../0000:04:00.0 %s/bus/pci/devices/0000:05:00.0/physfn", sysfs);
	assert_true(pcidev_is_vf(sysfs, "0000:05:00.0"));
	assert_false(pcidev_is_vf(sysfs, "0000:07:00.0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test_setup_teardown(test_absent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bound_to_the_kernel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_iommu, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
