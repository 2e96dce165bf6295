/* SPDX-License-Identifier: Apache-2.0 */
/* The confinement of the process as a whole: see sandbox.h. */
#include "vmm/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/proc.h"

#define FDS_MORE 512 /* connections to come: clients, back ends and what these send */

/*
 * --user own: this number plus the process's id, so that no two machines on a host share a user,
 * nobody has to keep a list of which are taken, and there is nothing to clean up. systemd's list of
 * ranges (UIDS-GIDS) has nothing from here on, for more than there can be processes (4,194,304).
 */
#define OWN_FIRST 1879048192u

/* The process's; written by the main thread before there is another. */
static struct sandbox_state state;
static int ruleset = -1;

const struct sandbox_state *sandbox_state(void)
{
	return &state;
}

#if defined(__SANITIZE_ADDRESS__)
#define SEES_FILES 0 /* a sanitizer writes its report to a file, and reads much for it */
#else
#define SEES_FILES 1
#endif

/* --- folders --- */

struct folders {
	char *path[SANDBOX_PATHS_MAX]; /* absolute, each once */
	int tree[SANDBOX_PATHS_MAX];   /* a copy of what is mounted there, or -1 */
	unsigned n;
	char cwd[PATH_MAX];
};

static void folders_free(struct folders *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		free(f->path[i]);
		fd_close(&f->tree[i]);
	}
}

static int folders_find(struct folders *f, const struct sandbox_setup *s, struct err *e)
{
	*f = (struct folders){ 0 };
	if (!getcwd(f->cwd, sizeof(f->cwd)))
		strcpy(f->cwd, "/");
	for (unsigned i = 0; i < s->n_paths; i++) {
		char *copy = strdup(s->paths[i]), *path = NULL;
		const char *dir = copy ? dirname(copy) : "";
		bool seen = false;

		if (asprintf(&path, "%s%s%s", dir[0] == '/' ? "" : f->cwd, dir[0] == '/' ? "" : "/",
			    dir) < 0)
			path = NULL;
		free(copy);
		if (!path)
			return err_set(e, -ENOMEM, "out of memory");
		for (unsigned k = 0; k < f->n; k++)
			seen |= !strcmp(path, f->path[k]);
		if (seen) {
			free(path);
			continue;
		}
		f->tree[f->n] = -1;
		f->path[f->n++] = path;
	}
	return 0;
}

/* --- name spaces --- */

static int make_folders(char *path)
{
	for (char *p = path + 1;; p++) {
		char was = *p;

		if (was && was != '/')
			continue;
		*p = '\0';
		int err = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;

		*p = was;
		if (err || !was)
			return err;
	}
}

