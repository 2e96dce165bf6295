# SPDX-License-Identifier: Apache-2.0
"""The life of a machine with a Linux guest in it: paused and resumed, a kernel's panic, the power button;
all of it in the sandbox. In the rig: its guests want a KVM that is quick in ring 0."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import harness
from harness import Rpc
from lanyardguest import LanyardGuest


class Life(harness.Case):
    def events(self):
        """A function that gives the next event."""
        stream = Rpc(self.path("a.sock"), 60)
        self.addCleanup(stream.close)
        stream.call("events")
        return lambda: json.loads(stream.line())["params"]

    def test_pause_panic_and_power_button(self):
        guest = LanyardGuest(self, "a", files=["/bin/dash"], args=["--vcpus", "2"])
        vmm, event = guest.vmm, self.events()
        guest.hello()
        sandbox = vmm.call("info")["sandbox"]
        self.assertEqual((True, True, True),
                         (sandbox["on"], sandbox["landlock"], sandbox["namespaces"]))

        vmm.call("pause")
        before = vmm.call("counters")["vcpus"]
        for _ in range(20):
            after = vmm.call("counters")["vcpus"]
            self.assertEqual([v["exits"] for v in before], [v["exits"] for v in after])
        vmm.call("resume")
        guest.hello()
        self.assertEqual(["paused", "resumed"], [event()["event"], event()["event"]])

        # A panic: the kernel says so, and then reboots by a triple fault (panic=-1 reboot=t).
        try:
            guest.rpc.call("exec", argv=["/bin/dash", "-c", "echo c > /proc/sysrq-trigger"])
        except (OSError, EOFError):
            pass
        said = event()
        self.assertEqual(("panicked", 1, False),
                         tuple(said.get(k) for k in ("event", "panics", "crash_kernel")))
        self.assertEqual("triple_fault", event()["event"])
        said = event()
        self.assertEqual(("reset", "triple_fault"), (said["event"], said["cause"]))
        guest.hello()
        info = vmm.call("info")
        self.assertEqual(("running", "running", 1, 1, 1),
                         tuple(info[k] for k in ("state", "guest", "panics", "triple_faults",
                                                 "resets")))

        vmm.call("power_button")
        self.assertEqual("power_button", event()["event"])
        self.assertEqual(0, vmm.proc.wait(30 * harness.PATIENCE))
        self.assertIn("ended: the guest powered itself off", vmm.text().splitlines()[-1])


if __name__ == "__main__":
    harness.main()
