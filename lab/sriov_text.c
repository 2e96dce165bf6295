/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/sriov_text.h"

#include <inttypes.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "lab/table.h"

static const char *or_dash(const char *s)
{
	return s[0] ? s : "-";
}

static char *number_or_dash(int n, char *out, size_t size)
{
	snprintf(out, size, n < 0 ? "-" : "%d", n);
	return out;
}

static char *link_text(const struct sriov_pf *pf, char *out, size_t size)
{
	bool known = pf->attrs.has & 1u << PF_UP;

	if (known && pf->carrier && pf->speed_mbps > 0)
		snprintf(out, size, "%d Mbps", pf->speed_mbps);
	else
		snprintf(out, size, "%s",
			!known                  ? "-"
				: !pf->attrs.up ? "down"
				: pf->carrier   ? "up"
						: "no carrier");
	return out;
}

void sriov_print_list(const struct sriov_state *s, FILE *out, int width)
{
	struct table t = { "PF|INTERFACE|DRIVER|>VFS|>OF|LINK|>NUMA|>GROUP|USED BY|OWNER", { 0 } };

	for (size_t i = 0; i < s->n_pfs; i++) {
		const struct sriov_pf *pf = &s->pfs[i];
		char numa[12], group[12], link[32];

		table_add(&t, "%s", pf->fn.addr);
		table_add(&t, "%s", or_dash(pf->fn.net));
		table_add(&t, "%s", or_dash(pf->attrs.driver));
		table_add(&t, "%u", pf->attrs.num_vfs);
		table_add(&t, "%u", pf->total_vfs);
		table_add(&t, "%s", link_text(pf, link, sizeof link));
		table_add(&t, "%s", number_or_dash(pf->fn.numa_node, numa, sizeof numa));
		table_add(&t, "%s", number_or_dash(pf->fn.group, group, sizeof group));
		table_add(&t, "%s", or_dash(pf->uses));
		table_add(&t, "%s", or_dash(pf->owner));
	}
	if (s->n_pfs)
		table_print(&t, out, width);
	else
		fputs("No PCI device of this host is SR-IOV capable (or that is off in its "
		      "firmware).\n",
			out);
	if (s->n_pfs && !s->host.iommu)
		fputs("No IOMMU is on: VFs can't be given to guests (docs/sriov.md).\n", out);
}

/* "source validation, ...", of the port above. */
static char *acs_text(int acs, char *out, size_t size)
{
	static const struct {
		int bit;
		const char *name;
	} bits[] = { { PCI_ACS_SV, "source validation" }, { PCI_ACS_RR, "request redirect" },
		{ PCI_ACS_CR, "completion redirect" }, { PCI_ACS_UF, "upstream forwarding" } };
	size_t n = 0;

	snprintf(out, size, acs < 0 ? "none" : "off");
	for (size_t i = 0; i < sizeof bits / sizeof bits[0] && acs > 0 && n < size; i++)
		if (acs & bits[i].bit)
			n += (size_t)snprintf(
				out + n, size - n, "%s%s", n ? ", " : "", bits[i].name);
	return out;
}

/* Who shares its group, and who has it open. */
static char *company_text(
	const struct sriov_state *s, const struct sriov_function *fn, char *out, size_t size)
{
	const struct sriov_group *g = sriov_group_find(s, fn->group);
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; g && i < g->n_members && n < size; i++)
		if (strcmp(g->members[i].addr, fn->addr))
			n += (size_t)snprintf(out + n, size - n, "%sshared with %s (%s)",
				n ? ", " : "", g->members[i].addr,
				g->members[i].driver[0] ? g->members[i].driver : "no driver");
	for (size_t i = 0; g && i < g->n_holders && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%sheld by %s (pid %d)", n ? ", " : "",
			g->holders[i].comm, (int)g->holders[i].pid);
	return out;
}

