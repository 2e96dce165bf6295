/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/units.h"
#include "config/pfs.h"
#include "lab/policy.h"

#define FONT "Helvetica,Arial,sans-serif"

/* A kind's fill and line. */
static const struct look {
	const char *fill, *line, *style;
} looks[] = {
	[TOPO_VM] = { "#e3edf9", "#3465a4", "solid" },
	[TOPO_PROCESS] = { "#fdf0dd", "#c17d11", "solid" },
	[TOPO_EXTERNAL] = { "#f3f3f3", "#777777", "dashed" },
};
static const struct look linux_look = { "#e4f4e1", "#4e9a06", "solid" };

/* ---- HTML-like labels ---- */

static void put_text(FILE *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			fputs("&amp;", out);
		else if (*s == '<')
			fputs("&lt;", out);
		else if (*s == '>')
			fputs("&gt;", out);
		else if (*s == '"')
			fputs("&quot;", out);
		else
			fputc(*s, out);
	}
}

static void put_small(FILE *out, const char *colour, const char *s)
{
	fprintf(out, "<FONT POINT-SIZE=\"10\" COLOR=\"%s\">", colour);
	put_text(out, s);
	fputs("</FONT>", out);
}

/* ---- what a lab that is up says ---- */

static const json_t *live_port(const json_t *live, const char *name)
{
	const json_t *p;
	size_t i;

	json_array_foreach (json_object_get(live, "ports"), i, p)
		if (strcmp(json_string_value(json_object_get(p, "name")), name) == 0)
			return p;
	return NULL;
}

static double frames(const json_t *port, const char *way)
{
	return json_number_value(json_object_get(json_object_get(port, way), "frames"));
}

static double dropped(const json_t *port)
{
	const json_t *n;
	const char *key;
	double sum = 0;

	json_object_foreach (json_object_get(port, "drops"), key, n)
		sum += json_number_value(n);
	return sum;
}

/* "1.2 M out, 1.1 M in": as the NIC sees it; false: nothing is known. */
static bool counters(const json_t *port, char *out, size_t size)
{
	char sent[16], got[16], lost[16];

	if (!json_is_object(json_object_get(port, "rx")))
		return false;
	snprintf(out, size, "%s out, %s in", units_format_si(frames(port, "rx"), sent),
		units_format_si(frames(port, "tx"), got));
	if (dropped(port) > 0)
		snprintf(out + strlen(out), size - strlen(out), ", %s dropped",
			units_format_si(dropped(port), lost));
	return true;
}

/* A link's colour and width. */
static const char *link_look(const json_t *live, const json_t *port)
{
	const char *state = json_string_value(json_object_get(port, "state"));

	if (!live)
		return "color=\"#555555\"";
	if (state && strcmp(state, "up") == 0)
		return "color=\"#4e9a06\", penwidth=2";
	return "color=\"#cc0000\", style=dashed, penwidth=2";
}

/* ---- nodes ---- */

static void describe_node(const struct topo_node *n, char *out, size_t size)
{
	char memory[16];

	if (n->kind == TOPO_EXTERNAL)
		snprintf(out, size, "external client");
	else if (n->kind == TOPO_PROCESS)
		snprintf(out, size, "traffic process");
	else
		snprintf(out, size, "VM, %s, %u vCPU%s, %s%s",
			n->guest_kind == TOPO_GUEST_FILE ? "own image" : n->guest, n->vcpus,
			n->vcpus == 1 ? "" : "s", units_format_size(n->memory, memory),
			n->forward ? ", router" : "");
}

/* What is to be said of a NIC, a line each: addresses, policy, counters. */
static void print_nic_row(
	const struct topology *t, size_t i, size_t j, const json_t *live, FILE *out)
{
	const struct topo_nic *nic = &t->nodes[i].nics[j];
	char port[TOPO_NAME_MAX + 12], text[256];
	json_t *policy = NULL;

	topology_port_name(t, i, j, port);
	if (!nic->vf.want)
		policy = policy_of_nic(t, nic, port);
	fprintf(out, "<TR><TD PORT=\"n%zu\" SIDES=\"T\" BORDER=\"1\" ALIGN=\"LEFT\">", j);
	put_small(out, "#222222", port);
	for (size_t k = 0; k < nic->n_addresses; k++) {
		fputs("<BR ALIGN=\"LEFT\"/>", out);
		put_small(out, "#555555", nic->addresses[k].text);
	}
	if (nic->vf.want) {
		snprintf(text, sizeof text, "VF %u", nic->vf.index);
		fputs("<BR ALIGN=\"LEFT\"/>", out);
		put_small(out, "#75507b", text);
	}
	if (policy_brief(policy, text, sizeof text)[0]) {
		fputs("<BR ALIGN=\"LEFT\"/>", out);
		put_small(out, "#75507b", text);
	}
	if (counters(live_port(live, port), text, sizeof text)) {
		fputs("<BR ALIGN=\"LEFT\"/>", out);
		put_small(out, "#2e6f00", text);
	}
	fputs("<BR ALIGN=\"LEFT\"/></TD></TR>", out);
	json_decref(policy);
}

