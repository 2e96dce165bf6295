/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/sriov_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIT(attr) (1u << (attr))

/* ---- files ---- */

void fake_sh(struct fake *k, const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd %s && ", k->root);

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	assert_int_equal(0, system(cmd));
}

static void put(struct fake *k, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A file with that text and a line's end; folders above it are made. */
static void put(struct fake *k, const char *text, const char *fmt, ...)
{
	char path[256];
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdirat(k->w.sys, path, 0755);
		*slash = '/';
	}
	fd = openat(k->w.sys, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	dprintf(fd, "%s\n", text);
	close(fd);
}

static void put_number(struct fake *k, long n, const char *path, const char *name)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", n);
	put(k, text, "%s/%s", path, name);
}

static void link_to(struct fake *k, const char *to, const char *path, const char *name)
{
	char at[256];

	snprintf(at, sizeof(at), "%s/%s", path, name);
	unlinkat(k->w.sys, at, 0);
	if (to && symlinkat(to, k->w.sys, at) < 0)
		fail_msg("%s: %s", at, strerror(errno));
}

static void show_function(
	struct fake *k, const char *addr, const char *driver, const char *override, int group)
{
	char dir[96], to[96], members[96];

	snprintf(dir, sizeof(dir), "devices/pci/0000:00:01.0/%s", addr);
	put(k, "0x8086", "%s/vendor", dir);
	put(k, "0x10c9", "%s/device", dir);
	put(k, "0", "%s/numa_node", dir);
	put(k, override[0] ? override : "(null)", "%s/driver_override", dir);
	snprintf(to, sizeof(to), "../../../../bus/pci/drivers/%s", driver);
	link_to(k, driver[0] ? to : NULL, dir, "driver");
	snprintf(to, sizeof(to), "../../../../kernel/iommu_groups/%d", group);
	link_to(k, to, dir, "iommu_group");
	snprintf(members, sizeof(members), "kernel/iommu_groups/%d/devices", group);
	put(k, "", "%s/../name", members);
	mkdirat(k->w.sys, members, 0755);
	snprintf(to, sizeof(to), "../../../../%s", dir);
	link_to(k, to, members, addr);
	snprintf(to, sizeof(to), "../../../%s", dir);
	link_to(k, to, "bus/pci/devices", addr);
}

static void show_net(struct fake *k, const struct fake_pf *pf)
{
	char dir[96], to[128], own[128];
	bool there = pf->net[0] && !strcmp(pf->attrs.driver, pf->own);

	snprintf(dir, sizeof(dir), "devices/pci/0000:00:01.0/%s/net/%s", pf->addr, pf->net);
	if (!there) {
		snprintf(own, sizeof(own), "class/net/%s", pf->net);
		unlinkat(k->w.sys, own, 0);
		fake_sh(k, "rm -rf sys/devices/pci/0000:00:01.0/%s/net", pf->addr);
		return;
	}
	put_number(k, pf->ifindex, dir, "ifindex");
	put_number(k, pf->attrs.mtu, dir, "mtu");
	put_number(k, pf->attrs.up ? 0x1003 : 0x1002, dir, "flags");
	put_number(k, pf->attrs.up && pf->carrier, dir, "carrier");
	put_number(k, pf->attrs.up && pf->carrier ? pf->speed : -1, dir, "speed");
	snprintf(to, sizeof(to), "../../../%s", pf->addr);
	link_to(k, to, dir, "device");
	snprintf(to, sizeof(to), "../../%s", dir);
	link_to(k, to, "class/net", pf->net);
}

