/* SPDX-License-Identifier: Apache-2.0 */
/* The status document as text for people. Reads the document only, so that a test can hand in
 * any; a member that is missing or null shows as "-". */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/units.h"
#include "lab/policy.h"
#include "lab/status.h"
#include "lab/status_tap.h"
#include "lab/status_vf.h"
#include "lab/table.h"
#include "vswitch/dp/stats.h" /* the list of drop reasons */

static const char *str(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "-";
}

static bool is_true(const json_t *j, const char *key)
{
	return json_is_true(json_object_get(j, key));
}

static double num(const json_t *j, const char *key)
{
	return json_number_value(json_object_get(j, key));
}

/* A count in at most six characters; "-" if it isn't known. */
static const char *count(const json_t *j, const char *key, char *out)
{
	const json_t *v = json_object_get(j, key);

	if (!json_is_number(v))
		return "-";
	if (json_number_value(v) < 10000)
		snprintf(out, 16, "%.0f", json_number_value(v));
	else
		units_format_si(json_number_value(v), out);
	return out;
}

static const char *when(double s, char *out, size_t size)
{
	time_t t = (time_t)s;
	struct tm tm;

	strftime(out, size, "%F %T", localtime_r(&t, &tm));
	return out;
}

static const char *duration(double s, char *out, size_t size)
{
	if (s < 60)
		snprintf(out, size, "%.0f s", s);
	else if (s < 3600)
		snprintf(out, size, "%.0f min", s / 60);
	else if (s < 48 * 3600)
		snprintf(out, size, "%.1f h", s / 3600);
	else
		snprintf(out, size, "%.1f d", s / 86400);
	return out;
}

/* The sum of the drops object, NAN-free: 0 if there is none. */
static double drops_sum(const json_t *port)
{
	const char *key;
	json_t *v;
	double sum = 0;

	json_object_foreach (json_object_get(port, "drops"), key, v)
		sum += json_number_value(v);
	return sum;
}

static void cpu_list(const json_t *vcpus, char *out, size_t size)
{
	const json_t *v;
	size_t i, at = 0;

	snprintf(out, size, "-");
	json_array_foreach (vcpus, i, v) {
		const json_t *cpu = json_object_get(v, "cpu");

		if (at >= size)
			break;
		if (json_is_integer(cpu))
			at += (size_t)snprintf(out + at, size - at, "%s%" JSON_INTEGER_FORMAT,
				i ? "," : "", json_integer_value(cpu));
	}
}

static void print_nodes(const json_t *doc, FILE *out, int width)
{
	struct table t = { .head = "NODE|STATE|>MEMORY|>CPU|>UP|>RESETS|>PID|" };
	const json_t *n;
	size_t i;

	json_array_foreach (json_object_get(doc, "nodes"), i, n) {
		bool external = strcmp(str(n, "kind"), "external") == 0,
		     process = strcmp(str(n, "kind"), "process") == 0,
		     known = json_is_integer(json_object_get(n, "memory_bytes"));
		char memory[16], cpus[64], up[16], resets[16];

		cpu_list(json_object_get(n, "vcpus"), cpus, sizeof cpus);
		table_add(&t, "%s", str(n, "name"));
		table_add(&t, "%s", str(n, "state"));
		table_add(&t, "%s",
			known ? units_format_size((uint64_t)num(n, "memory_bytes"), memory) : "-");
		table_add(&t, "%s", cpus);
		table_add(&t, "%s", known ? duration(num(n, "uptime_s"), up, sizeof up) : "-");
		table_add(&t, "%s", count(n, "resets", resets));
		if (external)
			table_add(&t, "-");
		else
			table_add(&t, "%.0f", num(n, "pid"));
		table_add(&t, "%s%s%s", process ? "process" : "",
			process && known && !is_true(n, "huge") ? ", " : "",
			known && !is_true(n, "huge") ? "no hugepages" : "");
	}
	table_print(&t, out, width);
}

