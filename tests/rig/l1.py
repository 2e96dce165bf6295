# SPDX-License-Identifier: Apache-2.0
"""L1: a machine with hardware virtualisation, an IOMMU and NICs of its own, on any host.

QEMU (qemu.py) emulates it: no hardware virtualisation is needed, nor what the host has of devices.
AMD's SVM with nested paging is emulated too: /dev/kvm in L1 is kvm_amd's, and a Linux guest of
lanyard-vmm boots there (tests/lib/vmmguest.py). Its kernel is Debian's, from the cache of
tests/lib/linuxboot.py; its root is this host's file system, read-only over 9p with a tmpfs on top, so
that every program, library and build is there and nothing that happens inside reaches the host. One
folder is shared for writing: `out`, /mnt inside.

    L1(out).run(["sh", "-c", "lspci"], timeout_s=60)    exit status and output

L1 caches what it has read and does not ask again: what is built while it runs it sees only after
`echo 3 >/proc/sys/vm/drop_caches` there. The next L1 starts with no cache.

nics: their models, "e1000e" or "igb" (an SR-IOV PF, two RSS queues or more, TSO; 7 VFs), alone in their
IOMMU groups. 0 and 1 are at the ends of one wire, 2 and 3 of the next; the kernel's names for them
are eth0, eth1 ... in this order if all are of one model; PCI addresses always are.
"""
import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import _die_with_parent  # noqa: E402
from linuxboot import Initramfs, Kernel, cache_dir, cache_lock  # noqa: E402
from qemu import Qemu  # noqa: E402

MEMORY_MB = 4096
HUGEPAGES = 256  # of 2 MiB
BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
# No program in L1 loads modules by itself: what tests take for granted.
MODULES = ("kvm-amd", "tun", "vhost_net", "bridge", "veth", "af_packet", "8021q")
CMDLINE = ("console=ttyS0 quiet panic=-1 reboot=t mitigations=off tsc=reliable no_timer_check "
           "nowatchdog rcupdate.rcu_cpu_stall_suppress=1 net.ifnames=0 intel_iommu=on iommu=pt "
           # A vCPU that waits must not have its CPU poll: there are two, emulated.
           # Registers of a device can be read beside its driver.
           f"kvm.halt_poll_ns=0 hugepages={HUGEPAGES} iomem=relaxed")

