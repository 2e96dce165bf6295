# SPDX-License-Identifier: Apache-2.0
"""Histograms as HdrHistogram's own library (Debian's libhdrhistogram-java) reads them."""
import os
import subprocess

JARS = ["/usr/share/java/bsh.jar", "/usr/share/java/hdrhistogram.jar"]


class Hdr:
    """count, min, max, digits, and at: percentile -> value."""

    def __init__(self, words, percentiles):
        numbers = [int(w) for w in words]
        self.count, self.min, self.max, self.digits = numbers[:4]
        self.at = dict(zip(percentiles, numbers[4:]))


def read(texts, percentiles=(50, 90, 99, 99.9, 100)):
    """Decodes base64 texts; a list of Hdr."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hdr_read.bsh")
    done = subprocess.run(["java", "-Xshare:auto", "-cp", ":".join(JARS), "bsh.Interpreter", script,
                           *map(str, percentiles)], input="\n".join(texts) + "\n", text=True,
                          capture_output=True, timeout=60)
    lines = done.stdout.splitlines()
    if done.returncode or done.stderr or len(lines) != len(texts):
        raise AssertionError(f"HdrHistogram's library does not read it: {done.stderr or done.stdout}")
    return [Hdr(l.split(), percentiles) for l in lines]
