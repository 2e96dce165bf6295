/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of each kind of thread. A call that is in no row for its kind does not happen:
 * the thread gets SIGSYS, whose handler says so in the log's last line and dies of a second one
 * (which comes while SIGSYS is blocked, so that the kernel ends the process). Someone who runs code
 * of his own in here can't change that handler, since no row has rt_sigaction.
 *
 * ioctl's row is further down: which requests. Nothing maps or makes memory executable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vfio.h>
#include <linux/vhost.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/sandbox.h"

#define M   (1u << SANDBOX_MAIN)
#define V   (1u << SANDBOX_VCPU)
#define L   (1u << SANDBOX_LINK)
#define T   (1u << SANDBOX_TAP)
#define S   (1u << SANDBOX_SERVE)
#define ALL (M | V | L | T | S)
#define P   (1u << SANDBOX_KINDS) /* only where devices are passed through */

/* Bits of argument `arg` under `mask` must be `value`; mask 0: any arguments. */
struct rule {
	int nr;
	unsigned kinds;
	unsigned arg;
	uint64_t mask, value;
};

#define ANY(name, kinds)                       \
	{                                      \
		SCMP_SYS(name), kinds, 0, 0, 0 \
	}
#define IF(name, kinds, arg, mask, value)               \
	{                                               \
		SCMP_SYS(name), kinds, arg, mask, value \
	}
#define IOCTL(request, kinds)                                              \
	{                                                                  \
		SCMP_SYS(ioctl), kinds, 1, 0xffffffff, (uint32_t)(request) \
	}
#define FCNTL(command, kinds)                                  \
	{                                                      \
		SCMP_SYS(fcntl), kinds, 1, 0xffffffff, command \
	}

