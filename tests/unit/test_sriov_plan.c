/* SPDX-License-Identifier: Apache-2.0 */
/* The diff, and what stands in a plan's way: pure, on states made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sriov/own.h"

#define ALL_VF (BIT(VF_ATTRS_N) - 1)

static struct sriov_world world = { .sys = -1, .proc = -1, .memlock = UINT64_MAX };

/* ---- a host in memory ---- */

static struct sriov_state make_host(size_t n_pfs, uint32_t total, uint32_t n_vfs)
{
	static const char *const drivers[] = { "nic", "nicvf", "vfio-pci" };
	struct sriov_state s = { .n_pfs = n_pfs, .pfs = calloc(n_pfs, sizeof(*s.pfs)) };

	s.host.iommu = true;
	s.host.n_drivers = 3;
	s.host.drivers = calloc(3, sizeof(*s.host.drivers));
	for (size_t i = 0; i < 3; i++)
		strcpy(s.host.drivers[i], drivers[i]);
	for (size_t i = 0; i < n_pfs; i++) {
		struct sriov_pf *pf = &s.pfs[i];

		snprintf(pf->fn.addr, sizeof(pf->fn.addr), "0000:%02zx:00.0", i + 1);
		snprintf(pf->fn.net, sizeof(pf->fn.net), "eth%zu", i);
		pf->fn.ifindex = (int)i + 2;
		pf->fn.group = (int)i + 1;
		pf->total_vfs = total;
		pf->speed_mbps = 10000;
		pf->carrier = pf->ours = true;
		strcpy(pf->owner, "t");
		pf->attrs = (struct pf_attrs){ .has = BIT(PF_ATTRS_N) - 1,
			.num_vfs = n_vfs,
			.autoprobe = true,
			.mtu = 1500,
			.up = true,
			.driver = "nic" };
		pf->n_vfs = n_vfs;
		pf->vfs = calloc(n_vfs + 1, sizeof(*pf->vfs));
		for (uint32_t j = 0; j < n_vfs; j++) {
			pf->vfs[j].index = j;
			pf->vfs[j].fn.group = (int)(100 + 1000 * i + j);
			snprintf(pf->vfs[j].fn.addr, sizeof(pf->vfs[j].fn.addr),
				"0000:%02zx:%02x.%u", i + 1, 1 + j / 8, j % 8);
			pf->vfs[j].attrs = (struct vf_attrs){ .has = ALL_VF,
				.vlan_proto = 0x8100,
				.spoofchk = true,
				.driver = "nicvf" };
		}
	}
	return s;
}

/* What is wanted of all VFs of all PFs: nothing yet. */
static struct sriov_state make_want(size_t n_pfs, uint32_t n_vfs)
{
	struct sriov_state s = { .n_pfs = n_pfs, .pfs = calloc(n_pfs, sizeof(*s.pfs)) };

	for (size_t i = 0; i < n_pfs; i++) {
		struct sriov_pf *pf = &s.pfs[i];

		snprintf(pf->fn.addr, sizeof(pf->fn.addr), "0000:%02zx:00.0", i + 1);
		strcpy(pf->name, "p");
		pf->n_vfs = n_vfs;
		pf->vfs = calloc(n_vfs + 1, sizeof(*pf->vfs));
		for (uint32_t j = 0; j < n_vfs; j++)
			pf->vfs[j].index = j;
	}
	return s;
}

/* ---- the property: the diff, applied, gives what was wanted ---- */

static void set_attrs(struct vf_attrs *to, const struct vf_attrs *from)
{
	if (from->has & BIT(VF_MAC))
		to->mac = from->mac;
	if (from->has & BIT(VF_VLAN)) {
		to->vlan = from->vlan;
		to->qos = from->qos;
		to->vlan_proto = from->vlan_proto;
	}
	if (from->has & BIT(VF_MIN_RATE))
		to->min_rate = from->min_rate;
	if (from->has & BIT(VF_MAX_RATE))
		to->max_rate = from->max_rate;
	if (from->has & BIT(VF_SPOOFCHK))
		to->spoofchk = from->spoofchk;
	if (from->has & BIT(VF_TRUST))
		to->trust = from->trust;
	if (from->has & BIT(VF_LINK_STATE))
		to->link_state = from->link_state;
	if (from->has & BIT(VF_DRIVER))
		memcpy(to->driver, from->driver, sizeof(to->driver));
	to->has |= from->has;
}

