# SPDX-License-Identifier: Apache-2.0
"""Linux guests of lanyard-vmm: their virtio-net on lanyard-switch and on back ends that are not ours,
in the rig (tests/rig/run), where KVM runs them at a useful speed. What the guests do is that of
tests/integration/test_linux_guests.py, where QEMU shows them their NICs."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "..", "integration"))
import harness
from foreign import Ovs, VhostPmd
from harness import wait_until
import test_linux_guests
from test_linux_guests import FAIR_DROPS, SHOWN, Link
from vmmguest import VmmGuest, VmmNic

TAKES_S = 600

PLAIN = {"offloads": "off"}
SPLIT, PACKED = {"packed": "off"}, {"packed": "on"}


class Guests(test_linux_guests.Guests):
    """Two guests of ours, a and b; options of a Link are keys of --nic."""

    def start_guests(self, links, cpus=1, **keys):
        self.links, self.guest = links, {}
        for g in "ab":
            nics = [VmmNic(self.path(f"{g}{i}"), f"02:00:00:00:0{i}:0{g}", link.queues,
                           **{"mtu": link.mtu, **(link.options[g] or {}), **keys})
                    for i, link in enumerate(links)]
            # The huge pages are for the back ends.
            self.guest[g] = VmmGuest(self, g, nics, cpus, args=["--hugepages", "none"])

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
    def test_rings_and_offloads(self):
        """Split and packed, 1 and 4 queue pairs, with offloads (big frames pass untouched) and
        without, MTU 9000, VLANs: ping, TCP both ways, files that arrive as they were."""
        links = {"split": Link(SPLIT, SPLIT), "packed, 4 pairs, MTU 9000": Link(
                     PACKED, PACKED, mtu=9000, queues=4),
                 "split, plain, 4 pairs": Link({**SPLIT, **PLAIN}, SPLIT, queues=4),
                 "packed, plain": Link(PACKED, {**PACKED, **PLAIN})}
        a, b = self.connect(list(links.values()), cpus=2)
        for i, name in enumerate(links):
            with self.subTest(name):
                self.check_layout(i, name.startswith("packed"))
                mtu = self.links[i].mtu
                self.ping(i, f"-M do -s {mtu - 48}")
                sent, got = self.one_way("a", "b", i, 4)
                back, returned = self.one_way("b", "a", i, 6)
                if "plain" not in name:
                    self.assertGreater(min(sent, got, back, returned), 1.2 * mtu)
                if name.startswith("packed, plain"):
                    self.assertGreater(sent, 1.2 * SHOWN)  # the switch cuts them
                    self.assertLessEqual(got, SHOWN)
                self.send_file("a", "b", self.address("b", i))
        with self.subTest("VLAN"):
            for g, host in ("a", 1), ("b", 2):
                self.guest[g].run(f"ip link add link eth3 name v10 type vlan id 10 && "
                                  f"ip link set v10 up && ip addr add 10.0.9.{host}/24 dev v10 && "
                                  f"ip addr add fd00:9::{host}/64 dev v10 nodad")
            self.ping(9)
            self.iperf(self.address("b", 9))
        with self.subTest("big frames, counted"):
            self.assertGreater(self.sw.port("b3")["soft_segmented"], 0)
            self.assertEqual(0, self.sw.port("b0")["soft_segmented"])
        self.check_clean()
        self.ethtool(a, b)
        self.check_clean()

    def ethtool(self, a, b):
        with self.subTest("ethtool -L"):
            for n in (4, 2, 1, 3, 4):
                a.run(f"ethtool -L eth1 combined {n}")
                wait_until(lambda: self.sw.port("a1")["queues"] == n, 20, f"{n} queue pairs")
                self.assertEqual(n, self.nic_info("a", 1)["queues"])
                self.ping(1)
            a.run("ethtool -L eth1 combined 5 || true")  # more than there are
            self.assertEqual(4, self.nic_info("a", 1)["queues"])
            self.iperf(self.address("b", 1), "-P", "8")
        with self.subTest("ethtool -S"):
            text = a.run("ethtool -S eth1; cat /sys/class/net/eth1/statistics/tx_packets")
            queues = [int(line.split()[1]) for line in text.splitlines() if "tx_queue_" in line and
                      line.split(":")[0].endswith("_packets") and "xdp" not in line]
            self.assertEqual(4, len(queues))
            self.assertAlmostEqual(sum(queues), int(text.split()[-1]), delta=50)
        with self.subTest("ethtool -K"):
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
        with self.subTest("the control queue's rest"):
            a.run("ip link set eth0 promisc on; ip link set eth0 allmulticast on; "
                  "ip maddr add 33:33:00:00:12:34 dev eth0; "
                  "ip link set eth0 promisc off; ip link set eth0 allmulticast off")
            a.run("ip link set eth0 address 02:00:00:00:77:0a")
            self.ping(0)
            self.assertIn(("02:00:00:00:77:0a", "a0"), [
                (e["mac"], e["port"]) for e in self.sw.call("fdb", network="net0")["entries"]])
            for guest in (a, b):
                self.assertNotIn("Failed", guest.run("dmesg | grep -i virtio_net || true"))


class Life(Guests):
    def restart_switch(self):
        self.sw.kill(9)
        self.sw = self.add_switch()

    def grown(self, ports, n_bytes):
        wait_until(lambda: all(self.sw.port(p)["tx"]["bytes"] > n_bytes for p in ports), 60,
                   f"{n_bytes} bytes to leave by {ports}")

    def test_life(self):
        """The switch is killed under traffic, a driver unloaded and loaded again, a guest
        rebooted; rings split and packed at once."""
        a, b = self.connect([Link(SPLIT, SPLIT), Link(PACKED, PACKED, queues=2)], cpus=2)
        ports = [f"{g}{i}" for g in "ab" for i in range(2)]
        for i in range(2):
            b.run(f"iperf3 -s -D -p 530{i}")
            a.spawn(f"tcp{i}", f"iperf3 -c {self.address('b', i)} -p 530{i} -t 1000 --bidir")
        for n in range(3):
            self.grown(ports, 500_000)
            self.restart_switch()
        self.grown(ports, 500_000)
        for i in range(2):
            self.assertTrue(a.alive(f"tcp{i}"), a.log(f"tcp{i}"))
            a.kill(f"tcp{i}")
            self.assertGreaterEqual(self.nic_info("a", i)["reconnects"], 3)
            self.send_file("a", "b", self.address("b", i))
            self.send_file("b", "a", self.address("a", i))
        self.check_clean(FAIR_DROPS | {"rx_uncertain"})
        # Under traffic: ping goes on from the other side.
        a.spawn("ping0", f"ping -i 0.2 {self.address('b', 0)}")
        a.spawn("ping1", f"ping -i 0.2 {self.address('b', 1)}")
        for _ in range(2):
            b.run("rmmod virtio_net")
            wait_until(lambda: self.sw.port("b1")["state"] == "waiting", 20, "the port to wait")
            b.run("insmod /modules/virtio_net.ko")
            self.configure("b")
            for i in range(2):
                self.ping(i)
        b.reboot()
        b.run("iperf3 -s -D")
        self.configure("b")
        for i in range(2):
            self.ping(i)
            self.tcp_both_ways(i)
            a.kill(f"ping{i}")
        self.assertEqual(1, b.vmm.call("info")["resets"])
        self.check_clean(FAIR_DROPS | {"rx_uncertain"})


class OtherBackEnds(Guests):
    def exchange(self, links):
        for i in links:
            self.ping(i)
            self.iperf(self.address("b", i))
            self.iperf(self.address("b", i), "-R")
            self.send_file("a", "b", self.address("b", i))

    def test_testpmd(self):
        """dpdk-testpmd's net_vhost, split and packed; it is killed and comes back."""
        links = [Link(SPLIT, SPLIT), Link(PACKED, PACKED)]
        paths = [self.path(f"{g}{i}") for i in range(2) for g in "ab"]
        pmd = VhostPmd(self, paths)
        self.start_guests(links)
        self.configure_all()
        for i in range(2):
            self.check_layout(i, i == 1)
        self.exchange(range(2))
        pmd.kill(9)
        wait_until(lambda: self.nic_info("a", 0)["link"] == "down", 20, "the link's end")
        for path in paths:
            os.unlink(path)
        VhostPmd(self, paths, name="pmd2")
        wait_until(lambda: all(self.nic_info(g, i)["link"] == "up" for g in "ab" for i in range(2)),
                   60, "the links")
        self.exchange(range(2))

    def test_ovs(self):
        """Open vSwitch, which connects to us, split and packed; it is killed and comes back."""
        links = [Link(SPLIT, SPLIT), Link(PACKED, PACKED)]
        ovs = Ovs(self, [self.path(f"{g}0") for g in "ab"], [self.path(f"{g}1") for g in "ab"])
        self.start_guests(links, listen="on")
        self.configure_all()
        for i in range(2):
            self.check_layout(i, i == 1)
        self.exchange(range(2))
        ovs.restart()
        wait_until(lambda: all(self.nic_info(g, i)["reconnects"] and
                               self.nic_info(g, i)["link"] == "up"
                               for g in "ab" for i in range(2)), 60, "the links")
        self.exchange(range(2))


if __name__ == "__main__":
    harness.main()