static void print_node(const struct topology *t, size_t i, const json_t *live, FILE *out)
{
	const struct topo_node *n = &t->nodes[i];
	const struct look *look = n->kind == TOPO_VM && n->guest_kind == TOPO_GUEST_LINUX
		? &linux_look
		: &looks[n->kind];
	char text[128];

	describe_node(n, text, sizeof text);
	fprintf(out,
		"\t\"node %s\" [shape=plain, label=<<TABLE STYLE=\"ROUNDED,%s\" BORDER=\"1\" "
		"CELLBORDER=\"0\" CELLSPACING=\"0\" CELLPADDING=\"5\" COLOR=\"%s\" BGCOLOR=\"%s\">"
		"<TR><TD><B>%s</B><BR/>",
		n->name, look->style, look->line, look->fill, n->name);
	put_small(out, "#555555", text);
	fputs("</TD></TR>", out);
	for (size_t j = 0; j < n->n_nics; j++)
		print_nic_row(t, i, j, live, out);
	fputs("</TABLE>>];\n", out);
}

static void print_network(const struct topo_network *n, FILE *out)
{
	fprintf(out,
		"\t\"net %s\" [shape=ellipse, style=filled, fillcolor=\"#eeeeec\", "
		"color=\"#888a85\", label=<<B>%s</B><BR/>",
		n->name, n->name);
	if (n->mtu != 1500) {
		char text[32];

		snprintf(text, sizeof text, "MTU %u", n->mtu);
		put_small(out, "#555555", text);
	} else {
		put_small(out, "#555555", "network");
	}
	fputs(">];\n", out);
}

static void print_port(
	const struct topology *t, const struct topo_port *port, const json_t *live, FILE *out)
{
	json_t *policy = policy_of_port(t, port);
	const json_t *now = live_port(live, port->name);
	char text[256];

	fprintf(out,
		"\t\"port %s\" [shape=house, orientation=0, style=filled, fillcolor=\"#fbe3e4\", "
		"color=\"#a40000\", label=<<B>%s</B><BR/>",
		port->name, port->name);
	snprintf(text, sizeof text, "%s %.200s", topo_port_kind_names[port->kind], port->device);
	put_small(out, "#555555", text);
	if (policy_brief(policy, text, sizeof text)[0]) {
		fputs("<BR/>", out);
		put_small(out, "#75507b", text);
	}
	if (counters(now, text, sizeof text)) {
		fputs("<BR/>", out);
		put_small(out, "#2e6f00", text);
	}
	fprintf(out, ">];\n\t\"net %s\" -- \"port %s\" [%s];\n", t->networks[port->network].name,
		port->name, link_look(live, now));
	if (port->kind == TOPO_PORT_VF || port->kind == TOPO_PORT_PF)
		fprintf(out, "\t\"port %s\" -- \"pf %s\" [color=\"#555555\"];\n", port->name,
			port->device);
	json_decref(policy);
}

static void print_pf(const struct pf_want *pf, FILE *out)
{
	char text[64];

	fprintf(out,
		"\t\"pf %s\" [shape=component, style=filled, fillcolor=\"#f3e8f5\", "
		"color=\"#75507b\", label=<<B>%s</B><BR/>",
		pf->name, pf->name);
	snprintf(text, sizeof text, "%s", pf->pci[0] ? pf->pci : pf->interface);
	put_small(out, "#555555", text);
	if (pf->attrs.num_vfs) {
		snprintf(text, sizeof text, "%u VF%s", pf->attrs.num_vfs,
			pf->attrs.num_vfs == 1 ? "" : "s");
		fputs("<BR/>", out);
		put_small(out, "#555555", text);
	}
	fputs(">];\n", out);
}

/* ---- links ---- */

/* An edge's first end is drawn left of its second. Nodes are walked in the file's order: what a
 * node shares with earlier ones is on its left, and so is a router's first network. Of those with
 * one NIC alone, which may stand anywhere, every other one stands left of its network: a star is
 * drawn around it. */
struct walk {
	bool seen[TOPO_ITEMS_MAX];     /* networks */
	size_t leaves[TOPO_ITEMS_MAX]; /* by network, so far */
};

static bool is_left(struct walk *w, const struct topo_node *n, size_t nic)
{
	size_t network = n->nics[nic].network;

	if (n->nics[nic].vf.want)
		return false;
	if (n->n_nics == 1)
		return w->leaves[network]++ % 2;
	return w->seen[network] || (n->forward && nic == 0);
}

