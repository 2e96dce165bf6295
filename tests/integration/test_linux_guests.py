# SPDX-License-Identifier: Apache-2.0
"""Linux guests under QEMU as the switch's foreign clients: what users plug in most."""
import json
import os
import re
import shlex
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import slow, unsanitized, Case, wait_until
from linuxguest import MEMORY, LinuxGuest, Nic
from test_lab_real import RealCase

# What frames may be dropped for here: a full ring under load, and what Linux says (router
# solicitations and the like) before the other guest is there.
FAIR_DROPS = {"tx_ring_full", "rx_no_receiver", "tx_port_down"}
NO_CSUM = {"csum": "off", "gso": "off", "host_tso4": "off", "host_tso6": "off", "host_ecn": "off",
           "host_ufo": "off"}  # the guest's device takes no partial checksums and no big frames,
NO_GUEST_TSO = {"guest_tso4": "off", "guest_tso6": "off", "guest_ecn": "off", "guest_ufo": "off"}
NO_GUEST_CSUM = {"guest_csum": "off", **NO_GUEST_TSO}  # nor does its driver
PLAIN = {**NO_CSUM, **NO_GUEST_CSUM}
PACKED = {"packed": "on"}
SHOWN = 1514  # bytes of a frame that is not a big one
FILE_MIB = 2


class Link:
    """One network with a NIC of guest a and one of guest b: eth0, eth1, ..., in the order of
    links."""

    def __init__(self, a=None, b=None, mtu=1500, queues=1, policy=None, listen=False):
        """a, b: options of QEMU's virtio-net-pci; policy: {"a": {...}, "b": {...}} of port_add."""
        self.options, self.mtu, self.queues = {"a": a, "b": b}, mtu, queues
        self.policy, self.listen = dict(policy or {}), listen


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
                        **link.policy.get(g, {}))
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

    def iperf(self, address, *options, amount="6M"):
        """iperf3 from guest a, without a word of complaint: the share of what was sent that
        arrived. A number of bytes, not a time: the host may be busy with others."""
        args = " ".join(options)
        text = self.guest["a"].run(f"iperf3 -c {address} -n {amount} -J {args}", timeout_s=120,
                                   status=None)
        got = json.loads(text)
        self.assertNotIn("error", got, f"iperf3 {args}")
        end = got["end"]
        if "-u" in options:
            return 1 - end["sum"]["lost_packets"] / max(1, end["sum"]["packets"])
        self.assertGreater(end["sum_sent"]["bytes"], 5_000_000)
        return end["sum_received"]["bytes"] / end["sum_sent"]["bytes"]

    def tcp_both_ways(self, i, family=4):
        for options in ([], ["-R"]):
            self.assertGreater(self.iperf(self.address("b", i, family), *options), 0.3)

    def udp_both_ways(self, i, length=1400):
        for options in ([], ["-R"]):
            self.assertGreater(self.iperf(self.address("b", i), "-u", "-b", "20M", "-l",
                                          str(length), *options, amount="500K"), 0.1)

    def send_file(self, src, dst, address):
        """A random file from one guest to the other by TCP: it must arrive as it was."""
        sender, receiver = self.guest[src], self.guest[dst]
        receiver.spawn("nc", "exec nc -l -p 7000 -e sh -c 'cat >/tmp/got'")
        sums = sender.run(
            f"dd if=/dev/urandom of=/tmp/file bs=1M count={FILE_MIB} 2>/dev/null; "
            f"until nc {address} 7000 </tmp/file 2>/dev/null; do sleep 0.1; done; "
            "sha256sum </tmp/file")
        wait_until(lambda: not receiver.alive("nc"), 30, "the receiver of a file to end")
        self.assertEqual(sums, receiver.run("sha256sum </tmp/got"))

    def files_both_ways(self, i, family=4):
        self.send_file("a", "b", self.address("b", i, family))
        self.send_file("b", "a", self.address("a", i, family))

    def mean(self, g, i, direction, fn):
        """Mean length of the frames that guest g's driver sent ("tx") or got ("rx") while fn ran.
        The switch counts a frame that it cuts once, so the guest is asked."""
        folder = f"/sys/class/net/eth{i}/statistics/{direction}_"
        script = f"cat {folder}bytes {folder}packets"
        before = [int(v) for v in self.guest[g].run(script).split()]
        fn()
        after = [int(v) for v in self.guest[g].run(script).split()]
        return (after[0] - before[0]) / max(1, after[1] - before[1])

    def one_way(self, src, dst, i, family):
        """Mean lengths of what src's driver sends and of what dst's driver gets, of TCP."""
        options = [] if src == "a" else ["-R"]
        sent = []

        def both():
            sent.append(self.mean(src, i, "tx", lambda: self.iperf(
                self.address("b", i, family), *options)))

        got = self.mean(dst, i, "rx", both)
        return sent[0], got

    def capture(self, dst, i, fn):
        """What tcpdump in guest dst says of the checksums of frames that came in while fn ran:
        (right, [lines of wrong ones])."""
        guest = self.guest[dst]
        guest.run(f"ethtool -K eth{i} gro off")  # a frame that Linux joined is not what came
        guest.spawn("tcpdump", f"exec tcpdump -Z root -i eth{i} -Q in -nn -vv -c 600 "
                               "--immediate-mode 'tcp or udp or icmp6 or vlan'")
        wait_until(lambda: "listening on" in guest.log("tcpdump"), 60, "tcpdump to start")
        fn()
        guest.kill("tcpdump")
        text = guest.log("tcpdump")
        guest.run(f"ethtool -K eth{i} gro on")
        right = len(re.findall(r"cksum 0x[0-9a-f]+ \(correct\)|\[udp sum ok\]|sum ok\]", text))
        wrong = re.findall(r".*(?:incorrect|\[bad (?:udp|icmp6) cksum).*", text)
        return right, wrong

    def check_clean(self, fair=FAIR_DROPS):
        """No guest has seen a wrong checksum; the switch has dropped nothing without need."""
        for name, guest in self.guest.items():
            bad = {k: v for k, v in guest.counters().items()
                   if k.endswith(("InCsumErrors", "InHdrErrors", "rx_errors", "tx_errors")) and v}
            self.assertEqual({}, bad, f"guest {name}")
        for port in self.sw.stats()["ports"]:
            bad = {k: v for k, v in port["drops"].items() if v and k not in fair}
            self.assertEqual(({}, "up"), (bad, port["state"]), f"port {port['name']}")


