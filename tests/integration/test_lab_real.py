# SPDX-License-Identifier: Apache-2.0
"""Labs of real guests on a real switch: up, down, status, and what is killed and repaired while
frames flow. What is left afterwards: nothing (harness.Case checks)."""
import glob
import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import (needs_kvm, slow, Case, LANYARD, PATIENCE, Rpc, TOPOLOGIES, VMM, huge_free, main, measures,  # noqa: E402
                     processes_with, rpc_once, wait_until)
from ringclient import RingClient  # noqa: E402


class RealCase(Case):
    def setUp(self):
        super().setUp()
        self.labs = self.path("labs")
        self.env["LANYARD_RUN"] = self.labs
        self.agents = {}
        self.addCleanup(self.expect_nothing)

    def expect_nothing(self):
        for rpc in self.agents.values():
            rpc.close()
        self.lanyard("down", "--all", status=None)
        self.assertEqual({}, processes_with(self.labs))
        self.assertEqual([], os.listdir(self.labs) if os.path.exists(self.labs) else [])

    def up(self, name):
        self.lab = name
        return self.lanyard("up", os.path.join(TOPOLOGIES, f"{name}.json"))

    def status(self):
        return json.loads(self.lanyard("status", self.lab, "-j").stdout)

    def node(self, name):
        return next(n for n in self.status()["nodes"] if n["name"] == name)

    def port(self, name):
        return next(p for p in self.status()["ports"] if p["name"] == name)

    def record(self):
        with open(os.path.join(self.labs, self.lab, "record.json")) as f:
            return json.load(f)

    def pid_of(self, kind, name=None):
        return next(s["process"]["pid"] for s in self.record()["steps"]
                    if s["kind"] == kind and s.get("name") == name)

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, f"the end of {pid}")

    def agent(self, node):
        if node not in self.agents:
            self.agents[node] = Rpc(os.path.join(self.labs, self.lab, f"{node}.agent"), 10)
        return self.agents[node]

    def start_traffic(self, pairs, rate_mfps=2_000_000):
        """Endless flows, one for each (from, to) of nodes' first NICs, 2,000 frames/s each."""
        macs = {p["name"]: p["mac"] for p in self.status()["ports"]}
        flows = {}
        for i, (a, b) in enumerate(pairs, 1):
            common = {"id": i, "nic": 0, "size": 128, "rate_mfps": rate_mfps, "frames": 0,
                      "duration_ms": 0, "l4_flows": 1}
            flows.setdefault(b, []).append(
                {**common, "role": "receive", "peer_mac": macs[f"{a}.0"]})
            flows.setdefault(a, []).append({**common, "role": "send", "peer_mac": macs[f"{b}.0"]})
        for node, mine in flows.items():
            self.agent(node).call("traffic_start", flows=mine, reset=True)

    def received(self, node):
        flows = self.agent(node).call("traffic_status", histogram=False)["flows"]
        return sum(f["frames"] for f in flows if f["role"] == "receive")

    def expect_growth(self, node, frames=500, timeout_s=20):
        """The node receives so many more frames."""
        before = self.received(node)
        wait_until(lambda: self.received(node) >= before + frames, timeout_s,
                   f"{frames} frames to {node} (it had {before})")


