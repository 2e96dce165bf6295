# SPDX-License-Identifier: Apache-2.0
"""VFs passed through, for longer than ./check has: 20 reboots, 20 kills, and a guest whose memory
lies on both sides of 4 GiB."""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_vfio
from test_vfio import GUEST, PF
from vmmguest import VmmGuest

RIG = {"nics": ["igb", "igb"], "memory_mb": 6144}
TAKES_S = 900
LITTLE_KIB = 96 << 10
BIG = "3328M"
LOW, HIGH = 3072 << 20, 256 << 20


class Many(test_vfio.Vfs):
    """In parts: a test may take ten minutes. A part of reboots has a kill at its end."""

    # Those of test_vfio.py run there.
    test_two_guests = test_sentences = test_reboots_and_kills = None

    def twin(self, name):
        """The least that drives a VF: busybox and the driver."""
        devices = [word for vf in self.vfs for word in ("--vfio", f"pci={vf}")]
        return VmmGuest(self, name, kernel="6.1", image="elf", modules=("igbvf",), tools=(),
                        memory=f"{LITTLE_KIB >> 10}M", args=[*devices, "--user", "own"])

    def use(self, guest):
        """Up, and an answer, in one command: a link takes a moment."""
        guest.run(f"ip addr add {GUEST['a']}/24 dev eth0; ip link set eth0 up; for i in $(seq 60); "
                  f"do ping -c 1 -W 1 {PF} && exit; done; exit 1", timeout_s=120)

    def reboots_and_kills(self, reboots, kills):
        began = time.monotonic()
        self.check_reboots_and_kills(reboots, kills, LITTLE_KIB)
        print(f"figure: rig: {time.monotonic() - began:.0f} s")

    def test_part_1_reboots(self):
        self.reboots_and_kills(10, 0)

    def test_part_2_reboots(self):
        self.reboots_and_kills(10, 0)

    def test_part_3_kills(self):
        self.reboots_and_kills(0, 7)

    def test_part_4_kills(self):
        self.reboots_and_kills(0, 7)

    def test_part_5_kills(self):
        self.reboots_and_kills(0, 7)

    def test_both_sides_of_4g(self):
        """Linux takes its memory from the top: the driver's rings and buffers are above 4 GiB."""
        self.address_pf()
        guest = self.guest("big", self.vfs[:1], "--hugepages", "none", memory=BIG)
        self.configure(guest, GUEST["a"])
        self.assertEqual({"mappings": 2, "bytes": LOW + HIGH, "users": 1}, self.info(guest)["dma"])
        self.assertIn("100000000-10fffffff : System RAM", guest.run("cat /proc/iomem"))
        self.assertEqual(20, self.pings(guest, PF, 20))
        self.check_tcp_to_pf(guest)


if __name__ == "__main__":
    harness.main()
