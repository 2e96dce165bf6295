# SPDX-License-Identifier: Apache-2.0
"""`lanyard up` on the changed file of a lab that is up, against daemons that can be told to fail:
what is asked of whom, what the record says, how it goes back when something fails."""
import copy
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Rpc, huge_free, main, slow, wait_until  # noqa: E402
from test_lab import PAIR, LabCase  # noqa: E402

VM = {"kind": "vm", "guest": "probe", "memory": "64M", "nics": [{"network": "lan"}]}


class ChangeCase(LabCase):
    def setUp(self):
        super().setUp()
        self.file = copy.deepcopy(PAIR)
        self.addCleanup(lambda: self.lanyard("down", "--all", status=None))

        self.env["FAKE_FAIL_FILE"] = self.path("fail")

    def up(self, status=0, fail=""):
        """fail: rules for all fakes, those that run as well."""
        self.write(self.file)
        with open(self.path("fail"), "w") as f:
            f.write(fail)
        done = self.lanyard("up", self.topology, status=status)
        os.unlink(self.path("fail"))
        return done

    def begin(self):
        """The pair is up; what comes then is the change."""
        self.up()
        self.clear_trace()
        self.before = self.record()

    def nic(self, node="a"):
        return self.file["nodes"][node]["nics"][0]

    def steps(self, record=None):
        return [(s["kind"], s.get("name"), s["state"]) for s in (record or self.record())["steps"]]

    def processes(self, record=None):
        return {s.get("name", "switch"): s["process"]["pid"]
                for s in (record or self.record())["steps"] if "process" in s}

    def switch_policy(self, port):
        rpc = Rpc(self.lab_path("switch.sock"), 10)
        try:
            return next(p["policy"] for p in rpc.call("stats")["ports"] if p["name"] == port)
        finally:
            rpc.close()

    def expect_as_before(self):
        """Processes that were not touched are the same, and the lab is what it was."""
        self.assertEqual(self.steps(self.before), self.steps())
        self.assertEqual("up", self.status()["state"])
        self.assertEqual(0, self.lanyard("down", "pair").returncode)


