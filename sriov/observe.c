/* SPDX-License-Identifier: Apache-2.0 */
/* The host's PFs and VFs as a struct sriov_state, and what a file wants as another. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/own.h"
#include "sriov/vfmsg.h"

#define DEVICES "bus/pci/devices"

static int vf_order(const void *a, const void *b)
{
	const struct sriov_vf *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/* By the numbers of the links virtfnN: VF 2's address may come before VF 1's, and "virtfn10" sorts
 * before "virtfn2". */
static int find_vfs(const struct sriov_world *w, struct sriov_pf *pf)
{
	DIR *d = sysfs_dir(w->sys, DEVICES "/%s", pf->fn.addr);
	const char *name;
	int r = 0;

	while (d && !r && (name = sysfs_next(d))) {
		struct sriov_vf *vf;
		uint32_t index;
		int end = -1;

		if (sscanf(name, "virtfn%u%n", &index, &end) != 1 || end < 0 || name[end])
			continue;
		vf = sriov_grow(&pf->vfs, &pf->n_vfs, sizeof(*vf));
		if (!vf) {
			r = -ENOMEM;
			break;
		}
		vf->index = index;
		sysfs_link(w->sys, vf->fn.addr, sizeof(vf->fn.addr), DEVICES "/%s/%s", pf->fn.addr,
			name);
		vf->attrs.has = BIT(VF_DRIVER);
		facts_function(w, vf->fn.addr, &vf->fn);
		facts_driver(w, vf->fn.addr, vf->attrs.driver, vf->attrs.override);
	}
	if (d)
		closedir(d);
	if (pf->n_vfs)
		qsort(pf->vfs, pf->n_vfs, sizeof(*pf->vfs), vf_order);
	return r;
}

static void take_attributes(struct sriov_pf *pf, const struct vfmsg_link *link)
{
	for (size_t i = 0; i < link->n; i++) {
		const struct vfmsg_vf *m = &link->vfs[i];
		struct sriov_vf *vf = sriov_vf_find(pf, m->index);
		struct vf_attrs kept;

		if (!vf)
			continue;
		kept = vf->attrs;
		vf->attrs = m->attrs;
		vf->attrs.has |= BIT(VF_DRIVER);
		memcpy(vf->attrs.driver, kept.driver, sizeof(kept.driver));
		memcpy(vf->attrs.override, kept.override, sizeof(kept.override));
		vf->has_stats = m->has_stats;
		vf->stats = m->stats;
	}
}

int observe_vfs(const struct sriov_world *w, struct sriov_pf *pf, bool attributes, struct err *e)
{
	struct vfmsg_link link;
	int r;

	free(pf->vfs);
	pf->vfs = NULL;
	pf->n_vfs = 0;
	r = find_vfs(w, pf);
	if (r)
		return sriov_nomem(e);
	if (!attributes || !pf->n_vfs || !pf->fn.ifindex || !w->nl)
		return 0;
	r = vfmsg_read(w->nl, pf->fn.ifindex, &link);
	if (r == -ENODEV) /* it went away, or into another namespace: not known */
		return 0;
	if (r == -EMSGSIZE)
		return err_set(e, r,
			"the kernel can't tell of all %zu VFs of %s (%s) in one answer, even "
			"without statistics: have fewer",
			pf->n_vfs, pf->fn.addr, pf->fn.net);
	if (r)
		return err_set(e, r, "VFs of %s (%s) can't be read: %s", pf->fn.addr, pf->fn.net,
			err_str(r));
	take_attributes(pf, &link);
	free(link.vfs);
	return 0;
}

int sriov_count(
	const struct sriov_world *w, const char *addr, struct sriov_pf *pf, struct err *e)
{
	int r;

	*pf = (struct sriov_pf){ 0 };
	facts_function(w, addr, &pf->fn);
	r = observe_vfs(w, pf, true, e);
	if (r) {
		free(pf->vfs);
		pf->vfs = NULL;
		pf->n_vfs = 0;
	}
	return r;
}

static int observe_pf(const struct sriov_world *w, struct sriov_pf *pf, struct err *e)
{
	int r;

	facts_pf(w, pf);
	r = journal_peek(w, pf->fn.addr, pf->owner, &pf->ours, e);
	return r ? r : observe_vfs(w, pf, true, e);
}

static int observe_rest(const struct sriov_world *w, struct sriov_state *out, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < out->n_pfs && !r; i++)
		r = observe_pf(w, &out->pfs[i], e);
	if (!r)
		r = facts_groups(w, out, e);
	if (!r)
		r = facts_host(w, &out->host, e);
	if (r)
		sriov_state_free(out);
	return r;
}

static int pf_order(const void *a, const void *b)
{
	return strcmp(((const struct sriov_pf *)a)->fn.addr, ((const struct sriov_pf *)b)->fn.addr);
}

