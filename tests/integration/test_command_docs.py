# SPDX-License-Identifier: Apache-2.0
"""Every command has --help with an example, a man page, completion and a test; what a new command
lacks is said. Pages and completion are made by tools/command-docs when the tree is built."""
import glob
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import BUILD, LANYARD, ROOT, Case, main  # noqa: E402
import test_lab  # noqa: E402

_loader = importlib.machinery.SourceFileLoader("docs", os.path.join(ROOT, "tools/command-docs"))
docs = importlib.util.module_from_spec(importlib.util.spec_from_loader("docs", _loader))
_loader.exec_module(docs)

MADE = os.path.join(BUILD, "docs")
MAN = os.path.join(MADE, "man", "man1")


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.names = [name for name, _, _ in docs.commands(LANYARD)]
        self.assertGreater(len(self.names), 12)
        self.assertIn("exec", self.names)

    def test_help_has_an_example(self):
        """One that begins with the command and has only options that there are."""
        for name in self.names:
            help_ = docs.Help(LANYARD, name)
            self.assertTrue(help_.text, f"lanyard {name} --help says nothing")
            self.assertIsNotNone(
                help_.example, f"lanyard {name} --help has no line \"Example: lanyard {name} ..\" "
                "(lab/main.c: .example; a command that parses its own options: behind \\v)")
            words = re.sub(r"^sudo ", "", help_.example).split(" | ")[0].split()
            self.assertEqual(["lanyard", name], words[:2])
            known = set(help_.option_words())
            for sub, _ in help_.subs:
                known |= set(docs.Help(LANYARD, name, sub).option_words())
            for word in words[2:]:
                if word == "--":
                    break
                if word.startswith("-") and word != "-":
                    self.assertIn(word, known, help_.example)
                if word.startswith("topologies/"):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, word)), help_.example)

    def test_man_pages(self):
        """One each and none else, with every option, that man has nothing to say about."""
        pages = {os.path.basename(p) for p in glob.glob(os.path.join(MAN, "*"))}
        self.assertEqual({"lanyard.1"} | {f"lanyard-{name}.1" for name in self.names}, pages,
                         "build the tree anew (tools/build)")
        for page in sorted(pages):
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z",
                                   os.path.join(MAN, page)], capture_output=True, timeout=20)
            self.assertEqual((0, b""), (done.returncode, done.stderr), page)
            self.assertGreater(len(done.stdout), 500, page)
        for name in self.names:
            text = subprocess.run(
                ["man", "-l", os.path.join(MAN, f"lanyard-{name}.1")], capture_output=True, text=True,
                timeout=20, env={**self.env, "MANWIDTH": "200", "LC_ALL": "C.UTF-8", "PAGER": "cat"})
            help_ = docs.Help(LANYARD, name)
            for names, _ in help_.options:
                self.assertIn(names, text.stdout, name)
            self.assertIn(help_.example, text.stdout, name)
            for sub, _ in help_.subs:
                self.assertRegex(text.stdout, rf"\n +{sub}\n", name)

    def test_main_page(self):
        with open(os.path.join(MAN, "lanyard.1")) as f:
            text = f.read().replace("\\", "")
        for name in self.names:
            self.assertRegex(text, rf"\n\.B {name}\b")
        self.assertIn(".SH ENVIRONMENT\n.TP\n.B LANYARD_RUN", text)

    def test_every_command_has_a_test(self):
        tests = ""
        for path in glob.glob(os.path.join(ROOT, "tests", "*", "*.py")):
            if os.path.abspath(path) != os.path.abspath(__file__):
                with open(path) as f:
                    tests += f.read()
        for name in self.names:
            runs = rf"(lanyard\(|LANYARD, |\"lanyard\", |lanyard )\s*[\[*]?[\"']?{name}\b"
            self.assertTrue(re.search(runs, tests),
                            f"no test under tests/ runs lanyard(\"{name}\", ..)")

    def test_install(self):
        """meson install puts pages and completion where man and shells look."""
        done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir",
                               self.path("root")], capture_output=True, text=True, timeout=120)
        self.assertEqual(0, done.returncode, done.stderr + done.stdout)
        installed = {os.path.relpath(os.path.join(folder, name), self.path("root"))
                     for folder, _, names in os.walk(self.path("root")) for name in names}
        for end in ("share/man/man1/lanyard.1", "share/man/man1/lanyard-up.1",
                    "share/bash-completion/completions/lanyard", "share/zsh/site-functions/_lanyard",
                    "bin/lanyard"):
            self.assertTrue(any(p.endswith(end) for p in installed), f"{end} in {installed}")


class Completion(test_lab.LabCase):
    def complete(self, *words):
        """What bash offers for the last of the words."""
        script = (f"PATH={os.path.dirname(LANYARD)}:$PATH; source {MADE}/lanyard.bash; "
                  'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lanyard_spaced; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "bash", "lanyard", *words], env=self.env,
                              capture_output=True, text=True, timeout=20, cwd=self.run_dir)
        self.assertEqual("", done.stderr)
        return [line.rstrip() for line in done.stdout.splitlines() if line.strip()]

    def test_commands(self):
        names = [name for name, _, _ in docs.commands(LANYARD)]
        self.assertEqual([*names, "--help", "--version"], self.complete(""))
        self.assertEqual(["status"], self.complete("st"))
        for name in names:
            help_ = docs.Help(LANYARD, name)
            if not help_.subs:
                self.assertEqual(help_.option_words(), self.complete(name, "-"), name)
            for sub, _ in help_.subs:
                self.assertIn(sub, self.complete(name, ""))
                self.assertEqual(docs.Help(LANYARD, name, sub).option_words(),
                                 self.complete(name, sub, "-"))

    def test_arguments(self):
        self.lanyard("up", self.topology)
        self.assertEqual(["pair"], self.complete("down", "p"))
        self.assertEqual(["pair/a", "pair/b"], self.complete("console", "pair/"))
        self.assertEqual(["pair/a.0", "pair/b.0"], self.complete("capture", ""))
        self.assertEqual(["pair", "pair/switch", "pair/a", "pair/b"], self.complete("logs", "pa"))
        self.assertIn("pair.json", self.complete("up", ""))
        self.assertIn("pair", self.complete("bench", ""))
        self.assertIn("pair.json", self.complete("bench", ""))
        self.lanyard("down", "pair")
        self.assertEqual([], self.complete("status", ""))

    def test_zsh(self):
        for path, shell in (("lanyard.bash", "bash"), ("_lanyard", "zsh")):
            subprocess.run([shell, "-n", os.path.join(MADE, path)], check=True, timeout=20)


if __name__ == "__main__":
    main()
