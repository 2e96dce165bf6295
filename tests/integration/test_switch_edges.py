# SPDX-License-Identifier: Apache-2.0
"""Ports that lead to the host's kernel: tap interfaces, in namespaces that the test makes."""
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case, RpcError, slow, wait_until
from netns import Netns, run
from ringclient import INDIRECT, MERGEABLE, VERSION_1, RingClient

MAC = ["02:00:00:00:01:%02x" % i for i in range(16)]
ALL = "ff:ff:ff:ff:ff:ff"

SERVER = """
import hashlib, socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 5001)); s.listen(); print("ready", flush=True)
c, _ = s.accept(); h = hashlib.sha256(); n = 0
while True:
    b = c.recv(1 << 16)
    if not b: break
    h.update(b); n += len(b)
c.sendall(f"{n} {h.hexdigest()}".encode()); c.close()
"""
CLIENT = """
import hashlib, os, socket, sys
s = socket.socket(); s.settimeout(30); s.connect((sys.argv[1], 5001))
h = hashlib.sha256(); n = int(sys.argv[2])
for _ in range(n):
    b = os.urandom(1 << 16); h.update(b); s.sendall(b)
s.shutdown(socket.SHUT_WR); got = s.recv(200).decode()
assert got == f"{n << 16} {h.hexdigest()}", got
print("the same")
"""


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


class Kernels(Case):
    """Taps of a switch, each in a namespace of its own."""

    def setUp(self):
        super().setUp()
        self.prefix = f"lyt{os.getpid() % 100000}"

    def ifname(self, i):
        return f"{self.prefix}.{i}"

    def ns(self):
        ns = Netns()
        self.addCleanup(ns.close)
        return ns

    def make(self, n, args=(), mtu=1500, **port):
        """A switch with n taps, each in a namespace of its own, 10.7.0.(i+1)."""
        self.sw = self.switch(*args)
        self.sw.call("network_add", name="lan", mtu=mtu)
        self.nss = []
        for i in range(n):
            self.add(i, **port)

    def add(self, i, **port):
        ns = self.ns()
        self.sw.call("port_add", name=f"t{i}", network="lan", kind="tap", ifname=self.ifname(i),
                     **port)
        ns.take(self.ifname(i), f"10.7.0.{i + 1}/24")
        self.nss.append(ns)
        self.up(f"t{i}")

    def up(self, name, state="up"):
        wait_until(lambda: self.sw.port(name)["state"] == state, 10, f"{name} to be {state}")

    def raw(self, i):
        raw = self.nss[i].raw(self.ifname(i))
        self.addCleanup(raw.close)
        return raw

    def drops(self, name):
        """But for what the kernel of its own accord says where nobody listens yet."""
        return {k: v for k, v in self.sw.port(name)["drops"].items()
                if v and k not in ("rx_no_receiver", "tx_port_down")}

    def exists(self, ifname, ns=None):
        prefix = ["ip", "-n", ns.name] if ns else ["ip"]
        return "does not exist" not in run(*prefix, "link", "show", ifname, status=None)

    def tcp(self, a, b, address, blocks):
        """Bytes from namespace a to b, compared there."""
        server = b.popen(sys.executable, "-c", SERVER, stdout=subprocess.PIPE)
        try:
            self.assertEqual("ready\n", server.stdout.readline())
            out = a.run(sys.executable, "-c", CLIENT, address, str(blocks))
            self.assertIn("the same", out)
            self.assertEqual(0, server.wait(20))
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


