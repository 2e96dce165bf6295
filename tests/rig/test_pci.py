# SPDX-License-Identifier: Apache-2.0
"""PCI ports for real, in L1 (tests/rig/run): Intel NICs behind an IOMMU, handed over by VFIO.

NICs 0 and 2 are given to the switch; 1 and 3, at the other ends of their wires, stay with the kernel,
in namespaces: it makes frames and checks them. These four are e1000e; 4 and 5, on a wire of their own,
are igb: TSO, RSS and VFs.
"""
import glob
import os
import random
import re
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import harness
from harness import RpcError, wait_until
from netns import run
from ringclient import RingClient
from test_switch_edges import ALL, MAC, Kernels, mac_bytes

DRIVER = "e1000e"
RIG = {"nics": ["e1000e", "e1000e", "e1000e", "e1000e", "igb", "igb"]}


def address(i):
    """The PCI address of NIC i: one behind each root port."""
    found = sorted(glob.glob("/sys/bus/pci/devices/*/class"))
    nics = [os.path.basename(os.path.dirname(p)) for p in found
            if open(p).read().startswith("0x0200")]
    return nics[i]


def driver(i):
    return driver_of(address(i))


def driver_of(addr):
    path = f"/sys/bus/pci/devices/{addr}/driver"
    return os.path.basename(os.readlink(path)) if os.path.exists(path) else None


def write(path, word):
    with open(path, "w") as f:
        f.write(word)


def bind(addr, name):
    """As dpdk-devbind.py does, in less time."""
    if driver_of(addr) == name:
        return
    run("modprobe", name)
    pci = f"/sys/bus/pci/devices/{addr}"
    write(f"{pci}/driver_override", name if name == "vfio-pci" else "\n")
    if driver_of(addr):
        write(f"{pci}/driver/unbind", addr)
    write("/sys/bus/pci/drivers_probe", addr)
    if driver_of(addr) != name:
        raise AssertionError(f"{addr} is bound to {driver_of(addr)}, expected {name}")


class Pci(Kernels):
    def setUp(self):
        if not os.environ.get("LANYARD_RIG"):
            self.fail("this runs in the rig: tests/rig/run tests/rig/test_pci.py")
        # Back to the kernel when the switches have ended: VFIO waits for who has a device.
        self.addCleanup(lambda: [self.bind(i, DRIVER) for i in (0, 2)])
        super().setUp()
        for i in (0, 2):
            self.bind(i, DRIVER)

    def bind(self, i, name):
        bind(address(i), name)

    def refuse(self, sw, words, cls, field="pci", **params):
        with self.assertRaises(RpcError) as got:
            sw.call("port_add", **{"name": "x", "network": "lan", "kind": "pci", **params})
        for word in words.split("|"):
            self.assertIn(word, got.exception.message)
        self.assertEqual((field, cls), (got.exception.field, got.exception.cls))
        self.assertNotIn("x", [p["name"] for p in sw.stats()["ports"]])
        return got.exception.message

    def peer(self, i, host, mtu=1500):
        """The kernel's NIC at the other end, in a namespace, 10.7.0.HOST."""
        ns = self.ns()
        name = f"eth{i}"
        run("ip", "link", "set", name, "mtu", str(mtu))
        ns.take(name, f"10.7.0.{host}/24")
        # Else it would go with the namespace only when that is cleaned up, some time later.
        self.addCleanup(lambda: ns.run("ip", "link", "set", name, "netns", "1", status=None))
        return ns

    def wire(self, i, **kw):
        """NIC i is the port wI."""
        self.bind(i, "vfio-pci")
        self.sw.call("port_add", name=f"w{i}", network="lan", kind="pci", pci=address(i), **kw)

    def start_switch(self, *args, mtu=1500):
        self.sw = self.switch(*args)
        self.sw.call("network_add", name="lan", mtu=mtu)

    def linked(self, ns, to, *ports):
        """Both ends say that there is a link, and frames do pass: an end that has just come up
        loses some."""
        for port in ports:
            self.up(port)
        wait_until(lambda: "1 received" in ns.run("ping", "-c", "1", "-W", "2", f"10.7.0.{to}",
                                                  status=None), 20, "the wire to carry frames")

    def exchange(self, a, b, sizes, tag=b""):
        """Frames between two raw sockets, both ways, byte for byte (but for what a wire adds)."""
        rng = random.Random(7)
        for size in sizes:
            for src, dst, i in ((a, b, 0), (b, a, 1)):
                frame = (mac_bytes(MAC[1 - i]) + mac_bytes(MAC[i]) + tag + b"\x88\xb5" +
                         rng.randbytes(size))[:size]
                src.send(frame)
                while True:
                    got = dst.receive()
                    if got[12 + len(tag):14 + len(tag)] == b"\x88\xb5":
                        break
                self.assertEqual(frame, got[:size], f"{size} bytes")
                self.assertLessEqual(len(got), max(size, 64))
                self.assertEqual(b"\0" * (len(got) - size), got[size:])

    def raw_of(self, ns, name):
        raw = ns.raw(name, timeout_s=60)
        self.addCleanup(raw.close)
        return raw