static const struct rule rules[] = {
	/* Busy ones first. */
	IOCTL(KVM_RUN, V),
	ANY(read, ALL),
	ANY(write, ALL),
	ANY(writev, ALL), /* what libc says before it aborts */
	ANY(futex, ALL),
	ANY(poll, ALL),
	ANY(ppoll, ALL),
	ANY(close, ALL),
	ANY(rt_sigreturn, ALL),
	ANY(rt_sigprocmask, ALL),
	ANY(restart_syscall, ALL),
	ANY(clock_gettime, ALL),
	ANY(clock_nanosleep, ALL),
	ANY(nanosleep, ALL),
	ANY(gettid, ALL),
	ANY(getpid, ALL),
	ANY(tgkill, ALL),
	ANY(sched_yield, ALL),
	ANY(exit, ALL),
	ANY(exit_group, ALL),

	/* The heap, and stacks of threads that ended. */
	ANY(brk, ALL),
	ANY(munmap, ALL),
	ANY(madvise, ALL),
	ANY(mremap, ALL),
	ANY(getrandom, ALL),
	IF(mmap, ALL, 2, PROT_EXEC, 0),
	IF(mprotect, ALL, 2, PROT_EXEC, 0),

	/* The event loop and its clients. */
	ANY(epoll_wait, M),
	ANY(epoll_pwait, M),
	ANY(epoll_ctl, M),
	ANY(accept4, M | L),
	ANY(timerfd_create, M),
	ANY(timerfd_settime, M),
	ANY(pread64, M), /* statistics; the image, at a reset */
	ANY(ftruncate, M | L),
	ANY(fstat, M),
	ANY(newfstatat, M),
	ANY(unlink, M), /* our sockets, at the end; */
	ANY(unlinkat, M),
	ANY(readlinkat, M), /* the link to a pseudo-terminal */
	ANY(wait4, M),      /* the terminal's guard */
	FCNTL(F_GETFL, M | L),
	FCNTL(F_SETFL, M | L),

	/* Sockets: to clients, to back ends. */
	ANY(sendto, M | L),
	ANY(recvfrom, M | L),
	ANY(sendmsg, M | L),
	ANY(recvmsg, M | L),
	ANY(shutdown, M | L),
	IF(socket, L, 0, 0xffffffff, AF_UNIX),
	ANY(connect, L),
	ANY(getsockopt, L),
	ANY(setsockopt, L),
	ANY(memfd_create, L), /* rings that are lent to a disk's back end */

	/* A NIC whose back end is vhost-net: no more than handing over what was opened before. */
	IOCTL(VHOST_SET_FEATURES, T),
	IOCTL(VHOST_SET_MEM_TABLE, T),
	IOCTL(VHOST_SET_VRING_NUM, T),
	IOCTL(VHOST_SET_VRING_ADDR, T),
	IOCTL(VHOST_SET_VRING_BASE, T),
	IOCTL(VHOST_GET_VRING_BASE, T),
	IOCTL(VHOST_SET_VRING_KICK, T),
	IOCTL(VHOST_SET_VRING_CALL, T),
	IOCTL(VHOST_NET_SET_BACKEND, T),
	IOCTL(TUNSETOFFLOAD, T),
	IOCTL(TUNSETQUEUE, T),

	/* Disks. What io_uring then does is no system call: it works on files that are open. */
	ANY(io_uring_enter, S),

	/* Registers that a vCPU wrote, or that a reset puts back, move these. */
	IOCTL(KVM_IRQFD, ALL),
	IOCTL(KVM_IOEVENTFD, ALL),
	IOCTL(KVM_SET_GSI_ROUTING, ALL),
	IOCTL(KVM_IRQ_LINE, M | V),
	IOCTL(KVM_GET_REGS, M | V),
	IOCTL(KVM_SET_REGS, M),
	IOCTL(KVM_GET_SREGS, M),
	IOCTL(KVM_SET_SREGS, M),
	IOCTL(KVM_SET_FPU, M),
	IOCTL(KVM_SET_XCRS, M),
	IOCTL(KVM_SET_DEBUGREGS, M),
	IOCTL(KVM_SET_LAPIC, M),
	IOCTL(KVM_SET_MP_STATE, M),
	IOCTL(KVM_SET_MSRS, M),
	IOCTL(KVM_SET_VCPU_EVENTS, M),
	IOCTL(KVM_SET_IRQCHIP, M),
	IOCTL(KVM_KVMCLOCK_CTRL, M),

	/* Passed-through devices: registers that are not mapped, BARs that move, interrupts that
	 * are unmasked, resets; the end of it all. */
	ANY(pread64, V | P),
	ANY(pwrite64, M | V | P),
	IOCTL(KVM_SET_USER_MEMORY_REGION, M | V | P),
	IOCTL(VFIO_DEVICE_SET_IRQS, M | V | P),
	IOCTL(VFIO_DEVICE_RESET, M | P),
	IOCTL(VFIO_IOMMU_UNMAP_DMA, M | P),
	IOCTL(VFIO_GROUP_UNSET_CONTAINER, M | P),
	IOCTL(KVM_SET_DEVICE_ATTR, M | P),

	IOCTL(TCGETS, M), /* the terminal is put back */
	IOCTL(TCSETS, M),
	IOCTL(TCSETSW, M),

#if defined(__SANITIZE_ADDRESS__)
	/* What AddressSanitizer does by itself, and to report a finding. */
	ANY(sigaltstack, ALL),
	ANY(rt_sigaction, ALL),
	ANY(openat, ALL),
	ANY(lseek, ALL),
	ANY(readlink, ALL),
	ANY(getrlimit, ALL),
	ANY(prlimit64, ALL),
	ANY(getuid, ALL),
	ANY(geteuid, ALL),
	ANY(dup, ALL),
	ANY(uname, ALL),
	ANY(sched_getaffinity, ALL),
	IF(prctl, ALL, 0, 0xffffffff, PR_SET_VMA),
	IF(prctl, ALL, 0, 0xffffffff, PR_GET_NAME),
	IF(prctl, ALL, 0, 0xffffffff, PR_GET_DUMPABLE),
	ANY(fstat, ALL),
	ANY(newfstatat, ALL),
#endif
};

static const char *const kind_names[SANDBOX_KINDS] = {
	[SANDBOX_MAIN] = "the main thread",
	[SANDBOX_VCPU] = "a vCPU's thread",
	[SANDBOX_LINK] = "a link's thread",
	[SANDBOX_TAP] = "a tap's thread",
	[SANDBOX_SERVE] = "a device's thread",
};

/* The process's; written by the main thread before there is another. */
static struct {
	struct sock_fprog prog[SANDBOX_KINDS];
	char *names; /* of system calls, each with a NUL; at name_at[] */
	uint16_t name_at[512];
} made;

static __thread enum sandbox_kind current = SANDBOX_KINDS;

/* --- the handler: nothing in it but the stack and a write --- */

static char *put(char *to, const char *s)
{
	while (*s)
		*to++ = *s++;
	return to;
}

static char *put_number(char *to, unsigned long v, int digits)
{
	for (int i = digits - 1; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
	return to + digits;
}

/* As log_line writes it. Days to a date: http://howardhinnant.github.io/date_algorithms.html. */
static char *put_time(char *to)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	unsigned long s = (unsigned long)ts.tv_sec, z = s / 86400 + 719468, era = z / 146097;
	unsigned long doe = z - era * 146097;
	unsigned long yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned long doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	unsigned long month = mp < 10 ? mp + 3 : mp - 9;

	to = put_number(to, yoe + era * 400 + (month <= 2), 4);
	to = put_number(put(to, "-"), month, 2);
	to = put_number(put(to, "-"), doy - (153 * mp + 2) / 5 + 1, 2);
	to = put_number(put(to, "T"), s / 3600 % 24, 2);
	to = put_number(put(to, ":"), s / 60 % 60, 2);
	to = put_number(put(to, ":"), s % 60, 2);
	to = put_number(put(to, "."), (unsigned long)ts.tv_nsec / 1000000, 3);
	return put(to, "Z ");
}

