/* SPDX-License-Identifier: Apache-2.0 */
#include "measure/search.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum verdict { OPEN, PASSES, FAILS };

int search_init(struct search *s, const struct search_params *p, struct err *e)
{
	memset(s, 0, sizeof(*s));
	s->p = *p;
	s->told = true;
	if (!(p->min_fps > 0) || !(p->max_fps > p->min_fps) || isinf(p->max_fps))
		return err_request(e, -EINVAL,
			"the search goes from %g to %g frames/s: expected more than 0, and then more "
			"than that",
			p->min_fps, p->max_fps);
	if (p->start_fps && !(p->start_fps >= p->min_fps && p->start_fps <= p->max_fps))
		return err_request(e, -EINVAL,
			"the search starts at %g frames/s, which is not within its limits, %g to %g",
			p->start_fps, p->min_fps, p->max_fps);
	if (!(p->resolution > 0 && p->resolution < 1))
		return err_request(e, -EINVAL,
			"the search's resolution is %g: expected a part of the rate, such as 0.01",
			p->resolution);
	if (p->method == SEARCH_VERIFIED && (!p->verify || p->verify > SEARCH_VERIFY_MAX))
		return err_request(e, -EINVAL, "%u repeats of a failed trial: expected 1 to %d",
			p->verify, SEARCH_VERIFY_MAX);
	if (!p->n_goals || p->n_goals > SEARCH_GOALS_MAX || p->max_trials > SEARCH_TRIALS_MAX)
		return err_request(e, -EINVAL,
			"%zu goals, %u trials: at most %d and %d, and a goal", p->n_goals,
			p->max_trials, SEARCH_GOALS_MAX, SEARCH_TRIALS_MAX);
	for (size_t i = 0; i < p->n_goals; i++)
		if (!(p->loss_ratio[i] >= (i ? p->loss_ratio[i - 1] : 0) && p->loss_ratio[i] < 1))
			return err_request(e, -EINVAL,
				"loss ratio %g: expected 0 or more, less than 1, in ascending order",
				p->loss_ratio[i]);
	return 0;
}

static bool offered(const struct search_trial *t)
{
	return t->out.sent_fps >= t->fps * SEARCH_OFFERED;
}

static bool passed(const struct search *s, size_t goal, const struct search_trial *t)
{
	return offered(t) && t->out.loss_ratio <= s->p.loss_ratio[goal];
}

/* What the trials at this rate say. One that passed is enough; to fail it takes all repeats. */
static enum verdict judge(const struct search *s, size_t goal, double fps)
{
	unsigned failed = 0, needed = s->p.method == SEARCH_VERIFIED ? 1 + s->p.verify : 1;

	for (size_t i = 0; i < s->n_trials; i++) {
		if (s->trial[i].fps != fps)
			continue;
		if (passed(s, goal, &s->trial[i]))
			return PASSES;
		failed++;
	}
	return failed >= needed ? FAILS : OPEN;
}

/* The lowest rate that fails, and the highest below it that passes. */
static void bounds(struct search *s, size_t goal)
{
	struct search_goal *g = &s->goal[goal];

	g->lower_fps = g->upper_fps = 0;
	for (size_t i = 0; i < s->n_trials; i++) {
		double fps = s->trial[i].fps;

		if (judge(s, goal, fps) == FAILS && (!g->upper_fps || fps < g->upper_fps))
			g->upper_fps = fps;
	}
	g->upper_loss_ratio = 1;
	g->upper_not_offered = g->upper_fps > 0;
	for (size_t i = 0; i < s->n_trials; i++) {
		const struct search_trial *t = &s->trial[i];

		if (t->fps > g->lower_fps && (!g->upper_fps || t->fps < g->upper_fps) &&
			judge(s, goal, t->fps) == PASSES)
			g->lower_fps = t->fps;
		if (t->fps != g->upper_fps)
			continue;
		/* Of trials at that rate; where there is none, of those that fell short of it. */
		if (offered(t) && g->upper_not_offered) {
			g->upper_not_offered = false;
			g->upper_loss_ratio = 1;
		}
		if (offered(t) || g->upper_not_offered)
			g->upper_loss_ratio = fmin(g->upper_loss_ratio, t->out.loss_ratio);
	}
}

