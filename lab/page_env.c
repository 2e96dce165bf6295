/* SPDX-License-Identifier: Apache-2.0 */
/* What the figures depend on: machine, doctor's remarks; how they were taken, and can be again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/page_own.h"

/* A value as people read it; "" if there is none. */
static void put_value(struct page *p, const json_t *v)
{
	const char *key;
	json_t *one;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_STRING:
		page_put(p, json_string_value(v));
		break;
	case JSON_INTEGER:
		page_putf(p, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		page_putf(p, "%.10g", json_real_value(v));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		page_put(p, json_is_true(v) ? "yes" : "no");
		break;
	case JSON_ARRAY:
		json_array_foreach (v, i, one) {
			page_put(p, i ? ", " : "");
			put_value(p, one);
		}
		break;
	case JSON_OBJECT:
		i = 0;
		json_object_foreach ((json_t *)v, key, one) {
			if (json_is_null(one))
				continue;
			page_putf(p, "%s%s: ", i++ ? "; " : "", key);
			put_value(p, one);
		}
		break;
	default:
		page_put(p, "not known");
	}
}

/* The fingerprint's keys in words, in this order. */
static const struct {
	const char *key, *name;
} machine_rows[] = {
	{ "cpu_model", "CPU" },
	{ "cpus", "CPUs online" },
	{ "smt", "SMT siblings at work" },
	{ "governor", "Frequency governor" },
	{ "turbo", "Turbo" },
	{ "isolated", "Isolated CPUs" },
	{ "nohz_full", "Tickless CPUs" },
	{ "tsc_hz", "TSC, Hz" },
	{ "constant_tsc", "TSC constant" },
	{ "clocksource", "Clock source" },
	{ "virtual", "Is a guest itself" },
	{ "kernel", "Kernel" },
	{ "mitigations", "Mitigations" },
	{ "memory_kib", "Memory, KiB" },
	{ "hugepage_kib", "Hugepage, KiB" },
	{ "hugepages", "Hugepages" },
	{ "hugepages_free", "Hugepages free" },
	{ "hugepages_by_node", "Hugepages by NUMA node" },
	{ "iommu", "IOMMU" },
	{ "nics", "NICs" },
};

static void put_row(struct page *p, const char *name, const json_t *v)
{
	fputs("<dt>", p->out);
	page_put(p, name);
	fputs("</dt><dd>", p->out);
	if (json_is_array(v) && json_array_size(v) == 0)
		page_put(p, "none");
	else
		put_value(p, v);
	fputs("</dd>\n", p->out);
}

static void put_machine(struct page *p)
{
	const json_t *m = json_object_get(p->doc, "machine"), *sw;

	fputs("<dl>\n", p->out);
	for (size_t i = 0; i < sizeof(machine_rows) / sizeof(machine_rows[0]); i++) {
		const json_t *v = json_object_get(m, machine_rows[i].key);

		if (v && !json_is_null(v))
			put_row(p, machine_rows[i].name, v);
	}
	sw = json_object_get(p->doc, "switch");
	if (json_is_object(sw)) {
		fputs("<dt>Switch</dt><dd>", p->out);
		page_putf(p, "lanyard-switch %s, %s, %s", compare_string(sw, "version"),
			compare_string(sw, "dpdk"),
			json_is_true(json_object_get(sw, "huge")) ? "huge pages" : "no huge pages");
		fputs("</dd>\n", p->out);
	}
	put_row(p, "Lanyard", json_object_get(p->doc, "lanyard"));
	fputs("</dl>\n", p->out);
}

static void put_placement(struct page *p)
{
	const json_t *one;
	size_t i;

	fputs("<h3>Who runs on which CPU</h3>\n<p>", p->out);
	json_array_foreach (json_object_get(p->doc, "placement"), i, one)
		page_putf(p, "%s%s on %lld", i ? ", " : "", compare_string(one, "who"),
			(long long)json_integer_value(json_object_get(one, "cpu")));
	fputs("</p>\n", p->out);
}

static void put_doctor(struct page *p)
{
	const json_t *list = json_object_get(p->doc, "doctor"), *f;
	size_t i;

	fputs("<h3>What doctor holds against figures of this host</h3>\n", p->out);
	if (json_array_size(list) == 0) {
		fputs("<p>Nothing.</p>\n", p->out);
		return;
	}
	fputs("<div class=\"wide\"><table><thead><tr><th>What</th><th>Found</th><th>Why it matters</th>"
	      "<th>What mends it</th></tr></thead><tbody>\n",
		p->out);
	json_array_foreach (list, i, f) {
		fputs("<tr><th>", p->out);
		page_put(p, compare_string(f, "name"));
		fputs("</th><td>", p->out);
		page_put(p, compare_string(f, "found"));
		fputs("</td><td>", p->out);
		page_put(p, compare_string(f, "why"));
		fputs("</td><td><code>", p->out);
		page_put(p, compare_string(f, "mend"));
		fputs("</code></td></tr>\n", p->out);
	}
	fputs("</tbody></table></div>\n", p->out);
}

