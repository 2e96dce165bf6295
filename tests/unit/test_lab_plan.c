/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a topology, the record's round trip, what damaged records say, and which files of a
 * run folder are ours. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lab/folder.h"
#include "lab/netdev.h"
#include "lab/plan.h"
#include "lab/record.h"

static const char star[] =
	"{\"version\": 1, \"lab\": \"s\", \"switch\": {\"poll\": \"busy\"},"
	"\"networks\": {\"lan\": {\"mtu\": 9000}, \"quiet\": {}},"
	"\"nodes\": {"
	"\"a\": {\"kind\": \"vm\", \"guest\": \"probe\", \"memory\": \"64M\", \"nics\": "
	"[{\"network\": \"lan\", \"mac\": \"02:00:00:00:00:0a\", \"queues\": 2}, "
	"{\"network\": \"quiet\"}]},"
	"\"b\": {\"kind\": \"vm\", \"guest\": \"./own.elf\", \"memory\": \"32M\", \"vcpus\": 2, "
	"\"nics\": [{\"network\": \"lan\", \"mac\": \"02:00:00:00:00:0b\"}]},"
	"\"x\": {\"kind\": \"external\", \"nics\": [{\"network\": \"quiet\"}]}}}";

static const struct paths paths = { .run = "/run/lanyard",
	.sw = "/p/lanyard-switch",
	.vmm = "/p/lanyard-vmm",
	.probe = "/p/probe.elf" };

static void make_plan(struct plan *p)
{
	struct host h = { .n_cpus = 2, .cpus = { { 0, 0, 0 }, { 1, 1, 0 } }, .n_nodes = 1 };
	struct topology *t = NULL;
	struct err e = { 0 };

	if (topology_parse("/labs/s.json", star, strlen(star), &t, &e) ||
		plan_make(t, &h, &paths, p, &e))
		fail_msg("%s", e.text);
	topology_free(t);
}

static void test_steps(void **state)
{
	static const char *const want[] = { "folder -", "hugepages -", "switch -", "network lan",
		"network quiet", "port a.0", "port a.1", "port b.0", "port x.0", "vm a", "vm b",
		"guest a", "guest b", "links -" };
	struct plan p;

	make_plan(&p);
	assert_int_equal(p.n_steps, sizeof want / sizeof want[0]);
	for (size_t i = 0; i < p.n_steps; i++) {
		char got[64];

		snprintf(got, sizeof got, "%s %s", step_kind_name(p.steps[i].kind),
			p.steps[i].name ? p.steps[i].name : "-");
		assert_string_equal(got, want[i]);
		assert_int_equal(p.steps[i].state, STEP_PLANNED);
	}
	assert_int_equal(plan_find(&p, STEP_HUGEPAGES, NULL)->pages, 16 + 48);
	assert_true(plan_find(&p, STEP_PORT, "x.0")->external);
	assert_false(plan_find(&p, STEP_PORT, "b.0")->external);
	assert_int_equal(plan_find(&p, STEP_PORT, "a.0")->queues, 2);
	assert_int_equal(plan_find(&p, STEP_NETWORK, "lan")->mtu, 9000);
	/* Only probes drive their NICs for sure, and have an agent. */
	assert_int_equal(plan_find(&p, STEP_LINKS, NULL)->args.n, 2);
	assert_string_equal(plan_find(&p, STEP_GUEST, "a")->socket, "/run/lanyard/s/a.agent");
	assert_null(plan_find(&p, STEP_GUEST, "b")->socket);
	assert_null(plan_find(&p, STEP_VM, "x"));
	plan_clear(&p);
}

