/* SPDX-License-Identifier: Apache-2.0 */
/* A passed-through device: see vfio.h. */
#include "vmm/vfio.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vmm/vfio_bar.h"
#include "vmm/vfio_fn.h"
#include "vmm/vfio_irq.h"
#include "vmm/vfio_probe.h"

struct vfio {
	struct device dev;
	struct vfio_fn fn;
	struct vfio_irqs irqs;
	struct vfio_bars bars;
	char addr[VFIO_ADDR_LEN], name[32];
	struct vfio_found found;
	struct vfio_host *host;
	struct loop *loop;
	pthread_mutex_t *lock;
	void (*changed)(void *arg);
	void *changed_arg;
	int fd;                 /* -1: given up */
	uint64_t config_offset; /* of configuration space, in fd */
	bool can_reset;
	int error_fd, request_fd;
	struct loop_handler *error_handler, *request_handler;
	const char *reason; /* why it was given up, or NULL */
};

/* --- what vfio_fn asks for --- */

static uint64_t vfio_bar_read(void *arg, int bar, uint64_t off, unsigned len)
{
	struct vfio *d = arg;

	return vfio_bars_read(&d->bars, bar, off, len);
}

static void vfio_bar_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	struct vfio *d = arg;

	vfio_bars_write(&d->bars, bar, off, v, len);
}

static void vfio_moved(void *arg)
{
	struct vfio *d = arg;

	vfio_bars_move(&d->bars, &d->fn.fn);
}

/* The device's own command register: memory is always decoded, its pin is VFIO's to mask. */
static void vfio_master(void *arg, bool on)
{
	struct vfio *d = arg;
	uint16_t command = 0;

	if (pread(d->fd, &command, sizeof(command), (off_t)d->config_offset + 4) < 0)
		return;
	command &= (uint16_t) ~(PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	command |= (uint16_t)(PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0));
	if (pwrite(d->fd, &command, sizeof(command), (off_t)d->config_offset + 4) < 0)
		log_warn("%s: its command register: %s", d->name, err_str(errno));
}

static void vfio_mode(void *arg, enum vfio_irq_mode mode, unsigned n)
{
	struct vfio *d = arg;

	vfio_irqs_mode(&d->irqs, mode, n);
}

static void vfio_vector(void *arg, unsigned vector, bool live, uint64_t addr, uint32_t data)
{
	struct vfio *d = arg;

	vfio_irqs_vector(&d->irqs, vector, live, addr, data);
}

static bool vfio_pending(void *arg, unsigned vector)
{
	struct vfio *d = arg;

	return vfio_irqs_pending(&d->irqs, vector);
}

static const struct vfio_fn_ops vfio_ops = {
	.bar_read = vfio_bar_read,
	.bar_write = vfio_bar_write,
	.moved = vfio_moved,
	.master = vfio_master,
	.mode = vfio_mode,
	.vector = vfio_vector,
	.pending = vfio_pending,
};

/* --- given up --- */

/* Interrupts of the host's to us: not in the guest's hands. */
static void vfio_stop_notices(struct vfio *d)
{
	loop_del(d->loop, d->error_handler);
	loop_del(d->loop, d->request_handler);
	d->error_handler = d->request_handler = NULL;
}

/* Whoever waits for the device gets it: nothing of it is open or mapped any more. */
static void vfio_give_up(struct vfio *d, const char *reason)
{
	vfio_stop_notices(d);
	pthread_mutex_lock(d->lock);
	vfio_fn_take_away(&d->fn);
	vfio_bars_fini(&d->bars);
	vfio_host_close(d->host, &d->fd, d->found.group);
	d->irqs.device_fd = -1;
	d->reason = reason;
	pthread_mutex_unlock(d->lock);
	log_warn("%s: the guest has lost it: %s", d->name, reason);
	d->changed(d->changed_arg);
}

static void vfio_error(void *arg, uint32_t events)
{
	vfio_give_up(arg, "the device failed (an error that PCI Express reports, see dmesg)");
}

static void vfio_request(void *arg, uint32_t events)
{
	vfio_give_up(arg, "the host asked for it back");
}

static int vfio_notice(struct vfio *d, uint32_t index, int *fd, loop_fn fn,
	struct loop_handler **handler, struct err *e)
{
	int err;

	if (!vfio_irqs_count(d->fd, index, NULL))
		return 0;
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd < 0)
		return err_set(e, -errno, "eventfd: %s", err_str(errno));
	*handler = loop_add_fd(d->loop, *fd, EPOLLIN, fn, d);
	if (!*handler)
		return err_set(e, -ENOMEM, "event loop: out of memory");
	err = vfio_irqs_set(d->fd, index, 0, 1, fd);
	return err ? err_host(e, err, "its notices: %s", err_str(err)) : 0;
}

