/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/vitals.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define FILE_MAX (4u << 20)

struct place {
	const char *root;
	char path[PATH_MAX];
};

static const char *at(struct place *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static const char *at(struct place *p, const char *fmt, ...)
{
	size_t len = (size_t)snprintf(p->path, sizeof p->path, "%s", p->root);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->path + len, sizeof p->path - len, fmt, ap);
	va_end(ap);
	return p->path;
}

/* The whole file, to be freed, or NULL. */
static char *slurp(const char *path)
{
	char *text = NULL;

	return fd_read_file(path, FILE_MAX, &text, NULL, NULL) ? NULL : text;
}

/* The file's first line to out; "" if there is none. */
static bool line_of(const char *path, char *out, size_t size)
{
	char *text = slurp(path);

	out[0] = '\0';
	if (text)
		snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	return text != NULL;
}

static long number_of(const char *path, long otherwise)
{
	char text[32], *end;
	long n;

	if (!line_of(path, text, sizeof text))
		return otherwise;
	n = strtol(text, &end, 10);
	return end == text ? otherwise : n;
}

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Adds a word to "a, b" unless it is there. */
static void add_word(char *list, size_t size, const char *word)
{
	size_t len = strlen(list), n = strlen(word);

	for (const char *p = list; n && (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ',' || !p[n]))
			return;
	if (n)
		snprintf(list + len, size - len, "%s%s", len ? ", " : "", word);
}

/* What stands behind "KEY" and a colon in the first line that begins with it; false: none does. */
static bool value_of(const char *text, const char *key, char *out, size_t size)
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
		snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
		return true;
	}
	return false;
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += n)
		if ((p == text || isspace((unsigned char)p[-1])) &&
			(!p[n] || isspace((unsigned char)p[n])))
			return true;
	return false;
}

static void read_cpuinfo(struct place *p, struct vitals *v)
{
	char *text = slurp(at(p, "/proc/cpuinfo")), flags[8192] = "";

	if (!text)
		return;
	value_of(text, "model name", v->cpu_model, sizeof v->cpu_model);
	value_of(text, "flags", flags, sizeof flags);
	v->constant_tsc = has_word(flags, "constant_tsc");
	v->nonstop_tsc = has_word(flags, "nonstop_tsc");
	v->virtual = has_word(flags, "hypervisor");
	free(text);
}

static int64_t meminfo_number(const char *text, const char *key)
{
	char value[32];

	return text && value_of(text, key, value, sizeof value) ? strtoll(value, NULL, 10) : -1;
}

static void read_memory(struct place *p, struct vitals *v)
{
	char *text = slurp(at(p, "/proc/meminfo"));

	v->memory_kib = meminfo_number(text, "MemTotal");
	v->hugepage_kib = meminfo_number(text, "Hugepagesize");
	v->hugepages = meminfo_number(text, "HugePages_Total");
	v->hugepages_free = meminfo_number(text, "HugePages_Free");
	free(text);
	for (; v->n_nodes < VITALS_NODES_MAX; v->n_nodes++) {
		long n = number_of(at(p,
					   "/sys/devices/system/node/node%zu/hugepages/"
					   "hugepages-2048kB/nr_hugepages",
					   v->n_nodes),
			-1);

		if (n < 0)
			break;
		v->node_pages[v->n_nodes] = (uint64_t)n;
	}
}

/* How many CPUs a list such as "0-3,8" has. */
static int count_list(const char *list)
{
	int n = 0;

	while (*list) {
		char *end;
		long from = strtol(list, &end, 10), to = from;

		if (end == list)
			break;
		if (*end == '-')
			to = strtol(end + 1, &end, 10);
		n += (int)(to - from + 1);
		list = *end == ',' ? end + 1 : end;
	}
	return n;
}

static void read_speed(struct place *p, struct vitals *v)
{
	long n;

	for (int cpu = 0; cpu < 1024; cpu++) {
		char governor[32];

		if (line_of(at(p, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu),
			    governor, sizeof governor))
			add_word(v->governors, sizeof v->governors, governor);
		else if (!there(at(p, "/sys/devices/system/cpu/cpu%d", cpu)))
			break;
	}
	n = number_of(at(p, "/sys/devices/system/cpu/intel_pstate/no_turbo"), -1);
	v->turbo_is_pstate = n >= 0;
	if (n < 0) {
		n = number_of(at(p, "/sys/devices/system/cpu/cpufreq/boost"), -1);
		n = n < 0 ? n : !n;
	}
	v->turbo = n < 0 ? TURBO_UNKNOWN : n ? TURBO_OFF : TURBO_ON;
}

