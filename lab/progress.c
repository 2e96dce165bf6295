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

void progress_begin(struct progress *p, const char *text)
{
	p->step_began_ns = clock_now_ns();
	if (p->quiet || !p->tty)
		return;
	wipe(p);
	fprintf(stderr, "%s          %.*s", p->utf8 ? "…" : "... ", columns() - 16, text);
	fflush(stderr);
	p->open = true;
}

void progress_end(struct progress *p, enum progress_mark mark, const char *text)
{
	const struct mark *m = &marks[mark];
	double s = (double)(clock_now_ns() - p->step_began_ns) / (double)NS_PER_S;

	wipe(p);
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