/* "tap lan0, VLAN 10, isolated": what a port is, unless it is a plain one. */
static void port_settings(const json_t *p, char *out, size_t size)
{
	char policy[256];

	policy_brief(json_object_get(p, "policy"), policy, sizeof policy);
	if (json_is_string(json_object_get(p, "device")))
		snprintf(out, size, "%s %s%s%s", str(p, "kind"), str(p, "device"),
			policy[0] ? ", " : "", policy);
	else
		snprintf(out, size, "%s", policy);
}

static void print_ports(const json_t *doc, FILE *out, int width)
{
	struct table t = { .head = "PORT|NETWORK|MAC|STATE|>FROM NIC|>TO NIC|>DROPPED|" };
	const json_t *p;
	size_t i;

	json_array_foreach (json_object_get(doc, "ports"), i, p) {
		char rx[16], tx[16], dropped[16], settings[320];
		double sum = drops_sum(p);

		table_add(&t, "%s", str(p, "name"));
		table_add(&t, "%s", str(p, "network"));
		table_add(&t, "%s", is_true(p, "external") ? "-" : str(p, "mac"));
		table_add(&t, "%s", str(p, "state"));
		table_add(&t, "%s", count(json_object_get(p, "rx"), "frames", rx));
		table_add(&t, "%s", count(json_object_get(p, "tx"), "frames", tx));
		table_add(&t, "%s",
			!json_is_object(json_object_get(p, "drops")) ? "-"
				: sum < 10000
				? (snprintf(dropped, sizeof dropped, "%.0f", sum), dropped)
				: units_format_si(sum, dropped));
		port_settings(p, settings, sizeof settings);
		table_add(&t, "%s", settings);
	}
	fputc('\n', out);
	table_print(&t, out, width);
}

/* How many queues of the lab's ports a worker serves now. */
static unsigned queues_of(const json_t *doc, size_t worker)
{
	const json_t *p, *q, *at;
	size_t i, k;
	unsigned n = 0;

	json_array_foreach (json_object_get(doc, "ports"), i, p) {
		json_array_foreach (json_object_get(p, "queue"), k, q) {
			at = json_object_get(q, "worker");
			n += json_is_integer(at) && (size_t)json_integer_value(at) == worker;
		}
	}
	return n;
}

/* "bursts of 1: 12 %, 32-63: 8 %, 64: 80 %": how full its looks at rings are, sizes of at least 1 %. */
static void burst_shares(const json_t *w, char *out, size_t size)
{
	static const char *const names[] = { "1", "2-3", "4-7", "8-15", "16-31", "32-63", "64" };
	const json_t *hist = json_object_get(w, "burst_histogram");
	size_t n = json_array_size(hist), at = 0;
	double sum = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		sum += json_number_value(json_array_get(hist, i));
	for (size_t i = 0; i < n && i < sizeof names / sizeof names[0] && at < size; i++) {
		double share = sum > 0 ? 100 * json_number_value(json_array_get(hist, i)) / sum : 0;

		if (share >= 1)
			at += (size_t)snprintf(out + at, size - at, "%s%s: %.0f %%",
				at ? ", " : "bursts of ", names[i], share);
	}
}

static void print_workers(const json_t *doc, FILE *out, int width)
{
	struct table t = {
		.head = "WORKER|>CPU|>QUEUES|>LOAD|>FRAMES|>CYCLES/FRAME|>FRAMES/BURST|>SLEEPS|"
	};
	const json_t *w;
	size_t i;

	json_array_foreach (json_object_get(json_object_get(doc, "switch"), "workers"), i, w) {
		double frames = num(w, "frames");
		char text[16], bursts[128];

		table_add(&t, "%zu", i);
		table_add(&t, "%s", count(w, "cpu", text));
		table_add(&t, "%u", queues_of(doc, i));
		if (json_is_number(json_object_get(w, "load")))
			table_add(&t, "%.0f %%", 100 * num(w, "load"));
		else
			table_add(&t, "-");
		table_add(&t, "%s", count(w, "frames", text));
		if (frames > 0)
			table_add(&t, "%.0f", num(w, "busy_cycles") / frames);
		else
			table_add(&t, "-");
		if (num(w, "bursts") > 0)
			table_add(&t, "%.1f", frames / num(w, "bursts"));
		else
			table_add(&t, "-");
		table_add(&t, "%s", count(w, "sleeps", text));
		burst_shares(w, bursts, sizeof bursts);
		table_add(&t, "%s", bursts);
	}
	if (t.cells.n)
		fputc('\n', out);
	table_print(&t, out, width);
}

