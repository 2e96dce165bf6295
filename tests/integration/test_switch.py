# SPDX-License-Identifier: Apache-2.0
"""lanyard-switch: its methods and their errors, and testpmd as a foreign front end."""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import slow, SWITCH, Case, RpcError, rpc_once, wait_until
from ringclient import EVENT_IDX, INDIRECT, MERGEABLE, MQ, VERSION_1, RingClient

MAC = ["02:00:00:00:00:%02x" % i for i in range(64)]
ALL = "ff:ff:ff:ff:ff:ff"


class Control(Case):
    """Every method of docs/control.md; a request is all or nothing."""

    def refuse(self, sw, words, field, method, cls=2, **params):
        with self.assertRaises(RpcError) as got:
            sw.call(method, **params)
        e = got.exception
        for word in words.split("|"):
            self.assertIn(word, e.message)
        self.assertEqual((field, cls), (e.field, e.cls), e.message)

    def test_info(self):
        sw = self.switch("--cpus", "1,0", "--poll", "busy")
        info = sw.call("info")
        self.assertEqual("lanyard-switch", info["name"])
        self.assertEqual(sw.pid, info["pid"])
        self.assertEqual("busy", info["poll"])
        self.assertEqual([{"cpu": 1}, {"cpu": 0}], info["workers"])
        self.assertGreater(info["tsc_hz"], 10**8)
        self.assertTrue(info["dpdk"].startswith("DPDK "), info)
        tasks = {}
        for task in os.listdir(f"/proc/{sw.pid}/task"):
            with open(f"/proc/{sw.pid}/task/{task}/comm") as f:
                tasks[f.read().strip()] = os.sched_getaffinity(int(task))
        self.assertEqual(({1}, {0}), (tasks["worker-0"], tasks["worker-1"]))

    def test_networks_and_ports(self):
        sw = self.switch()
        sw.call("network_add", name="lan")
        sw.call("network_add", name="big", mtu=9000, ageing_s=20)
        sw.call("port_add", name="a", network="lan", socket=self.path("a"))
        sw.call("port_add", name="b", network="big", socket=self.path("b"), queues=4,
                mergeable=False)
        self.assertEqual(0o600, os.stat(self.path("a")).st_mode & 0o777)
        stats = sw.stats()
        self.assertEqual([("lan", 1500, 1), ("big", 9000, 1)],
                         [(n["name"], n["mtu"], n["ports"]) for n in stats["networks"]])
        a, b = stats["ports"]
        self.assertEqual(("a", "lan", "waiting", None, 0, 0, None),
                         tuple(a[k] for k in ("name", "network", "state", "reason", "queues",
                                              "connects", "vhost_pid")))
        self.assertEqual((1, 4), (len(a["queue"]), len(b["queue"])))
        self.assertEqual(["b"], [p["name"] for p in sw.call("stats", port="b")["ports"]])
        self.assertEqual({"entries": [], "total": 0}, sw.call("fdb", network="lan"))
        self.assertEqual({"removed": 0}, sw.call("fdb_flush"))
        sw.call("port_del", name="a")
        self.assertFalse(os.path.exists(self.path("a")))
        sw.call("network_del", name="lan")
        sw.call("network_add", name="lan")
        sw.call("port_add", name="a", network="lan", socket=self.path("a"))
        self.assertEqual({}, sw.call("shutdown"))
        self.assertEqual(0, sw.proc.wait(10))
        self.assertIn("ended: asked by shutdown", sw.text().splitlines()[-1])
        self.assertEqual([], [n for n in os.listdir(self.run_dir) if not n.endswith(".log")])

    def test_refusals(self):
        sw = self.switch()
        sw.call("network_add", name="lan")
        sw.call("port_add", name="a", network="lan", socket=self.path("a"))
        before = sw.stats()["ports"]
        long = "/tmp/" + "x" * 103
        with open(self.path("file"), "w"):
            pass
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        listener.bind(self.path("taken"))
        listener.listen()
        port = dict(name="b", network="lan", socket=self.path("b"))
        for words, field, params in [
                ("no network \"nowhere\"", "network", dict(port, network="nowhere")),
                ("\"a\" exists", "name", dict(port, name="a")),
                ("\"a\"'s already", "socket", dict(port, socket=self.path("a"))),
                ("108|107", "socket", dict(port, socket=long)),
                ("taken", "socket", dict(port, socket=self.path("taken"))),
                ("file", "socket", dict(port, socket=self.path("file"))),
                ("No such file", "socket", dict(port, socket=self.path("no/such"))),
                ("expected \"server\" or \"client\"", "role", dict(port, role="boss")),
                ("1|63", "name", dict(port, name="")),
                ("1|63", "name", dict(port, name="x" * 64)),
                ("queues", "queues", dict(port, queues=0)),
                ("queues", "queues", dict(port, queues=17)),
                ("queues", "queues", dict(port, queues="2")),
                ("socket", "socket", dict(name="b", network="lan")),
                ("color", "color", dict(port, color="red"))]:
            with self.subTest(params=params):
                self.refuse(sw, words, field, "port_add", **params)
                self.assertEqual(before, sw.stats()["ports"])
        self.refuse(sw, "\"lan\" exists", "name", "network_add", name="lan")
        self.refuse(sw, "mtu", "mtu", "network_add", name="x", mtu=67)
        self.refuse(sw, "mtu", "mtu", "network_add", name="x", mtu=9217)
        self.refuse(sw, "1 ports", "name", "network_del", name="lan")
        self.refuse(sw, "no network", "name", "network_del", name="wan")
        self.refuse(sw, "no port", "name", "port_del", name="b")
        self.refuse(sw, "no port", "port", "stats", port="b")
        self.refuse(sw, "no network", "network", "fdb", network="wan")
        self.refuse(sw, "no network", "network", "fdb_flush", network="wan")
        self.assertTrue(os.path.exists(self.path("taken")))
        self.assertEqual(1, len(sw.stats()["networks"]))

    def test_stale_socket_is_replaced(self):
        sw = self.switch()
        sw.call("network_add", name="lan")
        sw.call("port_add", name="a", network="lan", socket=self.path("a"))
        sw.kill(signal.SIGKILL)
        self.assertTrue(os.path.exists(self.path("a")))
        sw = self.switch()
        sw.call("network_add", name="lan")
        sw.call("port_add", name="a", network="lan", socket=self.path("a"))
        self.assertEqual(0, sw.kill(signal.SIGTERM))
        self.assertIn("ended: SIGTERM", sw.text().splitlines()[-1])
        self.assertFalse(os.path.exists(self.path("a")))

    def usage(self, words, *args):
        done = subprocess.run([SWITCH, *args], capture_output=True, text=True, timeout=20)
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn(words, done.stderr)

    def test_command_line(self):
        c = ("--control", self.path("c"))
        self.usage("--control PATH is missing")
        self.usage("expected CPUs such as", *c, "--cpus", "0-")
        self.usage("expected CPUs such as", *c, "--cpus", "x")
        self.usage("CPU 1 is there twice", *c, "--cpus", "0-1,1")
        self.usage("expected adaptive or busy", *c, "--poll", "lazy")
        self.usage("expected error, warn", *c, "--log-level", "loud")
        self.usage("from 16 up", *c, "--memory", "1")
        self.usage("unknown option", *c, "--colour")
        self.usage("unexpected argument", *c, "more")
        done = subprocess.run([SWITCH, *c, "--cpus", "1000"], capture_output=True, text=True,
                              timeout=20)
        self.assertEqual(3, done.returncode)
        self.assertIn("can't run on CPU 1000", done.stderr)
        done = subprocess.run([SWITCH, "--control", "/tmp/" + "x" * 103], capture_output=True,
                              text=True, timeout=20)
        self.assertEqual(2, done.returncode, done.stderr)
        self.assertIn("108", done.stderr)

    def test_without_hugepages(self):
        sw = self.switch("--no-huge")
        self.assertFalse(sw.call("info")["huge"])
        sw.call("network_add", name="lan")
        for i in range(2):
            sw.call("port_add", name=f"p{i}", network="lan", socket=self.path(f"p{i}"))
        with RingClient(self.path("p0"), env=self.env) as a, \
                RingClient(self.path("p1"), env=self.env) as b:
            self.assertTrue(a.send(ALL, MAC[1], n=50)["ok"])
            self.assertTrue(b.receive(50)["ok"])


