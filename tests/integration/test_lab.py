# SPDX-License-Identifier: Apache-2.0
"""The lanyard command against daemons that can be told to fail (tests/lib/fake_daemons.py): what
up, down and status do when something goes wrong at each point, and what they leave: nothing."""
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import fake_daemons  # noqa: E402
from harness import (slow, Case, LANYARD, PROBE, huge_free, main, processes_with,  # noqa: E402
                     wait_until)

PAIR = {
    "version": 1, "lab": "pair", "networks": {"lan": {"mtu": 1500}},
    "nodes": {
        "a": {"kind": "vm", "guest": "probe", "memory": "64M", "nics": [{"network": "lan"}]},
        "b": {"kind": "vm", "guest": "probe", "memory": "64M", "nics": [{"network": "lan"}]}},
}


class LabCase(Case):
    def setUp(self):
        super().setUp()
        self.labs = self.path("labs")  # LANYARD_RUN: apart from this test's own files
        self.env["LANYARD_RUN"] = self.labs
        self.env["FAKE_TRACE"] = self.path("trace")
        self.env["LANYARD_SWITCH"] = self.path("lanyard-switch")
        self.env["LANYARD_VMM"] = self.path("lanyard-vmm")
        self.env["LANYARD_PROBE"] = PROBE
        self.env["LANYARD_KVM"] = PROBE  # the fake VMM wants none: any file that opens
        fake_daemons.install(self.run_dir)
        self.topology = self.write(PAIR)
        self.addCleanup(self.expect_nothing)

    def write(self, topology, name="pair.json"):
        path = self.path(name)
        with open(path, "w") as f:
            json.dump(topology, f)
        return path

    def lab_path(self, name, lab="pair"):
        return os.path.join(self.labs, lab, name)

    def trace(self):
        try:
            with open(self.path("trace")) as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def clear_trace(self):
        open(self.path("trace"), "w").close()

    def status(self, lab="pair"):
        return json.loads(self.lanyard("status", lab, "-j").stdout)

    def record(self):
        with open(self.lab_path("record.json")) as f:
            return json.load(f)

    def pid_of(self, kind, name=None):
        return next(s["process"]["pid"] for s in self.record()["steps"]
                    if s["kind"] == kind and s.get("name") == name)

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}") or
                   open(f"/proc/{pid}/stat").read().split(") ")[1][0] == "Z", 5, "the end")

    def expect_nothing(self):
        """No daemon and no file of a lab is there."""
        self.assertEqual({}, processes_with(self.labs))
        left = os.listdir(self.labs) if os.path.exists(self.labs) else []
        self.assertEqual([], left)

    def begin_up(self, **env):
        """`lanyard up` in the background."""
        up = subprocess.Popen([LANYARD, "up", self.topology], env={**self.env, **env},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(up.wait, 30)
        self.addCleanup(up.terminate)
        return up

    def finish(self, proc, timeout_s=20):
        out, err = proc.communicate(timeout=timeout_s)
        return proc.returncode, out, err


class UpDown(LabCase):
    def test_cycle(self):
        before = huge_free()[1]
        up = self.lanyard("up", self.topology)
        self.assertIn("lab pair is up (", up.stdout)
        self.assertEqual([
            "switch info", "switch network_add lan", "switch port_add a.0",
            "switch port_add b.0", "vmm/a hello", "vmm/b hello", "switch stats"], self.trace())
        self.assertEqual(0o700, os.stat(self.lab_path("")).st_mode & 0o777)
        self.assertEqual(["done"] * len(self.record()["steps"]),
                         [s["state"] for s in self.record()["steps"]])
        self.assertEqual("up", self.status()["state"])
        self.clear_trace()
        down = self.lanyard("down", "pair")
        self.assertIn("lab pair is down (", down.stdout)
        self.assertEqual([
            "vmm/b stop", "vmm/a stop", "switch port_del b.0", "switch port_del a.0",
            "switch network_del lan", "switch shutdown"], self.trace())
        self.expect_nothing()
        self.assertEqual(before, huge_free()[1])

    def test_again_and_again(self):
        self.lanyard("up", self.topology)
        self.clear_trace()
        again = self.lanyard("up", self.topology)
        self.assertRegex(again.stdout,
                         r"^lab pair is up already since 2\d{3}-.*: nothing to do\n$")
        self.assertEqual([], self.trace())
        self.lanyard("down", "pair")
        for _ in range(2):
            self.assertEqual("lab pair is not up: nothing to do\n",
                             self.lanyard("down", "pair").stdout)
        self.lanyard("up", self.topology)
        self.lanyard("down", "--all")
        self.assertEqual("no lab is up: nothing to do\n", self.lanyard("down", "--all").stdout)

    def test_other_topology(self):
        self.lanyard("up", self.topology)
        other = self.write({**PAIR, "networks": {"lan": {"mtu": 9000}}}, "other.json")
        refused = self.lanyard("up", other, status=2)
        self.assertIn("a lab named pair is up already", refused.stderr)
        self.assertIn("lanyard down pair", refused.stderr)
        # The traffic is not the lab: `bench pair` runs the new one.
        traffic = [{"name": "t", "from": "a.0", "to": "b.0", "rate": "max", "seconds": 1,
                    "frame": [64]}]
        self.write({**PAIR, "traffic": traffic})
        self.assertIn("nothing to do", self.lanyard("up", self.topology).stdout)
        with open(self.lab_path("topology.json")) as f:
            self.assertEqual(traffic, json.load(f)["traffic"])
        self.lanyard("down", "pair")

    def test_json(self):
        up = json.loads(self.lanyard("up", self.topology, "-j", "-q").stdout)
        self.assertEqual((1, "pair", "down"), (up["version"], up["lab"], up["was"]))
        # Every step of the plan, with its time.
        self.assertEqual([s["does"] for s in json.loads(
            self.lanyard("plan", self.topology, "-j").stdout)["steps"]],
            [s["step"] for s in up["steps"]])
        self.assertEqual({"done"}, {s["how"] for s in up["steps"]})
        self.assertLessEqual(sum(s["took_s"] for s in up["steps"]), up["took_s"])
        up = json.loads(self.lanyard("up", self.topology, "-j").stdout)
        self.assertEqual("up", up["was"])
        self.assertEqual([], up["steps"])
        labs = json.loads(self.lanyard("status", "-j").stdout)["labs"]
        self.assertEqual([("pair", "up", 2)], [(s["lab"], s["state"], s["nodes"]) for s in labs])
        down = json.loads(self.lanyard("down", "pair", "-j").stdout)
        self.assertFalse(down["was_down"])
        self.assertTrue(json.loads(self.lanyard("down", "pair", "-j").stdout)["was_down"])

    def test_quiet(self):
        up = self.lanyard("up", "-q", self.topology)
        self.assertEqual("", up.stdout)
        self.assertEqual([], [line for line in up.stderr.splitlines()
                              if not line.startswith("warning: ")])
        self.assertEqual("", self.lanyard("down", "-q", "pair").stdout)

    def test_detached(self):
        """Daemons hold nothing of the caller's: no pipe, no terminal, no session."""
        read, write = os.pipe()
        os.set_inheritable(write, True)
        subprocess.run([LANYARD, "up", "-q", self.topology], env=self.env, check=True,
                       pass_fds=[write], stderr=subprocess.DEVNULL, timeout=30)
        os.close(write)
        os.set_blocking(read, False)
        self.assertEqual(b"", os.read(read, 1))  # end of file: nobody else has it
        os.close(read)
        for pid in processes_with(self.labs):
            self.assertEqual(pid, os.getsid(pid))
            self.assertEqual("/dev/null", os.readlink(f"/proc/{pid}/fd/0"))
            self.assertEqual("/", os.readlink(f"/proc/{pid}/cwd"))
        self.lanyard("down", "pair")

    def test_hugepages_put_back(self):
        """More than is free: `up` adds what lacks, `down` takes it away again."""
        free, total = huge_free()
        topology = json.loads(json.dumps(PAIR))
        topology["nodes"]["a"]["memory"] = f"{(free + 16) * 2}M"
        self.lanyard("up", self.write(topology))
        self.addCleanup(self.lanyard, "down", "pair")
        step = next(s for s in self.record()["steps"] if s["kind"] == "hugepages")
        self.assertGreater(step["pages_raised"], 0)
        self.assertEqual(total + step["pages_raised"], huge_free()[1])
        self.lanyard("down", "pair")
        self.assertEqual(total, huge_free()[1])

    def test_external(self):
        topology = json.loads(json.dumps(PAIR))
        topology["nodes"]["x"] = {"kind": "external", "nics": [{"network": "lan"}]}
        self.lanyard("up", self.write(topology))
        text = self.lanyard("status", "pair").stdout
        self.assertIn(f"port x.0 is for a client of yours: vhost-user, socket "
                      f"{self.lab_path('x.0.vhost')}", text)
        self.lanyard("down", "pair")

    def test_policies(self):
        """Ports with policies, and host ports: requests, record, status."""
        topology = json.loads(json.dumps(PAIR))
        topology["nodes"]["a"]["nics"][0].update(vlan=10, anti_spoof=True, mergeable=False)
        topology["nodes"]["b"]["nics"][0].update(mirror={"from": "up"})
        topology["ports"] = {"up": {"network": "lan", "tap": "lan0", "isolated": True}}
        self.lanyard("up", self.write(topology))
        mac = self.status()["ports"][0]["mac"]
        a, b, up = self.status()["ports"]
        self.assertEqual({"vlan": {"access": 10}, "spoof": {"macs": [mac]}}, a["policy"])
        self.assertEqual({}, b["policy"])
        self.assertEqual(("up", "tap", "lan0", None, None),
                         (up["name"], up["kind"], up["device"], up["mac"], up["socket"]))
        self.assertEqual({"isolated": True, "mirror": {"to": "b.0", "direction": "both"}},
                         up["policy"])
        text = self.lanyard("status", "pair").stdout
        self.assertIn("  VLAN 10, anti-spoofing\n", text)
        self.assertIn("  tap lan0, isolated, mirrored to b.0\n", text)
        self.lanyard("down", "pair")


class Failures(LabCase):
    """Each step told to fail in turn: all is undone, and the sentence says what it was."""

    def expect_undone(self, fail, *sentences, status=1):
        self.clear_trace()
        before = huge_free()[1]
        self.env["FAKE_FAIL"] = fail
        up = self.lanyard("up", self.topology, status=status)
        del self.env["FAKE_FAIL"]
        for sentence in sentences:
            self.assertIn(sentence, up.stderr)
        self.assertEqual(before, huge_free()[1])
        self.expect_nothing()
        return up.stderr

    def test_refused(self):
        self.expect_undone("switch:network_add=refuse", "network_add lan refused, as told")
        self.assertEqual(["network_add lan", "network_del lan", "shutdown"],
                         [t.removeprefix("switch ") for t in self.trace()[1:]])
        self.expect_undone("switch:port_add/b.0=refuse", "port_add b.0 refused, as told")
        self.assertEqual(["port_del b.0", "port_del a.0", "network_del lan", "shutdown"],
                         [t.removeprefix("switch ") for t in self.trace()[-4:]])
        self.expect_undone("switch:stats=refuse", "refused")

    def test_dies_at_start(self):
        self.expect_undone("switch:start=die", "the switch ended with status 7: told to die")
        self.expect_undone("vmm/b:start=die", "VM b ended with status 7: told to die")

    def test_killed(self):
        self.expect_undone("switch:start=kill", "the switch was killed by SIGKILL",
                           "its log is empty")
        self.expect_undone("switch:port_add/b.0=kill", "the switch was killed by SIGKILL")
        self.expect_undone("vmm/a:hello=kill", "VM a was killed by SIGKILL")

    def test_program_missing(self):
        self.env["LANYARD_VMM"] = "/nowhere/lanyard-vmm"
        self.expect_undone("", "/nowhere/lanyard-vmm, named by LANYARD_VMM: No such file",
                           status=3)
        self.env["LANYARD_VMM"] = self.path("trace")
        self.clear_trace()
        self.expect_undone("", "can't be started: Permission denied", status=3)

    def test_interrupted(self):
        """Ctrl-C while a guest is waited for."""
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.clear_trace()
            up = self.begin_up(FAKE_FAIL="vmm/b:hello=refuse")
            wait_until(lambda: "vmm/b hello" in self.trace(), 30, "the wait for b")
            up.send_signal(signo)
            status, _, err = self.finish(up)
            self.assertEqual(1, status)
            self.assertIn(f"interrupted by {signo.name}", err)
            self.expect_nothing()

    def test_two_at_once(self):
        up = self.begin_up(FAKE_FAIL="vmm/b:hello=refuse")
        wait_until(lambda: "vmm/b hello" in self.trace(), 30, "the wait for b")
        for command in (["up", self.topology], ["down", "pair"]):
            refused = self.lanyard(*command, status=1)
            self.assertIn(f"lab pair is being changed by another lanyard (pid {up.pid})",
                          refused.stderr)
        self.assertEqual("half made", self.status()["state"])
        up.send_signal(signal.SIGINT)
        self.finish(up)

    def crash_up(self):
        """`up` killed while it waits; its daemons live on."""
        self.clear_trace()
        up = self.begin_up(FAKE_FAIL="vmm/b:hello=refuse")
        wait_until(lambda: "vmm/b hello" in self.trace(), 30, "the wait for b")
        up.kill()
        self.finish(up)
        self.assertEqual(3, len(processes_with(self.lab_path(""))))

    def test_crash_then_down(self):
        self.crash_up()
        self.assertIn("did not finish", self.lanyard("status", "pair").stdout)
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_crash_then_up(self):
        self.crash_up()
        up = self.lanyard("up", self.topology)
        self.assertIn("an earlier `up` of lab pair did not finish", up.stderr)
        self.assertEqual("up", self.status()["state"])
        self.assertEqual(3, len(processes_with(self.lab_path(""))))
        self.lanyard("down", "pair")

    def test_crash_before_the_pid_was_written(self):
        self.crash_up()
        record = self.record()
        for step in record["steps"]:
            if step["kind"] in ("vm", "switch"):
                del step["process"]
                step["state"] = "begun"
        with open(self.lab_path("record.json"), "w") as f:
            json.dump(record, f)
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_damaged_record(self):
        self.lanyard("up", self.topology)
        with open(self.lab_path("record.json"), "r+") as f:
            f.truncate(300)
        up = self.lanyard("up", self.topology, status=1)
        self.assertIn("the record is damaged: line", up.stderr)
        self.assertIn("lanyard down pair cleans it up", up.stderr)
        self.assertIn("damaged", self.lanyard("status").stdout)
        down = self.lanyard("down", "pair")
        self.assertIn("ending what runs in its folder", down.stderr)
        self.expect_nothing()

    def test_foreign_file(self):
        self.lanyard("up", self.topology)
        with open(self.lab_path("notes.txt"), "w") as f:
            f.write("mine\n")
        down = self.lanyard("down", "pair")
        self.assertIn(f"{self.lab_path('notes.txt')} is not ours: left there", down.stderr)
        self.assertEqual(["notes.txt"], os.listdir(self.lab_path("")))
        self.lanyard("up", self.topology)  # it does not stand in the way
        self.lanyard("down", "pair")
        shutil.rmtree(self.lab_path(""))

    @slow
    def test_stubborn(self):
        """A VMM that is stopped answers nothing: SIGKILL ends it, and that is told."""
        self.lanyard("up", self.topology)
        os.kill(self.pid_of("vm", "b"), signal.SIGSTOP)
        status = self.status()
        self.assertEqual("silent", status["nodes"][1]["state"])
        self.assertIn("does not answer", status["nodes"][1]["reason"])
        down = self.lanyard("down", "pair")
        self.assertIn("VM b did not end when asked: SIGKILL ended it", down.stderr)


class Repair(LabCase):
    def test_switch_killed(self):
        self.lanyard("up", self.topology)
        vms = [self.pid_of("vm", name) for name in "ab"]
        self.kill(self.pid_of("switch"))
        status = self.status()
        self.assertEqual(("degraded", "died"), (status["state"], status["switch"]["state"]))
        self.assertIn("killed, or crashed; its log ends with: ", status["switch"]["reason"])
        self.assertIn("the switch is gone; lanyard up ", status["why"])
        self.clear_trace()
        up = self.lanyard("up", self.topology)
        self.assertIn("the switch died; starting it again", up.stderr)
        self.assertEqual([
            "switch info", "switch network_add lan", "switch port_add a.0",
            "switch port_add b.0", "switch stats"], self.trace())
        self.assertEqual(vms, [self.pid_of("vm", name) for name in "ab"])
        self.assertEqual("up", self.status()["state"])
        self.lanyard("down", "pair")

    def test_vm_killed(self):
        self.lanyard("up", self.topology)
        switch = self.pid_of("switch")
        self.kill(self.pid_of("vm", "a"))
        status = self.status()
        self.assertEqual(["died", "running"], [n["state"] for n in status["nodes"]])
        self.clear_trace()
        up = json.loads(self.lanyard("up", self.topology, "-j").stdout)
        self.assertEqual("broken", up["was"])
        self.assertEqual(switch, self.pid_of("switch"))
        self.assertEqual(["vmm/a hello", "switch stats"],
                         [t for t in self.trace() if t != "switch info"])
        self.assertEqual(["running"] * 2, [n["state"] for n in self.status()["nodes"]])
        self.lanyard("down", "pair")

    def test_ended_by_itself(self):
        """An end with a last word in the log is no death."""
        self.lanyard("up", self.topology)
        pid = self.pid_of("vm", "a")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 5, "the end")
        node = self.status()["nodes"][0]
        self.assertEqual(("ended", "asked by SIGTERM"), (node["state"], node["reason"]))
        self.lanyard("down", "pair")

    def test_repair_fails(self):
        """What lived on still does; the next `up` tries again."""
        self.lanyard("up", self.topology)
        vms = [self.pid_of("vm", name) for name in "ab"]
        self.kill(self.pid_of("switch"))
        self.env["FAKE_FAIL"] = "switch:port_add/b.0=refuse"
        self.lanyard("up", self.topology, status=1)
        del self.env["FAKE_FAIL"]
        self.assertEqual(vms, [self.pid_of("vm", name) for name in "ab"])
        self.assertEqual("degraded", self.status()["state"])
        self.lanyard("up", self.topology)
        self.assertEqual("up", self.status()["state"])
        self.assertEqual(vms, [self.pid_of("vm", name) for name in "ab"])
        self.lanyard("down", "pair")

    def test_all_killed_then_down(self):
        self.lanyard("up", self.topology)
        for pid in list(processes_with(self.lab_path(""))):
            self.kill(pid)
        self.assertEqual("degraded", self.status()["state"])
        self.lanyard("down", "pair")