/* --- device.h --- */

static void vfio_reset(struct device *dev, int timeout_ms)
{
	struct vfio *d = device_of(dev, struct vfio);

	pthread_mutex_lock(d->lock);
	vfio_fn_reset(&d->fn);
	if (d->can_reset && d->fd >= 0 && ioctl(d->fd, VFIO_DEVICE_RESET) < 0)
		log_warn("%s: it can't be reset: %s", d->name, err_str(errno));
	if (d->fd >= 0)
		vfio_master(d, false);
	pthread_mutex_unlock(d->lock);
}

static const char *const mode_names[] = {
	[VFIO_IRQ_NONE] = "none",
	[VFIO_IRQ_INTX] = "intx",
	[VFIO_IRQ_MSI] = "msi",
	[VFIO_IRQ_MSIX] = "msix",
};

static json_t *vfio_info(struct device *dev)
{
	struct vfio *d = device_of(dev, struct vfio);
	json_t *o = json_object();

	pthread_mutex_lock(d->lock);
	json_object_set_new(o, "kind", json_string(d->found.vf ? "vf" : "device"));
	json_object_set_new(o, "pci", json_string(d->addr));
	json_object_set_new(o, "pf", d->found.vf ? json_string(d->found.pf) : json_null());
	json_object_set_new(o, "group", json_integer(d->found.group));
	json_object_set_new(o, "connected", json_boolean(d->fd >= 0));
	if (d->reason)
		json_object_set_new(o, "reason", json_string(d->reason));
	json_object_set_new(o, "id",
		json_sprintf("%04x:%04x", pci_get16(d->fn.initial), pci_get16(d->fn.initial + 2)));
	json_object_set_new(o, "interrupts",
		json_pack("{s:s, s:i, s:i, s:i}", "mode", mode_names[d->irqs.mode], "vectors",
			(int)d->irqs.n, "live", (int)vfio_irqs_live(&d->irqs), "host",
			(int)d->irqs.host_vectors));
	json_object_set_new(o, "bars", vfio_bars_info(&d->bars, &d->fn.fn));
	json_object_set_new(o, "dma",
		json_pack("{s:i, s:I, s:i}", "mappings", (int)d->host->mapped, "bytes",
			(json_int_t)d->host->mapped_bytes, "users", (int)d->host->users));
	pthread_mutex_unlock(d->lock);
	return o;
}

static void vfio_free(struct device *dev)
{
	struct vfio *d = device_of(dev, struct vfio);

	vfio_stop_notices(d);
	if (d->fd >= 0) {
		if (d->fn.ops) /* it got that far */
			vfio_fn_reset(&d->fn);
		vfio_bars_fini(&d->bars);
		vfio_host_close(d->host, &d->fd, d->found.group);
	}
	vfio_irqs_fini(&d->irqs);
	fd_close(&d->error_fd);
	fd_close(&d->request_fd);
	free(d);
}

static const struct device_ops vfio_device_ops = {
	.list = "vfio",
	.reset = vfio_reset,
	.info = vfio_info,
	.free = vfio_free,
};

/* --- made --- */

/* The next place for a BAR of that size; false: its window is full. */
static bool space_take(struct vfio_space *s, bool wide, uint64_t size, uint64_t *addr)
{
	uint64_t *next = wide ? &s->next64 : &s->next32, end = wide ? s->end64 : s->end32;
	uint64_t grain = size < VFIO_PAGE ? VFIO_PAGE : size;
	uint64_t at = (*next + grain - 1) & ~(grain - 1);

	if (at < *next || at > end || grain > end - at)
		return false;
	*addr = at;
	*next = at + grain;
	return true;
}

static int vfio_place_bars(struct vfio *d, const uint8_t *config, struct vfio_space *space,
	struct vfio_fn_bar bars[VFIO_BARS], struct err *e)
{
	for (int i = 0; i < VFIO_BARS; i++) {
		int flags = vfio_fn_bar_flags(config, i);
		uint64_t size = d->bars.bar[i].size;
		bool wide = flags >= 0 && (flags & PCI_BAR_TYPE) == PCI_BAR_64;

		bars[i] = (struct vfio_fn_bar){ 0 };
		if (flags < 0 || size < 16 || (size & (size - 1)))
			continue; /* of ports, or none */
		bars[i].size = size;
		if (!space_take(space, wide, size, &bars[i].addr))
			return err_host(e, -ENOSPC,
				"no room for its BAR %d, 0x%llx bytes, among the machine's "
				"addresses of %d bits",
				i, (unsigned long long)size, wide ? 64 : 32);
	}
	return 0;
}

