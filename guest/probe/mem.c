/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/probe/mem.h"
#include "guest/probe/layout.h"

#include <stdbool.h>

/* The functions that a freestanding compiler calls by itself. */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	void *r = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return r;
}

void *memmove(void *to, const void *from, size_t n)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if ((uintptr_t)to - (uintptr_t)from >= n)
		return memcpy(to, from, n);
	while (n--) {
		t[n] = f[n];
		asm volatile("" ::: "memory"); /* or this loop becomes a call of memmove */
	}
	return to;
}

void *memset(void *to, int c, size_t n)
{
	void *r = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return r;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n]) {
		n++;
		asm volatile("" ::: "memory");
	}
	return n;
}

/* Xen's public/arch-x86/hvm/start_info.h */
struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp;
	/* version 1 */
	uint64_t memmap;
	uint32_t memmap_entries, reserved;
};
struct memmap_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};
#define START_INFO_MAGIC 0x336ec578
#define MEMMAP_RAM       1

#define MEM_DEFAULT_END 0x1000000 /* without a memory map: 16 MiB */
#define CMDLINE_MAX     1024

extern char probe_end[];
extern uint64_t probe_pdpt[512];

static uintptr_t heap, heap_end;
static char cmdline[CMDLINE_MAX];

void mem_init(uint32_t at)
{
	const struct start_info *s = (const void *)(uintptr_t)at;

	heap = (uintptr_t)probe_end;
	heap_end = MEM_DEFAULT_END;
	if (!at || s->magic != START_INFO_MAGIC)
		return;
	if (s->cmdline && s->cmdline < PROBE_DEVICES) {
		const char *c = (const char *)(uintptr_t)s->cmdline;

		for (size_t i = 0; i < CMDLINE_MAX - 1 && c[i]; i++)
			cmdline[i] = c[i];
	}
	if (!s->version || !s->memmap || s->memmap >= PROBE_DEVICES)
		return;
	for (uint32_t i = 0; i < s->memmap_entries; i++) {
		const struct memmap_entry *e =
			(const struct memmap_entry *)(uintptr_t)s->memmap + i;
		uint64_t end = e->addr + e->size;

		if (e->type == MEMMAP_RAM && e->addr <= PROBE_BASE && end > heap)
			heap_end = end < PROBE_LAPIC_VIRT ? end : PROBE_LAPIC_VIRT;
	}
}

const char *mem_cmdline(void)
{
	return cmdline;
}

uint64_t mem_cmdline_u64(const char *key, uint64_t def)
{
	size_t n = strlen(key);
	uint64_t v = 0;
	unsigned base = 10;
	const char *s;

	for (s = cmdline; *s; s++)
		if ((s == cmdline || s[-1] == ' ') && !memcmp(s, key, n))
			break;
	if (!*s)
		return def;
	s += n;
	if (s[0] == '0' && s[1] == 'x') {
		base = 16;
		s += 2;
	}
	for (; *s && *s != ' '; s++) {
		unsigned c = (unsigned char)*s | 0x20;
		unsigned d = c >= 'a' ? c - 'a' + 10 : (unsigned)(*s - '0');

		if (d >= base)
			return def;
		v = v * base + d;
	}
	return v;
}

size_t mem_left(void)
{
	return heap < heap_end ? heap_end - heap : 0;
}

void *mem_alloc_dirty(size_t n, size_t align)
{
	uintptr_t at = (heap + align - 1) & ~(uintptr_t)(align - 1);

	if (at > heap_end || n > heap_end - at)
		return NULL;
	heap = at + n;
	return (void *)at;
}

void *mem_alloc(size_t n, size_t align)
{
	void *p = mem_alloc_dirty(n, align);

	return p ? memset(p, 0, n) : NULL;
}

#define GIB           0x40000000ull
#define LARGE_PAGE    0x200000ull
#define PT_TABLE_BITS 0x027 /* as in boot.S */
#define PT_DEVICE     0x0ff

volatile void *mem_map_device(uint64_t phys, uint64_t len)
{
	uint64_t end = phys + len;

	if (!len || end < phys || end > 512 * GIB)
		return NULL;
	for (uint64_t at = phys & ~(LARGE_PAGE - 1); at < end; at += LARGE_PAGE) {
		uint64_t *slot = &probe_pdpt[at / GIB], *pd;

		if (at < 4 * GIB) {
			if (at < PROBE_DEVICES)
				return NULL;
			continue; /* mapped from the start */
		}
		if (!*slot) {
			pd = mem_alloc(4096, 4096);
			if (!pd)
				return NULL;
			*slot = (uintptr_t)pd | PT_TABLE_BITS;
		}
		pd = (uint64_t *)(uintptr_t)(*slot & ~0xfffull);
		pd[at % GIB / LARGE_PAGE] = at | PT_DEVICE;
	}
	asm volatile("" ::: "memory");
	return (volatile void *)(uintptr_t)phys;
}
