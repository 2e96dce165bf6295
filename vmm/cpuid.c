/* SPDX-License-Identifier: Apache-2.0 */
/* Topology and features in CPUID: see cpuid.h. Names are in cpuid_names.c. */
#include "vmm/cpuid.h"

#include <errno.h>
#include <string.h>

#define LEAF1_EBX_ID_SHIFT    24
#define LEAF1_EBX_COUNT_SHIFT 16
#define LEAF1_EDX_HTT         (1u << 28)
#define CACHE_LEVEL(eax)      ((eax) >> 5 & 7)
#define CACHE_SHARE_SHIFT     14
#define CACHE_SHARE_MASK      (0xfffu << CACHE_SHARE_SHIFT)
#define CACHE_CORES_SHIFT     26
#define EXT_MAX               0x80000000
#define EXT_FEATURES          0x80000001
#define EXT_CMP_LEGACY        (1u << 1)
#define EXT_TOPOEXT           (1u << 22)
#define EXT_SIZES             0x80000008
#define EXT_CACHES            0x8000001d
#define EXT_TOPOLOGY          0x8000001e
#define EXT_TOPOLOGY2         0x80000026
/* The bits of leaf 1 EDX that AMD repeats in 0x80000001 EDX. */
#define REPEATED_EDX 0x0183f3ffu

int cpu_topology_complete(struct cpu_topology *t, unsigned n, struct err *e)
{
	struct cpu_topology g = *t;

	if (!g.threads)
		g.threads = g.sockets && g.cores ? n / (g.sockets * g.cores) : 1;
	if (!g.cores && g.threads)
		g.cores = n / ((g.sockets ? g.sockets : 1) * g.threads);
	if (!g.sockets && g.cores && g.threads)
		g.sockets = n / (g.cores * g.threads);
	if (g.sockets * g.cores * g.threads != n) {
		bool all = t->sockets && t->cores && t->threads;

		return err_request_at(e, -EINVAL, "vcpus",
			"%u vCPUs can't be had as %u socket(s) of %u core(s) of %u thread(s)%s; "
			"expected numbers whose product is %u",
			n, g.sockets ? g.sockets : 1, g.cores ? g.cores : 1,
			g.threads ? g.threads : 1, all ? "" : ", whatever is not given", n);
	}
	*t = g;
	return 0;
}

/* How many bits tell n apart. */
static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

uint32_t cpu_apic_id(const struct cpu_topology *t, unsigned index)
{
	uint32_t thread = index % t->threads, core = index / t->threads % t->cores;
	uint32_t socket = index / t->threads / t->cores;

	return (socket << bits_for(t->cores) | core) << bits_for(t->threads) | thread;
}

static uint32_t *entry_reg(struct kvm_cpuid_entry2 *c, enum cpuid_reg reg)
{
	switch (reg) {
	case CPUID_EAX:
		return &c->eax;
	case CPUID_EBX:
		return &c->ebx;
	case CPUID_ECX:
		return &c->ecx;
	default:
		return &c->edx;
	}
}

static void clear_bit(
	struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index, enum cpuid_reg reg, unsigned bit)
{
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == leaf && c->entries[i].index == index)
			*entry_reg(&c->entries[i], reg) &= ~(1u << bit);
}

static bool feature_is(const struct cpuid_feature *f, const char *name, size_t len)
{
	return strlen(f->name) == len && !memcmp(f->name, name, len);
}

void cpuid_mask(struct kvm_cpuid2 *c, const char *names)
{
	for (const char *p = names; *p;) {
		size_t len = strcspn(p, ",");

		for (size_t i = 0; i < cpuid_n_features; i++) {
			const struct cpuid_feature *f = &cpuid_features[i];

			if (!feature_is(f, p, len))
				continue;
			clear_bit(c, f->leaf, f->index, f->reg, f->bit);
			if (f->leaf == 1 && f->reg == CPUID_EDX && (REPEATED_EDX >> f->bit & 1))
				clear_bit(c, EXT_FEATURES, 0, CPUID_EDX, f->bit);
		}
		p += len + (p[len] == ',');
	}
}

#define NAME_MAX_LEN 31

/* How many letters must be changed, added or left out (Levenshtein). Longer than any name: many. */
static unsigned name_distance(const char *a, size_t n, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t m = strlen(b);

	if (n > NAME_MAX_LEN || m > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m];
}

int cpuid_feature_check(const char *name, size_t len, struct err *e)
{
	const struct cpuid_feature *nearest = &cpuid_features[0];
	unsigned least = NAME_MAX_LEN + 1;

	for (size_t i = 0; i < cpuid_n_features; i++) {
		const struct cpuid_feature *f = &cpuid_features[i];
		unsigned d = name_distance(name, len, f->name);

		if (feature_is(f, name, len))
			return 0;
		if (d < least) {
			least = d;
			nearest = f;
		}
	}
	return err_request_at(e, -EINVAL, "cpu-without",
		"\"%.*s\" is no CPU feature that /proc/cpuinfo names; the nearest is \"%s\"",
		len > 64 ? 64 : (int)len, name, nearest->name);
}

