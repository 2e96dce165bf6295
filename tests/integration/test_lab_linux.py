# SPDX-License-Identifier: Apache-2.0
"""Labs of Linux guests, with daemons, back ends and a kernel that are stand-ins: what is started
for them, with which arguments and in which order, what is undone, what is said of a host that
lacks something. tests/rig/test_lab_linux.py boots real ones."""
import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fakekernel  # noqa: E402
from harness import LANYARD, main, processes_with, slow  # noqa: E402
from test_lab import LabCase  # noqa: E402


def read_cpio(archive):
    """Paths and contents of a "newc" archive."""
    at = 0
    while True:
        head = [int(archive[at + 6 + i * 8:at + 14 + i * 8], 16) for i in range(13)]
        size, n = head[6], head[11]
        name = archive[at + 110:at + 110 + n - 1].decode()
        data = at + 110 + n + 3 & ~3
        if name == "TRAILER!!!":
            return
        yield name, archive[data:data + size]
        at = data + size + 3 & ~3


class LinuxCase(LabCase):
    def setUp(self):
        super().setUp()
        self.env["LANYARD_BOOT"] = fakekernel.make(self.path("host"))
        self.env["LANYARD_INIT"] = "/bin/true"
        self.env["LANYARD_VIRTIOFSD"] = self.path("virtiofsd")
        self.env["LANYARD_STORAGE_DAEMON"] = self.path("qemu-storage-daemon")
        self.env["FAKE_ARGS"] = self.path("args")
        self.share = self.path("shared")
        os.mkdir(self.share)
        with open(self.path("raw.img"), "wb") as f:
            f.truncate(1 << 20)
        with open(self.path("q.qcow2"), "wb") as f:
            f.write(b"QFI\xfb" + bytes(508))
        self.topology = self.write(self.lab())

    def node(self, address, **more):
        return {"kind": "vm", "guest": "linux", "memory": "128M",
                "nics": [{"network": "lan", "addresses": [address]}], **more}

    def lab(self, **more):
        """a: all that there is; b: plain."""
        a = {"disks": [{"file": "raw.img", "serial": "one"},
                       {"file": "q.qcow2", "format": "qcow2", "queues": 2, "readonly": True}],
             "shares": [{"path": "shared", "tag": "here"}],
             "files": ["/bin/ls", {"from": "pair.json", "to": "/etc/lab.json"}],
             "routes": [{"to": "default", "via": "10.0.0.2"}], "forward": True,
             "cmdline": "debug", **more}
        return {"version": 1, "lab": "pair", "networks": {"lan": {}},
                "nodes": {"a": self.node("10.0.0.1/24", **a), "b": self.node("10.0.0.2/24")}}

    def steps(self, kind):
        return [s for s in self.record()["steps"] if s["kind"] == kind]

    def args(self, name):
        """Of the back ends of that name that were started."""
        with open(self.path("args")) as f:
            return [a[2:] for a in map(json.loads, f) if a[1] == name]

    def options(self, node, name):
        vm = next(s for s in self.steps("vm") if s["name"] == node)
        return [v for k, v in zip(vm["args"], vm["args"][1:]) if k == f"--{name}"]

    def unpack(self, node):
        """Files of the node's initramfs by their paths, and what /lanyard.json says."""
        with open(self.lab_path(f"{node}.initrd"), "rb") as f:
            files = dict(read_cpio(f.read()))
        return files, json.loads(files["lanyard.json"])


