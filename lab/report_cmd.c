/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lanyard report`: shows results of `lanyard compare` again; of several, what differs between
 * them, and between the environments that they were measured in. No root, no lab.
 */
#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "lab/bench.h"
#include "lab/bench_cmd.h"
#include "lab/chart.h"
#include "lab/compare.h"
#include "lab/compare_merge.h"
#include "lab/compare_text.h"
#include "lab/page.h"

#define FILES_MAX 8

struct report_cmd {
	const char *file[FILES_MAX], *html, *json;
	json_t *doc[FILES_MAX];
	size_t n;
	int html_fd, json_fd;
};

static const struct argp_option option_rows[] = {
	{ "html", 'H', "FILE", 0,
		"Write one HTML page, with charts (needs gnuplot, package gnuplot-nox); -: to stdout",
		0 },
	{ "json", 'j', "FILE", 0, "Write what is shown as JSON (docs/results.md); -: to stdout",
		0 },
	{ 0 },
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct report_cmd *r = state->input;

	switch (key) {
	case 'H':
		r->html = arg;
		return 0;
	case 'j':
		r->json = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (r->n == FILES_MAX)
			argp_error(state, "%d results at most can be compared", FILES_MAX);
		r->file[r->n++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!r->n)
			argp_error(state, "RESULT.json is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_rows,
	.parser = parse_one,
	.args_doc = "RESULT.json [RESULT.json ...]",
	.doc = "Show results of lanyard compare again, as a table and as an HTML page. Of several, each "
	       "is compared with the first, and it is said in what the environments differ.\v"
	       "Example: lanyard report before.json after.json --html report.html",
};

static void print_all(const json_t *doc, const struct strs *remarks, FILE *out)
{
	const json_t *m = json_object_get(doc, "machine"), *c;
	unsigned width = bench_width(out);
	size_t i;

	fprintf(out, "lab %s: %s, %.0f CPUs, Linux %s; %s\n", compare_string(doc, "lab"),
		compare_string(m, "cpu_model"), compare_number(m, "cpus"),
		compare_string(m, "kernel"), compare_string(doc, "began"));
	if (!json_is_true(json_object_get(doc, "complete")))
		fprintf(out, "  ! not complete: %s\n", compare_string(doc, "error"));
	for (i = 0; i < remarks->n; i++)
		report_wrap(out, width, 8, "  ! ", remarks->v[i]);
	json_array_foreach (json_object_get(doc, "comparisons"), i, c)
		compare_print_comparison(c, out, width);
	compare_print_end(json_object_get(doc, "comparisons"), out, width);
}

static int report(struct report_cmd *r, struct err *e)
{
	struct strs remarks = { 0 };
	char *html = NULL;
	json_t *doc = NULL;
	FILE *out = stdout;
	int rc = 0;

	for (size_t i = 0; i < r->n; i++)
		if (!(r->doc[i] = compare_read(r->file[i], e)))
			return e->code;
	doc = r->n > 1 ? compare_merge(r->doc, r->file, r->n, e) : json_incref(r->doc[0]);
	if (!doc)
		return e->code;
	compare_environments(r->doc, r->file, r->n, &remarks);
	if (r->html)
		rc = page_make(doc, &remarks, &html, e);
	if (!rc)
		rc = bench_open_out(r->html, &r->html_fd, e);
	if (!rc)
		rc = bench_open_out(r->json, &r->json_fd, e);
	if (rc)
		goto out;
	if ((r->html && strcmp(r->html, "-") == 0) || (r->json && strcmp(r->json, "-") == 0))
		out = stderr;
	if (html)
		rc = bench_write_out(r->html, r->html_fd, html, strlen(html), e);
	if (!rc && r->json)
		rc = bench_write_json(r->json, r->json_fd, doc, e);
	if (!rc)
		print_all(doc, &remarks, out);
out:
	strs_free(&remarks);
	json_decref(doc);
	free(html);
	return rc;
}

int lab_cmd_report(int argc, char **argv)
{
	struct report_cmd r = { .html_fd = -1, .json_fd = -1 };
	struct err e = { 0 };
	int status = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &r);
	if (report(&r, &e))
		status = lab_fail(&e);
	for (size_t i = 0; i < r.n; i++)
		json_decref(r.doc[i]);
	fd_close(&r.html_fd);
	fd_close(&r.json_fd);
	return status;
}
