# SPDX-License-Identifier: Apache-2.0
"""A guest that boots our own initramfs (lanyard-image, lanyard-init) on lanyard-vmm: for the rig.

    guest = LanyardGuest(case, "a", config={"hostname": "a"}, files=["/bin/dash"], args=[...])
    guest.hello()                       # waits until its agent answers
    guest.sh("ip link")                 # output; a status other than 0 fails the test
    guest.run(["cat"], stdin=b"x")      # agent.Done
    guest.stop("poweroff")              # asks the agent; returns lanyard-vmm's exit status
"""
import json
import os
import subprocess
import time

import agent
from harness import BUILD, PATIENCE, Rpc
from vmmguest import CMDLINE, DEFAULT_KERNEL, kernel_of

IMAGE = os.path.join(BUILD, "image", "lanyard-image")
BOOT_S = 30  # times PATIENCE; 10 s are usual


class LanyardGuest:
    def __init__(self, case, name, config=None, root="none", files=(), kernel=DEFAULT_KERNEL,
                 image="bzImage", image_args=(), args=(), memory="192M"):
        self.case, self.name, self.kernel = case, name, kernel_of(kernel)
        self.rpc = None
        config_file, self.initramfs = case.path(f"{name}.json"), case.path(f"{name}.cpio")
        with open(config_file, "w") as f:
            json.dump({"root": root, **(config or {})}, f)
        argv = [IMAGE, "--kernel", self.kernel.vmlinuz, "--modules", self.kernel.modules,
                "--root", root, "--config", config_file, *image_args]
        for spec in files:
            argv += ["--file", spec]
        subprocess.run([*argv, self.initramfs], check=True, env=case.env)
        self.vmm = case.vmm(name, "--initrd", self.initramfs, *args, memory=memory,
                            cmdline=CMDLINE, kernel=self.kernel.vmlinuz if image == "bzImage"
                            else self.kernel.vmlinux())

    def hello(self):
        """Its agent's; asked again and again until it is up."""
        deadline = time.monotonic() + BOOT_S * PATIENCE
        while True:
            self._connect()
            self.rpc.sock.settimeout(1)
            try:
                got = self.rpc.call("hello")
                self.rpc.sock.settimeout(30 * PATIENCE)
                return got
            except (OSError, ValueError, EOFError, KeyError):
                if not self.vmm.alive() or time.monotonic() > deadline:
                    raise AssertionError(f"{self.name}: no agent; its console:\n"
                                         f"{self.console()[-3000:]}") from None

    def _connect(self):
        if self.rpc:
            self.rpc.close()
        self.rpc = Rpc(self.case.path(f"{self.name}.agent"))
        self.case.addCleanup(self.rpc.close)

    def run(self, argv, **more):
        return agent.run(self.rpc, argv, **more)

    def sh(self, script, timeout_s=60):
        done = self.run(["sh", "-c", script], timeout_s=timeout_s)
        if done.status != 0:
            raise AssertionError(f"{self.name}: {script}: {done}\n{self.console()[-2000:]}")
        return done.out.decode()

    def stop(self, how="poweroff", timeout_s=30):
        self.rpc.call("stop_guest", how=how)
        return self.vmm.proc.wait(timeout_s * PATIENCE) if how == "poweroff" else None

    def console(self):
        with open(self.case.path(f"{self.name}.console.log"), errors="replace") as f:
            return f.read()
