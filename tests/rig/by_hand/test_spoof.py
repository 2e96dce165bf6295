# SPDX-License-Identifier: Apache-2.0
"""Frames that a guest sends over its VF in another's name are dropped by the NIC, where `spoofchk`
says so. QEMU's igb has no such check; the rig's own does (tests/rig/igb_spoof.c.inc), which is compiled
once, in ten minutes: that is why this is not in ./check.

VFs are made and configured by `lanyard sriov apply`, from a file."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_vfio
from netns import Raw, run
from test_pci import address
from test_vfio import GUEST, MACS, PF, SPOOFED, WIRE

RIG = {"nics": ["igb", "igb"], "anti_spoof": True}
TAKES_S = 300
SENT = 5
VID = 300


class Spoof(test_vfio.Vfio):
    def setUp(self):
        super().setUp()
        self.env["LANYARD_SRIOV_RUN"] = self.path("sriov")
        self.pf = address(0)
        run("ip", "link", "set", "eth1", "up")
        self.apply(True)
        self.addCleanup(lambda: self.lanyard("sriov", "release"))
        self.addCleanup(lambda: [d.stop() for d in self.daemons])
        run("ip", "addr", "add", f"{PF}/24", "dev", "eth0")
        self.addCleanup(lambda: run("ip", "addr", "flush", "dev", "eth0"))
        self.wire = self.ns("eth1", WIRE)
        # All VLANs reach it.
        self.wire.run("ip", "link", "set", "eth1", "promisc", "on")
        self.addCleanup(lambda: self.wire.run("ip", "link", "set", "eth1", "promisc", "off"))
        vfs = [os.path.basename(os.readlink(f"/sys/bus/pci/devices/{self.pf}/virtfn{i}"))
               for i in (0, 1)]
        self.a, self.b = [self.guest(n, [vfs[i]], modules=("macvlan", "8021q", "bridge"))
                          for i, n in enumerate("ab")]
        for guest in (self.a, self.b):
            self.up(guest)

    def up(self, guest):
        self.configure(guest, GUEST[guest.name])

    def apply(self, spoofchk):
        """Of VF 0; VF 1 is checked always."""
        vfs = {str(i): {"mac": mac, "driver": "vfio-pci", "spoofchk": spoofchk or i == 1}
               for i, mac in enumerate(MACS)}
        path = self.path("vfs.json")
        with open(path, "w") as f:
            json.dump({"version": 1, "pfs": {"pf0": {"pci": self.pf, "num_vfs": 2, "vfs": vfs}}}, f)
        self.lanyard("sriov", "apply", path)

    def heard(self, guest, command, wanted):
        """Frames of these that the wire's other end and the PF hear while the guest runs this."""
        raws = [self.wire.raw("eth1"), Raw("eth0", 10)]
        for raw in raws:
            raw.sock.settimeout(0.5)
        guest.run(command, status=None)
        counts = []
        for raw in raws:
            n = 0
            try:
                while True:
                    n += wanted(raw.receive())
            except TimeoutError:
                counts.append(n)
            raw.close()
        return counts

    def spoofed_mac(self, guest):
        guest.run(f"ip link add link eth0 name m0 address {SPOOFED} type macvlan && ip link set m0 up && "
                  "ip addr add 10.9.0.1/24 dev m0")
        sender = bytes.fromhex(SPOOFED.replace(":", ""))
        got = self.heard(guest, f"ping -b -I m0 -c {SENT} -i 0.2 -W 1 10.9.0.255",
                         lambda frame: frame[6:12] == sender and frame[12:14] == b"\x08\x00")
        guest.run("ip link del m0")
        return got

    def vlan(self, guest, asked):
        """Its own address, in a VLAN that the PF was asked for, or not: a bridge asks for none."""
        link = "eth0" if asked else "br0"
        if not asked:
            guest.run("ip link add br0 type bridge && ip link set eth0 master br0 && ip link set br0 up")
        guest.run(f"ip link add link {link} name v0 type vlan id {VID} && ip link set v0 up && "
                  "ip addr add 10.9.0.1/24 dev v0")
        tag = bytes.fromhex(f"8100{VID:04x}")
        got = self.heard(guest, f"ping -b -I v0 -c {SENT} -i 0.2 -W 1 10.9.0.255",
                         lambda frame: frame[12:16] == tag and frame[16:18] == b"\x08\x00")
        guest.run("ip link del v0" + (" && ip link del br0" if not asked else ""))
        return got[0]

    def told(self):
        """VFs that the PF's driver has found at it, by the kernel's log since the last time."""
        lines = [line for line in run("dmesg", "-c").splitlines() if "Spoof event" in line]
        return sorted({line.split()[-1] for line in lines})

    def answered(self):
        return [self.pings(self.a, to) for to in (GUEST["b"], PF, WIRE)]

    def test_dropped(self):
        run("dmesg", "-c")
        for spoofchk in (True, False, True):
            self.apply(spoofchk)
            [link] = json.loads(run("ip", "-j", "link", "show", "eth0"))
            self.assertEqual([spoofchk, True], [vf["spoofchk"] for vf in link["vfinfo_list"]])
            with self.subTest(spoofchk=spoofchk):
                mac = self.spoofed_mac(self.a)
                other, own = self.vlan(self.a, asked=False), self.vlan(self.a, asked=True)
                print(f"figure: rig: spoofchk {spoofchk}: of {SENT} frames with another's MAC the "
                      f"wire and the PF heard {mac}; of {SENT} in a VLAN that the PF does not know "
                      f"of the wire heard {other}, of {SENT} in one of the guest's {own}")
                self.assertEqual([0, 0] if spoofchk else [SENT, SENT], mac)
                self.assertEqual((0 if spoofchk else SENT, SENT), (other, own))
                self.assertEqual([3, 3, 3], self.answered())
        self.assertIn("0", self.told())
        self.assertNotIn("1", self.told())
        # Another user of the VF, after a reset.
        self.a.reboot()
        self.up(self.a)
        self.assertEqual([0, 0], self.spoofed_mac(self.a))
        self.assertEqual([3, 3, 3], self.answered())


if __name__ == "__main__":
    harness.main()
