# SPDX-License-Identifier: Apache-2.0
"""lanyard-switch against rings of every legal layout, and of every illegal one, under traffic."""
import os
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case, wait_until
from ringclient import (EVENT_IDX, INDIRECT, IN_ORDER, MERGEABLE, MQ, PACKED, VERSION_1,
                        RingClient)

MAC = ["02:00:00:00:00:0%d" % i for i in range(10)]
ALL = "ff:ff:ff:ff:ff:ff"
MODERN = VERSION_1 | INDIRECT


class Rings(Case):
    FORMAT = 0  # features of all clients

    def make(self, ports, cpus=None, mtu=1500, queues=1, mergeable=True, poll="adaptive"):
        args = ["--cpus", cpus] if cpus else []
        self.sw = self.switch("--poll", poll, *args)
        self.sw.call("network_add", name="lan", mtu=mtu)
        for i in range(ports):
            self.sw.call("port_add", name=f"p{i}", network="lan", socket=self.path(f"p{i}"),
                         queues=queues, mergeable=mergeable)

    def front_end(self, i, features=MODERN | MERGEABLE, **kw):
        c = RingClient(self.path(f"p{i}"), env=self.env, features=features | self.FORMAT, **kw)
        self.addCleanup(c.stop)
        return c

    def client(self, i, **kw):
        c = self.front_end(i, **kw)
        self.assertTrue(c.hello["ok"], c.hello)
        return c

    def in_state(self, i, state):
        """Port i as soon as it is in that state: a front end has its answers from librte_vhost, whose
        thread brings the switch in line with each message only then."""
        return wait_until(lambda: next((p for p in self.sw.stats()["ports"] if
                                        p["name"] == f"p{i}" and p["state"] == state), None),
                          5, f"p{i} to be {state}")

    def drops(self, port):
        return {k: n for k, n in self.sw.port(port)["drops"].items() if n}

    def exchange(self, a, b, layout, size, n=20, seq=0):
        """n frames from a to b; b checks every byte."""
        before = b.do("receive 0 0")["got"]
        sent = a.send(MAC[2], MAC[1], size, layout, n, seq)
        self.assertTrue(sent["ok"], (layout, size, sent))
        got = b.receive(0, 0)
        if got["got"] - before < n:
            got = b.receive(n - (got["got"] - before))
        self.assertEqual((n, 0, ""), (got["got"] - before, got["bad"], got["why"]),
                         (layout, size, self.drops("p0"), self.drops("p1")))


