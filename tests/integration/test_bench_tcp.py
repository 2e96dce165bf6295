#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TCP by iperf3 in `lanyard bench` and `lanyard compare`: daemons and guests are stand-ins, which run
the real iperf3 in a network namespace that has all guests' addresses. tests/rig/test_lab_linux.py
does it in real guests."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_daemons  # noqa: E402
from harness import LANYARD, main, wait_until  # noqa: E402
from netns import Netns, run  # noqa: E402
from test_bench_docs import doc as read_doc, keys_of  # noqa: E402
from test_lab_linux import LinuxCase  # noqa: E402
from test_report import check_page, check_schema  # noqa: E402


class TcpCase(LinuxCase):
    def setUp(self):
        super().setUp()
        self.ns = Netns()
        self.addCleanup(self.ns.close)
        for address in ("10.1.0.1", "10.1.0.2", "10.2.0.1", "10.2.0.2"):
            self.ns.run("ip", "addr", "add", f"{address}/24", "dev", "lo")
        self.ns.run("ip", "link", "set", "lo", "up")
        self.env["FAKE_EXEC"] = f"ip netns exec {self.ns.name}"
        self.env["FAKE_TSC_HZ"] = str(fake_daemons.tsc_hz())
        self.env["FAKE_RATE"] = "1000"
        self.topology = self.write(self.lab())

    def lab(self, **tcp):
        def node(i):
            return {"kind": "vm", "guest": "linux", "memory": "128M", "root": "host", "nics": [
                {"network": "lan", "addresses": [f"10.1.0.{i}/24"]},
                {"network": "wan", "addresses": [f"10.2.0.{i}/24"]}]}
        return {"version": 1, "lab": "pair", "networks": {"lan": {}, "wan": {}},
                "nodes": {"a": node(1), "b": node(2)},
                "paths": {"lan": {"from": "a.0", "to": "b.0"},
                          "wan": {"from": "a.1", "to": "b.1"}},
                "traffic": [{"name": "bulk", "paths": "all", "seconds": 1,
                             "method": {"tcp": {"streams": 2, **tcp}}}]}

    def running(self):
        return run("ip", "netns", "pids", self.ns.name).split()


