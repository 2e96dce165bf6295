/* SPDX-License-Identifier: Apache-2.0 */
/* lanyard-vmm: one virtual machine, as its command line says (docs/control.md, docs/vmm.md). */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "vmm/vm.h"

/* 16 NICs of 16 queue pairs have more than 1,024 eventfds. */
static void raise_fd_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

int main(int argc, char **argv)
{
	struct vmm_options opt;
	struct err e = { 0 };
	struct vm vm;
	int status;

	/* One heap for all threads: the process stays small, and none of them is busy with it. */
	mallopt(M_ARENA_MAX, 1);
	raise_fd_limit();
	signal(SIGPIPE, SIG_IGN);
	if (vmm_options_parse(&opt, argc, argv, &e)) {
		fprintf(stderr, "lanyard-vmm: %s\n", e.text);
		vmm_options_free(&opt);
		return e.class;
	}
	if (opt.help || opt.version) {
		fputs(opt.help ? vmm_usage : "lanyard-vmm " LANYARD_VERSION "\n", stdout);
		return 0;
	}
	log_set_level(opt.log_level);
	if (vm_start(&vm, &opt, &e)) {
		log_error("ended: %s", e.text);
		status = e.class;
	} else {
		status = vm_run(&vm);
	}
	vm_free(&vm);
	vmm_options_free(&opt);
	return status;
}
