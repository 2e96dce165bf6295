/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of the probe that runs in ring 0: the way from the PVH entry (32-bit protected mode, flat,
 * no paging, ebx = hvm_start_info) to ring 3, the interrupt entries, and a few services. C code
 * runs in ring 3 only.
 *
 * Ring 0 is short because it can be slow (docs/probe.md): tables are complete in the file, an
 * interrupt is four instructions, a fault hands its registers to ring 3, and the services that
 * ring 3 calls by `ud2` do one thing each. `ud2` is the only way up that works on every KVM met.
 */
#include "guest/probe/layout.h"

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long probe_start

/* Page tables: present, writable, user, accessed; large pages dirty as well, so that the
 * processor never writes to them. Devices are uncached (PWT, PCD). */
#define PT_TABLE  0x027
#define PT_MEMORY 0x0e7
#define PT_DEVICE 0x0ff

	.section .tables, "aw", @progbits
	.globl probe_pdpt
	.quad PROBE_PDPT + PT_TABLE /* pml4 */
	.fill 511, 8, 0
probe_pdpt:
	.set i, 0
	.rept 4
	.quad PROBE_PD + i * 4096 + PT_TABLE
	.set i, i + 1
	.endr
	.fill 508, 8, 0
	/* PD: RAM, then the local APIC's window, then devices */
	.set i, 0
	.rept PROBE_LAPIC_VIRT / 0x200000
	.quad i * 0x200000 + PT_MEMORY
	.set i, i + 1
	.endr
	.quad (PROBE_LAPIC_PHYS & ~0x1fffff) + PT_DEVICE
	.set i, PROBE_DEVICES / 0x200000
	.rept (0x100000000 - PROBE_DEVICES) / 0x200000
	.quad i * 0x200000 + PT_DEVICE
	.set i, i + 1
	.endr

	/* GDT */
	.quad 0
	.quad 0x00af9b000000ffff /* 08: ring 0 code, 64 bit */
	.quad 0x00cf93000000ffff /* 10: ring 0 data */
	.quad 0x00affb000000ffff /* 18: ring 3 code, 64 bit */
	.quad 0x00cff3000000ffff /* 20: ring 3 data */
	.quad 0x0000890000000067 | (PROBE_TSS & 0xffffff) << 16 /* 28: TSS */
	.quad 0
gdt_ptr:
	.word 0x37
	.long PROBE_GDT
idt_ptr:
	.word 0xfff
	.quad PROBE_IDT
	.balign 128
	/* TSS at PROBE_TSS: stack of ring 0, no port permissions */
	.long 0
	.quad stack0_top
	.fill 22, 4, 0
	.word 0, 104

	/* IDT */
	.balign 4096
	.set i, 0
	.rept 256
	.set at, PROBE_STUBS + i * PROBE_STUB_SIZE
	.word at & 0xffff, PROBE_CS0, 0x8e00, at >> 16
	.quad 0
	.set i, i + 1
	.endr

/* Interrupt entries. Exceptions push (or pretend) an error code and their number; #UD is the
 * way in for services; everything else counts itself and ends the interrupt. */
	.section .stubs, "ax", @progbits
	.code64
	.set i, 0
	.rept 256
	.balign PROBE_STUB_SIZE
	.if i == 6
	jmp gate
	.elseif i < 32
	.if !(i == 8 || i == 10 || i == 11 || i == 12 || i == 13 || i == 14 || i == 17 || i == 21 || i == 29 || i == 30)
	pushq $0
	.endif
	pushq $i
	jmp fault
	.else
	incl irq_count + 4 * i
	incl irq_total
	.if i != VEC_SPURIOUS
	movl $0, PROBE_LAPIC_VIRT + 0xb0
	.endif
	iretq
	.endif
	.set i, i + 1
	.endr

	.section .text.boot, "ax", @progbits
	.code32
	.globl probe_start
probe_start:
	cld
	movl %ebx, probe_start_info
	movb $0xff, %al /* legacy interrupt controllers, if any: masked */
	outb %al, $0x21
	outb %al, $0xa1
	movl $PROBE_PML4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax /* LME */
	wrmsr
	movl $0x80010033, %eax /* PG, WP, NE, ET, MP, PE */
	movl %eax, %cr0
	lgdt gdt_ptr
	ljmp $PROBE_CS0, $1f
	.code64
