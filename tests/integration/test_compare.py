#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`lanyard compare`: the same traffic over two paths of processes on a real switch, brought up and taken
down; what the document says must agree with itself."""
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import TOPOLOGIES, Case, main, measures, slow  # noqa: E402
from test_bench_docs import doc as read_doc, keys_of  # noqa: E402
from test_report import check_page, check_schema  # noqa: E402

FILE = os.path.join(TOPOLOGIES, "compare.json")


class CompareCase(Case):
    def write(self, change=None):
        """topologies/compare.json, changed; its path."""
        with open(FILE) as f:
            topology = json.load(f)
        if change:
            change(topology)
        path = self.path("compare.json")
        with open(path, "w") as f:
            json.dump(topology, f, indent=1)
        return path


class Refused(CompareCase):
    """Sentences, before anything is made."""

    def refused(self, change, *args):
        done = self.lanyard("compare", self.write(change), *args, status=2)
        self.assertEqual("", done.stdout)
        return done.stderr

    def test_path_that_the_topology_lacks(self):
        def change(t):
            t["traffic"][0]["paths"] = ["split", "pakced"]
        said = self.refused(change)
        self.assertRegex(said, r'compare\.json:\d+:\d+: traffic "throughput": unknown path "pakced"; '
                               r'did you mean "packed"\? \(known: split, packed\)')

    def test_nothing_to_compare(self):
        def change(t):
            t["traffic"] = [{"name": "one", "paths": ["split"]}]
        self.assertIn("compare.json: no traffic is run over two paths", self.refused(change))

    def test_no_such_traffic(self):
        said = self.refused(None, "--only", "throughpit")
        self.assertIn('no traffic is named "throughpit"; did you mean "throughput"?', said)

    def test_no_place_for_the_results(self):
        said = self.refused(None, "--json", self.path("no/such/folder.json"))
        self.assertIn("folder.json: No such file or directory", said)


class Compared(CompareCase):
    """One run for many checks, of what every machine can send; 5 rounds are the least that show a
    difference."""
    ROUNDS = 5

    @staticmethod
    def small(t):
        search, paced = t["traffic"]
        search.update(frame=[64], seconds=0.1)
        search["method"] = {"search": "binary", "loss": [0.1], "min": "1kpps", "max": "2kpps",
                            "resolution": 0.5, "latency_at": [50]}
        paced.update(frame=[128], rate="1kpps", seconds=0.2, both_ways=True)

    def compare(self, path):
        out, page = self.path("out.json"), self.path("out.html")
        done = self.lanyard("compare", path, "--rounds", str(self.ROUNDS), "--json", out, "--html",
                            page, timeout_s=300)
        with open(out) as f, open(page) as g:
            return json.load(f), done.stdout, g.read()

    def check_lost(self, lost):
        self.assertEqual(lost["lost"], lost["sent"] - lost["received"])
        self.assertEqual(lost["lost"], sum(lost["places"].values()) + lost["unexplained"], lost)
        self.assertEqual(0, lost["unexplained"], lost)

    def check_figure(self, figure, n):
        values = [v for v in figure["values"] if v is not None]
        self.assertEqual(n, len(figure["values"]))
        if not values:
            self.assertIsNone(figure["median"])
            return
        self.assertAlmostEqual(statistics.median(values), figure["median"], delta=1e-6 * abs(figure["median"]))
        self.assertEqual((min(values), max(values)), (figure["low"], figure["high"]))
        self.assertAlmostEqual(1 - 2 ** (1 - len(values)), figure["confidence"])

    def check_load(self, load):
        f = load["figures"]
        for figure in f.values():
            self.check_figure(figure, self.ROUNDS)
        self.check_lost(load["lost"])
        self.assertEqual(self.ROUNDS, len(load["rounds"]))
        for i, r in enumerate(load["rounds"]):
            parts = [f["cycles_" + k]["values"][i] for k in ("switch", "nodes", "vhost", "interrupts")]
            self.assertAlmostEqual(sum(parts), f["cycles_total"]["values"][i], delta=1)
            self.assertGreater(parts[0], 0)
            self.assertGreater(parts[1], 0)
            self.assertGreater(parts[0] + parts[1], f["cycles_switch_busy"]["values"][i] / 2)
            self.assertEqual(0, parts[2])  # no vhost-net here
            self.assertTrue(all(flow["latency_hdr_ns"] for flow in r["flows"]))

    @slow
    @measures("compare")
    def test_compare(self):
        doc, table, page = self.compare(self.write(self.small))
        check_schema(doc)
        text = read_doc("results.md")
        self.assertEqual([], [key for key in sorted(set(keys_of(doc))) if f"`{key}`" not in text and
                              key.replace("_", "").islower() and " " not in key])
        self.assertEqual((1, "compare", True, None),
                         (doc["version"], doc["kind"], doc["complete"], doc["error"]))
        self.assertEqual([("split", ["a.0"], ["b.0"]), ("packed", ["c.0"], ["d.0"])],
                         [(p["name"], p["from"], p["to"]) for p in doc["paths"]])
        search, paced = doc["comparisons"]
        self.assertEqual(("throughput", "64", "RFC 2544"),
                         (search["name"], search["frame"], search["method"]["standard"]))
        self.assertEqual(("quiet", "128", None, 2),
                         (paced["name"], paced["frame"], paced["method"], paced["flows"]))
        for c in doc["comparisons"]:
            self.assertEqual(["split", "packed"], [p["path"] for p in c["paths"]])
            for p in c["paths"]:
                for load in p["loads"]:
                    self.check_load(load)
        for p in search["paths"]:
            [rate] = p["rates"]
            self.check_figure(rate["fps"], self.ROUNDS)
            self.assertEqual(["50% of PDR", "same rate"], [x["name"] for x in p["loads"]])
            self.assertGreaterEqual(p["searches"]["trials"], self.ROUNDS)
            self.check_lost(p["searches"])
            self.check_lost(p["flat_out"])
        self.check_same_rate(search)
        self.check_against(doc["comparisons"])
        self.assertIn("packed against split", table)
        for finding in doc["doctor"]:
            self.assertIn(f"! {finding['name']}: ", table)
        # Throughput, cost and two latencies of the one, cost and latency of the other, the lab.
        self.assertEqual(7, check_page(self, page).tags["svg"])
        self.check_shown_again(table, page)
        self.assertFalse([n for n in os.listdir(self.run_dir)
                          if os.path.isdir(os.path.join(self.run_dir, n))])

    def test_lower_limit_loses(self):
        """A sentence for the path that does, figures for the other, and status 4."""
        def change(t):
            self.small(t)
            del t["traffic"][1]
            t["traffic"][0]["method"]["loss"] = [0]
            t["traffic"][0]["frame"] = [1518]  # more in a trial than a policer's burst
            t["nodes"]["c"]["nics"][0]["police"] = {"rate": "100kbps", "burst": "10000B"}
        out = self.path("out.json")
        done = self.lanyard("compare", self.write(change), "--rounds", "1", "--json", out, "--quiet",
                            status=4, timeout_s=200)
        with open(out) as f:
            result = json.load(f)
        check_schema(result)
        self.assertEqual((1, True), (result["missed"], result["complete"]))
        packed = result["comparisons"][0]["paths"][1]
        [rate] = packed["rates"]
        self.assertEqual((None, []), (rate["fps"]["median"], packed["loads"]))
        self.assertIn(rate["sentence"], " ".join(done.stdout.split()))

    def check_shown_again(self, table, page):
        """`lanyard report` says of the document what `compare` said when it was made."""
        again = self.path("again.html")
        done = self.lanyard("report", self.path("out.json"), "--html", again)
        start = "\nthroughput, 64 B: "
        self.assertEqual(table[table.index(start):], done.stdout[done.stdout.index(start):])
        with open(again) as f:
            self.assertEqual(page, f.read())

    def check_same_rate(self, search):
        offered = {p["path"]: p["loads"][1]["offered_fps"] for p in search["paths"]}
        self.assertAlmostEqual(offered["split"], offered["packed"], delta=1)
        slowest = min(p["rates"][0]["fps"]["median"] for p in search["paths"])
        self.assertAlmostEqual(0.9 * slowest, offered["split"], delta=1)

    def check_against(self, comparisons):
        for c in comparisons:
            [a] = c["against"]
            self.assertEqual(("packed", "split", True), (a["path"], a["base"], a["paired"]))
            self.assertTrue(a["ratios"])
            for r in a["ratios"]:
                low, high = r["ratio"]["low"], r["ratio"]["high"]
                self.assertAlmostEqual(0.9375, r["ratio"]["confidence"])
                if r["differs"]:
                    self.assertTrue(low > 1 or high < 1, r)
            # The median latency's ratios are those of the rounds.
            at = c["paths"][0]["loads"][0]["name"]
            [r] = [r for r in a["ratios"] if (r["at"], r["figure"]) == (at, "p50_us")]
            split, packed = (p["loads"][0]["figures"]["p50_us"]["values"] for p in c["paths"])
            self.assertAlmostEqual(statistics.median(b / a for a, b in zip(split, packed)),
                                   r["ratio"]["median"], delta=1e-4 * r["ratio"]["median"])


if __name__ == "__main__":
    main()
