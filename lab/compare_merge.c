/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/compare_merge.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/compare.h"
#include "lab/compare_text.h"

/* ---- reading ---- */

json_t *compare_read(const char *file, struct err *e)
{
	json_error_t error;
	json_t *doc = json_load_file(file, 0, &error);
	const char *kind = compare_string(doc, "kind");
	const json_t *version = json_object_get(doc, "version");

	if (!doc && error.line < 0)
		err_request(e, -ENOENT, "cannot read %s: %s", file, error.text);
	else if (!doc)
		err_request(e, -EINVAL, "%s:%d:%d: this is no JSON: %s", file, error.line,
			error.column, error.text);
	else if (strcmp(kind, "bench") == 0)
		err_request(e, -EINVAL,
			"%s is a result of lanyard bench; lanyard report shows those of lanyard compare",
			file);
	else if (strcmp(kind, "compare") != 0)
		err_request(e, -EINVAL,
			"%s is no result of lanyard compare: its \"kind\" is %s%s%s, not \"compare\"",
			file, *kind ? "\"" : "", *kind ? kind : "missing", *kind ? "\"" : "");
	else if (json_integer_value(version) != COMPARE_VERSION)
		err_request(e, -EINVAL,
			"%s is a result of schema version %lld; this lanyard (%s) reads version %d: measure "
			"again, or read it with the lanyard that wrote it (%s)",
			file, (long long)json_integer_value(version), LANYARD_VERSION,
			COMPARE_VERSION, compare_string(doc, "lanyard"));
	else if (json_array_size(json_object_get(doc, "comparisons")) == 0)
		err_request(e, -EINVAL, "%s has no comparison that was completed%s%.300s", file,
			*compare_string(doc, "error") ? ": " : "", compare_string(doc, "error"));
	else
		return doc;
	json_decref(doc);
	return NULL;
}

/* ---- environments ---- */

/* What changes from run to run by itself, or is told better by another key. */
static const char *const passing[] = { "hugepages_free", "hugepages_by_node", "memory_kib", NULL };

static bool is_passing(const char *key)
{
	for (size_t i = 0; passing[i]; i++)
		if (strcmp(passing[i], key) == 0)
			return true;
	return false;
}

static bool same_value(const json_t *a, const json_t *b)
{
	if (json_is_real(a) && json_is_real(b)) /* a frequency that was measured */
		return fabs(json_real_value(a) - json_real_value(b)) <=
			0.001 * fabs(json_real_value(a));
	return json_equal(a, b) || ((!a || json_is_null(a)) && (!b || json_is_null(b)));
}

static void show(const json_t *v, char *out, size_t size)
{
	char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	snprintf(out, size, "%.120s", text ? text : "not known");
	free(text);
}

static void differ(const char *what, const json_t *a, const json_t *b, const char *const *files,
	size_t i, struct strs *remarks)
{
	char was[128], is[128];

	if (same_value(a, b))
		return;
	show(a, was, sizeof(was));
	show(b, is, sizeof(is));
	strs_add(remarks, "The environments differ in %s: %s in %s, %s in %s.", what, was, files[0],
		is, files[i]);
}

static void differ_machines(
	const json_t *a, const json_t *b, const char *const *files, size_t i, struct strs *remarks)
{
	const char *key, *inner;
	json_t *v, *one;

	json_object_foreach ((json_t *)a, key, v) {
		const json_t *other = json_object_get(b, key);

		if (is_passing(key))
			continue;
		if (!json_is_object(v) || !json_is_object(other)) {
			differ(key, v, other, files, i, remarks);
			continue;
		}
		json_object_foreach (v, inner, one) {
			char what[128];

			snprintf(what, sizeof(what), "%.50s: %.60s", key, inner);
			differ(what, one, json_object_get(other, inner), files, i, remarks);
		}
	}
	json_object_foreach ((json_t *)b, key, v)
		if (!json_object_get(a, key) && !is_passing(key))
			differ(key, NULL, v, files, i, remarks);
}

void compare_environments(
	json_t *const *docs, const char *const *files, size_t n, struct strs *remarks)
{
	static const char *const of_switch[] = { "version", "dpdk", "huge", "poll" };

	for (size_t i = 1; i < n; i++) {
		const json_t *sa = json_object_get(docs[0], "switch");
		const json_t *sb = json_object_get(docs[i], "switch");
		char what[64];

		differ_machines(json_object_get(docs[0], "machine"),
			json_object_get(docs[i], "machine"), files, i, remarks);
		differ("Lanyard's version", json_object_get(docs[0], "lanyard"),
			json_object_get(docs[i], "lanyard"), files, i, remarks);
		for (size_t k = 0; k < sizeof(of_switch) / sizeof(of_switch[0]); k++) {
			snprintf(what, sizeof(what), "the switch's %s", of_switch[k]);
			differ(what, json_object_get(sa, of_switch[k]),
				json_object_get(sb, of_switch[k]), files, i, remarks);
		}
		if (!json_equal(json_object_get(docs[0], "placement"),
			    json_object_get(docs[i], "placement")))
			strs_add(remarks,
				"The environments differ in placement: who runs on which CPU is not the "
				"same in %s and %s.",
				files[0], files[i]);
		if (!json_equal(json_object_get(docs[0], "topology"),
			    json_object_get(docs[i], "topology")))
			strs_add(remarks, "The topologies of %s and %s are not the same.", files[0],
				files[i]);
	}
}

