/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* One row a program: candidates are relative to the folder of the `lanyard` that runs. */
static const struct program {
	const char *env, *name;
	size_t offset;
	const char *beside[4]; /* build folder, same folder, installation */
} programs[] = {
	{ "LANYARD_SWITCH", "lanyard-switch", offsetof(struct paths, sw),
		{ "../vswitch/lanyard-switch", "lanyard-switch",
			"../libexec/lanyard/lanyard-switch" } },
	{ "LANYARD_VMM", "lanyard-vmm", offsetof(struct paths, vmm),
		{ "../vmm/lanyard-vmm", "lanyard-vmm", "../libexec/lanyard/lanyard-vmm" } },
	{ "LANYARD_PROBE", "probe.elf", offsetof(struct paths, probe),
		{ "../guest/probe.elf", "probe.elf", "../share/lanyard/probe.elf" } },
	{ "LANYARD_TRAFFIC", "lanyard-traffic", offsetof(struct paths, traffic),
		{ "../traffic/lanyard-traffic", "lanyard-traffic",
			"../libexec/lanyard/lanyard-traffic" } },
	{ "LANYARD_INIT", "lanyard-init", offsetof(struct paths, init),
		{ "../guest/linux/lanyard-init", "lanyard-init", "../share/lanyard/lanyard-init" } },
};

/* Others' programs, where Debian puts them. */
static const struct tool {
	const char *env, *what;
	size_t offset;
	const char *at[3];
	const char *package_12, *package; /* of Debian 12, of later ones */
} tools[] = {
	{ "LANYARD_VIRTIOFSD", "virtiofsd, which shows a guest folders of this host,",
		offsetof(struct paths, virtiofsd),
		{ "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd" }, "qemu-system-common",
		"virtiofsd" },
	{ "LANYARD_STORAGE_DAEMON", "qemu-storage-daemon, which serves disks that aren't raw,",
		offsetof(struct paths, storage), { "/usr/bin/qemu-storage-daemon" },
		"qemu-system-common", "qemu-system-common" },
};

#define N_PROGRAMS (sizeof programs / sizeof programs[0])
#define N_TOOLS    (sizeof tools / sizeof tools[0])

static void exe_path(char *out)
{
	ssize_t n = readlink("/proc/self/exe", out, LAB_PATH_MAX - 1);

	out[n < 0 ? 0 : n] = '\0';
}

static void exe_folder(char *out)
{
	char *slash;

	exe_path(out);
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
}

static void find_program(const struct program *p, const char *folder, char *out)
{
	const char *given = getenv(p->env);
	char *real;

	out[0] = '\0';
	if (given && *given) {
		real = realpath(given, NULL);
		snprintf(out, LAB_PATH_MAX, "%s", real ? real : given);
		free(real);
		return;
	}
	for (size_t i = 0; i < 4 && p->beside[i]; i++) {
		char path[LAB_PATH_MAX + 64];

		snprintf(path, sizeof path, "%s/%s", folder, p->beside[i]);
		real = realpath(path, NULL);
		if (!real)
			continue;
		snprintf(out, LAB_PATH_MAX, "%s", real);
		free(real);
		return;
	}
}

static void find_tool(const struct tool *t, char *out)
{
	const char *given = getenv(t->env);
	char *real = given && *given ? realpath(given, NULL) : NULL;

	snprintf(out, LAB_PATH_MAX, "%s", real ? real : given && *given ? given : t->at[0]);
	free(real);
	for (size_t i = 0; !(given && *given) && t->at[i]; i++) {
		if (access(t->at[i], X_OK) < 0)
			continue;
		snprintf(out, LAB_PATH_MAX, "%s", t->at[i]);
		return;
	}
}

void paths_read(struct paths *p)
{
	const char *run = getenv("LANYARD_RUN");
	char folder[LAB_PATH_MAX];

	snprintf(p->run, sizeof p->run, "%s", run && *run ? run : "/run/lanyard");
	if (p->run[0] != '/') { /* daemons run in / */
		char cwd[LAB_PATH_MAX], joined[2 * LAB_PATH_MAX + 2];

		snprintf(
			joined, sizeof joined, "%s/%s", getcwd(cwd, sizeof cwd) ? cwd : "", p->run);
		snprintf(p->run, sizeof p->run, "%.*s", LAB_PATH_MAX - 1, joined);
	}
	for (size_t n = strlen(p->run); n > 1 && p->run[n - 1] == '/'; n--)
		p->run[n - 1] = '\0';
	exe_folder(folder);
	for (size_t i = 0; i < N_PROGRAMS; i++)
		find_program(&programs[i], folder, (char *)p + programs[i].offset);
	for (size_t i = 0; i < N_TOOLS; i++)
		find_tool(&tools[i], (char *)p + tools[i].offset);
	exe_path(p->self);
}

/* Debian's release number, or 0. */
static int debian_release(void)
{
	char *text, *at;
	int release = 0;

	if (fd_read_file("/etc/os-release", 64 << 10, &text, NULL, NULL))
		return 0;
	at = strstr(text, "\nVERSION_ID=\"");
	if (at)
		release = atoi(at + strlen("\nVERSION_ID=\""));
	free(text);
	return release;
}

static int check_tool(const struct paths *p, const struct tool *t, struct err *e)
{
	const char *path = (const char *)p + t->offset;

	if (access(path, X_OK) == 0)
		return 0;
	return err_host(e, -errno, "%s can't be run (%s: %s): sudo apt-get install %s", t->what,
		path, err_str(errno), debian_release() == 12 ? t->package_12 : t->package);
}

int paths_check_virtiofsd(const struct paths *p, struct err *e)
{
	return check_tool(p, &tools[0], e);
}

int paths_check_storage(const struct paths *p, struct err *e)
{
	return check_tool(p, &tools[1], e);
}

int paths_check(const struct paths *p, bool processes, bool linux_guests, struct err *e)
{
	for (size_t i = 0; i < N_PROGRAMS; i++) {
		const char *path = (const char *)p + programs[i].offset;
		char folder[LAB_PATH_MAX];

		if ((path == p->traffic && !processes) || (path == p->init && !linux_guests))
			continue;
		exe_folder(folder);
		if (!path[0])
			return err_host(e, -ENOENT,
				"%s was not found at %s/%s: build it (ninja -C build), or name it "
				"in %s",
				programs[i].name, folder, programs[i].beside[0], programs[i].env);
		if (access(path, R_OK) < 0)
			return err_host(e, -errno, "%s, named by %s: %s", path, programs[i].env,
				strerror(errno));
	}
	return 0;
}
