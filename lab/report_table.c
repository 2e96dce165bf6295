/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define ROWS_MAX  4 /* flows of a trial that get a row each */
#define PATH_MIN  10
#define PATH_MAXW 24
#define CELL      64

/* A row before it is laid out: figures of one flow, or of all at once. */
struct row {
	char frame[CELL], path[CELL];
	const struct bench_figures *f;
	double bps;
	uint64_t sent;
	int64_t lost;
	bool missed;
	bool first; /* of its trial: the switch's figures stand here */
};

struct column {
	const char *head;
	unsigned width;
	bool narrow; /* shown on a narrow terminal too */
	void (*format)(const struct row *row, char *out);
};

static void format_rate(double v, char *out)
{
	if (isnan(v))
		strcpy(out, "-");
	else
		units_format_si(v, out);
}

static void cell_sent(const struct row *row, char *out)
{
	format_rate(row->f->sent_fps, out);
}

static void cell_received(const struct row *row, char *out)
{
	format_rate(row->f->received_fps, out);
}

/* Three digits that count. */
static void format_3(double v, const char *unit, char *out)
{
	if (isnan(v))
		strcpy(out, "-");
	else
		snprintf(out, CELL, "%.*f%s",
			v < 0.9995          ? 3
				: v < 9.995 ? 2
				: v < 99.95 ? 1
					    : 0,
			v, unit);
}

static void cell_gbps(const struct row *row, char *out)
{
	format_3(row->bps / 1e9, "", out);
}

/* A share of what was sent; never "0" when something was lost. */
static void cell_lost(const struct row *row, char *out)
{
	double percent = row->sent ? 100 * (double)row->lost / (double)row->sent : NAN;

	if (row->lost == 0)
		snprintf(out, CELL, "%s", row->sent ? "0" : "-");
	else if (isnan(percent))
		strcpy(out, "-");
	else if (percent > 0 && percent < 0.001)
		strcpy(out, "<0.001%");
	else
		format_3(percent, "%", out);
}

static void format_us(double us, char *out)
{
	if (isnan(us))
		strcpy(out, "-");
	else if (us >= 99999.5)
		format_3(us / 1e6, "s", out);
	else
		format_3(us, "", out);
}

static void cell_p50(const struct row *row, char *out)
{
	format_us(row->f->latency.p50_us, out);
}

static void cell_p99(const struct row *row, char *out)
{
	format_us(row->f->latency.p99_us, out);
}

static void cell_p999(const struct row *row, char *out)
{
	format_us(row->f->latency.p999_us, out);
}

static void cell_max(const struct row *row, char *out)
{
	format_us(row->f->latency.max_us, out);
}

static void cell_cycles(const struct row *row, char *out)
{
	double v = row->f->cycles_per_frame;

	if (!row->first)
		out[0] = '\0';
	else if (isnan(v))
		strcpy(out, "-");
	else
		snprintf(out, CELL, "%.0f", v);
}

static const struct column columns[] = {
	{ "sent/s", 7, false, cell_sent },
	{ "recv/s", 7, true, cell_received },
	{ "Gbit/s", 6, true, cell_gbps },
	{ "lost", 7, true, cell_lost },
	{ "p50/us", 6, true, cell_p50 },
	{ "p99/us", 6, true, cell_p99 },
	{ "p99.9/us", 8, true, cell_p999 },
	{ "max/us", 6, false, cell_max },
	{ "cyc/frame", 9, true, cell_cycles },
};
#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))
#define NARROW    92

void report_wrap(FILE *out, unsigned width, unsigned indent, const char *first, const char *text)
{
	unsigned at = (unsigned)strlen(first);

	fputs(first, out);
	while (*text) {
		unsigned n = (unsigned)strcspn(text, " ");

		if (at + n > width && at > indent) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		}
		fwrite(text, 1, n, out);
		at += n;
		text += n;
		while (*text == ' ')
			text++;
		if (*text && at + 1 + strcspn(text, " ") <= width) {
			fputc(' ', out);
			at++;
		} else if (*text) {
			at = width; /* the next word does not fit */
		}
	}
	fputc('\n', out);
}

void report_say(const struct report_table *r, const char *first, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) >= 0)
		report_wrap(r->out, r->width, 10, first, text);
	va_end(ap);
	free(text);
}

static void path_name(const struct report_table *r, const struct bench_flow *f, char *out)
{
	char name[2 * TOPO_NAME_MAX + 32];

	snprintf(name, sizeof(name), "%s.%zu > %s.%zu", r->t->nodes[f->from.node].name, f->from.nic,
		r->t->nodes[f->to.node].name, f->to.nic);
	/* Too long for its column: the ends of it say most. */
	size_t len = strlen(name);
	if (len > PATH_MAXW)
		snprintf(out, CELL, "%.*s~%.*s", PATH_MAXW / 2 - 1, name, PATH_MAXW / 2,
			name + len - PATH_MAXW / 2);
	else
		memcpy(out, name, len + 1);
}

