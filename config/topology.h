/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The topology model: what a topology file (docs/topology.md) says, typed and validated.
 *
 *	file -> topology_load (decode: shapes, units, unknown keys; then validate: names that must
 *	exist, uniqueness, sizes against MTUs) -> struct topology -> lab/ makes a plan of it.
 *
 * Every error has a place, "FILE:LINE:COL: ...", and class ERR_REQUEST. The model owns all its
 * strings. Nothing here looks at the host: what depends on it (memory, CPUs, the guest's file) is
 * checked by lab/ with the places kept here.
 */
#ifndef LANYARD_CONFIG_TOPOLOGY_H
#define LANYARD_CONFIG_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ether.h"
#include "base/units.h"

#define TOPO_NAME_MAX       32 /* bytes of a lab's, network's, node's name, NUL not counted */
#define TOPO_NICS_MAX       16 /* per node */
#define TOPO_QUEUES_MAX     16 /* queue pairs per NIC */
#define TOPO_VCPUS_MAX      64
#define TOPO_CPUS_MAX       1024
#define TOPO_FRAME_MIN      64   /* bytes with FCS */
#define TOPO_FRAME_MAX      9234 /* MTU 9216 + 14 + 4 */
#define TOPO_MTU_MIN        68
#define TOPO_MTU_MAX        9216
#define TOPO_SIZES_MAX      16 /* frame sizes per traffic entry */
#define TOPO_FRAME_IMIX     1  /* instead of a size: frames of 64, 594 and 1518 bytes as 7:4:1 */
#define TOPO_IMIX_LONGEST   1518
#define TOPO_L4_FLOWS_MAX   16384
#define TOPO_LOSSES_MAX     4 /* of a search */
#define TOPO_LATENCY_AT_MAX 8
#define TOPO_STREAMS_MAX    128 /* iperf3's */
#define TOPO_SECONDS_MAX    3600
#define TOPO_NODE_FLOWS_MAX 32 /* of one trial, sent and received, that a guest's agent takes */
#define TOPO_ENDS_MAX       64 /* of a traffic entry or path, each way */
#define TOPO_PATHS_MAX      16
#define TOPO_WHAT_MAX       64         /* bytes that say what a path is */
#define TOPO_ITEMS_MAX      256        /* networks; nodes; traffic entries */
#define TOPO_FILE_MAX       (1u << 20) /* bytes */
#define TOPO_VLAN_MAX       4094
#define TOPO_STATIC_MAX     1024 /* addresses given for one port */
#define TOPO_IPS_MAX        64   /* that anti-spoofing lets one port use, of each version */
#define TOPO_MAC_LIMIT_MAX  (1u << 20)
#define TOPO_MIRROR_MAX     64   /* ports that one listens to */
#define TOPO_POLICE_MIN     8000 /* bits a second */
#define TOPO_BURST_MIN      TOPO_FRAME_MAX
#define TOPO_BURST_MAX      (1ull << 30)
#define TOPO_IFNAME_MAX     15 /* bytes, of the kernel's IFNAMSIZ */
#define TOPO_VDEV_NAME_MAX  63 /* bytes, of DPDK's RTE_DEV_NAME_MAX_LEN */
#define TOPO_VDEV_MAX       255
#define TOPO_DISKS_MAX      8 /* per node */
#define TOPO_SHARES_MAX     8
#define TOPO_FILES_MAX      256 /* named for one node's initramfs */
#define TOPO_ADDRESSES_MAX  16  /* per NIC */
#define TOPO_ROUTES_MAX     64  /* per node */
#define TOPO_WITHOUT_MAX    64  /* CPU features that one node goes without */
#define TOPO_TAG_MAX        35  /* bytes of a share's tag: virtio's 36 with the NUL of ours */
#define TOPO_SERIAL_MAX     20  /* bytes of a disk's serial number, virtio's */
#define TOPO_CMDLINE_MAX    1024
#define TOPO_PATH_MAX       512

struct pfs;
struct vf_want;

struct topo_place {
	int line, col; /* from 1; 0: not in the file (a default) */
};

/* A list of CPUs, or automatic (n == 0). Sorted, unique. */
struct topo_cpus {
	size_t n;
	int *cpu;
	struct topo_place place;
};

enum topo_poll { TOPO_POLL_ADAPTIVE, TOPO_POLL_BUSY };

struct topo_switch {
	struct topo_cpus cpus; /* of workers: one worker each; automatic: lab/ decides */
	enum topo_poll poll;
	struct topo_place place;
};

/* Who moves its frames: our switch, or a bridge of the host's kernel, with taps. */
enum topo_network_kind { TOPO_NET_SWITCH, TOPO_NET_BRIDGE };

struct topo_network {
	char *name;
	int kind;          /* enum topo_network_kind */
	uint32_t mtu;      /* 1500 unless given */
	uint32_t ageing_s; /* of learnt addresses; 300 unless given */
	struct topo_place place;
};

/* Which VLANs a port carries. ALL: any, tagged, and untagged frames in none (VLAN 0). */
enum topo_vlan_mode { TOPO_VLAN_ALL, TOPO_VLAN_ACCESS, TOPO_VLAN_TRUNK };

struct topo_vlan {
	enum topo_vlan_mode mode;
	uint16_t untagged; /* that untagged frames are in: access or native VLAN; 0: none */
	uint64_t has[64];  /* TRUNK: bit v % 64 of word v / 64 */
	struct topo_place place;
};

struct topo_static {
	struct ether_mac mac;
	uint16_t vlan; /* 0: not given */
	struct topo_place place;
};

enum topo_storm { TOPO_STORM_BROADCAST, TOPO_STORM_MULTICAST, TOPO_STORM_UNKNOWN, TOPO_STORM_N };
enum topo_direction { TOPO_DIR_RX, TOPO_DIR_TX, TOPO_DIR_BOTH }; /* RX: into the switch */
enum topo_offload { TOPO_CSUM = 1, TOPO_TSO4 = 2, TOPO_TSO6 = 4 };

/* What the listening port gets a copy of. */
struct topo_mirror {
	size_t n; /* 0: this is no listening port */
	struct topo_mirror_from {
		char *port; /* "a.0", or a host port's name */
		struct topo_place place;
	} * from;
	enum topo_direction direction;
};

/* What the switch does with the frames of a port, beyond forwarding. All zeros: nothing. */
struct topo_policy {
	struct topo_vlan vlan;
	bool isolated;
	int admin; /* 0 up, 1 down */
	bool mac_limited;
	uint32_t mac_limit; /* if mac_limited */
	size_t n_statics;
	struct topo_static *statics;
	bool anti_spoof;       /* the NIC's own MAC, and if there are any these: */
	size_t n_ipv4, n_ipv6; /* as inet_ntop writes them */
	char **ipv4, **ipv6;
	bool router; /* anti-spoofing lets it say that it is one */
	uint64_t storm_pps[TOPO_STORM_N];
	uint64_t police_bps, police_burst; /* bytes; 0: none, the switch's default */
	struct topo_mirror mirror;
	bool offloads_given;
	unsigned offloads; /* of enum topo_offload */
	struct topo_place spoof_place, offloads_place;
};

enum topo_node_kind { TOPO_VM, TOPO_PROCESS, TOPO_EXTERNAL };

/* What runs in a VM: our probe, a kernel with our initramfs, or a file of the user's. */
enum topo_guest { TOPO_GUEST_PROBE, TOPO_GUEST_LINUX, TOPO_GUEST_FILE };
enum topo_root { TOPO_ROOT_NONE, TOPO_ROOT_HOST, TOPO_ROOT_DISK }; /* of a Linux guest */
enum topo_huge { TOPO_HUGE_AUTO, TOPO_HUGE_2M, TOPO_HUGE_1G, TOPO_HUGE_NONE };
enum topo_format { TOPO_RAW, TOPO_QCOW2, TOPO_VMDK, TOPO_VHD };

/* An address with the length of its network's prefix; addr: 4 or 16 bytes, network order. */
struct topo_address {
	int family; /* AF_INET, AF_INET6 */
	uint8_t addr[16];
	unsigned prefix;
	char *text; /* "10.0.0.1/24" as inet_ntop writes it */
	struct topo_place place;
};

struct topo_route {
	bool all; /* "default" */
	struct topo_address to, via;
	struct topo_place place;
};

/* A file of the host's that a Linux guest's initramfs gets. */
struct topo_file {
	char *from; /* as given: relative to the topology file */
	char *to;   /* absolute */
	struct topo_place place;
};

struct topo_disk {
	char *file; /* as given */
	enum topo_format format;
	bool readonly;
	char *serial; /* or NULL */
	uint32_t queues;
	struct topo_place place;
};

struct topo_share {
	char *path, *tag; /* path as given */
	bool readonly;
	struct topo_place place;
};

/* What the guest's CPUs are like: all zeros, as the host's. */
struct topo_cpu {
	size_t n_without;
	char **without;                   /* features as /proc/cpuinfo names them */
	uint32_t sockets, cores, threads; /* their product is vcpus; 0: not given */
	struct topo_place place;
};

/* The VF that a NIC or a port is. What is wanted of it is in `pfs` too, by its index. */
struct topo_vf {
	struct vf_want *want; /* config/pfs.h; NULL: it is no VF */
	size_t pf;            /* index in pfs */
	uint32_t index;       /* given, or the lowest that is free */
	bool index_given;
	struct topo_place place, index_place;
};

#define TOPO_NO_NETWORK SIZE_MAX

struct topo_nic {
	struct topo_vf vf;    /* of a VF only mac and addresses hold besides */
	size_t network;       /* index in networks; a VF: TOPO_NO_NETWORK */
	struct ether_mac mac; /* given, or made from lab, node and NIC index: 02:... */
	bool mac_given;
	uint32_t queues; /* queue pairs offered; 1 unless given */
	bool mergeable;  /* receive buffers may be merged; true unless given */
	int packed;      /* its rings are 0 split, 1 packed (VM: if its guest can) */
	size_t n_addresses;
	struct topo_address *addresses; /* Linux guests */
	struct topo_policy policy;
	struct topo_place place, mac_place;
};

/* A port of the switch that is no node's. X(id, key, what it is) */
#define TOPO_PORT_KINDS(X)             \
	X(TAP, "tap", "interface")     \
	X(PCI, "pci", "PCI device")    \
	X(VDEV, "vdev", "DPDK device") \
	X(VF, "vf", "VF of")           \
	X(PF, "pf", "PF")

enum topo_port_kind {
#define X(id, key, what) TOPO_PORT_##id,
	TOPO_PORT_KINDS(X)
#undef X
		TOPO_PORT_KINDS_N,
};

struct topo_port {
	char *name;
	size_t network;
	enum topo_port_kind kind;
	/* Of the tap in the kernel; "0000:03:00.0"; "net_tap0,iface=lab0"; the PF's name in `pfs`. */
	char *device;
	struct topo_vf vf;    /* VF; PF: vf.pf */
	struct ether_mac mac; /* VF: given, or made of lab and port */
	bool mac_given;
	uint32_t queues;
	struct topo_policy policy;
	struct topo_place place, device_place, mac_place;
};

/* "tap", "pci", "vdev", "vf", "pf". */
extern const char *const topo_port_kind_names[TOPO_PORT_KINDS_N];

struct topo_node {
	char *name;
	enum topo_node_kind kind;
	enum topo_guest guest_kind; /* VM */
	char *guest; /* VM: "probe", "linux", or the path of an ELF with a PVH note or of a bzImage,
		      * relative to the file */
	char *kernel, *modules; /* linux: as given, or NULL; modules may be "none" */
	char *initramfs;        /* of a guest of the user's; or NULL */
	char *cmdline;          /* or NULL */
	enum topo_root root;
	bool forward; /* linux: packets pass from one NIC to another */
	size_t n_files, n_disks, n_shares, n_routes;
	struct topo_file *files;
	struct topo_disk *disks;
	struct topo_share *shares;
	struct topo_route *routes;
	struct topo_cpu cpu;
	enum topo_huge hugepages;
	uint32_t vcpus;  /* process: 1 */
	uint64_t memory; /* VM, process: bytes, a multiple of 2 MiB */
	struct topo_cpus cpus;
	size_t n_nics;
	struct topo_nic *nics;
	struct topo_place place, guest_place, memory_place, vcpus_place, kernel_place,
		modules_place, initramfs_place, root_place, huge_place;
};

struct topo_end {
	size_t node, nic; /* indexes */
};

/* One direction: "both_ways" makes two, "all_pairs" of n ends n * (n - 1). */
struct topo_flow {
	struct topo_end from, to;
};

/* What traffic may be run over instead of naming its ends, to be compared with others. */
struct topo_path {
	char *name;
	char *what; /* for people; or NULL */
	size_t n_from, n_to;
	struct topo_end *from, *to;
	struct topo_place place, to_place;
};

#define TOPO_NO_PATH SIZE_MAX

/* TCP by iperf3 in Linux guests. */
struct topo_tcp {
	uint32_t streams; /* connections at once; 0: not TCP */
	struct topo_place place;
};

/* How a rate is searched for, and what is measured at the rate found. A rate whose value is 0 is
 * not given. */
enum topo_search { TOPO_SEARCH_VERIFIED, TOPO_SEARCH_BINARY };

struct topo_method {
	int search; /* enum topo_search */
	size_t n_losses;
	double loss[TOPO_LOSSES_MAX]; /* ratios that still pass, ascending */
	struct rate min, max, start;  /* of each flow */
	double resolution;            /* part of the rate */
	uint32_t verify;              /* repeats of a trial that failed */
	size_t n_latency_at;
	double latency_at[TOPO_LATENCY_AT_MAX]; /* percent of the rate found, ascending */
	bool back_to_back, recovery;
	struct topo_tcp tcp; /* instead of all that */
	struct topo_place place;
};

/* m: NULL if the entry has none. */
static inline bool topology_method_is_tcp(const struct topo_method *m)
{
	return m && m->tcp.streams;
}

struct topo_traffic {
	char *name;       /* of an entry that names paths: "ENTRY, PATH", and its own: */
	char *entry_name; /* or NULL */
	size_t path;      /* index in paths; TOPO_NO_PATH */
	size_t entry;     /* of the file's list: of several paths they have one */
	size_t n_flows;   /* they run at once */
	struct topo_flow *flows;
	size_t n_sizes;
	uint32_t size[TOPO_SIZES_MAX]; /* bytes with FCS, or TOPO_FRAME_IMIX; one trial each */
	uint32_t l4_flows;             /* UDP source ports of each flow */
	struct rate rate;              /* of each flow */
	struct topo_method *method;    /* the rate is searched for; or NULL */
	double seconds;                /* of a trial */
	double max_loss;               /* lost / sent that is still a pass; < 0: nothing demanded */
	char *group;                   /* entries of one group run at once; NULL: on its own */
	uint32_t group_id;             /* 1, 2, ... in the order of the file; 0: none */
	struct topo_place place;
};

struct topology {
	char *file; /* as given */
	char *lab;
	struct topo_switch sw;
	size_t n_networks, n_nodes, n_ports, n_paths, n_traffic;
	struct topo_network *networks;
	struct pfs *pfs; /* config/pfs.h: with all that NICs and ports want of VFs */
	struct topo_node *nodes;
	struct topo_port *ports;
	struct topo_path *paths;
	struct topo_traffic *traffic;
};

/* file: shown in messages. Returns 0 and a model to be freed, or -errno. */
int topology_load(const char *file, struct topology **out, struct err *e);
int topology_parse(
	const char *file, const char *text, size_t len, struct topology **out, struct err *e);
void topology_free(struct topology *t);

/*
 * "FILE:LINE:COL: sentence" (no place: "FILE: sentence") for what is found wrong with the topology
 * after it was loaded, such as more memory than the host has. Returns code.
 */
int topology_error(const struct topology *t, struct topo_place place, enum err_class class,
	int code, struct err *e, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Whether any network is the switch's: else the lab has none. */
bool topology_has_switch(const struct topology *t);
bool topology_has_bridge(const struct topology *t);

/* Whether the NIC is on a network that is a bridge. */
bool topology_nic_is_tap(const struct topology *t, const struct topo_nic *nic);

/* Why no untagged frame gets from one port to the other whatever else happens, as a sentence to
 * out, or NULL. */
const char *topology_apart(
	const struct topo_policy *from, const struct topo_policy *to, char *out, size_t size);

/* Who has VF `index` of a PF: "NODE.INDEX" or a port's name, to out[TOPO_NAME_MAX + 12]; NULL:
 * nobody. */
const struct topo_vf *topology_vf_user(
	const struct topology *t, size_t pf, uint32_t index, char *out);

/* Addresses by which the flow's ends, NICs of Linux guests, are neighbours: the first in the order
 * of the file. */
bool topology_neighbours(const struct topology *t, const struct topo_flow *f,
	const struct topo_address **from, const struct topo_address **to);

/* The name of a NIC's port: "NODE.INDEX", to out[TOPO_NAME_MAX + 12]; returns out. */
char *topology_port_name(const struct topology *t, size_t node, size_t nic, char *out);

#endif
