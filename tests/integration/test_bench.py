# SPDX-License-Identifier: Apache-2.0
"""`lanyard bench` with real guests on a real switch: what it reports, how it ends, what it leaves."""
import json
import math
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness  # noqa: E402
import hdr  # noqa: E402

SECONDS = 0.5


def topology(name):
    return os.path.join(harness.TOPOLOGIES, name + ".json")


@harness.needs_kvm
class Bench(harness.Case):
    def bench(self, *args, status=0, timeout_s=120):
        """Runs bench with JSON to a file; returns the document and the table."""
        out = self.path("out.json")
        done = self.lanyard("bench", *args, "--json", out, status=status, timeout_s=timeout_s)
        with open(out) as f:
            return json.load(f), done.stdout

    def labs_left(self):
        return [name for name in os.listdir(self.run_dir)
                if os.path.isdir(os.path.join(self.run_dir, name))]

    def write_topology(self, **changes):
        """pair.json with its parts changed, as a file; returns its path."""
        with open(topology("pair")) as f:
            t = json.load(f)
        for key, value in changes.items():
            t[key] = value
        path = self.path("t.json")
        with open(path, "w") as f:
            json.dump(t, f)
        return path

    def check_document(self, doc):
        """What holds for every bench that was completed: its figures agree with one another."""
        self.assertEqual(1, doc["version"])
        self.assertEqual("bench", doc["kind"])
        self.assertTrue(doc["complete"])
        self.assertIsNone(doc["error"])
        self.assertGreater(doc["machine"]["tsc_hz"], 1e8)
        self.assertGreater(doc["machine"]["cpus"], 0)
        self.assertTrue(doc["machine"]["kernel"])
        for key in ("governor", "turbo", "isolated", "smt", "hugepages_by_node", "mitigations", "nics",
                    "iommu", "constant_tsc", "virtual"):
            self.assertIn(key, doc["machine"])
        # What doctor says of figures here, and nothing else, stands beside them.
        said = json.loads(self.lanyard("doctor", "-j", status=None).stdout)["examinations"]
        names = [e["name"] for e in said if e["field"] == "figures" and e["verdict"] != "good"]
        self.assertLessEqual(set(names) - {"hugepages", "bridge firewall"}, {f["name"] for f in doc["doctor"]})
        self.assertLessEqual({f["name"] for f in doc["doctor"]},
                             {*names, "hugepages", "SMT siblings in use"})
        self.assertEqual("lanyard-switch", doc["switch"]["name"])
        self.assertTrue(any(p["who"].startswith("worker") for p in doc["placement"]))
        self.assertEqual(doc["lab"], doc["topology"]["lab"])
        self.assertEqual(sum(t["missed"] for t in doc["trials"]), doc["missed"])
        for trial in doc["trials"]:
            for r in trial["rounds"]:
                self.check_round(trial, r)

    def check_round(self, trial, r):
        where = f"{trial['name']}: {r}"
        sw = r["switch"]
        self.assertEqual(r["sent"], sum(f["sent"] for f in r["flows"]), where)
        self.assertEqual(r["received"], sum(f["received"] for f in r["flows"]), where)
        self.assertEqual(r["lost"], r["sent"] - r["received"], where)
        # The switch counted what the guests say they sent, and knows where the rest went.
        self.assertEqual(r["sent"], sw["rx_frames"], where)
        self.assertEqual(r["sent"], sw["worker_frames"], where)
        self.assertEqual(r["received"], sw["tx_frames"], where)
        self.assertEqual(sw["dropped"], sum(sw["drops"].values()), where)
        self.assertEqual(r["lost"], sw["dropped"], where)
        self.assertEqual(0, r["unexplained"], where)
        self.assertEqual(0, sw["flooded"], where)
        self.assertAlmostEqual(sw["cycles_per_frame"], sw["busy_cycles"] / r["sent"], delta=0.01)
        for f, plan in zip(r["flows"], trial["flows"]):
            self.check_flow(f, plan, where)

    def check_flow(self, f, plan, where):
        for bad in ("duplicated", "corrupt", "reordered", "stale"):
            self.assertEqual(0, f[bad], where)
        # n frames have n - 1 gaps.
        for what, span in (("sent", "send_s"), ("received", "receive_s")):
            self.assertTrue(math.isclose(f[what] - 1, f[what + "_fps"] * f[span], rel_tol=1e-5),
                            where)
        size = plan["frame_bytes"]
        self.assertTrue(math.isclose(f["received_bps_l2"], f["received_fps"] * size * 8,
                                     rel_tol=1e-6), where)
        self.assertTrue(math.isclose(f["received_bps_l1"], f["received_fps"] * (size + 20) * 8,
                                     rel_tol=1e-6), where)
        us = f["latency_us"]
        ordered = [us[k] for k in ("min", "p50", "p90", "p99", "p999", "max")]
        self.assertEqual(sorted(ordered), ordered, where)
        self.assertGreater(us["min"], 0, where)
        self.assertTrue(us["min"] <= us["mean"] <= us["max"], where)

    @harness.measures("loop")
    def test_loop(self):
        doc, table = self.bench(topology("loop"), "--seconds", str(SECONDS))
        self.check_document(doc)
        self.assertEqual(["paced", "paced", "flat out", "flat out"],
                         [t["name"] for t in doc["trials"]])
        for t in doc["trials"][:2]:
            self.assertEqual(0, t["lost"])
            self.assertFalse(t["latency_under_full_load"])
            # What a rate of 100 kpps sends in the time: all of it, unless the CPU was not there.
            self.assertLessEqual(t["sent"], 100e3 * SECONDS + 1)
        for t in doc["trials"][2:]:
            self.assertTrue(t["latency_under_full_load"])
        self.assertRegex(table, r"flat out: as fast as it goes, 0.5 s; latency is under full load")
        self.assertRegex(table, r" 1518  a.0 > a.1 ")
        self.assertLessEqual(max(len(line) for line in table.splitlines()), 100)
        flat = doc["trials"][2]
        print(f"figure: loop, 64 B flat out: {flat['best']['received_fps'] / 1e6:.2f} M frames/s, "
              f"{flat['best']['cycles_per_frame']:.0f} busy cycles a frame", file=sys.stderr)
        self.assertEqual([], self.labs_left())

    @harness.measures("pair")
    def test_pair(self):
        doc, _ = self.bench(topology("pair"), "--seconds", str(SECONDS), "--rounds", "2")
        self.check_document(doc)
        paced = doc["trials"][0]
        self.assertEqual(["a.0", "b.0"], [f["from"] for f in paced["flows"]])
        self.assertEqual(2, len(paced["rounds"]))
        self.assertEqual(0, paced["lost"])
        self.assertEqual(0, paced["flows"][0]["max_loss"])
        self.assertEqual(10e3, paced["flows"][0]["rate_fps"])
        self.assertIsNone(doc["trials"][2]["flows"][0]["rate_fps"])
        best = max(paced["rounds"], key=lambda r: r["received_fps"])
        self.assertEqual(best["received_fps"], paced["best"]["received_fps"])
        self.assertIn(paced["median"]["flows"][1]["received_fps"],
                      [r["flows"][1]["received_fps"] for r in paced["rounds"]])
        self.assertEqual([], self.labs_left())

    @harness.measures("star")
    def test_star_and_the_network_beside_it(self):
        # Up beforehand: bench leaves it up, so that the switch can be asked about all of its life.
        self.lanyard("up", topology("star"))
        self.addCleanup(self.lanyard, "down", "star", status=None)
        doc, table = self.bench("star", "--seconds", str(SECONDS), "--flows")
        self.check_document(doc)
        for t in doc["trials"]:
            self.assertEqual(12, len(t["flows"]))
            self.assertEqual(0, t["lost"])
            for r in t["rounds"]:
                self.assertTrue(all(f["received"] == f["sent"] > 0 for f in r["flows"]))
        self.assertRegex(table, r"12 flows ")
        self.assertRegex(table, r"d.0 > c.0 ")
        self.assertRegex(table, r"network quiet, which takes no part: 0 frames in, 0 out")
        stats = harness.rpc_once(self.path("star/switch.sock"), "stats")
        quiet = [p for p in stats["ports"] if p["network"] == "quiet"]
        self.assertEqual(["a.1", "b.1"], sorted(p["name"] for p in quiet))
        for port in quiet:
            self.assertEqual("up", port["state"])
            self.assertEqual({"frames": 0, "bytes": 0}, port["rx"])
            self.assertEqual({"frames": 0, "bytes": 0}, port["tx"])
            self.assertEqual(0, sum(port["drops"].values()))
        self.lanyard("down", "star")

    def crowded(self, **entry):
        """Flat out through a port that lets next to nothing pass: frames are lost wherever this
        runs, on machines too slow to fill a ring as well."""
        nic = {"network": "lan", "police": {"rate": "8kbps", "burst": "10K"}}
        return self.write_topology(
            nodes={"a": {"kind": "vm", "nics": [nic]},
                   "b": {"kind": "vm", "nics": [{"network": "lan"}]}},
            traffic=[dict({"name": "too much", "from": "a.0", "to": "b.0", "seconds": SECONDS},
                          **entry)])

    def test_missed(self):
        doc, table = self.bench(self.crowded(max_loss=0), status=4)
        self.assertEqual(1, doc["missed"])
        self.check_document(doc)
        trial = doc["trials"][0]
        self.assertTrue(trial["missed"])
        self.assertTrue(trial["rounds"][0]["flows"][0]["missed"])
        self.assertGreater(trial["rounds"][0]["switch"]["drops"]["rx_policed"], 0)
        self.assertRegex(table, r"(?m)^!!   64  a.0 > b.0")
        self.assertRegex(table, r"MISSED: a.0 > b.0 lost \d+ of \d+ \(.*%\); the topology allows 0%")
        self.assertRegex(table, r"1 trial, 1 missed")
        # The same loss where nothing is demanded, and where it is allowed.
        for allowed in ({}, {"max_loss": 1}):
            doc, _ = self.bench(self.crowded(**allowed))
            self.assertGreater(doc["trials"][0]["lost"], 0)
            self.assertEqual(0, doc["missed"])

    def test_groups_and_only(self):
        path = self.write_topology(traffic=[
            {"name": "big", "group": "mix", "from": "a.0", "to": "b.0", "frame": 1518,
             "rate": "2kpps", "seconds": SECONDS},
            {"name": "small", "group": "mix", "from": "b.0", "to": "a.0", "frame": [64, 128],
             "rate": "1Mbps", "seconds": SECONDS}])
        doc, table = self.bench(path)
        self.check_document(doc)
        self.assertEqual([[1518, 64], [1518, 128]],
                         [[f["frame_bytes"] for f in t["flows"]] for t in doc["trials"]])
        self.assertRegex(table, "mix: a group, at once, 0.5 s")
        # 1 Mbps of 64 B frames: 1953 a second. Fewer only if the guest had no CPU at times.
        sent = doc["trials"][0]["rounds"][0]["flows"][1]["sent"]
        self.assertLessEqual(sent, 1953.125 * SECONDS + 1)
        self.assertGreater(sent, 1953.125 * SECONDS / 2)
        doc, _ = self.bench(path, "--only", "small")
        self.assertEqual([1, 1], [len(t["flows"]) for t in doc["trials"]])

    def test_json_on_stdout(self):
        done = self.lanyard("bench", topology("loop"), "--only", "paced", "--seconds", "0.2",
                            "--histogram", "--json", "-")
        doc = json.loads(done.stdout)
        self.check_document(doc)
        self.assertIn("paced: 100 kpps, 0.2 s", done.stderr)
        flow = doc["trials"][0]["rounds"][0]["flows"][0]
        self.assertEqual(flow["received"], sum(n for _, n in flow["latency_buckets_tsc"]))
        # What HdrHistogram's own library makes of it is what the guest said of itself.
        [h] = hdr.read([flow["latency_hdr_ns"]])
        self.assertEqual(flow["received"], h.count)
        for percentile, key in ((50, "p50"), (90, "p90"), (99, "p99"), (99.9, "p999"), (100, "max")):
            us = flow["latency_us"][key]
            self.assertLess(abs(h.at[percentile] / 1000 - us), 0.01 * us + 0.001, key)

    def test_requests_that_are_wrong(self):
        for args, said in (
                ((topology("loop"), "--only", "pacd"), 'did you mean "paced"?'),
                ((topology("loop"), "--rounds", "0"), "--rounds takes a number from 1 to 100"),
                ((topology("loop"), "--seconds", "x"), "--seconds takes a number"),
                ((topology("loop"), "--json", "/nonexistent/out.json"),
                 "cannot write /nonexistent/out.json: No such file or directory"),
                (("nosuchlab",), "nosuchlab"),
                (("./nosuch.json",), "cannot read ./nosuch.json"),
                ((), "TOPOLOGY or LAB is missing")):
            with self.subTest(args=args):
                done = self.lanyard("bench", *args, status=2)
                self.assertIn(said, done.stderr)
                self.assertEqual([], self.labs_left())

    def test_lab_that_is_up_stays(self):
        self.lanyard("up", topology("loop"))
        self.addCleanup(self.lanyard, "down", "loop", status=None)
        for arg in ("loop", topology("loop")):
            self.bench(arg, "--only", "paced", "--seconds", "0.2")
            self.assertEqual(["loop"], self.labs_left())
        self.lanyard("down", "loop")

    def begin(self, *args, seconds="60"):
        """A bench in the background; returns it once its first trial runs."""
        out = self.path("out.json")
        argv = [harness.LANYARD, "bench", topology("loop"), "--seconds", seconds, "--json", out,
                *args]
        p = subprocess.Popen(argv, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.communicate()))

        def sending():
            try:
                stats = harness.rpc_once(self.path("loop/switch.sock"), "stats")
                return sum(port["rx"]["frames"] for port in stats["ports"]) > 1000
            except (OSError, EOFError, AssertionError, harness.RpcError):
                return p.poll() is not None
        harness.wait_until(sending, 30, "frames")
        self.assertIsNone(p.poll())
        return p, out

    def ends(self, p, out, timeout_s=30):
        """It fails, says why, and leaves no lab. Returns stderr and the document."""
        stdout, stderr = p.communicate(timeout=timeout_s * harness.PATIENCE)
        self.assertEqual(1, p.returncode, stderr)
        self.assertEqual([], self.labs_left())
        with open(out) as f:
            doc = json.load(f)
        self.assertFalse(doc["complete"])
        self.assertEqual([], doc["trials"])
        return stderr, doc

    @harness.slow
    def test_two_at_once(self):
        """The second one is told that the guest is taken; the first one doesn't notice."""
        p, _ = self.begin("--only", "paced", seconds="3")
        done = self.lanyard("bench", "loop", status=1)
        self.assertIn("guest a: the agent channel is taken by another client", done.stderr)
        stdout, stderr = p.communicate(timeout=60 * harness.PATIENCE)
        self.assertEqual(0, p.returncode, stderr)
        self.assertIn("2 trials, 0 missed", stdout)

    def test_interrupted(self):
        for signo in (signal.SIGINT, signal.SIGTERM):
            p, out = self.begin()
            began = time.monotonic()
            p.send_signal(signo)
            stderr, doc = self.ends(p, out)
            self.assertLess(time.monotonic() - began, 10 * harness.PATIENCE)
            self.assertIn("interrupted", stderr)
            self.assertEqual("interrupted", doc["error"])

    def test_somebody_dies(self):
        """bench doesn't wait the minute out for a switch or a guest that is gone."""
        for socket, said in (("switch.sock", r"the switch \(pid \d+\) died during the trial"),
                             ("a.sock", r"the VMM of guest a \(pid \d+\) died during the trial")):
            with self.subTest(socket=socket):
                p, out = self.begin()
                os.kill(harness.rpc_once(self.path("loop/" + socket), "info")["pid"],
                        signal.SIGKILL)
                stderr, doc = self.ends(p, out, timeout_s=20)
                self.assertRegex(stderr, said)
                self.assertRegex(doc["error"], said)


if __name__ == "__main__":
    harness.main()