/* What a drop reason's name means; "" for one of a newer switch. */
static const char *drop_text(const char *name)
{
	static const struct {
		const char *name, *text;
	} drops[] = {
#define X(name, text) { #name, ": " text },
		DP_DROPS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++) {
		if (strcmp(drops[i].name, name) == 0)
			return drops[i].text;
	}
	return "";
}

/* Sentences below the tables: only where there is something to say. */
static void print_port_notes(const json_t *doc, FILE *out)
{
	const char *key;
	const json_t *p;
	json_t *v;
	size_t i;

	json_array_foreach (json_object_get(doc, "ports"), i, p) {
		if (json_is_string(json_object_get(p, "reason")))
			fprintf(out, "port %s is %s: %s\n", str(p, "name"), str(p, "state"),
				str(p, "reason"));
		json_object_foreach (json_object_get(p, "drops"), key, v) {
			if (json_number_value(v) > 0)
				fprintf(out, "port %s dropped %.0f, %s%s\n", str(p, "name"),
					json_number_value(v), key, drop_text(key));
		}
		if (is_true(p, "external"))
			fprintf(out, "port %s is for a client of yours: vhost-user, socket %s\n",
				str(p, "name"), str(p, "socket"));
	}
}

static void print_process_note(const char *what, const char *name, const json_t *p, FILE *out)
{
	char text[32];

	if (!json_is_string(json_object_get(p, "reason")))
		return;
	fprintf(out, "%s%s %s (last log line at %s): %s\n", what, name, str(p, "state"),
		when(num(p, "log_changed_s"), text, sizeof text), str(p, "reason"));
}

static void print_nic_notes(const json_t *node, FILE *out)
{
	const json_t *n;
	char text[16];
	size_t i;

	json_array_foreach (json_object_get(node, "nics"), i, n) {
		const char *link = str(n, "link");

		if (strcmp(link, "down") == 0)
			fprintf(out, "NIC %s: link down\n", str(n, "port"));
		if (is_true(n, "needs_reset"))
			fprintf(out, "NIC %s needs a reset by its guest's driver\n",
				str(n, "port"));
		if (num(n, "reconnects") > 0)
			fprintf(out, "NIC %s reconnected %s time%s\n", str(n, "port"),
				count(n, "reconnects", text), num(n, "reconnects") > 1 ? "s" : "");
	}
}

