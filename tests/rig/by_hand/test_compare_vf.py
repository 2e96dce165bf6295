# SPDX-License-Identifier: Apache-2.0
"""`lanyard compare topologies/vnic-vs-vf.json`: two Linux guests, and between them the switch, a bridge of
the kernel's with taps, and VFs of an igb NIC. What is measured here means nothing; that all of it was, and
that every lost frame is accounted for, does."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
from linuxlab import LinuxLab
from vmmguest import kernel_of

RIG = {"nics": ["igb", "igb"]}
TAKES_S = 540


class Compare(LinuxLab):
    def compare(self, path, name):
        done = self.lanyard("compare", path, f"--json={self.path(name)}.json",
                            f"--html={self.path(name)}.html", timeout_s=50)
        print(done.stdout, done.stderr)
        with open(self.path(f"{name}.html")) as f:
            self.assertIn("</html>", f.read())
        with open(self.path(f"{name}.json")) as f:
            doc = json.load(f)
        self.assertEqual(["vnic", "tap", "vf"], [p["name"] for p in doc["paths"]])
        for word in ("vnic", "tap", "vf"):
            self.assertIn(word, done.stdout)
        return doc

    @staticmethod
    def loads(doc):
        return {(p["path"], load["name"]): load for c in doc["comparisons"] for p in c["paths"]
                for load in p["loads"]}

    def test_three_paths(self):
        """Twice, in one lab: the intervals of rates and latencies meet."""
        subprocess.run(["modprobe", "-a", "vfio-pci", "vhost_net", "tun", "bridge"], check=True)
        # Debian's kernel for clouds has no igbvf.
        self.env["LANYARD_BOOT"] = os.path.dirname(kernel_of("6.1").vmlinuz)

        def change(topology):
            topology["traffic"] = [{"name": "paced", "paths": "all", "frame": 64, "rate": "200pps",
                                    "seconds": 1}]
        path = self.topology("vnic-vs-vf", change)
        self.up(path)
        first, second = (self.loads(self.compare(path, name)) for name in ("first", "second"))
        self.assertEqual(3, len(first))
        for key, load in first.items():
            again = second[key]
            for one in (load, again):
                lost = one["lost"]
                self.assertGreater(lost["sent"], 0)
                self.assertEqual(lost["lost"], lost["unexplained"] +
                                 sum(lost["places"].values()), (key, lost))
            for figure in ("received_fps", "p50_us", "cycles_total"):
                a, b = load["figures"][figure], again["figures"][figure]
                # What CPU time a frame costs here depends on who else has the machine meanwhile.
                if figure != "cycles_total":
                    self.assertTrue(a["low"] <= b["high"] and b["low"] <= a["high"],
                                    (key, figure, a, b))
                print(f"figure: rig: {key[0]}: {figure} {a['median']:.6g} ({a['low']:.6g} to "
                      f"{a['high']:.6g}), then {b['median']:.6g}")
        said = subprocess.run([harness.LANYARD, "report", self.path("first.json"),
                               self.path("second.json")], capture_output=True, text=True, env=self.env)
        self.assertEqual(0, said.returncode, said.stderr)
        self.down()


if __name__ == "__main__":
    harness.main()