/* What a kernel would do. It asserts what a kernel would refuse. */
static void carry(struct sriov_state *s, const struct sriov_plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct sriov_step *step = &plan->steps[i];
		struct sriov_pf *pf = sriov_pf_find(s, step->pf);
		struct pf_attrs *a = &pf->attrs;

		switch (step->kind) {
		case SRIOV_PF_UP:
		case SRIOV_PF_DOWN:
			assert_int_equal(step->kind == SRIOV_PF_UP, step->pf_to.up);
			assert_int_not_equal(a->up, step->pf_to.up);
			a->up = step->pf_to.up;
			break;
		case SRIOV_PF_MTU:
			a->mtu = step->pf_to.mtu;
			break;
		case SRIOV_AUTOPROBE:
			a->autoprobe = step->pf_to.autoprobe;
			break;
		case SRIOV_PF_DRIVER:
			memcpy(a->driver, step->pf_to.driver, sizeof(a->driver));
			break;
		case SRIOV_NUM_VFS:
			assert_true(a->up || !step->pf_to.num_vfs);
			assert_int_equal(pf->n_vfs, step->n_before);
			a->num_vfs = step->pf_to.num_vfs;
			free(pf->vfs);
			pf->n_vfs = a->num_vfs;
			pf->vfs = calloc(pf->n_vfs + 1, sizeof(*pf->vfs));
			for (uint32_t j = 0; j < pf->n_vfs; j++) {
				pf->vfs[j].index = j;
				pf->vfs[j].attrs = (struct vf_attrs){
					.has = ALL_VF, .vlan_proto = 0x8100, .spoofchk = true
				};
				if (a->autoprobe)
					strcpy(pf->vfs[j].attrs.driver, "nicvf");
			}
			break;
		default:
			assert_true(a->up || step->kind == SRIOV_DRIVER);
			assert_true(step->vf >= 0 && (size_t)step->vf < pf->n_vfs);
			set_attrs(&pf->vfs[step->vf].attrs, &step->to);
		}
	}
}

static uint32_t rng_state;

static uint32_t rng(uint32_t n)
{
	rng_state = rng_state * 1664525u + 1013904223u;
	return (rng_state >> 8) % n;
}

static void random_attrs(struct vf_attrs *a, uint32_t vf, unsigned has)
{
	static const char *const drivers[] = { "", "nicvf", "vfio-pci" };

	*a = (struct vf_attrs){ .has = has, .vlan_proto = 0x8100 };
	a->mac = (struct ether_mac){ { 2, 0, 0, 0, (uint8_t)rng(4), (uint8_t)vf } };
	a->vlan = (uint16_t)rng(4);
	if (a->vlan) {
		a->qos = (uint8_t)rng(3);
		a->vlan_proto = rng(4) ? 0x8100 : 0x88a8;
	}
	a->min_rate = rng(3) * 10;
	a->max_rate = rng(3) ? 100 + rng(2) : 0;
	a->spoofchk = rng(2);
	a->trust = rng(2);
	a->link_state = (int)rng(3);
	snprintf(a->driver, sizeof(a->driver), "%s", drivers[rng(3)]);
}

static void random_pf(struct pf_attrs *a, unsigned has, uint32_t total)
{
	a->has = has;
	a->num_vfs = rng(total + 1);
	a->autoprobe = rng(2);
	a->mtu = 1500 + rng(2) * 7500;
	a->up = rng(2);
	strcpy(a->driver, "nic");
}

