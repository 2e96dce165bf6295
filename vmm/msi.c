/* SPDX-License-Identifier: Apache-2.0 */
/* MSI capability: see msi.h. */
#include "vmm/msi.h"

#include <string.h>

enum {
	CAP_ID_MSI = 0x05,
	CONTROL = 2,
	CONTROL_ENABLE = 0x1,
	CONTROL_ENABLED_SHIFT = 4, /* log2 of messages in use; of those possible: 1 */
	CONTROL_WIDE = 0x80,
	CONTROL_MASKABLE_HI = 0x1, /* in its upper byte */
};

static unsigned data_at(const struct msi *m)
{
	return m->cap + (m->wide ? 12 : 8);
}

static unsigned mask_at(const struct msi *m)
{
	return data_at(m) + 4;
}

unsigned msi_cap_len(bool wide, bool maskable)
{
	return (wide ? 14u : 10u) + (maskable ? 10u : 0u);
}

void msi_init(struct msi *m, struct pci_function *f, unsigned max, bool wide, bool maskable)
{
	unsigned log2 = 0;
	uint8_t *w;

	while (log2 < 5 && 1u << log2 < max)
		log2++;
	*m = (struct msi){ .max = 1u << log2, .wide = wide, .maskable = maskable };
	m->cap = pci_add_cap(f, CAP_ID_MSI, msi_cap_len(wide, maskable));
	f->config[m->cap + CONTROL] = (uint8_t)(log2 << 1 | (wide ? CONTROL_WIDE : 0));
	f->config[m->cap + CONTROL + 1] = maskable ? CONTROL_MASKABLE_HI : 0;
	w = f->writable;
	w[m->cap + CONTROL] = CONTROL_ENABLE | 7 << CONTROL_ENABLED_SHIFT;
	pci_put32(w + m->cap + 4, ~3u);
	if (wide)
		pci_put32(w + m->cap + 8, ~0u);
	pci_put16(w + data_at(m), 0xffff);
	if (maskable)
		pci_put32(w + mask_at(m), m->max == 32 ? ~0u : (1u << m->max) - 1);
}

void msi_reset(const struct msi *m, struct pci_function *f)
{
	unsigned len = msi_cap_len(m->wide, m->maskable);

	f->config[m->cap + CONTROL] &= (uint8_t) ~(CONTROL_ENABLE | 7 << CONTROL_ENABLED_SHIFT);
	memset(f->config + m->cap + 4, 0, len - 4);
}

unsigned msi_enabled(const struct msi *m, const struct pci_function *f)
{
	uint8_t c = f->config[m->cap + CONTROL];
	unsigned n = 1u << (c >> CONTROL_ENABLED_SHIFT & 7);

	if (!(c & CONTROL_ENABLE))
		return 0;
	return n < m->max ? n : m->max; /* more than there are: a driver's mistake */
}

bool msi_message(const struct msi *m, const struct pci_function *f, unsigned vector, uint64_t *addr,
	uint32_t *data)
{
	unsigned n = msi_enabled(m, f);

	*addr = pci_get32(f->config + m->cap + 4);
	if (m->wide)
		*addr |= (uint64_t)pci_get32(f->config + m->cap + 8) << 32;
	if (!n || vector >= n)
		return false;
	*data = (pci_get16(f->config + data_at(m)) & ~(n - 1)) | vector;
	return !m->maskable || !(pci_get32(f->config + mask_at(m)) & 1u << vector);
}

bool msi_touched(const struct msi *m, unsigned off, unsigned len)
{
	return off < m->cap + msi_cap_len(m->wide, m->maskable) && off + len > m->cap;
}

void msi_set_pending(const struct msi *m, struct pci_function *f, uint32_t bits)
{
	if (m->maskable)
		pci_put32(f->config + mask_at(m) + 4, bits);
}