static void show_pf(struct fake *k, struct fake_pf *pf)
{
	int group = 10 + (int)(pf - k->pfs);
	char dir[96], to[64], name[24];

	show_function(k, pf->addr, pf->attrs.driver, pf->attrs.override, group);
	snprintf(dir, sizeof(dir), "devices/pci/0000:00:01.0/%s", pf->addr);
	if (pf->total) {
		put_number(k, pf->total, dir, "sriov_totalvfs");
		put_number(k, pf->attrs.num_vfs, dir, "sriov_numvfs");
		put_number(k, pf->attrs.autoprobe, dir, "sriov_drivers_autoprobe");
	}
	show_net(k, pf);
	for (uint32_t i = 0; i < pf->n_vfs; i++) {
		struct fake_vf *vf = &pf->vfs[i];

		show_function(k, vf->addr, vf->attrs.driver, vf->attrs.override, vf->group);
		snprintf(to, sizeof(to), "../%s", vf->addr);
		snprintf(name, sizeof(name), "virtfn%u", i);
		link_to(k, to, dir, name);
		snprintf(to, sizeof(to), "../%s", pf->addr);
		snprintf(name, sizeof(name), "devices/pci/0000:00:01.0");
		char vf_dir[96];
		snprintf(vf_dir, sizeof(vf_dir), "devices/pci/0000:00:01.0/%s", vf->addr);
		link_to(k, to, vf_dir, "physfn");
	}
}

static void hide_vfs(struct fake *k, struct fake_pf *pf)
{
	char path[128];

	for (uint32_t i = 0; i < pf->n_vfs; i++) {
		snprintf(path, sizeof(path), "devices/pci/0000:00:01.0/%s/virtfn%u", pf->addr, i);
		unlinkat(k->w.sys, path, 0);
		snprintf(path, sizeof(path), "bus/pci/devices/%s", pf->vfs[i].addr);
		unlinkat(k->w.sys, path, 0);
		snprintf(path, sizeof(path), "kernel/iommu_groups/%d/devices/%s", pf->vfs[i].group,
			pf->vfs[i].addr);
		unlinkat(k->w.sys, path, 0);
	}
	pf->n_vfs = 0;
}

void fake_show(struct fake *k)
{
	for (size_t i = 0; i < k->n_pfs; i++)
		show_pf(k, &k->pfs[i]);
}

/* ---- drivers ---- */

static bool loaded(struct fake *k, const char *driver)
{
	char path[96];

	snprintf(path, sizeof(path), "bus/pci/drivers/%s", driver);
	return faccessat(k->w.sys, path, F_OK, 0) == 0;
}

void fake_driver(struct fake *k, const char *name)
{
	fake_sh(k, "mkdir -p sys/bus/pci/drivers/%s", name);
}

static void bind_vf(struct fake_vf *vf, const char *driver)
{
	snprintf(vf->attrs.driver, sizeof(vf->attrs.driver), "%s", driver);
	vf->learnt = (uint32_t)ether_mac_u64(vf->attrs.mac);
}

/* VF n's address: in an order that is not that of indices. */
static void vf_address(const struct fake_pf *pf, uint32_t i, char *out)
{
	uint32_t turned = (i & ~7u) | (7 - (i & 7));

	snprintf(out, PFS_ADDR_LEN, "%.7s:%02x.%u", pf->addr, 0x10 + turned / 8, turned % 8);
}

static void make_vfs(struct fake *k, struct fake_pf *pf, uint32_t n)
{
	hide_vfs(k, pf);
	pf->attrs.num_vfs = n;
	pf->n_vfs = n && pf->fewer ? n - 1 : n;
	for (uint32_t i = 0; i < pf->n_vfs; i++) {
		struct fake_vf *vf = &pf->vfs[i];

		*vf = (struct fake_vf){ .attrs = { .has = BIT(VF_ATTRS_N) - 1,
						.vlan_proto = 0x8100,
						.spoofchk = true } };
		vf_address(pf, i, vf->addr);
		vf->group = pf->shared_group ? 10 + (int)(pf - k->pfs)
					     : 100 + 64 * (int)(pf - k->pfs) + (int)i;
		if (pf->attrs.autoprobe && loaded(k, pf->vf_driver))
			bind_vf(vf, pf->vf_driver);
	}
	show_pf(k, pf);
}

