/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out against a model of a kernel: whatever step fails, wherever a crash comes, the host
 * is afterwards as it was; and each pitfall of drivers is met.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sriov/own.h"
#include "tests/unit/sriov_fake.h"

/* What a test hears and does while an apply runs. */
struct ear {
	int crash_at; /* point, two a step; -1: never */
	int n_points;
	char said[16384];
	const char *wait; /* for a file to appear there, in the first step */
};

static void hear(void *arg, enum sriov_word word, const char *text)
{
	static const char *const words[] = { "begin", "done", "undone", "failed", "note" };
	struct ear *ear = arg;
	size_t n = strlen(ear->said);

	snprintf(ear->said + n, sizeof(ear->said) - n, "%s: %s\n", words[word], text);
}

static int crash(void *arg, size_t step, enum sriov_point point)
{
	struct ear *ear = arg;

	ear->n_points++;
	return 2 * (int)step + (point == SRIOV_AFTER) == ear->crash_at;
}

static struct sriov_options options(struct ear *ear)
{
	*ear = (struct ear){ .crash_at = -1 };
	return (struct sriov_options){ .owner = "t", .say = hear, .hook = crash, .arg = ear };
}

/* A file's text: 0, or what sriov_apply or what comes before it said. */
static int apply(struct fake *k, const struct sriov_options *o, const char *text,
	struct sriov_plan *plan, struct err *e)
{
	struct pfs p;
	struct sriov_state want;
	int r = pfs_parse("f", text, strlen(text), &p, e);

	*plan = (struct sriov_plan){ 0 };
	if (r)
		return r;
	r = sriov_want(&k->w, &p, &want, e);
	if (!r) {
		r = sriov_apply(&k->w, o, &want, plan, e);
		sriov_state_free(&want);
	}
	pfs_free(&p);
	return r;
}

static void applied(struct fake *k, const struct sriov_options *o, const char *text, size_t n_steps)
{
	struct sriov_plan plan;
	struct err e = { 0 };

	if (apply(k, o, text, &plan, &e))
		fail_msg("%s", e.text);
	if (plan.n_steps != n_steps)
		fail_msg("%zu steps, not %zu; the first of them: %s", plan.n_steps, n_steps,
			plan.n_steps ? sriov_step_names[plan.steps[0].kind] : "none");
	sriov_plan_free(&plan);
}

/* Refused or failed, with these words; the changes that were made are counted in k. */
static void refused(struct fake *k, const struct sriov_options *o, const char *text, int class,
	const char *words)
{
	struct sriov_plan plan;
	struct err e = { 0 };

	if (!apply(k, o, text, &plan, &e))
		fail_msg("taken: %s", text);
	sriov_plan_free(&plan);
	if ((int)e.class != class || !strstr(e.text, words))
		fail_msg("expected (%d): %s\nsays (%d):     %s", class, words, e.class, e.text);
}

static size_t released(struct fake *k, const struct sriov_options *o)
{
	struct err e = { 0 };
	size_t n;

	if (sriov_release(&k->w, o, NULL, &n, &e))
		fail_msg("%s", e.text);
	return n;
}

static void same(const struct fake *k, const char *before, const char *when)
{
	char *now = fake_snapshot(k);

	if (strcmp(before, now))
		fail_msg("%s: before\n%snow\n%s\nwhat was done\n%s", when, before, now, k->log);
	free(now);
}

static void run_is_empty(const struct fake *k)
{
	fake_sh((struct fake *)k, "if [ -e run ]; then rmdir run; fi");
}

#define PF1(rest) "{ \"version\": 1, \"pfs\": { \"a\": { \"pci\": \"1:00.0\", " rest " } } }"

