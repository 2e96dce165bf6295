# SPDX-License-Identifier: Apache-2.0
"""`lanyard capture`: at a terminal and in pipes, what ends it, what it says then, and that the lab
and its run folder are afterwards as if it had never been."""
import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import LANYARD, TOPOLOGIES, Case, Rpc, rpc_once, wait_until
from pcapng import INBOUND, OUTBOUND, parse, tshark
from ringclient import RingClient

MAC = ["02:00:00:00:00:0%d" % i for i in range(10)]
ALL = "ff:ff:ff:ff:ff:ff"


class Lab(Case):
    """A lab of two external nodes, x and y, played by ring clients."""

    def setUp(self):
        super().setUp()
        self.labs = self.path("l")
        self.env["LANYARD_RUN"] = self.labs
        self.folder = os.path.join(self.labs, "t")
        self.switch_sock = os.path.join(self.folder, "switch.sock")
        self.procs = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for proc in self.procs:
            if proc.poll() is None:
                proc.kill()
            proc.wait(10)
            for stream in (proc.stdout, proc.stderr):
                if stream:
                    stream.close()
        self.lanyard("down", "--all", status=None)
        self.assertEqual([], os.listdir(self.labs) if os.path.exists(self.labs) else [])

    def up(self):
        nics = {"kind": "external", "nics": [{"network": "lan"}]}
        with open(self.path("t.json"), "w") as f:
            json.dump({"version": 1, "lab": "t", "networks": {"lan": {}},
                       "nodes": {"x": nics, "y": nics}}, f)
        self.lanyard("up", "-q", self.path("t.json"))
        self.c = []
        for name in "xy":
            c = RingClient(os.path.join(self.folder, f"{name}.0.vhost"), env=self.env)
            self.addCleanup(c.stop)
            self.assertTrue(c.hello["ok"], c.hello)
            self.c.append(c)

    def call(self, method, **params):
        return rpc_once(self.switch_sock, method, **params)

    def total(self):
        p = self.call("stats", port="x.0")["ports"][0]
        return p["rx"]["frames"] + p["tx"]["frames"]

    def flood(self, n, size=60):
        self.assertTrue(self.c[0].send(ALL, MAC[0], size, n=n)["ok"])
        self.assertTrue(self.c[1].receive(n)["ok"])

    def run_for(self, ms):
        self.assertTrue(self.c[0].do(f"run {ALL} {MAC[0]} 60 one {ms}")["ok"])
        self.c[1].receive(0, 30)

    def start_capture(self, *args, port="t/x.0", stdout=subprocess.PIPE, **kw):
        """A capture that has begun. Its first line on stderr is read."""
        proc = subprocess.Popen([LANYARD, "capture", port, *args], env=self.env, stdout=stdout,
                                stderr=subprocess.PIPE, bufsize=0, **kw)
        self.procs.append(proc)
        line = b""
        while not line.endswith(b"\n"):
            got = proc.stderr.read(1)
            self.assertTrue(got, line)
            line += got
        self.assertIn(f"capturing {port}", line.decode())
        return proc

    def interrupted(self, proc, signo=signal.SIGINT):
        """(stdout, captured, not kept) after a signal; exit status 0."""
        proc.send_signal(signo)
        return self.ended(proc)

    def ended(self, proc, status=0):
        out, err = proc.communicate(timeout=30)
        self.assertEqual(status, proc.returncode, err)
        m = re.search(r"^(\d+) frames captured, (\d+) not kept$", err.decode(), re.M)
        self.assertTrue(m, err)
        return out, int(m.group(1)), int(m.group(2))

    def no_trace(self):
        wait_until(lambda: not self.call("captures")["captures"], 10, "captures to be gone")
        self.assertEqual([], [n for n in os.listdir(self.folder) if n.startswith("capture")])


