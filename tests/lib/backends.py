# SPDX-License-Identifier: Apache-2.0
"""Back ends of other projects, started as both Debian releases have them: qemu-storage-daemon for
disks, virtiofsd for shared folders.

	disk = backends.Disk(case, "disk", image, "qcow2", queues=2)   # serves at once
	disk.kill(); disk.start(); disk.stop()
	folder = backends.Folder(case, "fs", path, readonly=True)

`case` is a harness.Case, whose run folder takes sockets and logs, and which ends what is left. The
command lines are those of docs/vmm.md.
"""
import ctypes
import os
import signal
import struct
import subprocess
import sys

from harness import wait_until

VIRTIOFSD = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")  # Debian 13 (Rust), 12 (C)


def virtiofsd():
    found = next((p for p in VIRTIOFSD if os.access(p, os.X_OK)), None)
    if not found:
        raise AssertionError("no virtiofsd: apt install virtiofsd (Debian 13) or "
                             "qemu-system-common (Debian 12)")
    return found


def commas(text):
    """As a value of QEMU's comma-separated options."""
    return text.replace(",", ",,")


def disk_argv(socket, image, form="raw", queues=1, readonly=False, writethrough=False):
    ro = ",read-only=on" if readonly else ""
    return ["qemu-storage-daemon",
            "--blockdev", f"driver=file,node-name=file,filename={commas(image)}{ro}",
            "--blockdev", f"driver={form},node-name=disk,file=file{ro}",
            "--export", "type=vhost-user-blk,id=disk,node-name=disk,addr.type=unix,"
            f"addr.path={commas(socket)},writable={'off' if readonly else 'on'},"
            f"num-queues={queues}" + (",writethrough=on" if writethrough else "")]


def folder_argv(socket, path, readonly=False, program=None, sandbox="namespace"):
    program = program or virtiofsd()
    if program == VIRTIOFSD[0]:
        return [program, f"--socket-path={socket}", f"--shared-dir={path}", "--cache=auto",
                f"--sandbox={sandbox}", *(["--readonly"] if readonly else [])]
    argv = [program, f"--socket-path={socket}", "-o", f"source={path}", "-o", "cache=auto",
            "-o", f"sandbox={sandbox}"]
    # It has no such option: it gets to see a read-only folder.
    return [sys.executable, os.path.abspath(__file__), path, *argv] if readonly else argv


def create_image(path, form, size):
    subprocess.run(["qemu-img", "create", "-q", "-f", form, path, size], check=True)
    return path


def convert_image(path, to, form="raw"):
    subprocess.run(["qemu-img", "convert", "-O", form, path, to], check=True)
    return to


class Backend:
    def __init__(self, case, name):
        self.case, self.name, self.socket = case, name, case.path(f"{name}.vhost")
        self.daemon = None

    def argv(self):
        raise NotImplementedError

    def start(self):
        if os.path.exists(self.socket):  # of one that was killed
            os.unlink(self.socket)
        self.daemon = self.case.start(self.argv(), self.name)
        wait_until(lambda: os.path.exists(self.socket) or not self.daemon.alive(), 30,
                   f"{self.name}'s socket")
        if not self.daemon.alive():
            raise AssertionError(f"{self.name} ended at once:\n{self.daemon.text()}")
        return self

    def stop(self):
        return self.daemon.kill(signal.SIGTERM)

    def kill(self):
        self.daemon.kill(signal.SIGKILL)


class Disk(Backend):
    def __init__(self, case, name, image, form="raw", start=True, **options):
        super().__init__(case, name)
        self.image, self.form, self.options = image, form, options
        if start:
            self.start()

    def argv(self):
        return disk_argv(self.socket, self.image, self.form, **self.options)


class Folder(Backend):
    def __init__(self, case, name, path, start=True, **options):
        super().__init__(case, name)
        self.path, self.options = path, options
        if start:
            self.start()

    def argv(self):
        return folder_argv(self.socket, self.path, **self.options)


def _read_only(path):
    """In a mount namespace of our own, path and all below it can't be written to."""
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns, bind, rec, private = 0x20000, 0x1000, 0x4000, 0x40000
    at_fdcwd, recursive, rdonly, mount_setattr = -100, 0x8000, 1, 442

    def check(result, what):
        if result:
            raise OSError(ctypes.get_errno(), what)

    where = os.fsencode(path)
    check(libc.unshare(clone_newns), "unshare")
    check(libc.mount(b"none", b"/", None, rec | private, None), "mount /")
    check(libc.mount(where, where, None, bind | rec, None), f"bind {path}")
    attr = struct.pack("<QQQQ", rdonly, 0, 0, 0)
    check(libc.syscall(mount_setattr, at_fdcwd, where, recursive, attr, len(attr)),
          f"mount_setattr {path}")


if __name__ == "__main__":  # FOLDER PROGRAM ...: the program sees the folder read-only
    _read_only(sys.argv[1])
    os.execv(sys.argv[2], sys.argv[2:])