class Plain(Guests):
    @slow
    @unsanitized
    def test_rings_without_offloads(self):
        """Buffers that merge and buffers that don't, events by index and by flags, no indirect
        descriptors, packed rings, on one link each; TCP, UDP, files; IPv4 and IPv6."""
        self.connect([
            Link(PLAIN, PLAIN),
            Link({**PLAIN, "mrg_rxbuf": "off"}, {**PLAIN, "event_idx": "off"}),
            Link({**PLAIN, "indirect_desc": "off", "rx_queue_size": 1024},
                 {**PLAIN, **PACKED, "mrg_rxbuf": "off"}),
            Link({**PLAIN, **PACKED, "indirect_desc": "off"},
                 {**PLAIN, **PACKED, "event_idx": "off"}),
        ])
        for i in range(len(self.links)):
            with self.subTest(link=i):
                self.ping(i)
                self.tcp_both_ways(i, 6 if i == 1 else 4)
                self.udp_both_ways(i)
                self.files_both_ways(i, 6 if i == 2 else 4)
        self.check_clean()

    @slow
    @unsanitized
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


class Offloads(Guests):
    def features_of(self, port):
        return set(self.sw.port(port)["features"])

    @slow
    def test_completed_in_software(self):
        """What a sender left to its NIC and the receiver did not negotiate is done by the switch:
        whole checksums and frames of the MTU's size, in every pairing of ring layouts."""
        links = {
            "no checksums at the receiver": Link({}, NO_GUEST_CSUM),
            "only TSO off at the receiver": Link({**PACKED, "indirect_desc": "off"},
                                                 {**NO_GUEST_TSO, "mrg_rxbuf": "off"}),
            "packed to packed": Link(PACKED, {**PACKED, **PLAIN}),
            "split to packed, jumbo": Link({"host_mtu": 9000},
                                           {**PACKED, **PLAIN, "host_mtu": 9000}, mtu=9000),
        }
        self.connect(list(links.values()))
        for i, (name, link) in enumerate(links.items()):
            with self.subTest(name):
                self.assertLessEqual({"CSUM", "HOST_TSO4", "HOST_TSO6"}, self.features_of(f"a{i}"))
                self.assertFalse({"GUEST_TSO4", "GUEST_TSO6"} & self.features_of(f"b{i}"))
                if "guest_csum" in link.options["b"]:
                    self.assertNotIn("GUEST_CSUM", self.features_of(f"b{i}"))
                for family in (4, 6):
                    sent, got = self.one_way("a", "b", i, family)
                    self.assertGreater(sent, 1.5 * link.mtu, "the sender was to use TSO")
                    self.assertLessEqual(got, link.mtu + 14, "the receiver was not to see TSO")
                self.assertGreater(self.sw.port(f"b{i}")["soft_segmented"], 0)
                if "guest_csum" in link.options["b"]:
                    right, wrong = self.capture("b", i, lambda: (
                        self.udp_both_ways(i), self.tcp_both_ways(i), self.ping(i)))
                    self.assertEqual([], wrong[:5])
                    self.assertGreater(right, 100)
                self.files_both_ways(i, 4 if i % 2 else 6)
        self.check_clean()

    SEND = ("tx off", "sg off", "tso off", "tx-tcp6-segmentation off")  # no big frames leave
    TOGGLES = (*SEND, "gso off", "gro off", "rx-gro-hw off")

    @slow
    @unsanitized
    def test_passed_on(self):
        """Where both sides negotiated them, big frames and partial checksums pass untouched; and
        each offload may be switched off in either guest."""
        links = {"split": Link(), "packed": Link(PACKED, PACKED),
                 "big buffers": Link({**PACKED, "mrg_rxbuf": "off"}, {"mrg_rxbuf": "off"})}
        a, b = self.connect(list(links.values()))
        for guest in (a, b):
            guest.run("sysctl -q -w net.ipv4.tcp_ecn=1")
        for i, name in enumerate(links):
            with self.subTest(name):
                for src, dst, family in (("a", "b", 4), ("b", "a", 6)):
                    sent, got = self.one_way(src, dst, i, family)
                    self.assertGreater(sent, 2 * SHOWN)
                    self.assertGreater(got, 2 * SHOWN)
                self.udp_both_ways(i)
                self.files_both_ways(i)
                for port in (f"a{i}", f"b{i}"):
                    p = self.sw.port(port)
                    self.assertEqual((0, 0), (p["soft_segmented"], p["soft_checksums"]))
        # What a guest switches off is news to Linux, not to the switch: not again under sanitizers.
        for guest in () if harness.sanitized() else (a, b):
            for toggle in self.TOGGLES:
                with self.subTest(guest=guest.name, toggle=toggle):
                    self.toggle(guest, toggle)
        self.check_clean()

    def toggle(self, guest, toggle):
        def switched_on():
            return {k for k, v in guest.features().items() if v == "on"}

        before = switched_on()
        guest.run(f"ethtool -K eth0 {toggle}")
        try:
            self.assertLess(switched_on(), before, "nothing was switched off")
            sender = guest.name if toggle.startswith(("t", "s", "gs")) else "ab".strip(guest.name)
            receiver = "ab".strip(sender)
            sent, _ = self.one_way(sender, receiver, 0, 6 if "6" in toggle else 4)
            if toggle in self.SEND:
                self.assertLessEqual(sent, SHOWN)
        finally:
            guest.run("ethtool -K eth0 tx on sg on tso on gso on gro on rx-gro-hw on")
        self.assertLessEqual(before, switched_on())