/* Two PFs: one makes its VFs, the other one has some and they are changed. */
static const char two[] =
	"{ \"version\": 1, \"pfs\": {"
	"\"a\": { \"pci\": \"1:00.0\", \"num_vfs\": 3, \"autoprobe\": false, \"mtu\": 9000, \"vfs\": {"
	"  \"0\": { \"mac\": \"02:00:00:00:00:01\", \"vlan\": 5, \"qos\": 2, \"max_rate\": \"100Mbps\","
	"         \"spoofchk\": false, \"trust\": true, \"link_state\": \"up\", \"driver\": \"vfio-pci\" },"
	"  \"1-2\": { \"driver\": \"vfio-pci\" } } },"
	"\"b\": { \"pci\": \"2:00.0\", \"num_vfs\": 2, \"vfs\": {"
	"  \"0\": { \"mac\": \"02:00:00:00:00:02\", \"min_rate\": \"10Mbps\", \"trust\": true },"
	"  \"1\": { \"vlan\": 7, \"link_state\": \"down\", \"driver\": \"none\" } } } } }";

static void open_two(struct fake *k)
{
	fake_open(k, 2, 7);
	k->pfs[0].attrs.up = false;
	fake_make_vfs(k, 1, 2);
	struct vf_attrs *a = &k->pfs[1].vfs[0].attrs;
	a->mac = (struct ether_mac){ { 2, 0, 0, 0, 0, 9 } };
	a->max_rate = 50;
	k->pfs[1].vfs[0].learnt = 9;
	fake_show(k);
}

#define TWO_STEPS 19

static void test_apply_release(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before, *after;

	open_two(&k);
	before = fake_snapshot(&k);
	o.force = true;
	applied(&k, &o, two, TWO_STEPS);
	after = fake_snapshot(&k);
	const char expected[] =
		"0000:01:00.0 n 3 auto 0 mtu 9000 up 1 driver nic override \n"
		" 0 02:00:00:00:00:01 vlan 5/2 rate 0-100 spoof 0 trust 1 link 1 driver vfio-pci "
		"override vfio-pci\n"
		" 1 00:00:00:00:00:00 vlan 0/0 rate 0-0 spoof 1 trust 0 link 0 driver vfio-pci "
		"override vfio-pci\n"
		" 2 00:00:00:00:00:00 vlan 0/0 rate 0-0 spoof 1 trust 0 link 0 driver vfio-pci "
		"override vfio-pci\n"
		"0000:02:00.0 n 2 auto 1 mtu 1500 up 1 driver nic override \n"
		/* The rate that was not asked for is what it was. */
		" 0 02:00:00:00:00:02 vlan 0/0 rate 10-50 spoof 1 trust 1 link 0 driver igbvf "
		"override \n"
		" 1 00:00:00:00:00:00 vlan 7/0 rate 0-0 spoof 1 trust 0 link 2 driver  override \n";
	assert_string_equal(expected, after);
	assert_int_equal(1, k.n_vfs_in_message);
	/* The same once more changes nothing. */
	k.n_changes = 0;
	applied(&k, &o, two, 0);
	assert_int_equal(0, k.n_changes);
	same(&k, after, "applied again");
	assert_int_equal(TWO_STEPS, released(&k, &o));
	same(&k, before, "released");
	run_is_empty(&k);
	assert_int_equal(0, released(&k, &o));
	free(before);
	free(after);
	fake_close(&k);
}

/* Each change that the kernel is asked for fails in turn, and then also the undoing is watched. */
static void test_each_step_fails(void **state)
{
	struct ear ear;
	struct sriov_options o = options(&ear);
	int n_failed = 0;

	o.force = true;
	for (int at = 0;; at++) {
		struct fake k;
		struct sriov_plan plan;
		struct err e = { 0 };
		char *before, when[32];

		open_two(&k);
		before = fake_snapshot(&k);
		k.fail_at = at;
		ear.said[0] = '\0';
		int r = apply(&k, &o, two, &plan, &e);
		sriov_plan_free(&plan);
		if (!r) {
			assert_true(k.n_changes <= at);
			free(before);
			fake_close(&k);
			break;
		}
		n_failed++;
		snprintf(when, sizeof(when), "change %d failed", at);
		same(&k, before, when);
		assert_int_equal(-EIO, e.code);
		/* It says what it undid, if there was anything. */
		if (strstr(ear.said, "done: ") &&
			!(strstr(e.text, "Undone again: ") && strstr(ear.said, "undone: ")))
			fail_msg("change %d: %s\n%s", at, e.text, ear.said);
		assert_null(strstr(e.text, "NOT undone"));
		run_is_empty(&k);
		free(before);
		fake_close(&k);
	}
	assert_true(n_failed >= TWO_STEPS);
}

