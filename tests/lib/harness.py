# SPDX-License-Identifier: Apache-2.0
"""What integration tests stand on: run folders, our daemons, testpmd, JSON-RPC, leak checks.

A test derives from Case. Each test gets a run folder of its own (self.run_dir, also in
LANYARD_RUN for what it starts), and everything started through self.start()/self.switch()/
self.vmm()/self.start_testpmd() is ended by pid when it ends, pass or fail. Afterwards the host must be
as before: no process of ours, no hugepage taken; a leak fails the test. Every wait has a deadline.

Tests may print lines that begin with "figure:": ./check shows them. Programs come from the build folder in LANYARD_BUILD (default: build/ at the root). Under
sanitizers a finding is written to run_dir/asan.* and fails the test that made it.
"""
import ctypes
import functools
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("LANYARD_BUILD", os.path.join(ROOT, "build")))
PREFIX = f"lyt{os.environ.get('LANYARD_TEST_ID', '')}-"  # of run folders; tests/run.py's to find
TOPOLOGIES = os.path.join(ROOT, "topologies")
LANYARD = os.path.join(BUILD, "lab", "lanyard")
SWITCH = os.path.join(BUILD, "vswitch", "lanyard-switch")
VMM = os.path.join(BUILD, "vmm", "lanyard-vmm")
PROBE = os.path.join(BUILD, "guest", "probe.elf")


# How many times longer than usual a test may wait: for emulated machines.
PATIENCE = int(os.environ.get("LANYARD_TEST_PATIENCE", "1"))
# A test that takes longer fails; 0: there is no limit.
TEST_DEADLINE_S = int(os.environ.get("LANYARD_TEST_DEADLINE", "0"))


def sanitized():
    """Whether the build folder is an ASan one (timing limits don't hold there)."""
    try:
        with open(os.path.join(BUILD, "meson-info", "intro-buildoptions.json")) as f:
            options = {o["name"]: o["value"] for o in json.load(f)}
        return options.get("b_sanitize", "none") not in ("none", [], "")
    except OSError:
        return False


def kvm_works():
    """Whether lanyard-vmm finds KVM on this machine."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        return True
    except OSError:
        return False


def wait_until(check, timeout_s, what):
    """Calls check() until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}")
        time.sleep(0.01)


class RpcError(Exception):
    """An error reply: .code, .message, .field, .cls (exit status class), .errno."""

    def __init__(self, error):
        super().__init__(error.get("message"))
        data = error.get("data") or {}
        self.code, self.message = error.get("code"), error.get("message")
        self.field, self.cls, self.errno = data.get("field"), data.get("class"), data.get("errno")


