# SPDX-License-Identifier: Apache-2.0
"""Runs of lanyard-traffic, the benchmarks' generator, and what they have in common besides."""
import contextlib
import fcntl
import json
import os
import platform
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from harness import BUILD  # noqa: E402

TRAFFIC = os.path.join(BUILD, "traffic", "lanyard-traffic")


def prefer(pid):
    """Before what else wants the CPU, all its threads alike. A session is one group to Linux's
    scheduler, and what counts between groups is the group's own nice value."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/autogroup", "w") as f:
            f.write("-20")
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(task), -20)


def prefer_self():
    """We sleep almost always; but counters are read next to two processes that never do."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


@contextlib.contextmanager
def locked(path):
    """flock, for machines that several share."""
    if not path:
        yield
        return
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


class Generator:
    """One run of lanyard-traffic between two sockets; options as on its command line."""

    def __init__(self, sockets, cpu, *options, server=False):
        argv = [TRAFFIC, "--cpu", str(cpu), "--verify-bodies-every", "64", *options]
        for path in sockets:
            argv += ["--port", path]
        if server:
            argv += ["--server"]
            for path in sockets:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        self.said = ""
        self.proc = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True, start_new_session=True)
        prefer(self.proc.pid)

    def wait_measuring(self):
        """False if it ended before."""
        for line in self.proc.stderr:
            if line.startswith("measuring"):
                return True
            self.said += line
        return False

    def running(self):
        return self.proc.poll() is None

    def result(self, timeout_s):
        out, err = self.proc.communicate(timeout=timeout_s)
        if self.proc.returncode:
            raise RuntimeError((self.said + err).strip() or "lanyard-traffic said nothing")
        return json.loads(out)

    def end(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        for pipe in (self.proc.stdout, self.proc.stderr):
            pipe.close()


def summary(r):
    """Of a result, what tables want; both directions together."""
    d = r["directions"]
    sent = sum(x["sent"] for x in d)
    return {
        "mpps": sum(x["received_pps"] for x in d) / 1e6,
        "gbps": sum(x["received_bps"] for x in d) / 1e9,
        "sent_pps": sum(x["sent_pps"] for x in d),
        "sent": sent,
        "lost": sum(x["lost"] for x in d),
        "loss": sum(x["lost"] for x in d) / max(1, sent),
        "harmed": sum(x["duplicated"] + x["corrupt"] + x["reordered"] for x in d),
        "latency_us": statistics.median(x["latency_ns"]["p50"] for x in d) / 1e3,
        "tsc_hz": r["tsc_hz"],
        "generator_waits": r["generator"]["empty_time_share"],
        "generator_cycles": r["generator"]["busy_cycles_per_frame"],
    }


def cpu_model():
    with open("/proc/cpuinfo") as f:
        return next((l.split(":", 1)[1].strip() for l in f if l.startswith("model name")), "?")


def machine():
    return {"machine": cpu_model(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "date": time.strftime("%Y-%m-%d")}
