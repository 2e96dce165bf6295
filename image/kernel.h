/* SPDX-License-Identifier: Apache-2.0 */
/* The version that a kernel image says it is. */
#ifndef LANYARD_IMAGE_KERNEL_H
#define LANYARD_IMAGE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

/* Of a bzImage (its header's kernel_version) or an ELF (its banner). Pure; false: it is neither. */
bool kernel_version(const uint8_t *bytes, size_t len, char out[IMAGE_VERSION_MAX]);

#endif
