/* SPDX-License-Identifier: Apache-2.0 */
/* One step carried out on the host, and undone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sriov/nl.h"
#include "sriov/own.h"
#include "sriov/vfmsg.h"

#define DEVICE  "bus/pci/devices/%s"
#define LOOK_NS (5 * NS_PER_MS)

/* ---- netlink ---- */

static int pf_interface(
	const struct sriov_world *w, const char *pf, struct sriov_function *fn, struct err *e)
{
	*fn = (struct sriov_function){ 0 };
	snprintf(fn->addr, sizeof(fn->addr), "%s", pf);
	facts_net(w, fn);
	if (fn->ifindex && w->nl)
		return 0;
	return err_host(e, -ENODEV, "%s has no network interface here", pf);
}

static int told(const struct sriov_world *w, int r, const char *what, struct err *e)
{
	const char *said = w->nl->said;

	if (!r)
		return 0;
	if (r == -EPERM || r == -EACCES)
		return err_host(e, r, "%s: no permission; be root (sudo)", what);
	return err_set(e, r, "%s: the kernel says: %s%s%s%s", what, err_str(r), said[0] ? " (" : "",
		said, said[0] ? ")" : "");
}

static bool has_carrier(const struct sriov_world *w, const char *net)
{
	long long n;

	return !sysfs_number(w->sys, &n, "class/net/%s/carrier", net) && n == 1;
}

/* Some drivers take rates only with a link, which is away for a moment after VFs were made. */
static bool wait_carrier(const struct sriov_world *w, const char *net)
{
	uint64_t deadline_ns = clock_now_ns() + (uint64_t)w->link_ms * NS_PER_MS;

	while (!has_carrier(w, net)) {
		if (clock_now_ns() >= deadline_ns)
			return false;
		clock_sleep_ns(LOOK_NS);
	}
	return true;
}

static int set_link(const struct sriov_world *w, const struct sriov_step *s,
	const struct pf_attrs *to, struct err *e)
{
	bool mtu = s->kind == SRIOV_PF_MTU;
	struct sriov_function fn;
	char what[96];
	int r = pf_interface(w, s->pf, &fn, e);

	if (r)
		return r;
	if (mtu)
		snprintf(what, sizeof(what), "setting the MTU of %s to %u", fn.net, to->mtu);
	else
		snprintf(what, sizeof(what), "bringing %s %s", fn.net, to->up ? "up" : "down");
	r = vfmsg_send(
		w->nl, mtu ? vfmsg_set_mtu(fn.ifindex, to->mtu) : vfmsg_set_up(fn.ifindex, to->up));
	return told(w, r, what, e);
}

/* VFs that are made before a PF has its link may find it "still in reset", and drivers that take
 * them then make MACs up. No cable is no error: it is waited for in vain. */
static int set_up(const struct sriov_world *w, const struct sriov_step *s, struct err *e)
{
	struct sriov_function fn;
	int r = set_link(w, s, &s->pf_to, e);

	if (!r && s->pf_to.up && !pf_interface(w, s->pf, &fn, NULL))
		wait_carrier(w, fn.net);
	return r;
}

static int set_rate(const struct sriov_world *w, const struct sriov_function *fn,
	const struct sriov_step *s, const struct vf_attrs *to, const char *what, struct err *e)
{
	uint32_t most = to->max_rate > to->min_rate ? to->max_rate : to->min_rate;
	bool link = wait_carrier(w, fn->net);
	long long speed;
	int r;

	if (link && !sysfs_number(w->sys, &speed, "class/net/%s/speed", fn->net) && speed > 0 &&
		most > speed)
		return err_request(e, -EINVAL,
			"%s: that is above what the link of %s has, %lld Mbps", what, fn->net,
			speed);
	r = vfmsg_send(w->nl, vfmsg_set(fn->ifindex, (uint32_t)s->vf, VF_MAX_RATE, to));
	if (r == -EINVAL && !link)
		return err_host(e, r,
			"%s: the driver takes no rate while %s has no link (waited %d s): plug its "
			"cable in",
			what, fn->net, w->link_ms / 1000);
	return told(w, r, what, e);
}

