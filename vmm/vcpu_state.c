/* SPDX-License-Identifier: Apache-2.0 */
/* Registers of a vCPU: see vcpu_state.h. */
#include "vmm/vcpu_state.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "vmm/layout.h"

/* The MSRs a guest of ours may have changed. One that this KVM does not have is left out. */
static const uint32_t saved_msrs[] = {
	0x174,
	0x175,
	0x176,      /* SYSENTER */
	0x277,      /* PAT */
	0xc0000080, /* EFER, after CR0 in sregs */
	0xc0000081,
	0xc0000082,
	0xc0000083,
	0xc0000084, /* STAR, LSTAR, CSTAR, SFMASK */
	0xc0000102,
	0xc0000103, /* KERNEL_GS_BASE, TSC_AUX */
	0x6e0,      /* TSC_DEADLINE */
	0x1a0,      /* MISC_ENABLE */
	0x2ff,      /* MTRRdefType */
	0x48,
	0xda0,
	0x38f, /* SPEC_CTRL, XSS, PERF_GLOBAL_CTRL */
	0x4b564d00,
	0x4b564d01,
	0x4b564d02,
	0x4b564d03,
	0x4b564d04, /* kvmclock, async PF, ... */
	0x4b564d05,
	0x4b564d06,
};
#define N_MSRS (sizeof(saved_msrs) / sizeof(saved_msrs[0]))

/* What firmware would have set, else bits are as KVM makes them: memory is cached (a guest that
 * finds MTRRs off has no write-combining either), strings are fast. */
static const struct {
	uint32_t index;
	uint64_t bits;
} firmware_msrs[] = {
	{ 0x2ff, 0x806 },
	{ 0x1a0, 1 },
};

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct kvm_vcpu_events events;
	unsigned n_msrs;
	uint64_t msr_mask; /* which of saved_msrs are there */
	uint64_t msr[N_MSRS];
};

/* struct kvm_msrs with room for one. */
union one_msr {
	struct kvm_msrs m;
	uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
};

/* Gets or sets one MSR by `request`; false if this KVM does not have it. */
static bool msr_ioctl(int fd, unsigned long request, uint32_t index, uint64_t *value)
{
	union one_msr u = { .m.nmsrs = 1 };

	u.m.entries[0].index = index;
	u.m.entries[0].data = *value;
	if (ioctl(fd, request, &u) != 1)
		return false;
	*value = u.m.entries[0].data;
	return true;
}

static int state_ioctl(
	int fd, unsigned long request, const char *name, const void *arg, struct err *e)
{
	if (ioctl(fd, request, arg) < 0)
		return err_host(e, -errno, "%s: %s", name, err_str(errno));
	return 0;
}
#define STATE_IOCTL(fd, request, arg, e) state_ioctl(fd, request, #request, arg, e)

/* Guest TSC = host TSC: time stamps of two guests can be subtracted. */
static void tsc_take_host(int fd, unsigned index)
{
	uint64_t offset = 0;
	struct kvm_device_attr a = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset
	};

	if (ioctl(fd, KVM_SET_DEVICE_ATTR, &a) < 0)
		log_warn("vCPU %u: its TSC cannot be made the host's (%s): one-way latencies "
			 "between guests will be off",
			index, err_str(errno));
}

