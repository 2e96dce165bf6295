#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The probe in a real VM on the real switch: its agent, traffic, sleep, faults, reconnection."""
import json
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import slow, Rpc, RpcError, wait_until

MTU = 1500


def tsc_hz(case):
    """The host's TSC frequency, as the switch measured it."""
    return case.sw.call("info")["tsc_hz"]


@harness.needs_kvm
class ProbeCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.sw = self.switch("--cpus", "0")
        self.sw.call("network_add", name="lan", mtu=MTU)
        self.hz = tsc_hz(self)
        self.agents = {}

    def mac(self, node, nic=0):
        return f"02:00:00:00:{ord(node[0]):02x}:{nic:02x}"

    def add_port(self, node, nic):
        self.sw.call("port_add", name=f"{node}.{nic}", network="lan",
                     socket=self.path(f"{node}.{nic}.vhost"))

    def probe(self, node, nics=1, cmdline="", link=True):
        args = ["--cpus", "1"]
        for i in range(nics):
            self.add_port(node, i)
            args += ["--nic", f"socket={self.path(f'{node}.{i}.vhost')},mac={self.mac(node, i)},"
                              f"mtu={MTU}"]
        vmm = self.vmm(node, *args, cmdline=f"tsc_hz={self.hz} node={node} {cmdline}")
        self.agents[node] = Rpc(self.path(f"{node}.agent"), timeout_s=20)
        self.addCleanup(self.agents[node].close)
        if link:
            wait_until(lambda: all(n["link"] for n in self.call(node, "hello")["nics"]), 20,
                       f"the links of {node}")
            # The guest's link is up when its VMM has a back end; the switch takes a moment more.
            wait_until(lambda: all(self.sw.port(f"{node}.{i}")["state"] == "up"
                                   for i in range(nics)), 20, f"the ports of {node}")
        return vmm

    def call(self, node, method, **params):
        return self.agents[node].call(method, **params)

    def console(self, node):
        with open(self.path(f"{node}.console.log"), errors="replace") as f:
            return f.read()

    def flows(self, pairs, **send):
        """Starts flows ((node, nic), (node, nic)), numbered from 1; receivers first."""
        for node in self.agents:
            self.call(node, "traffic_start", reset=True, flows=[
                {"id": i + 1, "role": "receive", "nic": dst[1], "peer_mac": self.mac(*src)}
                for i, (src, dst) in enumerate(pairs) if dst[0] == node])
        for node in self.agents:
            mine = [dict(send, id=i + 1, role="send", nic=src[1], peer_mac=self.mac(*dst))
                    for i, (src, dst) in enumerate(pairs) if src[0] == node]
            if mine:
                self.call(node, "traffic_start", flows=mine)

    def status(self, **params):
        """({id: send flow}, {id: receive flow})"""
        tx, rx = {}, {}
        for node in self.agents:
            for flow in self.call(node, "traffic_status", **params)["flows"]:
                (tx if flow["role"] == "send" else rx)[flow["id"]] = flow
        return tx, rx

    def drops(self):
        return {p["name"]: {k: n for k, n in p["drops"].items() if n}
                for p in self.sw.stats()["ports"]}

    def finish(self, timeout_s=20):
        wait_until(lambda: all(f["done"] for f in self.status()[0].values()), timeout_s,
                   "the senders to end")
        # Until all came, or nothing has for a while.
        last, since = None, time.monotonic()
        while True:
            tx, rx = self.status()
            now = {i: f["frames"] for i, f in rx.items()}
            if now != last:
                last, since = now, time.monotonic()
            if all(tx[i]["frames"] == n for i, n in now.items() if i in tx) or \
                    time.monotonic() > since + 1:
                return tx, rx
            time.sleep(0.02)