static void read_cpus(struct place *p, struct vitals *v)
{
	char online[256];

	line_of(at(p, "/sys/devices/system/cpu/online"), online, sizeof online);
	v->n_online = count_list(online);
	line_of(at(p, "/sys/devices/system/cpu/isolated"), v->isolated, sizeof v->isolated);
	line_of(at(p, "/sys/devices/system/cpu/nohz_full"), v->nohz_full, sizeof v->nohz_full);
	if (strspn(v->nohz_full, "0123456789-,") != strlen(v->nohz_full))
		v->nohz_full[0] = '\0'; /* "(null)" */
	v->smt = (int)number_of(at(p, "/sys/devices/system/cpu/smt/active"), -1);
	line_of(at(p, "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
		v->clocksource, sizeof v->clocksource);
	read_speed(p, v);
}

static int order(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* Calls fn with each name in a folder, in order. */
static void each_name(struct place *p, const char *dir, struct vitals *v,
	void (*fn)(struct place *p, const char *name, struct vitals *v))
{
	struct dirent **names;
	int n = scandir(at(p, "%s", dir), &names, not_hidden, order);

	for (int i = 0; i < n; i++) {
		fn(p, names[i]->d_name, v);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void read_flaw(struct place *p, const char *name, struct vitals *v)
{
	if (v->n_flaws == VITALS_FLAWS_MAX)
		return;
	snprintf(v->flaws[v->n_flaws].name, sizeof v->flaws[0].name, "%s", name);
	if (line_of(at(p, "/sys/devices/system/cpu/vulnerabilities/%s", name),
		    v->flaws[v->n_flaws].state, sizeof v->flaws[0].state))
		v->n_flaws++;
}

/* A group whose functions, but for bridges, are several, and one of which is a NIC. */
static void read_group(struct place *p, const char *name, struct vitals *v)
{
	char class[16], list[128] = "", dir[PATH_MAX];
	struct dirent **names;
	bool nic = false;
	int n, n_functions = 0;

	line_of(at(p, "/sys/kernel/iommu_groups/%s/type", name), list, sizeof list);
	add_word(v->iommu_types, sizeof v->iommu_types, list);
	v->n_groups++;
	snprintf(list, sizeof list, "%.16s: ", name);
	snprintf(dir, sizeof dir, "/sys/kernel/iommu_groups/%s/devices", name);
	n = scandir(at(p, "%s", dir), &names, not_hidden, order);
	for (int i = 0; i < n; i++) {
		size_t len = strlen(list);

		line_of(at(p, "%s/%s/class", dir, names[i]->d_name), class, sizeof class);
		if (strncmp(class, "0x06", 4) != 0)
			snprintf(list + len, sizeof list - len, "%s%s", n_functions++ ? ", " : "",
				names[i]->d_name);
		nic |= strncmp(class, "0x02", 4) == 0;
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (nic && n_functions > 1 && v->n_shared < VITALS_SHARED_MAX)
		memcpy(v->shared[v->n_shared++], list, sizeof list);
}

static void read_firmware(struct vitals_nic *nic)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq req = { .ifr_data = (char *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(req.ifr_name, sizeof req.ifr_name, "%s", nic->name);
	if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &req) == 0)
		snprintf(nic->firmware, sizeof nic->firmware, "%.*s", (int)sizeof info.fw_version,
			info.fw_version);
	if (fd >= 0)
		close(fd);
}

/* The last part of where a link leads; "" if it is none. */
static void link_end(const char *path, char *out, size_t size)
{
	char to[PATH_MAX];
	ssize_t n = readlink(path, to, sizeof to - 1);

	out[0] = '\0';
	if (n <= 0)
		return;
	to[n] = '\0';
	snprintf(out, size, "%s", strrchr(to, '/') ? strrchr(to, '/') + 1 : to);
}

static void read_nic(struct place *p, const char *name, struct vitals *v)
{
	struct vitals_nic *nic = &v->nics[v->n_nics];

	if (v->n_nics == VITALS_NICS_MAX || !there(at(p, "/sys/class/net/%s/device", name)))
		return;
	v->n_nics++;
	snprintf(nic->name, sizeof nic->name, "%s", name);
	link_end(p->path, nic->pci, sizeof nic->pci);
	link_end(at(p, "/sys/class/net/%s/device/driver", name), nic->driver, sizeof nic->driver);
	nic->numa_node = (int)number_of(at(p, "/sys/class/net/%s/device/numa_node", name), -1);
	nic->speed_mbps = (int)number_of(at(p, "/sys/class/net/%s/speed", name), -1);
	if (!p->root[0])
		read_firmware(nic);
}

static void read_taps(struct place *p, struct vitals *v)
{
	static const char *const filters[] = { "iptables", "ip6tables", "arptables" };

	v->tun = there(at(p, "/dev/net/tun")) || there(at(p, "/sys/class/misc/tun"));
	v->vhost_net = line_of(
		at(p, "/sys/class/misc/vhost-net/dev"), v->vhost_net_dev, sizeof v->vhost_net_dev);
	v->vhost_net_file = there(at(p, "/dev/vhost-net"));
	for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
		if (number_of(at(p, "/proc/sys/net/bridge/bridge-nf-call-%s", filters[i]), 0) > 0)
			add_word(v->bridge_filter, sizeof v->bridge_filter, filters[i]);
}

static void read_virtualization(struct place *p, struct vitals *v)
{
	char text[8];

	line_of(at(p, "/sys/class/misc/kvm/dev"), v->kvm_dev, sizeof v->kvm_dev);
	v->kvm_module =
		there(at(p, "/sys/module/kvm_intel")) || there(at(p, "/sys/module/kvm_amd"));
	v->vfio = there(at(p, "/sys/bus/pci/drivers/vfio-pci"));
	line_of(at(p, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"), text, sizeof text);
	v->vfio_noiommu = text[0] == 'Y';
	each_name(p, "/sys/kernel/iommu_groups", v, read_group);
}

void vitals_read(const char *root, struct vitals *v)
{
	struct place p = { .root = root };
	struct rlimit lock;

	memset(v, 0, sizeof *v);
	line_of(at(&p, "/proc/sys/kernel/osrelease"), v->kernel, sizeof v->kernel);
	read_cpuinfo(&p, v);
	read_memory(&p, v);
	read_cpus(&p, v);
	read_virtualization(&p, v);
	read_taps(&p, v);
	each_name(&p, "/sys/devices/system/cpu/vulnerabilities", v, read_flaw);
	each_name(&p, "/sys/class/net", v, read_nic);
	v->memlock = UINT64_MAX;
	if (!root[0] && getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur != RLIM_INFINITY)
		v->memlock = lock.rlim_cur;
	v->root = !root[0] && geteuid() == 0;
}
