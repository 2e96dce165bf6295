# SPDX-License-Identifier: Apache-2.0
"""lanyard-switch: what is demanded of ports. Requests that are wrong, and that nothing of them is
done; what frames meet at the real switch."""
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Case, RpcError

MAC = ["02:00:00:00:00:%02x" % i for i in range(64)]

# What a key may not say: words of the sentence, key, value.
BAD = [
    ("vlan|expected {\"access\"", "vlan", {}),
    ("vlan|expected an object", "vlan", 10),
    ("access is 0|1 to 4094", "vlan", {"access": 0}),
    ("access is 4095|1 to 4094", "vlan", {"access": 4095}),
    ("access must be an integer", "vlan", {"access": "10"}),
    ("expected {\"access\"", "vlan", {"access": 10, "trunk": [10]}),
    ("expected {\"access\"", "vlan", {"access": 10, "native": 10}),
    ("expected {\"access\"", "vlan", {"native": 10}),
    ("list of VLANs", "vlan", {"trunk": []}),
    ("list of VLANs", "vlan", {"trunk": 10}),
    ("is 0|1 to 4094", "vlan", {"trunk": [10, 0]}),
    ("is 4095|1 to 4094", "vlan", {"trunk": [[10, 4095]]}),
    ("two numbers", "vlan", {"trunk": [[10, 20, 30]]}),
    ("[20, 10]|empty", "vlan", {"trunk": [[20, 10]]}),
    ("native 30|not among", "vlan", {"trunk": [10, [11, 29]], "native": 30}),
    ("native is 4095", "vlan", {"trunk": [[1, 4094]], "native": 4095}),
    ("unknown key \"vid\"", "vlan", {"vid": 3}),
    ("true or false", "isolated", 1),
    ("\"up\" or \"down\"", "admin", "off"),
    ("\"up\" or \"down\"", "admin", True),
    ("is -1", "mac_limit", -1),
    ("integer", "mac_limit", "5"),
    ("expected a list", "static", {"mac": MAC[1]}),
    ("expected an object", "static", [MAC[1]]),
    ("no MAC address", "static", [{"mac": "02:00:00:00:00"}]),
    ("no MAC address", "static", [{"vlan": 10}]),
    ("group", "static", [{"mac": "01:00:5e:00:00:01"}]),
    ("zero", "static", [{"mac": "00:00:00:00:00:00"}]),
    ("vlan is 0", "static", [{"mac": MAC[1], "vlan": 0}]),
    ("vlan is 4095", "static", [{"mac": MAC[1], "vlan": 4095}]),
    ("unknown key \"port\"", "static", [{"mac": MAC[1], "port": 3}]),
    ("there twice", "static", [{"mac": MAC[1]}, {"mac": MAC[2]}, {"mac": MAC[1]}]),
    ("there twice", "static", [{"mac": MAC[1], "vlan": 7}, {"mac": MAC[1], "vlan": 7}]),
    ("macs must be a list of 1 to 64", "spoof", {}),
    ("macs must be a list of 1 to 64", "spoof", {"macs": []}),
    ("macs must be a list of 1 to 64", "spoof", {"macs": MAC + MAC[:1]}),
    ("no MAC address", "spoof", {"macs": ["x"]}),
    ("group", "spoof", {"macs": ["ff:ff:ff:ff:ff:ff"]}),
    ("10.0.0.300|ipv4", "spoof", {"macs": MAC[:1], "ipv4": ["10.0.0.300"]}),
    ("fe80::1|ipv4", "spoof", {"macs": MAC[:1], "ipv4": ["fe80::1"]}),
    ("10.0.0.1|ipv6", "spoof", {"macs": MAC[:1], "ipv6": ["10.0.0.1"]}),
    ("ipv4 must be a list", "spoof", {"macs": MAC[:1], "ipv4": []}),
    ("router", "spoof", {"macs": MAC[:1], "router": "yes"}),
    ("unknown key \"ip\"", "spoof", {"macs": MAC[:1], "ip": []}),
    ("broadcast_pps is 0", "storm", {"broadcast_pps": 0}),
    ("multicast_pps is 0", "storm", {"multicast_pps": 0}),
    ("unknown_pps is -5", "storm", {"unknown_pps": -5}),
    ("unknown key \"broadcast\"", "storm", {"broadcast": 5}),
    ("rate_bps is 0", "police", {"rate_bps": 0}),
    ("rate_bps must be an integer", "police", {"burst_bytes": 10000}),
    ("rate_bps must be an integer", "police", {"rate_bps": 1e6}),
    ("burst_bytes is 0", "police", {"rate_bps": 10**6, "burst_bytes": 0}),
    ("burst_bytes is 9233|9234", "police", {"rate_bps": 10**6, "burst_bytes": 9233}),
    ("unknown key \"burst\"", "police", {"rate_bps": 10**6, "burst": 0}),
    ("true, false or a list", "offloads", "csum"),
    ("\"ufo\" is none", "offloads", ["csum", "ufo"]),
    ("is none", "offloads", [4]),
    ("need \"csum\"", "offloads", ["tso4"]),
]

