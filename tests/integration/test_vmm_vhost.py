#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks and shared folders whose back ends are other programs: qemu-storage-daemon and virtiofsd, or one
that does wrong. The guest is diskguest or fsguest (tests/lib), which need no KVM."""
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import backends
import fakebackend as fake
import harness
import tinyguest as tiny
from harness import Case, wait_until

DISK_FEATURES = sum(1 << b for b in (fake.F_PROTOCOL, fake.F_VERSION_1, fake.F_INDIRECT,
                                     fake.BLK_SEG_MAX, fake.BLK_BLK_SIZE, fake.BLK_FLUSH))
DISK_PROTOCOL = 1 << fake.PF_MQ | 1 << fake.PF_REPLY_ACK | 1 << fake.PF_CONFIG


class Guest:
    """diskguest or fsguest, spoken to by lines."""

    def __init__(self, case, program, *args):
        self.log = case.path(f"{program}.log")
        self.text_file = open(self.log, "ab")
        self.proc = subprocess.Popen(
            [os.path.join(harness.BUILD, "tests", "lib", program), *args], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.text_file, env=case.env)
        case.addCleanup(self.close)

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        for f in (self.proc.stdin, self.proc.stdout, self.text_file):
            f.close()

    def text(self):
        with open(self.log) as f:
            return f.read()

    def send(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def line(self):
        got = self.proc.stdout.readline()
        if not got:
            raise AssertionError(f"the guest ended ({self.proc.wait()}):\n{self.text()}")
        return got.rstrip("\n")

    def ask(self, line):
        self.send(line)
        return self.line()

    def info(self):
        return json.loads(self.ask("info"))

    def quit(self):
        self.send("quit")
        if self.proc.wait(60 * harness.PATIENCE):
            raise AssertionError(f"the guest ended badly:\n{self.text()}")


class VhostCase(Case):
    def wait_log(self, guest, text, timeout_s=20):
        wait_until(lambda: text in guest.text(), timeout_s, f'"{text}" in the log')


class StorageDaemon(VhostCase):
    def image(self, form, size="16M"):
        return backends.create_image(self.path(f"disk.{form}"), form, size)

    def guest(self, disk, queues=2):
        """A guest, and what it found."""
        g = Guest(self, "diskguest", disk.socket, str(queues))
        return g, json.loads(g.line())

    def storm(self, g, n, each=None):
        """n requests; each() is called on the way, some ten times."""
        g.send(f"storm {n}")
        said, calls = g.line(), 0
        while said.startswith("at "):
            if each and int(said[3:]) >= calls * n // 10:
                calls += 1
                each()
            said = g.line()
        self.assertEqual("ok 0", said)

    def same(self, g, disk):
        """The image holds what the guest wrote."""
        g.ask("expect " + self.path("expected"))
        g.quit()
        self.assertEqual(0, disk.stop(), disk.daemon.text())
        raw = backends.convert_image(disk.image, self.path("raw"))
        with open(self.path("expected"), "rb") as a, open(raw, "rb") as b:
            self.assertTrue(a.read() == b.read(16 << 20), "the image is not what was written")

    def formats(self, form):
        disk = backends.Disk(self, "qsd", self.image(form), form, queues=2)
        g, info = self.guest(disk)
        self.assertGreaterEqual(info["size_bytes"], 16 << 20)
        self.assertEqual((2, False, True), (info["queues"], info["readonly"], info["connected"]))
        for f in ("FLUSH", "BLK_SIZE", "SEG_MAX", "DISCARD", "WRITE_ZEROES", "MQ", "TOPOLOGY"):
            self.assertIn(f, info["features"])
        self.storm(g, 1500)
        self.assertEqual("ok 0", g.ask("verify"))
        self.assertEqual("ok 0", g.ask("reset"))  # the connection stays
        self.assertEqual("ok 0", g.ask("verify"))
        info = g.info()
        self.assertEqual((0, 0), (info["reconnects"], info["in_flight"]))
        self.same(g, disk)

    def test_raw(self):
        self.formats("raw")

    def test_qcow2(self):
        self.formats("qcow2")

    def test_vmdk(self):
        self.formats("vmdk")

    def test_vhd(self):
        self.formats("vpc")

    def killed(self, form, politely=False, **options):
        disk = backends.Disk(self, "qsd", self.image(form), form, queues=2, **options)
        g, _ = self.guest(disk)

        def again():
            if politely:
                self.assertEqual(0, disk.stop())
            else:
                disk.kill()
            disk.start()

        self.storm(g, 4000, again)
        self.assertEqual("ok 0", g.ask("verify"))
        self.assertGreater(g.info()["reconnects"], 3)
        self.same(g, disk)

    def test_killed_under_writes(self):
        """No request is lost, none is completed twice; diskguest looks at each."""
        self.killed("raw")

    def test_killed_under_writes_vmdk(self):
        self.killed("vmdk")

    def test_killed_under_writes_vhd(self):
        self.killed("vpc")

    def test_killed_under_writes_qcow2(self):
        """qcow2 has metadata in the daemon's memory, written at each request if asked to."""
        self.killed("qcow2", writethrough=True)

    def test_ended_under_writes_qcow2(self):
        self.killed("qcow2", politely=True)

    def test_readonly(self):
        disk = backends.Disk(self, "qsd", self.image("qcow2"), "qcow2", readonly=True)
        g, info = self.guest(disk, 1)
        self.assertTrue(info["readonly"])
        self.assertIn("RO", info["features"])
        self.assertEqual("ok 0", g.ask("verify"))
        self.assertEqual("ok 1", g.ask("overwrite 0"))  # VIRTIO_BLK_S_IOERR
        g.quit()

    def test_bad_requests(self):
        disk = backends.Disk(self, "qsd", self.image("raw"), queues=2)
        g, _ = self.guest(disk)
        self.assertEqual("ok 1", g.ask("overwrite 1"))  # beyond the end
        self.assertEqual("ok 0", g.ask("bad"))          # a broken ring
        self.assertIn("which is no descriptor", g.text())
        self.storm(g, 200)
        self.assertEqual("ok 0", g.ask("verify"))
        g.quit()

    def test_fewer_queues(self):
        disk = backends.Disk(self, "qsd", self.image("raw"), queues=1)
        g, info = self.guest(disk, 4)
        self.assertEqual(1, info["queues"])
        self.assertNotIn("MQ", info["features"])
        self.assertIn("has 1 queues, 4 are asked for: the guest gets 1", g.text())
        self.storm(g, 200)
        g.quit()

    def test_comes_back_as_another(self):
        """Larger: the guest is told. With less than was promised: requests wait for the right one."""
        disk = backends.Disk(self, "qsd", self.image("raw"), queues=2)
        g, before = self.guest(disk)
        self.storm(g, 300)
        disk.stop()
        subprocess.run(["qemu-img", "resize", "-q", "-f", "raw", disk.image, "32M"], check=True)
        disk.start()
        wait_until(lambda: g.info()["config_bytes"] == 32 << 20, 20, "the new size")
        self.assertNotEqual(before["generation"], g.info()["generation"])
        for options, sentence in (({"queues": 1}, "has 1 queues, the guest was promised 2"),
                                  ({"queues": 2, "readonly": True}, "is read-only, the guest was"),
                                  ({"queues": 2}, None)):
            disk.stop()
            wait_until(lambda: not g.info()["connected"], 20, "the loss")
            disk.options = options
            disk.start()
            if sentence:
                wait_until(lambda s=sentence: s in g.info().get("waiting", ""), 20, sentence)
                self.assertIn(sentence, g.text())
        wait_until(lambda: g.info()["connected"], 20, "the right one")
        self.assertEqual("ok 0", g.ask("verify"))
        g.quit()

    def test_locked_by_another(self):
        """Two daemons on one image: the second says so and ends."""
        disk = backends.Disk(self, "qsd", self.image("qcow2"), "qcow2")
        with self.assertRaisesRegex(AssertionError, 'Failed to get "write" lock'):
            backends.Disk(self, "other", disk.image, "qcow2")