1:	movb $0x89, PROBE_GDT + PROBE_TR + 5 /* not busy, should this be a second start */
	movl $PROBE_TR, %eax
	ltr %ax
	lidt idt_ptr
	movl $stack0_top, %esp
	movl $PROBE_DS3, %eax
	movl %eax, %ds
	movl %eax, %es
	pushq %rax
	pushq $stack3_top - 8 /* as after a call: the ABI's alignment */
	pushq $0x202          /* interrupts on */
	pushq $PROBE_CS3
	pushq $probe_main
	iretq

/* #UD. From ring 3 with PROBE_GATE in r11: a service; may change rax, rcx, rdx, rsi, rdi, r8; clears r11. */
gate:
	cmpl $PROBE_GATE, %r11d
	jne 1f
	xorl %r11d, %r11d /* or a stray ud2 soon after were taken for a call */
	addq $2, (%rsp)
	jmp *gate_table(, %rax, 8)
1:	pushq $0
	pushq $6
	jmp fault

gate_out:
	lodsl
	movl %eax, %edx
	shrl $8, %edx
	outb %al, %dx
	decl %ecx
	jnz gate_out
	iretq
gate_insb:
	rep insb
	iretq
gate_outsb:
	rep outsb
	iretq
gate_sleep:
	/* An interrupt since the caller looked: it has to look again. Interrupts are off here and
	 * sti takes effect after hlt, so none is missed. */
	cmpl irq_total, %esi
	jne 1f
	testq %r8, %r8
	jz 2f
	movl $0x6e0, %ecx /* IA32_TSC_DEADLINE */
	movl %r8d, %eax
	movq %r8, %rdx
	shrq $32, %rdx
	wrmsr
2:	sti
	hlt
1:	iretq
gate_wrmsr:
	movl %r8d, %eax
	movq %r8, %rdx
	shrq $32, %rdx
	wrmsr
	iretq
gate_in32:
	inl %dx, %eax
	iretq
gate_in8:
	xorl %eax, %eax
	inb %dx, %al
	iretq
gate_out16:
	movl %r8d, %eax
	outw %ax, %dx
	iretq
gate_out32:
	movl %r8d, %eax
	outl %eax, %dx
	iretq
gate_halt:
	cli
	hlt
	jmp gate_halt

/* Exceptions: all registers to fault_regs, then fault_report() in ring 3 on its own stack. A
 * fault while reporting one halts for good. Stack: number, error code, rip, cs, rflags, rsp, ss. */
fault:
	incl fault_depth
	cmpl $1, fault_depth
	jne gate_halt
	movq %rax, fault_regs
	movq %rbx, fault_regs + 8
	movq %rcx, fault_regs + 16
	movq %rdx, fault_regs + 24
	movq %rsi, fault_regs + 32
	movq %rdi, fault_regs + 40
	movq %rbp, fault_regs + 48
	movq %r8, fault_regs + 56
	movq %r9, fault_regs + 64
	movq %r10, fault_regs + 72
	movq %r11, fault_regs + 80
	movq %r12, fault_regs + 88
	movq %r13, fault_regs + 96
	movq %r14, fault_regs + 104
	movq %r15, fault_regs + 112
	movq %cr2, %rax
	movq %rax, fault_regs + 120
	popq fault_regs + 128 /* number */
	popq fault_regs + 136 /* error code */
	popq fault_regs + 144 /* rip */
	popq fault_regs + 152 /* cs */
	popq fault_regs + 160 /* rflags */
	popq fault_regs + 168 /* rsp */
	pushq $stack_fault_top - 8
	pushq $0x002
	pushq $PROBE_CS3
	pushq $fault_report
	iretq

	.section .data
	.balign 8
gate_table:
	.quad gate_out, gate_insb, gate_outsb, gate_sleep, gate_wrmsr, gate_in32, gate_out16
	.quad gate_halt, gate_in8, gate_out32
	.globl probe_start_info
probe_start_info:
	.long 0
fault_depth:
	.long 0

	.section .bss
	.balign 64
	.globl irq_count, irq_total, fault_regs
irq_count: /* ring 0: w, ring 3: r */
	.skip 4 * 256
irq_total:
	.skip 64
fault_regs:
	.skip 8 * 22
	.balign 64
	.skip 4096
stack0_top:
	.skip 8192
stack_fault_top:
	.skip 65536
stack3_top:

	.section .note.GNU-stack, "", @progbits