static int set_attr(const struct sriov_world *w, const struct sriov_step *s,
	const struct vf_attrs *to, struct err *e)
{
	static const enum vf_attr attrs[SRIOV_STEPS_N] = { [SRIOV_MAC] = VF_MAC,
		[SRIOV_VLAN] = VF_VLAN,
		[SRIOV_SPOOFCHK] = VF_SPOOFCHK,
		[SRIOV_TRUST] = VF_TRUST,
		[SRIOV_LINK_STATE] = VF_LINK_STATE };
	struct sriov_function fn;
	char text[96], what[192];
	int r = pf_interface(w, s->pf, &fn, e);

	if (r)
		return r;
	if (s->kind == SRIOV_RATE)
		snprintf(text, sizeof(text), "rates %u to %u Mbps", to->min_rate, to->max_rate);
	else
		vf_attr_text(to, attrs[s->kind], text, sizeof(text));
	snprintf(what, sizeof(what), "VF %d of %s (%s): %s", s->vf, s->pf, fn.net, text);
	if (s->kind == SRIOV_RATE)
		return set_rate(w, &fn, s, to, what, e);
	r = vfmsg_send(w->nl, vfmsg_set(fn.ifindex, (uint32_t)s->vf, attrs[s->kind], to));
	return told(w, r, what, e);
}

/* ---- the number of VFs ---- */

static int explain_number(const char *pf, uint32_t n, struct err *e)
{
	static const struct {
		int code;
		const char *says;
	} rows[] = {
		{ -ERANGE, "that is more than it can have" },
		{ -ENOENT, "its driver makes no VFs" },
		{ -EBUSY, "VFs are in use" },
		{ -ENOMEM,
			"there is no room for them on the bus: turn SR-IOV and 4G decoding on in "
			"the firmware, or boot with pci=realloc,assign-busses" },
		{ -ENODEV, "its driver is not ready; is the interface up?" },
	};
	char text[sizeof(e->text)];

	if (!e)
		return -EIO;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (e->code != rows[i].code)
			continue;
		memcpy(text, e->text, sizeof(text));
		snprintf(e->text, sizeof(e->text), "%u VFs of %s: %s (%.600s)", n, pf, rows[i].says,
			text);
	}
	return e->code;
}

static int write_number(const struct sriov_world *w, const char *pf, uint32_t n, struct err *e)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	if (sysfs_write(w, text, w->write_ms, e, DEVICE "/sriov_numvfs", pf))
		return explain_number(pf, n, e);
	return 0;
}

/* How many VFs there are: links virtfnN. */
static size_t count_links(const struct sriov_world *w, const char *pf)
{
	DIR *d = sysfs_dir(w->sys, DEVICE, pf);
	const char *name;
	size_t n = 0;

	while (d && (name = sysfs_next(d)))
		n += strncmp(name, "virtfn", 6) == 0;
	if (d)
		closedir(d);
	return n;
}

/* From N to M goes through 0. The write's success says little: it is read back. */
static int set_number(const struct sriov_world *w, const char *pf, uint32_t n, struct err *e)
{
	long long now = 0;
	size_t links;
	int r = sysfs_number(w->sys, &now, DEVICE "/sriov_numvfs", pf);

	if (r)
		return err_set(e, r, "%s is gone, or has no VFs any more: %s", pf, err_str(r));
	if (now == n)
		return 0;
	if (now && n)
		r = write_number(w, pf, 0, e);
	if (!r)
		r = write_number(w, pf, n, e);
	if (r)
		return r;
	sysfs_number(w->sys, &now, DEVICE "/sriov_numvfs", pf);
	links = count_links(w, pf);
	if (now != n || links != n)
		return err_set(e, -ENXIO,
			"%u VFs of %s were asked for, and the kernel took that, but %zu are there: "
			"its log (dmesg) says why",
			n, pf, links);
	return 0;
}

