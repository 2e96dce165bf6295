# SPDX-License-Identifier: Apache-2.0
"""Vhost-user back ends that are not ours: what a NIC of lanyard-vmm's must work with.

    VhostPmd(case, [path0, path1, ...])      dpdk-testpmd: what comes in at one goes out at the next
    Ovs(case, [path0, path1], [path2, ...])  Open vSwitch with DPDK, a bridge for each list

client: they connect to sockets that we made; else they listen there. All their files lie in the
test's run folder.
"""
import os
import subprocess

from harness import PATIENCE, Daemon, interfaces, remove_ovs_taps, wait_until

OVS_VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class VhostPmd:
    def __init__(self, case, paths, client=False, queues=1, name="pmd", start=True):
        """start: else it forwards, and takes a whole CPU, from start() on."""
        devs = [f"net_vhost{i},iface={p},queues={queues},client={int(client)}"
                for i, p in enumerate(paths)]
        self.pmd = case.start_testpmd(
            *devs, name=name,
            args=("--forward-mode=io", f"--rxq={queues}", f"--txq={queues}",
                  "--total-num-mbufs=8192"))
        if start:
            self.start()

    def start(self):
        self.pmd.command("start")

    def kill(self, signo):
        self.pmd.kill(signo)


class Ovs:
    def __init__(self, case, *bridges, client=True, memory_mb=256):
        self.case, self.folder, self.starts = case, case.path("ovs"), 0
        os.mkdir(self.folder)
        self.env = dict(case.env, OVS_RUNDIR=self.folder, OVS_DBDIR=self.folder,
                        OVS_LOGDIR=self.folder, OVS_SYSCONFDIR=self.folder)
        self.remote = f"unix:{self.folder}/db.sock"
        db = f"{self.folder}/conf.db"
        self._run("ovsdb-tool", "create", db, OVS_SCHEMA)
        self._daemon("ovsdb", "ovsdb-server", db, f"--remote=p{self.remote}",
                     f"--unixctl={self.folder}/ovsdb.ctl", "-vsyslog:off")
        wait_until(lambda: os.path.exists(f"{self.folder}/db.sock"), 20, "ovsdb-server")
        self._vsctl("--no-wait", "init")
        for key, value in (("dpdk-init", "true"),
                           ("dpdk-socket-mem", str(memory_mb)), ("dpdk-socket-limit", "400"),
                           ("dpdk-extra", "--no-pci --in-memory --no-telemetry"),
                           ("dpdk-lcore-mask", "1"), ("pmd-cpu-mask", "2"),
                           # Idle, it leaves its CPU to guests that boot (3.1's name, 3.2's).
                           ("pmd-maxsleep", "500"), ("pmd-sleep-max", "500")):
            self._vsctl("--no-wait", "set", "Open_vSwitch", ".", f"other_config:{key}={value}")
        before = interfaces()
        case.addCleanup(lambda: (self.vswitchd.stop(), remove_ovs_taps(before)))
        self._start()
        for b, paths in enumerate(bridges):
            bridge = f"lyb{os.getpid()}-{b}"
            self._vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
            for i, path in enumerate(paths):
                self._add_port(bridge, f"lyp{b}-{i}", path, client)

    def _add_port(self, bridge, name, path, client):
        kind = ["type=dpdkvhostuserclient", f"options:vhost-server-path={path}"]
        if not client:  # the socket's name is the port's, and its folder is ours
            kind, name = ["type=dpdkvhostuser"], os.path.basename(path)
            os.symlink(os.path.join(self.folder, name), path)
        self._vsctl("add-port", bridge, name, "--", "set", "Interface", name, *kind)

    def _daemon(self, name, *argv):
        d = Daemon(list(argv), self.case.path(f"{name}.log"), self.env)
        return self.case._track(d)

    def _start(self):
        self.starts += 1
        self.vswitchd = self._daemon(f"vswitchd{self.starts}", OVS_VSWITCHD, self.remote,
                                     f"--unixctl={self.folder}/v.ctl", "-vsyslog:off")

    def restart(self):
        self.vswitchd.kill(9)
        self._start()

    def _run(self, *argv):
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True,
                              timeout=60 * min(PATIENCE, 6))
        if done.returncode:
            raise AssertionError(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def _vsctl(self, *args):
        return self._run("ovs-vsctl", f"--db={self.remote}", f"--timeout={40 * min(PATIENCE, 6)}",
                         *args)