class Tap(Kernels):
    def test_ping_and_state(self):
        self.make(2)
        p = self.sw.port("t0")
        self.assertEqual(("tap", self.ifname(0), None, "up", 1),
                         tuple(p[k] for k in ("kind", "ifname", "socket", "state", "queues")))
        out = self.nss[0].run("ping", "-c", "5", "-i", "0.2", "10.7.0.2")
        self.assertIn(" 0% packet loss", out)
        # Down and up again, as the kernel has it.
        self.nss[1].run("ip", "link", "set", self.ifname(1), "down")
        self.up("t1", "waiting")
        self.nss[1].run("ip", "link", "set", self.ifname(1), "up")
        self.up("t1")
        # It may be renamed, and moved; the port is still this one.
        ns = self.ns()
        run("ip", "-n", self.nss[1].name, "link", "set", self.ifname(1), "netns", ns.name,
            "name", "other")
        self.up("t1", "waiting")
        ns.run("ip", "addr", "add", "10.7.0.9/24", "dev", "other")
        ns.run("ip", "link", "set", "other", "up")
        self.up("t1")
        self.assertEqual("other", self.sw.port("t1")["ifname"])
        self.assertIn(" 0% packet loss", self.nss[0].run("ping", "-c", "2", "-i", "0.2",
                                                        "10.7.0.9"))
        # Removed by somebody: the port waits, and can be deleted.
        ns.run("ip", "link", "del", "other")
        self.up("t1", "waiting")
        self.sw.call("port_del", name="t1")
        self.assertEqual({}, self.drops("t0"))

    def test_sleeping_worker_is_woken(self):
        self.make(2)
        self.nss[0].run("ping", "-c", "1", "10.7.0.2")
        before = self.sw.stats()["workers"][0]
        self.nss[0].run("ping", "-c", "40", "-i", "0.01", "10.7.0.2")
        after = self.sw.stats()["workers"][0]
        self.assertGreater(after["wakeups"] - before["wakeups"], 20)
        time.sleep(0.5)
        self.assertLess(self.sw.stats()["workers"][0]["sleeps"] - after["sleeps"], 100)

    def frames_both_ways(self, sizes, tag=b""):
        raws = [self.raw(0), self.raw(1)]
        rng = random.Random(7)
        for size in sizes:
            for i in (0, 1):
                frame = (mac_bytes(MAC[1 - i]) + mac_bytes(MAC[i]) + tag + b"\x88\xb5" +
                         rng.randbytes(size))[:size]
                raws[i].send(frame)
                while True:  # ARP and the like are not ours
                    got = raws[1 - i].receive()
                    if got[12 + len(tag):14 + len(tag)] == b"\x88\xb5":
                        break
                self.assertEqual(frame, got)

    def test_frames_of_all_sizes(self):
        self.make(2, mtu=9216)
        self.frames_both_ways([15, 60, 63, 64, 65, 78, 79, 80, 127, 128, 129, 1514, 1515, 4096,
                               9000, 9229, 9230])
        self.assertEqual([{}, {}], [self.drops("t0"), self.drops("t1")])
        self.assertIn(" 0% packet loss", self.nss[0].run(
            "ping", "-c", "3", "-i", "0.2", "-M", "do", "-s", "9188", "10.7.0.2"))

    def test_mtu_follows_the_network(self):
        self.make(2)
        self.sw.call("configure", networks={"lan": {"mtu": 9000}})
        for i in range(2):
            self.assertIn(" mtu 9000 ", self.nss[i].run("ip", "link", "show", self.ifname(i)))
        self.assertIn(" 0% packet loss", self.nss[0].run(
            "ping", "-c", "3", "-i", "0.2", "-M", "do", "-s", "8972", "10.7.0.2"))

    def test_tags_pass(self):
        self.make(2)
        self.frames_both_ways([60, 64, 68, 100, 1514, 1518], tag=b"\x81\x00\x60\x2a")

    def test_without_hugepages_two_workers(self):
        self.make(2, args=("--no-huge", "--cpus", "0,1"))
        self.tcp(self.nss[0], self.nss[1], "10.7.0.2", 200)

    def test_big_frames_pass_as_they_are(self):
        self.make(2)
        self.tcp(self.nss[0], self.nss[1], "10.7.0.2", 400)
        p = self.sw.port("t0")
        self.assertGreater(p["rx"]["bytes"] / p["rx"]["frames"], 3000)  # no wire's frames
        self.assertEqual([{}, {}], [self.drops("t0"), self.drops("t1")])

    def test_several_queues(self):
        self.make(2, args=("--cpus", "0,1"), queues=4)
        self.assertEqual([4, 4], [p["queues"] for p in self.sw.stats()["ports"]])
        pings = [self.nss[0].popen("ping", "-q", "-c", "50", "-i", "0.01", "-s", str(60 + i),
                                   "10.7.0.2", stdout=subprocess.PIPE) for i in range(8)]
        self.tcp(self.nss[0], self.nss[1], "10.7.0.2", 100)
        self.tcp(self.nss[1], self.nss[0], "10.7.0.1", 100)
        for ping in pings:
            self.assertIn(" 0% packet loss", ping.communicate(timeout=30)[0])
        self.assertEqual([{}, {}], [self.drops("t0"), self.drops("t1")])

    def test_guest_and_kernel(self):
        """A front end's frames, in any layout, reach the kernel byte for byte; and back."""
        self.make(1, mtu=9000)
        self.sw.call("port_add", name="g", network="lan", socket=self.path("g"))
        raw = self.raw(0)
        with RingClient(self.path("g"), features=VERSION_1 | INDIRECT | MERGEABLE,
                        env=self.env) as g:
            for layout in ("one", "two", "indirect"):
                for size in (60, 64, 200, 1514, 9014):
                    self.assertTrue(g.send(ALL, MAC[2], size, layout, 20)["ok"])
                    frames = []
                    while len(frames) < 20:
                        got = raw.receive()
                        if got[6:12] == mac_bytes(MAC[2]):
                            frames.append(got)
                    self.assertEqual({size}, {len(f) for f in frames})
                    before = g.receive(0, 20)
                    for f in frames:  # the ring client knows its frames again
                        raw.send(f[6:12] + mac_bytes(MAC[3]) + f[12:])
                    got = g.receive(20)
                    self.assertEqual((before["got"] + 20, before["bytes"] + 20 * size),
                                     (got["got"], got["bytes"]), got)
        self.assertEqual({}, self.drops("t0"))

    @slow
    def test_completed_in_software_for_a_guest(self):
        """The kernel leaves checksums and segments to us; a guest that takes neither must get
        whole frames. testpmd is that guest, and hands them to a kernel that checks them."""
        self.make(1)
        self.sw.call("port_add", name="g", network="lan", socket=self.path("g"))
        far = self.ns()
        pmd = self.start_testpmd(
            f"net_virtio_user0,path={self.path('g')},mac={MAC[5]},queue_size=1024,mrg_rxbuf=1",
            f"net_tap0,iface={self.ifname(9)}", args=("--total-num-mbufs=8192",))
        far.take(self.ifname(9), "10.7.0.10/24")
        pmd.command("set fwd io")
        pmd.command("start")
        self.assertNotIn("GUEST_CSUM", self.sw.port("g")["features"])
        self.tcp(self.nss[0], far, "10.7.0.10", 100)
        self.tcp(far, self.nss[0], "10.7.0.1", 100)
        p = self.sw.port("t0")
        self.assertGreater(p["rx"]["bytes"] / p["rx"]["frames"], 1500)
        # The kernel was told of no frame with a wrong checksum.
        snmp = far.run("cat", "/proc/net/snmp").splitlines()
        tcp = dict(zip(*(l.split() for l in snmp if l.startswith("Tcp:"))))
        self.assertEqual("0", tcp["InCsumErrors"])
        self.assertEqual("0", tcp["InErrs"])

    def flood(self, i, j):
        return self.nss[i].popen("ping", "-q", "-f", "-s", "1000", f"10.7.0.{j + 1}",
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_deleted_while_frames_flow(self):
        self.make(3)
        floods = [self.flood(0, 1), self.flood(1, 2), self.flood(2, 0)]
        for _ in range(5):
            time.sleep(0.3)
            self.sw.call("port_del", name="t1")
            self.assertFalse(self.exists(self.ifname(1), self.nss[1]))
            self.assertFalse(self.exists(self.ifname(1)))
            time.sleep(0.1)
            self.sw.call("port_add", name="t1", network="lan", kind="tap", ifname=self.ifname(1),
                         queues=2)
            self.nss[1].take(self.ifname(1), "10.7.0.2/24")
            self.up("t1")
        for f in floods:
            f.kill()
            f.wait()
        self.nss[0].run("ip", "neigh", "flush", "all")  # a new interface has a new address
        self.assertIn(" 0% packet loss", self.nss[0].run("ping", "-c", "3", "-i", "0.2",
                                                         "10.7.0.2"))

    def test_nothing_is_left(self):
        for how in ("kill", "stop", "shutdown"):
            self.make(2)
            self.sw.call("port_add", name="here", network="lan", kind="tap",
                         ifname=self.ifname(7))
            self.assertTrue(self.exists(self.ifname(7)))
            flood = self.flood(0, 1)
            time.sleep(0.2)
            if how == "shutdown":
                self.sw.call("shutdown")
                self.assertEqual(0, self.sw.proc.wait(10))
            else:
                getattr(self.sw, how)()
            flood.kill()
            flood.wait()
            for name, ns in ((self.ifname(0), self.nss[0]), (self.ifname(1), self.nss[1]),
                             (self.ifname(7), None)):
                wait_until(lambda: not self.exists(name, ns), 5, f"{name} to go")
            self.assertNotIn(self.prefix, run("ip", "link"))

    def test_refusals(self):
        self.make(1)
        self.sw.call("port_add", name="here", network="lan", kind="tap", ifname=self.ifname(7))
        before = [p["name"] for p in self.sw.stats()["ports"]]
        port = dict(name="x", network="lan", kind="tap", ifname=self.ifname(8))
        for words, field, params in [
                ("\"wan\": expected \"vhost\", \"tap\", \"pci\" or \"vdev\"", "kind",
                 dict(port, kind="wan")),
                ("needs \"ifname\"", "ifname", dict(name="x", network="lan", kind="tap")),
                ("has no \"socket\"", "socket", dict(port, socket=self.path("s"))),
                ("has no \"role\"", "role", dict(port, role="client")),
                ("has no \"pci\"", "pci", dict(port, pci="0000:00:00.0")),
                ("has no \"ifname\"", "ifname", dict(name="x", network="lan",
                                                     socket=self.path("s"), ifname="a")),
                ("1 to 15 bytes|has 16", "ifname", dict(port, ifname="x" * 16)),
                ("1 to 15 bytes", "ifname", dict(port, ifname="")),
                ("can't be an interface's name", "ifname", dict(port, ifname="a/b")),
                ("can't be an interface's name", "ifname", dict(port, ifname="tap%d")),
                ("can't be an interface's name", "ifname", dict(port, ifname="..")),
                ("an interface \"lo\" on this host|ip link del lo", "ifname",
                 dict(port, ifname="lo")),
                ("is port \"here\"'s already", "ifname", dict(port, ifname=self.ifname(7))),
                ("no network", "network", dict(port, network="wan")),
                ("queues", "queues", dict(port, queues=17))]:
            with self.subTest(params=params):
                with self.assertRaises(RpcError) as got:
                    self.sw.call("port_add", **params)
                for word in words.split("|"):
                    self.assertIn(word, got.exception.message)
                self.assertEqual((field, 2), (got.exception.field, got.exception.cls))
                self.assertEqual(before, [p["name"] for p in self.sw.stats()["ports"]])
                self.assertFalse(self.exists(self.ifname(8)))


class Vdev(Kernels):
    """Virtual devices of DPDK's: the kernel reached by its drivers, in the switch's namespace."""

    def make_vdev(self, devargs):
        """A switch in a namespace of its own: the device there, a tap in another namespace."""
        self.home = self.ns()
        self.sw = self.switch(ns=self.home)
        self.sw.call("network_add", name="lan")
        self.sw.call("port_add", name="t0", network="lan", kind="tap", ifname=self.ifname(0))
        self.nss = [self.ns()]
        self.home.run("ip", "link", "set", self.ifname(0), "netns", self.nss[0].name)
        self.nss[0].run("ip", "addr", "add", "10.7.0.1/24", "dev", self.ifname(0))
        self.nss[0].run("ip", "link", "set", self.ifname(0), "up")
        if devargs:
            self.sw.call("port_add", name="v", network="lan", kind="vdev", vdev=devargs)

    def bytes_both_ways(self, far):
        self.up("t0")
        self.up("v")
        self.assertIn(" 0% packet loss", far.run("ping", "-c", "3", "-i", "0.2", "10.7.0.1"))
        self.tcp(self.nss[0], far, "10.7.0.99", 40)
        self.tcp(far, self.nss[0], "10.7.0.1", 40)
        self.assertEqual({}, self.drops("v"))

    def test_net_tap(self):
        """The driver completes checksums; the switch cuts big frames, since it would lose them."""
        devargs = f"net_tap0,iface={self.ifname(9)}"
        self.make_vdev(devargs)
        self.home.run("ip", "addr", "add", "10.7.0.99/24", "dev", self.ifname(9))
        self.home.run("ip", "link", "set", self.ifname(9), "up")
        self.bytes_both_ways(self.home)
        p = self.sw.port("v")
        self.assertEqual(("vdev", devargs, "net_tap"), (p["kind"], p["vdev"],
                                                        p["device"]["driver"]))
        self.assertEqual(["csum"], p["device"]["offloads"])
        self.assertGreater(p["soft_segmented"], 0)
        self.sw.call("port_del", name="v")
        self.assertNotIn(self.ifname(9), self.home.run("ip", "link", "show"))

    def test_net_af_packet(self):
        """On a veth, whose other end is told to complete its checksums: the driver doesn't say
        which are partial."""
        self.make_vdev(None)
        far = self.ns()
        self.home.run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns",
                      far.name)
        self.home.run("ip", "link", "set", "here", "up")
        far.run("ip", "addr", "add", "10.7.0.99/24", "dev", "there")
        far.run("ip", "link", "set", "there", "up")
        far.run("ethtool", "-K", "there", "tx", "off")
        self.sw.call("port_add", name="v", network="lan", kind="vdev",
                     vdev="net_af_packet0,iface=here")
        self.bytes_both_ways(far)
        self.assertEqual("net_af_packet", self.sw.port("v")["device"]["driver"])

    def test_long_arguments(self):
        """Whatever a device is called by: paths are long."""
        self.make_vdev("net_null0" + 24 * ",size=64")
        self.assertEqual("net_null", self.sw.port("v")["device"]["driver"])

    def test_refusals(self):
        self.make_vdev("net_null0")
        port = dict(name="x", network="lan", kind="vdev")
        for words, field, cls, params in [
                ("needs \"vdev\"", "vdev", 2, port),
                ("has no \"ifname\"", "ifname", 2, dict(port, vdev="net_null1", ifname="a")),
                ("\"null1\": expected|net_tap0,iface", "vdev", 2, dict(port, vdev="null1")),
                ("expected", "vdev", 2, dict(port, vdev="net_")),
                ("expected", "vdev", 2, dict(port, vdev="net_" + "x" * 64)),
                ("expected", "vdev", 2, dict(port, vdev="net_null1,size=64" + " " * 300)),
                ("is port \"v\"'s already", "vdev", 2, dict(port, vdev="net_null0,size=60")),
                ("can't drive net_nosuch0", None, 3, dict(port, vdev="net_nosuch0")),
                ("can't drive net_af_packet0", None, 3,
                 dict(port, vdev="net_af_packet0,iface=nosuch"))]:
            with self.subTest(params=params):
                with self.assertRaises(RpcError) as got:
                    self.sw.call("port_add", **params)
                for word in words.split("|"):
                    self.assertIn(word, got.exception.message)
                self.assertEqual((field, cls), (got.exception.field, got.exception.cls))
                self.assertEqual(["t0", "v"], sorted(p["name"] for p in self.sw.stats()["ports"]))


if __name__ == "__main__":
    harness.main()