class Changes(ChangeCase):
    def test_policy_is_one_request(self):
        self.begin()
        self.nic("a").update(vlan=10)
        self.nic("b").update(vlan=20, isolated=True)
        self.file["networks"]["lan"]["ageing_s"] = 60
        plan = self.plan()
        self.assertIn("lab pair is up; `up` would change it:", plan)
        self.assertIn("changed port a.0: VLAN 10 (was: plain)", plan)
        self.clear_trace()
        done = self.up()
        self.assertEqual(["switch configure"], self.trace())
        self.assertRegex(done.stdout, r"^lab pair is changed \(.* s\): 3 changed\n$")
        self.assertIn("changed 2 ports, 1 network, at once", done.stderr)
        self.assertIn("port b.0: VLAN 20, isolated (was: plain)", done.stderr)
        self.assertEqual(self.processes(self.before), self.processes())
        self.assertEqual({"vlan": {"access": 20}, "isolated": True}, self.switch_policy("b.0"))
        self.assertEqual(self.steps(self.before), self.steps())
        # And back, and then there is nothing more to do.
        self.file = copy.deepcopy(PAIR)
        self.assertIn("port b.0: plain (was: VLAN 20, isolated)", self.up().stderr)
        self.assertEqual({}, self.switch_policy("b.0"))
        self.assertIn("nothing to do", self.up().stdout)
        self.assertIn("lab pair is up as the file says: nothing to do", self.plan())
        self.lanyard("down", "pair")

    def plan(self):
        self.write(self.file)
        return self.lanyard("plan", self.topology).stdout

    def test_node_added_and_removed(self):
        self.begin()
        self.file["networks"]["dmz"] = {}
        self.file["nodes"]["c"] = copy.deepcopy(VM)
        self.file["nodes"]["c"]["nics"] = [{"network": "dmz", "vlan": 5}, {"network": "lan"}]
        done = self.up()
        self.assertEqual([
            "switch network_add dmz", "switch port_add c.0", "switch port_add c.1", "switch info",
            "vmm/c hello", "switch stats"], self.trace())
        self.assertIn("lab pair is changed", done.stdout)
        self.assertIn("added VM c", done.stderr)
        now = self.processes()
        self.assertEqual(self.processes(self.before), {k: v for k, v in now.items() if k != "c"})
        self.assertEqual({"vlan": {"access": 5}}, self.switch_policy("c.0"))
        self.assertEqual({"a", "b", "c"}, {n["name"] for n in self.status()["nodes"]})
        self.file = copy.deepcopy(PAIR)
        self.clear_trace()
        done = self.lanyard("up", self.write(self.file), "-j")
        self.assertEqual(["vmm/c stop", "switch port_del c.1", "switch port_del c.0",
                          "switch network_del dmz"], self.trace())
        said = json.loads(done.stdout)
        self.assertEqual("other", said["was"])
        self.assertEqual(["removed VM c", "removed port c.1", "removed port c.0",
                          "removed network dmz"], said["changes"])
        self.assertEqual(self.processes(self.before), self.processes())
        self.assertEqual([], [f for f in os.listdir(self.lab_path("")) if f.startswith("c.s")])
        self.lanyard("down", "pair")

    def test_vm_restarts_alone(self):
        self.begin()
        self.file["nodes"]["b"]["memory"] = "128M"
        done = self.up()
        self.assertEqual(["vmm/b stop", "switch info", "vmm/b hello", "switch stats"],
                         self.trace())
        self.assertIn("restarted VM b, 128M", done.stderr)
        self.assertIn(": 1 restarted\n", done.stdout)
        self.assertEqual(self.processes(self.before)["a"], self.processes()["a"])
        self.assertNotEqual(self.processes(self.before)["b"], self.processes()["b"])
        self.lanyard("down", "pair")

    def test_nic_moves(self):
        """To another network: its port comes back there, the VM goes on."""
        self.file["networks"]["dmz"] = {}
        self.begin()
        self.nic("b")["network"] = "dmz"
        self.up()
        self.assertEqual(["switch port_del b.0", "switch port_add b.0", "switch stats"],
                         self.trace())
        self.assertEqual(self.processes(self.before), self.processes())
        self.lanyard("down", "pair")

    def test_mirrors_and_addresses_move(self):
        """Who listens goes, another comes; an address moves with it: all in one transaction."""
        static = ["02:00:00:00:00:77"]
        self.file["ports"] = {"w1": {"network": "lan", "tap": "t0", "mirror": {"from": "a.0"},
                                     "static": static}}
        self.begin()
        self.assertEqual("w1", self.switch_policy("a.0")["mirror"]["to"])
        self.file["ports"] = {"w2": {"network": "lan", "tap": "t1", "mirror": {"from": "a.0"},
                                     "static": static}}
        self.up()
        self.assertEqual(["switch port_add w2", "switch configure", "switch port_del w1"],
                         [t for t in self.trace() if "stats" not in t])
        self.assertEqual("w2", self.switch_policy("a.0")["mirror"]["to"])
        self.assertEqual({"static": [{"mac": static[0]}]}, self.switch_policy("w2"))
        # The listener's interface changes: its port, and the one that is mirrored, come back.
        self.clear_trace()
        self.file["ports"]["w2"]["tap"] = "t2"
        self.up()
        self.assertEqual(["switch port_del a.0", "switch port_del w2", "switch port_add w2",
                          "switch port_add a.0"],
                         [t for t in self.trace() if "stats" not in t])
        self.assertEqual("w2", self.switch_policy("a.0")["mirror"]["to"])
        # One interface, from one port to another of another name.
        self.clear_trace()
        self.file["ports"] = {"w3": {"network": "lan", "tap": "t2"}}
        self.up()
        self.assertNotIn("mirror", self.switch_policy("a.0"))
        self.lanyard("down", "pair")

    def test_switch_cannot_change(self):
        self.begin()
        self.file["switch"] = {"poll": "busy"}
        done = self.up(status=2)
        self.assertIn("can't change to --cpus 0 --poll busy while it runs: lanyard down pair, "
                      "then up", done.stderr)
        self.assertEqual([], self.trace())
        self.assertIn("here `up` would fail", self.plan())
        self.expect_as_before()

    def test_bench_does_not_change(self):
        self.begin()
        self.nic("a").update(vlan=10)
        self.nic("b").update(vlan=10)
        self.file["traffic"] = [{"name": "t", "from": "a.0", "to": "b.0"}]
        done = self.lanyard("bench", self.write(self.file), status=2)
        self.assertIn("applies the difference", done.stderr)
        self.assertEqual([], self.trace())
        self.expect_as_before()

    def test_repaired_and_changed(self):
        self.begin()
        self.kill(self.pid_of("switch"))
        self.kill(self.pid_of("vm", "b"))
        self.nic("a").update(vlan=10)
        del self.file["nodes"]["b"]
        done = self.up()
        self.assertIn("the switch died; starting it again", done.stderr)
        self.assertEqual({"vlan": {"access": 10}}, self.switch_policy("a.0"))
        self.assertEqual({"a", "switch"}, set(self.processes()))
        self.assertEqual("up", self.status()["state"])
        self.lanyard("down", "pair")

    @slow
    def test_hugepages_follow(self):
        """What `up` added goes when the guest that needed it does, and comes again."""
        if os.environ.get("LANYARD_TEST_SHARED_HOST"):
            return  # others take and give back pages meanwhile
        free, total = huge_free()
        # More than there are, also with those of the guests that go: the fakes here take none.
        self.file["nodes"]["a"]["memory"] = f"{2 * (free + 100)}M"
        self.begin()
        raised = huge_free()[1] - total
        self.assertGreater(raised, 0)
        self.file["nodes"]["a"]["memory"] = "64M"
        self.up()
        self.assertEqual(total, huge_free()[1])
        self.file["nodes"]["a"]["memory"] = f"{2 * (free + 100)}M"
        self.up()
        self.assertGreater(huge_free()[1], total)
        self.lanyard("down", "pair")
        self.assertEqual(total, huge_free()[1])