FULL = {
    "vlan": {"trunk": [10, [20, 29]], "native": 10}, "isolated": True, "admin": "up",
    "mac_limit": 4, "static": [{"mac": MAC[9]}, {"mac": MAC[9], "vlan": 20}],
    "spoof": {"macs": [MAC[1]], "ipv4": ["10.0.0.1"], "ipv6": ["fe80::1"], "router": True},
    "storm": {"broadcast_pps": 100, "multicast_pps": 200, "unknown_pps": 300},
    "police": {"rate_bps": 10**8, "burst_bytes": 100000},
    "offloads": ["csum", "tso6"],
}

# virtio-net's bits, of what a guest sends and receives (virtio 1.2, 5.1.3).
OFFLOADS = {"csum": {0, 1}, "tso4": {7, 11}, "tso6": {8, 12}, "ecn": {9, 13}}


def features_offered(path):
    """What a front end that connects is told (vhost-user, GET_FEATURES)."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(path)
        s.sendall(struct.pack("<III", 1, 1, 0))
        reply = b""
        while len(reply) < 20:
            got = s.recv(20 - len(reply))
            if not got:
                raise AssertionError("the switch hung up")
            reply += got
    features = struct.unpack("<IIIQ", reply)[3]
    return {i for i in range(64) if features >> i & 1}


def statics(sw):
    return sorted((e["port"], e["mac"], e["vlan"])
                  for e in sw.call("fdb")["entries"] if e["static"])


class Requests(Case):
    """Each wrong request has its sentence, and leaves the switch as it was."""

    def refuse(self, sw, words, field, method, cls=2, **params):
        with self.assertRaises(RpcError) as got:
            sw.call(method, **params)
        e = got.exception
        for word in words.split("|"):
            self.assertIn(word, e.message)
        self.assertEqual((field, cls), (e.field, e.cls), e.message)
        return e.message

    def port(self, name, network="lan", **policy):
        return dict(name=name, network=network, socket=self.path(name), **policy)

    def policies(self, sw):
        return {p["name"]: p["policy"] for p in sw.stats()["ports"]}

    def state(self, sw):
        stats = sw.stats()
        return ([(n["name"], n["mtu"], n["ports"], n["fdb_entries"]) for n in stats["networks"]],
                self.policies(sw), statics(sw))

    def test_bad_values(self):
        sw = self.switch()
        sw.call("network_add", name="lan")
        sw.call("port_add", **self.port("a", static=[{"mac": MAC[5]}]))
        before = self.state(sw)
        for words, key, value in BAD:
            with self.subTest(key=key, value=value):
                self.refuse(sw, words + "|port \"b\"", key, "port_add",
                            **self.port("b", **{key: value}))
                self.assertFalse(os.path.exists(self.path("b")))
                self.refuse(sw, words + "|port \"a\"", key, "configure",
                            ports={"a": {"isolated": True, **({key: value})}})
                # The network named before, and the good port, don't change either.
                self.refuse(sw, words, key, "configure", networks={"lan": {"mtu": 9000}},
                            ports={"a": {key: value}})
        self.assertEqual(before, self.state(sw))

    def test_one_transaction(self):
        sw = self.switch()
        sw.call("network_add", name="lan")
        sw.call("network_add", name="other")
        for name in "abc":
            sw.call("port_add", **self.port(name))
        sw.call("configure", ports={"a": {"static": [{"mac": MAC[5]}]}})
        before = self.state(sw)
        good = {"a": {"vlan": {"access": 10}, "static": None}, "b": {"admin": "down"}}
        for words, field, params in [
                ("no port \"nobody\"", "ports", {"ports": dict(good, nobody={})}),
                ("no network \"nowhere\"", "networks",
                 {"networks": {"lan": {"mtu": 9000}, "nowhere": {}}, "ports": good}),
                ("mtu|68 to 9216", "mtu", {"networks": {"lan": {"mtu": 67}}, "ports": good}),
                ("mtu|68 to 9216", "mtu", {"networks": {"lan": {"mtu": "big"}}}),
                ("ageing_s|1 to 1000000", "ageing_s",
                 {"networks": {"lan": {"mtu": 9000, "ageing_s": 0}}}),
                ("unknown key \"name\"", "name", {"networks": {"lan": {"name": "wan"}}}),
                ("expected an object", "networks", {"networks": {"lan": 9000}}),
                ("unknown key \"socket\"|port \"c\"", "socket",
                 {"ports": dict(good, c={"socket": "/tmp/x"})}),
                ("unknown key \"colour\"", "colour", {"ports": dict(good, c={"colour": 3})}),
                ("expected an object", "ports", {"ports": dict(good, c=None)}),
                ("claimed by ports \"a\" and \"c\"", "static",
                 {"ports": {"b": {"admin": "down"}, "c": {"static": [{"mac": MAC[5]}]}}}),
                ("claimed by ports", "static",
                 {"ports": {"b": {"static": [{"mac": MAC[6]}]},
                            "c": {"static": [{"mac": MAC[7]}, {"mac": MAC[6]}]}}}),
                # Its static address is in no VLAN any more that the port is in.
                ("in VLAN 20|no member", "static",
                 {"ports": {"c": {"vlan": {"access": 10},
                                  "static": [{"mac": MAC[5], "vlan": 20}]}}}),
                ("needs a \"vlan\"", "static", {"ports": {"a": {"vlan": {"trunk": [10]}}}}),
                ("unknown parameter \"port\"", "port", {"port": {}}),
        ]:
            with self.subTest(words=words):
                self.refuse(sw, words, field, "configure", **params)
                self.assertEqual(before, self.state(sw))
        self.refuse(sw, "claimed by ports", "static", "port_add",
                    **self.port("d", static=[{"mac": MAC[5]}]))
        self.refuse(sw, "\"a\"'s already", "socket", "port_add",
                    **dict(self.port("d"), socket=self.path("a")))
        self.assertEqual(before, self.state(sw))
        # In another network, or VLAN, it is another address.
        sw.call("port_add", **self.port("e", "other", static=[{"mac": MAC[5]}]))
        sw.call("configure", ports={"c": {"static": [{"mac": MAC[5], "vlan": 9}]}})
        # One moves from port to port, within one request.
        sw.call("configure", networks={"lan": {"mtu": 9000, "ageing_s": 7}},
                ports={"a": {"static": None}, "b": {"static": [{"mac": MAC[5]}]}})
        self.assertEqual([("b", MAC[5], 0), ("c", MAC[5], 9), ("e", MAC[5], 0)], statics(sw))
        self.assertEqual(9000, sw.stats()["networks"][0]["mtu"])
        sw.call("configure", networks={"lan": {"mtu": None}})
        self.assertEqual(1500, sw.stats()["networks"][0]["mtu"])
        sw.call("port_del", name="b")
        self.assertEqual([("c", MAC[5], 9), ("e", MAC[5], 0)], statics(sw))

    def test_policies_as_given(self):
        sw = self.switch()
        sw.call("network_add", name="lan")
        sw.call("port_add", **self.port("a", **FULL))
        sw.call("port_add", **self.port("b", vlan=None, isolated=False))
        self.assertEqual({"a": FULL, "b": {"isolated": False}}, self.policies(sw))
        self.assertEqual([("a", MAC[9], 10), ("a", MAC[9], 20)], statics(sw))
        # Absent: unchanged; null: back to the default.
        sw.call("configure", ports={"a": {"admin": "down", "police": None, "static": None},
                                    "b": {"isolated": None}})
        want = {k: v for k, v in FULL.items() if k not in ("police", "static")}
        self.assertEqual({"a": dict(want, admin="down"), "b": {}}, self.policies(sw))
        self.assertEqual([], statics(sw))
        sw.call("configure")
        self.assertEqual({"removed": 0}, sw.call("fdb_flush", port="a", vlan=10))
        self.refuse(sw, "no port \"x\"", "port", "fdb_flush", port="x")
        self.refuse(sw, "vlan", "vlan", "fdb", vlan=4095)

    def test_offloads_offered(self):
        sw = self.switch()
        sw.call("network_add", name="lan")
        for name, policy in [("a", {}), ("b", {"offloads": False}),
                             ("c", {"offloads": ["csum", "tso4"]}), ("d", {"offloads": True})]:
            sw.call("port_add", **self.port(name, **policy))

        def offered(name):
            features = features_offered(self.path(name))
            return {o for o, bits in OFFLOADS.items() if bits & features}

        everything = set(OFFLOADS)
        self.assertEqual([everything, set(), {"csum", "tso4", "ecn"}, everything],
                         [offered(n) for n in "abcd"])
        # UFO and the old GSO bit never are.
        self.assertFalse({6, 10, 14} & features_offered(self.path("a")))
        sw.call("configure", ports={"a": {"offloads": ["csum"]}, "b": {"offloads": None}})
        self.assertEqual([{"csum"}, everything], [offered(n) for n in "ab"])
        # A refused request offers nothing else.
        self.refuse(sw, "nobody", "ports", "configure",
                    ports={"a": {"offloads": True}, "nobody": {}})
        self.assertEqual({"csum"}, offered("a"))


if __name__ == "__main__":
    harness.main()