/* No VF goes away while somebody has it open: that would wait for him. */
int vfs_free(const struct sriov_world *w, const char *pf, struct err *e)
{
	struct sriov_pf now = { 0 };
	int r;

	snprintf(now.fn.addr, sizeof(now.fn.addr), "%s", pf);
	r = observe_vfs(w, &now, false, e);
	for (size_t i = 0; i < now.n_vfs && !r; i++) {
		r = bind_held(w, now.vfs[i].fn.addr, e);
		if (r)
			err_prefix(e, "VF %u of %s", now.vfs[i].index, pf);
	}
	free(now.vfs);
	return r;
}

/* The VFs that a change of their number did away with, as they were: by the steps of a diff. */
static int restore_vfs(const struct sriov_world *w, const struct sriov_step *s, struct err *e)
{
	struct sriov_pf want_pf = { .n_vfs = s->n_before, .vfs = s->before };
	struct sriov_state want = { .n_pfs = 1, .pfs = &want_pf }, have;
	struct sriov_plan plan = { 0 };
	int r;

	snprintf(want_pf.fn.addr, sizeof(want_pf.fn.addr), "%s", s->pf);
	r = observe_attributes(w, 1, (const char(*)[PFS_ADDR_LEN])s->pf, &have, e);
	if (r)
		return r;
	r = sriov_diff(&want, &have, &plan, e);
	for (size_t i = 0; i < plan.n_steps && !r; i++) {
		struct sriov_step *one = &plan.steps[i];
		struct sriov_vf *vf = sriov_vf_find(&want_pf, (uint32_t)one->vf);

		if (one->kind == SRIOV_DRIVER && vf)
			memcpy(one->to.override, vf->attrs.override, sizeof(one->to.override));
		if (one->kind == SRIOV_MAC && ether_mac_is_zero(one->to.mac))
			continue; /* of a driver that makes them up: nobody chose it */
		r = step_run(w, one, e);
	}
	sriov_plan_free(&plan);
	sriov_state_free(&have);
	return r;
}

/* ---- steps ---- */

static int vf_addr(const struct sriov_world *w, const struct sriov_step *s, char *out)
{
	return sysfs_link(w->sys, out, PFS_ADDR_LEN, DEVICE "/virtfn%d", s->pf, s->vf);
}

static int run_driver(const struct sriov_world *w, const struct sriov_step *s, struct err *e)
{
	char addr[PFS_ADDR_LEN];
	int r = vf_addr(w, s, addr);

	if (r)
		return err_set(e, r, "there is no VF %d of %s", s->vf, s->pf);
	if (driver_is_vfio(s->to.driver)) {
		r = facts_viable(w, addr, s->pf, e);
		if (r)
			return r;
	}
	return bind_to(w, addr, s->to.driver, s->to.override, e);
}

/* Some drivers start their link anew with their VFs. */
static int run_number(const struct sriov_world *w, const struct sriov_step *s, struct err *e)
{
	struct sriov_function fn = { 0 };
	bool link;
	int r = vfs_free(w, s->pf, e);

	if (r)
		return r;
	facts_function(w, s->pf, &fn);
	link = fn.net[0] && has_carrier(w, fn.net);
	r = set_number(w, s->pf, s->pf_to.num_vfs, e);
	if (!r && link && s->pf_to.num_vfs)
		wait_carrier(w, fn.net);
	return r;
}

static int run_mac(const struct sriov_world *w, const struct sriov_step *s, struct err *e)
{
	char addr[PFS_ADDR_LEN];
	int r = set_attr(w, s, &s->to, e);

	if (r || !s->rebind || vf_addr(w, s, addr))
		return r;
	return bind_again(w, addr, e);
}

