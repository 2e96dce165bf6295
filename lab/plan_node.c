/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a lab's nodes. A VM is one process of ours; what its guest needs besides comes
 * before it: the initramfs of a Linux guest (image), the storage daemon that serves disks of other
 * formats than raw (disks: one process for all of a node), a virtiofsd for each shared folder
 * (share). These are started and not waited for: the VM's own step waits, just before it starts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/plan.h"
#include "lab/vf.h"

#define PROCESS_RING 1024 /* descriptors: 0.1 s of 10,000 frames a second, if it has no CPU */
#define ROOT_TAG     "lanyard-root" /* of virtiofs: image/image.h */
#define LINUX_CMDLINE \
	"console=ttyS0 quiet" /* before the user's own, which may say "ignore_loglevel" */

/* An option and its value, to the arguments `a`. */
#define OPT(option, ...) (strs_add(a, "--" option), strs_add(a, __VA_ARGS__))

char *plan_path(const struct plan *p, const char *given)
{
	const char *slash = strrchr(p->file, '/');

	if (given[0] == '/' || !slash)
		return lab_strdup(given);
	return lab_asprintf("%.*s/%s", (int)(slash - p->file), p->file, given);
}

static json_t *text_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

/* ---- the initramfs ---- */

static json_t *addresses_of(const struct topo_nic *nic)
{
	json_t *list = json_array();

	for (size_t i = 0; i < nic->n_addresses; i++)
		json_array_append_new(list, json_string(nic->addresses[i].text));
	return list;
}

/* Place holders of the node's VFs, for the modules that drive them; NULL: it has none. */
static json_t *functions_of(const struct topology *t, const struct topo_node *node)
{
	json_t *list = NULL;

	for (size_t i = 0; i < node->n_nics; i++) {
		char *ref = node->nics[i].vf.want ? vf_ref(t, &node->nics[i].vf, node->nics[i].mac)
						  : NULL;

		if (ref && !list)
			list = json_array();
		if (ref)
			json_array_append_new(list, json_string(ref));
		free(ref);
	}
	return list;
}

/* What the guest's init reads: docs/control.md. */
static json_t *guest_config(const struct topo_node *node)
{
	static const char *const roots[] = { "none", "host", "disk" };
	json_t *nics = json_array(), *routes = json_array(), *shares = json_array();
	char mac[ETHER_MAC_STR];

	for (size_t i = 0; i < node->n_nics; i++)
		json_array_append_new(nics,
			json_pack("{s:s, s:o}", "mac", ether_mac_str(node->nics[i].mac, mac),
				"addresses", addresses_of(&node->nics[i])));
	for (size_t i = 0; i < node->n_routes; i++)
		json_array_append_new(routes,
			json_pack("{s:s, s:s}", "to", node->routes[i].to.text, "via",
				node->routes[i].via.text));
	for (size_t i = 0; i < node->n_shares; i++)
		json_array_append_new(shares,
			json_pack("{s:s, s:b}", "tag", node->shares[i].tag, "readonly",
				node->shares[i].readonly));
	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o}", "hostname", node->name, "root",
		roots[node->root], "forward", node->forward, "nics", nics, "routes", routes,
		"shares", shares);
}

static json_t *files_of(const struct plan *p, const struct topo_node *node)
{
	json_t *list = json_array();

	for (size_t i = 0; i < node->n_files; i++) {
		char *from = plan_path(p, node->files[i].from);

		json_array_append_new(
			list, json_pack("{s:s, s:s}", "from", from, "to", node->files[i].to));
		free(from);
	}
	return list;
}

