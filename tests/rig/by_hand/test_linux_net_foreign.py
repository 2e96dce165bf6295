# SPDX-License-Identifier: Apache-2.0
"""The NICs of two Linux guests of lanyard-vmm (6.1 and 6.12) on back ends that are not ours, split and
packed: dpdk-testpmd's vhost ports, Open vSwitch with DPDK. Each is killed and comes back."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_linux_net
from foreign import Ovs, VhostPmd
from harness import wait_until
from test_linux_net import PACKED, SPLIT
from test_linux_guests import Link

KERNELS = ("6.1-cloud", "6.12")


class Foreign(test_linux_net.Guests):
    def begin(self, layout, **keys):
        self.start_guests([Link(layout, layout)], kernels=KERNELS, **keys)
        for guest in self.guest.values():
            guest.wait_boot()

    def configured(self, layout):
        self.configure_all()
        self.check_layout(0, layout is PACKED)

    def tcp(self):
        self.ping(0)
        for options in ([], ["-R"]):
            self.iperf(self.address("b", 0), *options)

    def file(self):
        self.ping(0)
        self.send_file("b", "a", self.address("a", 0))

    def wait_back(self):
        wait_until(lambda: all(self.nic_info(g, 0)["reconnects"] and
                               self.nic_info(g, 0)["link"] == "up" for g in "ab"), 60, "the links")
        # Back at the rings it may yet be a while before it forwards: Open vSwitch hands its queues to
        # threads some seconds later.
        self.guest["a"].run(f"for i in $(seq 30); do ping -c 1 -W 2 {self.address('b', 0)} && exit; "
                            "done; exit 1", timeout_s=120)

    def begin_testpmd(self, layout):
        self.paths = [self.path(f"{g}0") for g in "ab"]
        pmd = VhostPmd(self, self.paths, start=False)
        self.begin(layout)
        pmd.start()
        self.configured(layout)
        return pmd

    def kill_testpmd(self, layout):
        pmd = self.begin_testpmd(layout)
        self.ping(0)
        pmd.kill(9)
        wait_until(lambda: self.nic_info("a", 0)["link"] == "down", 20, "the link's end")
        for path in self.paths:
            os.unlink(path)
        VhostPmd(self, self.paths, name="pmd2")
        self.wait_back()
        self.file()

    def ovs(self, layout):
        """It connects to us."""
        ovs = Ovs(self, [self.path(f"{g}0") for g in "ab"])
        self.begin(layout, listen="on")
        self.configured(layout)
        self.tcp()
        ovs.restart()
        self.wait_back()
        self.file()

    def test_testpmd_split(self):
        self.begin_testpmd(SPLIT)
        self.tcp()

    def test_testpmd_packed(self):
        self.begin_testpmd(PACKED)
        self.tcp()

    def test_testpmd_killed_split(self):
        self.kill_testpmd(SPLIT)

    def test_testpmd_killed_packed(self):
        self.kill_testpmd(PACKED)

    def test_ovs_split(self):
        self.ovs(SPLIT)

    def test_ovs_packed(self):
        self.ovs(PACKED)


if __name__ == "__main__":
    harness.main()
