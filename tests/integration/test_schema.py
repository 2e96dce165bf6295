# SPDX-License-Identifier: Apache-2.0
"""`lanyard schema`: that it and the decoder, of whose tables it is made, say the same of topologies,
by a foreign validator (python3-jsonschema); and that docs/topology.md says it too."""
import copy
import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BUILD, ROOT, TOPOLOGIES, Case, main  # noqa: E402

_loader = importlib.machinery.SourceFileLoader("words", os.path.join(ROOT, "tools/topology-words"))
words = importlib.util.module_from_spec(importlib.util.spec_from_loader("words", _loader))
_loader.exec_module(words)

# What a schema can't say, by the decoder's words: names that must exist, what is unique, what keys
# mean together, and text that is almost an address or a number.
MEANING = re.compile("|".join((
    "unknown (PF|path) ", "of no paths", "no \"paths\", which say", "which PF is it", "no VF left", "there is no VF", "VFs?, counted from 0",
    "is of a VLAN", "for ports that are VFs", "the PF in \"vf\"", "whole \\(port|takes that PF whole",
    "above max_rate", "\"networks\" is missing", "one network at least", "is said in line",
    "names the PF already", "lower index comes first", "VFs are numbered", "one MAC address can't",
    "given twice", "named twice", "already", "unknown (network|node|port) ", "has no NIC",
    "are named", "the first in line", "the same NIC", "no frame gets across", "nothing of this gets",
    "external: Lanyard", "has no traffic engine", "goes both ways already", "leave out \"(from|to|all_pairs|rate|max_loss|group)", "ascending order",
    "are not in this order", "^.*TCP .*: leave out", "streams\\\" of .*: leave out", "searches for nothing", "TCP is measured",
    "has no iperf3", "which TCP needs", "no packet would go", "which one its kernel",
    "who sends", "\"(from|to)\" is missing", "don't fit network", "at once", "group \"",
    "must be a multiple of", "name one for each", "lower number comes first", "numbered 0 to 1023",
    "rate \".*\" is (0|too)", "is too large", "whole number of bytes", "needs 128M", "is 0: a VM",
    "leads to one thing", "name one of them", "not in \"trunk\"", "within 1 to", "a burst has",
    "least rate", "can't mirror itself", "mirrored|mirror of a mirror", "stands for many stations",
    "say with \"mac\"", "a host port's offloads", "segmentation needs", "own VLAN|carries|not of",
    "IPv. address is written", "an address has the length", "a prefix of 0", "must be a unicast one",
    "broadcast address|first address|network's first", "bits behind its prefix", "IP version",
    "two routes", "a neighbour's address", "can't be reached", "of this node itself",
    "a route leads to", "make .* vCPU", "where in the guest|absolute path in the guest",
    "only raw disks", "does not get to this port", "of which VLAN is this", "two files go", "is the node's first disk", "no place for \"files\"",
    "interface's name has", "carry VLAN|isn't carried|does not carry|is no VLAN of",
    "a virtual device is written", "at most 3[0-9] characters; .* has",
    "is a bridge of the host's kernel",
)))


class SchemaCase(Case):
    def setUp(self):
        super().setUp()
        self.schema = json.loads(self.lanyard("schema").stdout)
        self.validator = jsonschema.Draft7Validator(self.schema)

    def accepts(self, topology):
        return self.validator.is_valid(topology)

    def errors(self, topology):
        return "\n".join(f"{list(e.absolute_path)}: {e.message}: "
                         f"{[c.message for c in e.context]}"
                         for e in self.validator.iter_errors(topology))

    def decoder(self, topology):
        """What lanyard validate says of it: "" if it is valid."""
        path = self.path("t.json")
        with open(path, "w") as f:
            json.dump(topology, f)
        done = self.lanyard("validate", path, status=None)
        self.assertIn(done.returncode, (0, 2), done.stderr)
        return done.stderr.strip()

    def compare(self, topology, said, where):
        """Nothing if the schema and the decoder agree; else a sentence."""
        accepted = self.accepts(topology)
        if accepted and said and not MEANING.search(said):
            return f"{where}: the schema accepts, the decoder says: {said}"
        if not accepted and not said:
            return f"{where}: the decoder accepts, the schema says:\n{self.errors(topology)}"
        return None