class Layouts(Rings):
    """Each way to lay out a sent frame, into each way to post receive buffers."""

    def layouts(self, features, receive):
        self.make(2, mtu=9000)
        for rx in receive:
            with self.subTest(rx=rx, features=hex(features)):
                a = self.client(0, features=features)
                b = self.client(1, features=features, rx=rx)
                b.send(ALL, MAC[2])
                a.receive(1)
                for layout in ("one", "two", "chain", "indirect", "mixed"):
                    for size in (14, 18, 60, 64, 65, 116, 128, 1514, 9014):
                        # 71 buffers of 128 bytes a frame, of 256
                        n = 3 if rx == "small" and size > 9000 else 20
                        self.exchange(a, b, layout, size, n, seq=size * 1000)
                a.stop()
                b.stop()
                wait_until(lambda: {p["state"] for p in self.sw.stats()["ports"]} == {"waiting"},
                           5, "both ports to be free")
        self.assertEqual({}, self.drops("p0"))
        self.assertEqual({}, self.drops("p1"))

    def test_mergeable(self):
        self.layouts(MODERN | MERGEABLE, ("one", "two", "chain", "indirect", "small"))

    def test_not_mergeable(self):
        self.layouts(MODERN, ("one", "two", "chain", "indirect"))

    def test_event_idx(self):
        self.layouts(MODERN | MERGEABLE | EVENT_IDX, ("one", "small"))

    def test_two_regions(self):
        """Buffers that lie across two memory regions."""
        self.make(2, mtu=9000)
        a = self.client(0, features=MODERN | MERGEABLE, regions=2)
        b = self.client(1, features=MODERN | MERGEABLE, regions=2)
        b.send(ALL, MAC[2])
        for layout in ("one", "chain", "indirect"):
            for _ in range(4):
                self.exchange(a, b, layout, 9014, n=100)

    def test_frames_that_are_refused(self):
        self.make(2)
        a, b = self.client(0), self.client(1)
        b.send(ALL, MAC[2])
        a.receive(1)
        cases = [  # size, source, ethertype, reason
            (10, MAC[1], 0, "rx_runt"),
            (1515, MAC[1], 0, "rx_oversize"),
            (1519, MAC[1], 0x8100, "rx_oversize"),
            (60, "01:00:00:00:00:01", 0, "rx_bad_source"),
            (60, "00:00:00:00:00:00", 0, "rx_bad_source"),
        ]
        want = {}
        for size, src, ethertype, reason in cases:
            self.assertTrue(a.send(MAC[2], src, size, "one", 3, 0, 0, ethertype)["ok"])
            want[reason] = want.get(reason, 0) + 3
            self.assertEqual(want, self.drops("p0"))
        self.assertTrue(a.send(MAC[1], MAC[1])["ok"])
        want["rx_same_port"] = 1
        self.assertEqual(want, self.drops("p0"))
        # A tag's four bytes are no part of the MTU.
        a.send(MAC[2], MAC[1], 1518, "one", 1, 0, 0, 0x8100)
        self.assertTrue(b.receive(1)["ok"])
        p = self.sw.port("p0")
        self.assertEqual(p["rx"]["frames"], sum(want.values()) + 1)
        self.assertEqual({}, self.drops("p1"))

    def test_receiver_without_room(self):
        self.make(3)
        a = self.client(0)
        b = self.client(1, features=MODERN, rx="small")  # 128 bytes, not to be merged
        b.send(ALL, MAC[2])
        self.assertTrue(a.send(MAC[2], MAC[1], 1000, "one", 5)["ok"])
        self.assertEqual({"tx_buffer_small": 5}, self.drops("p1"))
        self.assertTrue(a.send(MAC[2], MAC[1], 100, "one", 256)["ok"])
        self.assertTrue(a.send(MAC[2], MAC[1], 100, "one", 7)["ok"])
        self.assertEqual({"tx_buffer_small": 5, "tx_ring_full": 7}, self.drops("p1"))
        self.assertEqual(256, b.receive(256)["n"])
        b.stop()
        wait_until(lambda: self.sw.port("p1")["state"] == "waiting", 5, "p1 to be free")
        self.assertTrue(a.send(MAC[2], MAC[1], 100, "one", 3)["ok"])
        self.assertEqual(3, self.drops("p1")["tx_port_down"])
        self.assertTrue(a.send(ALL, MAC[1], 100, "one", 2)["ok"])
        self.assertEqual({"rx_no_receiver": 2}, {k: v for k, v in self.drops("p0").items()})


ATTACKS = {  # way: what the reason must hold
    "loop": "loop", "self_loop": "loop", "address": "outside the guest's memory",
    "address_end": "outside the guest's memory", "wrap": "overflows", "length": "outside",
    "next": "next index", "short": "shorter than the virtio-net header",
    "direction": "direction", "head": "beyond the table", "index_jump": "index moved",
    "indirect_nested": "inside an indirect", "indirect_part": "indirect table",
    "indirect_long": "indirect table", "indirect_next": "also has a next",
    "indirect_loop": "loop", "rx_read_only": "direction", "rx_address": "outside",
    "rx_index_jump": "index moved",
}


class LayoutsPacked(Layouts):
    FORMAT = PACKED


class LayoutsInOrder(Layouts):
    """The client always looks at the order; here it may also count on it."""
    FORMAT = IN_ORDER


class Sizes(Rings):
    def test_sizes(self):
        self.make(2, mtu=9000)
        for fmt, sizes in ((0, (2, 4, 16, 512, 4096)), (PACKED, (2, 3, 16, 37, 1000, 4096))):
            for size in sizes:
                with self.subTest(packed=bool(fmt), size=size):
                    a, b = [self.client(i, features=MODERN | MERGEABLE | fmt, size=size)
                            for i in range(2)]
                    b.send(ALL, MAC[2])
                    a.receive(1)
                    for layout in ("one", "two"):
                        for seq in range(20):  # small rings hold no more
                            self.exchange(a, b, layout, 1514, min(size, 20), seq * 100)
                    a.stop()
                    b.stop()
                    wait_until(lambda: {p["state"] for p in self.sw.stats()["ports"]} ==
                               {"waiting"}, 5, "both ports to be free")

    def pairs(self, n, fmt):
        self.make(2, queues=n)
        a, b = [self.client(i, features=MODERN | MERGEABLE | MQ | fmt, pairs=n)
                for i in range(2)]
        self.assertEqual([n, n], [p["queues"] for p in self.sw.stats()["ports"]])
        b.send(ALL, MAC[2])
        a.receive(1)
        for pair in range(n):
            got = b.do("receive 0 0")["got"]
            self.assertTrue(a.send(MAC[2], MAC[1], 200, "one", 20, pair * 100, pair)["ok"])
            self.assertEqual(got + 20, b.receive(20)["got"])
            self.assertEqual(20,
                             self.sw.port("p0")["queue"][pair]["rx"]["frames"])
        self.assertEqual({}, self.drops("p1"))

    def test_sixteen_pairs(self):
        self.pairs(16, 0)

    def test_sixteen_pairs_packed(self):
        self.pairs(16, PACKED)