class Vlans(Guests):
    def vlan_interface(self, g, i, vid, net):
        host = 1 if g == "a" else 2
        self.guest[g].run(
            f"ip link add link eth{i} name v{vid} type vlan id {vid} && ip link set v{vid} up; "
            f"ip addr add 10.0.{net}.{host}/24 dev v{vid}; "
            f"ip addr add fd00:{net}::{host}/64 dev v{vid} nodad")

    def all_ways(self, net):
        self.ping(net)
        self.tcp_both_ways(net)
        self.udp_both_ways(net)
        self.files_both_ways(net, 6)

    def unreachable(self, net):
        self.guest["a"].run(f"ping -c 2 -i 0.2 -W 1 {self.address('b', net)}", status=1)

    @slow
    @unsanitized
    def test_vlans(self):
        """Tags of Linux's own (8021q) between trunks; a trunk to an access port, where the switch
        takes the tag off big frames and frames with partial checksums, and puts it on; what must
        not get through does not."""
        self.connect([
            Link(policy={g: {"vlan": {"trunk": [10, 20], "native": 20}} for g in "ab"}),
            Link(PACKED, policy={"a": {"vlan": {"trunk": [10, 30]}},
                                 "b": {"vlan": {"access": 10}}}),
            Link(PACKED, {**PACKED, **PLAIN}),
        ])
        a, b = self.guest["a"], self.guest["b"]
        with self.subTest("trunk to trunk, native VLAN"):
            self.all_ways(0)
        with self.subTest("trunk to trunk, tagged"):
            self.vlan_interface("a", 0, 10, 5)
            self.vlan_interface("b", 0, 10, 5)
            self.all_ways(5)
            # Out of the trunk: dropped by its name.
            self.vlan_interface("a", 0, 40, 6)
            self.vlan_interface("b", 0, 40, 6)
            self.unreachable(6)
            self.assertGreater(self.sw.port("a0")["drops"]["rx_vlan"], 0)
            for guest in (a, b):
                guest.run("ip link del v10; ip link del v40")
        with self.subTest("trunk to access"):
            self.unreachable(1)  # without a tag it is in no VLAN
            self.assertGreater(self.sw.port("a1")["drops"]["rx_vlan"], 0)
            a.run("ip addr flush dev eth1")
            self.vlan_interface("a", 1, 10, 1)
            self.all_ways(1)
            a.run("ip link del v10")
            self.vlan_interface("a", 1, 30, 1)
            self.unreachable(1)
        with self.subTest("tagged, completed in software"):
            self.vlan_interface("a", 2, 11, 7)
            self.vlan_interface("b", 2, 11, 7)
            right, wrong = self.capture("b", 2, lambda: self.all_ways(7))
            self.assertEqual([], wrong[:5])
            self.assertGreater(right, 100)
            self.assertGreater(self.sw.port("b2")["soft_segmented"], 0)
        self.check_clean(FAIR_DROPS | {"rx_vlan"})


