/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/graph.h"

#include "base/units.h"

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
			fprintf(out, "\t\"node %s\" -- \"net %s\" [label=\"%zu\"];\n",
				t->nodes[i].name, t->networks[t->nodes[i].nics[j].network].name, j);
	}
	for (size_t i = 0; i < t->n_traffic; i++) {
		const struct topo_traffic *tr = &t->traffic[i];

		fprintf(out, "\t// traffic \"%s\": %zu flow%s\n", tr->name, tr->n_flows,
			tr->n_flows == 1 ? "" : "s");
	}
	fputs("}\n", out);
}