/* --- topology --- */

static bool is_topology_leaf(uint32_t leaf)
{
	return leaf == 0xb || leaf == 0x1f || leaf == EXT_TOPOLOGY || leaf == EXT_TOPOLOGY2;
}

static struct kvm_cpuid_entry2 *entry_add(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index)
{
	struct kvm_cpuid_entry2 *p = &c->entries[c->nent++];

	*p = (struct kvm_cpuid_entry2){ .function = leaf, .index = index };
	return p;
}

static uint32_t max_leaf(const struct kvm_cpuid2 *c, uint32_t first)
{
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == first)
			return c->entries[i].eax;
	return 0;
}

static bool is_amd(const struct kvm_cpuid2 *c)
{
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0)
			return c->entries[i].ebx == 0x68747541 || /* "Auth"enticAMD */
				c->entries[i].ebx == 0x6f677948;  /* "Hygo"nGenuine */
	return false;
}

/* 0xb and 0x1f: threads, cores, and an end. */
static void levels_add(
	struct kvm_cpuid2 *c, const struct cpu_topology *t, uint32_t leaf, uint32_t apic_id)
{
	const struct {
		unsigned shift, count, type;
	} levels[3] = { { bits_for(t->threads), t->threads, 1 },
		{ bits_for(t->threads) + bits_for(t->cores), t->threads * t->cores, 2 }, { 0 } };

	for (unsigned i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *p = entry_add(c, leaf, i);

		p->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		p->eax = levels[i].shift;
		p->ebx = levels[i].count;
		p->ecx = levels[i].type << 8 | i;
		p->edx = apic_id;
	}
}

/* First and second level are a core's own, the rest is the socket's. */
static uint32_t cache_shared_by(uint32_t eax, unsigned threads, unsigned socket)
{
	unsigned n = CACHE_LEVEL(eax) < 3 ? threads : socket;

	return (eax & ~CACHE_SHARE_MASK) | (n - 1) << CACHE_SHARE_SHIFT;
}

static void entry_adapt(
	struct kvm_cpuid_entry2 *p, const struct cpu_topology *t, uint32_t apic_id, bool amd)
{
	unsigned thread_bits = bits_for(t->threads), core_bits = bits_for(t->cores);
	unsigned in_socket = t->cores * t->threads;
	bool many = in_socket > 1;

	switch (p->function) {
	case 1:
		p->ebx = (p->ebx & 0xffff) | in_socket << LEAF1_EBX_COUNT_SHIFT |
			apic_id << LEAF1_EBX_ID_SHIFT;
		p->edx = many ? p->edx | LEAF1_EDX_HTT : p->edx & ~LEAF1_EDX_HTT;
		break;
	case 4:
		if (!(p->eax & 0x1f))
			break; /* the end of the list */
		p->eax =
			cache_shared_by(p->eax, 1u << thread_bits, 1u << (thread_bits + core_bits));
		p->eax = (p->eax & ((1u << CACHE_CORES_SHIFT) - 1)) |
			((1u << core_bits) - 1) << CACHE_CORES_SHIFT;
		break;
	case EXT_MAX:
		if (amd && p->eax < EXT_TOPOLOGY)
			p->eax = EXT_TOPOLOGY;
		break;
	case EXT_FEATURES:
		if (!amd)
			break;
		p->ecx |= EXT_TOPOEXT;
		p->ecx = many ? p->ecx | EXT_CMP_LEGACY : p->ecx & ~EXT_CMP_LEGACY;
		break;
	case EXT_SIZES:
		p->ecx &= ~0xf0ffu;
		if (amd)
			p->ecx |= (thread_bits + core_bits) << 12 | (in_socket - 1);
		break;
	case EXT_CACHES:
		if (p->eax & 0x1f)
			p->eax = cache_shared_by(p->eax, t->threads, in_socket);
		break;
	default:
		break;
	}
}

void cpuid_for(const struct kvm_cpuid2 *base, const struct cpu_topology *t, unsigned index,
	struct kvm_cpuid2 *out)
{
	uint32_t id = cpu_apic_id(t, index), leaves = max_leaf(base, 0);
	bool amd = is_amd(base);

	*out = (struct kvm_cpuid2){ 0 };
	for (unsigned i = 0; i < base->nent; i++) {
		struct kvm_cpuid_entry2 *p;

		if (is_topology_leaf(base->entries[i].function))
			continue;
		p = &out->entries[out->nent++];
		*p = base->entries[i];
		entry_adapt(p, t, id, amd);
	}
	if (leaves >= 0xb)
		levels_add(out, t, 0xb, id);
	if (leaves >= 0x1f)
		levels_add(out, t, 0x1f, id);
	if (amd) {
		struct kvm_cpuid_entry2 *p = entry_add(out, EXT_TOPOLOGY, 0);
		unsigned core = id >> bits_for(t->threads) & ((1u << bits_for(t->cores)) - 1);

		p->eax = id;
		p->ebx = core | (t->threads - 1) << 8;
		p->ecx = index / (t->cores * t->threads); /* one node a socket */
	}
}
