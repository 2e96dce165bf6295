/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: what this host lacks, or is poorer without, why it matters, and the command that mends
 * it. What the kernel's files say is doctor.c's; here is what has to be tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "image/image.h"
#include "lab/cmd.h"
#include "lab/doctor.h"
#include "lab/paths.h"

static void examine_kvm_caps(const struct paths *p, struct doctor_finding *f)
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
		doctor_say(f, DOCTOR_LACKING, "", "not known without /dev/kvm");
		return;
	}
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	doctor_say(f, DOCTOR_GOOD, "", "API version %d, and all that is used", version);
	if (version != KVM_API_VERSION)
		doctor_say(f, DOCTOR_LACKING, "use a kernel of 2.6.22 or later",
			"API version %d, not %d", version, KVM_API_VERSION);
	for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
		if (ioctl(fd, KVM_CHECK_EXTENSION, caps[i].cap) <= 0)
			doctor_say(f, DOCTOR_LACKING,
				"use a newer kernel, or another hypervisor above this host",
				"KVM here has no %s", caps[i].name);
	}
	close(fd);
}

static void examine_run(const struct paths *p, struct doctor_finding *f)
{
	char parent[LAB_PATH_MAX], *slash;
	const char *at = p->run;

	snprintf(parent, sizeof parent, "%s", p->run);
	slash = strrchr(parent, '/');
	if (access(at, F_OK) < 0 && slash) {
		*(slash == parent ? slash + 1 : slash) = '\0';
		at = parent;
	}
	if (access(at, W_OK) == 0)
		doctor_say(f, DOCTOR_GOOD, "", "%s", p->run);
	else
		doctor_say(f, DOCTOR_LACKING, "use sudo, or export LANYARD_RUN=/tmp/lanyard-$USER",
			"%s: %s", p->run, err_str(errno));
}

static void examine_programs(const struct paths *p, struct doctor_finding *f)
{
	struct err e = { 0 };

	if (paths_check(p, true, false, &e) == 0)
		doctor_say(f, DOCTOR_GOOD, "",
			"lanyard-switch, lanyard-vmm, lanyard-traffic and probe.elf are there");
	else
		doctor_say(f, DOCTOR_LACKING, "meson setup build; ninja -C build", "%s", e.text);
}

/* DPDK is linked into the switch: whether that runs at all is the question. */
static void examine_dpdk(const struct paths *p, struct doctor_finding *f)
{
	char cmd[LAB_PATH_MAX + 64], line[200] = "";
	FILE *pipe;
	int status;

	snprintf(cmd, sizeof cmd, "'%s' --help 2>&1 </dev/null", p->sw);
	pipe = p->sw[0] && !strchr(p->sw, '\'') ? popen(cmd, "re") : NULL;
	if (!pipe) {
		doctor_say(f, DOCTOR_LACKING, "meson setup build; ninja -C build",
			"there is no lanyard-switch");
		return;
	}
	if (!fgets(line, sizeof line, pipe))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	status = pclose(pipe);
	if (status == 0)
		doctor_say(f, DOCTOR_GOOD, "", "lanyard-switch runs");
	else
		doctor_say(f, DOCTOR_LACKING, "sudo apt-get install libdpdk-dev; ninja -C build",
			"lanyard-switch does not run: %s", line);
}

/* A Linux guest boots the host's kernel; without one it has to name its own. */
static void examine_kernel(const struct paths *p, struct doctor_finding *f)
{
	struct image_kernel k;
	struct err e = { 0 };

	if (image_kernel_find(host_boot(), NULL, &k, &e) == 0)
		doctor_say(f, DOCTOR_GOOD, "", "%.120s, modules in %.100s", k.path, k.modules);
	else
		doctor_say(f, DOCTOR_POORER,
			e.code == -EACCES ? "use sudo" : "sudo apt-get install linux-image-amd64",
			"%.200s", e.text);
}

static void examine_init(const struct paths *p, struct doctor_finding *f)
{
	struct err e = { 0 };

	if (paths_check(p, false, true, &e) == 0)
		doctor_say(f, DOCTOR_GOOD, "", "lanyard-init is there");
	else
		doctor_say(f, DOCTOR_POORER, "meson setup build; ninja -C build", "%.200s", e.text);
}

