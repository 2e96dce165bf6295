/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "lab/check_node.h"
#include "lab/steps_tap.h"
#include "lab/steps_vf.h"

#define BZ_MAGIC_AT       0x202 /* of "HdrS": Linux, Documentation/arch/x86/boot.rst */
#define NOTE_PHYS32_ENTRY 18    /* XEN_ELFNOTE_PHYS32_ENTRY, of Xen's elfnote.h */

/* Notes are 4-byte aligned: name size, descriptor size, type, name, descriptor. */
static bool notes_have_pvh(const uint8_t *notes, size_t len)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		size_t name_len, desc_len;
		Elf64_Nhdr n;

		memcpy(&n, notes, sizeof n);
		notes += sizeof n;
		len -= sizeof n;
		name_len = ((size_t)n.n_namesz + 3) & ~(size_t)3;
		desc_len = ((size_t)n.n_descsz + 3) & ~(size_t)3;
		if (name_len > len || desc_len > len - name_len)
			return false;
		if (n.n_type == NOTE_PHYS32_ENTRY && n.n_namesz == 4 &&
			memcmp(notes, "Xen", 4) == 0)
			return true;
		notes += name_len + desc_len;
		len -= name_len + desc_len;
	}
	return false;
}

int check_guest_image(const uint8_t *image, size_t len, struct err *e)
{
	Elf64_Ehdr eh;

	/* Whether all of it is there, and for 64 bits, the VMM says when it loads it. */
	if (len > BZ_MAGIC_AT + 4 && memcmp(image + BZ_MAGIC_AT, "HdrS", 4) == 0)
		return 0;
	if (len < sizeof eh || memcmp(image, ELFMAG, SELFMAG) != 0)
		return err_request(e, -ENOEXEC,
			"is neither an ELF file nor a bzImage: a guest is \"probe\", \"linux\", an "
			"ELF with a PVH entry note, or a bzImage");
	memcpy(&eh, image, sizeof eh);
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64)
		return err_request(e, -ENOEXEC, "is an ELF, but not one for 64-bit x86");
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phoff > len ||
		eh.e_phnum > (len - eh.e_phoff) / sizeof(Elf64_Phdr))
		return err_request(e, -ENOEXEC, "is an ELF whose program headers are damaged");
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, image + eh.e_phoff + i * sizeof ph, sizeof ph);
		if (ph.p_type == PT_NOTE && ph.p_offset <= len &&
			ph.p_filesz <= len - ph.p_offset &&
			notes_have_pvh(image + ph.p_offset, ph.p_filesz))
			return 0;
	}
	return err_request(e, -ENOEXEC,
		"is an ELF without a PVH entry note (Xen, type %d): it "
		"can't be booted directly",
		NOTE_PHYS32_ENTRY);
}

int check_guest_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	struct stat st = { 0 };
	void *image;

	if (fd < 0)
		return err_request(e, -errno, "can't be read: %s", err_str(errno));
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		return err_request(
			e, -EISDIR, "is a folder, not an ELF with a PVH entry note or a bzImage");
	}
	image = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)
			       : MAP_FAILED;
	close(fd);
	if (image == MAP_FAILED)
		return check_guest_image(NULL, 0, e);
	r = check_guest_image(image, (size_t)st.st_size, e);
	munmap(image, (size_t)st.st_size);
	return r;
}

/* The argument after --kernel of the node's step. */
static const char *kernel_of(const struct plan *p, const char *node)
{
	const struct step *s = plan_find(p, STEP_VM, node);

	for (size_t i = 0; s && i + 1 < s->args.n; i++) {
		if (strcmp(s->args.v[i], "--kernel") == 0)
			return s->args.v[i + 1];
	}
	return "";
}

/* Whether the node is up already, and stays as it is. */
static bool runs(const struct plan *p, const char *node)
{
	const struct step *s = plan_node(p, node);

	return s && s->state == STEP_DONE;
}

/* An image of the user's is an ELF with a PVH note, or a bzImage. */
static int check_image(
	const struct topology *t, const struct plan *p, const struct topo_node *n, struct err *e)
{
	const char *path = kernel_of(p, n->name);
	struct err why = { 0 };
	int r = check_guest_file(path, &why);

	if (!r)
		return 0;
	return topology_error(t, n->guest_place, why.class, r, e, "guest %s of node \"%s\" %s",
		path, n->name, why.text);
}

