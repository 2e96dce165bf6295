# SPDX-License-Identifier: Apache-2.0
"""Devices passed through to Linux guests of lanyard-vmm (--vfio), for real: VFs of an igb and a
whole e1000e, behind L1's IOMMU, with interrupt remapping.

NIC 0 is the PF, at one end of a wire; NIC 1, at the other end, stays with L1's kernel. NIC 2, an
e1000e, is given away whole; NIC 3 is its wire's other end.
"""
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import harness
from harness import Rpc, wait_until
from linuxguest import GuestError
from netns import Netns, run
from test_pci import address, bind, driver_of, write
from vmmguest import VmmGuest

TAKES_S = 400
RIG = {"nics": ["igb", "igb", "e1000e", "e1000e"]}
MEMORY_KIB = 192 << 10
MACS = ("52:54:00:00:01:00", "52:54:00:00:01:01")
SPOOFED = "52:54:00:00:09:09"
PF, WIRE = "10.7.0.1", "10.7.0.2"
# Of the 82576: what its transmit switch checks, a bit a VF: MAC at 0, VLAN at 8.
DTXSWC, DTXSWC_SPOOF = 0x3500, (1 << 0 | 1 << 8, 1 << 1 | 1 << 9)
GUEST = {"a": "10.7.0.10", "b": "10.7.0.11"}


def interrupts(addr):
    """Lines of L1's /proc/interrupts that VFIO has for the device."""
    with open("/proc/interrupts") as f:
        return [line for line in f if "vfio" in line and f"({addr})" in line]


def host_interrupts(addr):
    """How many of them there were."""
    return sum(int(n) for line in interrupts(addr) for n in line.split()[1:3])


def pinned_pages():
    """Of 4 KiB, pinned for DMA on this host."""
    write("/proc/sys/vm/stat_refresh", "1")
    with open("/proc/vmstat") as f:
        counts = dict(line.split() for line in f)
    return int(counts["nr_foll_pin_acquired"]) - int(counts["nr_foll_pin_released"])


