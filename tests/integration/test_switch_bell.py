# SPDX-License-Identifier: Apache-2.0
"""A new port's socket is served at once, not when librte_vhost's thread next looks (up to 1 s)."""
import os
import socket
import statistics
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import harness  # noqa: E402

GET_FEATURES = struct.pack("<III", 1, 1, 0)


class Bell(harness.Case):
    def test_new_ports_answer_at_once(self):
        switch = self.switch()
        switch.call("network_add", name="lan")
        took = []
        for i in range(7):
            path = self.path(f"p{i}.vhost")
            switch.call("port_add", name=f"p{i}", network="lan", socket=path)
            start = time.monotonic()
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(path)
                s.sendall(GET_FEATURES)
                self.assertEqual(20, len(s.recv(100)))
            took.append(time.monotonic() - start)
        print(f"figure: first answer of a new port's socket: {statistics.median(took) * 1e3:.1f} ms "
              f"(median of {len(took)})", flush=True)
        # Without the bell the waits are spread over 0 to 1 s.
        self.assertLess(statistics.median(took), 0.2)
        left = [f for f in os.listdir(self.run_dir) if "bell" in f]
        self.assertEqual([], left)


if __name__ == "__main__":
    harness.main()
