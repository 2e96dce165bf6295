/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of a host (from a folder that looks like one), the checks made of it, hugepages,
 * and the text table. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lab/check.h"
#include "lab/host.h"
#include "lab/steps.h"
#include "lab/table.h"

static char root[] = "/tmp/lanyard-host-XXXXXX";

/* Writes a file below root, making its folders. */
static void put(const char *path, const char *text)
{
	char full[256];
	int fd;

	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *s = full + strlen(root) + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		mkdir(full, 0700);
		*s = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

static void test_read(void **state)
{
	struct host h;

	assert_non_null(mkdtemp(root));
	host_read(root, &h); /* an empty folder: no figure, no crash */
	assert_int_equal(h.n_cpus, 0);
	assert_int_equal(h.kvm, -ENOENT);
	put("/proc/meminfo", "MemTotal:  24682000 kB\nMemFree: 1 kB\nMemAvailable: 20480 kB\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "100\n");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "37\n");
	put("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n");
	put("/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n");
	put("/sys/devices/system/cpu/cpu5/topology/thread_siblings_list", "5\n");
	put("/sys/devices/system/cpu/cpu5/node1/x", "");
	put("/sys/devices/system/node/node0/x", "");
	put("/sys/devices/system/node/node1/x", "");
	put("/dev/kvm", "");
	host_read(root, &h);
	assert_int_equal(h.n_cpus, 3);
	assert_int_equal(h.cpus[1].cpu, 2);
	assert_int_equal(h.cpus[1].core, 0);
	assert_int_equal(h.cpus[2].node, 1);
	assert_int_equal(h.n_nodes, 2);
	assert_int_equal(h.mem_available, 20480 << 10);
	assert_int_equal(h.huge_total, 100);
	assert_int_equal(h.huge_free, 37);
	assert_int_equal(h.kvm, 0);
}

static void test_pages(void **state)
{
	char file[64];
	uint64_t raised, now;

	snprintf(file, sizeof file, "%s/nr", root);
	put("/nr", "10\n");
	assert_int_equal(steps_raise_pages(file, 8, 8, &raised), 0);
	assert_int_equal(raised, 0);
	assert_int_equal(steps_raise_pages(file, 3, 8, &raised), 0);
	assert_int_equal(raised, 5);
	assert_int_equal(host_read_u64(file, &now), 0);
	assert_int_equal(now, 15);
	put("/nr", "17\n"); /* somebody else has taken two meanwhile: theirs stay */
	assert_int_equal(steps_lower_pages(file, raised), 0);
	assert_int_equal(host_read_u64(file, &now), 0);
	assert_int_equal(now, 12);
	assert_int_equal(steps_raise_pages("/nowhere/nr", 0, 8, &raised), -ENOENT);
	assert_int_equal(raised, 0);
}

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	Elf64_Nhdr nh;
	char name[4];
	uint32_t entry;
};

static const struct image good = {
	.eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = offsetof(struct image, ph),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1 },
	.ph = { .p_type = PT_NOTE,
		.p_offset = offsetof(struct image, nh),
		.p_filesz = sizeof(Elf64_Nhdr) + 8 },
	.nh = { 4, 4, 18 },
	.name = "Xen",
};

static void expect_image(const struct image *i, size_t len, const char *why)
{
	struct err e = { 0 };
	int r = check_guest_image((const uint8_t *)i, len, &e);

	if (!why) {
		assert_int_equal(r, 0);
		return;
	}
	assert_int_equal(r, -ENOEXEC);
	assert_int_equal(e.class, ERR_REQUEST);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" has no \"%s\"", e.text, why);
}

static void test_guest_image(void **state)
{
	struct image i = good;

	expect_image(&good, sizeof good, NULL);
	expect_image(&good, 10, "is neither an ELF file");
	expect_image(NULL, 0, "is neither an ELF file");
	i.eh.e_machine = EM_AARCH64;
	expect_image(&i, sizeof i, "not one for 64-bit x86");
	i = good;
	i.eh.e_phoff = UINT64_MAX - 8;
	expect_image(&i, sizeof i, "headers are damaged");
	i = good;
	i.eh.e_phnum = 0xffff;
	expect_image(&i, sizeof i, "headers are damaged");
	i = good;
	i.nh.n_type = 17;
	expect_image(&i, sizeof i, "without a PVH entry note");
	i = good;
	i.nh.n_namesz = UINT32_MAX;
	expect_image(&i, sizeof i, "without a PVH entry note");
	i = good;
	i.ph.p_offset = UINT64_MAX;
	expect_image(&i, sizeof i, "without a PVH entry note");
	i = good;
	i.ph.p_filesz = UINT64_MAX;
	expect_image(&i, sizeof i, "without a PVH entry note");
	for (size_t n = 0; n < offsetof(struct image, entry) + 4;
		n++) { /* cut anywhere: no read past the end */
		uint8_t *cut = malloc(n ? n : 1);

		memcpy(cut, &good, n);
		assert_int_equal(check_guest_image(cut, n, NULL), -ENOEXEC);
		free(cut);
	}
}

