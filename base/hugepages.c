/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hugepages.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"

#define HUGE_DIR "/sys/kernel/mm/hugepages"

/* Free hugepages of one size ("hugepages-2048kB") in MiB. */
static uint64_t huge_free_mb(const char *dir)
{
	char path[128], *text = NULL;
	uint64_t kb = 0, n = 0;

	if (sscanf(dir, "hugepages-%lukB", &kb) != 1)
		return 0;
	snprintf(path, sizeof(path), HUGE_DIR "/%.40s/free_hugepages", dir);
	if (fd_read_file(path, 64, &text, NULL, NULL) == 0)
		n = strtoull(text, NULL, 10);
	free(text);
	return n * kb / 1024;
}

bool hugepages_free(uint64_t mb)
{
	DIR *dir = opendir(HUGE_DIR);
	struct dirent *de;
	bool enough = false;

	while (dir && !enough && (de = readdir(dir)))
		enough = huge_free_mb(de->d_name) >= mb;
	if (dir)
		closedir(dir);
	return enough;
}
