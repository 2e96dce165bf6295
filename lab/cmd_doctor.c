/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: one row a thing that Lanyard needs or is better with, and the command that mends it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "lab/cmd.h"
#include "lab/host.h"
#include "lab/paths.h"

#define PAGES_GOOD 256 /* hugepages: enough for the topologies that come with Lanyard */
#define CPUS_GOOD  3   /* a worker and two vCPUs */

enum verdict { GOOD, POORER, LACKING };

struct finding {
	enum verdict verdict;
	char found[256], mend[320]; /* mend: "" if nothing is to be done */
};

struct patient {
	struct host host;
	struct paths paths;
};

static void say(struct finding *f, enum verdict v, const char *mend, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(struct finding *f, enum verdict v, const char *mend, const char *fmt, ...)
{
	va_list ap;

	f->verdict = v;
	snprintf(f->mend, sizeof f->mend, "%s", mend);
	va_start(ap, fmt);
	vsnprintf(f->found, sizeof f->found, fmt, ap);
	va_end(ap);
}

static void examine_kvm(const struct patient *p, struct finding *f)
{
	if (p->host.kvm == 0)
		say(f, GOOD, "", "/dev/kvm opens");
	else if (p->host.kvm == -EACCES || p->host.kvm == -EPERM)
		say(f, LACKING, "sudo usermod -aG kvm $USER  (then log in again), or use sudo",
			"no permission for /dev/kvm");
	else
		say(f, LACKING,
			"sudo modprobe kvm_intel || sudo modprobe kvm_amd  (virtualization "
			"must be on in the firmware, or in the hypervisor above)",
			"/dev/kvm: %s", err_str(p->host.kvm));
}

static void examine_kvm_caps(const struct patient *p, struct finding *f)
{
	static const struct {
		int cap;
		const char *name;
	} caps[] = { { KVM_CAP_IRQCHIP, "irqchip" }, { KVM_CAP_IRQFD, "irqfd" },
		{ KVM_CAP_IOEVENTFD, "ioeventfd" }, { KVM_CAP_SIGNAL_MSI, "MSI" },
		{ KVM_CAP_USER_MEMORY, "user memory" },
		{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit" } };
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), version;

	if (fd < 0) {
		say(f, LACKING, "", "not known without /dev/kvm");
		return;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	say(f, GOOD, "", "API version %d, and all that is used", version);
	if (version != KVM_API_VERSION)
		say(f, LACKING, "use a kernel of 2.6.22 or later", "API version %d, not %d",
			version, KVM_API_VERSION);
	for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
		if (ioctl(fd, KVM_CHECK_EXTENSION, caps[i].cap) <= 0)
			say(f, LACKING, "use a newer kernel, or another hypervisor above this host",
				"KVM here has no %s", caps[i].name);
	}
	close(fd);
}

static void examine_hugepages(const struct patient *p, struct finding *f)
{
	const struct host *h = &p->host;
	char mend[128];

	if (h->huge_free >= PAGES_GOOD) {
		say(f, GOOD, "", "%" PRIu64 " of %" PRIu64 " of 2 MiB are free", h->huge_free,
			h->huge_total);
		return;
	}
	snprintf(mend, sizeof mend, "sudo sysctl vm.nr_hugepages=%" PRIu64,
		h->huge_total + PAGES_GOOD - h->huge_free);
	say(f, POORER, mend,
		"%" PRIu64 " of %" PRIu64 " of 2 MiB are free; `up` adds what it needs "
		"while the kernel finds any",
		h->huge_free, h->huge_total);
}

static void examine_cpus(const struct patient *p, struct finding *f)
{
	char list[128];

	host_cpus_text(&p->host, list, sizeof list);
	if (p->host.n_cpus >= CPUS_GOOD)
		say(f, GOOD, "", "%zu may be used (%s)", p->host.n_cpus, list);
	else
		say(f, POORER,
			"give this host more CPUs (a worker and each vCPU want one of "
			"their own)",
			"%zu may be used (%s): they will be shared", p->host.n_cpus, list);
}

static void examine_memory(const struct patient *p, struct finding *f)
{
	bool enough = p->host.mem_available >= 512ull << 20;

	say(f, enough ? GOOD : POORER, enough ? "" : "end what needs most (ps aux --sort=-rss)",
		"%.1f of %.1f GiB available", (double)p->host.mem_available / (1u << 30),
		(double)p->host.mem_total / (1u << 30));
}

static void examine_tsc(const struct patient *p, struct finding *f)
{
	char *text;
	bool ok;

	if (fd_read_file("/proc/cpuinfo", 4 << 20, &text, NULL, NULL)) {
		say(f, POORER, "", "/proc/cpuinfo can't be read");
		return;
	}
	ok = strstr(text, " constant_tsc") && strstr(text, " nonstop_tsc");
	free(text);
	if (ok)
		say(f, GOOD, "", "constant and never stops: latencies can be trusted");
	else
		say(f, POORER, "none: measure latency on another host",
			"not constant here: latencies can't be trusted");
}

static void examine_run(const struct patient *p, struct finding *f)
{
	char parent[LAB_PATH_MAX], *slash;
	const char *at = p->paths.run;

	snprintf(parent, sizeof parent, "%s", p->paths.run);
	slash = strrchr(parent, '/');
	if (access(at, F_OK) < 0 && slash) {
		*(slash == parent ? slash + 1 : slash) = '\0';
		at = parent;
	}
	if (access(at, W_OK) == 0)
		say(f, GOOD, "", "%s", p->paths.run);
	else
		say(f, LACKING, "use sudo, or export LANYARD_RUN=/tmp/lanyard-$USER", "%s: %s",
			p->paths.run, err_str(errno));
}

static void examine_programs(const struct patient *p, struct finding *f)
{
	struct err e = { 0 };

	if (paths_check(&p->paths, true, false, &e) == 0)
		say(f, GOOD, "",
			"lanyard-switch, lanyard-vmm, lanyard-traffic and probe.elf are there");
	else
		say(f, LACKING, "meson setup build; ninja -C build", "%s", e.text);
}

/* DPDK is linked into the switch: whether that runs at all is the question. */
static void examine_dpdk(const struct patient *p, struct finding *f)
{
	char cmd[LAB_PATH_MAX + 64], line[200] = "";
	FILE *pipe;
	int status;

	snprintf(cmd, sizeof cmd, "'%s' --help 2>&1 </dev/null", p->paths.sw);
	pipe = p->paths.sw[0] && !strchr(p->paths.sw, '\'') ? popen(cmd, "re") : NULL;
	if (!pipe) {
		say(f, LACKING, "meson setup build; ninja -C build", "there is no lanyard-switch");
		return;
	}
	if (!fgets(line, sizeof line, pipe))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	status = pclose(pipe);
	if (status == 0)
		say(f, GOOD, "", "lanyard-switch runs");
	else
		say(f, LACKING, "sudo apt-get install libdpdk-dev; ninja -C build",
			"lanyard-switch does not run: %s", line);
}

/* A Linux guest boots the host's kernel; without one it has to name its own. */
static void examine_kernel(const struct patient *p, struct finding *f)
{
	struct image_kernel k;
	struct err e = { 0 };

	if (image_kernel_find(host_boot(), NULL, &k, &e) == 0)
		say(f, GOOD, "", "%.120s, modules in %.100s", k.path, k.modules);
	else
		say(f, POORER,
			e.code == -EACCES ? "use sudo" : "sudo apt-get install linux-image-amd64",
			"%.200s", e.text);
}

static void examine_init(const struct patient *p, struct finding *f)
{
	struct err e = { 0 };

	if (paths_check(&p->paths, false, true, &e) == 0)
		say(f, GOOD, "", "lanyard-init is there");
	else
		say(f, POORER, "meson setup build; ninja -C build", "%.200s", e.text);
}

/* The sentence ends with the command that mends it. */
static void examine_tool(int r, const char *path, const struct err *e, struct finding *f)
{
	const char *colon = strrchr(e->text, ':');

	if (r == 0)
		say(f, GOOD, "", "%s", path);
	else
		say(f, POORER, colon ? colon + 2 : "", "%.*s",
			colon ? (int)(colon - e->text) : (int)strlen(e->text), e->text);
}

static void examine_virtiofsd(const struct patient *p, struct finding *f)
{
	struct err e = { 0 };

	examine_tool(paths_check_virtiofsd(&p->paths, &e), p->paths.virtiofsd, &e, f);
}

static void examine_storage(const struct patient *p, struct finding *f)
{
	struct err e = { 0 };

	examine_tool(paths_check_storage(&p->paths, &e), p->paths.storage, &e, f);
}

static const struct examination {
	const char *name;
	void (*fn)(const struct patient *p, struct finding *f);
} examinations[] = {
	{ "KVM", examine_kvm },
	{ "KVM features", examine_kvm_caps },
	{ "programs", examine_programs },
	{ "DPDK", examine_dpdk },
	{ "run folder", examine_run },
	{ "CPUs", examine_cpus },
	{ "memory", examine_memory },
	{ "hugepages", examine_hugepages },
	{ "TSC", examine_tsc },
	/* For Linux guests: nobody else misses them. */
	{ "guest kernel", examine_kernel },
	{ "guest init", examine_init },
	{ "virtiofsd", examine_virtiofsd },
	{ "storage", examine_storage },
};

int cmd_doctor(const struct cmd_args *a)
{
	static const char *const words[] = { "good", "poorer", "lacking" };
	bool as_json = a->given & CMD_JSON;
	json_t *list = json_array();
	struct patient p;
	int n_lacking = 0;

	host_read("", &p.host);
	paths_read(&p.paths);
	for (size_t i = 0; i < sizeof examinations / sizeof examinations[0]; i++) {
		struct finding f = { 0 };

		examinations[i].fn(&p, &f);
		n_lacking += f.verdict == LACKING;
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s}", "name", examinations[i].name, "verdict",
				words[f.verdict], "found", f.found, "mend", f.mend));
		if (as_json)
			continue;
		printf("%-8s %-13s %s\n", words[f.verdict], examinations[i].name, f.found);
		if (f.mend[0])
			printf("%22s mend: %s\n", "", f.mend);
	}
	if (as_json)
		cmd_print_json(json_pack("{s:i, s:b, s:O}", "version", 1, "fit", n_lacking == 0,
			"examinations", list));
	else
		puts(n_lacking ? "\nThis host lacks something; the commands above mend it."
			       : "\nThis host can run labs.");
	json_decref(list);
	return n_lacking ? 3 : 0;
}