class Memory(Guests):
    @slow
    @unsanitized
    def test_not_shared(self):
        """The commonest mistake with QEMU. Memory that is private: the switch says so, with what to
        do. Memory without a file: QEMU itself says so, and does not start the NIC. Either guest
        lives on without its network."""
        self.links = [Link()]
        self.sw = self.add_switch()
        private = ["-object", f"memory-backend-memfd,id=mem,size={MEMORY},share=off",
                   "-numa", "node,memdev=mem"]
        self.guest = {
            g: LinuxGuest(self, g, network=[
                "-m", MEMORY, *memory,
                *Nic(self.path(f"{g}0"), f"02:00:00:00:00:0{g}", {}).argv(0)])
            for g, memory in (("a", private), ("b", []))}
        for g, other in ("ab", "ba"):
            self.configure(g)
            self.guest[g].run(f"ping -c 5 -i 0.2 -w 3 {self.address(other, 0)}", status=1)
        reason = wait_until(lambda: self.sw.port("a0")["reason"], 30, "private memory's trouble")
        self.assertIn("mapped its memory privately", reason)
        self.assertIn("share=on", reason)
        self.assertIn(reason, self.sw.text())
        self.assertIn("share=on", self.guest["b"].qemu.text())
        self.assertEqual("waiting", self.sw.port("b0")["state"])


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
        self.check_clean(FAIR_DROPS | {"rx_uncertain"})

    @slow
    def test_switch_restart(self):
        """kill -9 and a new switch: QEMU connects again by itself and traffic goes on, whoever
        listens on the socket."""
        self.connect([Link(), Link(PACKED, PACKED, listen=True), Link(PACKED)])
        for i in range(len(self.links)):
            with self.subTest(link=i):
                self.under_traffic(i)

    @slow
    @unsanitized
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
        self.iperf(self.address("b", 0), "-P", "16")
        after = [q["tx"]["frames"] for q in self.sw.port("b0")["queue"]]
        used = sum(y > x for x, y in zip(before, after))
        self.assertGreater(used, 1, "flows were to spread over the receiver's queues")
        self.files_both_ways(0)
        self.check_clean()


