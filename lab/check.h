/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this host can carry the plan out: what the topology's own validation can't know. */
#ifndef LANYARD_LAB_CHECK_H
#define LANYARD_LAB_CHECK_H

#include <stdint.h>

#include "base/err.h"
#include "config/topology.h"
#include "lab/host.h"
#include "lab/plan.h"

/*
 * First what the file asks for and can't be had (ERR_REQUEST, with FILE:LINE:COL): guests' files,
 * memory, lengths of socket paths; then what the host lacks (ERR_HOST, with what to do):
 * programs, /dev/kvm.
 */
int check_host(const struct topology *t, const struct plan *p, const struct paths *paths,
	const struct host *h, struct err *e);

/* 0 if the file is a 64-bit x86 ELF with a PVH entry note; else -errno and a sentence with no
 * place. check_guest_image: the same for a file's bytes; pure. */
int check_guest_file(const char *path, struct err *e);
int check_guest_image(const uint8_t *image, size_t len, struct err *e);

/* Why /dev/kvm can't be used (h->kvm), and what to do; 0 if it can. */
int check_kvm(const struct host *h, struct err *e);

#endif