class Malformed(Rings):
    """A guest that writes nonsense loses its port, with a reason; the others notice nothing."""
    ATTACKS = ATTACKS

    def attacks(self, cpus):
        self.make(4, cpus=cpus)
        good, sink = self.client(0), self.client(1)
        sink.send(ALL, MAC[2])
        good.receive(1)
        bad = self.client(2)
        for name, reason in self.ATTACKS.items():
            with self.subTest(attack=name):
                bad.send(ALL, MAC[3])  # it works, and is known
                self.in_state(2, "up")
                good.begin(f"run {MAC[2]} {MAC[1]} 60 one 60")
                sink.begin(f"run {MAC[1]} {MAC[2]} 1514 chain 60")
                self.assertTrue(bad.do(f"attack {name}")["ok"])
                if name.startswith("rx_"):
                    time.sleep(0.005)
                    other = self.client(3)
                    other.send(MAC[3], MAC[4])
                    other.stop()
                self.assertIn(reason, self.in_state(2, "disabled")["reason"])
                for c in (good, sink):
                    done = c.reply(20)
                    self.assertTrue(done["ok"], done)
                    self.assertEqual((0, ""), (done["bad"], done["why"]))
                    self.assertGreater(done["n"], 0)
                # For the others the port is down; a frame to it is counted so.
                before = self.drops("p2").get("tx_port_down", 0)
                self.assertTrue(good.send(MAC[3], MAC[1], n=4)["ok"])
                self.assertEqual(before + 4, self.drops("p2")["tx_port_down"])
                # A reset of the driver mends it.
                self.assertTrue(bad.do("restart")["ok"])
                self.assertIsNone(self.in_state(2, "up")["reason"])
        self.assertFalse([d for d in ("rx_runt", "rx_segments") if d in self.drops("p0")])

    def test_one_worker(self):
        self.attacks(None)

    def test_two_workers(self):
        self.attacks("0,1")

    def test_reconnection_mends(self):
        self.make(2)
        bad = self.client(0)
        bad.do("attack loop")
        self.in_state(0, "disabled")
        wait_until(lambda: "disabled" in self.sw.text(), 5, "the log to say so")
        self.assertTrue(bad.do("reconnect")["ok"])
        p = self.in_state(0, "up")
        self.assertEqual((None, 2), (p["reason"], p["connects"]))

    def test_bad_ring_base(self):
        """A front end that starts a ring where the ring can't be."""
        self.make(1)
        c = self.client(0)
        c.do("attack used_index")
        c.do("restart_kept")
        self.assertIn("start index", self.in_state(0, "disabled")["reason"])


class MalformedPacked(Malformed):
    FORMAT = PACKED
    ATTACKS = {name: ATTACKS[name] for name in (
        "loop", "address", "address_end", "wrap", "length", "short", "direction",
        "indirect_part", "indirect_long", "indirect_next", "rx_read_only", "rx_address")}
    ATTACKS["rx_loop"] = "loop"


