# SPDX-License-Identifier: Apache-2.0
"""Captures of the switch's ports: what is in them, that tshark reads them, who ends them and how,
and that whatever their reader does, frames go on and none is miscounted."""
import hashlib
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case, RpcError, wait_until
from netns import Netns
from pcapng import INBOUND, OUTBOUND, Reader, capinfos, tshark
from ringclient import EVENT_IDX, INDIRECT, MERGEABLE, PACKED, VERSION_1, RingClient

MAC = ["02:00:00:00:00:0%d" % i for i in range(10)]
ALL = "ff:ff:ff:ff:ff:ff"
S = 10**9


class Captures(Case):
    def make(self, ports=2, *args, **port):
        self.sw = self.switch(*args)
        self.sw.call("network_add", name="lan")
        self.c = []
        for i in range(ports):
            self.sw.call("port_add", name=f"p{i}", network="lan", socket=self.path(f"p{i}"),
                         **port)
            c = RingClient(self.path(f"p{i}"), env=self.env)
            self.addCleanup(c.stop)
            self.assertTrue(c.hello["ok"], c.hello)
            self.c.append(c)
        self.n_readers = 0

    def reader(self, port="p0", **kw):
        self.n_readers += 1
        return Reader(self.sw, self.path(f"capture{self.n_readers}"), port, **kw)

    def file(self, reader):
        path = self.path("c.pcapng")
        with open(path, "wb") as f:
            f.write(reader.data)
        return path

    def total(self, port):
        p = self.sw.port(port)
        return p["rx"]["frames"] + p["tx"]["frames"]

    def none_left(self):
        wait_until(lambda: not self.sw.call("captures")["captures"], 10, "captures to be gone")

    def send(self, i, j, n, size=60, dst=None):
        self.assertTrue(self.c[i].send(dst or MAC[j], MAC[i], size, n=n)["ok"])
        if dst != ALL and j != i:
            self.assertTrue(self.c[j].receive(n)["ok"])


