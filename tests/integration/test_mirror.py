# SPDX-License-Identifier: Apache-2.0
"""Mirrors: what the port that listens gets, in which form, and nothing else; what it sends; that
those who are listened to don't notice; requests that are refused."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case, RpcError, rpc_once, wait_until
from netns import Netns
from pcapng import Reader
from ringclient import RingClient

MAC = ["02:00:00:00:00:0%d" % i for i in range(10)]
ALL = "ff:ff:ff:ff:ff:ff"
TYPE = "88b5"  # of the ring client's frames


class Mirrors(Case):
    """Ports a, b and c in one network; c listens to a."""

    def make(self, direction="both", args=(), names="abc", **policies):
        self.sw = self.switch(*args)
        self.sw.call("network_add", name="lan")
        self.c = {}
        self.n_readers = 0
        for name in reversed(names):
            policy = dict(policies.get(name, {}))
            if name == "a" and direction:
                policy["mirror"] = {"to": "c", "direction": direction}
            self.sw.call("port_add", name=name, network="lan", socket=self.path(name), **policy)
        for name in names:
            self.join(name)

    def join(self, name):
        c = RingClient(self.path(name), env=self.env)
        self.addCleanup(c.stop)
        self.assertTrue(c.hello["ok"], c.hello)
        self.c[name] = c

    def send(self, name, dst, src, n=1, size=60, **kw):
        self.assertTrue(self.c[name].send(dst, src, size, n=n, **kw)["ok"])

    def tx(self, name):
        return self.sw.port(name)["tx"]["frames"]

    def counts(self):
        return {name: self.tx(name) for name in self.c}

    def drops(self, name):
        return {k: n for k, n in self.sw.port(name)["drops"].items() if n}

    def reader(self, port):
        self.n_readers += 1
        return Reader(self.sw, self.path(f"r{self.n_readers}"), port, direction="tx")

    def traffic(self):
        """Known addresses at both ends, floods, and frames of others'. Returns what a received
        (rx) and sent (tx)."""
        self.send("a", ALL, MAC[1], 2)  # a: rx 2
        self.send("b", MAC[1], MAC[2], 3, 200)  # a: tx 3
        self.send("a", MAC[2], MAC[1], 4, 1514)  # a: rx 4
        self.send("b", MAC[2], MAC[2], 5)  # to itself
        self.send("b", ALL, MAC[2], 6)  # a: tx 6
        return {"rx": 6, "tx": 9, "both": 15}


class Copies(Mirrors):
    def check(self, direction):
        self.make(direction)
        want = self.traffic()
        self.assertEqual({"a": 9, "b": 6, "c": want[direction]}, self.counts())
        self.assertEqual(({}, {}), (self.drops("a"), self.drops("c")))
        got = self.c["c"].receive(want[direction])
        self.assertEqual((True, 0, ""), (got["ok"], got["bad"], got["why"]))
        self.assertEqual({"to": "c", "direction": direction},
                         self.sw.port("a")["policy"]["mirror"])

    def test_rx(self):
        self.check("rx")

    def test_tx(self):
        self.check("tx")

    def test_both(self):
        self.check("both")

    def test_the_listener(self):
        """It is there to listen: what it sends is dropped, nothing is learnt of it."""
        self.make("rx")
        self.send("c", ALL, MAC[3], 5)
        self.send("c", MAC[1], MAC[3], 2)
        self.assertEqual({"rx_mirror": 7}, self.drops("c"))
        self.assertEqual([], self.sw.call("fdb")["entries"])
        self.send("b", MAC[3], MAC[2], 4)  # its address is nobody's
        self.send("b", ALL, MAC[2], 3)
        self.assertEqual({"a": 7, "b": 0, "c": 0}, self.counts())

    def test_dropped_frames_are_shown(self):
        """As they came, before anything is decided about them."""
        self.make("rx", a={"spoof": {"macs": [MAC[1]]}})
        self.send("a", ALL, MAC[7], 3)
        self.assertEqual({"rx_spoofed": 3}, self.drops("a"))
        self.assertEqual({"a": 0, "b": 0, "c": 3}, self.counts())

    def test_forms(self):
        """Received: as it came. Sent: with the tag as a's guest got it."""
        trunk = {"vlan": {"trunk": [10, 20]}}
        self.make("both", a={"vlan": {"access": 10}}, b=trunk, c={"vlan": {"access": 99}})
        shown, at_a, at_b = self.reader("c"), self.reader("a"), self.reader("b")
        self.send("a", ALL, MAC[1], 1, 100)
        self.assertEqual({"a": 0, "b": 1, "c": 1}, self.counts())
        shown, at_a, at_b = shown.finish(), at_a.finish(), at_b.finish()
        self.assertEqual([TYPE], [p.data[12:14].hex() for p in shown.packets])
        self.assertEqual(["8100000a" + TYPE], [p.data[12:18].hex() for p in at_b.packets])
        self.assertEqual([100], [p.len for p in shown.packets])

        # The other way round: c listens to the trunk.
        self.sw.call("configure", ports={"a": {"mirror": None},
                                         "b": {"mirror": {"to": "c", "direction": "tx"}}})
        shown, at_a, at_b = self.reader("c"), self.reader("a"), self.reader("b")
        self.send("a", ALL, MAC[1], 2, 100)
        shown, at_b = shown.finish(), at_b.finish()
        self.assertEqual(["8100000a" + TYPE] * 2, [p.data[12:18].hex() for p in shown.packets])
        self.assertEqual([104] * 2, [p.len for p in shown.packets])
        self.assertEqual([p.data for p in at_b.packets], [p.data for p in shown.packets])
        at_a.finish()

    def test_a_listener_without_room(self):
        """It costs those whom it listens to nothing."""
        self.make("both")
        for _ in range(5):
            self.send("a", ALL, MAC[1], 100)
            self.assertTrue(self.c["b"].receive(100)["ok"])
        kept = self.tx("c")  # 256 buffers, and nobody to empty them
        self.assertEqual({"tx_ring_full": 500 - kept}, self.drops("c"))
        self.assertEqual(256, kept)
        self.assertEqual({}, self.drops("a"))
        self.assertEqual({}, self.drops("b"))
        self.c["c"].kill()
        wait_until(lambda: self.sw.port("c")["state"] == "waiting", 10, "c to be gone")
        self.send("a", ALL, MAC[1], 10)
        self.assertTrue(self.c["b"].receive(10)["ok"])
        self.assertEqual(10, self.drops("c")["tx_port_down"])
        self.join("c")
        self.send("a", ALL, MAC[1], 11)
        self.assertTrue(self.c["c"].receive(11)["ok"])

    def test_two_workers_flat_out(self):
        """Whoever moves the frame: shown, or counted as not shown."""
        self.make("both", ("--cpus", "0,1"))
        self.traffic()
        deadline = time.monotonic() + 60
        while self.sw.port("a")["rx"]["frames"] < 5000:
            self.c["b"].begin(f"run {MAC[1]} {MAC[2]} 60 one 300")
            self.c["a"].do(f"run {MAC[2]} {MAC[1]} 60 one 300")
            self.c["b"].reply(20)
            self.assertLess(time.monotonic(), deadline)
        a, c = self.sw.port("a"), self.sw.port("c")
        self.assertEqual(a["rx"]["frames"] + a["tx"]["frames"],
                         c["tx"]["frames"] + c["drops"]["tx_ring_full"])

    def test_two_are_shown_to_one(self):
        """In another network too: a mirror is told to leave its network."""
        self.make(None)
        self.sw.call("network_add", name="other")
        self.sw.call("port_add", name="ear", network="other", socket=self.path("ear"))
        self.join("ear")
        self.sw.call("configure", ports={n: {"mirror": {"to": "ear", "direction": "rx"}}
                                         for n in "ab"})
        self.send("a", ALL, MAC[1], 3)
        self.send("b", ALL, MAC[2], 4)
        self.assertEqual({"a": 4, "b": 3, "c": 7, "ear": 7}, self.counts())


