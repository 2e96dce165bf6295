# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels boot under lanyard-vmm: 6.1 cloud, 6.1 generic, 6.12; as bzImage and as ELF (PVH);
with 1, 2 and 8 vCPUs; to our init, with virtio-net (1 and 4 queue pairs, split and packed), disks, a
shared folder and random numbers.

All kernels with all numbers of vCPUs, the two kinds of image alternating, in 9 boots in place of 18.
Eight vCPUs that two emulated CPUs run in turn take minutes: two of these boots are in by_hand/.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case, own_memory_kib, wait_until
from lanyardguest import LanyardGuest
from vmmguest import IMAGES, KERNELS

TAKES_S = 360

# vCPUs, what --vcpus has besides, how many (packages, cores) are seen; queue pairs, packed; a share.
GUESTS = ((1, "", (1, 1), 1, "on", False),
          (2, "", (1, 2), 1, "off", True),
          (8, ",sockets=2,cores=2,threads=2", (2, 4), 4, "on", False))
OWN_KIB = 5 * 1024
BAD = re.compile(r"WARNING|BUG:|Oops|[Cc]all [Tt]race|soft lockup|ACPI.*[Ee]rror|[Ff]irmware [Bb]ug|"
                 r"nobody cared|can't claim|not claimed|invalid BAR|no compatible bridge|PCI: Fatal")
VIRTIOFSD = {"/usr/libexec/virtiofsd": "--shared-dir={}",
             "/usr/lib/qemu/virtiofsd": "-osource={},sandbox=namespace"}

# Its words: one fact a line; files as path:content. sh is busybox's, whose applets are there too, each
# a fork: few of them.
REPORT = r"""
echo "nproc $(nproc)"
echo "release $(uname -r)"
grep . /sys/devices/system/cpu/cpu[0-9]*/topology/physical_package_id \
	/sys/devices/system/cpu/cpu[0-9]*/topology/core_id
cd /sys/bus/pci/drivers/virtio-pci && grep . 0000*/device
echo "msix $(grep -c virtio /proc/interrupts)"
ip link set eth0 up
read up </sys/class/net/eth0/carrier
for i in $(seq 300); do [ "$up" = 1 ] && break; sleep 0.3; read up </sys/class/net/eth0/carrier; done
read mac </sys/class/net/eth0/address
set -- /sys/class/net/eth0/queues/rx-*
echo "nic $up $mac $#"
echo "packed $(cut -c35 /sys/bus/pci/devices/0000:00:01.0/virtio*/features)"
read size </sys/block/vda/size
read serial </sys/block/vda/serial
echo "disk $size $serial $(dd if=/dev/vda bs=512 count=1 2>/dev/null)"
echo "wrote here" | dd of=/dev/vda bs=512 seek=1 conv=sync,fsync 2>/dev/null
read rng </sys/class/misc/hw_random/rng_current
echo "rng $rng"
if [ -n "$SHARE" ]; then
	mkdir -p /tmp/share && mount -t virtiofs share /tmp/share && read word </tmp/share/word
	echo "share $word"
fi
read up idle </proc/uptime
echo "up $up"
dmesg
"""


