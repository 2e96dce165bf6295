#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The life of a machine: paused and resumed, its buttons, what its guest says of itself, and who is told.
A panic, a triple fault, a reset and a shutdown are told apart."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
import test_vmm
import tinyguest as tiny
from fakebackend import FakeBackend
from harness import Case, Rpc, RpcError, wait_until


class Events(Rpc):
    """A connection that asked for the stream of events."""

    def __init__(self, path):
        super().__init__(path, 20)
        self.call("events")

    def next(self, *fields):
        """The next event's name, or a tuple of it and these members."""
        message = json.loads(self.line())
        assert message["method"] == "event" and "id" not in message, message
        params = message["params"]
        assert params["time_ns"] > 0
        return (params["event"], *(params[f] for f in fields)) if fields else params["event"]


@harness.needs_kvm
class LifeCase(Case):
    def tiny_vmm(self, code, *more):
        kernel = tiny.write_elf(self.path("v.elf"), code)
        return self.vmm("v", "--hugepages", "none", *more, kernel=kernel, memory="4M")

    def events(self):
        e = Events(self.path("v.sock"))
        self.addCleanup(e.close)
        return e

    def ended(self, daemon):
        daemon.proc.wait(20)
        last = daemon.text().splitlines()[-1]
        self.assertIn("ended: ", last)
        return daemon.proc.returncode, last.split("ended: ")[1]

    def printed(self):
        with open(self.path("v.console.log"), "rb") as f:
            return f.read()


# Waits for a byte on COM2: what follows happens when a test is ready for it.
ON_DEMAND = tiny.ECHO[:9] + bytes.fromhex("66baf802ec")