/* The sentence ends with the command that mends it. */
static void examine_tool(int r, const char *path, const struct err *e, struct doctor_finding *f)
{
	const char *colon = strrchr(e->text, ':');

	if (r == 0)
		doctor_say(f, DOCTOR_GOOD, "", "%s", path);
	else
		doctor_say(f, DOCTOR_POORER, colon ? colon + 2 : "", "%.*s",
			colon ? (int)(colon - e->text) : (int)strlen(e->text), e->text);
}

static void examine_virtiofsd(const struct paths *p, struct doctor_finding *f)
{
	struct err e = { 0 };

	examine_tool(paths_check_virtiofsd(p, &e), p->virtiofsd, &e, f);
}

static void examine_storage(const struct paths *p, struct doctor_finding *f)
{
	struct err e = { 0 };

	examine_tool(paths_check_storage(p, &e), p->storage, &e, f);
}

static const struct trial {
	const char *name;
	enum doctor_field field;
	const char *why;
	void (*fn)(const struct paths *p, struct doctor_finding *f);
} trials[] = {
	{ "KVM features", DOCTOR_LABS, "the VMM stands on them", examine_kvm_caps },
	{ "programs", DOCTOR_LABS, "they are what a lab is made of", examine_programs },
	{ "DPDK", DOCTOR_LABS, "the switch is linked to it", examine_dpdk },
	{ "run folder", DOCTOR_LABS, "sockets, logs and records of labs are in it", examine_run },
	{ "guest kernel", DOCTOR_LINUX, "Linux guests boot it, unless they name another",
		examine_kernel },
	{ "guest init", DOCTOR_LINUX, "it is what their initramfs begins with", examine_init },
	{ "virtiofsd", DOCTOR_LINUX, "\"root\": \"host\" and \"shares\" are its work",
		examine_virtiofsd },
	{ "storage", DOCTOR_LINUX, "it serves disks of formats other than raw", examine_storage },
};
#define N_TRIALS (sizeof trials / sizeof trials[0])

static size_t examine(struct doctor_finding *f)
{
	struct vitals v;
	struct paths paths;
	struct host h;
	size_t n;

	host_read("", &h);
	vitals_read("", &v);
	paths_read(&paths);
	n = doctor_examine(&h, &v, f);
	for (size_t i = 0; i < N_TRIALS; i++, n++) {
		f[n] = (struct doctor_finding){
			.name = trials[i].name, .why = trials[i].why, .field = trials[i].field
		};
		trials[i].fn(&paths, &f[n]);
	}
	return n;
}

static void print_field(const struct doctor_finding *f, size_t n, enum doctor_field field)
{
	static const char *const heads[] = { "Labs", "Figures (no lab needs these)",
		"VFs (no other lab needs these)", "Linux guests (no other lab needs these)" };

	printf("%s\n", heads[field]);
	for (size_t i = 0; i < n; i++) {
		if (f[i].field != field)
			continue;
		printf("  %-8s %-13s %s\n", doctor_word(f[i].verdict), f[i].name, f[i].found);
		if (f[i].verdict != DOCTOR_GOOD)
			printf("%25s why:  %s\n", "", f[i].why);
		if (f[i].mend[0])
			printf("%25s mend: %s\n", "", f[i].mend);
	}
}

int cmd_doctor(const struct cmd_args *a)
{
	struct doctor_finding f[DOCTOR_MAX + N_TRIALS];
	size_t n = examine(f), n_lacking = 0;
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		n_lacking += f[i].verdict == DOCTOR_LACKING;
		json_array_append_new(list, doctor_json(&f[i]));
	}
	if (a->given & CMD_JSON) {
		cmd_print_json(json_pack("{s:i, s:b, s:O}", "version", 1, "fit", n_lacking == 0,
			"examinations", list));
	} else {
		for (int field = DOCTOR_LABS; field <= DOCTOR_LINUX; field++)
			print_field(f, n, (enum doctor_field)field);
		puts(n_lacking ? "\nThis host lacks something; the commands above mend it."
			       : "\nThis host can run labs.");
	}
	json_decref(list);
	return n_lacking ? 3 : 0;
}
