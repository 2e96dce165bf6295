/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top on a terminal, by ncurses: everything is drawn anew each time, at whatever size the terminal
 * has then. The command's one thread; nothing here waits but top_screen_key.
 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "lab/top.h"

enum { GREEN = 1, RED, YELLOW, CYAN };

#define INTERVAL_MIN 0.1
#define INTERVAL_MAX 60

static const struct column {
	const char *head, *key;
	int width; /* negative: from the left */
} columns[] = {
	{ "PORT", "name", -14 },
	{ "NETWORK", "network", -12 },
	{ "STATE", "state", -9 },
	{ "IN/s", "rx_fps", 8 },
	{ "IN bit/s", "rx_bps", 9 },
	{ "OUT/s", "tx_fps", 8 },
	{ "OUT bit/s", "tx_bps", 9 },
	{ "DROPPED/s", "dropped_fps", 9 },
};
#define N_COLUMNS (sizeof columns / sizeof columns[0])

int top_key(struct top_view *v, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return 0;
	case 's':
		v->sort = (v->sort + 1) % TOP_SORTS;
		v->first = 0;
		break;
	case 'p':
	case ' ':
		v->paused = !v->paused;
		break;
	case 'h':
	case '?':
		v->help = !v->help;
		break;
	case '+':
		v->interval_s = fmin(v->interval_s * 2, INTERVAL_MAX);
		break;
	case '-':
		v->interval_s = fmax(v->interval_s / 2, INTERVAL_MIN);
		break;
	case KEY_UP:
	case 'k':
		v->first -= v->first > 0;
		break;
	case KEY_DOWN:
	case 'j':
		v->first++; /* drawing knows how far it may go */
		break;
	case KEY_HOME:
		v->first = 0;
		break;
	default:
		break;
	}
	return 1;
}

int top_screen_begin(struct err *e)
{
	SCREEN *s;

	setlocale(LC_ALL, "");
	s = newterm(NULL, stdout, stdin);
	if (!s)
		return err_request(e, -ENOTTY,
			"the terminal type \"%s\" is not known (TERM): use --once or --json",
			getenv("TERM") ? getenv("TERM") : "");
	set_term(s);
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	set_escdelay(50);
	if (has_colors() && !(getenv("NO_COLOR") && *getenv("NO_COLOR"))) {
		start_color();
		use_default_colors();
		init_pair(GREEN, COLOR_GREEN, -1);
		init_pair(RED, COLOR_RED, -1);
		init_pair(YELLOW, COLOR_YELLOW, -1);
		init_pair(CYAN, COLOR_CYAN, -1);
	}
	return 0;
}

void top_screen_end(void)
{
	endwin();
}

int top_screen_key(int timeout_ms)
{
	int key;

	timeout(timeout_ms);
	key = getch();
	return key == ERR ? -1 : key;
}

/* ---- drawing ---- */

/* A line's text, cut at the edge. */
static void put(int y, int x, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void put(int y, int x, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (y < 0 || y >= LINES || x >= COLS)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	mvaddnstr(y, x, text, COLS - x);
}

static double number(const json_t *j, const char *key)
{
	return json_number_value(json_object_get(j, key));
}

static const char *text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "-";
}

static void draw_head(const struct top_view *v)
{
	char in[16], out[16], dropped[16];

	attron(A_REVERSE);
	mvhline(0, 0, ' ', COLS);
	put(0, 1, "lanyard top %s   in %s/s   out %s/s   dropped %s/s   every %.3g s%s", v->lab,
		top_count(v->doc, "rx_fps", in), top_count(v->doc, "tx_fps", out),
		top_count(v->doc, "dropped_fps", dropped), v->interval_s,
		v->paused ? "   PAUSED" : "");
	attroff(A_REVERSE);
	if (v->trouble) {
		attron(COLOR_PAIR(RED) | A_BOLD);
		put(1, 1, "%s", v->trouble);
		attroff(COLOR_PAIR(RED) | A_BOLD);
	}
}

static int draw_workers(const struct top_view *v, int y)
{
	const json_t *w;
	size_t i;

	attron(A_BOLD);
	put(y++, 1, "%-7s %4s  %-22s %9s %12s %9s", "WORKER", "CPU", "LOAD", "FRAMES/s",
		"CYCLES/FRAME", "SLEEPS/s");
	attroff(A_BOLD);
	json_array_foreach (json_object_get(v->doc, "workers"), i, w) {
		double load = number(w, "load");
		int filled = (int)lround(fmin(fmax(load, 0), 1) * 14);
		char fps[16], cycles[16], sleeps[16];

		put(y, 1, "%-7zu %4.0f", i, number(w, "cpu"));
		put(y, 15, "[");
		attron(COLOR_PAIR(load > 0.9 ? RED : load > 0.6 ? YELLOW : GREEN));
		for (int k = 0; k < filled; k++)
			put(y, 16 + k, "|");
		attroff(COLOR_PAIR(RED) | COLOR_PAIR(YELLOW) | COLOR_PAIR(GREEN));
		attrset(A_NORMAL);
		put(y, 30, "] %3.0f %%", 100 * load);
		put(y++, 38, "%9s %12s %9s", top_count(w, "fps", fps),
			top_count(w, "cycles_per_frame", cycles),
			top_count(w, "sleeps_ps", sleeps));
	}
	return y + 1;
}

