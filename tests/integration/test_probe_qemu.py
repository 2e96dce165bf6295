#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The probe under a foreign VMM: QEMU without KVM, two virtio-net NICs joined by a hub."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Rpc, wait_until

QEMU = "qemu-system-x86_64"
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")


class Qemu(harness.Case):
    def setUp(self):
        super().setUp()
        if not shutil.which(QEMU) and os.environ.get("CI") != "true":
            self.skipTest(f"{QEMU} is not there (tools/install-deps installs it)")

    def boot(self, *devices, cmdline=""):
        argv = [QEMU, "-accel", "tcg", "-cpu", "max", "-M", "q35", "-m", "64", "-nodefaults",
                "-display", "none", "-no-reboot", "-kernel", harness.PROBE,
                "-append", f"tsc_hz=2000000000 ecam=0xb0000000 {cmdline}",
                "-serial", f"file:{self.path('console.log')}",
                "-serial", f"unix:{self.path('agent')},server=on,wait=off"]
        for i, options in enumerate(devices):
            argv += ["-netdev", f"hubport,id=n{i},hubid=0", "-device",
                     f"virtio-net-pci,netdev=n{i},mac={MACS[i]},disable-legacy=on{options}"]
        daemon = self.start(argv, "qemu")
        wait_until(lambda: "NICs: " in self.console(), 30, "the probe's banner")
        agent = Rpc(self.path("agent"), timeout_s=30)
        self.addCleanup(agent.close)
        return daemon, agent

    def console(self):
        try:
            with open(self.path("console.log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def run_traffic(self, agent, **send):
        agent.call("traffic_start", reset=True, flows=[
            {"id": 1, "role": "receive", "nic": 1, "peer_mac": MACS[0]},
            dict(send, id=1, role="send", nic=0, peer_mac=MACS[1])])

        def all_there():
            rx, tx = agent.call("traffic_status")["flows"]
            return tx["done"] and rx["frames"] == tx["frames"] and (rx, tx)

        return wait_until(all_there, 30, "all frames to arrive")

    def check(self, agent):
        for size in (64, 80, 1518):
            with self.subTest(size=size):
                rx, _ = self.run_traffic(agent, size=size, rate_mfps=1_000_000, frames=300)
                self.assertEqual((0, 0, 0), (rx["lost"], rx["corrupt"], rx["duplicated"]))
        rx, tx = self.run_traffic(agent, size=1518, rate_mfps=0, frames=5000)
        self.assertEqual((0, 0, 0), (rx["lost"], rx["corrupt"], rx["duplicated"]))

    def test_virtio_net(self):
        daemon, agent = self.boot(",host_mtu=1500", "")
        hello = agent.call("hello")
        self.assertEqual(list(MACS), [n["mac"] for n in hello["nics"]])
        self.assertEqual([1500, 1500], [n["mtu"] for n in hello["nics"]])
        self.assertTrue(all(n["link"] for n in hello["nics"]))
        self.check(agent)
        agent.call("shutdown")
        self.assertEqual(0, daemon.proc.wait(10))

    def test_without_event_idx_and_mergeable_buffers(self):
        options = ",event_idx=off,mrg_rxbuf=off,rx_queue_size=256,tx_queue_size=256"
        daemon, agent = self.boot(options, options)
        self.check(agent)

    def test_frames_over_several_buffers(self):
        """A NIC whose MTU the device doesn't tell takes a jumbo frame in pieces."""
        daemon, agent = self.boot(",host_mtu=9000", "")
        rx, tx = self.run_traffic(agent, size=9018, rate_mfps=1_000_000, frames=200)
        self.assertEqual((200, 0, 0), (rx["frames"], rx["lost"], rx["corrupt"]))


if __name__ == "__main__":
    harness.main()
