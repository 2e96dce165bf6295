# SPDX-License-Identifier: Apache-2.0
"""The QEMU that the rig runs: 10.0.13 or newer, whose igb has VFs that work.

    qemu = Qemu(out)          the host's own if it is new enough, else one made here
    qemu.argv([...])          the command that runs it with these arguments
    qemu.path("/boot/x")      how it names a file of the host's; qemu.out: the folder `out`

Debian 13 has it. Elsewhere debootstrap puts Debian 13's into the cache folder of
tests/lib/linuxboot.py (a minute, 400 MB), once. It runs chrooted there, in a mount namespace of its
own: the host's root, read-only, is its /host, and `out` its /out. The namespace and its mounts go with
the process, however that ends.

    Qemu(out, anti_spoof=True)

Its igb has what QEMU's lacks of the 82576: the transmit switch's checks of who a frame is from
(igb_spoof.c.inc). It is compiled from Debian 13's source, once (ten minutes with two CPUs, 1 GB while
that lasts), for tests/rig/by_hand.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from linuxboot import MIRROR, cache_dir, cache_lock, run_quietly  # noqa: E402

QEMU = "qemu-system-x86_64"
OLDEST = (10, 0, 13)
SUITE = "trixie"
PACKAGES = "qemu-system-x86"
STAMP = "made"

SPOOF = "igb_spoof.c.inc"
SPOOF_PACKAGES = (f"{PACKAGES},gcc,libc6-dev,ninja-build,meson,pkg-config,python3,python3-venv,dpkg-dev,"
                  "libglib2.0-dev,zlib1g-dev,libattr1-dev,libfdt-dev")
# Before the transmit switch, and before a frame goes there.
SPOOF_AT = (
    ("/* TX Packets Switching (7.10.3.6) */\n",
     f'#include "{SPOOF}"\n\n/* TX Packets Switching (7.10.3.6) */\n'),
    ("    net_tx_pkt_dump(tx->tx_pkt);\n",
     "    net_tx_pkt_dump(tx->tx_pkt);\n"
     "    if (igb_tx_spoofed(core, tx, queue_index)) {\n        return false;\n    }\n"),
)
UNPACK = """
apt-get update
cd /src
apt-get source qemu
mv qemu-*/ qemu
"""
COMPILE = """
mkdir /src/build
cd /src/build
../qemu/configure --prefix=/usr --firmwarepath=/usr/share/qemu:/usr/share/seabios \\
    --target-list=x86_64-softmmu --without-default-features --enable-tcg --enable-virtfs --enable-attr \\
    --disable-install-blobs
ninja qemu-system-x86_64
install -s qemu-system-x86_64 /usr/bin/
"""

# $1: the chroot, $2: out; the rest is QEMU's.
ENTER = """
root=$1 out=$2
shift 2
mount --rbind / "$root/host"
mount -o remount,bind,ro "$root/host"
mount --bind "$out" "$root/out"
mount --bind /proc "$root/proc"
exec chroot "$root" "$@"
"""


def _version():
    """The host's QEMU's, (0,) without one."""
    try:
        text = subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE, text=True).stdout
    except FileNotFoundError:
        return (0,)
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(n) for n in found.groups()) if found else (0,)


def _make(root, packages, minutes, finish=None):
    """In a chroot with these packages; finish(chroot) does the rest."""
    if not shutil.which("debootstrap"):
        raise RuntimeError("debootstrap is not installed; it makes the rig's QEMU: "
                           "tools/install-deps test installs it")
    if os.geteuid() != 0:
        raise RuntimeError(f"the rig's QEMU must be made, by root (debootstrap): sudo {sys.argv[0]}")
    shutil.rmtree(root, ignore_errors=True)
    # Where mknod and exec work: beside the place where it will stay.
    work = tempfile.mkdtemp(prefix="qemu-", dir=cache_dir())
    print(f"making the rig's QEMU in {root} (once; about {minutes})", file=sys.stderr, flush=True)
    try:
        os.chmod(work, 0o755)
        run_quietly(["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, work, MIRROR])
        for folder in ("host", "out"):
            os.mkdir(os.path.join(work, folder))
        if finish:
            finish(work)
        with open(os.path.join(work, STAMP), "w") as f:
            f.write(f"{SUITE} {packages}\n")
        os.rename(work, root)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _read(name):
    with open(os.path.join(HERE, name)) as f:
        return f.read()


def _compile_anti_spoof(root):
    """QEMU from source with igb_spoof.c.inc in its igb, in the place of Debian's."""
    with open(f"{root}/etc/apt/sources.list", "a") as f:
        f.write(f"deb-src {MIRROR} {SUITE} main\n")
    os.mkdir(f"{root}/src")
    run_quietly(["chroot", root, "sh", "-euc", UNPACK])
    shutil.copy(os.path.join(HERE, SPOOF), f"{root}/src/qemu/hw/net")
    path = f"{root}/src/qemu/hw/net/igb_core.c"
    with open(path) as f:
        text = f.read()
    for before, after in SPOOF_AT:
        if text.count(before) != 1:
            raise RuntimeError(f"{path} has not got this, to put {SPOOF} at: {before}")
        text = text.replace(before, after)
    with open(path, "w") as f:
        f.write(text)
    run_quietly(["chroot", root, "sh", "-euc", COMPILE])
    shutil.rmtree(f"{root}/src")


class Qemu:
    def __init__(self, out, anti_spoof=False):
        """out: a folder of the host's that QEMU may write to."""
        self._out, self._root = os.path.abspath(out), None
        self.out, self._host = self._out, ""
        if anti_spoof:
            made_of = hashlib.sha256("".join([_read(SPOOF), repr(SPOOF_AT), SPOOF_PACKAGES, UNPACK,
                                              COMPILE]).encode()).hexdigest()[:12]
            self._chroot(f"qemu-{SUITE}-anti-spoof-{made_of}", SPOOF_PACKAGES, "ten minutes",
                         _compile_anti_spoof)
        elif _version() < OLDEST:
            self._chroot(f"qemu-{SUITE}", PACKAGES, "a minute")

    def _chroot(self, name, *made_of):
        self._root = os.path.join(cache_dir(), name)
        self.out, self._host = "/out", "/host"
        stamp = os.path.join(self._root, STAMP)
        if not os.path.exists(stamp):
            with cache_lock():
                if not os.path.exists(stamp):
                    _make(self._root, *made_of)

    def path(self, path):
        return self._host + os.path.abspath(path)

    def argv(self, args, program=QEMU):
        if not self._root:
            return [program, *args]
        if os.geteuid() != 0:
            raise RuntimeError("the rig's QEMU runs in a chroot: root is needed for that")
        return ["unshare", "--mount", "sh", "-euc", ENTER, "rig-qemu", self._root, self._out,
                program, *args]
