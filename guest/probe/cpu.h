/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring 3's view of the processor: the services of ring 0 (boot.S), MMIO, the TSC. A service costs
 * a fault; on a KVM that interprets ring 0 that is some 10 us. Nothing on the busy path calls one.
 */
#ifndef LANYARD_PROBE_CPU_H
#define LANYARD_PROBE_CPU_H

#include <stddef.h>
#include <stdint.h>

#include "guest/probe/layout.h"

/* Interrupts so far, by vector and in all. Ring 0: w. */
extern volatile uint32_t irq_count[256], irq_total;

#define GATE(service, out, ...)                                                            \
	({                                                                                 \
		uint64_t rax_ = (service), rcx_ = 0, rdx_ = 0, rsi_ = 0, rdi_ = 0;         \
		register uint64_t r8_ asm("r8") = 0;                                       \
		register uint64_t r11_ asm("r11") = PROBE_GATE;                            \
		__VA_ARGS__;                                                               \
		asm volatile("ud2"                                                         \
			     : "+a"(rax_), "+c"(rcx_), "+d"(rdx_), "+S"(rsi_), "+D"(rdi_), \
			     "+r"(r8_), "+r"(r11_)                                         \
			     : "r"(r11_)                                                   \
			     : "memory", "cc");                                            \
		out;                                                                       \
	})

/* Writes n bytes to ports: entries port << 8 | byte. n is not 0. */
static inline void cpu_out_table(const uint32_t *t, size_t n)
{
	GATE(GATE_OUT, (void)0, rsi_ = (uintptr_t)t, rcx_ = n);
}

static inline void cpu_out8(uint16_t port, uint8_t v)
{
	uint32_t t = (uint32_t)port << 8 | v;

	cpu_out_table(&t, 1);
}

static inline uint8_t cpu_in8(uint16_t port)
{
	return (uint8_t)GATE(GATE_IN8, rax_, rdx_ = port);
}

static inline uint32_t cpu_in32(uint16_t port)
{
	return (uint32_t)GATE(GATE_IN32, rax_, rdx_ = port);
}

static inline void cpu_out16(uint16_t port, uint16_t v)
{
	GATE(GATE_OUT16, (void)0, rdx_ = port, r8_ = v);
}

static inline void cpu_out32(uint16_t port, uint32_t v)
{
	GATE(GATE_OUT32, (void)0, rdx_ = port, r8_ = v);
}

static inline void cpu_insb(uint16_t port, void *buf, size_t n)
{
	GATE(GATE_INSB, (void)0, rdx_ = port, rdi_ = (uintptr_t)buf, rcx_ = n);
}

static inline void cpu_outsb(uint16_t port, const void *buf, size_t n)
{
	GATE(GATE_OUTSB, (void)0, rdx_ = port, rsi_ = (uintptr_t)buf, rcx_ = n);
}

static inline void cpu_wrmsr(uint32_t msr, uint64_t v)
{
	GATE(GATE_WRMSR, (void)0, rcx_ = msr, r8_ = v);
}

/* Halts until an interrupt, at once if there was one since `seen` was read from irq_total, or
 * until the TSC reaches wake_tsc (0: no timer). */
static inline void cpu_sleep(uint32_t seen, uint64_t wake_tsc)
{
	GATE(GATE_SLEEP, (void)0, rsi_ = seen, r8_ = wake_tsc);
}

_Noreturn static inline void cpu_halt(void)
{
	for (;;)
		GATE(GATE_HALT, (void)0, (void)0);
}

static inline uint64_t cpu_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}

/* Loads and stores to devices, or to memory that a device writes. Written out: a compiler may load
 * straight into an SSE register (GCC 14 does), which KVM does not emulate for devices. */
#define MMIO(bits, reg)                                                                        \
	static inline uint##bits##_t mmio_get##bits(const volatile void *p)                    \
	{                                                                                      \
		uint##bits##_t v;                                                              \
                                                                                               \
		asm volatile("mov %1, %0"                                                      \
			: "=" reg(v)                                                           \
			: "m"(*(const volatile uint##bits##_t *)p)                             \
			: "memory");                                                           \
		return v;                                                                      \
	}                                                                                      \
	static inline void mmio_put##bits(volatile void *p, uint##bits##_t v)                  \
	{                                                                                      \
		asm volatile("mov %0, %1"                                                      \
			:                                                                      \
			: reg(v), "m"(*(volatile uint##bits##_t *)p)                           \
			: "memory");                                                           \
	}
MMIO(8, "q")
MMIO(16, "r")
MMIO(32, "r")
#undef MMIO

#define barrier() asm volatile("" ::: "memory")
/* Orders our stores before our later loads; x86 keeps all other orders. */
#define barrier_full() asm volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc")

#endif
