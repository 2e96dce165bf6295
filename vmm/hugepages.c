/* SPDX-License-Identifier: Apache-2.0 */
/* Huge pages of the host: see hugepages.h. Source: Linux, admin-guide/mm/hugetlbpage.rst. */
#include "vmm/hugepages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/units.h"

#define NODES_MAX 1024

/* A number from a file of the pages of one size, of the host or (node >= 0) of one node. False: it
 * is not there. */
static bool read_number(const char *root, int node, uint64_t kib, const char *file, uint64_t *out)
{
	char path[512], place[64] = "kernel/mm", *text = NULL;
	bool there;

	if (node >= 0)
		snprintf(place, sizeof(place), "devices/system/node/node%d", node);
	snprintf(path, sizeof(path), "%s/sys/%s/hugepages/hugepages-%" PRIu64 "kB/%s", root, place,
		kib, file);
	there = fd_read_file(path, 64, &text, NULL, NULL) == 0;
	*out = there ? strtoull(text, NULL, 10) : 0;
	free(text);
	return there;
}

/* " (node 0: 12, node 1: 0)": what is free where, if there is more than one node. */
static void nodes_text(const char *root, uint64_t kib, char *out, size_t size)
{
	size_t len = 0;
	unsigned n = 0;
	uint64_t v;

	out[0] = '\0';
	for (int node = 0; node < NODES_MAX && len + 32 < size; node++) {
		if (!read_number(root, node, kib, "free_hugepages", &v))
			continue;
		len += (size_t)snprintf(
			out + len, size - len, "%snode %d: %" PRIu64, n++ ? ", " : " (", node, v);
	}
	if (n < 2)
		out[0] = '\0';
	else
		snprintf(out + len, size - len, ")");
}

int hugepages_check(const char *root, uint64_t page_size, uint64_t bytes, struct err *e)
{
	uint64_t kib = page_size >> 10, wanted = bytes / page_size, total, is_free, reserved;
	char nodes[300], page[16], asked[16];

	units_format_size(page_size, page);
	units_format_size(bytes, asked);
	if (!read_number(root, -1, kib, "nr_hugepages", &total))
		return err_host(e, -ENOTSUP,
			"this host has no hugepages of %s: its CPU or kernel can't; ask for another "
			"size, or for none",
			page);
	read_number(root, -1, kib, "free_hugepages", &is_free);
	read_number(root, -1, kib, "resv_hugepages", &reserved);
	is_free = is_free > reserved ? is_free - reserved : 0;
	if (is_free >= wanted)
		return 0;
	nodes_text(root, kib, nodes, sizeof(nodes));
	return err_host(e, -ENOMEM,
		"%" PRIu64 " hugepages of %s are missing: the guest's %s needs %" PRIu64
		", and %" PRIu64 " of %" PRIu64 " are free%s; have more, as root: echo %" PRIu64
		" >/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/nr_hugepages%s",
		wanted - is_free, page, asked, wanted, is_free, total, nodes,
		total + wanted - is_free, kib,
		page_size > (2u << 20) ? " (where that finds none, reserve them at boot: "
					 "hugepagesz=1G hugepages=N)"
				       : "");
}
