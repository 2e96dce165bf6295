#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lanyard-vmm's own disks and random numbers: a guest of some hundred instructions drives them, confined
as ever; and what is said of files that are no disks."""
import fcntl
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import tinyguest as tiny
from harness import Case

ECAM, BAR = 0xE0000000, 0xD0000000
RING, BUF = 0x200000, 0x280000
DESC, AVAIL, USED = 0, 0x100, 0x200  # from RING on
SIZE = 8
IN, OUT, FLUSH = 0, 1, 4
NEXT, WRITE = 1, 2


def store8(addr, value):
    """mov byte [addr], value"""
    return b"\xc6\x05" + struct.pack("<IB", addr, value)


def store16(addr, value):
    """mov word [addr], value"""
    return b"\x66\xc7\x05" + struct.pack("<IH", addr, value)


def wait16(addr, value):
    """0: cmp word [addr], value; jne 0"""
    return b"\x66\x81\x3d" + struct.pack("<IH", addr, value) + b"\x75\xf5"


def wait8(addr, value):
    """0: cmp byte [addr], value; jne 0"""
    return b"\x80\x3d" + struct.pack("<IB", addr, value) + b"\x75\xf7"


def show(addr, n):
    """mov esi, addr; mov ecx, n; mov dx, COM1; 0: lodsb; out dx, al; loop 0"""
    return (b"\xbe" + struct.pack("<I", addr) + b"\xb9" + struct.pack("<I", n)
            + b"\x66\xba\xf8\x03" + b"\xac\xee\xe2\xfc")


class Device:
    """Code that drives queue 0 of the virtio device in a slot, at BAR + slot MiB."""

    def __init__(self, slot):
        self.bar, self.ring, self.n = BAR + (slot << 20), RING + (slot << 16), 0
        self.config = ECAM + (slot << 15)

    def start(self):
        code = (tiny.store32(self.config + 0x10, self.bar) + tiny.store32(self.config + 0x14, 0)
                + store16(self.config + 4, 6))
        code += store8(self.bar + 20, 0) + wait8(self.bar + 20, 0)
        code += tiny.store32(self.ring + AVAIL, 0) + tiny.store32(self.ring + USED, 0)
        self.n = 0
        code += store8(self.bar + 20, 1) + store8(self.bar + 20, 3)
        code += tiny.store32(self.bar + 8, 1) + tiny.store32(self.bar + 12, 1)  # VERSION_1
        code += store8(self.bar + 20, 11) + store16(self.bar + 22, 0) + store16(self.bar + 24, SIZE)
        for part, at in enumerate((DESC, AVAIL, USED)):
            code += tiny.store32(self.bar + 32 + 8 * part, self.ring + at)
            code += tiny.store32(self.bar + 36 + 8 * part, 0)
        return code + store16(self.bar + 28, 1) + store8(self.bar + 20, 15)

    def chain(self, *parts):
        """(address, length, writable) each; waits until it was used."""
        code = b""
        for i, (addr, length, write) in enumerate(parts):
            flags = (WRITE if write else 0) | (NEXT if i + 1 < len(parts) else 0)
            at = self.ring + DESC + 16 * i
            code += tiny.store32(at, addr) + tiny.store32(at + 4, 0) + tiny.store32(at + 8, length)
            code += tiny.store32(at + 12, flags | (i + 1) << 16)
        code += store16(self.ring + AVAIL + 4 + 2 * (self.n % SIZE), 0)
        self.n += 1
        code += store16(self.ring + AVAIL + 2, self.n)
        return code + store16(self.bar + 0x3000, 0) + wait16(self.ring + USED + 2, self.n)

    def request(self, kind, sector, data=(), writable=False):
        """Its status is shown, as a letter: A is OK."""
        code = tiny.store32(BUF, kind) + tiny.store32(BUF + 4, 0)
        code += tiny.store32(BUF + 8, sector) + tiny.store32(BUF + 12, 0) + store8(BUF + 16, 0xEE)
        code += self.chain((BUF, 16, False), *((a, n, writable) for a, n in data),
                           (BUF + 16, 1, True))
        return code + b"\x80\x05" + struct.pack("<IB", BUF + 16, 0x41) + show(BUF + 16, 1)


def text_at(addr, text):
    text += b"\0" * (-len(text) % 4)
    return b"".join(tiny.store32(addr + i, struct.unpack("<I", text[i:i + 4])[0])
                    for i in range(0, len(text), 4))


@harness.needs_kvm
class Disks(Case):
    def make(self, name, size, data=b""):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(data)
            f.truncate(size)
        return path

    def argv(self, *more, kernel=harness.PROBE):
        return [harness.VMM, "--name", "v", "--control", self.path("v.sock"), "--console-log",
                self.path("v.console.log"), "--kernel", kernel, "--memory", "64M", *more]

    def run_guest(self, code, *more):
        """Until it powers itself off; what it printed."""
        elf = tiny.write_elf(self.path("guest.elf"), code + tiny.POWER_OFF)
        done = subprocess.run(self.argv(*more, kernel=elf), env=self.env, timeout=20 * harness.PATIENCE,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(self.path("v.console.log"), "rb") as f:
            return f.read()

    def test_a_guest_reads_and_writes(self):
        """Kick, thread, file and used ring, in a machine that is confined."""
        disk = self.make("disk", 4096, b"read by the guest")
        other = self.make("other", 512, b"of the other")
        a, b = Device(1), Device(2)
        at = BUF + 0x1000
        code = a.start() + a.request(IN, 0, [(at, 100), (at + 100, 412)], True) + show(at, 17)
        code += text_at(at, b"written by the guest") + a.request(OUT, 7, [(at, 512)])
        code += a.request(FLUSH, 0) + a.request(IN, 8, [(at, 512)], True) + a.request(99, 0)
        code += b.start() + b.request(IN, 0, [(at, 512)], True) + show(at, 12)
        code += b.request(OUT, 0, [(at, 512)])
        # and the device that was reset begins anew
        code += a.start() + a.request(IN, 7, [(at, 512)], True) + show(at + 8, 12)
        printed = self.run_guest(code, "--disk", f"file={disk},serial=x", "--disk",
                                 f"file={other},readonly=on")
        self.assertEqual(printed, b"Aread by the guest" b"AABC" b"Aof the other" b"B"
                         b"Aby the guest")
        with open(disk, "rb") as f:
            data = f.read()
        self.assertEqual(data[7 * 512:7 * 512 + 20], b"written by the guest")
        self.assertEqual((len(data), data[:17]), (4096, b"read by the guest"))

    def test_random_numbers(self):
        r, at = Device(1), BUF + 0x1000
        printed = self.run_guest(r.start() + r.chain((at, 1000, True), (at + 1000, 24, True))
                                 + show(at, 1024), "--rng")
        self.assertEqual(len(printed), 1024)
        self.assertGreater(len(set(printed)), 200)

    def refused(self, status, option, *says):
        done = subprocess.run(self.argv("--disk", option), env=self.env, timeout=20 * harness.PATIENCE,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(status, done.returncode, done.stdout)
        for word in says:
            self.assertIn(word, done.stdout)
        self.assertFalse(os.path.exists(self.path("v.sock")))

    def test_files_that_are_no_disks(self):
        self.refused(2, f"file={self.path('none')}", "is not there", "truncate -s 10G")
        self.refused(2, f"file={self.run_dir}", "a folder", "expected a file or a block device")
        self.refused(2, f"file={self.make('odd', 1000)}", "1000 bytes", "a multiple of 512",
                     "truncate -s 1024")
        self.refused(2, f"file={self.make('empty', 0)}", "0 bytes")
        path = self.make("disk", 4096)
        self.refused(2, f"file={path},readonly=maybe", "expected on or off")
        self.refused(2, f"file={path},queues=17", "from 1 to 16")
        self.refused(2, f"file={path},serial=123456789012345678901", "1 to 20 bytes")

    def test_locked_by_another_vm(self):
        path = self.make("disk", 4096)
        elf = tiny.write_elf(self.path("guest.elf"), tiny.HLT)
        first = self.start([harness.VMM, "--name", "w", "--control", self.path("w.sock"),
                            "--kernel", elf, "--memory", "4M", "--disk", f"file={path}"], "w")
        harness.wait_until(lambda: os.path.exists(self.path("w.sock")), 20, "the first machine")
        self.refused(3, f"file={path}", "in use by", f"pid {first.proc.pid}", "readonly=on")
        self.refused(3, f"file={path},readonly=on", f"pid {first.proc.pid}", "it writes to it")
        first.stop()
        with open(path, "rb") as f:  # one that is no lanyard-vmm
            fcntl.flock(f, fcntl.LOCK_SH)
            fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))  # F_OFD_SETLK
            self.refused(3, f"file={path}", f"pid {os.getpid()}")


if __name__ == "__main__":
    harness.main()