static int add_pf(struct sriov_state *s, const char *addr, struct err *e)
{
	struct sriov_pf *pf = sriov_grow(&s->pfs, &s->n_pfs, sizeof(*pf));

	if (!pf)
		return sriov_nomem(e);
	snprintf(pf->fn.addr, sizeof(pf->fn.addr), "%s", addr);
	return 0;
}

/* Adds all PFs of the host, in the order of their addresses. */
static int add_pfs(const struct sriov_world *w, struct sriov_state *s, struct err *e)
{
	DIR *d = sysfs_dir(w->sys, DEVICES);
	const char *name;
	int r = 0;

	while (d && !r && (name = sysfs_next(d)))
		if (sysfs_exists(w->sys, DEVICES "/%s/sriov_totalvfs", name))
			r = add_pf(s, name, e);
	if (d)
		closedir(d);
	if (s->n_pfs)
		qsort(s->pfs, s->n_pfs, sizeof(*s->pfs), pf_order);
	return r;
}

int sriov_observe(const struct sriov_world *w, struct sriov_state *out, struct err *e)
{
	int r;

	*out = (struct sriov_state){ 0 };
	r = add_pfs(w, out, e);
	if (!r)
		return observe_rest(w, out, e);
	sriov_state_free(out);
	return r;
}

/* "here: 0000:01:00.0 (eth0, 7 VFs at most); ...", for sentences. */
static char *list_pfs(const struct sriov_world *w, char *out, size_t size)
{
	struct sriov_state s = { 0 };
	size_t len = 0;

	snprintf(out, size, "no PCI device here is SR-IOV capable");
	add_pfs(w, &s, NULL);
	for (size_t i = 0; i < s.n_pfs && len < size; i++) {
		struct sriov_function *fn = &s.pfs[i].fn;
		long long total;

		facts_function(w, fn->addr, fn);
		sysfs_number(w->sys, &total, DEVICES "/%s/sriov_totalvfs", fn->addr);
		len += (size_t)snprintf(out + len, size - len, "%s%s (%s%s%lld VFs at most)",
			len ? "; " : "here: ", fn->addr, fn->net, fn->net[0] ? ", " : "", total);
	}
	sriov_state_free(&s);
	return out;
}

static int no_device(const struct sriov_world *w, const char *what, const char *name, struct err *e)
{
	char list[512];

	return err_request(
		e, -ENODEV, "there is no %s %s; %s", what, name, list_pfs(w, list, sizeof(list)));
}

static int add_some(const struct sriov_world *w, size_t n, const char (*addrs)[PFS_ADDR_LEN],
	struct sriov_state *out, struct err *e)
{
	int r = 0;

	*out = (struct sriov_state){ 0 };
	for (size_t i = 0; i < n && !r; i++) {
		if (!sysfs_exists(w->sys, DEVICES "/%s", addrs[i]))
			r = no_device(w, "PCI device", addrs[i], e);
		else if (!sriov_pf_find(out, addrs[i]))
			r = add_pf(out, addrs[i], e);
	}
	if (r)
		sriov_state_free(out);
	return r;
}

int sriov_observe_some(const struct sriov_world *w, size_t n, const char (*addrs)[PFS_ADDR_LEN],
	struct sriov_state *out, struct err *e)
{
	int r = add_some(w, n, addrs, out, e);

	return r ? r : observe_rest(w, out, e);
}

int observe_attributes(const struct sriov_world *w, size_t n, const char (*addrs)[PFS_ADDR_LEN],
	struct sriov_state *out, struct err *e)
{
	int r = add_some(w, n, addrs, out, e);

	for (size_t i = 0; i < out->n_pfs && !r; i++) {
		facts_pf(w, &out->pfs[i]);
		r = observe_vfs(w, &out->pfs[i], true, e);
	}
	if (r)
		sriov_state_free(out);
	return r;
}

int sriov_find(const struct sriov_world *w, const char *name, char out[PFS_ADDR_LEN], struct err *e)
{
	if (!pfs_addr(name, out)) {
		if (sysfs_exists(w->sys, DEVICES "/%s", out))
			return 0;
		return no_device(w, "PCI device", out, e);
	}
	if (!*name || strchr(name, '/') || strlen(name) >= SRIOV_NET_LEN)
		return no_device(w, "PCI device or interface", name, e);
	if (!sysfs_exists(w->sys, "class/net/%s", name))
		return no_device(w, "interface", name, e);
	if (!sysfs_link(w->sys, out, PFS_ADDR_LEN, "class/net/%s/device", name) &&
		sysfs_exists(w->sys, DEVICES "/%s", out))
		return 0;
	return err_request(e, -ENODEV, "interface %s is not a PCI device's", name);
}

static int want_pf(const struct sriov_world *w, const struct pfs *p, const struct pf_want *from,
	struct sriov_pf *to, struct err *e)
{
	const char *name = from->pci[0] ? from->pci : from->interface;
	int r = sriov_find(w, name, to->fn.addr, e);

