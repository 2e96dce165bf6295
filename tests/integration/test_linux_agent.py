# SPDX-License-Identifier: Apache-2.0
"""The agent of Linux guests, on a pseudo-terminal of this host instead of a guest's serial line."""
import base64
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import agent
import harness
import netns
from harness import BUILD, RpcError, wait_until

AGENT = os.path.join(BUILD, "guest", "linux", "lanyard-agent")
INIT = os.path.join(BUILD, "guest", "linux", "lanyard-init")


class Agent(harness.Case):
    program = AGENT

    def setUp(self):
        super().setUp()
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.slave = os.ttyname(slave)
        self.tty = agent.Tty(master)
        self.daemon = self.start([self.program, "--agent", self.slave], "agent")
        # Until it has made the terminal raw, what is written comes back as an echo.
        wait_until(lambda: "-echo " in subprocess.run(
            ["stty", "-a"], stdin=slave, stdout=subprocess.PIPE, text=True).stdout, 20,
            "the agent to take its terminal")
        os.close(slave)

    def run_(self, *argv, **more):
        return agent.run(self.tty, list(argv), **more)

    def refused(self, method, **params):
        with self.assertRaises(RpcError) as caught:
            self.tty.call(method, **params)
        return caught.exception

    def test_hello(self):
        got = self.tty.call("hello")
        self.assertEqual((got["guest"], got["root"], got["problems"]), ("linux", "none", []))
        self.assertEqual(got["kernel"], os.uname().release)
        self.assertIsInstance(got["nics"], list)

    def test_status_and_output(self):
        done = self.run_("sh", "-c", "echo out; echo err >&2; exit 37")
        self.assertEqual(done, (37, None, b"out\n", b"err\n"))
        self.assertEqual(self.run_("true"), (0, None, b"", b""))
        self.assertEqual(self.run_("sh", "-c", "kill -9 $$"), (None, 9, b"", b""))
        self.assertEqual(self.run_("sh", "-c", "exit 255").status, 255)

    def test_environment_and_folder(self):
        folder = os.path.realpath(self.run_dir)
        done = self.run_("sh", "-c", "pwd; echo $HOME $A; echo $PATH", env={"A": "b c"},
                         cwd=self.run_dir)
        lines = done.out.decode().split("\n")
        self.assertEqual(lines[:2], [folder, "/root b c"])
        self.assertIn("/usr/sbin:/usr/bin", lines[2])
        self.assertEqual(self.run_("pwd").out, b"/\n")
        # Its own session: no terminal, and the process group is its own.
        self.assertNotEqual(self.run_("sh", "-c", ": </dev/tty").status, 0)

    def test_input(self):
        data = os.urandom(300000)
        done = self.run_("cat", stdin=data)
        self.assertEqual((done.status, done.out == data), (0, True))
        # An end is an end, and said twice does no harm.
        command = agent.Command(self.tty, ["cat"])
        command.write(b"x", eof=True)
        command.write(b"", eof=True)
        command.wait()
        self.assertEqual(command.out, b"x")

    def test_input_waits_for_who_does_not_read(self):
        command = agent.Command(self.tty, ["sh", "-c", "read x; exec cat >/dev/null"])
        taken = total = 0
        for _ in range(1000):
            taken = command.write(b"y" * 16384)
            total += taken
            if taken < 16384:
                break
        self.assertLess(taken, 16384)  # a pipe and a buffer are full
        # Nothing that was taken is lost: the rest goes as the command reads.
        command.write(b"", eof=False)
        command.kill(signal.SIGKILL)
        command.wait()
        self.assertEqual(command.signal, 9)

    def test_much_output_waits_and_is_whole(self):
        size = 3000000
        command = agent.Command(self.tty, ["sh", "-c", f"head -c {size} /dev/zero; echo end >&2"])
        # Nobody takes it: the command must stand still in its write.
        command.poll(0)
        time.sleep(0.2)
        self.assertFalse(command.ended)
        command.wait()
        self.assertEqual((command.status, len(command.out), command.err), (0, size, b"end\n"))

    def test_output_of_one_that_ended_at_once(self):
        """What it wrote last lies in the pipe when it is collected already."""
        size = 100000  # more than the agent keeps
        command = agent.Command(self.tty, ["sh", "-c", f"head -c {size} /dev/zero & "
                                           "head -c 60000 /dev/zero >&2; wait"])
        time.sleep(0.2)
        command.wait()
        self.assertEqual((len(command.out), len(command.err)), (size, 60000))

    def test_several_at_once(self):
        many = [agent.Command(self.tty, ["sh", "-c", f"read x; echo {i} $x"]) for i in range(20)]
        for i, command in enumerate(many):
            command.write(f"go{i}\n".encode())
        for i, command in enumerate(many):
            self.assertEqual(command.wait().out, f"{i} go{i}\n".encode())

    def test_too_many(self):
        many = [agent.Command(self.tty, ["sleep", "1000"]) for _ in range(64)]
        error = self.refused("exec", argv=["true"])
        self.assertIn("64 commands", error.message)
        for command in many:
            command.kill(signal.SIGTERM)
        for command in many:
            self.assertEqual(command.wait().signal, 15)
        self.assertEqual(self.run_("true").status, 0)

    def test_kill_reaches_all_of_it(self):
        # Both sleeps are gone with the shell that started them.
        command = agent.Command(self.tty, ["sh", "-c",
                                           "trap '' INT; sleep 1000.5 & echo $!; echo go; "
                                           "sleep 1000.5; true"])
        command.until(lambda: b"go\n" in command.out)
        child = int(command.out.split()[0])
        command.kill(signal.SIGINT)
        command.kill(signal.SIGTERM)
        command.wait()
        # All of them ignore SIGINT, or the shell might have ended by it: SIGTERM ended them.
        wait_until(lambda: not os.path.exists(f"/proc/{child}") or
                   " Z " in open(f"/proc/{child}/stat").read(), 10, "the child to end")
        error = self.refused("exec_kill", id=command.id, signal=15)
        self.assertIn(f"no command has the id {command.id}", error.message)

    def test_what_is_left_in_the_background_lives(self):
        done = self.run_("sh", "-c", "(while sleep 0.05; do echo noise; done) & echo $!")
        child = int(done.out.split()[0])
        self.addCleanup(os.kill, child, signal.SIGKILL)
        self.assertEqual(done.status, 0)
        for _ in range(10):
            self.run_("sleep", "0.05")
        self.assertTrue(os.path.exists(f"/proc/{child}"))

    def test_poll_ends_early(self):
        """A request that has come is not kept waiting for a command that says nothing."""
        command = agent.Command(self.tty, ["sleep", "1000"])
        start = time.monotonic()
        asked = [self.tty.ask("exec_poll", id=command.id, wait_ms=1000) for _ in range(40)]
        asked.append(self.tty.ask("hello"))
        self.assertEqual([self.tty.reply()["id"] for _ in asked], asked)
        self.assertLess(time.monotonic() - start, 30)  # of the 40 s that were asked for
        command.kill(9)
        command.wait()

    def test_its_end(self):
        """Outside of a guest SIGTERM ends it, and its commands with it."""
        command = agent.Command(self.tty, ["sh", "-c", "trap '' TERM; echo $$; "
                                           "while :; do sleep 0.1; done"])
        command.until(lambda: command.out)
        self.assertEqual(self.daemon.kill(signal.SIGTERM), 0)
        wait_until(lambda: not os.path.exists(f"/proc/{int(command.out)}"), 10,
                   "the command's end")

    def test_wrong_requests(self):
        for method, params, words in (
                ("exec", {"argv": []}, "1 to 1024 strings"),
                ("exec", {"argv": [1]}, "argv[0] is no string"),
                ("exec", {"argv": [""]}, "a program is expected"),
                ("exec", {}, 'parameter "argv" is missing'),
                ("exec", {"argv": ["x"], "env": {"A=B": "c"}}, 'env "A=B"'),
                ("exec", {"argv": ["x"], "env": {"A": 1}}, 'env "A"'),
                ("exec", {"argv": ["no-such-program"]}, 'no program "no-such-program" in its PATH'),
                ("exec", {"argv": ["/no/such"]}, 'can\'t run "/no/such": No such file'),
                ("exec", {"argv": ["/etc/passwd"]}, "Permission denied"),
                ("exec", {"argv": ["/"]}, "Permission denied"),
                ("exec", {"argv": ["true"], "cwd": "/no/such"}, 'folder "/no/such"'),
                ("exec", {"argv": ["true"], "tty": True}, 'unknown parameter "tty"'),
                ("exec_poll", {"id": 4000}, "no command has the id 4000"),
                ("exec_poll", {"id": 4000, "wait_ms": 1001}, "from 0 to 1000"),
                ("exec_write", {"id": 4000}, "no command has the id 4000"),
                ("exec_kill", {"id": 4000, "signal": 65}, "from 1 to 64"),
                ("stop_guest", {"how": "halt"}, 'expected "poweroff" or "reboot"'),
                ("stop_guest", {}, "in no guest of its own"),
                ("shutdown", {}, "in no guest of its own"),
                ("dance", {}, 'unknown method "dance"')):
            with self.subTest(method=method, params=params):
                self.assertIn(words, self.refused(method, **params).message)
        script = self.path("script")
        with open(script, "w") as f:
            f.write("#!/no/such/interpreter\n")
        os.chmod(script, 0o755)
        self.assertIn("lacks its interpreter", self.refused("exec", argv=[script]).message)
        # It lives on behind the end of its input, for as long as we ask.
        command = agent.Command(self.tty, ["sh", "-c", "cat; exec sleep 600"])
        error = self.refused("exec_write", id=command.id, data="!!!!")
        self.assertEqual((error.field, "no base 64" in error.message), ("data", True))
        command.write(b"", eof=True)
        self.assertIn("no more comes", self.refused(
            "exec_write", id=command.id, data=base64.b64encode(b"x").decode()).message)
        command.kill(9)
        command.wait()

    def test_noise_and_long_lines(self):
        tty = self.tty
        tty.call("hello")
        tty.send(b"\n\r\n")  # empty lines are nothing
        tty.send(b"noise\n")
        self.assertEqual(tty.reply()["error"]["code"], -32700)
        tty.send(b"x" * 200000 + b"\n")
        reply = tty.reply()
        self.assertEqual((reply["error"]["code"], reply["id"]), (-32600, None))
        self.assertIn("longer than 65536", reply["error"]["message"])
        self.assertEqual(tty.call("hello")["guest"], "linux")

    def test_bytes_pass_unchanged(self):
        """Those that a terminal would act on: ^C, ^D, ^S, ^Z, CR, NL, DEL."""
        data = bytes(range(256)) * 4
        self.assertEqual(self.run_("cat", stdin=data).out, data)
        done = self.run_("printf", "\x03\x04\x13\x1a\r\n\x7f")
        self.assertEqual(done.out, b"\x03\x04\x13\x1a\r\n\x7f")

    def test_noise_before_the_first_request(self):
        """A guest's line may begin with the rest of what was asked before it was up."""
        self.tty.send(b'c": "2.0", "id": 7}\n')
        self.assertEqual(self.tty.call("hello")["guest"], "linux")
        self.assertEqual(self.tty.buf, b"")