class Virtiofsd(VhostCase):
    def folder(self, **options):
        os.mkdir(self.path("share"))
        with open(self.path("share/hello"), "w") as f:
            f.write("good morning\n")
        folder = backends.Folder(self, "virtiofsd", self.path("share"), **options)
        return folder, Guest(self, "fsguest", folder.socket, "share")

    def test_reads_and_writes(self):
        folder, g = self.folder()
        info = g.info()
        self.assertEqual(("share", 1, True),
                         (info["config_tag"], info["config_queues"], info["connected"]))
        for line, answer in (("init", "ok 7."), ("stat", "ok 40755"),
                             ("read hello", "ok good morning"), ("read none", "error 2"),
                             ("write new something", "ok 9"), ("read new", "ok something")):
            self.assertTrue(g.ask(line).startswith(answer), line)
        with open(self.path("share/new")) as f:
            self.assertEqual("something", f.read())
        # A reset keeps the connection, with which virtiofsd would end.
        for line, answer in (("reset", "ok"), ("init", "ok 7."), ("read new", "ok something")):
            self.assertTrue(g.ask(line).startswith(answer), line)
        self.assertEqual(0, g.info()["reconnects"])
        g.quit()
        self.assertEqual(0, folder.daemon.proc.wait(20))

    def test_readonly(self):
        _, g = self.folder(readonly=True)
        self.assertTrue(g.ask("init").startswith("ok"))
        self.assertEqual("ok good morning", g.ask("read hello"))
        self.assertEqual("error 30", g.ask("write new something"))  # EROFS
        self.assertEqual(["hello"], os.listdir(self.path("share")))
        g.quit()

    def test_killed(self):
        """A new one does not know what was open: errors until it is mounted again, no hang."""
        folder, g = self.folder()
        self.assertTrue(g.ask("init").startswith("ok"))
        folder.kill()
        wait_until(lambda: not g.info()["connected"], 20, "the loss")
        folder.start()
        wait_until(lambda: g.info()["connected"], 20, "the new one")
        self.wait_log(g, "the guest must mount it anew")
        if folder.argv()[0] != backends.VIRTIOFSD[0]:
            self.assertEqual("error 5", g.ask("stat"))
        self.assertTrue(g.ask("init").startswith("ok"))
        self.assertEqual("ok good morning", g.ask("read hello"))
        g.quit()


