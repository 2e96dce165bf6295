# SPDX-License-Identifier: Apache-2.0
"""The switches that tests/bench/switch-peers compares, each behind the same few methods.

A system is started once, in a folder of its own, and stands still (SIGSTOP) while others are measured:
two of the three poll for ever. Its forwarding thread is pinned to one CPU. counters() answers
{"frames", "busy_cycles"} since some moment in the past: TSC cycles of loop rounds that had frames, and
the frames received in them, as each of the systems counts them itself.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from generator import prefer  # noqa: E402
from harness import (SWITCH, Daemon, Switch, interfaces, remove_ovs_taps,  # noqa: E402
                     wait_until)

OVS_VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
FEATURES = {"PACKED": 34, "IN_ORDER": 35, "MRG_RXBUF": 15}


def missing():
    """{package: what of it is not there}"""
    need = {"dpdk-dev": [shutil.which("dpdk-testpmd") or "dpdk-testpmd"],
            "openvswitch-switch-dpdk": [OVS_VSWITCHD, OVS_SCHEMA,
                                        shutil.which("ovsdb-server") or "ovsdb-server"]}
    found = {p: [f for f in files if not os.path.exists(f)] for p, files in need.items()}
    return {p: files for p, files in found.items() if files}


class System:
    server = False  # whether the generator must listen
    FEATURES_SAID = r"negotiated Virtio features: (0x[0-9a-f]+)"

    def __init__(self, folder, cpu):
        self.folder, self.cpu = folder, cpu
        self.daemons = []
        self.stopped = False
        os.mkdir(folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def sockets(self):
        return [self.path("p0"), self.path("p1")]

    def own(self, daemon):
        self.daemons.append(daemon)
        prefer(daemon.pid)
        return daemon

    def _signal(self, signo):
        for d in self.daemons:
            if d.alive():
                os.kill(d.pid, signo)

    def pause(self):
        self._signal(signal.SIGSTOP)
        self.stopped = True

    def resume(self):
        self._signal(signal.SIGCONT)
        self.stopped = False
        time.sleep(0.05)

    def stop(self):
        self.resume()
        for d in reversed(self.daemons):
            d.stop()

    def alive(self):
        return all(d.alive() for d in self.daemons)

    def log(self):
        return "".join(d.text() for d in self.daemons)

    def negotiated(self):
        """Names of FEATURES that the last client got, by the log."""
        words = re.findall(self.FEATURES_SAID, self.log())
        bits = int(words[-1], 16) if words else 0
        return [name for name, bit in FEATURES.items() if bits >> bit & 1]


class Lanyard(System):
    name, title = "lanyard", "lanyard-switch"
    FEATURES_SAID = r"device started, features (0x[0-9a-f]+)"

    def start(self):
        control = self.path("c")
        self.sw = self.own(Switch([SWITCH, "--control", control, "--cpus", str(self.cpu)],
                                  self.path("log"), control))
        self.sw.call("network_add", name="lan")
        for i, path in enumerate(self.sockets()):
            self.sw.call("port_add", name=f"p{i}", network="lan", socket=path)

    def version(self):
        info = self.sw.call("info")
        return f"lanyard-switch {info['version']}, {info['dpdk']}"

    def counters(self):
        w = self.sw.stats()["workers"][0]
        return {"frames": w["frames"], "busy_cycles": w["busy_cycles"]}


class Testpmd(System):
    """Two vhost PMD ports, `io`: what comes in at one goes out at the other, unread."""
    name, title = "testpmd", "testpmd io"

    def start(self):
        main = 1 if self.cpu == 0 else 0
        argv = ["stdbuf", "-oL", "dpdk-testpmd", "--no-pci", "--in-memory",
                "--single-file-segments", "--no-telemetry", "-l", f"{self.cpu},{main}",
                f"--main-lcore={main}", "-m", "192"]
        argv += [f"--vdev=net_vhost{i},iface={p},queues=1" for i, p in enumerate(self.sockets())]
        argv += ["--", "-i", "--no-lsc-interrupt", "--forward-mode=io", "--nb-cores=1",
                 "--total-num-mbufs=32768"]
        self.pmd = self.own(Daemon(argv, self.path("log"), stdin=subprocess.PIPE))
        self._wait("testpmd> ", 60, 0)
        self._type("set record-core-cycles on")
        self._type("start")
        self._wait("packet forwarding", 20, 0)

    def version(self):
        out = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "dpdk-dev"],
                             capture_output=True, text=True)
        return f"testpmd of DPDK {out.stdout or '?'}"

    def _type(self, line):
        since = len(self.pmd.text())
        self.pmd.proc.stdin.write(line.encode() + b"\n")
        self.pmd.proc.stdin.flush()
        return since

    def _wait(self, text, timeout_s, since):
        def seen():
            out = self.pmd.text()[since:]
            if not self.pmd.alive():
                raise RuntimeError(f"testpmd ended:\n{out[-2000:]}")
            return out if text in out else None

        return wait_until(seen, timeout_s, f"testpmd to print {text!r}")

    def counters(self):
        # A second command marks the end of the first's answer.
        since = self._type("show fwd stats all")
        self._type("show port summary 0")
        out = self._wait("Number of available ports", 20, since)
        got = re.findall(r"total cycles=(\d+) / total \w+ packets=(\d+)", out)
        if not got:  # no frames yet
            return {"frames": 0, "busy_cycles": 0}
        return {"frames": int(got[-1][1]), "busy_cycles": int(got[-1][0])}


class Ovs(System):
    """Open vSwitch's userspace datapath, a bridge with its NORMAL flow. Daemons are ours alone:
    their sockets, pid files and database lie in our folder."""
    name, title, server = "ovs", "Open vSwitch", True

    def stop(self):
        super().stop()
        remove_ovs_taps(self.interfaces_before)

    def start(self):
        self.interfaces_before = interfaces()
        self.env = dict(os.environ, OVS_RUNDIR=self.folder, OVS_DBDIR=self.folder,
                        OVS_LOGDIR=self.folder, OVS_SYSCONFDIR=self.folder)
        db = self.path("conf.db")
        self.remote = f"unix:{self.path('db.sock')}"
        self._run("ovsdb-tool", "create", db, OVS_SCHEMA)
        self.own(Daemon(["ovsdb-server", db, f"--remote=p{self.remote}",
                         f"--unixctl={self.path('ovsdb.ctl')}", "-vsyslog:off"],
                        self.path("ovsdb.log"), self.env))
        wait_until(lambda: os.path.exists(self.path("db.sock")), 20, "ovsdb-server")
        self._vsctl("--no-wait", "init")
        other = 1 if self.cpu == 0 else 0
        for key, value in (("dpdk-init", "true"), ("dpdk-socket-mem", "256"),
                           ("dpdk-socket-limit", "320"),
                           ("dpdk-extra", "--no-pci --in-memory --no-telemetry"),
                           ("dpdk-lcore-mask", hex(1 << other)),
                           ("pmd-cpu-mask", hex(1 << self.cpu))):
            self._vsctl("--no-wait", "set", "Open_vSwitch", ".", f"other_config:{key}={value}")
        self.own(Daemon([OVS_VSWITCHD, self.remote, f"--unixctl={self.path('v.ctl')}",
                         "-vsyslog:off"], self.path("vswitchd.log"), self.env))
        self.bridge = f"lyb{os.getpid()}"
        self._vsctl("add-br", self.bridge, "--", "set", "bridge", self.bridge,
                    "datapath_type=netdev")
        for i, path in enumerate(self.sockets()):
            self._vsctl("add-port", self.bridge, f"lyp{i}", "--", "set", "Interface", f"lyp{i}",
                        "type=dpdkvhostuserclient", f"options:vhost-server-path={path}")
        self._appctl("dpif-netdev/pmd-stats-show")

    def _run(self, *argv, timeout_s=60):
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True,
                              timeout=timeout_s)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}\n{self.log()[-2000:]}")
        return done.stdout

    def _vsctl(self, *args):
        return self._run("ovs-vsctl", f"--db={self.remote}", "--timeout=40", *args)

    def _appctl(self, *words):
        """ovs-appctl's own protocol: it is JSON-RPC, and a process less next to the generator."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.path("v.ctl"))
            s.sendall(json.dumps({"id": 0, "method": words[0],
                                  "params": list(words[1:])}).encode())
            text = b""
            while True:
                text += s.recv(65536)
                try:
                    reply = json.loads(text)
                except ValueError:
                    continue
                if reply.get("error"):
                    raise RuntimeError(f"Open vSwitch: {words[0]}: {reply['error']}")
                return reply["result"]

    def version(self):
        return self._run(OVS_VSWITCHD, "--version").replace("\n", ", ").strip(", ")

    def counters(self):
        out = self._appctl("dpif-netdev/pmd-stats-show", "-pmd", str(self.cpu))
        frames = re.search(r"packets received: (\d+)", out)
        cycles = re.search(r"processing cycles: (\d+)", out)
        return {"frames": int(frames.group(1)) if frames else 0,
                "busy_cycles": int(cycles.group(1)) if cycles else 0}


SYSTEMS = (Lanyard, Testpmd, Ovs)