static void as_wanted(const struct sriov_state *want, const struct sriov_state *have, int round)
{
	struct sriov_plan again;

	assert_int_equal(0, sriov_diff(want, have, &again, NULL));
	if (again.n_steps)
		fail_msg("round %d: a second diff is not empty: %s", round,
			sriov_step_names[again.steps[0].kind]);
	sriov_plan_free(&again);
	for (size_t i = 0; i < want->n_pfs; i++)
		for (size_t j = 0; j < want->pfs[i].n_vfs; j++) {
			struct vf_attrs merged;

			if (j >= have->pfs[i].n_vfs)
				break;
			/* Nothing of what is wanted would change it any more. */
			merged = have->pfs[i].vfs[j].attrs;
			set_attrs(&merged, &want->pfs[i].vfs[j].attrs);
			if (!merged.vlan)
				merged.vlan_proto = have->pfs[i].vfs[j].attrs.vlan_proto;
			assert_memory_equal(&merged, &have->pfs[i].vfs[j].attrs, sizeof(merged));
		}
}

static void test_property(void **state)
{
	for (int round = 0; round < 3000; round++) {
		rng_state = (uint32_t)round * 2654435761u + 1;
		size_t n_pfs = 1 + rng(3);
		uint32_t total = 1 + rng(6), n = rng(total + 1);
		struct sriov_state have = make_host(n_pfs, total, n),
				   want = make_want(n_pfs, total);
		struct sriov_plan plan;

		for (size_t i = 0; i < n_pfs; i++) {
			random_pf(&have.pfs[i].attrs, BIT(PF_ATTRS_N) - 1, total);
			have.pfs[i].attrs.num_vfs = n;
			random_pf(&want.pfs[i].attrs, rng(BIT(PF_ATTRS_N)), total);
			for (uint32_t j = 0; j < n; j++)
				random_attrs(&have.pfs[i].vfs[j].attrs, j, ALL_VF);
			for (uint32_t j = 0; j < total; j++)
				random_attrs(&want.pfs[i].vfs[j].attrs, j, rng(BIT(VF_ATTRS_N)));
		}
		assert_int_equal(0, sriov_diff(&want, &have, &plan, NULL));
		carry(&have, &plan);
		as_wanted(&want, &have, round);
		sriov_plan_free(&plan);
		sriov_state_free(&have);
		sriov_state_free(&want);
	}
}

/* A journal's line is the step. */
static void test_step_json(void **state)
{
	struct sriov_state have = make_host(1, 7, 3), want = make_want(1, 5);
	struct sriov_plan plan;
	size_t n = 0;

	rng_state = 5;
	for (int kind = 0; kind < 2; kind++) {
		random_pf(&want.pfs[0].attrs, kind ? BIT(PF_NUM_VFS) | BIT(PF_MTU) : 0, 7);
		want.pfs[0].attrs.num_vfs = 5;
		want.pfs[0].attrs.mtu = 9000;
		for (uint32_t j = 0; j < 5; j++)
			random_attrs(&want.pfs[0].vfs[j].attrs, j, ALL_VF);
		assert_int_equal(0, sriov_diff(&want, &have, &plan, NULL));
		for (size_t i = 0; i < plan.n_steps; i++, n++) {
			struct sriov_step back;
			json_t *a = sriov_step_json(&plan.steps[i]), *b;

			assert_int_equal(0, sriov_step_from_json(a, &back));
			b = sriov_step_json(&back);
			assert_true(json_equal(a, b));
			assert_int_equal(plan.steps[i].kind, back.kind);
			json_decref(a);
			json_decref(b);
			sriov_step_free(&back);
		}
		sriov_plan_free(&plan);
	}
	assert_true(n > 30);
	sriov_state_free(&have);
	sriov_state_free(&want);
}

