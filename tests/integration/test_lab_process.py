# SPDX-License-Identifier: Apache-2.0
"""Nodes of kind `process`: lanyard-traffic's agent at a switch of ours, alone and in a lab with VMs,
measured by the same `bench`, killed and repaired as a VM is."""
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import (needs_kvm, BUILD, Rpc, RpcError, TOPOLOGIES, Case, main, measures, slow,  # noqa: E402
                     wait_until)
from test_lab_real import RealCase  # noqa: E402

TRAFFIC = os.path.join(BUILD, "traffic", "lanyard-traffic")
FILE = os.path.join(TOPOLOGIES, "process-pair.json")


class Lab(RealCase):
    """Rates are low, since the process and the VM may share a CPU."""

    def write(self, **more):
        with open(FILE) as f:
            topology = json.load(f)
        topology["traffic"][0].update(rate="1kpps", seconds=2)
        del topology["traffic"][1]
        topology.update(more)
        path = self.path("process-pair.json")
        with open(path, "w") as f:
            json.dump(topology, f)
        self.lab = "process-pair"
        return path

    def bench(self):
        path = self.path("result.json")
        self.lanyard("bench", self.lab, "--json", path, timeout_s=120)
        with open(path) as f:
            return json.load(f)

    @needs_kvm
    @measures("process-pair")
    def test_bench_against_a_vm(self):
        """Paced both ways, at two sizes, with none lost; up, status, bench, down as ever."""
        self.lanyard("up", self.write())
        p = self.node("p")
        self.assertEqual(("process", "running"), (p["kind"], p["state"]))
        self.assertEqual("up", p["nics"][0]["link"])
        self.assertIn("process", self.lanyard("status", self.lab).stdout)
        self.assertIn("ready: 1 port", self.lanyard("logs", f"{self.lab}/p").stdout)
        self.assertIn("there is no console at the process",
                      self.lanyard("console", f"{self.lab}/p", status=2).stderr)
        result = self.bench()
        text = json.dumps(result)
        self.assertIn('"guest": "process"', text)
        down = self.lanyard("down", self.lab)
        self.assertNotIn("did not end when asked", down.stderr)

    @measures("processes")
    def test_two_of_them(self):
        """topologies/processes.json, which ./demo shows where no VM can run."""
        self.lab = "processes"
        path = self.path("result.json")
        self.lanyard("bench", os.path.join(TOPOLOGIES, "processes.json"), "--seconds", "1",
                     "--json", path, timeout_s=120)
        with open(path) as f:
            result = json.load(f)
        self.assertTrue(result["complete"])
        self.assertEqual(0, result["missed"])

    def test_packed_ring(self):
        nodes = {name: {"kind": "process", "memory": "32M", "nics": [
            {"network": "lan", "ring": ring, "mergeable": mergeable}]}
            for name, ring, mergeable in (("p", "packed", True), ("v", "split", False))}
        self.lanyard("up", self.write(nodes=nodes))
        features = {port["name"]: port["features"] for port in self.status()["ports"]}
        self.assertIn("RING_PACKED", features["p.0"])
        self.assertNotIn("RING_PACKED", features["v.0"])
        self.assertIn("MRG_RXBUF", features["p.0"])
        self.assertNotIn("MRG_RXBUF", features["v.0"])
        self.bench()
        # A trial's frames have ids of their own: late ones of the trial before are not taken for its.
        flows = self.agent("p").call("traffic_status")["flows"]
        self.assertGreater(min(flow["id"] for flow in flows), 17, flows)

    @slow
    @needs_kvm
    def test_killed_and_repaired(self):
        self.lanyard("up", self.write())
        vm = self.pid_of("vm", "v")
        self.kill(self.pid_of("process", "p"))
        self.assertEqual("degraded", self.status()["state"])
        self.assertIn("process p is gone", self.lanyard("status", self.lab).stdout)
        done = self.lanyard("up", self.write())
        self.assertIn("process p died; starting it again", done.stderr)
        self.assertEqual(vm, self.pid_of("vm", "v"))
        self.bench()
        # Its connections die with the switch: so does it, and says why; both come back.
        self.kill(self.pid_of("switch"))
        wait_until(lambda: self.node("p")["state"] == "ended", 20, "the end of p")
        self.assertIn("the switch closed the connection of NIC 0", self.node("p")["reason"])
        self.lanyard("up", self.write())
        self.assertEqual(vm, self.pid_of("vm", "v"))
        self.bench()

    @slow
    @needs_kvm
    def test_moves_to_another_network(self):
        """Its port is made anew, so it starts anew, alone."""
        self.lanyard("up", self.write(networks={"lan": {}, "dmz": {}}))
        vm = self.pid_of("vm", "v")
        with open(self.path("process-pair.json")) as f:
            topology = json.load(f)
        for node in topology["nodes"].values():
            node["nics"][0]["network"] = "dmz"
        with open(self.path("process-pair.json"), "w") as f:
            json.dump(topology, f)
        done = self.lanyard("up", self.path("process-pair.json"))
        self.assertIn("restarted process p", done.stderr)
        self.assertEqual(vm, self.pid_of("vm", "v"))
        self.assertEqual(0, self.node("v")["resets"])
        self.bench()


