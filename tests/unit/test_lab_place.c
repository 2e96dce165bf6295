/* SPDX-License-Identifier: Apache-2.0 */
/* CPU placement on machines of many shapes: named cases, then rules that must hold on all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lab/host.h"
#include "lab/place.h"

/* `threads` a core, cores split evenly over NUMA nodes; numbered as Linux does on most machines:
 * first threads of all cores first. */
static void make_host(struct host *h, int cores, int threads, int nodes)
{
	memset(h, 0, sizeof *h);
	h->n_nodes = nodes;
	for (int t = 0; t < threads; t++) {
		for (int c = 0; c < cores; c++)
			h->cpus[h->n_cpus++] = (struct host_cpu){
				.cpu = t * cores + c, .core = c, .node = c * nodes / cores
			};
	}
}

/* VMs of the given numbers of vCPUs; switch and the first VM may have CPUs of their own. */
static struct topology *make_topology(
	const char *switch_cpus, const char *vm_cpus, const int *vcpus, int n)
{
	char text[16384], nodes[8192] = "";
	struct topology *t = NULL;
	struct err e = { 0 };
	int at = 0;

	for (int i = 0; i < n; i++)
		at += snprintf(nodes + at, sizeof nodes - (size_t)at,
			"%s\"n%d\": {\"kind\": \"vm\", \"guest\": \"probe\", \"vcpus\": %d, %s%s%s "
			"\"memory\": \"64M\", \"nics\": [{\"network\": \"lan\"}]}",
			i ? "," : "", i, vcpus[i], i == 0 && vm_cpus ? "\"cpus\": \"" : "",
			i == 0 && vm_cpus ? vm_cpus : "", i == 0 && vm_cpus ? "\"," : "");
	snprintf(text, sizeof text,
		"{\"version\": 1, \"lab\": \"x\", \"switch\": {\"cpus\": \"%s\"}, "
		"\"networks\": {\"lan\": {}},\n\"nodes\": {%s}}",
		switch_cpus ? switch_cpus : "auto", nodes);
	if (topology_parse("x.json", text, strlen(text), &t, &e))
		fail_msg("%s in %s", e.text, text);
	return t;
}

static void expect_cpus(struct host *h, const char *switch_cpus, const char *vm_cpus,
	const int *vcpus, int n, const char *want)
{
	struct topology *t = make_topology(switch_cpus, vm_cpus, vcpus, n);
	struct strs warnings = { 0 };
	struct placement p;
	struct err e = { 0 };
	char got[256] = "";
	size_t at = 0;

	if (place_cpus(t, h, &p, &warnings, &e))
		fail_msg("%s", e.text);
	for (size_t i = 0; i < p.n; i++)
		at += (size_t)snprintf(
			got + at, sizeof got - at, "%s%d", i ? " " : "", p.cpus[i].cpu);
	assert_string_equal(got, want);
	place_free(&p);
	strs_free(&warnings);
	topology_free(t);
}

static void test_cases(void **state)
{
	static const int one[] = { 1 }, two[] = { 1, 1 }, four[] = { 1, 1, 1, 1 }, wide[] = { 3 };
	struct host h;

	make_host(&h, 1, 1, 1);
	expect_cpus(&h, NULL, NULL, two, 2, "0 0 0");
	make_host(&h, 2, 1, 1); /* the development machine */
	expect_cpus(&h, NULL, NULL, one, 1, "0 1");
	expect_cpus(&h, NULL, NULL, two, 2, "0 1 1");
	expect_cpus(&h, NULL, NULL, four, 4, "0 1 1 1 1");
	expect_cpus(&h, "1", NULL, two, 2, "1 0 0");
	expect_cpus(&h, NULL, "0", two, 2, "1 0 0");
	make_host(&h, 3, 1, 1);
	expect_cpus(&h, NULL, NULL, two, 2, "0 1 2");
	expect_cpus(&h, NULL, NULL, four, 4, "0 1 2 1 2");
	make_host(&h, 4, 1, 1); /* CPUs to spare: the first is left to the host */
	expect_cpus(&h, NULL, NULL, two, 2, "1 2 3");
	make_host(&h, 4, 2, 1); /* cores 0-3, their second threads 4-7 */
	expect_cpus(&h, NULL, NULL, two, 2, "1 2 3");
	expect_cpus(&h, NULL, NULL, wide, 1, "1 2 3 4"); /* core 0 by its second thread */
	make_host(&h, 2, 2, 1);
	expect_cpus(&h, NULL, NULL, one, 1, "1 2");   /* core 1, then core 0 by its second thread */
	expect_cpus(&h, NULL, NULL, two, 2, "1 2 0"); /* away from the worker's core */
	make_host(&h, 4, 1, 2);                       /* node 0: 0, 1; node 1: 2, 3 */
	expect_cpus(&h, "2", NULL, one, 1, "2 3");
	expect_cpus(&h, "2", NULL, two, 2, "2 3 1");
}

