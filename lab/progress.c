/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/progress.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

#define TICK_NS (200 * 1000000ull)

static const struct mark {
	const char *utf8, *ascii, *colour;
} marks[] = {
	[PROGRESS_DONE] = { "✓", "ok  ", "\033[32m" },
	[PROGRESS_UNDONE] = { "↶", "undo", "\033[33m" },
	[PROGRESS_FAILED] = { "✗", "FAIL", "\033[31m" },
};

void progress_init(struct progress *p, bool quiet)
{
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");

	*p = (struct progress){ .quiet = quiet, .began_ns = clock_now_ns() };
	p->tty = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
	p->utf8 = p->tty && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	p->colour = p->tty && !(no_colour && *no_colour);
}

static int columns(void)
{
	struct winsize ws;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 20 ? ws.ws_col : 80;
}

static void wipe(struct progress *p)
{
	if (p->open)
		fputs("\r\033[K", stderr);
	p->open = false;
}

/* "…   2.1 s  a answers (9 of 11)": the time once it is worth one. */
static void draw_open(struct progress *p)
{
	double s = (double)(clock_now_ns() - p->step_began_ns) / (double)NS_PER_S;
	char time[16] = "", of[48] = "";
	int room;

	if (s >= 1)
		snprintf(time, sizeof time, "%.1f s", s);
	if (p->total)
		snprintf(of, sizeof of, " (%zu of %zu)", p->n, p->total);
	room = columns() - 16 - (int)strlen(of);
	fprintf(stderr, "\r\033[K%s%8s  %.*s%s", p->utf8 ? "…" : "... ", time, room > 0 ? room : 0,
		p->text, of);
	fflush(stderr);
	p->drawn_ns = clock_now_ns();
}

void progress_begin(struct progress *p, const char *text)
{
	p->step_began_ns = clock_now_ns();
	if (p->quiet || !p->tty)
		return;
	snprintf(p->text, sizeof p->text, "%s", text);
	draw_open(p);
	p->open = true;
}

void progress_tick(struct progress *p)
{
	if (p->open && clock_now_ns() - p->drawn_ns >= TICK_NS)
		draw_open(p);
}

void progress_end(struct progress *p, enum progress_mark mark, const char *text)
{
	static const char *const how[] = {
		[PROGRESS_DONE] = "done", [PROGRESS_UNDONE] = "undone", [PROGRESS_FAILED] = "failed"
	};
	const struct mark *m = &marks[mark];
	double s = (double)(clock_now_ns() - p->step_began_ns) / (double)NS_PER_S;

	wipe(p);
	if (p->step)
		p->step(p->step_arg, how[mark], text, s);
	if (p->quiet && mark != PROGRESS_FAILED)
		return;
	fprintf(stderr, "%s%s%s %5.2f s  %s\n", p->colour ? m->colour : "",
		p->utf8 ? m->utf8 : m->ascii, p->colour ? "\033[0m" : "", s, text);
	p->step_began_ns = clock_now_ns();
}

void progress_warn(struct progress *p, const char *fmt, ...)
{
	va_list ap;

	wipe(p);
	fprintf(stderr, "%swarning:%s ", p->colour ? "\033[33m" : "", p->colour ? "\033[0m" : "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void progress_quote(struct progress *p, const char *line)
{
	wipe(p);
	fprintf(stderr, "         %s %s\n", p->utf8 ? "│" : "|", line);
}

double progress_total_s(const struct progress *p)
{
	return (double)(clock_now_ns() - p->began_ns) / (double)NS_PER_S;
}