class Content(Captures):
    def test_both_directions(self):
        """Every frame of the port, in order, with its bytes, time and direction; no other port's."""
        self.make(3)
        before = time.time_ns()
        r = self.reader()
        self.send(2, 1, 4, dst=ALL)  # p0 gets this one too
        self.send(0, 1, 5, size=100)
        self.send(1, 0, 7, size=1514)
        self.send(2, 1, 9)  # p1 is known by now: not for p0
        self.send(0, 0, 2)  # to itself: dropped, but it was received
        counts, c = r.stop()
        after = time.time_ns()
        sizes = [(p.dir, p.len) for p in c.packets]
        self.assertEqual([(OUTBOUND, 60)] * 4 + [(INBOUND, 100)] * 5 + [(OUTBOUND, 1514)] * 7 +
                         [(INBOUND, 60)] * 2, sizes)
        self.assertEqual({"frames": 18, "bytes": sum(n for _, n in sizes), "not_kept": 0}, counts)
        self.assertTrue(all(len(p.data) == p.len for p in c.packets))
        self.assertEqual("020000000001" "020000000000", c.packets[4].data[:12].hex())
        times = [p.ns for p in c.packets]
        self.assertEqual(sorted(times), times)
        # The clocks are compared as well as they can be: read one after the other.
        self.assertTrue(before - S < times[0] and times[-1] < after + S, (before, times, after))
        self.assertEqual(("p0", 9, 262144), (c.name, c.resolution, c.snaplen))
        self.assertTrue(c.application.startswith("lanyard-switch "))
        self.assertTrue(c.whole)
        self.assertEqual((18, 0), (c.stats[-1]["received"], c.stats[-1]["dropped"]))
        self.assertEqual([], self.sw.call("captures")["captures"])

        path = self.file(r)
        rows = tshark(path, "frame.len", "eth.src", "eth.dst", "frame.interface_name",
                      "frame.packet_flags_direction", "frame.time_epoch")
        self.assertEqual([str(n) for _, n in sizes], [row[0] for row in rows])
        self.assertEqual([MAC[0], MAC[1], "p0"], rows[4][1:4])
        self.assertEqual([int(row[4], 0) for row in rows], [d for d, _ in sizes])
        self.assertEqual(["%d.%09d" % (t // S, t % S) for t in times], [row[5] for row in rows])
        info = capinfos(path)
        self.assertEqual(("18", "ether", "p0"), (info["Number of packets"],
                                                 info["File encapsulation"], info["Name"]), info)
        self.assertGreaterEqual(int(info["Number of stat entries"]), 1)

    def test_one_direction(self):
        self.make(2)
        rx, tx = self.reader(direction="rx"), self.reader(direction="tx")
        listed = self.sw.call("captures")["captures"]
        self.assertEqual([("p0", "rx", 0), ("p0", "tx", 0)],
                         [(c["port"], c["direction"], c["not_kept"]) for c in listed])
        self.send(0, 1, 30, dst=ALL)
        self.assertTrue(self.c[1].receive(30)["ok"])
        self.send(1, 0, 20)
        self.assertEqual([INBOUND] * 30, [p.dir for p in rx.finish().packets])
        self.assertEqual([OUTBOUND] * 20, [p.dir for p in tx.finish().packets])
        self.none_left()

    def test_snaplen(self):
        self.make(2)
        r = self.reader(snaplen=70)
        whole = self.reader(snaplen=0)
        for size in (60, 70, 71, 1514):
            self.send(0, 1, 3, size=size, dst=ALL)
        c, w = r.finish(), whole.finish()
        self.assertEqual(70, c.snaplen)
        self.assertEqual([(n, min(n, 70)) for n in (60, 70, 71, 1514) for _ in range(3)],
                         [(p.len, len(p.data)) for p in c.packets])
        for a, b in zip(c.packets, w.packets):
            self.assertEqual(b.data[:70], a.data)
        rows = tshark(self.file(r), "frame.len", "frame.cap_len")
        self.assertEqual(["1514", "70"], rows[-1])

    def test_what_is_live(self):
        """Frames are there at once, statistics once a second."""
        self.make(2)
        r = self.reader()
        for n in range(1, 4):
            self.send(0, 1, 1, dst=ALL)
            wait_until(lambda: len(r.now().packets) == n, 10, "the frame to be in the stream")
        wait_until(lambda: r.now().stats, 10, "statistics")
        self.assertEqual((3, 0), (r.now().stats[0]["received"], r.now().stats[0]["dropped"]))
        self.assertFalse(r.now().whole)
        self.assertTrue(r.finish().whole)

    def test_several_workers(self):
        """Two workers write; the stream is in the order of time, and complete."""
        self.make(3, "--cpus", "0,1")
        r = self.reader(buffer_bytes=64 << 20)
        for i in (1, 2):
            self.send(i, 0, 3, dst=ALL)
        deadline = time.monotonic() + 60
        while self.total("p0") < 2000:
            for i in (1, 2):
                self.c[i].begin(f"run {MAC[0]} {MAC[i]} 60 one 300")
            self.c[0].do(f"run {MAC[1]} {MAC[0]} 60 one 300")
            for i in (1, 2):
                self.c[i].reply(20)
            self.assertLess(time.monotonic(), deadline)
        c = r.finish()
        self.assertTrue(c.whole)
        kept, lost = len(c.packets), c.stats[-1]["dropped"]
        self.assertEqual(self.total("p0"), kept + lost)
        self.assertEqual(kept + lost, c.stats[-1]["received"])
        self.assertGreater(kept, 100)
        times = [p.ns for p in c.packets]
        self.assertEqual(sorted(times), times)


    def test_layouts(self):
        """However rings are made and frames lie in them."""
        self.make(1)
        self.sw.call("port_add", name="p1", network="lan", socket=self.path("p1"))
        modern = VERSION_1 | INDIRECT | MERGEABLE | EVENT_IDX
        for features in (modern, modern | PACKED):
            with RingClient(self.path("p1"), features=features, rx="small", env=self.env) as c:
                r = self.reader("p1")
                want = []
                for layout in ("one", "two", "chain", "indirect", "mixed"):
                    for size in (14, 63, 64, 65, 300, 1514):
                        self.assertTrue(c.send(ALL, MAC[1], size, layout, 2)["ok"])
                        self.assertTrue(self.c[0].send(MAC[1], MAC[0], size, layout, 2)["ok"])
                        self.assertTrue(c.receive(2)["ok"])
                        want += [(INBOUND, size)] * 2 + [(OUTBOUND, size)] * 2
                got = r.finish()
                self.assertEqual(want, [(p.dir, p.len) for p in got.packets])
                for p in got.packets:
                    self.assertEqual(p.len, len(p.data))
                # What it sent and what it got: of each size the same bytes behind the addresses.
                for i in range(0, len(want), 4):
                    sent, back = got.packets[i:i + 2], got.packets[i + 2:i + 4]
                    self.assertEqual([p.data[12:] for p in sent], [p.data[12:] for p in back])
            wait_until(lambda: self.sw.port("p1")["state"] == "waiting", 10, "p1 to be free")


SERVER = """
import socket
s = socket.socket(); s.bind(("", 5001)); s.listen(); print("ready", flush=True)
c, _ = s.accept(); n = 0
while True:
    b = c.recv(1 << 16)
    if not b: break
    n += len(b)
c.sendall(str(n).encode()); c.close()
"""
CLIENT = """
import socket, sys
s = socket.socket(); s.settimeout(30); s.connect(("10.8.0.2", 5001))
s.sendall(open(sys.argv[1], "rb").read()); s.shutdown(socket.SHUT_WR)
print(s.recv(100).decode())
"""


class Kernel(Captures):
    """Ports without rings; a real conversation, with the offloads that kernels have."""

    def test_tcp(self):
        self.make(0)
        ns = []
        for i in range(2):
            name = f"lyt{os.getpid() % 100000}.{i}"
            ns.append(Netns())
            self.addCleanup(ns[i].close)
            self.sw.call("port_add", name=f"t{i}", network="lan", kind="tap", ifname=name)
            ns[i].take(name, f"10.8.0.{i + 1}/24")
            wait_until(lambda: self.sw.port(f"t{i}")["state"] == "up", 10, "it to be up")
        data = os.urandom(1 << 20)
        with open(self.path("data"), "wb") as f:
            f.write(data)
        r = self.reader("t0", buffer_bytes=64 << 20)
        server = ns[1].popen(sys.executable, "-c", SERVER, stdout=subprocess.PIPE)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.kill)
        self.assertEqual("ready\n", server.stdout.readline())
        self.assertEqual(f"{len(data)}\n", ns[0].run(sys.executable, "-c", CLIENT,
                                                     self.path("data")))
        self.assertEqual(0, server.wait(20))
        c = r.finish()
        self.assertEqual(0, c.stats[-1]["dropped"])
        # As it was handed over: big, and of each byte nothing is missing.
        self.assertGreater(max(p.len for p in c.packets if p.dir == INBOUND), 1514)
        done = subprocess.run(["tshark", "-n", "-r", self.file(r), "-q", "-z",
                               "follow,tcp,raw,0"], capture_output=True, text=True, timeout=120)
        self.assertEqual(0, done.returncode, done.stderr)
        lines = [x for x in done.stdout.splitlines() if x and not x.startswith("\t")]
        payload = bytes.fromhex("".join(x for x in lines if set(x) <= set("0123456789abcdef")))
        self.assertEqual(hashlib.sha256(data).hexdigest(), hashlib.sha256(payload).hexdigest())


class Readers(Captures):
    """What readers do to captures, and captures to frames: nothing."""

    def exact(self, capture, port="p0"):
        self.assertEqual(self.total(port), len(capture.packets) + capture.stats[-1]["dropped"])
        self.assertEqual(self.total(port), capture.stats[-1]["received"])

    def not_kept(self, reader):
        return next(c["not_kept"] for c in self.sw.call("captures")["captures"]
                    if c["id"] == reader.id)

    def fill(self, reader, n):
        """Until n frames were not kept: 1 MiB of short ones is soon full."""
        deadline = time.monotonic() + 60
        while self.not_kept(reader) < n:
            self.run_both(200)
            self.assertLess(time.monotonic(), deadline)

    def run_both(self, ms, size=60):
        self.c[1].begin(f"run {MAC[0]} {MAC[1]} {size} one {ms}")
        a = self.c[0].do(f"run {MAC[1]} {MAC[0]} {size} one {ms}")
        b = self.c[1].reply(20)
        self.assertTrue(a["ok"] and b["ok"], (a, b))

    def test_stalled_reader(self):
        """It costs its own capture only; kept and not kept are all frames of the port, exactly."""
        self.make(2)
        stalled = self.reader(reading=False, buffer_bytes=1 << 20)
        good = self.reader(buffer_bytes=128 << 20)
        self.fill(stalled, 10000)
        before = self.not_kept(stalled)
        for n in range(5):  # not one of these is lost by it
            self.send(0, 1, 200)
            self.send(1, 0, 200)
        self.assertEqual(before + 2000, self.not_kept(stalled))
        c = stalled.finish()  # it comes back for the rest
        self.assertTrue(c.whole)
        self.exact(c)
        self.assertGreater(len(c.packets), 1000)
        g = good.finish()
        self.exact(g)
        self.assertGreater(len(g.packets), len(c.packets))
        self.none_left()

    def test_stopped_while_stalled(self):
        """capture_stop waits for nobody: its result counts the frames that a reader can have."""
        self.make(2)
        r = self.reader(reading=False, buffer_bytes=1 << 20)
        self.fill(r, 1)
        counts = self.sw.call("capture_stop", id=r.id)
        c = r.end()
        self.assertFalse(c.whole)
        self.assertEqual(counts["frames"], len(c.packets))
        self.assertEqual(self.total("p0"), counts["frames"] + counts["not_kept"])
        self.assertEqual(counts["bytes"], sum(p.len for p in c.packets))

    def test_reader_that_goes_away(self):
        self.make(2)
        for kw in ({}, {"reading": False}):
            r = self.reader(**kw)
            self.run_both(50)
            r.close()
            self.run_both(50)
            self.none_left()
        self.assertIn("its reader has gone", self.sw.text())

    def test_many(self):
        self.make(2)
        readers = [self.reader(port=f"p{i % 2}", buffer_bytes=1 << 20) for i in range(32)]
        with self.assertRaises(RpcError) as got:
            self.reader()
        self.assertIn("32 captures", got.exception.message)
        self.send(0, 1, 5, dst=ALL)
        for i, r in enumerate(readers):
            c = r.finish()
            self.assertEqual([OUTBOUND if i % 2 else INBOUND] * 5, [p.dir for p in c.packets])
        self.none_left()

    def test_guest_that_comes_later_and_goes(self):
        self.make(1)
        self.sw.call("port_add", name="late", network="lan", socket=self.path("late"))
        r = self.reader(port="late", direction="tx")
        self.send(0, 0, 3, dst=ALL)
        for n in (4, 5):
            with RingClient(self.path("late"), env=self.env) as late:
                self.send(0, 0, n, dst=ALL)
                self.assertTrue(late.receive(n)["ok"])
            wait_until(lambda: self.sw.port("late")["state"] == "waiting", 10, "it to be gone")
        self.assertEqual(9, len(r.finish().packets))

    def test_port_deleted(self):
        self.make(2)
        r, other = self.reader(), self.reader(port="p1")
        self.send(0, 1, 5, dst=ALL)
        self.sw.call("port_del", name="p0")
        c = r.end()
        self.assertTrue(c.whole)
        self.assertEqual(5, len(c.packets))
        wait_until(lambda: len(self.sw.call("captures")["captures"]) == 1, 10, "one to be gone")
        # Its place in the switch goes to another port, which nobody captures.
        self.sw.call("port_add", name="p9", network="lan", socket=self.path("p9"))
        self.assertEqual(5, len(other.finish().packets))
        self.assertIn("ended: the port was deleted", self.sw.text())

    def test_switch_ends(self):
        self.make(2)
        r = self.reader()
        self.send(0, 1, 5, dst=ALL)
        self.sw.call("shutdown")
        c = r.end()
        self.assertTrue(c.whole)
        self.assertEqual(5, len(c.packets))
        self.assertEqual(0, self.sw.proc.wait(10))
        self.assertEqual("ended: asked by shutdown",
                         self.sw.text().splitlines()[-1].split("  ", 1)[1].strip())

    def test_refusals(self):
        self.make(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(self.path("s"))
            listener.listen()
            good = dict(port="p0", socket=self.path("s"))
            for words, field, params in [
                    ("no port \"p7\"", "port", dict(good, port="p7")),
                    ("rx|tx|both", "direction", dict(good, direction="in")),
                    ("snaplen", "snaplen", dict(good, snaplen=-1)),
                    ("snaplen", "snaplen", dict(good, snaplen=262145)),
                    ("buffer_bytes", "buffer_bytes", dict(good, buffer_bytes=1000)),
                    ("buffer_bytes", "buffer_bytes", dict(good, buffer_bytes=(128 << 20) + 1)),
                    ("somebody listens", "socket", dict(good, socket=self.path("nobody"))),
                    ("107", "socket", dict(good, socket="/tmp/" + "x" * 103)),
                    ("socket", "socket", dict(port="p0")),
                    ("colour", "colour", dict(good, colour="red"))]:
                with self.subTest(params=params), self.assertRaises(RpcError) as got:
                    self.sw.call("capture_start", **params)
                for word in words.split("|"):
                    self.assertIn(word, got.exception.message)
                self.assertEqual((field, 2), (got.exception.field, got.exception.cls))
                self.assertEqual([], self.sw.call("captures")["captures"])
        with self.assertRaises(RpcError) as got:
            self.sw.call("capture_stop", id=3)
        self.assertIn("no capture 3", got.exception.message)


if __name__ == "__main__":
    harness.main()