/* Mounts each folder where it was, below `root`. */
static int mount_folders(struct folders *f, const char *root)
{
	for (unsigned i = 0; i < f->n; i++) {
		char *at = NULL;
		int err;

		if (f->tree[i] < 0)
			continue;
		if (asprintf(&at, "%s%s", root, f->path[i]) < 0)
			return -ENOMEM;
		err = make_folders(at);
		if (!err && move_mount(f->tree[i], "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH))
			err = -errno;
		free(at);
		if (err)
			return err;
	}
	return 0;
}

/*
 * A root of our own that holds the folders of our sockets and nothing else; no network, no System V
 * IPC. Folders that are not there yet cannot be seen later on either.
 */
static int enter_namespaces(struct folders *f)
{
	static const char root[] = "/tmp"; /* covered, in our name space only */
	int err;

	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET))
		return -errno;
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return -errno;
	for (unsigned i = 0; i < f->n; i++) {
		if (!strcmp(f->path[i], "/"))
			return -EXDEV;
		f->tree[i] = open_tree(
			AT_FDCWD, f->path[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	}
	if (mount("none", root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=0755"))
		return -errno;
	err = mount_folders(f, root);
	if (!err &&
		(mount(NULL, root, NULL,
			 MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			 NULL) ||
			chdir(root) || syscall(SYS_pivot_root, ".", ".")))
		err = -errno;
	if (err) {
		umount2(root, MNT_DETACH); /* what it covers is to be seen again */
		return chdir(f->cwd) ? -errno : err;
	}
	if (umount2(".", MNT_DETACH))
		return -errno;
	/* Paths that were given relative to it still are. */
	return chdir(f->cwd) && chdir("/") ? -errno : 0;
}

/* --- Landlock --- */

/* No file is opened, made or changed any more, but for sockets and links that are removed. */
static void make_ruleset(const struct folders *f)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs =
						      (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	struct landlock_path_beneath_attr beneath = { .allowed_access =
							      LANDLOCK_ACCESS_FS_REMOVE_FILE };

	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	for (unsigned i = 0; i < f->n && ruleset >= 0; i++) {
		int fd = open(f->path[i], O_PATH | O_CLOEXEC);

		beneath.parent_fd = fd;
		if (fd >= 0)
			syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
				&beneath, 0);
		fd_close(&fd);
	}
	state.landlock = ruleset >= 0;
}

/* --- user, capabilities, limits --- */

static int find_user(const char *name, uid_t *uid, gid_t *gid, struct err *e)
{
	struct passwd *p;
	char *end;
	unsigned long n;

	if (!strcmp(name, SANDBOX_USER_OWN)) {
		/* Who is not root is somebody already, and can't become anybody else. */
		*uid = geteuid() ? geteuid() : OWN_FIRST + (uid_t)getpid();
		*gid = geteuid() ? getegid() : OWN_FIRST + (gid_t)getpid();
		return 0;
	}
	p = getpwnam(name);
	if (!p) {
		n = strtoul(name, &end, 10);
		if (name[0] < '0' || name[0] > '9' || *end || n >= UINT32_MAX)
			return err_request(e, -EINVAL,
				"--user is \"%s\", expected a user's name or number, or " SANDBOX_USER_OWN,
				name);
		p = getpwuid((uid_t)n);
		*uid = (uid_t)n;
		*gid = p ? p->pw_gid : (gid_t)n;
		return 0;
	}
	*uid = p->pw_uid;
	*gid = p->pw_gid;
	return 0;
}

static int set_user(const char *name, struct err *e)
{
	uid_t uid = 0;
	gid_t gid = 0;
	int err = find_user(name, &uid, &gid, e);

	if (err)
		return err;
	if (uid == geteuid() && uid == getuid())
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(0, NULL) || setresgid(gid, gid, gid) ||
		setresuid(uid, uid, uid)) {
		/* Root of a container (a user name space) is but some of the host's users. */
		if (!strcmp(name, SANDBOX_USER_OWN) && (errno == EINVAL || errno == EPERM)) {
			log_warn("sandbox: no user of its own: this container allows none (%s)",
				err_str(errno));
			return 0;
		}
		return err_request(e, -errno, "--user %s: %s: only root can become another user",
			name, err_str(errno));
	}
	return 0;
}

/*
 * Of root's capabilities one stays, for sockets of back ends that run as other users, and to remove
 * ours: CAP_DAC_OVERRIDE. There is little to use it on: no file can be opened.
 */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[2], d[2] = { { 0 } };
	uint32_t keep = 1u << CAP_DAC_OVERRIDE;

	if (syscall(SYS_capget, &h, had))
		return;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* fails where there is nothing to drop */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	d[0].permitted = d[0].effective = had[0].permitted & keep;
	syscall(SYS_capset, &h, d);
}

/* One beyond the highest descriptor that is open. */
static rlim_t fds_end(void)
{
	DIR *d = opendir("/proc/self/fd");
	rlim_t end = 3;

	for (struct dirent *at; d && (at = readdir(d));) {
		rlim_t n = strtoul(at->d_name, NULL, 10);

		if (n + 1 > end)
			end = n + 1;
	}
	if (d)
		closedir(d);
	return end;
}

static void set_limits(void)
{
	static const struct rlimit none = { 0, 0 };
	struct rlimit files;

	setrlimit(RLIMIT_CORE, &none); /* the guest's memory and all */
	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	if (files.rlim_cur > fds_end() + FDS_MORE)
		files.rlim_cur = fds_end() + FDS_MORE;
	files.rlim_max = files.rlim_cur;
	setrlimit(RLIMIT_NOFILE, &files);
}

int sandbox_prepare(const struct sandbox_setup *s, struct err *e)
{
	struct folders f;
	int err = folders_find(&f, s, e), why = -EPERM;

	json_object_seed(0); /* jansson reads a file for it, and the log one for its time zone */
	tzset();
	if (!err)
		err = sandbox_filter_make(s->vfio, e);
	if (err)
		goto out;
	set_limits();
	if (SEES_FILES)
		make_ruleset(&f);
	/* As far as we may: not everybody who may run a VM may have name spaces. */
	if (SEES_FILES && geteuid() == 0)
		why = enter_namespaces(&f);
	state.namespaces = !why;
	if (why && why != -EPERM)
		log_warn("sandbox: no name spaces of our own: %s", err_str(why));
	if (s->user && (err = set_user(s->user, e)))
		goto out;
	drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		err = err_host(e, -errno, "sandbox: no_new_privs: %s", err_str(errno));
		goto out;
	}
	state.uid = geteuid();
	state.on = true;
out:
	folders_free(&f);
	return err;
}

void sandbox_enter(enum sandbox_kind kind)
{
	int err = 0;

	if (!state.on)
		return;
	if (ruleset >= 0 && syscall(SYS_landlock_restrict_self, ruleset, 0))
		log_warn("sandbox: Landlock: %s", err_str(errno));
	err = sandbox_filter_enter(kind);
	if (err) {
		log_error("ended: the sandbox: seccomp: %s", err_str(err));
		abort();
	}
}