@needs_kvm
class Topologies(RealCase):
    def cycle(self, name, n_vms, n_ports):
        total = huge_free()[1]
        self.up(name)
        status = self.status()
        self.assertEqual("up", status["state"])
        self.assertEqual(["running"] * n_vms, [n["state"] for n in status["nodes"]])
        self.assertEqual(["up"] * n_ports, [p["state"] for p in status["ports"]])
        self.assertEqual(n_vms + 1, len(processes_with(self.labs)))
        nics = [nic for n in status["nodes"] for nic in n["nics"]]
        self.assertEqual([p["mac"] for p in status["ports"]], [nic["mac"] for nic in nics])
        self.assertEqual({("up", True)}, {(n["link"], n["connected"]) for n in nics})
        text = self.lanyard("status", name).stdout
        for part in ("NODE", "PORT", "WORKER", "running"):
            self.assertIn(part, text)
        self.assertIn("nothing to do", self.up(name).stdout)
        self.lanyard("down", name)
        self.assertEqual(total, huge_free()[1])
        self.expect_nothing()
        if not os.environ.get("LANYARD_TEST_SHARED_HOST"):
            self.assertFalse(os.path.exists("/var/run/dpdk/rte"))
        self.assertIn("nothing to do", self.lanyard("down", name).stdout)

    @slow
    @measures("office")
    def test_office(self):
        """VLANs, a policed port, one that is mirrored to nobody yet: what is asked for is done,
        nothing else is lost, and who is silent is not in trouble."""
        self.up("office")
        wait_until(lambda: self.node("desk")["uptime_s"] >= 5, 20, "some ticks of the switch")
        self.assertEqual({None}, {p["reason"] for p in self.status()["ports"]})
        self.lanyard("bench", "office", "--json", self.path("office.json"), status=None)
        with open(self.path("office.json")) as f:
            trials = json.load(f)["trials"]
        by_name = {}
        for t in trials:
            by_name.setdefault(t["name"], []).append(t)
        policed, = by_name["policed"][0]["rounds"]
        self.assertEqual({"rx_policed": policed["lost"]}, policed["switch"]["drops"])
        # 100 Mbit/s of frames without FCS, and a burst of 64 KiB.
        most = (100e6 * policed["flows"][0]["send_s"] / 8 + 65536) / 1514
        self.assertLessEqual(policed["received"], most * 1.02)
        for t in by_name["desk to gateway"]:
            self.assertEqual({}, t["rounds"][0]["switch"]["drops"])
        self.lanyard("down", "office")

    def test_pair(self):
        self.cycle("pair", 2, 2)

    def test_loop(self):
        self.cycle("loop", 1, 2)

    def test_star(self):
        self.cycle("star", 4, 6)

    def test_two_labs(self):
        self.up("pair")
        self.up("loop")
        if os.geteuid() == 0:  # each VM is a user of its own, and none of the host's
            users = [rpc_once(path, "info")["sandbox"]["uid"]
                     for path in glob.glob(f"{self.labs}/*/[ab].sock")]
            self.assertEqual((3, 3), (len(users), len(set(users))), users)
            self.assertGreater(min(users), 65536)
        labs = json.loads(self.lanyard("status", "-j").stdout)["labs"]
        self.assertEqual([("loop", "up"), ("pair", "up")], [(x["lab"], x["state"]) for x in labs])
        self.lanyard("down", "pair")
        self.assertEqual("up", self.status()["state"])
        self.lanyard("down", "loop")

    def test_console_and_logs(self):
        self.up("pair")
        self.assertIn("probe", self.lanyard("logs", "pair/a.console").stdout)
        self.assertIn("nic 0: link up", self.lanyard("logs", "pair/a").stdout)
        self.lanyard("console", "pair/a", stdin="")


@needs_kvm
class Killed(RealCase):
    def test_switch_under_traffic(self):
        """Both guests resume, without a restart of theirs."""
        self.up("pair")
        vms = [self.pid_of("vm", name) for name in "ab"]
        self.start_traffic([("a", "b"), ("b", "a")])
        self.expect_growth("a")
        self.expect_growth("b")
        self.kill(self.pid_of("switch"))
        status = self.status()
        self.assertEqual(("degraded", "died"), (status["state"], status["switch"]["state"]))
        wait_until(lambda: self.node("a")["nics"][0]["link"] == "down", 10, "a's link to go down")
        self.up("pair")
        self.expect_growth("a")
        self.expect_growth("b")
        status = self.status()
        self.assertEqual("up", status["state"])
        self.assertEqual([0, 0], [n["resets"] for n in status["nodes"]])
        self.assertEqual(vms, [n["pid"] for n in status["nodes"]])
        self.assertTrue(all(n["nics"][0]["reconnects"] >= 1 for n in status["nodes"]))
        self.lanyard("down", "pair")

    @slow
    def test_vmm_under_traffic(self):
        """The others go on, the switch frees the port, and the VM can be had again."""
        self.up("star")
        self.start_traffic([("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")])
        for node in "abcd":
            self.expect_growth(node)
        self.agents.pop("b").close()
        self.kill(self.pid_of("vm", "b"))
        wait_until(lambda: self.port("b.0")["state"] == "waiting", 10, "the port to be free")
        self.expect_growth("c")
        self.expect_growth("d")
        status = self.status()
        self.assertEqual(["running", "died", "running", "running"],
                         [n["state"] for n in status["nodes"]])
        self.assertIn("killed, or crashed", status["nodes"][1]["reason"])
        self.assertIn("VM b is gone; lanyard up ", self.lanyard("status", "star").stdout)
        self.up("star")
        self.assertEqual("up", self.port("b.0")["state"])
        self.start_traffic([("a", "b"), ("b", "a")])
        self.expect_growth("a")
        self.expect_growth("b")
        self.lanyard("down", "star")

    @slow
    def test_all_then_down(self):
        """Nothing answers any more: down cleans up what the record tells."""
        self.up("pair")
        for pid in list(processes_with(self.labs)):
            self.kill(pid)
        self.assertIn("degraded", self.lanyard("status").stdout)
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_switch_dies_during_up(self):
        """A VMM that kills the switch before it starts: noticed at once, all undone."""
        killer = self.path("lanyard-vmm")
        with open(killer, "w") as f:
            f.write(f"""#!/usr/bin/env python3
import json, os, signal, sys
record = os.path.join(os.path.dirname(sys.argv[sys.argv.index("--control") + 1]), "record.json")
with open(record) as f:
    steps = json.load(f)["steps"]
os.kill(next(s for s in steps if s["kind"] == "switch")["process"]["pid"], signal.SIGKILL)
os.execv("{VMM}", sys.argv)
""")
        os.chmod(killer, 0o755)
        self.env["LANYARD_VMM"] = killer
        up = self.lanyard("up", os.path.join(TOPOLOGIES, "pair.json"), status=1, timeout_s=15)
        self.assertIn("the switch was killed by SIGKILL; its log ends with: ", up.stderr)
        self.assertIn("undo", up.stderr)
        self.expect_nothing()

    def test_guest_ends_itself(self):
        self.up("pair")
        pid = self.pid_of("vm", "a")
        self.agent("a").call("shutdown")
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the VMM's end")
        node = self.node("a")
        self.assertEqual(("ended", "the guest powered itself off"), (node["state"], node["reason"]))
        self.lanyard("down", "pair")


