/* SPDX-License-Identifier: Apache-2.0 */
/* Decoders of the values that a topology file is made of: numbers, names, sizes, CPUs, MACs. */
#include "config/decode.h"
#include "config/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_STEP (2ull << 20)

static int check_range(struct dec *d, const struct jtree *v, const struct dec_range *r, double x)
{
	char found[DEC_SHOW];

	if (x >= r->min && x <= r->max)
		return 0;
	return dec_error(d, v->place, "\"%s\" must be %.10g to %.10g%s; found %s", d->field, r->min,
		r->max, r->unit, dec_show(v->json, found));
}

int dec_uint(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const struct dec_range *r = f->arg;

	if (!json_is_integer(v->json))
		return dec_error_type(d, v, "an integer");
	if (check_range(d, v, r, (double)json_integer_value(v->json)))
		return -EINVAL;
	*(uint32_t *)out = (uint32_t)json_integer_value(v->json);
	return 0;
}

int dec_real(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	if (!json_is_number(v->json))
		return dec_error_type(d, v, "a number");
	if (check_range(d, v, f->arg, json_number_value(v->json)))
		return -EINVAL;
	*(double *)out = json_number_value(v->json);
	return 0;
}

int dec_bool(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	if (!json_is_boolean(v->json))
		return dec_error_type(d, v, "true or false");
	*(bool *)out = json_is_true(v->json);
	return 0;
}

static const char *word_of_names(const void *ctx, size_t i)
{
	return ((const char *const *)ctx)[i];
}

int dec_enum(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *const *names = f->arg;
	const char *s = json_string_value(v->json);
	size_t n = 0;

	if (!s)
		return dec_error_type(d, v, "a string");
	for (; names[n]; n++) {
		if (strcmp(names[n], s) == 0) {
			*(int *)out = (int)n;
			return 0;
		}
	}
	return dec_error_unknown(d, v->place, f->name, s, n, word_of_names, names);
}

int dec_check_name(struct dec *d, struct topo_place at, const char *what, const char *name)
{
	size_t len = strlen(name);
	char quoted[DEC_SHOW];
	size_t ok = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	if (len == 0 || ok != len || name[0] == '_' || name[0] == '-')
		return dec_error(d, at,
			"%s is made of a-z, 0-9, _ and -, and begins with a letter or digit; found %s",
			what, dec_quote(name, quoted));
	if (len > TOPO_NAME_MAX)
		return dec_error(d, at, "%s has at most %d characters; %s has %zu", what,
			TOPO_NAME_MAX, dec_quote(name, quoted), len);
	return 0;
}

static int keep_string(struct dec *d, const char *s, void *out)
{
	*(char **)out = strdup(s);
	return *(char **)out ? 0 : dec_nomem(d);
}

int dec_name(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);

	if (!s)
		return dec_error_type(d, v, "a string");
	if (dec_check_name(d, v->place, f->arg, s))
		return -EINVAL;
	return keep_string(d, s, out);
}

/* A title is for people: any printable text that fits a table's column. */
int dec_title(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);

	if (!s)
		return dec_error_type(d, v, "a string");
	size_t len = strlen(s);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || (unsigned char)s[i] == 0x7f)
			return dec_error(d, v->place,
				"\"%s\" has a control character at its character %zu", d->field,
				i + 1);
	if (len == 0 || len > TOPO_NAME_MAX || s[0] == ' ' || s[len - 1] == ' ')
		return dec_error(d, v->place,
			"\"%s\" must have 1 to %d bytes, and no space at its ends", d->field,
			TOPO_NAME_MAX);
	return keep_string(d, s, out);
}

int dec_memory(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	uint64_t bytes;
	struct err e = { 0 };
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "a size with its unit, such as \"64M\"");
	if (units_parse_size(s, &bytes, &e))
		return dec_error(d, v->place, "\"%s\": %s", d->field, e.text);
	if (bytes == 0)
		return dec_error(
			d, v->place, "\"%s\" is 0: a VM needs memory, such as \"64M\"", d->field);
	if (bytes % MEMORY_STEP)
		return dec_error(d, v->place,
			"\"%s\" must be a multiple of 2M (the size of a huge page); found %s",
			d->field, dec_show(v->json, found));
	*(uint64_t *)out = bytes;
	return 0;
}

int dec_rate(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	const char *s = json_string_value(v->json);
	struct err e = { 0 };

	if (!s)
		return dec_error_type(
			d, v, "a rate with its unit, such as \"10kpps\" or \"1Gbps\", or \"max\"");
	if (units_parse_rate(s, out, &e))
		return dec_error(d, v->place, "\"%s\": %s", d->field, e.text);
	return 0;
}

int dec_unicast(struct dec *d, const struct jtree *v, struct ether_mac *out)
{
	const char *s = json_string_value(v->json);
	char found[DEC_SHOW];

	if (!s)
		return dec_error_type(d, v, "a string such as \"02:00:00:00:00:01\"");
	if (strlen(s) != ETHER_MAC_STR - 1 || ether_mac_parse(s, out))
		return dec_error(d, v->place,
			"a MAC address is six pairs of hex digits with colons, such as "
			"\"02:00:00:00:00:01\"; found %s",
			dec_show(v->json, found));
	if (ether_mac_is_multicast(*out))
		return dec_error(d, v->place,
			"MAC address %s is multicast (its first byte is odd): a NIC's own must be "
			"unicast, such as \"02:00:00:00:00:01\"",
			dec_show(v->json, found));
	if (ether_mac_is_zero(*out))
		return dec_error(d, v->place, "a NIC's MAC address may not be all zeros");
	return 0;
}

