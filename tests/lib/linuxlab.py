# SPDX-License-Identifier: Apache-2.0
"""A lab of Linux guests in the rig: a copy of a topology that boots quicker, `lanyard exec`, iperf3."""
import json
import os
import subprocess

import harness
from harness import LANYARD, PATIENCE, huge_free, processes_with, wait_until
from vmmguest import CMDLINE, DEFAULT_KERNEL, kernel_of

ROOT = harness.ROOT


class LinuxLab(harness.Case):
    def setUp(self):
        super().setUp()
        self.labs = self.path("labs")
        self.env["LANYARD_RUN"] = self.labs
        # No kernel is installed here: as if this one were.
        self.env["LANYARD_BOOT"] = os.path.dirname(kernel_of(DEFAULT_KERNEL).vmlinuz)
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
        up = self.lanyard("up", path, timeout_s=60)
        self.lab = json.load(open(path))["lab"]
        self.addCleanup(self.lanyard, "down", self.lab, status=None, timeout_s=60)
        return up

    def down(self):
        self.lanyard("down", self.lab, timeout_s=60)
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

    def begin_exec(self, node, *argv):
        proc = subprocess.Popen([LANYARD, "exec", f"{self.lab}/{node}", "--", *argv], env=self.env,
                                stdout=subprocess.PIPE, text=True)
        self.addCleanup(proc.stdout.close)
        self.addCleanup(proc.kill)
        return proc

    def console(self, node):
        try:
            with open(os.path.join(self.labs, self.lab, f"{node}.console.log"),
                      errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def status(self):
        return json.loads(self.lanyard("status", self.lab, "-j").stdout)

    def node(self, name):
        return next(n for n in self.status()["nodes"] if n["name"] == name)

    def iperf(self, client, server, address, *options):
        """Bits a second that the server got."""
        serves = self.begin_exec(server, "iperf3", "-s", "-1")
        wait_until(lambda: subprocess.run(
            [LANYARD, "exec", f"{self.lab}/{server}", "--", "sh", "-c",
             "ss -ltn | grep -q :5201"], env=self.env, capture_output=True).returncode == 0,
                   30, "the server")
        done = json.loads(self.exec(client, "iperf3", "-c", address, "-t", "2", "-J", *options))
        self.assertEqual(0, serves.wait(30 * PATIENCE))
        got = done["end"]["sum_received"]["bits_per_second"]
        if got > 0:
            self.measured.add(self.lab)
        return got