int step_run(const struct sriov_world *w, struct sriov_step *s, struct err *e)
{
	switch (s->kind) {
	case SRIOV_PF_UP:
		return set_up(w, s, e);
	case SRIOV_PF_DOWN:
	case SRIOV_PF_MTU:
		return set_link(w, s, &s->pf_to, e);
	case SRIOV_AUTOPROBE:
		return sysfs_write(w, s->pf_to.autoprobe ? "1" : "0", 0, e,
			DEVICE "/sriov_drivers_autoprobe", s->pf);
	case SRIOV_NUM_VFS:
		return run_number(w, s, e);
	case SRIOV_PF_DRIVER:
		return bind_to(w, s->pf, s->pf_to.driver, s->pf_to.override, e);
	case SRIOV_DRIVER:
		return run_driver(w, s, e);
	case SRIOV_MAC:
		return run_mac(w, s, e);
	default:
		return set_attr(w, s, &s->to, e);
	}
}

static int undo_number(const struct sriov_world *w, const struct sriov_step *s, struct err *e)
{
	int r = vfs_free(w, s->pf, e);

	if (!r)
		r = set_number(w, s->pf, s->pf_from.num_vfs, e);
	return !r && s->n_before ? restore_vfs(w, s, e) : r;
}

/* A driver may refuse the address that VFs have until somebody gives them one. */
static int undo_mac(const struct sriov_world *w, const struct sriov_step *s, const char *addr,
	char *note, size_t size, struct err *e)
{
	int r = set_attr(w, s, &s->from, e);

	if (r && ether_mac_is_zero(s->from.mac) && r != -EPERM && r != -ENODEV) {
		snprintf(note, size,
			"VF %d of %s keeps its MAC address: the driver does not take back the "
			"all-zero one that it had (it is gone when the VFs are made anew)",
			s->vf, s->pf);
		r = 0;
	}
	if (!r && s->from.has & BIT(VF_DRIVER))
		r = bind_fresh(w, addr, s->from.driver, s->from.override, e);
	return r;
}

static int undo_vf(
	const struct sriov_world *w, struct sriov_step *s, char *note, size_t size, struct err *e)
{
	char addr[PFS_ADDR_LEN];

	if (s->fresh || !s->from.has || vf_addr(w, s, addr))
		return 0; /* gone with the VFs, or never known */
	if (s->kind == SRIOV_MAC && !(s->from.has & BIT(VF_MAC)))
		return 0;
	if (s->kind == SRIOV_DRIVER)
		return bind_to(w, addr, s->from.driver, s->from.override, e);
	if (s->kind == SRIOV_MAC)
		return undo_mac(w, s, addr, note, size, e);
	return set_attr(w, s, &s->from, e);
}

int step_undo(
	const struct sriov_world *w, struct sriov_step *s, char *note, size_t size, struct err *e)
{
	struct sriov_function fn;

	note[0] = '\0';
	if (!sysfs_exists(w->sys, DEVICE, s->pf)) {
		snprintf(note, size, "%s is gone: nothing of it is left to put back", s->pf);
		return 0;
	}
	if (s->vf >= 0)
		return undo_vf(w, s, note, size, e);
	if (!s->pf_from.has)
		return 0;
	switch (s->kind) {
	case SRIOV_AUTOPROBE:
		return sysfs_write(w, s->pf_from.autoprobe ? "1" : "0", 0, e,
			DEVICE "/sriov_drivers_autoprobe", s->pf);
	case SRIOV_NUM_VFS:
		return undo_number(w, s, e);
	case SRIOV_PF_DRIVER:
		return bind_to(w, s->pf, s->pf_from.driver, s->pf_from.override, e);
	default:
		if (!pf_interface(w, s->pf, &fn, NULL))
			return set_link(w, s, &s->pf_from, e);
		snprintf(note, size, "%s has no network interface any more: not put %s", s->pf,
			s->kind == SRIOV_PF_MTU ? "to its old MTU"
				: s->pf_from.up ? "up"
						: "down");
		return 0;
	}
}