class Life(Rings):
    """Front ends that come and go, and change their minds, under traffic."""

    def test_changes_under_traffic(self):
        for cpus in (None, "0,1"):
            self.make(2, cpus=cpus)
            a, b = self.client(0), self.client(1)
            b.send(ALL, MAC[2])
            a.receive(1)
            for what in ("callfds", "memtable", "callfds", "regions 2", "memtable", "regions 1",
                         "memtable", "restart"):
                a.begin(f"run {MAC[2]} {MAC[1]} 200 two 40")
                self.assertTrue(b.do(what)["ok"], what)
                done = a.reply(20)
                self.assertTrue(done["ok"], (what, done))
                got = b.receive(0, 20)
                self.assertEqual((0, ""), (got["bad"], got["why"]), what)
            # And it still works, without loss.
            self.exchange(a, b, "one", 60, n=200)
            a.stop()
            b.stop()
            self.sw.stop()

    def test_call_fds_lose_nothing(self):
        self.make(2)
        a, b = self.client(0), self.client(1)
        b.send(ALL, MAC[2])
        a.receive(1)
        b.do("interrupts on")
        for _ in range(20):
            self.assertTrue(b.do("callfds")["ok"])
            # The new one is told at once of what it may have missed.
            self.assertGreaterEqual(b.do("calls")["n"], 2)
            self.exchange(a, b, "one", 60, n=16)
        self.assertEqual({}, self.drops("p1"))

    def test_killed_under_traffic(self):
        for cpus in (None, "0,1"):
            self.make(3, cpus=cpus)
            a, b = self.client(0), self.client(1)
            b.send(ALL, MAC[2])
            a.receive(1)
            for _ in range(5):
                c = self.front_end(2)
                c.begin(f"run {MAC[2]} {MAC[5]} 1514 chain 2000")
                a.begin(f"run {MAC[5]} {MAC[1]} 1514 one 100")
                b.begin(f"run {MAC[1]} {MAC[2]} 60 one 100")
                time.sleep(0.05)
                c.kill()
                for x in (a, b):
                    done = x.reply(20)
                    self.assertTrue(done["ok"], done)
                wait_until(lambda: self.sw.port("p2")["state"] == "waiting", 5, "p2 to be free")
            self.exchange(a, b, "one", 60, n=200)
            a.stop()
            b.stop()
            self.sw.stop()

    def test_second_front_end_is_turned_away(self):
        self.make(1)
        a = self.client(0)
        c = self.front_end(0)
        self.assertFalse(c.hello["ok"])
        p = self.in_state(0, "up")
        self.assertEqual((1, a.proc.pid), (p["connects"], p["vhost_pid"]))

    def test_port_del_under_traffic(self):
        self.make(3)
        a, b = self.client(0), self.client(1)
        b.send(ALL, MAC[2])
        a.receive(1)
        b.begin(f"run {MAC[1]} {MAC[2]} 60 one 300")
        time.sleep(0.05)
        self.sw.call("port_del", name="p1")
        self.assertFalse(os.path.exists(self.path("p1")))
        # It was learnt; it is not known any more.
        self.assertEqual([], [e for e in self.sw.call("fdb")["entries"] if e["port"] == "p1"])
        b.kill()
        self.sw.call("port_add", name="p1", network="lan", socket=self.path("p1"))
        b = self.client(1)
        b.send(ALL, MAC[2])
        self.exchange(a, b, "one", 60, n=100)

    def test_switch_restart(self):
        """kill -9 and start again: a front end goes on from where its rings are."""
        self.make(2)
        a, b = self.client(0), self.client(1)
        b.send(ALL, MAC[2])
        self.exchange(a, b, "one", 60, n=100)
        self.sw.kill()
        self.make(2)
        self.assertTrue(a.do("reconnect_kept")["ok"])
        self.assertTrue(b.do("reconnect_kept")["ok"])
        b.send(ALL, MAC[2])
        self.exchange(a, b, "one", 60, n=200)

    STALE = False

    def test_killed_switch_repeats_nothing(self):
        """kill -9 under traffic, any time: frames are lost, none comes twice or broken."""
        seq = doubted = 0
        self.make(2)
        a, b = self.client(0), self.client(1, rx="small")
        for c in (a, b):
            c.do("unique")
            if self.STALE:
                c.do("stale")
        b.send(ALL, MAC[2], seq=1 << 24)
        for round_ in range(6):
            size = (60, 1514)[round_ % 2]
            layout = ("one", "two", "chain", "indirect")[round_ % 4]
            a.begin(f"run {MAC[2]} {MAC[1]} {size} {layout} 1000 {seq}")
            b.begin(f"run {MAC[1]} {MAC[2]} 60 one 1000 {seq + (1 << 23)}")
            time.sleep(0.05 + 0.013 * round_)
            self.sw.kill()
            done = [c.reply(20) for c in (a, b)]
            seq += max(d["n"] for d in done) + 1
            self.make(2)
            for c in (a, b):
                self.assertTrue(c.do("reconnect_kept")["ok"])
            wait_until(lambda: {p["state"] for p in self.sw.stats()["ports"]} == {"up"}, 5,
                       "both ports to be up")
            # All that waited is delivered, or given back by a switch that doubts.
            for c in (a, b):
                c.receive(1 << 20, 100)
            for p in self.sw.stats()["ports"]:
                self.assertLessEqual(p["drops"]["rx_uncertain"], 64)
                doubted += p["drops"]["rx_uncertain"]
            b.send(ALL, MAC[2], seq=1 << 24)
            a.receive(1, 200)
            got = b.do("receive 0 0")["got"]
            self.assertTrue(a.send(MAC[2], MAC[1], 200, layout, 50, seq=1 << 24)["ok"])
            last = b.receive(50)
            self.assertEqual((got + 50, 0, ""), (last["got"], last["bad"], last["why"]))
            self.assertEqual(0, a.do("receive 0 0")["bad"])
        self.assertGreater(doubted, 0)

    def test_reconnection_repeats_nothing(self):
        """A front end that loses its connection, not its rings, under traffic."""
        self.make(2)
        a, b = self.client(0), self.client(1)
        for c in (a, b):
            c.do("unique")
        b.send(ALL, MAC[2], seq=1 << 24)
        seq = 0
        for round_ in range(10):
            a.begin(f"run {MAC[2]} {MAC[1]} 1000 two 60 {seq}")
            self.assertTrue(b.do("reconnect_kept")["ok"])
            done = a.reply(20)
            self.assertTrue(done["ok"])
            seq += done["n"]
            b.begin(f"run {MAC[1]} {MAC[2]} 60 one 60 {(1 << 23) + round_ * 100000}")
            self.assertTrue(a.do("reconnect_kept")["ok"])
            self.assertTrue(b.reply(20)["ok"])
        for c in (a, b):
            got = c.receive(0, 100)
            self.assertEqual((0, ""), (got["bad"], got["why"]))
            self.assertGreater(got["got"], 100)


