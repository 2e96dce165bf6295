# SPDX-License-Identifier: Apache-2.0
"""Our own disks and random numbers under Linux: what it sees of them, data through a file system, trimmed
blocks, resets of the driver and the guest; and a Debian that boots from its disk."""
import hashlib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import debroot
import harness
from harness import PATIENCE, wait_until
from vmmguest import CMDLINE, VmmGuest, kernel_of

TAKES_S = 250

MIB = 1 << 20
SIZE = 96 * MIB


class Disks(harness.Case):
    def make(self, name, size, data=b""):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(data)
            f.truncate(size)
        return path

    def held(self, path):
        """Bytes that the file takes on the host."""
        return os.stat(path).st_blocks * 512

    def disk(self, guest, i=0):
        return guest.vmm.call("info")["disks"][i]

    def test_linux(self):
        content = os.urandom(MIB)
        disk, other = self.make("disk", SIZE), self.make("other", MIB, content)
        guest = VmmGuest(self, "a", vcpus=2, tools=(), programs=("mkfs.ext4", "fstrim"),
                         modules=("virtio_blk", "ext4", "crc32c_generic", "virtio-rng"),
                         args=["--disk", f"file={disk},serial=LY-0001,queues=2",
                               "--disk", f"file={other},readonly=on", "--rng"])
        self.check_what_it_sees(guest, content)
        self.check_random_numbers(guest)
        guest.run("mkfs.ext4 -q /dev/vda && mkdir /d && mount /dev/vda /d")
        total = guest.run("for i in 1 2 3; do dd if=/dev/urandom of=/d/$i bs=64k count=192 "
                          "2>/dev/null & done; wait; sync; cat /d/1 /d/2 /d/3 | sha256sum")
        self.check_trim(guest, disk)
        self.check_driver_reload(guest, total)
        guest.run("umount /d")
        guest.reboot()
        self.assertEqual(guest.vmm.call("info")["resets"], 1)
        guest.run("mkdir /d && mount /dev/vda /d")
        self.assertEqual(guest.run("cat /d/1 /d/2 /d/3 | sha256sum"), total)
        last = guest.run("echo written last >/d/last; sha256sum </d/2; umount /d").split()[0]
        counts = self.disk(guest)["requests"]
        self.assertEqual((counts["failed"], counts["refused"]), (0, 0))
        for name in ("reads", "writes", "flushes", "discards"):
            self.assertGreater(counts[name], 0, name)
        self.assertGreater(counts["written_bytes"], 36 * MIB)
        guest.spawn("off", "poweroff -f")
        self.assertEqual(guest.vmm.proc.wait(30 * PATIENCE), 0)
        self.check_on_the_host(disk, last)
        with open(other, "rb") as f:
            self.assertEqual(f.read(), content)

    def check_what_it_sees(self, guest, content):
        def sys_block(what):
            return guest.run(f"cat /sys/block/{what}")

        self.assertEqual(sys_block("vda/size"), str(SIZE // 512))
        self.assertEqual(sys_block("vda/serial"), "LY-0001")
        self.assertEqual((sys_block("vda/ro"), sys_block("vdb/ro")), ("0", "1"))
        self.assertEqual(guest.run("ls /sys/block/vda/mq | wc -l"), "2")
        self.assertEqual(sys_block("vda/queue/write_cache"), "write back")
        self.assertEqual(sys_block("vda/queue/logical_block_size"), "512")
        self.assertEqual(sys_block("vda/queue/physical_block_size"), "4096")
        self.assertNotEqual(sys_block("vda/queue/discard_max_bytes"), "0")
        self.assertEqual(sys_block("vdb/queue/discard_max_bytes"), "0")
        self.assertEqual(guest.run("sha256sum </dev/vdb").split()[0],
                         hashlib.sha256(content).hexdigest())
        guest.run("! dd if=/dev/zero of=/dev/vdb bs=4k count=1 conv=fsync 2>/dev/null")
        info = self.disk(guest)
        self.assertEqual((info["size_bytes"], info["serial"], info["readonly"], info["queues"],
                          info["running"], info["needs_reset"]),
                         (SIZE, "LY-0001", False, 2, True, False))

    def check_random_numbers(self, guest):
        self.assertEqual(guest.run("cat /sys/class/misc/hw_random/rng_current"), "virtio_rng.0")
        self.assertEqual(guest.run("dd if=/dev/hwrng bs=64 count=32 2>/dev/null | wc -c"), "2048")
        self.assertNotEqual(*(guest.run("head -c 32 /dev/hwrng | sha256sum") for _ in range(2)))
        self.assertGreater(guest.vmm.call("info")["rngs"][0]["bytes"], 2048)

    def check_trim(self, guest, disk):
        """What the guest's file system gives back, the host gets back."""
        guest.run("dd if=/dev/urandom of=/d/big bs=1M count=24 2>/dev/null; sync")
        before = self.held(disk)
        self.assertGreater(before, 56 * MIB)
        guest.run("rm /d/big && sync && fstrim /d")
        self.assertLess(self.held(disk), before - 20 * MIB)

    def check_driver_reload(self, guest, total):
        guest.run("umount /d && rmmod virtio_blk")
        self.assertFalse(self.disk(guest)["running"])
        guest.run("insmod /modules/virtio_blk.ko && mount /dev/vda /d && "
                  "echo 3 >/proc/sys/vm/drop_caches")
        self.assertEqual(guest.run("cat /d/1 /d/2 /d/3 | sha256sum"), total)

    def check_on_the_host(self, disk, sum_of_2):
        done = subprocess.run(["/sbin/e2fsck", "-f", "-n", disk], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        for name, digest in (("2", sum_of_2), ("last", hashlib.sha256(b"written last\n").hexdigest())):
            data = subprocess.run(["/sbin/debugfs", "-R", f"cat /{name}", disk], check=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            self.assertEqual(hashlib.sha256(data).hexdigest(), digest)

    def test_debian_boots_from_raw(self):
        """Its own init starts, it writes, powers off, and leaves a file system with no fault."""
        disk = debroot.copy(debroot.image("raw"), self.path("root"))
        kernel = kernel_of()
        vmm = self.vmm("d", "--initrd", debroot.initramfs(kernel), "--disk", f"file={disk}",
                       kernel=kernel.vmlinuz, cmdline=CMDLINE, memory="192M")
        wait_until(lambda: vmm.proc.poll() is not None, 120, "the machine's end")
        with open(self.path("d.console.log"), errors="replace") as f:
            said = f.read()
        self.assertEqual(vmm.proc.returncode, 0, said[-3000:])
        self.assertRegex(said, debroot.UP + r": Debian 12.*/sbin/init as init, /dev/vda / ext4 rw")
        debroot.passes_fsck(disk)


if __name__ == "__main__":
    harness.main()
