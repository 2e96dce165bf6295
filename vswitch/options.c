/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. */
#include "vswitch/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char sw_usage[] =
	"usage: lanyard-switch --control PATH [--cpus LIST] [--poll adaptive|busy]\n"
	"                      [--memory MB] [--no-huge] [--log-level error|warn|info|debug]\n"
	"One worker for each CPU of LIST (such as 0,2-3); without it, one that is not pinned.\n";

static int cpu_add(struct sw_options *o, long cpu, const char *list, struct err *e)
{
	for (uint32_t i = 0; i < o->n_cpus; i++)
		if (o->cpus[i] == cpu)
			return err_request(
				e, -EINVAL, "--cpus %s: CPU %ld is there twice", list, cpu);
	if (o->n_cpus == DP_WORKERS_MAX)
		return err_request(
			e, -EINVAL, "--cpus %s: more than %d CPUs", list, DP_WORKERS_MAX);
	o->cpus[o->n_cpus++] = (int)cpu;
	return 0;
}

static int cpus_parse(struct sw_options *o, const char *list, struct err *e)
{
	const char *s = list;
	char *end;
	int ret;

	do {
		long from = strtol(s, &end, 10), to = from;

		if (end == s || from < 0 || *s < '0' || *s > '9')
			break;
		s = end;
		if (*s == '-') {
			to = strtol(s + 1, &end, 10);
			if (end == s + 1 || to < from)
				break;
			s = end;
		}
		if (to >= CPU_SETSIZE)
			break;
		for (; from <= to; from++) {
			ret = cpu_add(o, from, list, e);
			if (ret)
				return ret;
		}
		if (*s == '\0')
			return 0;
	} while (*s++ == ',');
	return err_request(e, -EINVAL, "--cpus %s: expected CPUs such as 0,2-3", list);
}

static int poll_parse(struct sw_options *o, const char *word, struct err *e)
{
	o->busy = strcmp(word, "busy") == 0;
	if (!o->busy && strcmp(word, "adaptive"))
		return err_request(e, -EINVAL, "--poll %s: expected adaptive or busy", word);
	return 0;
}

static int memory_parse(struct sw_options *o, const char *word, struct err *e)
{
	char *end;
	long mb = strtol(word, &end, 10);

	if (end == word || *end || mb < 16 || mb > 1 << 20)
		return err_request(e, -EINVAL, "--memory %s: expected MiB, from 16 up", word);
	o->memory_mb = (uint32_t)mb;
	return 0;
}

int sw_options_parse(int argc, char **argv, struct sw_options *o, enum log_level *level, bool *help,
	struct err *e)
{
	static const struct option longs[] = {
		{ "control", required_argument, NULL, 's' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "poll", required_argument, NULL, 'p' },
		{ "memory", required_argument, NULL, 'm' },
		{ "no-huge", no_argument, NULL, 'H' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int opt, ret = 0;

	memset(o, 0, sizeof(*o));
	*help = false;
	optind = 1;
	opterr = 0;
	while (ret == 0 && (opt = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (opt == 's')
			o->control = optarg;
		else if (opt == 'c')
			ret = cpus_parse(o, optarg, e);
		else if (opt == 'p')
			ret = poll_parse(o, optarg, e);
		else if (opt == 'm')
			ret = memory_parse(o, optarg, e);
		else if (opt == 'H')
			o->no_huge = true;
		else if (opt == 'l' && log_level_parse(optarg, level))
			ret = err_request(e, -EINVAL,
				"--log-level %s: expected error, warn, info or debug", optarg);
		else if (opt == 'h')
			*help = true;
		else if (opt == ':' || opt == '?')
			ret = err_request(e, -EINVAL, "%s: %s", argv[optind - 1],
				opt == ':' ? "a value is missing" : "unknown option");
	}
	if (ret || *help)
		return ret;
	if (optind < argc)
		return err_request(e, -EINVAL, "%s: unexpected argument", argv[optind]);
	if (!o->control)
		return err_request(e, -EINVAL, "--control PATH is missing");
	return 0;
}