class Life(LifeCase):
    def nudge(self):
        s = test_vmm.connect(self.path("v.agent"))
        s.sendall(b"\n")
        s.close()

    def test_pause_stops_the_guest(self):
        v = self.tiny_vmm(tiny.DOTS)
        events = self.events()

        def exits():
            return v.call("counters")["vcpus"][0]["exits"]["io"]

        wait_until(lambda: exits() > 100, 10, "the guest to run")
        for _ in range(5):
            self.assertEqual({}, v.call("pause"))
            self.assertEqual("paused", v.call("info")["state"])
            before = v.call("counters")["vcpus"][0]
            for _ in range(50):
                after = v.call("counters")["vcpus"][0]
                self.assertEqual(before["exits"], after["exits"])
            with self.assertRaisesRegex(RpcError, "the machine is paused and cannot become paused"):
                v.call("pause")
            self.assertEqual({}, v.call("resume"))
            self.assertEqual("running", v.call("info")["state"])
            wait_until(lambda: exits() > before["exits"]["io"] + 100, 10, "the guest to go on")
            self.assertEqual(["paused", "resumed"], [events.next(), events.next()])
        with self.assertRaisesRegex(RpcError, "the machine is running and cannot become running"):
            v.call("resume")

    def test_reset_and_stop_of_a_paused_machine(self):
        v = self.tiny_vmm(tiny.puts("a") + tiny.HLT)
        wait_until(lambda: self.printed() == b"a", 10, "the guest's start")
        events = self.events()
        v.call("pause")
        v.call("reset")
        info = v.call("info")
        self.assertEqual(("paused", 1), (info["state"], info["resets"]))
        self.assertEqual(b"a", self.printed())
        v.call("resume")
        wait_until(lambda: self.printed() == b"aa", 10, "the guest's second start")
        v.call("pause")
        v.call("stop", grace_ms=60000)  # a paused guest hears no button
        self.assertEqual((0, "it was told to stop"), self.ended(v))
        self.assertEqual(["paused", ("reset", "request", 1)],
                         [events.next(), events.next("cause", "resets")])
        self.assertEqual(["resumed", "paused", ("stopped", "it was told to stop", 0)],
                         [events.next(), events.next(), events.next("reason", "status")])
        with self.assertRaises(EOFError):
            events.next()

    def test_panic(self):
        v = self.tiny_vmm(ON_DEMAND + tiny.panic(1) + ON_DEMAND + tiny.panic(2) + tiny.HLT)
        events = self.events()
        self.assertEqual(("running", 0), (v.call("info")["guest"], v.call("info")["panics"]))
        self.nudge()
        self.assertEqual(("panicked", 1, False), events.next("panics", "crash_kernel"))
        info = v.call("info")
        self.assertEqual(("running", "panicked", 1, 0, 0),
                         tuple(info[k] for k in ("state", "guest", "panics", "resets",
                                                 "triple_faults")))
        self.assertIn("the guest's kernel panicked", v.text())
        self.nudge()
        self.assertEqual(("panicked", 2, True), events.next("panics", "crash_kernel"))
        v.call("reset")
        self.assertEqual(("reset", "request"), events.next("cause"))
        info = v.call("info")
        self.assertEqual(("running", 2), (info["guest"], info["panics"]))
        self.nudge()  # and its BAR is back where it was: it can say so again
        self.assertEqual(("panicked", 3, False), events.next("panics", "crash_kernel"))

    def test_triple_fault(self):
        v = self.tiny_vmm(ON_DEMAND + tiny.TRIPLE_FAULT)
        events = self.events()
        for i in range(1, 6):
            self.nudge()
            self.assertEqual(("triple_fault", i), events.next("triple_faults"))
            self.assertEqual(("reset", "triple_fault"), events.next("cause"))
        info = v.call("info")
        self.assertEqual(("running", 5, 5, 0),
                         tuple(info[k] for k in ("guest", "triple_faults", "resets", "panics")))

    def test_guest_resets_itself(self):
        v = self.tiny_vmm(ON_DEMAND + tiny.RESET_CF9)
        events = self.events()
        self.nudge()
        self.assertEqual(("reset", "guest", 1), events.next("cause", "resets"))
        self.assertEqual((1, 0), (v.call("info")["resets"], v.call("info")["triple_faults"]))

    def test_guest_powers_itself_off(self):
        v = self.tiny_vmm(ON_DEMAND + tiny.POWER_OFF)
        events = self.events()
        self.nudge()
        self.assertEqual(("stopped", "the guest powered itself off", 0),
                         events.next("reason", "status"))
        self.assertEqual((0, "the guest powered itself off"), self.ended(v))

    def test_power_button_and_polite_stop(self):
        v = self.tiny_vmm(tiny.POWER_BUTTON + tiny.POWER_OFF)
        self.assertEqual({}, v.call("power_button"))
        self.assertEqual((0, "the guest powered itself off"), self.ended(v))
        v = self.tiny_vmm(tiny.POWER_BUTTON + tiny.POWER_OFF)
        v.call("stop", grace_ms=60000)
        self.assertEqual((0, "it was told to stop, and the guest powered itself off"),
                         self.ended(v))
        v = self.tiny_vmm(tiny.HLT)
        events = self.events()
        v.call("stop", grace_ms=50)
        self.assertEqual(["power_button", "stopped"], [events.next(), events.next()])
        self.assertEqual((0, "it was told to stop, and the guest did not power itself off in time"),
                         self.ended(v))
        v = self.tiny_vmm(tiny.HLT)
        with self.assertRaisesRegex(RpcError, "grace_ms"):
            v.call("stop", grace_ms=-1)

    def test_counters(self):
        v = self.tiny_vmm(tiny.DOTS, "--vcpus", "2")
        wait_until(lambda: v.call("counters")["vcpus"][0]["run_ns"] > 50_000_000, 20,
                   "the guest to use time")
        c = v.call("counters")
        busy, idle = c["vcpus"]
        self.assertGreater(busy["exits"]["io"], 100)
        self.assertEqual(0, idle["exits"]["io"])
        self.assertGreater(busy["run_ns"], idle["run_ns"])
        wait_until(lambda: sum(v.call("counters")["vcpus"][0][k] for k in (
            "user_ns", "system_ns", "guest_ns")) > 0, 20, "a tick")
        self.assertIn("exits", busy["kvm"])
        self.assertEqual((0, 0, 0), (c["resets"], c["panics"], c["triple_faults"]))
        for vcpu in c["vcpus"]:
            for key in ("user_ns", "system_ns", "guest_ns", "run_ns", "wait_ns"):
                self.assertGreaterEqual(vcpu[key], 0)

    def test_link_events(self):
        """A back end that comes and goes is told of."""
        v = self.tiny_vmm(tiny.HLT, "--nic", f"socket={self.path('n0')},mac=02:00:00:00:00:01")
        events = self.events()
        with FakeBackend(self.path("n0")):
            self.assertEqual(("link", "nics", 1, True), events.next("list", "slot", "connected"))
        self.assertEqual(("link", "nics", 1, False), events.next("list", "slot", "connected"))
        self.assertEqual("running", v.call("info")["state"])


if __name__ == "__main__":
    harness.main()
