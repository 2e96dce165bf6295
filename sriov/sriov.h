/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VF manager: virtual functions made, configured, bound, and put back.
 *
 *	want (a file's)  \
 *	                  sriov_diff -> steps -> sriov_check -> carried out, in the journal first,
 *	have (observed)  /                                      undone newest first
 *
 * Desired and observed state are one type, struct sriov_state; `has` of its attributes says which
 * are wanted, or known. The diff is pure, steps are data with their undoing. What is done is in a
 * journal on disk, one a PF, before it is done; sriov_release undoes what that says, whether the
 * process that wrote it came to its end or not. A PF is one owner's (a lab's) from the first step
 * until its release; whoever changes it holds its lock (flock).
 *
 * Whatever there is of a host is in struct sriov_world: tests pass folders, a netlink transport and
 * a writer of their own. One thread; no globals; nothing is printed.
 *
 * The short way, for a lab:
 *	sriov_world_open; sriov_want (of the topology's pfs); sriov_apply; ...; sriov_release
 */
#ifndef LANYARD_SRIOV_SRIOV_H
#define LANYARD_SRIOV_SRIOV_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "config/pfs.h"

#define SRIOV_RUN      "/run/lanyard-sriov" /* journals and locks */
#define SRIOV_NET_LEN  16                   /* of an interface's name, with NUL */
#define SRIOV_WRITE_MS 60000 /* a write to sysfs may take minutes (i40e): longer is a failure */
#define SRIOV_LINK_MS  10000 /* a PF's link comes back after its VFs were made */

/* ---- the world ---- */

struct sriov_nl; /* a netlink transport: sriov/nl.h */

struct sriov_world {
	int sys, proc;       /* folders: /sys, /proc */
	struct sriov_nl *nl; /* NULL: none, and what VFs' attributes are is not known */
	char run[256];       /* folder of journals and locks; made when needed */
	/* Writes text to a file below /sys within timeout_ms; 0 or -errno (-ETIMEDOUT). */
	int (*write)(
		const struct sriov_world *w, const char *path, const char *text, int timeout_ms);
	void *arg;        /* write's */
	uint64_t memlock; /* bytes that a process may lock; UINT64_MAX: any number */
	int write_ms, link_ms;
};

/* This host, or the folder `root` in its stead, which has sys/ and proc/ like it and then no
 * netlink. run: NULL for SRIOV_RUN. */
int sriov_world_open(struct sriov_world *w, const char *root, const char *run, struct err *e);
void sriov_world_close(struct sriov_world *w);

/* ---- state ---- */

struct sriov_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, broadcast, multicast, rx_dropped,
		tx_dropped;
};

/* What a PCI function is, PF or VF. Observed. */
struct sriov_function {
	char addr[PFS_ADDR_LEN];
	char net[SRIOV_NET_LEN]; /* its interface, or "" */
	int ifindex;             /* in this network namespace; 0: none */
	int numa_node;           /* -1: none, or not known */
	int group;               /* IOMMU group; -1: none. Numbers change from boot to boot */
	unsigned vendor, device;
};

struct sriov_vf {
	uint32_t index; /* the kernel's: N of virtfnN, not the order of addresses */
	struct vf_attrs attrs;
	struct sriov_function fn;
	bool has_stats;
	struct sriov_stats stats;
	struct topo_place place, places[VF_ATTRS_N]; /* wanted: in the file */
};

/* Whether a PF's driver takes an attribute: asked, never assumed. */
enum sriov_answer { SRIOV_UNASKED, SRIOV_TAKES, SRIOV_REFUSES, SRIOV_NOT_ALLOWED };

struct sriov_pf {
	char name[TOPO_NAME_MAX + 1]; /* in the file; observed: "" */
	struct pf_attrs attrs;
	struct sriov_function fn;
	uint32_t total_vfs; /* 0: not SR-IOV capable */
	bool carrier;
	int speed_mbps;                      /* -1: not known (no link) */
	int acs;                             /* control bits of the port above; -1: has none */
	bool switchdev;                      /* its e-switch is not in legacy mode */
	char uses[128];                      /* "a route (10.0.0.0/8)", "bridge br0"; "" */
	char owner[TOPO_NAME_MAX + 1];       /* whose journal there is; "" */
	bool ours;                           /* its VFs were made by that owner */
	enum sriov_answer takes[VF_ATTRS_N]; /* sriov_probe */
	size_t n_vfs;
	struct sriov_vf *vfs; /* ascending by index */
	struct topo_place place, device_place, places[PF_ATTRS_N];
};

