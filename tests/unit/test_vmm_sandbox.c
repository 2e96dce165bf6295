/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's filters: in a child of its own, each kind of thread makes a call that it may make
 * or may not; one that it may not kills the process, and the last line of its log names it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <linux/vhost.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fd.h"
#include "vmm/sandbox.h"

#define M   (1u << SANDBOX_MAIN)
#define V   (1u << SANDBOX_VCPU)
#define L   (1u << SANDBOX_LINK)
#define T   (1u << SANDBOX_TAP)
#define S   (1u << SANDBOX_SERVE)
#define ALL (M | V | L | T | S)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* A call with up to three arguments, on descriptors and addresses that are none, and the kinds that
 * may make it. `asan`: a sanitizer needs it. */
static const struct call {
	const char *name;
	long nr, a, b, c;
	unsigned allowed;
	bool asan;
	unsigned vfio; /* who may besides, where devices are passed through */
} calls[] = {
	{ "read", SYS_read, -1, 0, 0, ALL },
	{ "write", SYS_write, -1, 0, 0, ALL },
	{ "close", SYS_close, -1, 0, 0, ALL },
	{ "mmap", SYS_mmap, 0, 4096, PROT_READ, ALL },
	{ "mmap", SYS_mmap, 0, 4096, RWX, 0 },
	{ "mprotect", SYS_mprotect, 0, 0, PROT_READ, ALL },
	{ "mprotect", SYS_mprotect, 0, 0, PROT_READ | PROT_EXEC, 0 },
	{ "ioctl", SYS_ioctl, -1, KVM_RUN, 0, V },
	{ "ioctl", SYS_ioctl, -1, KVM_SET_REGS, 0, M },
	{ "ioctl", SYS_ioctl, -1, KVM_IRQFD, 0, ALL },
	{ "ioctl", SYS_ioctl, -1, KVM_CREATE_VM, 0, 0 },
	{ "ioctl", SYS_ioctl, -1, KVM_SET_USER_MEMORY_REGION, 0, 0, .vfio = M | V },
	{ "ioctl", SYS_ioctl, -1, VFIO_DEVICE_SET_IRQS, 0, 0, .vfio = M | V },
	{ "ioctl", SYS_ioctl, -1, VFIO_DEVICE_RESET, 0, 0, .vfio = M },
	{ "ioctl", SYS_ioctl, -1, VFIO_IOMMU_UNMAP_DMA, 0, 0, .vfio = M },
	{ "ioctl", SYS_ioctl, -1, VFIO_IOMMU_MAP_DMA, 0, 0 },
	{ "ioctl", SYS_ioctl, -1, VFIO_GROUP_GET_DEVICE_FD, 0, 0 },
	{ "pread64", SYS_pread64, -1, 0, 0, M, .vfio = V },
	{ "pwrite64", SYS_pwrite64, -1, 0, 0, 0, .vfio = M | V },
	{ "ioctl", SYS_ioctl, -1, VHOST_NET_SET_BACKEND, 0, T },
	{ "ioctl", SYS_ioctl, -1, VHOST_SET_MEM_TABLE, 0, T },
	{ "ioctl", SYS_ioctl, -1, VHOST_GET_VRING_BASE, 0, T },
	{ "ioctl", SYS_ioctl, -1, VHOST_SET_OWNER, 0, 0 },
	{ "ioctl", SYS_ioctl, -1, VHOST_SET_LOG_BASE, 0, 0 },
	{ "ioctl", SYS_ioctl, -1, TUNSETOFFLOAD, 0, T },
	{ "ioctl", SYS_ioctl, -1, TUNSETQUEUE, 0, T },
	{ "ioctl", SYS_ioctl, -1, TUNSETIFF, 0, 0 },
	{ "ioctl", SYS_ioctl, -1, TUNSETOWNER, 0, 0 },
	{ "ioctl", SYS_ioctl, -1, TIOCSTI, 0, 0 },
	{ "socket", SYS_socket, AF_UNIX, SOCK_STREAM, 0, L },
	{ "socket", SYS_socket, AF_INET, SOCK_STREAM, 0, 0 },
	{ "socket", SYS_socket, AF_NETLINK, SOCK_RAW, 0, 0 },
	{ "connect", SYS_connect, -1, 0, 0, L },
	{ "accept4", SYS_accept4, -1, 0, 0, M | L },
	{ "epoll_wait", SYS_epoll_wait, -1, 0, 0, M },
	{ "unlink", SYS_unlink, 0, 0, 0, M },
	{ "io_uring_enter", SYS_io_uring_enter, -1, 0, 0, S },
	{ "io_uring_setup", SYS_io_uring_setup, 0, 0, 0, 0 },
	{ "fcntl", SYS_fcntl, -1, F_GETFL, 0, M | L },
	{ "fcntl", SYS_fcntl, -1, F_SETOWN, 0, 0 },
	{ "openat", SYS_openat, -1, 0, 0, 0, true },
	{ "open", SYS_open, 0, 0, 0, 0 },
	{ "execve", SYS_execve, 0, 0, 0, 0 },
	{ "execveat", SYS_execveat, -1, 0, 0, 0 },
	{ "fork", SYS_fork, 0, 0, 0, 0 },
	{ "clone", SYS_clone, 0, 0, 0, 0 },
	{ "clone3", SYS_clone3, 0, 0, 0, 0 },
	{ "ptrace", SYS_ptrace, -1, 0, 0, 0 },
	{ "process_vm_writev", SYS_process_vm_writev, 0, 0, 0, 0 },
	{ "kill", SYS_kill, 0, 0, 0, 0 },
	{ "mount", SYS_mount, 0, 0, 0, 0 },
	{ "unshare", SYS_unshare, 0, 0, 0, 0 },
	{ "setuid", SYS_setuid, 0, 0, 0, 0 },
	{ "prctl", SYS_prctl, 0, 0, 0, 0 },
	{ "seccomp", SYS_seccomp, -1, 0, 0, 0 },
	{ "rt_sigaction", SYS_rt_sigaction, SIGSYS, 0, 0, 0, true },
	{ "bpf", SYS_bpf, -1, 0, 0, 0 },
	{ "getdents64", SYS_getdents64, -1, 0, 0, 0 },
};

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#else
	return false;
