/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID: topologies as Linux computes them, and features hidden by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/cpuid.h"

#define ENTRIES 16

/* An Intel or AMD host of one core, with caches of three levels. */
static struct kvm_cpuid2 *host(bool amd, uint32_t leaves)
{
	struct kvm_cpuid2 *c =
		calloc(1, sizeof(*c) + (ENTRIES + CPUID_MORE) * sizeof(c->entries[0]));
	const struct kvm_cpuid_entry2 e[] = {
		{ .function = 0, .eax = leaves, .ebx = amd ? 0x68747541 : 0x756e6547 },
		{ .function = 1, .eax = 0x806f8, .ebx = 0x05100800, .ecx = ~0u, .edx = ~0u },
		{ .function = 4, .index = 0, .flags = 1, .eax = 0xfc004121 },
		{ .function = 4, .index = 2, .flags = 1, .eax = 0xfc004143 },
		{ .function = 4, .index = 3, .flags = 1, .eax = 0xfc1fc163 },
		{ .function = 4, .index = 4, .flags = 1 },
		{ .function = 7, .index = 0, .flags = 1, .ebx = ~0u, .ecx = ~0u, .edx = ~0u },
		{ .function = 0xb, .index = 0, .flags = 1, .eax = 7, .ebx = 9 },
		{ .function = 0xd, .index = 1, .flags = 1, .eax = 0xf },
		{ .function = 0x80000000, .eax = 0x80000008 },
		{ .function = 0x80000001, .ecx = ~(1u << 22), .edx = ~0u },
		{ .function = 0x80000008, .eax = 0x3030, .ebx = ~0u, .ecx = 0x7007 },
		{ .function = 0x8000001d, .index = 0, .flags = 1, .eax = 0x03ffc121 },
		{ .function = 0x8000001d, .index = 1, .flags = 1, .eax = 0x03ffc163 },
		{ .function = 0x8000001e, .eax = 77, .ebx = 77, .ecx = 77 },
	};

	c->nent = sizeof(e) / sizeof(e[0]);
	memcpy(c->entries, e, sizeof(e));
	return c;
}

static const struct kvm_cpuid_entry2 *find(
	const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index) {
			assert_null(found); /* there is one of each */
			found = &c->entries[i];
		}
	return found;
}

static struct kvm_cpuid2 *cpu(const struct kvm_cpuid2 *h, struct cpu_topology t, unsigned index)
{
	struct kvm_cpuid2 *c =
		calloc(1, sizeof(*c) + (h->nent + CPUID_MORE) * sizeof(c->entries[0]));

	cpuid_for(h, &t, index, c);
	assert_true(c->nent <= h->nent + CPUID_MORE);
	return c;
}

static void test_apic_ids(void **state)
{
	const struct cpu_topology plain = { 1, 64, 1 }, odd = { 2, 3, 2 };
	static const uint32_t ids[] = { 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13 };

	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(cpu_apic_id(&plain, i), i);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(cpu_apic_id(&odd, i), ids[i]);
}

static void test_completion(void **state)
{
	static const struct {
		struct cpu_topology given;
		unsigned n;
		struct cpu_topology found;
	} good[] = {
		{ { 0, 0, 0 }, 1, { 1, 1, 1 } },
		{ { 0, 0, 0 }, 7, { 1, 7, 1 } },
		{ { 2, 0, 0 }, 8, { 2, 4, 1 } },
		{ { 0, 2, 0 }, 8, { 4, 2, 1 } },
		{ { 0, 0, 2 }, 8, { 1, 4, 2 } },
		{ { 2, 2, 0 }, 8, { 2, 2, 2 } },
		{ { 2, 0, 2 }, 8, { 2, 2, 2 } },
		{ { 0, 2, 2 }, 8, { 2, 2, 2 } },
		{ { 4, 4, 4 }, 64, { 4, 4, 4 } },
	};
	static const struct {
		struct cpu_topology given;
		unsigned n;
	} bad[] = { { { 3, 0, 0 }, 8 }, { { 0, 16, 0 }, 8 }, { { 0, 0, 16 }, 8 },
		{ { 2, 2, 1 }, 8 }, { { 64, 64, 64 }, 64 }, { { 3, 3, 0 }, 8 } };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct cpu_topology t = good[i].given;

		assert_int_equal(cpu_topology_complete(&t, good[i].n, &e), 0);
		assert_memory_equal(&t, &good[i].found, sizeof(t));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cpu_topology t = bad[i].given;

		assert_true(cpu_topology_complete(&t, bad[i].n, &e) < 0);
		assert_int_equal(e.class, ERR_REQUEST);
		assert_string_equal(e.field, "vcpus");
	}
}

/* Leaf 0xb as Linux reads it: which socket, core and thread an APIC id is. */
static void test_levels(void **state)
{
	struct kvm_cpuid2 *h = host(false, 0x1f);
	const struct cpu_topology t = { 2, 3, 2 };

	for (unsigned i = 0; i < 12; i++) {
		struct kvm_cpuid2 *c = cpu(h, t, i);

		for (unsigned leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
			const struct kvm_cpuid_entry2 *smt = find(c, leaf, 0),
						      *core = find(c, leaf, 1);
			uint32_t id = smt->edx;

			assert_int_equal(smt->ecx, 1 << 8);
			assert_int_equal(core->ecx, 2 << 8 | 1);
			assert_int_equal(find(c, leaf, 2)->ecx, 2);
			assert_int_equal(smt->ebx, 2);
			assert_int_equal(core->ebx, 6);
			assert_int_equal(id & ((1u << smt->eax) - 1), i % 2);
			assert_int_equal((id & ((1u << core->eax) - 1)) >> smt->eax, i / 2 % 3);
			assert_int_equal(id >> core->eax, i / 6);
			assert_int_equal(find(c, 1, 0)->ebx >> 24, id);
		}
		assert_int_equal(find(c, 1, 0)->ebx >> 16 & 0xff, 6);
		free(c);
	}
	free(h);
}

