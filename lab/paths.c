/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
};

#define N_PROGRAMS (sizeof programs / sizeof programs[0])

static void exe_folder(char *out)
{
	ssize_t n = readlink("/proc/self/exe", out, LAB_PATH_MAX - 1);
	char *slash;

	out[n < 0 ? 0 : n] = '\0';
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
}

int paths_check(const struct paths *p, bool processes, struct err *e)
{
	for (size_t i = 0; i < N_PROGRAMS; i++) {
		const char *path = (const char *)p + programs[i].offset;
		char folder[LAB_PATH_MAX];

		if (path == p->traffic && !processes)
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
