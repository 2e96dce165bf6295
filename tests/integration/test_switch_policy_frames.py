# SPDX-License-Identifier: Apache-2.0
"""What is demanded of ports, at the real switch: frames go in byte by byte, and what comes out is
looked at, and what does not; changes while frames flow. The requests: test_switch_policy.py."""
import os
import select
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case
from ringclient import RingClient

MAC = ["02:00:00:00:00:%02x" % i for i in range(64)]


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


ALL = "ff:ff:ff:ff:ff:ff"
GROUP = "01:00:5e:00:00:05"


def frame(dst, src, tag=None, ethertype=0x88b5, payload=b"", size=60):
    """A frame of `size` bytes and a tag, if there is one; tag: its TCI."""
    f = mac(dst) + mac(src)
    if tag is not None:
        f += b"\x81\x00" + tag.to_bytes(2, "big")
    f += ethertype.to_bytes(2, "big") + payload
    return f + bytes(max(0, size + (4 if tag is not None else 0) - len(f)))


def arp(sha, spa, op=1, src=None, tag=None):
    return frame(ALL, src or sha, tag, 0x0806,
                 bytes.fromhex("0001080006040000")[:6] + op.to_bytes(2, "big") + mac(sha) +
                 bytes(map(int, spa.split("."))) + bytes(10))


def advertisement(target, lladdr, src, kind=136):
    """A neighbour advertisement, or what `kind` makes of it; addresses are fe80::n."""
    def ip(n):
        return bytes.fromhex("fe80") + bytes(13) + bytes([n])
    nd = bytes([kind]) + bytes(7) + ip(target) + b"\x02\x01" + mac(lladdr)
    return frame("33:33:00:00:00:01", lladdr, None, 0x86dd,
                 b"\x60\0\0\0" + len(nd).to_bytes(2, "big") + b"\x3a\xff" + ip(src) +
                 bytes.fromhex("ff02") + bytes(13) + b"\x01" + nd)