class UpDown(LinuxCase):
    def test_cycle(self):
        up = self.lanyard("up", self.topology)
        self.assertIn("lab pair is up (", up.stdout)
        self.assertEqual(["done"] * len(self.record()["steps"]),
                         [s["state"] for s in self.record()["steps"]])
        kinds = [s["kind"] for s in self.record()["steps"]]
        self.assertEqual(["image", "disks", "share", "vm", "image", "vm", "guest", "guest",
                          "links"], kinds[-9:])
        # The initramfs says who the guest is.
        files, config = self.unpack("a")
        mac = next(s["mac"] for s in self.steps("port") if s["name"] == "a.0")
        self.assertGreater(config.pop("tsc_hz"), 1e6)  # its clock, as all of the lab's take it
        self.assertEqual({
            "hostname": "a", "root": "none", "forward": True,
            "nics": [{"mac": mac, "addresses": ["10.0.0.1/24"]}],
            "routes": [{"to": "default", "via": "10.0.0.2"}],
            "shares": [{"tag": "here", "readonly": False}]}, config)
        self.assertTrue({"bin/ls", "usr/bin/ls"} & set(files))
        self.assertEqual("pair", json.loads(files["etc/lab.json"])["lab"])
        # The VMM is told where everything is.
        self.assertEqual([f"{self.env['LANYARD_BOOT']}/vmlinuz-{fakekernel.VERSION}"],
                         self.options("a", "kernel"))
        self.assertEqual(["console=ttyS0 quiet debug"], self.options("a", "cmdline"))
        self.assertEqual(["console=ttyS0 quiet"], self.options("b", "cmdline"))
        self.assertEqual([
            f"file={self.run_dir}/raw.img,queues=1,serial=one",
            f"socket={self.lab_path('a.disk1.vhost')},queues=2"], self.options("a", "disk"))
        self.assertEqual([f"socket={self.lab_path('a.fs0.vhost')},tag=here"],
                         self.options("a", "fs"))
        self.assertEqual([], self.options("b", "disk") + self.options("b", "fs"))
        # So are the back ends: this virtiofsd goes for the one in Rust.
        self.assertEqual([[f"--socket-path={self.lab_path('a.fs0.vhost')}",
                           f"--shared-dir={self.run_dir}/shared",
                           "--no-announce-submounts", "--sandbox=chroot",
                           "--cache=auto", "--log-level=warn"]], self.args("virtiofsd"))
        storage = self.args("qemu-storage-daemon")[0]
        self.assertEqual(["--pidfile", "--blockdev", "--export"], storage[::2])
        self.assertEqual(("qcow2", f"{self.run_dir}/q.qcow2", True), (
            json.loads(storage[3])["driver"], json.loads(storage[3])["file"]["filename"],
            json.loads(storage[3])["read-only"]))
        self.assertEqual((2, False), (json.loads(storage[5])["num-queues"],
                                      json.loads(storage[5])["writable"]))
        again = self.lanyard("up", self.topology)
        self.assertIn("nothing to do", again.stdout)
        self.see()
        down = self.lanyard("down", "pair")
        self.assertIn("lab pair is down (", down.stdout)
        self.assertNotIn("did not end when asked", down.stderr)
        self.expect_nothing()

    def see(self):
        """status, for people and programs; logs."""
        node = next(n for n in self.status()["nodes"] if n["name"] == "a")
        self.assertEqual(("linux", "none", "answers", "6.1.0-fake", []), tuple(
            node[k] for k in ("guest", "root", "agent", "kernel", "problems")))
        self.assertEqual([("raw.img", "raw", False, "one"), ("q.qcow2", "qcow2", True, None)], [
            (d["file"], d["format"], d["readonly"], d["serial"]) for d in node["disks"]])
        self.assertEqual([("here", "shared", False)], [
            (s["tag"], s["path"], s["readonly"]) for s in node["shares"]])
        self.assertEqual([("disks", "running"), ("share", "running")], [
            (h["kind"], h["state"]) for h in node["helpers"]])
        self.assertIn("VM a: Linux 6.1.0-fake, root none; disks raw.img, q.qcow2; share here\n",
                      self.lanyard("status", "pair").stdout)
        for part in ("a.disks", "a.fs0", "a"):
            self.lanyard("logs", f"pair/{part}")
        self.lanyard("logs", "pair/a.fs1", status=2)

    def test_read_only(self):
        """The guest's root is the host's, and a folder is only to be read: the kernel sees to it."""
        self.write(self.lab(root="host", shares=[
            {"path": "shared", "tag": "here", "readonly": True}]))
        self.lanyard("up", self.topology)
        self.assertEqual([f"socket={self.lab_path('a.fs0.vhost')},tag=lanyard-root",
                          f"socket={self.lab_path('a.fs1.vhost')},tag=here"],
                         self.options("a", "fs"))
        pids = [s["process"]["pid"] for s in self.steps("share")]
        for i, pid in enumerate(pids):
            shown = self.lab_path(f"a.fs{i}.dir")
            self.assertEqual([f"--shared-dir={shown}"],
                             [a for a in sorted(self.args("virtiofsd"))[i] if "shared-dir" in a])
            # Here the folder is empty; the process sees it, and can't write.
            self.assertEqual([], os.listdir(shown))
            enter = ["nsenter", "-t", str(pid), "-m", "/bin/sh", "-c"]
            made = subprocess.run([*enter, f"echo x > {shown}/new"], capture_output=True, text=True)
            self.assertRegex(made.stderr, "(?i)read-only file system")
            listed = subprocess.run([*enter, f"ls -A {shown}"], capture_output=True, text=True,
                                    check=True).stdout.split()
            self.assertEqual("usr" in listed, i == 0, listed)
        # What is other processes' is not there.
        empty = subprocess.run(["nsenter", "-t", str(pids[0]), "-m", "/bin/sh", "-c",
                                f"ls {self.lab_path('a.fs0.dir')}/proc"], capture_output=True,
                               text=True)
        self.assertEqual("", empty.stdout)
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_plan(self):
        plan = self.lanyard("plan", self.topology)
        for line in (rf"initramfs of a, for {self.env['LANYARD_BOOT']}/vmlinuz-\S+ +"
                     "initramfs of a removed", "storage daemon of a, 1 disk .* stopped",
                     f"share a.fs0, {self.run_dir}/shared .* stopped", "VM a, 128M"):
            self.assertRegex(plan.stdout, line)
        self.assertNotIn("would fail", plan.stdout)
        self.assertFalse(os.path.exists(self.labs))
        doc = json.loads(self.lanyard("plan", "-j", self.topology).stdout)
        self.assertIn("image", [s["kind"] for s in doc["steps"]])

    def test_images_of_the_users(self):
        """A bzImage with an initramfs, a command line and a disk: passed on as they are."""
        boot = self.env["LANYARD_BOOT"]
        with open(self.path("initramfs"), "w") as f:
            f.write("x")
        own = {"kind": "vm", "guest": f"{boot}/vmlinuz-{fakekernel.VERSION}", "memory": "64M",
               "initramfs": "initramfs", "cmdline": "quiet", "disks": [{"file": "raw.img"}],
               "nics": [{"network": "lan", "packed": False}]}
        topology = self.lab()
        topology["nodes"]["c"] = own
        topology["nodes"]["a"]["disks"] = []
        self.write(topology)
        self.lanyard("up", self.topology)
        self.assertEqual([f"{self.run_dir}/initramfs"], self.options("c", "initrd"))
        self.assertEqual(["quiet"], self.options("c", "cmdline"))
        self.assertEqual([f"file={self.run_dir}/raw.img,queues=1"], self.options("c", "disk"))
        self.assertTrue(self.options("c", "nic")[0].endswith(",packed=off"))
        self.lanyard("down", "pair")

    def test_cpus_and_pages(self):
        self.write(self.lab(vcpus=4, hugepages="none", cpu={"without": ["cx16", "avx"],
                                                            "threads": 2}))
        self.lanyard("up", self.topology)
        self.assertEqual(["4,sockets=1,cores=2,threads=2"], self.options("a", "vcpus"))
        self.assertEqual(["cx16,avx"], self.options("a", "cpu-without"))
        self.assertEqual(["none"], self.options("a", "hugepages"))
        self.assertEqual([], self.options("b", "hugepages"))
        pages = next(s for s in self.record()["steps"] if s["kind"] == "hugepages")
        self.assertEqual(64 + 16, pages["pages"])  # b's and the switch's
        self.lanyard("down", "pair")