@needs_kvm
class Disabled(RealCase):
    def test_malformed_ring(self):
        """A client that writes nonsense: its port is disabled, `status` says why; a VM goes on."""
        self.lab = "mixed"
        path = self.path("mixed.json")
        with open(path, "w") as f:
            json.dump({"version": 1, "lab": "mixed", "networks": {"lan": {}}, "nodes": {
                "a": {"kind": "vm", "memory": "64M", "nics": [{"network": "lan"}]},
                "x": {"kind": "external", "nics": [{"network": "lan"}]}}}, f)
        self.lanyard("up", path)
        port = self.port("x.0")
        self.assertEqual((True, "waiting"), (port["external"], port["state"]))
        with RingClient(port["socket"], env=self.env) as client:
            self.assertEqual("up", self.port("x.0")["state"])
            client.do("attack loop")
            port = wait_until(lambda: next((p for p in self.status()["ports"]
                                            if p["state"] == "disabled"), None), 5, "x.0's end")
            self.assertEqual("x.0", port["name"])
            text = self.lanyard("status", "mixed").stdout
            self.assertIn(f"port x.0 is disabled: {port['reason']}", text)
            self.assertIn("loop", port["reason"])
            self.assertEqual("up", self.port("a.0")["state"])
        self.lanyard("down", "mixed")


class Host(RealCase):
    def in_namespace(self, prepare, *args):
        """lanyard in a mount namespace of its own, after shell commands that spoil it."""
        return subprocess.run(["unshare", "-m", "sh", "-c", f'{prepare} && exec "$0" "$@"',
                               LANYARD, *args],
                              env=self.env, timeout=60 * PATIENCE, capture_output=True, text=True)

    @needs_kvm
    def test_socket_taken(self):
        """Somebody else's socket, or a file, where one of ours is to be: said, and left alone."""
        folder = os.path.join(self.labs, "pair")
        for name, in_use in (("switch.sock", True), ("a.0.vhost", True), ("b.agent", True),
                             ("switch.sock", False), ("b.0.vhost", False), ("a.sock", False)):
            os.makedirs(folder)
            path = os.path.join(folder, name)
            with socket.socket(socket.AF_UNIX) as other:
                if in_use:
                    other.bind(path)
                    other.listen()
                else:
                    with open(path, "w") as f:
                        f.write("mine")
                up = self.lanyard("up", os.path.join(TOPOLOGIES, "pair.json"), status=2)
                self.assertIn(f"{path} is taken: ", up.stderr)
                self.assertIn(f"warning: {path} is not ours: left there", up.stderr)
                self.assertEqual([name], os.listdir(folder))
            os.unlink(path)
            os.rmdir(folder)

    def test_no_kvm(self):
        done = self.in_namespace("mount -t tmpfs none /dev && touch /dev/null", "up",
                                 os.path.join(TOPOLOGIES, "pair.json"))
        self.assertEqual(3, done.returncode, done.stderr)
        self.assertIn("there is no KVM here (/dev/kvm: No such file or directory)", done.stderr)
        self.assertIn("modprobe", done.stderr)

    @needs_kvm
    def test_no_hugepages(self):
        """It works without, and warns."""
        with open(os.path.join(TOPOLOGIES, "pair.json")) as f:
            topology = json.load(f)
        topology["nodes"]["b"]["memory"] = f"{(huge_free()[1] + 16) * 2}M"
        self.lab = "pair"
        path = self.path("big.json")
        with open(path, "w") as f:
            json.dump(topology, f)
        done = self.in_namespace("mount -o remount,bind,ro /sys", "up", path)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(done.stderr, r"warning: \d+ of \d+ hugepages of 2 MiB are free and more "
                         r"can't be reserved \(Read-only file system\)")
        status = self.status()
        self.assertFalse(status["nodes"][1]["huge"])
        self.assertIn("hugepages", " ".join(status["warnings"]))
        self.assertIn("no hugepages", self.lanyard("status", "pair").stdout)
        self.start_traffic([("a", "b"), ("b", "a")])
        self.expect_growth("b")
        self.lanyard("down", "pair")


if __name__ == "__main__":
    main()
