#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`lanyard bench` searching for a rate: processes on a real switch, whose path is limited where the
test wants it (policing), so that what the search must find is known."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
import hdr  # noqa: E402
from test_bench_docs import keys_of  # noqa: E402

# What the port lets through: little, so that a CPU that is shared with others is no limit.
BYTES_S, BURST = 500000, 16384
SECONDS = 0.5


class Search(harness.Case):
    def topology(self, police=None, **entry):
        nic = {"network": "lan"}
        t = {"version": 1, "lab": "search", "networks": {"lan": {}},
             "nodes": {"p": {"kind": "process", "memory": "32M",
                             "nics": [dict(nic, **({"police": police} if police else {})), nic]}},
             "traffic": [{"name": "find", "from": "p.0", "to": "p.1", "seconds": SECONDS, **entry}]}
        path = self.path("search.json")
        with open(path, "w") as f:
            json.dump(t, f)
        return path

    def bench(self, path, *args, status=0):
        out = self.path("out.json")
        done = self.lanyard("bench", path, *args, "--json", out, status=status, timeout_s=300)
        with open(out) as f:
            return json.load(f), done.stdout

    def check_trials(self, search):
        for r in search["rounds"]:
            self.assertTrue(r["trials"])
            for t in r["trials"]:
                self.assertEqual(0, t["unexplained"], t)
                self.assertEqual(t["lost"], sum(t["drops"].values()) + t["corrupt"] + t["apart"] +
                                 sum(t["places"].values()), t)

    def bounds(self, search):
        """Between which rates the limit lies. The policer counts no FCS; its burst passes besides."""
        frame = search["flows"][0]["frame_bytes"] - 4
        return 0.85 * BYTES_S / frame, 1.05 * (BYTES_S + BURST / search["trial_s"]) / frame

    @harness.slow
    @harness.unsanitized
    def test_limited_path(self):
        """NDR and PDR of a policed port are what it is policed to; latencies in a foreign form."""
        path = self.topology({"rate": f"{BYTES_S * 8}bps", "burst": f"{BURST}B"},
                             method={"max": "20kpps", "min": "2kpps", "resolution": 0.1,
                                     "loss": [0, 0.3], "latency_at": [50], "back_to_back": True,
                                     "recovery": True})
        doc, table = self.bench(path)
        self.assertEqual([], doc["trials"])
        [s] = doc["searches"]
        self.check_trials(s)
        self.assertEqual(("verified", "ETSI GS NFV-TST 009", 2, 0.1),
                         (s["search"], s["standard"], s["verify"], s["resolution"]))
        ndr, pdr = s["goals"]
        self.assertEqual(["found", "found"], [ndr["end"], pdr["end"]], s["goals"])
        least, most = self.bounds(s)
        self.assertTrue(least <= ndr["fps"] <= most, (ndr, least, most))
        # A sender that had no CPU for a while catches up in bursts, of which a policer takes more.
        self.assertTrue(0.8 * least / 0.7 <= pdr["fps"] <= most / 0.7, (pdr, least, most))
        self.assertLessEqual(ndr["upper_fps"] - ndr["fps"], 0.1 * ndr["upper_fps"] + 1e-6)
        self.assertEqual((False, "p"), (ndr["generator_limited"], ndr["generator"]))
        [at] = s["latency"]
        self.assertAlmostEqual(ndr["flow_fps"] / 2, at["flow_fps"], delta=1)
        flow = at["round"]["flows"][0]
        [h] = hdr.read([flow["latency_hdr_ns"]])
        self.assertEqual(flow["received"], h.count)
        for percentile, key in ((50, "p50"), (90, "p90"), (99, "p99"), (99.9, "p999"), (100, "max")):
            us = flow["latency_us"][key]
            self.assertLess(abs(h.at[percentile] / 1000 - us), 0.01 * us + 0.001, key)
        # A burst as it is allowed, and what the rate lets through while it comes.
        self.assertEqual("found", s["back_to_back"]["end"])
        self.assertTrue(0.7 * BURST / 60 <= s["back_to_back"]["frames"] <= 4 * BURST / 60,
                        s["back_to_back"])
        self.assertLess(s["recovery"]["seconds"], 0.5)
        self.assertEqual(2, len(s["recovery"]["round"]["flows"]))
        # Every key is documented.
        with open(os.path.join(harness.ROOT, "docs", "results.md")) as f:
            documented = f.read()
        self.assertEqual([], [key for key in sorted(set(keys_of(doc["searches"])))
                              if f"`{key}`" not in documented])
        for text in ("binary search with loss verification", " NDR ", " PDR 30% ", "50% of NDR",
                     "back to back: bursts of", "recovery: after 0.5 s at 110%"):
            self.assertIn(text, table)

    def test_imix(self):
        """Three sizes as 7:4:1, ten UDP flows, by RFC 2544: the mean size decides what passes."""
        path = self.topology({"rate": f"{BYTES_S * 8}bps", "burst": f"{BURST}B"}, frame="imix",
                             flows=10, method={"search": "binary", "max": "4kpps", "min": "100pps",
                                               "resolution": 0.2, "loss": [0], "latency_at": []})
        doc, table = self.bench(path)
        [s] = doc["searches"]
        self.check_trials(s)
        self.assertEqual(("binary", "RFC 2544", None), (s["search"], s["standard"], s["verify"]))
        self.assertEqual(362, s["flows"][0]["frame_bytes"])
        [ndr] = s["goals"]
        least, most = self.bounds(s)
        self.assertTrue(0.6 * least <= ndr["fps"] <= most, (ndr, least, most))
        self.assertIn("   imix  ", table)

    def test_lower_limit_loses(self):
        """A sentence and status 4, and no number."""
        path = self.topology({"rate": "8kbps", "burst": "9234B"},
                             method={"search": "binary", "min": "500pps", "max": "10kpps"})
        doc, table = self.bench(path, "--seconds", "0.3", status=4)
        self.assertEqual(1, doc["missed"])
        for goal in doc["searches"][0]["goals"]:
            self.assertEqual(("min_loses", None, None), (goal["end"], goal["fps"], goal["bps_l2"]))
        words = " ".join(table.split())
        self.assertRegex(words, "the search's lower limit, 500 frames/s, "
                                "(could not be sent at that rate, and )?lost ")
        self.assertIn("there is no rate to name", words)
        self.assertIn("throughput by binary search (RFC 2544)", table)
        self.assertEqual([], doc["searches"][0]["latency"])

    def test_limits_that_the_path_does_not_have(self):
        path = self.topology(method={"max": "1kpps", "min": "100pps", "latency_at": []})
        doc, table = self.bench(path, "--rounds", "3")
        [s] = doc["searches"]
        self.assertEqual(["at_max", "at_max"], [g["end"] for g in s["goals"]])
        self.assertEqual((3, [1000, 1000], 0.75), (
            len(s["rounds"]), s["goals"][0]["interval_fps"], s["goals"][0]["confidence"]))
        self.assertIn("upper limit, 1000 frames/s, passes", " ".join(table.split()))
        path = self.topology(method={"max": "1kpps", "start": "1Gbps"})
        done = self.lanyard("bench", path, status=2)
        self.assertIn("the search starts at", done.stderr)


if __name__ == "__main__":
    harness.main()
