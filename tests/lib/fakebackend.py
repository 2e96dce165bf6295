# SPDX-License-Identifier: Apache-2.0
"""A vhost-user back end for tests of the VMM: well-behaved, or wrong in a chosen way.

	with FakeBackend(path) as b:                     # listens; serves one client after the other
	    b.wait(lambda: b.ready(0))                   # ring 0 was handed over and enabled
	    b.rings[0]["base"]                           # what the front end said

It moves no frames. `features` are those it offers; `silent`, `hang_up` and `garbage` are names of
messages at which it never answers, closes the connection, or answers nonsense; `refuse` are those it
refuses (REPLY_ACK). Each may be changed while it runs. Everything received is in `log`.
"""
import array
import mmap
import os
import socket
import struct
import threading
import time

from harness import PATIENCE

NAMES = {1: "GET_FEATURES", 2: "SET_FEATURES", 3: "SET_OWNER", 5: "SET_MEM_TABLE",
         8: "SET_VRING_NUM", 9: "SET_VRING_ADDR", 10: "SET_VRING_BASE", 11: "GET_VRING_BASE",
         12: "SET_VRING_KICK", 13: "SET_VRING_CALL", 14: "SET_VRING_ERR",
         15: "GET_PROTOCOL_FEATURES", 16: "SET_PROTOCOL_FEATURES", 17: "GET_QUEUE_NUM",
         18: "SET_VRING_ENABLE", 20: "NET_SET_MTU", 24: "GET_CONFIG"}

F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX, F_PROTOCOL, F_VERSION_1 = 15, 28, 29, 30, 32
ALL = sum(1 << b for b in (F_MRG_RXBUF, F_INDIRECT, F_EVENT_IDX, F_PROTOCOL, F_VERSION_1))
PF_MQ, PF_REPLY_ACK, PF_NET_MTU, PF_CONFIG = 0, 3, 4, 9
BLK_SIZE_MAX, BLK_SEG_MAX, BLK_BLK_SIZE, BLK_FLUSH = 1, 2, 6, 9  # feature bits of a disk


