#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`lanyard report`: earlier results shown again, held against each other, or refused; no lab, no root.
The results are written here, so that what must be said of them is known."""
import copy
import html.parser
import json
import os
import re
import shutil
import sys

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import ROOT, TOPOLOGIES, Case, main  # noqa: E402

with open(os.path.join(ROOT, "docs", "compare.schema.json")) as _f:
    SCHEMA = json.load(_f)
FIGURES = sorted(SCHEMA["definitions"]["load"]["properties"]["figures"]["properties"])


def check_schema(doc):
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    errors = [f"{list(e.absolute_path)}: {e.message}" for e in
              jsonschema.Draft7Validator(SCHEMA).iter_errors(doc)]
    assert not errors, "\n".join(errors[:10])


class Page(html.parser.HTMLParser):
    """What a page holds: that its tags fit each other, that it needs nothing beside it."""
    VOID = {"meta", "br", "img", "link", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.text, self.outside, self.tags = [], [], [], [], {}
        self.wrong = []
        self.feed(text)
        self.wrong += [f"<{t}> is not closed" for t in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)
        self.note(attrs)

    def handle_startendtag(self, tag, attrs):
        self.note(attrs)

    def note(self, attrs):
        for key, value in attrs:
            if key == "id":
                self.ids.append(value)
            if key in ("src", "href", "xlink:href", "data") and not (value or "").startswith("#"):
                self.outside.append(value)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        self.text.append(data)


def check_page(case, text):
    page = Page(text)
    case.assertEqual([], page.wrong)
    case.assertEqual([], page.outside)
    case.assertEqual(len(page.ids), len(set(page.ids)))
    case.assertNotIn("script", page.tags)
    case.assertNotIn("@import", text)
    return page


def figure(*values):
    v = sorted(values)
    return {"median": (v[(len(v) - 1) // 2] + v[len(v) // 2]) / 2, "low": v[0], "high": v[-1],
            "confidence": 1 - 2 ** (1 - len(v)), "values": list(values)}


def load(name, percent, base):
    figures = {k: figure(*[base * (1 + i / 100) for i in range(5)]) for k in FIGURES}
    lost = {"sent": 1000, "received": 998, "lost": 2, "places": {"switch: tx_ring_full": 2},
            "unexplained": 0}
    return {"name": name, "percent": percent, "offered_fps": 1e6, "figures": figures, "lost": lost,
            "warnings": [], "rounds": []}


def measured(path, base):
    lost = load("", None, 1)["lost"]
    return {"path": path, "rates": [
        {"name": "NDR", "loss_ratio": 0, "fps": figure(*[base * (1e6 + i) for i in range(5)]),
         "sentence": "found", "at_limit": False, "generator_share": 0.5, "generator": "a",
         "generator_limited": False}],
        "loads": [load("50% of NDR", 50, 10 / base), load("same rate", 80, 20 / base)],
        "flat_out": lost, "searches": dict(lost, trials=50, disturbed=0), "back_to_back": None,
        "recovery": None}


def result(one=1.0, two=2.0):
    with open(os.path.join(TOPOLOGIES, "compare.json")) as f:
        topology = json.load(f)
    return {
        "version": 1, "kind": "compare", "lab": "compare", "began": "2026-11-30T10:00:00Z",
        "took_s": 100.0, "complete": True, "error": None, "lanyard": "0.1", "command":
        ["lanyard", "compare", "my topology.json"], "machine": {
            "cpu_model": "A <fast> CPU", "cpus": 2, "kernel": "6.1.0", "governor": "performance",
            "turbo": "off", "isolated": None, "smt": False, "hugepages": 100, "hugepages_free": 50,
            "mitigations": {"meltdown": "Not affected"}, "iommu": {"groups": 0}, "nics": [],
            "tsc_hz": 2e9},
        "doctor": [{"name": "Hugepages", "field": "figures", "verdict": "poorer", "found": "none",
                    "why": "slower", "mend": "echo 100 > nr_hugepages"}],
        "switch": {"version": "0.1", "dpdk": "DPDK 22.11", "huge": True}, "guests": {},
        "placement": [{"who": "worker0", "cpu": 0}], "warnings": [],
        "options": {"rounds": 5, "seconds": None, "only": None}, "topology": topology,
        "paths": [{"name": "split", "what": "rings & <more>", "from": ["a.0"], "to": ["b.0"]},
                  {"name": "packed", "what": None, "from": ["c.0"], "to": ["d.0"]}],
        "comparisons": [
            {"name": "throughput", "frame": "64", "frame_bytes": 64, "seconds": 1.0, "flows": 1,
             "l4_flows": 1, "flow_rate_fps": None, "method": {
                 "search": "verified", "standard": "ETSI GS NFV-TST 009", "verify": 2,
                 "resolution": 0.02},
             "paths": [measured("split", one), measured("packed", two)], "against": []}]}


class Report(Case):
    def write(self, name, doc):
        path = self.path(name)
        with open(path, "w") as f:
            json.dump(doc, f)
        return path

    def refused(self, doc, status=2):
        path = self.write("bad.json", doc)
        done = self.lanyard("report", path, status=status)
        self.assertEqual(("", 1), (done.stdout, done.stderr.count("\n")), done.stderr)
        return done.stderr.replace(path, "bad.json")

    def test_refused(self):
        self.assertIn("bad.json is a result of schema version 2; this lanyard", self.refused(
            dict(result(), version=2)))
        self.assertIn("bad.json is a result of lanyard bench;", self.refused(
            {"version": 1, "kind": "bench"}))
        self.assertIn('its "kind" is missing, not "compare"', self.refused({}))
        self.assertIn("bad.json has no comparison that was completed: interrupted", self.refused(
            dict(result(), comparisons=[], complete=False, error="interrupted")))
        with open(self.path("t.json"), "w") as f:
            f.write('{ "version": 1,\n')
        self.assertRegex(self.lanyard("report", self.path("t.json"), status=2).stderr,
                         r"t\.json:2:\d+: this is no JSON: ")
        self.assertIn("cannot read", self.lanyard("report", self.path("none.json"), status=2).stderr)
        self.assertIn("RESULT.json is missing", self.lanyard("report", status=2).stderr)

    def test_nothing_in_common(self):
        other = result()
        other["comparisons"][0]["frame"] = "128"
        said = self.lanyard("report", self.write("a.json", result()), self.write("b.json", other),
                            status=2).stderr
        self.assertIn("no traffic of one name and frame size in common", said)

    def test_no_gnuplot(self):
        """One sentence with the package; the table needs none."""
        bare = self.path("bin")
        os.mkdir(bare)
        os.symlink(shutil.which("dot"), os.path.join(bare, "dot"))
        path = self.write("a.json", result())
        env = {**self.env, "PATH": bare}
        done = self.lanyard("report", path, "--html", self.path("a.html"), status=3, env=env)
        self.assertEqual("lanyard: there is no gnuplot, which draws the charts of a report: sudo "
                         "apt-get install gnuplot-nox\n", done.stderr)
        self.assertFalse(os.path.exists(self.path("a.html")))
        self.assertIn("throughput, 64 B", self.lanyard("report", path, env=env).stdout)
        done = self.lanyard("compare", os.path.join(TOPOLOGIES, "compare.json"), "--html",
                            self.path("a.html"), status=3, env=env)
        self.assertIn("gnuplot-nox", done.stderr)

    def test_one(self):
        """Shown again as it was written; the page holds the figures and escapes what it must."""
        doc = result()
        check_schema(doc)
        out = self.path("a.html")
        done = self.lanyard("report", self.write("a.json", doc), "--html", out)
        self.assertRegex(done.stdout, r"NDR +split +1\.00 M")
        self.assertRegex(done.stdout, r"\n +packed +2\.00 M")
        self.assertIn("2 of 1000 frames lost: 2 switch: tx_ring_full", done.stdout)
        # What the columns mean, of those that are there.
        self.assertIn("Gbit/s: layer 2", done.stdout)
        self.assertNotIn("Of TCP", done.stdout)
        with open(out) as f:
            page = check_page(self, f.read())
        text = " ".join("".join(page.text).split())
        for part in ("A <fast> CPU", "rings & <more>", "split and packed compared", "tx_ring_full: 2",
                     "echo 100 > nr_hugepages", "lanyard compare 'my topology.json'", "NDR"):
            self.assertIn(part, text)
        # Throughput, cost, latency at two loads; and the lab.
        self.assertEqual(5, page.tags["svg"])

    def test_environments(self):
        """Which fields differ, of what is no matter nothing; another path's figures in the table."""
        later = result(one=1.5)
        later["machine"].update(kernel="6.12.0", hugepages_free=7, tsc_hz=2.0001e9,
                                mitigations={"meltdown": "Mitigation: PTI"})
        later["placement"][0]["cpu"] = 1
        html_out, out = self.path("ab.html"), self.path("ab.json")
        done = self.lanyard("report", self.write("before.json", result()),
                            self.write("after.json", later), "--html", html_out, "--json", out)
        text = " ".join(done.stdout.split())
        self.assertIn('The environments differ in kernel: "6.1.0" in', text)
        self.assertIn('"6.12.0" in', text)
        self.assertIn('differ in mitigations: meltdown: "Not affected" in', text)
        self.assertIn("differ in placement", text)
        self.assertEqual(3, text.count("The environments differ"), text)
        with open(out) as f:
            merged = json.load(f)
        check_schema(merged)
        [c] = merged["comparisons"]
        self.assertEqual(["split (before)", "packed (before)", "split (after)", "packed (after)"],
                         [p["path"] for p in c["paths"]])
        self.assertEqual([("split (after)", "split (before)", False),
                          ("packed (after)", "packed (before)", False)],
                         [(a["path"], a["base"], a["paired"]) for a in c["against"]])
        ratios = {(a["path"], r["at"], r["figure"]): r for a in c["against"] for r in a["ratios"]}
        ndr = ratios["split (after)", "NDR", "fps"]
        self.assertAlmostEqual(1.5, ndr["ratio"]["median"], delta=1e-5)
        self.assertTrue(ndr["differs"])
        self.assertFalse(ratios["packed (after)", "NDR", "fps"]["differs"])
        self.assertIn("+ NDR: more frames/s: +50.0%", text)
        with open(html_out) as f:
            page = check_page(self, f.read())
        self.assertIn("The environments differ in kernel", "".join(page.text))

    def test_same_environment(self):
        path = self.write("a.json", result())
        done = self.lanyard("report", path, self.write("b.json", copy.deepcopy(result())))
        self.assertNotIn("differ in", done.stdout)
        self.assertIn("no difference that these rounds can show", done.stdout)
        self.assertFalse(re.search(r"^ +[+-] ", done.stdout, re.M))


if __name__ == "__main__":
    main()