/* Of this thread alone: others may be at work on this machine. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* 256 VFs on 4 PFs, each with all attributes to be changed: the best of some runs. */
static void test_256_vfs(void **state)
{
	struct sriov_options o = { .owner = "t" };
	struct sriov_state have = make_host(4, 64, 64), want = make_want(4, 64);
	uint64_t best_ns = UINT64_MAX, limit_ns = 10 * NS_PER_MS;

#ifdef __SANITIZE_ADDRESS__
	limit_ns *= 5;
#endif
	rng_state = 9;
	for (size_t i = 0; i < 4; i++)
		for (uint32_t j = 0; j < 64; j++) {
			struct vf_attrs *a = &want.pfs[i].vfs[j].attrs;

			*a = (struct vf_attrs){ .has = ALL_VF,
				.mac = { { 2, 0, 0, 1, (uint8_t)i, (uint8_t)j } },
				.vlan = 7,
				.vlan_proto = 0x8100,
				.max_rate = 100,
				.trust = true,
				.link_state = VF_LINK_UP,
				.driver = "vfio-pci" };
		}
	for (int run = 0; run < 20; run++) {
		uint64_t began_ns = cpu_ns(), took_ns;
		struct sriov_plan plan;

		assert_int_equal(0, sriov_diff(&want, &have, &plan, NULL));
		assert_int_equal(0, sriov_check(&want, &have, &world, &o, &plan, NULL));
		took_ns = cpu_ns() - began_ns;
		if (took_ns < best_ns)
			best_ns = took_ns;
		if (plan.n_problems)
			fail_msg("%s", plan.problems[0].err.text);
		assert_int_equal(256 * 7, plan.n_steps);
		sriov_plan_free(&plan);
	}
	printf("figure: sriov: 256 VFs on 4 PFs planned and checked in %.2f ms\n",
		(double)best_ns / NS_PER_MS);
	assert_true(best_ns < limit_ns);
	sriov_state_free(&have);
	sriov_state_free(&want);
}

/* ---- what is refused ---- */

struct host {
	struct sriov_state have, want;
	struct sriov_world w;
	struct sriov_options o;
};

/* Of one PF with 4 of 7 VFs, VF 1 wanted. */
static void host_make(struct host *h)
{
	*h = (struct host){ make_host(1, 7, 4), make_want(1, 2), world, { .owner = "t" } };
	h->want.file = "f";
	h->want.pfs[0].device_place = (struct topo_place){ 2, 3 };
	for (int i = 0; i < PF_ATTRS_N; i++)
		h->want.pfs[0].places[i] = (struct topo_place){ 3, i };
	for (int i = 0; i < VF_ATTRS_N; i++)
		h->want.pfs[0].vfs[1].places[i] = (struct topo_place){ 4, i };
}

static struct vf_attrs *vf1(struct host *h, unsigned has)
{
	h->want.pfs[0].vfs[1].attrs.has = has;
	return &h->want.pfs[0].vfs[1].attrs;
}

static struct pf_attrs *pf(struct host *h, unsigned has)
{
	h->want.pfs[0].attrs.has = has;
	return &h->want.pfs[0].attrs;
}

static void too_many(struct host *h)
{
	pf(h, BIT(PF_NUM_VFS))->num_vfs = 8;
}

static void not_capable(struct host *h)
{
	h->have.pfs[0].total_vfs = 0;
	h->want.pfs[0].n_vfs = 0;
	pf(h, BIT(PF_NUM_VFS))->num_vfs = 1;
}

static void index_out(struct host *h)
{
	h->want.pfs[0].vfs[1].index = 4;
}

static void no_vfs(struct host *h)
{
	h->have.pfs[0].attrs.num_vfs = 0;
	h->have.pfs[0].n_vfs = 0;
}

static void too_fast(struct host *h)
{
	vf1(h, BIT(VF_MAX_RATE))->max_rate = 20000;
}

static void min_above_old_max(struct host *h)
{
	h->have.pfs[0].vfs[1].attrs.max_rate = 50;
	vf1(h, BIT(VF_MIN_RATE))->min_rate = 60;
}

static void twin_mac(struct host *h)
{
	h->have.pfs[0].vfs[3].attrs.mac = (struct ether_mac){ { 2, 0, 0, 0, 0, 1 } };
	vf1(h, BIT(VF_MAC))->mac = h->have.pfs[0].vfs[3].attrs.mac;
}

