#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A NIC and its back end: absent, gone, back, slow, wrong; the guest keeps running through it all.
A fake back end shows what the front end says; the real switch and two guests show that traffic
resumes by itself."""
import os
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import fakebackend
import tinyguest as tiny
from fakebackend import FakeBackend
from harness import Case, Rpc, wait_until

MAC = "02:00:00:00:00:0{}"


@harness.needs_kvm
class LinkCase(Case):
    def nic(self, i=0, **more):
        keys = "".join(f",{k}={v}" for k, v in more.items())
        return ["--nic", f"socket={self.path(f'{i}.vhost')},mac={MAC.format(i + 1)}{keys}"]

    def probe(self, *args):
        return self.vmm("v", *args, cmdline="tsc_hz=2000000000 node=v")

    def backend(self, i=0, **kwargs):
        path = self.path(f"{i}.vhost")
        if os.path.exists(path):
            os.unlink(path)
        b = FakeBackend(path, **kwargs)
        self.addCleanup(lambda: b.closing or b.close())
        return b

    def nic_info(self, v, i=0):
        return v.call("info")["nics"][i]

    def wait_link(self, v, state, i=0, timeout_s=5):
        wait_until(lambda: self.nic_info(v, i)["link"] == state, timeout_s, f"link {state}")

    def guest_link(self):
        with Rpc(self.path("v.agent")) as agent:
            return agent.call("hello")["nics"][0]["link"]


class FakeBackendLink(LinkCase):
    def test_hand_over(self):
        b = self.backend()
        v = self.probe(*self.nic())
        b.wait(lambda: b.ready(0) and b.ready(1))
        self.wait_link(v, "up")
        self.assertTrue(self.guest_link())
        self.assertEqual([0, 0], [b.rings[i]["base"] for i in (0, 1)])
        self.assertTrue(b.acked >> fakebackend.F_VERSION_1 & 1)
        self.assertEqual(64 << 20, sum(r[1] for r in b.regions))
        info = self.nic_info(v)
        self.assertEqual((True, 1, False), (info["connected"], info["queues"],
                                            info["needs_reset"]))
        self.assertIn("VERSION_1", info["features"])

    def test_absent_at_start_then_there(self):
        v = self.probe(*self.nic())
        self.assertFalse(self.guest_link())
        self.assertEqual("down", self.nic_info(v)["link"])
        time.sleep(0.3)
        begin = time.monotonic()
        b = self.backend()
        b.wait(lambda: b.ready(1))
        print(f"figure: rings handed over {1000 * (time.monotonic() - begin):.0f} ms after the "
              "back end came")
        self.wait_link(v, "up")
        wait_until(self.guest_link, 5, "the guest to see the link")
        self.assertEqual(0, self.nic_info(v)["reconnects"])

    def test_base_is_taken_from_used(self):
        """A receive ring goes on behind what the first back end returned."""
        b = self.backend()
        v = self.probe(*self.nic())
        b.wait(lambda: b.ready(0) and b.ready(1))
        used, avail = b.rings[0]["addr"]["used"], b.rings[0]["addr"]["avail"]
        b.wait(lambda: b.read16(avail + 2) >= 3, what="receive buffers")
        for slot in range(3):  # three runts, in order
            head = b.read16(avail + 4 + 2 * slot)
            b.write(used + 4 + 8 * slot, struct.pack("<II", head, 12))
        b.write(used + 2, struct.pack("<H", 3))
        b.call(0)
        b.drop()
        b.wait(lambda: b.connects == 2 and b.ready(0) and b.ready(1))
        self.assertEqual(3, b.rings[0]["base"])
        self.assertEqual(0, b.rings[1]["base"])
        # Each side is woken, whatever was lost with the first.
        for i in (0, 1):
            self.assertGreater(struct.unpack("<Q", os.read(b.rings[i]["kick"], 8))[0], 0)
        self.wait_link(v, "up")
        wait_until(lambda: self.nic_info(v)["reconnects"] == 1, 5, "a reconnect")

    def test_comes_and_goes_many_times(self):
        b = self.backend()
        v = self.probe(*self.nic())
        for n in range(1, 21):
            b.wait(lambda n=n: b.connects == n and b.ready(0) and b.ready(1))
            b.drop()
        b.wait(lambda: b.connects == 21 and b.ready(1))
        self.wait_link(v, "up")
        self.assertEqual(1, v.text().count("hangs up each time"))
        self.assertLess(v.text().count("link down"), 10)  # a log is not filled by it
        wait_until(self.guest_link, 5, "the guest to see the link")

    def test_down_is_seen_by_the_guest(self):
        b = self.backend()
        v = self.probe(*self.nic())
        b.wait(lambda: b.ready(1))
        b.close()
        self.wait_link(v, "down")
        wait_until(lambda: not self.guest_link(), 5, "the guest to see it")
        self.assertIn("went away", v.text())

    def test_silent_back_end_stalls_nobody(self):
        """It never answers, at any message: the guest runs, RPC answers, and the machine ends."""
        for message in ("GET_FEATURES", "SET_MEM_TABLE", "SET_VRING_KICK"):
            b = self.backend()
            b.silent = {message}
            v = self.probe(*self.nic())
            with Rpc(self.path("v.agent"), 2) as agent:
                begin = time.monotonic()
                for _ in range(20):
                    agent.call("hello")
                self.assertLess(time.monotonic() - begin, 1 * harness.PATIENCE)
            if message == "GET_FEATURES":
                self.assertEqual("down", self.nic_info(v)["link"])
            begin = time.monotonic()
            self.assertEqual(0, v.kill(signal.SIGTERM))
            self.assertLess(time.monotonic() - begin, 2 * harness.PATIENCE)
            b.close()

    def test_reset_with_a_back_end_that_keeps_the_rings(self):
        b = self.backend()
        v = self.probe(*self.nic())
        b.wait(lambda: b.ready(0) and b.ready(1))
        b.silent = {"GET_VRING_BASE"}
        begin = time.monotonic()
        v.rpc.sock.settimeout(10 * harness.PATIENCE)
        self.assertEqual({}, v.call("reset"))
        self.assertLess(time.monotonic() - begin, 3 * harness.PATIENCE)  # it was cut off
        b.silent = set()
        b.wait(lambda: b.connects == 2 and b.ready(0) and b.ready(1))
        self.assertEqual(0, b.rings[0]["base"])
        wait_until(self.guest_link, 5, "the guest's link after its reset")

    def test_reset_takes_the_rings_back(self):
        b = self.backend()
        v = self.probe(*self.nic())
        b.wait(lambda: b.ready(0) and b.ready(1))
        for n in range(1, 6):
            v.call("reset")
            b.wait(lambda n=n: b.count("GET_VRING_BASE") == 2 * n and b.ready(0) and b.ready(1))
        self.assertEqual(1, b.connects)
        self.wait_link(v, "up")

    def test_hang_up_at_each_message(self):
        b = self.backend()
        v = self.probe(*self.nic())
        b.wait(lambda: b.ready(1))
        for n, message in enumerate(("GET_FEATURES", "SET_OWNER", "SET_FEATURES", "SET_MEM_TABLE",
                                     "SET_VRING_BASE", "SET_VRING_ENABLE")):
            b.hang_up = {message}
            had = b.count(message)
            b.drop()
            b.wait(lambda m=message, h=had: b.count(m) >= h + 2, what=f"two tries at {message}")
            b.hang_up = set()
            b.wait(lambda: b.ready(0) and b.ready(1))
        self.wait_link(v, "up")

    def test_nonsense_and_refusals(self):
        b = self.backend()
        b.garbage = {"GET_FEATURES"}
        v = self.probe(*self.nic())
        wait_until(lambda: "vhost-user GET_FEATURES" in v.text(), 5, "a sentence")
        b.garbage = set()
        b.wait(lambda: b.ready(1))
        b.refuse = {"SET_MEM_TABLE"}
        b.drop()
        wait_until(lambda: "vhost-user SET_MEM_TABLE: the back end at" in v.text(), 5, "a sentence")
        self.assertEqual("down", self.nic_info(v)["link"])
        b.refuse = set()
        b.wait(lambda: b.ready(0) and b.ready(1))
        self.wait_link(v, "up")

    def test_lacks_what_the_guest_relies_on(self):
        v = self.probe(*self.nic())
        with Rpc(self.path("v.agent")) as agent:
            agent.call("hello")  # it has negotiated all that we have
        self.assertIn("MRG_RXBUF", self.nic_info(v)["features"])
        b = self.backend(features=fakebackend.ALL & ~(1 << fakebackend.F_MRG_RXBUF))
        wait_until(lambda: "lacks MRG_RXBUF" in v.text(), 5, "the sentence")
        self.assertFalse(self.nic_info(v)["connected"])
        self.assertEqual("down", self.nic_info(v)["link"])
        time.sleep(1.5)
        self.assertEqual(1, v.text().count("lacks MRG_RXBUF"))  # once, not at each try
        b.features = fakebackend.ALL
        b.wait(lambda: b.ready(0) and b.ready(1))
        self.wait_link(v, "up")

    def test_guest_is_offered_what_the_back_end_has(self):
        b = self.backend(features=fakebackend.ALL & ~(1 << fakebackend.F_MRG_RXBUF |
                                                      1 << fakebackend.F_EVENT_IDX))
        v = self.probe(*self.nic())
        b.wait(lambda: b.ready(0) and b.ready(1))
        features = self.nic_info(v)["features"]
        self.assertNotIn("MRG_RXBUF", features)
        self.assertNotIn("EVENT_IDX", features)
        self.assertIn("VERSION_1", features)

    def test_no_protocol_features(self):
        """The oldest kind of back end: rings run as soon as they are given."""
        b = self.backend(features=fakebackend.ALL & ~(1 << fakebackend.F_PROTOCOL))
        v = self.probe(*self.nic())
        b.wait(lambda: "kick" in b.rings.get(1, {}))
        self.assertEqual(0, b.count("SET_VRING_ENABLE"))
        self.wait_link(v, "up")

    def test_mtu_is_passed_on(self):
        b = self.backend(protocol=1 << fakebackend.PF_REPLY_ACK | 1 << fakebackend.PF_NET_MTU)
        v = self.probe(*self.nic(mtu=9000))
        b.wait(lambda: b.ready(1))
        self.assertEqual(1, b.count("NET_SET_MTU"))
        with Rpc(self.path("v.agent")) as agent:
            self.assertEqual(9000, agent.call("hello")["nics"][0]["mtu"])
        self.assertEqual(9000, self.nic_info(v)["mtu"])

    def test_many_queues(self):
        b = self.backend()
        v = self.probe(*self.nic(queues=4))
        b.wait(lambda: b.ready(0) and b.ready(1))
        self.wait_link(v, "up")

    def test_four_nics(self):
        backends = [self.backend(i) for i in range(4)]
        v = self.probe(*[a for i in range(4) for a in self.nic(i)])
        for b in backends:
            b.wait(lambda b=b: b.ready(0) and b.ready(1))
        backends[2].close()
        self.wait_link(v, "down", 2)
        self.assertEqual(["up", "up", "down", "up"],
                         [n["link"] for n in v.call("info")["nics"]])


class Driver(LinkCase):
    """A driver of a few instructions, which negotiates what it is told to: packed rings, the control
    queue. What it would write into its rings, the back end writes."""

    VERSION_1, PACKED, CTRL_VQ, CTRL_GUEST_OFFLOADS = 1 << 32, 1 << 34, 1 << 17, 1 << 2
    GUEST_CSUM, MQ = 1 << 1, 1 << 22
    AVAIL, USED = 0x80, 0x8000  # flags of a packed descriptor

    def start_driver(self, features, sizes, more=b"", **keys):
        code = tiny.nic_negotiate(features=features)
        code += b"".join(tiny.nic_queue(i, size, 0x200000 + 0x10000 * i)
                         for i, size in enumerate(sizes))
        code += tiny.nic_write(20, 1, 15) + more + tiny.HLT
        elf = tiny.write_elf(self.path("driver.elf"), code)
        return self.vmm("v", *self.nic(**keys), kernel=elf)

    def entries(self, b, i, *entries):
        """Entries of packed ring i from its begin: (id, flags)."""
        for n, (ident, flags) in enumerate(entries):
            b.write(b.rings[i]["addr"]["desc"] + 16 * n,
                    struct.pack("<QIHH", 0x300000, 64, ident, flags))

    def again(self, b):
        connects = b.connects
        b.drop()
        b.wait(lambda: b.connects == connects + 1 and b.ready(0) and b.ready(1))

    def test_packed_rings(self):
        """Sizes that are no powers of two; a start at place 0 of the first lap; after a loss, each
        ring where its entries say."""
        b = self.backend(features=fakebackend.ALL | self.PACKED)
        v = self.start_driver(self.VERSION_1 | self.PACKED, (100, 7))
        b.wait(lambda: b.ready(0) and b.ready(1))
        self.assertEqual((100, 7), (b.rings[0]["num"], b.rings[1]["num"]))
        self.assertTrue(b.acked & self.PACKED)
        self.assertEqual([0x80008000] * 2, [b.rings[i]["base"] for i in (0, 1)])
        self.assertIn("RING_PACKED", self.nic_info(v)["features"])
        both = self.AVAIL | self.USED
        self.entries(b, 0, (0, both), (1, self.AVAIL), (2, self.AVAIL))
        self.entries(b, 1, (0, both), (1, self.AVAIL), (2, self.AVAIL))
        self.again(b)
        self.assertEqual(0x80018001, b.rings[0]["base"])  # the second one was not returned
        self.assertEqual(0x80038003, b.rings[1]["base"])  # all are now
        at = b.rings[1]["addr"]["desc"]
        self.assertEqual([both] * 3, [b.read16(at + 16 * n + 14) for n in range(3)])
        # In the second lap, with the ring full: none was returned, or all.
        self.entries(b, 1, *((n, self.USED) for n in range(7)))
        self.again(b)
        self.assertEqual(0x80008000, b.rings[1]["base"])
        # Nonsense: the link stays down, and says why.
        self.entries(b, 1, (0, self.AVAIL), (1, 0), (2, self.AVAIL), (3, 0))
        b.drop()
        wait_until(lambda: "packed ring 1 contradict each other" in v.text(), 5, "the sentence")
        self.assertEqual("down", self.nic_info(v)["link"])

    def test_sixteen_pairs(self):
        """All rings are handed over; the control queue, behind them, says how many are used."""
        ring, buf = 0x200000 + 32 * 0x10000, 0x500000
        command = b"".join(tiny.store32(*a) for a in (
            (buf, 0x00100004),  # class 4, command 0; 16
            (ring, buf), (ring + 8, 4), (ring + 12, 0x00010001), (ring + 16, buf + 8),
            (ring + 24, 1), (ring + 28, 2), (ring + 0x1000, 0x00010000)))
        b = self.backend(queues=16)
        v = self.start_driver(self.VERSION_1 | self.CTRL_VQ | self.MQ, [64] * 33,
                              tiny.wait32(0x510000) + command + tiny.nic_write(0x3080, 4, 32),
                              queues=16)
        b.wait(lambda: b.ready(0) and b.ready(1) and len(b.rings) == 32)
        self.wait_link(v, "up")
        self.assertEqual([0, 1], [i for i in range(32) if b.rings[i].get("enabled")])
        b.write(b.regions[0][2] + 0x510000, b"go")
        b.wait(lambda: all(b.ready(i) for i in range(32)))
        self.assertEqual(16, self.nic_info(v)["queues"])
        self.again(b)
        b.wait(lambda: all(b.ready(i) for i in range(32)))

    def test_offloads_change(self):
        """The driver gives up an offload: the rings are taken back and given again where the back
        end said that it stands, with other features."""
        wanted = (self.VERSION_1 | self.PACKED | self.CTRL_VQ | self.CTRL_GUEST_OFFLOADS |
                  self.GUEST_CSUM)
        ring, buf = 0x220000, 0x300000
        command = b"".join(tiny.store32(*a) for a in (
            (buf, 0x0005), (buf + 4, 0), (buf + 8, 0),  # class 5, command 0; an empty mask
            (ring, buf), (ring + 8, 2), (ring + 16, buf + 4), (ring + 24, 8), (ring + 32, buf + 16),
            (ring + 40, 1), (ring + 44, 0x00820000), (ring + 28, 0x00810000),
            (ring + 12, 0x00810000)))
        b = self.backend(features=fakebackend.ALL | self.PACKED | self.GUEST_CSUM)
        b.bases = {0: 0x8005, 1: 0x00030002}  # as DPDK says it; as the specification does
        v = self.start_driver(wanted, (64, 64, 64), tiny.wait32(0x310000) + command +
                              tiny.nic_write(0x3008, 4, 2))
        b.wait(lambda: b.ready(0) and b.ready(1))
        self.wait_link(v, "up")
        b.write(b.regions[0][2] + 0x310000, b"go")  # user address of the first region's begin
        b.wait(lambda: b.count("GET_VRING_BASE") == 2 and b.ready(0) and b.ready(1), 10)
        self.assertEqual(2, b.count("SET_FEATURES"))
        self.assertFalse(b.acked & self.GUEST_CSUM)
        self.assertTrue(b.acked & self.PACKED)
        self.assertEqual([0x80058005, 0x00030002], [b.rings[i]["base"] for i in (0, 1)])
        self.wait_link(v, "up")
        self.assertEqual((1, False), (b.connects, self.nic_info(v)["needs_reset"]))


class SwitchLink(LinkCase):
    """Two probes on the real switch."""

    def setUp(self):
        super().setUp()
        self.start_switch("switch")
        hz = self.sw.call("info")["tsc_hz"]
        self.vms, self.agents = {}, {}
        for i, n in enumerate("ab"):
            self.vms[n] = self.vmm(n, *self.nic(i), cmdline=f"tsc_hz={hz} node={n}")
            self.agents[n] = Rpc(self.path(f"{n}.agent"))
            self.addCleanup(self.agents[n].close)
        for n in "ab":
            self.wait_link(self.vms[n], "up")

    def start_switch(self, name):
        self.sw = self.switch(name=name)
        self.sw.call("network_add", name="lan")
        for i, n in enumerate("ab"):
            self.sw.call("port_add", name=f"{n}.0", network="lan", socket=self.path(f"{i}.vhost"))

    def traffic(self, rate_pps=2000, sender="a"):
        to = "ab".replace(sender, "")
        flow = {"id": 1, "nic": 0, "size": 64, "rate_mfps": rate_pps * 1000, "frames": 0,
                "duration_ms": 0, "l4_flows": 1}
        index = {"a": 0, "b": 1}
        self.agents[to].call("traffic_start", reset=True, flows=[
            dict(flow, role="receive", peer_mac=MAC.format(index[sender] + 1))])
        self.agents[sender].call("traffic_start", reset=True, flows=[
            dict(flow, role="send", peer_mac=MAC.format(index[to] + 1))])

    def received(self, node="b"):
        return self.agents[node].call("traffic_status", histogram=False)["flows"][0]["frames"]

    def wait_flow(self, node="b", frames=500, timeout_s=10):
        """So many more frames arrive."""
        have = self.received(node)
        wait_until(lambda: self.received(node) >= have + frames, timeout_s,
                   f"{frames} more frames at {node} (has {have})")

    def test_kill_the_switch(self):
        """Frames under way are lost, and never come twice: killed often enough to hit a burst
        between its delivery and its return."""
        self.traffic(rate_pps=200000)
        self.wait_flow()
        for n in range(10):
            self.sw.kill(signal.SIGKILL)
            for vm in self.vms.values():
                self.wait_link(vm, "down")
            begin = time.monotonic()
            self.start_switch(f"switch{n}")
            self.wait_flow()
            if n == 0:
                print(f"figure: switch killed and started again: traffic flows "
                      f"{time.monotonic() - begin:.2f} s after its start")
        for vm in self.vms.values():
            self.assertEqual(0, vm.call("info")["resets"])
        status = self.agents["b"].call("traffic_status", histogram=False)["flows"][0]
        self.assertEqual((0, 0), (status["corrupt"], status["duplicated"]))

    def test_no_vmm_thread_on_the_data_path(self):
        """Frames cost no exit to us: neither kicks nor interrupts pass through the process."""
        self.traffic(20000)
        self.wait_flow()
        before = {n: self.vms[n].call("info")["exits"] for n in "ab"}
        had = self.received()
        time.sleep(1)
        after = {n: self.vms[n].call("info")["exits"] for n in "ab"}
        frames = self.received() - had
        self.assertGreater(frames, 5000)
        for n in "ab":
            self.assertEqual(before[n]["mmio"], after[n]["mmio"])
            self.assertLess(after[n]["io"] - before[n]["io"], 100)  # the agent's

    def test_kill_a_vmm(self):
        self.traffic()
        self.wait_flow()
        self.vms["a"].kill(signal.SIGKILL)
        wait_until(lambda: self.sw.port("a.0")["state"] == "waiting", 5, "the port to be free")
        self.assertEqual("up", self.sw.port("b.0")["state"])
        self.assertEqual("up", self.nic_info(self.vms["b"])["link"])
        self.agents["a"].close()
        hz = self.sw.call("info")["tsc_hz"]
        self.vms["a"] = self.vmm("a", *self.nic(0), cmdline=f"tsc_hz={hz} node=a")
        self.agents["a"] = Rpc(self.path("a.agent"))
        self.addCleanup(self.agents["a"].close)
        self.traffic()
        self.wait_flow()

    def test_reset_under_traffic(self):
        self.traffic(20000, "b")  # towards the one that is reset, flat out for it
        for n in range(1, 11):
            self.vms["a"].call("reset")
            self.assertEqual("probe", self.agents["a"].call("hello")["guest"])
        self.assertEqual(10, self.vms["a"].call("info")["resets"])
        wait_until(lambda: self.sw.port("a.0")["state"] == "up", 5, "the port to be up again")
        self.traffic()
        self.wait_flow()


if __name__ == "__main__":
    harness.main()
