/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of the host: /proc, /sys, /dev/kvm. A file that is missing leaves its figure at 0, and
 * whoever needs the figure says so in the user's terms. */
#include "lab/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "lab/sysroot.h"

int host_read_u64(const char *path, uint64_t *out)
{
	char *text, *end;
	int r = fd_read_file(path, 64, &text, NULL, NULL);

	if (r)
		return r;
	errno = 0;
	*out = strtoull(text, &end, 10);
	r = errno ? -errno : end == text ? -EINVAL : 0;
	free(text);
	return r;
}

static uint64_t read_or_0(const char *root, const char *path)
{
	char full[PATH_MAX];
	uint64_t v = 0;

	snprintf(full, sizeof full, "%s%s", root, path);
	return host_read_u64(full, &v) ? 0 : v;
}

char *host_hugepages_path(int node, char *out, size_t size)
{
	if (node < 0)
		snprintf(out, size, "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	else
		snprintf(out, size,
			"/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages",
			node);
	return out;
}

void host_see_pfs(struct host *h, const struct topology *t)
{
	for (h->n_pfs = 0; h->n_pfs < t->pfs->n; h->n_pfs++) {
		const struct pf_want *pf = &t->pfs->v[h->n_pfs];

		h->pf_node[h->n_pfs] = sysroot_numa_node(pf->pci, pf->interface);
	}
}

static void read_memory(const char *root, struct host *h)
{
	char path[PATH_MAX], *text, *line, *save = NULL;

	snprintf(path, sizeof path, "%s/proc/meminfo", root);
	if (fd_read_file(path, 64 << 10, &text, NULL, NULL))
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint64_t kb;

		if (sscanf(line, "MemTotal: %" SCNu64, &kb) == 1)
			h->mem_total = kb << 10;
		else if (sscanf(line, "MemAvailable: %" SCNu64, &kb) == 1)
			h->mem_available = kb << 10;
	}
	free(text);
}

/* nodeN is a link in the CPU's folder. */
static int cpu_numa_node(const char *cpu_dir)
{
	DIR *d = opendir(cpu_dir);
	struct dirent *de;
	int node = 0;

	while (d && (de = readdir(d))) {
		if (sscanf(de->d_name, "node%d", &node) == 1)
			break;
	}
	if (d)
		closedir(d);
	return node;
}

static void read_cpus(const char *root, struct host *h)
{
	cpu_set_t *set = CPU_ALLOC(TOPO_CPUS_MAX);
	size_t set_size = CPU_ALLOC_SIZE(TOPO_CPUS_MAX);
	bool all = root[0] != '\0';

	if (!set)
		return;
	CPU_ZERO_S(set_size, set);
	if (!all && sched_getaffinity(0, set_size, set) < 0)
		CPU_SET_S(0, set_size, set);
	for (int cpu = 0; cpu < TOPO_CPUS_MAX; cpu++) {
		struct host_cpu *c = &h->cpus[h->n_cpus];
		char dir[PATH_MAX / 2], path[PATH_MAX];
		uint64_t core;

		snprintf(dir, sizeof dir, "%s/sys/devices/system/cpu/cpu%d", root, cpu);
		if (all ? access(dir, F_OK) != 0 : !CPU_ISSET_S(cpu, set_size, set))
			continue;
		snprintf(path, sizeof path, "%s/topology/thread_siblings_list", dir);
		c->cpu = cpu;
		c->core = host_read_u64(path, &core) ? cpu : (int)core;
		c->node = cpu_numa_node(dir);
		h->n_cpus++;
	}
	CPU_FREE(set);
}

static int count_nodes(const char *root)
{
	char path[PATH_MAX];
	int n = 0;

	do
		snprintf(path, sizeof path, "%s/sys/devices/system/node/node%d", root, n);
	while (access(path, F_OK) == 0 && ++n);
	return n ? n : 1;
}

static int try_kvm(const char *root)
{
	const char *other = root[0] ? NULL : getenv("LANYARD_KVM");
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof path, "%s%s", root, other && *other ? other : "/dev/kvm");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

const char *host_boot(void)
{
	const char *boot = getenv("LANYARD_BOOT");

	return boot && *boot ? boot : "/boot";
}

/* Its modules are looked for where it is used: a guest may name others, or need none. */
static void find_kernel(struct host *h)
{
	struct image_kernel k;

	if (image_kernel_find(host_boot(), NULL, &k, &h->kernel_why))
		return;
	snprintf(h->kernel, sizeof h->kernel, "%.*s", (int)sizeof h->kernel - 1, k.path);
}

void host_read(const char *root, struct host *h)
{
	char path[PATH_MAX], free_path[PATH_MAX];

	memset(h, 0, sizeof *h);
	read_cpus(root, h);
	read_memory(root, h);
	host_hugepages_path(-1, path, sizeof path);
	h->huge_total = read_or_0(root, path);
	snprintf(free_path, sizeof free_path, "%.*s/free_hugepages",
		(int)(strrchr(path, '/') - path), path);
	h->huge_free = read_or_0(root, free_path);
	h->huge_1g_free =
		read_or_0(root, "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages");
	h->n_nodes = count_nodes(root);
	h->root = geteuid() == 0;
	h->kvm = try_kvm(root);
	if (!root[0])
		find_kernel(h);
}

const struct host_cpu *host_find_cpu(const struct host *h, int cpu)
{
	for (size_t i = 0; i < h->n_cpus; i++) {
		if (h->cpus[i].cpu == cpu)
			return &h->cpus[i];
	}
	return NULL;
}

char *host_cpus_text(const struct host *h, char *out, size_t size)
{
	size_t at = 0, i = 0;

	out[0] = '\0';
	while (i < h->n_cpus && at < size) {
		size_t j = i;

		while (j + 1 < h->n_cpus && h->cpus[j + 1].cpu == h->cpus[j].cpu + 1)
			j++;
		at += (size_t)snprintf(out + at, size - at, "%s%d", i ? "," : "", h->cpus[i].cpu);
		if (j > i && at < size)
			at += (size_t)snprintf(out + at, size - at, "-%d", h->cpus[j].cpu);
		i = j + 1;
	}
	return out;
}