/* Warnings of trials: each load's, under its name. */
static void put_warnings(struct page *p)
{
	const json_t *c, *path, *load, *w;
	size_t i, k, m, n, count = 0;
	char frame[COMPARE_CELL];

	json_array_foreach (json_object_get(p->doc, "comparisons"), i, c)
		json_array_foreach (json_object_get(c, "paths"), k, path)
			json_array_foreach (json_object_get(path, "loads"), m, load)
				count += json_array_size(json_object_get(load, "warnings"));
	if (!count && json_array_size(json_object_get(p->doc, "warnings")) == 0)
		return;
	fputs("<h3>What disturbed the measurement</h3>\n<ul class=\"warn\">\n", p->out);
	json_array_foreach (json_object_get(p->doc, "warnings"), i, w) {
		fputs("<li>", p->out);
		page_put(p, json_string_value(w));
		fputs("</li>\n", p->out);
	}
	fputs("</ul>\n", p->out);
	if (!count)
		return;
	fprintf(p->out, "<details><summary>%zu remarks on trials</summary><ul>\n", count);
	json_array_foreach (json_object_get(p->doc, "comparisons"), i, c) {
		json_array_foreach (json_object_get(c, "paths"), k, path) {
			json_array_foreach (json_object_get(path, "loads"), m, load) {
				json_array_foreach (json_object_get(load, "warnings"), n, w) {
					fputs("<li>", p->out);
					page_putf(p, "%s, %s, %s, %s: %s",
						compare_string(c, "name"), compare_frame(c, frame),
						compare_string(path, "path"),
						compare_string(load, "name"), json_string_value(w));
					fputs("</li>\n", p->out);
				}
			}
		}
	}
	fputs("</ul></details>\n", p->out);
}

void page_environment(struct page *p)
{
	fputs("<section><h2>The environment</h2>\n", p->out);
	put_machine(p);
	put_placement(p);
	put_doctor(p);
	put_warnings(p);
	fputs("</section>\n", p->out);
}

/* ---- how ---- */

static void put_command(struct page *p)
{
	const json_t *word;
	size_t i;

	fputs("<h3>Run it again</h3>\n<p>With Lanyard ", p->out);
	page_put(p, compare_string(p->doc, "lanyard"));
	fputs(" and the topology below, as root:</p>\n<pre>", p->out);
	json_array_foreach (json_object_get(p->doc, "command"), i, word) {
		const char *w = json_string_value(word);
		bool plain = *w &&
			!w[strspn(w,
				"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:")];

		page_putf(p, "%s%s%s%s", i ? " " : "", plain ? "" : "'", w, plain ? "" : "'");
	}
	fputs("</pre>\n<p>Earlier results are shown again, or held against others, by "
	      "<code>lanyard report A.json B.json</code>.</p>\n",
		p->out);
}

static void put_topology(struct page *p)
{
	char *text = json_dumps(json_object_get(p->doc, "topology"), JSON_INDENT(2));

	fputs("<details><summary>The topology file</summary><pre>", p->out);
	if (text)
		page_put(p, text);
	fputs("</pre></details>\n", p->out);
	free(text);
}

void page_method(struct page *p)
{
	const json_t *o = json_object_get(p->doc, "options");

	fputs("<section><h2>How it was measured</h2>\n<ul>\n", p->out);
	fprintf(p->out,
		"<li>Paths are measured in turn (A B A B …), %.0f rounds of each, so that what changes in "
		"the host meanwhile is in both. Ratios are those of each round; shown are their median "
		"and its interval.</li>\n",
		compare_number(o, "rounds"));
	fputs("<li>Intervals are those of the median by order statistics: no distribution is assumed. "
	      "Six rounds make 95 %; five 94 %; fewer show no difference.</li>\n"
	      "<li>The generator’s own limit is measured first; a rate at which it works at 90 % of that "
	      "or more is marked as the generator’s.</li>\n"
	      "<li>Senders are open loop: a frame that is due is sent, whether earlier ones got through or "
	      "not. Latency is from one TSC to the same TSC, of several flows the worst; jitter is the "
	      "99.9 % latency less the least (RFC 5481).</li>\n"
	      "<li>“Same rate” is 90 % of the slowest path’s: traffic that all carry.</li>\n"
	      "<li>CPU cycles a frame: CPU time of all threads of the switch (where the path uses it), of "
	      "guests or generators, of vhost threads, and the whole host’s interrupt time while frames "
	      "were sent, polling included, as TSC cycles per frame received.</li>\n"
	      "<li>TCP is the guests’ kernels’ own, by iperf3 in them: goodput is the payload that the "
	      "receiver got; cycles a byte are of all the time that iperf3 ran in the sender; frames that "
	      "are lost are sent again, and so show as segments sent again.</li>\n</ul>\n",
		p->out);
	put_command(p);
	put_topology(p);
	fputs("</section>\n", p->out);
}
