# SPDX-License-Identifier: Apache-2.0
"""Drives tests/lib/ringclient, the front end that lays out its rings in any way (see there)."""
import json
import os
import select
import subprocess
import time

from harness import BUILD, PATIENCE

PROGRAM = os.path.join(BUILD, "tests", "lib", "ringclient")

PACKED, IN_ORDER = 1 << 34, 1 << 35
VERSION_1, INDIRECT, EVENT_IDX, MERGEABLE, MQ = 1 << 32, 1 << 28, 1 << 29, 1 << 15, 1 << 22


class RingClient:
    """One connected front end. with RingClient(...) as c: c.send(...)"""

    def __init__(self, socket, features=VERSION_1 | INDIRECT | MERGEABLE, rx="one", pairs=1,
                 regions=1, size=256, args=(), env=None):
        self.proc = subprocess.Popen(
            [PROGRAM, socket, f"rx={rx}", f"features={features:x}", f"pairs={pairs}",
             f"regions={regions}", f"size={size}", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            env=env)
        self.buf = b""
        self.hello = self.reply(20)

    def __enter__(self):
        if not self.hello["ok"]:
            self.stop()
            raise AssertionError(f"ringclient: {self.hello}")
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        if self.proc.stdin:
            self.proc.stdin.close()
            self.proc.stdin = None
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.proc.stdout.close()

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def reply(self, timeout_s):
        deadline = time.monotonic() + timeout_s * PATIENCE
        while b"\n" not in self.buf:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.proc.stdout], [], [], left)[0]:
                raise AssertionError(f"ringclient did not answer within {timeout_s} s")
            got = self.proc.stdout.read(65536)
            if not got:
                raise AssertionError("ringclient ended")
            self.buf += got
        line, _, self.buf = self.buf.partition(b"\n")
        return json.loads(line)

    def begin(self, line):
        self.proc.stdin.write(line.encode() + b"\n")

    def do(self, line, timeout_s=20):
        self.begin(line)
        return self.reply(timeout_s)

    def send(self, dst, src, size=60, layout="one", n=1, seq=0, pair=0, ethertype=0):
        return self.do(f"send {dst} {src} {size} {layout} {n} {seq} {pair} {ethertype:x}")

    def receive(self, n, timeout_ms=5000):
        return self.do(f"receive {n} {timeout_ms}")

    def raw(self, frame, n=1):
        """Sends n frames of these bytes. From then on what comes in is kept for frames()."""
        return self.do(f"raw {n} {frame.hex()}")

    def frames(self, n, timeout_ms=10000):
        """The frames that came in: waits for n of them; with 0, takes what is there."""
        got = self.do(f"frames {n} {timeout_ms}", timeout_ms / 1000 + 20)
        assert got["lost"] == 0, got["lost"]
        return [bytes.fromhex(f) for f in got["frames"]]
