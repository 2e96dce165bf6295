/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X table, pending bits and capability: see msix.h. */
#include "vmm/msix.h"

enum {
	CAP_ID_MSIX = 0x11,
	CONTROL_OFF = 2,
	CONTROL_MASK_HI = 0x40, /* in the upper byte of message control */
	CONTROL_ENABLE_HI = 0x80,
	VECTOR_MASKED = 1,
};

void msix_init(struct msix *m, struct pci_function *f, unsigned n, int bar, uint32_t table_off,
	uint32_t pba_off, const struct msix_ops *ops, void *arg)
{
	uint8_t *c;

	*m = (struct msix){ .n = n, .ops = ops, .arg = arg };
	m->cap = pci_add_cap(f, CAP_ID_MSIX, 12);
	c = f->config + m->cap;
	pci_put16(c + CONTROL_OFF, (uint16_t)(n - 1));
	pci_put32(c + 4, table_off | (uint32_t)bar);
	pci_put32(c + 8, pba_off | (uint32_t)bar);
	f->writable[m->cap + CONTROL_OFF + 1] = CONTROL_ENABLE_HI | CONTROL_MASK_HI;
	for (unsigned i = 0; i < n; i++)
		m->v[i].control = VECTOR_MASKED;
}

static void msix_all_changed(struct msix *m)
{
	for (unsigned i = 0; i < m->n; i++)
		m->ops->changed(m->arg, i);
}

void msix_reset(struct msix *m, struct pci_function *f)
{
	f->config[m->cap + CONTROL_OFF + 1] &= (uint8_t) ~(CONTROL_ENABLE_HI | CONTROL_MASK_HI);
	m->enabled = m->masked = false;
	for (unsigned i = 0; i < m->n; i++)
		m->v[i] = (struct msix_vector){ .control = VECTOR_MASKED };
	msix_all_changed(m);
}

void msix_config_written(struct msix *m, struct pci_function *f, unsigned off, unsigned len)
{
	uint8_t hi = f->config[m->cap + CONTROL_OFF + 1];
	bool enabled = hi & CONTROL_ENABLE_HI, masked = hi & CONTROL_MASK_HI;

	if (off > m->cap + CONTROL_OFF + 1 || off + len <= m->cap + CONTROL_OFF + 1)
		return;
	if (enabled == m->enabled && masked == m->masked)
		return;
	m->enabled = enabled;
	m->masked = masked;
	msix_all_changed(m);
}

static uint32_t *msix_field(struct msix_vector *v, unsigned i)
{
	uint32_t *fields[] = { &v->addr_lo, &v->addr_hi, &v->data, &v->control };

	return fields[i & 3];
}

static bool msix_access_ok(const struct msix *m, uint64_t off, unsigned len)
{
	uint64_t size = 16ull * m->n;

	return (len == 4 || len == 8) && off % len == 0 && off < size && len <= size - off;
}

uint64_t msix_table_read(const struct msix *m, uint64_t off, unsigned len)
{
	struct msix_vector v;
	uint64_t r;

	if (!msix_access_ok(m, off, len))
		return 0;
	v = m->v[off / 16];
	r = *msix_field(&v, (unsigned)(off / 4));
	if (len == 8)
		r |= (uint64_t)*msix_field(&v, (unsigned)(off / 4) + 1) << 32;
	return r;
}

void msix_table_write(struct msix *m, uint64_t off, uint64_t v, unsigned len)
{
	struct msix_vector *e;
	unsigned i;

	if (!msix_access_ok(m, off, len))
		return;
	e = &m->v[off / 16];
	for (i = 0; i < len / 4; i++, v >>= 32) {
		unsigned field = (unsigned)(off / 4 + i) & 3;

		*msix_field(e, field) = (uint32_t)v & (field == 0 ? ~3u : field == 3 ? 1u : ~0u);
	}
	m->ops->changed(m->arg, (unsigned)(off / 16));
}

uint64_t msix_pba_read(const struct msix *m, uint64_t off, unsigned len)
{
	uint64_t r = 0;

	if ((len != 4 && len != 8) || off % len || off >= MSIX_VECTORS_MAX / 8)
		return 0;
	for (unsigned i = 0; i < len * 8; i++) {
		unsigned vector = (unsigned)off * 8 + i;

		if (vector < m->n && !msix_is_live(m, vector) && m->ops->pending(m->arg, vector))
			r |= 1ull << i;
	}
	return r;
}

bool msix_is_live(const struct msix *m, unsigned vector)
{
	return m->enabled && !m->masked && !(m->v[vector].control & VECTOR_MASKED);
}