/* A crash before or after any step, with its line in the journal or half of it: release puts all
 * back, even if it is interrupted itself. */
static void crash_at(int point, bool torn)
{
	struct ear ear;
	struct sriov_options o = options(&ear);
	struct fake k;
	struct sriov_plan plan;
	struct err e = { 0 };
	char *before, when[48];
	int r;

	o.force = true;
	open_two(&k);
	before = fake_snapshot(&k);
	ear.crash_at = point;
	r = apply(&k, &o, two, &plan, &e);
	sriov_plan_free(&plan);
	assert_int_equal(-ECANCELED, r);
	if (torn)
		fake_sh(&k, "for f in run/*.journal; do printf '{\"n\": 99, \"st' >>$f; done");
	ear.crash_at = -1;
	/* Its first undoing fails, too: nothing is lost by that. */
	k.fail_at = k.n_changes;
	r = sriov_release(&k.w, &o, NULL, NULL, &e);
	k.fail_at = -1;
	released(&k, &o);
	snprintf(when, sizeof(when), "crashed at point %d%s", point, torn ? ", torn" : "");
	same(&k, before, when);
	run_is_empty(&k);
	free(before);
	fake_close(&k);
}

static void test_crash_everywhere(void **state)
{
	for (int point = 0; point < 2 * TWO_STEPS; point++)
		crash_at(point, point % 3 == 0);
}

/* VFs whose number is changed: through 0, and back to what each of them was. */
static void test_number_through_zero(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before;

	fake_open(&k, 1, 7);
	fake_make_vfs(&k, 0, 4);
	struct vf_attrs *a = &k.pfs[0].vfs[2].attrs;
	a->mac = (struct ether_mac){ { 2, 0, 0, 0, 0, 7 } };
	a->vlan = 9;
	a->max_rate = 70;
	a->trust = true;
	strcpy(a->driver, "vfio-pci");
	strcpy(a->override, "vfio-pci");
	fake_show(&k);
	before = fake_snapshot(&k);
	refused(&k, &o, PF1("\"num_vfs\": 6"), ERR_HOST,
		"has 4 VFs already that Lanyard did not make");
	same(&k, before, "refused");
	o.force = true;
	applied(&k, &o, PF1("\"num_vfs\": 6"), 1);
	assert_int_equal(6, k.pfs[0].n_vfs);
	assert_non_null(strstr(k.log, "numvfs 0000:01:00.0 0\nnumvfs 0000:01:00.0 6\n"));
	applied(&k, &o, PF1("\"num_vfs\": 0"), 1);
	assert_int_equal(0, k.pfs[0].n_vfs);
	assert_int_equal(2, released(&k, &o));
	same(&k, before, "released");
	free(before);
	fake_close(&k);
}

static void test_number_pitfalls(void **state)
{
	static const struct {
		int error;
		const char *says;
	} rows[] = {
		{ -ERANGE, "that is more than it can have" },
		{ -ENOENT, "its driver makes no VFs" },
		{ -EBUSY, "VFs are in use" },
		{ -ENOMEM, "pci=realloc,assign-busses" },
		{ -ENODEV, "is the interface up?" },
		{ -EIO, "Input/output error" },
	};
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before;

	fake_open(&k, 1, 7);
	before = fake_snapshot(&k);
	/* Success is no proof. */
	k.pfs[0].fewer = true;
	refused(&k, &o, PF1("\"num_vfs\": 3"), ERR_FAILED,
		"3 VFs of 0000:01:00.0 were asked for, and the kernel took that, but 2 are there");
	same(&k, before, "fewer");
	k.pfs[0].fewer = false;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		k.pfs[0].number_error = rows[i].error;
		refused(&k, &o, PF1("\"num_vfs\": 3"), ERR_FAILED, rows[i].says);
		same(&k, before, "error");
	}
	k.pfs[0].number_error = 0;
	/* A driver that hangs: given up, and said so. */
	k.pfs[0].hangs = true;
	refused(&k, &o, PF1("\"num_vfs\": 3"), ERR_FAILED, "did not come back within 60 s");
	k.pfs[0].hangs = false;
	released(&k, &o);
	same(&k, before, "hangs");
	run_is_empty(&k);
	free(before);
	fake_close(&k);
}

