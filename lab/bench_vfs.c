/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/bench_vfs.h"

#include <stdio.h>
#include <stdlib.h>

#include "lab/sysroot.h"
#include "sriov/sriov.h"

static void add_users(
	const struct topology *t, size_t pf, const struct sriov_pf *counted, json_t *vfs)
{
	char name[TOPO_NAME_MAX + 12];

	for (size_t n = 0; n < t->n_nodes; n++) {
		for (size_t i = 0; i < t->nodes[n].n_nics; i++) {
			const struct topo_vf *is = &t->nodes[n].nics[i].vf;
			const struct sriov_vf *vf;

			if (!is->want || is->pf != pf)
				continue;
			vf = sriov_vf_find(counted, is->index);
			if (!vf || !vf->has_stats)
				continue;
			json_object_set_new(vfs, topology_port_name(t, n, i, name),
				json_pack("{s:I, s:I}", "rx_dropped",
					(json_int_t)vf->stats.rx_dropped, "tx_dropped",
					(json_int_t)vf->stats.tx_dropped));
		}
	}
}

void bench_vfs_add(const struct topology *t, json_t *stats)
{
	json_t *vfs = json_object();
	struct sriov_world w;

	if (!t->pfs->n || sriov_world_open(&w, sysroot(), NULL, NULL)) {
		json_decref(vfs);
		return;
	}
	for (size_t i = 0; i < t->pfs->n; i++) {
		const struct pf_want *pf = &t->pfs->v[i];
		char addr[PFS_ADDR_LEN];
		struct sriov_pf counted;

		if (sriov_find(&w, pf->pci[0] ? pf->pci : pf->interface, addr, NULL) ||
			sriov_count(&w, addr, &counted, NULL))
			continue;
		add_users(t, i, &counted, vfs);
		free(counted.vfs);
	}
	sriov_world_close(&w);
	json_object_set_new(stats, "vfs", vfs);
}
