# SPDX-License-Identifier: Apache-2.0
"""A Linux guest of lanyard-vmm's, and a shell in it: for tests in the rig (tests/rig), whose KVM
runs a kernel of Debian's at a useful speed.

    guest = VmmGuest(case, "a", [VmmNic(socket, mac, queues=4, packed="on")], vcpus=2,
                     args=["--disk", "file=x.raw"], modules=("virtio_blk",), programs=("mkfs.ext4",))
    guest.run("ip link set eth0 up")        # output; a status other than 0 fails the test
    guest.spawn("server", "iperf3 -s")      # goes on; its output: guest.log("server")
    guest.vmm.call("info")                  # lanyard-vmm's control socket (harness.Server)
    guest.console()                         # what it printed on COM1
    guest.reboot()                          # from within; waits until it takes commands again

VmmGuest() returns while the guest boots (some 10 s), so that two boot at once; the first run() waits.
The initramfs is linuxguest.py's: busybox, programs of the host, modules in load order, and an init that
takes commands from COM2 (the agent's line, docs/control.md) in linuxguest.py's way, not as JSON.

Kernels are Debian's: KERNELS names them, kernel_of() gives one. The rig has them made beforehand.
"""
import hashlib
import os
import shutil

from linuxboot import Kernel, cache_dir
from linuxguest import INIT, MODULES, ShellGuest, write_initramfs

# Name: flavour and Debian's suite of linuxboot.Kernel.
KERNELS = {"6.1-cloud": ("cloud-amd64", "bookworm"), "6.1": ("amd64", "bookworm"),
           "6.12": ("amd64", "bookworm-backports")}
DEFAULT_KERNEL = "6.1-cloud"  # the quickest to boot
IMAGES = ("bzImage", "elf")
PROGRAMS = ("ethtool", "ip", "iperf3", "ping")
MEMORY = "192M"
# What makes a nested boot quick and sure on a loaded host. quiet: each byte on COM1 is an exit.
# no_timer_check, nowatchdog, tsc=reliable, rcu stall: a CPU stops for longer than Linux thinks likely.
CMDLINE = ("console=ttyS0 quiet panic=-1 reboot=t mitigations=off no_timer_check nowatchdog "
           "tsc=reliable rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on nokaslr "
           "cryptomgr.notests audit=0 apparmor=0 net.ifnames=0")


def kernel_of(name=DEFAULT_KERNEL):
    return Kernel(*KERNELS[name])


def prepare_kernels():
    """Fetches and unpacks all of them: where there is a network, so not in the rig."""
    for name in KERNELS:
        kernel_of(name).vmlinux()


class VmmNic:
    """options: other keys of --nic, {"packed": "on", "mtu": 9000}."""

    def __init__(self, path, mac, queues=1, **options):
        self.path, self.mac, self.queues, self.options = path, mac, queues, options

    def argv(self):
        text = f"socket={self.path},mac={self.mac}"
        if self.queues > 1:
            text += f",queues={self.queues}"
        return ["--nic", text + "".join(f",{k}={v}" for k, v in self.options.items())]


def initramfs(kernel, modules=(), programs=(), tools=PROGRAMS):
    """One with these modules besides the usual ones, tools, and programs; made once and kept."""
    modules, programs = (*MODULES, *modules), (*tools, *programs)
    found = [(p, os.stat(p).st_mtime_ns) for p in map(shutil.which, programs) if p]
    made_of = hashlib.sha256(repr((INIT, kernel.root, kernel.version, modules, programs,
                                   found)).encode()).hexdigest()[:12]
    path = os.path.join(cache_dir(), f"guest-{made_of}.cpio")
    if not os.path.exists(path):
        write_initramfs(f"{path}.{os.getpid()}", kernel, programs, modules)
        os.rename(f"{path}.{os.getpid()}", path)
    return path


class VmmGuest(ShellGuest):
    def __init__(self, case, name, nics=(), vcpus=1, kernel=DEFAULT_KERNEL, image="bzImage",
                 memory=MEMORY, args=(), modules=(), programs=(), cmdline="", tools=PROGRAMS):
        """case: a harness.Case, which ends the VMM. kernel: of KERNELS; image: of IMAGES. vcpus:
        what --vcpus is given. args: further options; cmdline: appended. modules, programs: besides
        MODULES and tools; tools=(): busybox and dash alone, 4 MB."""
        self.kernel = kernel_of(kernel)
        argv = ["--vcpus", str(vcpus), "--initrd",
                initramfs(self.kernel, modules, programs, tools), *args]
        for nic in nics:
            argv += nic.argv()
        self.vmm = case.vmm(name, *argv, memory=memory, cmdline=f"{CMDLINE} {cmdline}".strip(),
                            kernel=self.kernel.vmlinuz if image == "bzImage"
                            else self.kernel.vmlinux())
        super().__init__(case, name, case.path(f"{name}.agent"), self.vmm)
