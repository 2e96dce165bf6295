/* SPDX-License-Identifier: Apache-2.0 */
/* pvpanic: see pvpanic.h. Source: QEMU's docs/specs/pvpanic. */
#include "vmm/pvpanic.h"

static uint64_t pvpanic_read(void *arg, int bar, uint64_t off, unsigned len)
{
	return off == 0 ? PVPANIC_EVENTS : 0;
}

static void pvpanic_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
	struct pvpanic *p = arg;

	if (off == 0 && (v & PVPANIC_EVENTS))
		p->said(p->arg, v & PVPANIC_EVENTS);
}

static const struct pci_ops pvpanic_ops = {
	.bar_read = pvpanic_read,
	.bar_write = pvpanic_write,
};

void pvpanic_reset(struct pvpanic *p)
{
	struct pci_id id = { .vendor = 0x1b36,
		.device = 0x0011,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x088000,
		.revision = 1 };

	pci_function_init(&p->fn, &id, &pvpanic_ops, p);
	pci_add_bar64(&p->fn, 0, PVPANIC_BAR_SIZE, p->bar);
}

void pvpanic_init(
	struct pvpanic *p, uint64_t bar, void (*said)(void *arg, uint8_t events), void *arg)
{
	*p = (struct pvpanic){ .said = said, .arg = arg, .bar = bar };
	pvpanic_reset(p);
}
