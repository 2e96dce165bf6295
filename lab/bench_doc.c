/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON document of a bench. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "lab/bench_cmd.h"
#include "lab/doctor.h"

const char *bench_text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "unknown";
}

static json_t *guests_json(const struct bench_cmd *b)
{
	json_t *j = json_object();

	for (size_t i = 0; b->env.hello && i < b->t->n_nodes; i++)
		if (b->env.hello[i])
			json_object_set_new(j, b->t->nodes[i].name,
				json_pack("{s:s, s:s}", "guest",
					bench_text(b->env.hello[i], "guest"), "version",
					bench_text(b->env.hello[i], "version")));
	return j;
}

static json_t *placement_json(const struct bench_cmd *b)
{
	json_t *list = json_array();

	for (size_t i = 0; b->lab && i < b->lab->n_cpus; i++)
		json_array_append_new(list,
			json_pack("{s:s, s:i}", "who", b->lab->cpus[i].who, "cpu",
				b->lab->cpus[i].cpu));
	return list;
}

static json_t *topology_json(const struct bench_cmd *b)
{
	char path[LAB_PATH_MAX];
	const char *file = b->own_topology ? b->own_topology->file : NULL;

	if (!file)
		file = b->lab ? lab_file(b->lab, path, "topology.json") : "";
	json_t *j = json_load_file(file, 0, NULL);
	return j ? j : json_null();
}

static json_t *machine_json(const struct bench_cmd *b)
{
	json_t *m = report_machine("");

	json_object_set_new(m, "tsc_hz", report_number(b->env.tsc_hz > 0 ? b->env.tsc_hz : NAN));
	return m;
}

json_t *bench_doctor(const struct topology *t, const struct lab_cpu *cpus, size_t n_cpus)
{
	struct doctor_finding f[DOCTOR_MAX + 1];
	struct vitals *v = malloc(sizeof(*v));
	struct host *h = malloc(sizeof(*h));
	json_t *list = json_array();
	size_t n = 0;

	if (v && h) {
		host_read("", h);
		vitals_read("", v);
		n = doctor_examine(h, v, f);
		n += doctor_siblings(h, cpus, n_cpus, &f[n]);
	}
	for (size_t i = 0; i < n; i++)
		if (f[i].field == DOCTOR_FIGURES && f[i].verdict != DOCTOR_GOOD &&
			(strcmp(f[i].name, DOCTOR_BRIDGE_FILTER) != 0 || topology_has_bridge(t)))
			json_array_append_new(list, doctor_json(&f[i]));
	free(v);
	free(h);
	return list;
}

json_t *bench_document_head(const struct bench_cmd *b, const char *kind, const struct err *e)
{
	json_t *j = json_object(), *warnings = json_array();
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%FT%TZ", gmtime_r(&b->began, &tm));
	for (size_t i = 0; b->lab && i < b->lab->n_warnings; i++)
		json_array_append_new(warnings, json_string(b->lab->warnings[i]));
	json_object_set_new(j, "version", json_integer(REPORT_VERSION));
	json_object_set_new(j, "kind", json_string(kind));
	json_object_set_new(j, "lab", json_string(b->t->lab));
	json_object_set_new(j, "began", json_string(when));
	json_object_set_new(
		j, "took_s", report_number((double)(clock_now_ns() - b->began_ns) / 1e9));
	json_object_set_new(j, "complete", json_boolean(!e));
	json_object_set_new(j, "error", e ? json_string(e->text) : json_null());
	json_object_set_new(j, "lanyard", json_string(LANYARD_VERSION));
	json_object_set_new(j, "machine", machine_json(b));
	json_object_set_new(j, "doctor", b->doctor ? json_incref(b->doctor) : json_null());
	json_object_set_new(j, "switch", b->env.info ? json_incref(b->env.info) : json_null());
	json_object_set_new(j, "guests", guests_json(b));
	json_object_set_new(j, "placement", placement_json(b));
	json_object_set_new(j, "warnings", warnings);
	json_object_set_new(j, "options",
		json_pack("{s:i, s:o, s:s?}", "rounds", (int)b->opts.rounds, "seconds",
			report_number(b->opts.seconds > 0 ? b->opts.seconds : NAN), "only",
			b->opts.only));
	json_object_set_new(j, "topology", topology_json(b));
	return j;
}

json_t *bench_document(const struct bench_cmd *b, const struct err *e)
{
	json_t *j = bench_document_head(b, "bench", e);

	json_object_set_new(j, "missed", json_integer((json_int_t)b->n_missed));
	json_object_set(j, "trials", b->trials);
	json_object_set(j, "searches", b->searches);
	json_object_set(j, "tcp", b->tcp);
	json_object_set_new(j, "networks", b->networks ? json_incref(b->networks) : json_null());
	return j;
}