/* Another lab is up: its CPUs are taken last. */
static void test_other_lab(void **state)
{
	static const int one[] = { 1 };
	struct topology *t = make_topology(NULL, NULL, one, 1);
	struct strs w = { 0 };
	struct placement p;
	struct host h;

	make_host(&h, 5, 1, 1);
	h.cpus[1].taken = h.cpus[2].taken = 1;
	expect_cpus(&h, NULL, NULL, one, 1, "3 4");
	h.cpus[3].taken = 1;
	expect_cpus(&h, NULL, NULL, one, 1, "4 0");
	h.cpus[0].taken = h.cpus[4].taken = 2;
	assert_int_equal(place_cpus(t, &h, &p, &w, NULL), 0);
	assert_int_equal(w.n, 1);
	assert_string_equal(w.v[0],
		"another lab that is up uses CPUs 1 and 2 too: figures of both "
		"will be lower");
	place_free(&p);
	strs_free(&w);
	topology_free(t);
}

static void test_warnings(void **state)
{
	static const int two[] = { 1, 1 }, four[] = { 1, 1, 1, 1 };
	static const struct {
		int cores, threads;
		const int *vcpus;
		int n;
		const char *want[3];
	} cases[] = {
		{ 3, 1, two, 2, { NULL } },
		{ 2, 1, two, 2,
			{ "CPU 1 is shared by n0/vcpu0 and n1/vcpu0: figures will be lower; 3 CPUs "
			  "would give each its own" } },
		{ 3, 1, four, 4,
			{ "CPU 1 is shared by n0/vcpu0 and n2/vcpu0: figures will be lower; 5 CPUs "
			  "would give each its own",
				"CPU 2 is shared by n1/vcpu0 and n3/vcpu0" } },
		{ 1, 1, two, 2,
			{ "CPU 0 is shared by worker0, n0/vcpu0 and n1/vcpu0: figures will be "
			  "lower; 3 CPUs would give each its own" } },
		{ 2, 2, two, 2,
			{ "n0/vcpu0 (CPU 2) and n1/vcpu0 (CPU 0) share a core: figures will be "
			  "lower" } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct topology *t = make_topology(NULL, NULL, cases[i].vcpus, cases[i].n);
		struct strs w = { 0 };
		struct placement p;
		struct host h;
		size_t n = 0;

		make_host(&h, cases[i].cores, cases[i].threads, 1);
		assert_int_equal(place_cpus(t, &h, &p, &w, NULL), 0);
		for (; n < 3 && cases[i].want[n]; n++) {
			assert_true(n < w.n);
			assert_string_equal(w.v[n], cases[i].want[n]);
		}
		assert_int_equal(w.n, n);
		place_free(&p);
		strs_free(&w);
		topology_free(t);
	}
}

static void test_named_cpu_missing(void **state)
{
	static const int one[] = { 1 };
	struct topology *t = make_topology("5", NULL, one, 1);
	struct strs w = { 0 };
	struct placement p;
	struct err e = { 0 };
	struct host h;

	make_host(&h, 2, 1, 1);
	assert_true(place_cpus(t, &h, &p, &w, &e) < 0);
	assert_int_equal(e.class, ERR_REQUEST);
	assert_string_equal(e.text,
		"x.json:1:47: worker0 is to run on CPU 5, but the CPUs that may be "
		"used here are 0-1");
	topology_free(t);
	t = make_topology(NULL, "0-1", (int[]){ 2 }, 1);
	h.cpus[1].cpu = 4; /* a cpuset of 0 and 4 */
	assert_true(place_cpus(t, &h, &p, &w, &e) < 0);
	assert_non_null(strstr(e.text,
		"n0/vcpu1 is to run on CPU 1, but the CPUs that may be used "
		"here are 0,4"));
	topology_free(t);
}

/* Who is on CPU i of the host: workers, vCPUs. */
static void count_on(const struct placement *p, int cpu, int *workers, int *vcpus)
{
	*workers = *vcpus = 0;
	for (size_t i = 0; i < p->n; i++) {
		if (p->cpus[i].cpu == cpu)
			++*(p->cpus[i].node < 0 ? workers : vcpus);
	}
}

static void check_rules(
	const struct host *h, const struct placement *p, const struct strs *w, int cores)
{
	int least = 1000, most = 0, shared = 0;

	for (size_t i = 0; i < p->n; i++)
		assert_non_null(host_find_cpu(h, p->cpus[i].cpu));
	for (size_t i = 0; i < h->n_cpus; i++) {
		int workers, vcpus;

		count_on(p, h->cpus[i].cpu, &workers, &vcpus);
		assert_true(workers <= 1);
		shared += workers + vcpus > 1;
		if (workers) {
			assert_true(vcpus == 0 || h->n_cpus == 1);
			continue;
		}
		least = vcpus < least ? vcpus : least;
		most = vcpus > most ? vcpus : most;
	}
	if (h->n_cpus > 1)
		assert_true(most - least <= 1); /* fair */
	assert_int_equal(shared > 0, p->n > h->n_cpus);
	/* As many warnings as shared CPUs, and one if there are shared cores besides. */
	if ((int)p->n <= cores / h->n_nodes)
		assert_int_equal(w->n, 0);
	else
		assert_true(w->n >= (size_t)shared && w->n <= (size_t)shared + 1);
}

/* Nobody shares a core as long as the home node has a core for each. */
static void check_cores(const struct host *h, const struct placement *p, int home_cores)
{
	if ((int)p->n > home_cores)
		return;
	for (size_t i = 0; i < p->n; i++) {
		const struct host_cpu *a = host_find_cpu(h, p->cpus[i].cpu);

		assert_int_equal(a->node, p->home);
		for (size_t j = i + 1; j < p->n; j++)
			assert_int_not_equal(a->core, host_find_cpu(h, p->cpus[j].cpu)->core);
	}
}

static void test_all_shapes(void **state)
{
	for (int cores = 1; cores <= 16; cores++) {
		for (int threads = 1; threads <= 2; threads++) {
			for (int nodes = 1; nodes <= 2 && cores % nodes == 0; nodes++) {
				for (int n = 1; n <= 12; n++) {
					static const int ones[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
						1, 1 };
					struct topology *t = make_topology(NULL, NULL, ones, n);
					struct strs w = { 0 };
					struct placement p;
					struct host h;

					make_host(&h, cores, threads, nodes);
					assert_int_equal(place_cpus(t, &h, &p, &w, NULL), 0);
					check_rules(&h, &p, &w, cores);
					check_cores(&h, &p, cores / nodes);
					place_free(&p);
					strs_free(&w);
					topology_free(t);
				}
			}
		}
	}
}

static void test_lists(void **state)
{
	static const int two[] = { 2, 1 };
	struct topology *t = make_topology("0,2", NULL, two, 2);
	struct strs w = { 0 };
	struct placement p;
	struct host h;
	char out[64];

	make_host(&h, 6, 1, 1);
	assert_int_equal(place_cpus(t, &h, &p, &w, NULL), 0);
	assert_string_equal(place_list(&p, -1, out, sizeof out), "0,2");
	assert_string_equal(place_list(&p, 0, out, sizeof out), "1,3");
	assert_string_equal(place_list(&p, 1, out, sizeof out), "4");
	h.cpus[2].cpu = 9;
	assert_string_equal(host_cpus_text(&h, out, sizeof out), "0-1,9,3-5");
	place_free(&p);
	strs_free(&w);
	topology_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_other_lab),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_named_cpu_missing),
		cmocka_unit_test(test_all_shapes),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests_name("lab/place", tests, NULL, NULL);
}
