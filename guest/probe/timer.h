/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC, its timer, and sleeping until a time. */
#ifndef LANYARD_PROBE_TIMER_H
#define LANYARD_PROBE_TIMER_H

#include <stdint.h>

/* Switches the local APIC on: from here on interrupts arrive. */
void timer_init(uint64_t tsc_hz);

/* HLT until an interrupt, or until about wake_tsc (0: no timer); not at all if there were
 * interrupts since `irqs` was read from irq_total. */
void timer_sleep(uint32_t irqs, uint64_t wake_tsc);

/* How long before a deadline one has to ask to be woken, and below which sleeping is no use. */
uint64_t timer_margin(void);

#endif