class Traffic(harness.Case):
    """The engine in the agent of a guest with two NICs: here the two ends of a pair."""
    MACS = ("02:00:00:00:aa:01", "02:00:00:00:aa:02")

    def setUp(self):
        super().setUp()
        self.ns = netns.Netns()
        self.addCleanup(self.ns.close)
        self.ns.run("ip", "link", "add", "x0", "address", self.MACS[0], "type", "veth", "peer",
                    "name", "x1", "address", self.MACS[1])
        for name in ("x0", "x1"):
            self.ns.run("ip", "link", "set", name, "up")

    def agent(self, macs):
        config = self.path("config.json")
        with open(config, "w") as f:
            json.dump({"nics": [{"mac": m} for m in macs]}, f)
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.start(["ip", "netns", "exec", self.ns.name, INIT, "--agent", os.ttyname(slave), config],
                   "agent")
        wait_until(lambda: "-echo " in subprocess.run(
            ["stty", "-a"], stdin=slave, stdout=subprocess.PIPE, text=True).stdout, 20,
            "the agent to take its terminal")
        os.close(slave)
        return agent.Tty(master)

    @staticmethod
    def counters(tty):
        return [n["counters"] for n in tty.call("traffic_status", counters=True)["nics"]]

    def test_from_nic_to_nic(self):
        tty = self.agent(self.MACS)
        self.assertEqual(["x0", "x1"], [n["name"] for n in tty.call("hello")["nics"]])
        tty.call("traffic_start", reset=True, flows=[
            {"id": 1, "role": "receive", "nic": 1, "peer_mac": self.MACS[0]}])
        before = self.counters(tty)
        tty.call("traffic_start", flows=[
            {"id": 1, "role": "send", "nic": 0, "peer_mac": self.MACS[1], "size": 512,
             "rate_mfps": 2_000_000, "frames": 1000}])

        def flows():
            return {f["role"]: f for f in tty.call("traffic_status")["flows"]}

        # Commands run beside it.
        self.assertEqual(0, agent.run(tty, ["true"]).status)
        wait_until(lambda: flows()["receive"]["frames"] == 1000, 20, "the frames")
        got = flows()
        self.assertTrue(got["send"]["done"])
        self.assertEqual((0, 0, 0), tuple(got["receive"][k] for k in ("lost", "corrupt", "stale")))
        self.assertEqual(1000, got["receive"]["latency"]["count"])
        nics = tty.call("traffic_status")["nics"]
        self.assertEqual((1000, 1000), (nics[0]["tx_frames"], nics[1]["rx_frames"]))
        self.assertNotIn("counters", nics[0])
        # What the kernel counts; its own frames (IPv6) are among them.
        sent, received = ({k: n[k] - b[k] for k in n} for n, b in zip(self.counters(tty), before))
        for grown, other in ((sent["tx_packets"], sent), (received["rx_packets"], received)):
            self.assertIn(grown, range(1000, 1050))
            self.assertEqual({0}, {v for k, v in other.items() if not k.endswith("_packets")}, other)
        # Its errors are the probe's.
        with self.assertRaises(RpcError) as caught:
            tty.call("traffic_start", flows=[{"id": 1, "role": "send", "nic": 2}])
        self.assertEqual(2, caught.exception.cls)
        self.assertEqual(2, len(tty.call("traffic_stop")["flows"]))
        # With nothing to do it sleeps.
        pid = next(iter(harness.processes_with(f"--agent {os.path.realpath(self.run_dir)}") or
                        harness.processes_with("config.json")))
        with open(f"/proc/{pid}/stat") as f:
            before = sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
        time.sleep(1)
        with open(f"/proc/{pid}/stat") as f:
            after = sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
        self.assertLess(after - before, 20)

    def test_nic_that_is_not_there(self):
        tty = self.agent((self.MACS[0], "02:00:00:00:aa:03"))
        with self.assertRaises(RpcError) as caught:
            tty.call("traffic_status")
        self.assertIn("traffic needs all of the guest's NICs: 1 of 2 are there",
                      str(caught.exception))
        self.ns.run("ip", "link", "set", "x0", "down")
        tty = self.agent(self.MACS[:1])
        with self.assertRaises(RpcError) as caught:
            tty.call("traffic_status")
        self.assertIn("interface x0 is down: ip link set x0 up", str(caught.exception))


class StaticAgent(Agent):
    """The same of lanyard-init itself, which is linked statically and never sanitized."""
    program = INIT

    def test_it_is_static(self):
        out = subprocess.run(["readelf", "-lW", INIT], stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("LOAD", out)
        self.assertNotIn("INTERP", out)
        self.assertLess(os.path.getsize(INIT), 3 << 20)

    def test_outside_of_a_guest(self):
        done = subprocess.run([INIT], stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("the init of a Linux guest", done.stderr)


if __name__ == "__main__":
    harness.main()