class Failures(LinuxCase):
    def refuse(self, pattern, status=3, **more):
        """Nothing is started and nothing is left."""
        refused = self.lanyard("up", self.write(self.lab(**more)), status=status)
        self.assertRegex(refused.stderr, pattern)
        self.assertEqual([], self.trace())
        self.expect_nothing()

    def test_host_lacks(self):
        self.env["LANYARD_VIRTIOFSD"] = self.path("nowhere")
        self.refuse(r'pair.json:1:\d+: node "a": virtiofsd, .* \(\S+nowhere: No such file.*: sudo '
                    r"apt-get install (qemu-system-common|virtiofsd)\n")
        self.refuse("virtiofsd, .* apt-get install", root="host", shares=[])
        self.env["LANYARD_VIRTIOFSD"] = self.path("virtiofsd")
        self.env["LANYARD_STORAGE_DAEMON"] = self.path("nowhere")
        self.refuse("qemu-storage-daemon, which serves disks that aren't raw, .* sudo apt-get "
                    "install qemu-system-common")
        self.env["LANYARD_STORAGE_DAEMON"] = self.path("qemu-storage-daemon")
        boot, self.env["LANYARD_BOOT"] = self.env["LANYARD_BOOT"], self.path("empty")
        os.mkdir(self.path("empty"))
        self.refuse(rf'node "a": this host has no kernel in {self.path("empty")} .*apt-get install')
        self.env["LANYARD_BOOT"] = fakekernel.make(self.path("bare"), "5.99.0-none", modules=False)
        self.refuse(r'node "a": no modules for kernel 5.99.0-none: the folder \S+ is missing')
        self.env["LANYARD_BOOT"] = boot
        self.env["LANYARD_INIT"] = self.path("nowhere")
        self.refuse("nowhere, named by LANYARD_INIT: No such file")
        self.env["LANYARD_INIT"] = "/bin/true"
        self.refuse("hugepages of 1G, and 0 are free here: reserve them at boot",
                    memory="512G", hugepages="1G", status=3)

    def test_bad_requests(self):
        text = self.path("text")
        with open(text, "w") as f:
            f.write("no kernel\n")
        for pattern, more in [
                ("kernel /nowhere cannot be read: No such file", {"kernel": "/nowhere"}),
                ("text is no Linux kernel", {"kernel": "text"}),
                ("nowhere", {"modules": "/nowhere"}),
                ("the file /nowhere for the guest can't be read: No such file",
                 {"files": ["/nowhere"]}),
                (r"disk \S+/nowhere can't be opened for writing: No such file",
                 {"disks": [{"file": "nowhere"}]}),
                (r"disk \S+/q.qcow2 is a qcow2 image, not raw: say \"format\": \"qcow2\"",
                 {"disks": [{"file": "q.qcow2"}]}),
                (r"disk \S+/raw.img is no vmdk image: is it \"raw\"\?",
                 {"disks": [{"file": "raw.img", "format": "vmdk"}]}),
                (r"disk \S+/shared (can't be opened|is neither)", {"disks": [{"file": "shared"}]}),
                (r"the shared folder \S+/nowhere can't be used: No such file",
                 {"shares": [{"path": "nowhere", "tag": "x"}]}),
                (r"text is to be shared, but is no folder",
                 {"shares": [{"path": "text", "tag": "x"}]})]:
            with self.subTest(pattern):
                status = 3 if more.get("modules") else 2
                refused = self.lanyard("up", self.write(self.lab(**more)), status=None)
                self.assertIn(refused.returncode, (2, status), refused.stderr)
                self.assertRegex(refused.stderr, r"pair.json:1:\d+: node \"a\".*" + pattern)
                self.assertIn("would fail", self.lanyard("plan", self.topology).stdout)
        self.assertEqual([], self.trace())

    def test_back_end_dies(self):
        """Its own words are passed on, and all is undone."""
        self.env["FAKE_FAIL"] = "storage:start=die"
        up = self.lanyard("up", self.topology, status=1)
        self.assertRegex(up.stderr, "storage daemon of a ended with status 7: told to die")
        self.expect_nothing()
        self.env["FAKE_FAIL"] = "virtiofsd:start=kill"
        up = self.lanyard("up", self.topology, status=1)
        self.assertRegex(up.stderr, "share a.fs0 was killed by SIGKILL")
        self.expect_nothing()

    def test_real_lock(self):
        """The real qemu-storage-daemon says whose the image is."""
        self.env.pop("LANYARD_STORAGE_DAEMON")
        image = self.path("q.qcow2")
        os.unlink(image)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        self.write(self.lab(disks=[{"file": "q.qcow2", "format": "qcow2"}]))
        self.lanyard("up", self.topology)
        other = self.lab(disks=[{"file": "q.qcow2", "format": "qcow2"}])
        other["lab"] = "other"
        refused = self.lanyard("up", self.write(other, "other.json"), status=1)
        self.assertRegex(refused.stderr, 'storage daemon of a ended with status 1; .*Failed to get '
                         '"write" lock / Is another process using the image')
        self.lanyard("down", "pair")
        self.expect_nothing()