static int check_nodes(const struct topology *t, const struct plan *p, const struct paths *paths,
	const struct host *h, struct err *e)
{
	uint64_t pages_1g = 0;

	for (size_t i = 0; i < t->n_nodes; i++) {
		const struct topo_node *n = &t->nodes[i];
		int r = 0;

		if (n->kind != TOPO_VM || runs(p, n->name))
			continue;
		if (n->guest_kind == TOPO_GUEST_FILE)
			r = check_image(t, p, n, e);
		if (!r)
			r = check_node(t, p, paths, h, n, e);
		if (!r && n->hugepages == TOPO_HUGE_1G) {
			pages_1g += n->memory >> 30;
			r = check_pages_1g(t, h, pages_1g, n, e);
		}
		if (r)
			return r;
	}
	return 0;
}

/* What nodes give back that end, or start anew otherwise: their steps are there twice. */
static uint64_t freed_memory(const struct plan *p)
{
	uint64_t sum = 0, size;

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];

		if (step_is_node(s) && s->state == STEP_DONE && plan_node(p, s->name) != s &&
			units_parse_size(step_option(s, "--memory"), &size, NULL) == 0)
			sum += size;
	}
	return sum;
}

static int check_memory(
	const struct topology *t, const struct plan *p, const struct host *h, struct err *e)
{
	uint64_t have = h->mem_available + h->huge_free * HOST_HUGE_SIZE + freed_memory(p);
	uint64_t sum = 0;
	char a[16], b[16];

	have = have >> 20 << 20;

	for (size_t i = 0; i < t->n_nodes; i++) {
		const struct topo_node *n = &t->nodes[i];

		if (n->kind == TOPO_EXTERNAL || runs(p, n->name))
			continue;
		if (n->memory <= have && sum <= have - n->memory) {
			sum += n->memory;
			continue;
		}
		if (sum == 0)
			return topology_error(t, n->memory_place, ERR_REQUEST, -ENOMEM, e,
				"node \"%s\" asks for %s, but this host has %s of memory free",
				n->name, units_format_size(n->memory, a),
				units_format_size(have, b));
		return topology_error(t, n->memory_place, ERR_REQUEST, -ENOMEM, e,
			"with node \"%s\" the guests' memory comes to %s, but this host has %s free",
			n->name, units_format_size(sum + n->memory, a), units_format_size(have, b));
	}
	return 0;
}

/* All sockets' paths, before anything is made. */
static int check_sockets(const struct topology *t, const struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];
		/* NODE.console is the longest of a VM's */
		size_t more = step_is_node(s) ? strlen(".console") - strlen(".sock") : 0;
		size_t len = s->socket ? strlen(s->socket) + more : 0;

		if (len <= FD_UNIX_PATH_MAX)
			continue;
		return err_request(e, -ENAMETOOLONG,
			"%s: socket path too long: %s%s has %zu bytes, and a UNIX socket's path at "
			"most %d: shorten the names, or name a shorter folder in LANYARD_RUN",
			t->file, s->socket, more ? " (with .console for .sock)" : "", len,
			FD_UNIX_PATH_MAX);
	}
	return 0;
}

int check_kvm(const struct host *h, struct err *e)
{
	switch (h->kvm) {
	case 0:
		return 0;
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return err_host(e, h->kvm,
			"there is no KVM here (/dev/kvm: %s): switch "
			"virtualization on in the firmware, or nested virtualization on in the "
			"hypervisor, then modprobe kvm_intel or kvm_amd",
			err_str(h->kvm));
	case -EACCES:
	case -EPERM:
		return err_host(e, h->kvm,
			"no permission for /dev/kvm: be root (sudo), or join its "
			"group (sudo usermod -aG kvm USER, then log in again)");
	default:
		return err_host(e, h->kvm, "/dev/kvm can't be opened: %s", err_str(h->kvm));
	}
}

int check_host(const struct topology *t, const struct plan *p, const struct paths *paths,
	const struct host *h, struct err *e)
{
	int r = check_sockets(t, p, e);

	if (!r)
		r = check_nodes(t, p, paths, h, e);
	if (!r)
		r = check_memory(t, p, h, e);
	if (!r)
		r = steps_pf_check(t, p, e);
	if (!r)
		r = steps_tap_check(t, p, h, e);
	if (!r)
		r = paths_check(
			paths, plan_find(p, STEP_PROCESS, NULL), plan_find(p, STEP_IMAGE, NULL), e);
	if (!r && plan_find(p, STEP_VM, NULL))
		r = check_kvm(h, e);
	return r;
}