class Boot(Case):
    def virtiofsd(self, name):
        """The share's socket."""
        folder, sock = self.path(f"{name}.share"), self.path(f"{name}.fs")
        os.mkdir(folder)
        with open(os.path.join(folder, "word"), "w") as f:
            f.write(name + "\n")
        found = [p for p in VIRTIOFSD if os.path.exists(p)]
        self.assertTrue(found, "no virtiofsd: sudo tools/install-deps test installs it")
        self.start([found[0], f"--socket-path={sock}", VIRTIOFSD[found[0]].format(folder)],
                   f"{name}.virtiofsd")
        wait_until(lambda: os.path.exists(sock), 20, "virtiofsd's socket")
        return sock

    def begin(self, kernel, image, i):
        vcpus, topology, _, pairs, packed, share = GUESTS[i]
        name = f"{image}{vcpus}"
        self.sw.call("port_add", name=name, network="lan", socket=self.path(f"{name}.vhost"),
                     queues=pairs)
        disk = self.path(f"{name}.raw")
        with open(disk, "wb") as f:
            f.write(name.encode())
            f.truncate(1 << 20)
        args = ["--vcpus", f"{vcpus}{topology}", "--nic", f"socket={self.path(f'{name}.vhost')},"
                f"mac=02:00:00:00:01:{i:02x},queues={pairs},packed={packed}",
                "--disk", f"file={disk},serial=disk-{i}", "--rng"]
        if share:
            args += ["--fs", f"socket={self.virtiofsd(name)},tag=share"]
        return LanyardGuest(self, name, kernel=kernel, image=image, args=args,
                            files=["/bin/busybox:/bin/sh"],
                            image_args=["--disks", *(["--shares"] if share else [])])

    def boot(self, kernel, i):
        self.sw = self.switch()
        self.sw.call("network_add", name="lan")
        guest = self.begin(kernel, IMAGES[(list(KERNELS).index(kernel) + i) % 2], i)
        vcpus, _, (packages, cores), pairs, packed, share = GUESTS[i]
        self.assertEqual("linux", guest.hello()["guest"])
        lines = guest.sh(f"SHARE={'yes' if share else ''}\n{REPORT}", timeout_s=60).splitlines()
        said = {w[0]: w[1:] for w in (line.split() for line in reversed(lines) if line)}
        self.assertEqual(([str(vcpus)], [guest.kernel.version]), (said["nproc"], said["release"]))
        files = dict(line.split(":", 1) if line[0] == "/" else (line[:12], line[-6:])
                     for line in lines if line.startswith(("/sys/", "0000:")))
        cpus = [tuple(files[f"/sys/devices/system/cpu/cpu{n}/topology/{what}"]
                      for what in ("physical_package_id", "core_id")) for n in range(vcpus)]
        self.assertEqual((packages, cores), (len({c[0] for c in cpus}), len(set(cpus))), cpus)
        devices = ["0x1041", "0x1042", *(["0x105a"] if share else []), "0x1044"]
        self.assertEqual({f"0000:00:{n + 1:02x}.0": d for n, d in enumerate(devices)},
                         {k: v for k, v in files.items() if k.startswith("0000:")})
        self.assertGreater(int(said["msix"][0]), 4)
        self.assertEqual(["1", f"02:00:00:00:01:{i:02x}", str(pairs)], said["nic"])
        self.assertEqual(["1" if packed == "on" else "0"], said["packed"])
        self.assertEqual(["2048", f"disk-{i}", guest.name], [w.strip("\0") for w in said["disk"]])
        with open(self.path(f"{guest.name}.raw"), "rb") as f:
            self.assertEqual(b"wrote here\n\0", f.read(524)[512:])
        self.assertIn("virtio_rng", said["rng"][0])
        self.assertEqual([guest.name] if share else None, said.get("share"))
        self.assertEqual([], [line for line in lines if BAD.search(line)])
        print(f"figure: rig: {guest.kernel.version} as {guest.name}: asked all after "
              f"{said['up'][0]} s")
        _, pss = own_memory_kib(guest.vmm.pid)
        self.assertLess(pss, OWN_KIB)
        print(f"figure: rig: lanyard-vmm's own memory, {guest.name}: {pss} KiB (PSS)")
        self.assertEqual(0, guest.stop())


def _test(kernel, i):
    return lambda self: self.boot(kernel, i)


def add_boots(case, wanted):
    """To a subclass of Boot: a test for each kernel and number of vCPUs that is wanted."""
    for kernel in KERNELS:
        for i, guest in enumerate(GUESTS):
            if wanted(kernel, guest[0]):
                name = f"test_{re.sub(r'[^a-z0-9]', '_', kernel)}_vcpus_{guest[0]}"
                setattr(case, name, _test(kernel, i))


class Boots(Boot):
    pass


add_boots(Boots, lambda kernel, vcpus: vcpus < 8 or kernel == "6.12")


if __name__ == "__main__":
    harness.main()
