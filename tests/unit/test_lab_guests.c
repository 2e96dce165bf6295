/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of nodes that run Linux or an image of the user's: what is started for them, with which
 * command lines on which Debian; and what changes with what. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/diff.h"
#include "lab/folder.h"
#include "lab/record.h"

#define LAB(nodes) "{'version': 1, 'lab': 's', 'networks': {'lan': {}}, 'nodes': {" nodes "}}"
#define NODE(name, rest)                                   \
	"'" name "': {'kind': 'vm', 'nics': [{'network': " \
	"'lan', 'mac': '02:00:00:00:00:0" name "'}]" rest "}"
#define LINUX(name, rest) NODE(name, ", 'guest': 'linux'" rest)
#define SHARE             ", 'shares': [{'path': 'd', 'tag': 't'}]"
#define DISKS             ", 'disks': [{'file': 'r'}, {'file': '/q', 'format': 'qcow2'}]"

static char *quoted(const char *s)
{
	char *out = strdup(s);

	for (char *c = out; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return out;
}

static void make_plan_beside(
	const char *text, const char *virtiofsd, const struct placement *keep, struct plan *p)
{
	struct paths paths = { .run = "/run/lanyard",
		.sw = "/p/lanyard-switch",
		.vmm = "/p/lanyard-vmm",
		.probe = "/p/probe.elf",
		.init = "/p/lanyard-init",
		.self = "/p/lanyard",
		.storage = "/usr/bin/qemu-storage-daemon" };
	struct host h = { .n_cpus = 4,
		.cpus = { { 0, 0, 0, 0 }, { 1, 1, 0, 0 }, { 2, 2, 0, 0 }, { 3, 3, 0, 0 } },
		.n_nodes = 1,
		.kernel = "/boot/vmlinuz-6.1" };
	struct topology *t = NULL;
	struct err e = { 0 };
	char *file = quoted(text);

	snprintf(paths.virtiofsd, sizeof paths.virtiofsd, "%s", virtiofsd);
	if (topology_parse("/labs/s.json", file, strlen(file), &t, &e) ||
		plan_make_beside(t, &h, &paths, keep, p, &e))
		fail_msg("%s", e.text);
	topology_free(t);
	free(file);
}

static void make_plan(const char *text, const char *virtiofsd, struct plan *p)
{
	make_plan_beside(text, virtiofsd, NULL, p);
}

#define RUST "/usr/libexec/virtiofsd"
#define IN_C "/usr/lib/qemu/virtiofsd"

static void expect_args(
	const struct plan *p, enum step_kind kind, const char *name, const char *want)
{
	const struct step *s = plan_find(p, kind, name);
	char got[4096] = "";

	assert_non_null(s);
	for (size_t i = 0; i < s->args.n; i++) {
		strcat(got, i ? " " : "");
		strcat(got, s->args.v[i]);
	}
	for (char *c = got; *c; c++)
		*c = *c == '"' ? '\'' : *c;
	assert_string_equal(got, want);
}

#define COMMON(n)                                                                          \
	"/p/lanyard-vmm --name " n " --control /run/lanyard/s/" n ".sock --agent "         \
	"/run/lanyard/s/" n ".agent --console /run/lanyard/s/" n ".console --console-log " \
	"/run/lanyard/s/" n ".console.log --user own "
#define NIC(n) \
	"--nic socket=/run/lanyard/s/" n ".0.vhost,mac=02:00:00:00:00:0" n ",queues=1,mtu=1500"

static void test_command_lines(void **state)
{
	struct plan p;

	make_plan(LAB(LINUX("a",
			  ", 'root': 'host', 'vcpus': 2, 'cpu': {'without': ['cx16'], "
			  "'threads': 2}, 'hugepages': '2M', 'cmdline': 'x y'" SHARE
				  DISKS) ", " NODE("b",
			  ", 'guest': './bz', 'initramfs': 'i', 'cmdline': 'z'")),
		RUST, &p);
	expect_args(&p, STEP_VM, "a",
		COMMON("a") "--kernel /boot/vmlinuz-6.1 --initrd /run/lanyard/s/a.initrd --cmdline "
			    "console=ttyS0 quiet x y --rng --memory 256M --hugepages 2M --vcpus "
			    "2,sockets=1,cores=1,threads=2 --cpus 1,2 --cpu-without cx16 " NIC(
				    "a") " --disk file=/labs/r,queues=1 --disk "
					 "socket=/run/lanyard/s/a.disk1.vhost,queues=1 --fs "
					 "socket=/run/lanyard/s/a.fs0.vhost,tag=lanyard-root --fs "
					 "socket=/run/lanyard/s/a.fs1.vhost,tag=t");
	expect_args(&p, STEP_VM, "b",
		COMMON("b") "--kernel /labs/./bz --initrd /labs/i --cmdline z --memory 64M --vcpus 1 "
			    "--cpus 3 " NIC("b"));
	expect_args(&p, STEP_SHARE, "a.fs0",
		"/p/lanyard show-folder / /run/lanyard/s/a.fs0.dir " RUST
		" --socket-path=/run/lanyard/s/a.fs0.vhost --shared-dir=/run/lanyard/s/a.fs0.dir "
		"--no-announce-submounts --sandbox=chroot --cache=auto --log-level=warn");
	expect_args(&p, STEP_SHARE, "a.fs1",
		RUST " --socket-path=/run/lanyard/s/a.fs1.vhost --shared-dir=/labs/d "
		     "--no-announce-submounts --sandbox=chroot --cache=auto --log-level=warn");
	expect_args(&p, STEP_DISKS, "a",
		"/usr/bin/qemu-storage-daemon --pidfile /run/lanyard/s/a.disks.pid --blockdev "
		"{'driver':'qcow2','node-name':'disk1','read-only':false,'discard':'unmap','file':"
		"{'driver':'file','filename':'/q'}} --export "
		"{'type':'vhost-user-blk','id':'disk1','node-name':'disk1','writable':true,"
		"'num-queues':1,'addr':{'type':'unix','path':'/run/lanyard/s/a.disk1.vhost'}}");
	/* The switch's 16, a's 128, b's 32. */
	assert_int_equal(plan_find(&p, STEP_HUGEPAGES, NULL)->pages, 16 + 128 + 32);
	plan_clear(&p);
	/* Debian 12's is another program. */
	make_plan(LAB(LINUX("a", SHARE)), IN_C, &p);
	expect_args(&p, STEP_SHARE, "a.fs0",
		IN_C " --socket-path=/run/lanyard/s/a.fs0.vhost -f -o "
		     "source=/labs/d,sandbox=chroot,cache=auto,log_level=warn");
	assert_null(plan_find(&p, STEP_DISKS, NULL));
	plan_clear(&p);
	/* Pages of 1G are not ours to make, and none are none. */
	make_plan(LAB(LINUX("a", ", 'hugepages': 'none'") ", " LINUX(
			  "b", ", 'memory': '1G', 'hugepages': '1G'")),
		RUST, &p);
	assert_int_equal(plan_find(&p, STEP_HUGEPAGES, NULL)->pages, 16);
	plan_clear(&p);
}

static void test_image(void **state)
{
	char want[] =
		"{'init':'/p/lanyard-init','kernel':'/labs/k','modules':'/m','no_modules':false,"
		"'root':0,'disks':false,'shares':true,'files':[{'from':'/labs/x','to':'/y'}],"
		"'config':{'hostname':'a','root':'none','forward':true,'nics':[{'mac':"
		"'02:00:00:00:00:0a','addresses':[]}],'routes':[],'shares':[{'tag':'t',"
		"'readonly':false}]}}";
	struct plan p;
	char *got;

	make_plan(LAB(LINUX("a",
			  ", 'kernel': 'k', 'modules': '/m', 'forward': true, 'files': "
			  "[{'from': 'x', 'to': '/y'}]" SHARE)),
		RUST, &p);
	got = json_dumps(plan_find(&p, STEP_IMAGE, "a")->policy, JSON_COMPACT);
	for (char *c = got; *c; c++)
		*c = *c == '"' ? '\'' : *c;
	assert_string_equal(got, want);
	free(got);
	plan_clear(&p);
	make_plan(LAB(LINUX("a", ", 'modules': 'none'")), RUST, &p);
	assert_true(json_is_true(
		json_object_get(plan_find(&p, STEP_IMAGE, "a")->policy, "no_modules")));
	plan_clear(&p);
}

/* The record keeps all of it; and a record that lacks what `down` needs is damaged. */
static void test_record(void **state)
{
	static const char *const needed[] = { "name", "path", "policy", "socket", "log", "args",
		"network" };
	struct plan p, back;
	struct err e = { 0 };
	json_t *j, *again, *step;
	size_t i;

	make_plan(LAB(LINUX("a", ", 'root': 'host'" DISKS SHARE)), RUST, &p);
	j = record_to_json(&p);
	assert_int_equal(record_from_json(j, &back, &e), 0);
	again = record_to_json(&back);
	assert_true(json_equal(j, again));
	assert_true(plan_find(&back, STEP_GUEST, "a")->slow);
	plan_clear(&back);
	json_array_foreach (json_object_get(j, "steps"), i, step) {
		const struct step *s = &p.steps[i];

		for (size_t k = 0; step_is_helper(s) && k < 7; k++) {
			json_t *copy = json_deep_copy(j), *mine;
			bool was;

			mine = json_array_get(json_object_get(copy, "steps"), i);
			was = json_object_get(mine, needed[k]) != NULL;
			json_object_del(mine, needed[k]);
			/* A share's "path" is optional. */
			if (was && !(s->kind == STEP_SHARE && k == 1))
				assert_int_equal(record_from_json(copy, &back, &e), -EINVAL);
			else
				assert_int_equal(record_from_json(copy, &back, &e), 0);
			plan_clear(&back);
			json_decref(copy);
		}
	}
	json_decref(j);
	json_decref(again);
	plan_clear(&p);
}

static void test_our_files(void **state)
{
	static const char *const ours[] = { "a.initrd", "a.disks.pid", "a.disks.log", "a.fs0.vhost",
		"a.fs0.log", "a.fs0.dir", "a.disk1.vhost" };
	static const char *const others[] = { "a.fs.vhost", "a.fs0", "b.fs0.vhost", "a.fs0.img",
		"initrd", "a.disk1.img" };
	struct plan p;

	make_plan(LAB(LINUX("a", SHARE)), RUST, &p);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
		assert_true(folder_is_ours(&p, ours[i]));
		assert_true(folder_is_ours(NULL, ours[i]));
	}
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_false(folder_is_ours(&p, others[i]));
	plan_clear(&p);
}