int dec_mac(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_nic *nic = out;

	if (dec_unicast(d, v, &nic->mac))
		return -EINVAL;
	nic->mac_given = true;
	nic->mac_place = v->place;
	return 0;
}

struct cpu_set {
	bool has[TOPO_CPUS_MAX];
};

static int cpu_add(struct dec *d, const struct jtree *v, struct cpu_set *set, long from, long to)
{
	if (from < 0 || to >= TOPO_CPUS_MAX)
		return dec_error(d, v->place, "CPUs are numbered 0 to %d; found %ld",
			TOPO_CPUS_MAX - 1, from < 0 ? from : to);
	if (from > to)
		return dec_error(
			d, v->place, "CPUs %ld-%ld: the lower number comes first", from, to);
	for (long c = from; c <= to; c++) {
		if (set->has[c])
			return dec_error(d, v->place, "CPU %ld is named twice", c);
		set->has[c] = true;
	}
	return 0;
}

/* A CPU number of at most 6 digits from *p; -1 if there is none. */
static long cpu_number(const char **p)
{
	long n = 0;
	size_t digits = strspn(*p, "0123456789");

	if (digits == 0 || digits > 6)
		return -1;
	for (; digits; digits--)
		n = n * 10 + *(*p)++ - '0';
	return n;
}

static int cpus_from_text(struct dec *d, const struct jtree *v, struct cpu_set *set)
{
	const char *p = json_string_value(v->json);
	char found[DEC_SHOW];

	for (;;) {
		long from = cpu_number(&p), to = from;

		if (from >= 0 && *p == '-') {
			p++;
			to = cpu_number(&p);
		}
		if (from < 0 || to < 0 || (*p && *p != ','))
			return dec_error(d, v->place,
				"\"%s\" must be \"auto\", or CPUs such as \"0,2-3\" or [0, 2, 3]; found %s",
				d->field, dec_show(v->json, found));
		if (cpu_add(d, v, set, from, to))
			return -EINVAL;
		if (!*p++)
			return 0;
	}
}

static int cpus_from_list(struct dec *d, const struct jtree *v, struct cpu_set *set)
{
	if (v->n == 0)
		return dec_error(d, v->place, "\"%s\" names no CPU: leave it out, or say \"auto\"",
			d->field);
	for (const struct jtree *c = v->first; c; c = c->next) {
		json_int_t n = json_integer_value(c->json);

		if (!json_is_integer(c->json))
			return dec_error_type(d, c, "a list of CPU numbers");
		if (cpu_add(d, c, set, n, n))
			return -EINVAL;
	}
	return 0;
}

int dec_cpus(struct dec *d, const struct jtree *v, const struct dec_field *f, void *out)
{
	struct topo_cpus *cpus = out;
	struct cpu_set set = { 0 };
	const char *s = json_string_value(v->json);
	int rc;

	cpus->place = v->place;
	if (s && strcmp(s, "auto") == 0)
		return 0;
	if (s)
		rc = cpus_from_text(d, v, &set);
	else if (json_is_array(v->json))
		rc = cpus_from_list(d, v, &set);
	else
		rc = dec_error_type(d, v, "\"auto\", or CPUs such as \"0,2-3\" or [0, 2, 3]");
	if (rc)
		return rc;
	cpus->cpu = calloc(TOPO_CPUS_MAX, sizeof(*cpus->cpu));
	if (!cpus->cpu)
		return dec_nomem(d);
	for (int c = 0; c < TOPO_CPUS_MAX; c++)
		if (set.has[c])
			cpus->cpu[cpus->n++] = c;
	return 0;
}

const struct dec_shape values_shapes[] = {
	{ dec_bool, .json = "{'type': 'boolean'}" },
	{ dec_name, .json = SHAPE_NAME },
	{ dec_title,
		.json = "{'type': 'string', 'minLength': 1, 'maxLength': " SHAPE_N(
			TOPO_NAME_MAX) ", "
				       "'pattern': '^[^ \\\\u0000-\\\\u001f\\\\u007f]"
				       "([^\\\\u0000-\\\\u001f\\\\u007f]*[^ ])?$'}" },
	{ dec_memory, .json = SHAPE_SIZE },
	{ dec_rate,
		.json = "{'type': 'string', "
			"'pattern': '^(max|[0-9]+(\\\\.[0-9]+)?[kMG]?(pps|bps))$'}" },
	{ dec_mac, .json = SHAPE_MAC },
	{ dec_cpus,
		.json = "{'anyOf': [{'const': 'auto'}, {'type': 'string', "
			"'pattern': '^[0-9]{1,6}(-[0-9]{1,6})?(,[0-9]{1,6}(-[0-9]{1,6})?)*$'}, "
			"{'type': 'array', 'minItems': 1, 'uniqueItems': true, "
			"'items': {'type': 'integer', 'minimum': 0, 'maximum': 1023}}]}" },
	{ 0 },
};
static_assert(TOPO_CPUS_MAX == 1024, "the shape of dec_cpus");
