# SPDX-License-Identifier: Apache-2.0
"""Two Linux guests of lanyard-vmm on lanyard-switch, in the rig (tests/rig/run), where KVM runs them at a
useful speed: rings, offloads, MTU, VLANs, and what ethtool says and does. What the guests do is that of
tests/integration/test_linux_guests.py, where QEMU shows them their NICs. by_hand/test_linux_net_life.py
and by_hand/test_linux_net_foreign.py have the rest."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import harness
from harness import wait_until
import test_linux_guests
from test_linux_guests import SHOWN, Link
from vmmguest import DEFAULT_KERNEL, VmmGuest, VmmNic

TAKES_S = 240

PLAIN = {"offloads": "off"}
SPLIT, PACKED = {"packed": "off"}, {"packed": "on"}


class Guests(test_linux_guests.Guests):
    """Two guests of ours, a and b; options of a Link are keys of --nic."""

    def start_guests(self, links, cpus=1, kernels=(DEFAULT_KERNEL, DEFAULT_KERNEL), **keys):
        self.links, self.guest = links, {}
        for g, kernel in zip("ab", kernels):
            nics = [VmmNic(self.path(f"{g}{i}"), f"02:00:00:00:0{i}:0{g}", link.queues,
                           **{"mtu": link.mtu, **(link.options[g] or {}), **keys})
                    for i, link in enumerate(links)]
            # The huge pages are for the back ends.
            self.guest[g] = VmmGuest(self, g, nics, cpus, kernel, args=["--hugepages", "none"])

    def configure_all(self):
        for g in "ab":
            self.guest[g].run("iperf3 -s -D")
            self.configure(g)
        return self.guest["a"], self.guest["b"]

    def connect(self, links, cpus=1):
        self.links = links
        self.sw = self.add_switch()
        self.start_guests(links, cpus)
        return self.configure_all()

    def nic_info(self, g, i):
        return self.guest[g].vmm.call("info")["nics"][i]

    def check_layout(self, i, packed):
        for g in "ab":
            info = self.nic_info(g, i)
            self.assertEqual(packed, "RING_PACKED" in info["features"])
            self.assertEqual(("up", False), (info["link"], info["needs_reset"]))


class Frames(Guests):
    def test_offloads(self):
        """Split rings, and packed ones of 4 queue pairs at MTU 9000: big frames pass untouched, files
        arrive as they were, in and out of a VLAN."""
        self.connect([Link(SPLIT, SPLIT), Link(PACKED, PACKED, mtu=9000, queues=4)], cpus=2)
        for i, mtu in enumerate((1500, 9000)):
            with self.subTest(link=i):
                self.check_layout(i, i == 1)
                self.ping(i, f"-M do -s {mtu - 48}")
                sent, got = self.one_way("a", "b", i, 4)
                back, returned = self.one_way("b", "a", i, 6)
                self.assertGreater(min(sent, got, back, returned), 1.2 * mtu)
                self.send_file("a", "b", self.address("b", i))
                for g in "ab":
                    self.assertEqual(0, self.sw.port(f"{g}{i}")["soft_segmented"])
        with self.subTest("VLAN"):
            for g, host in ("a", 1), ("b", 2):
                self.guest[g].run("ip link add link eth0 name v10 type vlan id 10 && "
                                  f"ip link set v10 up && ip addr add 10.0.9.{host}/24 dev v10 && "
                                  f"ip addr add fd00:9::{host}/64 dev v10 nodad")
            self.ping(9)
            before = self.sw.port("b0")["tx"]["bytes"]
            arrived = self.iperf(self.address("b", 9))
            # Of what iperf3 leaves in its socket at its end, the rest never comes.
            self.assertGreater(self.sw.port("b0")["tx"]["bytes"] - before, arrived * 5_000_000)
            self.iperf(self.address("b", 9), "-R")
        self.check_clean()

    def test_without_offloads(self):
        """Neither side has any; or the receiver alone has none, and the switch cuts its frames."""
        links = [Link({**SPLIT, **PLAIN}, {**SPLIT, **PLAIN}), Link(PACKED, {**PACKED, **PLAIN})]
        self.connect(links)
        for i in range(2):
            with self.subTest(link=i):
                self.check_layout(i, i == 1)
                self.ping(i, "-M do -s 1452")
                sent, got = self.one_way("a", "b", i, 4)
                self.assertLessEqual(got, SHOWN)
                if i == 0:
                    self.assertLessEqual(sent, SHOWN)
                else:
                    self.assertGreater(sent, 1.2 * SHOWN)
                back, returned = self.one_way("b", "a", i, 6)
                self.assertLessEqual(max(back, returned), SHOWN)
                self.files_both_ways(i)
        self.assertGreater(self.sw.port("b1")["soft_segmented"], 0)
        self.assertEqual(0, self.sw.port("b0")["soft_segmented"])
        self.check_clean()


class Ethtool(Guests):
    def test_ethtool(self):
        a, b = self.connect([Link(SPLIT, SPLIT), Link(PACKED, PACKED, queues=4)], cpus=2)
        self.channels(a)
        self.statistics(a)
        self.features(a, b)
        self.addresses(a)
        for guest in (a, b):
            self.assertNotIn("Failed", guest.run("dmesg | grep -i virtio_net || true"))
        self.check_clean()

    def channels(self, a):
        """ethtool -L"""
        for n in (4, 1, 3, 4):
            a.run(f"ethtool -L eth1 combined {n}")
            wait_until(lambda: self.sw.port("a1")["queues"] == n, 20, f"{n} queue pairs")
            self.assertEqual(n, self.nic_info("a", 1)["queues"])
            self.assertIn(f"Combined:\t{n}", a.run("ethtool -l eth1 | grep Combined | tail -1"))
            self.ping(1)
        a.run("! ethtool -L eth1 combined 5")  # more than there are
        self.assertEqual(4, self.nic_info("a", 1)["queues"])
        self.iperf(self.address("b", 1), "-P", "8")

    def statistics(self, a):
        """ethtool -S"""
        text = a.run("ethtool -S eth1; cat /sys/class/net/eth1/statistics/tx_packets")
        queues = [int(line.split()[1]) for line in text.splitlines() if "tx_queue_" in line and
                  line.split(":")[0].endswith("_packets") and "xdp" not in line]
        self.assertEqual(4, len(queues))
        self.assertAlmostEqual(sum(queues), int(text.split()[-1]), delta=50)
        self.assertGreater(sum(1 for n in queues if n), 1, queues)

    def features(self, a, b):
        """ethtool -K"""
        a.run("ethtool -K eth0 tx off sg off tso off")
        sent, _ = self.one_way("a", "b", 0, 4)
        self.assertLessEqual(sent, SHOWN)
        a.run("ethtool -K eth0 tx on sg on tso on")
        # What the guest is sent is between it and the switch, which is told.
        b.run("ethtool -K eth0 rx-gro-hw off gro off")
        wait_until(lambda: "GUEST_TSO4" not in self.sw.port("b0")["features"], 20,
                   "the switch to be told")
        sent, got = self.one_way("a", "b", 0, 4)
        self.assertGreater(sent, 1.2 * SHOWN)
        self.assertLessEqual(got, SHOWN)
        b.run("ethtool -K eth0 rx-gro-hw on gro on")
        wait_until(lambda: "GUEST_TSO4" in self.sw.port("b0")["features"], 20,
                   "the switch to be told")
        self.ping(0)

    def addresses(self, a):
        """The control queue's rest."""
        a.run("ip link set eth0 promisc on; ip link set eth0 allmulticast on; "
              "ip maddr add 33:33:00:00:12:34 dev eth0; "
              "ip link set eth0 promisc off; ip link set eth0 allmulticast off")
        a.run("ip link set eth0 address 02:00:00:00:77:0a")
        self.ping(0)
        self.assertIn(("02:00:00:00:77:0a", "a0"), [
            (e["mac"], e["port"]) for e in self.sw.call("fdb", network="net0")["entries"]])


if __name__ == "__main__":
    harness.main()
