/* SPDX-License-Identifier: Apache-2.0 */
/* What of a BAR is mapped: see vfio_layout.h. Source: linux/vfio.h. */
#include "vmm/vfio_layout.h"

#include <stdbool.h>
#include <string.h>

/* The capability `id`, with at least `need` bytes of it in the buffer, or NULL. */
static const void *find_cap(
	const struct vfio_region_info *info, size_t bytes, uint16_t id, size_t need)
{
	const uint8_t *base = (const uint8_t *)info;
	struct vfio_info_cap_header h;
	size_t at = info->cap_offset;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return NULL;
	/* The chain goes on anywhere in the buffer; it has no more links than fit into it. */
	for (size_t i = 0; at && i < bytes / sizeof(h); i++) {
		if (at > bytes || bytes - at < sizeof(h))
			return NULL;
		memcpy(&h, base + at, sizeof(h));
		if (h.id == id)
			return bytes - at >= need ? base + at : NULL;
		at = h.next;
	}
	return NULL;
}

static unsigned sparse_areas(
	const struct vfio_region_info *info, size_t bytes, struct vfio_area out[VFIO_AREAS_MAX])
{
	struct vfio_region_info_cap_sparse_mmap head;
	const uint8_t *cap = find_cap(info, bytes, VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(head));
	size_t room;
	unsigned n = 0;

	memcpy(&head, cap, sizeof(head));
	room = bytes - (size_t)(cap - (const uint8_t *)info) - sizeof(head);
	for (uint32_t i = 0; i < head.nr_areas && n < VFIO_AREAS_MAX; i++) {
		struct vfio_region_sparse_mmap_area a;

		if (room / sizeof(a) <= i)
			break;
		memcpy(&a, cap + sizeof(head) + i * sizeof(a), sizeof(a));
		if (a.size && a.offset < info->size && a.size <= info->size - a.offset)
			out[n++] = (struct vfio_area){ a.offset, a.size };
	}
	return n;
}

unsigned vfio_layout_mappable(const struct vfio_region_info *info, size_t bytes, uint64_t table_off,
	uint64_t table_len, struct vfio_area out[VFIO_AREAS_MAX])
{
	struct vfio_area whole = { 0, info->size }, table = { table_off, table_len };

	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP) || info->size < VFIO_PAGE)
		return 0;
	if (find_cap(info, bytes, VFIO_REGION_INFO_CAP_SPARSE_MMAP,
		    sizeof(struct vfio_region_info_cap_sparse_mmap)))
		return sparse_areas(info, bytes, out);
	if (!table_len ||
		find_cap(info, bytes, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
			sizeof(struct vfio_info_cap_header))) {
		out[0] = whole;
		return 1;
	}
	return vfio_layout_less(&whole, 1, &table, 1, out);
}

static uint64_t page_down(uint64_t v)
{
	return v & ~(VFIO_PAGE - 1);
}

static uint64_t page_up(uint64_t v)
{
	return v > UINT64_MAX - VFIO_PAGE ? page_down(UINT64_MAX) : page_down(v + VFIO_PAGE - 1);
}

static uint64_t area_end(const struct vfio_area *a)
{
	return a->len > UINT64_MAX - a->off ? UINT64_MAX : a->off + a->len;
}

/* The first page at or after `at` that is in no area of `less`; *end: where one begins again, or
 * `end`. */
static uint64_t next_free(
	uint64_t at, const struct vfio_area *less, unsigned n_less, uint64_t limit, uint64_t *end)
{
	bool moved;

	do {
		moved = false;
		for (unsigned i = 0; i < n_less; i++) {
			uint64_t first = page_down(less[i].off), last = page_up(area_end(&less[i]));

			if (!less[i].len || at < first || at >= last)
				continue;
			at = last;
			moved = true;
		}
	} while (moved);
	*end = limit;
	for (unsigned i = 0; i < n_less; i++) {
		uint64_t first = page_down(less[i].off);

		if (less[i].len && first >= at && first < *end)
			*end = first;
	}
	return at;
}

unsigned vfio_layout_less(const struct vfio_area *from, unsigned n_from,
	const struct vfio_area *less, unsigned n_less, struct vfio_area out[VFIO_AREAS_MAX])
{
	uint64_t done = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < n_from; i++) {
		uint64_t limit = page_down(area_end(&from[i])), at = page_up(from[i].off), end;

		if (at < done) /* areas that overlap are mapped once */
			at = done;
		while (at < limit && n < VFIO_AREAS_MAX) {
			at = next_free(at, less, n_less, limit, &end);
			if (at >= limit || end <= at)
				break;
			out[n++] = (struct vfio_area){ at, end - at };
			at = done = end;
		}
	}
	return n;
}