class Tcp(TcpCase):
    def test_bench(self):
        done = self.lanyard("bench", self.topology, "--json", self.path("out.json"), "--rounds",
                            "2", "--only", "bulk, lan", "--quiet", timeout_s=60)
        self.assertRegex(done.stdout, r"bulk, lan: TCP \(iperf 3\S+, \w+\), 2 streams, 1 s, medians "
                         "of 2 rounds\n")
        self.assertRegex(done.stdout, r"\n  a.0 > b.0 +[\d.]+ [kMG] ")
        with open(self.path("out.json")) as f:
            doc = json.load(f)
        self.assertEqual(([], []), (doc["trials"], doc["searches"]))
        [tcp] = doc["tcp"]
        self.assertEqual(("bulk, lan", "a.0", "b.0", 2, 1, 2), (
            *(tcp[k] for k in ("name", "from", "to", "streams", "seconds")), len(tcp["rounds"])))
        for i, r in enumerate(tcp["rounds"]):
            self.check_round(r, tcp["figures"], i, float(doc["switch"]["tsc_hz"]))
        self.assertEqual([], self.running())
        self.expect_nothing()
        missing = {k for k in keys_of({"tcp": doc["tcp"]}) if f"`{k}`" not in read_doc("results.md")}
        self.assertEqual(set(), missing)

    def check_round(self, r, figures, i, hz):
        """What is derived is what it is derived of."""
        self.assertGreater(r["goodput_bps"], 1e7)
        self.assertAlmostEqual(r["goodput_bps"], r["received_bytes"] * 8 / r["seconds"],
                               delta=r["goodput_bps"] * 0.01)
        self.assertAlmostEqual(1, r["seconds"], delta=0.5)
        self.assertGreater(r["rtt_us"], 0)
        self.assertTrue(r["program"].startswith("iperf 3"))
        cost = r["cost"]
        self.assertEqual(0, cost["exits"])
        total = sum(cost[k] for k in ("switch_s", "nodes_s", "vhost_s", "interrupts_s"))
        self.assertAlmostEqual(total * hz / r["received_bytes"],
                               figures["cycles_per_byte_total"]["values"][i],
                               delta=0.001 * total * hz / r["received_bytes"] + 1e-9)
        self.assertEqual(r["goodput_bps"], figures["goodput_bps"]["values"][i])
        # The stand-in for a switch drops a tenth of its 1000 frames/s at each port.
        self.assertGreater(r["switch"]["drops"]["tx_ring_full"], 100)

    def test_compare(self):
        out, html = self.path("out.json"), self.path("out.html")
        done = self.lanyard("compare", self.topology, "--json", out, "--html", html, "--rounds",
                            "2", "--quiet", timeout_s=60)
        with open(out) as f:
            doc = json.load(f)
        check_schema(doc)
        [c] = doc["comparisons"]
        self.assertEqual(("bulk", "tcp", None, {"tcp": {"streams": 2}}),
                         tuple(c[k] for k in ("name", "frame", "frame_bytes", "method")))
        for path in c["paths"]:
            self.assertEqual(([], []), (path["rates"], path["loads"]))
            self.assertEqual(2, len(path["tcp"]["figures"]["goodput_bps"]["values"]))
            self.assertEqual(["tx_ring_full"], list(path["tcp"]["drops"]))
        [against] = c["against"]
        self.assertEqual(["goodput_bps", "rtt_us", "cycles_per_byte_total"],
                         [r["figure"] for r in against["ratios"]])
        self.assertIn("bulk, TCP: between the guests' kernels, by iperf3: 2 streams, 1 s\n",
                      done.stdout)
        for line in (r"\n  lan +[\d.]+ [kMG] ", r"\n  wan +[\d.]+ [kMG] ",
                     r"lan: the switch dropped \d+ tx_ring_full\n", "wan against lan:"):
            self.assertRegex(done.stdout, line)
        with open(html) as f:
            page = f.read()
        check_page(self, page)
        self.assertIn("Of TCP, bits/s: payload received", done.stdout)
        self.assertNotIn("Gbit/s: layer 2", done.stdout)
        for text in ("Goodput of TCP", "CPU cycles a byte of payload", "segments sent again"):
            self.assertIn(text, page)
        again = self.lanyard("report", out, "--html", self.path("again.html"))
        self.assertEqual(done.stdout[done.stdout.index("\nbulk, TCP"):],
                         again.stdout[again.stdout.index("\nbulk, TCP"):])
        with open(self.path("again.html")) as f:
            self.assertEqual(page, f.read())
        self.assertEqual([], self.running())
        self.expect_nothing()


class Failures(TcpCase):
    def fails(self, pattern, status=1):
        done = self.lanyard("bench", self.topology, "--only", "bulk, lan", "--quiet", status=status,
                            timeout_s=60)
        self.assertRegex(done.stderr, pattern)
        self.assertEqual([], self.running())
        self.expect_nothing()

    def test_no_iperf(self):
        """As the agent has it where a guest lacks the program."""
        self.env.update(FAKE_EXEC="", FAKE_PATH=self.path("empty"))
        self.fails("guest a has no iperf3, by which TCP is measured; its root is the host's: sudo "
                  "apt-get install iperf3, then measure again", status=3)

    def test_no_address(self):
        self.ns.run("ip", "addr", "flush", "dev", "lo")
        self.fails("guest b: its iperf3 ended at once: .*Cannot assign requested address")

    def test_port_taken(self):
        """A server that somebody left there: iperf3's own words."""
        other = self.ns.popen("iperf3", "-s", "-B", "10.1.0.2", "-p", "52010",
                              stdout=subprocess.DEVNULL)
        wait_until(lambda: ":52010" in self.ns.run("ss", "-ltn"), 10, "the server")
        done = self.lanyard("bench", self.topology, "--only", "bulk, lan", "--quiet", status=1,
                            timeout_s=60)
        other.terminate()
        other.wait(10)
        self.assertRegex(done.stderr, "its iperf3 ended at once: .*Address already in use")

    def test_interrupted(self):
        """Nobody is left running, and the lab is taken down."""
        with open(self.topology) as f:
            topology = json.load(f)
        topology["traffic"][0]["seconds"] = 60
        self.write(topology)
        proc = subprocess.Popen([LANYARD, "bench", self.topology, "--quiet"], env=self.env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(proc.stderr.close)
        wait_until(lambda: len(self.running()) >= 2, 20, "both")
        proc.send_signal(signal.SIGINT)
        self.assertIn("interrupted", proc.communicate(timeout=20)[1])
        self.assertEqual(1, proc.returncode)
        self.assertEqual([], self.running())


if __name__ == "__main__":
    main()
