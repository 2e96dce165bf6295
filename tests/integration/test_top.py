# SPDX-License-Identifier: Apache-2.0
"""`lanyard top`: figures for programs, and what is drawn on a terminal (tmux), key by key."""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import LANYARD, main, processes_with, wait_until  # noqa: E402
import test_lab  # noqa: E402


class Top(test_lab.LabCase):
    def setUp(self):
        super().setUp()
        self.env["FAKE_RATE"] = "100000"
        self.env.pop("TMUX", None)
        self.env["LC_ALL"] = "C.UTF-8"

    # ---- a terminal ----

    def tmux(self, *args, **kwargs):
        return subprocess.run(["tmux", "-S", self.path("tmux"), "-f", "/dev/null", *args],
                              env=self.env, capture_output=True, text=True, timeout=20, **kwargs)

    def open_top(self, *args, columns=110, lines=30):
        done = self.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), "-s", "t",
                         f"{LANYARD} top pair {' '.join(args)}; echo status $?; exec cat")
        self.assertEqual(0, done.returncode, done.stderr)
        self.addCleanup(self.end_tmux)

    def end_tmux(self):
        self.tmux("kill-server")
        wait_until(lambda: not processes_with(self.path("tmux")), 10, "tmux's end")

    def screen(self):
        return self.tmux("capture-pane", "-p", "-t", "t").stdout

    def expect(self, *texts):
        """Waits until all of them are on the screen; returns it."""
        try:
            return wait_until(lambda: next((s for s in [self.screen()] if all(
                t in s for t in texts)), None), 15, texts)
        except AssertionError:
            self.fail(f"no {texts} on the screen:\n{self.screen()}")

    def ports(self):
        """Names in the table of ports."""
        lines = self.screen().splitlines()
        heads = [i for i, line in enumerate(lines) if line.startswith(" PORT ")]
        end = heads[1] if len(heads) > 1 else len(lines) - 1
        return [line.split()[0] for line in lines[heads[0] + 1:end] if line.strip()] if heads else []

    def press(self, *keys):
        self.assertEqual(0, self.tmux("send-keys", "-t", "t", *keys).returncode)

    def test_screen(self):
        self.lanyard("up", self.topology)
        self.open_top("-i", "0.2")
        s = self.expect("a.0", "b.0", "tx_ring_full", "the receiver has no free buffers")
        self.assertIn("lanyard top pair", s.splitlines()[0])
        self.assertIn("q quit", s.splitlines()[-1])
        self.assertIn("50 %", s)
        port = next(line for line in s.splitlines() if line.strip().startswith("a.0"))
        self.assertRegex(port, r"a\.0 +lan +up +[\d.]+ k +[\d.]+ M +[\d.]+ k +[\d.]+ M +[\d.]+ k")
        self.press("s")
        self.expect("s sort (rate)")
        self.press("h")
        self.expect("a frame is counted once")
        self.press("h")
        self.expect("s sort (rate)", "a.0")
        self.press("p")
        self.expect("PAUSED")
        self.press("p", "+")
        self.expect("every 0.4 s")
        self.press("q")
        self.expect("status 0")
        self.lanyard("down", "pair")

    def test_resize(self):
        """Smaller than what there is to show, and larger again."""
        self.lanyard("up", self.topology)
        self.open_top("-i", "0.2")
        self.expect("a.0", "b.0")
        for columns, lines in ((40, 8), (20, 3), (150, 40)):
            self.tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(lines))
            wait_until(lambda: len(self.screen().splitlines()) == lines and
                       "q quit" in self.screen().splitlines()[-1], 10, f"{columns}x{lines}")
        self.expect("a.0", "b.0", "the receiver has no free buffers")
        self.press("q")
        self.expect("status 0")
        self.lanyard("down", "pair")

    def test_many_ports(self):
        """More than fit: scrolled to the last, and back."""
        t = dict(test_lab.PAIR)
        t["nodes"] = dict(t["nodes"], **{f"x{i}": {"kind": "external", "nics": [
            {"network": "lan"}] * 4} for i in range(10)})
        self.topology = self.write(t)
        self.lanyard("up", self.topology)
        self.open_top("-i", "0.2", lines=20)
        wait_until(lambda: "a.0" in self.ports(), 15, "the first ports")
        self.assertNotIn("x9.3", self.ports())
        self.press(*["Down"] * 60)
        wait_until(lambda: "x9.3" in self.ports(), 15, "the last port")
        self.assertNotIn("a.0", self.ports())
        self.press("Home")
        wait_until(lambda: "a.0" in self.ports(), 15, "the first ports")
        self.press("q")
        self.lanyard("down", "pair")

    def test_lab_goes_away_and_comes_back(self):
        self.lanyard("up", self.topology)
        self.open_top("-i", "0.2")
        self.expect("a.0")
        self.lanyard("down", "pair")
        self.expect("waiting for lab pair: lab pair is not up", "a.0")
        self.lanyard("up", self.topology)
        wait_until(lambda: "waiting" not in self.screen(), 10, "the lab's return")
        self.expect("a.0", "tx_ring_full")
        self.press("C-c")
        self.expect("status ")  # it ended, and gave the terminal back
        self.lanyard("down", "pair")

    def test_strange_terminals(self):
        self.lanyard("up", self.topology)
        self.assertIn("--once", self.lanyard("top", "pair", status=2).stderr)
        self.tmux("new-session", "-d", "-s", "t",
                  f"TERM=nonsense {LANYARD} top pair; echo status $?; exec cat")
        self.addCleanup(self.end_tmux)
        self.expect("\"nonsense\" is not known", "status 2")
        self.lanyard("down", "pair")

    # ---- for programs ----

    def test_json(self):
        self.lanyard("up", self.topology)
        doc = json.loads(self.lanyard("top", "pair", "--once", "-j", "-i", "0.5").stdout)
        self.assertEqual((1, "pair"), (doc["version"], doc["lab"]))
        self.assertGreaterEqual(doc["seconds"], 0.5)
        port = doc["ports"][0]
        self.assertEqual(("a.0", "lan", "up"), (port["name"], port["network"], port["state"]))
        self.assertAlmostEqual(100e3, port["rx_fps"], delta=10e3)
        self.assertAlmostEqual(port["rx_fps"] * 480, port["rx_bps"], delta=1)
        self.assertAlmostEqual(port["rx_fps"] / 10, port["dropped_fps"], delta=10)
        self.assertAlmostEqual(2 * port["rx_fps"], doc["rx_fps"], delta=1)
        self.assertEqual(["tx_ring_full"], [d["reason"] for d in port["drops"]])
        self.assertEqual((0, 0.5, 90), tuple(doc["workers"][0][k] for k in (
            "cpu", "load", "cycles_per_frame")))
        stream = subprocess.Popen([LANYARD, "top", "pair", "-j", "-i", "0.1"], env=self.env,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(stream.kill)
        for _ in range(3):
            self.assertEqual("pair", json.loads(stream.stdout.readline())["lab"])
        self.lanyard("down", "pair")
        _, said = stream.communicate(timeout=10)
        self.assertIn(stream.returncode, (1, 2), said)
        self.assertRegex(said, "went away|lab pair is not up")

    def test_once(self):
        self.lanyard("up", self.topology)
        text = self.lanyard("top", "pair", "--once", "-i", "0.2").stdout
        self.assertRegex(text, r"^lab pair, \d+\.\d+ s: ")  # 0.2 s, or when it had the CPU
        for part in ("WORKER", "50 %", "a.0", "b.0", "tx_ring_full",
                     "the receiver has no free buffers"):
            self.assertIn(part, text)
        self.lanyard("down", "pair")

    def test_wrong_requests(self):
        self.assertIn("LAB is missing", self.lanyard("top", status=2).stderr)
        self.assertIn("too many", self.lanyard("top", "a", "b", status=2).stderr)
        self.assertIn("0.1 to 60", self.lanyard("top", "a", "-i", "0", status=2).stderr)
        self.assertIn("not up", self.lanyard("top", "pair", "--once", status=2).stderr)

    def test_switch_that_died(self):
        self.lanyard("up", self.topology)
        os.kill(self.pid_of("switch"), signal.SIGKILL)
        self.assertIn("switch", self.lanyard("top", "pair", "--once", status=1).stderr)
        self.lanyard("down", "pair")


if __name__ == "__main__":
    main()
