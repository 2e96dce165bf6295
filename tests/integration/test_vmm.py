#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lanyard-vmm by itself: how fast a guest answers, how small the process is, its serial lines, resets,
crashes, and what it says about bad requests and hosts."""
import ctypes
import json
import mmap
import os
import random
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import tinyguest as tiny
from harness import Case, Rpc, own_memory_kib, wait_until

HELLO = b'{"jsonrpc": "2.0", "id": 1, "method": "hello"}\n'


def connect(path, timeout_s=5):
    """A raw stream socket to path, as soon as somebody listens."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(timeout_s * harness.PATIENCE)

    def try_it():
        try:
            s.connect(path)
            return True
        except OSError:
            return False

    deadline = time.monotonic() + timeout_s * harness.PATIENCE
    while not try_it():
        if time.monotonic() > deadline:
            raise AssertionError(f"nobody listens on {path}")
        time.sleep(0.0005)
    return s


def recv_line(s):
    buf = b""
    while not buf.endswith(b"\n"):
        got = s.recv(65536)
        if not got:
            raise EOFError(buf)
        buf += got
    return buf


def recv_exactly(s, n):
    buf = b""
    while len(buf) < n:
        got = s.recv(65536)
        if not got:
            raise EOFError(buf)
        buf += got
    return buf


@harness.needs_kvm
class VmmCase(Case):
    def vmm(self, name, *args, **kwargs):
        return super().vmm(name, *args, **{"cmdline": f"tsc_hz=2000000000 node={name}", **kwargs})

    def argv(self, name="v", kernel=harness.PROBE, memory="64M", *more):
        return [harness.VMM, "--name", name, "--control", self.path(f"{name}.sock"), "--agent",
                self.path(f"{name}.agent"), "--console", self.path(f"{name}.console"),
                "--console-log", self.path(f"{name}.console.log"), "--kernel", kernel,
                "--memory", memory, "--cmdline", "tsc_hz=2000000000 node=v", *more]

    def tiny(self, code, name="tiny.elf", **kwargs):
        return tiny.write_elf(self.path(name), code, **kwargs)

    def tiny_vmm(self, code, *more):
        return self.vmm("v", *more, kernel=self.tiny(code), memory="4M")

    def printed(self, name="v"):
        with open(self.path(f"{name}.console.log"), "rb") as f:
            return f.read()

    def ended(self, daemon, timeout_s=10):
        """Its exit status and log, once it has ended by itself."""
        daemon.proc.wait(timeout_s)
        return daemon.proc.returncode, daemon.text()