class Kernel(Mirrors):
    def test_tagged_frames(self):
        """A host's tcpdump, so to speak: every byte of what a trunk port sends and gets."""
        self.sw = self.switch()
        self.sw.call("network_add", name="lan")
        policies = {"ear": {}, "b": {"vlan": {"access": 10}}, "c": {"vlan": {"access": 20}},
                    "a": {"vlan": {"trunk": [10, 20], "native": 10}, "mirror": {"to": "ear"}}}
        raw = {}
        for i, (name, policy) in enumerate(policies.items()):
            ifname = f"lyt{os.getpid() % 100000}.{i}"
            ns = Netns()
            self.addCleanup(ns.close)
            self.sw.call("port_add", name=name, network="lan", kind="tap", ifname=ifname,
                         **policy)
            ns.take(ifname)
            wait_until(lambda: self.sw.port(name)["state"] == "up", 10, f"{name} to be up")
            raw[name] = ns.raw(ifname)
            self.addCleanup(raw[name].close)
        station = {n: bytes.fromhex(f"0200000000{i:02x}") for i, n in enumerate("abc", 1)}

        def frame(name, tag=b"", payload=b"x" * 60):
            return b"\xff" * 6 + station[name] + tag + b"\x88\xb5" + payload

        def heard():
            """The next that is ours: kernels say things of their own accord."""
            while True:
                got = raw["ear"].receive()
                if got[6:12] in station.values():
                    return got

        tag20, no_vlan = b"\x81\x00\xa0\x14", b"\x81\x00\x00\x1e"
        # From a: untagged, in VLAN 20 with priority 5, and in VLAN 30, which is refused.
        for sent, by, shown in [
                ("a", frame("a"), frame("a")),
                ("a", frame("a", tag20), frame("a", tag20)),
                ("a", frame("a", no_vlan), frame("a", no_vlan)),
                ("b", frame("b"), frame("b")),  # a's native VLAN
                ("c", frame("c"), frame("c", b"\x81\x00\x00\x14")),
                ("a", frame("a", tag20, b"y" * 1400), frame("a", tag20, b"y" * 1400))]:
            with self.subTest(sent=sent, shown=shown[12:20].hex()):
                raw[sent].send(by)
                self.assertEqual(shown, heard())
        self.assertEqual(1, self.drops("a")["rx_vlan"])


