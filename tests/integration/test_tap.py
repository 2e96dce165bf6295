#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NICs whose back end is the host's kernel: vhost-net and a tap."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Rpc, wait_until
from linuxlab import LinuxLab

BRIDGE = "lntestbr"
TAPS = {"a": "lntesta", "b": "lntestb"}


def ip(*argv):
    subprocess.run(["ip", *argv], check=True)


def links():
    """What `ip link` shows, by name."""
    said = subprocess.run(["ip", "-j", "-d", "link"], check=True, capture_output=True, text=True)
    return {link["ifname"]: link for link in json.loads(said.stdout)}


@harness.needs_kvm
class Vmm(harness.Case):
    """Two probes, a tap each, a bridge made by hand."""

    def setUp(self):
        super().setUp()
        subprocess.run(["modprobe", "-a", "vhost_net", "tun", "bridge"], check=True)
        ip("link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
        self.addCleanup(subprocess.run, ["ip", "link", "del", BRIDGE])
        ip("link", "set", BRIDGE, "up")

    def mac(self, node):
        return f"02:00:00:00:00:0{'ab'.index(node) + 1}"

    def tap(self, node, *options):
        name = TAPS[node]
        ip("tuntap", "add", name, "mode", "tap", "vnet_hdr", *options)
        self.addCleanup(subprocess.run, ["ip", "link", "del", name], stderr=subprocess.DEVNULL)
        ip("link", "set", name, "master", BRIDGE, "up")

    def probe(self, node, *more, hz):
        return self.vmm(node, "--nic", f"tap={TAPS[node]},mac={self.mac(node)}", "--user", "own",
                        *more, cmdline=f"tsc_hz={hz} node={node}")

    def agent(self, node):
        rpc = Rpc(self.path(f"{node}.agent"), timeout_s=20)
        self.addCleanup(rpc.close)
        wait_until(lambda: rpc.call("hello")["nics"][0]["link"], 20, f"the link of {node}")
        return rpc

    def refused(self, text, *nic, status=3):
        said = subprocess.run(
            [harness.VMM, "--name", "x", "--control", self.path("x.sock"), "--kernel",
             harness.PROBE, "--memory", "64M", "--nic", *nic], capture_output=True, text=True,
            env=self.env, timeout=60)
        self.assertEqual(status, said.returncode, said.stderr)
        self.assertIn(text, said.stderr)

    def test_frames_pass(self):
        self.refused("there is no tap lntesta: make it (ip tuntap add lntesta mode tap vnet_hdr), and",
                     f"tap={TAPS['a']},mac=02:00:00:00:00:01")
        self.refused("lntestbr is an interface of the host's, but no tap",
                     f"tap={BRIDGE},mac=02:00:00:00:00:01", status=2)
        self.tap("a")
        self.tap("b")
        self.refused("tap lntesta does not take 2 queue pairs: it was made without multi_queue",
                     f"tap={TAPS['a']},mac=02:00:00:00:00:01,queues=2")
        vmms = {n: self.probe(n, hz=1_000_000_000) for n in "ab"}
        self.refused("tap lntesta is in use", f"tap={TAPS['a']},mac=02:00:00:00:00:01")
        agents = {n: self.agent(n) for n in "ab"}
        agents["b"].call("traffic_start", reset=True, flows=[
            {"id": 1, "role": "receive", "nic": 0, "peer_mac": self.mac("a")}])
        agents["a"].call("traffic_start", reset=True, flows=[
            {"id": 1, "role": "send", "nic": 0, "peer_mac": self.mac("b"), "size": 512,
             "rate_mfps": 200_000, "frames": 300}])
        got = {}

        def arrived():
            got.update(agents["b"].call("traffic_status")["flows"][0])
            return got["frames"] >= 300

        wait_until(arrived, 20, "the frames")
        self.assertEqual((300, 0, 0), (got["frames"], got["lost"], got["corrupt"]))
        nic = vmms["a"].call("info")["nics"][0]
        self.assertEqual(("lntesta", True, "up"), (nic["tap"], nic["connected"], nic["link"]))
        self.assertNotIn("socket", nic)
        # A guest that starts anew takes its rings back, and goes on.
        vmms["a"].call("reset")
        agents["a"].close()
        agents["a"] = self.agent("a")
        agents["b"].call("traffic_start", reset=True, flows=[
            {"id": 2, "role": "receive", "nic": 0, "peer_mac": self.mac("a")}])
        agents["a"].call("traffic_start", reset=True, flows=[
            {"id": 2, "role": "send", "nic": 0, "peer_mac": self.mac("b"), "size": 64,
             "rate_mfps": 200_000, "frames": 100}])
        wait_until(lambda: agents["b"].call("traffic_status")["flows"][0]["frames"] == 100, 20,
                   "the frames after the reset")
        # A tap that somebody deletes is seen: the link goes down, the guest runs on.
        ip("link", "del", TAPS["a"])
        wait_until(lambda: not agents["a"].call("hello")["nics"][0]["link"], 20, "the loss")
        nic = vmms["a"].call("info")["nics"][0]
        self.assertFalse(nic["connected"])
        self.assertIn("tap lntesta was deleted: the link stays down", nic["waiting"])


@harness.needs_kvm
class Lab(LinuxLab):
    """topologies/tap-pair.json, as users have it."""

    def setUp(self):
        super().setUp()
        subprocess.run(["modprobe", "-a", "vhost_net", "tun", "bridge"], check=True)
        self.before = set(links())

    def check_bench(self):
        """The engine in Linux guests, on packet sockets; nobody but the kernel is in between."""
        self.lanyard("bench", "tap-pair", "--json", self.path("bench.json"), timeout_s=60)
        with open(self.path("bench.json")) as f:
            doc = json.load(f)
        self.assertIsNone(doc["switch"])
        self.assertEqual(2, len(doc["trials"]))
        for trial in doc["trials"]:
            r = trial["rounds"][0]
            self.assertEqual(2, len(r["flows"]))
            for flow in r["flows"]:
                # A machine this slow may be late with some of the 400, and lose a few; where is
                # known.
                self.assertGreaterEqual(flow["sent"], 200)
                self.assertEqual(0, flow["corrupt"])
                self.assertLess(flow["sent"] - flow["received"], flow["sent"] / 4)
                self.assertGreater(flow["latency_us"]["p50"], 0)
            self.assertEqual((r["lost"], 0), (sum(r["places"].values()), r["unexplained"]))
            self.assertGreater(r["cost"]["vhost_s"], 0)

    @harness.measures("tap-pair")
    def test_pair(self):
        def change(topology):
            topology["traffic"] = [{"name": "paced", "from": "a.0", "to": "b.0", "both_ways": True,
                                    "frame": [64, 1518], "rate": "200pps", "seconds": 2}]
        path = self.topology("tap-pair", change)
        # An interface that is somebody else's is left alone, and said before anything is made.
        ip("link", "add", "tap-pair-lan", "type", "bridge")
        said = self.lanyard("up", path, status=3).stderr
        self.assertIn("network lan needs an interface named tap-pair-lan, and this host has one", said)
        ip("link", "del", "tap-pair-lan")
        self.up(path)
        seen = links()
        bridge = seen["tap-pair-lan"]
        self.assertEqual("lanyard tap-pair", bridge["ifalias"])
        for node in "ab":
            tap = seen[f"tap-pair-{node}.0"]
            self.assertEqual(("tap-pair-lan", "lanyard tap-pair"), (tap["master"], tap["ifalias"]))
            self.assertIn("LOWER_UP", tap["flags"])
        self.assertIn(" 0% packet loss", self.exec("a", "ping", "-c", "3", "-i", "0.2", "10.0.0.2"))
        # The offloads work: frames of 64 KiB pass from guest to guest as they are.
        self.assertGreater(self.iperf("a", "b", "10.0.0.2"), 1e6)
        nic = self.node("a")["nics"][0]
        self.assertEqual(("a.0", "lan", "tap-pair-a.0", "up"),
                         (nic["port"], nic["network"], nic["tap"], nic["link"]))
        self.assertIn("TSO4", " ".join(nic["features"]))
        text = self.lanyard("status", "tap-pair").stdout
        self.assertIn("tap-pair-a.0", text)
        self.check_bench()
        # A tap that somebody deleted: its VM starts anew with another, the other one goes on.
        other = self.node("b")["pid"]
        ip("link", "del", "tap-pair-a.0")
        wait_until(lambda: self.status()["state"] == "degraded", 20, "the loss")
        said = self.up(path).stderr
        self.assertIn("tap a.0 (tap-pair-a.0) is not as it was left", said)
        self.assertEqual(other, self.node("b")["pid"])
        # ... and one that was taken out of the bridge is put back under the guest's feet.
        ip("link", "set", "tap-pair-b.0", "nomaster")
        self.up(path)
        self.assertEqual(other, self.node("b")["pid"])
        self.assertIn(" 0% packet loss", self.exec("b", "ping", "-c", "3", "-i", "0.2", "10.0.0.1"))
        self.down()
        self.assertEqual(self.before, set(links()))
        self.lanyard("down", "tap-pair")


if __name__ == "__main__":
    harness.main()
