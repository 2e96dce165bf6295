# SPDX-License-Identifier: Apache-2.0
"""Linux on disks and folders of other programs: qemu-storage-daemon killed under its writes, virtiofsd's
folders, a reboot with both; and a Debian that boots from qcow2, VMDK and VHD."""
import hashlib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import backends
import debroot
import harness
from harness import PATIENCE, wait_until
from vmmguest import CMDLINE, VmmGuest, kernel_of

MODULES = ("virtio_blk", "ext4", "crc32c_generic", "fuse", "virtiofs")
FILES = 12
KIB = 2048  # of each
SUMS = (f"for d in vda vdb; do for i in $(seq {FILES}); do cat /$d/$i; done | sha256sum; done")


class Vhost(harness.Case):
    def folder(self, name, **options):
        path = self.path(name)
        os.mkdir(path)
        with open(f"{path}/hello", "w") as f:
            f.write(f"this is {name}\n")
        return backends.Folder(self, f"{name}-fs", path, sandbox="chroot", **options)

    def fsck(self, path):
        done = subprocess.run(["/sbin/e2fsck", "-f", "-n", path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def in_file(self, path, name):
        return subprocess.run(["/sbin/debugfs", "-R", f"cat {name}", path], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def test_linux(self):
        disk = backends.Disk(self, "disk", backends.create_image(
            self.path("disk.qcow2"), "qcow2", "128M"), "qcow2", queues=2)
        raw = backends.Disk(self, "raw", backends.create_image(self.path("disk.raw"), "raw", "96M"))
        share, fixed = self.folder("share"), self.folder("fixed", readonly=True)
        guest = VmmGuest(
            self, "a", vcpus=2, tools=(), programs=("mkfs.ext4",), modules=MODULES,
            args=["--disk", f"socket={disk.socket},queues=2", "--disk", f"socket={raw.socket}",
                  "--fs", f"socket={share.socket},tag=share",
                  "--fs", f"socket={fixed.socket},tag=fixed"])
        self.check_disks(guest)
        self.check_folders(guest)
        sums = self.check_killed(guest, raw, disk)
        self.check_reboot(guest, sums)
        guest.spawn("off", "poweroff -f")
        self.assertEqual(guest.vmm.proc.wait(30 * PATIENCE), 0)
        for daemon in (share, fixed):  # they end when their client does
            self.assertEqual(daemon.daemon.proc.wait(10 * PATIENCE), 0)
        self.check_on_the_host(raw, disk, sums)

    def check_disks(self, guest):
        self.assertEqual(guest.run("cat /sys/block/vda/size /sys/block/vdb/size").split(),
                         [str(128 << 11), str(96 << 11)])
        self.assertEqual(guest.run("ls /sys/block/vda/mq | wc -l"), "2")
        self.assertEqual(guest.run("cat /sys/block/vda/queue/write_cache"), "write back")
        self.assertNotEqual(guest.run("cat /sys/block/vda/queue/discard_max_bytes"), "0")
        guest.run("for d in vda vdb; do mkfs.ext4 -q /dev/$d && mkdir /$d && mount /dev/$d /$d; done")

    def check_folders(self, guest):
        guest.run("for t in share fixed; do mkdir /$t && mount -t virtiofs $t /$t; done")
        self.assertEqual(guest.run("cat /share/hello /fixed/hello"),
                         "this is share\nthis is fixed")
        total = guest.run("dd if=/dev/urandom of=/share/data bs=64k count=32 2>/dev/null; "
                          "sha256sum </share/data").split()[0]
        with open(self.path("share/data"), "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), total)
        with open(self.path("share/back"), "wb") as f:
            f.write(b"from the host\n")
        self.assertEqual(guest.run("cat /share/back; mkdir /share/d && mv /share/back /share/d/x && "
                                   "ls /share/d"), "from the host\nx")
        said = guest.run("! touch /fixed/new 2>&1")
        self.assertIn("Read-only file system", said)
        guest.run("! mount -t virtiofs none /mnt 2>/dev/null")
        self.assertEqual([f["tag"] for f in guest.vmm.call("info")["fs"]], ["share", "fixed"])

    def check_killed(self, guest, raw, disk):
        """Files on both disks, written and synced while their daemons are killed (the raw one's)
        and told to end (qcow2's, whose tables are in the process), and started again."""
        for d in ("vda", "vdb"):
            guest.spawn(d, f"for i in $(seq {FILES}); do dd if=/dev/urandom of=/{d}/$i bs=64k "
                        f"count={KIB // 64} conv=fsync 2>/dev/null || exit 1; done; echo written")
        for _ in range(6):
            raw.kill()
            disk.stop()
            raw.start()
            disk.start()
            wait_until(lambda: all(d["connected"] for d in guest.vmm.call("info")["disks"]), 20,
                       "the disks to be back")
        for d in ("vda", "vdb"):
            wait_until(lambda d=d: not guest.alive(d), 60, "the writers' end")
            self.assertEqual(guest.log(d).strip(), "written")
        self.assertGreater(min(d["reconnects"] for d in guest.vmm.call("info")["disks"]), 4)
        sums = guest.run(SUMS)
        guest.run("echo 3 >/proc/sys/vm/drop_caches")
        self.assertEqual(sums, guest.run(SUMS))
        self.assertNotRegex(guest.run("dmesg"), r"I/O error|EXT4-fs (error|warning)")
        return sums

    def check_reboot(self, guest, sums):
        guest.run("umount /vda /vdb /share /fixed")
        before = guest.vmm.call("info")
        guest.reboot()
        guest.run("for d in vda vdb; do mkdir /$d && mount /dev/$d /$d; done; "
                  "mkdir /share && mount -t virtiofs share /share")
        self.assertEqual(sums, guest.run(SUMS))
        self.assertEqual(guest.run("cat /share/d/x; echo kept >/share/kept"), "from the host")
        after = guest.vmm.call("info")
        for kind in ("disks", "fs"):  # over the same connections
            self.assertEqual([d["reconnects"] for d in before[kind]],
                             [d["reconnects"] for d in after[kind]])
        guest.run("umount /vda /vdb /share")
        with open(self.path("share/kept")) as f:
            self.assertEqual(f.read(), "kept\n")

    def check_on_the_host(self, raw, disk, sums):
        self.assertEqual(raw.stop(), 0)
        self.assertEqual(disk.stop(), 0)
        plain = backends.convert_image(disk.image, self.path("plain"))
        for path, total in zip((plain, raw.image), sums.split("\n")):
            self.fsck(path)
            data = b"".join(self.in_file(path, str(i)) for i in range(1, FILES + 1))
            self.assertEqual(len(data), FILES * KIB << 10)
            self.assertEqual(hashlib.sha256(data).hexdigest(), total.split()[0])

    def debian_boots(self, kind):
        """Its own init starts, it writes, powers off, and leaves a file system with no fault."""
        image = debroot.copy(debroot.image(kind), self.path("root"))
        disk = backends.Disk(self, "disk", image, debroot.FORMATS[kind], queues=2)
        kernel = kernel_of()
        vmm = self.vmm("d", "--vcpus", "2", "--initrd", debroot.initramfs(kernel), "--disk",
                       f"socket={disk.socket},queues=2", kernel=kernel.vmlinuz, cmdline=CMDLINE,
                       memory="192M")
        wait_until(lambda: vmm.proc.poll() is not None, 120, "the machine's end")
        with open(self.path("d.console.log"), errors="replace") as f:
            said = f.read()
        self.assertEqual(vmm.proc.returncode, 0, said[-3000:])
        self.assertRegex(said, debroot.UP + r": Debian 12.*/sbin/init as init, /dev/vda / ext4 rw")
        self.assertEqual(disk.stop(), 0)
        debroot.passes_fsck(backends.convert_image(image, self.path("plain")))

    def test_debian_boots_from_qcow2(self):
        self.debian_boots("qcow2")

    def test_debian_boots_from_vmdk(self):
        self.debian_boots("vmdk")

    def test_debian_boots_from_vhd(self):
        self.debian_boots("vhd")


if __name__ == "__main__":
    harness.main()
