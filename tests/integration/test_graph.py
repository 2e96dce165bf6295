# SPDX-License-Identifier: Apache-2.0
"""`lanyard graph`: what graphviz makes of every topology, and of a lab that is up."""
import glob
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import TOPOLOGIES, main  # noqa: E402
import test_lab  # noqa: E402


class Graph(test_lab.LabCase):
    def texts(self, svg):
        return [e.text for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]

    def test_every_topology(self):
        """Graphviz takes it without a word, and every part of the lab is in the picture."""
        for path in sorted(glob.glob(os.path.join(TOPOLOGIES, "*.json"))):
            dot = self.lanyard("graph", path).stdout
            done = subprocess.run(["dot", "-Tsvg"], input=dot, text=True, timeout=20,
                                  capture_output=True)
            self.assertEqual((0, ""), (done.returncode, done.stderr), path)
            svg = self.lanyard("graph", "--svg", path)
            self.assertEqual("", svg.stderr)
            texts = self.texts(svg.stdout)
            with open(path) as f:
                t = json.load(f)
            self.assertLessEqual({t["lab"], *t.get("networks", {}), *t["nodes"], *t.get("ports", {})},
                                 set(texts), path)

    def test_odd_words(self):
        """A title of any characters, and policy, stand as they are."""
        t = dict(test_lab.PAIR, traffic=[{"name": "a < b & \"c\"", "from": "a.0", "to": "b.0"}])
        t["nodes"] = dict(t["nodes"], x={"kind": "external", "nics": [
            {"network": "lan", "vlan": {"trunk": [10, "20-30"], "native": 10}}]})
        t["ports"] = {"up": {"network": "lan", "tap": "lan0"}}
        texts = self.texts(self.lanyard("graph", "-s", self.write(t, "odd.json")).stdout)
        self.assertIn('a < b & "c": a.0 to b.0, 64 B', texts)
        self.assertTrue(any("trunk 10,20-30" in x for x in texts), texts)
        self.assertIn("tap lan0", texts)

    def test_live(self):
        """States and counters of a lab that is up, by its file and by its name."""
        down = self.lanyard("graph", self.topology).stdout
        self.assertNotIn(" out, ", down)
        self.lanyard("up", self.topology)
        for what in (self.topology, "pair"):
            dot = self.lanyard("graph", what).stdout
            self.assertIn("12.3 M out, 12.3 M in", dot)
            self.assertEqual(2, dot.count("color=\"#4e9a06\", penwidth=2"), dot)
        self.kill(self.pid_of("switch"))
        dot = self.lanyard("graph", "pair").stdout
        self.assertEqual(2, dot.count("style=dashed, penwidth=2"))
        self.assertIn("degraded", dot)
        self.lanyard("down", "pair")
        self.assertIn("not up", self.lanyard("graph", "pair", status=2).stderr)

    def test_without_graphviz(self):
        self.env["PATH"] = self.path("empty")
        done = self.lanyard("graph", "--svg", self.topology, status=3)
        self.assertIn("sudo apt-get install graphviz", done.stderr)
        self.assertEqual("", done.stdout)


if __name__ == "__main__":
    main()