/* A write that blocks, for real: a FIFO that nobody reads. */
static void test_blocking_write(void **state)
{
	struct fake k;
	struct err e = { 0 };

	fake_open(&k, 1, 7);
	fake_sh(&k, "mkfifo sys/slow && echo old >sys/fast");
	k.w.write = sysfs_write_host;
	assert_int_equal(-ETIMEDOUT, k.w.write(&k.w, "slow", "1", 80));
	assert_int_equal(-ETIMEDOUT, sysfs_write(&k.w, "1", 50, &e, "slow"));
	assert_int_equal(ERR_FAILED, e.class);
	assert_int_equal(0, k.w.write(&k.w, "fast", "new", 1000));
	fake_sh(&k, "grep -q new sys/fast");
	assert_int_equal(0, k.w.write(&k.w, "fast", "now", 0));
	fake_sh(&k, "grep -q now sys/fast");
	assert_int_equal(-ENOENT, k.w.write(&k.w, "none", "1", 1000));
	assert_int_equal(-ENOENT, k.w.write(&k.w, "none", "1", 0));
	fake_close(&k);
}

/* A bound driver learns its MAC when it probes; VFIO's user, when he resets it. */
static void test_mac_rebinds(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before;

	fake_open(&k, 1, 7);
	before = fake_snapshot(&k);
	applied(&k, &o,
		PF1("\"num_vfs\": 3, \"vfs\": { \"0\": { \"mac\": \"02:00:00:00:00:01\" }, \"1\": "
		    "{ \"driver\": \"vfio-pci\" } }"),
		3);
	assert_int_equal(1, k.pfs[0].vfs[0].learnt);
	assert_string_equal("igbvf", k.pfs[0].vfs[0].attrs.driver);
	assert_string_equal("", k.pfs[0].vfs[0].attrs.override);
	k.log_len = 0;
	applied(&k, &o,
		PF1("\"vfs\": { \"0\": { \"mac\": \"02:00:00:00:00:02\" }, \"1\": { \"mac\": "
		    "\"02:00:00:00:00:03\" } }"),
		2);
	assert_int_equal(2, k.pfs[0].vfs[0].learnt);
	assert_null(strstr(k.log, "unbind 0000:01:10.6")); /* VF 1's */
	released(&k, &o);
	same(&k, before, "released");
	free(before);
	fake_close(&k);
}

/* The address that VFs have at first can't be put back by every driver: said, and no failure. */
static void test_zero_mac(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);

	o.force = true;
	fake_open(&k, 1, 7);
	fake_make_vfs(&k, 0, 1);
	k.pfs[0].zero_mac_einval = true;
	applied(&k, &o, PF1("\"vfs\": { \"0\": { \"mac\": \"02:00:00:00:00:01\", \"vlan\": 5 } }"),
		2);
	assert_int_equal(2, released(&k, &o));
	assert_int_equal(0x020000000001, ether_mac_u64(k.pfs[0].vfs[0].attrs.mac));
	assert_int_equal(0, k.pfs[0].vfs[0].attrs.vlan);
	assert_non_null(
		strstr(ear.said, "note: VF 0 of 0000:01:00.0 keeps its MAC address: the driver"));
	/* With VFs of our own there is nothing to put back. */
	fake_make_vfs(&k, 0, 0);
	ear.said[0] = '\0';
	applied(&k, &o,
		PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"mac\": \"02:00:00:00:00:01\" } }"), 2);
	released(&k, &o);
	assert_null(strstr(ear.said, "note"));
	fake_close(&k);
}

