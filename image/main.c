/* SPDX-License-Identifier: Apache-2.0 */
/* lanyard-image: image_write from a shell. `lanyard up` calls image_write itself. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/units.h"
#include "image/image.h"

#define CONFIG_BYTES_MAX (1u << 20)
#define NAMES_MAX        256

enum { OPT_SHOW = 0x100 };

struct options {
	struct image_spec spec;
	const char *kernel, *modules, *config_file, *out;
	bool no_modules, show;
	const char *extra[NAMES_MAX];
	struct image_file files[NAMES_MAX];
};

static const struct argp_option option_rows[] = {
	{ "init", 'i', "FILE", 0, "lanyard-init (default: beside this program)", 0 },
	{ "kernel", 'k', "FILE", 0,
		"the kernel that the image is for (default: of /boot/vmlinuz-*, the running one)",
		0 },
	{ "modules", 'm', "DIR", 0, "its modules, such as /lib/modules/VERSION", 0 },
	{ "no-modules", 'n', NULL, 0, "the kernel needs none", 0 },
	{ "module", 'l', "NAME", 0, "load this one, too (repeatable)", 0 },
	{ "config", 'c', "FILE", 0, "JSON for the guest's init (docs/linux-guests.md)", 0 },
	{ "root", 'r', "none|host|disk", 0, "where the guest's root is (default none)", 0 },
	{ "disks", 'd', NULL, 0, "the guest has virtio disks", 0 },
	{ "shares", 's', NULL, 0, "the guest has virtiofs shares", 0 },
	{ "file", 'f', "FROM[:TO]", 0,
		"a file or folder of this host, with the libraries it needs (repeatable)", 0 },
	{ "max", 'M', "SIZE", 0, "refuse to make a larger one (default 1G)", 0 },
	{ "show-kernel", OPT_SHOW, NULL, 0, "print kernel, version and modules' folder, and end",
		0 },
	{ 0 },
};

static int parse_root(const char *arg, enum image_root *out)
{
	static const char *const names[] = { "none", "host", "disk" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(arg, names[i]))
			return *out = (enum image_root)i, 0;
	return -1;
}

static void add_file(struct options *o, char *arg, struct argp_state *state)
{
	char *colon = strchr(arg, ':');

	if (o->spec.n_files == NAMES_MAX)
		argp_error(state, "--file: at most %d", NAMES_MAX);
	if (colon)
		*colon = '\0';
	o->files[o->spec.n_files++] = (struct image_file){ arg, colon ? colon + 1 : NULL };
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	struct err e = { 0 };

	switch (key) {
	case 'i':
		o->spec.init = arg;
		break;
	case 'k':
		o->kernel = arg;
		break;
	case 'm':
		o->modules = arg;
		break;
	case 'n':
		o->no_modules = true;
		break;
	case 'l':
		if (o->spec.n_extra_modules == NAMES_MAX)
			argp_error(state, "--module: at most %d", NAMES_MAX);
		o->extra[o->spec.n_extra_modules++] = arg;
		break;
	case 'c':
		o->config_file = arg;
		break;
	case 'r':
		if (parse_root(arg, &o->spec.root))
			argp_error(state, "--root %s: expected none, host or disk", arg);
		break;
	case 'd':
		o->spec.disks = true;
		break;
	case 's':
		o->spec.shares = true;
		break;
	case 'f':
		add_file(o, arg, state);
		break;
	case 'M':
		if (units_parse_size(arg, &o->spec.max_bytes, &e))
			argp_error(state, "--max: %s", e.text);
		break;
	case OPT_SHOW:
		o->show = true;
		break;
	case ARGP_KEY_ARG:
		if (o->out)
			argp_error(state, "one archive, not two: %s and %s", o->out, arg);
		o->out = arg;
		break;
	case ARGP_KEY_END:
		if (!o->out && !o->show)
			argp_error(state, "where to write the archive is missing");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* Build folder, same folder, installation. */
static const char *find_init(void)
{
	static const char *const beside[] = { "../guest/linux/lanyard-init", "lanyard-init",
		"../share/lanyard/lanyard-init" };
	static char path[IMAGE_PATH_MAX];
	char *self = realpath("/proc/self/exe", NULL);

	for (size_t i = 0; self && i < 3; i++) {
		snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(self, '/') - self), self,
			beside[i]);
		char *real = realpath(path, NULL);
		if (real) {
			free(self);
			return real; /* until the end of the process */
		}
	}
	free(self);
	return path;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { option_rows, parse, "ARCHIVE",
		"Makes an initramfs for a Linux guest: Lanyard's init and agent, a kernel's modules, files of "
		"this host.",
		NULL, NULL, NULL };
	static struct options o;
	struct image_kernel k;
	struct err e = { 0 };
	char *config = NULL;
	int rc = 0;

	argp_err_exit_status = ERR_REQUEST;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	o.spec.files = o.files;
	o.spec.extra_modules = o.extra;
	if (!o.spec.init)
		o.spec.init = find_init();
	if (!o.no_modules || o.show) {
		if (o.modules && !o.kernel && !o.show)
			snprintf(k.modules, sizeof(k.modules), "%s", o.modules);
		else if (o.kernel)
			rc = image_kernel_open(o.kernel, o.modules, &k, &e);
		else
			rc = image_kernel_find(NULL, o.modules, &k, &e);
		o.spec.modules = k.modules;
	}
	if (!rc && o.show) {
		printf("%s\n%s\n%s\n", k.path, k.version, k.modules);
		return 0;
	}
	if (!rc && o.config_file)
		rc = fd_read_file(o.config_file, CONFIG_BYTES_MAX, &config, NULL, &e);
	o.spec.config = config;
	if (!rc)
		rc = image_write(&o.spec, o.out, &e);
	free(config);
	if (!rc)
		return 0;
	fprintf(stderr, "lanyard-image: %s\n", e.text);
	return e.class;
}