class Boot(VmmCase):
    def test_agent_answers_in_100_ms(self):
        times = []
        for i in range(20):
            begin = time.perf_counter()
            d = self.start(self.argv(f"v{i}"), f"v{i}")
            s = connect(self.path(f"v{i}.agent"))
            s.sendall(HELLO)
            reply = json.loads(recv_line(s))
            times.append((time.perf_counter() - begin) * 1000)
            self.assertEqual("probe", reply["result"]["guest"])
            s.close()
            self.assertEqual(0, d.kill(signal.SIGTERM))
        median = statistics.median(times)
        print(f"figure: agent answers {median:.1f} ms after lanyard-vmm's start (median of 20; "
              f"{min(times):.1f} to {max(times):.1f})")
        if not harness.sanitized() and harness.PATIENCE == 1:  # an emulated machine has other times
            self.assertLess(median, 100)

    def test_own_memory_below_8_mib(self):
        nics = []
        for i in range(4):
            nics += ["--nic", f"socket={self.path(f'n{i}')},mac=02:00:00:00:00:0{i + 1}"]
        v = self.vmm("v", *nics)
        with Rpc(self.path("v.agent")) as agent:
            self.assertEqual(4, len(agent.call("hello")["nics"]))
        time.sleep(0.3)
        rss, pss = own_memory_kib(v.pid)
        print(f"figure: lanyard-vmm's own memory without guest memory, 4 NICs: {rss} KiB resident, "
              f"of which {pss} KiB are its share (PSS)")
        if not harness.sanitized():
            self.assertLess(rss, 8192)

    def test_without_hugepages(self):
        """--hugepages none, and a lab larger than the free pages: both run, the second warns."""
        v = self.vmm("v", "--hugepages", "none")
        self.assertFalse(v.call("info")["huge"])
        self.assertIn("in pages of 4K", v.text())
        free, total = harness.huge_free()
        with open("/proc/meminfo") as f:
            available = int(re.search(r"MemAvailable: *(\d+)", f.read()).group(1)) >> 10
        megabytes = 2 * (free + 1)
        if megabytes > available:
            megabytes = 0  # the host could not hold it in plain pages either
        if megabytes:
            w = self.vmm("w", memory=f"{megabytes}M")
            self.assertFalse(w.call("info")["huge"])
            self.assertIn("no hugepages for the guest's", w.text())

    def test_info(self):
        v = self.vmm("v", "--cpus", "0")
        info = wait_until(lambda: (i := v.call("info"))["vcpus"][0]["tid"] and i["exits"]["io"]
                          and i, 5, "the vCPU to run")
        self.assertEqual(("lanyard-vmm", "v", "running", None, 64 << 20, v.pid),
                         (info["name"], info["node"], info["state"], info["reason"],
                          info["memory_bytes"], info["pid"]))
        self.assertEqual(0, info["vcpus"][0]["cpu"])
        tid = info["vcpus"][0]["tid"]
        self.assertEqual({0}, os.sched_getaffinity(tid))
        wait_until(lambda: v.call("info")["exits"]["hlt"] > 0, 5, "the idle guest to sleep")
        self.assertEqual({"socket": self.path("v.console"), "pty": None, "stdio": False,
                          "log": self.path("v.console.log")}, v.call("console"))
        with self.assertRaises(harness.RpcError):
            v.call("info", color="red")

    def test_second_cpu_is_started_by_sipi(self):
        self.tiny_vmm(tiny.SECOND_CPU, "--vcpus", "2")
        wait_until(lambda: sorted(self.printed()) == sorted(b"12"), 5, "both CPUs to print")

    def test_tsc_is_the_hosts(self):
        """A guest's stamp lies between two of the host's: time stamps of guests can be subtracted."""
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex("0f31" "48c1e220" "4809d0" "c3"))  # rdtsc; rax |= rdx << 32; ret
        rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(
            ctypes.addressof(ctypes.c_char.from_buffer(code)))
        for name in ("v", "w"):
            before = rdtsc()
            self.vmm(name, kernel=self.tiny(tiny.TSC), memory="4M")
            wait_until(lambda: len(self.printed(name)) == 8, 5, "the stamp")
            stamp, = struct.unpack("<Q", self.printed(name))
            self.assertLess(before, stamp)
            self.assertLess(stamp, rdtsc())

    def test_nonsense_in_a_queue_needs_a_reset(self):
        """Bad queues break that device, with a reason; the machine and its other NIC go on."""
        for size, at, says in ((256, 0x70000000, "outside memory"), (100, 0x200000, "size 100")):
            code = tiny.nic_negotiate(1) + b"".join(tiny.nic_write(*a) for a in (
                (22, 2, 0), (24, 2, size), (32, 4, at), (40, 4, at), (48, 4, at), (28, 2, 1),
                (20, 1, 15))) + tiny.nic_negotiate(2) + tiny.puts("on") + tiny.ECHO
            v = self.tiny_vmm(code, "--nic", f"socket={self.path('0')},mac=02:00:00:00:00:01",
                              "--nic", f"socket={self.path('1')},mac=02:00:00:00:00:02")
            wait_until(lambda: self.printed() == b"on", 5, "the guest to go on")
            bad, good = v.call("info")["nics"]
            self.assertTrue(bad["needs_reset"])
            self.assertIn(says, bad["reason"])
            self.assertIn("needs a reset", v.text())
            self.assertEqual((False, ["VERSION_1"]), (good["needs_reset"], good["features"]))
            self.assertEqual(0, v.kill(signal.SIGTERM))

    def test_random_register_writes(self):
        """A guest that writes at random all over its NIC: it says so or not, but all of us live."""
        rng = random.Random(7)
        for _ in range(5):
            code = b"".join(
                rng.choice((
                    lambda: tiny.nic_write(rng.choice((rng.randrange(64), rng.randrange(0x8000))),
                                           rng.choice((1, 2, 4)), rng.choice(
                                               (0, 1, 3, 11, 15, 0xFFFF, rng.getrandbits(32)))),
                    lambda: tiny.store32(0xE0008000 + 4 * rng.randrange(64),
                                         rng.getrandbits(32))))() for _ in range(400))
            v = self.tiny_vmm(code + tiny.puts("on") + tiny.HLT, "--nic",
                              f"socket={self.path('0')},mac=02:00:00:00:00:01")
            wait_until(lambda: self.printed() == b"on", 10, "the guest's end")
            self.assertEqual("running", v.call("info")["state"])
            self.assertEqual(0, v.kill(signal.SIGTERM))


