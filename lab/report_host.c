/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that figures were taken on: without it they say little. */
#include <stdlib.h>
#include <string.h>

#include "lab/report.h"
#include "lab/vitals.h"

static json_t *text_or_null(const char *s)
{
	return s[0] ? json_string(s) : json_null();
}

static json_t *number_or_null(int64_t n)
{
	return n >= 0 ? json_integer(n) : json_null();
}

static json_t *flaws_json(const struct vitals *v)
{
	json_t *j = json_object();

	for (size_t i = 0; i < v->n_flaws; i++)
		json_object_set_new(j, v->flaws[i].name, json_string(v->flaws[i].state));
	return j;
}

static json_t *nics_json(const struct vitals *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->n_nics; i++) {
		const struct vitals_nic *n = &v->nics[i];

		json_array_append_new(list,
			json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "interface", n->name, "device",
				text_or_null(n->pci), "driver", text_or_null(n->driver), "firmware",
				text_or_null(n->firmware), "numa_node",
				number_or_null(n->numa_node), "speed_mbps",
				number_or_null(n->speed_mbps)));
	}
	return list;
}

static json_t *pages_json(const struct vitals *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->n_nodes; i++)
		json_array_append_new(list, json_integer((json_int_t)v->node_pages[i]));
	return list;
}

static void set_cpus(json_t *j, const struct vitals *v)
{
	static const char *const turbo[] = { [TURBO_OFF] = "off", [TURBO_ON] = "on" };

	json_object_set_new(j, "cpu_model", text_or_null(v->cpu_model));
	json_object_set_new(j, "cpus", v->n_online ? json_integer(v->n_online) : json_null());
	json_object_set_new(j, "governor", text_or_null(v->governors));
	json_object_set_new(j, "turbo", v->turbo ? json_string(turbo[v->turbo]) : json_null());
	json_object_set_new(j, "isolated", text_or_null(v->isolated));
	json_object_set_new(j, "nohz_full", text_or_null(v->nohz_full));
	json_object_set_new(j, "smt", v->smt < 0 ? json_null() : json_boolean(v->smt));
	json_object_set_new(j, "constant_tsc", json_boolean(v->constant_tsc && v->nonstop_tsc));
	json_object_set_new(j, "clocksource", text_or_null(v->clocksource));
	json_object_set_new(j, "virtual", json_boolean(v->virtual));
	json_object_set_new(j, "mitigations", flaws_json(v));
}

json_t *report_machine(const char *root)
{
	struct vitals *v = malloc(sizeof(*v));
	json_t *j = json_object();

	if (!v)
		return j;
	vitals_read(root, v);
	set_cpus(j, v);
	json_object_set_new(j, "kernel", text_or_null(v->kernel));
	json_object_set_new(j, "memory_kib", number_or_null(v->memory_kib));
	json_object_set_new(j, "hugepage_kib", number_or_null(v->hugepage_kib));
	json_object_set_new(j, "hugepages", number_or_null(v->hugepages));
	json_object_set_new(j, "hugepages_free", number_or_null(v->hugepages_free));
	json_object_set_new(j, "hugepages_by_node", pages_json(v));
	json_object_set_new(j, "iommu",
		json_pack("{s:i, s:o, s:b}", "groups", v->n_groups, "types",
			text_or_null(v->iommu_types), "vfio_without_iommu", v->vfio_noiommu));
	json_object_set_new(j, "nics", nics_json(v));
	free(v);
	return j;
}
