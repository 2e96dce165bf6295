# SPDX-License-Identifier: Apache-2.0
"""The QEMU that the rig runs: 10.0.13 or newer, whose igb has VFs that work.

    qemu = Qemu(out)          the host's own if it is new enough, else one made here
    qemu.argv([...])          the command that runs it with these arguments
    qemu.path("/boot/x")      how it names a file of the host's; qemu.out: the folder `out`

Debian 13 has it. Elsewhere debootstrap puts Debian 13's into the cache folder of
tests/lib/linuxboot.py (a minute, 400 MB), once. It runs chrooted there, in a mount namespace of its
own: the host's root, read-only, is its /host, and `out` its /out. The namespace and its mounts go with
the process, however that ends.
"""
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


def _make(root):
    if not shutil.which("debootstrap"):
        raise RuntimeError("debootstrap is not installed; it makes the rig's QEMU: "
                           "tools/install-deps test installs it")
    if os.geteuid() != 0:
        raise RuntimeError(f"the rig's QEMU must be made, by root (debootstrap): sudo {sys.argv[0]}")
    shutil.rmtree(root, ignore_errors=True)
    # Where mknod and exec work: beside the place where it will stay.
    work = tempfile.mkdtemp(prefix="qemu-", dir=cache_dir())
    print(f"making the rig's QEMU in {root} (once; about a minute)", file=sys.stderr, flush=True)
    try:
        os.chmod(work, 0o755)
        run_quietly(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, work, MIRROR])
        for folder in ("host", "out"):
            os.mkdir(os.path.join(work, folder))
        with open(os.path.join(work, STAMP), "w") as f:
            f.write(f"{SUITE} {PACKAGES}\n")
        os.rename(work, root)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


class Qemu:
    def __init__(self, out):
        """out: a folder of the host's that QEMU may write to."""
        self._out, self._root = os.path.abspath(out), None
        self.out, self._host = self._out, ""
        if _version() >= OLDEST:
            return
        self._root = os.path.join(cache_dir(), f"qemu-{SUITE}")
        self.out, self._host = "/out", "/host"
        stamp = os.path.join(self._root, STAMP)
        if not os.path.exists(stamp):
            with cache_lock():
                if not os.path.exists(stamp):
                    _make(self._root)

    def path(self, path):
        return self._host + os.path.abspath(path)

    def argv(self, args, program=QEMU):
        if not self._root:
            return [program, *args]
        if os.geteuid() != 0:
            raise RuntimeError("the rig's QEMU runs in a chroot: root is needed for that")
        return ["unshare", "--mount", "sh", "-euc", ENTER, "rig-qemu", self._root, self._out,
                program, *args]
