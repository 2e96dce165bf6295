/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/report_tcp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/compare.h"
#include "lab/compare_text.h"

/* ---- JSON ---- */

static double cycles(const struct bench_tcp_round *r, double seconds, double tsc_hz)
{
	double bytes = r->tcp.received_bytes;

	return bytes > 0 ? seconds * tsc_hz / bytes : NAN;
}

/* Of a lab's switch that is not this path's, no time is charged. */
static double busy(const struct bench_tcp_round *r, double tsc_hz)
{
	if (!(r->round.cost.switch_s > 0))
		return r->round.cost.switch_s;
	return cycles(r, (double)r->round.sw.busy_cycles / tsc_hz, tsc_hz);
}

#define FIGURES(X)                                                   \
	X(goodput_bps, r->tcp.goodput_bps)                           \
	X(sent_bps, r->tcp.sent_bps)                                 \
	X(retransmits, r->tcp.retransmits)                           \
	X(rtt_us, r->tcp.rtt_us)                                     \
	X(cycles_per_byte_switch_busy, busy(r, hz))                  \
	X(cycles_per_byte_switch, cycles(r, c->switch_s, hz))        \
	X(cycles_per_byte_nodes, cycles(r, c->nodes_s, hz))          \
	X(cycles_per_byte_vhost, cycles(r, c->vhost_s, hz))          \
	X(cycles_per_byte_interrupts, cycles(r, c->irq_s, hz))       \
	X(cycles_per_byte_total, cycles(r, bench_cost_total(c), hz)) \
	X(exits_per_megabyte, c->exits / (r->tcp.received_bytes / 1e6))

#define X(name, expression)                                                             \
	static double figure_##name(                                                    \
		const struct bench_tcp_round *r, const struct bench_cost *c, double hz) \
	{                                                                               \
		return expression;                                                      \
	}
FIGURES(X)
#undef X

static const struct {
	const char *key;
	double (*fn)(const struct bench_tcp_round *r, const struct bench_cost *c, double hz);
} rows[] = {
#define X(name, expression) { #name, figure_##name },
	FIGURES(X)
#undef X
};

static json_t *figures_json(const struct bench_tcp_round *r, size_t n, double tsc_hz)
{
	double *v = calloc(n ? n : 1, sizeof(*v));
	json_t *j = json_object();

	for (size_t k = 0; v && k < sizeof(rows) / sizeof(rows[0]); k++) {
		for (size_t i = 0; i < n; i++)
			v[i] = rows[k].fn(&r[i], &r[i].round.cost, tsc_hz);
		json_object_set_new(j, rows[k].key, compare_figure(v, n));
	}
	free(v);
	return j;
}

static json_t *round_json(const struct topology *t, const struct bench_tcp_round *r)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}",
		"goodput_bps", report_number(r->tcp.goodput_bps), "sent_bps",
		report_number(r->tcp.sent_bps), "received_bytes",
		report_number(r->tcp.received_bytes), "seconds", report_number(r->tcp.seconds),
		"retransmits", report_number(r->tcp.retransmits), "rtt_us",
		report_number(r->tcp.rtt_us), "mss", report_number(r->tcp.mss), "congestion",
		r->tcp.congestion, "program", r->tcp.version, "switch",
		report_switch_json(&r->round.sw), "cpu", report_cpus_json(t, &r->round), "cost",
		report_cost_json(&r->round.cost), "warnings", report_warnings_json(&r->round));
}

/* What the switch dropped meanwhile, by reason, and each different warning once. */
static json_t *drops_json(const struct bench_tcp_round *r, size_t n)
{
	json_t *j = json_object();

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < r[i].round.sw.n_drops; k++) {
			const struct bench_drop *d = &r[i].round.sw.drop[k];
			json_int_t before = json_integer_value(json_object_get(j, d->reason));

			json_object_set_new(j, d->reason, json_integer(before + (json_int_t)d->n));
		}
	return j;
}

