/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/status_tap.h"

#include <string.h>

#include "lab/steps_tap.h"
#include "lab/table.h"

static json_t *taps_of(const struct plan *p, const char *network)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];

		if (s->kind == STEP_TAP && strcmp(s->network, network) == 0)
			json_array_append_new(a,
				json_pack("{s:s, s:s, s:b}", "port", s->name, "interface",
					s->device, "whole", steps_tap_is_whole(p, s)));
	}
	return a;
}

json_t *status_bridges(const struct plan *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_steps; i++) {
		const struct step *s = &p->steps[i];

		if (s->kind == STEP_BRIDGE)
			json_array_append_new(a,
				json_pack("{s:s, s:s, s:I, s:b, s:o}", "network", s->name,
					"interface", s->device, "mtu", (json_int_t)s->mtu, "whole",
					steps_tap_is_whole(p, s), "taps", taps_of(p, s->name)));
	}
	return a;
}

static const char *str(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "-";
}

static const char *state(const json_t *j, const char *lost)
{
	return json_is_true(json_object_get(j, "whole")) ? "there" : lost;
}

void status_print_bridges(const json_t *doc, FILE *out, int width)
{
	struct table t = { .head = "NETWORK|NIC|INTERFACE|STATE" };
	const json_t *b, *tap;
	size_t i, k;

	json_array_foreach (json_object_get(doc, "bridges"), i, b) {
		table_add(&t, "%s", str(b, "network"));
		table_add(&t, "%s", "(bridge)");
		table_add(&t, "%s", str(b, "interface"));
		table_add(&t, "%s", state(b, "gone"));
		json_array_foreach (json_object_get(b, "taps"), k, tap) {
			table_add(&t, "%s", str(b, "network"));
			table_add(&t, "%s", str(tap, "port"));
			table_add(&t, "%s", str(tap, "interface"));
			table_add(&t, "%s", state(tap, "gone, or not in the bridge"));
		}
	}
	if (t.cells.n) {
		fputc('\n', out);
		table_print(&t, out, width);
	}
}