static void print_links(
	const struct topology *t, size_t i, const json_t *live, struct walk *w, FILE *out)
{
	const struct topo_node *n = &t->nodes[i];
	bool left[TOPO_NICS_MAX];

	for (size_t j = 0; j < n->n_nics; j++) {
		left[j] = is_left(w, n, j);
		for (size_t k = 0; k < j; k++) /* one network, one side */
			if (n->nics[k].network == n->nics[j].network)
				left[j] = left[k];
	}
	for (size_t j = 0; j < n->n_nics; j++) {
		const struct topo_nic *nic = &n->nics[j];
		const char *net;
		char port[TOPO_NAME_MAX + 12];
		const char *look;

		if (nic->vf.want) {
			fprintf(out, "\t\"node %s\":n%zu:e -- \"pf %s\" [color=\"#75507b\"];\n",
				n->name, j, t->pfs->v[nic->vf.pf].name);
			continue;
		}
		net = t->networks[nic->network].name;
		look = link_look(live, live_port(live, topology_port_name(t, i, j, port)));

		if (left[j])
			fprintf(out, "\t\"net %s\" -- \"node %s\":n%zu:w [%s];\n", net, n->name, j,
				look);
		else
			fprintf(out, "\t\"node %s\":n%zu:e -- \"net %s\" [%s];\n", n->name, j, net,
				look);
		w->seen[n->nics[j].network] = true;
	}
}

/* ---- the caption ---- */

static void print_traffic(const struct topology *t, const struct topo_traffic *x, FILE *out)
{
	const struct topo_flow *f = &x->flows[0];
	char text[256], from[TOPO_NAME_MAX + 12], to[TOPO_NAME_MAX + 12];
	size_t len;

	len = (size_t)snprintf(text, sizeof text, "%s: %s to %s", x->name,
		topology_port_name(t, f->from.node, f->from.nic, from),
		topology_port_name(t, f->to.node, f->to.nic, to));
	if (x->n_flows > 1)
		len += (size_t)snprintf(
			text + len, sizeof text - len, " and %zu more", x->n_flows - 1);
	for (size_t i = 0; i < x->n_sizes && len < sizeof text; i++)
		len += (size_t)snprintf(
			text + len, sizeof text - len, "%s%u", i ? "/" : ", ", x->size[i]);
	if (len < sizeof text)
		snprintf(text + len, sizeof text - len, " B");
	fputs("<BR ALIGN=\"LEFT\"/>", out);
	put_small(out, "#555555", text);
}

static void print_caption(const struct topology *t, const json_t *live, FILE *out)
{
	const char *state = json_string_value(json_object_get(live, "state"));

	fprintf(out, "\tlabel=<<FONT POINT-SIZE=\"16\"><B>%s</B></FONT>", t->lab);
	if (state) {
		fputs(" ", out);
		put_small(out, strcmp(state, "up") ? "#cc0000" : "#2e6f00", state);
	}
	for (size_t i = 0; i < t->n_traffic && i < 8; i++)
		print_traffic(t, &t->traffic[i], out);
	if (t->n_traffic > 8) {
		fputs("<BR ALIGN=\"LEFT\"/>", out);
		put_small(out, "#555555", "and more traffic");
	}
	fputs("<BR ALIGN=\"LEFT\"/> <BR ALIGN=\"LEFT\"/>>;\n", out);
}

void graph_print(const struct topology *t, const json_t *live, FILE *out)
{
	struct walk *w = calloc(1, sizeof *w);

	fprintf(out,
		"graph \"%s\" {\n\trankdir=LR; nodesep=0.3; ranksep=0.9; pad=0.3; bgcolor=white;\n"
		"\tlabelloc=t; labeljust=l; fontname=\"" FONT "\";\n"
		"\tnode [fontname=\"" FONT "\", fontsize=13]; edge [penwidth=1.4];\n",
		t->lab);
	print_caption(t, live, out);
	for (size_t i = 0; i < t->n_networks; i++)
		print_network(&t->networks[i], out);
	for (size_t i = 0; i < t->pfs->n; i++)
		print_pf(&t->pfs->v[i], out);
	for (size_t i = 0; i < t->n_nodes; i++)
		print_node(t, i, live, out);
	for (size_t i = 0; i < t->n_nodes && w; i++)
		print_links(t, i, live, w, out);
	for (size_t i = 0; i < t->n_ports; i++)
		print_port(t, &t->ports[i], live, out);
	fputs("}\n", out);
	free(w);
}

/* ---- graphviz ---- */

int graph_svg(const char *dot, size_t len, struct err *e)
{
	FILE *pipe;
	int status;

	if (system("command -v dot >/dev/null 2>&1"))
		return err_host(e, -ENOENT,
			"there is no dot, which draws the SVG: sudo apt-get install graphviz");
	fflush(stdout);
	pipe = popen("dot -Tsvg", "we");
	if (!pipe)
		return err_set(e, -errno, "dot does not start: %s", err_str(errno));
	fwrite(dot, 1, len, pipe);
	status = pclose(pipe);
	if (status)
		return err_set(e, -EIO, "dot failed (exit status %d)",
			WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return 0;
}
