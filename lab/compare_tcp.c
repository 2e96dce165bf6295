/* SPDX-License-Identifier: Apache-2.0 */
/* TCP of a comparison for a terminal, out of its document. */
#include <string.h>

#include "lab/compare.h"
#include "lab/compare_text.h"
#include "lab/report.h"

void compare_tcp_rows(const json_t *c, FILE *out, int path_w)
{
	static const struct {
		const char *key;
		char *(*format)(double, char *);
	} cells[] = {
		{ "goodput_bps", compare_si },
		{ "retransmits", compare_plain },
		{ "rtt_us", compare_us },
		{ "cycles_per_byte_switch_busy", compare_plain },
		{ "cycles_per_byte_total", compare_plain },
	};
	const json_t *path;
	size_t k;

	fprintf(out, "  %-*s %8s  %-19s %8s %8s %8s %8s\n", path_w, "path", "bits/s", "interval",
		"resent", "rtt/us", "cyc/B sw", "cyc/B");
	json_array_foreach (json_object_get(c, "paths"), k, path) {
		const json_t *f = json_object_get(json_object_get(path, "tcp"), "figures");
		char text[5][COMPARE_CELL], interval[COMPARE_CELL];

		for (size_t i = 0; i < 5; i++)
			cells[i].format(compare_number(json_object_get(f, cells[i].key), "median"),
				text[i]);
		compare_interval(json_object_get(f, "goodput_bps"), compare_si, interval);
		fprintf(out, "  %-*.*s %8s  %-19s %8s %8s %8s %8s\n", path_w, path_w,
			compare_string(path, "path"), text[0], interval, text[1], text[2], text[3],
			text[4]);
	}
}

void compare_tcp_remarks(const json_t *path, FILE *out, unsigned width)
{
	const json_t *tcp = json_object_get(path, "tcp");
	char text[512], line[640];

	if (compare_drops(json_object_get(tcp, "drops"), text, sizeof(text))) {
		snprintf(line, sizeof(line), "%s: the switch dropped %s",
			compare_string(path, "path"), text);
		report_wrap(out, width, 10, "        ", line);
	}
	if (compare_warning(json_object_get(tcp, "warnings"), text, sizeof(text))) {
		snprintf(line, sizeof(line), "%s: %s", compare_string(path, "path"), text);
		report_wrap(out, width, 10, "      ! ", line);
	}
}
