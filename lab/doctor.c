/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/doctor.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAGES_GOOD  256 /* hugepages: enough for the topologies that come with Lanyard */
#define CPUS_GOOD   3   /* a worker and two vCPUs */
#define MEMORY_GOOD (512ull << 20)
#define LOCK_GOOD   (1ull << 30) /* a Linux guest with a VF, and some more */
#define GRUB        "add %s to GRUB_CMDLINE_LINUX in /etc/default/grub, sudo update-grub, reboot"

void doctor_say(
	struct doctor_finding *f, enum doctor_verdict v, const char *mend, const char *fmt, ...)
{
	va_list ap;

	f->verdict = v;
	snprintf(f->mend, sizeof f->mend, "%s", mend);
	va_start(ap, fmt);
	vsnprintf(f->found, sizeof f->found, fmt, ap);
	va_end(ap);
}

#define GOOD(f, ...)         doctor_say(f, DOCTOR_GOOD, "", __VA_ARGS__)
#define POORER(f, mend, ...) doctor_say(f, DOCTOR_POORER, mend, __VA_ARGS__)

/* ---- what labs need ---- */

static void kvm(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	unsigned major = 0, minor = 0;
	char mend[128];

	sscanf(v->kvm_dev, "%u:%u", &major, &minor);
	snprintf(mend, sizeof mend, "sudo mknod /dev/kvm c %u %u", major, minor);
	if (h->kvm == 0)
		GOOD(f, "/dev/kvm opens");
	else if (h->kvm == -EACCES || h->kvm == -EPERM)
		doctor_say(f, DOCTOR_LACKING,
			"sudo usermod -aG kvm $USER  (then log in again), or use sudo",
			"no permission for /dev/kvm");
	else if (h->kvm == -ENOENT && v->kvm_dev[0])
		doctor_say(
			f, DOCTOR_LACKING, mend, "KVM is there, its device file /dev/kvm is not");
	else
		doctor_say(f, DOCTOR_LACKING,
			"sudo modprobe kvm_intel || sudo modprobe kvm_amd  (virtualization must be on "
			"in the firmware, or in the hypervisor above)",
			"/dev/kvm: %s", err_str(h->kvm));
}

static void cpus(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	char list[128];

	host_cpus_text(h, list, sizeof list);
	if (h->n_cpus >= CPUS_GOOD)
		GOOD(f, "%zu may be used (%s)", h->n_cpus, list);
	else
		POORER(f, "give this host more CPUs (a worker and each vCPU want one of their own)",
			"%zu may be used (%s): they will be shared", h->n_cpus, list);
}

static void memory(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	bool enough = h->mem_available >= MEMORY_GOOD;

	doctor_say(f, enough ? DOCTOR_GOOD : DOCTOR_POORER,
		enough ? "" : "end what needs most (ps aux --sort=-rss)",
		"%.1f of %.1f GiB available", (double)h->mem_available / (1u << 30),
		(double)h->mem_total / (1u << 30));
}

static void hugepages(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	char mend[128];

	if (h->huge_free >= PAGES_GOOD) {
		GOOD(f, "%" PRIu64 " of %" PRIu64 " of 2 MiB are free", h->huge_free,
			h->huge_total);
		return;
	}
	snprintf(mend, sizeof mend, "sudo sysctl vm.nr_hugepages=%" PRIu64,
		h->huge_total + PAGES_GOOD - h->huge_free);
	POORER(f, mend,
		"%" PRIu64 " of %" PRIu64 " of 2 MiB are free; `up` adds what it needs while the "
		"kernel finds any",
		h->huge_free, h->huge_total);
}

static void modules(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (v->tun)
		GOOD(f, "tun is there");
	else
		POORER(f, "sudo modprobe tun", "tun is not there: no ports of kind tap");
}

/* The device file alone will do: the kernel loads the module when it is opened, if it has it. */
static void vhost_net(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	unsigned major = 0, minor = 0;
	char mend[128];

	sscanf(v->vhost_net_dev, "%u:%u", &major, &minor);
	snprintf(mend, sizeof mend, "sudo mknod /dev/vhost-net c %u %u", major, minor);
	if (v->vhost_net && v->vhost_net_file)
		GOOD(f, "vhost_net is loaded");
	else if (v->vhost_net_file)
		GOOD(f, "/dev/vhost-net is there, and loads it when it is opened");
	else if (v->vhost_net)
		POORER(f, mend, "vhost_net is loaded, its device file /dev/vhost-net is not there");
	else
		POORER(f, "sudo modprobe vhost_net",
			"vhost_net is not loaded, and there is no /dev/vhost-net: no networks of kind "
			"bridge");
}

