# SPDX-License-Identifier: Apache-2.0
"""L1: a machine with an IOMMU and Ethernet devices of its own, on any host.

QEMU emulates it (TCG: no hardware virtualisation is needed, nor what the host has of devices). Its
kernel is Debian's, from the cache of tests/lib/linuxboot.py; its root is this host's file system,
read-only over 9p with a tmpfs on top, so that every program, library and build is there and
nothing that happens inside reaches the host. One folder is shared for writing: `out`, /mnt inside.

    L1(out).run(["sh", "-c", "lspci"], timeout_s=60)    exit status and output

Four NICs (e1000e, alone in their IOMMU groups) on two wires: nics 0 and 1 on the first, 2 and 3 on
the second; the kernel's names for them are eth0 to eth3.
"""
import hashlib
import os
import shlex
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from harness import _die_with_parent  # noqa: E402
from linuxboot import Initramfs, Kernel, cache_dir, cache_lock  # noqa: E402

QEMU = "qemu-system-x86_64"
MEMORY_MB = 2048
HUGEPAGES = 256  # of 2 MiB
BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
# No program in L1 loads modules by itself: what tests take for granted.
MODULES = ("e1000e", "tun", "veth", "af_packet", "8021q")
N_NICS = 4

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
exec chroot /root /bin/sh /mnt/job
"""

JOB = """mkdir -p /usr/lib/modules /run/lock
[ -e /lib/modules ] || ln -s usr/lib/modules /lib/modules
mkdir -p /lib/modules/{version} && mount --bind {modules} /lib/modules/{version}
for m in {names}; do modprobe $m; done
ip link set lo up
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM={term} LANYARD_RIG=1
cd {cwd}
{command}
"""

# What a job's end leaves: its status, then the machine goes off. A hung one is ended from outside.
BATCH = """( {env} {argv} ) >/mnt/output 2>&1 </dev/null
echo $? >/mnt/status
sync
/bin/busybox poweroff -f
"""
SHELL = """{env} setsid -c /bin/bash -i
/bin/busybox poweroff -f
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
    def __init__(self, out, cpus=2):
        """out: a folder of the host's; what L1 leaves in /mnt is found there."""
        self.out, self.cpus = os.path.abspath(out), cpus
        os.makedirs(self.out, exist_ok=True)
        self.kernel = Kernel("amd64")
        self.initramfs = _initramfs(self.kernel)

    def _argv(self):
        argv = [QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(self.cpus),
                "-M", "q35", "-m", str(MEMORY_MB), "-nodefaults", "-display", "none",
                "-no-reboot", "-serial", "mon:stdio",
                "-kernel", self.kernel.vmlinuz, "-initrd", self.initramfs, "-append",
                "console=ttyS0 quiet panic=-1 reboot=t mitigations=off tsc=reliable no_timer_check "
                f"net.ifnames=0 intel_iommu=on iommu=pt hugepages={HUGEPAGES}",
                "-device", "intel-iommu,intremap=on,caching-mode=on"]
        for tag, path, read_only in (("host", "/", "on"), ("out", self.out, "off")):
            argv += ["-fsdev", f"local,id={tag},path={path},security_model=none,"
                     f"readonly={read_only},multidevs=remap",
                     "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        for i in range(N_NICS):
            argv += ["-device", f"pcie-root-port,id=rp{i},slot={i + 1},chassis={i + 1}",
                     "-netdev", f"hubport,id=n{i},hubid={i // 2}",
                     "-device", f"e1000e,bus=rp{i},netdev=n{i},mac=52:54:00:00:00:{i:02x},romfile="]
        return argv

    def _job(self, template, argv=(), env=None, term="dumb"):
        words = " ".join(f"{k}={shlex.quote(v)}" for k, v in (env or {}).items())
        text = JOB.format(version=self.kernel.version, modules=self.kernel.modules,
                          names=" ".join(MODULES), cwd=shlex.quote(os.getcwd()), term=term,
                          command=template.format(env="env " + words, argv=shlex.join(argv)))
        for name in ("status", "output"):
            if os.path.exists(os.path.join(self.out, name)):
                os.unlink(os.path.join(self.out, name))
        with open(os.path.join(self.out, "job"), "w") as f:
            f.write(text)

    def run(self, argv, timeout_s, env=None):
        """(exit status, output). Status None: L1 hung, or ended without having run it all; then
        the output ends with what its console said."""
        self._job(BATCH, argv, env)
        console = os.path.join(self.out, "console")
        hung = False
        with open(console, "wb") as f:
            qemu = subprocess.Popen(self._argv(), stdin=subprocess.DEVNULL, stdout=f,
                                    stderr=subprocess.STDOUT, start_new_session=True,
                                    preexec_fn=_die_with_parent)
            try:
                qemu.wait(timeout_s)
            except subprocess.TimeoutExpired:
                hung = True
            finally:
                if qemu.poll() is None:
                    os.killpg(qemu.pid, signal.SIGKILL)
                qemu.wait()
        output = self._read("output")
        status = self._read("status").strip()
        if status.isdigit():
            return int(status), output
        how = f"hung: ended after {timeout_s} s" if hung else "ended before its job did"
        return None, f"{output}\nL1 {how}; its console:\n{self._read('console')[-4000:]}"

    def shell(self):
        """On this terminal. Ctrl-A X ends the machine as well."""
        self._job(SHELL, term=os.environ.get("TERM", "dumb"))
        return subprocess.call(self._argv())

    def _read(self, name):
        try:
            with open(os.path.join(self.out, name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""
