# SPDX-License-Identifier: Apache-2.0
"""Our NIC on other programs' vhost-user back ends: dpdk-testpmd's net_vhost, as server and as
client, and Open vSwitch with DPDK, both of its port types. Two probes exchange frames through each.
Packed rings on them, with Linux guests: tests/rig/by_hand/test_linux_net.py."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from foreign import Ovs, VhostPmd
from harness import Rpc, wait_until
from test_vmm_link import MAC, LinkCase

HZ = 2_000_000_000


@harness.needs_kvm
class Foreign(LinkCase):
    """Probes a and b on sockets 0.vhost and 1.vhost."""

    def start_vms(self, **keys):
        self.vms, self.agents = {}, {}
        for i, n in enumerate("ab"):
            self.vms[n] = self.vmm(n, *self.nic(i, **keys), cmdline=f"tsc_hz={HZ} node={n}")
            self.agents[n] = Rpc(self.path(f"{n}.agent"), 20)
            self.addCleanup(self.agents[n].close)

    def sockets(self):
        return [self.path(f"{i}.vhost") for i in range(2)]

    def wait_up(self):
        for n in "ab":
            self.wait_link(self.vms[n], "up", timeout_s=30)

    def exchange(self, frames=2000):
        """Frames both ways, of two sizes: none doubled or changed, and before long none lost (a
        back end may have just begun)."""
        for size in (64, 1518):
            for sender, receiver in ("ab", "ba"):
                wait_until(lambda: self.one_way(sender, receiver, size, frames), 30,
                           f"{frames} frames of {size} bytes from {sender} to {receiver}")

    def one_way(self, sender, receiver, size, frames):
        index = {"a": 0, "b": 1}
        flow = {"id": 1, "nic": 0, "size": size, "rate_mfps": 20_000_000, "frames": frames,
                "duration_ms": 0, "l4_flows": 1}
        self.agents[receiver].call("traffic_start", reset=True, flows=[
            dict(flow, role="receive", peer_mac=MAC.format(index[sender] + 1))])
        self.agents[sender].call("traffic_start", reset=True, flows=[
            dict(flow, role="send", peer_mac=MAC.format(index[receiver] + 1))])
        status = lambda n: self.agents[n].call("traffic_status", histogram=False)["flows"][0]
        wait_until(lambda: status(sender)["done"], 20, "the sender's end")
        try:
            wait_until(lambda: status(receiver)["frames"] >= frames, 1, "all frames")
        except AssertionError:
            pass
        got = status(receiver)
        self.assertEqual((0, 0), (got["duplicated"], got["corrupt"]))
        return got["frames"] == frames


class VhostPmdBackend(Foreign):
    def back_end(self, client=False, name="pmd"):
        return VhostPmd(self, self.sockets(), client=client, name=name)

    def test_server(self):
        pmd = self.back_end()
        self.start_vms()
        self.wait_up()
        self.exchange()
        pmd.kill(signal.SIGKILL)
        for n in "ab":
            self.wait_link(self.vms[n], "down", timeout_s=20)
        for path in self.sockets():
            os.unlink(path)
        self.back_end(name="pmd2")
        self.wait_up()
        self.exchange()

    def test_client(self):
        """We listen; the back end comes, goes and comes again."""
        self.start_vms(listen="on")
        self.assertEqual("down", self.nic_info(self.vms["a"])["link"])
        self.assertIn("no back end has connected", self.nic_info(self.vms["a"])["waiting"])
        pmd = self.back_end(client=True)
        self.wait_up()
        self.exchange()
        pmd.kill(signal.SIGKILL)
        for n in "ab":
            self.wait_link(self.vms[n], "down", timeout_s=20)
        self.back_end(client=True, name="pmd2")
        self.wait_up()
        self.exchange()
        for n in "ab":
            self.assertEqual(0, self.vms[n].kill(signal.SIGTERM))
        self.assertEqual([False] * 2, [os.path.exists(p) for p in self.sockets()])

    def test_socket_in_use(self):
        """Somebody listens there already."""
        self.start_vms(listen="on")
        control = self.path("c.sock")
        done = subprocess.run(
            [harness.VMM, "--name", "c", "--control", control, "--kernel", harness.PROBE,
             "--memory", "64M", *self.nic(0, listen="on")], capture_output=True, text=True,
            timeout=30 * harness.PATIENCE)
        self.assertNotEqual(0, done.returncode)
        self.assertIn(self.path("0.vhost"), done.stderr)
        self.assertIn("another process listens on it", done.stderr)


class OvsBackend(Foreign):
    def test_client_ports(self):
        """dpdkvhostuserclient: Open vSwitch connects."""
        self.start_vms(listen="on")
        ovs = Ovs(self, self.sockets(), client=True)
        self.wait_up()
        self.exchange()
        ovs.restart()
        self.wait_up()
        self.exchange()

    def test_server_ports(self):
        """dpdkvhostuser: Open vSwitch listens, in its own folder."""
        Ovs(self, self.sockets(), client=False)
        self.start_vms()
        self.wait_up()
        self.exchange()


if __name__ == "__main__":
    harness.main()
