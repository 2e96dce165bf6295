/* SPDX-License-Identifier: Apache-2.0 */
/* validate, plan, graph, schema: they read, and change nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"
#include "lab/check.h"
#include "lab/cmd.h"
#include "lab/graph.h"
#include "lab/lab.h"
#include "lab/plan.h"
#include "lab/record.h"
#include "lab/status.h"
#include "lab/vf.h"

int cmd_validate(const struct cmd_args *a)
{
	struct topology *t;
	struct err e = { 0 };
	size_t links = 0;

	if (topology_load(a->arg[0], &t, &e))
		return lab_fail(&e);
	for (size_t i = 0; i < t->n_nodes; i++)
		links += t->nodes[i].n_nics;
	if (a->given & CMD_JSON)
		cmd_print_json(json_pack("{s:i, s:s, s:b, s:i, s:i, s:i, s:i}", "version", 1, "lab",
			t->lab, "valid", 1, "nodes", (int)t->n_nodes, "networks",
			(int)t->n_networks, "links", (int)links, "traffic", (int)t->n_traffic));
	else
		printf("%s: lab %s is valid: %zu node%s, %zu network%s, %zu link%s, %zu traffic "
		       "entr%s\n",
			t->file, t->lab, t->n_nodes, t->n_nodes == 1 ? "" : "s", t->n_networks,
			t->n_networks == 1 ? "" : "s", links, links == 1 ? "" : "s", t->n_traffic,
			t->n_traffic == 1 ? "y" : "ies");
	topology_free(t);
	return 0;
}

/* What becomes of each VF, below its PF's line. */
static void print_vfs(const struct step *s)
{
	struct strs lines = { 0 };

	if (s->kind == STEP_PF)
		vf_lines(s, &lines);
	for (size_t i = 0; i < lines.n; i++)
		printf("       %s\n", lines.v[i]);
	strs_free(&lines);
}

static void print_plan(const struct plan *p, const struct err *why)
{
	char does[LAB_PATH_MAX + 128], undo[LAB_PATH_MAX + 128];
	int width = 0;

	for (size_t i = 0; i < p->n_steps; i++) {
		int n = (int)strlen(step_describe(&p->steps[i], does, sizeof does));

		width = n > width && n <= 48 ? n : width;
	}
	printf("lab %s\n\n  #  %-*s  undone by\n", p->lab, width, "step");
	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];

		printf("%3zu  %-*s  %s\n", i + 1, width, step_describe(s, does, sizeof does),
			step_describe_undo(s, undo, sizeof undo));
		print_vfs(s);
	}
	puts("\nCPUs");
	for (size_t i = 0; i < p->place.n; i++)
		printf("%5d  %s\n", p->place.cpus[i].cpu, p->place.cpus[i].who);
	for (size_t i = 0; i < p->warnings.n; i++)
		printf("%swarning: %s\n", i ? "" : "\n", p->warnings.v[i]);
	if (why->code)
		printf("\nhere `up` would fail: %s\n", why->text);
}

/* Of a lab that is up from this file. */
static void print_changes(const char *lab, const struct strs *changes, const struct err *why)
{
	if (changes->n)
		printf("lab %s is up; `up` would change it:\n", lab);
	else if (!why->code)
		printf("lab %s is up as the file says: nothing to do\n", lab);
	for (size_t i = 0; i < changes->n; i++)
		printf("%3zu  %s\n", i + 1, changes->v[i]);
	if (why->code)
		printf("%shere `up` would fail: %s\n", changes->n ? "\n" : "", why->text);
}

static int print_plan_json(const struct plan *p, const struct strs *changes, const struct err *why)
{
	json_t *j = record_to_json(p), *step;
	char text[LAB_PATH_MAX + 128];
	size_t i;

	json_object_del(j, "up_since_s");
	json_array_foreach (json_object_get(j, "steps"), i, step) {
		const struct step *s = &p->steps[i];

		json_object_set_new(step, "does", json_string(step_describe(s, text, sizeof text)));
		json_object_set_new(
			step, "undone_by", json_string(step_describe_undo(s, text, sizeof text)));
		json_object_del(step, "state");
	}
	json_object_set_new(j, "changes", changes ? cmd_strs_json(changes) : json_null());
	json_object_set_new(j, "would_fail", why->code ? json_string(why->text) : json_null());
	return cmd_print_json(j);
}

int cmd_plan(const struct cmd_args *a)
{
	struct plan p = { 0 };
	struct err e = { 0 }, why = { 0 };
	struct topology *t = NULL;
	struct strs changes = { 0 };
	struct paths paths;
	struct host host;
	bool up = false;
	int status = 0;

	paths_read(&paths);
	host_read("", &host);
	if (topology_load(a->arg[0], &t, &e))
		return lab_fail(&e);
	lab_mark_taken(&host, t->lab);
	host_see_pfs(&host, t);
	if (plan_make(t, &host, &paths, &p, &e)) {
		status = lab_fail(&e);
		goto out;
	}
	if (!lab_compare(t, &up, &changes, &why) && !up)
		check_host(t, &p, &paths, &host, &why);
	if (a->given & CMD_JSON)
		status = print_plan_json(&p, up ? &changes : NULL, &why);
	else if (up)
		print_changes(t->lab, &changes, &why);
	else
		print_plan(&p, &why);
out:
	strs_free(&changes);
	plan_clear(&p);
	topology_free(t);
	return status;
}

/* A file is drawn with what its lab says, if that is up; a lab that is up, from its copy. */
int cmd_graph(const struct cmd_args *a)
{
	bool is_file = lab_arg_is_file(a->arg[0]);
	struct topology *own = NULL;
	struct lab *lab = NULL;
	struct err e = { 0 };
	json_t *live = NULL;
	char *dot = NULL;
	size_t len = 0;
	FILE *out;
	int rc = is_file ? topology_load(a->arg[0], &own, &e) : lab_open(a->arg[0], &lab, &e);

	if (rc)
		return lab_fail(&e);
	live = status_lab(own ? own->lab : lab->name, NULL);
	out = open_memstream(&dot, &len);
	if (!out)
		return 1;
	graph_print(own ? own : lab->topology, live, out);
	fclose(out);
	if (a->given & CMD_SVG)
		rc = graph_svg(dot, len, &e);
	else
		fwrite(dot, 1, len, stdout);
	free(dot);
	json_decref(live);
	topology_free(own);
	lab_free(lab);
	return rc ? lab_fail(&e) : 0;
}

int cmd_schema(const struct cmd_args *a)
{
	struct err e = { 0 };
	json_t *schema = schema_make(&e);

	return schema ? cmd_print_json(schema) : lab_fail(&e);
}

json_t *cmd_strs_json(const struct strs *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(a, json_string(l->v[i]));
	return a;
}

int cmd_print_json(json_t *j)
{
	int r = j ? json_dumpf(j, stdout, JSON_INDENT(2)) : -1;

	json_decref(j);
	putchar('\n');
	if (r || fflush(stdout)) {
		fputs("lanyard: the JSON could not be written\n", stderr);
		return 1;
	}
	return 0;
}

int cmd_version(const struct cmd_args *a)
{
	if (a->given & CMD_JSON)
		return cmd_print_json(json_pack("{s:s}", "version", LANYARD_VERSION));
	puts("lanyard " LANYARD_VERSION);
	return 0;
}