class Life(VmmCase):
    def test_power_off(self):
        d = self.start(self.argv("v", self.tiny(tiny.puts("bye") + tiny.POWER_OFF), "4M"))
        status, text = self.ended(d)
        self.assertEqual(0, status)
        self.assertIn("powered itself off", text)
        self.assertEqual(b"bye", self.printed())
        self.assertEqual([], [n for n in os.listdir(self.run_dir)
                              if n.startswith("v.") and not n.endswith(".log")])

    def test_sigterm_and_stop(self):
        for how in ("signal", "rpc"):
            v = self.vmm("v")
            if how == "rpc":
                self.assertEqual({}, v.call("stop"))
                v.proc.wait(5)
            self.assertEqual(0, v.kill(signal.SIGTERM))
            self.assertFalse(os.path.exists(self.path("v.sock")))
            self.assertFalse(os.path.exists(self.path("v.agent")))

    def test_triple_faults_end_it(self):
        d = self.start(self.argv("v", self.tiny(tiny.puts("x") + tiny.TRIPLE_FAULT), "4M"))
        status, text = self.ended(d)
        self.assertEqual(1, status)
        self.assertIn("more than 5 times in 10 s", text)
        self.assertEqual(b"x" * 6, self.printed())

    def test_guest_resets(self):
        for code in (tiny.RESET_CF9, tiny.RESET_KBD):
            v = self.tiny_vmm(tiny.puts("r") + code)
            wait_until(lambda: v.call("info")["resets"] > 20, 10, "20 resets")
            self.assertEqual(0, v.kill(signal.SIGTERM))

    def test_reset_by_rpc_starts_the_guest_anew(self):
        v = self.vmm("v")
        with Rpc(self.path("v.agent")) as agent:
            for i in range(10):
                first = agent.call("hello")["tsc"]
                self.assertEqual({}, v.call("reset"))
                self.assertGreater(agent.call("hello")["tsc"], first)
        self.assertEqual(10, v.call("info")["resets"])

    def test_a_changed_file_does_not_matter(self):
        """The image is kept open: a build that replaces the file does not break the reset."""
        path = self.tiny(tiny.puts("a") + tiny.HLT)
        v = self.vmm("v", kernel=path, memory="4M")
        wait_until(lambda: self.printed() == b"a", 5, "the guest's start")
        os.unlink(path)
        v.call("reset")
        wait_until(lambda: self.printed() == b"aa", 5, "the guest's second start")


