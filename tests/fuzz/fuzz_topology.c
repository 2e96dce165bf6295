/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a topology file: a model or an error with a place, never a crash or a leak. */
#include <stdlib.h>
#include <string.h>

#include "config/topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct topology *t;
	struct err e = { 0 };

	if (topology_parse("f", (const char *)data, size, &t, &e) == 0) {
		/* A model that is said to be good holds what its readers rely on. */
		for (size_t i = 0; i < t->n_nodes; i++)
			for (size_t j = 0; j < t->nodes[i].n_nics; j++)
				if (t->nodes[i].nics[j].network >= t->n_networks)
					abort();
		for (size_t i = 0; i < t->n_traffic; i++)
			if (!t->traffic[i].n_flows || !t->traffic[i].n_sizes)
				abort();
		topology_free(t);
	} else if (t || e.class != ERR_REQUEST || strncmp(e.text, "f:", 2) != 0) {
		abort();
	}
	return 0;
}