static void add_image(struct plan *p, const struct topology *t, const struct topo_node *node,
	const struct paths *paths, const char *kernel)
{
	struct step *s = plan_add(p, STEP_IMAGE);
	bool none = node->modules && strcmp(node->modules, "none") == 0;
	char *modules = node->modules && !none ? plan_path(p, node->modules) : NULL;

	s->name = lab_strdup(node->name);
	s->path = lab_asprintf("%s/%s.initrd", p->dir, node->name);
	s->policy = json_pack("{s:s, s:s, s:o, s:b, s:i, s:b, s:b, s:o, s:o, s:o*}", "init",
		paths->init, "kernel", kernel, "modules", text_or_null(modules), "no_modules", none,
		"root", (int)node->root, "disks", node->n_disks > 0, "shares", node->n_shares > 0,
		"files", files_of(p, node), "config", guest_config(node), "functions",
		functions_of(t, node));
	free(modules);
}

/* ---- who serves disks and folders ---- */

static bool is_served(const struct topo_disk *disk)
{
	return disk->format != TOPO_RAW;
}

/* JSON, so that a path may hold whatever it likes. */
static void add_served_disk(
	struct step *s, const struct plan *p, const struct topo_node *node, size_t k)
{
	static const char *const drivers[] = {
		[TOPO_RAW] = "raw", [TOPO_QCOW2] = "qcow2", [TOPO_VMDK] = "vmdk", [TOPO_VHD] = "vpc"
	};
	const struct topo_disk *disk = &node->disks[k];
	struct strs *a = &s->args;
	char *file = plan_path(p, disk->file), *socket, *text, id[16];
	json_t *j;

	snprintf(id, sizeof id, "disk%zu", k);
	socket = lab_asprintf("%s/%s.%s.vhost", p->dir, node->name, id);
	j = json_pack("{s:s, s:s, s:b, s:s, s:{s:s, s:s}}", "driver", drivers[disk->format],
		"node-name", id, "read-only", disk->readonly, "discard", "unmap", "file", "driver",
		"file", "filename", file);
	text = json_dumps(j, JSON_COMPACT);
	OPT("blockdev", "%s", text);
	free(text);
	json_decref(j);
	j = json_pack("{s:s, s:s, s:s, s:b, s:i, s:{s:s, s:s}}", "type", "vhost-user-blk", "id", id,
		"node-name", id, "writable", !disk->readonly, "num-queues", (int)disk->queues,
		"addr", "type", "unix", "path", socket);
	text = json_dumps(j, JSON_COMPACT);
	OPT("export", "%s", text);
	free(text);
	json_decref(j);
	free(socket);
	free(file);
}

/* The pid file is written when all exports are there. */
static void add_disks(struct plan *p, const struct topo_node *node, const struct paths *paths)
{
	struct step *s = NULL;
	struct strs *a;

	for (size_t k = 0; k < node->n_disks; k++) {
		if (!is_served(&node->disks[k]))
			continue;
		if (!s) {
			s = plan_add(p, STEP_DISKS);
			a = &s->args;
			s->name = lab_strdup(node->name);
			s->socket = lab_asprintf("%s/%s.disks.pid", p->dir, node->name);
			s->log = lab_asprintf("%s/%s.disks.log", p->dir, node->name);
			strs_add(a, "%s", paths->storage);
			OPT("pidfile", "%s", s->socket);
		}
		add_served_disk(s, p, node, k);
	}
}

/* Debian 12's, in C, takes other options than Debian 13's, in Rust. */
static void virtiofsd_options(
	struct strs *a, const char *program, const char *socket, const char *folder)
{
	size_t n = strlen(program);

	strs_add(a, "%s", program);
	strs_add(a, "--socket-path=%s", socket);
	if (n > 15 && strcmp(program + n - 15, "/qemu/virtiofsd") == 0) {
		strs_add(a, "-f");
		strs_add(a, "-o");
		strs_add(a, "source=%s,sandbox=chroot,cache=auto,log_level=warn", folder);
		return;
	}
	strs_add(a, "--shared-dir=%s", folder);
	/* An overlay, as a guest's root is one, has no use for a folder that is a mount point. */
	strs_add(a, "--no-announce-submounts");
	strs_add(a, "--sandbox=chroot");
	strs_add(a, "--cache=auto");
	strs_add(a, "--log-level=warn");
}