class Serial(VmmCase):
    def test_echo_both_ways(self):
        v = self.tiny_vmm(tiny.ECHO)
        s = connect(self.path("v.agent"))
        s.sendall(b"0123456789\n")
        self.assertEqual(b"0123456789\n", recv_line(s))
        wait_until(lambda: self.printed() == b"0123456789\n", 5, "the console's log")
        s.close()
        self.assertEqual("running", v.call("info")["state"])

    def test_many_bytes_and_none_lost(self):
        """128 KiB through rep insb and rep outsb, far more than the FIFOs hold."""
        v = self.tiny_vmm(tiny.STRING_ECHO)
        data = bytes(i * 31 % 251 for i in range(128 << 10))
        s = connect(self.path("v.agent"), 20)
        begin = time.perf_counter()
        s.setblocking(False)
        sent, got = 0, b""
        deadline = time.monotonic() + 60 * harness.PATIENCE
        while len(got) < len(data) and time.monotonic() < deadline:
            try:
                sent += s.send(data[sent:sent + 16384]) if sent < len(data) else 0
            except BlockingIOError:
                pass
            try:
                got += s.recv(65536)
            except BlockingIOError:
                time.sleep(0.0005)
        took = time.perf_counter() - begin
        self.assertEqual(data, got)
        print(f"figure: COM2 string I/O {128 / took:.0f} KiB/s each way, "
              f"{v.call('info')['exits']['io']} exits for 128 KiB both ways")

    def test_second_agent_is_told(self):
        self.vmm("v")
        first = connect(self.path("v.agent"))
        first.sendall(HELLO)
        recv_line(first)
        second = connect(self.path("v.agent"))
        error = json.loads(recv_line(second))["error"]
        self.assertIn("taken", error["message"])
        self.assertEqual(b"", second.recv(10))
        first.close()
        for _ in range(20):  # and one after the other there is always room
            third = connect(self.path("v.agent"))
            third.sendall(HELLO)
            self.assertIn("result", json.loads(recv_line(third)))
            third.close()

    def test_half_said_request_does_not_spoil_the_next(self):
        self.vmm("v")
        s = connect(self.path("v.agent"))
        s.sendall(b'{"jsonrpc": "2.0", "id": 7, "method": "hel')
        time.sleep(0.1)
        s.close()
        with Rpc(self.path("v.agent")) as agent:
            # The guest answers the broken line with an error of id null; it may come first.
            try:
                agent.call("hello")
            except harness.RpcError as e:
                self.assertEqual(-32700, e.code)
                self.assertEqual("probe", agent.call("hello")["guest"])

    def test_half_closed_client_gets_its_answer(self):
        self.vmm("v")
        s = connect(self.path("v.agent"))
        s.sendall(HELLO)
        s.shutdown(socket.SHUT_WR)
        self.assertIn("result", json.loads(recv_line(s)))

    def test_console_shows_the_past(self):
        self.tiny_vmm(tiny.puts("hello world\n") + tiny.ECHO)
        wait_until(lambda: self.printed() == b"hello world\n", 5, "the first output")
        c = connect(self.path("v.console"))
        self.assertEqual(b"hello world\n", recv_line(c))
        second = connect(self.path("v.console"))
        self.assertIn(b"taken", recv_line(second))
        a = connect(self.path("v.agent"))
        a.sendall(b"more\n")
        self.assertEqual(b"more\n", recv_line(c))

    def test_sleeping_console_does_not_hold_up_the_guest(self):
        """More than FIFO and socket hold, and a client that reads none of it: the log has it all."""
        path = self.tiny(tiny.ECHO[:9] + tiny.PRINT_1_MIB)  # begins at a byte from the agent
        self.vmm("v", kernel=path, memory="4M")
        asleep = connect(self.path("v.console"))
        a = connect(self.path("v.agent"), 20)
        a.sendall(b"go")
        self.assertEqual(b"done\n", recv_line(a))
        wait_until(lambda: len(self.printed()) == 1 << 20, 5, "the console's log")
        asleep.close()


