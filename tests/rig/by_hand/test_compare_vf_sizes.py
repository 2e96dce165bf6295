# SPDX-License-Identifier: Apache-2.0
"""The whole search of topologies/vnic-vs-vf.json, as a user would run it, a frame size at a time: minutes
each; and its TCP. What ./check has of it is tests/rig/test_compare_vf.py."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_compare_vf

RIG = {"nics": ["igb", "igb"]}
TAKES_S = 1500


class Sizes(test_compare_vf.Compare):
    def one(self, size):
        search = dict(self.SEARCH, frame=size, seconds=0.5,
                      method={"loss": [0.001, 0.05], "min": "20pps", "resolution": 0.2, "latency_at": [10, 50]})
        path = self.lab_up([search])
        self.search(path)
        self.down()

    def test_three_paths(self):
        self.one(64)

    def test_512(self):
        self.one(512)

    def test_1518(self):
        self.one(1518)

    def test_tcp(self):
        path = self.lab_up([{"name": "stream", "paths": "all", "seconds": 2, "method": {"tcp": {}}}])
        done = self.lanyard("compare", path, "--rounds=2", f"--json={self.path('tcp')}.json",
                            f"--html={self.path('tcp')}.html", timeout_s=50)
        print(done.stdout, done.stderr, flush=True)
        with open(self.path("tcp.json")) as f:
            [c] = json.load(f)["comparisons"]
        self.assertEqual(test_compare_vf.PATHS, [p["path"] for p in c["paths"]])
        for p in c["paths"]:
            figures = p["tcp"]["figures"]
            self.assertEqual(2, len(figures["goodput_bps"]["values"]))
            self.assertGreater(figures["goodput_bps"]["median"], 1e5)
            self.assertGreater(figures["cycles_per_byte_total"]["median"], 0)
            print(f"figure: rig: {p['path']}: TCP, {figures['goodput_bps']['median'] / 1e6:.2f} Mbit/s, "
                  f"{figures['cycles_per_byte_total']['median']:.0f} cycles a byte", flush=True)
        self.down()


if __name__ == "__main__":
    harness.main()
