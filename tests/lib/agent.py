# SPDX-License-Identifier: Apache-2.0
"""Commands in a Linux guest, by its agent (docs/control.md, "The agent channel").

    done = agent.run(rpc, ["cat"], stdin=b"x")     done.status, done.signal, done.out, done.err
    rpc: anything with call(method, **params): a harness.Rpc on NODE.agent, or a Tty.
"""
import base64
import collections
import json
import os
import select
import time

from harness import PATIENCE, RpcError

Done = collections.namedtuple("Done", "status signal out err")


class Tty:
    """JSON-RPC over a file descriptor, such as the other end of an agent's terminal."""

    def __init__(self, fd, timeout_s=20):
        self.fd, self.timeout_s, self.buf, self.id = fd, timeout_s, b"", 0

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view):]

    def ask(self, method, **params):
        self.id += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method,
                              "params": params}).encode() + b"\n")
        return self.id

    def reply(self):
        return json.loads(self.line())

    def call(self, method, **params):
        ident = self.ask(method, **params)
        while True:
            reply = self.reply()
            if reply.get("id") == ident:
                break
        if "error" in reply:
            raise RpcError(reply["error"])
        return reply["result"]

    def line(self):
        deadline = time.monotonic() + self.timeout_s * PATIENCE
        while b"\n" not in self.buf:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no line from the agent; so far: {self.buf[:300]}")
            self.buf += os.read(self.fd, 65536)
        line, _, self.buf = self.buf.partition(b"\n")
        return line


class Command:
    """One that runs. poll() adds what it wrote to .out and .err; .ended, .status, .signal."""

    def __init__(self, rpc, argv, **more):
        self.rpc, self.out, self.err = rpc, b"", b""
        self.ended, self.status, self.signal = False, None, None
        self.id = rpc.call("exec", argv=argv, **more)["id"]

    def poll(self, wait_ms=500):
        got = self.rpc.call("exec_poll", id=self.id, wait_ms=wait_ms)
        self.out += base64.b64decode(got["out"])
        self.err += base64.b64decode(got["err"])
        self.ended, self.status, self.signal = got["ended"], got["status"], got["signal"]
        return got

    def write(self, data, eof=False):
        """How many bytes were taken."""
        return self.rpc.call("exec_write", id=self.id, data=base64.b64encode(data).decode(),
                             eof=eof)["taken"]

    def kill(self, signal):
        self.rpc.call("exec_kill", id=self.id, signal=int(signal))

    def until(self, check, timeout_s=30):
        """Polls until check() is true."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while not check():
            if time.monotonic() > deadline:
                raise AssertionError(f"command {self.id}: waited in vain; {self.out[-300:]!r} "
                                     f"{self.err[-300:]!r}, ended: {self.ended}")
            self.poll()
        return self

    def wait(self, timeout_s=30):
        return self.until(lambda: self.ended, timeout_s)


def run(rpc, argv, stdin=b"", timeout_s=60, **more):
    """Runs a command to its end."""
    command = Command(rpc, argv, **more)
    at = 0
    while at < len(stdin):
        taken = command.write(stdin[at:at + 16384])
        at += taken
        if not taken:
            command.poll(100)
    command.write(b"", eof=True)
    command.wait(timeout_s)
    return Done(command.status, command.signal, command.out, command.err)
