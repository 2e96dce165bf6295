# SPDX-License-Identifier: Apache-2.0
"""Linux guests under QEMU as the switch's foreign clients: what users plug in most."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import slow, Case, wait_until
from linuxguest import LinuxGuest, Nic

# What frames may be dropped for here: a full ring under load, and what Linux says (router
# solicitations and the like) before the other guest is there.
FAIR_DROPS = {"tx_ring_full", "rx_no_receiver", "tx_port_down"}
FILE_MIB = 4


class Link:
    """One network with a NIC of guest a and one of guest b: eth0, eth1, ... in the order of links."""

    def __init__(self, a=None, b=None, mtu=1500, queues=1, port=None, listen=False):
        """a, b: options of QEMU's virtio-net-pci; port: parameters of port_add."""
        self.options, self.mtu, self.queues = {"a": a, "b": b}, mtu, queues
        self.port, self.listen = dict(port or {}), listen


class Guests(Case):
    """Two guests, a and b. On link i, a is 10.0.i.1 and fd00:i::1, b is 10.0.i.2 and fd00:i::2."""

    def connect(self, links, cpus=1):
        self.links = links
        self.sw = self.add_switch()
        self.guest = {}
        for g in "ab":
            nics = [Nic(self.path(f"{g}{i}"), f"02:00:00:00:0{i}:0{g}", link.options[g],
                        link.queues, link.listen) for i, link in enumerate(links)]
            self.guest[g] = LinuxGuest(self, g, nics, cpus)
        for g in "ab":
            self.guest[g].run("iperf3 -s -D")
            self.configure(g)
        return self.guest["a"], self.guest["b"]

    def add_switch(self):
        sw = self.switch()
        for i, link in enumerate(self.links):
            sw.call("network_add", name=f"net{i}", mtu=link.mtu)
            for g in "ab":
                sw.call("port_add", name=f"{g}{i}", network=f"net{i}", socket=self.path(f"{g}{i}"),
                        role="client" if link.listen else "server", queues=link.queues,
                        **link.port)
        return sw

    def configure(self, g):
        """Addresses, static neighbours none: ARP and ND go through the switch as well."""
        host = 1 if g == "a" else 2
        script = ""
        for i, link in enumerate(self.links):
            script += (f"ip link set eth{i} up mtu {link.mtu}; "
                       f"ip addr add 10.0.{i}.{host}/24 dev eth{i}; "
                       f"ip addr add fd00:{i}::{host}/64 dev eth{i} nodad; ")
        self.guest[g].run(script)

    @staticmethod
    def address(g, i, family=4):
        host = 1 if g == "a" else 2
        return f"10.0.{i}.{host}" if family == 4 else f"fd00:{i}::{host}"

    def ping(self, i, *options):
        for family in (4, 6):
            self.guest["a"].run(f"ping -c 3 -i 0.2 -W 10 {' '.join(options)} "
                                f"{self.address('b', i, family)}")

    def iperf(self, address, *options, seconds=1):
        """iperf3 from guest a, without a word of complaint; (bytes sent, bytes received)"""
        args = " ".join(options)
        text = self.guest["a"].run(f"iperf3 -c {address} -t {seconds} -J {args}",
                                   timeout_s=60 + seconds, status=None)
        got = json.loads(text)
        self.assertNotIn("error", got, f"iperf3 {args}")
        end = got["end"]
        if "-u" in options:
            total, size = end["sum"]["packets"], end["sum"]["bytes"]
            return size, size * (total - end["sum"]["lost_packets"]) // max(1, total)
        return end["sum_sent"]["bytes"], end["sum_received"]["bytes"]

    def tcp_both_ways(self, i, family=4):
        for options in ([], ["-R"]):
            sent, received = self.iperf(self.address("b", i, family), *options)
            self.assertGreater(received, 500_000, f"link {i} {options}")

    def udp_both_ways(self, i, length=1400):
        for options in ([], ["-R"]):
            sent, received = self.iperf(self.address("b", i), "-u", "-b", "10M", "-l", str(length),
                                        *options)
            self.assertGreater(received, sent // 10, f"link {i} {options}")

    def send_file(self, src, dst, address):
        """A random file from one guest to the other by TCP: it must arrive as it was."""
        sender, receiver = self.guest[src], self.guest[dst]
        receiver.spawn("nc", "exec nc -l -p 7000 -e sh -c 'cat >/tmp/got'")
        sums = sender.run(
            f"dd if=/dev/urandom of=/tmp/file bs=1M count={FILE_MIB} 2>/dev/null; "
            f"until nc {address} 7000 </tmp/file; do sleep 0.1; done; sha256sum </tmp/file")
        wait_until(lambda: not receiver.alive("nc"), 30, "the receiver of a file to end")
        self.assertEqual(sums, receiver.run("sha256sum </tmp/got"))

    def files_both_ways(self, i, family=4):
        self.send_file("a", "b", self.address("b", i, family))
        self.send_file("b", "a", self.address("a", i, family))

    def check_clean(self):
        """No guest has seen a wrong checksum; the switch has dropped nothing without need."""
        for name, guest in self.guest.items():
            bad = {k: v for k, v in guest.counters().items()
                   if k.endswith(("InCsumErrors", "InHdrErrors")) and v}
            self.assertEqual({}, bad, f"guest {name}")
        for port in self.sw.stats()["ports"]:
            bad = {k: v for k, v in port["drops"].items() if v and k not in FAIR_DROPS}
            self.assertEqual(({}, "up"), (bad, port["state"]), f"port {port['name']}")


class Plain(Guests):
    @slow
    def test_rings_without_offloads(self):
        """Buffers that merge and buffers that don't, events by index and by flags, no indirect
        descriptors, on one link each; TCP, UDP, files; IPv4 and IPv6."""
        none = {"csum": "off", "guest_csum": "off", "gso": "off"}
        self.connect([
            Link(none, none),
            Link(dict(none, mrg_rxbuf="off"), dict(none, event_idx="off")),
            Link(dict(none, indirect_desc="off", rx_queue_size=1024), dict(none, tx_queue_size=256)),
        ])
        for i in range(len(self.links)):
            with self.subTest(link=i):
                self.ping(i)
                self.tcp_both_ways(i, 6 if i == 1 else 4)
                self.udp_both_ways(i)
                self.files_both_ways(i, 6 if i == 2 else 4)
        self.check_clean()

    @slow
    def test_jumbo(self):
        """The MTU reaches the guest from the network; frames of 9014 bytes in one buffer and in
        several."""
        self.connect([Link({"host_mtu": 9000}, {"host_mtu": 9000}, mtu=9000),
                      Link({"host_mtu": 9000, "mrg_rxbuf": "off"}, {"host_mtu": 9000}, mtu=9000),
                      Link()])
        for i in range(2):
            with self.subTest(link=i):
                self.ping(i, "-M do -s 8952")
                self.tcp_both_ways(i)
                self.files_both_ways(i)
                before = self.sw.port(f"b{i}")["tx"]
                self.ping(i, "-M do -s 8900")
                after = self.sw.port(f"b{i}")["tx"]
                self.assertGreater(after["bytes"] - before["bytes"], 3 * 8900)
        self.check_clean()
        # A guest that was not told and sets a greater MTU loses those frames, by their name.
        self.guest["a"].run("ip link set eth2 mtu 9000")
        lost = self.guest["a"].run(f"ping -c 3 -i 0.2 -W 1 -M do -s 2000 {self.address('b', 2)}",
                                   status=1)
        self.assertIn("3 packets transmitted, 0 received", lost)
        self.assertEqual(3, self.sw.port("a2")["drops"]["rx_oversize"])
        self.ping(2)


class Restart(Guests):
    def restart_switch(self):
        self.sw.kill(signal.SIGKILL)
        self.sw = self.add_switch()

    def grown(self, ports, n_bytes):
        """Waits until these ports of the (new) switch have delivered so much."""
        wait_until(lambda: all(self.sw.port(p)["tx"]["bytes"] > n_bytes for p in ports), 60,
                   f"{n_bytes} bytes to leave by {ports}")

    def under_traffic(self, i):
        """ping and TCP in both directions are under way when the switch is killed."""
        a, b = self.guest["a"], self.guest["b"]
        to = self.address("b", i)
        a.spawn("ping", f"ping -i 0.2 {to}")
        a.spawn("tcp", f"iperf3 -c {to} -t 600 --bidir")
        self.grown([f"a{i}", f"b{i}"], 1_000_000)
        self.restart_switch()
        self.grown([f"a{i}", f"b{i}"], 1_000_000)
        self.assertTrue(a.alive("tcp"), a.log("tcp"))
        a.kill("tcp")
        replies = a.log("ping").count("bytes from")
        wait_until(lambda: a.log("ping").count("bytes from") > replies + 3, 30, "replies to ping")
        a.kill("ping")
        self.files_both_ways(i)
        self.check_clean()

    @slow
    def test_switch_restart(self):
        """kill -9 and a new switch: QEMU connects again by itself and traffic goes on, whoever
        listens on the socket."""
        self.connect([Link(), Link(listen=True)])
        for i in range(len(self.links)):
            with self.subTest(link=i):
                self.under_traffic(i)

    @slow
    def test_guest_comes_and_goes(self):
        """Reboot of a guest, its driver taken away and loaded again, queue pairs switched on and
        off: the other guest's traffic goes on each time, and so does what comes after."""
        a, b = self.connect([Link(queues=4)], cpus=2)
        connects = self.sw.port("b0")["connects"]
        b.reboot()
        b.run("iperf3 -s -D")
        self.configure("b")
        self.ping(0)
        self.tcp_both_ways(0)
        for _ in range(3):
            b.run("rmmod virtio_net")
            wait_until(lambda: self.sw.port("b0")["state"] == "waiting", 20, "the port to wait")
            b.run("insmod /modules/virtio_net.ko")
            self.configure("b")
            self.ping(0)
        self.assertEqual(connects, self.sw.port("b0")["connects"], "QEMU stayed connected")
        for n in (4, 2, 1, 3, 4):
            a.run(f"ethtool -L eth0 combined {n}")
            b.run(f"ethtool -L eth0 combined {n}")
            self.ping(0)
            wait_until(lambda: self.sw.port("a0")["queues"] == n, 20, f"{n} queue pairs")
        before = [q["tx"]["frames"] for q in self.sw.port("b0")["queue"]]
        self.iperf(self.address("b", 0), "-P", "16", seconds=2)
        after = [q["tx"]["frames"] for q in self.sw.port("b0")["queue"]]
        used = sum(y > x for x, y in zip(before, after))
        self.assertGreater(used, 1, "flows were to spread over the receiver's queues")
        self.files_both_ways(0)
        self.check_clean()


if __name__ == "__main__":
    harness.main()