class Vfio(harness.Case):
    def setUp(self):
        if not os.environ.get("LANYARD_RIG"):
            self.fail("this runs in the rig: tests/rig/run tests/rig/test_vfio.py")
        super().setUp()
        run("modprobe", "vfio-pci")

    def guest(self, name, addresses, *args, module="igbvf", modules=(), memory="192M"):
        """A guest with these devices. Their driver is loaded with the others."""
        devices = [word for addr in addresses for word in ("--vfio", f"pci={addr}")]
        return VmmGuest(self, name, kernel="6.1", image="elf", modules=(module, *modules),
                        memory=memory, args=[*devices, *args])

    def info(self, guest):
        return guest.vmm.call("info")["vfio"][0]

    def ns(self, ifname, addr):
        """A namespace of L1's with this interface in it, until the test's end."""
        ns = Netns()
        self.addCleanup(ns.close)
        ns.take(ifname, f"{addr}/24")
        self.addCleanup(lambda: ns.run("ip", "link", "set", ifname, "netns", "1", status=None))
        return ns

    def configure(self, guest, addr):
        guest.run(f"ip addr add {addr}/24 dev eth0 && ip link set eth0 up")
        wait_until(lambda: guest.run("cat /sys/class/net/eth0/carrier", status=None) == "1", 30,
                   "the link to be up")

    def pings(self, guest, to, n=3):
        """How many of n are answered, after a first one that may be lost (ARP)."""
        guest.run(f"ping -c 1 -W 3 {to}", status=None)
        out = guest.run(f"ping -c {n} -i 0.3 -W 3 {to}", status=None)
        return int(re.search(r"(\d+) received", out).group(1))

    def resources(self, guest):
        """What must be as before after a reset: of the process, of the host."""
        pid = guest.vmm.pid
        with open(f"/proc/{pid}/status") as f:
            locked = int(re.search(r"VmLck:\s*(\d+) kB", f.read()).group(1))
        with open(f"/proc/{pid}/maps") as f:
            maps = sum("vfio" in line for line in f)
        devices = guest.vmm.call("info")["vfio"]
        return {"fds": len(os.listdir(f"/proc/{pid}/fd")), "locked": locked, "maps": maps,
                "irqs": sum(len(interrupts(d["pci"])) for d in devices), "dma": devices[0]["dma"]}

    def refused(self, *args):
        """How lanyard-vmm ends with these; its sentence."""
        done = subprocess.run([harness.VMM, "--name", "x", "--control", self.path("x"), "--kernel",
                               harness.PROBE, "--memory", "64M", *args], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
        return done.returncode, done.stdout.splitlines()[-1]


class Vfs(Vfio):
    def setUp(self):
        super().setUp()
        self.pf = address(0)
        sysfs = f"/sys/bus/pci/devices/{self.pf}"
        self.assertEqual("igb", driver_of(self.pf))
        for name in ("eth0", "eth1"):
            run("ip", "link", "set", name, "up")
        wait_until(lambda: "LOWER_UP" in run("ip", "link", "show", "eth0"), 20, "the PF's link")
        write(f"{sysfs}/sriov_drivers_autoprobe", "0")
        self.addCleanup(lambda: write(f"{sysfs}/sriov_numvfs", "0"))
        write(f"{sysfs}/sriov_numvfs", "2")
        self.vfs = [os.path.basename(os.readlink(f"{sysfs}/virtfn{i}")) for i in (0, 1)]
        for i, vf in enumerate(self.vfs):
            self.vf(i, "mac", MACS[i])
            bind(vf, "vfio-pci")
        # Nobody must have a VF when they are unmade: that waits for him.
        self.addCleanup(lambda: [d.stop() for d in self.daemons])

    def vf(self, i, *what):
        run("ip", "link", "set", "eth0", "vf", str(i), *what)

    def counts(self, guest):
        """Interrupts of its NIC's that the guest has had, by vector."""
        out = guest.run("grep -E 'PCI-MSI.*eth0' /proc/interrupts")
        return [int(line.split()[1]) for line in out.splitlines()]

    def test_two_guests(self):
        """Drivers bind, MSI-X interrupts arrive; ping and TCP between guests, to the PF, to the
        wire; what the NIC enforces."""
        a, b = [self.guest(n, [self.vfs[i]], modules=("macvlan",)) for i, n in enumerate("ab")]
        self.address_pf()
        wire = self.ns("eth1", WIRE)
        for i, guest in enumerate((a, b)):
            self.configure(guest, GUEST["ab"[i]])
            self.assertRegex(guest.run("ethtool -i eth0"), r"driver: igbvf")
            self.assertIn(MACS[i], guest.run("ip link show eth0"))
            info = self.info(guest)
            self.assertEqual(("vf", self.vfs[i], self.pf, "8086:10ca", True),
                             tuple(info[k] for k in ("kind", "pci", "pf", "id", "connected")))
            self.assertEqual({"mode": "msix", "vectors": 3, "live": 3, "host": 3},
                             info["interrupts"])
            self.assertEqual([(16384, 16384), (16384, 8192)],
                             [(b["size_bytes"], b["mapped_bytes"]) for b in info["bars"]])
            self.assertEqual({"mappings": 1, "bytes": MEMORY_KIB << 10, "users": 1}, info["dma"])
        before, host = sum(self.counts(a)), host_interrupts(self.vfs[0])
        for to in (GUEST["b"], PF, WIRE):
            with self.subTest(to=to):
                self.assertEqual(3, self.pings(a, to))
        had, host = sum(self.counts(a)) - before, host_interrupts(self.vfs[0]) - host
        print(f"figure: rig: 12 pings: {host} interrupts of the VF, {had} in the guest")
        self.assertGreater(had, 12)
        self.check_tcp(a, b)
        with self.subTest("spoof"):
            self.check_spoofed(a, wire)
        with self.subTest("VLAN"):
            self.check_vlan(a, b, wire)

    def check_tcp(self, a, b):
        b.run("iperf3 -s -D")
        with self.subTest(tcp="guest"):
            self.tcp(a, "guest", GUEST["b"])
        with self.subTest(tcp="PF"):
            self.check_tcp_to_pf(a)

    def check_tcp_to_pf(self, guest):
        server = subprocess.Popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until(lambda: "5201" in run("ss", "-ltn"), 20, "iperf3 to listen")
        self.tcp(guest, "PF", PF)

    def tcp(self, guest, name, to):
        before = guest.vmm.call("info")["exits"]["mmio"]
        out = guest.run(f"iperf3 -c {to} -t 3 -f m")
        got = float(re.search(r"([\d.]+) Mbits/sec\s+receiver", out).group(1))
        exits = guest.vmm.call("info")["exits"]["mmio"] - before
        print(f"figure: rig: VF to {name}: {got} Mbit/s, {exits} exits for registers")
        self.assertGreater(got, 0)

    def register(self, at):
        """One of the PF's."""
        fd = os.open(f"/sys/bus/pci/devices/{self.pf}/resource0", os.O_RDONLY)
        try:
            with mmap.mmap(fd, 0x4000, prot=mmap.PROT_READ) as bar:
                return struct.unpack_from("<I", bar, at)[0]
        finally:
            os.close(fd)

    def heard(self, raw, mac, do):
        """Frames from that MAC while do() runs."""
        raw.sock.settimeout(0.5)
        do()
        n = 0
        while True:
            try:
                frame = raw.receive()
            except TimeoutError:
                return n
            n += frame[6:12] == bytes.fromhex(mac.replace(":", ""))

    def check_spoofed(self, a, wire):
        """A guest can't take another MAC than that which the PF gave it. That frames with another
        sender are dropped (spoofchk) is the NIC's to do, and QEMU's igb does not: its transmit path
        never reads DTXSWC's bits for it (10.0; hw/net/igb_core.c). So here it is shown that the bits
        are what was asked for, and that a guest that tries is heard with spoofchk off, and with it on
        not more. by_hand/test_spoof.py has an igb that does, and the frames that it drops."""
        with self.assertRaisesRegex(GuestError, "Cannot assign requested address"):
            a.run(f"ip link set eth0 address {SPOOFED}")
        self.assertIn(MACS[0], a.run("ip link show eth0"))
        a.run(f"ip link add link eth0 name m0 address {SPOOFED} type macvlan && "
              "ip link set m0 up && "
              f"ip addr add 10.9.0.1/24 dev m0 && ip neigh add 10.9.0.2 lladdr {MACS[1]} dev m0")
        raw = wire.raw("eth1")
        self.addCleanup(raw.close)
        send = "ping -b -I m0 -c 5 -i 0.2 -W 1 10.9.0.255"
        got = {}
        for spoofchk in ("on", "off"):
            self.vf(0, "spoofchk", spoofchk)
            # VF 1's stay as they were: on.
            self.assertEqual(DTXSWC_SPOOF[0] * (spoofchk == "on") | DTXSWC_SPOOF[1],
                             self.register(DTXSWC) & (DTXSWC_SPOOF[0] | DTXSWC_SPOOF[1]))
            got[spoofchk] = self.heard(raw, SPOOFED, lambda: a.run(send, status=None))
        a.run("ip link del m0")
        self.vf(0, "spoofchk", "on")
        print(f"figure: rig: frames with another's MAC on the wire, by spoofchk: {got}")
        self.assertGreater(got["off"], 0)
        self.assertLessEqual(got["on"], got["off"])

    def check_vlan(self, a, b, wire):
        """A VF in a VLAN hears and is heard by that VLAN alone, and knows of no tag."""
        self.vf(0, "vlan", "100")
        self.addCleanup(lambda: [self.vf(i, "vlan", "0") for i in (0, 1)])
        got = {"one": (self.pings(a, GUEST["b"]), self.pings(a, PF))}
        self.vf(1, "vlan", "200")
        got["other"] = self.pings(a, GUEST["b"])
        self.vf(1, "vlan", "100")
        got["same"] = self.pings(a, GUEST["b"]), self.pings(a, PF), self.pings(a, WIRE)
        print(f"figure: rig: VLAN: {got}")
        self.assertEqual({"one": (0, 0), "other": 0, "same": (3, 0, 0)}, got)
        wire.run(*"ip link add link eth1 name eth1.100 type vlan id 100".split())
        wire.run("ip", "addr", "flush", "dev", "eth1")
        wire.run("ip", "addr", "add", f"{WIRE}/24", "dev", "eth1.100")
        wire.run("ip", "link", "set", "eth1.100", "up")
        self.assertEqual(3, self.pings(a, WIRE))

    def address_pf(self):
        run("ip", "addr", "add", f"{PF}/24", "dev", "eth0")
        self.addCleanup(lambda: run("ip", "addr", "flush", "dev", "eth0"))

    def test_reboots_and_kills(self):
        self.check_reboots_and_kills(2, 2)

    def twin(self, name):
        """A guest with both VFs."""
        return self.guest(name, self.vfs, "--user", "own")

    def use(self, guest):
        self.configure(guest, GUEST["a"])
        self.assertEqual(3, self.pings(guest, PF))

    def check_reboots_and_kills(self, reboots, kills, memory_kib=MEMORY_KIB):
        """A guest with two VFs, rebooted; then started anew after each kill -9. Each time it has
        what it had at first, and L1 has nothing left of it. reboots or kills may be 0."""
        self.address_pf()
        first, pins = None, pinned_pages()
        for n in range(max(kills, 1)):
            guest = self.twin(f"a{n}")
            self.use(guest)
            have = self.resources(guest)
            first = first or have
            self.assertEqual(first, have)
            # The second one's driver has MSI-X on, and no vector in use before its NIC is up.
            self.assertEqual((memory_kib, 3), (have["locked"], have["irqs"]))
            self.assertEqual([3, 1], [d["interrupts"]["host"]
                                      for d in guest.vmm.call("info")["vfio"]])
            self.assertEqual({"mappings": 1, "bytes": memory_kib << 10, "users": 2}, have["dma"])
            self.assertEqual(memory_kib // 4, pinned_pages() - pins)
            for i in range(reboots if n == 0 else 0):
                guest.reboot()
                self.use(guest)
                self.assertEqual(first, self.resources(guest), f"reboot {i + 1}")
                self.assertEqual(memory_kib // 4, pinned_pages() - pins, f"reboot {i + 1}")
                self.assertEqual(i + 1, guest.vmm.call("info")["resets"])
            if n == 0:
                self.check_held(guest)
            guest.vmm.kill(signal.SIGKILL)
            for vf in self.vfs:
                self.assertEqual([], interrupts(vf))
                self.check_free(vf)
            self.assertEqual(pins, pinned_pages(), f"kill {n + 1}")
        print(f"figure: rig: {reboots} reboots, {max(kills, 1)} kills: each time {first}")
        self.check_bindable()

    def check_bindable(self):
        """The kernel's driver takes it, with the MAC that the PF gave it."""
        run("modprobe", "igbvf")
        write(f"/sys/bus/pci/devices/{self.pf}/sriov_drivers_autoprobe", "1")
        bind(self.vfs[0], "igbvf")
        name = os.listdir(f"/sys/bus/pci/devices/{self.vfs[0]}/net")[0]
        self.assertIn(MACS[0], run("ip", "link", "show", name))
        bind(self.vfs[0], "vfio-pci")

    def check_held(self, guest):
        """Who wants it, too, is told who has it."""
        vf = self.vfs[0]
        status, said = self.refused("--vfio", f"pci={vf}")
        self.assertEqual(3, status)
        self.assertRegex(said, rf"{vf} is in use: process {guest.vmm.pid} \(lanyard-vmm\)")

    def check_free(self, vf):
        """No DMA, no interrupts: its registers are as after a reset."""
        with open(f"/sys/bus/pci/devices/{vf}/config", "rb") as f:
            config = f.read(256)
        self.assertEqual(0, config[4] & 4, "bus master")
        at = config[0x34]
        while config[at] != 0x11:
            at = config[at + 1]
        self.assertEqual(0, config[at + 3] & 0x80, "MSI-X")

    def test_sentences(self):
        status, said = self.refused("--vfio", "pci=0000:77:00.0")
        self.assertEqual(2, status)
        self.assertIn("there is no PCI device 0000:77:00.0", said)
        status, said = self.refused("--vfio", f"pci={self.pf}")
        self.assertEqual(3, status)
        self.assertIn(f"{self.pf} is bound to the kernel driver igb (interface eth0). Hand it over "
                      "with: modprobe vfio-pci && echo", said)
        status, said = self.refused("--vfio", "pci=0000:00:1f.0")
        self.assertEqual(3, status)
        status, said = self.refused("--vfio", f"pci={self.vfs[0]}", "--vfio", f"pci={self.vfs[0]}")
        self.assertEqual(2, status)
        self.assertIn("named twice", said)
        # Memory that may not be locked: the limit that would do is named.
        limit = ["prlimit", "--memlock=1048576", "setpriv", "--bounding-set=-ipc_lock"]
        done = subprocess.run([*limit, harness.VMM, "--name", "x", "--control", self.path("x"),
                               "--kernel", harness.PROBE, "--memory", "64M", "--vfio",
                               f"pci={self.vfs[0]}"], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=100)
        self.assertEqual(3, done.returncode, done.stdout)
        self.assertIn("67108864 bytes, and the limit of this process is 1048576: raise it "
                      "(ulimit -l 65536;", done.stdout)


class Whole(Vfio):
    """An e1000e: by MSI-X and by its pin, as its driver is told."""

    def setUp(self):
        super().setUp()
        self.addr = address(2)
        self.addCleanup(lambda: bind(self.addr, "e1000e"))
        # VFIO waits for who has it.
        self.addCleanup(lambda: [d.stop() for d in self.daemons])
        run("ip", "link", "set", "eth3", "up")
        bind(self.addr, "vfio-pci")

    def drive(self, guest, mode):
        """IntMode: 0 its pin, 2 MSI-X. (1, MSI, is out of reach: the driver tries an interrupt
        first, and the emulated NIC fails that, in L1 without VFIO as well.)"""
        guest.run(f"rmmod e1000e; insmod /modules/e1000e.ko IntMode={mode}")
        self.configure(guest, GUEST["a"])

    def test_interrupts(self):
        guest = self.guest("a", [self.addr], module="e1000e")
        self.ns("eth3", WIRE)
        lines = {2: r"PCI-MSI.*eth0", 0: r"IO-APIC.*fasteoi.*eth0"}
        for mode, name, vectors in ((2, "msix", 3), (0, "intx", 0)):
            with self.subTest(name):
                self.drive(guest, mode)
                self.assertEqual(5, self.pings(guest, WIRE, 5))
                info = self.info(guest)
                self.assertEqual(("device", None, self.addr),
                                 tuple(info[k] for k in ("kind", "pf", "pci")))
                self.assertEqual((name, vectors), (info["interrupts"]["mode"],
                                                   info["interrupts"]["live"]))
                shown = guest.run(f"grep -E '{lines[mode]}' /proc/interrupts")
                print(f"figure: rig: e1000e by {name}: {shown}; {info['interrupts']}")
                self.assertGreater(sum(int(s.split()[1]) for s in shown.splitlines()), 5)
                self.assertEqual(max(1, vectors), len(interrupts(self.addr)))
        # With its pin in use.
        guest.reboot()
        self.drive(guest, 0)
        self.assertEqual(3, self.pings(guest, WIRE))
        self.check_lost(guest)

    def check_lost(self, guest):
        """The host wants it back while the guest uses it."""
        events = Rpc(guest.vmm.control)
        self.addCleanup(events.close)
        events.call("events")
        unbind = subprocess.run(["timeout", "60", "sh", "-c", f"echo {self.addr} "
                                 ">/sys/bus/pci/drivers/vfio-pci/unbind"])
        self.assertEqual(0, unbind.returncode)
        self.assertIsNone(driver_of(self.addr))
        info = self.info(guest)
        self.assertEqual((False, "the host asked for it back"), (info["connected"], info["reason"]))
        self.assertEqual(0, info["dma"]["mappings"])
        event = json.loads(events.line())["params"]
        self.assertEqual(("link", "vfio", 1, False), tuple(event[k] for k in (
            "event", "list", "slot", "connected")))
        self.assertEqual([], interrupts(self.addr))
        self.assertEqual("alive", guest.run("echo alive"))
        self.assertIn("the guest has lost it: the host asked for it back", guest.vmm.text())
        # The kernel's driver has it again, and the guest starts anew without.
        bind(self.addr, "e1000e")
        guest.reboot()
        self.assertEqual("lo", guest.run("ls /sys/class/net"))


if __name__ == "__main__":
    harness.main()
