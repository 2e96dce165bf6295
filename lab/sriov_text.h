/* SPDX-License-Identifier: Apache-2.0 */
/* PFs and plans as tables, for people. */
#ifndef LANYARD_LAB_SRIOV_TEXT_H
#define LANYARD_LAB_SRIOV_TEXT_H

#include <stdio.h>

#include "sriov/sriov.h"

void sriov_print_list(const struct sriov_state *s, FILE *out, int width);
void sriov_print_pf(const struct sriov_state *s, const struct sriov_pf *pf, FILE *out, int width);
void sriov_print_plan(const struct sriov_plan *p, FILE *out, int width);

#endif
