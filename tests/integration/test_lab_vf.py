# SPDX-License-Identifier: Apache-2.0
"""Labs with VFs on hosts that can't have them: what `lanyard plan` and `up` say, with its place in the
file, before anything is made. A folder stands for the host (LANYARD_SRIOV_ROOT)."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness

PF = "0000:03:00.0"


class Refused(harness.Case):
    def setUp(self):
        super().setUp()
        self.root, self.labs = self.path("host"), self.path("labs")
        for name in ("sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/class/net", "proc"):
            os.makedirs(os.path.join(self.root, name))
        self.env.update(LANYARD_SRIOV_ROOT=self.root, LANYARD_RUN=self.labs,
                        LANYARD_SRIOV_RUN=self.path("journals"))
        with open(self.path("guest.img"), "wb") as f:
            f.write(bytes(0x202) + b"HdrS" + bytes(4096))

    def device(self, addr, driver=None, **files):
        """A NIC in the host's sysfs."""
        folder = os.path.join(self.root, "sys/bus/pci/devices", addr)
        os.makedirs(folder)
        for name, text in {"class": "0x020000", "vendor": "0x8086", "device": "0x10c9",
                           **files}.items():
            with open(os.path.join(folder, name), "w") as f:
                f.write(f"{text}\n")
        if driver:
            where = os.path.join(self.root, "sys/bus/pci/drivers", driver)
            os.makedirs(where, exist_ok=True)
            os.symlink(where, os.path.join(folder, "driver"))

    def topology(self, pf=None, nic=None):
        path = self.path("t.json")
        with open(path, "w") as f:
            f.write('{ "version": 1, "lab": "t",\n"pfs": { "pf0": %s },\n"nodes": { "a": { "kind": '
                    '"vm", "guest": "./guest.img", "nics": [ %s ] } } }' % (
                        json.dumps({"pci": PF, "num_vfs": 4, **(pf or {})}),
                        json.dumps({"vf": "pf0", **(nic or {})})))
        return path

    def refuse(self, path, status, *words):
        """Both say the same; nothing is made."""
        said = self.lanyard("up", path, status=status).stderr
        planned = json.loads(self.lanyard("plan", "-j", path).stdout)
        for word in words:
            self.assertIn(word, said)
            self.assertIn(word, planned["would_fail"])
        self.assertFalse(os.path.exists(self.path("journals")) and os.listdir(self.path("journals")))
        self.assertFalse(os.path.exists(self.labs) and os.listdir(self.labs))
        return [s["kind"] for s in planned["steps"]]

    def test_no_such_pf(self):
        self.device("0000:04:00.0", "igb", sriov_totalvfs=7, sriov_numvfs=0)
        steps = self.refuse(self.topology(), 2, "t.json:2:25: PF \"pf0\": there is no PCI device " + PF,
                    "0000:04:00.0")
        self.assertEqual(["folder", "hugepages", "pf", "vm", "guest"], steps)

    def test_not_capable(self):
        self.device(PF, "e1000e")
        self.refuse(self.topology(), 2, "t.json:2:52: PF \"pf0\": " + PF,
                    "can't have VFs: it is not SR-IOV capable")

    def test_too_many(self):
        self.device(PF, "igb", sriov_totalvfs=3, sriov_numvfs=0)
        self.refuse(self.topology(), 2, "4 VFs are wanted of " + PF + ", which can have 3 at most")

    def test_no_driver(self):
        self.device(PF, sriov_totalvfs=7, sriov_numvfs=0)
        self.refuse(self.topology(), 3, PF + " has no driver")

    def test_no_interface(self):
        self.device(PF, "igb", sriov_totalvfs=7, sriov_numvfs=0)
        self.refuse(self.topology(), 3, PF + " has no network interface here")

    def test_deaf_uplink(self):
        """A VF of igb's is no uplink of several NICs: it hears what is for itself."""
        self.device(PF, "igb", sriov_totalvfs=7, sriov_numvfs=0)
        os.makedirs(os.path.join(self.root, "sys/bus/pci/devices", PF, "net/eth0"))
        with open(os.path.join(self.root, "sys/bus/pci/devices", PF, "net/eth0/ifindex"), "w") as f:
            f.write("2\n")
        os.makedirs(os.path.join(self.root, "sys/bus/pci/drivers/vfio-pci"))
        os.makedirs(os.path.join(self.root, "sys/kernel/iommu_groups/1"))
        nics = [{"network": "lan", "mac": f"02:00:00:00:00:0{i}"} for i in (1, 2)]
        topology = {"version": 1, "lab": "t", "pfs": {"pf0": {"pci": PF}}, "networks": {"lan": {}},
                    "nodes": {"a": {"kind": "process", "nics": nics}},
                    "ports": {"up": {"network": "lan", "vf": "pf0", "mac": "02:00:00:00:00:01"}}}
        path = self.path("t.json")
        said = ("port \"up\": a VF of 0000:03:00.0 (driver igb) gets only frames to its own address, "
                "02:00:00:00:00:01: those to a.1 on network \"lan\" would be lost.",
                "or the whole PF")
        for nic, words in ((None, said), (1, None)):
            if nic is not None:
                nics.pop(nic)
            with open(path, "w") as f:
                json.dump(topology, f)
            if words:
                self.refuse(path, 3, *words)
            else:
                self.assertIsNone(json.loads(self.lanyard("plan", "-j", path).stdout)["would_fail"])

    def test_no_vf_driver(self):
        """In the guest's kernel: before anything is made, not when its initramfs is."""
        self.device(PF, "igb", sriov_totalvfs=7, sriov_numvfs=0, sriov_vf_device="10ca")
        with open(self.path("vmlinuz"), "wb") as f:
            f.write(bytes(0x202) + b"HdrS" + bytes(8) + b"\x00\x02" + bytes(0x1f0) + b"6.1.0-x (me) ")
        os.mkdir(self.path("modules"))
        for name, text in (("dep", "k/igbvf.ko:\n"),
                           ("alias", "alias pci:v00008086d00001520sv*sd*bc*sc*i* igbvf\n")):
            with open(self.path(f"modules/modules.{name}"), "w") as f:
                f.write(text)
        path = self.topology()
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace('"./guest.img"', '"linux", "kernel": "./vmlinuz", "modules": '
                                 '"./modules"'))
        said = self.lanyard("up", path, status=2).stderr
        self.assertIn("node \"a\": the guest's kernel has no driver for its NIC "
                      "(pci:v00008086d000010CAsv", said)
        self.assertRegex(said, r"t\.json:3:[0-9]+: ")
        self.assertFalse(os.path.exists(self.labs) and os.listdir(self.labs))


if __name__ == "__main__":
    harness.main()
