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
TAKES_S = 300


class Compare(LinuxLab):
    def test_three_paths(self):
        subprocess.run(["modprobe", "-a", "vfio-pci", "vhost_net", "tun", "bridge"], check=True)
        # Debian's kernel for clouds has no igbvf.
        self.env["LANYARD_BOOT"] = os.path.dirname(kernel_of("6.1").vmlinuz)

        def change(topology):
            topology["traffic"] = [{"name": "paced", "paths": "all", "frame": 64, "rate": "200pps",
                                    "seconds": 2}]
        path = self.topology("vnic-vs-vf", change)
        outs = [f"--json={self.path('c.json')}", f"--html={self.path('c.html')}"]
        done = self.lanyard("compare", path, *outs, "--rounds", "3", timeout_s=50)
        print(done.stdout, done.stderr)
        for name in ("vnic", "tap", "vf"):
            self.assertIn(name, done.stdout)
        with open(self.path("c.html")) as f:
            self.assertIn("</html>", f.read())
        with open(self.path("c.json")) as f:
            doc = json.load(f)
        self.assertEqual(["vnic", "tap", "vf"], [p["name"] for p in doc["paths"]])
        self.assertEqual([], os.listdir(self.labs))


if __name__ == "__main__":
    harness.main()