/* A folder that is only to be read is made so on this side: the guest is not asked. */
static void add_share(struct plan *p, const struct topo_node *node, size_t k, const char *path,
	bool readonly, const struct paths *paths)
{
	struct step *s = plan_add(p, STEP_SHARE);
	struct strs *a = &s->args;

	s->name = lab_asprintf("%s.fs%zu", node->name, k);
	s->socket = lab_asprintf("%s/%s.vhost", p->dir, s->name);
	s->log = lab_asprintf("%s/%s.log", p->dir, s->name);
	s->network = lab_strdup(path);
	if (readonly) {
		s->path = lab_asprintf("%s/%s.dir", p->dir, s->name);
		strs_add(a, "%s", paths->self);
		strs_add(a, "show-folder");
		strs_add(a, "%s", path);
		strs_add(a, "%s", s->path);
	}
	virtiofsd_options(a, paths->virtiofsd, s->socket, readonly ? s->path : path);
}

static void add_shares(struct plan *p, const struct topo_node *node, const struct paths *paths)
{
	size_t n = 0;

	if (node->root == TOPO_ROOT_HOST)
		add_share(p, node, n++, "/", true, paths);
	for (size_t k = 0; k < node->n_shares; k++) {
		char *path = plan_path(p, node->shares[k].path);

		add_share(p, node, n++, path, node->shares[k].readonly, paths);
		free(path);
	}
}

/* ---- the VM ---- */

/* PVH ELF or bzImage: the probe of ours, the kernel of a Linux guest, or a file of the user's. */
static char *kernel_path(const struct plan *p, const struct topo_node *node, const struct host *h,
	const struct paths *paths)
{
	switch (node->guest_kind) {
	case TOPO_GUEST_PROBE:
		return lab_strdup(paths->probe);
	case TOPO_GUEST_LINUX:
		return node->kernel ? plan_path(p, node->kernel) : lab_strdup(h->kernel);
	case TOPO_GUEST_FILE:
		break;
	}
	return plan_path(p, node->guest);
}

static void boot_options(
	struct strs *a, const struct plan *p, const struct topo_node *node, const char *kernel)
{
	char *initramfs;

	OPT("kernel", "%s", kernel);
	switch (node->guest_kind) {
	case TOPO_GUEST_PROBE:
		OPT("cmdline", "tsc_hz=" PLAN_TSC_HZ " node=%s", node->name);
		break;
	case TOPO_GUEST_LINUX:
		OPT("initrd", "%s/%s.initrd", p->dir, node->name);
		OPT("cmdline", LINUX_CMDLINE "%s%s", node->cmdline ? " " : "",
			node->cmdline ? node->cmdline : "");
		strs_add(a, "--rng");
		break;
	case TOPO_GUEST_FILE:
		if (node->initramfs) {
			initramfs = plan_path(p, node->initramfs);
			OPT("initrd", "%s", initramfs);
			free(initramfs);
		}
		if (node->cmdline)
			OPT("cmdline", "%s", node->cmdline);
		break;
	}
}

static void cpu_options(struct strs *a, const struct topo_node *node, const char *cpus)
{
	static const char *const huge[] = { "auto", "2M", "1G", "none" };
	const struct topo_cpu *cpu = &node->cpu;
	char without[TOPO_WITHOUT_MAX * (TOPO_NAME_MAX + 1)];
	size_t at = 0;

	OPT("memory", "%" PRIu64 "M", node->memory >> 20);
	if (node->hugepages != TOPO_HUGE_AUTO)
		OPT("hugepages", "%s", huge[node->hugepages]);
	if (cpu->cores)
		OPT("vcpus", "%u,sockets=%u,cores=%u,threads=%u", node->vcpus, cpu->sockets,
			cpu->cores, cpu->threads);
	else
		OPT("vcpus", "%u", node->vcpus);
	OPT("cpus", "%s", cpus);
	for (size_t i = 0; i < cpu->n_without; i++)
		at += (size_t)snprintf(
			without + at, sizeof without - at, "%s%s", i ? "," : "", cpu->without[i]);
	if (cpu->n_without)
		OPT("cpu-without", "%s", without);
}

