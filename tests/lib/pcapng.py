# SPDX-License-Identifier: Apache-2.0
"""Reads captures: Reader takes a live stream from the switch, parse() what it was; tshark() asks
Wireshark's reader what it makes of a file."""
import os
import socket
import struct
import subprocess
import threading

SHB, IDB, ISB, EPB = 0x0A0D0D0A, 1, 5, 6
INBOUND, OUTBOUND = 1, 2


class Packet:
    def __init__(self, ns, data, length, direction):
        self.ns, self.data, self.len, self.dir = ns, data, length, direction


class Capture:
    """.packets, .stats: of each statistics block {option: value}, .name: the interface's,
    .whole: it ends with a last statistics block; .rest: bytes of a block that has no end."""

    def __init__(self):
        self.packets, self.stats, self.name, self.description = [], [], None, None
        self.snaplen, self.resolution, self.application, self.rest = None, None, None, 0

    @property
    def whole(self):
        return bool(self.stats) and "end" in self.stats[-1] and not self.rest


def _options(body):
    found = {}
    while len(body) >= 4:
        code, n = struct.unpack_from("<HH", body)
        if code == 0:
            break
        found[code] = body[4:4 + n]
        body = body[4 + (n + 3 & ~3):]
    return found


def _time(eight):
    high, low = struct.unpack("<II", eight)
    return high << 32 | low


def parse(data):
    c = Capture()
    at = 0
    while len(data) - at >= 12:
        kind, n = struct.unpack_from("<II", data, at)
        assert n % 4 == 0 and n >= 12, (at, kind, n)
        if len(data) - at < n:
            break
        assert struct.unpack_from("<I", data, at + n - 4)[0] == n, (at, kind, n)
        body = data[at + 8:at + n - 4]
        if at == 0:
            assert kind == SHB and struct.unpack_from("<IHH", body) == (0x1A2B3C4D, 1, 0), body
            c.application = _options(body[16:]).get(4, b"").decode()
        elif kind == IDB:
            link, _, c.snaplen = struct.unpack_from("<HHI", body)
            assert link == 1, link
            o = _options(body[8:])
            c.name, c.description, c.resolution = o[2].decode(), o[3].decode(), o[9][0]
        elif kind == EPB:
            _, high, low, cap, length = struct.unpack_from("<IIIII", body)
            o = _options(body[20 + (cap + 3 & ~3):])
            flags = struct.unpack("<I", o[2])[0]
            c.packets.append(Packet(high << 32 | low, body[20:20 + cap], length, flags & 3))
        elif kind == ISB:
            o = _options(body[12:])
            s = {"start": _time(o[2]), "received": struct.unpack("<Q", o[4])[0],
                 "dropped": struct.unpack("<Q", o[5])[0]}
            if 3 in o:
                s["end"] = _time(o[3])
            c.stats.append(s)
        else:
            raise AssertionError(f"block {kind:#x} at {at}")
        at += n
    c.rest = len(data) - at
    return c


class Reader:
    """Listens at path; begins a capture there; reads it in a thread, unless and until told to."""

    def __init__(self, sw, path, port, reading=True, **params):
        self.sw, self.path = sw, path
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        try:
            self.id = sw.call("capture_start", port=port, socket=path, **params)["id"]
            listener.settimeout(10)
            self.sock = listener.accept()[0]
        finally:
            listener.close()
            os.unlink(path)
        self.data = bytearray()
        self.thread = None
        if reading:
            self.read()

    def read(self):
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while True:
                got = self.sock.recv(1 << 20)
                if not got:
                    break
                self.data += got
        except OSError:
            pass

    def now(self):
        """What has come so far."""
        return parse(bytes(self.data))

    def finish(self):
        """As lanyard capture ends: no more is wanted; the rest comes, and a last block."""
        self.sock.shutdown(socket.SHUT_WR)
        return self.end()

    def stop(self):
        """By capture_stop: (its result, the capture)."""
        counts = self.sw.call("capture_stop", id=self.id)
        return counts, self.end()

    def end(self):
        if not self.thread:
            self.read()
        self.thread.join(20)
        assert not self.thread.is_alive(), "the stream has no end"
        self.sock.close()
        return self.now()

    def close(self):
        # A thread in recv keeps a socket that is only closed.
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def tshark(path, *fields, args=()):
    """A row of the fields' values for each packet."""
    argv = ["tshark", "-n", "-r", path, *args, "-T", "fields"]
    for f in fields:
        argv += ["-e", f]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    # Started by root, tshark says so on stderr.
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def capinfos(path):
    """What capinfos says, by its keys."""
    done = subprocess.run(["capinfos", "-M", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    pairs = (_pair(line) for line in done.stdout.splitlines())
    return {k: v for k, v in pairs if k}


def _pair(line):
    for mark in (": ", " = "):
        key, found, value = line.partition(mark)
        if found:
            return key.strip(), value.strip()
    return None, None