static json_t *warnings_json(const struct bench_tcp_round *r, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		compare_add_warnings(list, &r[i].round);
	return list;
}

json_t *report_tcp_json(
	const struct topology *t, const struct bench_tcp_round *r, size_t n, double tsc_hz)
{
	json_t *rounds = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(rounds, round_json(t, &r[i]));
	return json_pack("{s:o, s:o, s:o, s:o}", "figures", figures_json(r, n, tsc_hz), "drops",
		drops_json(r, n), "warnings", warnings_json(r, n), "rounds", rounds);
}

json_t *report_tcp_trial_json(const struct topology *t, const struct bench_trial *x,
	const struct bench_tcp_round *r, size_t n, double tsc_hz)
{
	const struct bench_flow *f = &x->flows[0];
	char from[TOPO_NAME_MAX + 12], to[TOPO_NAME_MAX + 12];
	json_t *j = report_tcp_json(t, r, n, tsc_hz);

	json_object_set_new(j, "name", json_string(x->title));
	json_object_set_new(
		j, "from", json_string(topology_port_name(t, f->from.node, f->from.nic, from)));
	json_object_set_new(j, "to", json_string(topology_port_name(t, f->to.node, f->to.nic, to)));
	json_object_set_new(j, "streams", json_integer(x->method->tcp.streams));
	json_object_set_new(j, "seconds", report_number(x->seconds));
	return j;
}

/* ---- the table ---- */

static void print_section(struct report_table *table, const struct bench_trial *x,
	const struct bench_tcp_round *r, size_t n)
{
	char rounds[COMPARE_CELL] = "";

	if (table->section == x->section + 1)
		return;
	table->section = x->section + 1;
	report_notes(table);
	if (n > 1)
		snprintf(rounds, sizeof(rounds), ", medians of %zu rounds", n);
	fprintf(table->out, "\n%s: TCP (%s, %s), %u stream%s, %g s%s\n", x->title, r->tcp.version,
		r->tcp.congestion, x->method->tcp.streams, x->method->tcp.streams > 1 ? "s" : "",
		x->seconds, rounds);
	fprintf(table->out, "  %-20s %7s  %-19s %7s %7s %10s %9s %9s %9s\n", "path", "bits/s",
		"interval", "resent", "rtt/us", "cyc/byte", "switch", "nodes", "vhost");
}

static char *median(
	const json_t *figures, const char *key, char *(*format)(double, char *), char *out)
{
	return format(compare_number(json_object_get(figures, key), "median"), out);
}

void report_tcp(struct report_table *table, const struct bench_trial *x, const json_t *trial,
	const struct bench_tcp_round *r, size_t n)
{
	static const char *const keys[] = { "cycles_per_byte_total", "cycles_per_byte_switch",
		"cycles_per_byte_nodes", "cycles_per_byte_vhost" };
	const json_t *f = json_object_get(trial, "figures");
	char cell[8][COMPARE_CELL], path[COMPARE_CELL], drops[512];

	print_section(table, x, r, n);
	snprintf(path, sizeof(path), "%.30s > %.30s", compare_string(trial, "from"),
		compare_string(trial, "to"));
	median(f, "goodput_bps", compare_si, cell[0]);
	compare_interval(json_object_get(f, "goodput_bps"), compare_si, cell[1]);
	median(f, "retransmits", compare_plain, cell[2]);
	median(f, "rtt_us", compare_us, cell[3]);
	for (size_t i = 0; i < 4; i++)
		median(f, keys[i], compare_plain, cell[4 + i]);
	fprintf(table->out, "  %-20s %7s  %-19s %7s %7s %10s %9s %9s %9s\n", path, cell[0], cell[1],
		cell[2], cell[3], cell[4], cell[5], cell[6], cell[7]);
	if (compare_drops(json_object_get(trial, "drops"), drops, sizeof(drops)))
		report_say(table, "          ", "the switch dropped %s", drops);
	for (size_t i = 0; i < n; i++)
		report_take_notes(table, &r[i].round, "TCP");
	fflush(table->out);
}
