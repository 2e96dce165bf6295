/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a lab: a list of typed steps that bring it up in this order, and are undone in the
 * opposite one. plan_make is pure: topology, host and paths in, steps out; `lanyard plan` prints
 * them without root. lab/carry.h carries them out; with each step's state and result the very
 * same struct is the lab's record (lab/record.h).
 */
#ifndef LANYARD_LAB_PLAN_H
#define LANYARD_LAB_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/proc.h"
#include "config/topology.h"
#include "lab/host.h"
#include "lab/paths.h"
#include "lab/place.h"
#include "lab/strs.h"

/*      kind       name in the record */
#define STEP_KINDS(X)                                                                              \
	X(FOLDER, "folder")       /* the run folder, 0700, with its lock */                        \
	X(HUGEPAGES, "hugepages") /* as many as guests and switch need */                          \
	X(PF, "pf")               /* its VFs made, configured, handed over (lab/vf.h) */           \
	X(SWITCH, "switch")       /* the process, until it answers */                              \
	X(NETWORK, "network")                                                                      \
	X(PORT, "port")                                                                            \
	X(BRIDGE, "bridge")       /* of the host's kernel: a network of that kind */               \
	X(TAP, "tap")             /* in it, for a VM's NIC */                                      \
	X(PROCESS, "process")     /* a node of kind process; else as a VM */                       \
	X(IMAGE, "image")         /* a Linux guest's initramfs: a file */                          \
	X(DISKS, "disks")         /* qemu-storage-daemon for a VM's disks that aren't raw */       \
	X(SHARE, "share")         /* virtiofsd for one folder that a VM is shown */                \
	X(CONFIGURE, "configure") /* of what is there: only while `up` changes a lab */            \
	X(VM, "vm")               /* the process only: all are started before any is waited for */ \
	X(GUEST, "guest")         /* until its agent answers, or if it has none the VMM does */    \
	X(LINKS, "links")         /* until all links are up */

enum step_kind {
#define X(name, text) STEP_##name,
	STEP_KINDS(X)
#undef X
		STEP_KIND_N
};

enum step_state {
	STEP_PLANNED, /* nothing of it exists */
	STEP_BEGUN,   /* some of it may exist: written to the record before it is tried */
	STEP_DONE,
};

/* Which fields a kind uses: the comment says. Strings are owned, NULL where unused. */
struct step {
	enum step_kind kind;
	enum step_state state;
	char *name; /* network, bridge; port, tap: "a.0"; image, disks, vm, guest: node; share: "a.fs0" */
	char *network;     /* port, tap; share: the folder */
	char *mac;         /* port, tap; NULL: a host port */
	char *socket;      /* switch, vm: control; port, share: vhost-user; guest: agent, NULL if
	                    * none; disks: the file that says that it is ready */
	char *leads_to;    /* port: "tap", "pci", "vdev" of a host port; NULL: vhost-user */
	char *device;      /* port: which one of that kind; pf: as the topology names it;
	                    * bridge, tap: the interface */
	json_t *policy;    /* port: the policy keys of port_add; NULL: none; configure: request;
	                    * image: what it is made of; pf: what is wanted */
	json_t *back;      /* configure: the request that undoes it; pf: what was wanted before */
	char *log;         /* switch, vm, disks, share */
	char *path;        /* folder: its path; hugepages: the file that was changed (result);
	                    * image: the file; share: the folder's read-only twin, or NULL;
	                    * pf: its PCI address (result) */
	struct strs args;  /* switch, vm, disks, share: argv; links: ports that must come up */
	uint64_t mtu;      /* network, bridge, tap */
	uint64_t ageing_s; /* network, bridge */
	uint64_t queues;   /* port, tap: queue pairs */
	uint64_t pages;    /* hugepages: how many must be free; pf: bytes that a guest locks */
	bool external;     /* port: the client is not ours */
	bool unmergeable;  /* port: MRG_RXBUF is not offered */
	bool slow;         /* guest: it boots for seconds */
	/* results */
	uint64_t pages_raised; /* hugepages: by how many the host's number was raised */
	struct proc_id proc;   /* switch, vm; pid 0: not started */
	/* while carried out; not in the record */
	int pidfd;   /* of proc; -1 */
	bool fresh;  /* begun by this very run, so rolled back by it */
	bool bare;   /* port: made shut and with no policy, which `configure` brings */
	json_t *was; /* port: the policy before this run; NULL: none */
};

struct plan {
	char lab[TOPO_NAME_MAX + 1];
	char file[LAB_PATH_MAX]; /* the topology's, absolute */
	char dir[LAB_PATH_MAX];
	uint64_t up_since_s; /* CLOCK_REALTIME; 0 until all steps were done once */
	size_t n_steps;
	struct step *steps;
	struct placement place;
	struct strs warnings;
};

/* "vhost", "tap", "pci" or "vdev": what kind of port the step makes. */
const char *step_port_kind(const struct step *s);

/* In a step's args, replaced by the switch's tsc_hz when the VM is started. */
#define PLAN_TSC_HZ "@TSC_HZ@"

/* Host checks are not made here (lab/check.h), but that CPUs named exist is. The plan is to be
 * cleared with plan_clear, on failure too. */
int plan_make(const struct topology *t, const struct host *h, const struct paths *paths,
	struct plan *p, struct err *e);
void plan_clear(struct plan *p);

/* The same for a lab that is up: who runs (by the names of keep, may be NULL) stays on its CPU. */
int plan_make_beside(const struct topology *t, const struct host *h, const struct paths *paths,
	const struct placement *keep, struct plan *p, struct err *e);

/* Counts in h->cpus[].taken who runs where in labs that are up, but `except`. */
void lab_mark_taken(struct host *h, const char *except);

/* The first step of that kind and name (NULL: any name), or NULL. */
struct step *plan_find(const struct plan *p, enum step_kind kind, const char *name);

/* A step that is a process; one that serves a VM; that and the image; whether it is that node's. */
bool step_is_process(const struct step *s);
bool step_is_server(const struct step *s);
bool step_is_helper(const struct step *s);
bool step_helps(const struct step *s, const char *node);

/* A path of the topology file: relative to the folder that this lies in. malloc'd. */
char *plan_path(const struct plan *p, const char *given);

/* The steps of all nodes (plan_node.c); for plan_make only. */
void plan_add_nodes(
	struct plan *p, const struct topology *t, const struct host *h, const struct paths *paths);

/* A step that is a node's process, VM or not; the node's of that name, or NULL. */
bool step_is_node(const struct step *s);
struct step *plan_node(const struct plan *p, const char *name);

/* "the switch", "VM a", "process p", "port a.0", ... to out; returns out. */
char *step_describe_short(const struct step *s, char *out, size_t size);

/* The argument after an option of a step's command line, or "". */
const char *step_option(const struct step *s, const char *name);

/* Frees those PLANNED that exist under the same kind and name as well. */
void plan_drop_twins(struct plan *p);

/* Frees the steps from the n-th on. */
void plan_cut(struct plan *p, size_t n);

/* Appends a zeroed step of that kind. */
struct step *plan_add(struct plan *p, enum step_kind kind);

const char *step_kind_name(enum step_kind kind);

/* What the step does, and what undoing it does ("" if nothing), as half a sentence, to out;
 * returns out. */
char *step_describe(const struct step *s, char *out, size_t size);
char *step_describe_undo(const struct step *s, char *out, size_t size);

#endif
