# SPDX-License-Identifier: Apache-2.0
"""Guests with no image, on lanyard-vmm: the initramfs that Lanyard makes, its init and its agent."""
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import agent
import backends
import harness
from harness import RpcError, wait_until
from lanyardguest import LanyardGuest
from vmmguest import DEFAULT_KERNEL, kernel_of

TAKES_S = 280

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")


class LinuxGuest(harness.Case):
    def nics(self):
        """Their back end is absent: the link is down, and addresses are set all the same."""
        return [a for mac in MACS for a in ("--nic", f"socket={self.path('none')},mac={mac}")]

    def test_initramfs_root(self):
        script = self.path("script")
        with open(script, "w") as f:
            f.write("#!/usr/bin/env dash\necho script $1\n")
        os.chmod(script, 0o755)
        folder = self.path("folder")
        os.makedirs(f"{folder}/deep")
        with open(f"{folder}/deep/data", "w") as f:
            f.write("data\n")
        os.symlink("deep/data", f"{folder}/link")
        guest = LanyardGuest(self, "a", {
            "hostname": "anton",
            # In the other order than the kernel finds them.
            "nics": [{"mac": MACS[1], "addresses": ["10.0.0.2/24", "fd00::2/64"], "mtu": 1400},
                     {"mac": MACS[0], "addresses": ["10.1.0.1/16"]}],
            "routes": [{"to": "default", "via": "10.0.0.254"},
                       {"to": "10.9.0.0/16", "via": "10.1.0.9"},
                       {"to": "fd09::/64", "via": "fd00::9"}],
            "forward": True,
        }, files=["/bin/busybox", "/bin/sh", "/usr/sbin/ip", "/usr/bin/iperf3", f"{script}:/bin/script",
                  f"{folder}:/data"], args=self.nics())
        hello = guest.hello()
        self.assertEqual((hello["guest"], hello["hostname"], hello["root"], hello["problems"]),
                         ("linux", "anton", "none", []))
        self.assertEqual(hello["kernel"], guest.kernel.version)
        self.assertEqual([(n["name"], n["mac"], n["mtu"]) for n in hello["nics"]],
                         [("eth0", MACS[1], 1400), ("eth1", MACS[0], 1500)])
        addresses = guest.sh("ip -br addr")
        self.assertRegex(addresses, r"eth0 .*10\.0\.0\.2/24 .*fd00::2/64")
        self.assertRegex(addresses, r"eth1 .*10\.1\.0\.1/16")
        self.assertRegex(addresses, r"lo .*127\.0\.0\.1/8")
        self.assertNotIn("tentative", guest.sh("ip -6 addr"))
        routes = guest.sh("ip route; ip -6 route")
        for words in ("default via 10.0.0.254 dev eth0", "10.9.0.0/16 via 10.1.0.9 dev eth1",
                      "fd09::/64 via fd00::9 dev eth0"):
            self.assertIn(words, routes)
        self.assertEqual(guest.sh("busybox cat /proc/sys/net/ipv4/ip_forward"), "1\n")
        # Files, with what they need.
        self.assertEqual(guest.run(["script", "x"]).out, b"script x\n")
        self.assertEqual(guest.sh("busybox cat /data/link"), "data\n")
        self.assertIn("iperf 3", guest.sh("iperf3 --version"))
        self.assertIn('no program "python3"', self.refused(guest, ["python3"]))
        # Modules of the list are loaded.
        self.assertIn("8021q", guest.sh("busybox cut -d' ' -f1 /proc/modules"))
        self.check_commands(guest)
        self.check_devices(guest)
        self.check_reboot_and_end(guest)

    def refused(self, guest, argv):
        with self.assertRaises(RpcError) as caught:
            agent.Command(guest.rpc, argv)
        return caught.exception.message

    def check_commands(self, guest):
        """Over the real line."""
        self.assertEqual(guest.run(["sh", "-c", "echo o; echo e >&2; exit 3"]),
                         (3, None, b"o\n", b"e\n"))
        data = bytes(range(256)) * 200
        self.assertEqual(guest.run(["busybox", "cat"], stdin=data).out, data)
        sleeper = agent.Command(guest.rpc, ["busybox", "sleep", "1000"])
        other = agent.Command(guest.rpc, ["busybox", "echo", "x"]).wait()
        self.assertEqual((other.status, other.out), (0, b"x\n"))
        sleeper.kill(signal.SIGTERM)
        self.assertEqual(sleeper.wait().signal, 15)
        # Orphans are collected: none stays a zombie.
        guest.sh("(busybox sleep 0.1 &) ; busybox sleep 0.5")
        self.assertNotIn(" Z ", guest.sh("busybox ps -o stat,comm"))

    def check_devices(self, guest):
        out = guest.sh("busybox ls -l /dev/null /dev/pts/ptmx /dev/fd; busybox mount")
        for words in ("devtmpfs on /dev ", "devpts on /dev/pts ", "tmpfs on /dev/shm ", "proc on /proc ",
                      "tmpfs on /run ", "tmpfs on /tmp "):
            self.assertIn(words, out)

    def check_reboot_and_end(self, guest):
        guest.sh("echo old >/tmp/mark")
        guest.stop("reboot")
        wait_until(lambda: guest.vmm.call("info")["resets"] == 1, 30, "the reset")
        self.assertEqual(guest.hello()["problems"], [])
        guest.sh("! test -e /tmp/mark")
        self.assertEqual(guest.stop("poweroff"), 0)
        self.assertEqual(guest.console().count("lanyard-init: ready: "), 2)
        self.assertIn("lanyard-init: powers off", guest.console())

    def test_612(self):
        """Modules that are compressed (.ko.xz), or built in; a root and a NIC that are not there:
        that is said, and the agent answers all the same."""
        guest = LanyardGuest(self, "b", {"root": "host", "nics": [{"mac": MACS[0]}, {"mac": "02:00:00:00:00:77"}]},
                             kernel="6.12", files=["/bin/busybox", "/bin/sh"], args=self.nics(),
                             image_args=["--disks", "--shares", "--module", "veth"])
        hello = guest.hello()
        self.assertEqual(hello["root"], "none")
        root, nic = hello["problems"]
        self.assertIn("virtiofs, tag lanyard-root): Invalid argument: the VM has no such share", root)
        self.assertEqual(nic, "NIC 1 (02:00:00:00:00:77) did not appear within 5 s")
        self.assertEqual([n["name"] for n in hello["nics"]], ["eth0"])
        self.assertIn("veth", guest.sh("busybox cut -d' ' -f1 /proc/modules"))
        # SIGTERM to process 1 ends it as well, and what runs gets SIGTERM first.
        listener = agent.Command(guest.rpc, ["sh", "-c",
                                             "trap 'echo heard >/dev/console; exit' TERM; echo go; "
                                             "while :; do busybox sleep 0.1; done"])
        listener.until(lambda: listener.out)
        agent.Command(guest.rpc, ["sh", "-c", "kill -TERM 1"])
        self.assertEqual(guest.vmm.proc.wait(30 * harness.PATIENCE), 0)
        self.assertIn("heard", guest.console())


    def test_host_root(self):
        """The host's file system under a tmpfs (here the rig's own), and a share."""
        share, extra = self.path("share"), self.path("extra")
        os.mkdir(share)
        with open(extra, "w") as f:
            f.write("extra\n")
        args = []
        for tag, folder in (("lanyard-root", "/"), ("stuff", share)):
            # The rig's root is one that virtiofsd can't pivot.
            folder = backends.Folder(self, tag, folder, sandbox="chroot")
            args += ["--fs", f"socket={folder.socket},tag={tag}"]
        modules = kernel_of(DEFAULT_KERNEL).modules
        guest = LanyardGuest(self, "h", {"modules": modules, "shares": [{"tag": "stuff"}]}, root="host",
                             files=[f"{extra}:/etc/extra"], args=args, image_args=["--shares"],
                             memory="256M")
        hello = guest.hello()
        self.assertEqual((hello["root"], hello["problems"]), ("host", []))
        self.assertEqual(guest.sh("cat /etc/extra"), "extra\n")
        # The host's programs and files, and a memory of its own on top.
        self.assertEqual(guest.sh("python3 -c 'print(6 * 7)'"), "42\n")
        mark = self.path("mark")
        with open(mark, "w") as f:
            f.write("host\n")
        guest.sh("echo guest >/etc/lanyard-mark; rm /etc/hostname; mkdir -p /opt/new")
        self.assertFalse(os.path.exists("/etc/lanyard-mark"))
        self.assertTrue(os.path.exists("/etc/hostname"))
        # /tmp, /run, /dev are the guest's own.
        guest.sh(f"! test -e {mark}; mount | grep -q '^overlay on / '")
        guest.sh("modprobe dummy && grep -q ^dummy /proc/modules")
        guest.sh("echo from-guest >/mnt/stuff/x")
        with open(f"{share}/x") as f:
            self.assertEqual(f.read(), "from-guest\n")
        # The power button ends it as stop_guest does.
        guest.vmm.call("power_button")
        self.assertEqual(guest.vmm.proc.wait(30 * harness.PATIENCE), 0)
        self.assertIn("lanyard-init: powers off", guest.console())

    def make_disk(self):
        """An ext4 file system with busybox and an init of its own."""
        tree, disk = self.path("tree"), self.path("disk.raw")
        for folder in ("bin", "sbin", "etc", "mnt"):
            os.makedirs(f"{tree}/{folder}")
        shutil.copy("/bin/busybox", f"{tree}/bin/busybox")
        for name in ("sh", "cat", "mount", "sleep", "ps", "grep"):
            os.symlink("busybox", f"{tree}/bin/{name}")
        for name, script in (("init", "echo their init >/dev/console\nwhile :; do sleep 1; done"),
                             ("poweroff", "echo their poweroff >/dev/console\n"
                                          "busybox sync\nbusybox poweroff -f")):
            with open(f"{tree}/sbin/{name}", "w") as f:
                f.write(f"#!/bin/sh\n{script}\n")
            os.chmod(f"{tree}/sbin/{name}", 0o755)
        with open(disk, "w") as f:
            f.truncate(64 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-d", tree, disk], check=True)
        return disk

    def test_disk_root(self):
        disk = self.make_disk()
        guest = LanyardGuest(self, "d", root="disk", args=["--disk", f"file={disk}"])
        hello = guest.hello()
        self.assertEqual((hello["root"], hello["problems"]), ("disk", []))
        guest.sh("mount | grep -q '^/dev/vda on / type ext4 (rw'; echo kept >/etc/kept")
        # A command that still writes when the guest is told to end.
        agent.Command(guest.rpc, ["sh", "-c", "trap '' TERM; while :; do echo x >>/etc/log; done"])
        self.assertEqual(guest.stop(), 0)
        done = subprocess.run(["/sbin/e2fsck", "-fn", disk], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        kept = subprocess.run(["/sbin/debugfs", "-R", "cat /etc/kept", disk], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        self.assertEqual(kept, "kept\n")
        # One that can't be written to gets a tmpfs on top. The disk's own init takes over; the
        # agent stays, and has their poweroff end the guest.
        guest = LanyardGuest(self, "i", {"disk": {"device": "/dev/vda", "init": True}}, root="disk",
                             args=["--disk", f"file={disk},readonly=on"])
        self.assertEqual(guest.hello()["problems"], [])
        self.assertIn("init", guest.sh("cat /proc/1/cmdline"))
        self.assertEqual(guest.sh("cat /etc/kept; echo new >/etc/new; cat /etc/new"), "kept\nnew\n")
        self.assertEqual(guest.stop(), 0)
        self.assertIn("their init", guest.console())
        self.assertIn("their poweroff", guest.console())


if __name__ == "__main__":
    harness.main()
