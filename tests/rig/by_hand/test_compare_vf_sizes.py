# SPDX-License-Identifier: Apache-2.0
"""The whole search of topologies/vnic-vs-vf.json, as a user would run it, a frame size at a time: minutes
each. What ./check has of it is tests/rig/test_compare_vf.py."""
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


if __name__ == "__main__":
    harness.main()
