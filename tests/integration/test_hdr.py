#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our histograms, read back by HdrHistogram's own library: what it finds is what went in."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
import hdr  # noqa: E402
from harness import BUILD, Case  # noqa: E402


class ForeignReader(Case):
    def test_read_back(self):
        sample = self.path("sample.json")
        subprocess.run([os.path.join(BUILD, "tests", "unit", "test_hdr"), sample], check=True,
                       timeout=60)
        with open(sample) as f:
            wrote = json.load(f)
        exact = {ppm / 1e4: ns for ppm, ns in wrote["exact_ns"]}
        [got] = hdr.read([wrote["hdr"]], exact)
        self.assertEqual((wrote["count"], 3), (got.count, got.digits))
        for percentile, ns in exact.items():
            self.assertLess(abs(got.at[percentile] - ns), 0.01 * ns + 1, percentile)

    def test_harmed(self):
        with self.assertRaisesRegex(AssertionError, "does not read it"):
            hdr.read(["HISTFAAAACl42pNpmazMwMD"])


if __name__ == "__main__":
    harness.main()
