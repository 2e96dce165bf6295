# SPDX-License-Identifier: Apache-2.0
"""lanyard-switch and a foreign driver: DPDK's testpmd over virtio-user, in all its ring formats."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case, slow, wait_until

MAC = ["02:00:00:00:00:%02x" % i for i in range(64)]


class TestpmdMatrix(Case):
    """A million frames each between two virtio-user ports: none lost, none flooded."""

    FRAMES = 1_000_000
    SCATTERED = ("--mbuf-size=512", "--enable-scatter", "--tx-offloads=0x8000",
                 "--txpkts=334,333,333")

    def run_one(self, vdev, queues, mergeable=True, args=(), eal=(), size=64, queue_size=1024):
        sw = self.switch()
        sw.call("network_add", name="lan")
        for i in range(2):
            sw.call("port_add", name=f"p{i}", network="lan", socket=self.path(f"p{i}"),
                    queues=queues, mergeable=mergeable)
        devs = [f"net_virtio_user{i},path={self.path(f'p{i}')},mac={MAC[i]},queues={queues},"
                f"queue_size={queue_size},{vdev}" for i in range(2)]
        pmd = self.start_testpmd(
            *devs, args=(f"--rxq={queues}", f"--txq={queues}", "--total-num-mbufs=16384",
                         f"--eth-peer=0,{MAC[1]}", f"--eth-peer=1,{MAC[0]}", "--burst=32", *args),
            eal=eal)
        # A closed loop: what is sent first goes round, and no ring can overflow. Frames of a
        # first turn teach the switch both addresses.
        pmd.command("set fwd mac")
        pmd.command("start tx_first 4")
        frames = lambda: [p["rx"]["frames"] for p in sw.stats()["ports"]]
        wait_until(lambda: min(frames()) > 1000, 20, "the frames to go round")
        first = {p["name"]: p for p in sw.stats()["ports"]}
        wait_until(lambda: sum(frames()) - sum(p["rx"]["frames"] for p in first.values()) >=
                   self.FRAMES, 60, "a million frames")
        pmd.command("stop")
        time.sleep(0.05)
        last = {p["name"]: p for p in sw.stats()["ports"]}
        w = sw.stats()["workers"][0]
        self.assertEqual({p: {} for p in last},
                         {p: {k: n for k, n in last[p]["drops"].items() if n} for p in last})
        self.assertEqual([first[p]["flooded"] for p in last], [last[p]["flooded"] for p in last])
        self.assertLessEqual(sum(p["flooded"] for p in last.values()), 256 * queues)
        self.assertEqual([queues] * 2, [p["queues"] for p in last.values()])
        # Every frame that came in went out.
        self.assertEqual(last["p0"]["rx"]["frames"] + last["p1"]["rx"]["frames"],
                         last["p0"]["tx"]["frames"] + last["p1"]["tx"]["frames"])
        got = [pmd.stats(i) for i in range(2)]
        for i in range(2):
            # What was on its way when testpmd stopped looking lies in its rings.
            unread = last[f"p{i}"]["tx"]["frames"] - got[i]["RX-packets"]
            self.assertTrue(0 <= unread <= 2 * 128 * queues, unread)
            self.assertEqual(last[f"p{i}"]["rx"]["frames"], got[i]["TX-packets"])
        print(f"figure: testpmd {vdev} {queues} pair(s): "
              f"{w['busy_cycles'] / w['frames']:.0f} busy cycles a frame of {size} B")
        return last["p0"]["features"]

    def features(self, want, wanted_not, *args, **kw):
        got = self.run_one(*args, **kw)
        self.assertEqual(([], []), ([f for f in want if f not in got],
                                    [f for f in wanted_not if f in got]), got)

    def test_split(self):
        self.features(["MRG_RXBUF"], ["RING_PACKED", "IN_ORDER"],
                      "mrg_rxbuf=1,in_order=0,packed_vq=0", 1)

    def test_split_not_mergeable(self):
        self.features([], ["MRG_RXBUF"], "mrg_rxbuf=0,in_order=0,packed_vq=0", 1, mergeable=False)

    def test_split_in_order(self):
        self.features(["IN_ORDER", "MRG_RXBUF"], [], "mrg_rxbuf=1,in_order=1,packed_vq=0", 1)

    def test_split_in_order_not_mergeable(self):
        self.features(["IN_ORDER"], ["MRG_RXBUF"], "mrg_rxbuf=0,in_order=1,packed_vq=0", 1)

    def test_split_vectorized(self):
        self.features([], ["MRG_RXBUF"], "mrg_rxbuf=0,in_order=0,packed_vq=0,vectorized=1", 1)

    def test_split_two_pairs(self):
        self.features(["MQ"], [], "mrg_rxbuf=1,in_order=0,packed_vq=0", 2)

    def test_split_two_pairs_not_mergeable(self):
        self.run_one("mrg_rxbuf=0,in_order=0,packed_vq=0", 2)

    def test_split_indirect(self):
        """Frames that testpmd holds in several mbufs: indirect tables to us, merged buffers back."""
        self.features(["INDIRECT_DESC"], [], "mrg_rxbuf=1,in_order=0,packed_vq=0", 1, size=1004,
                      args=self.SCATTERED)

    def test_packed(self):
        self.features(["RING_PACKED", "MRG_RXBUF"], ["IN_ORDER"],
                      "mrg_rxbuf=1,in_order=0,packed_vq=1", 1)

    def test_packed_not_mergeable(self):
        self.features(["RING_PACKED"], ["MRG_RXBUF"], "mrg_rxbuf=0,in_order=0,packed_vq=1", 1)

    def test_packed_in_order(self):
        self.features(["RING_PACKED", "IN_ORDER"], [], "mrg_rxbuf=1,in_order=1,packed_vq=1", 1)

    def test_packed_in_order_not_mergeable(self):
        self.features(["RING_PACKED", "IN_ORDER"], ["MRG_RXBUF"],
                      "mrg_rxbuf=0,in_order=1,packed_vq=1", 1)

    def test_packed_vectorized(self):
        """AVX512 where the CPU has it; else testpmd takes its scalar path."""
        self.features(["RING_PACKED", "IN_ORDER"], [],
                      "mrg_rxbuf=0,in_order=1,packed_vq=1,vectorized=1", 1,
                      eal=("--force-max-simd-bitwidth=512",))

    def test_packed_four_pairs(self):
        self.features(["RING_PACKED", "MQ"], [], "mrg_rxbuf=1,in_order=0,packed_vq=1", 4)

    def test_packed_odd_size(self):
        """A packed ring's size need be no power of 2."""
        self.features(["RING_PACKED"], [], "mrg_rxbuf=1,in_order=0,packed_vq=1", 1,
                      queue_size=1000)

    def test_packed_scattered(self):
        """As test_split_indirect."""
        self.features(["RING_PACKED", "INDIRECT_DESC"], [],
                      "mrg_rxbuf=1,in_order=0,packed_vq=1", 1, size=1004, args=self.SCATTERED)


