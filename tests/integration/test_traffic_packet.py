#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lanyard-traffic on interfaces of Linux's: packet sockets with rings, over a veth pair."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import harness  # noqa: E402
from harness import BUILD, Case, sanitized  # noqa: E402
from netns import Netns  # noqa: E402

TRAFFIC = os.path.join(BUILD, "traffic", "lanyard-traffic")
RATE = 2 if sanitized() else 10  # kpps each way


class Packet(Case):
    def setUp(self):
        super().setUp()
        self.ns = Netns()
        self.addCleanup(self.ns.close)
        self.ns.run("ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0")
        for name in ("a0", "b0"):
            self.ns.run("ip", "link", "set", name, "up")

    def traffic(self, *args, status=0, interfaces=("a0", "b0")):
        argv = ["ip", "netns", "exec", self.ns.name, TRAFFIC]
        for name in interfaces:
            argv += ["--interface", name]
        done = subprocess.run([*argv, *args], env=self.env, timeout=90, capture_output=True,
                              text=True)
        self.assertEqual(status, done.returncode, done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr

    def macs(self):
        links = json.loads(self.ns.run("ip", "-j", "link"))
        return {l["ifname"]: l["address"] for l in links}

    def test_paced(self):
        """Nothing is lost, harmed or doubled, at three sizes; what the kernel counts agrees."""
        for size in ("64", "1518", "imix"):
            with self.subTest(size=size):
                r = self.traffic("--size", size, "--rate", f"{RATE}kpps", "--frames",
                                 str(RATE * 1000), "--seconds", "0", "--warm-up", "0")
                for d in r["directions"]:
                    self.assertEqual((RATE * 1000, RATE * 1000), (d["sent"], d["received"]))
                    self.assertEqual([0] * 5, [d[k] for k in ("lost", "duplicated", "reordered",
                                                              "stale", "corrupt")], d)
                    self.assertEqual(d["sent_bytes"], d["received_bytes"])
                    self.assertEqual(RATE * 1000, d["latency_ns"]["count"])
                macs = self.macs()
                for p in r["ports"]:
                    self.assertEqual(macs[p["interface"]], p["mac"])
                    self.assertEqual(0, p["rx_ring_full"])
        [stats] = json.loads(self.ns.run("ip", "-j", "-s", "link", "show", "a0"))
        self.assertGreaterEqual(stats["stats64"]["tx"]["packets"], 3 * RATE * 1000)

    def test_flat_out(self):
        """Open loop: what is lost is counted, and all that came is whole."""
        r = self.traffic("--size", "64", "--seconds", "1", "--warm-up", "0.2")
        for d in r["directions"]:
            self.assertGreater(d["received"], 1000)
            self.assertEqual((0, 0, 0), (d["duplicated"], d["corrupt"], d["reordered"]), d)
            self.assertEqual(d["sent"], d["received"] + d["lost"])
        print(f"figure: lanyard-traffic on a veth pair, 64 B: "
              f"{sum(d['received_pps'] for d in r['directions']) / 1e6:.2f} Mpps received, "
              f"{sum(d['sent_pps'] for d in r['directions']) / 1e6:.2f} sent")

    def test_large_frames(self):
        for name in ("a0", "b0"):
            self.ns.run("ip", "link", "set", name, "mtu", "9000")
        r = self.traffic("--size", "9018", "--rate", "1kpps", "--frames", "1000", "--seconds", "0",
                         "--warm-up", "0")
        for d in r["directions"]:
            self.assertEqual((1000, 0), (d["received"], d["corrupt"]))

    def test_refusals(self):
        self.assertIn("interface nosuch0: No such device",
                      self.traffic(status=2, interfaces=("a0", "nosuch0")))
        self.assertIn("longer than the NIC's MTU allows", self.traffic("--size", "1600", status=2))
        self.assertIn("expected two times", self.traffic(status=2, interfaces=("a0",)))
        self.assertIn("two ports have one interface",
                      self.traffic(status=2, interfaces=("a0", "a0")))
        self.assertIn("--interface goes with", self.traffic("--packed", status=2))
        self.assertIn("lo is not an Ethernet one", self.loopback())
        self.ns.run("ip", "link", "set", "b0", "down")
        self.assertIn("interface b0 is down: ip link set b0 up", self.traffic(status=3))

    def loopback(self):
        self.ns.run("ip", "link", "set", "lo", "up")
        return self.traffic(status=2, interfaces=("lo", "a0"))


if __name__ == "__main__":
    harness.main()
