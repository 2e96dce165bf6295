# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that a test makes, and what it does in them: commands, raw sockets."""
import ctypes
import os
import socket
import struct
import subprocess
import threading

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_VLAN_VALID = 1 << 4


def run(*argv, status=0, timeout_s=60):
    """Runs a command; its output. status None: any."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout_s, stdin=subprocess.DEVNULL)
    if status is not None and done.returncode != status:
        raise AssertionError(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


class Netns:
    """One namespace, gone with close(). Interfaces of others that are in it go home or end."""

    made = 0

    def __init__(self):
        Netns.made += 1
        self.name = f"lyt{os.environ.get('LANYARD_TEST_ID', '')}-{os.getpid()}-{Netns.made}"
        run("ip", "netns", "add", self.name)
        # The kernel's own frames (neighbour discovery, router solicitation) are not the test's.
        self.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", status=None)

    def close(self):
        run("ip", "netns", "del", self.name, status=None)

    def run(self, *argv, **kw):
        return run("ip", "netns", "exec", self.name, *argv, **kw)

    def take(self, ifname, address=None, name=None):
        """Moves an interface of the switch's namespace here, and sets it up."""
        run("ip", "link", "set", ifname, "netns", self.name, *(["name", name] if name else []))
        ifname = name or ifname
        if address:
            self.run("ip", "addr", "add", address, "dev", ifname)
        self.run("ip", "link", "set", ifname, "up")

    def popen(self, *argv, **kw):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *argv], text=True, **kw)

    def call(self, fn):
        """fn() on a thread that is in the namespace: sockets that it makes stay there."""
        out = []

        def inside():
            try:
                with open(f"/run/netns/{self.name}") as f:
                    if _libc.setns(f.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                out.append(fn())
            except BaseException as e:  # to whoever asked
                out.append(e)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if isinstance(out[0], BaseException):
            raise out[0]
        return out[0]

    def raw(self, ifname, timeout_s=10):
        return self.call(lambda: Raw(ifname, timeout_s))


class Raw:
    """Whole frames of an interface. Tags, which Linux takes off, are put back."""

    def __init__(self, ifname, timeout_s):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.bind((ifname, 3))
        self.sock.settimeout(timeout_s)

    def send(self, frame):
        self.sock.send(frame)

    def receive(self):
        """The next frame that came in (not what was sent here)."""
        while True:
            data, anc, _, addr = self.sock.recvmsg(1 << 17, 256)
            if addr[2] == socket.PACKET_OUTGOING:
                continue
            for level, kind, value in anc:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", value[:20])
                    if status & TP_STATUS_VLAN_VALID:
                        data = data[:12] + struct.pack("!HH", tpid or 0x8100, tci) + data[12:]
            return data

    def close(self):
        self.sock.close()