int vcpu_state_save(int fd, unsigned index, struct vcpu_state **out, struct err *e)
{
	struct vcpu_state *s = calloc(1, sizeof(*s));
	int err;

	*out = s;
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	tsc_take_host(fd, index);
	if ((err = STATE_IOCTL(fd, KVM_GET_REGS, &s->regs, e)) ||
		(err = STATE_IOCTL(fd, KVM_GET_SREGS, &s->sregs, e)) ||
		(err = STATE_IOCTL(fd, KVM_GET_FPU, &s->fpu, e)) ||
		(err = STATE_IOCTL(fd, KVM_GET_XCRS, &s->xcrs, e)) ||
		(err = STATE_IOCTL(fd, KVM_GET_DEBUGREGS, &s->debugregs, e)) ||
		(err = STATE_IOCTL(fd, KVM_GET_LAPIC, &s->lapic, e)) ||
		(err = STATE_IOCTL(fd, KVM_GET_MP_STATE, &s->mp, e)) ||
		(err = STATE_IOCTL(fd, KVM_GET_VCPU_EVENTS, &s->events, e)))
		return err;
	for (unsigned i = 0; i < N_MSRS; i++)
		if (msr_ioctl(fd, KVM_GET_MSRS, saved_msrs[i], &s->msr[i]))
			s->msr_mask |= 1ull << i;
	for (unsigned i = 0; i < N_MSRS; i++)
		for (unsigned j = 0; j < sizeof(firmware_msrs) / sizeof(firmware_msrs[0]); j++)
			if (firmware_msrs[j].index == saved_msrs[i])
				s->msr[i] |= firmware_msrs[j].bits;
	return 0;
}

int vcpu_state_restore(int fd, const struct vcpu_state *s, struct err *e)
{
	int err;

	if ((err = STATE_IOCTL(fd, KVM_SET_VCPU_EVENTS, &s->events, e)) ||
		(err = STATE_IOCTL(fd, KVM_SET_SREGS, &s->sregs, e)) ||
		(err = STATE_IOCTL(fd, KVM_SET_REGS, &s->regs, e)) ||
		(err = STATE_IOCTL(fd, KVM_SET_XCRS, &s->xcrs, e)) ||
		(err = STATE_IOCTL(fd, KVM_SET_FPU, &s->fpu, e)) ||
		(err = STATE_IOCTL(fd, KVM_SET_DEBUGREGS, &s->debugregs, e)))
		return err;
	for (unsigned i = 0; i < N_MSRS; i++) {
		uint64_t value = s->msr[i];

		if (s->msr_mask & 1ull << i)
			msr_ioctl(fd, KVM_SET_MSRS, saved_msrs[i], &value);
	}
	/* The local APIC after sregs, whose apic_base says which mode it is in. */
	if ((err = STATE_IOCTL(fd, KVM_SET_LAPIC, &s->lapic, e)) ||
		(err = STATE_IOCTL(fd, KVM_SET_MP_STATE, &s->mp, e)))
		return err;
	return 0;
}

int vcpu_state_enter(int fd, const struct vcpu_entry *entry, struct err *e)
{
	bool lm = entry->long_mode;
	uint16_t code_selector = lm ? 0x10 : 0x8; /* data and task follow it */
	struct kvm_segment data = { .limit = 0xffffffff,
		.selector = code_selector + 8,
		.type = 3,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1 };
	struct kvm_segment code = data;
	struct kvm_regs regs = { .rip = entry->rip, .rflags = 2 };
	struct kvm_sregs s = { 0 };
	int err = STATE_IOCTL(fd, KVM_GET_SREGS, &s, e);

	if (err)
		return err;
	*(lm ? &regs.rsi : &regs.rbx) = entry->arg;
	code.selector = code_selector;
	code.type = 0xb;
	code.db = !lm;
	code.l = lm;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.tr = (struct kvm_segment){
		.limit = 0x67, .selector = code_selector + 16, .type = 0xb, .present = 1
	};
	s.gdt.base = LAYOUT_GDT;
	s.gdt.limit = (lm ? 6 : 4) * 8 - 1;
	s.idt.base = 0;
	s.idt.limit = 0;
	s.cr0 = lm ? 0x80000011 : 0x11; /* PG; PE, ET */
	s.cr3 = lm ? entry->page_tables : 0;
	s.cr4 = lm ? 0x20 : 0;   /* PAE */
	s.efer = lm ? 0x500 : 0; /* LME, LMA */
	err = STATE_IOCTL(fd, KVM_SET_SREGS, &s, e);
	return err ? err : STATE_IOCTL(fd, KVM_SET_REGS, &regs, e);
}