/* Down, a PF makes no VFs: up first, and down again in the end. */
static void test_pf_down(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before;

	fake_open(&k, 1, 7);
	k.pfs[0].attrs.up = false;
	fake_show(&k);
	before = fake_snapshot(&k);
	applied(&k, &o, PF1("\"num_vfs\": 1"), 2);
	assert_true(k.pfs[0].attrs.up);
	assert_true(strstr(k.log, "up 0000:01:00.0 1") < strstr(k.log, "numvfs"));
	released(&k, &o);
	same(&k, before, "released");
	/* Wanted down: it is up for as long as it takes. */
	k.log_len = 0;
	applied(&k, &o, PF1("\"num_vfs\": 1, \"up\": false"), 3);
	assert_false(k.pfs[0].attrs.up);
	assert_int_equal(1, k.pfs[0].n_vfs);
	applied(&k, &o, PF1("\"num_vfs\": 1, \"up\": false"), 0);
	released(&k, &o);
	same(&k, before, "released");
	free(before);
	fake_close(&k);
}

static void test_rates(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before;

	o.force = true;
	fake_open(&k, 1, 7);
	before = fake_snapshot(&k);
	k.pfs[0].rate_needs_link = true;
	k.pfs[0].carrier = false;
	fake_show(&k);
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"max_rate\": \"10Mbps\" } }"),
		ERR_HOST, "the driver takes no rate while eth0 has no link");
	same(&k, before, "no link");
	k.pfs[0].carrier = true;
	fake_show(&k);
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"max_rate\": \"2Gbps\" } }"),
		ERR_REQUEST,
		"VF 0: a rate of 2000 Mbps is above what the link of eth0 has, 1000 Mbps");
	/* While it is down nobody knows the speed: it is looked at in time. */
	k.pfs[0].attrs.up = false;
	fake_show(&k);
	free(before);
	before = fake_snapshot(&k);
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"max_rate\": \"2Gbps\" } }"),
		ERR_REQUEST, "above what the link of eth0 has, 1000 Mbps");
	same(&k, before, "too fast");
	free(before);
	fake_close(&k);
}

/* What the driver does not have is named before anything is changed. */
static void test_unsupported(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);

	fake_open(&k, 2, 7);
	for (int i = 0; i < 2; i++) {
		strcpy(k.pfs[i].own, "igb");
		strcpy(k.pfs[i].attrs.driver, "igb");
	}
	fake_show(&k);
	k.pfs[0].unsupported = BIT(VF_LINK_STATE) | BIT(VF_TRUST);
	k.pfs[0].min_rate_einval = true;
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"link_state\": \"up\" } }"),
		ERR_HOST, "VF 0: driver igb of 0000:01:00.0 does not have \"link_state\"");
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"trust\": true } }"), ERR_HOST,
		"does not have \"trust\"");
	/* Known of igb: asking does not tell. */
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"min_rate\": \"1Mbps\" } }"),
		ERR_HOST, "does not have \"min_rate\": it can limit a VF's rate, not promise one");
	assert_int_equal(0, k.n_changes);
	assert_int_equal(0, k.pfs[0].n_vfs);
	run_is_empty(&k);
	/* Unless it does not matter. */
	applied(&k, &o,
		PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"min_rate\": \"none\", \"max_rate\": "
		    "\"5Mbps\" } }"),
		2);
	/* igb's spoof check is not there without VFs: that is no answer. */
	k.pfs[1].spoofchk_needs_vfs = true;
	applied(&k, &o,
		"{ \"version\": 1, \"pfs\": { \"a\": { \"pci\": \"2:00.0\", \"num_vfs\": 1, \"vfs\": { \"0\": "
		"{ \"spoofchk\": false } } } } }",
		2);
	assert_false(k.pfs[1].vfs[0].attrs.spoofchk);
	/* A protocol that it does not have can't be asked for: undone, then. */
	released(&k, &o);
	char *before = fake_snapshot(&k);
	refused(&k, &o,
		PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"vlan\": 5, \"vlan_protocol\": \"802.1ad\" } }"),
		ERR_FAILED,
		"VF 0 of 0000:01:00.0 (eth0): VLAN 5, 802.1ad: the kernel says: Protocol not "
		"supported");
	same(&k, before, "802.1ad");
	free(before);
	fake_close(&k);
}

static void hold(struct fake *k, const char *node)
{
	fake_sh(k, "mkdir -p proc/4242/fd && echo qemu >proc/4242/comm && ln -sf %s proc/4242/fd/7",
		node);
}