/* "-vm:a -share:a.fs0 +image:a": in order. */
static void expect(const char *from, const char *to, const char *want)
{
	struct plan have, wanted;
	struct diff d;
	struct err e = { 0 };
	char got[2048] = "", *at = got;

	make_plan(from, RUST, &have);
	for (size_t i = 0; i < have.n_steps; i++)
		have.steps[i].state = STEP_DONE;
	have.up_since_s = 1;
	make_plan_beside(to, RUST, &have.place, &wanted);
	assert_int_equal(diff_plans(&have, &wanted, &d, &e), 0);
	for (size_t i = 0; i < d.n; i++) {
		const struct step *s = &d.merged.steps[d.changes[i].step];

		at += sprintf(at, "%s%c%s%s%s", i ? " " : "", d.changes[i].undo ? '-' : '+',
			step_kind_name(s->kind), s->name ? ":" : "", s->name ? s->name : "");
	}
	assert_string_equal(got, want);
	diff_clear(&d);
	plan_clear(&wanted);
	plan_clear(&have);
}

static void test_changes(void **state)
{
#define BOTH(rest) LAB(LINUX("a", rest) ", " LINUX("b", ""))
	expect(BOTH(SHARE DISKS), BOTH(SHARE DISKS), "");
	/* The guest is told something else, or has other files: a new image, a new boot. */
	expect(BOTH(SHARE DISKS), BOTH(SHARE DISKS ", 'forward': true"),
		"-vm:a -share:a.fs0 -image:a +image:a +share:a.fs0 +vm:a +guest:a +links");
	expect(BOTH(""), BOTH(", 'files': ['/bin/ls']"),
		"-vm:a -image:a +image:a +vm:a +guest:a +links");
	/* The VM alone; its share ends with it. */
	expect(BOTH(SHARE), BOTH(SHARE ", 'cmdline': 'x'"),
		"-vm:a -share:a.fs0 +share:a.fs0 +vm:a +guest:a +links");
	/* The storage daemon alone would do, but the disk is another. */
	expect(BOTH(DISKS), BOTH(", 'disks': [{'file': 'r'}, {'file': '/z', 'format': 'qcow2'}]"),
		"-vm:a -disks:a +disks:a +vm:a +guest:a +links");
	/* A folder less: its server must not be found dead while the VM is away. */
	expect(BOTH(SHARE), BOTH(""), "-vm:a -share:a.fs0 -image:a +image:a +vm:a +guest:a +links");
	expect(BOTH(""), BOTH(SHARE), "-vm:a -image:a +image:a +share:a.fs0 +vm:a +guest:a +links");
	/* A node less takes all of its own along, at the end. */
	expect(LAB(LINUX("a", SHARE DISKS) ", " LINUX("b", "")), LAB(LINUX("b", "")),
		"-vm:a -share:a.fs0 -disks:a -image:a -port:a.0 +hugepages");
	/* A probe becomes Linux. */
	expect(LAB(NODE("a", "")), LAB(LINUX("a", ", 'memory': '128M'")),
		"+hugepages -vm:a +image:a +vm:a +guest:a +links");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_our_files),
		cmocka_unit_test(test_changes),
	};

	return cmocka_run_group_tests_name("lab/guests", tests, NULL, NULL);
}
