# SPDX-License-Identifier: Apache-2.0
"""lanyard sriov on real PFs (igb, two of them, behind an IOMMU): what is applied is what iproute2
reads, and whatever happens in the middle, `release` leaves the host as it was."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from harness import LANYARD, wait_until
from netns import run

RIG = {"nics": ["igb", "igb"]}
TAKES_S = 240
PFS = {"0000:01:00.0": "eth0", "0000:02:00.0": "eth1"}
PF, NET = "0000:01:00.0", "eth0"


def sysfs(addr, name):
    with open(f"/sys/bus/pci/devices/{addr}/{name}") as f:
        return f.read().strip()


def driver(addr):
    path = f"/sys/bus/pci/devices/{addr}/driver"
    return os.path.basename(os.readlink(path)) if os.path.exists(path) else None


def vf_addr(i, pf=PF):
    return os.path.basename(os.readlink(f"/sys/bus/pci/devices/{pf}/virtfn{i}"))


def ip_link(net):
    return json.loads(run("ip", "-j", "-d", "link", "show", net))[0]


def host():
    """All of the PFs that an apply could change, as the kernel and iproute2 tell it."""
    state = {}
    for addr, net in PFS.items():
        link = ip_link(net)
        n = int(sysfs(addr, "sriov_numvfs"))
        state[addr] = {
            "numvfs": n, "autoprobe": sysfs(addr, "sriov_drivers_autoprobe"), "mtu": link["mtu"],
            "up": "UP" in link["flags"], "vfs": link.get("vfinfo_list"), "driver": driver(addr),
            "vf_drivers": [(driver(vf_addr(i, addr)), sysfs(vf_addr(i, addr), "driver_override"))
                           for i in range(n)]}
    return state


def vf(i, **kw):
    return {"mac": f"02:00:00:00:01:{i:02x}", "vlan": 100 + i, "qos": i, "max_rate": f"{10 + i}Mbps",
            "spoofchk": i % 2 == 0, "trust": i % 3 == 0, **kw}


class Sriov(harness.Case):
    def setUp(self):
        if not os.environ.get("LANYARD_RIG"):
            self.fail("this runs in the rig: tests/rig/run tests/rig/test_sriov.py")
        super().setUp()
        for module in ("igbvf", "vfio-pci"):
            run("modprobe", module)
        for net in PFS.values():
            run("ip", "link", "set", net, "up")
        self.env["LANYARD_SRIOV_RUN"] = self.state = self.path("sriov")
        self.before = host()
        self.addCleanup(self.put_back)

    def put_back(self):
        for addr, net in PFS.items():
            if sysfs(addr, "sriov_numvfs") != "0":
                with open(f"/sys/bus/pci/devices/{addr}/sriov_numvfs", "w") as f:
                    f.write("0")
            run("ip", "link", "set", net, "up", "mtu", "1500")
        shutil.rmtree(self.state, ignore_errors=True)

    def sriov(self, *args, status=0):
        """What it printed: JSON, or all."""
        done = self.lanyard("sriov", *args, status=status)
        return done.stdout if "-j" in args else done.stdout + done.stderr

    def file(self, name="want.json", pf=PF, **keys):
        path = self.path(name)
        with open(path, "w") as f:
            json.dump({"version": 1, "pfs": {"pf0": {"pci": pf, **keys}}}, f)
        return path

    def popen(self, *args, **env):
        return subprocess.Popen([LANYARD, "sriov", *args], env={**self.env, **env}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def as_before(self, what):
        self.assertEqual(self.before, host(), what)
        self.assertFalse(os.path.exists(self.state) and os.listdir(self.state), what)

    # ---- the whole way ----

    def test_applied_and_read_back(self):
        with open(self.path("events"), "w") as out:
            monitor = subprocess.Popen([LANYARD, "sriov", "monitor", "-j"], env=self.env, stdout=out)
        self.addCleanup(monitor.kill)
        wait_until(lambda: PF in self.read("events"), 20, "the monitor's first line")
        want = self.file(num_vfs=7, mtu=2000, vfs={str(i): vf(i) for i in range(7)})
        plan = json.loads(self.sriov("plan", "-j", want))
        self.assertEqual(2 + 7 * 5, len(plan["steps"]))
        self.assertEqual(self.before, host(), "a plan changes nothing")
        self.sriov("apply", want)
        link = ip_link(NET)
        self.assertEqual(2000, link["mtu"])
        for i, got in enumerate(link["vfinfo_list"]):
            w = vf(i)
            self.assertEqual(
                (i, w["mac"], {"vlan": w["vlan"], **({"qos": w["qos"]} if i else {})}, 10 + i,
                 w["spoofchk"], w["trust"]),
                (got["vf"], got["address"], got["vlan_list"][0], got["rate"]["max_tx"],
                 got["spoofchk"], got["trust"]), got)
            # The driver that took the VF when it was made has learnt its MAC.
            net = os.listdir(f"/sys/bus/pci/devices/{vf_addr(i)}/net")[0]
            self.assertEqual(w["mac"], sysfs(vf_addr(i), f"net/{net}/address"))
        shown = json.loads(self.sriov("show", "-j", NET))
        self.assertEqual((7, "sriov", 7), (shown["num_vfs"], shown["owner"], len(shown["vfs"])))
        for i, got in enumerate(shown["vfs"]):
            self.assertEqual({**vf(i), "driver": "igbvf"}, {k: got[k] for k in [*vf(i), "driver"]})
            self.assertIn("rx_bytes", got["statistics"])
        self.assertEqual({"mac": "yes", "vlan": "yes", "min_rate": "no", "max_rate": "yes",
                          "spoofchk": "yes", "trust": "yes", "link_state": "no"}, shown["takes"])
        print(f"figure: rig: igb takes {shown['takes']}")
        self.assertEqual([PF, "0000:02:00.0"],
                         [p["pci"] for p in json.loads(self.sriov("list", "-j"))["pfs"]])
        after = host()
        self.assertIn("Nothing to do", self.sriov("apply", want))
        self.assertEqual(after, host())
        self.sriov("release")
        self.as_before("released")
        wait_until(lambda: '"num_vfs","from":7,"to":0' in self.read("events"), 20, "all events")
        monitor.send_signal(signal.SIGINT)
        self.assertEqual(0, monitor.wait(20))
        events = [json.loads(line) for line in self.read("events").splitlines()]
        told = {(e["pf"], e["what"], e.get("from"), e.get("to"), e.get("vf"))
                for e in events if e["what"] != "is"}
        self.assertIn((PF, "num_vfs", 0, 7, None), told)
        self.assertIn((PF, "mtu", 1500, 2000, None), told)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def test_refused_before_any_change(self):
        """Each with its sentence and status, and nothing is touched."""
        def refused(status, words, **keys):
            said = self.sriov("apply", self.file(**keys), status=status)
            for word in words.split("|"):
                self.assertIn(word, said)
            self.as_before(words)

        refused(3, "driver igb of 0000:01:00.0 does not have \"link_state\"", num_vfs=1,
                vfs={"0": {"link_state": "up"}})
        refused(3, "does not have \"min_rate\": it can limit a VF's rate, not promise one",
                num_vfs=1, vfs={"0": {"min_rate": "1Mbps"}})
        refused(2, "8 VFs are wanted of 0000:01:00.0, which can have 7 at most", num_vfs=8)
        refused(2, "there is no VF 0: 0000:01:00.0 has none", vfs={"0": {"trust": True}})
        refused(2, "is above what the link of eth0 has, 1000 Mbps", num_vfs=1,
                vfs={"0": {"max_rate": "2Gbps"}})
        refused(2, "there is no PCI device 0000:7f:00.0|here: 0000:01:00.0 (eth0, 7 VFs at most)",
                pf="0000:7f:00.0", num_vfs=1)
        refused(2, "0000:00:1f.2 can't have VFs: it is not SR-IOV capable", pf="0000:00:1f.2",
                num_vfs=1)
        refused(3, "driver ixgbevf is not loaded: sudo modprobe ixgbevf", num_vfs=1,
                vfs={"0": {"driver": "ixgbevf"}})
        done = subprocess.run(["setpriv", "--bounding-set=-net_admin", LANYARD, "sriov", "apply",
                               self.file(num_vfs=1, vfs={"0": {"trust": True}})], env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(3, done.returncode, done.stdout)
        self.assertIn("no permission to configure VFs: be root (sudo)", done.stdout)
        self.as_before("no permission")
        # In use, which --force goes past; and VFs of somebody else.
        run("ip", "addr", "add", "10.9.0.1/24", "dev", NET)
        self.addCleanup(run, "ip", "addr", "flush", "dev", NET)
        refused(3, "eth0 (0000:01:00.0) is in use by a route (10.9.0.0/24)|--force", num_vfs=1)
        run("ip", "addr", "flush", "dev", NET)
        with open("/sys/bus/pci/devices/0000:02:00.0/sriov_numvfs", "w") as f:
            f.write("1")
        self.before = host()
        refused(3, "has 1 VF already that Lanyard did not make|--force", pf="0000:02:00.0",
                num_vfs=2)

    # ---- what comes in between ----

    def test_killed_at_each_point(self):
        """PF down, one VF with all that there is; kill -9 before and after each step."""
        run("ip", "link", "set", NET, "down")
        self.before = host()
        want = self.file(num_vfs=1, vfs={"0": {**vf(1), "driver": "vfio-pci"}})
        n_steps = len(json.loads(self.sriov("plan", "-j", want))["steps"])
        self.assertEqual(8, n_steps)
        for point in range(2 * n_steps):
            p = self.popen("apply", "-q", want, LANYARD_SRIOV_KILL=str(point))
            out, _ = p.communicate(timeout=120)
            self.assertEqual(-signal.SIGKILL, p.returncode, out)
            self.assertTrue(os.path.exists(f"{self.state}/{PF}.journal"))
            self.sriov("release", PF)
            self.as_before(f"killed at point {point}")

    def test_interrupted(self):
        """Ctrl-C undoes what was done."""
        p = self.popen("apply", self.file(num_vfs=7, vfs={"0-6": {"vlan": 5}}))
        wait_until(lambda: sysfs(PF, "sriov_numvfs") == "7", 60, "VFs")
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate(timeout=120)
        self.assertEqual(1, p.returncode, out)
        self.assertIn("interrupted. Undone again: 0000:01:00.0: 0 VFs", out)
        self.as_before("interrupted")

    def test_held(self):
        """A VF that somebody has open is not taken away from him."""
        want = self.file(num_vfs=2, vfs={"1": {"driver": "vfio-pci"}})
        self.sriov("apply", want)
        group = os.path.basename(os.readlink(f"/sys/bus/pci/devices/{vf_addr(1)}/iommu_group"))
        applied = host()
        fd = os.open(f"/dev/vfio/{group}", os.O_RDWR)
        try:
            said = self.sriov("release", status=1)
            self.assertIn(f"VF 1 of {PF}: {vf_addr(1)} is in use by python3 (pid {os.getpid()})",
                          said)
            said = self.sriov("apply", self.file("other.json", num_vfs=3), status=1)
            self.assertIn(f"is in use by python3 (pid {os.getpid()}): end that first", said)
            self.assertIn(f"held by python3 (pid {os.getpid()})", self.sriov("show", NET))
            self.assertEqual(applied, host())
        finally:
            os.close(fd)
        self.sriov("release")
        self.as_before("released")

    def test_two_at_once(self):
        want = self.file(num_vfs=2, vfs={"0-1": {"trust": True}})
        first = self.popen("apply", "-q", want)
        wait_until(lambda: os.path.exists(f"{self.state}/{PF}.lock"), 30, "the lock")
        began = time.monotonic()
        said = self.sriov("apply", want, status=1)
        self.assertIn(f"{PF} is being changed by another process (pid {first.pid})", said)
        out, _ = first.communicate(timeout=120)
        self.assertEqual(0, first.returncode, out)
        self.assertGreater(time.monotonic(), began)
        self.assertEqual([True, True], [v["trust"] for v in ip_link(NET)["vfinfo_list"]])
        self.assertIn(f"{PF} is lab sriov's",
                      self.sriov("apply", "--owner", "pair", want, status=3))
        self.assertIn("Nothing to undo", self.sriov("release", "--owner", "pair"))
        self.assertEqual({"undone": 3}, json.loads(self.sriov("release", "-j", NET)))
        self.as_before("released")


if __name__ == "__main__":
    harness.main()