/* ---- what figures depend on ---- */

static void bridge_filter(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	char mend[256] = "sudo sysctl";

	if (!v->bridge_filter[0]) {
		GOOD(f, "bridged frames pass by no firewall");
		return;
	}
	for (const char *word = v->bridge_filter; *word;) {
		size_t n = strcspn(word, ","), len = strlen(mend);

		snprintf(mend + len, sizeof mend - len, " net.bridge.bridge-nf-call-%.*s=0", (int)n,
			word);
		word += n + strspn(word + n, ", ");
	}
	POORER(f, mend, "br_netfilter hands bridged frames to %s", v->bridge_filter);
}

static void governor(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (!v->governors[0])
		GOOD(f, "none: the kernel doesn't scale the frequency here%s",
			v->virtual ? " (the hypervisor above may)" : "");
	else if (strcmp(v->governors, "performance") == 0)
		GOOD(f, "performance");
	else
		POORER(f,
			"echo performance | sudo tee "
			"/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
			"%s", v->governors);
}

static void turbo(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (v->turbo == TURBO_ON)
		POORER(f,
			v->turbo_is_pstate
				? "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
				: "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost",
			"on");
	else
		GOOD(f, "%s", v->turbo == TURBO_OFF ? "off" : "the kernel has no switch for it");
}

/* Isolated CPUs are not in the affinity that a shell hands down: up must be told. */
static void isolated(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	char mend[320], param[96];

	if (v->isolated[0]) {
		GOOD(f, "%s%s%s; labs get them with: sudo taskset -c %s lanyard up ..", v->isolated,
			v->nohz_full[0] ? ", without ticks: " : "", v->nohz_full, v->isolated);
		return;
	}
	if (v->n_online < CPUS_GOOD + 1) {
		POORER(f, "give this host more CPUs", "none, and %d CPU%s are too few for it",
			v->n_online, v->n_online == 1 ? "" : "s");
		return;
	}
	snprintf(param, sizeof param, "isolcpus=managed_irq,domain,2-%d nohz_full=2-%d",
		v->n_online - 1, v->n_online - 1);
	snprintf(mend, sizeof mend, GRUB, param);
	POORER(f, mend, "none: the kernel runs anything anywhere");
}

static void smt(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (v->smt == 1)
		POORER(f,
			"echo off | sudo tee /sys/devices/system/cpu/smt/control  (or name CPUs in the "
			"topology that are no siblings)",
			"on: two CPUs to a core");
	else
		GOOD(f, "%s", v->smt == 0 ? "no siblings at work" : "the kernel doesn't say");
}

static void tsc(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	static const char mend[] = "none: measure latency on another host";
	bool poor = strcmp(v->clocksource, "hpet") == 0 || strcmp(v->clocksource, "acpi_pm") == 0 ||
		strcmp(v->clocksource, "jiffies") == 0;

	if (!v->constant_tsc || !v->nonstop_tsc)
		POORER(f, mend, "its TSC is not constant or may stop: latencies can't be trusted");
	else if (poor)
		POORER(f, mend, "the kernel gave the TSC up for %s (dmesg says why)",
			v->clocksource);
	else
		GOOD(f, "the TSC is constant and never stops%s%s", v->clocksource[0] ? "; " : "",
			v->clocksource);
}

static void bare(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (v->virtual)
		POORER(f, "none: measure on a machine of your own",
			"this host is a virtual machine itself: others may have its CPUs at any time");
	else
		GOOD(f, "no hypervisor above this host");
}

/* ---- what VFs need ---- */

static void iommu(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	char mend[256];

	snprintf(mend, sizeof mend, GRUB "  (VT-d or AMD-Vi must be on in the firmware)",
		"\"intel_iommu=on iommu=pt\"");
	if (v->n_groups)
		GOOD(f, "%d group%s%s%s", v->n_groups, v->n_groups == 1 ? "" : "s",
			v->iommu_types[0] ? ", " : "", v->iommu_types);
	else
		POORER(f, mend, "none at work");
}

static void vfio(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (!v->vfio)
		POORER(f, "sudo modprobe vfio-pci", "vfio-pci is not loaded");
	else if (v->vfio_noiommu)
		POORER(f,
			"echo N | sudo tee /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
			"vfio-pci is loaded, and may work without an IOMMU: a device's guest could "
			"write to all memory");
	else
		GOOD(f, "vfio-pci is loaded");
}

static void acs(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (v->n_shared)
		POORER(f, "move the NIC to a slot of the CPU's own, below a port with ACS",
			"%zu IOMMU group%s of a NIC and others, group %s", v->n_shared,
			v->n_shared == 1 ? " is" : "s are", v->shared[0]);
	else if (v->n_groups)
		GOOD(f, "no NIC shares its IOMMU group");
	else
		GOOD(f, "no IOMMU, no groups");
}