class FakeBackend:
    def __init__(self, path, features=ALL, protocol=1 << PF_REPLY_ACK | 1 << PF_MQ, queues=8):
        self.path, self.features, self.protocol, self.queues = path, features, protocol, queues
        self.silent, self.hang_up, self.garbage, self.refuse = set(), set(), set(), set()
        self.config = bytes(60)  # of the device, for GET_CONFIG
        self.log, self.connects = [], 0
        self.bases = {}  # what GET_VRING_BASE says of rings, if not what a split ring's says
        self.client = None
        self.closing = False
        self._forget()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(path)
        self.sock.listen(4)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Goes away, as a process that was killed: the socket file stays."""
        self.closing = True
        self.drop()
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(5)
        self._forget()

    def drop(self):
        """Hangs up on the client; the next connection is served."""
        client = self.client
        if client:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def ready(self, index):
        r = self.rings.get(index, {})
        return r.get("enabled") and "kick" in r and "addr" in r

    def wait(self, check, timeout_s=5, what="the back end's state"):
        deadline = time.monotonic() + timeout_s * PATIENCE
        while not check():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout_s} s in vain for {what}; got {self.log}")
            time.sleep(0.005)

    def count(self, name):
        return self.log.count(name)

    def memory(self, user_addr, length):
        """(mmap, offset) of guest memory by the front end's address."""
        for gpa, size, uva, offset, mem in self.regions:
            if uva <= user_addr and user_addr + length <= uva + size:
                return mem, offset + user_addr - uva
        raise AssertionError(f"address {user_addr:#x} is in no region")

    def read16(self, user_addr):
        mem, at = self.memory(user_addr, 2)
        return struct.unpack_from("<H", mem, at)[0]

    def write(self, user_addr, data):
        mem, at = self.memory(user_addr, len(data))
        mem[at:at + len(data)] = data

    def call(self, index):
        os.write(self.rings[index]["call"], struct.pack("<Q", 1))

    def _forget(self):
        for r in getattr(self, "rings", {}).values():
            for k in ("kick", "call"):
                if r.get(k, -1) >= 0:
                    os.close(r[k])
        for region in getattr(self, "regions", []):
            region[4].close()
        self.rings, self.regions, self.acked = {}, [], None

    def _serve(self):
        while not self.closing:
            try:
                self.client, _ = self.sock.accept()
            except OSError:
                return
            self._forget()  # before it counts: who waits for it looks at the rings next
            self.connects += 1
            try:
                self._talk(self.client)
            except (OSError, EOFError):
                pass
            self.client.close()

    def _recv(self, client, n):
        data, fds = b"", array.array("i")
        while len(data) < n:
            part, anc, _, _ = client.recvmsg(n - len(data), socket.CMSG_SPACE(32 * 4))
            for level, kind, raw in anc:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(raw[:len(raw) - len(raw) % 4])
            if not part:
                raise EOFError
            data += part
        return data, list(fds)

    def _talk(self, client):
        while True:
            head, fds = self._recv(client, 12)
            request, flags, size = struct.unpack("<III", head)
            payload = self._recv(client, size)[0] if size else b""
            name = NAMES.get(request, str(request))
            self.log.append(name)
            if name in self.hang_up:
                for fd in fds:  # the guest's memory among them: its pages would stay taken
                    os.close(fd)
                client.shutdown(socket.SHUT_RDWR)
                return
            reply = self._handle(name, payload, fds)
            if name in self.silent:
                continue
            if reply is None and flags & 8:
                reply = struct.pack("<Q", 1 if name in self.refuse else 0)
            if name in self.garbage:
                client.sendall(b"\xff" * 64)
            elif reply is not None:
                client.sendall(struct.pack("<III", request, 5, len(reply)) + reply)

    def _handle(self, name, p, fds):
        u64 = struct.unpack_from("<Q", p)[0] if len(p) >= 8 else 0
        index, num = struct.unpack_from("<II", p) if len(p) >= 8 else (0, 0)
        ring = self.rings.setdefault(index if "BASE" in name or name in (
            "SET_VRING_NUM", "SET_VRING_ADDR", "SET_VRING_ENABLE") else u64 & 0xFF, {}) \
            if "VRING" in name else None
        if name == "GET_FEATURES":
            return struct.pack("<Q", self.features)
        if name == "GET_PROTOCOL_FEATURES":
            return struct.pack("<Q", self.protocol)
        if name == "GET_QUEUE_NUM":
            return struct.pack("<Q", self.queues)
        if name == "GET_CONFIG":
            offset, size, flags = struct.unpack_from("<III", p)
            part = self.config[offset:offset + size]
            return struct.pack("<III", offset, len(part), flags) + part
        if name == "SET_FEATURES":
            self.acked = u64
        elif name == "SET_MEM_TABLE":
            n, = struct.unpack_from("<I", p)
            for i in range(n):
                gpa, size, uva, offset = struct.unpack_from("<QQQQ", p, 8 + 32 * i)
                self.regions.append((gpa, size, uva, offset, mmap.mmap(fds[i], size + offset)))
            for fd in fds:
                os.close(fd)
        elif name == "SET_VRING_NUM":
            ring["num"] = num
        elif name == "SET_VRING_BASE":
            ring["base"] = num
        elif name == "SET_VRING_ADDR":
            ring["addr"] = dict(zip(("desc", "used", "avail"), struct.unpack_from("<QQQ", p, 8)))
        elif name in ("SET_VRING_KICK", "SET_VRING_CALL"):
            ring[name[10:].lower()] = fds[0] if fds else -1
        elif name == "SET_VRING_ENABLE":
            ring["enabled"] = bool(num)
        elif name == "GET_VRING_BASE":
            ring["enabled"] = False
            ring.pop("kick", None)
            base = self.bases.get(index)
            return struct.pack("<II", index, self.read16(ring["addr"]["used"] + 2)
                               if base is None else base)
        return None
