/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COM1, the console, and COM2, the agent's channel. COM2's receive interrupt counts itself; the
 * main loop compares the count (serial_agent_waits), so an idle channel costs no port access.
 * Under lanyard-vmm a string moves in one exit (docs/control.md, "strings"); on other machines by
 * the 16550's own rules, 16 bytes at a time, and an exit a byte.
 */
#ifndef LANYARD_PROBE_SERIAL_H
#define LANYARD_PROBE_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* lanyard: this is lanyard-vmm's machine. */
void serial_init(bool lanyard);

/* Waits until the console has taken it all. Usable at any time, also before serial_init. */
void serial_print(const char *s);
void serial_write(const char *s, size_t n);
void serial_print_hex(uint64_t v);

/* True if COM2 may have received something since serial_agent_read was called last. */
bool serial_agent_waits(void);
/* Up to n received bytes (n >= 16). 0: no more now. NULs, which JSON never holds, are left out. */
size_t serial_agent_read(char *buf, size_t n);
/* Sends as much of n bytes as goes without waiting; returns how much. */
size_t serial_agent_write(const char *buf, size_t n);

#endif