	if (r) {
		err_prefix(e, "%s:%d:%d: PF \"%s\"", p->file, from->device_place.line,
			from->device_place.col, from->name);
		return r;
	}
	snprintf(to->name, sizeof(to->name), "%s", from->name);
	to->attrs = from->attrs;
	to->place = from->place;
	to->device_place = from->device_place;
	memcpy(to->places, from->places, sizeof(to->places));
	to->vfs = calloc(from->n_vfs + 1, sizeof(*to->vfs));
	if (!to->vfs)
		return sriov_nomem(e);
	for (; to->n_vfs < from->n_vfs; to->n_vfs++) {
		const struct vf_want *vf = &from->vfs[to->n_vfs];
		struct sriov_vf *out = &to->vfs[to->n_vfs];

		out->index = vf->index;
		out->attrs = vf->attrs;
		out->place = vf->place;
		memcpy(out->places, vf->places, sizeof(out->places));
	}
	return 0;
}

int sriov_want(
	const struct sriov_world *w, const struct pfs *p, struct sriov_state *out, struct err *e)
{
	int r = 0;

	*out = (struct sriov_state){ .file = p->file };
	out->pfs = calloc(p->n + 1, sizeof(*out->pfs));
	if (!out->pfs)
		return sriov_nomem(e);
	for (size_t i = 0; i < p->n && !r; i++) {
		const struct sriov_pf *twin;

		out->n_pfs++;
		r = want_pf(w, p, &p->v[i], &out->pfs[i], e);
		twin = r ? &out->pfs[i] : sriov_pf_find(out, out->pfs[i].fn.addr);
		if (!r && twin != &out->pfs[i])
			r = pfs_error(p, p->v[i].device_place, ERR_REQUEST, -EINVAL, e,
				"PF \"%s\" is %s, which \"%s\" is already: describe it once",
				p->v[i].name, twin->fn.addr, twin->name);
	}
	if (r)
		sriov_state_free(out);
	return r;
}

/* ---- questions to drivers ---- */

/* An answer of "not supported" comes from before any look at the VF; whatever else is said of one
 * that is out of range, the call is there. The values are such as would do no harm if it were. */
static enum sriov_answer ask(
	const struct sriov_world *w, const struct sriov_pf *pf, enum vf_attr attr)
{
	const struct vf_attrs harmless = { .vlan_proto = 0x8100,
		.min_rate = attr == VF_MIN_RATE,
		.spoofchk = true,
		.link_state = VF_LINK_AUTO };
	uint32_t beyond = pf->total_vfs > pf->attrs.num_vfs ? pf->total_vfs : pf->attrs.num_vfs;
	int r;

	if (quirk_refuses(pf->attrs.driver, attr))
		return SRIOV_REFUSES;
	r = vfmsg_send(w->nl, vfmsg_set(pf->fn.ifindex, beyond, attr, &harmless));
	if (r == -EPERM || r == -EACCES)
		return SRIOV_NOT_ALLOWED;
	if (r == -ENOMEM || r == -ENODEV || r == -ETIMEDOUT)
		return SRIOV_UNASKED;
	if (r == -EOPNOTSUPP && !pf->attrs.num_vfs && quirk_needs_vfs(pf->attrs.driver, attr))
		return SRIOV_UNASKED;
	return r == -EOPNOTSUPP ? SRIOV_REFUSES : SRIOV_TAKES;
}

void sriov_probe(const struct sriov_world *w, struct sriov_pf *pf, unsigned attrs)
{
	for (int a = 0; a < VF_ATTRS_N; a++) {
		if (!(attrs & BIT(a)) || a == VF_DRIVER)
			continue;
		pf->takes[a] = SRIOV_UNASKED;
		if (w->nl && pf->fn.ifindex && pf->total_vfs)
			pf->takes[a] = ask(w, pf, (enum vf_attr)a);
	}
}

/* ---- look-ups ---- */

struct sriov_pf *sriov_pf_find(const struct sriov_state *s, const char *addr)
{
	for (size_t i = 0; i < s->n_pfs; i++)
		if (strcmp(s->pfs[i].fn.addr, addr) == 0)
			return &s->pfs[i];
	return NULL;
}

struct sriov_vf *sriov_vf_find(const struct sriov_pf *pf, uint32_t index)
{
	const struct sriov_vf key = { .index = index };

	return pf->n_vfs ? bsearch(&key, pf->vfs, pf->n_vfs, sizeof(key), vf_order) : NULL;
}

void sriov_state_free(struct sriov_state *s)
{
	for (size_t i = 0; i < s->n_pfs; i++)
		free(s->pfs[i].vfs);
	for (size_t i = 0; i < s->n_groups; i++) {
		free(s->groups[i].members);
		free(s->groups[i].holders);
	}
	free(s->pfs);
	free(s->groups);
	free(s->host.drivers);
	*s = (struct sriov_state){ 0 };
}