/* Plans the topology for a host with 2 CPUs, KVM and 1 GiB, then checks it on *h. */
static void expect_host_check(const char *text, const struct host *h, const char *run,
	enum err_class class, const char *why)
{
	struct paths paths = { .sw = "/bin/true", .vmm = "/bin/true", .probe = "/bin/true", .traffic = "/bin/true" };
	struct topology *t = NULL;
	struct err e = { 0 };
	struct plan p = { 0 };

	snprintf(paths.run, sizeof paths.run, "%s", run);
	if (topology_parse("t.json", text, strlen(text), &t, &e) ||
		plan_make(t, h, &paths, &p, &e) || check_host(t, &p, &paths, h, &e)) {
		if (!why)
			fail_msg("%s", e.text);
		assert_int_equal(e.class, class);
		if (!strstr(e.text, why))
			fail_msg("\"%s\" has no \"%s\"", e.text, why);
	} else if (why) {
		fail_msg("was not refused: %s", why);
	}
	plan_clear(&p);
	topology_free(t);
}

#define VM(name, rest) \
	"\"" name "\": {\"kind\": \"vm\", " rest " \"nics\": [{\"network\": \"lan\"}]}"
#define TOPOLOGY(nodes) \
	"{\"version\": 1, \"lab\": \"t\", \"networks\": {\"lan\": {}},\n \"nodes\": {" nodes "}}"

static void test_checks(void **state)
{
	static const struct host fine = { .n_cpus = 2,
		.cpus = { { 0, 0, 0 }, { 1, 1, 0 } },
		.n_nodes = 1,
		.mem_available = 512 << 20,
		.huge_free = 256 };
	static const char one[] = TOPOLOGY(VM("a", "\"guest\": \"probe\", \"memory\": \"64M\","));
	struct host h = fine;
	char deep[128];

	expect_host_check(one, &h, "/run/x", ERR_NONE, NULL);
	h.kvm = -ENOENT;
	expect_host_check(one, &h, "/run/x", ERR_HOST, "there is no KVM here");
	h.kvm = -EACCES;
	expect_host_check(
		one, &h, "/run/x", ERR_HOST, "no permission for /dev/kvm: be root (sudo)");
	h = fine;
	memset(deep, 'd', sizeof deep);
	memcpy(deep, "/run/", 5);
	deep[100] = '\0';
	expect_host_check(one, &h, deep, ERR_REQUEST, "socket path too long");
	expect_host_check(TOPOLOGY(VM("a", "\"memory\": \"2G\",")), &h, "/run/x", ERR_REQUEST,
		"t.json:2:42: node \"a\" asks for 2G, but this host has 1G of memory free");
	expect_host_check(
		TOPOLOGY(VM("a", "\"memory\": \"768M\",") ", " VM("b", "\"memory\": \"512M\",")),
		&h, "/run/x", ERR_REQUEST,
		"with node \"b\" the guests' memory comes to 1280M, but this host has 1G free");
	expect_host_check(TOPOLOGY(VM("a", "\"guest\": \"none.elf\",")), &h, "/run/x", ERR_REQUEST,
		"can't be read: No such file");
	expect_host_check(TOPOLOGY(VM("a", "\"guest\": \"/etc/passwd\",")), &h, "/run/x",
		ERR_REQUEST, "is neither an ELF file");
	expect_host_check(TOPOLOGY(VM("a", "\"guest\": \"/bin/true\",")), &h, "/run/x", ERR_REQUEST,
		"without a PVH entry note");
	expect_host_check(
		TOPOLOGY(VM("a", "\"guest\": \"/\",")), &h, "/run/x", ERR_REQUEST, "is a folder");
	h.n_cpus = 0;
	expect_host_check(one, &h, "/run/x", ERR_HOST, "no CPU may be used");
}

static void test_table(void **state)
{
	struct table t = { .head = "NAME|>N|" };
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	table_print(&t, f, 0); /* no rows: nothing */
	table_add(&t, "a");
	table_add(&t, "%d", 1000);
	table_add(&t, "note");
	table_add(&t, "zoë");
	table_add(&t, "2");
	table_add(&t, "%s", "");
	table_print(&t, f, 0);
	table_add(&t, "much too wide");
	table_add(&t, "2");
	table_add(&t, "%s", "");
	table_print(&t, f, 8);
	fclose(f);
	assert_string_equal(out,
		"NAME     N\n"
		"a     1000  note\n"
		"zoë      2\n"
		"NAME\nmuch too\n");
	free(out);
}

static int remove_root(void **state)
{
	char cmd[64];

	snprintf(cmd, sizeof cmd, "rm -r %s", root);
	return system(cmd) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_guest_image),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("lab/host", tests, NULL, remove_root);
}