static void memlock(const struct host *h, const struct vitals *v, struct doctor_finding *f)
{
	if (v->root)
		GOOD(f, "root locks as much as it likes");
	else if (v->memlock == UINT64_MAX)
		GOOD(f, "no limit");
	else if (v->memlock >= LOCK_GOOD)
		GOOD(f, "%" PRIu64 " MiB", v->memlock >> 20);
	else
		POORER(f,
			"echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/lanyard.conf  "
			"(then log in again), or use sudo",
			"%" PRIu64 " KiB may be locked", v->memlock >> 10);
}

/* ---- all of it ---- */

static const struct row {
	const char *name;
	enum doctor_field field;
	const char *why;
	void (*fn)(const struct host *h, const struct vitals *v, struct doctor_finding *f);
} rows[] = {
	{ "KVM", DOCTOR_LABS, "guests run on it (nodes of kind process need none)", kvm },
	{ "CPUs", DOCTOR_FIGURES, "threads that share a CPU wait for each other", cpus },
	{ "memory", DOCTOR_LABS, "guests are made of it", memory },
	{ "hugepages", DOCTOR_FIGURES, "without them the TLB misses at every frame", hugepages },
	{ "modules", DOCTOR_LABS, "ports of the host's kernel need it", modules },
	{ "vhost-net", DOCTOR_LABS, "it serves guests' NICs on networks of kind bridge (taps)",
		vhost_net },
	{ DOCTOR_BRIDGE_FILTER, DOCTOR_FIGURES,
		"each frame of a network of kind bridge goes through the host's rules: slower, and "
		"dropped where they say so",
		bridge_filter },
	{ "governor", DOCTOR_FIGURES, "another one lowers the frequency when a CPU sleeps",
		governor },
	{ "turbo", DOCTOR_FIGURES, "the frequency depends on heat and on what other cores do",
		turbo },
	{ "isolated CPUs", DOCTOR_FIGURES, "elsewhere the kernel interrupts threads at any time",
		isolated },
	{ "SMT", DOCTOR_FIGURES, "a busy sibling takes about half of a core", smt },
	{ "clock", DOCTOR_FIGURES, "latency is a difference of two readings of it", tsc },
	{ "bare metal", DOCTOR_FIGURES, "a hypervisor takes CPUs away, and shows none of it",
		bare },
	{ "IOMMU", DOCTOR_VFS, "a device that a guest has must reach that guest's memory only",
		iommu },
	{ "VFIO", DOCTOR_VFS, "it hands devices to guests", vfio },
	{ "ACS", DOCTOR_VFS, "a whole IOMMU group goes to one guest, or none of it", acs },
	{ "memlock", DOCTOR_VFS, "the memory of a guest that has a device is locked", memlock },
};

static_assert(sizeof rows / sizeof rows[0] <= DOCTOR_MAX, "DOCTOR_MAX");

size_t doctor_examine(const struct host *h, const struct vitals *v, struct doctor_finding *out)
{
	size_t n = sizeof rows / sizeof rows[0];

	for (size_t i = 0; i < n; i++) {
		out[i] = (struct doctor_finding){
			.name = rows[i].name, .why = rows[i].why, .field = rows[i].field
		};
		rows[i].fn(h, v, &out[i]);
	}
	return n;
}

bool doctor_siblings(
	const struct host *h, const struct lab_cpu *threads, size_t n, struct doctor_finding *f)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++) {
			const struct host_cpu *a = host_find_cpu(h, threads[i].cpu);
			const struct host_cpu *b = host_find_cpu(h, threads[k].cpu);

			if (!a || !b || a->cpu == b->cpu || a->core != b->core)
				continue;
			*f = (struct doctor_finding){ .name = "SMT siblings in use",
				.why = "a busy sibling takes about half of a core",
				.field = DOCTOR_FIGURES };
			POORER(f, "name CPUs in the topology that are no siblings",
				"%s on CPU %d and %s on CPU %d share a core", threads[k].who,
				b->cpu, threads[i].who, a->cpu);
			return true;
		}
	return false;
}

const char *doctor_word(enum doctor_verdict v)
{
	static const char *const words[] = { "good", "poorer", "lacking" };

	return words[v];
}

json_t *doctor_json(const struct doctor_finding *f)
{
	static const char *const fields[] = { "labs", "figures", "vfs", "linux guests" };

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", f->name, "field",
		fields[f->field], "verdict", doctor_word(f->verdict), "found", f->found, "why",
		f->why, "mend", f->mend);
}