class Repair(LinuxCase):
    def test_back_ends_killed(self):
        """A storage daemon is started again alone; a share that died takes its VM along."""
        self.lanyard("up", self.topology)
        vm, storage = self.pid_of("vm", "a"), self.pid_of("disks", "a")
        self.kill(storage)
        status = self.status()
        self.assertEqual("degraded", status["state"])
        self.assertIn("storage daemon of a is gone", status["why"])
        again = self.lanyard("up", self.topology)
        self.assertIn("storage daemon of a died; starting it again", again.stderr)
        self.assertIn("whole again", again.stdout)
        self.assertEqual(vm, self.pid_of("vm", "a"))
        self.assertNotEqual(storage, self.pid_of("disks", "a"))
        share, other = self.pid_of("share", "a.fs0"), self.pid_of("vm", "b")
        self.kill(share)
        again = self.lanyard("up", self.topology)
        self.assertIn("share a.fs0 died; starting it again", again.stderr)
        self.assertNotEqual(vm, self.pid_of("vm", "a"))
        self.assertNotEqual(share, self.pid_of("share", "a.fs0"))
        self.assertEqual(other, self.pid_of("vm", "b"))
        self.kill(self.pid_of("vm", "a"))
        again = self.lanyard("up", self.topology)
        self.assertIn("VM a died; starting it again", again.stderr)
        self.assertEqual("up", self.status()["state"])
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_all_killed_then_down(self):
        self.lanyard("up", self.topology)
        for pid in list(processes_with(self.labs)):
            os.kill(int(pid), signal.SIGKILL)
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_damaged_record(self):
        """Back ends are found by the sockets that they were given."""
        self.lanyard("up", self.topology)
        with open(self.lab_path("record.json"), "w") as f:
            f.write("{")
        self.lanyard("down", "pair")
        self.expect_nothing()


