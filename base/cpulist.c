/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpulist.h"

#include <stdio.h>
#include <string.h>

char *cpulist_text(const cpu_set_t *set, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		char number[16];
		size_t n;

		if (!CPU_ISSET(cpu, set))
			continue;
		n = (size_t)snprintf(number, sizeof(number), "%s%d", at ? "," : "", cpu);
		if (at + n >= size)
			break;
		memcpy(out + at, number, n + 1);
		at += n;
	}
	return out;
}

char *cpulist_allowed(char *out, size_t size)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		CPU_ZERO(&set);
	return cpulist_text(&set, out, size);
}