/* "VM a: Linux 6.1.0-18-amd64, root host; disk raw.img; shares srv" and what is wrong with it. */
static void print_guest_notes(const json_t *doc, const json_t *n, FILE *out)
{
	static const struct {
		const char *key, *one, *many, *name;
	} lists[] = { { "disks", "disk", "disks", "file" },
		{ "shares", "share", "shares", "tag" } };
	const json_t *p, *v;
	bool is_linux = strcmp(str(n, "guest"), "linux") == 0;
	char agent[64] = "";
	size_t i;

	if (is_linux && strcmp(str(n, "agent"), "answers") != 0)
		snprintf(agent, sizeof agent, ", agent %s",
			strcmp(str(n, "agent"), "-") == 0 ? "not there" : str(n, "agent"));
	if (is_linux)
		fprintf(out, "VM %s: Linux %s, root %s%s", str(n, "name"), str(n, "kernel"),
			str(n, "root"), agent);
	for (size_t k = 0; is_linux && k < 2; k++) {
		const json_t *list = json_object_get(n, lists[k].key);

		json_array_foreach (list, i, v)
			fprintf(out, "%s%s %s", i ? "," : "; ",
				i                                   ? ""
					: json_array_size(list) > 1 ? lists[k].many
								    : lists[k].one,
				str(v, lists[k].name));
	}
	if (is_linux)
		fputc('\n', out);
	for (size_t k = 0; k < 2; k++)
		json_array_foreach (json_object_get(n, lists[k].key), i, v)
			if (json_is_string(json_object_get(v, "waiting")))
				fprintf(out, "VM %s, %s %s: %s\n", str(n, "name"), lists[k].one,
					str(v, lists[k].name), str(v, "waiting"));
	json_array_foreach (json_object_get(n, "problems"), i, p)
		fprintf(out, "VM %s: its guest says: %s\n", str(n, "name"), json_string_value(p));
	if (num(n, "panics") > 0)
		fprintf(out, "VM %s: its guest panicked (lanyard logs %s/%s.console shows it)\n",
			str(n, "name"), str(doc, "lab"), str(n, "name"));
	json_array_foreach (json_object_get(n, "helpers"), i, p)
		print_process_note(
			strcmp(str(p, "kind"), "share") == 0 ? "share " : "storage daemon of ",
			str(p, "name"), p, out);
}

static void print_notes(const json_t *doc, FILE *out)
{
	const json_t *n, *w, *sw = json_object_get(doc, "switch");
	size_t i;

	print_process_note("the switch", "", sw, out);
	json_array_foreach (json_object_get(doc, "nodes"), i, n) {
		print_process_note(strcmp(str(n, "kind"), "process") == 0 ? "process " : "VM ",
			str(n, "name"), n, out);
		print_guest_notes(doc, n, out);
		print_nic_notes(n, out);
	}
	print_port_notes(doc, out);
	if (json_is_string(json_object_get(doc, "why")))
		fprintf(out, "%s\n", str(doc, "why"));
	json_array_foreach (json_object_get(doc, "warnings"), i, w)
		fprintf(out, "warning: %s\n", json_string_value(w));
}

void status_print(const json_t *doc, FILE *out, int width)
{
	char text[32];

	fprintf(out, "lab %s: %s", str(doc, "lab"), str(doc, "state"));
	if (num(doc, "up_since_s") > 0)
		fprintf(out, ", since %s", when(num(doc, "up_since_s"), text, sizeof text));
	fprintf(out, "\n%s, from %s\n\n", str(doc, "dir"), str(doc, "file"));
	print_nodes(doc, out, width);
	if (json_array_size(json_object_get(doc, "ports")))
		print_ports(doc, out, width);
	status_print_bridges(doc, out, width);
	status_print_pfs(doc, out, width);
	print_workers(doc, out, width);
	fputc('\n', out);
	print_notes(doc, out);
}

void status_print_all(const json_t *doc, FILE *out, int width)
{
	struct table t = { .head = "LAB|STATE|SINCE|>NODES|FROM" };
	const json_t *l;
	size_t i;

	json_array_foreach (json_object_get(doc, "labs"), i, l) {
		char text[32], nodes[16];

		table_add(&t, "%s", str(l, "lab"));
		table_add(&t, "%s", str(l, "state"));
		table_add(&t, "%s",
			num(l, "up_since_s") > 0 ? when(num(l, "up_since_s"), text, sizeof text)
						 : "-");
		table_add(&t, "%s", count(l, "nodes", nodes));
		table_add(&t, "%s", str(l, "file"));
	}
	if (!t.cells.n)
		fputs("no lab is up; lanyard up TOPOLOGY brings one up\n", out);
	table_print(&t, out, width);
	json_array_foreach (json_object_get(doc, "labs"), i, l) {
		if (json_is_string(json_object_get(l, "why")))
			fprintf(out, "%s: %s\n", str(l, "lab"), str(l, "why"));
	}
}