class Agent(Case):
    """The channel itself, as docs/control.md has it."""

    def setUp(self):
        super().setUp()
        rpc = self.switch().rpc
        rpc.call("network_add", name="n")
        for name in ("a", "b"):
            rpc.call("port_add", name=name, network="n", socket=self.path(f"{name}.vhost"))
        self.node = self.start([
            TRAFFIC, "--name", "p", "--control", self.path("p.sock"), "--agent",
            self.path("p.agent"), "--no-huge", "--port",
            f"{self.path('a.vhost')},mac=02:00:00:00:00:0a,mtu=1500", "--port",
            f"{self.path('b.vhost')},mac=02:00:00:00:00:0b,mtu=1500"])
        wait_until(lambda: os.path.exists(self.path("p.agent")), 20, "the agent's socket")

    def test_flows(self):
        agent = Rpc(self.path("p.agent"), 10)
        hello = agent.call("hello")
        self.assertEqual("process", hello["guest"])
        self.assertEqual(["02:00:00:00:00:0a", "02:00:00:00:00:0b"],
                         [n["mac"] for n in hello["nics"]])
        flow = {"id": 7, "size": 200, "rate_mfps": 1_000_000, "frames": 500, "duration_ms": 0,
                "l4_flows": 1}
        agent.call("traffic_start", reset=True, flows=[
            {**flow, "role": "receive", "nic": 1, "peer_mac": "02:00:00:00:00:0a"},
            {**flow, "role": "send", "nic": 0, "peer_mac": "02:00:00:00:00:0b"}])

        def received():
            flows = agent.call("traffic_status", histogram=False)["flows"]
            return next(f for f in flows if f["role"] == "receive")
        wait_until(lambda: received()["frames"] == 500, 20, "500 frames")
        self.assertEqual((0, 0, 0), tuple(received()[k] for k in ("lost", "duplicated", "corrupt")))
        with self.assertRaises(RpcError) as refused:
            agent.call("traffic_start", reset=True, flows=[{**flow, "role": "send", "nic": 2,
                                                            "peer_mac": "02:00:00:00:00:0b"}])
        self.assertIn("there is no such NIC", str(refused.exception))
        # Idle again: its thread sleeps most of the time.
        agent.call("traffic_stop")
        time.sleep(6)
        before = self.cpu_seconds()
        time.sleep(1)
        self.assertLess(self.cpu_seconds() - before, 0.5)
        agent.call("shutdown")
        agent.close()
        self.assertEqual(0, self.node.proc.wait(20))
        self.assertFalse(os.path.exists(self.path("p.agent")))

    def cpu_seconds(self):
        with open(f"/proc/{self.node.pid}/stat") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_clients(self):
        """One at a time; a line that is too long is told and forgotten; control goes on."""
        first = socket.socket(socket.AF_UNIX)
        first.connect(self.path("p.agent"))
        first.settimeout(20)
        first.sendall(b"x" * 9000 + b"\n")
        self.assertIn(b"longer than 8192 bytes", first.recv(4096))
        second = socket.socket(socket.AF_UNIX)
        second.connect(self.path("p.agent"))
        second.settimeout(20)
        self.assertIn(b"taken by another client", second.recv(4096))
        second.close()
        first.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "hel')
        first.sendall(b'lo"}\n')
        self.assertIn(b'"guest":"process"', first.recv(65536).replace(b": ", b":"))
        first.close()
        control = Rpc(self.path("p.sock"), 10)
        info = control.call("info")
        self.assertEqual(["up", "up"], [n["link"] for n in info["nics"]])
        again = Rpc(self.path("p.agent"), 10)
        self.assertEqual("process", again.call("hello")["guest"])
        again.close()
        control.call("stop")
        control.close()
        self.assertEqual(0, self.node.proc.wait(20))

    def test_bad_requests(self):
        port = ["--port", self.path("a.vhost")]
        node = ["--name", "p", "--control", self.path("q.sock"), "--agent", self.path("q.agent")]
        for args, said in (
                (node, "a node needs one --port SOCKET at least"),
                (node[:4] + port, "a node needs --agent, --control and --name"),
                (node + port + ["--server"], "a node connects to the switch: no --server"),
                (node + port + port, "two ports have one socket"),
                (node + [port[0], port[1] + ",mtu=9217"], "expected 68 to 9216"),
                (node + [port[0], port[1] + ",ring=round"],
                 "expected mac=MAC, mtu=N, ring=split|packed or mergeable=on|off"),
                (node + ["--port", self.path("nobody.vhost"), "--no-huge"], "nobody.vhost")):
            with self.subTest(said=said):
                done = subprocess.run([TRAFFIC, *args], capture_output=True, text=True, timeout=60)
                self.assertNotEqual(0, done.returncode)
                self.assertIn(said, done.stderr)
        Rpc(self.path("p.sock"), 10).call("stop")
        self.node.proc.wait(20)


if __name__ == "__main__":
    main()
