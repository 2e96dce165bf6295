# SPDX-License-Identifier: Apache-2.0
"""A Linux guest: Debian's kernel under QEMU's emulated CPU, vhost-user NICs, and a shell. (Under
lanyard-vmm, in the rig: vmmguest.py, which shares the shell with this.)

    guest = LinuxGuest(case, "a", [Nic(socket, mac, {"packed": "on"}, queues=4)])
    guest.run("ip link set eth0 up")                # output; a status other than 0 fails the test
    guest.spawn("server", "iperf3 -s")              # goes on; its output: guest.log("server")

LinuxGuest() returns while the guest boots (some 4 s), so that two boot at once; the first run() waits.
The guest's first serial port is the kernel's console (NAME.console.log in the run folder, shown when
the test fails). The second one carries commands: a line "ID BASE64-OF-SCRIPT" to the guest, a line
"done ID STATUS BYTES" and the script's output from it; "ready" when the guest has booted.

Hardware virtualisation would be quicker where it is real, but the emulated CPU is the same everywhere.
"""
import base64
import os
import re
import shlex
import socket
import time

from harness import PATIENCE
from linuxboot import Initramfs, Kernel

QEMU = "qemu-system-x86_64"
PROGRAMS = ("ethtool", "ip", "iperf3", "ping", "tcpdump")
MODULES = ("virtio_pci", "virtio_net", "8021q")
MEMORY = "256M"
# no_timer_check, nowatchdog: a busy host stops the emulated CPU for longer than Linux thinks likely.
CMDLINE = "console=ttyS0 quiet panic=-1 reboot=t mitigations=off no_timer_check nowatchdog"
BOOT_S = 180  # a deadline, for a host that others load; 4 s is usual

INIT = r"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ip link set lo up
for m in $(cat /modules/order); do insmod $m || echo "init: insmod $m failed"; done
stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
echo ready >&3
while read -r id script <&3; do
	echo "$script" | base64 -d >/tmp/.script
	sh /tmp/.script >/tmp/.output 2>&1 </dev/null 3>&-
	echo "done $id $? $(stat -c %s /tmp/.output)" >&3
	cat /tmp/.output >&3