class Changes(Mirrors):
    def refuse(self, words, ports, field="mirror"):
        before = [p["policy"] for p in self.sw.stats()["ports"]]
        with self.assertRaises(RpcError) as got:
            self.sw.call("configure", ports=ports)
        for word in words.split("|"):
            self.assertIn(word, got.exception.message)
        self.assertEqual((field, 2), (got.exception.field, got.exception.cls))
        self.assertEqual(before, [p["policy"] for p in self.sw.stats()["ports"]])

    def test_on_and_off(self):
        """c is a member like all others before and after; what was learnt of it is forgotten."""
        self.make(None)
        self.send("c", ALL, MAC[3])
        self.send("b", MAC[3], MAC[2], 2)
        self.assertEqual({"a": 1, "b": 1, "c": 2}, self.counts())
        self.sw.call("configure", ports={"a": {"mirror": {"to": "c"}}})
        self.assertNotIn("c", [e["port"] for e in self.sw.call("fdb")["entries"]])
        self.send("b", MAC[3], MAC[2], 2)  # a flood now, but not to c; a gets it, so c is shown it
        self.assertEqual({"a": 3, "b": 1, "c": 4}, self.counts())
        self.sw.call("configure", ports={"a": {"mirror": {"to": "c", "direction": "rx"}}})
        self.send("b", ALL, MAC[2], 1)
        self.assertEqual({"a": 4, "b": 1, "c": 4}, self.counts())
        self.sw.call("configure", ports={"a": {"mirror": None}})
        self.send("b", ALL, MAC[2], 1)
        self.send("c", ALL, MAC[3], 1)
        self.assertEqual({"a": 6, "b": 2, "c": 5}, self.counts())
        self.assertEqual({}, self.drops("c"))

    def test_refusals(self):
        self.make("rx", names="abcd")
        self.refuse('no port "x"', {"b": {"mirror": {"to": "x"}}})
        self.refuse('"b"|itself', {"b": {"mirror": {"to": "b"}}})
        self.refuse('"a"|mirrored itself, to "c"', {"b": {"mirror": {"to": "a"}}})
        self.refuse('"c"|mirrored itself, to "b"', {"c": {"mirror": {"to": "b"}}})
        self.refuse("mirrored itself", {"b": {"mirror": {"to": "d"}},
                                        "d": {"mirror": {"to": "b"}}})
        self.refuse("rx|tx|both", {"b": {"mirror": {"to": "c", "direction": "in"}}})
        self.refuse("name of a port", {"b": {"mirror": {"direction": "rx"}}})
        self.refuse("name of a port", {"b": {"mirror": {"to": 5}}})
        self.refuse("unknown key \"from\"", {"b": {"mirror": {"to": "c", "from": "d"}}})
        self.refuse("expected an object", {"b": {"mirror": "c"}})
        with self.assertRaises(RpcError) as got:
            self.sw.call("port_add", name="e", network="lan", socket=self.path("e"),
                         mirror={"to": "e"})
        self.assertIn("itself", got.exception.message)
        self.assertEqual(4, len(self.sw.stats()["ports"]))
        # A chain that is turned round in one go is none in the end.
        self.sw.call("configure", ports={"a": {"mirror": None}, "c": {"mirror": {"to": "a"}}})
        self.send("c", ALL, MAC[3], 2)
        self.assertEqual(2, self.tx("a"))

    def test_deleted_ports(self):
        self.make("both")
        with self.assertRaises(RpcError) as got:
            self.sw.call("port_del", name="c")
        self.assertIn('"c" listens to "a"', got.exception.message)
        self.assertEqual(("name", 2), (got.exception.field, got.exception.cls))
        self.send("a", ALL, MAC[1], 2)
        self.assertEqual(2, self.tx("c"))
        self.sw.call("port_del", name="a")  # c is a member again
        self.send("b", ALL, MAC[2], 3)
        self.assertEqual(5, self.tx("c"))
        self.sw.call("port_del", name="c")

    def test_the_switch_ends(self):
        self.make("both")
        self.sw.call("shutdown")
        self.assertEqual(0, self.sw.proc.wait(10))