class Change(LinuxCase):
    def change(self, **more):
        before = {n: self.pid_of("vm", n) for n in "ab"}
        topology = self.lab(**more)
        changed = self.lanyard("up", self.write(topology))
        after = {n: self.pid_of("vm", n) for n in "ab"}
        self.assertEqual(before["b"], after["b"])
        return changed, before["a"] != after["a"]

    def test_changes(self):
        self.lanyard("up", self.topology)
        # Its image: the VM starts anew with it, and its share, and the storage daemon stays.
        storage = self.pid_of("disks", "a")
        changed, restarted = self.change(files=[])
        self.assertTrue(restarted)
        self.assertIn("1 restarted", changed.stdout)
        self.assertEqual(storage, self.pid_of("disks", "a"))
        self.assertFalse({"bin/ls", "usr/bin/ls"} & set(self.unpack("a")[0]))
        # An address is told by the image, too.
        topology = self.lab(files=[])
        topology["nodes"]["a"]["nics"][0]["addresses"] = ["10.0.0.9/24"]
        self.lanyard("up", self.write(topology))
        self.assertEqual(["10.0.0.9/24"], self.unpack("a")[1]["nics"][0]["addresses"])
        # What serves it goes with what it served.
        changed, restarted = self.change(disks=[], shares=[], files=[])
        self.assertTrue(restarted)
        self.assertEqual([], self.steps("disks") + self.steps("share"))
        self.assertEqual(2, len([p for p in os.listdir(self.lab_path("")) if p.endswith(".vhost")]))
        changed, restarted = self.change(files=[])
        self.assertEqual(1, len(self.steps("disks")))
        # The command line is the VM's own.
        changed, restarted = self.change(files=[], cmdline="loglevel=7")
        self.assertTrue(restarted)
        # Nothing.
        changed, restarted = self.change(files=[], cmdline="loglevel=7")
        self.assertFalse(restarted)
        self.assertIn("nothing to do", changed.stdout)
        self.lanyard("down", "pair")
        self.expect_nothing()

    def test_change_fails(self):
        """The old VM, with its share and its image, is back."""
        self.lanyard("up", self.topology)
        self.env["FAKE_FAIL"] = "vmm/a:memory/256M=die"
        failed = self.lanyard("up", self.write(self.lab(memory="256M", files=[])), status=1)
        self.assertIn("lab pair is as it was", failed.stderr)
        self.assertEqual("up", self.status()["state"])
        self.assertTrue({"bin/ls", "usr/bin/ls"} & set(self.unpack("a")[0]))
        self.assertEqual(0, self.lanyard("exec", "pair/a", "true").returncode)
        self.lanyard("down", "pair")
        self.expect_nothing()


