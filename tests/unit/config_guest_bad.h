/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of test_config_guest.c: a node, and the sentence about it. */
	/* guests and keys */
	{ NODE("'guest': 'lunix'"),
		"t.json:2:30: node \"a\": unknown guest \"lunix\"; did you mean \"linux\"? "
		"(known: probe, linux; a file of your own is named with its folder, such as "
		"\"./guest.elf\")" },
	{ NODE("'guest': 'windows'"),
		"t.json:2:30: node \"a\": unknown guest \"windows\" (known: probe, linux; a file "
		"of your own is named with its folder, such as \"./guest.elf\")" },
	{ NODE("'guest': 7"),
		"t.json:2:30: node \"a\": \"guest\" must be \"probe\", \"linux\", or the path of "
		"an image; found 7" },
	{ NODE("'guest': './a,b'"),
		"t.json:2:30: node \"a\": a path may have no comma and no control character, "
		"which options of programs could not carry: rename it; found \"./a,b\"" },
	{ NODE("'kernel': '/k'"),
		"t.json:2:21: node \"a\": \"kernel\" is for VMs whose guest is \"linux\" only: "
		"leave it out, or change the node's kind or guest" },
	{ NODE("'guest': './x', 'kernel': '/k'"),
		"t.json:2:37: node \"a\": \"kernel\" is for VMs whose guest is \"linux\" only: "
		"leave it out, or change the node's kind or guest" },
	{ NODE("'root': 'host'"),
		"t.json:2:21: node \"a\": \"root\" is for VMs whose guest is \"linux\" only: "
		"leave it out, or change the node's kind or guest" },
	{ NODE("'disks': []"),
		"t.json:2:21: node \"a\": \"disks\" is for VMs whose guest is \"linux\" or an "
		"image's file only: leave it out, or change the node's kind or guest" },
	{ NODE("'shares': []"),
		"t.json:2:21: node \"a\": \"shares\" is for VMs whose guest is \"linux\" or an "
		"image's file only: leave it out, or change the node's kind or guest" },
	{ NODE("'files': []"),
		"t.json:2:21: node \"a\": \"files\" is for VMs whose guest is \"linux\" only: "
		"leave it out, or change the node's kind or guest" },
	{ NODE("'cmdline': 'x'"),
		"t.json:2:21: node \"a\": \"cmdline\" is for VMs whose guest is \"linux\" or an "
		"image's file only: leave it out, or change the node's kind or guest" },
	{ NODE("'routes': []"),
		"t.json:2:21: node \"a\": \"routes\" is for VMs whose guest is \"linux\" only: "
		"leave it out, or change the node's kind or guest" },
	{ NODE("'forward': true"),
		"t.json:2:21: node \"a\": \"forward\" is for VMs whose guest is \"linux\" only: "
		"leave it out, or change the node's kind or guest" },
	{ NODE("'modules': '/m'"),
		"t.json:2:21: node \"a\": \"modules\" is for VMs whose guest is \"linux\" only: "
		"leave it out, or change the node's kind or guest" },
	{ LINUX("'initramfs': '/i'"),
		"t.json:2:39: node \"a\": \"initramfs\" is for VMs whose guest is an image's "
		"file only: leave it out, or change the node's kind or guest" },
	{ "'a': {'kind': 'vm', 'nics': [{'network': 'lan', 'addresses': ['10.0.0.1/24']}]}",
		"t.json:2:49: node \"a\", NIC 0: \"addresses\" is for VMs whose guest is "
		"\"linux\" only: leave it out, or change the node's kind or guest" },
	{ "'a': {'kind': 'vm', 'nics': [{'network': 'lan', 'packed': true}]}",
		"t.json:2:49: node \"a\", NIC 0: \"packed\" is for VMs whose guest is \"linux\" "
		"or an image's file only: leave it out, or change the node's kind or guest" },
	{ "'a': {'kind': 'process', 'nics': [{'network': 'lan', 'packed': true}]}",
		"t.json:2:54: node \"a\", NIC 0: \"packed\" is for VMs whose guest is \"linux\" "
		"or an image's file only: leave it out, or change the node's kind or guest" },
	{ NICS("{'network': 'lan', 'ring': 'packed'}"),
		"t.json:2:67: node \"a\", NIC 0: \"ring\" is for nodes of kind process (a VM has "
		"\"packed\") only: leave it out, or change the node's kind or guest" },
	{ NICS("{'network': 'lan', 'packed': 'yes'}"),
		"t.json:2:77: node \"a\", NIC 0: \"packed\" must be true or false; found \"yes\"" },
	{ "'a': {'kind': 'external', 'cpu': {}, 'nics': [{'network': 'lan'}]}",
		"t.json:2:27: node \"a\": \"cpu\" is for VMs only: leave it out, or change the "
		"node's kind or guest" },
	{ LINUX("'kernel': ''"),
		"t.json:2:49: node \"a\": \"kernel\" is empty: name a file, or leave it out" },
	{ LINUX("'kernel': 3"),
		"t.json:2:49: node \"a\": \"kernel\" must be a path; found 3" },
	{ LINUX("'kernel': '/a\\tb'"),
		"t.json:2:49: node \"a\": a path may have no comma and no control character, "
		"which options of programs could not carry: rename it; found \"/a\\tb\"" },
	{ LINUX("'modules': true"),
		"t.json:2:50: node \"a\": \"modules\" must be a path; found true" },
	{ LINUX("'kernal': '/k'"),
		"t.json:2:39: node \"a\": unknown key \"kernal\"; did you mean \"kernel\"? "
		"(known: kind, guest, vcpus, memory, cpus, nics, kernel, modules, files, disks, "
		"shares, root, routes, forward, cmdline, cpu, hugepages)" },
	{ NODE("'guest': './x', 'initramfs': []"),
		"t.json:2:50: node \"a\": \"initramfs\" must be a path; found []" },
	{ LINUX("'cmdline': 3"),
		"t.json:2:50: node \"a\": \"cmdline\" must be a string such as \"quiet "
		"loglevel=3\"; found 3" },
	{ LINUX("'cmdline': 'a\\nb'"),
		"t.json:2:50: node \"a\": \"cmdline\" has a control character at its character 2" },
	{ LINUX("'memory': '64M'"),
		"t.json:2:49: node \"a\": a Linux guest needs 128M at least; found \"64M\"" },
	{ LINUX("'forward': 1"),
		"t.json:2:50: node \"a\": \"forward\" must be true or false; found 1" },
	{ LINUX("'root': 'hots'"),
		"t.json:2:47: node \"a\": unknown root \"hots\"; did you mean \"host\"? (known: "
		"none, host, disk)" },
	{ LINUX("'root': 'disk'"),
		"t.json:2:47: node \"a\": \"root\": \"disk\" is the node's first disk, and it "
		"has none: say \"disks\": [ { \"file\": .. } ], or another \"root\" (none, host)" },
	{ LINUX("'root': 'disk', 'disks': []"),
		"t.json:2:47: node \"a\": \"root\": \"disk\" is the node's first disk, and it "
		"has none: say \"disks\": [ { \"file\": .. } ], or another \"root\" (none, host)" },
	/* files */
	{ LINUX("'files': '/bin/ls'"),
		"t.json:2:48: node \"a\": \"files\" must be a list of files, such as [ "
		"\"/usr/bin/iperf3\" ]; found \"/bin/ls\"" },
	{ LINUX("'files': [3]"),
		"t.json:2:49: node \"a\": \"files\" must be paths such as \"/usr/bin/iperf3\", "
		"or { \"from\": \"./tool\", \"to\": \"/usr/bin/tool\" }; found 3" },
	{ LINUX("'files': ['ls']"),
		"t.json:2:49: node \"a\": where in the guest does \"ls\" go? Say { \"from\": "
		"\"ls\", \"to\": \"/PATH\" }" },
	{ LINUX("'files': ['/a/../b']"),
		"t.json:2:49: node \"a\": where in the guest does \"/a/../b\" go? Say { "
		"\"from\": \"/a/../b\", \"to\": \"/PATH\" }" },
	{ LINUX("'files': ['/']"),
		"t.json:2:49: node \"a\": where in the guest does \"/\" go? Say { \"from\": "
		"\"/\", \"to\": \"/PATH\" }" },
	{ LINUX("'files': [{'from': 'x'}]"),
		"t.json:2:49: node \"a\": \"to\" is missing" },
	{ LINUX("'files': [{'from': 'x', 'to': 'y'}]"),
		"t.json:2:69: node \"a\": \"to\" must be a file's absolute path in the guest, "
		"such as \"/usr/bin/tool\"; found \"y\"" },
	{ LINUX("'files': [{'from': 'x', 'to': '/y/'}]"),
		"t.json:2:69: node \"a\": \"to\" must be a file's absolute path in the guest, "
		"such as \"/usr/bin/tool\"; found \"/y/\"" },
	{ LINUX("'files': [{'from': 'x', 'to': '/y', 'mode': 1}]"),
		"t.json:2:75: node \"a\": unknown key \"mode\" (known: from, to)" },
	{ LINUX("'files': ['/bin/ls', {'from': 'x', 'to': '/bin/ls'}]"),
		"t.json:2:60: node \"a\": two files go to /bin/ls in the guest (the first in "
		"line 2)" },
	/* CPUs and memory */
	{ NODE("'cpu': []"),
		"t.json:2:28: node \"a\": \"cpu\" must be an object, { ... }; found []" },
	{ NODE("'cpu': {'without': 'cx16'}"),
		"t.json:2:40: node \"a\": \"without\" must be a list of CPU features, such as [ "
		"\"cx16\" ]; found \"cx16\"" },
	{ NODE("'cpu': {'without': ['CX16']}"),
		"t.json:2:41: node \"a\": a CPU feature is named as in /proc/cpuinfo, such as "
		"\"cx16\"; found \"CX16\"" },
	{ NODE("'cpu': {'without': [1]}"),
		"t.json:2:41: node \"a\": a CPU feature is named as in /proc/cpuinfo, such as "
		"\"cx16\"; found 1" },
	{ NODE("'cpu': {'without': ['cx16', 'cx16']}"),
		"t.json:2:49: node \"a\": CPU feature \"cx16\" is named twice" },
	{ NODE("'cpu': {'cores': 0}"),
		"t.json:2:38: node \"a\": \"cores\" must be 1 to 64; found 0" },
	{ NODE("'cpu': {'cores': 2}"),
		"t.json:2:28: node \"a\": 1 socket of 2 cores of 1 thread make 2 vCPUs, and "
		"\"vcpus\" is 1: make both the same" },
	{ NODE("'vcpus': 6, 'cpu': {'sockets': 2, 'cores': 2, 'threads': 2}"),
		"t.json:2:40: node \"a\": 2 sockets of 2 cores of 2 threads make 8 vCPUs, and "
		"\"vcpus\" is 6: make both the same" },
	{ NODE("'vcpus': 3, 'cpu': {'threads': 2}"),
		"t.json:2:40: node \"a\": 1 socket of 1 core of 2 threads make 2 vCPUs, and "
		"\"vcpus\" is 3: make both the same" },
	{ NODE("'cpu': {'dies': 1}"),
		"t.json:2:29: node \"a\": unknown key \"dies\" (known: without, sockets, cores, "
		"threads)" },
	{ NODE("'hugepages': '4M'"),
		"t.json:2:34: node \"a\": unknown hugepages \"4M\"; did you mean \"2M\"? (known: "
		"auto, 2M, 1G, none)" },
	{ NODE("'hugepages': true"),
		"t.json:2:34: node \"a\": \"hugepages\" must be a string; found true" },
	{ NODE("'hugepages': '1G'"),
		"t.json:2:34: node \"a\": with pages of 1G, \"memory\" must be a multiple of 1G; "
		"it is 64M" },
	/* disks */
	{ LINUX("'disks': {}"),
		"t.json:2:48: node \"a\": \"disks\" must be a list of disks, [ { \"file\": "
		"\"disk.img\" } ]; found {}" },
	{ LINUX("'disks': [{}]"),
		"t.json:2:49: node \"a\", disk 0: \"file\" is missing" },
	{ LINUX("'disks': [{'file': ''}]"),
		"t.json:2:58: node \"a\", disk 0: \"file\" is empty: name a file, or leave it out" },
	{ LINUX("'disks': [{'file': 'a,b'}]"),
		"t.json:2:58: node \"a\", disk 0: a path may have no comma and no control "
		"character, which options of programs could not carry: rename it; found \"a,b\"" },
	{ LINUX("'disks': [{'file': 'a', 'format': 'qcow'}]"),
		"t.json:2:73: node \"a\", disk 0: unknown format \"qcow\"; did you mean "
		"\"qcow2\"? (known: raw, qcow2, vmdk, vhd)" },
	{ LINUX("'disks': [{'file': 'a', 'readonly': 1}]"),
		"t.json:2:75: node \"a\", disk 0: \"readonly\" must be true or false; found 1" },
	{ LINUX("'disks': [{'file': 'a', 'serial': 1}]"),
		"t.json:2:73: node \"a\", disk 0: \"serial\" must be a string; found 1" },
	{ LINUX("'disks': [{'file': 'a', 'serial': 'a b'}]"),
		"t.json:2:73: node \"a\", disk 0: a disk's serial number has 1 to 20 letters, "
		"digits, and _ - .; found \"a b\"" },
	{ LINUX("'disks': [{'file': 'a', 'serial': '123456789012345678901'}]"),
		"t.json:2:73: node \"a\", disk 0: a disk's serial number has 1 to 20 letters, "
		"digits, and _ - .; found \"123456789012345678901\"" },
	{ LINUX("'disks': [{'file': 'a', 'queues': 17}]"),
		"t.json:2:73: node \"a\", disk 0: \"queues\" must be 1 to 16 queues; found 17" },
	{ LINUX("'disks': [{'file': 'a', 'cache': 'none'}]"),
		"t.json:2:63: node \"a\", disk 0: unknown key \"cache\" (known: file, format, "
		"readonly, serial, queues)" },
	{ LINUX("'disks': [{'file': 'a'}, {'file': 'a'}]"),
		"t.json:2:64: node \"a\": a is a disk of node \"a\" already (line 2): what two "
		"disks share must be \"readonly\" in both" },
	{ LINUX("'disks': [{'file': 'a', 'readonly': true}, {'file': 'a'}]"),
		"t.json:2:82: node \"a\": a is a disk of node \"a\" already (line 2): what two "
		"disks share must be \"readonly\" in both" },
	{ LINUX("'disks': [{'file': 'a', 'serial': 'x'}, {'file': 'b', 'serial': 'x'}]"),
		"t.json:2:103: node \"a\", disk 1: serial number \"x\" is disk 0's already (line "
		"2)" },
	{ LINUX("'disks': [{'file': 'a', 'format': 'qcow2', 'serial': 'x'}]"),
		"t.json:2:92: node \"a\", disk 0: only raw disks have a serial number: "
		"qemu-storage-daemon, which serves \"format\": \"qcow2\", tells none" },
	{ LINUX("'root': 'disk', 'disks': [{'file': 'a'}], 'files': ['/bin/ls']"),
		"t.json:2:47: node \"a\": with \"root\": \"disk\" there is no place for "
		"\"files\" (the first in line 2): put them on the disk" },
	{ LINUX("'disks': [{},{},{},{},{},{},{},{},{}]"),
		"t.json:2:48: node \"a\": a node has at most 8 disks; found 9" },
	/* shares */
	{ LINUX("'shares': {}"),
		"t.json:2:49: node \"a\": \"shares\" must be a list of shared folders, [ { "
		"\"path\": \"/srv\", \"tag\": \"srv\" } ]; found {}" },
	{ LINUX("'shares': [{'tag': 'x'}]"),
		"t.json:2:50: node \"a\", share 0: \"path\" is missing" },
	{ LINUX("'shares': [{'path': '/x'}]"),
		"t.json:2:50: node \"a\", share 0: \"tag\" is missing" },
	{ LINUX("'shares': [{'path': '/x', 'tag': ''}]"),
		"t.json:2:72: node \"a\", share 0: a share's tag has 1 to 35 letters, digits, "
		"and _ - . (not as the first); found \"\"" },
	{ LINUX("'shares': [{'path': '/x', 'tag': 'a b'}]"),
		"t.json:2:72: node \"a\", share 0: a share's tag has 1 to 35 letters, digits, "
		"and _ - . (not as the first); found \"a b\"" },
	{ LINUX("'shares': [{'path': '/x', 'tag': 3}]"),
		"t.json:2:72: node \"a\", share 0: \"tag\" must be a string; found 3" },
	{ LINUX("'shares': [{'path': '/x', 'tag': 'root'}]"),
		"t.json:2:72: node \"a\", share 0: the tag \"root\" is that of the guest's own "
		"root: choose another" },
	{ LINUX("'shares': [{'path': '/x', 'tag': '123456789012345678901234567890123456'}]"),
		"t.json:2:72: node \"a\", share 0: a share's tag has 1 to 35 letters, digits, "
		"and _ - . (not as the first); found \"123456789012345678901234567890123456\"" },
	{ LINUX("'shares': [{'path': '/x', 'tag': 't'}, {'path': '/y', 'tag': 't'}]"),
		"t.json:2:100: node \"a\", share 1: the tag \"t\" is share 0's already (line 2)" },
	{ LINUX("'shares': [{'path': '/x', 'tag': 't', 'readonly': 'no'}]"),
		"t.json:2:89: node \"a\", share 0: \"readonly\" must be true or false; found "
		"\"no\"" },
	/* addresses */
	{ NICS("{'network': 'lan', 'addresses': '10.0.0.1/24'}"),
		"t.json:2:80: node \"a\", NIC 0: \"addresses\" must be a list of addresses, such "
		"as [ \"10.0.0.1/24\" ]; found \"10.0.0.1/24\"" },
	{ ADDR("3"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found 3" },
	{ ADDR("'10.0.0.1'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"10.0.0.1\"" },
	{ ADDR("'10.0.0/24'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"10.0.0/24\"" },
	{ ADDR("'10.0.0.1/33'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"10.0.0.1/33\"" },
	{ ADDR("'10.0.0.1/x'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"10.0.0.1/x\"" },
	{ ADDR("'10.0.0.1/'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"10.0.0.1/\"" },
	{ ADDR("'10.0.0.256/24'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"10.0.0.256/24\"" },
	{ ADDR("'fd00::1/129'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"fd00::1/129\"" },
	{ ADDR("'fd00::g/64'"),
		"t.json:2:81: node \"a\", NIC 0: an address has the length of its network's "
		"prefix, such as \"10.0.0.1/24\" or \"fd00::1/64\"; found \"fd00::g/64\"" },
	{ ADDR("'10.0.0.1/0'"),
		"t.json:2:81: node \"a\", NIC 0: a prefix of 0 bits is no network; found "
		"\"10.0.0.1/0\"" },
	{ ADDR("'10.0.0.0/24'"),
		"t.json:2:81: node \"a\", NIC 0: \"10.0.0.0/24\" is the first address of its "
		"network, and no station's" },
	{ ADDR("'10.0.0.255/24'"),
		"t.json:2:81: node \"a\", NIC 0: \"10.0.0.255/24\" is the broadcast address of "
		"its network, and no station's" },
	{ ADDR("'127.0.0.1/8'"),
		"t.json:2:81: node \"a\", NIC 0: a NIC's address must be a unicast one, and "
		"neither loopback nor all zeros; found \"127.0.0.1/8\"" },
	{ ADDR("'224.0.0.1/24'"),
		"t.json:2:81: node \"a\", NIC 0: a NIC's address must be a unicast one, and "
		"neither loopback nor all zeros; found \"224.0.0.1/24\"" },
	{ ADDR("'ff02::1/64'"),
		"t.json:2:81: node \"a\", NIC 0: a NIC's address must be a unicast one, and "
		"neither loopback nor all zeros; found \"ff02::1/64\"" },
	{ ADDR("'::1/64'"),
		"t.json:2:81: node \"a\", NIC 0: a NIC's address must be a unicast one, and "
		"neither loopback nor all zeros; found \"::1/64\"" },
	{ ADDR("'0.0.0.0/8'"),
		"t.json:2:81: node \"a\", NIC 0: a NIC's address must be a unicast one, and "
		"neither loopback nor all zeros; found \"0.0.0.0/8\"" },
	{ ADDR("'10.0.0.1/24', '10.0.0.1/16'"),
		"t.json:2:96: node \"a\", NIC 0: address 10.0.0.1/16 is a.0's already in network "
		"\"lan\" (line 2)" },
	{ NICS("{'network': 'lan', 'addresses': ['fd00::1/64']}, {'network': 'lan', "
		"'addresses': ['fd00:0::1/64']}"),
		"t.json:2:130: node \"a\", NIC 1: address fd00::1/64 is a.0's already in network "
		"\"lan\" (line 2)" },
	/* routes */
	{ LINUX("'routes': {}"),
		"t.json:2:49: node \"a\": \"routes\" must be a list of routes, [ { \"to\": "
		"\"default\", \"via\": \"10.0.0.254\" } ]; found {}" },
	{ ROUTE("{'to': 'default'}"),
		"t.json:2:124: node \"a\", route 0: \"via\" is missing" },
	{ ROUTE("{'via': '10.0.0.2'}"),
		"t.json:2:124: node \"a\", route 0: \"to\" is missing" },
	{ ROUTE("{'to': 'all', 'via': '10.0.0.2'}"),
		"t.json:2:131: node \"a\", route 0: a route leads to \"default\", or to a "
		"network such as \"10.1.0.0/16\"; found \"all\"" },
	{ ROUTE("{'to': '10.1.0.0', 'via': '10.0.0.2'}"),
		"t.json:2:131: node \"a\", route 0: a route leads to \"default\", or to a "
		"network such as \"10.1.0.0/16\"; found \"10.1.0.0\"" },
	{ ROUTE("{'to': '10.1.2.3/16', 'via': '10.0.0.2'}"),
		"t.json:2:131: node \"a\", route 0: \"10.1.2.3/16\" has bits behind its prefix: "
		"the network is \"10.1.0.0/16\"" },
	{ ROUTE("{'to': 'fd01::1/60', 'via': 'fd00::2'}"),
		"t.json:2:131: node \"a\", route 0: \"fd01::1/60\" has bits behind its prefix: "
		"the network is \"fd01::/60\"" },
	{ ROUTE("{'to': 'default', 'via': '10.0.0.2/24'}"),
		"t.json:2:149: node \"a\", route 0: \"via\" is a neighbour's address without a "
		"prefix, such as \"10.0.0.254\"; found \"10.0.0.2/24\"" },
	{ ROUTE("{'to': 'default', 'via': 'gw'}"),
		"t.json:2:149: node \"a\", route 0: \"via\" is a neighbour's address without a "
		"prefix, such as \"10.0.0.254\"; found \"gw\"" },
	{ ROUTE("{'to': 'default', 'via': '224.0.0.1'}"),
		"t.json:2:149: node \"a\", route 0: \"via\" is a neighbour's address without a "
		"prefix, such as \"10.0.0.254\"; found \"224.0.0.1\"" },
	{ ROUTE("{'to': '10.1.0.0/16', 'via': 'fd00::2'}"),
		"t.json:2:153: node \"a\", route 0: a route to 10.1.0.0/16 can't go by fd00::2: "
		"that is of the other IP version" },
	{ ROUTE("{'to': 'default', 'via': '10.0.1.2'}"),
		"t.json:2:149: node \"a\", route 0: 10.0.1.2 can't be reached: it is in the "
		"network of none of the \"addresses\" of this node's NICs" },
	{ ROUTE("{'to': 'default', 'via': '10.0.0.1'}"),
		"t.json:2:149: node \"a\", route 0: 10.0.0.1 is an address of this node itself: "
		"a route goes by another's" },
	{ ROUTE("{'to': 'default', 'via': 'fd01::2'}"),
		"t.json:2:149: node \"a\", route 0: fd01::2 can't be reached: it is in the "
		"network of none of the \"addresses\" of this node's NICs" },
	{ LINUX("'routes': [{'to': 'default', 'via': '10.0.0.2'}]"),
		"t.json:2:75: node \"a\", route 0: 10.0.0.2 can't be reached: it is in the "
		"network of none of the \"addresses\" of this node's NICs" },
	{ ROUTE("{'to': 'default', 'via': '10.0.0.2'}, {'to': 'default', 'via': '10.0.0.3'}"),
		"t.json:2:162: node \"a\", route 1: there are two routes to default (the first "
		"in line 2)" },
	{ ROUTE("{'to': '10.1.0.0/16', 'via': '10.0.0.2'}, {'to': '10.1.0.0/16', 'via': "
		"'10.0.0.3'}"),
		"t.json:2:166: node \"a\", route 1: there are two routes to 10.1.0.0/16 (the "
		"first in line 2)" },
	{ ROUTE("{'to': 'default', 'via': '10.0.0.2', 'metric': 1}"),
		"t.json:2:161: node \"a\", route 0: unknown key \"metric\" (known: to, via)" },
	/* TCP */
	{ TCP("'root': 'none'", "'addresses': ['10.0.0.2/24']", TCP_AB),
		"t.json:2:383: traffic \"n\": node \"b\" has no iperf3, by which TCP is "
		"measured: add \"/usr/bin/iperf3\" to its \"files\" (package iperf3), or give "
		"it \"root\": \"host\"" },
	{ TCP("'root': 'host'", "'queues': 1", TCP_AB),
		"t.json:2:366: traffic \"n\": b.0 has no IP address, which TCP needs: give "
		"the NIC \"addresses\"" },
	{ TCP("'root': 'host'", "'addresses': ['10.9.0.2/24']", TCP_AB),
		"t.json:2:383: traffic \"n\": a.0 has no address in whose network one of b.0 "
		"is: no packet would go by this path" },
	{ TCP("'root': 'host'", "'addresses': ['fd00::8/64']", TCP_AB),
		"t.json:2:382: traffic \"n\": node \"a\" has another NIC in the network of "
		"b.0 (fd00::8/64): which one its kernel sends by is not sure; give each path "
		"an IP network of its own" },
	{ TCP("'root': 'host'", "'addresses': ['10.0.0.2/24'], 'vlan': 5", TCP_AB),
		"t.json:2:369: traffic \"n\": nothing of this gets from a.0 to b.0: untagged "
		"frames are in no VLAN at the sender and in VLAN 5 at the receiver" },
	{ TCP("'root': 'host'", "'addresses': ['10.0.0.2/24']",
		  "'from': ['a.0', 'b.0'], 'to': ['a.0', 'b.0']"),
		"t.json:2:401: traffic \"n\": TCP is measured from one NIC to another, one "
		"flow; these ends make 2: name one of each" },
