#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest's console on a pseudo-terminal and on the terminal that lanyard-vmm was started from: real
ones, with what their users do: come and go, type ahead, read nothing, kill it."""
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
import tty

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import test_vmm
import tinyguest as tiny
from harness import Case, Rpc, wait_until

LFLAG = 3


def read_until(fd, text, timeout_s=10):
    """What fd gives until `text` is in it."""
    got = b""
    deadline = time.monotonic() + timeout_s * harness.PATIENCE
    while text not in got:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"waited in vain for {text!r}; got {got!r}")
        more = os.read(fd, 65536)
        if not more:
            raise AssertionError(f"the end came before {text!r}; got {got!r}")
        got += more
    return got


@harness.needs_kvm
class Consoles(Case):
    def argv(self, code, *more, name="v"):
        kernel = tiny.write_elf(self.path(f"{name}.elf"), code)
        return [harness.VMM, "--name", name, "--control", self.path(f"{name}.sock"), "--kernel",
                kernel, "--memory", "4M", "--hugepages", "none", *more]

    def file(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def refused(self, says, *options):
        done = subprocess.run(self.argv(tiny.HLT, *options), env=self.env, timeout=20 * harness.PATIENCE,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(2, done.returncode, done.stdout)
        self.assertIn(says, done.stdout)


class Pty(Consoles):
    def open_link(self):
        wait_until(lambda: os.path.exists(self.path("v.pty")), 10, "the link")
        return os.open(self.path("v.pty"), os.O_RDWR | os.O_NOCTTY)

    def test_pty(self):
        d = self.start(self.argv(tiny.puts("first\r\n") + tiny.CONSOLE_ECHO, "--console-pty",
                                 self.path("v.pty"), "--console-log", self.path("v.con")), "v")
        wait_until(lambda: os.path.exists(self.path("v.con")) and
                   self.file("v.con") == b"first\r\n", 10, "the guest's first line")
        # Who opens it is shown what was printed, and what it types is not echoed by the terminal.
        for i in range(5):
            fd = self.open_link()
            self.assertTrue(os.ttyname(fd).startswith("/dev/pts/"))
            read_until(fd, b"first\r\n")
            os.write(fd, b"hello %d\n" % i)
            read_until(fd, b"hello %d\n" % i)
            os.close(fd)
        want = b"first\r\n" + b"".join(b"hello %d\n" % i for i in range(5))
        wait_until(lambda: self.file("v.con") == want, 10, "the log")
        with Rpc(self.path("v.sock")) as rpc:
            self.assertEqual({"socket": None, "pty": self.path("v.pty"), "stdio": False,
                              "log": self.path("v.con")}, rpc.call("console"))
        # Nobody reads, and the guest goes on.
        asleep = self.open_link()
        self.assertEqual(0, d.kill(signal.SIGTERM))
        os.close(asleep)
        self.assertFalse(os.path.lexists(self.path("v.pty")))

    def test_reader_that_sleeps(self):
        path = self.path("v.pty")
        d = self.start(self.argv(tiny.ECHO[:9] + tiny.PRINT_1_MIB, "--agent", self.path("v.agent"),
                                 "--console-pty", path, "--console-log", self.path("v.con")), "v")
        fd = self.open_link()
        a = test_vmm.connect(self.path("v.agent"), 30)
        a.sendall(b"go")
        self.assertEqual(b"done\n", test_vmm.recv_line(a))
        wait_until(lambda: len(self.file("v.con")) == 1 << 20, 10, "the console's log")
        os.close(fd)
        self.assertEqual(0, d.kill(signal.SIGTERM))

    def test_link(self):
        """One left by a killed process is replaced; anything else is not ours to remove."""
        d = self.start(self.argv(tiny.HLT, "--console-pty", self.path("v.pty")), "v")
        wait_until(lambda: os.path.lexists(self.path("v.pty")), 10, "the link")
        d.kill(signal.SIGKILL)
        self.assertTrue(os.path.lexists(self.path("v.pty")))
        d = self.start(self.argv(tiny.CONSOLE_ECHO, "--console-pty", self.path("v.pty")), "v2")
        with wait_until(lambda: self.connects("v.sock"), 10, "the second one") as rpc:
            rpc.call("info")
        fd = self.open_link()
        os.write(fd, b"x")
        read_until(fd, b"x")
        os.close(fd)
        # Somebody made it another's meanwhile: it stays.
        os.unlink(self.path("v.pty"))
        os.symlink("/dev/null", self.path("v.pty"))
        self.assertEqual(0, d.kill(signal.SIGTERM))
        self.assertEqual("/dev/null", os.readlink(self.path("v.pty")))
        self.refused("is no link to a terminal", "--console-pty", self.path("v.pty"))
        self.refused("its folder", "--console-pty", self.path("none/v.pty"))

    def connects(self, name):
        try:
            return Rpc(self.path(name))
        except OSError:
            return None

    def test_one_of_them(self):
        self.refused("one of them at most", "--console-pty", self.path("p"), "--console-stdio")
        self.refused("one of them at most", "--console-pty", self.path("p"), "--console",
                     self.path("c"))


class Stdio(Consoles):
    def on_terminal(self, code, *more):
        """lanyard-vmm as a shell starts it: its session's terminal is the slave of our master."""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        before = termios.tcgetattr(slave)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        proc = subprocess.Popen(self.argv(code, "--console-stdio", *more), env=self.env,
                                stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
        self.addCleanup(proc.wait, 10)
        self.addCleanup(proc.kill)
        return proc, master, slave, before

    def is_raw(self, slave):
        return not termios.tcgetattr(slave)[LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def test_keys_and_escape(self):
        proc, master, slave, before = self.on_terminal(
            tiny.puts("ready\n") + tiny.CONSOLE_ECHO, "--console-log", self.path("v.con"))
        read_until(master, b"ready")
        self.assertTrue(self.is_raw(slave))
        # All of it the guest's: signals, flow control, end of file; Ctrl-A twice is one.
        keys = b"abc\x03\x04\x1a\x11\x13\x7f\r"
        os.write(master, keys)
        os.write(master, b"\x01\x01.")
        wait_until(lambda: self.file("v.con") == b"ready\n" + keys + b"\x01.", 10, "the echo")
        self.assertIsNone(proc.poll())
        os.write(master, b"\x01x")
        self.assertIn(b"ended: ", read_until(master, b"told to stop"))
        self.assertEqual(0, proc.wait(10))
        self.assertEqual(before, termios.tcgetattr(slave))

    def test_restored_whatever_happens(self):
        for what in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL, signal.SIGSEGV,
                     signal.SIGABRT):
            with self.subTest(what.name):
                proc, master, slave, before = self.on_terminal(tiny.puts("ready\n") + tiny.HLT)
                read_until(master, b"ready")
                self.assertTrue(self.is_raw(slave))
                proc.send_signal(what)
                proc.wait(10)
                wait_until(lambda: before == termios.tcgetattr(slave), 10, "the terminal's modes")
                wait_until(lambda: not harness.processes_with(self.run_dir), 10, "the guard's end")

    def test_restored_when_the_start_fails(self):
        proc, _, slave, before = self.on_terminal(b"", "--cpus", "999")
        self.assertNotEqual(0, proc.wait(10))
        self.assertEqual(before, termios.tcgetattr(slave))

    def test_terminal_that_is_closed_ends_it(self):
        master, slave = os.openpty()
        tty.setraw(slave)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        proc = subprocess.Popen(self.argv(tiny.puts("ready\n") + tiny.HLT, "--console-stdio"),
                                env=self.env, stdin=slave, stdout=slave, preexec_fn=own_terminal,
                                stderr=open(self._log("v"), "w"))
        self.addCleanup(proc.kill)
        read_until(master, b"ready")
        os.close(slave)
        os.close(master)
        self.assertEqual(0, proc.wait(10))
        self.assertFalse(os.path.exists(self.path("v.sock")))

    def test_pipes(self):
        """No terminal: every byte is the guest's, and its output waits for the reader."""
        proc = subprocess.Popen(self.argv(tiny.CONSOLE_ECHO, "--console-stdio"), env=self.env,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=open(self._log("v"), "w"))
        self.addCleanup(proc.stdout.close)
        self.addCleanup(proc.kill)
        # More than a pipe holds.
        text = b"\x01x" + bytes(range(32, 127)) * (2000 // min(harness.PATIENCE, 2))
        pid = os.fork()
        if pid == 0:
            os.write(proc.stdin.fileno(), text)
            os._exit(0)
        proc.stdin.close()
        got = b""
        while len(got) < len(text):
            got += read_until(proc.stdout.fileno(), b"")or os.read(proc.stdout.fileno(), 65536)
        os.waitpid(pid, 0)
        self.assertEqual(text, got)
        # Its input ended, it goes on.
        with Rpc(self.path("v.sock")) as rpc:
            self.assertEqual("running", rpc.call("info")["state"])
        proc.terminate()
        self.assertEqual(0, proc.wait(10))

    def test_no_input(self):
        with open(self.path("out"), "wb") as out:
            proc = subprocess.Popen(self.argv(tiny.puts("hello\n") + tiny.POWER_OFF,
                                              "--console-stdio"), env=self.env,
                                    stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=open(self._log("v"), "w"))
            self.assertEqual(0, proc.wait(20))
        self.assertEqual(b"hello\n", self.file("out"))


if __name__ == "__main__":
    harness.main()
