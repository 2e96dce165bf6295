# SPDX-License-Identifier: Apache-2.0
"""Checks that only read the tree. Each returns a list of problems, with their places."""
import ast
import glob
import os
import re
import subprocess

# Folder -> folders whose headers it may include (docs/architecture.md). The linker keeps the rule
# for functions; this keeps it for headers.
MAY_INCLUDE = {
    "base": {"base"},
    "config": {"config", "base"},
    "traffic": {"traffic", "base"},
    "traffic/dpdk": {"traffic/dpdk", "traffic/packet", "traffic", "base"},
    "traffic/packet": {"traffic/packet", "traffic", "base"},
    "vhost-user": {"vhost-user", "base"},
    "sriov": {"sriov", "config", "base"},
    "vmm": {"vmm", "vhost-user", "config", "base"},
    "vswitch": {"vswitch", "config", "base"},
    "guest": {"guest", "traffic", "base"},
    "guest/linux": {"guest/linux", "traffic", "traffic/packet", "base"},
    "image": {"image", "base"},
    "measure": {"measure", "base"},
    "lab": {"lab", "image", "measure", "config", "base", "sriov", "traffic", "vhost-user", "vmm", "vswitch"},
}
# What the freestanding guest may have of base: headers without libc.
FREESTANDING = {"base/ether.h", "base/wire.h"}
LIBRARIES = {"ncurses": {"lab"}, "rte_": {"vswitch", "traffic/dpdk", "tests"}, 
             "netlink/": {"sriov", "tests"},
             "jansson.h": {"base", "config", "vswitch", "vmm", "lab", "sriov", "traffic/dpdk",
                             "guest/linux", "tests"},
             "lzma.h": {"image", "tests"}, "zstd.h": {"image", "tests"},
             "zlib.h": {"image", "measure", "tests"}}
# Rooms inside rooms, with rules of their own.
INNER = ("traffic/dpdk", "traffic/packet", "guest/linux")


def tracked(root, *patterns):
    """Files of the tree, by git where it is a checkout."""
    try:
        out = subprocess.run(["git", "-c", f"safe.directory={root}", "ls-files", "-co",
                              "--exclude-standard", "--", *patterns], cwd=root, check=True,
                             capture_output=True, text=True).stdout
        return [p for p in out.splitlines() if os.path.exists(os.path.join(root, p))]
    except (OSError, subprocess.CalledProcessError):
        found = []
        for p in patterns:
            found += glob.glob(os.path.join(root, "**", p), recursive=True)
        return [os.path.relpath(p, root) for p in found if "/build" not in p]


def lines_of(root, path):
    with open(os.path.join(root, path), errors="replace") as f:
        return f.read().splitlines()


def room_of(path):
    return next((i for i in INNER if path.startswith(i + "/")), path.split("/")[0])


def includes(root):
    problems = []
    for path in tracked(root, "*.c", "*.h", "*.S"):
        room = room_of(path)
        for n, line in enumerate(lines_of(root, path), 1):
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if not m:
                continue
            ours, target = m.group(1) == '"', m.group(2)
            place = f"{path}:{n}"
            for prefix, rooms in LIBRARIES.items():
                if target.startswith(prefix) and room not in rooms:
                    problems.append(f"{place}: {room}/ must not include <{target}>")
            if not ours or room == "tests":
                continue
            if not os.path.exists(os.path.join(root, target)):
                problems.append(f'{place}: "{target}": includes are written from the root')
                continue
            other = room_of(target)
            if other not in MAY_INCLUDE.get(room, set()):
                problems.append(f"{place}: {room}/ must not include {target}")
            # traffic/dpdk/ apart, the engine and the guest have no libc.
            if room in ("traffic", "guest") and other == "base" and target not in FREESTANDING:
                problems.append(f"{place}: {target} is not freestanding")
    return problems


def spdx(root):
    return [f"{p}: no SPDX line in its first three lines"
            for p in tracked(root, "*.c", "*.h", "*.S", "*.ld", "*.py", "meson.build", "**/meson.build")
            if not any("SPDX-License-Identifier: Apache-2.0" in l for l in lines_of(root, p)[:3])]


def layout(root):
    problems = []
    for path in tracked(root, "*.c", "*.h"):
        lines = lines_of(root, path)
        if len(lines) > 900:
            problems.append(f"{path}: {len(lines)} lines: split it by job")
        for n, line in enumerate(lines, 1):
            if len(line.expandtabs(8)) > 100 and '"' not in line:
                problems.append(f"{path}:{n}: longer than 100 columns")
            if line != line.rstrip():
                problems.append(f"{path}:{n}: white space at the end")
    return problems


def links(root):
    """Links of the documentation lead to files that are there."""
    problems = []
    for path in tracked(root, "*.md"):
        text = "\n".join(lines_of(root, path))
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" in target:
                continue
            if not os.path.exists(os.path.join(root, os.path.dirname(path), target)):
                problems.append(f"{path}: link to {target}, which is not there")
    return problems


def measured_by(root):
    """{topology: its tests}, by their marks (tests/lib/harness.py, measures), of what ./check runs."""
    found = {}
    for path in tracked(root, "tests/integration/test_*.py", "tests/rig/test_*.py"):
        if os.path.dirname(path) not in ("tests/integration", "tests/rig"):
            continue  # by_hand
        for node in ast.walk(ast.parse("\n".join(lines_of(root, path)))):
            for mark in getattr(node, "decorator_list", ()):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func).split(".")[-1] == "measures":
                    found.setdefault(mark.args[0].value, []).append(f"{path}: {node.name}")
    return found


def topologies(root):
    """Every topology is brought up, measured and taken down."""
    found = measured_by(root)
    there = {os.path.basename(p)[:-5] for p in tracked(root, "topologies/*.json")}
    return ([f"topologies/{name}.json: no test of ./check brings it up, measures it and takes it down: "
             "one that does is marked @measures(\"" + name + "\") (tests/lib/harness.py)"
             for name in sorted(there - set(found))] +
            [f"{test} is said to measure topologies/{name}.json, which is not there"
             for name in sorted(set(found) - there) for test in found[name]])


CHECKS = [("include rule", includes), ("SPDX lines", spdx), ("layout", layout),
          ("links in docs", links), ("topologies are measured", topologies)]