class Switching(Case):
    """Learning, flooding, ageing, moves, several networks; queues, notifications, sleep."""

    def make(self, n, args=(), nets=("lan",), **port):
        self.sw = self.switch(*args)
        for net in nets:
            self.sw.call("network_add", name=net, ageing_s=2)
        self.c = []
        for i in range(n):
            self.sw.call("port_add", name=f"p{i}", network=nets[i % len(nets)],
                         socket=self.path(f"p{i}"), **port)

    def join(self, i, **kw):
        c = RingClient(self.path(f"p{i}"), env=self.env, **kw)
        self.addCleanup(c.stop)
        self.assertTrue(c.hello["ok"], c.hello)
        self.c.append(c)
        return c

    def got(self, i):
        return self.c[i].receive(0, 30)["got"]

    def test_learning(self):
        self.make(3)
        for i in range(3):
            self.join(i)
        self.c[0].send(MAC[2], MAC[1], n=5)  # unknown: to both
        self.assertEqual([0, 5, 5], [self.got(i) for i in range(3)])
        self.c[1].send(MAC[1], MAC[2], n=7)  # known: to one
        self.c[0].send(MAC[2], MAC[1], n=3)
        self.assertEqual([7, 8, 5], [self.got(i) for i in range(3)])
        s = self.sw.stats()
        self.assertEqual([5, 0, 0], [p["flooded"] for p in s["ports"]])
        net = s["networks"][0]
        self.assertEqual((2, 5, 2, 0), (net["fdb_entries"], net["flooded"], net["learned"],
                                        net["moved"]))
        self.assertEqual([(MAC[1], "p0"), (MAC[2], "p1")],
                         sorted((e["mac"], e["port"]) for e in self.sw.call("fdb")["entries"]))
        # The address moves to port 2, and frames follow it.
        self.c[2].send(MAC[1], MAC[2])
        self.c[0].send(MAC[2], MAC[1], n=4)
        self.assertEqual([8, 8, 9], [self.got(i) for i in range(3)])
        self.assertEqual(1, self.sw.stats()["networks"][0]["moved"])
        # Broadcast and multicast go to all others, and are not learnt.
        self.c[0].send(ALL, MAC[1], n=2)
        self.c[0].send("01:00:5e:00:00:01", MAC[1], n=2)
        self.assertEqual([8, 12, 13], [self.got(i) for i in range(3)])
        self.assertEqual({"removed": 2}, self.sw.call("fdb_flush", network="lan"))
        self.c[0].send(MAC[2], MAC[1])
        self.assertEqual([8, 13, 14], [self.got(i) for i in range(3)])

    @slow
    def test_ageing(self):
        self.make(2)
        self.join(0)
        self.join(1)
        self.c[0].send(MAC[9], MAC[1])
        self.assertEqual(1, len(self.sw.call("fdb")["entries"]))
        deadline = time.monotonic() + 3.5
        while time.monotonic() < deadline:  # as long as it speaks it stays
            self.c[0].send(MAC[9], MAC[1])
            self.assertEqual([MAC[1]], [e["mac"] for e in self.sw.call("fdb")["entries"]])
            time.sleep(0.1)
        wait_until(lambda: not self.sw.call("fdb")["entries"], 5, "the address to expire")

    def test_networks_are_apart(self):
        self.make(4, nets=("red", "blue"))
        for i in range(4):
            self.join(i)
        self.c[0].send(ALL, MAC[1], n=3)
        self.c[1].send(ALL, MAC[1], n=5)  # the same address in the other network
        self.c[2].send(MAC[1], MAC[3], n=2)
        self.c[3].send(MAC[1], MAC[3], n=4)
        self.assertEqual([2, 4, 3, 5], [self.got(i) for i in range(4)])
        s = self.sw.stats()
        self.assertEqual([(2, 3, 0), (2, 5, 0)],
                         [(n["fdb_entries"], n["flooded"], n["moved"]) for n in s["networks"]])

    def test_mac_flood_does_not_evict_others(self):
        """A guest that makes up addresses: others stay known."""
        self.make(3)
        for i in range(3):
            self.join(i)
        self.c[1].send(ALL, MAC[2])
        self.c[2].send(ALL, MAC[3])
        for i in range(24):  # 24 x 4096 addresses into 65,536 places
            done = self.c[0].do(f"macs {MAC[2]} 02:{i:02x}:00:00:00:00 4096")
            self.assertTrue(done["ok"], done)
            if i % 8 == 0:
                self.c[1].send(MAC[3], MAC[2])
                self.c[2].send(MAC[2], MAC[3])
        fdb = [rpc_once(self.sw.control, "fdb", timeout_s=30, port=f"p{i}") for i in range(3)]
        self.assertEqual([[MAC[2]], [MAC[3]]],
                         [[e["mac"] for e in f["entries"]] for f in fdb[1:]])
        self.assertGreater(fdb[0]["total"], 32768)

    def workers_and_queues(self, cpus, pairs):
        self.make(3, args=("--cpus", cpus), queues=pairs)
        kw = dict(features=VERSION_1 | INDIRECT | MERGEABLE | (MQ if pairs > 1 else 0), pairs=pairs)
        for i in range(3):
            self.join(i, **kw)
        for i in range(3):
            self.c[i].send(ALL, MAC[i])
        self.assertEqual([pairs] * 3, [p["queues"] for p in self.sw.stats()["ports"]])
        base = [self.got(i) for i in range(3)]
        for k in range(20):
            for i in range(3):
                self.c[i].begin(f"send {MAC[(i + 1) % 3]} {MAC[i]} 200 one 50 {k} {k % pairs}")
            for i in range(3):
                self.assertTrue(self.c[i].reply(20)["ok"])
        self.assertEqual([b + 1000 for b in base], [self.got(i) for i in range(3)])
        s = self.sw.stats()
        for p in s["ports"]:
            self.assertEqual({}, {k: v for k, v in p["drops"].items() if v})
            self.assertEqual(2, p["flooded"] + 1)
        n_workers = len(cpus.split(","))
        used = {q["worker"] for p in s["ports"] for q in p["queue"]}
        self.assertEqual(set(range(n_workers)), used)
        self.assertTrue(all(w["frames"] > 0 for w in s["workers"]))

    def test_two_workers(self):
        self.workers_and_queues("0,1", 1)

    def test_two_workers_two_pairs(self):
        self.workers_and_queues("0,1", 2)

    def test_one_worker_four_pairs(self):
        self.workers_and_queues("0", 4)

    def test_notifications(self):
        """Both ways of asking for them; none that nobody asked for."""
        for features in (VERSION_1 | MERGEABLE, VERSION_1 | MERGEABLE | EVENT_IDX):
            self.c = []
            self.make(2)
            a, b = self.join(0, features=features), self.join(1, features=features)
            b.send(ALL, MAC[2])
            a.receive(1)
            for c in (a, b):
                c.do("interrupts off")
                c.do("calls")
            a.send(MAC[2], MAC[1], n=200)
            self.assertEqual((0, 0), (a.do("calls")["n"], b.do("calls")["n"]))
            b.receive(200)
            b.do("interrupts on")
            a.send(MAC[2], MAC[1], n=1)
            wait_until(lambda: b.do("calls")["n"] > 0, 5, "a notification")
            self.assertGreater(self.sw.port("p1")["notifications_sent"], 0)
            for c in (a, b):
                c.stop()
            self.sw.stop()

    def test_sleep_and_wake(self):
        for features in (VERSION_1 | MERGEABLE, VERSION_1 | MERGEABLE | EVENT_IDX):
            self.c = []
            self.make(2)
            a, b = self.join(0, features=features), self.join(1, features=features)
            b.send(ALL, MAC[2])
            a.receive(1)
            for _ in range(50):
                time.sleep(0.003)  # it falls asleep after 0.1 ms
                self.assertTrue(a.send(MAC[2], MAC[1])["ok"])
                self.assertTrue(b.receive(1)["ok"])
            w = self.sw.stats()["workers"][0]
            self.assertGreater(w["sleeps"], 40)
            self.assertGreater(self.sw.port("p0")["kicks_received"], 40)
            # Nothing to do costs (almost) nothing.
            def cpu_s():
                with open(f"/proc/{self.sw.pid}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            before, asleep = cpu_s(), self.sw.stats()["workers"][0]["sleeps"]
            time.sleep(1)
            self.assertLess(cpu_s() - before, 0.1)
            self.assertLess(self.sw.stats()["workers"][0]["sleeps"] - asleep, 20)
            for c in (a, b):
                c.stop()
            self.sw.stop()

    def test_busy_never_sleeps(self):
        self.make(2, args=("--poll", "busy"))
        a, b = self.join(0), self.join(1)
        b.send(ALL, MAC[2])
        a.receive(1)
        before = self.sw.port("p0")["kicks_received"]
        for _ in range(20):
            time.sleep(0.002)
            self.assertTrue(a.send(MAC[2], MAC[1])["ok"])
        self.assertEqual(20, b.receive(20)["n"])
        self.assertEqual(0, self.sw.stats()["workers"][0]["sleeps"])
        self.assertEqual(before, self.sw.port("p0")["kicks_received"])

    @slow
    def test_client_role(self):
        """The switch connects, and again after its peer was gone: testpmd as the server."""
        self.make(0)
        self.sw.call("port_add", name="p0", network="lan", socket=self.path("p0"), role="client")
        self.sw.call("port_add", name="p1", network="lan", socket=self.path("p1"))
        self.join(1)
        for connects in (1, 2):
            pmd = self.start_testpmd(f"net_virtio_user0,path={self.path('p0')},server=1",
                                     args=("--total-num-mbufs=2048",), name=f"pmd{connects}")
            p = wait_until(lambda: next((p for p in self.sw.stats()["ports"]
                                         if p["name"] == "p0" and p["state"] == "up"), None),
                           10, "the switch to connect")
            self.assertEqual((connects, pmd.pid), (p["connects"], p["vhost_pid"]))
            pmd.stop()
            wait_until(lambda: self.sw.port("p0")["state"] == "waiting", 5, "p0 to wait")


if __name__ == "__main__":
    harness.main()
