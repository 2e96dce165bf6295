# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for lanyard-switch and lanyard-vmm that speak docs/control.md and can be told to fail;
and for virtiofsd and qemu-storage-daemon, which only listen. The agent of a VM that has an
initramfs is a Linux guest's: it runs commands, on this host.

    python3 fake_daemons.py install FOLDER     makes FOLDER/lanyard-switch and the others
    LANYARD_SWITCH=FOLDER/lanyard-switch LANYARD_VMM=FOLDER/lanyard-vmm lanyard up ...

FAKE_FAIL in their environment, a list with commas of WHO:METHOD=HOW:
    switch:port_add/a.0=refuse     an error reply when the parameter `name` is a.0 (no /NAME: always)
    vmm/b:memory/128M=...          a VMM that is started with that much memory
    vmm/b:start=die                ends with status 7 before it listens; also: kill (SIGKILL to
                                   itself), hang (never answers)
FAKE_TSC_HZ: the rate of this host's TSC (tsc_hz()), where it matters. FAKE_EXEC: words before each
command that is run as in a guest, such as "ip netns exec NAME"; FAKE_PATH: the guest's PATH.
FAKE_FAIL_FILE names a file of such rules, which is read anew at each call.
Every call is appended to FAKE_TRACE, a line each: "switch port_add a.0".
"""
import base64
import ctypes
import json
import mmap
import os
import select
import selectors
import signal
import socket
import stat
import subprocess
import sys
import time


def install(folder):
    for name in ("lanyard-switch", "lanyard-vmm", "virtiofsd", "qemu-storage-daemon"):
        path = os.path.join(folder, name)
        with open(path, "w") as f:
            # argv[0] must be the program's name: `lanyard` knows its daemons by it.
            f.write(f'#!/bin/bash\nexec -a "$0" {sys.executable} {os.path.abspath(__file__)} '
                    f'{name} "$@"\n')
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


def log(text, level="info "):
    ms = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms)) + f".{int(ms * 1000) % 1000:03d}Z"
    print(f"{stamp} {level} {text}", file=sys.stderr, flush=True)


def trace(text):
    path = os.environ.get("FAKE_TRACE")
    if path:
        with open(path, "a") as f:
            f.write(text + "\n")


TSC_HZ = int(os.environ.get("FAKE_TSC_HZ", "2600000000"))


def tsc():
    """As rdtsc has it: what a guest's agent would read."""
    if not hasattr(tsc, "read"):
        tsc.page = mmap.mmap(-1, mmap.PAGESIZE,
                             prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        # rdtsc; shl $32, %rdx; or %rdx, %rax; ret
        tsc.page.write(bytes.fromhex("0f3148c1e2204809d0c3"))
        at = ctypes.addressof(ctypes.c_char.from_buffer(tsc.page))
        tsc.read = ctypes.CFUNCTYPE(ctypes.c_uint64)(at)
    return tsc.read()


def tsc_hz():
    """Measured in a fifth of a second."""
    began, first = time.clock_gettime(time.CLOCK_MONOTONIC_RAW), tsc()
    time.sleep(0.2)
    return int((tsc() - first) / (time.clock_gettime(time.CLOCK_MONOTONIC_RAW) - began))


POLICY = {"vlan", "isolated", "admin", "mac_limit", "static", "spoof", "storm", "police", "mirror",
          "offloads"}


class Refused(Exception):
    pass


class Fake:
    def __init__(self, who, options):
        self.who, self.options = who, options
        self.selector = selectors.DefaultSelector()
        self.done = False
        self.began = time.monotonic()
        self.listening = {}
        signal.signal(signal.SIGTERM, lambda *_: self.end("asked by SIGTERM"))

    def fail(self, method, name=""):
        rules = os.environ.get("FAKE_FAIL", "")
        path = os.environ.get("FAKE_FAIL_FILE", "")
        if os.path.exists(path):
            with open(path) as f:
                rules += "," + f.read()
        for rule in filter(None, rules.split(",")):
            what, _, how = rule.partition("=")
            who, _, wanted = what.partition(":")
            wanted, _, wanted_name = wanted.partition("/")
            if who != self.who or wanted != method or wanted_name not in ("", name):
                continue
            if how == "die":
                log("ended: told to die", "error")
                os._exit(7)
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "hang":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(3600)
            raise Refused(f"{method} {name} refused, as told")

    def end(self, why):
        log(f"ended: {why}")
        for path in self.listening:
            os.unlink(path)
        os._exit(0)

    def listen(self, path, handler):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.path.exists(path):
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, 0o600)
        sock.listen(8)
        self.listening[path] = sock
        self.selector.register(sock, selectors.EVENT_READ, ("accept", handler))

    def unlisten(self, path):
        sock = self.listening.pop(path)
        self.selector.unregister(sock)
        sock.close()
        os.unlink(path)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                kind, handler = key.data[:2]
                if kind == "accept":
                    conn, _ = key.fileobj.accept()
                    if getattr(handler, "alone", False) and not self.admit(conn, handler):
                        continue
                    self.selector.register(conn, selectors.EVENT_READ, ("data", handler, [b""]))
                    continue
                got = key.fileobj.recv(65536)
                if not got:
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()
                    self.gone()
                    continue
                handler(key.fileobj, key.data[2], got)

    def admit(self, conn, handler):
        """As the agent channel: one client at a time."""
        if getattr(handler, "client", None) and handler.client.fileno() >= 0:
            conn.sendall(b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": '
                         b'"the agent channel is taken by another client", "data": '
                         b'{"class": 1, "errno": 16}}}\n')
            conn.close()
            return False
        handler.client = conn
        return True

    def rpc(self, methods):
        def handler(conn, buf, got):
            buf[0] += got
            while b"\n" in buf[0]:
                line, _, buf[0] = buf[0].partition(b"\n")
                request = json.loads(line)
                params = request.get("params") or {}
                name = request["method"]
                trace(f"{self.who} {name} {params.get('name', '')}".strip())
                reply = {"jsonrpc": "2.0", "id": request["id"]}
                try:
                    self.fail(name, params.get("name", ""))
                    reply["result"] = methods[name](**params)
                except Refused as e:
                    reply["error"] = {"code": -32000, "message": str(e), "data": {"class": 1}}
                except OSError as e:
                    reply["error"] = {"code": -32000, "message": str(e),
                                      "data": {"class": 2, "errno": e.errno}}
                conn.sendall(json.dumps(reply).encode() + b"\n")
                if self.done:
                    self.end(f"asked by {name}")
        return handler

    def gone(self):
        """A client has."""

    def finish(self):
        self.done = True
        return {}


