/* SPDX-License-Identifier: Apache-2.0 */
/* The sentences about changes: what `up` prints while it makes them, and `plan` before. */
#include <stdio.h>
#include <string.h>

#include "lab/diff.h"
#include "lab/policy.h"

const char *change_word(enum change_what what)
{
	static const char *const words[] = { "repaired", "added", "changed", "restarted", "removed",
		"" };

	return words[what];
}

char *change_describe(const struct diff *d, const struct change *c, char *out, size_t size)
{
	const struct step *s = &d->merged.steps[c->step];
	const char *word = change_word(c->what);
	char text[LAB_PATH_MAX + 128];

	if (c->undo && c->what == CHANGE_REMOVED)
		snprintf(out, size, "%s %s", word, step_describe_short(s, text, sizeof text));
	else
		snprintf(out, size, "%s%s%s", word, *word ? " " : "",
			c->undo ? step_describe_undo(s, text, sizeof text)
				: step_describe(s, text, sizeof text));
	return out;
}

static void say_port(const struct diff *d, const char *name, struct strs *out)
{
	char is[256], was[256];

	for (size_t i = 0; i < d->n_wanted; i++) {
		const struct step *s = &d->merged.steps[i];

		if (s->kind != STEP_PORT || strcmp(s->name, name) != 0 || s->bare)
			continue;
		policy_brief(s->policy, is, sizeof is);
		policy_brief(s->was, was, sizeof was);
		strs_add(out, "port %s: %s (was: %s)", name, is[0] ? is : "plain",
			was[0] ? was : "plain");
	}
}

void diff_configured(const struct diff *d, const struct step *configure, struct strs *out)
{
	const char *name;
	json_t *v;

	json_object_foreach (json_object_get(configure->policy, "networks"), name, v)
		strs_add(out,
			"network %s: MTU %" JSON_INTEGER_FORMAT ", ageing %" JSON_INTEGER_FORMAT
			" s",
			name, json_integer_value(json_object_get(v, "mtu")),
			json_integer_value(json_object_get(v, "ageing_s")));
	json_object_foreach (json_object_get(configure->policy, "ports"), name, v)
		say_port(d, name, out);
}

void diff_list(const struct diff *d, struct strs *out)
{
	char text[LAB_PATH_MAX + 256];

	for (size_t i = 0; i < d->n; i++) {
		const struct change *c = &d->changes[i];
		const struct step *s = &d->merged.steps[c->step];
		struct strs parts = { 0 };

		if (s->kind == STEP_CONFIGURE)
			diff_configured(d, s, &parts);
		else if (c->what != CHANGE_WAITED)
			strs_add(out, "%s", change_describe(d, c, text, sizeof text));
		for (size_t k = 0; k < parts.n; k++)
			strs_add(out, "%s %s", change_word(c->what), parts.v[k]);
		strs_free(&parts);
	}
}
