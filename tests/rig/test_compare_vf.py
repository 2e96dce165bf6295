# SPDX-License-Identifier: Apache-2.0
"""`lanyard compare topologies/vnic-vs-vf.json`: two Linux guests, and between them the switch, a bridge of
the kernel's with taps, and VFs of an igb NIC. What is measured here means nothing; that all of it was, that
every lost frame is accounted for, and that a second run agrees with the first, does."""
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from linuxlab import LinuxLab
from vmmguest import kernel_of

RIG = {"nics": ["igb", "igb"]}
TAKES_S = 300
PATHS = ["vnic", "tap", "vf"]


class Compare(LinuxLab):
    # Five rounds are the least that show a difference between paths.
    ROUNDS = 5
    # What any path carries here, and a search that is content early.
    PACED = {"name": "paced", "paths": "all", "frame": 64, "rate": "200pps", "seconds": 0.5}
    SEARCH = {"name": "throughput", "paths": "all", "frame": 64, "seconds": 1, "method": {
        "search": "binary", "loss": [0.1], "min": "100pps", "max": "1kpps", "resolution": 0.5,
        "latency_at": []}}

    def setUp(self):
        super().setUp()
        subprocess.run(["modprobe", "-a", "vfio-pci", "vhost_net", "tun", "bridge"], check=True)
        # Debian's kernel for clouds has no igbvf.
        self.env["LANYARD_BOOT"] = os.path.dirname(kernel_of("6.1").vmlinuz)

    def compare(self, path, name, only, rounds):
        began = time.monotonic()
        done = self.lanyard("compare", path, f"--only={only}", f"--rounds={rounds}",
                            f"--json={self.path(name)}.json", f"--html={self.path(name)}.html",
                            timeout_s=50)
        print(done.stdout, done.stderr, flush=True)
        print(f"figure: rig: {only}, {rounds} rounds over three paths: "
              f"{time.monotonic() - began:.0f} s", flush=True)
        with open(self.path(f"{name}.html")) as f:
            self.assertIn("</html>", f.read())
        with open(self.path(f"{name}.json")) as f:
            doc = json.load(f)
        self.assertEqual(PATHS, [p["name"] for p in doc["paths"]])
        for c in doc["comparisons"]:
            self.assertIn(f"{only}, {c['frame']} B", done.stdout)
            self.assertEqual(PATHS, [p["path"] for p in c["paths"]])
            for p in c["paths"]:
                self.check_path(p)
        return doc

    def check_path(self, p):
        """All that was lost in any trial has a place."""
        for lost in (p["flat_out"], p["searches"], *(load["lost"] for load in p["loads"])):
            if lost:
                self.assertGreater(lost["sent"], 0)
                self.assertEqual(lost["lost"], sum(lost["places"].values()), (p["path"], lost))
                self.assertEqual(0, lost["unexplained"], (p["path"], lost))

    @staticmethod
    def loads(doc):
        return {(p["path"], load["name"]): load for c in doc["comparisons"] for p in c["paths"]
                for load in p["loads"]}

    def check_again(self, first, second):
        """The intervals of rates and latencies meet. What CPU time a frame costs here depends on who else
        has the machine meanwhile."""
        first, second = self.loads(first), self.loads(second)
        self.assertEqual((len(PATHS), first.keys()), (len(first), second.keys()))
        for key, load in first.items():
            for figure in ("received_fps", "p50_us", "cycles_total"):
                a, b = (x["figures"][figure] for x in (load, second[key]))
                print(f"figure: rig: {key[0]}: {figure} {a['median']:.6g} ({a['low']:.6g} to "
                      f"{a['high']:.6g}), then {b['median']:.6g} ({b['low']:.6g} to {b['high']:.6g})")
                if figure != "cycles_total":
                    self.assertTrue(a["low"] <= b["high"] and b["low"] <= a["high"],
                                    (key, figure, a, b))

    def search(self, path):
        """A VF that has room for few frames misses some, flat out; igb doesn't count what its VFs miss:
        so they are lost between the NICs."""
        self.exec("b", "ethtool", "-G", "eth2", "rx", "80")
        for c in self.compare(path, "search", "throughput", 1)["comparisons"]:
            for p in c["paths"]:
                self.assertGreaterEqual(p["searches"]["trials"], 1)
                for what, lost in (("flat out", p["flat_out"]), ("searches", p["searches"])):
                    print(f"figure: rig: {p['path']}, {c['frame']} B, {what}: {lost['lost']} of "
                          f"{lost['sent']} lost: {lost['places']}")

    def lab_up(self, traffic):
        path = self.topology("vnic-vs-vf", lambda t: t.update(traffic=traffic))
        began = time.monotonic()
        self.up(path)
        print(f"figure: rig: vnic-vs-vf is up: {time.monotonic() - began:.0f} s", flush=True)
        return path

    @harness.measures("vnic-vs-vf")
    def test_three_paths(self):
        path = self.lab_up([self.PACED, self.SEARCH])
        first, second = (self.compare(path, name, "paced", self.ROUNDS)
                         for name in ("first", "second"))
        self.check_again(first, second)
        self.lanyard("report", self.path("first.json"), self.path("second.json"))
        self.search(path)
        self.down()


if __name__ == "__main__":
    harness.main()
