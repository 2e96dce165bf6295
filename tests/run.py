#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of ./check and counts them.

    tests/run.py [quick] [-k WORD] [--build DIR]

Suites, in order: lint (pure reading of the tree), unit and integration on a plain build, both
again on an ASan+UBSan build, fuzzers over their corpora; the plain build in the rig as well, an
emulated machine. Where the host has no KVM, integration tests that need it (harness.needs_kvm) are run
in the rig, whose machine has, in the suites' names "-in-rig". `quick` leaves out the rig, sanitizers,
fuzzers and the tests marked slow. --build runs unit and integration tests of a build that exists.
A test's output is shown when it fails, and kept in BUILD/test-logs. An integration or rig test that
fails is run once more, alone: on a machine that others load, a foreign program may do what it does
once in a thousand times. If it passes then it counts as passed, is named at the end, and what
it said at first is shown; but no more than REPEATS_MAX tests of a run have that chance. Where CI=true a skipped test
is a failure. Ends with "N passed, N failed, N skipped"; exit status 0 only if none failed.
"""
import argparse
import concurrent.futures
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import lint  # noqa: E402
from harness import kvm_works  # noqa: E402

HUGEPAGES = "/proc/sys/vm/nr_hugepages"
HUGEPAGES_WANTED = 640  # 2 MiB each: testpmd twice, and a few guests
FILE_TIMEOUT_S = 1200
BUILD_TIMEOUT_S = 1800
REPEATS_MAX = 8
# Sanitizers in an emulated machine take their time: the VMM's tests that cover most of it in least.
# What labs and the switch add is run on the host, without guests.
ASAN_IN_RIG = ("test_vmm_blk", "test_vmm_life", "test_vmm_sandbox", "test_vmm_vhost")
# About documents, or the tests' own programs; what they run of ours other tests run sanitized.
NOT_UNDER_ASAN = ("test_bench_docs", "test_command_docs", "test_rig_run", "test_tutorial")
FUZZ_SECONDS = 30
FUZZ_AT_ONCE = 2
FUZZ_ALONE = ("fuzz_ring",)  # it has two threads, which share its memory


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.repeats = []

    def add_tested(self, suite, file, row, again):
        """A row of the harness; again() runs that test alone, and gives its row or None."""
        name = f"{file}.{row['name']}"
        if row["outcome"] == "fail" and len(self.repeats) < REPEATS_MAX:
            second = again()
            self.repeats.append(f"{suite}: {name}")
            if second and second["outcome"] == "pass":
                self.add(suite, name, "pass", second["seconds"])
                print("     passed only when it was run once more; at first:", flush=True)
                self.show(row["detail"])
                return
            row = dict(row, detail=row["detail"] + "\n(it failed once more when run alone)")
        self.add(suite, name, row["outcome"], row["seconds"], row["detail"])

    @staticmethod
    def show(detail):
        for line in detail.strip().splitlines()[-80:]:
            print(f"     {line}", flush=True)

    def add(self, suite, name, outcome, seconds=None, detail=""):
        if outcome == "skip" and os.environ.get("CI") == "true":
            outcome, detail = "fail", f"skipped where CI=true: {detail}"
        word = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}[outcome]
        took = f" ({seconds:.1f} s)" if seconds is not None else ""
        print(f"{word} {suite}: {name}{took}", flush=True)
        if outcome == "pass":
            self.passed += 1
        elif outcome == "skip":
            self.skipped += 1
            print(f"     {detail}", flush=True)
        else:
            self.failed += 1
            self.failures.append(f"{suite}: {name}")
            self.show(detail)


def run(argv, timeout_s, env=None):
    """(exit status or None on timeout, output)"""
    proc = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                            errors="replace", start_new_session=True)
    try:
        out, _ = proc.communicate(timeout=timeout_s)
        return proc.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(proc.pid, 15)
        try:
            out, _ = proc.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, 9)
            out, _ = proc.communicate()
        return None, out + f"\nended after {timeout_s} s"
    except BaseException:  # we are told to end: so is it
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(proc.pid, 15)
            proc.communicate(timeout=20)
        raise


def keep_log(build, name, text):
    folder = os.path.join(ROOT, build, "test-logs")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".log"), "w", errors="replace") as f:
        f.write(text)


class Build:
    """One build, from now on: with idle, by what CPU time the tests leave meanwhile. done() waits."""

    def __init__(self, name, *options, env=None, idle=False):
        self.text = " ".join([name, *options])
        self.start = time.monotonic()
        self.said = tempfile.TemporaryFile("w+", errors="replace")
        argv = ["tools/build", name, *options]
        self.proc = subprocess.Popen(["chrt", "--idle", "0", *argv] if idle else argv, cwd=ROOT,
                                     env=env, stdout=self.said, stderr=subprocess.STDOUT,
                                     stdin=subprocess.DEVNULL, start_new_session=True)

    def done(self, tally):
        try:
            status = self.proc.wait(timeout=BUILD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = None
        self.end()
        self.said.seek(0)
        tally.add("build", self.text, "pass" if status == 0 else "fail",
                  time.monotonic() - self.start, self.said.read())
        return status == 0

    def end(self):
        if self.proc.poll() is None:
            os.killpg(self.proc.pid, 15)
            self.proc.wait()


def run_lint(tally, word):
    for name, check in lint.CHECKS:
        if word in name:
            problems = check(ROOT)
            tally.add("lint", name, "fail" if problems else "pass", None, "\n".join(problems))


def run_unit(tally, dir_, suite, word):
    """Each cmocka test function is counted."""
    status, out = run(["meson", "introspect", "--tests", dir_], 60)
    if status != 0:
        return tally.add(suite, "list of tests", "fail", None, out)
    for test in json.loads(out):
        if "unit" not in " ".join(test["suite"]) or word not in test["name"]:
            continue
        env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="stdout",
                   UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
        start = time.monotonic()
        status, out = run(test["cmd"], 120, env)
        keep_log(dir_, f"unit-{test['name']}", out)
        good = re.findall(r"^\[       OK \] (\S+)", out, re.M)
        bad = re.findall(r"^\[  FAILED  \] (test_\S+)$", out, re.M)
        seconds = (time.monotonic() - start) / max(1, len(good) + len(bad))
        for fn in good:
            tally.add(suite, f"{test['name']}.{fn}", "pass", seconds)
        for fn in dict.fromkeys(bad):
            tally.add(suite, f"{test['name']}.{fn}", "fail", seconds, out)
        if status != 0 and not bad:
            tally.add(suite, test["name"], "fail", None, f"exit status {status}\n{out}")
        elif not good and not bad:
            tally.add(suite, test["name"], "fail", None, f"ran no test\n{out}")
    return None


def read_rows(path):
    """What the harness wrote of each test; none without the file."""
    try:
        with open(path) as f:
            rows = json.load(f)
    except FileNotFoundError:
        return []
    for row in rows:
        if row.get("running"):
            row.update(outcome="fail", detail=row["detail"] + "the file of tests ended, or was "
                       "ended by its deadline, before this test did\n")
    return rows


def end_leftovers(prefix):
    """A test file that was ended by its deadline could not clean up: its daemons and folders."""
    said = ""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                argv = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        pid = int(path.split("/")[2])
        if prefix in argv and pid != os.getpid():
            said += f"\nleft behind, ended: {pid} {argv}"
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
    for folder in glob.glob(prefix + "*"):
        shutil.rmtree(folder, ignore_errors=True)
    return said


def run_file(dir_, path, log, word, quick):
    """A file of integration tests: exit status, output, rows."""
    result = os.path.join(ROOT, dir_, "test-logs", f"{log}.json")
    os.makedirs(os.path.dirname(result), exist_ok=True)
    if os.path.exists(result):
        os.unlink(result)
    env = dict(os.environ, LANYARD_BUILD=os.path.join(ROOT, dir_),
               LANYARD_TEST_RESULT=result, LANYARD_TEST_WORD=word,
               PYTHONDONTWRITEBYTECODE="1", LANYARD_TEST_ID=f"{os.getpid()}")
    if quick:
        env["LANYARD_TEST_QUICK"] = "1"
    if not kvm_works():
        env["LANYARD_TEST_KVM"] = "without"
    try:
        status, out = run([sys.executable, path], FILE_TIMEOUT_S, env)
    finally:
        left = end_leftovers(f"/tmp/lyt{os.getpid()}-")
    out += left
    keep_log(dir_, log, out)
    return status, out, read_rows(result)


def row_of(rows, name):
    return next((r for r in rows if r["name"] == name), None)


def integration_files():
    return sorted(glob.glob(os.path.join(ROOT, "tests/integration/test_*.py")))


def run_integration(tally, dir_, suite, word, quick, but=()):
    for path in integration_files():
        name = os.path.basename(path)[:-3]
        if name in but:
            continue
        status, out, tests = run_file(dir_, path, name, word, quick)
        for test in tests:
            tally.add_tested(suite, name, test, lambda: row_of(
                run_file(dir_, path, f"{name}-again", test["name"], quick)[2], test["name"]))
        for figure in re.findall(r"figure: .*", out):
            print(f"     {figure}", flush=True)
        if status != 0 and not any(t["outcome"] == "fail" for t in tests):
            tally.add(suite, name, "fail", None, f"exit status {status}\n{out}")


def reads(path, word):
    with open(path) as f:
        return word in f.read()


def run_in_rig(tally, dir_, suite, word, tests):
    """Files of tests in an emulated machine (tests/rig/run)."""
    if word:
        # Its start takes longer than some tests: not for words that nothing there has.
        tests = [p for p in tests if reads(p, word)]
    if not tests:
        return
    out = os.path.join(ROOT, dir_, "test-logs", suite)
    shutil.rmtree(out, ignore_errors=True)
    argv = [os.path.join(ROOT, "tests/rig/run"), "--build", dir_]
    # Of files that have tests for the host too. The rig's own have no such marks.
    env = dict(os.environ, LANYARD_TEST_KVM="only")
    # An emulated machine waits a lot: two share two CPUs well.
    status, text = run([*argv, "--jobs", "2", "--out", out, "-k", word, *tests],
                       FILE_TIMEOUT_S * len(tests), env)
    keep_log(dir_, suite, text)

    def again(path, name):
        _, said = run([*argv, "--out", f"{out}-again", "-k", name, path], FILE_TIMEOUT_S, env)
        keep_log(dir_, f"{suite}-again", said)
        return row_of(read_rows(f"{out}-again/{os.path.basename(path)[:-3]}.json"), name)

    failures = n = 0
    for path in tests:
        name = os.path.basename(path)[:-3]
        for row in read_rows(os.path.join(out, f"{name}.json")):
            tally.add_tested(suite, name, row, lambda: again(path, row["name"]))
            failures += row["outcome"] == "fail"
            n += 1
    for figure in re.findall(r"figure: .*", text):
        print(f"     {figure}", flush=True)
    if status != 0 and not failures and (n or not word):
        tally.add(suite, "run", "fail", None, f"exit status {status}\n{text}")


def run_rig(tally, dir_, word):
    """What wants KVM at its real speed, an IOMMU and NICs to give away."""
    run_in_rig(tally, dir_, "rig", word,
               sorted(glob.glob(os.path.join(ROOT, "tests/rig/test_*.py"))))


def run_kvm_in_rig(tally, dir_, suite, word, names=None):
    """What the host can't run for want of KVM, of the files that are named, or of all."""
    if not kvm_works():
        run_in_rig(tally, dir_, f"{suite}-in-rig", word,
                   [p for p in integration_files() if reads(p, "needs_kvm") and
                    (names is None or os.path.basename(p)[:-3] in names)])


