# SPDX-License-Identifier: Apache-2.0
"""tests/rig/run by itself, its machine a shell here: what becomes of tests that hang, of machines that
crash or don't start, and of the rest. And tests/lib/vmlinux.py: what it says of files that are no
kernels."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import lzma
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import vmlinux
from harness import ROOT, Case

RUN = os.path.join(ROOT, "tests/rig/run")
HEAD = f"""
import os, signal, sys, time
sys.path.insert(0, {os.path.join(ROOT, "tests/lib")!r})
import harness
def crash():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
class T(harness.Case):
"""
TAIL = """
harness.main()
"""


def load():
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("rig_run", RUN)
    spec = importlib.util.spec_from_loader("rig_run", loader)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


class FakeL1:
    """A shell on this host; /mnt is the folder itself."""

    made = 0

    def __init__(self, out, **wants):
        self.out, self.wants = out, wants
        os.makedirs(out, exist_ok=True)
        type(self).made += 1

    def watch(self, script, why_end):
        text = script.replace("/mnt/", self.out + "/")
        shell = subprocess.Popen(["sh", "-c", text], start_new_session=True)
        try:
            while shell.poll() is None:
                why = why_end()
                if why:
                    return why
                time.sleep(0.02)
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()

    def console(self):
        return "what the console said"

    def read(self, name):
        path = os.path.join(self.out, name)
        if not os.path.exists(path):
            return ""
        with open(path) as f:
            return f.read()


class DeadL1(FakeL1):
    def watch(self, script, why_end):
        return None


class Run(Case):
    def setUp(self):
        super().setUp()
        self.rig = load()
        self.rig.DEADLINE_S = 6 if not harness.sanitized() else 10

    def file(self, name, *tests):
        """tests: (name, statement)"""
        body = "\n".join(f"    def test_{n}(self):\n        {what}" for n, what in tests)
        path = self.path(f"test_{name}.py")
        with open(path, "w") as f:
            f.write(textwrap.dedent(HEAD) + body + TAIL)
        return self.rig.File(path, self.run_dir)

    def run_all(self, machine, *files):
        self.rig.L1 = machine
        machine.made = 0
        with contextlib.redirect_stdout(io.StringIO()):
            self.rig.run_files(list(files), {}, "build", "")
        rows = []
        for f in files:
            with open(self.path(f"{f.name}.json")) as done:
                rows.append({r["name"]: (r["outcome"], r["detail"]) for r in json.load(done)})
        return rows

    def test_one_machine_for_all(self):
        a = self.file("a", ("x", "pass"), ("y", "self.fail('as it must')"))
        b = self.file("b", ("z", "print('seen')"))
        rows = self.run_all(FakeL1, a, b)
        self.assertEqual(1, FakeL1.made)
        self.assertEqual(["pass", "fail"], [rows[0][f"T.test_{n}"][0] for n in "xy"])
        self.assertIn("as it must", rows[0]["T.test_y"][1])
        self.assertEqual({"T.test_z": ("pass", "")}, rows[1])
        self.assertIn("seen", b.log)

    def test_two_at_once(self):
        """Each waits for the other."""
        files = [self.file(me, ("x", f"open({self.path(me)!r}, 'w').close()\n        "
                                f"harness.wait_until(lambda: os.path.exists({self.path(other)!r}), 5, "
                                "'the other')"))
                 for me, other in (("a", "b"), ("b", "a"))]
        self.rig.L1 = FakeL1
        with contextlib.redirect_stdout(io.StringIO()):
            self.rig.run_all(files, "build", "", 2)
        self.assertEqual([["pass"], ["pass"]], [[r["outcome"] for r in f.rows] for f in files])

    def test_a_hang_and_a_crash_cost_one_test_each(self):
        a = self.file("a", ("a", "pass"), ("b", "time.sleep(100)"), ("c", "pass"), ("d", "crash()"),
                      ("e", "pass"))
        b = self.file("b", ("f", "pass"))
        rows = self.run_all(FakeL1, a, b)
        self.assertEqual(3, FakeL1.made)
        self.assertEqual(dict.fromkeys("ace", "pass") | dict.fromkeys("bd", "fail"),
                         {n: rows[0][f"T.test_{n}"][0] for n in "abcde"})
        self.assertIn("hung: no test was begun or ended for", rows[0]["T.test_b"][1])
        self.assertIn("the machine ended before the test did", rows[0]["T.test_d"][1])
        self.assertIn("what the console said", rows[0]["T.test_d"][1])
        self.assertEqual("pass", rows[1]["T.test_f"][0])

    def test_a_file_that_does_not_get_to_its_tests(self):
        a = self.file("a", ("a", "pass"))
        with open(a.path, "a") as f:
            f.write("\nsyntax error")
        b = self.file("b", ("f", "pass"))
        c = self.file("c", ("g", "pass"))
        with open(c.path) as f:
            text = f.read()
        with open(c.path, "w") as f:
            f.write("import time\ntime.sleep(100)\n" + text)
        rows = self.run_all(FakeL1, a, c, b)
        self.assertEqual(2, FakeL1.made)
        self.assertIn("exit status 1", rows[0]["test_a"][1])
        self.assertIn("SyntaxError", rows[0]["test_a"][1])
        self.assertIn("hung", rows[1]["test_c"][1])
        self.assertEqual("pass", rows[2]["T.test_f"][0])

    def test_machines_that_do_not_start(self):
        rows = self.run_all(DeadL1, self.file("a", ("a", "pass")), self.file("b", ("b", "pass")))
        self.assertEqual(2, DeadL1.made)
        for r, name in zip(rows, "ab"):
            self.assertEqual("fail", r[f"test_{name}"][0])
            self.assertIn("two machines in turn", r[f"test_{name}"][1])

    def test_wanted_machine(self):
        f = self.file("a", ("a", "pass"))
        self.assertEqual({}, self.rig.wanted_machine(f.path))
        with open(f.path, "a") as out:
            out.write('\nRIG = {"nics": ["igb", "igb"],\n       "cpus": 1}\n')
        self.assertEqual({"nics": ["igb", "igb"], "cpus": 1}, self.rig.wanted_machine(f.path))


class Extract(Case):
    def image(self, data, size=None, version=0x20f):
        """A bzImage with this payload."""
        data += struct.pack("<I", len(data) if size is None else size)
        head = bytearray(1024)
        head[0x1f1] = 1
        head[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", head, 0x206, version)
        struct.pack_into("<II", head, 0x248, 16, len(data))
        path = self.path("bzImage")
        with open(path, "wb") as f:
            f.write(bytes(head) + bytes(16) + data)
        return path

    def refused(self, words, path):
        with self.assertRaises(RuntimeError) as got:
            vmlinux.extract(path, self.path("elf"))
        self.assertIn(words, str(got.exception))
        self.assertIn(path, str(got.exception))
        self.assertFalse(os.path.exists(self.path("elf")))

    def test_formats(self):
        elf = b"\x7fELF" + bytes(range(256)) * 50
        xz = lzma.compress(elf)
        packed = {"XZ": xz}
        for name, argv in (("ZSTD", ["zstd", "-c"]), ("LZ4", ["lz4", "-l", "-c"])):
            packed[name] = subprocess.run(argv, input=elf, stdout=subprocess.PIPE,
                                          check=True).stdout
        for name, data in packed.items():
            self.assertEqual(name, vmlinux.extract(self.image(data, len(elf)), self.path("elf")))
            with open(self.path("elf"), "rb") as f:
                self.assertEqual(elf, f.read())
            os.unlink(self.path("elf"))
            path = self.image(data, len(elf))
            os.truncate(path, os.path.getsize(path) - 100)
            self.refused("cut short", path)
        self.refused("expected an ELF of 1 bytes", self.image(xz, 1))
        self.refused("expected an ELF", self.image(lzma.compress(b"no ELF"), 6))
        self.refused("expected LZ4, XZ or ZSTD", self.image(b"BZh91AY&SY" + bytes(20)))
        self.refused("boot protocol 2.07", self.image(xz, len(elf), 0x207))
        with open(self.path("text"), "w") as f:
            f.write("no kernel" * 100)
        self.refused("no HdrS", self.path("text"))


if __name__ == "__main__":
    harness.main()
