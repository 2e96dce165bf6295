#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lanyard-vmm's confinement, from outside: what the running process is and has, that it goes on working
without the rest, and that a call which its threads have no need of ends it with a word in the log."""
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import test_vmm
import tinyguest as tiny
from fakebackend import FakeBackend
from harness import Case, Rpc, wait_until

NOBODY = 65534
OWN_FIRST = 0x70000000  # and the process's id: its user
NIC = "socket={},mac=02:00:00:00:00:01"


def threads(pid):
    """{thread's name: its status, as a dict}"""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        found[status["Name"]] = status
    return found


def function_in(pid, name):
    """Where the process has libc's function `name`: as far from libc's beginning as it is here."""
    def base(of):
        with open(f"/proc/{of}/maps") as f:
            lines = [line.split() for line in f if re.search(r"/libc[.-][^/]*$", line.strip())]
        return int(lines[0][0].split("-")[0], 16)

    libc = ctypes.CDLL("libc.so.6")
    return ctypes.cast(getattr(libc, name), ctypes.c_void_p).value - base("self") + base(pid)


def make_call(pid, function, number):
    """As someone would who found a hole: from now on `function` in that process makes another system
    call (mov eax, number; syscall; ret)."""
    code = b"\xb8" + number.to_bytes(4, "little") + b"\x0f\x05\xc3"
    at = function_in(pid, function)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as f:
        f.seek(at)
        f.write(code)


@harness.needs_kvm
class Sandbox(Case):
    def tiny_vmm(self, code, *more):
        kernel = tiny.write_elf(self.path("v.elf"), code)
        return self.vmm("v", "--hugepages", "none", *more, kernel=kernel, memory="4M")

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_what_it_keeps(self):
        v = self.tiny_vmm(tiny.ECHO, "--nic", NIC.format(self.path("n0")), "--vcpus", "2")
        said = v.call("info")["sandbox"]
        self.assertEqual((True, 0), (said["on"], said["uid"]))
        names = {"lanyard-vmm", "vcpu0", "vcpu1", "nic0"}

        def confined():
            t = threads(v.pid)
            # KVM has threads of its own in here: the kernel's. Ours have their names before their
            # filters, and their filters before they do anything for the guest.
            return names <= set(t) and all(t[n]["Seccomp"] == "2" for n in names) and \
                {n: t[n] for n in names}

        for name, status in wait_until(confined, 10, "a filter for every thread").items():
            with self.subTest(name):
                self.assertEqual("1", status["NoNewPrivs"])
                # CAP_DAC_OVERRIDE, bit 1, for back ends' sockets, and no other; none to gain.
                for kind in ("CapPrm", "CapEff"):
                    self.assertEqual(0, int(status[kind], 16) & ~2, kind)
                for kind in ("CapInh", "CapBnd", "CapAmb"):
                    self.assertEqual(0, int(status[kind], 16), kind)
        with open(f"/proc/{v.pid}/limits") as f:
            limits = f.read()
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        self.assertRegex(limits, r"Max open files +(\d{2,4}) +\1 ")
        if harness.sanitized():
            return  # a sanitizer's report goes to a file
        self.assertTrue(said["landlock"] and said["namespaces"], said)
        for ns in ("mnt", "net", "ipc"):
            self.assertNotEqual(os.readlink(f"/proc/self/ns/{ns}"),
                                os.readlink(f"/proc/{v.pid}/ns/{ns}"))
        # Of all files it sees the folder of its sockets, and nothing else.
        self.assertEqual(["tmp"], os.listdir(f"/proc/{v.pid}/root"))
        self.assertEqual([os.path.basename(self.run_dir)], os.listdir(f"/proc/{v.pid}/root/tmp"))
        with open(f"/proc/{v.pid}/net/dev") as f:
            self.assertEqual(["lo"], re.findall(r"^ *(\w+):", f.read(), re.M))

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_own_user(self):
        """Nobody's process, or one of a user that only it is, connects to root's back end, again and
        again, and removes its sockets. Its disk is root's too."""
        for user in (str(NOBODY), "own"):
            with self.subTest(user):
                self.check_user(user)

    def check_user(self, user):
        with open(self.path("disk"), "wb") as f:
            f.truncate(1 << 20)
        os.chmod(self.path("disk"), 0o600)
        v = self.tiny_vmm(tiny.ECHO, "--user", user, "--nic", NIC.format(self.path("n0")),
                          "--disk", f"file={self.path('disk')}")
        uid = OWN_FIRST + v.pid if user == "own" else NOBODY
        self.assertEqual(uid, v.call("info")["sandbox"]["uid"])
        for status in threads(v.pid).values():
            self.assertEqual([str(uid)] * 4, status["Uid"].split())
            self.assertEqual([str(uid)] * 4, status["Gid"].split())
            self.assertEqual("", status["Groups"].strip())
        for _ in range(3):
            with FakeBackend(self.path("n0")):
                wait_until(lambda: v.call("info")["nics"][0]["connected"], 20, "the back end")
            wait_until(lambda: not v.call("info")["nics"][0]["connected"], 20, "its end")
            os.unlink(self.path("n0"))
        self.assertEqual({}, v.call("reset"))
        self.assertGreater(v.call("counters")["vcpus"][0]["run_ns"], 0)
        self.assertEqual(0, v.kill(signal.SIGTERM))
        for name in ("v.sock", "v.agent", "v.console"):
            self.assertFalse(os.path.exists(self.path(name)), name)

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_own_user_in_a_container(self):
        """Where no such user is (a user name space has some of the host's), it says so and runs."""
        kernel = tiny.write_elf(self.path("t.elf"), tiny.HLT)
        control = self.path("v.sock")
        v = self._track(harness.Server(
            ["unshare", "--user", "--map-root-user", harness.VMM, "--name", "v", "--control", control,
             "--kernel", kernel, "--memory", "4M", "--hugepages", "none", "--user", "own"],
            self._log("v"), control, self.env))
        self.assertEqual((True, 0), (v.call("info")["sandbox"]["on"], v.call("info")["sandbox"]["uid"]))
        self.assertIn("no user of its own", v.text())
        self.assertEqual({}, v.call("reset"))

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_started_by_another_user(self):
        """Who is not root has no name spaces of its own, and all the rest."""
        os.chmod(self.run_dir, 0o777)
        kernel = tiny.write_elf(self.path("t.elf"), tiny.HLT)
        script = ("mount -t tmpfs none /mnt && mknod -m 666 /mnt/kvm c 10 232 && "
                  "cp \"$0\" /mnt/vmm && chmod 755 /mnt /mnt/vmm && "
                  "mount --bind /mnt/kvm /dev/kvm && "
                  "exec setpriv --reuid 65534 --regid 65534 --clear-groups /mnt/vmm \"$@\"")
        control = self.path("v.sock")
        v = self._track(harness.Server(
            ["unshare", "-m", "sh", "-c", script, harness.VMM, "--name", "v", "--control", control,
             "--kernel", kernel, "--memory", "4M", "--hugepages", "none"],
            self._log("v"), control, self.env))
        said = v.call("info")["sandbox"]
        self.assertEqual((True, NOBODY, False), (said["on"], said["uid"], said["namespaces"]))
        self.assertEqual(not harness.sanitized(), said["landlock"])
        self.assertEqual({}, v.call("reset"))
        self.assertEqual(0, v.kill(signal.SIGTERM))
        self.assertFalse(os.path.exists(control))

    def test_relative_paths(self):
        kernel = tiny.write_elf(self.path("t.elf"), tiny.HLT)
        os.mkdir(self.path("sub"))
        proc = subprocess.Popen(
            [harness.VMM, "--name", "v", "--control", "v.sock", "--console", "sub/v.con", "--kernel",
             kernel, "--memory", "4M", "--hugepages", "none", "--nic", NIC.format("sub/n0")],
            cwd=self.run_dir, env=self.env, stderr=open(self._log("v"), "w"))
        self.addCleanup(proc.wait, 10)
        self.addCleanup(proc.kill)
        test_vmm.connect(self.path("v.sock"), 10).close()
        with FakeBackend(self.path("sub/n0")), Rpc(self.path("v.sock")) as rpc:
            wait_until(lambda: rpc.call("info")["nics"][0]["connected"], 20, "the back end")
        proc.terminate()
        self.assertEqual(0, proc.wait(10))
        self.assertEqual(["n0"] if os.path.exists(self.path("sub/n0")) else [],
                         os.listdir(self.path("sub")))
        self.assertFalse(os.path.exists(self.path("v.sock")))

    def test_off(self):
        v = self.tiny_vmm(tiny.HLT, "--sandbox", "off")
        self.assertFalse(v.call("info")["sandbox"]["on"])
        self.assertEqual("0", threads(v.pid)["lanyard-vmm"]["Seccomp"])

    def test_bad_options(self):
        kernel = tiny.write_elf(self.path("t.elf"), tiny.HLT)
        for options, says in ((["--user", "no-such-user"], "expected a user's name or number"),
                              (["--sandbox", "maybe"], "expected on or off"),
                              (["--user", "0", "--sandbox", "off"], "one of them at most")):
            done = subprocess.run(
                [harness.VMM, "--name", "v", "--control", self.path("v.sock"), "--kernel", kernel,
                 "--memory", "4M", "--hugepages", "none", *options], env=self.env, timeout=20 * harness.PATIENCE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(2, done.returncode, done.stdout)
            self.assertIn(says, done.stdout)
            self.assertFalse(os.path.exists(self.path("v.sock")))

    def killed(self, v, says):
        v.proc.wait(20)
        self.assertEqual(-signal.SIGSYS, v.proc.returncode, v.text())
        self.assertIn(says, v.text().splitlines()[-1])

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_main_thread_may_not_execute(self):
        """`info` asks for the process's id: here it gets an execve instead."""
        v = self.tiny_vmm(tiny.HLT)
        v.call("info")
        make_call(v.pid, "getpid", 59)
        with self.assertRaises((EOFError, OSError)):
            v.call("info")
        self.killed(v, "ended: the sandbox forbids the main thread the system call execve (059)")

    @unittest.skipIf(os.geteuid() and not os.environ.get("CI"), "needs root")
    def test_vcpu_may_not_make_a_socket(self):
        """A vCPU's next KVM_RUN is a socket() instead."""
        v = self.tiny_vmm(tiny.DOTS)
        v.call("info")
        make_call(v.pid, "ioctl", 41)
        self.killed(v, "ended: the sandbox forbids a vCPU's thread the system call socket (041)")


if __name__ == "__main__":
    harness.main()