static int vfio_read_config(struct vfio *d, uint8_t config[PCI_CONFIG_BYTES], struct err *e)
{
	struct vfio_region_info info = { .argsz = sizeof(info),
		.index = VFIO_PCI_CONFIG_REGION_INDEX };

	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
		return err_host(e, -errno, "its configuration space: %s", err_str(errno));
	d->config_offset = info.offset;
	if (pread(d->fd, config, PCI_CONFIG_BYTES, (off_t)info.offset) != PCI_CONFIG_BYTES)
		return err_host(e, -EIO, "its configuration space cannot be read");
	return 0;
}

/* How many messages it is to have eventfds for, at most. */
static unsigned vfio_messages(const struct vfio *d)
{
	unsigned n = d->fn.has_msix ? d->fn.msix.n : 0;

	if (d->fn.has_msi && d->fn.msi.max > n)
		n = d->fn.msi.max;
	return n;
}

static int vfio_make(
	struct vfio *d, const struct vdev_host *host, const struct vfio_place_in *in, struct err *e)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_fn_bar bars[VFIO_BARS];
	uint8_t config[PCI_CONFIG_BYTES];
	struct vfio_place table, pba;
	unsigned n;
	bool pin;
	int err;

	if (ioctl(d->fd, VFIO_DEVICE_GET_INFO, &info) < 0 || !(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return err_host(e, -ENODEV, "VFIO says that it is no PCI device");
	d->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	if (!d->can_reset)
		log_warn("%s: it can't be reset: a reset of the guest, and its next user, find it "
			 "as it was left",
			d->name);
	pin = vfio_irqs_count(d->fd, VFIO_PCI_INTX_IRQ_INDEX, NULL) > 0;
	err = vfio_read_config(d, config, e);
	if (err)
		return err;
	vfio_fn_find_msix(config, &table, &pba, &n);
	if (n > VFIO_VECTORS_MAX)
		log_info("%s: it has %u vectors, and the guest is shown %d of them", d->name, n,
			VFIO_VECTORS_MAX);
	if ((err = vfio_bars_open(&d->bars, d->name, d->fd, &table, &pba, host->kvm, e)) ||
		(err = vfio_place_bars(d, config, in->space, bars, e)) ||
		(err = vfio_fn_init(&d->fn, config, bars, pin, &vfio_ops, d, e)) ||
		(err = vfio_irqs_init(&d->irqs, d->name, host->kvm, d->fd, vfio_messages(d),
			 pin ? in->pin_gsi : 0, e)) ||
		(err = vfio_notice(d, VFIO_PCI_ERR_IRQ_INDEX, &d->error_fd, vfio_error,
			 &d->error_handler, e)) ||
		(err = vfio_notice(d, VFIO_PCI_REQ_IRQ_INDEX, &d->request_fd, vfio_request,
			 &d->request_handler, e)))
		return err;
	vfio_master(d, false);
	return 0;
}

int vfio_new(const struct vfio_setup *setup, const struct vdev_host *host,
	const struct vfio_place_in *in, struct device **out, struct err *e)
{
	struct vfio *d = calloc(1, sizeof(*d));
	int err;

	*out = d ? &d->dev : NULL;
	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->dev = (struct device){ .ops = &vfio_device_ops, .fn = &d->fn.fn };
	d->fd = d->error_fd = d->request_fd = d->irqs.pin_fd = d->irqs.eoi_fd = -1;
	d->host = in->host;
	d->loop = in->loop;
	d->lock = host->lock;
	d->changed = host->changed;
	d->changed_arg = host->changed_arg;
	vfio_bars_init(&d->bars, in->space->first32, in->space->end32, in->space->first64,
		in->space->end64);
	if ((err = vfio_addr_parse(setup->pci, d->addr, e)) ||
		(err = vfio_probe("/sys", "/dev", d->addr, &d->found, e)))
		return err;
	snprintf(d->name, sizeof(d->name), "vfio %s", d->addr);
	d->fd = vfio_host_open(in->host, d->addr, d->found.group, setup->token, e);
	if (d->fd < 0)
		return d->fd;
	err = vfio_make(d, host, in, e);
	if (err)
		return err_prefix(e, "PCI device %s", d->addr);
	d->changed(d->changed_arg); /* it is there, so that its going can be told */
	return 0;
}