static void test_intel(void **state)
{
	struct kvm_cpuid2 *h = host(false, 0x16);
	struct kvm_cpuid2 *c = cpu(h, (struct cpu_topology){ 1, 4, 2 }, 5);

	assert_null(find(c, 0x1f, 0));
	assert_null(find(c, 0x8000001e, 0));
	assert_int_equal(find(c, 4, 0)->eax, 3u << 26 | 1 << 14 | 0x121);
	assert_int_equal(find(c, 4, 3)->eax, 3u << 26 | 7 << 14 | 0x163);
	assert_int_equal(find(c, 4, 4)->eax, 0);
	assert_int_equal(find(c, 0x80000000, 0)->eax, 0x80000008);
	assert_int_equal(find(c, 0x80000008, 0)->ecx, 0);
	assert_true(find(c, 1, 0)->edx & 1 << 28);
	free(c);
	c = cpu(h, (struct cpu_topology){ 2, 1, 1 }, 1);
	assert_false(find(c, 1, 0)->edx & 1 << 28);
	assert_int_equal(find(c, 1, 0)->ebx >> 24, 1);
	free(c);
	free(h);
}

static void test_amd(void **state)
{
	struct kvm_cpuid2 *h = host(true, 0xd);
	struct kvm_cpuid2 *c = cpu(h, (struct cpu_topology){ 2, 3, 2 }, 9);
	const struct kvm_cpuid_entry2 *p = find(c, 0x8000001e, 0);

	assert_int_equal(p->eax, 11);
	assert_int_equal(p->ebx, 1 | 1 << 8);
	assert_int_equal(p->ecx, 1);
	assert_int_equal(find(c, 0x80000000, 0)->eax, 0x8000001e);
	assert_int_equal(find(c, 0x80000008, 0)->ecx, 3 << 12 | 5);
	assert_true(find(c, 0x80000001, 0)->ecx & 1 << 22);
	assert_true(find(c, 0x80000001, 0)->ecx & 1 << 1);
	assert_int_equal(find(c, 0x8000001d, 0)->eax, 1 << 14 | 0x121);
	assert_int_equal(find(c, 0x8000001d, 1)->eax, 5 << 14 | 0x163);
	assert_int_equal(find(c, 0xb, 1)->ebx, 6);
	free(c);
	free(h);
	h = host(true, 7); /* too old for 0xb */
	c = cpu(h, (struct cpu_topology){ 1, 2, 1 }, 1);
	assert_null(find(c, 0xb, 0));
	free(c);
	free(h);
}

static void test_mask(void **state)
{
	struct kvm_cpuid2 *h = host(true, 0xd);

	cpuid_mask(h, "cx16,avx512f,ibpb,fpu,xsaves");
	assert_int_equal(find(h, 1, 0)->ecx, ~(1u << 13));
	assert_int_equal(find(h, 7, 0)->ebx, ~(1u << 16));
	assert_int_equal(find(h, 7, 0)->edx, ~(1u << 26));
	assert_int_equal(find(h, 0x80000008, 0)->ebx, ~(1u << 12));
	assert_int_equal(find(h, 1, 0)->edx, ~1u);
	assert_int_equal(find(h, 0x80000001, 0)->edx, ~1u); /* AMD says it twice */
	assert_int_equal(find(h, 0xd, 1)->eax, 7);
	cpuid_mask(h, "");
	assert_int_equal(find(h, 7, 0)->ecx, ~0u);
	free(h);
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *nearest;
	} wrong[] = { { "cx_16", "\"cx16\"" }, { "sse4.2", "\"sse4_2\"" }, { "AVX2", "\"" },
		{ "avx512vl2", "\"avx512vl\"" }, { "", "\"" },
		{ "a_name_that_is_longer_than_any_of_them_is", "\"" } };
	struct err e = { 0 };

	for (size_t i = 0; i < cpuid_n_features; i++) {
		const struct cpuid_feature *f = &cpuid_features[i];

		assert_int_equal(cpuid_feature_check(f->name, strlen(f->name), &e), 0);
		assert_in_range(f->bit, 0, 31);
		for (size_t j = 0; j < i; j++) /* a bit has one name, but for the TSC's */
			if (f->leaf == cpuid_features[j].leaf &&
				f->index == cpuid_features[j].index &&
				f->reg == cpuid_features[j].reg && f->leaf != 0x80000007 &&
				!(f->leaf == 7 && f->bit >= 26))
				assert_int_not_equal(f->bit, cpuid_features[j].bit);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_true(cpuid_feature_check(wrong[i].name, strlen(wrong[i].name), &e) < 0);
		assert_string_equal(e.field, "cpu-without");
		assert_non_null(strstr(e.text, wrong[i].nearest));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apic_ids),
		cmocka_unit_test(test_completion),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_intel),
		cmocka_unit_test(test_amd),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
