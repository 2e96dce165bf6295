# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels and an initramfs of this host's programs: what a Linux guest boots from.

Nothing is installed on the host. A kernel's package is fetched with apt-get and unpacked in a
cache folder outside the tree (XDG_CACHE_HOME, else /var/cache for root, else ~/.cache, then
lanyard-tests/), once for each Debian release and flavour; afterwards no network is needed. To get
a newer kernel, delete the folder there. Another release's kernels come with package lists of their
own in that folder: the host's apt is not told of it.

The initramfs is written here: busybox for the shell, any program of the host with the libraries
that it needs, and the kernel modules asked for with those that they need, in load order.
"""
import contextlib
import fcntl
import glob
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile

import vmlinux

BUSYBOX = "/bin/busybox"
STAMP = "unpacked"
MIRROR = os.environ.get("LANYARD_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def cache_dir():
    """The folder that outlives a test run, made if need be."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = "/var/cache" if os.geteuid() == 0 else os.path.expanduser("~/.cache")
    path = os.path.join(base, "lanyard-tests")
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def cache_lock():
    """Two test runs don't fetch the same thing at once."""
    with open(os.path.join(cache_dir(), "lock"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def run_quietly(argv, cwd=None):
    """Its output, which is shown only if it fails."""
    done = subprocess.run(argv, cwd=cwd, text=True, timeout=900, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def _os_release():
    with open("/etc/os-release") as f:
        return dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', f.read(), re.M))


def _release():
    known = _os_release()
    return f"{known.get('ID', 'unknown')}-{known.get('VERSION_ID', '0')}"


def _codename():
    return _os_release().get("VERSION_CODENAME", "")


def _apt_options(suite):
    """What makes apt-get and apt-cache know this suite's packages, and none else; for the host's
    own release: none."""
    if not suite:
        return []
    folder = os.path.join(cache_dir(), f"apt-{suite}")
    for name in ("lists/partial", "cache/archives/partial", "etc"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    with open(os.path.join(folder, "sources.list"), "w") as f:
        f.write(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
    return [o for key, value in (("Dir::Etc::SourceList", "sources.list"),
                                 ("Dir::Etc::SourceParts", "/dev/null"),
                                 ("Dir::Etc::Preferences", "/dev/null"),
                                 ("Dir::Etc::PreferencesParts", "/dev/null"),
                                 ("Dir::State::Lists", "lists"), ("Dir::Cache", "cache"))
            for o in ("-o", f"{key}={os.path.join(folder, value)}")]


def _package_of(meta, options):
    """The package that has the kernel: the meta package depends on it."""
    found = re.search(r"Depends: (linux-image-\S+)",
                      run_quietly(["apt-cache", *options, "depends", meta]))
    if not found:
        raise RuntimeError(f"apt-cache knows no kernel behind {meta}: is its list of packages "
                           "there (apt-get update)?")
    return found.group(1)


def _fetch(meta, suite, into):
    """Downloads and unpacks; without package lists, or with old ones, they are renewed first."""
    options = _apt_options(suite)
    for last in (False, True):
        try:
            run_quietly(["apt-get", *options, "download", _package_of(meta, options)], cwd=into)
            break
        except RuntimeError as e:
            if last:
                raise RuntimeError(f"the kernel {meta} of Debian's {suite or 'own release'} can't "
                                   f"be fetched; the tests need it once: {e}") from None
            with contextlib.suppress(RuntimeError):
                run_quietly(["apt-get", *options, "update"])
    for deb in glob.glob(os.path.join(into, "*.deb")):
        run_quietly(["dpkg", "-x", deb, into])
        os.unlink(deb)


class Kernel:
    """flavour "cloud-amd64" (small, virtio) or "amd64" (all drivers); suite: of Debian, the host's
    own by default. .vmlinuz, .vmlinux() (the ELF in it), .version; .load_order() for modules."""

    def __init__(self, flavour="cloud-amd64", suite=None):
        meta = f"linux-image-{flavour}"
        if suite == _codename():
            suite = None
        self.root = os.path.join(cache_dir(), f"{suite or _release()}-{meta}")
        if not os.path.exists(os.path.join(self.root, STAMP)):
            with cache_lock():
                if not os.path.exists(os.path.join(self.root, STAMP)):
                    self._unpack(meta, suite)
        self.vmlinuz = self._one("boot/vmlinuz-*")
        self.version = os.path.basename(self.vmlinuz).removeprefix("vmlinuz-")
        self.modules = self._one("lib/modules/*", "usr/lib/modules/*")
        self.deps = self._read_deps()

    def vmlinux(self):
        """The path of the ELF in vmlinuz, which is unpacked once."""
        path = os.path.join(self.root, f"vmlinux-{self.version}")
        if not os.path.exists(path):
            with cache_lock():
                if not os.path.exists(path):
                    vmlinux.extract(self.vmlinuz, path)
        return path

    def _unpack(self, meta, suite):
        shutil.rmtree(self.root, ignore_errors=True)
        work = tempfile.mkdtemp(prefix="unpack-", dir=cache_dir())
        try:
            _fetch(meta, suite, work)
            for modules in glob.glob(f"{work}/lib/modules/*") + \
                    glob.glob(f"{work}/usr/lib/modules/*"):
                base = os.path.dirname(os.path.dirname(os.path.dirname(modules)))
                run_quietly(["/sbin/depmod", "-b", base, os.path.basename(modules)])
            with open(os.path.join(work, STAMP), "w") as f:
                f.write(meta + "\n")
            os.rename(work, self.root)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise

    def _one(self, *patterns):
        found = [p for pattern in patterns for p in glob.glob(os.path.join(self.root, pattern))]
        if len(found) != 1:
            raise RuntimeError(f"{self.root}: expected one of {patterns}, found {found}; delete "
                               "the folder to have it made again")
        return found[0]

    def _read_deps(self):
        """{name: (path, [paths that it needs])}; None for what is built in."""
        deps = {}
        with open(os.path.join(self.modules, "modules.builtin")) as f:
            deps.update((_module_name(line.strip()), None) for line in f)
        with open(os.path.join(self.modules, "modules.dep")) as f:
            for line in f:
                path, _, needs = line.partition(":")
                deps[_module_name(path)] = (path, needs.split())
        return deps

    def load_order(self, names):
        """Paths of these modules and of all that they need, in the order to load them."""
        order = []
        for name in names:
            found = self.deps.get(name.replace("-", "_"), ())
            if found == ():
                raise RuntimeError(f"kernel {self.version} has no module {name}")
            if found:  # modules.dep lists what is to be loaded first last
                path, needs = found
                order += [p for p in [*reversed(needs), path] if p not in order]
        return [os.path.join(self.modules, p) for p in order]


def _module_name(path):
    return os.path.basename(path).split(".")[0].replace("-", "_")


def _module_bytes(path):
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data


def _libraries(path):
    """What the dynamic loader loads for a program, the loader included."""
    done = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode:  # static, or a script
        return []
    missing = re.findall(r"(\S+) => not found", done.stdout)
    if missing:
        raise RuntimeError(f"{path}: libraries are missing: {missing}")
    found = re.findall(r"(/\S+) \(0x", done.stdout)
    # The C library loads one more for who cancels threads (iperf3 3.16 and later).
    if any(b"pthread_cancel\0" in _bytes(p) for p in [path, *found] if "libc.so" not in p):
        found += [os.path.join(os.path.dirname(p), "libgcc_s.so.1") for p in found if "libc.so" in p]
    return found


def _bytes(path):
    with open(path, "rb") as f:
        return f.read()


class Initramfs:
    """A file tree in memory; write() makes it a cpio archive ("newc"), not compressed: what the
    guest need not unpack costs an emulated CPU no time."""

    FOLDERS = ("bin", "sbin", "dev", "proc", "sys", "tmp", "run", "etc", "root", "modules", "usr",
               "usr/bin", "usr/sbin")

    def __init__(self):
        self.entries = {}  # path without leading slash: (mode, data, (major, minor))
        for folder in self.FOLDERS:
            self.add_folder(folder)
        self.entries["dev/console"] = (stat.S_IFCHR | 0o600, b"", (5, 1))
        self.add_file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        self.add_file("etc/group", b"root:x:0:\n")

    def add_folder(self, path):
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.add_folder(parent)
        self.entries[path] = (stat.S_IFDIR | 0o755, b"", (0, 0))

    def add_file(self, path, data, mode=0o644):
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.add_folder(parent)
        self.entries[path] = (stat.S_IFREG | mode, data, (0, 0))

    def add_link(self, path, target):
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode(), (0, 0))

    def add_busybox(self):
        """A shell and its tools; programs added afterwards take an applet's place."""
        with open(BUSYBOX, "rb") as f:
            self.add_file("bin/busybox", f.read(), 0o755)
        for applet in run_quietly([BUSYBOX, "--list"]).split():
            if applet != "busybox":
                self.add_link(f"bin/{applet}", "busybox")

    def add_program(self, name, libraries=()):
        """A program of the host, to bin/, and the libraries that it needs. libraries: paths of
        those that it would load while running."""
        path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        if not path:
            raise RuntimeError(f"{name} is not installed (tools/install-deps test installs it)")
        self.add_file(f"bin/{name}", _bytes(path), 0o755)
        for library in [*_libraries(path), *libraries]:
            self.add_file(library.lstrip("/"), _bytes(library), 0o755)

    def add_modules(self, kernel, names):
        """Modules to modules/, which of them and in which order to insmod in modules/order."""
        order = []
        for path in kernel.load_order(names):
            name = f"{_module_name(path)}.ko"
            self.add_file(f"modules/{name}", _module_bytes(path))
            order.append(name)
        self.add_file("modules/order", "".join(f"/modules/{n}\n" for n in order).encode())

    def write(self, path):
        with open(path, "wb") as f:
            for i, name in enumerate(sorted(self.entries)):
                mode, data, dev = self.entries[name]
                _cpio_write(f, i + 1, name, mode, data, dev)
            _cpio_write(f, 0, "TRAILER!!!", 0, b"", (0, 0))


def _cpio_write(f, inode, name, mode, data, dev):
    """One entry: header of hexadecimal fields, name, data; each padded to 4 bytes (Linux:
    Documentation/driver-api/early-userspace/buffer-format.rst)."""
    raw = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *dev, len(raw), 0)
    head = b"070701" + b"".join(b"%08x" % v for v in fields) + raw
    f.write(head + b"\0" * (-len(head) % 4))
    f.write(data + b"\0" * (-len(data) % 4))
