# SPDX-License-Identifier: Apache-2.0
"""Labs in which a guest on the switch and one with a VF meet: the switch's uplink is all of the PF at
the wire's other end, or another VF; with TCP, which takes minutes."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_lab_vf

RIG = {"nics": ["igb", "igb"]}
TAKES_S = 200


class Uplinks(test_lab_vf.Uplink):
    def test_by_a_vf(self):
        self.up_by_a_vf()
        for client, server, to in (("vf", "vnic", "10.9.0.1"), ("vnic", "vf", "10.9.0.2")):
            self.assertGreater(self.iperf(client, server, to), 0)
        self.down()

    def test_by_a_pf(self):
        self.up(self.topology("vnic-and-vf"))
        self.pings("vf", "10.9.0.1")
        self.assertGreater(self.iperf("vnic", "vf", "10.9.0.2"), 0)
        self.down()


if __name__ == "__main__":
    harness.main()
