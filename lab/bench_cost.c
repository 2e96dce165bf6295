/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_cost.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/bench_cpu.h"

#define VHOST      "vhost-" /* the name of such a thread: that, and its owner's number */
#define VHOST_LEN  (sizeof(VHOST) - 1)
#define PATH_LEN   640
#define NS_PER_S_F 1e9

/* A thread's name without its line's end, to out[32]; "" if it is gone. */
static void read_comm(const char *dir, const char *id, char *out)
{
	char path[PATH_LEN];
	FILE *f;

	out[0] = '\0';
	snprintf(path, sizeof(path), "%.500s/%.32s/comm", dir, id);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(out, 32, f))
		out[strcspn(out, "\n")] = '\0';
	fclose(f);
}

/* Adds a thread's time on a CPU to *ns. */
static bool add_run(const char *dir, const char *id, uint64_t *ns)
{
	uint64_t waited = 0;

	return bench_cpu_add_thread(dir, id, ns, &waited);
}

/* A process's threads; those of vhost, which are the owner's threads since Linux 6.4, apart. */
static bool add_process(const char *proc, pid_t pid, uint64_t *own, uint64_t *vhost)
{
	char dir[PATH_LEN], comm[32];
	struct dirent *d;
	bool any = false;
	DIR *tasks;

	snprintf(dir, sizeof(dir), "%.256s/%d/task", proc, (int)pid);
	tasks = opendir(dir);
	if (!tasks)
		return false;
	while ((d = readdir(tasks))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		read_comm(dir, d->d_name, comm);
		any |= add_run(dir, d->d_name, strncmp(comm, VHOST, VHOST_LEN) == 0 ? vhost : own);
	}
	closedir(tasks);
	return any;
}

/* Whether the number is of one of the nodes' threads. */
static bool is_nodes_thread(const char *proc, long id, const pid_t *nodes, size_t n)
{
	char path[PATH_LEN];
	bool found = false;

	for (size_t i = 0; i < n && !found; i++) {
		DIR *d;

		snprintf(path, sizeof(path), "%.256s/%d/task/%ld", proc, (int)nodes[i], id);
		d = nodes[i] ? opendir(path) : NULL;
		found = d != NULL;
		if (d)
			closedir(d);
	}
	return found;
}

/* Before Linux 6.4 they are kernel threads, "vhost-1234" for a process or thread of that number. */
static void add_kernel_threads(const char *proc, const pid_t *nodes, size_t n, uint64_t *vhost)
{
	DIR *all = opendir(proc);
	struct dirent *d;
	char comm[32];

	while (all && (d = readdir(all))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		read_comm(proc, d->d_name, comm);
		if (strncmp(comm, VHOST, VHOST_LEN) == 0 &&
			is_nodes_thread(proc, strtol(comm + VHOST_LEN, NULL, 10), nodes, n))
			add_run(proc, d->d_name, vhost);
	}
	if (all)
		closedir(all);
}

/* irq and softirq of the line of all CPUs. */
static bool read_irq(const char *proc, long hz, uint64_t *ns)
{
	uint64_t v[7] = { 0 };
	char path[PATH_LEN];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), "%.256s/stat", proc);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fscanf(f,
		     "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		     " %" SCNu64,
		     &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]) == 7;
	fclose(f);
	*ns = (v[5] + v[6]) * (uint64_t)(NS_PER_S_F / (double)hz);
	return ok;
}

struct bench_cost_sample bench_cost_read(
	const char *proc, long hz, pid_t switch_pid, const pid_t *nodes, size_t n_nodes)
{
	struct bench_cost_sample s = { .known = true };
	uint64_t none = 0;

	if (switch_pid)
		s.known = add_process(proc, switch_pid, &s.switch_ns, &none);
	for (size_t i = 0; i < n_nodes; i++)
		s.known &= nodes[i] && add_process(proc, nodes[i], &s.nodes_ns, &s.vhost_ns);
	add_kernel_threads(proc, nodes, n_nodes, &s.vhost_ns);
	s.irq_known = read_irq(proc, hz, &s.irq_ns);
	return s;
}

/* Less than before: a thread of it has ended. */
static double seconds(bool known, uint64_t before, uint64_t after)
{
	return known && after >= before ? (double)(after - before) / NS_PER_S_F : NAN;
}

struct bench_cost bench_cost_diff(
	const struct bench_cost_sample *before, const struct bench_cost_sample *after)
{
	bool known = before->known && after->known;

	return (struct bench_cost){
		.switch_s = seconds(known, before->switch_ns, after->switch_ns),
		.nodes_s = seconds(known, before->nodes_ns, after->nodes_ns),
		.vhost_s = seconds(known, before->vhost_ns, after->vhost_ns),
		.irq_s = seconds(
			before->irq_known && after->irq_known, before->irq_ns, after->irq_ns),
		.exits = before->exits_known && after->exits_known && after->exits >= before->exits
			? (double)(after->exits - before->exits)
			: NAN,
	};
}