class LifePacked(Life):
    FORMAT = PACKED


class LifePackedStale(Life):
    """A front end as QEMU is: it can't say where a packed ring stands after a crash."""
    FORMAT = PACKED
    STALE = True


class WrongFrontEnds(Rings):
    """What a front end was given that can't work is said, with what to do."""

    def message(self, request, payload, fds=(), port="p0"):
        """A vhost-user message out of nowhere; asks for an answer and returns its number."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(5)
            s.connect(self.path(port))
            head = struct.pack("<III", request, 1 | 8, len(payload))
            socket.send_fds(s, [head + payload], list(fds))
            answer = s.recv(20)
            self.assertEqual((20, request), (len(answer), struct.unpack_from("<I", answer)[0]))
            return struct.unpack_from("<Q", answer, 12)[0]

    def reason(self, words, timeout_s=10):
        p = wait_until(lambda: next((p for p in self.sw.stats()["ports"] if p["reason"]), None),
                       timeout_s, "a reason")
        for word in words:
            self.assertIn(word, p["reason"])
        self.assertIn(p["reason"], self.sw.text())

    def test_memory_that_cannot_be_mapped(self):
        region = struct.pack("<QQQQ", 0, 1 << 21, 1 << 32, 0)
        table = lambda n: struct.pack("<II", n, 0) + n * region
        r, w = os.pipe()
        self.addCleanup(os.close, r)
        self.addCleanup(os.close, w)
        for payload, fds in ((table(0), ()), (table(1), ()), (table(1), (r,))):
            self.make(1)
            self.assertEqual(1, self.message(5, payload, fds))
            self.reason(["can't be mapped", "share=on"])
            self.assertEqual("waiting", self.sw.port("p0")["state"])
            self.sw.stop()

    def test_private_memory(self):
        self.make(1)
        c = self.front_end(0, args=("private",))
        self.assertTrue(c.hello["ok"], c.hello)
        self.reason(["mapped its memory privately", "share=on"])
        c.stop()
        # The next one does better.
        c = self.client(0)
        self.assertIsNone(self.sw.port("p0")["reason"])
        self.assertTrue(c.send(ALL, MAC[1])["ok"])

    def test_mtu(self):
        self.make(1, mtu=2000)
        self.assertEqual(0, self.message(20, struct.pack("<Q", 2000)))
        wait_until(lambda: self.sw.port("p0")["state"] == "waiting", 5, "p0 to be free")
        self.assertEqual(1, self.message(20, struct.pack("<Q", 2001)))
        self.assertIn("wants an MTU of 2001, but network lan has 2000", self.sw.text())


class WrongFrontEndsPacked(WrongFrontEnds):
    FORMAT = PACKED


if __name__ == "__main__":
    harness.main()
