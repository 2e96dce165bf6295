# SPDX-License-Identifier: Apache-2.0
"""A lab whose switch has all of a PF as its uplink, and a guest with a VF at the wire's other end."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_lab_vf

RIG = {"nics": ["igb", "igb"]}
TAKES_S = 200


class Uplink(test_lab_vf.VfLab):
    def test_by_a_pf(self):
        self.up(self.topology("vnic-and-vf"))
        self.pings("vf", "10.9.0.1")
        self.assertGreater(self.iperf("vnic", "vf", "10.9.0.2"), 0)
        self.down()


if __name__ == "__main__":
    harness.main()