class Back(ChangeCase):
    """Something fails half way: the lab is what it was."""

    def begin_big(self):
        """A change that touches everything."""
        self.file["networks"]["old"] = {}
        self.file["nodes"]["c"] = {**copy.deepcopy(VM), "nics": [{"network": "old"}]}
        self.begin()
        del self.file["networks"]["old"], self.file["nodes"]["c"]
        self.file["networks"]["new"] = {}
        self.file["nodes"]["d"] = {**copy.deepcopy(VM), "nics": [{"network": "new", "vlan": 3}]}
        self.file["nodes"]["b"]["memory"] = "128M"
        self.nic("a")["vlan"] = 3

    def expect_back(self, done):
        self.assertIn("lab pair is as it was", done.stderr)
        self.assertEqual({}, self.switch_policy("a.0"))
        self.assertNotIn("VM c", done.stderr)
        for name in ("switch", "a", "c"):
            self.assertEqual(self.processes(self.before)[name], self.processes()[name])
        with open(self.lab_path("topology.json")) as f:
            self.assertIn("c", json.load(f)["nodes"])
        self.expect_as_before()

    def test_refused(self):
        for rule in ("switch:network_add/new", "switch:port_add/d.0", "switch:configure",
                     "vmm/d:start", "vmm/d:hello"):
            with self.subTest(rule=rule):
                self.file = copy.deepcopy(PAIR)
                self.begin_big()
                how = "die" if "vmm" in rule else "refuse"
                done = self.up(status=None, fail=f"{rule}={how}")
                self.assertIn(done.returncode, (1, 2, 7))
                self.expect_back(done)

    def test_new_arguments_are_bad(self):
        """A VM that restarts doesn't come up: the old one comes back."""
        self.begin()
        self.file["nodes"]["b"]["memory"] = "128M"
        done = self.up(status=None, fail="vmm/b:memory/128M=die")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("lab pair is as it was", done.stderr)
        self.expect_as_before()

    def test_memory(self):
        self.begin()
        self.file["nodes"]["c"] = {**copy.deepcopy(VM), "memory": "4T"}
        done = self.up(status=2)
        self.assertIn('node "c" asks for 4T', done.stderr)
        self.assertEqual([], self.trace())
        self.expect_as_before()

    def test_interrupted(self):
        self.begin()
        self.file["nodes"]["c"] = copy.deepcopy(VM)
        self.write(self.file)
        up = self.begin_up(FAKE_FAIL="vmm/c:start=hang")
        wait_until(lambda: any(s["kind"] == "vm" and s["name"] == "c" and "process" in s
                               for s in self.record()["steps"]), 20, "the start of c")
        up.send_signal(signal.SIGINT)
        code, _, stderr = self.finish(up)
        self.assertEqual(1, code)
        self.assertIn("interrupted by SIGINT", stderr)
        self.expect_as_before()


class CutOff(ChangeCase):
    """The `up` that changes is killed: the record tells, `down` cleans up, `up` goes on."""

    def cut(self, rule, when):
        """Kills the `up` that changes when the record says so; the fake hangs there."""
        self.file["nodes"]["c"] = {**copy.deepcopy(VM), "nics": [{"network": "lan", "vlan": 3}]}
        self.nic("a")["vlan"] = 3
        self.write(self.file)
        up = self.begin_up(FAKE_FAIL=rule)
        wait_until(lambda: any(when(s) for s in self.record()["steps"]), 20, rule)
        up.kill()
        up.wait()

    def cut_at_start(self):
        self.begin()
        self.cut("vmm/c:start=hang", lambda s: s["kind"] == "vm" and s["name"] == "c" and
                 "process" in s)

    def test_down(self):
        self.cut_at_start()
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_up_finishes(self):
        self.cut_at_start()
        self.kill(self.pid_of("vm", "c"))
        done = self.up()
        self.assertIn("VM c", done.stderr)
        self.assertEqual({"vlan": {"access": 3}}, self.switch_policy("a.0"))
        self.assertEqual({"vlan": {"access": 3}}, self.switch_policy("c.0"))
        self.assertEqual("up", self.status()["state"])
        self.assertEqual(["done"] * len(self.record()["steps"]),
                         [s["state"] for s in self.record()["steps"]])
        self.lanyard("down", "pair")

    def test_up_as_it_was(self):
        self.cut_at_start()
        self.file = copy.deepcopy(PAIR)
        self.up()
        self.assertEqual({}, self.switch_policy("a.0"))
        self.assertEqual(self.steps(self.before), self.steps())
        self.assertEqual("up", self.status()["state"])
        self.lanyard("down", "pair")


if __name__ == "__main__":
    main()