static void print_facts(const struct sriov_state *s, const struct sriov_pf *pf, FILE *out)
{
	char link[32], acs[128], group[300];

	fprintf(out, "%s  %04x:%04x, driver %s, interface %s\n", pf->fn.addr, pf->fn.vendor,
		pf->fn.device, or_dash(pf->attrs.driver), or_dash(pf->fn.net));
	fprintf(out, "  VFs     %u of %u at most; drivers %s those that are made\n",
		pf->attrs.num_vfs, pf->total_vfs, pf->attrs.autoprobe ? "take" : "leave");
	fprintf(out, "  link    %s, MTU %u\n", link_text(pf, link, sizeof link), pf->attrs.mtu);
	if (pf->uses[0])
		fprintf(out, "  used by %s\n", pf->uses);
	if (pf->switchdev)
		fprintf(out,
			"  e-switch in switchdev mode: VFs are configured through their "
			"representors\n");
	if (pf->fn.group >= 0) {
		company_text(s, &pf->fn, group, sizeof group);
		fprintf(out, "  IOMMU   group %d%s%s\n", pf->fn.group, group[0] ? ", " : "", group);
	} else {
		fprintf(out, "  IOMMU   none\n");
	}
	fprintf(out, "  ACS     %s\n", acs_text(pf->acs, acs, sizeof acs));
	if (pf->fn.numa_node >= 0)
		fprintf(out, "  NUMA    node %d\n", pf->fn.numa_node);
	if (pf->owner[0])
		fprintf(out, "  owner   %s\n", pf->owner);
}

static void print_takes(const struct sriov_pf *pf, FILE *out)
{
	static const char *const answers[] = {
		[SRIOV_UNASKED] = "not known (asked once there are VFs, and a driver)",
		[SRIOV_TAKES] = "yes",
		[SRIOV_REFUSES] = "no",
		[SRIOV_NOT_ALLOWED] = "only root may ask",
	};

	fprintf(out, "\nWhat driver %s takes for a VF:\n", or_dash(pf->attrs.driver));
	for (int a = 0; a < VF_DRIVER; a++)
		fprintf(out, "  %-11s %s\n", vf_attr_names[a], answers[pf->takes[a]]);
}

static void add_vf(struct table *t, const struct sriov_state *s, const struct sriov_vf *vf)
{
	static const char *const states[] = { "auto", "up", "down" };
	const struct vf_attrs *a = &vf->attrs;
	char mac[ETHER_MAC_STR], company[300], group[12];
	bool known = a->has & 1u << VF_MAC;

	table_add(t, "%u", vf->index);
	table_add(t, "%s", vf->fn.addr);
	table_add(t, "%s", or_dash(a->driver));
	table_add(t, "%s", known ? ether_mac_str(a->mac, mac) : "-");
	if (a->vlan)
		table_add(t, "%u/%u%s", a->vlan, a->qos, a->vlan_proto == 0x88a8 ? " ad" : "");
	else
		table_add(t, "-");
	table_add(t, a->min_rate || a->max_rate ? "%u-%u" : "-", a->min_rate, a->max_rate);
	table_add(t, "%s", !(a->has & 1u << VF_SPOOFCHK) ? "-" : a->spoofchk ? "on" : "off");
	table_add(t, "%s", !(a->has & 1u << VF_TRUST) ? "-" : a->trust ? "on" : "off");
	table_add(t, "%s", a->has & 1u << VF_LINK_STATE ? states[a->link_state] : "-");
	table_add(t, "%s", number_or_dash(vf->fn.group, group, sizeof group));
	if (vf->has_stats)
		table_add(t, "%" PRIu64 "/%" PRIu64, vf->stats.rx_packets, vf->stats.tx_packets);
	else
		table_add(t, "-");
	table_add(t, "%s", company_text(s, &vf->fn, company, sizeof company));
}

void sriov_print_pf(const struct sriov_state *s, const struct sriov_pf *pf, FILE *out, int width)
{
	struct table t = {
		">VF|PCI|DRIVER|MAC|VLAN|>MBPS|SPOOFCHK|TRUST|LINK|>GROUP|>RX/TX FRAMES|", { 0 }
	};

	print_facts(s, pf, out);
	print_takes(pf, out);
	for (size_t i = 0; i < pf->n_vfs; i++)
		add_vf(&t, s, &pf->vfs[i]);
	if (pf->n_vfs)
		fputc('\n', out);
	table_print(&t, out, width);
}

void sriov_print_plan(const struct sriov_plan *p, FILE *out, int width)
{
	struct table t = { ">STEP|WHAT|UNDONE TO", { 0 } };
	char text[256];

	for (size_t i = 0; i < p->n_steps; i++) {
		table_add(&t, "%zu", i + 1);
		table_add(&t, "%s", sriov_step_text(&p->steps[i], text, sizeof text));
		table_add(&t, "%s", sriov_step_undo_text(&p->steps[i], text, sizeof text));
	}
	if (p->n_steps)
		table_print(&t, out, width);
	else
		fputs("Nothing to do: all is as the file says.\n", out);
}
