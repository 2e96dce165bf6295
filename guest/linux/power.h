/* SPDX-License-Identifier: Apache-2.0 */
/* The power button, and the end of a guest. Used by init only. */
#ifndef LANYARD_GUEST_LINUX_POWER_H
#define LANYARD_GUEST_LINUX_POWER_H

#include <stdbool.h>
#include <stddef.h>

#define POWER_KEYS_MAX 8

/* Opens the input devices that have a power key (evdev); their fds, at most POWER_KEYS_MAX. */
size_t power_keys_open(int fds[POWER_KEYS_MAX]);
/* Takes what a device has to say; whether the power key was pressed. */
bool power_key_pressed(int fd);

/* Ends every process (asked first, then killed), writes and unmounts all, and turns the machine off
 * or on again. Does not return. */
void power_end(bool reboot) __attribute__((noreturn));

#endif