class Commands(LabCase):
    def test_usage(self):
        self.assertIn("Usage: lanyard COMMAND", self.lanyard("--help").stdout)
        self.assertIn("Usage: lanyard COMMAND", self.lanyard(status=2).stderr)
        wrong = self.lanyard("stauts", status=2)
        self.assertIn('did you mean "status"?', wrong.stderr)
        for command in ("validate", "plan", "graph", "up", "down", "status", "console", "logs",
                        "doctor", "version"):
            self.assertIn(f"Usage: lanyard {command}", self.lanyard(command, "--help").stdout)
            self.assertIn("--nonsense", self.lanyard(command, "--nonsense", status=2).stderr)
        self.assertIn("TOPOLOGY is missing", self.lanyard("up", status=2).stderr)
        self.assertIn("one argument too many", self.lanyard("up", "a", "b", status=2).stderr)
        self.lanyard("down", status=2)
        self.lanyard("down", "../etc", status=2)
        self.lanyard("down", ".", status=2)

    def test_version(self):
        version = json.loads(self.lanyard("version", "-j").stdout)["version"]
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        for way in ("version", "--version", "-V"):
            self.assertEqual(f"lanyard {version}\n", self.lanyard(way).stdout)

    def test_not_up(self):
        for command in (["status", "pair"], ["console", "pair/a"], ["logs", "pair"]):
            self.assertIn("lab pair is not up", self.lanyard(*command, status=2).stderr)
        self.assertIn("no lab is up", self.lanyard("status").stdout)

    def test_bad_topology(self):
        """Each with its own sentence, FILE:LINE:COLUMN and status 2, from every command alike."""
        good = """{ "version": 1, "lab": "pair",
 "networks": { "lan": { "mtu": 1500 } },
 "nodes": {
  "a": { "kind": "vm", "memory": "64M", "nics": [ { "network": "lan", "mac": "02:00:00:00:00:01" } ] },
  "b": { "kind": "vm", "memory": "64M", "nics": [ { "network": "lan", "mac": "02:00:00:00:00:02" } ] } },
 "traffic": [ { "name": "t", "from": "a.0", "to": "b.0", "frame": [ 64 ], "rate": "1kpps", "seconds": 1 } ] }
"""
        path = self.path("bad.json")
        for what, old, new, place, *words in (
                ("malformed JSON", "[ 64 ]", "[ 64 ", "6:"),
                ("unknown key", '"networks"', '"netwroks"', "2:2", '"netwroks"', '"networks"'),
                ("unknown network", '"network": "lan", "mac": "02:00:00:00:00:02"',
                 '"network": "wan"', "5:", '"wan"'),
                ("duplicate MAC", "00:02", "00:01", "5:", "02:00:00:00:00:01"),
                ("multicast MAC", "02:00:00:00:00:02", "01:00:00:00:00:02", "5:", "unicast"),
                ("size without unit", '"64M"', '"64"', "4:", "unit"),
                ("rate without unit", '"1kpps"', '"1000"', "6:", "pps"),
                ("memory 0", '"64M"', '"0M"', "4:", "memory"),
                ("frame larger than the MTU", "[ 64 ]", "[ 1519 ]", "6:", "1518"),
                ("unknown node", '"b.0"', '"c.0"', "6:", '"c'),
                ("another version", '"version": 1', '"version": 2', "1:", "version")):
            with self.subTest(what):
                with open(path, "w") as f:
                    f.write(good.replace(old, new, 1))
                self.assertNotEqual(good, good.replace(old, new, 1))
                errors = {self.lanyard(command, path, status=2).stderr
                          for command in ("validate", "plan", "graph", "up")}
                self.assertEqual(1, len(errors), errors)
                error = errors.pop()
                self.assertTrue(error.startswith(f"lanyard: {path}:{place}"), error)
                for word in words:
                    self.assertIn(word, error)
        self.lanyard("validate", self.path("none.json"), status=2)

    def test_bad_requests(self):
        """Those that only `up` can see, each before anything is made."""
        def expect(node, sentence, status=2, **top):
            nodes = {"a": {"kind": "vm", "nics": [{"network": "lan"}], **node}}
            path = self.write({**PAIR, "nodes": nodes, **top}, "bad.json")
            self.assertIn(sentence, self.lanyard("up", path, status=status).stderr)
            self.expect_nothing()
        expect({"guest": "./none.elf"}, "can't be read: No such file or directory")
        expect({"guest": "./pair.json"}, "is neither an ELF file")
        expect({"guest": shutil.which("true")}, "without a PVH entry note")
        expect({"memory": "900G"}, 'node "a" asks for 900G, but this host has ')
        expect({"cpus": "999"}, "a/vcpu0 is to run on CPU 999, but the CPUs that may be used")
        expect({}, "worker0 is to run on CPU 998", switch={"cpus": "998"})
        self.env["LANYARD_RUN"] = self.path("d" * 80)
        expect({}, "socket path too long")

    def test_no_root(self):
        """validate, plan and graph need no root; up says what it lacks."""
        os.chmod(self.run_dir, 0o755)
        shutil.copy(LANYARD, self.path("lanyard"))
        os.mkdir(self.labs)

        def run(*args):
            return subprocess.run([self.path("lanyard"), *args], env=self.env, timeout=20,
                                  capture_output=True, text=True, user=65534, group=65534,
                                  extra_groups=[])
        shutil.copy(PROBE, self.path("probe.elf"))
        self.env["LANYARD_PROBE"] = self.path("probe.elf")
        for command in ("validate", "plan", "graph"):
            done = run(command, self.topology)
            self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("here `up` would fail: no permission for /dev/kvm",
                      run("plan", self.topology).stdout)
        up = run("up", self.topology)
        self.assertEqual(3, up.returncode)
        self.assertIn("no permission for /dev/kvm: be root (sudo)", up.stderr)
        external = self.write({**PAIR, "nodes": {
            "x": {"kind": "external", "nics": [{"network": "lan"}]}}}, "external.json")
        up = run("up", external)
        self.assertEqual(3, up.returncode)
        self.assertIn(f"{self.labs}/pair can't be used: Permission denied; be root (sudo)",
                      up.stderr)

    def test_plan(self):
        plan = json.loads(self.lanyard("plan", "-j", self.topology).stdout)
        kinds = [s["kind"] for s in plan["steps"]]
        self.assertEqual(["folder", "hugepages", "switch", "network", "port", "port", "vm", "vm",
                          "guest", "guest", "links"], kinds)
        self.assertEqual("network lan deleted", plan["steps"][3]["undone_by"])
        self.assertIsNone(plan["would_fail"])
        text = self.lanyard("plan", self.topology).stdout
        self.assertIn("undone by", text)
        self.assertRegex(text, r"\d+  worker0")
        self.assertFalse(os.path.exists(self.labs))

    def test_validate_graph(self):
        text = self.lanyard("validate", self.topology).stdout
        self.assertIn("lab pair is valid: 2 nodes, 1 network, 2 links", text)
        self.assertTrue(json.loads(self.lanyard("validate", "-j", self.topology).stdout)["valid"])
        dot = self.lanyard("graph", self.topology).stdout
        self.assertIn('"node a":n0:e -- "net lan"', dot)
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg"], input=dot, text=True, check=True,
                           stdout=subprocess.DEVNULL, timeout=20)

    def test_doctor(self):
        done = self.lanyard("doctor", "-j", status=None)
        found = {e["name"]: e for e in json.loads(done.stdout)["examinations"]}
        self.assertEqual("good", found["programs"]["verdict"])
        for e in found.values():
            self.assertIn(e["verdict"], ("good", "poorer", "lacking"))
            self.assertTrue(e["found"])
            self.assertTrue(e["why"])
        self.assertLessEqual({"KVM", "IOMMU", "VFIO", "ACS", "hugepages", "governor", "turbo",
                              "isolated CPUs", "SMT", "modules", "memlock", "clock", "vhost-net",
                              "bridge firewall"}, set(found))
        lacking = any(e["verdict"] == "lacking" for e in found.values())
        self.assertEqual(3 if lacking else 0, done.returncode)
        self.env["LANYARD_PROBE"] = "/nowhere"
        self.assertIn("lacking  programs", self.lanyard("doctor", status=3).stdout)

    def test_logs(self):
        self.lanyard("up", self.topology)
        lines = self.lanyard("logs", "pair").stdout.splitlines()
        self.assertEqual(sorted(line.split(" | ")[1] for line in lines),
                         [line.split(" | ")[1] for line in lines])
        self.assertEqual({"switch", "a", "b"}, {line.split(" | ")[0].strip() for line in lines})
        self.assertEqual("fake guest\n", self.lanyard("logs", "pair/a.console").stdout)
        self.assertIn("node=b", self.lanyard("logs", "pair/b").stdout)
        self.assertIn('no part "c"', self.lanyard("logs", "pair/c", status=2).stderr)
        follow = subprocess.Popen([LANYARD, "logs", "-f", "pair"], env=self.env, text=True,
                                  stdout=subprocess.PIPE)
        self.lanyard("down", "pair")
        out, _ = follow.communicate(timeout=30)  # ends with the lab
        self.assertEqual(0, follow.returncode)
        self.assertIn("ended: asked by stop", out)

    def read_until(self, fd, text):
        out, deadline = b"", time.monotonic() + 20
        while text not in out:
            left = deadline - time.monotonic()
            self.assertTrue(left > 0 and select.select([fd], [], [], left)[0],
                            f"{text} did not come; {out} did")
            out += os.read(fd, 4096)

    def test_progress_on_a_terminal(self):
        """The step at work, how long it has been at it, and which of how many it is."""
        master, slave = pty.openpty()
        up = subprocess.Popen([LANYARD, "up", self.topology], stdout=slave, stderr=slave,
                              env={**self.env, "FAKE_FAIL": "vmm/b:hello=hang", "TERM": "xterm",
                                   "LC_ALL": "C.UTF-8"})
        self.addCleanup(up.wait, 30)
        self.addCleanup(up.terminate)
        # A step that hangs: its line lives.
        self.read_until(master, "1.2 s  b answers (".encode())
        up.send_signal(signal.SIGINT)
        self.read_until(master, "↶".encode())
        self.assertEqual(1, up.wait(20))
        os.close(slave)
        os.close(master)

    def test_console(self):
        self.lanyard("up", self.topology)
        self.assertEqual("HELLO\n", self.lanyard("console", "pair/a", stdin="hello\n").stdout)
        self.assertIn('no VM "c"', self.lanyard("console", "pair/c", status=2).stderr)
        self.assertIn("names no node", self.lanyard("console", "pair", status=2).stderr)
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        for ending in (b"\x1d", signal.SIGTERM):
            console = subprocess.Popen([LANYARD, "console", "pair/b"], env=self.env, stdin=slave,
                                       stdout=slave, stderr=slave)
            self.read_until(master, b"Ctrl-] ends")
            os.write(master, b"typed\x03\n")  # Ctrl-C is the guest's
            self.read_until(master, b"TYPED\x03")
            if ending == b"\x1d":
                os.write(master, ending)
            else:
                console.send_signal(ending)
            self.assertEqual(0 if ending == b"\x1d" else -ending, console.wait(20))
            self.assertEqual(before, termios.tcgetattr(slave))
        os.close(master)
        os.close(slave)
        self.lanyard("down", "pair")


if __name__ == "__main__":
    main()