#endif
}

/* The child's wait status; what it wrote to stderr goes into `said`. */
static int in_child(const struct call *c, enum sandbox_kind kind, char *said, size_t room)
{
	int p[2], status;
	pid_t pid;
	ssize_t n;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(p[1], STDERR_FILENO);
		if (sandbox_filter_enter(kind))
			_exit(2);
		syscall(c->nr, c->a, c->b, c->c, -1, -1, 0);
		_exit(0);
	}
	close(p[1]);
	n = read(p[0], said, room - 1);
	said[n > 0 ? n : 0] = '\0';
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void check_call(const struct call *c, enum sandbox_kind kind, bool vfio)
{
	bool allowed = (c->allowed | (vfio ? c->vfio : 0)) & 1u << kind;
	char said[512], want[64];
	int status = in_child(c, kind, said, sizeof(said));

	if (allowed && (!WIFEXITED(status) || WEXITSTATUS(status)))
		fail_msg("kind %d may call %s (%ld, %ld): status 0x%x, %s", kind, c->name, c->a,
			c->b, (unsigned)status, said);
	if (allowed)
		return;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		fail_msg("kind %d may not call %s (%ld, %ld): status 0x%x, %s", kind, c->name, c->a,
			c->b, (unsigned)status, said);
	/* "2026-11-23T01:24:42.075Z error ended: ...": docs/control.md. */
	snprintf(want, sizeof(want), "the system call %s (%03ld)\n", c->name, c->nr);
	assert_non_null(strstr(said, want));
	assert_ptr_equal(strstr(said, "Z error ended: the sandbox forbids "), said + 23);
}

static void test_calls(void **state)
{
	struct err e = { 0 };

	assert_int_equal(sandbox_filter_make(false, &e), 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (int k = 0; k < SANDBOX_KINDS; k++)
			if (!sanitized() || !calls[i].asan)
				check_call(&calls[i], (enum sandbox_kind)k, false);
	/* With passed-through devices those, and no others. */
	assert_int_equal(sandbox_filter_make(true, &e), 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (int k = 0; k < SANDBOX_KINDS; k++)
			if (calls[i].nr == SYS_ioctl || calls[i].vfio)
				check_call(&calls[i], (enum sandbox_kind)k, true);
}

/* A process that someone runs code in, and that blocks the signal, dies all the same. */
static void test_blocked_signal(void **state)
{
	struct err e = { 0 };
	int status;
	pid_t pid;

	assert_int_equal(sandbox_filter_make(false, &e), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		if (sandbox_filter_enter(SANDBOX_VCPU))
			_exit(2);
		syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* Without preparation (tests, --sandbox off) nothing changes. */
static void test_off(void **state)
{
	sandbox_enter(SANDBOX_VCPU);
	assert_true(getppid() > 0);
	assert_false(sandbox_state()->on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_blocked_signal),
		cmocka_unit_test(test_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