static unsigned path_width(const struct report_table *r)
{
	size_t width = PATH_MIN;
	char name[CELL];

	for (size_t i = 0; i < r->plan->n_trials; i++) {
		for (size_t k = 0; k < r->plan->trials[i].n_flows; k++) {
			path_name(r, &r->plan->trials[i].flows[k], name);
			if (strlen(name) > width)
				width = strlen(name);
		}
	}
	return (unsigned)width;
}

static bool is_shown(const struct report_table *r, const struct column *c)
{
	return c->narrow || r->width >= NARROW;
}

static void print_header(const struct report_table *r)
{
	fprintf(r->out, "  %5s  %-*s", "frame", (int)path_width(r), "path");
	for (size_t i = 0; i < N_COLUMNS; i++)
		if (is_shown(r, &columns[i]))
			fprintf(r->out, " %*s", (int)columns[i].width, columns[i].head);
	fputc('\n', r->out);
}

static void print_row(const struct report_table *r, const struct row *row)
{
	char cell[CELL];

	fprintf(r->out, "%s%5s  %-*s", row->missed ? "!!" : "  ", row->frame, (int)path_width(r),
		row->path);
	for (size_t i = 0; i < N_COLUMNS; i++) {
		if (!is_shown(r, &columns[i]))
			continue;
		columns[i].format(row, cell);
		fprintf(r->out, " %*s", (int)columns[i].width, cell);
	}
	fputc('\n', r->out);
}

/* "10 k frames/s each", "1 Gbit/s each", "as fast as they go" */
static void format_wish(const struct rate *rate, bool several, char *out)
{
	char n[16];

	if (rate->kind == RATE_MAX) {
		strcpy(out, "as fast as it goes");
		return;
	}
	units_format_si((double)rate->value, n);
	snprintf(out, CELL, "%s%s%s", n, rate->kind == RATE_PPS ? "pps" : "bps",
		several ? " each" : "");
}

static void print_section(struct report_table *r, const struct bench_trial *x, size_t n)
{
	const struct topo_traffic *entry = &r->t->traffic[x->flows[0].entry];
	char wish[CELL], rounds[CELL] = "", loss[CELL] = "";

	if (r->section == x->section + 1)
		return;
	r->section = x->section + 1;
	report_notes(r);
	if (x->group)
		strcpy(wish, "a group, at once");
	else
		format_wish(&entry->rate, x->n_flows > 1, wish);
	if (!x->group && entry->max_loss == 0)
		strcpy(loss, ", none may be lost");
	else if (!x->group && entry->max_loss > 0)
		snprintf(loss, sizeof(loss), ", at most %.3g%% may be lost", entry->max_loss * 100);
	if (n > 1)
		snprintf(rounds, sizeof(rounds), ", medians of %zu rounds", n);
	fprintf(r->out, "\n%s: %s, %g s%s%s%s\n", x->title, wish, x->seconds, loss, rounds,
		x->flat_out ? "; latency is under full load" : "");
	print_header(r);
}

/* What was lost outside the switch, as a list; returns its length. */
static size_t places_text(const struct bench_places *p, char *out, size_t size, bool after)
{
	const struct {
		uint64_t n;
		const char *where;
	} place[] = {
#define X(key, in_table, name) { p->key, in_table },
		BENCH_PLACES(X)
#undef X
	};
	size_t len = 0;

	for (size_t i = 0; i < sizeof(place) / sizeof(place[0]) && len + 80 < size; i++) {
		if (!place[i].n)
			continue;
		len += (size_t)snprintf(out + len, size - len, "%s%llu %s", after ? ", " : "",
			(unsigned long long)place[i].n, place[i].where);
		after = true;
	}
	return len;
}

static void print_losses(
	const struct report_table *r, const struct bench_round *round, const char *which)
{
	uint64_t corrupt = 0;
	char text[1024] = "";
	size_t len = 0;

	if (round->lost <= 0)
		return;
	for (size_t i = 0; i < round->n_flows; i++)
		corrupt += round->flow[i].corrupt;
	for (size_t i = 0; i < round->sw.n_drops && len < sizeof(text) / 2; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%llu %s",
			len ? ", " : "", (unsigned long long)round->sw.drop[i].n,
			round->sw.drop[i].reason);
	if (corrupt)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%llu arrived corrupt",
			len ? ", " : "", (unsigned long long)corrupt);
	if (round->apart > 0)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"%s%lld to where policy lets nothing through", len ? ", " : "",
			(long long)round->apart);
	len += places_text(&round->places, text + len, sizeof(text) - len, len > 0);
	if (round->unexplained > 0)
		snprintf(text + len, sizeof(text) - len, "%s%lld UNEXPLAINED", len ? ", " : "",
			(long long)round->unexplained);
	report_say(r, "        ", "lost %lld of %llu%s: %s", (long long)round->lost,
		(unsigned long long)round->sent, which, text);
}