static void test_held(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before, *applied_state;
	struct err e = { 0 };

	fake_open(&k, 1, 7);
	before = fake_snapshot(&k);
	applied(&k, &o, PF1("\"num_vfs\": 2, \"vfs\": { \"1\": { \"driver\": \"vfio-pci\" } }"), 2);
	applied_state = fake_snapshot(&k);
	hold(&k, "/dev/vfio/101"); /* VF 1's group */
	k.n_changes = 0;
	assert_int_equal(-EBUSY, sriov_release(&k.w, &o, NULL, NULL, &e));
	if (!strstr(e.text, "VF 1 of 0000:01:00.0: 0000:01:10.6 is in use by qemu (pid 4242)"))
		fail_msg("%s", e.text);
	refused(&k, &o, PF1("\"num_vfs\": 3"), ERR_FAILED,
		"VF 1 (0000:01:10.6) is in use by qemu (pid 4242): end that first");
	refused(&k, &o, PF1("\"vfs\": { \"1\": { \"driver\": \"none\" } }"), ERR_FAILED,
		"end that first");
	refused(&k, &o, PF1("\"vfs\": { \"1\": { \"mac\": \"02:00:00:00:00:01\" } }"), ERR_FAILED,
		"its guest learns a MAC only by a reset");
	assert_int_equal(0, k.n_changes);
	same(&k, applied_state, "held");
	/* By the newer node as well. */
	fake_sh(&k, "mkdir -p sys/bus/pci/devices/0000:01:10.6/vfio-dev/vfio3");
	hold(&k, "/dev/vfio/devices/vfio3");
	assert_int_equal(-EBUSY, sriov_release(&k.w, &o, "0000:01:00.0", NULL, &e));
	hold(&k, "/dev/vfio/vfio"); /* that is nobody's */
	assert_int_equal(2, released(&k, &o));
	same(&k, before, "released");
	free(before);
	free(applied_state);
	fake_close(&k);
}

static void test_owners(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear), other = o;
	struct err e = { 0 };
	char owner[TOPO_NAME_MAX + 1];

	other.owner = "pair";
	other.force = true;
	fake_open(&k, 2, 7);
	applied(&k, &o, PF1("\"num_vfs\": 1"), 1);
	assert_int_equal(0, sriov_owner(&k.w, "0000:01:00.0", owner, &e));
	assert_string_equal("t", owner);
	assert_int_equal(0, sriov_owner(&k.w, "0000:02:00.0", owner, &e));
	assert_string_equal("", owner);
	refused(&k, &other, PF1("\"num_vfs\": 2"), ERR_HOST,
		"0000:01:00.0 is lab t's: take that down first (lanyard down t,");
	other.force = false;
	assert_int_equal(-EBUSY, sriov_release(&k.w, &other, "0000:01:00.0", NULL, &e));
	assert_non_null(strstr(e.text, "0000:01:00.0 is lab t's"));
	assert_int_equal(0, released(&k, &other)); /* all of its own: none */
	assert_int_equal(1, k.pfs[0].n_vfs);
	other.force = true;
	assert_int_equal(1, released(&k, &other));
	assert_int_equal(0, k.pfs[0].n_vfs);
	run_is_empty(&k);
	/* A claim without a step is one, too. */
	applied(&k, &o, PF1("\"num_vfs\": 0"), 0);
	refused(&k, &other, PF1("\"num_vfs\": 2"), ERR_HOST, "is lab t's");
	released(&k, &o);
	run_is_empty(&k);
	fake_close(&k);
}

static void test_two_processes(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char words[64], one[1][PFS_ADDR_LEN] = { "0000:01:00.0" };
	struct locks locks;
	struct err e = { 0 };
	int up[2], down[2];
	char c;

	fake_open(&k, 1, 7);
	assert_int_equal(0, pipe(up) | pipe(down));
	pid_t pid = fork();
	if (pid == 0) {
		close(down[1]);
		c = locks_take(&k.w, 1, (const char(*)[PFS_ADDR_LEN])one, &locks, &e) != 0;
		if (write(up[1], &c, 1) != 1 || read(down[0], &c, 1) != 0)
			_exit(1);
		_exit(0); /* without giving it up: that is the kernel's to do */
	}
	assert_int_equal(1, read(up[0], &c, 1));
	assert_int_equal(0, c);
	snprintf(words, sizeof(words), "is being changed by another process (pid %d)", (int)pid);
	refused(&k, &o, PF1("\"num_vfs\": 1"), ERR_FAILED, words);
	assert_int_equal(0, k.n_changes);
	close(down[0]);
	close(down[1]);
	assert_int_equal(pid, waitpid(pid, NULL, 0));
	applied(&k, &o, PF1("\"num_vfs\": 1"), 1);
	released(&k, &o);
	run_is_empty(&k);
	close(up[0]);
	close(up[1]);
	fake_close(&k);
}