static void forbidden(int signo, siginfo_t *si, void *context)
{
	char line[256], *p = put_time(line);
	unsigned nr = (unsigned)si->si_syscall;
	bool known = nr < sizeof(made.name_at) / sizeof(made.name_at[0]) && made.names;

	p = put(p, "error ended: the sandbox forbids ");
	p = put(p, kind_names[current < SANDBOX_KINDS ? current : SANDBOX_MAIN]);
	p = put(p, " the system call ");
	p = put(p, known ? made.names + made.name_at[nr] : "?");
	p = put(p, " (");
	p = put_number(p, nr, 3);
	p = put(p, ")\n");
	if (write(STDERR_FILENO, line, (size_t)(p - line)) < 0) {
	}
	syscall(SYS_getppid); /* in no row: the end */
	_exit(1);
}

/* --- making --- */

/* The handler can ask nobody: libseccomp allocates. */
static int make_names(void)
{
	size_t n = sizeof(made.name_at) / sizeof(made.name_at[0]), len = 1, cap = 16384;

	free(made.names);
	made.names = calloc(1, cap);
	for (size_t nr = 0; made.names && nr < n; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)nr);
		size_t bytes = name ? strlen(name) + 1 : 0;

		made.name_at[nr] = 0;
		if (bytes && len + bytes <= cap) {
			memcpy(made.names + len, name, bytes);
			made.name_at[nr] = (uint16_t)len;
			len += bytes;
		}
		free(name);
	}
	return made.names ? 0 : -ENOMEM;
}

static int add_rules(scmp_filter_ctx ctx, enum sandbox_kind kind, bool vfio)
{
	int err = 0;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && !err; i++) {
		const struct rule *r = &rules[i];
		struct scmp_arg_cmp cmp = SCMP_CMP64(r->arg, SCMP_CMP_MASKED_EQ, r->mask, r->value);

		if (!(r->kinds & 1u << kind) || ((r->kinds & P) && !vfio))
			continue;
		err = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, r->nr, r->mask ? 1 : 0, &cmp);
		if (err == -EEXIST)
			err = 0;
	}
	return err;
}

/* The filter as instructions of the kernel's, so that a thread needs nothing to install it. */
static int take_program(scmp_filter_ctx ctx, struct sock_fprog *out)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), err;
	off_t bytes;

	if (fd < 0)
		return -errno;
	err = seccomp_export_bpf(ctx, fd);
	bytes = lseek(fd, 0, SEEK_END);
	if (!err && bytes > 0 && lseek(fd, 0, SEEK_SET) == 0) {
		free(out->filter);
		out->filter = malloc((size_t)bytes);
		out->len = (unsigned short)((size_t)bytes / sizeof(*out->filter));
		err = out->filter ? fd_read_full(fd, out->filter, (size_t)bytes) : -ENOMEM;
	}
	fd_close(&fd);
	return err;
}

static int make_filter(enum sandbox_kind kind, bool vfio)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int err = ctx ? 0 : -ENOMEM;

	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err)
		err = add_rules(ctx, kind, vfio);
	if (!err)
		err = take_program(ctx, &made.prog[kind]);
	seccomp_release(ctx);
	return err;
}

int sandbox_filter_make(bool vfio, struct err *e)
{
	struct sigaction sa = { .sa_sigaction = forbidden, .sa_flags = SA_SIGINFO };
	uint32_t trap = SECCOMP_RET_TRAP;
	int err;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap))
		return err_host(e, -errno,
			"sandbox: this kernel has no seccomp filters (%s): --sandbox off runs "
			"the machine without",
			err_str(errno));
	err = make_names();
	for (int k = 0; k < SANDBOX_KINDS && !err; k++)
		err = make_filter((enum sandbox_kind)k, vfio);
	if (err)
		return err_host(e, err, "sandbox: the seccomp filters: %s", err_str(err));
	sigfillset(&sa.sa_mask); /* SIGSYS as well: the next one is the end */
	sigaction(SIGSYS, &sa, NULL);
	return 0;
}

int sandbox_filter_enter(enum sandbox_kind kind)
{
	current = kind;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &made.prog[kind]))
		return -errno;
	return 0;
}