class Wrong(VhostCase):
    """Back ends that are absent, of the wrong type, or do wrong: sentences, and the guest runs on."""

    def tiny_vmm(self, *args):
        return self.vmm("v", *args, kernel=tiny.write_elf(self.path("tiny.elf"), tiny.HLT),
                        memory="4M")

    @harness.needs_kvm
    def test_absent_then_there(self):
        image = backends.create_image(self.path("disk.raw"), "raw", "16M")
        disk = backends.Disk(self, "qsd", image, start=False)
        os.mkdir(self.path("share"))
        folder = backends.Folder(self, "virtiofsd", self.path("share"), start=False)
        v = self.tiny_vmm("--disk", f"socket={disk.socket}", "--fs",
                          f"socket={folder.socket},tag=share")
        for kind, d in (("disks", disk), ("fs", folder)):
            entry = v.call("info")[kind][0]
            self.assertFalse(entry["connected"])
            self.assertIn(f"cannot connect to {d.socket}", entry["waiting"])
            self.assertIn(f"no back end at {d.socket} after 5 s: the guest starts", v.text())
            d.start()
            wait_until(lambda k=kind: v.call("info")[k][0]["connected"], 20, d.name)
            self.assertNotIn("waiting", v.call("info")[kind][0])
        self.assertEqual(16 << 20, v.call("info")["disks"][0]["size_bytes"])

    @harness.needs_kvm
    def test_wrong_type(self):
        image = backends.create_image(self.path("disk.raw"), "raw", "16M")
        disk = backends.Disk(self, "qsd", image)
        net = fake.FakeBackend(self.path("net.vhost"))
        self.addCleanup(net.close)
        nic = f"socket={disk.socket},mac=02:00:00:00:00:01"
        v = self.tiny_vmm("--nic", nic, "--disk", f"socket={net.path}",
                          "--fs", f"socket={disk.socket},tag=x")
        for kind, wanted, found in (("nics", "a network port", "a disk (qemu-storage-daemon"),
                                    ("disks", "a disk", "a network port (a switch"),
                                    ("fs", "a shared folder", "a disk (qemu-storage-daemon")):
            with self.subTest(kind):
                entry = wait_until(lambda k=kind: v.call("info")[k][0].get("waiting") and
                                   v.call("info")[k][0], 20, f"{kind} refused")
                sentence = f"of the wrong type: expected {wanted}, found {found}"
                self.assertIn(sentence, entry["waiting"])
                self.assertIn(sentence, v.text())
                self.assertFalse(entry["connected"])
        self.assertEqual("running", v.call("info")["state"])
        self.assertNotIn("SET_MEM_TABLE", net.log)  # it never saw the guest's memory

    def test_folder_as_disk(self):
        os.mkdir(self.path("share"))
        folder = backends.Folder(self, "virtiofsd", self.path("share"))
        g = Guest(self, "diskguest", folder.socket, "1")
        self.wait_log(g, "expected a disk, found no disk and no network port (virtiofsd, say)")

    def fake_disk(self, sectors=32768, **options):
        b = fake.FakeBackend(self.path("fake.vhost"), DISK_FEATURES, DISK_PROTOCOL, **options)
        b.config = struct.pack("<Q", sectors) + bytes(52)
        self.addCleanup(b.close)
        return b

    def test_completes_what_it_was_not_given(self):
        b = self.fake_disk(queues=1)
        g = Guest(self, "diskguest", b.path, "1")
        g.line()
        b.wait(lambda: b.ready(0))
        used = b.rings[0]["addr"]["used"]
        b.write(used + 4, struct.pack("<II", 7, 0))
        b.write(used, struct.pack("<HH", 0, 1))
        b.call(0)
        self.wait_log(g, "did wrong: queue 0: 1 requests are completed, 0 are under way")
        b.wait(lambda: b.connects > 1)
        b.wait(lambda: b.ready(0))
        g.quit()

    def test_keeps_requests_in_a_reset(self):
        """A back end that never completes is cut off, and the guest goes on with the next."""
        b = self.fake_disk(queues=1)
        g = Guest(self, "diskguest", b.path, "1")
        g.line()
        g.send("lost")  # a request, and a machine reset while it is under way
        self.assertEqual("ok", g.line()[:2])
        b.wait(lambda: b.connects > 1)
        self.assertEqual(0, g.info()["in_flight"])
        g.quit()

    def test_no_configuration(self):
        b = self.fake_disk()
        b.config = b""
        g = Guest(self, "diskguest", b.path, "1")
        self.wait_log(g, "GET_CONFIG")

    def test_options(self):
        for args, sentence in (
                (["--disk", "socket=/s,readonly=on"], "readonly is for the back end"),
                (["--disk", "socket=/s,serial=x"], "serial is for the back end"),
                (["--disk", "socket=/s,file=/f"], "expected file=PATH or socket=PATH"),
                (["--disk", "queues=2"], "expected file=PATH or socket=PATH"),
                (["--disk", "socket=/s,queues=17"], 'queues is "17", expected a number'),
                (["--disk", "socket=/s,colour=red"], 'unknown key "colour", expected file,'),
                (["--disk", "socket"], '"socket", expected key=value'),
                (["--disk", "file=/f,readonly=maybe"], 'readonly is "maybe", expected on or off'),
                (["--disk", "file=/f,serial=" + "x" * 21], "expected 1 to 20 bytes"),
                (["--fs", "socket=/s"], "expected socket=PATH,tag=TAG"),
                (["--fs", "tag=x"], "expected socket=PATH,tag=TAG"),
                (["--fs", "socket=/s,tag=" + "t" * 37], "expected 1 to 36 bytes"),
                (["--fs", "socket=/s,tag=a", "--fs", "socket=/t,tag=a"], 'the tag "a"'),
                (["--fs", "socket=" + "/s" * 100 + ",tag=a"], "")):
            with self.subTest(args):
                done = subprocess.run([harness.VMM, "--name", "v", "--control", "/c", "--kernel",
                                       "/k", "--memory", "4M", *args], capture_output=True,
                                      text=True)
                self.assertEqual(2, done.returncode)
                self.assertIn(sentence, done.stderr)


if __name__ == "__main__":
    harness.main()
