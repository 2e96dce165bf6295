/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine knows of a device: a PCI function and what happens to it as a whole. A NIC, a
 * disk, a shared folder, a source of random numbers each hold one and give it its ops. All of these
 * are called by the main thread; what vCPUs do to the function's registers comes by pci.h.
 */
#ifndef LANYARD_VMM_DEVICE_H
#define LANYARD_VMM_DEVICE_H

#include <jansson.h>

#include "base/err.h"
#include "vmm/pci.h"

struct device;

struct device_ops {
	const char *list; /* where `info` lists it: "nics", "disks", ... */
	/* Its threads. Before any vCPU runs. May be NULL. */
	int (*start)(struct device *d, struct err *e);
	/* Waits until it knows what it can offer to a guest, at most timeout_ms. May be NULL. */
	void (*wait_first)(struct device *d, int timeout_ms);
	/* Machine reset, no vCPU running: returns when nothing of it touches the guest's memory
	 * any more; a back end that does not let go within timeout_ms is cut off. */
	void (*reset)(struct device *d, int timeout_ms);
	json_t *(*info)(struct device *d); /* its entry of `info` */
	void (*free)(struct device *d);    /* ends its threads */
};

struct device {
	const struct device_ops *ops;
	struct pci_function *fn;
};

/* The struct that holds a device as its member `dev`. */
#define device_of(d, type) ((type *)(void *)((char *)(d)-offsetof(type, dev)))

#endif
