/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM needs besides itself: the initramfs of a Linux guest, which is a file in the run
 * folder, and the programs of other projects that serve its disks and folders over vhost-user
 * (qemu-storage-daemon, virtiofsd). Those speak no JSON-RPC: they are there when their socket is,
 * and end by SIGTERM; a virtiofsd ends by itself when its VM has gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "image/image.h"
#include "lab/daemon.h"
#include "lab/steps_own.h"
#include "lab/sysroot.h"
#include "lab/vf.h"

#define READY_MS 20000 /* from a server's start to its socket */

/* ---- the initramfs ---- */

static const char *text_of(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

/* "pci:v00008086d..." of the VFs that the guest has: what their drivers are found by. */
static int list_functions(
	const struct plan *p, const struct step *s, struct strs *out, struct err *e)
{
	const json_t *f;
	size_t i;

	json_array_foreach (json_object_get(s->policy, "functions"), i, f) {
		char *address = vf_fill(p, json_string_value(f), e), alias[256];
		int r = address ? sysroot_modalias(address, alias, sizeof alias) : e->code;

		if (address && r)
			err_set(e, r, "what kind of device %s is can't be read: %s", address,
				err_str(r));
		free(address);
		if (r)
			return r;
		strs_add(out, "%s", alias);
	}
	return 0;
}

static int write_image(const struct step *s, const char *modules, const struct strs *functions,
	int64_t tsc_hz, struct err *e)
{
	const json_t *spec = s->policy, *list = json_object_get(spec, "files"), *f;
	struct image_file *files = lab_calloc(json_array_size(list) + 1, sizeof *files);
	enum image_root root = (enum image_root)json_integer_value(json_object_get(spec, "root"));
	json_t *told = json_copy(json_object_get(spec, "config"));

	/* Who measures with this guest takes the clock for the same. */
	json_object_set_new(told, "tsc_hz", json_integer(tsc_hz));
	/* For modprobe. */
	if (modules && root == IMAGE_ROOT_HOST)
		json_object_set_new(told, "modules", json_string(modules));
	char *config = json_dumps(told, JSON_COMPACT);
	struct image_spec image = {
		.init = text_of(spec, "init"),
		.config = config,
		.modules = modules,
		.root = root,
		.disks = json_is_true(json_object_get(spec, "disks")),
		.shares = json_is_true(json_object_get(spec, "shares")),
		.files = files,
		.devices = (const char *const *)functions->v,
		.n_devices = functions->n,
	};
	size_t i;
	int r;

	json_array_foreach (list, i, f)
		files[image.n_files++] =
			(struct image_file){ text_of(f, "from"), text_of(f, "to") };
	r = image_write(&image, s->path, e);
	json_decref(told);
	free(files);
	free(config);
	return r;
}

int steps_image_run(struct carry *c, struct step *s, struct err *e)
{
	bool none = json_is_true(json_object_get(s->policy, "no_modules"));
	struct strs functions = { 0 };
	struct image_kernel k;
	int r = steps_tsc_hz(c, e);

	if (!r && !none)
		r = image_kernel_open(
			text_of(s->policy, "kernel"), text_of(s->policy, "modules"), &k, e);
	if (!r && !none)
		r = list_functions(c->plan, s, &functions, e);
	if (!r)
		r = write_image(s, none ? NULL : k.modules, &functions, c->tsc_hz, e);
	strs_free(&functions);
	return r;
}

int steps_image_undo(struct carry *c, struct step *s, struct err *e)
{
	if (unlink(s->path) == 0 || errno == ENOENT)
		return 0;
	return err_set(e, -errno, "%s can't be removed: %s", s->path, err_str(errno));
}

/* ---- servers ---- */

/* What a crash left; a socket that somebody listens on stays, and the server says so. */
static void clear(const struct step *s)
{
	if (s->kind == STEP_DISKS)
		unlink(s->socket);
	else
		fd_unix_clear_stale(s->socket, NULL);
}

int steps_server_run(struct carry *c, struct step *s, struct err *e)
{
	clear(s);
	if (s->path && mkdir(s->path, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno, "%s can't be made: %s", s->path, err_str(errno));
	return steps_start(c, s, s->args.v, e);
}

int steps_server_undo(struct carry *c, struct step *s, struct err *e)
{
	char who[TOPO_NAME_MAX + 32];
	int r = steps_stop(c, s, NULL, step_describe_short(s, who, sizeof who), e);

	if (r)
		return r;
	clear(s);
	for (size_t k = 0; s->kind == STEP_DISKS && k < TOPO_DISKS_MAX; k++) {
		char *path = lab_asprintf("%s/%s.disk%zu.vhost", c->plan->dir, s->name, k);

		fd_unix_clear_stale(path, NULL);
		free(path);
	}
	if (s->path)
		rmdir(s->path);
	return 0;
}

static int wait_server(struct carry *c, const struct step *s, struct err *e)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)daemon_ms(READY_MS) * NS_PER_MS;
	char who[TOPO_NAME_MAX + 32];

	while (access(s->socket, F_OK) < 0) {
		if (carry_pause(c, STEPS_PAUSE_MS, e))
			return e->code;
		if (clock_now_ns() > deadline)
			return err_set(e, -ETIMEDOUT,
				"%s is not ready after %d s: there is no %s (see %s)",
				step_describe_short(s, who, sizeof who), daemon_ms(READY_MS) / 1000,
				s->socket, s->log);
	}
	return 0;
}

int steps_wait_servers(struct carry *c, const char *node, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < c->plan->n_steps && !r; i++) {
		const struct step *s = &c->plan->steps[i];

		if (step_is_server(s) && step_helps(s, node) && s->state != STEP_PLANNED)
			r = wait_server(c, s, e);
	}
	return r;
}
