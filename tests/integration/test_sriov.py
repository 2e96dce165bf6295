# SPDX-License-Identifier: Apache-2.0
"""lanyard sriov as a command, on a host of files: what is wrong with a request or a host has its
sentence and status. What VFs are like on a real host is tests/rig/test_sriov.py's."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness

PF = "0000:01:00.0"


class Host:
    """A folder with sys/ and proc/. There is no netlink there, and nobody behind the files: what
    is written stays, no VF comes of it."""

    def __init__(self, root):
        self.root = root
        for folder in ("proc/net", "sys/bus/pci/devices", "sys/bus/pci/drivers/nic",
                       "sys/bus/pci/drivers/vfio-pci", "sys/class/net", "sys/kernel/iommu_groups"):
            os.makedirs(f"{root}/{folder}")

    def put(self, path, text):
        path = f"{self.root}/{path}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(f"{text}\n")

    def link(self, path, to):
        path = f"{self.root}/{path}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(to, path)

    def function(self, addr, driver, group, net=None, **files):
        at = f"sys/bus/pci/devices/{addr}"
        for name, text in {"vendor": "0x8086", "device": "0x10c9", "numa_node": 0,
                           "driver_override": "(null)", **files}.items():
            self.put(f"{at}/{name}", text)
        if driver:
            self.link(f"{at}/driver", f"../../drivers/{driver}")
        self.link(f"{at}/iommu_group", f"../../../../kernel/iommu_groups/{group}")
        self.link(f"sys/kernel/iommu_groups/{group}/devices/{addr}",
                  f"../../../../bus/pci/devices/{addr}")
        if net:
            for name, text in {"ifindex": 2, "mtu": 1500, "flags": "0x1003", "carrier": 1,
                               "speed": 1000}.items():
                self.put(f"{at}/net/{net}/{name}", text)
            self.link(f"{at}/net/{net}/device", f"../../../{addr}")
            self.link(f"sys/class/net/{net}", f"../../bus/pci/devices/{addr}/net/{net}")

    def pf(self, addr=PF, net="eth0", group=1, n=0):
        self.function(addr, "nic", group, net, sriov_totalvfs=7, sriov_numvfs=n,
                      sriov_drivers_autoprobe=1)
        for i in range(n):
            vf = f"{addr[:8]}{16 + i:02x}.0"
            self.function(vf, "nic", group + 10 + i)
            self.link(f"sys/bus/pci/devices/{addr}/virtfn{i}", f"../{vf}")


class Sriov(harness.Case):
    def setUp(self):
        super().setUp()
        # Not in the run folder, all of which a failure searches for logs: links go round in it.
        self.root = tempfile.mkdtemp(prefix=harness.PREFIX, dir="/tmp")
        self.addCleanup(shutil.rmtree, self.root)
        os.chmod(self.root, 0o755)
        self.env["LANYARD_SRIOV_ROOT"] = self.root
        self.env["LANYARD_SRIOV_RUN"] = self.path("journals")
        self.host = Host(self.root)

    def run_sriov(self, *args, status=0):
        return self.lanyard("sriov", *args, status=status)

    def file(self, text=None, pci=PF, **keys):
        with open(self.path("want.json"), "w") as f:
            f.write(text or json.dumps({"version": 1, "pfs": {"pf0": {"pci": pci, **keys}}}))
        return self.path("want.json")

    def refused(self, status, words, *args, command="apply", **keys):
        done = self.run_sriov(command, self.file(**keys), *args, status=status)
        for word in words.split("|"):
            self.assertIn(word, done.stderr)
        self.assertFalse(os.path.exists(self.path("journals")) and
                         os.listdir(self.path("journals")), done.stderr)

    def test_usage(self):
        for args, words in (((), "Usage: lanyard sriov COMMAND"),
                            (("aply",), "did you mean \"apply\"?"),
                            (("show",), "PF is missing"), (("list", "x"), "one argument too many"),
                            (("apply",), "FILE is missing"),
                            (("apply", "x", "y"), "one argument too many"),
                            (("apply", "--owner", "A b", "x"), "--owner takes 1 to 32"),
                            (("list", "--what"), "unrecognized option")):
            self.assertIn(words, self.run_sriov(*args, status=2).stderr)
        self.assertIn("monitor", self.run_sriov("--help").stdout)
        self.assertIn("--force", self.run_sriov("apply", "--help").stdout)

    def test_seen(self):
        self.assertIn("No PCI device of this host is SR-IOV capable",
                      self.run_sriov("list").stdout)
        self.host.pf()
        self.host.pf("0000:02:00.0", "eth1", 2, n=2)
        out = self.run_sriov("list").stdout
        self.assertRegex(out, rf"{PF} +eth0 +nic +0 +7 +1000 Mbps")
        listed = json.loads(self.run_sriov("list", "-j").stdout)
        self.assertEqual([(PF, 0), ("0000:02:00.0", 2)],
                         [(p["pci"], p["num_vfs"]) for p in listed["pfs"]])
        shown = json.loads(self.run_sriov("show", "-j", "eth1").stdout)
        self.assertEqual(["0000:02:10.0", "0000:02:11.0"], [v["pci"] for v in shown["vfs"]])
        self.assertIn("0000:02:11.0", self.run_sriov("show", "2:00.0").stdout)

    def test_bad_requests(self):
        self.host.pf()
        self.host.function("0000:03:00.0", "nic", 3, "eth3")
        self.refused(2, "there is no PCI device 0000:09:00.0|here: 0000:01:00.0 (eth0, 7 VFs at most)",
                     pci="0000:09:00.0")
        self.refused(2, "want.json:1:39: PF \"pf0\": a PCI address looks like", pci="eth0")
        self.refused(2, "0000:03:00.0 (eth3) can't have VFs: it is not SR-IOV capable",
                     pci="0000:03:00.0", num_vfs=1)
        self.refused(2, "8 VFs are wanted of 0000:01:00.0, which can have 7 at most", num_vfs=8)
        self.refused(2, "there is no VF 3: 0000:01:00.0 has none", vfs={"3": {"vlan": 1}})
        self.refused(2, "there is no VF 2 with \"num_vfs\" 2", num_vfs=2, vfs={"2": {}})
        self.refused(2, "PF \"pf0\", VF 0: \"vlan\" must be 0 to 4094", num_vfs=1,
                     vfs={"0": {"vlan": 4095}})
        self.refused(2, "a rate of 2000 Mbps is above what the link of eth0 has, 1000 Mbps",
                     num_vfs=1, vfs={"0": {"max_rate": "2Gbps"}})
        self.refused(2, "min_rate 20Mbps is above max_rate 10Mbps", num_vfs=1,
                     vfs={"0": {"min_rate": "20Mbps", "max_rate": "10Mbps"}})
        self.refused(2, "MAC address 02:00:00:00:00:01 is given to VF 0 of \"pf0\" already",
                     num_vfs=2, vfs={i: {"mac": "02:00:00:00:00:01"} for i in "01"})
        self.refused(2, "want.json:3:5: PF \"pf0\": unknown key \"num_vf\"; did you mean \"num_vfs\"?",
                     text='{ "version": 1, "pfs": {\n  "pf0": { "pci": "1:00.0",\n    "num_vf": 1 } } }')
        self.refused(2, "not valid JSON", text="{")
        self.assertIn("No such file", self.run_sriov("plan", self.path("none"), status=2).stderr)
        self.assertIn("is not SR-IOV capable", self.run_sriov("show", "eth3", status=2).stderr)
        self.assertIn("there is no interface eth9", self.run_sriov("show", "eth9", status=2).stderr)

    def test_bad_hosts(self):
        self.host.pf(n=1)
        vfio = {"vfs": {"0": {"driver": "vfio-pci"}}}
        self.refused(3, "has 1 VF already that Lanyard did not make|(--force goes past this)", **vfio)
        # A stranger in the VF's group.
        self.host.link("sys/kernel/iommu_groups/11/devices/0000:04:00.0", "../x")
        self.host.function("0000:04:00.0", "nic", 12)
        self.refused(3, "0000:01:10.0 can't be given away by itself: its IOMMU group 11 has "
                     "0000:04:00.0 (nic) as well", "--force", **vfio)
        os.rmdir(f"{self.root}/sys/bus/pci/drivers/vfio-pci")
        self.refused(3, "driver vfio-pci is not loaded: sudo modprobe vfio-pci", "--force", **vfio)
        os.rename(f"{self.root}/sys/kernel/iommu_groups", f"{self.root}/sys/kernel/off")
        self.refused(3, "add intel_iommu=on iommu=pt (Intel)", "--force", **vfio)
        self.refused(3, "eth0 (0000:01:00.0) is in use by bridge br0", num_vfs=2,
                     command=self.in_bridge())
        os.makedirs(self.path("journals"), exist_ok=True)
        with open(self.path(f"journals/{PF}.journal"), "w") as f:
            f.write('{"version": 1, "owner": "pair"}\n')
        done = self.run_sriov("apply", self.file(num_vfs=2), status=3)
        self.assertIn(f"{PF} is lab pair's: take that down first (lanyard down pair", done.stderr)
        done = self.run_sriov("release", PF, status=3)
        self.assertIn(f"{PF} is lab pair's: lanyard down pair gives it back", done.stderr)
        self.run_sriov("release", "--force", PF)
        self.assertEqual([], os.listdir(self.path("journals")))

    def in_bridge(self):
        os.makedirs(f"{self.root}/sys/class/net/br0/bridge")
        self.host.link(f"sys/bus/pci/devices/{PF}/net/eth0/master", "../../br0")
        return "plan"

    def test_plan(self):
        self.host.pf()
        want = self.file(num_vfs=2, autoprobe=False, vfs={"1": {"driver": "vfio-pci"}})
        out = self.run_sriov("plan", want).stdout
        self.assertRegex(out, rf"2 +{PF}: 2 VFs +0 VFs")
        self.assertRegex(out, rf"3 +{PF} VF 1: driver vfio-pci +goes with the VF")
        plan = json.loads(self.run_sriov("plan", "-j", want).stdout)
        self.assertEqual(["autoprobe", "num_vfs", "driver"], [s["step"] for s in plan["steps"]])
        self.assertEqual(({"num_vfs": 2}, {"num_vfs": 0}, "planned"),
                         tuple(plan["steps"][1][k] for k in ("to", "from", "state")))
        self.assertEqual([], plan["problems"])
        self.assertFalse(os.path.exists(self.path("journals")))
        self.assertIn("Nothing to do", self.run_sriov("plan", self.file(num_vfs=0)).stdout)

    def test_fails_and_undoes(self):
        """The files take the number, and no VF comes of it: that is found out, and undone."""
        self.host.pf()
        done = self.run_sriov("apply", self.file(num_vfs=2, autoprobe=False), status=1)
        self.assertIn("2 VFs of 0000:01:00.0 were asked for, and the kernel took that, but 0 are there",
                      done.stderr)
        self.assertIn(f"Undone again: {PF}: 0 VFs; {PF}: drivers take VFs that are made", done.stderr)
        for name, text in (("sriov_numvfs", "0"), ("sriov_drivers_autoprobe", "1")):
            with open(f"{self.root}/sys/bus/pci/devices/{PF}/{name}") as f:
                self.assertEqual(text, f.read().strip())
        self.assertEqual([], os.listdir(self.path("journals")))

    def test_killed(self):
        """A crash leaves a journal; release puts back what it says, in a process of its own."""
        self.host.pf()
        want = self.file(autoprobe=False)
        done = subprocess.run([harness.LANYARD, "sriov", "apply", want], stderr=subprocess.PIPE,
                              env={**self.env, "LANYARD_SRIOV_KILL": "1"}, timeout=60)
        self.assertEqual(-9, done.returncode)
        self.assertEqual([f"{PF}.journal", f"{PF}.lock"], sorted(os.listdir(self.path("journals"))))
        self.assertEqual({"undone": 1}, json.loads(self.run_sriov("release", "-j").stdout))
        with open(f"{self.root}/sys/bus/pci/devices/{PF}/sriov_drivers_autoprobe") as f:
            self.assertEqual("1", f.read().strip())
        self.assertEqual([], os.listdir(self.path("journals")))
        self.assertIn("Nothing to undo", self.run_sriov("release").stderr)

    def test_no_permission(self):
        """Nobody may look and plan, and is told what he lacks to apply."""
        if os.geteuid() != 0:
            self.skipTest("root is needed to become nobody")
        self.host.pf()
        want = self.file(num_vfs=1)
        os.chmod(self.run_dir, 0o755)
        for args, status, words in ((["list"], 0, ""), (["plan", want], 0, ""),
                                    (["apply", want], 3, "can't be made: Permission denied; be root")):
            done = subprocess.run([harness.LANYARD, "sriov", *args], env=self.env, timeout=60, user=65534,
                                  group=65534, extra_groups=[], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
            self.assertEqual(status, done.returncode, done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    harness.main()