/* The rate that the goal wants tried next; 0: it has ended. */
static double want(struct search *s, size_t goal)
{
	const struct search_params *p = &s->p;
	struct search_goal *g = &s->goal[goal];

	if (g->end != SEARCH_RUNNING)
		return 0;
	bounds(s, goal);
	/* A rate at work is finished first: another goal's may have taken some of its trials. */
	if (s->n_trials && judge(s, goal, s->trial[s->n_trials - 1].fps) == OPEN)
		return s->trial[s->n_trials - 1].fps;
	if (!g->upper_fps && !g->lower_fps && p->start_fps)
		return p->start_fps;
	if (!g->upper_fps && g->lower_fps < p->max_fps)
		return p->max_fps;
	if (!g->upper_fps) {
		g->end = SEARCH_AT_MAX;
		g->upper_fps = p->max_fps;
		return 0;
	}
	if (g->upper_fps == p->min_fps) {
		g->end = SEARCH_MIN_LOSES;
		return 0;
	}
	if (!g->lower_fps)
		return p->min_fps;
	if (g->upper_fps - g->lower_fps <= p->resolution * g->upper_fps) {
		g->end = SEARCH_FOUND;
		return 0;
	}
	return (g->lower_fps + g->upper_fps) / 2;
}

bool search_next(struct search *s, double *fps)
{
	size_t most = s->p.max_trials ? s->p.max_trials : SEARCH_TRIALS_MAX;

	if (!s->told) { /* asked again: the same trial */
		*fps = s->trial[s->n_trials].fps;
		return true;
	}
	for (size_t i = 0; i < s->p.n_goals; i++) {
		*fps = want(s, i);
		if (*fps <= 0)
			continue;
		if (s->n_trials == most) {
			s->goal[i].end = SEARCH_GAVE_UP;
			continue;
		}
		s->trial[s->n_trials].fps = *fps;
		s->told = false;
		return true;
	}
	return false;
}

void search_tell(struct search *s, const struct search_outcome *o)
{
	if (s->told)
		return;
	s->trial[s->n_trials++].out = *o;
	s->told = true;
}

static const char *why_upper(const struct search_goal *g, double most, char *out, size_t size)
{
	if (g->upper_not_offered && g->upper_loss_ratio > most)
		snprintf(out, size, "could not be sent at that rate, and lost %.3g%%",
			g->upper_loss_ratio * 100);
	else if (g->upper_not_offered)
		snprintf(out, size, "could not be sent at that rate");
	else
		snprintf(out, size, "lost %.3g%%", g->upper_loss_ratio * 100);
	return out;
}

char *search_describe(const struct search *s, size_t goal, char *out, size_t size)
{
	const struct search_goal *g = &s->goal[goal];
	double most = s->p.loss_ratio[goal] * 100;
	char why[96];

	why_upper(g, s->p.loss_ratio[goal], why, sizeof(why));
	switch (g->end) {
	case SEARCH_FOUND:
		snprintf(out, size, "%.0f frames/s pass with at most %.3g%% lost; %.0f %s",
			g->lower_fps, most, g->upper_fps, why);
		break;
	case SEARCH_AT_MAX:
		snprintf(out, size,
			"the search's upper limit, %.0f frames/s, passes with at most %.3g%% lost: the "
			"path's own is not below it",
			g->upper_fps, most);
		break;
	case SEARCH_MIN_LOSES:
		snprintf(out, size,
			"the search's lower limit, %.0f frames/s, %s already, at most %.3g%% may be "
			"lost: there is no rate to name; set a lower limit, or look for what loses "
			"frames at so low a rate",
			s->p.min_fps, why, most);
		break;
	case SEARCH_GAVE_UP:
		snprintf(out, size, "not decided after %zu trials: between %.0f and %.0f frames/s",
			s->n_trials, g->lower_fps, g->upper_fps ? g->upper_fps : s->p.max_fps);
		break;
	case SEARCH_RUNNING:
		snprintf(out, size, "not finished");
		break;
	}
	return out;
}
