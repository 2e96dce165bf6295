/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's modules: which files a module needs, in the order to load them. Reads the tables that
 * depmod makes (modules.dep, .builtin, .softdep, .alias); the tables are text that nobody vouches
 * for: whatever they say, every result is a path below the folder, named once.
 *
 * A module's name is its file's without suffixes, with '_' for '-', as the kernel has it.
 */
#ifndef LANYARD_IMAGE_MODULES_H
#define LANYARD_IMAGE_MODULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define MODULE_NAME_MAX 64 /* with its NUL */

/* The tables; softdep and alias may be NULL. */
struct modules_text {
	const char *dep, *builtin, *softdep, *alias;
	const char *modinfo; /* of what is built in: texts that each end with a NUL; or NULL */
	size_t modinfo_len;
};

/* What to load: paths relative to the folder, each needed by later ones only. */
struct modules_order {
	const char **paths; /* they live as long as the struct modules */
	size_t n;
};

struct modules;

/* The folder is /lib/modules/VERSION or its like. NULL and *e (ERR_HOST): it is not there, or has
 * no modules.dep. */
struct modules *modules_load(const char *folder, struct err *e);

/* The same, of tables in memory (copied). Pure. folder: for messages. */
struct modules *modules_parse(const char *folder, const struct modules_text *t, struct err *e);

void modules_free(struct modules *m);

/*
 * Adds a module (any spelling of its name) with all that it needs, before it, to what earlier calls
 * put into *o; what is there already is not added twice, what is built in not at all. -ENOENT if
 * the kernel has no such module; *e is a sentence, ERR_REQUEST.
 */
int modules_add(struct modules *m, const char *name, struct modules_order *o, struct err *e);

/*
 * The same for the modules that the kernel would load for a device: those whose alias matches its
 * modalias ("pci:v00008086d000010CAsv..."). -ENOENT, ERR_REQUEST: it has none. A driver that is built
 * in is known by modules.builtin.modinfo, and is enough.
 */
int modules_add_device(
	struct modules *m, const char *modalias, struct modules_order *o, struct err *e);

void modules_order_free(struct modules_order *o);

#endif