static void vfio(struct host *h)
{
	strcpy(vf1(h, BIT(VF_DRIVER))->driver, "vfio-pci");
}

static void no_iommu(struct host *h)
{
	vfio(h);
	h->have.host.iommu = false;
}

static void no_module(struct host *h)
{
	vfio(h);
	h->have.host.n_drivers = 2;
}

static void shared_group(struct host *h)
{
	static struct sriov_member members[] = { { "0000:00:1c.0", "pcieport" },
		{ "0000:01:00.0", "nic" }, { "0000:01:01.1", "nicvf" }, { "0000:01:01.2", "" } };
	static struct sriov_group group = { .n_members = 4, .members = members };

	vfio(h);
	group.number = h->have.pfs[0].vfs[1].fn.group;
	h->have.n_groups = 1;
	h->have.groups = &group;
}

static void memlock(struct host *h)
{
	vfio(h);
	h->w.memlock = 65536;
	h->o.memlock_bytes = 268435456;
}

static void refused(struct host *h)
{
	vf1(h, BIT(VF_LINK_STATE))->link_state = VF_LINK_UP;
	h->have.pfs[0].takes[VF_LINK_STATE] = SRIOV_REFUSES;
}

static void refused_switchdev(struct host *h)
{
	refused(h);
	h->have.pfs[0].switchdev = true;
}

static void not_allowed(struct host *h)
{
	refused(h);
	h->have.pfs[0].takes[VF_LINK_STATE] = SRIOV_NOT_ALLOWED;
}

static void no_interface(struct host *h)
{
	vf1(h, BIT(VF_TRUST))->trust = true;
	h->have.pfs[0].fn.net[0] = '\0';
}

static void other_owner(struct host *h)
{
	vf1(h, BIT(VF_TRUST))->trust = true;
	strcpy(h->have.pfs[0].owner, "pair");
}

static void foreign_vfs(struct host *h)
{
	vf1(h, BIT(VF_TRUST))->trust = true;
	h->have.pfs[0].ours = false;
}

static void used(struct host *h)
{
	h->want.pfs[0].n_vfs = 0;
	pf(h, BIT(PF_MTU))->mtu = 9000;
	strcpy(h->have.pfs[0].uses, "bridge br0");
}

static void pf_on_vfio(struct host *h)
{
	no_vfs(h);
	h->want.pfs[0].n_vfs = 0;
	pf(h, BIT(PF_NUM_VFS))->num_vfs = 1;
	strcpy(h->have.pfs[0].attrs.driver, "vfio-pci");
}

static void pf_driverless(struct host *h)
{
	pf_on_vfio(h);
	h->have.pfs[0].attrs.driver[0] = '\0';
}

static void pf_leaves(struct host *h)
{
	h->want.pfs[0].n_vfs = 0;
	strcpy(pf(h, BIT(PF_DRIVER))->driver, "vfio-pci");
}