def documented():
    """The command line of docs/user-guide.md, for LinuxGuest: but for the machine and its disk."""
    with open(os.path.join(harness.ROOT, "docs", "user-guide.md")) as f:
        found = re.search(r"^    (qemu-system-x86_64 .*\\\n(?:.*\\\n)*.*)$", f.read(), re.M)
    words = shlex.split(found.group(1).replace("\\\n", " "))[1:]
    kept = []
    while words:
        option = words.pop(0)
        values = [words.pop(0)] if words and not words[0].startswith("-") else []
        if option not in ("-accel", "-cpu", "-M", "-smp", "-nographic", "-drive"):
            kept += [option, *values]
    return kept


class Documented(RealCase):
    def external_lab(self):
        self.lab = "mixed"
        path = self.path("mixed.json")
        probe = {"kind": "process", "nics": [{"network": "lan"}]}
        if harness.kvm_works():
            probe |= {"kind": "vm", "memory": "64M"}
        with open(path, "w") as f:
            json.dump({"version": 1, "lab": "mixed", "networks": {"lan": {}}, "nodes": {
                "a": probe,
                "x": {"kind": "external", "nics": [{"network": "lan"}]}}}, f)
        self.lanyard("up", path)
        return path

    def qemu(self):
        argv = documented()
        self.assertIn("path=/run/lanyard/LAB/x.0.vhost", " ".join(argv))
        self.assertIn("share=on", " ".join(argv))
        argv = [w.replace("/run/lanyard/LAB/x.0.vhost", self.port("x.0")["socket"])
                for w in argv]
        at = argv.index("-device") + 1
        argv[at] += ",vectors=0"  # as it says: there is no KVM here
        guest = LinuxGuest(self, "x", network=argv)
        self.addCleanup(guest.qemu.stop)  # before expect_nothing() looks
        return guest

    @slow
    def test_external_node(self):
        """QEMU, as the user guide has it, at a lab's port beside a probe of ours, a VM where that
        can be: frames flow both ways, and again after the lab's switch has been killed and
        `lanyard up` mended it."""
        path = self.external_lab()
        guest = self.qemu()
        guest.run("ip link set eth0 up; ip addr add 10.0.0.1/24 dev eth0")
        self.assertEqual(("up", "external"), (self.port("x.0")["state"], self.node("x")["state"]))
        probe = next(p["mac"] for p in self.status()["ports"] if p["name"] == "a.0")
        guest.run(f"ip neigh add 10.0.0.2 lladdr {probe} dev eth0")
        for again in (False, True):
            if again:
                self.kill(self.pid_of("switch"))
                self.agents.pop("a").close()  # a process ends with its switch, and is a new one
                self.lanyard("up", path)
                wait_until(lambda: self.port("x.0")["state"] == "up", 30, "QEMU to connect again")
            before = self.other_frames()
            guest.run("ping -c 20 -i 0.01 -w 3 10.0.0.2", status=None)
            wait_until(lambda: self.other_frames() >= before + 20, 30, "frames from QEMU")
            had = self.in_guest(guest)
            flow = {"id": 1, "role": "send", "nic": 0, "peer_mac": "02:00:00:00:00:0a",
                    "size": 128, "rate_mfps": 1_000_000, "frames": 200}
            self.agent("a").call("traffic_start", flows=[flow], reset=True)
            wait_until(lambda: self.in_guest(guest) >= had + 200, 30, "frames of the probe")
        self.lanyard("down", "mixed")

    def other_frames(self):
        return self.agent("a").call("traffic_status")["nics"][0]["rx_other"]

    @staticmethod
    def in_guest(guest):
        return int(guest.run("cat /sys/class/net/eth0/statistics/rx_packets"))


if __name__ == "__main__":
    harness.main()
