# SPDX-License-Identifier: Apache-2.0
"""Labs of Linux guests as users have them: the topologies that come with Lanyard, brought up, used by
`lanyard exec`, changed, broken and taken down."""
import json
import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from harness import PATIENCE, wait_until
from linuxlab import LinuxLab
from vmmguest import DEFAULT_KERNEL, kernel_of

TAKES_S = 500


class Labs(LinuxLab):
    @harness.measures("linux-pair")
    def test_pair(self):
        share = self.path("share")
        os.mkdir(share)
        with open(os.path.join(share, "greeting"), "w") as f:
            f.write("hello\n")

        def change(topology):
            topology["traffic"][0].update(seconds=1, method={"tcp": {"streams": 2}})
            topology["nodes"]["b"]["shares"] = [{"path": share, "tag": "desk"},
                                                {"path": share, "tag": "look", "readonly": True}]
        path = self.topology("linux-pair", change)
        self.up(path)
        # Who they are, and both ways between them.
        self.assertEqual("a\n", self.exec("a", "hostname"))
        for node, to in (("a", "10.0.0.2"), ("b", "10.0.0.1"), ("a", "fd00::2")):
            self.assertIn(" 0% packet loss", self.exec(node, "ping", "-c", "2", "-i", "0.2", to))
        self.assertGreater(self.iperf("a", "b", "10.0.0.2", "-R"), 1e6)
        self.measure_tcp()
        # The host's root: its programs are there, and what is written stays in the guest.
        marker = f"/etc/lanyard-was-here-{os.getpid()}"
        self.exec("a", "sh", "-c", f"echo x > {marker} && cat {marker}")
        self.assertFalse(os.path.exists(marker))
        self.exec("b", "test", "!", "-e", marker)
        self.assertEqual("", self.exec("a", "sh", "-c", f"ls {self.labs} 2>/dev/null; true"))
        # Shares: one to write to, one that the host's kernel protects.
        self.assertEqual("hello\n", self.exec("b", "cat", "/mnt/look/greeting"))
        self.exec("b", "sh", "-c", "echo back > /mnt/desk/answer")
        with open(os.path.join(share, "answer")) as f:
            self.assertEqual("back\n", f.read())
        self.exec("b", "sh", "-c", "mount -o remount,rw /mnt/look; touch /mnt/look/no || exit 9",
                  status=9)
        self.assertFalse(os.path.exists(os.path.join(share, "no")))
        # exec: a status, input and output, a signal, several at once.
        self.exec("a", "sh", "-c", "exit 42", status=42)
        text = "".join(f"line {i}\n" for i in range(200))
        self.assertEqual(text, self.exec("a", "cat", input=text))
        self.exec("a", "sleep", "1000", options=("--timeout", "1"), status=124)
        sleeper = self.begin_exec("a", "sh", "-c", "echo ready; exec sleep 1000")
        self.assertEqual("ready\n", sleeper.stdout.readline())
        self.assertEqual("hi\n", self.exec("a", "echo", "hi"))
        sleeper.send_signal(signal.SIGINT)
        self.assertEqual(128 + signal.SIGINT, sleeper.wait(30 * PATIENCE))
        node = self.node("b")
        self.assertEqual(("running", "linux", "host", "answers", []),
                         tuple(node[k] for k in ("state", "guest", "root", "agent", "problems")))
        self.assertEqual(kernel_of(DEFAULT_KERNEL).version, node["kernel"])
        self.assertEqual(3, len([h for h in node["helpers"] if h["state"] == "running"]))
        # A guest whose folders' server dies starts again with it; the other one goes on.
        other = self.node("a")["pid"]
        os.kill(node["helpers"][0]["pid"], signal.SIGKILL)
        wait_until(lambda: self.status()["state"] == "degraded", 10, "the loss")
        self.up(path)
        self.assertEqual(other, self.node("a")["pid"])
        self.assertIn(" 0% packet loss", self.exec("b", "ping", "-c", "1", "10.0.0.1"))
        # A panic is seen and said.
        self.exec("a", "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq")
        crash = self.begin_exec("a", "sh", "-c", "echo c > /proc/sysrq-trigger")
        wait_until(lambda: "panic" in self.lanyard("status", self.lab).stdout, 30,
                   "the panic in status")
        crash.kill()
        self.down()

    def measure_tcp(self):
        """By iperf3 in both, with what it costs the host; nobody is left running."""
        done = self.lanyard("bench", self.lab, "--json", "-", timeout_s=60)
        [tcp] = json.loads(done.stdout)["tcp"]
        figures = {k: v["median"] for k, v in tcp["figures"].items()}
        self.assertGreater(figures["goodput_bps"], 1e6)
        for part in ("switch", "nodes"):
            self.assertGreater(figures[f"cycles_per_byte_{part}"], 0)
        self.assertGreater(figures["exits_per_megabyte"], 0)
        self.assertRegex(done.stderr, r"stream: TCP \(iperf 3\S+, \w+\), 2 streams, 1 s\n")
        for node in ("a", "b"):
            self.exec(node, "sh", "-c", "! pidof iperf3")

    @harness.measures("linux-routers")
    def test_routers(self):
        """A chain: what goes from one end to the other is forwarded by each."""
        self.up(self.topology("linux-routers"))
        self.assertIn(" 0% packet loss", self.exec("r1", "ping", "-c", "2", "-i", "0.2", "10.4.0.3"))
        ttl = self.exec("r1", "ping", "-c", "1", "10.3.0.3")
        self.assertIn("ttl=63", ttl)
        self.assertIn("via 10.2.0.2", self.exec("r1", "ip", "route", "get", "10.4.0.3"))
        self.assertGreater(self.iperf("r1", "r3", "10.4.0.3"), 1e5)
        self.down()

    @harness.measures("disk")
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
            self.read_rate(disk)
        self.down()

    def read_rate(self, disk):
        """A lab of one guest, whose measure are its disks: 8 MiB as they come from the back end."""
        said = self.exec("a", "sh", "-c", f"LC_ALL=C dd if=/dev/{disk} of=/dev/null bs=256K count=32 "
                         "iflag=direct 2>&1")
        bytes_, seconds = re.search(r"(\d+) bytes .* copied, ([0-9.e-]+) s", said).groups()
        self.assertEqual(8 << 20, int(bytes_))
        print(f"figure: rig: {disk}: {int(bytes_) / float(seconds) / 1e6:.1f} MB/s read")
        self.measured.add(self.lab)


if __name__ == "__main__":
    harness.main()
