/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/probe/timer.h"

#include <cpuid.h>
#include <stdbool.h>

#include "guest/probe/cpu.h"

#define APIC_SVR     0x0f0
#define APIC_TIMER   0x320
#define APIC_LINT0   0x350
#define APIC_INITIAL 0x380
#define APIC_DIVIDE  0x3e0

#define APIC_ENABLE   0x100
#define APIC_MASKED   0x10000
#define TIMER_TSC     (2u << 17)
#define DIVIDE_BY_1   0xb
#define APIC_TIMER_HZ 1000000000ull /* KVM's and QEMU's, where there is no TSC deadline */

#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)

#define MARGIN_US 100

static bool tsc_deadline;
static uint64_t hz, margin_tsc;

static volatile uint8_t *apic(uint32_t reg)
{
	return (volatile uint8_t *)PROBE_LAPIC_VIRT + reg;
}

void timer_init(uint64_t tsc_hz)
{
	uint32_t a, b, c, d;

	hz = tsc_hz;
	margin_tsc = tsc_hz / 1000000 * MARGIN_US;
	__cpuid(1, a, b, c, d);
	tsc_deadline = c & CPUID_1_ECX_TSC_DEADLINE;
	mmio_put32(apic(APIC_LINT0), APIC_MASKED);
	mmio_put32(apic(APIC_SVR), APIC_ENABLE | VEC_SPURIOUS);
	if (!tsc_deadline)
		mmio_put32(apic(APIC_DIVIDE), DIVIDE_BY_1);
	mmio_put32(apic(APIC_TIMER), (tsc_deadline ? TIMER_TSC : 0) | VEC_TIMER);
}

uint64_t timer_margin(void)
{
	return margin_tsc;
}

void timer_sleep(uint32_t irqs, uint64_t wake_tsc)
{
	uint64_t now, ticks = 0;

	if (!wake_tsc || tsc_deadline) {
		cpu_sleep(irqs, wake_tsc);
		return;
	}
	now = cpu_tsc();
	if (wake_tsc <= now)
		return;
	ticks = wake_tsc - now;
	ticks = ticks / hz * APIC_TIMER_HZ + ticks % hz * APIC_TIMER_HZ / hz;
	mmio_put32(apic(APIC_INITIAL), ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks + 1);
	cpu_sleep(irqs, 0);
}
