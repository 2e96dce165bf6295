#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lanyard-traffic through the switch: paced traffic loses nothing; what it refuses, and how."""
import glob
import json
import os
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
from harness import (slow, unsanitized, BUILD, ROOT, Case, processes_with, sanitized,  # noqa: E402
                     wait_until)

TRAFFIC = os.path.join(BUILD, "traffic", "lanyard-traffic")
# Rings that take a pause of either process: the CPUs of a test machine are not ours alone.
RATE = 5 if sanitized() else 20  # kpps each way
QUEUE = 4096


class Traffic(Case):
    def traffic(self, *args, status=0, timeout_s=60):
        done = subprocess.run([TRAFFIC, *args], env=self.env, timeout=timeout_s,
                              capture_output=True, text=True)
        self.assertEqual(status, done.returncode, done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr

    def ports(self, n=2, **network):
        self.sw = self.switch()
        self.sw.call("network_add", name="lan", **network)
        args = []
        for i in range(n):
            self.sw.call("port_add", name=f"p{i}", network="lan", socket=self.path(f"p{i}"))
            args += ["--port", self.path(f"p{i}")]
        return args

    def check(self, result, ways=2):
        self.assertEqual(ways, len(result["directions"]))
        for d in result["directions"]:
            self.assertGreater(d["sent"], 0)
            self.assertEqual({"lost": 0, "duplicated": 0, "reordered": 0, "stale": 0, "corrupt": 0},
                             {k: d[k] for k in ("lost", "duplicated", "reordered", "stale",
                                                "corrupt")}, d)
            self.assertEqual(d["sent"], d["received"])
            self.assertEqual(d["sent_bytes"], d["received_bytes"])
            self.assertEqual(d["received"], d["latency_ns"]["count"])
        self.assertEqual([0, 0], [p["unsent"] for p in result["ports"]])

    def test_few_tx_descriptors(self):
        """A switch that stands still: what waits in the sender's ring is no more than was asked for,
        and finds room in the receiver's when it goes on, though that holds 256."""
        ports = self.ports()
        for after_s, signo in ((1, signal.SIGSTOP), (1.2, signal.SIGCONT)):
            timer = threading.Timer(after_s, os.kill, (self.sw.proc.pid, signo))
            self.addCleanup(timer.join)
            timer.start()
        r = self.traffic(*ports, "--queue-size", "256", "--tx-descriptors", "64", "--rate",
                         "20kpps", "--frames", "40000", "--seconds", "0", "--warm-up", "0")
        self.assertEqual(64, r["asked"]["tx_descriptors"])
        self.check(r)

    def test_paced(self):
        ports = self.ports()
        r = self.traffic(*ports, "--queue-size", str(QUEUE), "--rate", f"{RATE}kpps",
                         "--frames", str(RATE * 1000), "--seconds", "0", "--warm-up", "0")
        self.check(r)
        for d in r["directions"]:
            self.assertEqual(RATE * 1000, d["sent"])
        # The switch saw what the generator says, and a few frames of warming up.
        rx = sum(p["rx"]["frames"] for p in self.sw.stats()["ports"])
        self.assertGreater(rx, 2 * RATE * 1000)
        print(f"figure: lanyard-traffic 64 B, {RATE} kpps each way: median latency "
              f"{r['directions'][0]['latency_ns']['p50'] / 1000:.1f} us")

    def test_imix_flows_one_way(self):
        """7:4:1 of 64, 594 and 1518; the UDP ports of all flows are in use."""
        ports = self.ports()
        r = self.traffic(*ports, "--size", "imix", "--flows", "1000", "--one-way",
                         "--queue-size", str(QUEUE), "--rate", f"{RATE}kpps", "--frames", "12000",
                         "--seconds", "0", "--warm-up", "0")
        self.check(r, ways=1)
        d = r["directions"][0]
        self.assertEqual(12000, d["sent"])
        mean = (7 * 64 + 4 * 594 + 1518) / 12
        self.assertAlmostEqual(mean, r["asked"]["mean_size"], 3)
        self.assertAlmostEqual(1, d["sent_bytes"] / 12000 / mean, delta=0.03)

    def test_many_addresses(self):
        """Each address is learnt, and none is flooded once it is."""
        ports = self.ports()
        r = self.traffic(*ports, "--macs", "500", "--queue-size", str(QUEUE), "--rate",
                         f"{RATE}kpps", "--seconds", "1", "--warm-up", "0.5")
        self.check(r)
        s = self.sw.stats()
        self.assertEqual(1000, s["networks"][0]["fdb_entries"])
        self.assertEqual(0, s["networks"][0]["moved"])
        for p in s["ports"]:
            self.assertLess(p["flooded"], 1100)

    def test_rings(self):
        """Ring features on and off, longest frames; what the switch lacks is left out."""
        ports = self.ports(mtu=9000)
        for args in (["--no-mergeable"], ["--no-mergeable", "--vectorized"], ["--packed"],
                     ["--in-order"], ["--packed", "--vectorized"], ["--size", "9018"]):
            with self.subTest(args=args):
                self.check(self.traffic(*ports, *args, "--queue-size", "1024", "--rate", "2kpps",
                                        "--frames", "600", "--seconds", "0", "--warm-up", "0"))

    def test_flat_out(self):
        """Overload may lose frames, but no other harm, and the sums hold."""
        r = self.traffic(*self.ports(), "--seconds", "0.5", "--warm-up", "0.1")
        for d in r["directions"]:
            self.assertEqual((0, 0, 0), (d["duplicated"], d["corrupt"], d["reordered"]))
            self.assertEqual(d["sent"], d["received"] + d["lost"])
            self.assertGreater(d["received"], 1000)

    def test_refusals(self):
        a, b = "--port", self.path("nobody")
        two = (a, b, a, self.path("nobody2"))
        for words, *args in (
                ("expected two times --port", a, b),
                ("two ports have one socket", a, b, a, b),
                ("two ports have one MAC", a, b + ",mac=02:00:00:00:00:01", a,
                 b + "2,mac=02:00:00:00:00:01"),
                ("unicast address", a, b + ",mac=01:00:00:00:00:01", a, b),
                ("expected imix, or 64 to 9234", *two, "--size", "63"),
                ("--rate", *two, "--rate", "5"),
                ("power of 2", *two, "--queue-size", "1000"),
                ("power of 2", *two, "--tx-descriptors", "65"),
                ("expected 1 to 16384", *two, "--flows", "0"),
                ("unknown option", *two, "--colour"),
                ("a value is missing", *two, "--size"),
                ("needs --frames", *two, "--seconds", "0")):
            with self.subTest(words=words):
                self.assertIn(words, self.traffic(*args, status=2))
        self.assertIn("can't run there", self.traffic(*two, "--cpu", "1000", status=3))
        # Nobody listens: the socket is named.
        self.assertIn(self.path("nobody"), self.traffic(*two, "--memory", "64", status=1))


class SwitchPeers(Case):
    """The benchmark runs, and leaves nothing; its figures are no test's business."""

    def bench(self, *args, timeout_s=200):
        return subprocess.run([os.path.join(ROOT, "tests", "bench", "switch-peers"), *args],
                              env=dict(self.env, TMPDIR=self.run_dir), capture_output=True,
                              text=True, timeout=timeout_s)

    @slow
    @unsanitized
    def test_a_round(self):
        out = self.path("peers.json")
        done = self.bench("--systems", "lanyard,testpmd", "--sizes", "64,imix", "--flows", "10",
                          "--rounds", "1", "--seconds", "0.5", "--json", out)
        self.assertEqual(0, done.returncode, done.stderr)
        with open(out) as f:
            result = json.load(f)
        self.assertEqual([(size, ring, system) for ring in ("split", "packed")
                          for size in ("64", "imix") for system in ("lanyard", "testpmd")],
                         [(r["size"], r["ring"], r["system"]) for r in result["rows"]])
        for row in result["rows"]:
            self.assertGreater(row["cycles"], 10)
            self.assertGreater(row["mpps"], 0)
            self.assertEqual(0, row["harmed"])
            self.assertEqual(row["system"] != "lanyard", "ratio" in row)
            self.assertIn(f"| {row['size']} | {row['ring']} | 10 |", done.stdout)
        for ring in ("split", "packed"):
            self.assertIn(f"64 B, {ring}, 10 flows, testpmd io: ", done.stdout)
        self.assertEqual({}, processes_with(self.run_dir + "/lysp-"))

    @slow
    def test_ends_when_told(self):
        """SIGTERM in the middle: everything it started ends with it, stopped or not."""
        with open(self.path("bench.err"), "w") as err:
            bench = subprocess.Popen(
                [os.path.join(ROOT, "tests", "bench", "switch-peers"), "--systems",
                 "lanyard,testpmd", "--rounds", "9"], env=dict(self.env, TMPDIR=self.run_dir),
                stdout=subprocess.DEVNULL, stderr=err)

        def measuring():
            with open(self.path("bench.err")) as f:
                return "round 1/9" in f.read() or bench.poll() is not None

        wait_until(measuring, 90, "the first trial")
        bench.terminate()
        self.assertEqual(128 + 15, bench.wait(60))
        self.assertEqual({}, processes_with(self.run_dir + "/lysp-"))
        self.assertEqual([], glob.glob(self.path("lysp-*")))

    def test_refusals(self):
        for words, *args in (("expected two CPUs", "--cpus", "0,0"),
                             ("expected some of", "--systems", "lanyard,vpp"),
                             ("expected split, packed", "--rings", "round")):
            done = self.bench(*args)
            self.assertEqual(2, done.returncode)
            self.assertIn(words, done.stderr)


class SwitchScale(Case):
    """tests/bench/switch-scale: short runs of its groups; what it prints and keeps."""

    PROGRAM = os.path.join(ROOT, "tests", "bench", "switch-scale")

    @slow
    @unsanitized
    def test_groups(self):
        out = self.path("out.json")
        env = dict(self.env, TMPDIR=self.run_dir)
        argv = [self.PROGRAM, "--quick", "--rounds", "1", "--seconds", "0.3", "--json", out]
        done = subprocess.run([*argv, "--only", "ports,wake"], env=env, timeout=240,
                              capture_output=True, text=True)
        self.assertEqual(0, done.returncode, done.stderr)
        with open(out) as f:
            doc = json.load(f)
        self.assertEqual([("ports", str(n)) for n in (2, 16, 64, 256)] +
                         [("wake", "2 ports"), ("wake", "256 ports")],
                         [(r["group"], r["cell"]) for r in doc["rows"]])
        for r in doc["rows"]:
            self.assertIn(r["text"], done.stdout)
            self.assertGreater(r.get("cycles", r.get("p50_us")), 0)
        # What is there already is not measured again.
        done = subprocess.run([*argv, "--only", "ports,changes,idle"], env=env, timeout=240,
                              capture_output=True, text=True)
        self.assertEqual(0, done.returncode, done.stderr)
        with open(out) as f:
            more = json.load(f)["rows"]
        self.assertEqual(doc["rows"], more[:6])
        self.assertEqual(["changes", "idle"], [r["group"] for r in more[6:]])
        self.assertGreater(more[6]["done"], 0)
        self.assertEqual({}, processes_with(self.run_dir + "/lyss-"))

    def test_refusals(self):
        for words, args in [("expected some of", ["--only", "nothing"]),
                            ("expected two CPUs", ["--cpus", "0"]),
                            ("expected 1 or more", ["--rounds", "0"])]:
            done = subprocess.run([self.PROGRAM, *args], env=self.env, timeout=30,
                                  capture_output=True, text=True)
            self.assertEqual(2, done.returncode, done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    harness.main()