/* ---- merging ---- */

/* "A" of "results/A.json"; all the same: the number besides. */
static void label_of(const char *const *files, size_t n, size_t i, char *out, size_t size)
{
	const char *base = strrchr(files[i], '/') ? strrchr(files[i], '/') + 1 : files[i];
	size_t len = strlen(base);
	bool twice = false;

	for (size_t k = 0; k < n; k++) {
		const char *other = strrchr(files[k], '/') ? strrchr(files[k], '/') + 1 : files[k];

		twice |= k != i && strcmp(base, other) == 0;
	}
	if (len > 5 && strcmp(base + len - 5, ".json") == 0)
		len -= 5;
	if (twice)
		snprintf(out, size, "%.*s, %zu", (int)(len > 40 ? 40 : len), base, i + 1);
	else
		snprintf(out, size, "%.*s", (int)(len > 48 ? 48 : len), base);
}

static void rename_to(json_t *o, const char *key, const char *label)
{
	char name[128];

	snprintf(name, sizeof(name), "%.50s (%.60s)", compare_string(o, key), label);
	json_object_set_new(o, key, json_string(name));
}

static json_t *find_comparison(const json_t *doc, const json_t *like)
{
	json_t *c;
	size_t i;

	json_array_foreach (json_object_get(doc, "comparisons"), i, c)
		if (strcmp(compare_string(c, "name"), compare_string(like, "name")) == 0 &&
			strcmp(compare_string(c, "frame"), compare_string(like, "frame")) == 0)
			return c;
	return NULL;
}

/* Copies of the paths of a comparison, with the result's label, to `paths`. */
static void add_paths(json_t *paths, const json_t *c, const char *label)
{
	const json_t *path;
	size_t i;

	json_array_foreach (json_object_get(c, "paths"), i, path) {
		json_t *copy = json_deep_copy(path);

		json_object_set_new(copy, "was", json_string(compare_string(path, "path")));
		rename_to(copy, "path", label);
		json_array_append_new(paths, copy);
	}
}

/* Each path of the later results against that of its name in the first, or its first one. */
static json_t *against_first(const json_t *merged, size_t n_first)
{
	const json_t *paths = json_object_get(merged, "paths");
	json_t *all = json_array();

	for (size_t i = n_first; i < json_array_size(paths); i++) {
		const char *was = compare_string(json_array_get(paths, i), "was");
		size_t base = 0;

		for (size_t k = n_first; k-- > 0;)
			if (strcmp(compare_string(json_array_get(paths, k), "was"), was) == 0)
				base = k;
		json_array_append_new(all, compare_pair(merged, base, i, false));
	}
	return all;
}

static json_t *merge_comparison(
	json_t *const *docs, const char *const *files, size_t n, const json_t *first)
{
	json_t *merged = json_deep_copy(first), *paths = json_array(), *path;
	size_t found = 0, n_first = json_array_size(json_object_get(first, "paths")), i;
	char label[64];

	for (size_t k = 0; k < n; k++) {
		const json_t *c = k ? find_comparison(docs[k], first) : first;

		label_of(files, n, k, label, sizeof(label));
		if (c)
			add_paths(paths, c, label);
		found += c && k;
	}
	json_object_set_new(merged, "paths", paths);
	if (!found) {
		json_decref(merged);
		return NULL;
	}
	json_object_set_new(merged, "against", against_first(merged, n_first));
	json_array_foreach (paths, i, path)
		json_object_del(path, "was");
	return merged;
}

json_t *compare_merge(json_t *const *docs, const char *const *files, size_t n, struct err *e)
{
	json_t *out = json_deep_copy(docs[0]), *comparisons = json_array(), *paths = json_array();
	const json_t *c, *path;
	size_t i;

	json_array_foreach (json_object_get(docs[0], "comparisons"), i, c) {
		json_t *merged = merge_comparison(docs, files, n, c);

		if (merged)
			json_array_append_new(comparisons, merged);
	}
	for (size_t k = 0; k < n; k++) {
		char label[64];

		label_of(files, n, k, label, sizeof(label));
		json_array_foreach (json_object_get(docs[k], "paths"), i, path) {
			json_t *copy = json_deep_copy(path);

			rename_to(copy, "name", label);
			json_array_append_new(paths, copy);
		}
	}
	json_object_set(out, "comparisons", comparisons);
	json_object_set_new(out, "paths", paths);
	i = json_array_size(comparisons);
	json_decref(comparisons);
	if (i)
		return out;
	json_decref(out);
	err_request(e, -ENOENT,
		"%s and the other results have no traffic of one name and frame size in common: there is "
		"nothing to compare",
		files[0]);
	return NULL;
}
