/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of sriov/ share, and nobody else's. */
#ifndef LANYARD_SRIOV_OWN_H
#define LANYARD_SRIOV_OWN_H

#include <dirent.h>

#include "sriov/sriov.h"

#define BIT(attr)      (1u << (attr))
#define SRIOV_PATH_MAX 320 /* below /sys */

/* ---- sysfs.c: small files below a folder ---- */

/* A file's text without its line's end, to out; -errno. */
int sysfs_read(int dir, char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A number, decimal or 0x...; -errno. */
int sysfs_number(int dir, long long *out, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The last part of where a link leads, to out; "" and -errno without one. */
int sysfs_link(int dir, char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
bool sysfs_exists(int dir, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
DIR *sysfs_dir(int dir, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The next entry but "." and "..", or NULL. */
const char *sysfs_next(DIR *d);
/* Writes by w->write, with the sentence on failure. timeout_ms 0: it can't block. */
int sysfs_write(const struct sriov_world *w, const char *text, int timeout_ms, struct err *e,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* What w->write is on a host: beyond timeout_ms the write goes on in a child, and is given up. */
int sysfs_write_host(
	const struct sriov_world *w, const char *path, const char *text, int timeout_ms);

/* One more element of size at the end of a list of n: zeroed; NULL without memory. */
void *sriov_grow(void *list, size_t *n, size_t size);
int sriov_nomem(struct err *e);

/* ---- facts.c, groups.c: parts of an observation ---- */

/* Its interface alone: fn->addr is given. */
void facts_net(const struct sriov_world *w, struct sriov_function *fn);
void facts_function(const struct sriov_world *w, const char *addr, struct sriov_function *fn);
void facts_driver(const struct sriov_world *w, const char *addr, char *driver, char *override);
void facts_pf(const struct sriov_world *w, struct sriov_pf *pf);
int facts_groups(const struct sriov_world *w, struct sriov_state *s, struct err *e);
int facts_host(const struct sriov_world *w, struct sriov_host *host, struct err *e);
/* Processes that have a VFIO device of that function open, as text to out, "" if none. */
char *facts_holders(const struct sriov_world *w, const char *addr, char *out, size_t size);
/* Whether VFIO's users can have a VF: no stranger with a kernel driver is in its group. Other VFs
 * of that PF may be on their way. */
int facts_viable(const struct sriov_world *w, const char *addr, const char *pf, struct err *e);
bool driver_is_vfio(const char *driver);

/* Reads the PF's VFs and their attributes anew. */
int observe_vfs(const struct sriov_world *w, struct sriov_pf *pf, bool attributes, struct err *e);
/* As sriov_observe_some, but only what a diff compares: no owners, groups, holders, host. */
int observe_attributes(const struct sriov_world *w, size_t n, const char (*addrs)[PFS_ADDR_LEN],
	struct sriov_state *out, struct err *e);

/* ---- quirks.c ---- */

/* What is known of a driver that asking can't tell: why it refuses the attribute, or NULL. */
const char *quirk_refuses(const char *driver, enum vf_attr attr);
/* Its "not supported" means "no VFs are made": no answer. */
bool quirk_needs_vfs(const char *driver, enum vf_attr attr);

/* ---- json.c ---- */

json_t *vf_attrs_json(const struct vf_attrs *a);
json_t *pf_attrs_json(const struct pf_attrs *a);
int sriov_step_from_json(const json_t *j, struct sriov_step *out);

/* ---- text.c ---- */

/* One attribute as text, "vlan 100, QoS 3", to out; returns out. */
char *vf_attr_text(const struct vf_attrs *a, enum vf_attr attr, char *out, size_t size);
/* "0000:01:00.0 VF 3: VLAN 5": what it was put back to. */
char *step_undone_text(const struct sriov_step *s, char *out, size_t size);
char *holders_text(const struct sriov_group *g, char *out, size_t size);

/* ---- run.c, bind.c: one step on the host ---- */

int step_run(const struct sriov_world *w, struct sriov_step *s, struct err *e);
/* Tolerates that all, some or nothing of it is there. note[size]: what could not be put back, and
 * is no failure; "" if nothing. */
int step_undo(
	const struct sriov_world *w, struct sriov_step *s, char *note, size_t size, struct err *e);

/* Refuses, with who it is, if a process has a VF of that PF open. */
int vfs_free(const struct sriov_world *w, const char *pf, struct err *e);

/* Binds a function to a driver ("" for none) and leaves driver_override as said. */
int bind_to(const struct sriov_world *w, const char *addr, const char *driver, const char *override,
	struct err *e);
/* The same, and the driver probes it anew if it has it already. */
int bind_fresh(const struct sriov_world *w, const char *addr, const char *driver,
	const char *override, struct err *e);
/* Unbinds and lets the same driver probe again; nothing if none is bound, or it is VFIO's. */
int bind_again(const struct sriov_world *w, const char *addr, struct err *e);
/* Refuses, with who it is, if a process has the function open by VFIO. */
int bind_held(const struct sriov_world *w, const char *addr, struct err *e);

/* ---- journal.c ---- */

struct journal {
	int fd; /* appended to; -1: none */
	char owner[TOPO_NAME_MAX + 1];
	size_t n; /* steps, with the states that were written last */
	struct sriov_step *steps;
};

#define JOURNAL_NONE ((struct journal){ .fd = -1 })

/* Opens run/ADDR.journal, made for owner if there is none and owner isn't NULL. -ENOENT: there is
 * none; -EINVAL: it is damaged. */
int journal_open(const struct sriov_world *w, const char *addr, const char *owner,
	struct journal *j, struct err *e);
/* Adds a step, as it is, on disk when it returns its number. Says that the step of that number has
 * another state: not synced, since a step that was begun is undone like one that is done. */
int journal_add(struct journal *j, const struct sriov_step *s, struct err *e);
int journal_state(struct journal *j, size_t number, enum sriov_step_state state, struct err *e);
void journal_close(struct journal *j);
/* Removes it: nothing is left to undo. */
int journal_remove(const struct sriov_world *w, const char *addr, struct err *e);
/* Calls fn with the address of each journal there is. */
int journal_each(const struct sriov_world *w, int (*fn)(void *arg, const char *addr), void *arg);
/* Whose it is, "" if there is none, and whether VFs were made by it. Needs no lock. */
int journal_peek(const struct sriov_world *w, const char *addr, char owner[TOPO_NAME_MAX + 1],
	bool *made, struct err *e);

/* ---- monitor.c ---- */

/* Calls fn with each difference between two states as sriov_state_json shows them. Pure. */
int monitor_compare(const json_t *before, const json_t *now,
	int (*fn)(void *arg, const char *text, json_t *j), void *arg);

/* ---- lock.c ---- */

struct locks {
	const struct sriov_world *w;
	size_t n;
	int *fds;
	char (*addrs)[PFS_ADDR_LEN];
};

/* Locks PFs, whatever the order of addrs; all or none. -EBUSY names the process. */
int locks_take(const struct sriov_world *w, size_t n, const char (*addrs)[PFS_ADDR_LEN],
	struct locks *out, struct err *e);
void locks_drop(struct locks *l);
/* Makes the folder of journals and locks if there is none. */
int run_folder(const struct sriov_world *w, struct err *e);

void sriov_say(const struct sriov_options *o, enum sriov_word word, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void sriov_step_free(struct sriov_step *s);

#endif