static void disk_options(struct strs *a, const struct plan *p, const struct topo_node *node)
{
	for (size_t k = 0; k < node->n_disks; k++) {
		const struct topo_disk *disk = &node->disks[k];
		char *file = plan_path(p, disk->file), serial[TOPO_SERIAL_MAX + 16] = "";

		if (disk->serial)
			snprintf(serial, sizeof serial, ",serial=%s", disk->serial);
		if (is_served(disk))
			OPT("disk", "socket=%s/%s.disk%zu.vhost,queues=%u%s", p->dir, node->name, k,
				disk->queues, serial);
		else
			OPT("disk", "file=%s,queues=%u%s%s", file, disk->queues,
				disk->readonly ? ",readonly=on" : "", serial);
		free(file);
	}
}

static void share_options(struct strs *a, const struct plan *p, const struct topo_node *node)
{
	size_t n = 0;

	if (node->root == TOPO_ROOT_HOST)
		OPT("fs", "socket=%s/%s.fs%zu.vhost,tag=" ROOT_TAG, p->dir, node->name, n++);
	for (size_t k = 0; k < node->n_shares; k++)
		OPT("fs", "socket=%s/%s.fs%zu.vhost,tag=%s", p->dir, node->name, n++,
			node->shares[k].tag);
}

/* The interface of the NIC's tap, whose step is there already. */
static const char *tap_of(
	const struct plan *p, const struct topology *t, const struct topo_node *node, size_t nic)
{
	char name[TOPO_NAME_MAX + 12];

	return plan_find(p, STEP_TAP, topology_port_name(t, (size_t)(node - t->nodes), nic, name))
		->device;
}

static void nic_options(struct strs *a, const struct plan *p, const struct topology *t,
	const struct topo_node *node)
{
	for (size_t j = 0; j < node->n_nics; j++) {
		const struct topo_nic *nic = &node->nics[j];
		char mac[ETHER_MAC_STR], *ref;

		if (nic->vf.want) {
			ref = vf_ref(t, &nic->vf, nic->mac);
			OPT("vfio", "pci=%s", ref);
			free(ref);
			continue;
		}
		if (topology_nic_is_tap(t, nic)) {
			OPT("nic", "tap=%s,mac=%s,queues=%u,mtu=%u", tap_of(p, t, node, j),
				ether_mac_str(nic->mac, mac), nic->queues,
				t->networks[nic->network].mtu);
			continue;
		}
		OPT("nic", "socket=%s/%s.%zu.vhost,mac=%s,queues=%u,mtu=%u%s", p->dir, node->name,
			j, ether_mac_str(nic->mac, mac), nic->queues, t->networks[nic->network].mtu,
			node->guest_kind != TOPO_GUEST_PROBE && !nic->packed ? ",packed=off" : "");
	}
}

/* The node's process, VMM or traffic engine; more arguments are added to what is returned. */
static struct strs *add_daemon(
	struct plan *p, enum step_kind kind, const struct topo_node *node, const char *program)
{
	struct step *s = plan_add(p, kind);
	struct strs *a = &s->args;

	s->name = lab_strdup(node->name);
	s->socket = lab_asprintf("%s/%s.sock", p->dir, node->name);
	s->log = lab_asprintf("%s/%s.log", p->dir, node->name);
	strs_add(a, "%s", program);
	OPT("name", "%s", node->name);
	OPT("control", "%s", s->socket);
	OPT("agent", "%s/%s.agent", p->dir, node->name);
	return a;
}