/* A network that is a bridge: taps in the place of ports, and no switch if there is no other. */
static void test_taps(void **state)
{
	static const char bridged[] =
		"{\"version\": 1, \"lab\": \"a-long-lab-name\", \"networks\": {\"lan\": {\"kind\": "
		"\"bridge\", \"mtu\": 9000, \"ageing_s\": 60}}, \"nodes\": {\"a\": {\"kind\": \"vm\", "
		"\"nics\": [{\"network\": \"lan\", \"mac\": \"02:00:00:00:00:0a\", \"queues\": 2}]}}}";
	static const char *const want[] = { "folder -", "hugepages -", "bridge lan", "tap a.0",
		"vm a", "guest a" };
	struct host h = { .n_cpus = 1, .n_nodes = 1 };
	struct topology *t = NULL;
	struct err e = { 0 };
	char text[256], name[NETDEV_NAME];
	struct plan p;

	if (topology_parse("/labs/s.json", bridged, strlen(bridged), &t, &e) ||
		plan_make(t, &h, &paths, &p, &e))
		fail_msg("%s", e.text);
	topology_free(t);
	assert_int_equal(p.n_steps, sizeof want / sizeof want[0]);
	for (size_t i = 0; i < p.n_steps; i++) {
		snprintf(text, sizeof text, "%s %s", step_kind_name(p.steps[i].kind),
			p.steps[i].name ? p.steps[i].name : "-");
		assert_string_equal(text, want[i]);
	}
	/* The guest's pages only. */
	assert_int_equal(plan_find(&p, STEP_HUGEPAGES, NULL)->pages, 32);
	const struct step *bridge = plan_find(&p, STEP_BRIDGE, "lan");
	const struct step *tap = plan_find(&p, STEP_TAP, "a.0");
	assert_int_equal(bridge->mtu, 9000);
	assert_int_equal(bridge->ageing_s, 60);
	assert_int_equal(tap->queues, 2);
	/* Names of interfaces have 15 characters: made of both where both don't fit. */
	assert_string_equal(netdev_name("tap-pair", "a.0", name), "tap-pair-a.0");
	assert_string_equal(netdev_name("tap-pair", "lan-15", name), "tap-pair-lan-15");
	assert_int_equal(strlen(bridge->device), TOPO_IFNAME_MAX);
	assert_memory_equal(bridge->device, "a-long-", 7);
	assert_string_not_equal(bridge->device, tap->device);
	snprintf(text, sizeof text, "tap=%s,mac=02:00:00:00:00:0a,queues=2,mtu=9000", tap->device);
	assert_string_equal(step_option(plan_find(&p, STEP_VM, "a"), "--nic"), text);
	plan_clear(&p);
}

static void expect_args(
	const struct plan *p, enum step_kind kind, const char *name, const char *want)
{
	const struct step *s = plan_find(p, kind, name);
	char got[2048] = "";

	for (size_t i = 0; i < s->args.n; i++) {
		strcat(got, i ? " " : "");
		strcat(got, s->args.v[i]);
	}
	assert_string_equal(got, want);
}

static void test_command_lines(void **state)
{
	struct plan p;

	make_plan(&p);
	expect_args(&p, STEP_SWITCH, NULL,
		"/p/lanyard-switch --control /run/lanyard/s/switch.sock --cpus 0 --memory 32 --poll busy");
	expect_args(&p, STEP_VM, "b",
		"/p/lanyard-vmm --name b --control /run/lanyard/s/b.sock --agent "
		"/run/lanyard/s/b.agent --console /run/lanyard/s/b.console --console-log "
		"/run/lanyard/s/b.console.log --user own --kernel /labs/./own.elf --memory 32M --vcpus "
		"2 --cpus 1,1 --nic socket=/run/lanyard/s/b.0.vhost,mac=02:00:00:00:00:0b,queues=1,mtu=9000");
	plan_clear(&p);
}

static void test_record_round_trip(void **state)
{
	struct plan p, q;
	struct err e = { 0 };
	json_t *a, *b;

	make_plan(&p);
	p.up_since_s = 1795371982;
	for (size_t i = 0; i < p.n_steps; i++)
		p.steps[i].state = (enum step_state)(i % 3);
	plan_find(&p, STEP_VM, "a")->proc = (struct proc_id){ 4711, 1ull << 40 };
	plan_find(&p, STEP_HUGEPAGES, NULL)->pages_raised = 7;
	plan_find(&p, STEP_HUGEPAGES, NULL)->path = strdup("/sys/x");
	strs_add(&p.warnings, "%s", "a \"warning\"");
	a = record_to_json(&p);
	if (record_from_json(a, &q, &e))
		fail_msg("%s", e.text);
	b = record_to_json(&q);
	assert_true(json_equal(a, b));
	assert_int_equal(plan_find(&q, STEP_VM, "a")->proc.start_ticks, 1ull << 40);
	assert_string_equal(q.place.cpus[2].who, "b/vcpu0");
	json_decref(a);
	json_decref(b);
	plan_clear(&p);
	plan_clear(&q);
}

