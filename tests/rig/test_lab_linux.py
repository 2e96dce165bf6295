# SPDX-License-Identifier: Apache-2.0
"""Labs of Linux guests as users have them: the topologies that come with Lanyard, brought up, used by
`lanyard exec`, and taken down."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from harness import LANYARD, PATIENCE, huge_free, processes_with
from vmmguest import CMDLINE, DEFAULT_KERNEL, kernel_of


class LinuxLab(harness.Case):
    def setUp(self):
        super().setUp()
        self.labs = self.path("labs")
        self.env["LANYARD_RUN"] = self.labs
        # No kernel is installed here: as if this one were.
        self.env["LANYARD_BOOT"] = os.path.dirname(kernel_of(DEFAULT_KERNEL).vmlinuz)
        self.env["LANYARD_PATIENCE"] = str(PATIENCE)
        self.pages = huge_free()

    def topology(self, name, change=None):
        """A copy of topologies/NAME.json that boots quicker here."""
        with open(os.path.join(ROOT, "topologies", f"{name}.json")) as f:
            topology = json.load(f)
        for node in topology["nodes"].values():
            node.update(cmdline=CMDLINE, memory="192M")
        if change:
            change(topology)
        path = self.path(f"{name}.json")
        with open(path, "w") as f:
            json.dump(topology, f)
        return path

    def up(self, path):
        up = self.lanyard("up", path, timeout_s=60 * PATIENCE)
        self.lab = json.load(open(path))["lab"]
        self.addCleanup(self.lanyard, "down", self.lab, status=None, timeout_s=60 * PATIENCE)
        return up

    def down(self):
        self.lanyard("down", self.lab, timeout_s=60 * PATIENCE)
        self.assertEqual({}, processes_with(self.labs))
        self.assertEqual([], os.listdir(self.labs))
        self.assertEqual(self.pages, huge_free())

    def exec(self, node, *argv, status=0, options=(), **kw):
        done = subprocess.run([LANYARD, "exec", *options, f"{self.lab}/{node}", "--", *argv],
                              env=self.env, capture_output=True, text=True, timeout=30 * PATIENCE,
                              **kw)
        self.assertEqual(status, done.returncode, f"{argv}: {done.stdout}{done.stderr}"
                         f"{self.console(node)[-1000:]}")
        return done.stdout

    def console(self, node):
        try:
            with open(os.path.join(self.labs, self.lab, f"{node}.console.log"),
                      errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def test_disk(self):
        """Disks keep what was written, over a `down`, in both formats."""
        with open(self.path("scratch.img"), "wb") as f:
            f.truncate(64 << 20)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.path("store.qcow2"), "64M"],
                       check=True)
        path = self.topology("disk")
        self.up(path)
        self.assertEqual("scratch", self.exec("a", "cat", "/sys/block/vda/serial").strip())
        for disk in ("vda", "vdb"):
            self.exec("a", "sh", "-c", f"mkfs.ext4 -q /dev/{disk} && mkdir /run/{disk} && "
                      f"mount /dev/{disk} /run/{disk} && echo {disk} > /run/{disk}/name")
        self.down()
        self.up(path)
        for disk in ("vda", "vdb"):
            self.exec("a", "fsck.ext4", "-n", f"/dev/{disk}")
            self.assertEqual(f"{disk}\n", self.exec(
                "a", "sh", "-c", f"mkdir /run/{disk} && mount /dev/{disk} /run/{disk} && "
                f"cat /run/{disk}/name"))
        self.down()


if __name__ == "__main__":
    harness.main()