static void add_vm(struct plan *p, const struct topology *t, size_t i, const struct paths *paths,
	const char *kernel)
{
	const struct topo_node *node = &t->nodes[i];
	struct strs *a = add_daemon(p, STEP_VM, node, paths->vmm);
	char cpus[1024];

	OPT("console", "%s/%s.console", p->dir, node->name);
	OPT("console-log", "%s/%s.console.log", p->dir, node->name);
	OPT("user", "own");
	boot_options(a, p, node, kernel);
	cpu_options(a, node, place_list(&p->place, (int)i, cpus, sizeof cpus));
	nic_options(a, p, t, node);
	disk_options(a, p, node);
	share_options(a, p, node);
}

static void add_vm_parts(struct plan *p, const struct topology *t, size_t i, const struct host *h,
	const struct paths *paths)
{
	const struct topo_node *node = &t->nodes[i];
	char *kernel = kernel_path(p, node, h, paths);

	if (node->guest_kind == TOPO_GUEST_LINUX)
		add_image(p, t, node, paths, kernel);
	add_disks(p, node, paths);
	add_shares(p, node, paths);
	add_vm(p, t, i, paths, kernel);
	free(kernel);
}

static void add_process(
	struct plan *p, const struct topology *t, size_t i, const struct paths *paths)
{
	const struct topo_node *node = &t->nodes[i];
	struct strs *a = add_daemon(p, STEP_PROCESS, node, paths->traffic);
	char cpu[16];

	OPT("tsc-hz", "%s", PLAN_TSC_HZ);
	OPT("memory", "%" PRIu64, node->memory >> 20);
	OPT("queue-size", "%d", PROCESS_RING);
	OPT("cpu", "%s", place_list(&p->place, (int)i, cpu, sizeof cpu));
	for (size_t j = 0; j < node->n_nics; j++) {
		const struct topo_nic *nic = &node->nics[j];
		char mac[ETHER_MAC_STR];

		OPT("port", "%s/%s.%zu.vhost,mac=%s,mtu=%u,ring=%s,mergeable=%s", p->dir,
			node->name, j, ether_mac_str(nic->mac, mac), t->networks[nic->network].mtu,
			nic->packed ? "packed" : "split", nic->mergeable ? "on" : "off");
	}
}

/* How the node is known to be there; the NICs that it drives for sure, to *links. */
static void add_guest(
	struct plan *p, const struct topology *t, const struct topo_node *node, struct strs *links)
{
	struct step *s = plan_add(p, STEP_GUEST);

	s->name = lab_strdup(node->name);
	if (node->kind == TOPO_VM && node->guest_kind == TOPO_GUEST_FILE)
		return;
	s->socket = lab_asprintf("%s/%s.agent", p->dir, node->name);
	s->slow = node->kind == TOPO_VM && node->guest_kind == TOPO_GUEST_LINUX;
	for (size_t j = 0; j < node->n_nics; j++)
		if (!node->nics[j].vf.want && !topology_nic_is_tap(t, &node->nics[j]) &&
			!node->nics[j].policy.admin)
			strs_add(links, "%s.%zu", node->name, j);
}

void plan_add_nodes(
	struct plan *p, const struct topology *t, const struct host *h, const struct paths *paths)
{
	struct strs links = { 0 };

	for (size_t i = 0; i < t->n_nodes; i++) {
		if (t->nodes[i].kind == TOPO_VM)
			add_vm_parts(p, t, i, h, paths);
		else if (t->nodes[i].kind == TOPO_PROCESS)
			add_process(p, t, i, paths);
	}
	for (size_t i = 0; i < t->n_nodes; i++) {
		if (t->nodes[i].kind != TOPO_EXTERNAL)
			add_guest(p, t, &t->nodes[i], &links);
	}
	if (links.n)
		plan_add(p, STEP_LINKS)->args = links;
}