static void test_journal_damaged(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	struct err e = { 0 };

	fake_open(&k, 1, 7);
	applied(&k, &o, PF1("\"num_vfs\": 1"), 1);
	fake_sh(&k, "sed -i 2s/num_vfs/num_cfs/ run/*.journal");
	assert_int_equal(-EINVAL, sriov_release(&k.w, &o, NULL, NULL, &e));
	assert_non_null(strstr(e.text, "0000:01:00.0.journal, line 2, is no line of a journal"));
	refused(&k, &o, PF1("\"num_vfs\": 2"), ERR_FAILED, "is no line of a journal");
	assert_int_equal(1, k.pfs[0].n_vfs);
	/* Nothing but a header that was not written to its end: nothing was done. */
	fake_sh(&k, "printf '{\"vers' >run/0000:01:00.0.journal");
	assert_int_equal(0, released(&k, &o));
	run_is_empty(&k);
	fake_close(&k);
}

static void test_permission(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before;

	fake_open(&k, 1, 7);
	before = fake_snapshot(&k);
	k.no_permission = true;
	refused(&k, &o, PF1("\"num_vfs\": 1"), ERR_HOST,
		"/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs can't be written: Operation not permitted; "
		"be root (sudo)");
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"trust\": true } }"), ERR_HOST,
		"no permission to configure VFs: be root (sudo)");
	same(&k, before, "refused");
	run_is_empty(&k);
	free(before);
	fake_close(&k);
}

/* Ctrl-C is a step that fails. */
static void test_interrupted(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	static volatile sig_atomic_t stop = 1;
	char *before;

	fake_open(&k, 1, 7);
	before = fake_snapshot(&k);
	o.stop = &stop;
	refused(&k, &o, PF1("\"num_vfs\": 1"), ERR_FAILED, "interrupted");
	same(&k, before, "interrupted");
	run_is_empty(&k);
	free(before);
	fake_close(&k);
}

/* A whole device, and one whose driver does not take it. */
static void test_pf_driver(void **state)
{
	struct fake k;
	struct ear ear;
	struct sriov_options o = options(&ear);
	char *before;

	fake_open(&k, 1, 0); /* not SR-IOV capable: no matter */
	before = fake_snapshot(&k);
	applied(&k, &o, PF1("\"driver\": \"vfio-pci\""), 1);
	assert_string_equal("vfio-pci", k.pfs[0].attrs.driver);
	applied(&k, &o, PF1("\"driver\": \"vfio-pci\""), 0);
	assert_int_equal(1, released(&k, &o));
	same(&k, before, "released");
	free(before);
	fake_close(&k);
	fake_open(&k, 1, 7);
	before = fake_snapshot(&k);
	k.pfs[0].shared_group = true;
	refused(&k, &o, PF1("\"num_vfs\": 1, \"vfs\": { \"0\": { \"driver\": \"vfio-pci\" } }"),
		ERR_HOST, "its IOMMU group 10 has 0000:01:00.0 (nic) as well");
	same(&k, before, "no ACS");
	free(before);
	fake_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_release),
		cmocka_unit_test(test_each_step_fails),
		cmocka_unit_test(test_crash_everywhere),
		cmocka_unit_test(test_number_through_zero),
		cmocka_unit_test(test_number_pitfalls),
		cmocka_unit_test(test_blocking_write),
		cmocka_unit_test(test_mac_rebinds),
		cmocka_unit_test(test_zero_mac),
		cmocka_unit_test(test_pf_down),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_two_processes),
		cmocka_unit_test(test_journal_damaged),
		cmocka_unit_test(test_permission),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_pf_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