class Files(SchemaCase):
    def test_schema_is_one(self):
        jsonschema.Draft7Validator.check_schema(self.schema)

    def test_topologies(self):
        paths = glob.glob(os.path.join(TOPOLOGIES, "*.json"))
        self.assertGreater(len(paths), 5)
        for path in paths:
            with open(path) as f:
                self.assertEqual("", self.errors(json.load(f)), path)

    def test_examples_of_the_reference(self):
        with open(os.path.join(ROOT, "docs", "topology.md")) as f:
            examples = re.findall(r"```json\n(.*?)```", f.read(), re.S)
        self.assertGreater(len(examples), 3)
        for text in examples:
            self.assertEqual("", self.errors(json.loads(text)), text)

    def test_unit_tests_cases(self):
        """Every text, good and bad, that the decoder's unit tests have."""
        dump = self.path("dump")
        for name in ("config", "config_bad", "config_guest", "config_paths", "config_policy",
                     "config_vf"):
            subprocess.run([os.path.join(BUILD, "tests", "unit", f"test_{name}")], check=True,
                           env={**self.env, "LANYARD_DUMP": dump}, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        with open(dump) as f:
            cases = [json.loads(line) for line in f]
        self.check_cases([(c["text"], c["error"]) for c in cases], 300)

    def test_fuzzers_corpus(self):
        cases = []
        for path in glob.glob(os.path.join(ROOT, "tests/fuzz/corpus/topology/*")):
            done = self.lanyard("validate", path, status=None)
            with open(path, errors="replace") as f:
                cases.append((f.read(), done.stderr.strip()))
        self.check_cases(cases, 5)

    def check_cases(self, cases, at_least):
        compared, wrong = 0, []
        for text, said in cases:
            try:
                topology = json.loads(text)
            except ValueError:
                self.assertNotEqual("", said)
                continue
            compared += 1
            wrong.append(self.compare(topology, said, text[:600]))
        self.assertGreaterEqual(compared, at_least)
        self.assertEqual("", "\n".join(filter(None, wrong)))


class Keys(SchemaCase):
    """Every key of every kind of node, at the ends of its range and beyond."""
    BASE = {"version": 1, "lab": "t", "networks": {"lan": {}}, "switch": {}, "ports": {},
            "nodes": {"n": {"kind": "vm", "nics": [{"network": "lan"}]},
                      "p": {"kind": "vm", "nics": [{"network": "lan"}]}},
            "traffic": [{"name": "x", "from": "n.0", "to": "p.0"}]}
    KIND = {"probe": {"kind": "vm"}, "process": {"kind": "process"},
            "external": {"kind": "external"}, "linux": {"kind": "vm", "guest": "linux"},
            "file": {"kind": "vm", "guest": "./image.elf"}}

    def places(self):
        """(name of a definition, how to reach such an object in a topology, the topology)"""
        for kind, keys in self.KIND.items():
            base = copy.deepcopy(self.BASE)
            base["nodes"]["n"].update(keys)
            base["traffic"] = []
            yield f"node-{kind}", ("nodes", "n"), base
            yield f"nic-{kind}", ("nodes", "n", "nics", 0), base
        vfs = copy.deepcopy(self.BASE)
        vfs["pfs"] = {"pf0": {"pci": "0000:03:00.0", "vfs": {"1": {}}}}
        vfs["traffic"] = []
        yield "pf", ("pfs", "pf0"), vfs
        yield "described", ("pfs", "pf0", "vfs", "1"), vfs
        for kind in ("linux", "file"):
            base = copy.deepcopy(vfs)
            base["nodes"]["n"] = {**self.KIND[kind], "nics": [{"vf": "pf0"}]}
            yield f"vf-{kind}", ("nodes", "n", "nics", 0), base
        yield "switch", ("switch",), self.BASE
        yield "network", ("networks", "lan"), self.BASE
        yield "traffic", ("traffic", 0), self.BASE
        search = copy.deepcopy(self.BASE)
        search["traffic"][0]["method"] = {}
        yield "method", ("traffic", 0, "method"), search
        tcp = copy.deepcopy(self.BASE)
        for i, name in enumerate(tcp["nodes"]):
            tcp["nodes"][name] = {"kind": "vm", "guest": "linux", "root": "host", "nics": [
                {"network": "lan", "addresses": [f"10.0.0.{i + 1}/24"]}]}
        tcp["traffic"][0]["method"] = {"tcp": {}}
        yield "tcp", ("traffic", 0, "method", "tcp"), tcp
        yield "port", ("ports", "up"), {**self.BASE, "ports": {"up": {"network": "lan",
                                                                     "tap": "t0"}}}

    @staticmethod
    def samples(value):
        """Values at the ends of what the schema of a key allows, and beyond; of every type."""
        yield from (None, True, 7, 1.5, "", "surely no such word", [], {}, ["x"])
        for way in [value, *value.get("anyOf", []), *value.get("allOf", [])]:
            yield from way.get("enum", [])
            for end, step in (("minimum", -1), ("maximum", 1)):
                if end in way:
                    yield from (way[end], way[end] + step)
            if "default" in way:
                yield way["default"]
            items = way.get("items", {})
            for word in items.get("enum", []):
                yield [word]
            for end, step in (("minItems", -1), ("maxItems", 1)):
                if end in way and "minimum" in items and way[end] < 100:
                    first = items["minimum"]
                    for n in (way[end], way[end] + step):
                        yield [first + i for i in range(n)]

    def test_every_key(self):
        compared, wrong, reached, seen = 0, [], set(), set()
        for name, path, base in self.places():
            definition = self.schema["definitions"][name]
            reached.add(name)
            kin = {k for n, d in self.schema["definitions"].items() if "allOf" not in d
                   and n.split("-")[0] == name.split("-")[0] for k in d["properties"]}
            for key in sorted(kin | {"kynd"}):
                value = definition["properties"].get(key)
                # The same key with the same schema, of another kind: once is enough.
                same = (name.split("-")[0], key, json.dumps(value))
                samples = [7] if not value or same in seen else list(self.samples(value))
                seen.add(same)
                for sample in samples:
                    topology = copy.deepcopy(base)
                    thing = topology
                    for step in path:
                        thing = thing[step]
                    thing[key] = sample
                    said = self.decoder(topology)
                    if value is None:
                        self.assertRegex(said, "unknown key|is (not )?for", f"{name}.{key}")
                    wrong.append(self.compare(topology, said, f"{name}.{key} = {sample!r}"))
                    compared += 1
            for key in definition["required"]:
                topology = copy.deepcopy(base)
                thing = topology
                for step in path:
                    thing = thing[step]
                del thing[key]
                self.assertFalse(self.accepts(topology), f"{name} without {key}")
                self.assertNotEqual("", self.decoder(topology), f"{name} without {key}")
        self.assertEqual("", "\n".join(filter(None, wrong)))
        self.assertGreater(compared, 500)
        top = {d for d in self.schema["definitions"] if d.startswith(("node-", "nic-", "vf-"))}
        self.assertEqual(set(), top - reached, "kinds of nodes that this test does not know")


class Reference(SchemaCase):
    """docs/topology.md, key by key."""

    def setUp(self):
        super().setUp()
        with open(os.path.join(ROOT, "docs", "topology.md")) as f:
            self.rows = words.rows(f.read())
        self.objects = {"topology": [self.schema]}
        for name, definition in self.schema["definitions"].items():
            if "properties" in definition and "allOf" not in definition:
                name = re.sub(r"-(probe|process|external|linux|file)$", "", name)
                self.objects.setdefault(name, []).append(definition)

    def keys(self, thing):
        """{key: [its schema, by kind]}"""
        found = {}
        for definition in self.objects[thing]:
            for key, value in definition["properties"].items():
                found.setdefault(key, []).append(value)
        return found

    def cells(self, thing, key):
        """The row of a key, {column: text}; of an object that has no table, the row of the key
        that it is the value of."""
        if thing in {o for objects in words.SECTIONS.values() for o in objects}:
            rows = [cells for section, keys, cells in self.rows
                    if thing in words.SECTIONS.get(section, []) and key in keys]
            # "below" leads to the row that says it.
            return next((r for r in rows if not r["what"].startswith("[below]")), None)
        for parent in self.objects:
            for name, values in self.keys(parent).items():
                if any(f'"#/definitions/{thing}"' in json.dumps(v) for v in values):
                    return self.cells(parent, name)
        return None

    def test_every_key_has_its_line(self):
        for thing in self.objects:
            for key in self.keys(thing):
                cells = self.cells(thing, key)
                self.assertIsNotNone(cells, f"docs/topology.md has no line for \"{key}\" of "
                                     f"\"{thing}\" (sections: tools/topology-words)")
                text = " ".join(cells.values())
                self.assertRegex(text, rf'[`"]{re.escape(key)}[`"]',
                                 f'"{key}" of "{thing}" is not spoken of')

    def test_every_line_has_its_key(self):
        for section, keys, _ in self.rows:
            self.assertIn(section, words.SECTIONS, "a table of keys in a section that "
                          "tools/topology-words does not know")
            things = words.SECTIONS[section]
            for key in keys:
                self.assertTrue(any(key in self.keys(t) for t in things),
                                f'{section}: there is no key "{key}"')

    def test_what_lines_say(self):
        """Ranges, words, defaults and what is required."""
        for thing in self.objects:
            for key, values in self.keys(thing).items():
                cells = self.cells(thing, key)
                what, default = cells["what"], cells.get("default", "")
                where = f'"{key}" of "{thing}": {what} | {default}'
                own = key in re.findall(r"`([^`]+)`", cells["key"])
                for value in values:
                    for end in ("minimum", "maximum"):
                        if isinstance(value.get(end), int) and key not in ("native", "vlan") and own:
                            self.assertIn(f"{value[end]}", what, where)
                    for word in value.get("enum", []):
                        self.assertIn(f'"{word}"', what + default, where)
                    if "default" in value and own and value["default"] not in ([], {}):
                        text = json.dumps(value["default"])
                        self.assertIn(text, default + what, where)
                if own and all(key in d["required"] for d in self.objects[thing]):
                    self.assertRegex(default, "^(required|one of)", where)


if __name__ == "__main__":
    main()
