/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions bound to drivers by driver_override and drivers_probe, which binds that one function
 * only (new_id would bind all of its kind) and works where VFs are not probed by themselves.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sriov/own.h"

#define DEVICE "bus/pci/devices/%s"

int bind_held(const struct sriov_world *w, const char *addr, struct err *e)
{
	char driver[PFS_DRIVER_LEN], who[200];

	facts_driver(w, addr, driver, NULL);
	if (!driver_is_vfio(driver) || !facts_holders(w, addr, who, sizeof(who))[0])
		return 0;
	return err_set(e, -EBUSY,
		"%s is in use by %s: end that first, since taking it away would wait for it", addr,
		who);
}

static int unbind(const struct sriov_world *w, const char *addr, struct err *e)
{
	char driver[PFS_DRIVER_LEN];

	facts_driver(w, addr, driver, NULL);
	if (!driver[0])
		return 0;
	if (bind_held(w, addr, e))
		return e ? e->code : -EBUSY;
	return sysfs_write(w, addr, w->write_ms, e, DEVICE "/driver/unbind", addr);
}

/* An empty line is what clears it. */
static int set_override(
	const struct sriov_world *w, const char *addr, const char *override, struct err *e)
{
	char now[PFS_DRIVER_LEN], driver[PFS_DRIVER_LEN], line[PFS_DRIVER_LEN + 1];

	facts_driver(w, addr, driver, now);
	if (strcmp(now, override) == 0)
		return 0;
	snprintf(line, sizeof(line), "%s\n", override);
	return sysfs_write(w, line, 0, e, DEVICE "/driver_override", addr);
}

static int probe(const struct sriov_world *w, const char *addr, const char *driver, struct err *e)
{
	char now[PFS_DRIVER_LEN];
	int r = sysfs_write(w, addr, w->write_ms, e, "bus/pci/drivers_probe");

	if (r == -ETIMEDOUT)
		return r;
	facts_driver(w, addr, now, NULL);
	if (strcmp(now, driver) == 0)
		return 0;
	if (r)
		return r;
	return err_set(e, -ENODEV,
		"driver %s did not take %s, which has %s%s now: the kernel's log (dmesg) says why",
		driver, addr, now[0] ? "driver " : "no driver", now);
}

int bind_to(const struct sriov_world *w, const char *addr, const char *driver, const char *override,
	struct err *e)
{
	char now[PFS_DRIVER_LEN];
	int r = 0;

	facts_driver(w, addr, now, NULL);
	if (strcmp(now, driver)) {
		r = unbind(w, addr, e);
		if (!r && driver[0])
			r = set_override(w, addr, driver, e);
		if (!r && driver[0])
			r = probe(w, addr, driver, e);
	}
	return r ? r : set_override(w, addr, override, e);
}

int bind_fresh(const struct sriov_world *w, const char *addr, const char *driver,
	const char *override, struct err *e)
{
	int r = unbind(w, addr, e);

	return r ? r : bind_to(w, addr, driver, override, e);
}

int bind_again(const struct sriov_world *w, const char *addr, struct err *e)
{
	char now[PFS_DRIVER_LEN], override[PFS_DRIVER_LEN];

	facts_driver(w, addr, now, override);
	if (!now[0] || driver_is_vfio(now))
		return 0;
	return bind_fresh(w, addr, now, override, e);
}