class Wire(Pci):
    def test_handed_over(self):
        """The sentence says who has it, and its command is the one that helps."""
        self.start_switch()
        addr = address(0)
        self.assertEqual(DRIVER, driver(0))
        said = self.refuse(self.sw, f"{addr} is bound to the kernel driver {DRIVER} "
                           "(interface eth0)|leaves the kernel", 3, pci=addr)
        command = re.search(r"with: (.*?)\. The interface", said).group(1)
        self.assertEqual("", run("sh", "-c", command))
        self.assertEqual("vfio-pci", driver(0))
        self.assertFalse(self.exists("eth0"))
        # The same switch, which was started before there was any VFIO.
        self.sw.call("port_add", name="w0", network="lan", kind="pci", pci=addr[5:].upper())
        p = self.sw.port("w0")
        self.assertEqual(("pci", addr, None), (p["kind"], p["pci"], p["socket"]))
        self.assertEqual(("net_e1000_em", "52:54:00:00:00:00", False),
                         tuple(p["device"][k] for k in ("driver", "mac", "rss")), p["device"])
        self.assertEqual(["csum"], p["device"]["offloads"])
        # Nobody has it twice, and what is wrong with others is said.
        self.refuse(self.sw, "is port \"w0\"'s already", 2, pci=addr)
        self.refuse(self.sw, f"no PCI device 0000:7f:00.0|{addr}, driver vfio-pci; "
                    f"{address(1)}, driver {DRIVER} (interface eth1)", 2, pci="7f:00.0")
        self.refuse(self.sw, "is no network device", 2, pci="0000:00:1f.2")
        self.refuse(self.sw, "no PCI address", 2, pci="eth0")
        self.bind(2, "vfio-pci")
        self.refuse(self.sw, f"{address(2)} has 2 queue pairs at most, not 3", 2, "queues",
                    pci=address(2), queues=3)
        self.nss = []
        self.add(0)
        self.linked(self.peer(1, 2), 1, "w0")
        self.assertEqual(1000, self.sw.port("w0")["device"]["mbps"])
        self.sw.call("port_del", name="w0")
        self.wire(0)
        self.up("w0")

    def test_frames(self):
        """Of all sizes, tagged ones too, between the kernel here and the one at the wire's end."""
        self.start_switch(mtu=9000)
        self.nss = []
        self.add(0)
        self.wire(0)
        peer = self.peer(1, 2, mtu=9000)
        self.linked(peer, 1, "w0")
        a, b = self.raw(0), self.raw_of(peer, "eth1")
        self.exchange(a, b, [15, 59, 60, 61, 64, 65, 128, 1000, 1514, 1515, 2048, 4000, 9014])
        self.exchange(a, b, [60, 64, 68, 1514, 1518, 9018], tag=b"\x81\x00\x60\x2a")
        self.assertIn(" 0% packet loss", self.nss[0].run(
            "ping", "-c", "5", "-i", "0.2", "-W", "20", "-M", "do", "-s", "8972", "10.7.0.2"))
        self.assertEqual([{}, {}], [self.drops("t0"), self.drops("w0")])
        device = self.sw.port("w0")["device"]
        self.assertEqual([0] * 4, [device[k] for k in ("rx_missed", "rx_errors", "rx_no_memory",
                                                       "tx_errors")])

    def test_checksums_and_segments(self):
        """The kernel here leaves both to the switch; the NIC does one of them, software the other."""
        self.start_switch()
        self.nss = []
        self.add(0)
        self.wire(0)
        peer = self.peer(1, 2)
        self.linked(peer, 1, "w0")
        self.tcp(self.nss[0], peer, "10.7.0.2", 40)
        self.tcp(peer, self.nss[0], "10.7.0.1", 40)
        for proto in ("InCsumErrors",):
            snmp = peer.run("cat", "/proc/net/snmp").splitlines()
            for name in ("Tcp:", "Udp:"):
                counts = dict(zip(*(l.split() for l in snmp if l.startswith(name))))
                self.assertEqual("0", counts[proto], name)
        t0 = self.sw.port("t0")
        self.assertGreater(t0["rx"]["bytes"] / t0["rx"]["frames"], 1600)

    def test_from_wire_to_wire(self):
        """Two NICs of the switch: frames go from one to the other, and to a guest as well."""
        self.start_switch()
        self.sw.call("port_add", name="g", network="lan", socket=self.path("g"))
        self.wire(0)
        self.wire(2)
        near, far = self.peer(1, 2), self.peer(3, 3)
        self.linked(near, 3, "w0", "w2")
        with RingClient(self.path("g"), env=self.env) as g:
            # Flooded: lent to the other NIC, copied to the guest.
            a, b = self.raw_of(near, "eth1"), self.raw_of(far, "eth3")
            before = g.receive(0, 50)["got"]
            frame = mac_bytes(ALL) + mac_bytes(MAC[0]) + b"\x88\xb5" + bytes(range(100))
            for _ in range(50):
                a.send(frame)
                while True:
                    got = b.receive()
                    if got[12:14] == b"\x88\xb5":
                        break
                self.assertEqual(frame, got)
            self.assertGreaterEqual(g.receive(50 - (g.receive(0, 50)["got"] - before))["got"],
                                    before + 50)
        self.tcp(near, far, "10.7.0.3", 10)
        self.assertEqual([{}, {}], [self.drops("w0"), self.drops("w2")])

    def test_deleted_while_frames_flow(self):
        self.start_switch()
        self.wire(0)
        self.wire(2)
        near, far = self.peer(1, 2), self.peer(3, 3)
        self.linked(near, 3, "w0", "w2")
        floods = [ns.popen("ping", "-q", "-f", "-s", "1000", f"10.7.0.{to}",
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                  for ns, to in ((near, 3), (far, 2))]
        for i in (2, 0):
            time.sleep(1)
            self.sw.call("port_del", name=f"w{i}")
            time.sleep(0.5)
            self.wire(i)
            self.up(f"w{i}")
        for f in floods:
            f.kill()
            f.wait()
        self.linked(near, 3)
        self.assertIn(" 0% packet loss", near.run("ping", "-c", "3", "-W", "20", "10.7.0.3"))
        # However the switch ends, the device is free again.
        self.sw.kill()
        self.start_switch()
        self.wire(0)
        self.wire(2)
        self.linked(near, 3, "w0", "w2")
        self.assertIn(" 0% packet loss", near.run("ping", "-c", "3", "-W", "20", "10.7.0.3"))

    def test_sleeping_worker_is_woken(self):
        self.start_switch()
        self.nss = []
        self.add(0)
        self.wire(0)
        peer = self.peer(1, 2)
        self.linked(peer, 1, "w0")
        peer.run("ping", "-c", "2", "-W", "20", "10.7.0.1")
        before = self.sw.stats()["workers"][0]
        peer.run("ping", "-c", "10", "-i", "0.3", "-W", "20", "10.7.0.1")
        after = self.sw.stats()["workers"][0]
        self.assertGreater(after["sleeps"], before["sleeps"])
        device = self.sw.port("w0")["device"]
        print(f"figure: rig: queue interrupts {device['interrupts']}, "
              f"{after['sleeps'] - before['sleeps']} sleeps, "
              f"{after['wakeups'] - before['wakeups']} wake-ups in 3 s of pings")


class Igb(Pci):
    """NIC 4 is the switch's, or a VF of it; 5 is the wire's other end."""

    def setUp(self):
        self.addCleanup(lambda: self.bind(4, "igb"))
        super().setUp()
        self.bind(4, "igb")

    def counted(self, port):
        return [(q["rx"]["frames"], q["tx"]["frames"]) for q in self.sw.port(port)["queue"]]

    def test_segments_and_queues(self):
        """Big TCP frames are cut by the NIC, and it spreads what comes in over two queues."""
        self.start_switch()
        self.nss = []
        self.add(0)
        self.wire(4, queues=2)
        device = self.sw.port("w4")["device"]
        self.assertEqual(("net_e1000_igb", True, ["csum", "tso4", "tso6"]),
                         tuple(device[k] for k in ("driver", "rss", "offloads")), device)
        peer = self.peer(5, 2)
        self.linked(peer, 1, "w4")
        self.tcp(self.nss[0], peer, "10.7.0.2", 40)
        # Of the tap's frames many were bigger than the wire takes; none was cut in software.
        t0, w4 = self.sw.port("t0"), self.sw.port("w4")
        self.assertGreater(t0["rx"]["bytes"] / t0["rx"]["frames"], 1600)
        self.assertEqual((0, {}), (w4["soft_segmented"], self.drops("w4")))
        # 64 senders: their hashes differ.
        raw = self.raw_of(peer, "eth5")
        before = self.counted("w4")
        for i in range(64):
            head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 60, i, 0, 64, 253, 0,
                               bytes([10, 7, 1, i]), bytes([10, 7, 0, 1]))
            raw.send(mac_bytes(ALL) + mac_bytes(MAC[5]) + b"\x08\0" + head + bytes(40))

        def spread():
            return [b[0] - a[0] for a, b in zip(before, self.counted("w4"))]

        wait_until(lambda: sum(spread()) >= 64, 20, "64 frames")
        print(f"figure: rig: igb's RSS, frames of 64 senders: {spread()}")
        self.assertEqual(2, len(spread()))
        self.assertGreater(min(spread()), 8)

    def test_vf(self):
        """A VF as a port: its frames, its MAC, and it is given back."""
        pf = address(4)
        run("ip", "link", "set", "eth4", "up")
        write(f"/sys/bus/pci/devices/{pf}/sriov_numvfs", "1")
        self.addCleanup(lambda: write(f"/sys/bus/pci/devices/{pf}/sriov_numvfs", "0"))
        vf = os.path.basename(os.readlink(f"/sys/bus/pci/devices/{pf}/virtfn0"))
        run("ip", "link", "set", "eth4", "vf", "0", "mac", "52:54:00:00:01:00", "spoofchk", "off")
        bind(vf, "vfio-pci")
        self.start_switch()
        # After the switch: VFIO waits for who has the device.
        self.nss = []
        self.add(0)
        self.sw.call("port_add", name="vf", network="lan", kind="pci", pci=vf)
        device = self.sw.port("vf")["device"]
        self.assertEqual(("net_e1000_igb_vf", "52:54:00:00:01:00"),
                         (device["driver"], device["mac"]), device)
        peer = self.peer(5, 2)
        # The tap's MAC is not the VF's: only flooded frames come to it, unless it is promiscuous.
        self.nss[0].run("ip", "link", "set", self.ifname(0), "address", "52:54:00:00:01:00")
        self.linked(peer, 1, "vf")
        self.tcp(self.nss[0], peer, "10.7.0.2", 10)
        self.tcp(peer, self.nss[0], "10.7.0.1", 10)
        self.assertEqual({}, self.drops("vf"))
        self.sw.call("port_del", name="vf")


if __name__ == "__main__":
    harness.main()
