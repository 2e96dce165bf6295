/* SPDX-License-Identifier: Apache-2.0 */
/* words: what a shell may complete an argument to, a word each: the labs that are up, and parts of
 * them. Says nothing of errors: nobody reads them while a word is typed. */
#include <stdio.h>
#include <string.h>

#include "lab/cmd.h"
#include "lab/lab.h"

static void print_nodes(const struct lab *l, bool with_nics)
{
	const struct topology *t = l->topology;
	char port[TOPO_NAME_MAX + 12];

	for (size_t i = 0; i < t->n_nodes; i++) {
		if (!with_nics)
			printf("%s/%s\n", l->name, t->nodes[i].name);
		for (size_t j = 0; with_nics && j < t->nodes[i].n_nics; j++)
			printf("%s/%s\n", l->name, topology_port_name(t, i, j, port));
	}
	for (size_t i = 0; with_nics && i < t->n_ports; i++)
		printf("%s/%s\n", l->name, t->ports[i].name);
}

/* The argument as usage lines have it: "LAB", "LAB/NODE", "LAB/PORT", "LAB[/PART]". */
int cmd_words(const struct cmd_args *a)
{
	const char *kind = a->arg[0];
	struct strs names = { 0 };

	lab_list(&names);
	for (size_t i = 0; i < names.n; i++) {
		struct lab *l = NULL;

		if (!strstr(kind, "LAB/NODE") && !strstr(kind, "LAB/PORT"))
			puts(names.v[i]);
		if (strchr(kind, '/') && lab_open(names.v[i], &l, NULL) == 0) {
			if (strstr(kind, "PART"))
				printf("%s/switch\n", l->name);
			print_nodes(l, strstr(kind, "PORT"));
		}
		lab_free(l);
	}
	strs_free(&names);
	return 0;
}
