/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that boot.S, probe.ld and the C code share. The tables at fixed addresses are complete
 * in the ELF file, so that the processor's start-up needs no loop: on hosts whose KVM interprets
 * ring 0, each of its instructions costs the better part of a microsecond.
 */
#ifndef LANYARD_PROBE_LAYOUT_H
#define LANYARD_PROBE_LAYOUT_H

#define PROBE_BASE  0x100000 /* where the ELF is loaded */
#define PROBE_PML4  0x100000
#define PROBE_PDPT  0x101000
#define PROBE_PD    0x102000 /* four of them: 4 GiB in pages of 2 MiB */
#define PROBE_GDT   0x106000
#define PROBE_TSS   0x106080
#define PROBE_IDT   0x107000
#define PROBE_STUBS 0x108000 /* 256 interrupt entries of PROBE_STUB_SIZE */
#define PROBE_TEXT  0x10a000

#define PROBE_STUB_SIZE 32

/* Physical addresses from here to 4 GiB are devices: mapped uncached, never used as memory. */
#define PROBE_DEVICES 0x80000000
/* The local APIC, mapped once more where a 32-bit displacement reaches it (the last 2 MiB below
 * PROBE_DEVICES): its end-of-interrupt register in one instruction, no register needed. */
#define PROBE_LAPIC_VIRT 0x7fe00000
#define PROBE_LAPIC_PHYS 0xfee00000

#define PROBE_CS0 0x08
#define PROBE_CS3 0x1b
#define PROBE_DS3 0x23
#define PROBE_TR  0x28

/* Interrupt vectors. */
#define VEC_COM2     0x20
#define VEC_TIMER    0x21
#define VEC_NIC      0x30 /* + 3 * NIC + 0 config, 1 receive, 2 transmit */
#define VEC_SPURIOUS 0xff

/* Ring 0's services: `ud2` with PROBE_GATE in r11 and the service in rax. */
#define PROBE_GATE 0x626f7270 /* "prob" */
#define GATE_OUT   0          /* rsi: table of u32 port << 8 | byte, rcx: entries, not 0 */
#define GATE_INSB  1          /* rdx: port, rdi: buffer, rcx: bytes */
#define GATE_OUTSB 2          /* rdx: port, rsi: buffer, rcx: bytes */
#define GATE_SLEEP 3 /* esi: irq_total as read before the last look, r8: TSC to wake at, or 0 */
#define GATE_WRMSR 4 /* rcx: number, r8: value */
#define GATE_IN32  5 /* rdx: port; eax: value */
#define GATE_OUT16 6 /* rdx: port, r8: value */
#define GATE_HALT  7 /* for ever */
#define GATE_IN8   8 /* rdx: port; eax: value */
#define GATE_OUT32 9 /* rdx: port, r8: value */

#endif
