# SPDX-License-Identifier: Apache-2.0
"""A disk with a Debian root file system, as debootstrap makes it, for guests that boot from a disk.

    path = debroot.image("raw")             # or "qcow2", "vmdk", "vhd": in the cache, made once; copy it
    debroot.copy(path, case.path("disk"))   # holes stay holes
    ["--initrd", debroot.initramfs(kernel)] # mounts /dev/vda and starts the disk's own init
    debroot.passes_fsck(path)               # a raw one, afterwards: clean, and what was written is whole

The disk is one ext4 file system without a partition table. Its init is sysvinit, its own; once up it
runs CHECK, which says so on the console, writes DATA and its sum, and powers the machine off: lanyard-vmm
ends with status 0, and BOOTS on the disk is one more. Nothing of it needs a network but the making.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

from linuxboot import MIRROR, Initramfs, cache_dir, cache_lock, run_quietly

SUITE = "bookworm"
SIZE_MB = 512
UP = "debroot: up"  # on the console, with what follows
DATA, SUM, BOOTS = "/var/lib/lanyard-data", "/var/lib/lanyard-sum", "/var/lib/lanyard-boots"
FORMATS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc"}  # qemu-img's names
MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic")
VERSION = 1  # of what is made here: a new one has it made anew

INITTAB = """id:2:initdefault:
si::sysinit:/etc/init.d/rcS
l0:0:wait:/etc/init.d/rc 0
l2:2:wait:/etc/init.d/rc 2
l6:6:wait:/etc/init.d/rc 6
ck:2:once:/usr/local/sbin/lanyard-check >/dev/console 2>&1
"""

CHECK = f"""#!/bin/sh
echo "{UP}: Debian $(cat /etc/debian_version), $(readlink /proc/1/exe) as init, $(grep ' / ' /proc/mounts)"
echo $(($(cat {BOOTS} 2>/dev/null || echo 0) + 1)) >{BOOTS}
dd if=/dev/urandom of={DATA} bs=64k count=32 2>/dev/null
sha256sum {DATA} >{SUM}
sync
poweroff
"""

INIT = r"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for m in $(cat /modules/order); do insmod $m || echo "init: insmod $m failed"; done
for i in $(seq 100); do [ -b /dev/vda ] && break; sleep 0.1; done
mkdir -p /disk
mount -t ext4 /dev/vda /disk || { echo "debroot: no root on /dev/vda"; poweroff -f; }
for d in dev proc sys; do mount --move /$d /disk/$d; done
exec switch_root /disk /sbin/init
"""

# What nobody reads in a guest: a smaller disk is copied sooner.
SPARED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info",
          "usr/share/zoneinfo", "var/cache/apt", "var/lib/apt/lists", "var/cache/debconf",
          "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/perl-base/unicore")


def _path(kind):
    return os.path.join(cache_dir(), f"debroot-{SUITE}-{VERSION}.{kind}")


def _write(root, path, text, mode=0o644):
    with open(os.path.join(root, path), "w") as f:
        f.write(text)
    os.chmod(os.path.join(root, path), mode)


def _make_root(root):
    if not shutil.which("debootstrap"):
        raise RuntimeError("debootstrap is not installed (tools/install-deps test installs it)")
    run_quietly(["debootstrap", "--variant=minbase", "--include=sysvinit-core", SUITE, root, MIRROR])
    for folder in SPARED:
        shutil.rmtree(os.path.join(root, folder), ignore_errors=True)
    _write(root, "etc/fstab", "/dev/vda / ext4 errors=remount-ro 0 1\n")
    _write(root, "etc/hostname", "debroot\n")
    _write(root, "etc/inittab", INITTAB)
    _write(root, "usr/local/sbin/lanyard-check", CHECK, 0o755)


def _make_raw(path):
    work = tempfile.mkdtemp(prefix="debroot-", dir=cache_dir())
    try:
        _make_root(f"{work}/root")
        run_quietly(["/sbin/mke2fs", "-q", "-t", "ext4", "-L", "debroot", "-d", f"{work}/root",
                     f"{work}/raw", f"{SIZE_MB}M"])
        os.rename(f"{work}/raw", path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def image(kind="raw"):
    """The path of one, which is not to be written to."""
    path = _path(kind)
    if not os.path.exists(path):
        with cache_lock():
            if not os.path.exists(_path("raw")):
                _make_raw(_path("raw"))
            if not os.path.exists(path):
                run_quietly(["qemu-img", "convert", "-f", "raw", "-O", FORMATS[kind], _path("raw"),
                             f"{path}.new"])
                os.rename(f"{path}.new", path)
    return path


def prepare():
    """All of them: where there is a network and root, so not in the rig."""
    for kind in FORMATS:
        image(kind)


def copy(path, to):
    run_quietly(["cp", "--sparse=always", path, to])
    return to


def initramfs(kernel):
    """For a kernel of linuxboot's; made once and kept."""
    path = _path(f"{kernel.version}.cpio")
    if not os.path.exists(path):
        fs = Initramfs()
        fs.add_busybox()
        fs.add_modules(kernel, MODULES)
        fs.add_file("init", INIT.encode(), 0o755)
        fs.write(f"{path}.{os.getpid()}")
        os.rename(f"{path}.{os.getpid()}", path)
    return path


def _cat(path, file):
    return subprocess.run(["/sbin/debugfs", "-R", f"cat {file}", path], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def passes_fsck(path, boots=1):
    """Raises AssertionError with what is wrong with a raw disk after so many boots."""
    done = subprocess.run(["/sbin/e2fsck", "-f", "-n", path], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise AssertionError(f"e2fsck says {done.returncode}: {done.stdout}")
    if re.search("recovering journal|not clean", done.stdout, re.I):
        raise AssertionError(f"it was not unmounted: {done.stdout}")
    if _cat(path, BOOTS).strip() != b"%d" % boots:
        raise AssertionError(f"{BOOTS} has {_cat(path, BOOTS)}, expected {boots}")
    data, given = _cat(path, DATA), _cat(path, SUM).split()
    if len(data) != 32 << 16 or not given or hashlib.sha256(data).hexdigest() != given[0].decode():
        raise AssertionError(f"{DATA} ({len(data)} bytes) is not what was written: {given}")
    return True
