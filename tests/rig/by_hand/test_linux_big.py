# SPDX-License-Identifier: Apache-2.0
"""Linux in large machines of lanyard-vmm: memory on both sides of 4 GiB, 64 vCPUs, hugepages of 1 GiB. In
the rig, in a machine of 10 GiB."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
from lanyardguest import LanyardGuest
from test_linux_boot import BAD

RIG = {"memory_mb": 10240}

GIB = 1 << 30
HUGE_1G = "/sys/kernel/mm/hugepages/hugepages-1048576kB"


class Big(harness.Case):
    def begin(self, name, image="bzImage", memory="5G", args=()):
        """A guest with a NIC, whose rings and buffers its driver takes from high memory first."""
        self.sw.call("port_add", name=name, network="lan", socket=self.path(f"{name}.vhost"))
        return LanyardGuest(self, name, image=image, memory=memory, files=["/bin/busybox:/bin/sh"],
                            args=["--nic", f"socket={self.path(f'{name}.vhost')},"
                                  "mac=02:00:00:00:02:01", *args])

    def setUp(self):
        super().setUp()
        self.sw = self.switch()
        self.sw.call("network_add", name="lan")

    def check_memory(self, guest, gib):
        total = int(re.search(r"MemTotal: *(\d+) kB", guest.sh("cat /proc/meminfo"))[1]) << 10
        self.assertGreater(total, (gib - 0.3) * GIB)
        log = guest.sh("dmesg")
        self.assertEqual([], [line for line in log.splitlines() if BAD.search(line)])
        usable = [(int(a, 16), int(b, 16)) for a, b in
                  re.findall(r"BIOS-e820: \[mem 0x(\w+)-0x(\w+)\] usable", log)]
        self.assertEqual((3 * GIB - 1, 4 * GIB), (usable[-2][1], usable[-1][0]), usable)
        self.assertEqual((gib + 1) * GIB - 1, usable[-1][1])
        return log

    def check_nic(self, guest):
        """Frames leave memory above 4 GiB: there the driver's rings are."""
        guest.sh("ip link set eth0 up; for i in $(seq 100); do read up </sys/class/net/eth0/carrier; "
                 "[ $up = 1 ] && break; sleep 0.3; done; "
                 "ip addr add 10.0.0.1/24 dev eth0; ping -c 2 -W 1 10.0.0.2 >/dev/null; true")
        self.assertGreater(self.sw.port(guest.name)["rx"]["frames"], 0)
        self.assertFalse(guest.vmm.call("info")["nics"][0]["needs_reset"])

    def free_above(self, guest):
        """Bytes free in the zone that begins at 4 GiB."""
        zone = guest.sh("cat /proc/zoneinfo").split("zone   Normal")[1]
        self.assertIn("start_pfn:           1048576", zone)
        return int(re.search(r"pages free +(\d+)", zone)[1]) << 12

    def check_high(self, guest):
        """What is written goes there first, and is read back."""
        free = self.free_above(guest)
        sums = guest.sh("mount -t tmpfs big /mnt && dd if=/dev/urandom bs=1M count=48 2>/dev/null | "
                        "tee /mnt/x | sha256sum; sha256sum </mnt/x").splitlines()
        self.assertEqual(sums[0], sums[1])
        self.assertGreater(free - self.free_above(guest), 40 << 20)

    def high(self, image):
        guest = self.begin("a", image)
        guest.hello()
        self.check_memory(guest, 5)
        self.check_nic(guest)
        up = guest.sh("cat /proc/uptime").split()[0]
        print(f"figure: rig: 5 GiB as {image}: asked all after {up} s")
        return guest

    def test_memory_above_4_gib_bzimage(self):
        guest = self.high("bzImage")
        self.check_high(guest)
        self.assertEqual(0, guest.stop())

    def test_memory_above_4_gib_elf(self):
        self.assertEqual(0, self.high("elf").stop())

    def test_pages_of_1_gib(self):
        with open(f"{HUGE_1G}/nr_hugepages", "w") as f:
            f.write("5")
        with open(f"{HUGE_1G}/nr_hugepages") as f:
            self.assertEqual("5", f.read().strip(), "the rig's machine has no such pages")
        self.addCleanup(lambda: open(f"{HUGE_1G}/nr_hugepages", "w").write("0"))
        guest = self.begin("g", args=["--hugepages", "1G"])
        self.assertEqual(GIB, guest.vmm.call("info")["page_bytes"])
        with open(f"{HUGE_1G}/free_hugepages") as f:
            self.assertLess(int(f.read()), 5)
        guest.hello()
        self.check_memory(guest, 5)
        self.check_nic(guest)
        self.assertEqual(0, guest.stop())

    def test_64_vcpus(self):
        guest = self.begin("v", memory="1G", args=["--vcpus", "64,sockets=2,cores=16,threads=2"])
        guest.hello()
        self.assertEqual("64\n", guest.sh("nproc"))
        ids = guest.sh("cd /sys/devices/system/cpu; cat cpu*/topology/physical_package_id; cd ..; "
                       "cat cpu/cpu*/topology/core_id").split()
        self.assertEqual({"0", "1"}, set(ids[:64]))
        self.assertEqual(16, len(set(ids[64:])))
        log = guest.sh("dmesg")
        self.assertEqual([], [line for line in log.splitlines() if BAD.search(line)])
        self.check_nic(guest)
        up = guest.sh("cat /proc/uptime").split()[0]
        print(f"figure: rig: 64 vCPUs: asked all after {up} s")
        self.assertEqual(0, guest.stop())


if __name__ == "__main__":
    harness.main()
