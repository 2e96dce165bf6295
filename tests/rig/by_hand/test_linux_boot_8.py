# SPDX-License-Identifier: Apache-2.0
"""The boots that tests/rig/test_linux_boot.py leaves out, for their length."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_linux_boot


class Boots(test_linux_boot.Boot):
    pass


test_linux_boot.add_boots(Boots, lambda kernel, vcpus: vcpus == 8 and kernel != "6.12")


if __name__ == "__main__":
    harness.main()