/* Whatever a record has lost or got changed: an error that names it, or a sound plan; no crash. */
static void test_record_mutations(void **state)
{
	static const char *const junk[] = { "null", "-1", "[]", "{}", "\"x\"", "true", "1e99" };
	json_t *whole, *steps, *step;
	struct plan p, q;
	size_t i;

	make_plan(&p);
	plan_find(&p, STEP_VM, "a")->proc = (struct proc_id){ 4711, 1 };
	whole = record_to_json(&p);
	steps = json_object_get(whole, "steps");
	json_array_foreach (steps, i, step) {
		json_t *copy = json_deep_copy(step);
		const char *key;
		json_t *v;

		json_object_foreach (copy, key, v) {
			json_object_del(step, key);
			record_from_json(whole, &q, NULL);
			plan_clear(&q);
			for (size_t k = 0; k < sizeof junk / sizeof junk[0]; k++) {
				json_object_set_new(
					step, key, json_loads(junk[k], JSON_DECODE_ANY, NULL));
				record_from_json(whole, &q, NULL);
				plan_clear(&q);
			}
			json_object_set(step, key, v);
		}
		json_decref(copy);
	}
	json_decref(whole);
	plan_clear(&p);
}

static void expect_damaged(json_t *record, const char *why)
{
	struct plan p;
	struct err e = { 0 };

	assert_int_equal(record_from_json(record, &p, &e), -EINVAL);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" has no \"%s\"", e.text, why);
	plan_clear(&p);
	json_decref(record);
}

static json_t *with(const char *steps)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:[], s:[], s:o}", "version", 1, "lab",
		"x", "file", "f", "dir", "d", "up_since_s", 0, "numa_node", 0, "cpus", "warnings",
		"steps", json_loads(steps, 0, NULL));
}

static void test_damaged(void **state)
{
	expect_damaged(json_pack("{}"), "version");
	expect_damaged(json_pack("[]"), "Expected object");
	expect_damaged(with("[{\"kind\": \"dance\", \"state\": \"done\"}]"),
		"step 0 has no known kind and state");
	expect_damaged(with("[{\"kind\": \"network\", \"state\": \"done\"}]"), "lacks a field");
	expect_damaged(with("[{\"kind\": \"network\", \"state\": \"done\", \"name\": 3}]"),
		"name of step 0 is of a wrong type");
	expect_damaged(
		with("[{\"kind\": \"links\", \"state\": \"done\", \"process\": {\"pid\": 1}}]"),
		"step 0 has no valid pid");
}

static void test_record_file(void **state)
{
	char dir[] = "/tmp/lanyard-unit-XXXXXX";
	struct plan p, q;
	struct err e = { 0 };
	int fd, file;

	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	make_plan(&p);
	assert_int_equal(record_read(fd, &q, &e), -ENOENT);
	assert_int_equal(record_write(fd, &p, &e), 0);
	assert_int_equal(record_read(fd, &q, &e), 0);
	assert_int_equal(q.n_steps, p.n_steps);
	plan_clear(&q);
	file = openat(fd, "record.json", O_WRONLY);
	assert_int_equal(ftruncate(file, 100), 0); /* as after a crash of the host */
	close(file);
	assert_int_equal(record_read(fd, &q, &e), -EINVAL);
	assert_non_null(strstr(e.text, "the record is damaged: line"));
	plan_clear(&q);
	plan_clear(&p);
	unlinkat(fd, "record.json", 0);
	close(fd);
	assert_int_equal(rmdir(dir), 0);
}

static void test_our_files(void **state)
{
	static const char *const ours[] = { "record.json", "record.json.new", "topology.json",
		"lock", "switch.sock", "switch.log", "a.sock", "a.log", "a.agent", "a.console",
		"b.console.log", "a.0.vhost", "x.0.vhost", "capture.4711.sock" };
	static const char *const others[] = { "notes.txt", "c.log", "x.log", "a.2.vhost", "a",
		".log", "a.0.vhost.bak", "capture.log", "record.json~" };
	struct plan p;

	make_plan(&p);
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
		assert_true(folder_is_ours(&p, ours[i]));
		assert_true(folder_is_ours(NULL, ours[i]));
	}
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_false(folder_is_ours(&p, others[i]));
	assert_false(folder_is_ours(NULL, "notes.txt"));
	plan_clear(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_taps),
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_record_round_trip),
		cmocka_unit_test(test_record_mutations),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_record_file),
		cmocka_unit_test(test_our_files),
	};

	return cmocka_run_group_tests_name("lab/plan", tests, NULL, NULL);
}
