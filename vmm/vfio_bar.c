/* SPDX-License-Identifier: Apache-2.0 */
/* BARs of a passed-through device: see vfio_bar.h. */
#include "vmm/vfio_bar.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

#define WARNINGS_MAX 16

void vfio_bars_init(
	struct vfio_bars *b, uint64_t first32, uint64_t end32, uint64_t first64, uint64_t end64)
{
	*b = (struct vfio_bars){ .device_fd = -1,
		.first32 = first32,
		.end32 = end32,
		.first64 = first64,
		.end64 = end64 };
}

/* The kernel's answer, with its capabilities; to be freed. NULL: -errno in *err. */
static struct vfio_region_info *region_info(int device_fd, int bar, int *err)
{
	uint32_t bytes = sizeof(struct vfio_region_info);

	for (int i = 0; i < 2; i++) {
		struct vfio_region_info *info = calloc(1, bytes);

		*err = info ? 0 : -ENOMEM;
		if (!info)
			return NULL;
		info->argsz = bytes;
		info->index = (uint32_t)bar;
		if (ioctl(device_fd, VFIO_DEVICE_GET_REGION_INFO, info) < 0) {
			*err = -errno;
			free(info);
			return NULL;
		}
		if (info->argsz <= bytes || i) {
			info->argsz = bytes;
			return info;
		}
		bytes = info->argsz;
		free(info);
	}
	return NULL;
}

/* What cannot be mapped after all is trapped: it works, slowly. */
static void map_areas(struct vfio_bars *b, struct vfio_bar *r, int bar)
{
	for (unsigned i = 0; i < r->n_areas; i++) {
		void *at = mmap(NULL, r->area[i].len, PROT_READ | PROT_WRITE, MAP_SHARED,
			b->device_fd, (off_t)(r->offset + r->area[i].off));

		if (at == MAP_FAILED) {
			log_warn("%s: BAR %d cannot be mapped at 0x%llx, so each access exits: %s",
				b->name, bar, (unsigned long long)r->area[i].off, err_str(errno));
			r->n_areas = i;
			break;
		}
		r->map[i] = at;
	}
	r->slot = kvm_slots_new(b->kvm, r->n_areas);
}

static int open_bar(struct vfio_bars *b, int bar, const struct vfio_place *table,
	const struct vfio_place *pba, struct err *e)
{
	struct vfio_bar *r = &b->bar[bar];
	static const uint32_t both = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	struct vfio_area ours[2], may[VFIO_AREAS_MAX];
	struct vfio_region_info *info;
	unsigned n = 0, n_ours = 0;
	int err;

	info = region_info(b->device_fd, bar, &err);
	if (!info)
		return err_host(e, err, "its BAR %d: %s", bar, err_str(err));
	*r = (struct vfio_bar){ .size = info->size, .offset = info->offset };
	if (table->bar == bar)
		ours[n_ours++] = table->at;
	if (pba->bar == bar)
		ours[n_ours++] = pba->at;
	if ((info->flags & both) == both)
		n = vfio_layout_mappable(info, info->argsz, table->at.off,
			table->bar == bar ? table->at.len : 0, may);
	r->n_areas = vfio_layout_less(may, n, ours, n_ours, r->area);
	free(info);
	map_areas(b, r, bar);
	return 0;
}

int vfio_bars_open(struct vfio_bars *b, const char *name, int device_fd,
	const struct vfio_place *table, const struct vfio_place *pba, struct kvm *kvm,
	struct err *e)
{
	int err = 0;

	b->name = name;
	b->device_fd = device_fd;
	b->kvm = kvm;
	for (int i = 0; i < VFIO_BARS && !err; i++)
		err = open_bar(b, i, table, pba, e);
	return err;
}

static void hide(struct vfio_bars *b, struct vfio_bar *r)
{
	for (unsigned i = 0; i < r->n_areas; i++) {
		if (r->shown[i])
			kvm_slot_set(b->kvm, r->slot + i, r->base + r->area[i].off, r->map[i], 0);
		r->shown[i] = false;
	}
	r->base = 0;
}

/* One that lies outside of the windows would hide RAM or the machine's own registers. */
static bool in_windows(const struct vfio_bars *b, uint64_t base, uint64_t size)
{
	return (base >= b->first32 && base < b->end32 && size <= b->end32 - base) ||
		(base >= b->first64 && base < b->end64 && size <= b->end64 - base);
}

static void show(struct vfio_bars *b, struct vfio_bar *r, uint64_t base)
{
	r->base = base;
	for (unsigned i = 0; i < r->n_areas; i++) {
		int err = kvm_slot_set(
			b->kvm, r->slot + i, base + r->area[i].off, r->map[i], r->area[i].len);

		r->shown[i] = !err;
		if (err && b->warnings++ < WARNINGS_MAX)
			log_warn("%s: a BAR at 0x%llx is not mapped, so each access exits: %s",
				b->name, (unsigned long long)base, err_str(err));
	}
}

void vfio_bars_move(struct vfio_bars *b, const struct pci_function *f)
{
	bool at[VFIO_BARS];
	uint64_t base[VFIO_BARS];

	/* Those that leave go first: another may come to where they were. */
	for (int i = 0; i < VFIO_BARS; i++) {
		struct vfio_bar *r = &b->bar[i];

		at[i] = pci_bar_address(f, i, &base[i]) && in_windows(b, base[i], r->size);
		if (r->base && (!at[i] || base[i] != r->base))
			hide(b, r);
	}
	for (int i = 0; i < VFIO_BARS; i++)
		if (at[i] && base[i] != b->bar[i].base)
			show(b, &b->bar[i], base[i]);
}

void vfio_bars_fini(struct vfio_bars *b)
{
	for (int i = 0; i < VFIO_BARS; i++) {
		struct vfio_bar *r = &b->bar[i];

		hide(b, r);
		for (unsigned k = 0; k < r->n_areas; k++)
			if (r->map[k])
				munmap(r->map[k], r->area[k].len);
		*r = (struct vfio_bar){ 0 };
	}
	b->device_fd = -1;
}

uint64_t vfio_bars_read(struct vfio_bars *b, int bar, uint64_t off, unsigned len)
{
	uint64_t v = 0;

	if (pread(b->device_fd, &v, len, (off_t)(b->bar[bar].offset + off)) != (ssize_t)len)
		return ~0ull; /* as what is not there reads */
	return v;
}

void vfio_bars_write(struct vfio_bars *b, int bar, uint64_t off, uint64_t v, unsigned len)
{
	if (pwrite(b->device_fd, &v, len, (off_t)(b->bar[bar].offset + off)) != (ssize_t)len &&
		b->warnings++ < WARNINGS_MAX)
		log_warn("%s: a write to BAR %d at 0x%llx: %s", b->name, bar,
			(unsigned long long)off, err_str(errno));
}

json_t *vfio_bars_info(const struct vfio_bars *b, const struct pci_function *f)
{
	json_t *list = json_array();

	for (int i = 0; i < VFIO_BARS; i++) {
		const struct vfio_bar *r = &b->bar[i];
		uint64_t mapped = 0;

		for (unsigned k = 0; k < r->n_areas; k++)
			mapped += r->shown[k] ? r->area[k].len : 0;
		if (f->bar_size[i])
			json_array_append_new(list,
				json_pack("{s:i, s:I, s:I, s:I}", "bar", i, "address",
					(json_int_t)pci_bar_base(f, i), "size_bytes",
					(json_int_t)f->bar_size[i], "mapped_bytes",
					(json_int_t)mapped));
	}
	return list;
}
