# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md, typed as it stands: every command from its third section on, with the real switch
and the real traffic processes. Only that paths are compared in one round, of one frame size."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import LANYARD, PATIENCE, ROOT, TOPOLOGIES, Case, main, slow  # noqa: E402

# What a line of commands begins with; others that are indented show what is printed.
COMMAND = re.compile(r"    ((sudo )?lanyard|sed|python3) ")


def commands(text):
    """The commands of the text's code blocks, the times that stand behind them cut off."""
    found, inside = [], False
    for line in text.splitlines():
        if inside:  # a quoted program of several lines
            found[-1] += "\n" + line[4:]
            inside = line.count("'") % 2 == 0
        elif COMMAND.match(line):
            found.append(re.sub(r" {2,}[0-9.]+ s.*$", "", line[4:]))
            inside = line.count("'") % 2 == 1
    return found


class Tutorial(Case):
    @staticmethod
    def hurry(path):
        with open(path) as f:
            topology = json.load(f)
        topology["traffic"][0].update(frame=64, seconds=0.1)
        with open(path, "w") as f:
            json.dump(topology, f)

    @slow
    def test_as_it_stands(self):
        with open(os.path.join(ROOT, "docs", "tutorial.md")) as f:
            text = f.read().partition("## 3.")[2]
        lines = commands(text)
        for part in ("validate", "plan", "graph", "up", "status", "top", "bench", "down", "compare", "report"):
            self.assertTrue(any(part in line for line in lines), f"{part} in {lines}")
        work = self.path("lanyard")
        os.mkdir(work)
        shutil.copytree(TOPOLOGIES, os.path.join(work, "topologies"))
        # Status 4: measured, but on a busy machine more was lost than the file allows.
        self.hurry(os.path.join(work, "topologies", "compare.json"))
        lines = [line.replace("--rounds 5", "--rounds 1") for line in lines]
        script = "set -e\nsudo() { \"$@\" || [ $? = 4 ]; }\n" + "\n".join(lines)
        path = f"{os.path.dirname(LANYARD)}:{os.environ['PATH']}"
        done = subprocess.run(["bash", "-c", script], cwd=work, env={**self.env, "PATH": path},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=240 * PATIENCE)
        self.assertEqual(0, done.returncode, done.stdout)
        with open(os.path.join(work, "processes.json")) as f:
            bench = json.load(f)
        self.assertTrue(bench["complete"])
        self.assertEqual(4, len(bench["trials"]))
        for name, n in (("adaptive.json", 2), ("polling.json", 1)):
            with open(os.path.join(work, name)) as f:
                result = json.load(f)
            self.assertTrue(result["complete"])
            self.assertEqual(n, len(result["comparisons"]))
        self.assertIn("The environments differ in the switch's poll", " ".join(done.stdout.split()))
        for page in ("compare.html", "report.html"):
            self.assertGreater(os.path.getsize(os.path.join(work, page)), 10000)
        self.assertEqual([], [n for n in os.listdir(self.run_dir)
                              if n not in ("lanyard",) and not n.startswith("asan")])


if __name__ == "__main__":
    main()
