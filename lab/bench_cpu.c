/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool bench_cpu_add_thread(const char *dir, const char *id, uint64_t *run_ns, uint64_t *waited_ns)
{
	uint64_t run, waited;
	char path[640];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), "%.500s/%.32s/schedstat", dir, id);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fscanf(f, "%" SCNu64 " %" SCNu64, &run, &waited) == 2;
	fclose(f);
	if (ok) {
		*run_ns += run;
		*waited_ns += waited;
	}
	return ok;
}

struct bench_cpu_sample bench_cpu_read(const char *proc, pid_t pid)
{
	struct bench_cpu_sample s = { 0 };
	char path[320];
	struct dirent *d;

	snprintf(path, sizeof(path), "%.256s/%d/task", proc, (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return s;
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.')
			s.known |= bench_cpu_add_thread(path, d->d_name, &s.run_ns, &s.waited_ns);
	closedir(dir);
	return s;
}

/* The process behind a node's first port that has one; 0: none has. */
static pid_t node_pid(const struct topology *t, size_t node, const json_t *stats)
{
	const json_t *port;
	size_t i;

	json_array_foreach (json_object_get(stats, "ports"), i, port) {
		const char *name = json_string_value(json_object_get(port, "name"));
		size_t len = strlen(t->nodes[node].name);
		json_int_t pid = json_integer_value(json_object_get(port, "vhost_pid"));

		if (name && strncmp(name, t->nodes[node].name, len) == 0 && name[len] == '.' &&
			pid > 0)
			return (pid_t)pid;
	}
	return 0;
}

pid_t bench_cpu_pid(const struct topology *t, const json_t *info, const json_t *stats, size_t who)
{
	json_int_t pid = json_integer_value(json_object_get(info, "pid"));

	if (who > 0)
		return node_pid(t, who - 1, stats);
	return pid > 0 ? (pid_t)pid : 0;
}

void bench_cpu_sample(const char *proc, const struct topology *t, const json_t *info,
	const json_t *stats, struct bench_cpu_sample *out)
{
	for (size_t who = 0; who <= t->n_nodes; who++) {
		pid_t pid = bench_cpu_pid(t, info, stats, who);

		out[who] = pid ? bench_cpu_read(proc, pid) : (struct bench_cpu_sample){ 0 };
	}
}