void fake_make_vfs(struct fake *k, size_t pf, uint32_t n)
{
	make_vfs(k, &k->pfs[pf], n);
}

/* ---- changes ---- */

static int change(struct fake *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Counts and logs it; says whether it is to fail. */
static int change(struct fake *k, const char *fmt, ...)
{
	size_t room = sizeof(k->log) - (size_t)k->log_len;
	va_list ap;

	if (k->no_permission)
		return -EPERM;
	va_start(ap, fmt);
	if (room > 128) {
		k->log_len += vsnprintf(k->log + k->log_len, room, fmt, ap);
		k->log_len += snprintf(k->log + k->log_len, 2, "\n");
	}
	va_end(ap);
	return k->n_changes++ == k->fail_at ? -EIO : 0;
}

static struct fake_pf *find_pf(struct fake *k, const char *addr)
{
	for (size_t i = 0; i < k->n_pfs; i++)
		if (!strcmp(k->pfs[i].addr, addr))
			return &k->pfs[i];
	return NULL;
}

static struct fake_vf *find_vf(struct fake *k, const char *addr, struct fake_pf **pf)
{
	for (size_t i = 0; i < k->n_pfs; i++)
		for (uint32_t j = 0; j < k->pfs[i].n_vfs; j++)
			if (!strcmp(k->pfs[i].vfs[j].addr, addr)) {
				*pf = &k->pfs[i];
				return &k->pfs[i].vfs[j];
			}
	return NULL;
}

static int write_numvfs(struct fake *k, struct fake_pf *pf, uint32_t n, int timeout_ms)
{
	int r = change(k, "numvfs %s %u", pf->addr, n);

	assert_true(timeout_ms > 0); /* it may block: never without a deadline */
	if (r)
		return r;
	if (pf->hangs)
		return -ETIMEDOUT;
	if (pf->number_error)
		return pf->number_error;
	if (n > pf->total)
		return -ERANGE;
	if (strcmp(pf->attrs.driver, pf->own))
		return -ENOENT;
	if (n && pf->attrs.num_vfs && n != pf->attrs.num_vfs)
		return -EBUSY;
	if (n && !pf->attrs.up)
		return -ENODEV; /* some make none, without a word */
	if (n != pf->attrs.num_vfs)
		make_vfs(k, pf, n);
	return 0;
}

static int write_probe(struct fake *k, const char *addr)
{
	struct fake_pf *pf = find_pf(k, addr);
	struct fake_vf *vf = pf ? NULL : find_vf(k, addr, &pf);
	const char *want;
	int r = change(k, "probe %s", addr);

	if (r)
		return r;
	if (!vf) {
		want = pf->attrs.override[0] ? pf->attrs.override : pf->own;
		snprintf(pf->attrs.driver, sizeof(pf->attrs.driver), "%s", want);
	} else {
		want = vf->attrs.override[0] ? vf->attrs.override : pf->vf_driver;
		if (!vf->attrs.driver[0] && loaded(k, want) &&
			(pf->attrs.autoprobe || vf->attrs.override[0]))
			bind_vf(vf, want);
	}
	show_pf(k, pf);
	return 0;
}

static int write_device(
	struct fake *k, const char *addr, const char *file, const char *text, int timeout_ms)
{
	struct fake_pf *pf = find_pf(k, addr), *of = pf;
	struct fake_vf *vf = pf ? NULL : find_vf(k, addr, &of);
	char *driver = pf ? pf->attrs.driver : vf->attrs.driver;
	char *override = pf ? pf->attrs.override : vf->attrs.override;
	int r;

	if (pf && !strcmp(file, "sriov_numvfs"))
		return write_numvfs(k, pf, (uint32_t)atoi(text), timeout_ms);
	r = change(k, "%s %s %.*s", file, addr, (int)strcspn(text, "\n"), text);
	if (r)
		return r;
	if (!strcmp(file, "driver_override"))
		snprintf(override, PFS_DRIVER_LEN, "%.*s", (int)strcspn(text, "\n"), text);
	else if (!strcmp(file, "driver/unbind"))
		driver[0] = '\0';
	else if (pf && !strcmp(file, "sriov_drivers_autoprobe"))
		pf->attrs.autoprobe = text[0] == '1';
	else
		return -ENOENT;
	show_pf(k, of);
	return 0;
}

static int fake_write(
	const struct sriov_world *w, const char *path, const char *text, int timeout_ms)
{
	struct fake *k = w->arg;
	char addr[PFS_ADDR_LEN], file[64];

	if (!strcmp(path, "bus/pci/drivers_probe"))
		return write_probe(k, text);
	if (sscanf(path, "bus/pci/devices/%16[^/]/%63s", addr, file) != 2)
		return -ENOENT;
	return write_device(k, addr, file, text, timeout_ms);
}

/* ---- netlink ---- */

static void put_stats(struct nl_msg *msg, uint32_t i)
{
	struct nlattr *stats = nla_nest_start(msg, IFLA_VF_STATS);

	for (int t = IFLA_VF_STATS_RX_PACKETS; t <= IFLA_VF_STATS_TX_DROPPED; t++)
		if (t != IFLA_VF_STATS_PAD)
			nla_put_u64(msg, t, 1000 * i + (uint32_t)t);
	nla_nest_end(msg, stats);
}

static void put_vf(
	struct nl_msg *msg, const struct vf_attrs *a, uint32_t i, bool stats, unsigned unsupported)
{
	struct ifla_vf_mac mac = { .vf = i };
	struct ifla_vf_vlan vlan = { i, a->vlan, a->qos };
	struct ifla_vf_vlan_info info = { i, a->vlan, a->qos, htons(a->vlan_proto) };
	struct ifla_vf_rate rate = { i, a->min_rate, a->max_rate };
	struct ifla_vf_tx_rate tx_rate = { i, a->max_rate };
	struct ifla_vf_spoofchk spoofchk = { i, a->spoofchk };
	struct ifla_vf_link_state state = { i, (uint32_t)a->link_state };
	struct ifla_vf_trust trust = { i, a->trust };
	struct nlattr *vf = nla_nest_start(msg, IFLA_VF_INFO), *list;

	memcpy(mac.mac, a->mac.b, 6);
	nla_put(msg, IFLA_VF_MAC, sizeof(mac), &mac);
	nla_put(msg, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	nla_put(msg, IFLA_VF_RATE, sizeof(rate), &rate);
	nla_put(msg, IFLA_VF_TX_RATE, sizeof(tx_rate), &tx_rate);
	if (unsupported & BIT(VF_SPOOFCHK))
		spoofchk.setting = ~0u;
	nla_put(msg, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	nla_put(msg, IFLA_VF_LINK_STATE, sizeof(state), &state);
	nla_put(msg, IFLA_VF_TRUST, sizeof(trust), &trust);
	list = nla_nest_start(msg, IFLA_VF_VLAN_LIST);
	nla_put(msg, IFLA_VF_VLAN_INFO, sizeof(info), &info);
	nla_nest_end(msg, list);
	if (stats)
		put_stats(msg, i);
	nla_nest_end(msg, vf);
}

struct nl_msg *fake_link_message(struct fake_pf *pf, bool stats)
{
	struct ifinfomsg head = { .ifi_index = pf->ifindex,
		.ifi_flags = pf->attrs.up ? IFF_UP : 0 };
	struct nl_msg *msg = nlmsg_alloc_size(1 << 20);
	struct nlattr *list;

	nlmsg_put(msg, 0, 0, RTM_NEWLINK, 0, 0);
	nlmsg_append(msg, &head, sizeof(head), NLMSG_ALIGNTO);
	nla_put_string(msg, IFLA_IFNAME, pf->net);
	nla_put_u32(msg, IFLA_MTU, pf->attrs.mtu);
	nla_put_u32(msg, IFLA_NUM_VF, pf->n_vfs);
	list = nla_nest_start(msg, IFLA_VFINFO_LIST);
	for (uint32_t i = 0; i < pf->n_vfs - (pf->list_wraps && stats && pf->n_vfs); i++)
		put_vf(msg, &pf->vfs[i].attrs, i, stats, pf->unsupported);
	nla_nest_end(msg, list);
	return msg;
}

static int get_link(struct fake *k, struct fake_pf *pf, uint32_t mask, sriov_nl_fn fn, void *arg)
{
	bool stats = !(mask & 8 /* RTEXT_FILTER_SKIP_STATS */);
	struct nl_msg *msg;
	int r;

	assert_true(mask & RTEXT_FILTER_VF);
	if (stats && pf->stats_too_long)
		return -EMSGSIZE;
	msg = fake_link_message(pf, stats);
	r = fn(arg, nlmsg_hdr(msg));
	nlmsg_free(msg);
	return r;
}

static int refuse(struct fake_pf *pf, uint32_t i, enum vf_attr attr)
{
	if (pf->unsupported & BIT(attr))
		return -EOPNOTSUPP;
	if (attr == VF_SPOOFCHK && pf->spoofchk_needs_vfs && !pf->n_vfs)
		return -EOPNOTSUPP;
	return i >= pf->n_vfs ? -EINVAL : 0;
}

static int set_rate(struct fake *k, struct fake_pf *pf, const struct ifla_vf_rate *m)
{
	int r = refuse(pf, m->vf, VF_MAX_RATE);

	if (m->min_tx_rate && pf->unsupported & BIT(VF_MIN_RATE))
		return -EOPNOTSUPP;
	if (r)
		return r;
	r = change(k, "rate %s %u %u-%u", pf->addr, m->vf, m->min_tx_rate, m->max_tx_rate);
	if (r)
		return r;
	if ((m->min_tx_rate && pf->min_rate_einval) ||
		(pf->rate_needs_link && !(pf->attrs.up && pf->carrier)))
		return -EINVAL;
	pf->vfs[m->vf].attrs.min_rate = m->min_tx_rate;
	pf->vfs[m->vf].attrs.max_rate = m->max_tx_rate;
	return 0;
}

static int set_mac(struct fake *k, struct fake_pf *pf, const struct ifla_vf_mac *m)
{
	struct ether_mac mac;
	char text[ETHER_MAC_STR];
	int r = refuse(pf, m->vf, VF_MAC);

	memcpy(mac.b, m->mac, 6);
	if (!r)
		r = change(k, "mac %s %u %s", pf->addr, m->vf, ether_mac_str(mac, text));
	if (!r && pf->zero_mac_einval && ether_mac_is_zero(mac))
		r = -EINVAL;
	if (!r)
		pf->vfs[m->vf].attrs.mac = mac; /* its driver goes on with the old one */
	return r;
}

static int set_vlan(struct fake *k, struct fake_pf *pf, struct nlattr *list)
{
	struct nlattr *entry = nla_data(list);
	const struct ifla_vf_vlan_info *m = nla_data(entry);
	struct vf_attrs *a;
	int r;

	if (nla_len(list) < 1 || nla_type(entry) != IFLA_VF_VLAN_INFO ||
		nla_len(entry) != sizeof(*m))
		return -EINVAL;
	r = refuse(pf, m->vf, VF_VLAN);
	if (!r)
		r = change(k, "vlan %s %u %u", pf->addr, m->vf, m->vlan);
	if (r)
		return r;
	if (ntohs(m->vlan_proto) != 0x8100)
		return -EPROTONOSUPPORT;
	a = &pf->vfs[m->vf].attrs;
	a->vlan = (uint16_t)m->vlan;
	a->qos = (uint8_t)m->qos;
	return 0;
}

/* Spoof check, trust and link state: structs of a VF and a word. */
static int set_word(struct fake *k, struct fake_pf *pf, struct nlattr *a, enum vf_attr attr)
{
	struct {
		uint32_t vf, word;
	} m;
	int r;

	memcpy(&m, nla_data(a), sizeof(m));
	r = refuse(pf, m.vf, attr);
	if (!r)
		r = change(k, "%s %s %u %u", vf_attr_names[attr], pf->addr, m.vf, m.word);
	if (r)
		return r;
	if (attr == VF_SPOOFCHK)
		pf->vfs[m.vf].attrs.spoofchk = m.word;
	else if (attr == VF_TRUST)
		pf->vfs[m.vf].attrs.trust = m.word;
	else
		pf->vfs[m.vf].attrs.link_state = (int)m.word;
	return 0;
}

/* As do_setvfinfo: attribute by attribute, and what came before one that fails stays. */
static int set_vf(struct fake *k, struct fake_pf *pf, struct nlattr *info)
{
	struct nlattr *tb[IFLA_VF_MAX + 1];
	int r = 0;

	assert_int_equal(0, nla_parse_nested(tb, IFLA_VF_MAX, info, NULL));
	assert_null(tb[IFLA_VF_IB_NODE_GUID]); /* makes the kernel return early */
	if (tb[IFLA_VF_MAC])
		r = set_mac(k, pf, nla_data(tb[IFLA_VF_MAC]));
	if (!r && tb[IFLA_VF_VLAN_LIST])
		r = set_vlan(k, pf, tb[IFLA_VF_VLAN_LIST]);
	if (!r && tb[IFLA_VF_RATE])
		r = set_rate(k, pf, nla_data(tb[IFLA_VF_RATE]));
	if (!r && tb[IFLA_VF_SPOOFCHK])
		r = set_word(k, pf, tb[IFLA_VF_SPOOFCHK], VF_SPOOFCHK);
	if (!r && tb[IFLA_VF_TRUST])
		r = set_word(k, pf, tb[IFLA_VF_TRUST], VF_TRUST);
	if (!r && tb[IFLA_VF_LINK_STATE])
		r = set_word(k, pf, tb[IFLA_VF_LINK_STATE], VF_LINK_STATE);
	return r;
}

static int set_link(
	struct fake *k, struct fake_pf *pf, const struct ifinfomsg *head, struct nlattr **tb)
{
	struct nlattr *info;
	int r = 0, rest, n = 0;

	if (head->ifi_change & IFF_UP) {
		r = change(k, "up %s %d", pf->addr, !!(head->ifi_flags & IFF_UP));
		if (!r)
			pf->attrs.up = head->ifi_flags & IFF_UP;
	}
	if (!r && tb[IFLA_MTU]) {
		r = change(k, "mtu %s %u", pf->addr, nla_get_u32(tb[IFLA_MTU]));
		if (!r)
			pf->attrs.mtu = nla_get_u32(tb[IFLA_MTU]);
	}
	if (!r && tb[IFLA_VFINFO_LIST])
		nla_for_each_nested(info, tb[IFLA_VFINFO_LIST], rest)
		{
			n++;
			if (!r)
				r = set_vf(k, pf, info);
		}
	if (n > k->n_vfs_in_message)
		k->n_vfs_in_message = n;
	show_net(k, pf);
	return r;
}

static int fake_talk(struct sriov_nl *nl, struct nl_msg *msg, sriov_nl_fn fn, void *arg)
{
	struct fake *k = (struct fake *)((char *)nl - offsetof(struct fake, nl));
	struct nlmsghdr *h = nlmsg_hdr(msg);
	const struct ifinfomsg *head = nlmsg_data(h);
	struct nlattr *tb[IFLA_MAX + 1];
	struct fake_pf *pf = NULL;

	nl->said[0] = '\0';
	assert_int_equal(0, nlmsg_parse(h, sizeof(*head), tb, IFLA_MAX, NULL));
	for (size_t i = 0; i < k->n_pfs; i++)
		if (k->pfs[i].ifindex == head->ifi_index)
			pf = &k->pfs[i];
	if (!pf)
		return -ENODEV;
	if (h->nlmsg_type == RTM_GETLINK)
		return get_link(k, pf, nla_get_u32(tb[IFLA_EXT_MASK]), fn, arg);
	if (k->no_permission)
		return -EPERM;
	return set_link(k, pf, head, tb);
}

static void fake_free(struct sriov_nl *nl)
{
}

/* ---- the whole ---- */

void fake_open(struct fake *k, size_t n_pfs, uint32_t total)
{
	*k = (struct fake){ .fail_at = -1, .n_pfs = n_pfs };
	/* In memory: journals are synced a few thousand times. */
	strcpy(k->root,
		access("/dev/shm", W_OK) ? "/tmp/lanyard-sriov-XXXXXX"
					 : "/dev/shm/lanyard-sriov-XXXXXX");
	assert_non_null(mkdtemp(k->root));
	fake_sh(k,
		"mkdir -p sys/bus/pci/devices sys/bus/pci/drivers/nic sys/bus/pci/drivers/igb sys/bus/pci/drivers/igbvf "
		"sys/bus/pci/drivers/vfio-pci sys/class/net sys/kernel/iommu_groups/0/devices "
		"proc/net");
	struct err e = { 0 };
	char run[80];

	snprintf(run, sizeof(run), "%s/run", k->root);
	if (sriov_world_open(&k->w, k->root, run, &e))
		fail_msg("%s", e.text);
	k->nl = (struct sriov_nl){ .talk = fake_talk, .free = fake_free };
	k->w.nl = &k->nl;
	k->w.write = fake_write;
	k->w.arg = k;
	k->w.link_ms = 40;
	for (size_t i = 0; i < n_pfs; i++) {
		struct fake_pf *pf = &k->pfs[i];

		*pf = (struct fake_pf){ .attrs = { .has = BIT(PF_ATTRS_N) - 1,
						.autoprobe = true,
						.mtu = 1500,
						.up = true,
						.driver = "nic" },
			.own = "nic",
			.vf_driver = "igbvf",
			.ifindex = 2 + (int)i,
			.speed = 1000,
			.total = total,
			.carrier = true };
		snprintf(pf->addr, sizeof(pf->addr), "0000:%02zx:00.0", i + 1);
		snprintf(pf->net, sizeof(pf->net), "eth%zu", i);
	}
	fake_show(k);
}

void fake_close(struct fake *k)
{
	sriov_world_close(&k->w);
	fake_sh(k, "cd / && rm -rf %s", k->root);
}

char *fake_snapshot(const struct fake *k)
{
	char *text = NULL, mac[ETHER_MAC_STR];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; i < k->n_pfs; i++) {
		const struct fake_pf *pf = &k->pfs[i];

		fprintf(f, "%s n %u auto %d mtu %u up %d driver %s override %s\n", pf->addr,
			pf->attrs.num_vfs, pf->attrs.autoprobe, pf->attrs.mtu, pf->attrs.up,
			pf->attrs.driver, pf->attrs.override);
		for (uint32_t j = 0; j < pf->n_vfs; j++) {
			const struct vf_attrs *a = &pf->vfs[j].attrs;

			fprintf(f,
				" %u %s vlan %u/%u rate %u-%u spoof %d trust %d link %d driver %s "
				"override %s%s\n",
				j, ether_mac_str(a->mac, mac), a->vlan, a->qos, a->min_rate,
				a->max_rate, a->spoofchk, a->trust, a->link_state, a->driver,
				a->override,
				a->driver[0] && !strstr(a->driver, "vfio") &&
						pf->vfs[j].learnt != (uint32_t)ether_mac_u64(a->mac)
					? " (knows another MAC)"
					: "");
		}
	}
	fclose(f);
	return text;
}
