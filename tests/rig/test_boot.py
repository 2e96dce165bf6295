# SPDX-License-Identifier: Apache-2.0
"""What a Linux guest makes of the machine that it finds: CPUs, memory, ACPI, PCI. In the rig."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from harness import wait_until
from vmmguest import VmmGuest, VmmNic

# Of the kernel's log: what says that tables or windows are not as they should be.
COMPLAINTS = re.compile(r"ACPI.*(error|warn|exception|invalid)|BUG:|\[Firmware|"
                        r"BAR \d+: (can't|failed|no space)|not claimed|APIC id.*mismatch|"
                        r"inconsistent|nobody cared", re.I)


class Machine(harness.Case):
    def guest(self, *args, nics=2, **kw):
        """NICs whose switch is not there are devices all the same."""
        nics = [VmmNic(self.path(f"none{i}"), f"02:00:00:00:00:{i:02x}") for i in range(nics)]
        return VmmGuest(self, "a", nics, args=args, programs=("lscpu",), **kw)

    def lscpu(self, guest):
        """{"Socket(s)": "2", ...}"""
        text = guest.run("lscpu")
        return {k.strip(): v.strip() for k, v in re.findall(r"^([^:\n]+):(.*)$", text, re.M)}

    def check_topology(self, guest, sockets, cores, threads):
        got = self.lscpu(guest)
        self.assertEqual([str(n) for n in (sockets * cores * threads, threads, cores, sockets)],
                         [got[k] for k in ("CPU(s)", "Thread(s) per core", "Core(s) per socket",
                                           "Socket(s)")], got)
        places = guest.run("cd /sys/devices/system/cpu; for i in $(seq 0 "
                           f"{sockets * cores * threads - 1}); do cat cpu$i/topology/physical_package_id "
                           "cpu$i/topology/core_id cpu$i/topology/thread_siblings_list; done").split()
        for i in range(sockets * cores * threads):
            first = i // threads * threads
            siblings = str(first) if threads == 1 else f"{first}-{first + threads - 1}"
            self.assertEqual([str(i // (threads * cores)), siblings],
                             [places[3 * i], places[3 * i + 2]], f"CPU {i}: {places}")

    def check_log(self, guest):
        said = [l for l in guest.run("dmesg").splitlines() if COMPLAINTS.search(l)]
        self.assertEqual([], said)

    def bars(self, guest):
        """First BAR of each function that Linux found, by its address."""
        text = guest.run("cd /sys/bus/pci/devices; for d in *; do echo $d $(head -1 $d/resource); "
                         "done")
        return {w[0]: int(w[1], 16) for w in map(str.split, text.splitlines())}

    def test_two_sockets_of_threads(self):
        guest = self.guest("--cpu-without", "cx16,avx2,rdrand",
                           vcpus="4,sockets=2,threads=2", nics=3)
        self.check_topology(guest, 2, 1, 2)
        flags = re.search(r"^flags\s*: (.*)$", guest.run("cat /proc/cpuinfo"), re.M)[1].split()
        self.assertEqual([], [f for f in ("cx16", "avx2", "rdrand") if f in flags])
        self.assertIn("sse2", flags)
        # Every function is found, and its BAR is where the machine had put it.
        base = 0x40_0000_0000
        self.assertEqual({"0000:00:00.0": 0, **{f"0000:00:{i:02x}.0": base + (i << 20)
                                                for i in (1, 2, 3, 31)}}, self.bars(guest))
        self.assertIn("ACPI:Ged", guest.run("cat /proc/interrupts"))
        self.assertIn("ACPI: PM: (supports S0 S5)", guest.run("dmesg"))
        self.check_log(guest)
        guest.spawn("off", "poweroff -f")
        wait_until(lambda: not guest.vmm.alive(), 20, "the machine's end")
        self.assertEqual(0, guest.vmm.proc.returncode)
        self.assertIn("the guest powered itself off", guest.vmm.text())


if __name__ == "__main__":
    harness.main()