class Frames(Case):
    """A real switch, guests with rings of their own; frames go in, and what comes out is looked
    at, and what does not."""

    def setUp(self):
        super().setUp()
        self.sw = self.switch()
        self.sw.call("network_add", name="lan")
        self.client = {}

    def ports(self, **policies):
        """Ports by name, each with its policy keys, and with a guest."""
        for name, policy in policies.items():
            self.sw.call("port_add", name=name, network="lan", socket=self.path(name), **policy)
            c = RingClient(self.path(name), env=self.env)
            self.addCleanup(c.stop)
            self.assertTrue(c.hello["ok"], c.hello)
            self.client[name] = c
        for name in policies:
            harness.wait_until(lambda: self.sw.port(name)["state"] == "up", 10, f"{name} to be up")
            self.client[name].frames(0, 0)

    def configure(self, **ports):
        self.sw.call("configure", ports=ports)

    def send(self, name, f, n=1):
        """Sends, and says what all ports got. The switch is done with a frame when it gives it
        back, so nothing comes later."""
        self.assertTrue(self.client[name].raw(f, n)["ok"])
        got = {p: c.frames(0, 0) for p, c in self.client.items()}
        return {p: frames for p, frames in got.items() if frames}

    def assertGot(self, want, name, f):
        """want: frames by port, one each."""
        self.assertEqual({p: [w] for p, w in want.items()}, self.send(name, f))

    def assertDropped(self, reason, name, f, at=None):
        before = self.sw.port(at or name)["drops"]
        self.assertEqual({}, self.send(name, f))
        after = self.sw.port(at or name)["drops"]
        self.assertEqual({reason: 1},
                         {k: after[k] - before[k] for k in after if after[k] != before[k]})

    def test_vlans(self):
        self.ports(acc={"vlan": {"access": 10}}, other={"vlan": {"access": 20}},
                   trunk={"vlan": {"trunk": [10, [19, 21]], "native": 20}},
                   strict={"vlan": {"trunk": [10]}}, plain={})
        a, b = MAC[1], MAC[2]
        untagged, ten, twenty = frame(ALL, a), frame(ALL, a, 10), frame(ALL, a, 20)
        # Access: in VLAN 10, to its members, tagged where that is not the native VLAN.
        self.assertGot({"trunk": ten, "strict": ten, "plain": ten}, "acc", untagged)
        # The native VLAN leaves untagged; another access port of VLAN 10 does not see it.
        self.assertGot({"other": untagged, "plain": twenty}, "trunk", untagged)
        self.assertGot({"other": untagged, "plain": twenty}, "trunk", twenty)
        # A priority is kept, whether or not there is a VLAN with it.
        self.assertGot({"other": untagged, "plain": frame(ALL, a, 7 << 13 | 20)},
                       "trunk", frame(ALL, a, 7 << 13))
        self.assertGot({"acc": untagged, "strict": frame(ALL, a, 5 << 13 | 10),
                        "plain": frame(ALL, a, 5 << 13 | 10)},
                       "trunk", frame(ALL, a, 5 << 13 | 10))
        # Outside VLANs there is nobody but the plain port.
        self.assertDropped("rx_no_receiver", "plain", untagged)
        # The forbidden ones.
        self.assertDropped("rx_vlan", "acc", ten)
        self.assertDropped("rx_vlan", "acc", twenty)
        self.assertDropped("rx_vlan", "trunk", frame(ALL, a, 22))
        self.assertDropped("rx_vlan", "trunk", frame(ALL, a, 4095))
        self.assertDropped("rx_vlan", "strict", untagged)
        self.assertDropped("rx_vlan", "strict", twenty)
        self.assertDropped("rx_vlan", "plain", frame(ALL, a, 4095))
        # The same address lives in two VLANs, at two ports.
        self.sw.call("fdb_flush")
        self.send("acc", frame(ALL, b))
        self.send("other", frame(ALL, b))
        self.assertEqual([("acc", 10), ("other", 20)],
                         sorted((e["port"], e["vlan"]) for e in self.sw.call("fdb")["entries"]))
        self.assertGot({"acc": frame(b, a)}, "plain", frame(b, a, 10))
        self.assertGot({"other": frame(b, a)}, "plain", frame(b, a, 20))
        self.assertEqual(1, self.sw.call("fdb_flush", vlan=20, port="plain")["removed"])
        self.assertEqual(["acc", "other", "plain"],
                         sorted(e["port"] for e in self.sw.call("fdb")["entries"]))
        # A port that goes elsewhere is forgotten where it was.
        self.configure(acc={"vlan": {"access": 30}})
        self.assertGot({"trunk": frame(b, a, 10), "strict": frame(b, a, 10)},
                       "plain", frame(b, a, 10))
        # A full frame has room for its tag, with or without.
        long = frame(ALL, a, size=1514)
        self.assertGot({"other": long, "plain": frame(ALL, a, 20, size=1514)}, "trunk", long)
        self.assertDropped("rx_oversize", "trunk", frame(ALL, a, 20, size=1515))

    def test_isolation_and_admin_state(self):
        self.ports(a={"isolated": True}, b={"isolated": True}, up={}, c={})
        f = frame(ALL, MAC[1])
        self.assertGot({"up": f, "c": f}, "a", f)
        self.send("b", frame(ALL, MAC[2]))
        self.send("up", frame(ALL, MAC[3]))
        self.assertDropped("rx_isolated", "a", frame(MAC[2], MAC[1]))
        self.assertGot({"up": frame(MAC[3], MAC[1])}, "a", frame(MAC[3], MAC[1]))
        self.assertGot({"b": frame(MAC[2], MAC[3])}, "up", frame(MAC[2], MAC[3]))
        self.configure(b={"isolated": None})
        self.assertGot({"b": frame(MAC[2], MAC[1])}, "a", frame(MAC[2], MAC[1]))
        self.configure(b={"admin": "down"})
        self.assertEqual("up", self.sw.port("b")["state"]) # its link has no other state
        frames = self.sw.port("b")["rx"]["frames"]
        self.assertDropped("rx_admin_down", "b", frame(MAC[1], MAC[2]))
        self.assertEqual(frames + 1, self.sw.port("b")["rx"]["frames"])
        self.assertGot({"up": f, "c": f}, "a", f)
        self.configure(b={"static": [{"mac": MAC[2]}]})
        self.assertDropped("tx_port_down", "up", frame(MAC[2], MAC[3]), at="b")
        self.configure(b={"admin": None})
        self.assertGot({"b": frame(MAC[2], MAC[3])}, "up", frame(MAC[2], MAC[3]))

    def test_addresses(self):
        self.ports(a={"mac_limit": 2}, b={"static": [{"mac": MAC[9]}]}, c={})
        for i in range(1, 5):
            self.assertEqual({"b", "c"}, set(self.send("a", frame(ALL, MAC[i]))))
        self.assertEqual((2, 2), (self.sw.port("a")["fdb_entries"], self.sw.port("a")["unlearned"]))
        self.assertGot({"a": frame(MAC[1], MAC[8])}, "c", frame(MAC[1], MAC[8]))
        self.assertEqual({"a", "b"}, set(self.send("c", frame(MAC[4], MAC[8])))) # flooded
        # The static one does not move, whoever uses it; a flush leaves it.
        self.send("c", frame(ALL, MAC[9]))
        self.sw.call("fdb_flush")
        self.assertEqual([{"network": "lan", "mac": MAC[9], "vlan": 0, "port": "b", "static": True,
                           "age_s": None}], self.sw.call("fdb")["entries"])
        self.assertGot({"b": frame(MAC[9], MAC[1])}, "a", frame(MAC[9], MAC[1]))
        # One that floods addresses pushes out nobody.
        self.configure(a={"mac_limit": None})
        self.send("c", frame(ALL, MAC[8]))
        self.assertTrue(self.client["a"].do(f"macs {ALL} 02:00:00:77:00:00 3000")["ok"])
        # All of them, but for one in ten thousand that finds no room.
        learnt = self.sw.port("a")["fdb_entries"]
        self.assertIn(learnt, range(2990, 3002))
        self.assertEqual("c", [e["port"] for e in self.sw.call("fdb", port="c")["entries"]][0])
        self.assertEqual(learnt + 2, self.sw.stats()["networks"][0]["fdb_entries"])
        fdb = self.sw.call("fdb", port="a", limit=100)
        self.assertEqual((learnt, 100), (fdb["total"], len(fdb["entries"])))
        # With a limit below what it has, it begins anew.
        self.configure(a={"mac_limit": 10})
        self.assertEqual(0, self.sw.port("a")["fdb_entries"])

    def test_spoofing(self):
        me, other = MAC[1], MAC[2]
        self.ports(a={"spoof": {"macs": [me], "ipv4": ["10.0.0.1"], "ipv6": ["fe80::1"]}}, b={})
        for f in [frame(ALL, me), frame(ALL, me, 10), arp(me, "10.0.0.1"), arp(me, "0.0.0.0"),
                  arp(me, "10.0.0.1", tag=10), advertisement(1, me, 1)]:
            self.assertGot({"b": f}, "a", f)
        for f in [frame(ALL, other), arp(me, "10.0.0.2"), arp(other, "10.0.0.1", src=me),
                  arp(me, "10.0.0.2", tag=10), arp(me, "10.0.0.2", op=2),
                  advertisement(2, me, 1), advertisement(1, me, 2),
                  advertisement(1, me, 1, kind=134), advertisement(1, me, 1)[:80],
                  advertisement(1, me, 1)[:-6] + mac(other), frame(ALL, me, 10, 0x8100)]:
            self.assertDropped("rx_spoofed", "a", f)
        # Nothing is learnt of a liar; others are free to say what they like.
        self.assertEqual([me], [e["mac"] for e in self.sw.call("fdb", port="a", vlan=0)["entries"]])
        self.assertGot({"a": arp(other, "10.0.0.7")}, "b", arp(other, "10.0.0.7"))
        self.configure(a={"spoof": None})
        self.assertEqual({"b"}, set(self.send("a", arp(MAC[3], "10.0.0.2"))))

    def limited(self, name, f, n, reason):
        """How many of n frames reached port b, and in what time at most."""
        from_s = time.monotonic()
        dropped = self.sw.port(name)["drops"][reason]
        passed = len(self.send(name, f, n).get("b", []))
        took_s = time.monotonic() - from_s
        self.assertEqual(n, passed + self.sw.port(name)["drops"][reason] - dropped)
        return passed, took_s

    def test_rates(self):
        self.ports(a={"storm": {"broadcast_pps": 100, "multicast_pps": 200, "unknown_pps": 300}},
                   b={}, quiet={"police": {"rate_bps": 80000, "burst_bytes": 10000}})
        self.send("b", frame(ALL, MAC[5]))
        for dst, pps in [(ALL, 100), (GROUP, 200), (MAC[40], 300)]:
            passed, took_s = self.limited("a", frame(dst, MAC[1]), 250, "rx_storm")
            # The bucket that was full, and what came in while we looked.
            self.assertGreaterEqual(passed, 10)
            self.assertLessEqual(passed, max(10, pps // 10) + 1 + pps * took_s * 1.05)
        # What is not flooded is not counted.
        self.assertEqual(200, len(self.send("a", frame(MAC[5], MAC[1]), 200)["b"]))
        passed, took_s = self.limited("quiet", frame(MAC[5], MAC[7], size=500), 200, "rx_policed")
        self.assertGreaterEqual(passed, 20)
        self.assertLessEqual(passed, 21 + 20 * took_s * 1.05)
        # And it goes on, at its pace.
        harness.wait_until(lambda: self.send("quiet", frame(MAC[5], MAC[7], size=500)), 20,
                           "a frame within the rate")

    def test_change_under_traffic(self):
        """Frames flow while everything around, and of the ports themselves, is changed: each
        arrives, or found no buffer (which is the guest's)."""
        self.ports(a={}, b={}, c={}, d={})
        self.send("b", frame(ALL, MAC[2]))
        before = self.sw.port("b")
        self.client["a"].begin(f"run {MAC[2]} {MAC[1]} 200 one 3000 0")
        steps = [
            {"a": {"vlan": {"access": 10}}, "b": {"vlan": {"trunk": [10], "native": 10}},
             "c": {"vlan": {"access": 30}}, "d": {"vlan": {"access": 30}}},
            # At any moment with but one of them there, nobody is in the VLAN.
            {"a": {"vlan": {"access": 20}}, "b": {"vlan": {"access": 20}}},
            {"c": {"admin": "down"}, "d": {"isolated": True, "mac_limit": 0}},
            {"a": {"spoof": {"macs": [MAC[1]]}, "police": {"rate_bps": 10**11}}},
            {"b": {"static": [{"mac": MAC[2]}]}, "a": {"mac_limit": 1, "isolated": True}},
            {"a": {"vlan": None, "police": None}, "b": {"vlan": None}},
            {"a": {"spoof": None, "isolated": None, "mac_limit": None}, "c": {"admin": None},
             "b": {"static": None}, "d": {"isolated": None}},
        ]
        changes, reply = 0, None
        while True:
            self.sw.call("configure", ports=steps[changes % len(steps)],
                         networks={"lan": {"mtu": 1500 + changes % 100}})
            changes += 1
            self.client["b"].do("receive 0 0")
            if select.select([self.client["a"].proc.stdout], [], [], 0)[0]:
                reply = self.client["a"].reply(60)
                break
        self.assertTrue(reply["ok"], reply)
        n = reply["n"]
        self.assertGreater(changes, 2 * len(steps))
        a, b = self.sw.port("a"), self.sw.port("b")
        self.assertEqual({}, {k: v for k, v in a["drops"].items() if v and k != "tx_ring_full"})
        full = b["drops"]["tx_ring_full"] - before["drops"]["tx_ring_full"]
        self.assertEqual(n, b["tx"]["frames"] - before["tx"]["frames"] + full)
        self.assertLess(full, n)


if __name__ == "__main__":
    harness.main()
