/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/cmd.h"
#include "lab/lab.h"
#include "lab/status.h"
#include "lab/table.h"

int cmd_status(const struct cmd_args *a)
{
	struct err e = { 0 };
	json_t *doc = a->n ? status_lab(a->arg[0], &e) : status_all();

	if (!doc)
		return lab_fail(&e);
	if (a->given & CMD_JSON)
		return cmd_print_json(doc);
	if (a->n)
		status_print(doc, stdout, table_width(stdout));
	else
		status_print_all(doc, stdout, table_width(stdout));
	json_decref(doc);
	return 0;
}