static const struct refusal {
	void (*make)(struct host *h);
	int class;
	bool forcible;
	const char *says;
} refusals[] = {
	{ too_many, ERR_REQUEST, false,
		"f:3:0: PF \"p\": 8 VFs are wanted of 0000:01:00.0, which can have 7 at most" },
	{ not_capable, ERR_REQUEST, false,
		"0000:01:00.0 (eth0) can't have VFs: it is not SR-IOV capable" },
	{ index_out, ERR_REQUEST, false, "there is no VF 4: 0000:01:00.0 has 4, 0 to 3" },
	{ no_vfs, ERR_REQUEST, false, "there is no VF 0: 0000:01:00.0 has none" },
	{ too_fast, ERR_REQUEST, false,
		"f:4:3: PF \"p\": VF 1: a rate of 20000 Mbps is above what the link of eth0 has, 10000" },
	{ min_above_old_max, ERR_REQUEST, false, "min_rate would be 60 Mbps and max_rate 50 Mbps" },
	{ twin_mac, ERR_REQUEST, false, "MAC address 02:00:00:00:00:01 is VF 3's already" },
	{ no_iommu, ERR_HOST, false, "add intel_iommu=on iommu=pt" },
	{ no_module, ERR_HOST, false, "driver vfio-pci is not loaded: sudo modprobe vfio-pci" },
	{ shared_group, ERR_HOST, false, "its IOMMU group 101 has 0000:01:00.0 (nic) as well" },
	{ memlock, ERR_HOST, false,
		"268435456 bytes, and 65536 may be (ulimit -l): be root, or raise RLIMIT_MEMLOCK to 262144" },
	{ refused, ERR_HOST, false,
		"VF 1: driver nic of 0000:01:00.0 does not have \"link_state\"" },
	{ refused_switchdev, ERR_HOST, false, "its e-switch is in switchdev mode" },
	{ not_allowed, ERR_HOST, false, "no permission to configure VFs: be root" },
	{ no_interface, ERR_HOST, false, "0000:01:00.0 has no network interface here" },
	{ other_owner, ERR_HOST, false, "f:2:3: PF \"p\": 0000:01:00.0 is lab pair's" },
	{ foreign_vfs, ERR_HOST, true, "has 4 VFs already that Lanyard did not make" },
	{ used, ERR_HOST, true, "eth0 (0000:01:00.0) is in use by bridge br0" },
	{ pf_on_vfio, ERR_HOST, false, "would each need a VF token" },
	{ pf_driverless, ERR_HOST, false, "has no driver: VFs are made by the PF's own" },
	{ pf_leaves, ERR_REQUEST, false, "can't leave its driver while it has VFs" },
};

static void test_refusals(void **state)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];
		struct sriov_plan plan;
		struct err e = { 0 };
		struct host h;

		host_make(&h);
		r->make(&h);
		assert_int_equal(0, sriov_diff(&h.want, &h.have, &plan, &e));
		assert_int_equal(0, sriov_check(&h.want, &h.have, &h.w, &h.o, &plan, &e));
		if (!sriov_refusal(&plan, &h.o, &e))
			fail_msg("not refused: %s", r->says);
		if ((int)e.class != r->class || !strstr(e.text, r->says))
			fail_msg("expected (%d): %s\nsays (%d):     %s", r->class, r->says, e.class,
				e.text);
		h.o.force = true;
		assert_int_equal(r->forcible, !sriov_refusal(&plan, &h.o, NULL));
		assert_int_equal(r->forcible, strstr(e.text, "--force goes past") != NULL);
		sriov_plan_free(&plan);
		h.have.groups = NULL; /* static */
		h.have.n_groups = 0;
		sriov_state_free(&h.have);
		sriov_state_free(&h.want);
	}
}

/* A group that goes away as a whole is no obstacle. */
static void test_whole_group(void **state)
{
	static struct sriov_member members[] = { { "0000:01:01.0", "nicvf" },
		{ "0000:01:01.1", "nicvf" } };
	struct sriov_group group = { .number = 100, .n_members = 2, .members = members };
	struct sriov_plan plan;
	struct host h;

	host_make(&h);
	h.have.groups = &group;
	h.have.n_groups = 1;
	for (int i = 0; i < 2; i++) {
		h.have.pfs[0].vfs[i].fn.group = 100;
		h.want.pfs[0].vfs[i].attrs.has = BIT(VF_DRIVER);
		strcpy(h.want.pfs[0].vfs[i].attrs.driver, "vfio-pci");
	}
	assert_int_equal(0, sriov_diff(&h.want, &h.have, &plan, NULL));
	assert_int_equal(0, sriov_check(&h.want, &h.have, &h.w, &h.o, &plan, NULL));
	assert_int_equal(0, plan.n_problems);
	sriov_plan_free(&plan);
	h.have.groups = NULL;
	h.have.n_groups = 0;
	sriov_state_free(&h.have);
	sriov_state_free(&h.want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_property),
		cmocka_unit_test(test_step_json),
		cmocka_unit_test(test_256_vfs),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_whole_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