class Refusals(VmmCase):
    """Each bad request or host: its sentence and exit status; nothing is left behind."""

    def refused(self, argv, status, *says, prefix=()):
        done = subprocess.run([*prefix, *argv], env=self.env, timeout=20 * harness.PATIENCE, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(status, done.returncode, done.stdout)
        for word in says:
            self.assertIn(word, done.stdout)
        left = [n for n in os.listdir(self.run_dir) if n.startswith("v.") and
                not n.endswith(".log")]
        self.assertEqual([], left)

    def test_usage(self):
        for argv, says in (([], "--name is missing"), (["--nonsense"], "--nonsense"),
                           (["--name", "v", "--control", "/tmp/x", "--kernel", "k"], "--memory"),
                           (self.argv("v", "k", "64"), "unit")):
            self.refused([harness.VMM] + argv if not argv or argv[0] != harness.VMM else argv, 2,
                         says)

    def test_guest_file(self):
        good = tiny.HLT
        bad = [(self.path("none.elf"), ("No such file", "PVH note"))]
        for name, kwargs, says in (
                ("magic", {"magic": b"\x7fNOT"}, "neither an ELF nor a bzImage"),
                ("arm", {"machine": 183}, "another machine"),
                ("note", {"note": False}, "has no PVH note"),
                ("high", {"paddr": 0x400000}, "outside the guest's memory"),
                ("low", {"paddr": 0x1000}, "outside the guest's memory"),
                ("huge", {"memsz": 1 << 40}, "outside the guest's memory"),
                ("entry", {"entry": 0xf0000000}, "entry outside")):
            bad.append((self.tiny(good, f"{name}.elf", **kwargs), (says, f"{name}.elf")))
        with open(self.path("short.elf"), "wb") as f:
            f.write(tiny.elf(good)[:150])
        bad.append((self.path("short.elf"), ("truncated",)))
        bad.append((self.run_dir, ("not a regular file",)))
        bad += [(self.bz(f"{name}.bz", **fields), (says, f"{name}.bz")) for name, fields, says in (
            ("old", {"version": 0x20b}, "from before Linux 3.8"),
            ("32-bit", {"xloadflags": 0}, "is a 32-bit kernel"),
            ("short", {"syssize": 1 << 20}, "truncated: its kernel lies beyond its end"),
            ("big", {"init_size": 1 << 30}, "this kernel needs 1041M to unpack itself"))]
        for path, says in bad:
            self.refused(self.argv("v", path, "4M"), 2, *says)

    def bz(self, name, version=0x20f, xloadflags=0x7f, syssize=64, init_size=1 << 20):
        """A bzImage with a kernel of 1 KiB that halts."""
        image = bytearray(5 * 512) + tiny.HLT.ljust(0x200, b"\x90") + tiny.HLT.ljust(0x200, b"\x90")
        for off, fmt, value in (
                (0x1f1, "B", 4), (0x1f4, "I", syssize), (0x1fe, "H", 0xaa55),
                (0x200, "H", 0x6aeb), (0x202, "4s", b"HdrS"), (0x206, "H", version),
                (0x211, "B", 1), (0x22c, "I", 0x7fffffff), (0x230, "I", 0x200000),
                (0x236, "H", xloadflags), (0x238, "I", 255), (0x258, "Q", 16 << 20),
                (0x260, "I", init_size)):
            struct.pack_into("<" + fmt, image, off, value)
        with open(self.path(name), "wb") as f:
            f.write(image)
        return self.path(name)

    def test_initrd_and_command_line(self):
        kernel = self.bz("good.bz")
        argv = self.argv("v", kernel, "32M")
        self.refused([*argv, "--initrd", self.path("none")], 2, "initramfs")
        self.refused([*argv, "--initrd", self.run_dir], 2, "not a regular file")
        with open(self.path("i.cpio"), "wb") as f:
            self.refused([*argv, "--initrd", f.name], 2, "is empty")
            f.truncate(40 << 20)
            self.refused([*argv, "--initrd", f.name], 2,
                         "does not fit beside the kernel into the guest's memory of 32M")
        self.refused([*argv, "--cmdline", "x" * 256], 2,
                     "256 bytes: this kernel takes at most 255")
        # And the good one runs: in long mode, with an initramfs, and again after a reset.
        with open(self.path("i.cpio"), "wb") as f:
            f.truncate(1 << 20)
        v = self.vmm("v", "--initrd", self.path("i.cpio"), kernel=kernel, memory="32M")
        wait_until(lambda: v.call("info")["exits"]["hlt"], 5, "the guest to halt")
        v.call("reset")
        self.assertEqual(1, v.call("info")["resets"])
        self.assertTrue(v.alive())

    def test_cpus(self):
        argv = self.argv("v", self.tiny(tiny.HLT), "4M")
        for args, says in ((["--vcpus", "65"], "from 1 to 64"),
                           (["--vcpus", "6,sockets=4"], "6 vCPUs can't be had as 4 socket"),
                           (["--cpu-without", "cx61x"], "is no CPU feature")):
            self.refused(argv + args, 2, says)
        v = self.vmm("v", "--vcpus", "64,sockets=2,threads=2", kernel=self.tiny(tiny.HLT), memory="4M")
        self.assertEqual(64, len(v.call("info")["vcpus"]))

    def test_hugepages_short(self):
        """How many, of which size; and whether there are any of that size is the host's."""
        kernel = self.tiny(tiny.HLT)
        free, total = harness.huge_free()
        with open("/proc/meminfo") as f:
            memory = int(re.search(r"MemTotal: *(\d+)", f.read()).group(1)) >> 10
        if 2 * (total + 8) < memory:
            self.refused([*self.argv("v", kernel, f"{2 * (total + 8)}M"), "--hugepages", "2M"], 3,
                         " hugepages of 2M are missing: the guest's")
        if not os.environ.get("LANYARD_TEST_SHARED_HOST") and 2 * (free + 3) < memory:
            self.refused([*self.argv("v", kernel, f"{2 * (free + 3)}M"), "--hugepages", "2M"], 3,
                         f"3 hugepages of 2M are missing: the guest's {2 * (free + 3)}M needs "
                         f"{free + 3}, and {free} of {total} are free")
        self.refused([*self.argv("v", kernel, "4M"), "--hugepages", "1G"], 2,
                     "memory of 4M in hugepages of 1G: expected a multiple")
        pages = "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages"
        if not os.path.exists(pages):
            self.refused([*self.argv("v", kernel, "1G"), "--hugepages", "1G"], 3,
                         "no hugepages of 1G")
        elif open(pages).read().strip() == "0":
            self.refused([*self.argv("v", kernel, "1G"), "--hugepages", "1G"], 3,
                         "1 hugepages of 1G are missing")
        v = self.vmm("v", "--hugepages", "2M", kernel=kernel, memory="4M")
        self.assertTrue(v.call("info")["huge"])

    def test_a_page_of_1_gib(self):
        """Where the host finds one: most do when they have some memory to spare."""
        pages = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
        with open("/proc/meminfo") as f:
            spare = int(re.search(r"MemAvailable: *(\d+)", f.read()).group(1)) >> 20
        if os.geteuid() or not os.path.exists(pages) or spare < 4:
            return

        def put(n):
            with open(pages, "w") as f:
                f.write(str(n))
        with open(pages) as f:
            before = int(f.read())
        self.addCleanup(put, before)
        put(before + 1)
        with open(pages) as f:
            if int(f.read()) != before + 1:
                return
        v = self.vmm("v", "--hugepages", "1G", kernel=self.tiny(tiny.HLT), memory="1G")
        self.assertEqual(1 << 30, v.call("info")["page_bytes"])

    def test_memory(self):
        kernel = self.tiny(tiny.HLT)
        self.refused(self.argv("v", kernel, "0M"), 2, "--memory is missing or 0")
        self.refused(self.argv("v", kernel, "3M"), 2, "multiple of 2M")
        self.refused(self.argv("v", kernel, "900T"), 3, "the host has")
        with open("/proc/meminfo") as f:
            total = int(re.search(r"MemTotal: *(\d+)", f.read()).group(1)) >> 10
        self.refused(self.argv("v", kernel, f"{(total + 2) & ~1}M"), 3, "the host has")

    def test_sockets(self):
        kernel = self.tiny(tiny.HLT)
        long = "/tmp/" + "x" * 120
        argv = self.argv("v", kernel, "4M")
        argv[argv.index("--control") + 1] = long
        self.refused(argv, 2, "too long", "107")
        with open(self.path("taken"), "w"):
            pass
        argv[argv.index("--control") + 1] = self.path("taken")
        self.refused(argv, 2, "taken")
        v = self.vmm("first", kernel=kernel, memory="4M")
        argv[argv.index("--control") + 1] = v.control
        self.refused(argv, 2, "taken")
        self.assertEqual("running", v.call("info")["state"])
        # What a killed process left is no obstacle.
        v.kill(signal.SIGKILL)
        self.assertTrue(os.path.exists(v.control))
        self.vmm("first", kernel=kernel, memory="4M")

    def test_no_such_cpu(self):
        self.refused(self.argv("v", self.tiny(tiny.HLT), "4M", "--cpus", "999"), 2, "CPU 999")

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_no_kvm(self):
        argv = self.argv("v", self.tiny(tiny.HLT), "4M")
        hide = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh"]
        self.refused(argv, 3, "/dev/kvm", "no KVM", prefix=hide)
        fake = ["unshare", "-m", "sh", "-c", "mount --bind /dev/zero /dev/kvm && exec \"$@\"", "sh"]
        self.refused(argv, 3, "/dev/kvm is not KVM", prefix=fake)

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_no_permission(self):
        os.chmod(self.run_dir, 0o777)
        kernel = self.tiny(tiny.HLT)
        os.chmod(kernel, 0o644)
        mount = ("mount -t tmpfs none /mnt && mknod -m 600 /mnt/kvm c 10 232 && "
                 "cp \"$0\" /mnt/vmm && chmod 755 /mnt /mnt/vmm && "
                 "mount --bind /mnt/kvm /dev/kvm && "
                 "exec setpriv --reuid 65534 --regid 65534 --clear-groups /mnt/vmm \"$@\"")
        argv = self.argv("v", kernel, "4M")
        self.refused(argv, 3, "no permission", "usermod",
                     prefix=["unshare", "-m", "sh", "-c", mount])


if __name__ == "__main__":
    harness.main()
