# SPDX-License-Identifier: Apache-2.0
"""Drives tests/lib/crowd, many small guests in one process (see there)."""
import json
import os
import subprocess

from harness import BUILD, _die_with_parent

PROGRAM = os.path.join(BUILD, "tests", "lib", "crowd")


class Crowd:
    """Guests at the sockets prefix<first>..., all with their rings up when this returns."""

    def __init__(self, prefix, first, n, env=None, cpu=None):
        argv = ["taskset", "-c", str(cpu)] if cpu is not None else []
        self.proc = subprocess.Popen([*argv, PROGRAM, prefix, str(first), str(n)], env=env,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     preexec_fn=_die_with_parent)
        self.pid = self.proc.pid
        hello = self.reply()
        if not hello["ok"]:
            self.stop()
            raise AssertionError(f"crowd: {hello['error']}")

    def reply(self):
        line = self.proc.stdout.readline()
        if not line:
            raise AssertionError("crowd ended")
        return json.loads(line)

    def do(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()
        return self.reply()

    def wake(self, a, b, n, gap_us):
        """Nanoseconds from sending to arrival, n times, with that long a pause before each."""
        got = self.do(f"wake {a} {b} {n} {gap_us}")
        if not got["ok"]:
            raise AssertionError(f"a frame from guest {a} to {b} did not arrive")
        return got["ns"]

    def stop(self):
        self.proc.stdin.close()
        self.proc.wait(20)
        self.proc.stdout.close()
