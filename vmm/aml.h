/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes AML, the byte code of ACPI's DSDT (ACPI 6.4, chapter 20), front to back into a buffer:
 * what has a length (a scope, a device, a method) is begun and ended, and ending it writes the
 * length. Names are of four letters; shorter ones are filled up with '_'. Resources are written
 * the same way, into a struct aml of their own, and become a buffer by aml_resources. Pure.
 */
#ifndef LANYARD_VMM_AML_H
#define LANYARD_VMM_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH_MAX 8

struct aml {
	uint8_t *buf;
	size_t len, cap;
	bool overflow; /* it did not fit, or was nested too deep: what is there is of no use */
	unsigned depth;
	size_t open[AML_DEPTH_MAX]; /* where what is not yet ended begins, behind its opcode */
};

/* One-byte opcodes that are written as they are. */
enum {
	AML_ARG0 = 0x68, /* and so on, to AML_ARG0 + 6 */
	AML_STORE = 0x70,
	AML_AND = 0x7b, /* two operands and a target */
	AML_OR = 0x7d,
	AML_NOTIFY = 0x86,
	AML_CREATE_DWORD_FIELD = 0x8a, /* buffer, index, name */
	AML_EQUAL = 0x93,
	AML_RETURN = 0xa4,
};

void aml_init(struct aml *a, void *buf, size_t cap);

void aml_scope(struct aml *a, const char *name); /* "\\_SB" begins at the root */
void aml_device(struct aml *a, const char *name);
void aml_method(struct aml *a, const char *name, unsigned n_args); /* serialized */
void aml_if(struct aml *a);
void aml_else(struct aml *a); /* after the If's end */
void aml_package(struct aml *a, unsigned n);
void aml_end(struct aml *a); /* of the last of these that was begun */

/* Name (name, what is written next). */
void aml_name(struct aml *a, const char *name);
void aml_op(struct aml *a, uint8_t op);
void aml_ref(struct aml *a, const char *name); /* an object, by its name */
void aml_int(struct aml *a, uint64_t v);
void aml_string(struct aml *a, const char *s);
void aml_eisa_id(struct aml *a, const char *id); /* "PNP0A08" */
void aml_buffer(struct aml *a, const void *bytes, size_t len);
void aml_uuid(struct aml *a, const uint8_t uuid[16]); /* as it is written, first byte first */

/* Resource descriptors (chapter 6.4), into a struct aml of their own. */
void aml_res_io(struct aml *r, uint16_t port, uint8_t len);
void aml_res_irq(struct aml *r, uint32_t gsi); /* edge, active high, exclusive */
void aml_res_memory_fixed(struct aml *r, uint32_t addr, uint32_t len);
/* Windows that a bridge passes on. */
void aml_res_bus(struct aml *r, uint16_t first, uint16_t last);
void aml_res_io_window(struct aml *r, uint16_t first, uint16_t last);
void aml_res_memory32(struct aml *r, uint32_t first, uint32_t last);
void aml_res_memory64(struct aml *r, uint64_t first, uint64_t last); /* prefetchable */
/* They become a buffer of a, with their end tag. */
void aml_resources(struct aml *a, struct aml *r);

#endif
