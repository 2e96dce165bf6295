# SPDX-License-Identifier: Apache-2.0
"""Labs whose guests have VFs, on two igb NICs at the ends of one wire: brought up, used, changed,
broken and taken down; and the PFs are as before, whatever happened."""
import glob
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from harness import PATIENCE, rpc_once, wait_until
from linuxlab import LinuxLab
from vmmguest import kernel_of

RIG = {"nics": ["igb", "igb"]}
TAKES_S = 240
PF = "0000:01:00.0"
FILES = ("sriov_numvfs", "sriov_drivers_autoprobe", "driver_override")


def pci(addr, name):
    with open(f"/sys/bus/pci/devices/{addr}/{name}") as f:
        return f.read().strip()


def driver(addr):
    link = f"/sys/bus/pci/devices/{addr}/driver"
    return os.path.basename(os.readlink(link)) if os.path.exists(link) else None


def links():
    said = subprocess.run(["ip", "-j", "-d", "link"], check=True, capture_output=True, text=True)
    found = {}
    for link in json.loads(said.stdout):
        # An interface that went and came again has another number; its link may take a moment.
        for key in ("ifindex", "operstate", "linkmode"):
            link.pop(key, None)
        # One that was never up has no queueing discipline yet; one that was keeps what it got.
        if "UP" not in link["flags"]:
            link.pop("qdisc")
        link["flags"] = [f for f in link["flags"] if f not in ("LOWER_UP", "NO-CARRIER")]
        found[link["ifname"]] = link
    return found


def host():
    """What must be the same after a lab as it was before."""
    found = {"links": links(), "devices": {}}
    for path in sorted(glob.glob("/sys/bus/pci/devices/*")):
        addr = os.path.basename(path)
        found["devices"][addr] = {"driver": driver(addr)}
        for name in FILES:
            if os.path.exists(f"{path}/{name}"):
                found["devices"][addr][name] = pci(addr, name)
    return found


class VfLab(LinuxLab):
    def setUp(self):
        super().setUp()
        self.maxDiff = None
        subprocess.run(["modprobe", "vfio-pci"], check=True)
        # Debian's kernel for clouds has no igbvf.
        self.env["LANYARD_BOOT"] = os.path.dirname(kernel_of("6.1").vmlinuz)
        self.before = host()

    def down(self):
        super().down()
        self.assertEqual(self.before, host())

    def pings(self, node, to, n=2):
        """The first frames may be lost: a VF's link is not up before its driver has asked for it."""
        wait_until(lambda: " 0% packet loss" in self.exec_any(node, "ping", "-c", "1", "-W", "2", to),
                   30, f"an answer of {to} to {node}")
        self.assertIn(" 0% packet loss", self.exec(node, "ping", "-c", str(n), "-i", "0.2", to))

    def exec_any(self, node, *argv):
        return subprocess.run([harness.LANYARD, "exec", f"{self.lab}/{node}", "--", *argv],
                              env=self.env, capture_output=True, text=True,
                              timeout=30 * PATIENCE).stdout

    def vf(self, index, pf="eth0"):
        """What the PF says of it."""
        said = subprocess.run(["ip", "-j", "link", "show", pf], check=True, capture_output=True,
                              text=True).stdout
        return next(v for v in json.loads(said)[0]["vfinfo_list"] if v["vf"] == index)

    def address(self, index):
        return os.path.basename(os.readlink(f"/sys/bus/pci/devices/{PF}/virtfn{index}"))