class Loop(ProbeCase):
    """One probe, NIC 0 to NIC 1."""
    PAIR = [(("a", 0), ("a", 1))]

    def test_every_size_arrives_whole(self):
        self.probe("a", 2)
        for size in (64, 65, 79, 80, 128, 512, 1517, 1518):
            with self.subTest(size=size):
                self.flows(self.PAIR, size=size, rate_mfps=20_000_000, frames=2000, l4_flows=3)
                tx, rx = self.finish()
                self.assertEqual(2000, tx[1]["frames"])
                self.assertEqual(2000, rx[1]["frames"], self.drops())
                self.assertEqual(2000 * size, rx[1]["bytes"])
                for what in ("lost", "duplicated", "reordered", "stale", "corrupt"):
                    self.assertEqual(0, rx[1][what], what)
                self.assertEqual(2000, rx[1]["latency"]["count"])
        port = self.sw.port("a.1")
        self.assertEqual(16000, port["tx"]["frames"])

    def test_rate_is_kept(self):
        self.probe("a", 2)
        self.flows(self.PAIR, size=64, rate_mfps=12_345_678, duration_ms=1000)
        tx, rx = self.finish()
        self.assertEqual(tx[1]["frames"], rx[1]["frames"])
        late_s = tx[1]["late_max_tsc"] / self.hz
        if late_s > 0.04:
            # Somebody else had the CPU for so long that the flow's end may have come first.
            self.assertGreater(tx[1]["frames"], 12346 * (1 - late_s))
            return
        self.assertAlmostEqual(12346, tx[1]["frames"], delta=1)
        span = (tx[1]["last_tsc"] - tx[1]["first_tsc"]) / self.hz
        self.assertAlmostEqual(1.0, span, delta=0.05 + late_s)

    def test_flat_out_while_the_agent_talks(self):
        self.probe("a", 2)
        for size in (64, 1518):
            self.flows(self.PAIR, size=size, rate_mfps=0, duration_ms=1500)
            asked = 0
            while not self.status(histogram=True)[0][1]["done"]:
                asked += 1
            tx, rx = self.finish()
            self.assertGreater(asked, 3)
            self.assertEqual(0, rx[1]["corrupt"] + rx[1]["duplicated"] + rx[1]["reordered"])
            drops = self.sw.port("a.1")["drops"]["tx_ring_full"]
            self.assertGreater(rx[1]["frames"], 1000)
            self.assertLessEqual(tx[1]["frames"] - rx[1]["frames"], drops)
            rate = rx[1]["frames"] / (rx[1]["last_tsc"] - rx[1]["first_tsc"]) * self.hz
            print(f"figure: probe, loop, {size} B flat out, agent asked {asked} times: "
                  f"{rate / 1e6:.2f} Mfps", file=sys.stderr)

    @slow
    def test_a_nic_is_restarted_under_traffic(self):
        self.probe("a", 2, cmdline="restart_ms=200")
        self.flows(self.PAIR, size=300, rate_mfps=5_000_000, duration_ms=2500)
        tx, rx = self.finish()
        self.assertEqual(0, rx[1]["corrupt"] + rx[1]["duplicated"])
        # What lies in the ring at a reset is lost, no more.
        self.assertGreater(rx[1]["frames"], tx[1]["frames"] - 10 * 512)
        # The device was started again, and more than once, says the switch.
        with open(self.path("switch.log")) as f:
            self.assertGreaterEqual(f.read().count("a.0: device started"), 3)

    def test_idle_costs_no_cpu(self):
        vmm = self.probe("a", 2)
        self.flows(self.PAIR, size=64, rate_mfps=0, duration_ms=100)
        self.finish()

        def cpu_s():
            with open(f"/proc/{vmm.pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        time.sleep(0.2)
        before = cpu_s()
        time.sleep(1)
        self.assertLess(cpu_s() - before, 0.1)


class Agent(ProbeCase):
    def test_bad_requests_get_sentences(self):
        self.probe("a", 1, link=False)
        a = self.agents["a"]

        def raw(data):
            a.sock.sendall(data)
            return json.loads(a.line())

        self.assertEqual(-32700, raw(b"{\n")["error"]["code"])
        self.assertEqual(-32700, raw(b"x" * 9000 + b"\n")["error"]["code"])
        self.assertEqual(-32700, raw(b'"\xff"\n')["error"]["code"])
        self.assertEqual(-32600, raw(b"[]\n")["error"]["code"])
        self.assertEqual(-32700, raw(b"[" * 4000 + b"\n")["error"]["code"])
        for params, field in (({"flows": [{"id": 0}]}, "flows[0].role"),
                              ({"flows": [], "restet": True}, "restet")):
            with self.assertRaises(RpcError) as e:
                a.call("traffic_start", **params)
            self.assertEqual((field, 2), (e.exception.field, e.exception.cls))
        # Requests in pieces, and several at once, are answered one by one, in order.
        line = b'{"jsonrpc": "2.0", "id": %d, "method": "hello"}\n'
        for byte in line % 1:
            a.sock.sendall(bytes([byte]))
        self.assertEqual(1, json.loads(a.line())["id"])
        a.sock.sendall(b"".join(line % i for i in range(100)))
        self.assertEqual(list(range(100)), [json.loads(a.line())["id"] for _ in range(100)])

    def test_shutdown_ends_the_vmm(self):
        vmm = self.probe("a", 1, link=False)
        self.assertEqual({}, self.call("a", "shutdown"))
        self.assertEqual(0, vmm.proc.wait(10))

    def test_reset_starts_anew(self):
        vmm = self.probe("a", 1)
        self.flows([(("a", 0), ("a", 0))], size=64, rate_mfps=1000_000, duration_ms=60_000)
        vmm.call("reset")
        # Its agent was asked nothing since: an answer with no flows is the new probe's.
        wait_until(lambda: not self.call("a", "traffic_status")["flows"], 10, "the new probe")
        self.assertEqual(2, self.console("a").count("NICs: 1"))

    def test_faults_are_told(self):
        for cmdline, vector in (("fault=0x7700000000", "vec=000000000000000e"),
                                ("fault=0", "vec=0000000000000006")):
            with self.subTest(cmdline):
                name = "pf" if "7" in cmdline else "ud"
                self.vmm(name, "--nic", f"socket={self.path('none')},mac=02:00:00:00:00:01",
                         cmdline=f"tsc_hz={self.hz} {cmdline}")
                text = wait_until(lambda: "halted" in self.console(name) and self.console(name),
                                  10, "the fault's report")
                self.assertIn("probe: fault", text)
                self.assertIn(vector, text)
                self.assertIn("rip=0000000000", text)


class Pair(ProbeCase):
    BOTH = [(("a", 0), ("b", 0)), (("b", 0), ("a", 0))]

    def test_two_probes_share_a_cpu(self):
        self.probe("a")
        self.probe("b")
        self.flows(self.BOTH, size=64, rate_mfps=2_000_000, frames=3000)
        tx, rx = self.finish()
        for i in (1, 2):
            self.assertEqual(3000, tx[i]["frames"])
            self.assertEqual(3000, rx[i]["frames"], (rx[i], self.drops()))
            self.assertEqual(0, rx[i]["lost"] + rx[i]["corrupt"] + rx[i]["duplicated"])
        p50 = rx[1]["latency"]["p50_tsc"] / self.hz * 1e6
        print(f"figure: probe, two on one CPU, 2 kpps both ways: median latency {p50:.0f} us",
              file=sys.stderr)

    def test_a_full_ring_yields_the_cpu(self):
        """A flat-out sender on the receiver's CPU: frames arrive all the same."""
        self.probe("a")
        self.probe("b")
        self.flows(self.BOTH[:1], size=1518, rate_mfps=0, duration_ms=1500)
        tx, rx = self.finish()
        self.assertGreater(rx[1]["frames"], 5000)
        self.assertEqual(0, rx[1]["corrupt"] + rx[1]["duplicated"])

    def test_the_switch_dies_and_comes_back(self):
        self.probe("a")
        self.probe("b")
        self.flows(self.BOTH, size=300, rate_mfps=1_000_000)
        wait_until(lambda: all(f["frames"] > 100 for f in self.status()[1].values()), 20, "traffic")
        self.sw.kill(signal.SIGKILL)
        wait_until(lambda: not self.call("a", "hello")["nics"][0]["link"] and
                   not self.call("b", "hello")["nics"][0]["link"], 20, "the links to go down")
        before = self.status()[1]
        self.sw = self.switch("--cpus", "0", name="switch2")
        self.sw.call("network_add", name="lan", mtu=MTU)
        for node in "ab":
            self.add_port(node, 0)
        wait_until(lambda: all(self.status()[1][i]["frames"] > before[i]["frames"] + 100
                               for i in (1, 2)), 20, "traffic to resume")
        for flow in self.status()[1].values():
            self.assertEqual(0, flow["corrupt"])


if __name__ == "__main__":
    harness.main()