struct sriov_member {
	char addr[PFS_ADDR_LEN], driver[PFS_DRIVER_LEN];
};

struct sriov_holder {
	pid_t pid;
	char comm[16];
};

struct sriov_group {
	int number;
	size_t n_members, n_holders;
	struct sriov_member *members;
	struct sriov_holder *holders; /* processes that have a VFIO device of it open */
};

struct sriov_host {
	bool iommu;
	size_t n_drivers;
	char (*drivers)[PFS_DRIVER_LEN]; /* of PCI devices, loaded */
};

struct sriov_state {
	const char *file; /* wanted: for places; borrowed from struct pfs */
	size_t n_pfs;
	struct sriov_pf *pfs;
	size_t n_groups;
	struct sriov_group *groups; /* of all functions above; observed */
	struct sriov_host host;     /* observed */
};

void sriov_state_free(struct sriov_state *s);

/* All PFs of the host, in the order of their addresses. */
int sriov_observe(const struct sriov_world *w, struct sriov_state *out, struct err *e);

/* Those named: n addresses. Any PCI device will do: one without SR-IOV has total_vfs 0.
 * -ENODEV (ERR_REQUEST): there is none such. */
int sriov_observe_some(const struct sriov_world *w, size_t n, const char (*addrs)[PFS_ADDR_LEN],
	struct sriov_state *out, struct err *e);

/* Only what the PF's driver counts of its VFs, and what those are: pf->vfs, to be freed. */
int sriov_count(
	const struct sriov_world *w, const char *addr, struct sriov_pf *pf, struct err *e);

/* Whether a PF's driver gives its VFs no frames but those to their own addresses and to groups,
 * even if they ask to be promiscuous and are trusted. */
bool sriov_vf_hears_only_itself(const char *driver);

/* The address of "0000:03:00.0", "03:00.0" or "eth4", to out. -ENODEV names what there is. */
int sriov_find(
	const struct sriov_world *w, const char *name, char out[PFS_ADDR_LEN], struct err *e);

/* What a file wants, as state: interfaces are looked up. *p must outlive *out. */
int sriov_want(
	const struct sriov_world *w, const struct pfs *p, struct sriov_state *out, struct err *e);

/* Asks the PF's driver which attributes it takes, and fills pf->takes, without changing a thing:
 * a request for a VF that can't exist. attrs: 1 << enum vf_attr of those to ask for. */
void sriov_probe(const struct sriov_world *w, struct sriov_pf *pf, unsigned attrs);

struct sriov_pf *sriov_pf_find(const struct sriov_state *s, const char *addr);
struct sriov_vf *sriov_vf_find(const struct sriov_pf *pf, uint32_t index);
struct sriov_group *sriov_group_find(const struct sriov_state *s, int number);

/* New references. */
json_t *sriov_state_json(const struct sriov_state *s);
json_t *sriov_pf_json(const struct sriov_state *s, const struct sriov_pf *pf);

/* ---- steps ---- */

/* In the order of a plan. X(ID, name in journals and JSON) */
#define SRIOV_STEPS(X)              \
	X(PF_UP, "pf_up")           \
	X(PF_MTU, "pf_mtu")         \
	X(AUTOPROBE, "autoprobe")   \
	X(NUM_VFS, "num_vfs")       \
	X(MAC, "mac")               \
	X(VLAN, "vlan")             \
	X(RATE, "rate")             \
	X(SPOOFCHK, "spoofchk")     \
	X(TRUST, "trust")           \
	X(LINK_STATE, "link_state") \
	X(DRIVER, "driver")         \
	X(PF_DRIVER, "pf_driver")   \
	X(PF_DOWN, "pf_down")

enum sriov_step_kind {
#define X(id, name) SRIOV_##id,
	SRIOV_STEPS(X)
#undef X
		SRIOV_STEPS_N
};

extern const char *const sriov_step_names[SRIOV_STEPS_N + 1];

enum sriov_step_state { SRIOV_PLANNED, SRIOV_BEGUN, SRIOV_DONE, SRIOV_UNDONE };

/* One change, and what it is undone to. Of `to` and `from` only what the kind is about is set
 * (has); `before`: the VFs that a change of their number does away with. */
struct sriov_step {
	enum sriov_step_kind kind;
	enum sriov_step_state state;
	char pf[PFS_ADDR_LEN];
	int vf; /* -1: the PF's own */
	struct pf_attrs pf_to, pf_from;
	struct vf_attrs to, from;
	bool fresh;  /* of a VF that this plan makes: undone by its going */
	bool rebind; /* a MAC that a bound driver learns only when it probes anew */
	size_t n_before;
	struct sriov_vf *before;
	struct topo_place place;
};