class Switch(Fake):
    def __init__(self, options):
        super().__init__("switch", options)
        self.networks, self.ports = {}, {}
        self.fail("start")
        self.listen(options["control"][0], self.rpc({
            "info": self.info, "network_add": self.network_add, "network_del": self.network_del,
            "configure": self.configure, "port_add": self.port_add, "port_del": self.port_del, "stats": self.stats,
            "shutdown": self.finish}))
        log("ready")

    def info(self):
        return {"name": "lanyard-switch", "version": "0", "pid": os.getpid(), "tsc_hz": TSC_HZ,
                "uptime_s": time.monotonic() - self.began, "poll": "adaptive", "dpdk": "DPDK 0",
                "huge": True, "workers": [{"cpu": 0}]}

    def network_add(self, name, mtu=1500, ageing_s=300):
        if name in self.networks:
            raise Refused("it is there already")
        self.networks[name] = mtu
        return {}

    def network_del(self, name):
        if name not in self.networks:
            raise Refused("no such network")
        if any(p["network"] == name for p in self.ports.values()):
            raise Refused("it has ports")
        del self.networks[name]
        return {}

    def port_add(self, name, network, queues, socket=None, kind="vhost", ifname=None, pci=None,
                 mergeable=True, **policy):
        if network not in self.networks:
            raise Refused("no such network")
        if name in self.ports:
            raise Refused("it is there already")
        if {"vhost": socket, "tap": ifname, "pci": pci}[kind] is None:
            raise Refused("without an end")
        self.check_policy(name, policy)
        self.ports[name] = {"network": network, "socket": socket, "policy": policy}
        if socket:
            self.listen(socket, lambda *_: None)
        return {}

    def check_policy(self, name, policy):
        if set(policy) - POLICY:
            raise Refused(f"unknown keys {set(policy) - POLICY}")
        to = (policy.get("mirror") or {}).get("to")
        if to is not None and to not in self.ports:
            raise Refused(f"mirror: no port {to}")

    def configure(self, networks=(), ports=()):
        """All is checked before anything is changed."""
        for name, policy in dict(ports).items():
            if name not in self.ports:
                raise Refused(f"no such port {name}")
            self.check_policy(name, policy)
        for name in networks:
            if name not in self.networks:
                raise Refused(f"no such network {name}")
        for name, policy in dict(ports).items():
            now = {**self.ports[name]["policy"], **policy}
            self.ports[name]["policy"] = {k: v for k, v in now.items() if v is not None}
        for name, settings in dict(networks).items():
            self.networks[name] = settings.get("mtu", self.networks[name])
        return {}

    def port_del(self, name):
        if name not in self.ports:
            raise Refused("no such port")
        if any(p["policy"].get("mirror", {}).get("to") == name for p in self.ports.values()):
            raise Refused("it is mirrored to")
        socket = self.ports.pop(name)["socket"]
        if socket:
            self.unlisten(socket)
        return {}

    def stats(self, port=None):
        # FAKE_RATE: frames a second that each port takes in; a tenth of them is dropped.
        more = int(float(os.environ.get("FAKE_RATE", "0")) * (time.monotonic() - self.began))
        frames = {"frames": 12345678 + more, "bytes": 740740680 + 60 * more}
        return {"tsc_hz": TSC_HZ, "time_ns": time.monotonic_ns(), "ports": [
            {"name": n, "network": p["network"], "socket": p["socket"], "state": "up",
             "reason": None, "features": ["VERSION_1"], "queues": 1, "connects": 1,
             "vhost_pid": 1, "rx": frames, "tx": frames, "drops": {"rx_vlan": 0, "tx_ring_full": more // 10},
             "policy": p["policy"], "flooded": 0, "notifications_sent": 0, "kicks_received": 0, "queue": []}
            for n, p in self.ports.items()],
            "networks": [{"name": n, "mtu": m, "ports": 0, "fdb_entries": 0, "flooded": 0,
                          "learned": 0, "moved": 0} for n, m in self.networks.items()],
            "workers": [{"cpu": 0, "load": 0.5, "frames": 24691356 + more, "bursts": 771605, "polls": 1000000,
                         "empty_polls": 1000, "busy_cycles": 2222222040 + 90 * more, "idle_cycles": 10**9,
                         "sleeps": 3, "wakeups": 3, "burst_histogram": []}]}


class Vmm(Fake):
    def __init__(self, options):
        self.name = options["name"][0]
        super().__init__(f"vmm/{self.name}", options)
        self.fail("start")
        self.fail("memory", options["memory"][0])
        self.back_ends()
        self.listen(options["control"][0], self.rpc({
            "info": self.info, "stop": self.finish, "reset": dict,
            "counters": lambda: {"vcpus": [{"exits": {"hlt": 1}}]}}))
        agent = self.rpc({"hello": self.hello, **(Commands(self).methods() if "initrd" in options
                                                  else {})})
        agent.alone = True
        self.listen(options["agent"][0], agent)
        self.listen(options["console"][0], self.echo)
        with open(options["console-log"][0], "w") as f:
            f.write("fake guest\n")
        log(f"started, kernel command line {options.get('cmdline', [''])[0]}")

    def back_ends(self):
        """Disks and shares that other programs serve: connected to for as long as we live."""
        self.connections = []
        for text in self.options.get("disk", []) + self.options.get("fs", []):
            given = dict(kv.split("=") for kv in text.split(","))
            if "socket" in given:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.connect(given["socket"])
                self.connections.append(sock)
            elif not os.path.exists(given["file"]):
                sys.exit(f"no file {given['file']}")

    def echo(self, conn, buf, got):
        conn.sendall(got.upper())

    def info(self):
        nics = [dict(kv.split("=") for kv in nic.split(",")) for nic in self.options["nic"]]
        return {"name": "lanyard-vmm", "version": "0", "pid": os.getpid(), "node": self.name,
                "state": "running", "reason": None, "memory_bytes": 64 << 20, "huge": True,
                "vcpus": [{"cpu": int(cpu), "tid": os.getpid()}
                          for cpu in self.options["cpus"][0].split(",")],
                "exits": {"hlt": 1}, "resets": 0, "uptime_s": time.monotonic() - self.began,
                "nics": [{"mac": n["mac"], "socket": n["socket"], "mtu": int(n["mtu"]),
                          "link": "up", "connected": True, "reconnects": 0, "features": [],
                          "queues": 1, "needs_reset": False} for n in nics]}

    def hello(self):
        if "initrd" in self.options:
            return {"guest": "linux", "version": "0", "kernel": "6.1.0-fake", "hostname": self.name,
                    "problems": [], "tsc": tsc(), "tsc_hz": TSC_HZ, "nics": []}
        return {"guest": "probe", "version": "0", "tsc": 1, "tsc_hz": 1, "nics": []}


class Commands:
    """exec and its kin of a Linux guest's agent."""
    def __init__(self, vmm):
        self.vmm, self.commands = vmm, {}

    def methods(self):
        return {"exec": self.start, "exec_poll": self.poll, "exec_write": self.write,
                "exec_kill": self.kill, "stop_guest": self.stop}

    def start(self, argv, env, cwd):
        path = os.environ.get("FAKE_PATH", "/usr/bin:/bin")
        argv = os.environ.get("FAKE_EXEC", "").split() + argv
        proc = subprocess.Popen(argv, env={"PATH": path, **env}, cwd=cwd,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, start_new_session=True)
        for pipe in (proc.stdin, proc.stdout, proc.stderr):
            os.set_blocking(pipe.fileno(), False)
        self.commands[proc.pid] = proc
        return {"id": proc.pid}

    def command(self, id):
        if id not in self.commands:
            raise Refused(f"no command has the id {id}")
        return self.commands[id]

    def take(self, pipe):
        try:
            return os.read(pipe.fileno(), 20000)
        except BlockingIOError:
            return b""

    def poll(self, id, wait_ms=0):
        proc = self.command(id)
        select.select([proc.stdout, proc.stderr], [], [], wait_ms / 1000)
        ended = proc.poll() is not None
        out, err = self.take(proc.stdout), self.take(proc.stderr)
        ended &= not out and not err
        if ended:
            del self.commands[id]
        return {"out": base64.b64encode(out).decode(), "err": base64.b64encode(err).decode(),
                "ended": ended, "status": proc.returncode if ended and proc.returncode >= 0
                else None, "signal": -proc.returncode if ended and proc.returncode < 0 else None}

    def write(self, id, data, eof=False):
        proc, data = self.command(id), base64.b64decode(data)
        try:
            taken = os.write(proc.stdin.fileno(), data) if data else 0
        except BlockingIOError:
            taken = 0
        if eof and taken == len(data):
            proc.stdin.close()
        return {"taken": taken}

    def stop(self, how):
        return self.vmm.finish()

    def kill(self, id, signal):
        os.killpg(self.command(id).pid, signal)
        return {}


class BackEnd(Fake):
    """virtiofsd: ends with its client. qemu-storage-daemon: one socket for each export."""
    def __init__(self, who, options):
        super().__init__(who, options)
        if os.environ.get("FAKE_ARGS"):
            with open(os.environ["FAKE_ARGS"], "a") as f:
                f.write(json.dumps(sys.argv) + "\n")
        self.fail("start")
        if who == "virtiofsd":
            self.listen(options["socket-path"], self.ignore)
            # As the one in Rust: it stays.
            with open(options["socket-path"] + ".pid", "w") as f:
                f.write(f"{os.getpid()}\n")
        for text in options.get("export", []):
            self.listen(json.loads(text)["addr"]["path"], self.ignore)
        if "pidfile" in options:
            self.listening[options["pidfile"]] = None
            with open(options["pidfile"], "w") as f:
                f.write(f"{os.getpid()}\n")

    def ignore(self, conn, buf, got):
        pass

    def gone(self):
        if self.who == "virtiofsd":
            self.end("its client has gone")


def back_end(name, argv):
    options, exports = {}, []
    for i, arg in enumerate(argv):
        if arg.startswith("--socket-path="):
            options["socket-path"] = arg.partition("=")[2]
        if arg == "--pidfile":
            options["pidfile"] = argv[i + 1]
        if arg == "--export":
            exports.append(argv[i + 1])
    options["export"] = exports
    BackEnd("storage" if name == "qemu-storage-daemon" else name, options).run()


def main():
    if sys.argv[1] == "install":
        install(sys.argv[2])
        return
    if not sys.argv[1].startswith("lanyard-"):
        back_end(sys.argv[1], sys.argv[2:])
        return
    options, key = {}, None
    for arg in sys.argv[2:]:
        if arg.startswith("--"):
            key = arg[2:]
            options.setdefault(key, [])
        else:
            options[key].append(arg)
    (Switch if sys.argv[1] == "lanyard-switch" else Vmm)(options).run()


if __name__ == "__main__":
    main()