class Rpc:
    """A JSON-RPC 2.0 client, one object a line: rpc.call("port_add", name="a.0")."""

    def __init__(self, path, timeout_s=5):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout_s * PATIENCE)
        self.path = path
        self.buf = b""
        self.id = int.from_bytes(os.urandom(3), "big")
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def call(self, method, **params):
        self.id += 1
        request = {"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}
        self.sock.sendall(json.dumps(request).encode() + b"\n")
        while True:
            reply = json.loads(self.line())
            if reply.get("id") == self.id or (reply.get("id") is None and "error" in reply):
                break
        if "error" in reply:
            raise RpcError(reply["error"])
        return reply["result"]

    def line(self):
        while b"\n" not in self.buf:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError(f"{self.path}: the other end went away")
            self.buf += got
        line, _, self.buf = self.buf.partition(b"\n")
        return line


def rpc_once(path, method, timeout_s=5, **params):
    with Rpc(path, timeout_s) as rpc:
        return rpc.call(method, **params)


_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def _die_with_parent():
    """In the child: a test run that is killed leaves no daemon behind."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """A process of ours in the background, its output in a file."""

    def __init__(self, argv, log, env=None, stdin=subprocess.DEVNULL):
        self.argv, self.log = argv, log
        with open(log, "ab") as out:
            self.proc = subprocess.Popen(
                argv, stdin=stdin, stdout=out, stderr=subprocess.STDOUT, env=env,
                start_new_session=True, preexec_fn=_die_with_parent)
        self.pid = self.proc.pid

    def alive(self):
        return self.proc.poll() is None

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def kill(self, signo=signal.SIGKILL, timeout_s=10):
        """Sends the signal, waits for the end, returns the exit status."""
        if self.alive():
            self.proc.send_signal(signo)
        try:
            return self.proc.wait(timeout_s * PATIENCE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait(10)
            raise AssertionError(f"{self.argv[0]} did not end within {timeout_s} s of "
                                 f"{signal.Signals(signo).name}; log:\n{self.text()}") from None

    def stop(self):
        """Asks politely first; for clean-up."""
        if self.alive():
            self.proc.terminate()
            try:
                self.proc.wait(10 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait(10)
        if self.proc.stdin:
            self.proc.stdin.close()
        return self.proc.returncode


class Server(Daemon):
    """A daemon with a control socket: ready when it answers."""

    def __init__(self, argv, log, control, env=None, timeout_s=20):
        super().__init__(argv, log, env)
        self.control = control
        self.rpc = None

        def up():
            if not self.alive():
                raise AssertionError(
                    f"{os.path.basename(argv[0])} ended with {self.proc.returncode} at its "
                    f"start; log:\n{self.text()}")
            try:
                self.rpc = Rpc(control)
                return True
            except OSError:
                return False

        try:
            wait_until(up, timeout_s, f"{control} to answer")
        except AssertionError:
            self.stop()
            raise

    def call(self, method, **params):
        return self.rpc.call(method, **params)

    def stop(self):
        if self.rpc:
            self.rpc.close()
        return super().stop()


class Switch(Server):
    def stats(self):
        return self.call("stats")

    def port(self, name):
        return next(p for p in self.stats()["ports"] if p["name"] == name)


class Testpmd(Daemon):
    """DPDK's testpmd as a foreign client: interactive, driven over its stdin."""

    def __init__(self, vdevs, log, args=(), eal=(), env=None):
        prefix = f"lanyard{os.getpid()}-{os.path.basename(log)}"
        # Its output is a file: without stdbuf it would come 4 KiB at a time.
        argv = ["stdbuf", "-oL", "dpdk-testpmd", "--no-pci", "--in-memory", "--single-file-segments",
                "--no-telemetry", "-l", "0-1", "-m", "256", f"--file-prefix={prefix}", *eal]
        argv += [f"--vdev={v}" for v in vdevs]
        argv += ["--", "-i", "--no-lsc-interrupt", *args]
        self.runtime_dir = f"/var/run/dpdk/{prefix}"
        super().__init__(argv, log, env, stdin=subprocess.PIPE)
        self.wait_text("testpmd>", 60)

    def stop(self):
        status = super().stop()
        # DPDK leaves this folder behind, and its parent.
        for folder in (self.runtime_dir, os.path.dirname(self.runtime_dir)):
            try:
                os.rmdir(folder)
            except OSError:
                pass
        return status

    def wait_text(self, text, timeout_s, since=0):
        def seen():
            out = self.text()
            if text in out[since:]:
                return out[since:]
            if not self.alive():
                raise AssertionError(f"testpmd ended with {self.proc.returncode}:\n{out[-3000:]}")
            return None

        return wait_until(seen, timeout_s, f"testpmd to print {text!r}")

    def command(self, line, timeout_s=20):
        """Types a command; returns what it printed up to the next prompt."""
        since = len(self.text())
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()
        # The prompt is redrawn per character typed; the end is a prompt on a line of its own.
        return self.wait_text("testpmd> ", timeout_s, since + len(line))

    def stats(self, port):
        """{'RX-packets': n, ...} of show port stats."""
        # The prompt that ends a command may be the one before it: wait for the last line.
        since = len(self.text())
        self.proc.stdin.write(f"show port stats {port}\n".encode())
        self.proc.stdin.flush()
        self.wait_text("Tx-bps", 20, since)
        words = self.text()[since:].replace(":", " ").split()
        out = {}
        for key, value in zip(words, words[1:]):
            if key.startswith(("RX-", "TX-")) and value.isdigit():
                out[key] = int(value)
        return out


def huge_free():
    """Free and total hugepages of 2 MiB, in all nodes."""
    with open("/proc/meminfo") as f:
        info = dict(line.split(":") for line in f)
    return tuple(int(info[k].split()[0]) for k in ("HugePages_Free", "HugePages_Total"))


def own_memory_kib(pid, guest="lanyard-guest"):
    """(resident, PSS) of all mappings but the guest's memory: those whose name holds `guest`."""
    kib, what = {"Rss": 0, "Pss": 0}, ""
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)", line)
            if head:
                what = head.group(1)
            elif line[:4] in ("Rss:", "Pss:") and guest not in what:
                kib[line[:3]] += int(line.split()[1])
    return kib["Rss"], kib["Pss"]


def interfaces():
    """Names of network interfaces in this namespace."""
    return set(os.listdir("/sys/class/net"))


def remove_ovs_taps(before):
    """Open vSwitch makes its taps persistent, and leaves them at its end. before: interfaces()."""
    for name in interfaces() - before:
        if name == "ovs-netdev" or name.startswith("lyb"):
            subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL)


