# SPDX-License-Identifier: Apache-2.0
"""`lanyard exec` for minutes on end in a guest whose root is the host's, over virtiofs: commands that read
files and some that print more than a line. One that hangs is told with what its VMM says of itself."""
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "lib"), os.path.join(HERE, "..", "..", "integration")]
import harness
from harness import LANYARD
from linuxlab import LinuxLab

TAKES_S = 540
RUNS_S = 380  # for as long as that
HANGS_S = 60
# Not too much output: each byte of it is an exit, of which the rig does some 6,000 a second.
COMMANDS = (["lscpu"], ["ping", "-c", "2", "-i", "0.2", "10.0.0.2"], ["ls", "-l", "/etc"],
            ["ip", "-s", "link"], ["sh", "-c", "for i in 1 2 3 4 5; do date; done"])


class ExecMany(LinuxLab):
    def test_many(self):
        path = self.topology("linux-pair")
        self.up(path)
        until, n, longest = time.monotonic() + RUNS_S, 0, 0
        while time.monotonic() < until:
            argv = COMMANDS[n % len(COMMANDS)]
            began = time.monotonic()
            try:
                done = subprocess.run([LANYARD, "exec", f"{self.lab}/a", "--", *argv], env=self.env,
                                      capture_output=True, timeout=HANGS_S)
            except subprocess.TimeoutExpired as e:
                self.hung(n, argv, e)
            self.assertEqual(0, done.returncode, (argv, done.stderr[-500:]))
            longest = max(longest, time.monotonic() - began)
            n += 1
        print(f"figure: exec: {n} commands, the longest took {longest:.1f} s")

    def hung(self, n, argv, e):
        vmm = harness.Rpc(os.path.join(self.labs, self.lab, "a.sock"), 10)
        said = {"info": vmm.call("info"), "counters": vmm.call("counters")}
        time.sleep(2)
        said["counters 2 s later"] = vmm.call("counters")
        # A second command tells whether the agent or the first command hangs.
        try:
            other = subprocess.run([LANYARD, "exec", f"{self.lab}/a", "--", "cat", "/proc/interrupts"],
                                   env=self.env, capture_output=True, text=True, timeout=30).stdout
        except subprocess.TimeoutExpired:
            other = "hangs too"
        try:
            stacks = subprocess.run([LANYARD, "exec", f"{self.lab}/a", "--", "sh", "-c",
                                     "for p in /proc/[0-9]*; do grep -q . $p/cmdline && cat $p/comm $p/stack; done"],
                                    env=self.env, capture_output=True, text=True, timeout=30).stdout
        except subprocess.TimeoutExpired:
            stacks = "hangs too"
        self.fail(f"command {n}, {argv}, had no end in {HANGS_S} s: {len(e.stdout or b'')} bytes came: "
                  f"{(e.stdout or b'')[-300:]}\n"
                  f"{json.dumps(said)}\n{other}\n{stacks[:6000]}\n{self.console('a')[-1500:]}")


if __name__ == "__main__":
    harness.main()
