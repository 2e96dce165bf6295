/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sriov/ reads, by the first byte: 'p', a file of PFs; 'n', an rtnetlink message; 'j', a step
 * in a journal. Something valid or an error, never a crash or a leak; and a step that was read is
 * written as one that reads the same.
 */
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/own.h"
#include "sriov/vfmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_file(const char *text, size_t size)
{
	struct err e = { 0 };
	struct pfs p;

	if (pfs_parse("f", text, size, &p, &e) == 0) {
		for (size_t i = 0; i < p.n; i++)
			for (size_t j = 1; j < p.v[i].n_vfs; j++)
				if (p.v[i].vfs[j - 1].index >= p.v[i].vfs[j].index)
					abort();
		pfs_free(&p);
	} else if (e.class != ERR_REQUEST || strncmp(e.text, "f:", 2)) {
		abort();
	}
}

static void fuzz_message(const uint8_t *data, size_t size)
{
	struct nlmsghdr *h = malloc(size + sizeof(*h));
	struct vfmsg_link link;

	h->nlmsg_len = (uint32_t)(size + sizeof(*h));
	h->nlmsg_type = 16; /* RTM_NEWLINK */
	h->nlmsg_flags = 0;
	h->nlmsg_seq = h->nlmsg_pid = 0;
	memcpy(h + 1, data, size);
	vfmsg_parse(h, &link);
	free(link.vfs);
	free(h);
}

static void fuzz_step(const char *text, size_t size)
{
	json_t *j = json_loadb(text, size, 0, NULL), *a, *b;
	struct sriov_step step, back;

	if (j && sriov_step_from_json(j, &step) == 0) {
		a = sriov_step_json(&step);
		if (!a || sriov_step_from_json(a, &back))
			abort();
		b = sriov_step_json(&back);
		if (!json_equal(a, b))
			abort();
		json_decref(a);
		json_decref(b);
		sriov_step_free(&step);
		sriov_step_free(&back);
	}
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] == 'p')
		fuzz_file((const char *)data + 1, size - 1);
	else if (data[0] == 'n')
		fuzz_message(data + 1, size - 1);
	else if (data[0] == 'j')
		fuzz_step((const char *)data + 1, size - 1);
	return 0;
}
