/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs on the command line: see options_cpu.h. */
#include "vmm/options_cpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A number from 1 to the most vCPUs, which ends at `end`. */
static bool parse_count(const char *s, const char *end, unsigned *out)
{
	char *stop;
	unsigned long v = strtoul(s, &stop, 10);

	if (*s < '0' || *s > '9' || stop != end || v < 1 || v > OPTIONS_VCPUS_MAX)
		return false;
	*out = (unsigned)v;
	return true;
}

int options_parse_vcpus(struct vmm_options *o, const char *s, struct err *e)
{
	struct cpu_topology t = { 0 };
	const struct {
		const char *key;
		unsigned *to;
	} keys[] = { { "sockets=", &t.sockets }, { "cores=", &t.cores },
		{ "threads=", &t.threads } };
	const char *end = s + strcspn(s, ",");
	unsigned n;

	if (!parse_count(s, end, &n))
		return err_request_at(e, -EINVAL, "vcpus",
			"--vcpus is \"%s\", expected a number from 1 to %d", s, OPTIONS_VCPUS_MAX);
	for (const char *p = end; *p; p = end) {
		bool known = false;

		p++;
		end = p + strcspn(p, ",");
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !known; i++) {
			size_t len = strlen(keys[i].key);

			known = !strncmp(p, keys[i].key, len) &&
				parse_count(p + len, end, keys[i].to);
		}
		if (!known)
			return err_request_at(e, -EINVAL, "vcpus",
				"--vcpus: \"%.*s\", expected sockets=N, cores=N or threads=N with "
				"numbers from 1 to %d",
				end - p > 64 ? 64 : (int)(end - p), p, OPTIONS_VCPUS_MAX);
	}
	o->vcpus = n;
	o->topology = t;
	return cpu_topology_complete(&o->topology, n, e) ? err_prefix(e, "--vcpus") : 0;
}

int options_parse_cpus(struct vmm_options *o, const char *s, struct err *e)
{
	o->n_cpus = 0;
	for (const char *p = s;;) {
		char *end;
		unsigned long first, last;

		if (*p < '0' || *p > '9')
			break;
		first = last = strtoul(p, &end, 10);
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		if (last < first || last > 4095)
			break;
		for (; first <= last && o->n_cpus < OPTIONS_VCPUS_MAX; first++)
			o->cpus[o->n_cpus++] = (int)first;
		if (!*end)
			return 0;
		if (*end != ',')
			break;
		p = end + 1;
	}
	return err_request(e, -EINVAL, "--cpus is \"%s\", expected CPUs like 0,2-3", s);
}

int options_parse_cpu_without(struct vmm_options *o, const char *s, struct err *e)
{
	for (const char *p = s;;) {
		size_t len = strcspn(p, ",");

		if (cpuid_feature_check(p, len, e))
			return err_prefix(e, "--cpu-without");
		if (!p[len])
			break;
		p += len + 1;
	}
	o->cpu_without = s;
	return 0;
}