class Restarts(Case):
    """Either side goes away under traffic and comes back, in both socket roles."""

    FORMATS = {
        "split": "mrg_rxbuf=1,in_order=0,packed_vq=0",
        "split, vectorized": "mrg_rxbuf=0,in_order=0,packed_vq=0,vectorized=1",
        "split, in order": "mrg_rxbuf=1,in_order=1,packed_vq=0",
        "packed": "mrg_rxbuf=1,in_order=0,packed_vq=1",
        "packed, in order": "mrg_rxbuf=0,in_order=1,packed_vq=1",
    }

    def make(self, role):
        sw = self.switch("--memory", "64")
        sw.call("network_add", name="lan")
        for i in range(2):
            sw.call("port_add", name=f"p{i}", network="lan", socket=self.path(f"p{i}"), role=role)
        return sw

    def run_testpmd(self, vdev, name):
        devs = [f"net_virtio_user{i},path={self.path(f'p{i}')},mac={MAC[i]},{vdev}"
                for i in range(2)]
        pmd = self.start_testpmd(*devs, name=name, args=(
            "--no-lsc-interrupt",  # see hang_up()
            "--total-num-mbufs=8192", f"--eth-peer=0,{MAC[1]}", f"--eth-peer=1,{MAC[0]}"))
        pmd.command("set fwd mac")
        return pmd

    def frames_go_round(self, sw, pmd, touch=False):
        def up():
            if touch:  # virtio-user as a server accepts when its link is asked for
                pmd.command("show port info all")
            return {p["state"] for p in sw.stats()["ports"]} == {"up"}

        wait_until(up, 20, "both ports to be up")
        pmd.command("start tx_first 2")
        frames = lambda: [p["rx"]["frames"] for p in sw.stats()["ports"]]
        first = frames()
        wait_until(lambda: min(b - a for a, b in zip(first, frames())) > 20000, 30,
                   f"frames to go round after {first}")
        self.assertIsNone(next((p["reason"] for p in sw.stats()["ports"] if p["reason"]), None))

    def hang_up(self, pmd):
        """Has testpmd notice that its client is gone: once, and waits until it has hung up.
        virtio-user does so in a thread of its own each time its link is asked for, by us or by its
        interrupt thread; a second time may close the next connection while another thread reads
        from it, for ever (DPDK 22.11, virtio_user_dev_delayed_disconnect_handler)."""
        def connected():
            with open("/proc/net/unix") as f:
                rows = [line.split() for line in f]
            return [r for r in rows if r[-1] in (self.path("p0"), self.path("p1")) and
                    r[3] != "00010000"]  # that one listens

        pmd.command("show port info all")
        wait_until(lambda: not connected(), 20, "testpmd to hang up")

    def switch_restarts(self, vdev):
        """testpmd is the server, the switch connects: killed, and ended politely."""
        sw = self.make("client")
        pmd = self.run_testpmd(f"{vdev},server=1", "server")
        self.frames_go_round(sw, pmd, True)
        for end in ("kill", "stop"):
            getattr(sw, end)()
            pmd.command("stop")
            self.hang_up(pmd)
            sw = self.make("client")
            self.frames_go_round(sw, pmd, True)

    def test_switch_restarts_split(self):
        self.switch_restarts(self.FORMATS["split"])

    @slow
    def test_switch_restarts_split_vectorized(self):
        self.switch_restarts(self.FORMATS["split, vectorized"])

    @slow
    def test_switch_restarts_split_in_order(self):
        self.switch_restarts(self.FORMATS["split, in order"])

    def test_switch_restarts_packed(self):
        self.switch_restarts(self.FORMATS["packed"])

    @slow
    def test_switch_restarts_packed_in_order(self):
        self.switch_restarts(self.FORMATS["packed, in order"])

    @slow
    def test_client_restarts(self):
        """The switch listens; testpmd is killed under traffic, and another one comes."""
        sw = self.make("server")
        for i, (name, vdev) in enumerate(self.FORMATS.items()):
            with self.subTest(format=name):
                pmd = self.run_testpmd(vdev, f"client{i}")
                self.frames_go_round(sw, pmd)
                pmd.kill()
                wait_until(lambda: {p["state"] for p in sw.stats()["ports"]} == {"waiting"}, 10,
                           "both ports to be free")


if __name__ == "__main__":
    harness.main()
