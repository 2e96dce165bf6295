# SPDX-License-Identifier: Apache-2.0
"""What happens to two Linux guests of lanyard-vmm on lanyard-switch: the switch is killed under their
traffic, a driver unloaded and loaded again, a guest rebooted; split and packed rings at once."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "lib"))
import harness
import test_linux_net
from harness import wait_until
from test_linux_net import PACKED, SPLIT
from test_linux_guests import FAIR_DROPS, Link

LIFE_DROPS = FAIR_DROPS | {"rx_uncertain"}


class Life(test_linux_net.Guests):
    def start(self):
        return self.connect([Link(SPLIT, SPLIT), Link(PACKED, PACKED, queues=2)], cpus=2)

    def restart_switch(self):
        self.sw.kill(9)
        self.sw = self.add_switch()

    def grown(self, n_bytes):
        ports = [f"{g}{i}" for g in "ab" for i in range(2)]
        wait_until(lambda: all(self.sw.port(p)["tx"]["bytes"] > n_bytes for p in ports), 60,
                   f"{n_bytes} bytes to leave by {ports}")

    def test_switch_restarts_under_traffic(self):
        """TCP goes on where it was; files arrive afterwards."""
        a, b = self.start()
        for i in range(2):
            b.run(f"iperf3 -s -D -p 530{i}")
            a.spawn(f"tcp{i}", f"iperf3 -c {self.address('b', i)} -p 530{i} -t 1000 --bidir")
        for _ in range(3):
            self.grown(200_000)
            self.restart_switch()
        self.grown(200_000)
        for i in range(2):
            self.assertTrue(a.alive(f"tcp{i}"), a.log(f"tcp{i}"))
            self.assertGreaterEqual(self.nic_info("a", i)["reconnects"], 3)
        for i in range(2):
            a.kill(f"tcp{i}")
        self.send_file("a", "b", self.address("b", 0))
        self.send_file("b", "a", self.address("a", 1))
        self.check_clean(LIFE_DROPS)

    def test_driver_and_reboot_under_traffic(self):
        """ping goes on from the other side meanwhile."""
        a, b = self.start()
        for i in range(2):
            a.spawn(f"ping{i}", f"ping -i 0.2 {self.address('b', i)}")
        for _ in range(2):
            b.run("rmmod virtio_net")
            wait_until(lambda: self.sw.port("b1")["state"] == "waiting", 20, "the port to wait")
            b.run("insmod /modules/virtio_net.ko")
            self.configure("b")
            for i in range(2):
                self.ping(i)
        b.reboot()
        b.run("iperf3 -s -D")
        self.configure("b")
        for i in range(2):
            self.ping(i)
            self.tcp_both_ways(i)
            self.assertTrue(a.alive(f"ping{i}"))
            a.kill(f"ping{i}")
        self.assertEqual(1, b.vmm.call("info")["resets"])
        self.check_clean(LIFE_DROPS)


if __name__ == "__main__":
    harness.main()