def processes_with(text):
    """{pid: argv} of live processes with text in an argument, but for this one."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        pid = int(path.split("/")[2])
        try:
            with open(path, "rb") as f:
                argv = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if pid != os.getpid() and text in argv:
            found[pid] = argv
    return found


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        # Short: a UNIX socket's path has 107 bytes.
        self.run_dir = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")
        self.env = dict(os.environ, LANYARD_RUN=self.run_dir, LANYARD_BUILD=BUILD,
                        LANYARD_PATIENCE=str(PATIENCE))
        asan = os.path.join(self.run_dir, "asan")
        # DPDK's and jansson's one-time allocations are not leaks of ours.
        self.env["ASAN_OPTIONS"] = f"log_path={asan}:detect_leaks=0:abort_on_error=0"
        self.env["UBSAN_OPTIONS"] = f"log_path={asan}:print_stacktrace=1:halt_on_error=1"
        self.huge_before = huge_free()
        self.interfaces_before = interfaces()
        self.daemons = []
        self.measured = set()  # labs that something was measured in: see measures()
        self.addCleanup(self._clean_up)

    def path(self, name):
        return os.path.join(self.run_dir, name)

    def start(self, argv, name="daemon"):
        return self._track(Daemon(argv, self._log(name), self.env))

    def switch(self, *args, name="switch", ns=None):
        """ns: a netns.Netns that it runs in."""
        control = self.path(f"{name}.sock")
        inside = ["ip", "netns", "exec", ns.name] if ns else []
        argv = [*inside, SWITCH, "--control", control, *args]
        return self._track(Switch(argv, self._log(name), control, self.env))

    def vmm(self, name, *args, kernel=PROBE, memory="64M", cmdline=""):
        control = self.path(f"{name}.sock")
        argv = [VMM, "--name", name, "--control", control, "--agent", self.path(f"{name}.agent"),
                "--console", self.path(f"{name}.console"),
                "--console-log", self.path(f"{name}.console.log"),
                "--kernel", kernel, "--memory", memory, "--cmdline", cmdline, *args]
        return self._track(Server(argv, self._log(name), control, self.env))

    def start_testpmd(self, *vdevs, args=(), eal=(), name="testpmd"):
        return self._track(Testpmd(vdevs, self._log(name), args, eal, self.env))

    def lanyard(self, *args, status=0, timeout_s=60, stdin=None, env=None):
        """Runs the command; checks its exit status (None: any); returns CompletedProcess."""
        done = subprocess.run([LANYARD, *args], env=env or self.env, timeout=timeout_s * PATIENCE,
                              input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if status is not None and done.returncode != status:
            self.fail(f"lanyard {' '.join(args)}: exit status {done.returncode}, expected "
                      f"{status}\nstdout:\n{done.stdout}\nstderr:\n{done.stderr}")
        if args[:1] in (("bench",), ("compare",)) and done.returncode in (0, 4):
            self.measured.update(filter(None, map(_lab_of, args[1:])))
        return done

    def _log(self, name):
        return self.path(f"{name}.log")

    def _track(self, daemon):
        self.daemons.append(daemon)
        return daemon

    def _clean_up(self):
        for daemon in reversed(self.daemons):
            daemon.stop()
        left = processes_with(self.run_dir)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        findings = ""
        for path in glob.glob(os.path.join(self.run_dir, "asan*")):
            with open(path, errors="replace") as f:
                findings += f.read()[:6000]
        result = self._outcome.result
        failed = any(test is self for test, _ in
                     getattr(result, "errors", []) + getattr(result, "failures", []))
        if failed or findings or left:
            for path in sorted(glob.glob(os.path.join(self.run_dir, "**", "*.log"),
                                         recursive=True)):
                with open(path, errors="replace") as f:
                    print(f"--- {path} (its end)\n{f.read()[-2000:]}", file=sys.stderr)
        shutil.rmtree(self.run_dir, ignore_errors=True)
        self.assertEqual({}, left, "processes were left behind")
        self.assertEqual("", findings, "a sanitizer found something")
        shared = os.environ.get("LANYARD_TEST_SHARED_HOST")
        try:
            wait_until(lambda: shared or interfaces() <= self.interfaces_before, 3, "interfaces")
        except AssertionError:
            self.fail("interfaces were left behind: "
                      f"{sorted(interfaces() - self.interfaces_before)}")
        # Freed pages come back a moment after the process has gone.
        try:
            wait_until(lambda: shared or huge_free() == self.huge_before, 3, "hugepages")
        except AssertionError:
            self.fail(f"hugepages (free, total) {huge_free()}, before the test "
                      f"{self.huge_before}")


def _lab_of(arg):
    """The lab that an argument of `lanyard bench` means; a file's only if it has all that the topology
    of that name has: a copy that is quicker, not another lab."""
    if not arg.endswith(".json"):
        return arg
    try:
        with open(arg) as f:
            here = json.load(f)
        with open(os.path.join(TOPOLOGIES, f"{here['lab']}.json")) as f:
            there = json.load(f)
        same = all(here.get(k, {}).keys() == there.get(k, {}).keys()
                   for k in ("nodes", "networks", "paths", "pfs", "ports"))
    except (OSError, ValueError, KeyError, AttributeError):  # none, or what was written of it
        return None
    return here["lab"] if same else None


def measures(name):
    """Marks a test that brings topologies/NAME.json up, measures what it is for and takes it down; and sees
    to it that it does: a bench or compare of it went well, or the test has added a figure of its own to
    self.measured, and nothing of the lab is left. tests/lint.py wants such a test of every topology."""
    def mark(fn):
        @functools.wraps(fn)
        def test(self):
            fn(self)
            self.assertIn(name, self.measured, f"topologies/{name}.json was not measured")
            self.assertEqual({}, processes_with(self.run_dir), f"{name} was not taken down")
        return test
    return mark


def slow(fn):
    """Marks a test that `./check quick` leaves out."""
    fn.lanyard_slow = True
    return fn


def unsanitized(fn):
    """Marks a slow test that is left out on a build with sanitizers: another one has the same code of ours
    run there, in less time."""
    fn.lanyard_unsanitized = True
    return fn


def needs_kvm(what):
    """Marks a test, or a class of them, that starts lanyard-vmm: where the host has no KVM,
    tests/run.py runs them in the rig, whose machine has."""
    what.lanyard_needs_kvm = True
    return what


class _Result(unittest.TextTestResult):
    """Keeps each test's outcome and time for tests/run.py, in a file: that is right at any time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rows = []

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.rows.append({"name": _name(test), "outcome": "pass", "detail": "", "seconds": 0.0,
                          "running": True})
        self.write()
        signal.alarm(TEST_DEADLINE_S)

    def stopTest(self, test):
        signal.alarm(0)
        self.rows[-1]["seconds"] = time.monotonic() - self.began
        del self.rows[-1]["running"]
        self.write()
        super().stopTest(test)

    def write(self):
        out = os.environ.get("LANYARD_TEST_RESULT")
        if out:
            with open(f"{out}.new", "w") as f:
                json.dump(self.rows, f)
            os.rename(f"{out}.new", out)

    def _bad(self, test, err, outcome="fail"):
        if not self.rows:  # setUpClass failed
            self.rows.append({"name": str(test), "seconds": 0.0, "detail": ""})
        detail = err if isinstance(err, str) else self._exc_info_to_string(err, test)
        self.rows[-1].update(outcome=outcome, detail=self.rows[-1]["detail"] + detail)

    def addError(self, test, err):
        super().addError(test, err)
        self._bad(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._bad(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self._bad(test, f"{subtest}:\n" + self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._bad(test, reason, "skip")


def _name(test):
    return test.id().split(".", 1)[-1]


def _marked(test, mark):
    """The mark of the test, else of its class."""
    return getattr(getattr(test, test._testMethodName, None), mark, getattr(test, mark, False))


def _wanted(suite, picks):
    """The tests of a suite for which all of picks are true."""
    picked = unittest.TestSuite()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            picked.addTest(_wanted(item, picks))
        elif all(pick(item) for pick in picks):
            picked.addTest(item)
    return picked


def _picks():
    """What a test must fulfil to be run, by the arguments and the environment."""
    word = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LANYARD_TEST_WORD", "")
    but = _done_before()
    picks = [lambda t: word in t.id() and _name(t) not in but]
    if os.environ.get("LANYARD_TEST_QUICK"):
        picks.append(lambda t: not _marked(t, "lanyard_slow"))
    if sanitized():
        picks.append(lambda t: not _marked(t, "lanyard_unsanitized"))
    kvm = os.environ.get("LANYARD_TEST_KVM")  # "only" those that need it, "without" those, or all
    if kvm:
        picks.append(lambda t: bool(_marked(t, "lanyard_needs_kvm")) == (kvm == "only"))
    return picks


def _done_before():
    """Names of tests that an earlier run of this file has done."""
    path = os.environ.get("LANYARD_TEST_EXCEPT")
    if not path:
        return ()
    with open(path) as f:
        return json.load(f)


def _overdue(signo, frame):
    raise AssertionError(f"the test took longer than {TEST_DEADLINE_S} s")


def main():
    """What a test file ends with: `if __name__ == "__main__": harness.main()`. Names of tests may
    be given as arguments: words that a test's id must hold."""
    signal.signal(signal.SIGALRM, _overdue)
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    runner = unittest.TextTestRunner(resultclass=_Result, verbosity=2, stream=sys.stderr)
    result = runner.run(_wanted(suite, _picks()))
    result.write()
    sys.exit(0 if result.wasSuccessful() else 1)