done
echo "init: the command line was closed"
poweroff -f
"""


class GuestError(AssertionError):
    """A command ended with a status that was not expected. .status, .output"""

    def __init__(self, name, script, status, output):
        super().__init__(f"guest {name}: status {status} from: {script}\n{output}")
        self.status, self.output = status, output


class Nic:
    """A virtio-net device on a vhost-user socket. options: of QEMU's virtio-net-pci, {"csum": "off"}.
    listen: QEMU makes the socket, and the switch connects."""

    def __init__(self, path, mac, options=None, queues=1, listen=False):
        self.path, self.mac, self.options = path, mac, dict(options or {})
        self.queues, self.listen = queues, listen

    def argv(self, i):
        role = "server=on" if self.listen else "reconnect=1"
        # vectors=0: with MSI-X and without KVM, QEMU 7.2 takes a vhost-user device's KVM routes,
        # which are not there, and crashes.
        device = f"virtio-net-pci,netdev=net{i},mac={self.mac},disable-legacy=on,romfile=,vectors=0"
        if self.queues > 1:
            device += ",mq=on"
        device += "".join(f",{k}={v}" for k, v in self.options.items())
        return ["-chardev", f"socket,id=vhost{i},path={self.path},{role}",
                "-netdev", f"vhost-user,id=net{i},chardev=vhost{i},queues={self.queues}",
                "-device", device]


def write_initramfs(path, kernel, programs=PROGRAMS, modules=MODULES):
    fs = Initramfs()
    fs.add_busybox()
    fs.add_program("dash")  # busybox's own shell would take its applets for the programs below
    fs.add_link("bin/sh", "dash")
    for program in programs:
        fs.add_program(program)
    fs.add_modules(kernel, modules)
    fs.add_file("init", INIT.encode(), 0o755)
    fs.write(path)


class ShellGuest:
    """What runs INIT, and its second serial port's socket. .daemon: the process that ends with it."""

    def __init__(self, case, name, control, daemon):
        self.case, self.name, self.control, self.daemon = case, name, control, daemon
        self.next_id, self.buf, self.booted = 0, b"", False
        self.began = time.monotonic()
        self._connect()  # now: what the guest says while nobody listens is lost

    def wait_boot(self):
        """Waits until the guest takes commands."""
        if not self.booted:
            self._expect_ready()
            self.booted = True
        return self

    def run(self, script, timeout_s=60, status=0):
        """Runs a shell script; returns its output without the last newline. status None: any."""
        self.wait_boot()
        self.next_id += 1
        line = f"{self.next_id} {base64.b64encode(script.encode()).decode()}\n"
        # A terminal holds 4095 bytes.
        assert len(line) < 4000, "a script for a guest is at most some 2900 bytes long"
        self.sock.sendall(line.encode())
        what = f"the end of: {script}"
        deadline = time.monotonic() + timeout_s * min(PATIENCE, 3)
        word, ident, code, size = self._line(deadline, what).split()
        if (word, int(ident)) != ("done", self.next_id):
            raise AssertionError(f"guest {self.name}: {word} {ident} instead of {what}")
        output = self._take(int(size), deadline, what).decode(errors="replace").rstrip("\n")
        if status is not None and int(code) != status:
            raise GuestError(self.name, script, int(code), output)
        return output

    def spawn(self, name, script):
        """Starts a script in the background; its output: log(name)."""
        inner = shlex.quote(script)
        self.run(f"(exec setsid sh -c {inner} >/tmp/{name}.log 2>&1 </dev/null) & "
                 f"echo $! >/tmp/{name}.pid")

    def log(self, name):
        return self.run(f"cat /tmp/{name}.log")

    def alive(self, name):
        return self.run(f"kill -0 $(cat /tmp/{name}.pid) 2>/dev/null && echo yes || true") == "yes"

    def kill(self, name, signal="INT"):
        """Ends a background script's processes."""
        self.run(f"kill -{signal} -$(cat /tmp/{name}.pid) 2>/dev/null; "
                 f"for i in $(seq 100); do kill -0 $(cat /tmp/{name}.pid) 2>/dev/null || exit 0; "
                 "sleep 0.1; done; exit 1")

    def reboot(self):
        """As by the reset button, from within; waits until it takes commands again."""
        self.wait_boot()
        self.sock.sendall(b"0 %s\n" % base64.b64encode(b"reboot -f"))
        self._expect_ready()

    def console(self):
        with open(self.case.path(f"{self.name}.console.log"), errors="replace") as f:
            return f.read()

    def counters(self):
        """{"Tcp.InCsumErrors": n, "Udp6.InCsumErrors": n, "eth0.rx_errors": n, ...}"""
        out = {}
        lines = self.run("cat /proc/net/snmp").splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            layer = names.split(":")[0]
            pairs = zip(names.split()[1:], values.split()[1:])
            out.update((f"{layer}.{n}", int(v)) for n, v in pairs)
        for line in self.run("cat /proc/net/snmp6").splitlines():
            name, value = line.split()
            found = re.match(r"(Ip6|Icmp6|Udp6)(\w+)", name)
            if found:
                out[f"{found.group(1)}.{found.group(2)}"] = int(value)
        files = "/sys/class/net/eth*/statistics/[rt]x_errors"
        for line in self.run(f"grep . {files} /dev/null").splitlines():
            path, value = line.split(":")
            out[f"{path.split('/')[4]}.{os.path.basename(path)}"] = int(value)
        return out

    def features(self, nic="eth0"):
        """{"tx-checksum-ip-generic": "on", ...}, "fixed" left away."""
        text = self.run(f"ethtool -k {nic}")
        return dict(re.findall(r"^\s*(\S+): (on|off)", text, re.M))

    def _connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.case.addCleanup(self.sock.close)
        while True:
            try:
                self.sock.connect(self.control)
                return
            except OSError:
                self._check("its serial port's socket", self.began + BOOT_S)
                time.sleep(0.02)

    def _check(self, what, deadline):
        if not self.daemon.alive():
            raise AssertionError(f"guest {self.name}: {self.daemon.argv[0]} ended with "
                                 f"{self.daemon.proc.returncode} before {what}; it said:\n"
                                 f"{self.daemon.text()}")
        if time.monotonic() > deadline:
            raise AssertionError(f"guest {self.name}: waited in vain for {what}; its console "
                                 f"ends with:\n{self.console()[-3000:]}")

    def _expect_ready(self):
        deadline = time.monotonic() + BOOT_S * min(PATIENCE, 2)
        while self._line(deadline, "the guest to boot") != "ready":
            pass

    def _receive(self, deadline, what):
        self._check(what, deadline)
        self.sock.settimeout(0.2)
        try:
            self.buf += self.sock.recv(65536)
        except TimeoutError:
            pass

    def _line(self, deadline, what):
        while b"\n" not in self.buf:
            self._receive(deadline, what)
        line, _, self.buf = self.buf.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _take(self, size, deadline, what):
        while len(self.buf) < size:
            self._receive(deadline, what)
        data, self.buf = self.buf[:size], self.buf[size:]
        return data


class LinuxGuest(ShellGuest):
    def __init__(self, case, name, nics=(), cpus=1, network=None):
        """case: a harness.Case, which ends QEMU. network: QEMU's arguments for memory and NICs,
        instead of those made from nics."""
        control = case.path(f"{name}.shell")
        kernel = Kernel()
        initramfs = case.path("initramfs.cpio")
        if not os.path.exists(initramfs):
            write_initramfs(initramfs, kernel)
        if network is None:
            network = ["-m", MEMORY, "-object",
                       f"memory-backend-memfd,id=mem,size={MEMORY},share=on",
                       "-numa", "node,memdev=mem"]
            for i, nic in enumerate(nics):
                network += nic.argv(i)
        argv = [QEMU, "-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand", "-M", "q35",
                "-smp", str(cpus), "-nodefaults", "-display", "none", "-kernel", kernel.vmlinuz,
                "-initrd", initramfs,
                "-append", CMDLINE,
                "-serial", f"file:{case.path(name)}.console.log",
                "-serial", f"unix:{control},server=on,wait=off", *network]
        self.qemu = case.start(argv, f"{name}.qemu")
        super().__init__(case, name, control, self.qemu)