class Exec(LinuxCase):
    def setUp(self):
        super().setUp()
        self.lanyard("up", self.topology)

    def tearDown(self):
        self.lanyard("down", "pair")
        super().tearDown()

    def run_exec(self, *args, input=None, **kw):
        return subprocess.run([LANYARD, "exec", *args], env=self.env, input=input,
                              capture_output=True, timeout=60, **kw)

    def test_status_and_output(self):
        done = self.run_exec("pair/a", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
        self.assertEqual((7, b"out\n", b"err\n"), (done.returncode, done.stdout, done.stderr))
        self.assertEqual(0, self.run_exec("pair/a", "true").returncode)
        self.assertEqual(128 + 15, self.run_exec("pair/a", "sh", "-c", "kill $$").returncode)
        # Options of the command's own.
        self.assertEqual(b"-n -j\n", self.run_exec("pair/b", "echo", "-e", "-n -j").stdout)
        done = self.run_exec("pair/a", "-e", "WHO=me=you", "-C", "/tmp", "--", "sh", "-c",
                             "echo $WHO; pwd")
        self.assertEqual(b"me=you\n/tmp\n", done.stdout)

    @slow
    def test_much(self):
        """More than any buffer on the way, both ways, and every byte as it was."""
        sent = os.urandom(700_000)
        done = self.run_exec("pair/a", "cat", input=sent)
        self.assertEqual(0, done.returncode)
        self.assertEqual(len(sent), len(done.stdout))
        self.assertTrue(sent == done.stdout)
        done = self.run_exec("pair/a", "head", "-c", "10", input=sent)
        self.assertEqual((0, sent[:10]), (done.returncode, done.stdout))

    def test_json(self):
        done = self.run_exec("-j", "pair/a", "--", "sh", "-c", "echo hi; exit 3")
        doc = json.loads(done.stdout)
        self.assertEqual((3, 3, None, "hi\n", ""), (done.returncode, doc["status"], doc["signal"],
                                                    doc["out"], doc["err"]))
        doc = json.loads(self.run_exec("-j", "pair/a", "printf", r"\377").stdout)
        self.assertEqual((None, "/w=="), (doc["out"], doc["out_base64"]))

    def test_failures(self):
        for args, status, sentence in [
                (("pair/a", "/nowhere"), 127, "No such file"),
                (("pair/a", "/etc/passwd"), 126, "Permission denied"),
                (("pair/zebra", "true"), 125, 'the lab has no VM "zebra"'),
                (("nolab/a", "true"), 125, "nolab"),
                (("pair", "true"), 125, '"pair" names no node: exec takes LAB/NODE'),
                (("pair/a",), 125, "the command to run in pair/a is missing"),
                (("pair/a", "-e", "X", "true"), 125, "expected NAME=VALUE"),
                (("pair/a", "--timeout", "0", "true"), 125, "expected a number of seconds"),
                ((), 125, "LAB/NODE is missing")]:
            with self.subTest(args):
                done = self.run_exec(*args)
                self.assertEqual(status, done.returncode, done.stderr)
                self.assertIn(sentence, done.stderr.decode())

    def test_timeout_and_signals(self):
        done = self.run_exec("--timeout", "0.2", "pair/a", "sleep", "3600")
        self.assertEqual(124, done.returncode)
        proc = subprocess.Popen([LANYARD, "exec", "pair/a", "--", "sh", "-c",
                                 "trap 'echo told; exit 9' INT; echo ready; while :; do sleep 0.05; "
                                 "done"], env=self.env, stdout=subprocess.PIPE)
        self.addCleanup(proc.stdout.close)
        self.assertEqual(b"ready\n", proc.stdout.readline())
        proc.send_signal(signal.SIGINT)
        self.assertEqual(b"told\n", proc.stdout.read())
        self.assertEqual(9, proc.wait(30))

    def test_reader_goes(self):
        """As in `exec ... | head -1`: the command is told by SIGPIPE."""
        proc = subprocess.Popen([LANYARD, "exec", "pair/a", "--", "yes"], env=self.env,
                                stdout=subprocess.PIPE)
        self.assertEqual(b"y\n", proc.stdout.readline())
        proc.stdout.close()
        self.assertEqual(128 + 13, proc.wait(30))

    def test_several_at_once(self):
        """The channel has one client at a time: they take turns."""
        procs = [subprocess.Popen([LANYARD, "exec", "pair/a", "--", "sh", "-c",
                                   f"for i in 1 2 3 4 5; do echo {i}; sleep 0.1; done"],
                                  env=self.env, stdout=subprocess.PIPE) for i in range(4)]
        for i, proc in enumerate(procs):
            out = proc.communicate(timeout=60)[0]
            self.assertEqual((0, f"{i}\n".encode() * 5), (proc.returncode, out))

    def test_channel_taken(self):
        """One that never lets go: a sentence, after the wait; and status says so."""
        other = socket.socket(socket.AF_UNIX)
        self.addCleanup(other.close)
        other.connect(self.lab_path("a.agent"))
        other.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "hello"}\n')
        self.assertIn(b"linux", other.recv(4096))
        done = self.run_exec("--wait", "0.3", "pair/a", "true")
        self.assertEqual(125, done.returncode)
        self.assertRegex(done.stderr.decode(), "the agent channel of pair/a is in use: it has one "
                         "client at a time, and another .* has had it for 0.3 s")
        node = next(n for n in self.status()["nodes"] if n["name"] == "a")
        self.assertEqual("in use", node["agent"])
        other.close()
        self.assertEqual(0, self.run_exec("pair/a", "true").returncode)

    def test_probe(self):
        """A guest that runs no commands says so."""
        self.lanyard("down", "pair")
        topology = {"version": 1, "lab": "pair", "networks": {"lan": {}}, "nodes": {
            "a": {"kind": "vm", "nics": [{"network": "lan"}]}}}
        self.lanyard("up", self.write(topology))
        done = self.run_exec("pair/a", "true")
        self.assertEqual(125, done.returncode)
        self.assertIn("the guest of pair/a runs no commands", done.stderr.decode())


if __name__ == "__main__":
    main()