class Output(Lab):
    def test_lines(self):
        self.up()
        proc = self.start_capture()
        self.flood(3, 100)
        self.c[1].send(MAC[0], MAC[1], 64, n=2)
        self.assertTrue(self.c[0].receive(2)["ok"])
        self.c[1].send(MAC[0], MAC[1], 64, n=1, ethertype=0x806)
        self.assertTrue(self.c[0].receive(1)["ok"])
        out, frames, lost = self.interrupted(proc)
        lines = out.decode().splitlines()
        self.assertEqual((6, 0), (frames, lost))
        stamp = r"^\d\d:\d\d:\d\d\.\d{9} "
        rx = f"rx {MAC[0]} > {ALL} 0x[0-9a-f]{{4}} 100 bytes$"
        tx = f"tx {MAC[1]} > {MAC[0]} 0x[0-9a-f]{{4}} 64 bytes$"
        arp = f"tx {MAC[1]} > {MAC[0]} ARP 64 bytes$"
        self.assertEqual(6, len(lines))
        for line, want in zip(lines, [rx] * 3 + [tx] * 2 + [arp]):
            self.assertRegex(line, stamp + want)
        self.no_trace()

    def test_lines_are_live(self):
        self.up()
        proc = self.start_capture("-d", "rx")
        for _ in range(3):
            self.flood(1)
            self.assertTrue(os.read(proc.stdout.fileno(), 1000).endswith(b" 60 bytes\n"))
        self.assertEqual(3, self.interrupted(proc, signal.SIGTERM)[1])

    def test_file(self):
        self.up()
        path = self.path("c.pcapng")
        with open(path, "w") as f:
            f.write("something old " * 10000)
        proc = self.start_capture("-w", path, "-s", "40")
        self.flood(5, 100)
        self.c[1].send(MAC[0], MAC[1], 1514, n=4)
        self.assertTrue(self.c[0].receive(4)["ok"])
        out, frames, lost = self.interrupted(proc)
        self.assertEqual((b"", 9, 0), (out, frames, lost))
        with open(path, "rb") as f:
            c = parse(f.read())
        self.assertTrue(c.whole)
        self.assertEqual(("x.0", 40), (c.name, c.snaplen))
        self.assertEqual([(INBOUND, 100)] * 5 + [(OUTBOUND, 1514)] * 4,
                         [(p.dir, p.len) for p in c.packets])
        self.assertEqual([["100", "40"]] * 5 + [["1514", "40"]] * 4,
                         tshark(path, "frame.len", "frame.cap_len"))
        self.no_trace()

    def test_pipe_to_tshark(self):
        """As the user guide has it; tshark reads while frames come."""
        self.up()
        proc = self.start_capture("-w", "-")
        reader = subprocess.Popen(["tshark", "-n", "-l", "-r", "-", "-T", "fields", "-e",
                                   "frame.len", "-e", "eth.src"], stdin=proc.stdout,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.procs.append(reader)
        proc.stdout.close()
        proc.stdout = None
        self.flood(7, 90)
        # tshark is a while in starting; what it prints is there before the capture ends.
        os.set_blocking(reader.stdout.fileno(), False)
        got = b""

        def seven():
            nonlocal got
            got += reader.stdout.read() or b""
            return got.count(b"\n") == 7

        wait_until(seven, 60, "tshark to print seven frames")
        self.assertEqual(f"90\t{MAC[0]}\n".encode() * 7, got)
        self.assertEqual(7, self.interrupted(proc)[1])
        self.assertEqual(0, reader.wait(20))

    def test_count(self):
        self.up()
        proc = self.start_capture("-w", "-", "-c", "10")
        self.flood(25)
        out, frames, _ = self.ended(proc)
        c = parse(out)
        self.assertEqual((10, 10), (frames, len(c.packets)))
        self.assertTrue(c.whole)
        text = self.start_capture("-c", "4")
        self.flood(25)
        out, frames, _ = self.ended(text)
        self.assertEqual((4, 4), (frames, out.count(b"\n")))
        self.no_trace()

    def test_seconds(self):
        self.up()
        proc = self.start_capture("-w", "-", "--seconds", "1.5", "--direction", "tx")
        self.flood(5)
        c = parse(self.ended(proc)[0])
        self.assertTrue(c.whole)
        self.assertEqual(0, len(c.packets))
        self.assertGreater(c.stats[-1]["end"] - c.stats[-1]["start"], 1.4 * 10**9)

    def test_several_at_once(self):
        self.up()
        procs = [self.start_capture("-w", "-", port=f"t/{n}.0") for n in "xyx"]
        self.flood(6)
        for proc, want in zip(procs, (INBOUND, OUTBOUND, INBOUND)):
            c = parse(self.interrupted(proc)[0])
            self.assertEqual([want] * 6, [p.dir for p in c.packets])
        self.no_trace()


class Ends(Lab):
    def test_output_that_stalls(self):
        """Nobody reads: frames go on, Ctrl-C still ends it, and the sum is exact."""
        self.up()
        proc = self.start_capture("-w", "-")
        deadline = time.monotonic() + 120
        while self.total() < 400000:  # more than 16 MiB of rings and some pipes hold
            self.run_for(300)
            self.assertLess(time.monotonic(), deadline)
        total = self.total()
        proc.send_signal(signal.SIGINT)
        # Its pipe is left full: it gives up by itself, and then the pipe is read.
        proc.wait(30)
        out, frames, lost = self.ended(proc)
        c = parse(out)
        self.assertEqual(len(c.packets), frames)
        self.assertEqual(total, frames + lost)
        self.assertGreater(lost, 0)
        self.no_trace()

    def test_output_that_is_slow(self):
        """A reader that comes back gets all that was kept."""
        self.up()
        proc = self.start_capture("-w", "-", "-s", "60")
        self.run_for(500)
        out, frames, lost = self.interrupted(proc)
        c = parse(out)
        self.assertTrue(c.whole)
        self.assertEqual((len(c.packets), lost), (frames, c.stats[-1]["dropped"]))
        self.assertEqual(self.total(), frames + lost)

    def test_reader_that_has_seen_enough(self):
        self.up()
        proc = self.start_capture()
        proc.stdout.close()
        proc.stdout = None
        self.assertEqual(0, proc.wait(20))
        self.no_trace()

    def test_down_meanwhile(self):
        self.up()
        proc = self.start_capture("-w", "-")
        self.flood(8)
        self.lanyard("down", "-q", "t")
        out, err = proc.communicate(timeout=30)
        self.assertEqual(0, proc.returncode, err)
        self.assertIn("the switch ended the capture", err.decode())
        self.assertIn("8 frames captured, 0 not kept", err.decode())
        self.assertTrue(parse(out).whole)
        self.assertFalse(os.path.exists(self.folder))

    def test_switch_killed(self):
        self.up()
        proc = self.start_capture("-w", "-")
        self.flood(8)
        # Until the frames have left the switch there is nothing to be found of them later.
        wait_until(lambda: self.call("captures")["captures"][0]["frames"] == 8, 10, "8 frames")
        time.sleep(0.05)
        os.kill(self.call("info")["pid"], signal.SIGKILL)
        out, err = proc.communicate(timeout=30)
        self.assertEqual(1, proc.returncode, err)
        self.assertIn("8 frames captured, at least 0 not kept", err.decode())
        self.assertIn("went away in the middle", err.decode())
        self.assertEqual(8, len(parse(out).packets))

    def test_killed(self):
        """The switch notices; nothing is left, and the lab is not disturbed."""
        self.up()
        proc = self.start_capture("-w", "-")
        self.flood(2)
        self.assertEqual(1, len(self.call("captures")["captures"]))
        proc.kill()
        proc.wait(10)
        self.no_trace()
        self.flood(2)

    def test_stale_socket(self):
        """Of one that was killed before the switch had connected: `down` is not bothered."""
        self.up()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.bind(os.path.join(self.folder, "capture.4711.sock"))
        done = self.lanyard("down", "t")
        self.assertNotIn("capture", done.stderr)
        self.assertFalse(os.path.exists(self.folder))

    def test_at_a_terminal(self):
        """Lines as they come; the terminal's Ctrl-C."""
        self.up()
        control, terminal = pty.openpty()
        self.addCleanup(os.close, control)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        proc = subprocess.Popen([LANYARD, "capture", "t/x.0"], env=self.env, stdin=terminal,
                                stdout=terminal, stderr=terminal, preexec_fn=own_terminal)
        self.procs.append(proc)
        os.close(terminal)
        os.set_blocking(control, False)
        text = b""

        def shows(what):
            nonlocal text
            try:
                text += os.read(control, 65536)
            except (BlockingIOError, OSError):  # nothing yet; nobody has it open any more
                pass
            return what in text

        wait_until(lambda: shows(b"Ctrl-C ends"), 10, "its first line")
        self.flood(2, 77)
        wait_until(lambda: shows(b"77 bytes\r\n"), 10, "frames")
        os.write(control, b"\x03")
        wait_until(lambda: shows(b"2 frames captured, 0 not kept"), 10, "the sum")
        self.assertEqual(0, proc.wait(10))
        self.assertEqual(2, text.count(b"77 bytes"))
        self.no_trace()


class Refusals(Lab):
    def refuse(self, words, *args, status=2, **kw):
        done = self.lanyard("capture", *args, status=status, **kw)
        for word in words.split("|"):
            self.assertIn(word, done.stderr)
        self.assertEqual("", done.stdout)

    def test_without_a_lab(self):
        self.refuse("lab nowhere is not up", "nowhere/a.0")
        self.refuse("names no port|LAB/PORT", "nowhere")
        self.refuse("names no port", "nowhere/")
        self.refuse("names no port", "/a.0")
        self.refuse("LAB/PORT is missing")
        self.refuse("one argument too many", "a/b", "c")
        self.refuse("--count|\"0\"", "-c", "0", "t/x.0")
        self.refuse("--count|\"1.5\"", "-c", "1.5", "t/x.0")
        self.refuse("--snaplen|\"262145\"", "-s", "262145", "t/x.0")
        self.refuse("--direction|\"in\"", "-d", "in", "t/x.0")
        self.refuse("--seconds|\"x\"", "--seconds", "x", "t/x.0")
        self.assertIn("wireshark -k -i -", self.lanyard("capture", "--help").stdout)

    def test_of_a_lab(self):
        self.up()
        path = self.path("kept")
        with open(path, "w") as f:
            f.write("kept")
        self.refuse('no port "x.1"|x.0, y.0', "t/x.1", "-w", path)
        with open(path) as f:
            self.assertEqual("kept", f.read())
        self.refuse("No such file", "t/x.0", "-w", self.path("no/such"), status=1)
        self.no_trace()
        control, terminal = pty.openpty()
        self.addCleanup(os.close, control)
        done = subprocess.run([LANYARD, "capture", "t/x.0", "-w", "-"], env=self.env,
                              stdout=terminal, stderr=subprocess.PIPE, timeout=20)
        os.close(terminal)
        self.assertEqual(2, done.returncode)
        self.assertIn(b"not for terminals", done.stderr)
        self.assertEqual([], self.call("captures")["captures"])

    def test_full_disk(self):
        self.up()
        proc = self.start_capture("-w", "/dev/full")
        self.flood(3)
        _, err = proc.communicate(timeout=30)
        self.assertEqual(1, proc.returncode)
        self.assertIn(b"/dev/full: No space left on device", err)
        self.no_trace()


@harness.needs_kvm
class Guests(Lab):
    def test_pair(self):
        """Two real guests: what one sends is what the other gets, and the probes' own counts."""
        self.lanyard("up", "-q", os.path.join(TOPOLOGIES, "pair.json"))
        ports = json.loads(self.lanyard("status", "pair", "-j").stdout)["ports"]
        mac = {p["name"]: p["mac"] for p in ports}
        captures = [self.start_capture("-w", "-", port=f"pair/{n}.0") for n in "ab"]
        flow = {"id": 9, "nic": 0, "size": 128, "rate_mfps": 500_000, "frames": 200,
                "duration_ms": 0, "l4_flows": 1}
        agents = {n: Rpc(os.path.join(self.labs, "pair", f"{n}.agent"), 10) for n in "ab"}
        for n, role, peer in (("b", "receive", "a.0"), ("a", "send", "b.0")):
            agents[n].call("traffic_start",
                           flows=[dict(flow, role=role, peer_mac=mac[peer])], reset=True)
        wait_until(lambda: agents["b"].call("traffic_status")["flows"][0]["frames"] == 200, 20,
                   "200 frames to be received")
        for a in agents.values():
            a.close()
        got = {}
        for name, proc in zip("ab", captures):
            got[name] = parse(self.interrupted(proc)[0])
        sent = [p for p in got["a"].packets if p.dir == INBOUND]
        received = [p for p in got["b"].packets if p.dir == OUTBOUND]
        self.assertEqual(200, sum(p.len == 124 for p in sent))
        self.assertEqual([p.data for p in sent if p.len == 124],
                         [p.data for p in received if p.len == 124])
        wanted = (mac["b.0"] + mac["a.0"]).replace(":", "")
        self.assertTrue(all(p.data[:12].hex() == wanted for p in sent if p.len == 124))


if __name__ == "__main__":
    harness.main()