INIT = r"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for m in $(cat /modules/order); do insmod $m || echo "init: insmod $m failed"; done
mkdir -p /host /over /root
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /host
mount -t tmpfs over /over
mkdir -p /over/up /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/up,workdir=/over/work overlay /root
for d in dev proc sys; do mount --move /$d /root/$d; done
mkdir -p /root/dev/shm /root/dev/pts /root/dev/hugepages /root/mnt
mount -t tmpfs run /root/run
mount -t tmpfs shm /root/dev/shm
mount -t devpts pts /root/dev/pts
mount -t hugetlbfs huge /root/dev/hugepages
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none out /root/mnt
cd /root
# As switch_root does: who only chroots may have no user name spaces.
mount --move . /
exec chroot . /bin/sh /mnt/job
"""

JOB = """mkdir -p /usr/lib/modules /run/lock
[ -e /lib/modules ] || ln -s usr/lib/modules /lib/modules
mkdir -p /lib/modules/{version} && mount --bind {modules} /lib/modules/{version}
for m in {names}; do modprobe $m; done
ip link set lo up
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM={term} LANYARD_RIG=1
export XDG_CACHE_HOME={cache}
cd {cwd}
{command}
sync
/bin/busybox poweroff -f
"""

# What a job's end leaves is its status. A hung one is ended from outside.
BATCH = """( {command} ) >/mnt/output 2>&1 </dev/null
echo $? >/mnt/status
"""


def _initramfs(kernel):
    """Made once for each kernel and INIT; its name says of what."""
    made_of = hashlib.sha256((INIT + " ".join(BOOT_MODULES)).encode()).hexdigest()[:12]
    path = os.path.join(cache_dir(), f"rig-{kernel.version}-{made_of}.cpio")
    with cache_lock():
        if not os.path.exists(path):
            fs = Initramfs()
            fs.add_busybox()
            for folder in ("host", "over"):
                fs.add_folder(folder)
            fs.add_modules(kernel, BOOT_MODULES)
            fs.add_file("init", INIT.encode(), 0o755)
            fs.write(path + ".new")
            os.rename(path + ".new", path)
    return path


class L1:
    def __init__(self, out, nics=(), cpus=2, memory_mb=MEMORY_MB, counted=False, anti_spoof=False):
        """out: a folder of the host's; what L1 leaves in /mnt is found there. counted: while a CPU
        of L1's is busy, its clock is the number of instructions, a nanosecond each: what they take is
        the same whatever else this host does; waits take their time. Slower: one thread for all CPUs.
        anti_spoof: an igb drops what its PF's driver tells it to, as a real one (see qemu.py)."""
        self.out, self.nics, self.cpus = os.path.abspath(out), nics, cpus
        self.memory_mb, self.counted = memory_mb, counted
        os.makedirs(self.out, exist_ok=True)
        self.qemu = Qemu(self.out, anti_spoof)
        self.kernel = Kernel("amd64")
        self.initramfs = _initramfs(self.kernel)

    def _argv(self):
        path = self.qemu.path
        accel = (["-accel", "tcg,thread=single", "-icount", "shift=0"] if self.counted else
                 ["-accel", "tcg,thread=multi"])
        argv = [*accel, "-cpu", "max", "-smp", str(self.cpus),
                "-M", "q35", "-m", str(self.memory_mb), "-nodefaults", "-display", "none",
                "-no-reboot", "-serial", "mon:stdio", "-kernel", path(self.kernel.vmlinuz),
                "-initrd", path(self.initramfs), "-append", CMDLINE,
                "-device", "intel-iommu,intremap=on,caching-mode=on"]
        for tag, folder, read_only in (("host", path("/"), "on"), ("out", self.qemu.out, "off")):
            argv += ["-fsdev", f"local,id={tag},path={folder},security_model=none,"
                     f"readonly={read_only},multidevs=remap",
                     "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        for i, model in enumerate(self.nics):
            argv += ["-device", f"pcie-root-port,id=rp{i},slot={i + 1},chassis={i + 1}",
                     "-netdev", f"hubport,id=n{i},hubid={i // 2}", "-device",
                     f"{model},bus=rp{i},netdev=n{i},mac=52:54:00:00:00:{i:02x},romfile="]
        return self.qemu.argv(argv)

    def _job(self, command, term="dumb"):
        names = dict.fromkeys([*self.nics, *MODULES])
        text = JOB.format(version=self.kernel.version, modules=self.kernel.modules,
                          names=" ".join(names), cwd=shlex.quote(os.getcwd()), term=term,
                          cache=shlex.quote(os.path.dirname(cache_dir())), command=command)
        with open(os.path.join(self.out, "job"), "w") as f:
            f.write(text)

    def watch(self, script, why_end):
        """Runs a shell script in L1, and ends it when why_end(), asked twice a second, returns a
        reason. Returns that, or None if L1 ended by itself. console() is what it printed."""
        self._job(script)
        with open(os.path.join(self.out, "console"), "wb") as f:
            qemu = subprocess.Popen(self._argv(), stdin=subprocess.DEVNULL, stdout=f,
                                    stderr=subprocess.STDOUT, start_new_session=True,
                                    preexec_fn=_die_with_parent)
            try:
                while True:
                    try:
                        qemu.wait(0.5)
                        return None
                    except subprocess.TimeoutExpired:
                        why = why_end()
                        if why:
                            return why
            finally:
                if qemu.poll() is None:
                    os.killpg(qemu.pid, signal.SIGKILL)
                qemu.wait()

    def run(self, argv, timeout_s, env=None):
        """(exit status, output). Status None: L1 hung, or ended without having run it all; then
        the output ends with what its console said."""
        for name in ("status", "output"):
            if os.path.exists(os.path.join(self.out, name)):
                os.unlink(os.path.join(self.out, name))
        deadline = time.monotonic() + timeout_s
        why = self.watch(BATCH.format(command=command(argv, env)), lambda: time.monotonic() >
                         deadline and f"hung: ended after {timeout_s} s")
        status, output = self.read("status").strip(), self.read("output")
        if status.isdigit():
            return int(status), output
        return None, f"{output}\nL1 {why or 'ended before its job did'}; its console:\n" \
                     f"{self.console()}"

    def shell(self):
        """On this terminal. Ctrl-A X ends the machine as well."""
        self._job("setsid -c /bin/bash -i", term=os.environ.get("TERM", "dumb"))
        return subprocess.call(self._argv())

    def console(self):
        """The end of what its kernel and init said."""
        return self.read("console")[-4000:]

    def read(self, name):
        """What it has written to /mnt/NAME, "" if nothing."""
        try:
            with open(os.path.join(self.out, name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""


def command(argv, env=None):
    """As a line of shell."""
    return " ".join(["env", *(f"{k}={shlex.quote(v)}" for k, v in (env or {}).items()),
                     shlex.join(argv)])