static void print_missed(
	const struct report_table *r, const struct bench_trial *x, const struct bench_round *round)
{
	char path[CELL];

	for (size_t i = 0; i < round->n_flows; i++) {
		const struct bench_flow_result *f = &round->flow[i];

		if (!f->missed)
			continue;
		path_name(r, &x->flows[i], path);
		report_say(r, "        ",
			"MISSED: %s lost %lld of %llu (%.3g%%); the topology allows %.3g%%", path,
			(long long)f->lost, (unsigned long long)f->sent,
			f->sent ? 100 * (double)f->lost / (double)f->sent : 0.0,
			x->flows[i].max_loss * 100);
	}
}

static void print_rounds(const struct report_table *r, size_t n, const struct bench_summary *s)
{
	char best[16], worst[16];

	if (n < 2 || isnan(s->max_fps))
		return;
	units_format_si(s->max_fps, best);
	units_format_si(s->min_fps, worst);
	report_say(r, "        ", "best of %zu: %s/s received (worst %s/s), %.0f cycles", n, best, worst,
		s->best_cycles);
}

static void format_frame(const struct bench_trial *x, char *out)
{
	snprintf(out, CELL, x->flows[0].imix ? "imix" : "%u", x->flows[0].size);
	for (size_t i = 1; i < x->n_flows; i++)
		if (x->flows[i].size != x->flows[0].size)
			strcpy(out, "mixed");
}

/* Warnings wait until the section's rows are all there; of those of one fault the worst is told. */
void report_take_notes(struct report_table *r, const struct bench_round *round, const char *frame)
{
	for (size_t i = 0; i < round->n_warnings; i++) {
		const struct bench_warning *w = &round->warnings[i];
		struct report_note *note = &r->note[w->fault];
		char *text;

		if (note->n++ && note->badness >= w->badness)
			continue;
		if (asprintf(&text, "%s: %s", frame, w->text) < 0)
			continue;
		free(note->text);
		note->text = text;
		note->badness = w->badness;
	}
}

void report_notes(struct report_table *r)
{
	for (size_t i = 0; i < BENCH_FAULTS; i++) {
		struct report_note *note = &r->note[i];

		if (note->n > 1)
			report_say(r, "      ! ", "%s (the worst of %zu)", note->text, note->n);
		else if (note->n)
			report_say(r, "      ! ", "%s", note->text);
		free(note->text);
		*note = (struct report_note){ 0 };
	}
}

/* The round to tell of: the one that lost most. */
static size_t worst_round(const struct bench_round *rounds, size_t n)
{
	size_t worst = 0;

	for (size_t i = 1; i < n; i++)
		if (rounds[i].lost > rounds[worst].lost)
			worst = i;
	return worst;
}

static void print_remarks(struct report_table *r, const struct bench_trial *x,
	const struct bench_round *rounds, size_t n)
{
	size_t k = worst_round(rounds, n);
	char which[CELL] = "", frame[CELL];

	if (n > 1)
		snprintf(which, sizeof(which), " (round %zu)", k + 1);
	format_frame(x, frame);
	if (strcmp(frame, "mixed") != 0)
		strcat(frame, " B");
	print_losses(r, &rounds[k], which);
	print_missed(r, x, &rounds[k]);
	for (size_t i = 0; i < n; i++)
		report_take_notes(r, &rounds[i], frame);
}

static void sum_row(const struct bench_trial *x, const struct bench_summary *s, struct row *row)
{
	format_frame(x, row->frame);
	snprintf(row->path, CELL, "%zu flows", x->n_flows);
	row->f = &s->median[0];
	for (size_t i = 0; i < x->n_flows; i++)
		row->bps += s->median[i + 1].received_fps * x->flows[i].size * 8;
	row->sent = s->sent;
	row->lost = s->lost;
	row->missed = s->n_missed > 0;
	row->first = true;
}

static void flow_row(const struct report_table *r, const struct bench_trial *x, size_t i,
	const struct bench_round *rounds, size_t n, const struct bench_summary *s, struct row *row)
{
	snprintf(row->frame, CELL, x->flows[i].imix ? "imix" : "%u", x->flows[i].size);
	path_name(r, &x->flows[i], row->path);
	row->f = &s->median[i + 1];
	row->bps = row->f->received_fps * x->flows[i].size * 8;
	for (size_t k = 0; k < n; k++) {
		row->sent += rounds[k].flow[i].sent;
		row->lost += rounds[k].flow[i].lost;
		row->missed |= rounds[k].flow[i].missed;
	}
}

void report_trial(struct report_table *r, const struct bench_trial *x,
	const struct bench_round *rounds, size_t n, const struct bench_summary *s)
{
	bool sum = x->n_flows > ROWS_MAX;

	print_section(r, x, n);
	if (sum) {
		struct row row = { 0 };

		sum_row(x, s, &row);
		print_row(r, &row);
	}
	for (size_t i = 0; i < x->n_flows && (!sum || r->all_flows); i++) {
		struct row row = { .first = i == 0 && !sum };

		flow_row(r, x, i, rounds, n, s, &row);
		print_row(r, &row);
	}
	print_rounds(r, n, s);
	print_remarks(r, x, rounds, n);
	fflush(r->out);
}
