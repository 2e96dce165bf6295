/* SPDX-License-Identifier: Apache-2.0 */
/* vCPU threads: see vcpu.h. Their registers are in vcpu_state.c. */
#include "vmm/vcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "vmm/thread.h"
#include "vmm/vcpu_state.h"

#define VCPU_SIGNAL SIGUSR1

const char *const vcpu_exit_names[EXIT_MAX] = {
#define X(id, name) [EXIT_##id] = name,
	VCPU_EXITS(X)
#undef X
};

static void vcpu_count(struct vcpu *v, enum vcpu_exit why)
{
	/* One writer: no need for a locked add. */
	atomic_store_explicit(&v->exits[why],
		atomic_load_explicit(&v->exits[why], memory_order_relaxed) + 1,
		memory_order_relaxed);
}

/* Asks every vCPU to leave the guest; those that are outside notice before they enter it. */
static void vcpus_kick(struct vcpus *all)
{
	atomic_store(&all->pause, true);
	for (unsigned i = 0; i < all->n; i++) {
		__atomic_store_n(&all->v[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (all->v[i].has_thread)
			pthread_kill(all->v[i].thread, VCPU_SIGNAL);
	}
}

/* Waits until the machine goes on. False: it does not. */
static bool vcpu_park(struct vcpu *v)
{
	struct vcpus *all = v->all;
	bool quit;

	pthread_mutex_lock(&all->lock);
	all->parked++;
	pthread_cond_signal(&all->parked_cond);
	while (atomic_load(&all->pause) && !all->quit)
		pthread_cond_wait(&all->resume_cond, &all->lock);
	all->parked--;
	quit = all->quit;
	pthread_mutex_unlock(&all->lock);
	return !quit;
}

static void vcpu_broken(struct vcpu *v, const char *what, unsigned detail)
{
	struct kvm_regs regs = { 0 };

	ioctl(v->fd, KVM_GET_REGS, &regs);
	log_error("vCPU %u cannot go on: %s %u at rip 0x%llx", v->index, what, detail,
		(unsigned long long)regs.rip);
	v->all->ops->event(v->all->arg, VM_EVENT_BROKEN);
	vcpus_pause_from_handler(v->all);
}

static void vcpu_handle_exit(struct vcpu *v)
{
	struct vcpus *all = v->all;
	struct kvm_run *r = v->run;

	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		vcpu_count(v, EXIT_IO);
		all->ops->pio(all->arg, r->io.port, (uint8_t *)r + r->io.data_offset, r->io.size,
			r->io.count, r->io.direction == KVM_EXIT_IO_OUT);
		break;
	case KVM_EXIT_MMIO:
		vcpu_count(v, EXIT_MMIO);
		all->ops->mmio(
			all->arg, r->mmio.phys_addr, r->mmio.data, r->mmio.len, r->mmio.is_write);
		break;
	case KVM_EXIT_HLT:
		vcpu_count(v, EXIT_HLT);
		break;
	case KVM_EXIT_INTR:
		vcpu_count(v, EXIT_INTR);
		break;
	case KVM_EXIT_SHUTDOWN:
		vcpu_count(v, EXIT_SHUTDOWN);
		all->ops->event(all->arg, VM_EVENT_TRIPLE_FAULT);
		vcpus_pause_from_handler(all);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		vcpu_count(v, EXIT_INTERNAL_ERROR);
		vcpu_broken(v, "KVM internal error, suberror", r->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		vcpu_count(v, EXIT_OTHER);
		vcpu_broken(v, "KVM could not enter the guest, reason",
			(unsigned)r->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		vcpu_count(v, EXIT_OTHER);
		all->ops->event(all->arg,
			r->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ? VM_EVENT_POWER_OFF
									  : VM_EVENT_RESET);
		vcpus_pause_from_handler(all);
		break;
	default:
		vcpu_count(v, EXIT_OTHER);
		vcpu_broken(v, "unexpected exit", r->exit_reason);
	}
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;

	v->times = vcpu_times_open(v->all->task_fd);
	atomic_store(&v->times_open, true);
	sandbox_enter(SANDBOX_VCPU);
	atomic_store(&v->tid, (pid_t)syscall(SYS_gettid));
	for (;;) {
		/* With immediate_exit set this finishes what the last exit began, and returns. */
		int r = ioctl(v->fd, KVM_RUN, 0);

		if (r == 0) {
			vcpu_handle_exit(v);
			continue;
		}
		if (errno != EINTR && errno != EAGAIN) {
			vcpu_broken(v, "KVM_RUN, errno", (unsigned)errno);
		} else {
			vcpu_count(v, EXIT_INTR);
		}
		if (atomic_load(&v->all->pause) && !vcpu_park(v))
			return NULL;
	}
}

void vcpus_pause_from_handler(struct vcpus *all)
{
	vcpus_kick(all);
}

void vcpus_pause(struct vcpus *all)
{
	unsigned threads = 0;

	for (unsigned i = 0; i < all->n; i++)
		threads += all->v[i].has_thread;
	vcpus_kick(all);
	pthread_mutex_lock(&all->lock);
	while (all->parked < threads)
		pthread_cond_wait(&all->parked_cond, &all->lock);
	pthread_mutex_unlock(&all->lock);
}

void vcpus_resume(struct vcpus *all)
{
	pthread_mutex_lock(&all->lock);
	for (unsigned i = 0; i < all->n; i++)
		__atomic_store_n(&all->v[i].run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	atomic_store(&all->pause, false);
	pthread_cond_broadcast(&all->resume_cond);
	pthread_mutex_unlock(&all->lock);
}

static void vcpu_signal(int signo)
{
	/* Nothing: that it came ends KVM_RUN. */
}

int vcpus_start(struct vcpus *all, struct err *e)
{
	struct sigaction sa = { .sa_handler = vcpu_signal };
	sigset_t set;

	sigaction(VCPU_SIGNAL, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, VCPU_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	for (unsigned i = 0; i < all->n; i++) {
		struct vcpu *v = &all->v[i];
		char name[16];
		int err;

		snprintf(name, sizeof(name), "vcpu%u", i);
		err = thread_start_as(SANDBOX_KINDS, &v->thread, name, v->cpu, vcpu_main, v, e);
		if (err)
			return err;
		v->has_thread = true;
	}
	return 0;
}

static int vcpu_new(struct vcpu *v, struct kvm *k, struct kvm_cpuid2 *cpuid, struct err *e)
{
	/* Its id is that of its local APIC. */
	v->fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, cpu_apic_id(&v->all->topology, v->index));
	if (v->fd < 0)
		return err_host(e, -errno, "KVM_CREATE_VCPU %u: %s", v->index, err_str(errno));
	v->run = mmap(NULL, (size_t)k->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return err_host(e, -errno, "vCPU %u: mmap: %s", v->index, err_str(errno));
	}
	cpuid_for(k->cpuid, &v->all->topology, v->index, cpuid);
	if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0)
		return err_host(e, -errno, "KVM_SET_CPUID2: %s", err_str(errno));
	vcpu_stat_open(&v->halts, v->fd, "halt_exits");
	return vcpu_state_save(v->fd, v->index, &v->initial, e);
}

static int vcpus_check(const struct kvm *k, unsigned n, struct err *e)
{
	int max = ioctl(k->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	if (max > 0 && n > (unsigned)max)
		return err_host(e, -E2BIG,
			"%u vCPUs are too many: this host's KVM gives a machine at most %d", n,
			max);
	return 0;
}

int vcpus_new(struct vcpus *all, struct kvm *k, const struct cpu_topology *t, const int *cpus,
	unsigned n_cpus, const struct vcpu_ops *ops, void *arg, struct err *e)
{
	size_t entries = k->cpuid->nent + CPUID_MORE;
	struct kvm_cpuid2 *cpuid =
		malloc(sizeof(*k->cpuid) + entries * sizeof(k->cpuid->entries[0]));
	unsigned n = t->sockets * t->cores * t->threads;
	int err = 0;

	*all = (struct vcpus){ .kvm = k, .n = n, .topology = *t, .ops = ops, .arg = arg };
	all->task_fd = open("/proc/self/task", O_PATH | O_DIRECTORY | O_CLOEXEC);
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->parked_cond, NULL);
	pthread_cond_init(&all->resume_cond, NULL);
	all->v = calloc(n, sizeof(*all->v));
	if (!all->v || !cpuid) {
		all->n = 0;
		err = err_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	err = vcpus_check(k, n, e);
	for (unsigned i = 0; i < n; i++)
		all->v[i] = (struct vcpu){ .all = all,
			.index = i,
			.fd = -1,
			.halts.fd = -1,
			.times = { -1, -1 },
			.cpu = n_cpus ? cpus[i % n_cpus] : -1 };
	for (unsigned i = 0; i < n && !err; i++)
		err = vcpu_new(&all->v[i], k, cpuid, e);
out:
	free(cpuid);
	return err;
}

void vcpus_free(struct vcpus *all)
{
	bool ready = all->v;

	for (unsigned i = 0; i < all->n; i++)
		ready &= all->v[i].run != NULL;
	if (ready) {
		vcpus_pause(all);
		pthread_mutex_lock(&all->lock);
		all->quit = true;
		pthread_cond_broadcast(&all->resume_cond);
		pthread_mutex_unlock(&all->lock);
	}
	for (unsigned i = 0; i < all->n; i++) {
		struct vcpu *v = &all->v[i];

		if (v->has_thread)
			pthread_join(v->thread, NULL);
		if (v->run)
			munmap(v->run, (size_t)all->kvm->run_bytes);
		vcpu_stat_close(&v->halts);
		vcpu_times_close(&v->times);
		fd_close(&v->fd);
		free(v->initial);
	}
	if (all->kvm) /* it was made */
		fd_close(&all->task_fd);
	free(all->v);
	*all = (struct vcpus){ 0 };
}

int vcpus_reset(struct vcpus *all, const struct vcpu_entry *entry, struct err *e)
{
	for (unsigned i = 0; i < all->n; i++) {
		int err = vcpu_state_restore(all->v[i].fd, all->v[i].initial, e);

		if (!err && i == 0)
			err = vcpu_state_enter(all->v[i].fd, entry, e);
		if (err)
			return err;
	}
	return 0;
}
