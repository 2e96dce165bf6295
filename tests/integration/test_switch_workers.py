#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The switch's workers: queues that move between them, idle ports, changes under load."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
from harness import BUILD, Case, RpcError, sanitized, wait_until  # noqa: E402
from crowd import Crowd  # noqa: E402
from ringclient import EVENT_IDX, MERGEABLE, VERSION_1, RingClient  # noqa: E402

TRAFFIC = os.path.join(BUILD, "traffic", "lanyard-traffic")
# Far below what a switch carries, in rings that take a pause: nothing here is about speed.
RATE = 5 if sanitized() else 20  # kpps each way
QUEUE = 4096
MAC = ["02:00:00:00:00:%02x" % i for i in range(64)]
ALL = "ff:ff:ff:ff:ff:ff"
HARM = ("lost", "duplicated", "reordered", "stale", "corrupt")


class Workers(Case):
    def make(self, n, *args, **port):
        self.sw = self.switch(*args)
        self.sw.call("network_add", name="lan")
        for i in range(n):
            self.sw.call("port_add", name=f"p{i}", network="lan", socket=self.path(f"p{i}"),
                         **port)

    def join(self, i, **kw):
        c = RingClient(self.path(f"p{i}"), env=self.env, **kw)
        self.addCleanup(c.stop)
        self.assertTrue(c.hello["ok"], c.hello)
        return c

    def traffic(self, *args):
        """Between p0 and p1, in the background; ended with the test."""
        proc = subprocess.Popen(
            [TRAFFIC, "--port", self.path("p0"), "--port", self.path("p1"), "--queue-size",
             str(QUEUE), "--warm-up", "0.1", *args], env=self.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def end():
            proc.kill()
            proc.wait()
            proc.stdout.close()
            proc.stderr.close()

        self.addCleanup(end)
        for line in proc.stderr:
            if line.startswith("measuring"):
                return proc
        self.fail("lanyard-traffic ended before it measured")

    def paced(self, do, *args, seconds=3):
        """Paced traffic while do(k) is called over and over: each frame arrives, once, in order."""
        proc = self.traffic("--rate", f"{RATE}kpps", "--seconds", str(seconds), *args)
        k = 0
        while proc.poll() is None:
            do(k)
            k += 1
        out, err = proc.communicate()
        self.assertEqual(0, proc.returncode, err)
        for d in json.loads(out)["directions"]:
            self.assertGreater(d["sent"], 0)
            self.assertEqual(dict.fromkeys(HARM, 0), {h: d[h] for h in HARM}, d)
            self.assertEqual(d["sent"], d["received"])
        return k


class Moves(Workers):
    """Queues go from worker to worker under traffic."""

    def assign(self, port, worker, queue=0):
        self.sw.call("queue_assign", port=port, queue=queue, worker=worker)

    def worker_of(self, port):
        return self.sw.port(port)["queue"][0]["worker"]

    def test_nothing_lost(self):
        self.make(2, "--cpus", "0,1")
        n = self.paced(lambda k: self.assign(f"p{k & 1}", k >> 1 & 1))
        print(f"figure: {n} moves of a queue under {RATE} kpps each way, none lost or reordered")
        self.assertGreater(n, 50)
        self.assertTrue(all(w["frames"] > 100 for w in self.sw.stats()["workers"]))

    def test_nothing_lost_packed(self):
        self.make(2, "--cpus", "0,1")
        n = self.paced(lambda k: self.assign(f"p{k & 1}", k >> 1 & 1), "--packed", "--size", "imix")
        self.assertGreater(n, 50)
        self.assertTrue(all(w["frames"] > 100 for w in self.sw.stats()["workers"]))

    def test_flat_out(self):
        """What is lost is counted as lost; nothing arrives twice, late or harmed."""
        self.make(2, "--cpus", "0,1")
        proc = self.traffic("--seconds", "2")
        k = 0
        while proc.poll() is None:
            self.assign(f"p{k & 1}", k >> 1 & 1)
            k += 1
        out, err = proc.communicate()
        self.assertEqual(0, proc.returncode, err)
        got = json.loads(out)["directions"]
        for d in got:
            self.assertEqual([0] * 4, [d[h] for h in HARM if h != "lost"], d)
        # The last two while one device is started and the other not yet, or no more.
        reasons = {"tx_ring_full", "tx_port_down", "rx_no_receiver"}
        drops = {}
        for p in self.sw.stats()["ports"]:
            for reason, count in p["drops"].items():
                drops[reason] = drops.get(reason, 0) + count
        self.assertEqual(set(), {r for r, c in drops.items() if c} - reasons, drops)
        self.assertLessEqual(sum(d["lost"] for d in got), sum(drops[r] for r in reasons))
        self.assertGreater(k, 20)

    def test_by_load(self):
        """Two busy queues at one worker are taken apart; those that were told where to be stay."""
        self.make(2, "--cpus", "0,1")
        self.assign("p0", 0)
        self.assign("p1", 0)
        self.traffic("--seconds", "300", "--size", "1518")
        wait_until(lambda: min(p["queue"][0]["load"] for p in self.sw.stats()["ports"]) > 0.02, 60,
                   "both queues to be busy")
        self.assertEqual({"moves": []}, self.sw.call("rebalance"))
        s = self.sw.stats()
        self.assertEqual([0, 0], [p["queue"][0]["worker"] for p in s["ports"]])
        self.assertEqual([True, True], [p["queue"][0]["pinned"] for p in s["ports"]])
        self.assertGreater(s["workers"][0]["load"], 0.02)
        for p in ("p0", "p1"):
            self.sw.call("queue_assign", port=p, queue=0)

        # By itself if it is worth it; else, on a machine that is busy with other work, on request.
        def apart():
            self.sw.call("rebalance")
            return self.worker_of("p0") != self.worker_of("p1")

        wait_until(apart, 60, "the two to be at a worker each")

    def test_asleep(self):
        """A queue that moves while both workers sleep: the next frame wakes the new one."""
        for features in (VERSION_1 | MERGEABLE, VERSION_1 | MERGEABLE | EVENT_IDX):
            with self.subTest(features=features):
                self.make(2, "--cpus", "0,1")
                a, b = self.join(0, features=features), self.join(1, features=features)
                b.send(ALL, MAC[2])
                a.receive(1)
                for k in range(20):
                    self.assign("p0", k & 1)
                    self.assertEqual(k & 1, self.worker_of("p0"))
                    time.sleep(0.005)  # asleep after 0.1 ms
                    before = [w["frames"] for w in self.sw.stats()["workers"]]
                    self.assertTrue(a.send(MAC[2], MAC[1], seq=k)["ok"])
                    self.assertTrue(b.receive(1)["ok"])
                    after = [w["frames"] for w in self.sw.stats()["workers"]]
                    self.assertEqual(1, after[k & 1] - before[k & 1])
                    self.assertEqual(before[1 - (k & 1)], after[1 - (k & 1)])
                a.stop()
                b.stop()
                self.sw.stop()

    def test_pinned_for_good(self):
        """A queue that was told its worker finds it again after a reconnection."""
        self.make(3, "--cpus", "0,1", queues=2)
        for p in ("p0", "p1", "p2"):
            self.sw.call("queue_assign", port=p, queue=0, worker=1)
        c = [self.join(i) for i in range(3)]
        self.assertEqual([1, 1, 1], [self.worker_of(f"p{i}") for i in range(3)])
        c[0].do("reconnect")
        wait_until(lambda: self.worker_of("p0") == 1, 10, "p0 to be back at worker 1")
        self.assertEqual([True, False], [q["pinned"] for q in self.sw.port("p0")["queue"]])

    def test_refusals(self):
        self.make(1, "--cpus", "0,1")
        for words, field, params in [
                ("no port \"px\"", "port", dict(port="px", queue=0, worker=1)),
                ("no queue 1", "queue", dict(port="p0", queue=1, worker=1)),
                ("no worker 2", "worker", dict(port="p0", queue=0, worker=2)),
                ("worker", "worker", dict(port="p0", queue=0, worker=-1)),
                ("queue", "queue", dict(port="p0"))]:
            with self.subTest(params=params):
                with self.assertRaises(RpcError) as got:
                    self.sw.call("queue_assign", **params)
                self.assertIn(words, got.exception.message)
                self.assertEqual(field, got.exception.field)
                self.assertFalse(self.sw.port("p0")["queue"][0]["pinned"])


class Changes(Workers):
    """Other ports and networks come and go: a busy pair does not notice."""

    def change(self, k):
        name = f"x{k % 3}"
        if k % 6 < 3:
            self.sw.call("port_add", name=name, network="lan", socket=self.path(name))
        else:
            self.sw.call("port_del", name=name)
        if k % 2:
            self.sw.call("network_add", name="other")
        elif k:
            self.sw.call("network_del", name="other")

    def run_one(self, *args):
        self.make(2, *args)
        n = self.paced(self.change)
        self.assertGreater(n, 6)
        print(f"figure: {2 * n} changes of ports and networks under {RATE} kpps each way, none lost")

    def test_one_worker(self):
        self.run_one()

    def test_two_workers(self):
        self.run_one("--cpus", "0,1")


class Crowds(Workers):
    """Many ports, most of them silent."""

    def crowd(self, n, *args):
        self.make(n, *args)
        c = Crowd(self.path("p"), 0, n, env=self.env)
        self.addCleanup(c.stop)
        wait_until(lambda: all(p["state"] == "up" for p in self.sw.stats()["ports"]), 20,
                   "all ports to be up")
        return c

    def anyone_is_heard(self, *args):
        """Whoever speaks after a silence is heard, whether the worker sleeps or polls."""
        n = 80
        c = self.crowd(n, *args)
        for i in range(n):
            self.assertTrue(c.do(f"say {i} 1")["ok"])
        for gap_us in (0, 100, 3000):
            for i in range(n):
                c.wake(i, (7 * i + 1) % n, 1, gap_us)
        ports = self.sw.stats()["ports"]
        self.assertEqual([4] * n, [p["rx"]["frames"] for p in ports])
        self.assertEqual([1] * n, [p["flooded"] for p in ports])

    def test_anyone_is_heard(self):
        self.anyone_is_heard()

    def test_anyone_is_heard_two_workers(self):
        self.anyone_is_heard("--cpus", "0,1")

    def test_anyone_is_heard_busy(self):
        self.anyone_is_heard("--poll", "busy")

    def test_heard_beside_a_busy_pair(self):
        """Silent ports are looked at now and then, however much others send."""
        self.make(40)
        self.traffic("--seconds", "300")
        c = Crowd(self.path("p"), 2, 38, env=self.env)
        self.addCleanup(c.stop)
        wait_until(lambda: all(p["state"] == "up" for p in self.sw.stats()["ports"]), 20,
                   "all ports to be up")
        for i in range(38):
            c.do(f"say {i} 1")
        for i in range(38):
            c.wake(i, (i + 1) % 38, 1, 1000)

    def test_silence_is_cheap(self):
        self.crowd(80, "--cpus", "0,1")

        def cpu_ns():
            total = 0
            for task in os.listdir(f"/proc/{self.sw.pid}/task"):
                with open(f"/proc/{self.sw.pid}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0])
            return total

        time.sleep(0.5)
        before, sleeps = cpu_ns(), [w["sleeps"] for w in self.sw.stats()["workers"]]
        time.sleep(3)
        spent = cpu_ns() - before
        print(f"figure: 80 silent ports, two workers: {spent / 3e7:.2f} % of a CPU")
        self.assertLess(spent, 3e8)
        for was, w in zip(sleeps, self.sw.stats()["workers"]):
            self.assertLess(w["sleeps"] - was, 30)


class SlowReceiver(Workers):
    def test_costs_others_nothing(self):
        """One guest floods a receiver that takes nothing, while a pair talks: all is delivered."""
        self.make(4)
        lazy = self.join(2)
        lazy.send(ALL, MAC[2])
        flooder = self.join(3)
        flooder.begin(f"run {MAC[2]} {MAC[3]} 60 one 2500")
        self.paced(lambda k: time.sleep(0.05), seconds=2)
        self.assertTrue(flooder.reply(30)["ok"])
        p = {p["name"]: p for p in self.sw.stats()["ports"]}
        self.assertGreater(p["p2"]["drops"]["tx_ring_full"], 0)
        self.assertEqual([0, 0], [p[n]["drops"]["tx_ring_full"] for n in ("p0", "p1")])


if __name__ == "__main__":
    harness.main()
