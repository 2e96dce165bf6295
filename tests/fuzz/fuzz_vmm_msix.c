/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest at an MSI-X table, its pending bits and its capability, at any offset and width, with any
 * number of vectors: nothing beyond the table is touched, reserved bits stay 0, each change of a
 * vector's liveness is told, and exactly what waits behind a mask is pending.
 *
 * Input: the number of vectors, which of them have something waiting (8 bytes), then operations of
 * 12 bytes: kind and width, offset, value.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/msix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct op {
	uint8_t kind, width;
	uint16_t off;
	uint64_t v;
} __attribute__((packed));

static struct msix *msix; /* on the heap: an access beyond it is seen */
static uint64_t waiting;
static bool live[MSIX_VECTORS_MAX]; /* as was told */

static void changed(void *arg, unsigned vector)
{
	if (vector >= msix->n)
		abort();
	live[vector] = msix_is_live(msix, vector);
}

static bool pending(void *arg, unsigned vector)
{
	if (vector >= msix->n)
		abort();
	return waiting >> vector & 1;
}

static uint64_t none_read(void *arg, int bar, uint64_t off, unsigned len)
{
	return 0;
}

static void none_write(void *arg, int bar, uint64_t off, uint64_t v, unsigned len)
{
}

static void check(void)
{
	uint64_t bits = msix_pba_read(msix, 0, 8), want = 0;

	for (unsigned i = 0; i < msix->n; i++) {
		const struct msix_vector *v = &msix->v[i];

		if ((v->addr_lo & 3) || (v->control & ~1u) || live[i] != msix_is_live(msix, i))
			abort();
		if (!live[i] && (waiting >> i & 1))
			want |= 1ull << i;
	}
	if (bits != want)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct msix_ops ops = { changed, pending };
	static const struct pci_ops pci_ops = { .bar_read = none_read, .bar_write = none_write };
	struct pci_id id = { 0x1af4, 0x1041, 0x1af4, 0x1100, 0x020000, 1 };
	struct pci_function f;

	if (size < 9)
		return 0;
	msix = malloc(sizeof(*msix));
	if (!msix)
		return 0;
	memset(live, 0, sizeof(live));
	pci_function_init(&f, &id, &pci_ops, NULL);
	pci_add_bar64(&f, 0, 0x8000, 1ull << 32);
	msix_init(msix, &f, data[0] % MSIX_VECTORS_MAX + 1u, 0, 0x4000, 0x5000, &ops, NULL);
	memcpy(&waiting, data + 1, 8);
	data += 9;
	size -= 9;
	for (; size >= sizeof(struct op); data += sizeof(struct op), size -= sizeof(struct op)) {
		struct op op;

		memcpy(&op, data, sizeof(op));
		unsigned len = 1u << (op.width & 3), reg = op.off % 256;

		switch (op.kind % 6) {
		case 0:
			msix_table_read(msix, op.off, len);
			break;
		case 1:
		case 2:
			msix_table_write(msix, op.off % 1200, op.v, len);
			break;
		case 3:
			msix_pba_read(msix, op.off, len);
			break;
		case 4:
			reg = op.width & 0x80 ? msix->cap : reg;
			len = len > 4 ? 4 : len;
			pci_config_write(&f, reg, (uint32_t)op.v, len);
			msix_config_written(msix, &f, reg, len);
			break;
		default:
			if (op.off == 0x1234)
				msix_reset(msix, &f);
			waiting ^= op.v;
			break;
		}
		check();
	}
	free(msix);
	return 0;
}
