/* SPDX-License-Identifier: Apache-2.0 */
/* `lanyard bench TOPOLOGY|LAB [--json FILE]`: runs the topology's traffic, prints the table. */
#ifndef LANYARD_LAB_BENCH_H
#define LANYARD_LAB_BENCH_H

/* argv[0] is "lanyard bench" (for argp's usage lines). Returns the exit status. */
int lab_cmd_bench(int argc, char **argv);
int lab_cmd_compare(int argc, char **argv);
int lab_cmd_report(int argc, char **argv);

#endif
