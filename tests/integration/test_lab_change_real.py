# SPDX-License-Identifier: Apache-2.0
"""Changes to a lab of real guests on a real switch while frames flow: who isn't meant notices
nothing, and what is changed holds."""
import copy
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import needs_kvm, TOPOLOGIES, huge_free, main, measures, slow, wait_until  # noqa: E402
from test_lab_real import RealCase  # noqa: E402

VM = {"kind": "vm", "guest": "probe", "memory": "32M", "nics": [{"network": "lan"}]}
PAIR = {"version": 1, "lab": "moving", "networks": {"lan": {}},
        "nodes": {"a": copy.deepcopy(VM), "b": copy.deepcopy(VM)}}


@needs_kvm
class Moving(RealCase):
    def setUp(self):
        super().setUp()
        self.lab = "moving"
        self.file = copy.deepcopy(PAIR)

    def apply(self, status=0):
        path = self.path("moving.json")
        with open(path, "w") as f:
            json.dump(self.file, f)
        return self.lanyard("up", path, status=status)

    def nic(self, node):
        return self.file["nodes"][node]["nics"][0]

    def exchange(self):
        """1,000 frames a second each way; who receives does so before anything is sent."""
        macs = {p["name"][0]: p["mac"] for p in self.status()["ports"]}
        for role, own in (("receive", {"a": 2, "b": 1}), ("send", {"a": 1, "b": 2})):
            for node, peer in (("a", "b"), ("b", "a")):
                self.agent(node).call("traffic_start", reset=role == "receive", flows=[
                    {"id": own[node], "role": role, "nic": 0, "peer_mac": macs[peer], "size": 128,
                     "rate_mfps": 1_000_000, "frames": 0, "duration_ms": 0, "l4_flows": 1}])

    def flows(self, node):
        return self.agent(node).call("traffic_status", histogram=False)["flows"]

    def expect_not_restarted(self, before):
        now = {n["name"]: n for n in self.status()["nodes"]}
        for name, old in before.items():
            self.assertEqual(old["pid"], now[name]["pid"])
            self.assertEqual(0, now[name]["resets"])
            self.assertGreater(now[name]["uptime_s"], old["uptime_s"])
            self.assertEqual(old["nics"][0]["reconnects"], now[name]["nics"][0]["reconnects"])

    def nodes(self):
        return {n["name"]: n for n in self.status()["nodes"]}

    def test_vlans(self):
        """Apart, together and back again, with no restart and no reconnection."""
        self.apply()
        before = self.nodes()
        self.start_traffic([("a", "b")], rate_mfps=1_000_000)
        self.expect_growth("b", 100)
        self.nic("a")["vlan"] = 10
        done = self.apply()
        self.assertIn("changed port a.0: VLAN 10 (was: plain)", done.stderr)
        time.sleep(0.3)  # what was on its way
        got = self.received("b")
        time.sleep(0.5)
        self.assertEqual(got, self.received("b"))
        self.assertEqual({"vlan": {"access": 10}}, self.port("a.0")["policy"])
        self.nic("b")["vlan"] = {"trunk": [10, "20-30"], "native": 10}
        self.apply()
        self.expect_growth("b", 100)
        self.file = copy.deepcopy(PAIR)
        self.apply()
        self.expect_growth("b", 100)
        self.expect_not_restarted(before)
        self.assertEqual({}, self.port("b.0")["policy"])
        self.lanyard("down", self.lab)

    @slow
    def test_every_policy_is_taken(self):
        """As the topology has them, at the start and by a change; the switch says them back."""
        policies = [
            {"vlan": 7}, {"vlan": {"trunk": [7, "20-22"]}}, {"isolated": True}, {"admin": "down"},
            {"mac_limit": 3}, {"static": ["02:00:00:00:00:99"]}, {"anti_spoof": True},
            {"anti_spoof": {"ipv4": ["10.0.0.1"], "ipv6": ["fe80::1"], "router": True}},
            {"storm": {"broadcast": "1kpps", "multicast": "10pps", "unknown": "1Mpps"}},
            {"police": {"rate": "100Mbps", "burst": "64K"}}, {"police": {"rate": "8kbps"}},
            {"offloads": ["csum", "tso4"]}, {"offloads": False}, {"mirror": {"from": "b.0"}}]
        self.apply()
        record = os.path.join(self.labs, self.lab, "record.json")
        for policy in policies + [{}]:
            with self.subTest(policy=policy):
                self.file["nodes"]["a"]["nics"][0] = {"network": "lan", **policy}
                self.apply()
                with open(record) as f:
                    steps = {s["name"]: s for s in json.load(f)["steps"] if s["kind"] == "port"}
                for port in ("a.0", "b.0"):
                    self.assertEqual(steps[port].get("policy", {}), self.port(port)["policy"])
        self.lanyard("down", self.lab)
        self.file["nodes"]["a"]["nics"][0].update(policies[1], **policies[5], **policies[7])
        self.file["nodes"]["a"]["nics"][0]["static"] = [{"mac": "02:00:00:00:00:99", "vlan": 21}]
        self.apply()
        self.assertEqual(21, self.port("a.0")["policy"]["static"][0]["vlan"])
        self.lanyard("down", self.lab)

    def test_others_come_and_go(self):
        """A node and a network come and go while two others exchange paced frames: none is lost."""
        total = huge_free()[1]
        self.apply()
        before = self.nodes()
        self.exchange()
        for node in "ab":
            self.expect_growth(node, 100)
        for _ in range(2):
            self.file["nodes"]["c"] = copy.deepcopy(VM)
            self.file["nodes"]["c"]["nics"].append({"network": "dmz", "vlan": 4})
            self.file["nodes"]["p"] = {"kind": "process", "memory": "32M",
                                       "nics": [{"network": "lan", "isolated": True}]}
            self.file["networks"]["dmz"] = {}
            self.assertIn("added VM c", self.apply().stderr)
            self.assertEqual(["running"] * 4, [n["state"] for n in self.nodes().values()])
            self.assertEqual("up", self.nodes()["c"]["nics"][1]["link"])
            self.file = copy.deepcopy(PAIR)
            self.assertIn("removed VM c", self.apply().stderr)
            self.assertEqual(["a", "b"], sorted(self.nodes()))
            self.assertEqual(["a.0", "b.0"], [p["name"] for p in self.status()["ports"]])
        self.expect_not_restarted(before)
        for node in "ab":
            self.agent(node).call("traffic_stop")
        time.sleep(0.5)
        sent = {f["id"]: f["frames"] for n in "ab" for f in self.flows(n) if f["role"] == "send"}
        got = {f["id"]: f for n in "ab" for f in self.flows(n) if f["role"] == "receive"}
        drops = [{k: v for k, v in p["drops"].items() if v} for p in self.status()["ports"]]
        for flow, frames in sent.items():
            self.assertGreater(frames, 100)
            self.assertEqual((frames, 0, 0), (got[flow]["frames"], got[flow]["lost"],
                                              got[flow]["duplicated"]), drops)
        self.lanyard("down", self.lab)
        if not os.environ.get("LANYARD_TEST_SHARED_HOST"):
            self.assertEqual(total, huge_free()[1])

    @slow
    def test_refused_by_the_switch(self):
        """What the topology's own check can't know: the lab stays as it was."""
        self.apply()
        before = self.nodes()
        self.file["nodes"]["c"] = copy.deepcopy(VM)
        self.file["ports"] = {"up": {"network": "lan", "pci": "ffff:1f:1f.7"}}
        done = self.apply(status=None)
        self.assertNotEqual(0, done.returncode)
        self.assertIn("ffff:1f:1f.7", done.stderr)
        self.assertIn("lab moving is as it was", done.stderr)
        self.assertEqual(["a", "b"], sorted(self.nodes()))
        self.expect_not_restarted(before)
        self.lanyard("down", self.lab)

    def test_tap(self):
        """A way to the host comes and goes with the file."""
        self.apply()
        name = f"lyt{os.getpid() % 100000}"
        self.file["ports"] = {"up": {"network": "lan", "tap": name, "vlan": 5}}
        self.assertIn(f"added port up on lan, tap {name}, VLAN 5", self.apply().stderr)
        self.assertTrue(os.path.exists(f"/sys/class/net/{name}"))
        port = self.port("up")
        self.assertEqual(("tap", name, {"vlan": {"access": 5}}),
                         (port["kind"], port["device"], port["policy"]))
        self.assertIn(f"tap {name}, VLAN 5", self.lanyard("status", self.lab).stdout)
        del self.file["ports"]
        self.apply()
        wait_until(lambda: not os.path.exists(f"/sys/class/net/{name}"), 10, "the tap to go")
        self.lanyard("down", self.lab)


@needs_kvm
class Apart(RealCase):
    @measures("vlans")
    def test_vlans(self):
        """topologies/vlans.json: what is of one VLAN arrives, tag or not; what is kept apart doesn't,
        and that is neither a fault nor left unexplained."""
        path = self.path("result.json")
        self.lanyard("bench", os.path.join(TOPOLOGIES, "vlans.json"), "--seconds", "1", "--json",
                     path, timeout_s=120)
        with open(path) as f:
            rounds = {t["name"]: t["rounds"][0] for t in json.load(f)["trials"]}
        self.assertGreater(rounds["one VLAN"]["received"], 1000)
        self.assertEqual((0, 0), tuple(rounds["one VLAN"][k] for k in ("lost", "apart")))
        apart = rounds["kept apart"]
        self.assertGreater(apart["sent"], 1000)
        self.assertEqual((0, apart["sent"], 0),
                         tuple(apart[k] for k in ("received", "apart", "unexplained")))


if __name__ == "__main__":
    main()