static double weight(const json_t *p, enum top_sort by)
{
	return by == TOP_BY_DROPS ? number(p, "dropped_fps")
				  : number(p, "rx_fps") + number(p, "tx_fps");
}

static int compare(const void *a, const void *b, void *by)
{
	enum top_sort sort = *(const enum top_sort *)by;
	const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;

	if (sort != TOP_BY_NAME && weight(x, sort) != weight(y, sort))
		return weight(x, sort) < weight(y, sort) ? 1 : -1;
	return strverscmp(text(x, "name"), text(y, "name"));
}

static void draw_port(int y, const json_t *p)
{
	int x = 1;

	for (size_t i = 0; i < N_COLUMNS; i++) {
		const struct column *c = &columns[i];
		bool dropping = i == N_COLUMNS - 1 && number(p, c->key) > 0;
		char count[16];

		if (strcmp(c->key, "state") == 0)
			attron(COLOR_PAIR(strcmp(text(p, c->key), "up") ? RED : GREEN));
		if (dropping)
			attron(COLOR_PAIR(YELLOW) | A_BOLD);
		if (c->width < 0)
			put(y, x, "%-*.*s", -c->width, -c->width, text(p, c->key));
		else
			put(y, x, "%*s", c->width, top_count(p, c->key, count));
		attrset(A_NORMAL);
		x += abs(c->width) + 1;
	}
}

/* Reasons of the ports that drop now, or ever did, as many as fit. */
static void draw_drops(const struct top_view *v, int y)
{
	const json_t *ports = json_object_get(v->doc, "ports"), *p, *r;
	char fps[16], all[16];
	size_t i, k;

	attron(A_BOLD);
	put(y++, 1, "%-14s %-16s %9s %9s  %s", "PORT", "DROPS", "FRAMES/s", "IN ALL", "WHY");
	attroff(A_BOLD);
	for (int now = 1; now >= 0; now--)
		json_array_foreach (ports, i, p)
			json_array_foreach (json_object_get(p, "drops"), k, r) {
				if ((number(r, "fps") > 0) != now || y >= LINES - 1)
					continue;
				attron(now ? COLOR_PAIR(YELLOW) : A_DIM);
				put(y++, 1, "%-14.14s %-16.16s %9s %9s  %s", text(p, "name"),
					text(r, "reason"), top_count(r, "fps", fps),
					top_count(r, "total", all), text(r, "text"));
				attrset(A_NORMAL);
			}
}

static size_t count_drops(const json_t *doc)
{
	const json_t *p;
	size_t i, n = 0;

	json_array_foreach (json_object_get(doc, "ports"), i, p)
		n += json_array_size(json_object_get(p, "drops"));
	return n;
}

/* Ports get the room that is left; of drops a third of the screen is kept free. */
static void draw_ports(struct top_view *v, int y)
{
	const json_t *ports = json_object_get(v->doc, "ports");
	size_t n = json_array_size(ports), drops = count_drops(v->doc), room;
	int kept = drops ? (int)(drops + 2 < (size_t)LINES / 3 ? drops + 2 : (size_t)LINES / 3) : 0;
	int x = 1;

	attron(A_BOLD);
	for (size_t i = 0; i < N_COLUMNS; i++) {
		put(y, x, "%*s", columns[i].width, columns[i].head);
		x += abs(columns[i].width) + 1;
	}
	attroff(A_BOLD);
	y++;
	room = LINES - 1 - kept > y ? (size_t)(LINES - 1 - kept - y) : 0;
	if (v->first + room > n)
		v->first = n > room ? n - room : 0;
	const json_t **sorted = calloc(n ? n : 1, sizeof *sorted);
	if (!sorted)
		return;
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(ports, i);
	qsort_r(sorted, n, sizeof *sorted, compare, &v->sort);
	for (size_t i = v->first; i < n && i - v->first < room; i++)
		draw_port(y++, sorted[i]);
	free(sorted);
	if (drops)
		draw_drops(v, y + 1);
}

static void draw_foot(const struct top_view *v)
{
	static const char *const sorts[] = { "name", "rate", "drops" };

	attron(A_REVERSE);
	mvhline(LINES - 1, 0, ' ', COLS);
	put(LINES - 1, 1, "q quit   s sort (%s)   up/down scroll   p pause   +/- interval   h help",
		sorts[v->sort]);
	attroff(A_REVERSE);
}

static void draw_help(void)
{
	static const char *const lines[] = {
		"IN     frames from the NIC into the switch, each second",
		"OUT    frames from the switch to the NIC; bit/s are layer 2, without FCS",
		"DROPS  a frame is counted once, with its reason: rx_ at the port that it came",
		"       in by, tx_ at the port that it should have left by",
		"LOAD   share of the worker's CPU that it was busy, over the last seconds",
		"",
		"q      end                    s      sort by name, rate, drops",
		"p      pause                  + -    measure less often, more often",
		"up, down, Home                other ports",
		"h      back",
	};

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		put(2 + (int)i, 1, "%s", lines[i]);
}

void top_screen_draw(struct top_view *v)
{
	erase();
	draw_head(v);
	if (v->help)
		draw_help();
	else if (v->doc)
		draw_ports(v, draw_workers(v, 2));
	else
		put(3, 1, "measuring ...");
	draw_foot(v);
	refresh();
}