class Pair(VfLab):
    @harness.measures("vf-pair")
    def test_pair(self):
        def change(topology):
            topology["nodes"]["b"]["nics"][0]["trust"] = True
        path = self.topology("vf-pair", change)
        plan = self.lanyard("plan", path).stdout
        self.assertIn("PF pf0, 0000:01:00.0, 4 VFs", plan)
        self.assertIn("driver vfio-pci", plan)
        self.assertNotIn("would fail", plan)
        self.up(path)
        self.assertEqual("4", pci(PF, "sriov_numvfs"))
        self.assertEqual(["vfio-pci"] * 2, [driver(self.address(i)) for i in (0, 1)])
        # The guests drive them by the kernel's own driver, found by the device's ids.
        for node, index in (("a", 0), ("b", 1)):
            mac = self.exec(node, "sh", "-c", "cat /sys/class/net/eth0/address").strip()
            self.assertEqual(self.vf(index)["address"], mac)
            self.assertTrue(self.exec(node, "readlink", "/sys/class/net/eth0/device/driver")
                            .strip().endswith("/igbvf"))
        self.pings("a", "10.9.0.2")
        self.assertGreater(self.iperf("a", "b", "10.9.0.2"), 1e6)
        # The PF itself, which stays with the kernel here.
        subprocess.run(["ip", "addr", "add", "10.9.0.254/24", "dev", "eth0"], check=True)
        self.addCleanup(subprocess.run, ["ip", "addr", "flush", "dev", "eth0"])
        self.pings("b", "10.9.0.254")
        self.check_status()
        subprocess.run(["ip", "addr", "flush", "dev", "eth0"], check=True)
        self.check_repair(path)
        self.check_change(path)
        self.down()
        self.lanyard("down", "vf-pair")
        self.assertEqual(self.before, host())

    def check_status(self):
        status = self.status()
        pf = status["pfs"][0]
        self.assertEqual(("pf0", PF, 4), (pf["name"], pf["address"], pf["num_vfs"]))
        self.assertEqual([("a.0", self.address(0)), ("b.0", self.address(1))],
                         [(v["user"], v["address"]) for v in pf["vfs"] if v["user"]])
        nic = self.node("b")["nics"][0]
        self.assertEqual({"pf": "pf0", "index": 1}, nic["vf"])
        text = self.lanyard("status", "vf-pair").stdout
        self.assertRegex(text, r"pf0 +1 +b\.0 +" + self.address(1))

    def check_repair(self, path):
        """A VMM that was killed: the VF is as it was, and `up` gives it to a new one."""
        other = self.node("b")["pid"]
        os.kill(self.node("a")["pid"], signal.SIGKILL)
        wait_until(lambda: self.status()["state"] == "degraded", 10, "the loss")
        # ... and somebody changed a VF meanwhile.
        subprocess.run(["ip", "link", "set", "eth0", "vf", "1", "trust", "off"], check=True)
        said = self.up(path).stderr
        self.assertIn("PF pf0 is not as it was left", said)
        self.assertEqual(other, self.node("b")["pid"])
        self.pings("a", "10.9.0.2")

    def check_change(self, path):
        """What can change while guests run does; what can't is said, and changes nothing."""
        pids = [self.node(n)["pid"] for n in "ab"]
        with open(path) as f:
            topology = json.load(f)
        for node in "ab":
            topology["nodes"][node]["nics"][0].update(vlan=5, max_rate="200Mbps")
        self.write(path, topology)
        said = self.up(path).stderr
        self.assertIn("changed PF pf0", said)
        for index in (0, 1):
            vf = self.vf(index)
            self.assertEqual((5, 200), (vf["vlan_list"][0]["vlan"], vf["rate"]["max_tx"]))
        self.assertEqual(pids, [self.node(n)["pid"] for n in "ab"])
        self.pings("a", "10.9.0.2")
        topology["pfs"]["pf0"]["num_vfs"] = 7
        self.write(path, topology)
        refused = self.lanyard("up", path, status=2).stderr
        self.assertIn("the number of VFs of PF pf0 (\"num_vfs\", from 4 to 7) can't change while the "
                      "lab runs", refused)
        self.assertEqual("4", pci(PF, "sriov_numvfs"))

    @staticmethod
    def write(path, topology):
        with open(path, "w") as f:
            json.dump(topology, f)

    def test_rolled_back(self):
        """A VM that does not start: the PF is as it was."""
        def change(topology):
            topology["nodes"]["b"] = {"kind": "vm", "guest": "./broken.img",
                                      "nics": topology["nodes"]["b"]["nics"]}
            del topology["nodes"]["b"]["nics"][0]["addresses"]
        with open(self.path("broken.img"), "wb") as f:
            f.write(bytes(0x202) + b"HdrS" + bytes(4096))
        path = self.topology("vf-pair", lambda t: None)
        with open(path) as f:
            topology = json.load(f)
        change(topology)
        self.write(path, topology)
        failed = self.lanyard("up", path, status=None, timeout_s=60 * PATIENCE)
        self.assertNotEqual(0, failed.returncode)
        self.assertIn("VM b", failed.stderr)
        self.assertIn("PF pf0 put back as it was", failed.stderr)
        self.assertEqual(self.before, host())
        self.assertEqual([], os.listdir(self.labs))


class Uplink(VfLab):
    def up_by_a_vf(self):
        """A guest on the switch, whose uplink is a VF that has the guest's MAC, and one with another
        VF of the same PF. igb gives the switch its own broadcasts back there."""
        def change(topology):
            del topology["pfs"]["pf1"]
            topology["pfs"]["pf0"]["num_vfs"] = 2
            topology["ports"]["up0"] = {"network": "lan", "vf": "pf0", "mac": "02:00:00:00:09:01"}
        self.up(self.topology("vnic-and-vf", change))
        self.pings("vnic", "10.9.0.2")

    def test_by_a_vf(self):
        self.up_by_a_vf()
        port = next(p for p in rpc_once(f"{self.labs}/{self.lab}/switch.sock", "stats")["ports"]
                    if p["name"] == "up0")
        print(f"figure: rig: frames that a VF got back from itself: {port['drops']['rx_reflected']}")
        self.assertGreater(port["drops"]["rx_reflected"], 0)
        self.assertEqual(0, port["drops"]["rx_same_port"])
        self.down()


    @harness.measures("vnic-and-vf")
    def test_by_a_pf(self):
        """As the topology has it: the uplink is all of the PF at the wire's other end. What goes from
        the guest on the switch to the one with a VF, and back, is measured as any path is."""
        def change(topology):
            topology["traffic"] = [{"name": "paced", "from": "vnic.0", "to": "vf.0", "both_ways": True,
                                    "rate": "200pps", "seconds": 1}]
        path = self.topology("vnic-and-vf", change)
        self.up(path)
        self.pings("vf", "10.9.0.1")
        self.lanyard("bench", path, "--json", self.path("bench.json"))
        with open(self.path("bench.json")) as f:
            [r] = json.load(f)["trials"][0]["rounds"]
        print(f"figure: rig: vNIC and VF by a wire: {r['received']} of {r['sent']} received, lost at "
              f"{r['places']}, {r['switch']['drops']}")
        for flow in r["flows"]:
            self.assertGreater(flow["received"], 0)
        self.assertEqual(0, r["unexplained"], r)
        self.down()


if __name__ == "__main__":
    harness.main()
