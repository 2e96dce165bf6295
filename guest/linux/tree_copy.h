/* SPDX-License-Identifier: Apache-2.0 */
/* Copies what is in a folder to where it belongs in the root: see tree_copy. */
#ifndef LANYARD_GUEST_LINUX_TREE_COPY_H
#define LANYARD_GUEST_LINUX_TREE_COPY_H

#include <jansson.h>

/* What is at PATH below the folder dir goes to /PATH, through links to folders that are there (such
 * as /bin); what is at that place is replaced. Files, folders and links. */
void tree_copy(int dir, json_t *problems);

#endif
