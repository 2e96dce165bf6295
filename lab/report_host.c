/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that figures were taken on: without it they say little. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/report.h"

#define PROC_FILE_MAX (4u << 20)

static char *read_proc(const char *proc, const char *name)
{
	char path[512], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", proc, name);
	return fd_read_file(path, PROC_FILE_MAX, &text, NULL, NULL) ? NULL : text;
}

/* What stands after "KEY" and a colon in the line that begins with KEY; NULL if none does. */
static json_t *line_value(const char *text, const char *key)
{
	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		if (strncmp(p, key, strlen(key)) != 0)
			continue;
		p += strlen(key);
		p += strspn(p, " \t");
		if (*p != ':')
			continue;
		p++;
		p += strspn(p, " \t");
		return json_stringn(p, strcspn(p, "\n"));
	}
	return json_null();
}

static json_t *line_number(const char *text, const char *key)
{
	json_t *s = line_value(text, key);
	json_t *n = json_is_string(s) ? json_integer(strtoll(json_string_value(s), NULL, 10))
				      : json_null();

	json_decref(s);
	return n;
}

json_t *report_machine(const char *proc)
{
	char *cpuinfo = read_proc(proc, "cpuinfo"), *meminfo = read_proc(proc, "meminfo");
	char *release = read_proc(proc, "sys/kernel/osrelease");
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	json_t *j = json_object();

	if (release)
		release[strcspn(release, "\n")] = '\0';
	json_object_set_new(j, "cpu_model", line_value(cpuinfo, "model name"));
	json_object_set_new(j, "cpus", n_cpus > 0 ? json_integer(n_cpus) : json_null());
	json_object_set_new(j, "kernel", release ? json_string(release) : json_null());
	json_object_set_new(j, "memory_kib", line_number(meminfo, "MemTotal"));
	json_object_set_new(j, "hugepage_kib", line_number(meminfo, "Hugepagesize"));
	json_object_set_new(j, "hugepages", line_number(meminfo, "HugePages_Total"));
	json_object_set_new(j, "hugepages_free", line_number(meminfo, "HugePages_Free"));
	free(cpuinfo);
	free(meminfo);
	free(release);
	return j;
}