class Labs(Case):
    def test_topology(self):
        """A node that listens, from the topology file; put elsewhere by `up`; and down."""
        self.env["LANYARD_RUN"] = self.path("l")
        self.addCleanup(self.lanyard, "down", "--all", status=None)
        folder = os.path.join(self.path("l"), "t")
        control = os.path.join(folder, "switch.sock")

        def up(mirror):
            nodes = {n: {"kind": "external", "nics": [{"network": "lan"}]} for n in "ab"}
            nodes["ear"] = {"kind": "external", "nics": [{"network": "lan", "mirror": mirror}]}
            with open(self.path("t.json"), "w") as f:
                json.dump({"version": 1, "lab": "t", "networks": {"lan": {}},
                           "nodes": nodes}, f)
            self.lanyard("up", "-q", self.path("t.json"))

        def tx():
            return {p["name"]: p["tx"]["frames"] for p in rpc_once(control, "stats")["ports"]}

        up({"from": "a.0", "direction": "rx"})
        c = {}
        for n in ("a", "b", "ear"):
            c[n] = RingClient(os.path.join(folder, f"{n}.0.vhost"), env=self.env)
            self.addCleanup(c[n].stop)
            self.assertTrue(c[n].hello["ok"], c[n].hello)
        c["a"].send(ALL, MAC[1], n=3)
        c["b"].send(ALL, MAC[2], n=4)
        self.assertEqual({"a.0": 4, "b.0": 3, "ear.0": 3}, tx())
        up({"from": ["a.0", "b.0"], "direction": "rx"})
        c["a"].send(ALL, MAC[1], n=3)
        c["b"].send(ALL, MAC[2], n=4)
        self.assertEqual({"a.0": 8, "b.0": 6, "ear.0": 10}, tx())
        self.lanyard("down", "t")
        self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    harness.main()
