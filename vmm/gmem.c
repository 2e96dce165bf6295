/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: see gmem.h. A shared mapping of a hugetlb memfd reserves its pages when it is
 * mapped (the kernel's hugetlbfs_reserve): the mmap fails where they are short, and no later
 * fault can. Plain memory has no such reservation; there MemAvailable is asked first.
 */
#include "vmm/gmem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/units.h"
#include "vmm/hugepages.h"
#include "vmm/layout.h"

static void gmem_lay_out(struct gmem *g)
{
	uint64_t low = g->size < LAYOUT_LOW_RAM_MAX ? g->size : LAYOUT_LOW_RAM_MAX;

	g->r[0] = (struct gmem_region){ .gpa = 0, .size = low, .offset = 0, .host = g->map };
	g->n = 1;
	if (g->size > low) {
		g->r[1] = (struct gmem_region){ .gpa = LAYOUT_HIGH_RAM,
			.size = g->size - low,
			.offset = low,
			.host = (uint8_t *)g->map + low };
		g->n = 2;
	}
}

void gmem_wrap(struct gmem *g, void *map, uint64_t size)
{
	*g = (struct gmem){ .fd = -1, .size = size, .map = map };
	gmem_lay_out(g);
}

/* "NAME:   N kB" (or a bare count) of /proc/meminfo's text; 0 if it is not there. */
static uint64_t meminfo_get(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

#define PLAIN_PAGE 4096ull
#define GIB        (1ull << 30)

static int gmem_map(struct gmem *g, uint64_t page_size)
{
	unsigned huge = page_size == PLAIN_PAGE ? 0 : MFD_HUGETLB;

	if (huge)
		huge |= page_size == GIB ? MFD_HUGE_1GB : MFD_HUGE_2MB;
	g->fd = memfd_create("lanyard-guest", MFD_CLOEXEC | huge);
	if (g->fd < 0)
		return -errno;
	if (ftruncate(g->fd, (off_t)g->size) < 0)
		goto fail;
	g->map = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (g->map == MAP_FAILED)
		goto fail;
	madvise(g->map, g->size, MADV_DONTDUMP);
	if (!huge) /* where /sys/kernel/mm/transparent_hugepage/shmem_enabled says "advise" */
		madvise(g->map, g->size, MADV_HUGEPAGE);
	g->page_size = page_size;
	return 0;
fail:;
	int code = -errno;

	g->map = NULL;
	fd_close(&g->fd);
	return code;
}

/* A size that was demanded: the sentence says what is missing. */
static int gmem_map_huge(struct gmem *g, uint64_t page_size, struct err *e)
{
	char asked[16], page[16];
	int err;

	units_format_size(g->size, asked);
	units_format_size(page_size, page);
	if (g->size % page_size)
		return err_request_at(e, -EINVAL, "memory",
			"memory of %s in hugepages of %s: expected a multiple of that", asked,
			page);
	err = hugepages_check("", page_size, g->size, e);
	if (err)
		return err_field(e, "hugepages");
	err = gmem_map(g, page_size);
	if (!err)
		return 0;
	err_host(e, err,
		"memory of %s in hugepages of %s: %s, though so many are free; is there a limit "
		"for this process (cpuset, cgroup)?",
		asked, page, err_str(err));
	return err_field(e, "hugepages");
}

static int gmem_map_plain(struct gmem *g, uint64_t available, struct err *e)
{
	char asked[16], has[16];
	int err;

	units_format_size(g->size, asked);
	units_format_size(available, has);
	if (g->size > available)
		return err_host(e, -ENOMEM,
			"memory of %s: the host has %s left; ask for less or end something", asked,
			has);
	err = gmem_map(g, PLAIN_PAGE);
	return err ? err_host(e, err, "memory of %s: %s", asked, err_str(err)) : 0;
}

/* Huge pages if there are any to be had: it is faster with, and works without. */
static int gmem_map_auto(
	struct gmem *g, const char *meminfo, uint64_t available, char *why, struct err *e)
{
	char asked[16];
	int err = gmem_map(g, GMEM_GRAIN);

	if (!err)
		return 0;
	snprintf(why, 256,
		"no hugepages for the guest's %s (%llu of 2 MiB free, %llu needed: %s); plain "
		"memory is used, which is slower",
		units_format_size(g->size, asked),
		(unsigned long long)meminfo_get(meminfo, "HugePages_Free:"),
		(unsigned long long)(g->size / GMEM_GRAIN), err_str(err));
	return gmem_map_plain(g, available, e);
}

int gmem_new(struct gmem *g, uint64_t size, enum gmem_pages pages, char *why, struct err *e)
{
	char *info = NULL, asked[16], has[16];
	uint64_t total, available;
	int err;

	*g = (struct gmem){ .fd = -1, .size = size };
	why[0] = '\0';
	if (size == 0 || size % GMEM_GRAIN)
		return err_request_at(e, -EINVAL, "memory",
			"memory of %llu bytes: expected a multiple of 2M, at least 2M",
			(unsigned long long)size);
	err = fd_read_file("/proc/meminfo", 64 << 10, &info, NULL, e);
	if (err)
		return err;
	total = meminfo_get(info, "MemTotal:") << 10;
	available = meminfo_get(info, "MemAvailable:") << 10;
	if (size > total)
		err = err_host(e, -ENOMEM, "memory of %s: the host has %s in all; ask for less",
			units_format_size(size, asked), units_format_size(total, has));
	else if (pages == GMEM_AUTO)
		err = gmem_map_auto(g, info, available, why, e);
	else if (pages == GMEM_PLAIN)
		err = gmem_map_plain(g, available, e);
	else
		err = gmem_map_huge(g, pages == GMEM_1G ? GIB : GMEM_GRAIN, e);
	free(info);
	if (!err)
		gmem_lay_out(g);
	return err;
}

void gmem_free(struct gmem *g)
{
	if (g->map && g->fd >= 0)
		munmap(g->map, g->size);
	g->map = NULL;
	fd_close(&g->fd);
}

void *gmem_at(const struct gmem *g, gpa_t a, uint64_t len)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct gmem_region *r = &g->r[i];

		if (a.v >= r->gpa && a.v - r->gpa < r->size && len <= r->size - (a.v - r->gpa))
			return r->host + (a.v - r->gpa);
	}
	return NULL;
}

uint64_t gmem_end(const struct gmem *g)
{
	return g->r[g->n - 1].gpa + g->r[g->n - 1].size;
}
