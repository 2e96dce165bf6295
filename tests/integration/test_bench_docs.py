# SPDX-License-Identifier: Apache-2.0
"""docs/topology.md and docs/results.md against the programs: examples are valid, no key is missing."""
import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness  # noqa: E402


def doc(name):
    with open(os.path.join(harness.ROOT, "docs", name)) as f:
        return f.read()


def keys_of(value, under=()):
    """Every key of a document, but for names that users, the switch or the kernel gave."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if under[-1:] not in (("guests",), ("drops",), ("mitigations",)):
                yield key
            if key not in ("topology", "workers"):
                yield from keys_of(inner, under + (key,))
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, under)


class Docs(harness.Case):
    def test_examples_are_valid(self):
        examples = re.findall(r"```json\n(.*?)```", doc("topology.md"), re.S)
        self.assertGreaterEqual(len(examples), 3)
        for i, text in enumerate(examples):
            path = self.path(f"example{i}.json")
            with open(path, "w") as f:
                f.write(text)
            self.lanyard("validate", path)

    def known(self, topology):
        """The keys that an object takes: the sentence about an unknown one lists them."""
        path = self.path("unknown.json")
        with open(path, "w") as f:
            json.dump(topology, f)
        stderr = self.lanyard("validate", path, status=2).stderr
        self.assertIn('unknown key "zzzzzzzz"', stderr)
        return re.search(r"\(known: (.*)\)", stderr).group(1).split(", ")

    def test_bad_topologies(self):
        """Each with its sentence, its place and status 2, from each command that takes a topology.
        (All sentences there are: tests/unit/test_config_bad.c.)"""
        a = '"a": { "kind": "vm", "nics": [ { "network": "lan" } ] }'
        flow = '"name": "n", "from": "a.0", "to": "b.0"'

        def text(a=a, traffic=""):
            return ('{ "version": 1, "lab": "bad",\n"networks": { "lan": {} },\n"nodes": {\n' + a +
                    ',\n"b": { "kind": "vm", "nics": [ { "network": "lan" } ] } },\n"traffic": [' +
                    traffic + "] }\n")
        bad = (
            (text()[:-4], ":6:13: not valid JSON: ']' expected"),
            (text(a.replace("nics", "nisc")), ':4:22: node "a": unknown key "nisc"; did you mean "nics"?'),
            (text(a.replace('"lan"', '"lna"')), 'unknown network "lna"; did you mean "lan"?'),
            (text(a.replace('"lan"', '"lan", "mac": "01:00:00:00:00:00"')), "is multicast"),
            (text('"c": { "kind": "vm", "nics": [ { "network": "lan", "mac": "02:00:00:00:00:01" },'
                  '{ "network": "lan", "mac": "02:00:00:00:00:01" } ] }'),
             ':4:108: node "c", NIC 1: MAC address 02:00:00:00:00:01 is node "c", NIC 0'),
            (text(a.replace('"vm"', '"vm", "memory": "64"')), 'size "64" has no unit'),
            (text(a.replace('"vm"', '"vm", "memory": "0M"')), ':4:32: node "a": "memory" is 0'),
            (text(traffic="{%s, \"rate\": \"10\"}" % flow), 'rate "10" has no unit'),
            (text(traffic="{%s, \"frame\": 1519}" % flow),
             "frames of 1519 bytes don't fit network \"lan\": with its MTU of 1500"))
        path = self.path("bad.json")
        for content, said in bad:
            with open(path, "w") as f:
                f.write(content)
            for command in ("validate", "plan", "up", "bench"):
                with self.subTest(said=said, command=command):
                    stderr = self.lanyard(command, path, status=2).stderr
                    self.assertIn(said, stderr)
                    self.assertIn(path + ":", stderr)
                    self.assertFalse(os.path.exists(self.path("bad")))

    def test_every_topology_key_is_documented(self):
        nic = {"network": "lan"}
        vm = {"kind": "vm", "nics": [nic]}
        good = {"version": 1, "lab": "t", "networks": {"lan": {}}, "nodes": {"a": vm}}
        unknown = {"zzzzzzzz": 1}
        found = set()
        for bad in (dict(good, **unknown), dict(good, switch=unknown),
                    dict(good, networks={"lan": unknown}),
                    dict(good, nodes={"a": dict(vm, **unknown)}),
                    dict(good, nodes={"a": dict(vm, nics=[dict(nic, **unknown)])}),
                    *(dict(good, nodes={"a": dict(vm, nics=[{**nic, key: unknown}])})
                      for key in ("vlan", "anti_spoof", "storm", "police", "mirror")),
                    dict(good, nodes={"a": dict(vm, nics=[{**nic, "static": [unknown]}])}),
                    dict(good, ports={"u": unknown}),
                    dict(good, traffic=[unknown]),
                    dict(good, traffic=[{"name": "n", "method": unknown}])):
            found.update(self.known(bad))
        self.assertGreater(len(found), 20)
        text = doc("topology.md")
        self.assertEqual([], [key for key in sorted(found) if f"`{key}`" not in text])

    @harness.needs_kvm
    def test_every_result_key_is_documented(self):
        path = os.path.join(harness.TOPOLOGIES, "loop.json")
        done = self.lanyard("bench", path, "--seconds", "0.1", "--histogram", "--json", "-")
        text = doc("results.md")
        found = set(keys_of(json.loads(done.stdout)))
        self.assertIn("cycles_per_frame", found)
        self.assertEqual([], [key for key in sorted(found) if f"`{key}`" not in text])


if __name__ == "__main__":
    harness.main()
