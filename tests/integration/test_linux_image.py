# SPDX-License-Identifier: Apache-2.0
"""lanyard-image: archives of this host's programs, unpacked by another cpio and run from there."""
import os
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import BUILD

IMAGE = os.path.join(BUILD, "image", "lanyard-image")
INIT = os.path.join(BUILD, "guest", "linux", "lanyard-init")


def libraries(path):
    """What the dynamic loader itself says: paths without links in their folders."""
    out = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.findall(r"(/\S+) \(0x", out)
    return {os.path.join(os.path.realpath(os.path.dirname(p)), os.path.basename(p)) for p in found}


class Image(harness.Case):
    def image(self, *args, status=0):
        done = subprocess.run([IMAGE, *args], env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr if status else done.stdout

    def unpack(self, *args):
        """The folder with what is in the archive."""
        self.image("--no-modules", *args, self.path("out.cpio"))
        folder = self.path("root")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        with open(self.path("out.cpio"), "rb") as f:
            subprocess.run(["/bin/busybox", "cpio", "-id", "--quiet"], cwd=folder, stdin=f,
                           check=True)
        return folder

    def test_programs_run_from_it(self):
        script = self.path("script")
        with open(script, "w") as f:
            f.write("#!/usr/bin/env -S dash -e\necho script $1\n")
        os.chmod(script, 0o755)
        programs = ["/usr/bin/iperf3", "/usr/bin/python3", "/usr/sbin/ip", "/bin/bash"]
        args = [a for p in programs for a in ("--file", p)]
        root = self.unpack(*args, "--file", f"{script}:/bin/script")
        for program in programs:
            for library in libraries(program):
                self.assertTrue(os.path.exists(root + library), f"{program} needs {library}")

        def run(*argv):
            return subprocess.run(["/usr/sbin/chroot", root, *argv], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, env={"PATH": "/bin"})

        self.assertIn("iperf 3", run("/usr/bin/iperf3", "--version").stdout)
        self.assertIn("iproute2", run("/sbin/ip", "-V").stdout)
        self.assertEqual(run("/bin/bash", "-c", "echo $((6 * 7))").stdout, "42\n")
        done = run("/bin/script", "x")
        self.assertEqual((done.returncode, done.stdout), (0, "script x\n"))
        # Python starts far enough to miss its modules, which were not named.
        self.assertIn("encodings", run("/usr/bin/python3", "-c", "1").stdout)

    def test_what_is_in_it(self):
        with open(self.path("c.json"), "w") as f:
            f.write('{"hostname": "x"}')
        root = self.unpack("--config", self.path("c.json"))
        console = os.stat(f"{root}/dev/console")
        self.assertTrue(stat.S_ISCHR(console.st_mode))
        self.assertEqual(console.st_rdev, os.makedev(5, 1))
        self.assertEqual(os.readlink(f"{root}/bin"), "usr/bin")
        with open(f"{root}/init", "rb") as a, open(INIT, "rb") as b:
            self.assertEqual(a.read(), b.read())
        with open(f"{root}/lanyard.json") as f:
            self.assertEqual(f.read(), '{"hostname": "x"}')
        self.assertFalse(os.path.exists(f"{root}/lanyard.modules"))

    def test_the_same_twice(self):
        for name in ("a", "b"):
            self.image("--no-modules", "--file", "/usr/bin/iperf3", "--file", "/etc/apt",
                       self.path(name))
        with open(self.path("a"), "rb") as a, open(self.path("b"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_wrong_requests(self):
        out = self.path("out")
        open(self.path("text"), "w").close()
        for args, status, words in (
                ((), 2, "where to write the archive is missing"),
                ((out, "another"), 2, "one archive, not two"),
                (("--root", "moon", out), 2, "expected none, host or disk"),
                (("--max", "many", out), 2, "--max"),
                (("--kernel", "/no/such", out), 2, "kernel /no/such cannot be read"),
                (("--kernel", self.path("text"), out), 2, "no Linux kernel"),
                (("--modules", "/no/such/6.1", out), 3, "no modules for kernel 6.1"),
                (("--no-modules", "--init", "/no/such", out), 3, "init /no/such cannot be read"),
                (("--no-modules", "--file", "/no/such", out), 2, "/no/such, to be put into"),
                (("--no-modules", "--file", "x", out), 2, "absolute"),
                (("--no-modules", "--max", "8K", out), 2, "would be larger than 8K"),
                (("--no-modules", "--config", "/no/such", out), 2, "cannot read /no/such"),
                (("--no-modules", "--module", "x", out), 2, "no folder of modules"),
                (("--no-modules", "--root", "disk", "--file", "/etc/passwd", out), 2,
                 "this guest's root is a disk"),
                (("--no-modules", "/no/such/folder/out"), 1, "cannot make /no/such/folder/out")):
            with self.subTest(args=args):
                self.assertIn(words, self.image(*args, status=status))
                self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    harness.main()