/* Why a plan can't, or should not, be carried out. */
struct sriov_problem {
	struct err err;
	bool forcible; /* --force goes past it */
};

struct sriov_plan {
	size_t n_steps;
	struct sriov_step *steps;
	size_t n_problems;
	struct sriov_problem *problems;
};

void sriov_plan_free(struct sriov_plan *p);

/* What the step does, and what undoing it does ("" if nothing), as half a sentence, to out;
 * returns out. */
char *sriov_step_text(const struct sriov_step *s, char *out, size_t size);
char *sriov_step_undo_text(const struct sriov_step *s, char *out, size_t size);
json_t *sriov_step_json(const struct sriov_step *s);
json_t *sriov_plan_json(const struct sriov_plan *p);

/* The steps that make of `have` what `want` says; none where they agree. Pure. */
int sriov_diff(const struct sriov_state *want, const struct sriov_state *have,
	struct sriov_plan *out, struct err *e);

/* ---- carrying out ---- */

enum sriov_point { SRIOV_BEFORE, SRIOV_AFTER };
enum sriov_word {
	SRIOV_SAY_BEGIN,
	SRIOV_SAY_DONE,
	SRIOV_SAY_UNDONE,
	SRIOV_SAY_FAILED,
	SRIOV_SAY_NOTE
};

struct sriov_options {
	const char *owner;      /* the lab's name */
	bool force;             /* past forcible problems */
	uint64_t memlock_bytes; /* that users of VFs on vfio-pci will pin; 0: not known */
	const volatile sig_atomic_t *stop; /* nonzero: fail before the next step; may be NULL */
	/* What happens, in half sentences; may be NULL. */
	void (*say)(void *arg, enum sriov_word word, const char *text);
	/* Tests: called when a step is in the journal and not yet carried out, and when it is
	 * carried out and the journal does not say so yet. Nonzero: stop there as a crash would. */
	int (*hook)(void *arg, size_t step, enum sriov_point point);
	void *arg; /* of both */
};

/* Preflight: looks for all that stands in the way of the plan, and adds it to p->problems. Pure:
 * `have` was observed, and probed for what is wanted. */
int sriov_check(const struct sriov_state *want, const struct sriov_state *have,
	const struct sriov_world *w, const struct sriov_options *o, struct sriov_plan *p,
	struct err *e);

/* Observes, probes, diffs, checks; changes nothing. *have (may be NULL) is to be freed.
 * 0 even if there are problems: sriov_refusal tells the first that counts. */
int sriov_plan(const struct sriov_world *w, const struct sriov_options *o,
	const struct sriov_state *want, struct sriov_state *have, struct sriov_plan *out,
	struct err *e);

/* The first problem that o->force does not go past, to *e; 0 if there is none. */
int sriov_refusal(const struct sriov_plan *p, const struct sriov_options *o, struct err *e);

/* sriov_plan under the PFs' locks, refused if there are problems, then carried out. *out has the
 * steps with their states. A step that fails is undone with all that this call did before it,
 * newest first; *e ends with what was undone. -EBUSY: another process holds a lock. */
int sriov_apply(const struct sriov_world *w, const struct sriov_options *o,
	const struct sriov_state *want, struct sriov_plan *out, struct err *e);

/*
 * Undoes what journals say, newest first: of that PF (an address), or all of o->owner. A journal of
 * another owner is left alone (-EBUSY names it) unless o->force. Nothing is undone while a process
 * has one of the VFs open: -EBUSY says which. Repeats harmlessly; *n_steps (may be NULL): how many
 * steps were undone.
 */
int sriov_release(const struct sriov_world *w, const struct sriov_options *o, const char *addr,
	size_t *n_steps, struct err *e);

/* Whose journal there is for a PF, to out; "" if none. */
int sriov_owner(
	const struct sriov_world *w, const char *addr, char out[TOPO_NAME_MAX + 1], struct err *e);

/* ---- events ---- */

/*
 * Reports what changes of the host's PFs and VFs, until fn returns nonzero or stop_fd is readable;
 * first of all, what there is. text: half a sentence; j: borrowed. 0, or -errno (fn's, if that was
 * negative).
 */
int sriov_monitor(const struct sriov_world *w, int stop_fd,
	int (*fn)(void *arg, const char *text, json_t *j), void *arg, struct err *e);

#endif