def fuzz_one(tally, dir_, path, seconds):
    name = os.path.basename(path)
    corpus = os.path.join(ROOT, "tests/fuzz/corpus", name.removeprefix("fuzz_"))
    work = os.path.join(ROOT, dir_, "fuzz-work", name)
    os.makedirs(work, exist_ok=True)
    argv = [path, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
            "-print_final_stats=1", f"-artifact_prefix={work}/", work]
    if os.path.isdir(corpus):
        argv.append(corpus)
    start = time.monotonic()
    env = dict(os.environ, UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    status, out = run(argv, seconds + 120, env)
    keep_log(dir_, name, out)
    ran = re.search(r"number_of_executed_units: (\d+)", out)
    if ran and status == 0:
        name += f", {ran.group(1)} inputs"
    tally.add("fuzz", name, "pass" if status == 0 and ran else "fail",
              time.monotonic() - start, out)


def run_fuzz(tally, dir_, seconds):
    """Two at a time, on as many CPUs; those with threads of their own by themselves."""
    paths = [p for p in sorted(glob.glob(os.path.join(ROOT, dir_, "tests/fuzz/fuzz_*")))
             if os.access(p, os.X_OK) and not os.path.isdir(p)]
    alone = [p for p in paths if os.path.basename(p) in FUZZ_ALONE]
    for path in alone:
        fuzz_one(tally, dir_, path, seconds)
    with concurrent.futures.ThreadPoolExecutor(FUZZ_AT_ONCE) as pool:
        jobs = [pool.submit(fuzz_one, tally, dir_, p, seconds) for p in paths if p not in alone]
        for job in jobs:
            job.result()


class Hugepages:
    """Enough free hugepages for the tests that want them; the number is put back afterwards."""

    def __enter__(self):
        with open(HUGEPAGES) as f:
            self.before = int(f.read())
        with open("/proc/meminfo") as f:
            free = int(re.search(r"HugePages_Free:\s*(\d+)", f.read()).group(1))
        self._set(self.before + max(0, HUGEPAGES_WANTED - free))

    def __exit__(self, *exc):
        self._set(self.before)

    @staticmethod
    def _set(n):
        with open(HUGEPAGES, "w") as f:
            f.write(str(n))


def run_plain(tally, word, quick):
    run_unit(tally, "build-check", "unit", word)
    run_integration(tally, "build-check", "integration", word, quick)
    if not quick:
        run_kvm_in_rig(tally, "build-check", "integration", word)
        run_rig(tally, "build-check", word)


def run_sanitized(tally, word):
    run_unit(tally, "build-asan", "unit-asan", word)
    run_integration(tally, "build-asan", "integration-asan", word, False, NOT_UNDER_ASAN)
    run_kvm_in_rig(tally, "build-asan", "integration-asan", word, ASAN_IN_RIG)


def run_builds(tally, args, quick):
    """All of it on each build. The later ones are built while the first one is tested."""
    plain = Build("build-check", "-Dwerror=true", "-Dtests=enabled")
    later = []
    try:
        if plain.done(tally):
            if not quick:
                later = [Build("build-asan", "-Dwerror=true", "-Dtests=enabled",
                               "-Db_sanitize=address,undefined", idle=True),
                         Build("build-fuzz", "-Dfuzz=true", "-Dtests=disabled",
                               "-Db_sanitize=address,undefined", "-Db_lundef=false",
                               env=dict(os.environ, CC="clang"), idle=True)]
            run_plain(tally, args.word, quick)
        if later and later[0].done(tally):
            run_sanitized(tally, args.word)
        if later and later[1].done(tally):
            run_fuzz(tally, "build-fuzz", args.fuzz_seconds)
    finally:
        for b in [plain, *later]:
            b.end()


def main():
    parser = argparse.ArgumentParser(prog="check")
    parser.add_argument("mode", nargs="?", choices=["all", "quick"], default="all")
    parser.add_argument("-k", dest="word", default="", help="only tests with WORD in the name")
    parser.add_argument("--build", help="unit and integration tests of this build only")
    parser.add_argument("--fuzz-seconds", type=int, default=FUZZ_SECONDS)
    args = parser.parse_args()
    # Who is ended puts the host back too (Hugepages): as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda signo, frame: sys.exit(128 + signo))
    quick = args.mode == "quick"
    tally = Tally()
    start = time.monotonic()

    with Hugepages():
        if args.build:
            run_unit(tally, args.build, "unit", args.word)
            run_integration(tally, args.build, "integration", args.word, quick)
        else:
            run_lint(tally, args.word)
            run_builds(tally, args, quick)

    print(f"\n{time.monotonic() - start:.0f} s")
    for name in tally.repeats:
        print(f"run twice: {name}")
    for name in tally.failures:
        print(f"failed: {name}")
    if tally.passed + tally.failed == 0:
        print("no test was run")
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 0 if tally.failed == 0 and tally.passed else 1


if __name__ == "__main__":
    sys.exit(main())
