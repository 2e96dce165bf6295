/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/graph.h"

#include "base/units.h"
#include "lab/policy.h"

static void print_node(const struct topo_node *n, FILE *out)
{
	char memory[16];

	if (n->kind == TOPO_VM)
		fprintf(out,
			"\t\"node %s\" [label=\"%s\\nVM, %u vCPU%s, %s\", shape=box, "
			"style=rounded];\n",
			n->name, n->name, n->vcpus, n->vcpus == 1 ? "" : "s",
			units_format_size(n->memory, memory));
	else
		fprintf(out,
			"\t\"node %s\" [label=\"%s\\n%s\", shape=box, style=\"rounded,%s\"];\n",
			n->name, n->name, n->kind == TOPO_EXTERNAL ? "external" : "process",
			n->kind == TOPO_EXTERNAL ? "dashed" : "filled");
}

static void print_nic(const struct topology *t, size_t i, size_t j, FILE *out)
{
	const struct topo_nic *nic = &t->nodes[i].nics[j];
	char port[TOPO_NAME_MAX + 12], text[256];
	json_t *policy = policy_of_nic(t, nic, topology_port_name(t, i, j, port));

	policy_brief(policy, text, sizeof text);
	fprintf(out, "\t\"node %s\" -- \"net %s\" [label=\"%zu%s%s\"];\n", t->nodes[i].name,
		t->networks[nic->network].name, j, text[0] ? ": " : "", text);
	json_decref(policy);
}

static void print_port(const struct topology *t, const struct topo_port *port, FILE *out)
{
	json_t *policy = policy_of_port(t, port);
	char text[256];

	fprintf(out, "\t\"port %s\" [label=\"%s\\n%s %s\", shape=house];\n", port->name, port->name,
		topo_port_kind_names[port->kind], port->device);
	fprintf(out, "\t\"port %s\" -- \"net %s\" [label=\"%s\"];\n", port->name,
		t->networks[port->network].name, policy_brief(policy, text, sizeof text));
	json_decref(policy);
}

void graph_print(const struct topology *t, FILE *out)
{
	fprintf(out,
		"graph \"%s\" {\n\tlayout=neato; overlap=false; splines=true;\n"
		"\tnode [fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];\n",
		t->lab);
	for (size_t i = 0; i < t->n_networks; i++)
		fprintf(out,
			"\t\"net %s\" [label=\"%s\\nMTU %u\", shape=ellipse, style=filled, "
			"fillcolor=lightgrey];\n",
			t->networks[i].name, t->networks[i].name, t->networks[i].mtu);
	for (size_t i = 0; i < t->n_nodes; i++)
		print_node(&t->nodes[i], out);
	for (size_t i = 0; i < t->n_nodes; i++) {
		for (size_t j = 0; j < t->nodes[i].n_nics; j++)
			print_nic(t, i, j, out);
	}
	for (size_t i = 0; i < t->n_ports; i++)
		print_port(t, &t->ports[i], out);
	for (size_t i = 0; i < t->n_traffic; i++) {
		const struct topo_traffic *tr = &t->traffic[i];

		fprintf(out, "\t// traffic \"%s\": %zu flow%s\n", tr->name, tr->n_flows,
			tr->n_flows == 1 ? "" : "s");
	}
	fputs("}\n", out);
}
