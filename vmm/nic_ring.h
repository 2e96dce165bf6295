/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a new back end begins in a ring that an earlier one left without a word. Pure: works on the
 * ring's memory, which no back end uses meanwhile; the driver may go on making buffers available.
 *
 * A receive ring goes on at the first buffer that was not returned: what lay in it was never seen.
 * Of a transmit ring, the frames not returned may have been delivered already: sent again they
 * would be duplicates. So they are returned to the driver as sent, lost if they were not, as
 * frames on a line that goes down are. Relies on a back end that returns buffers in order, as ours
 * and DPDK's do.
 */
#ifndef LANYARD_VMM_NIC_RING_H
#define LANYARD_VMM_NIC_RING_H

#include <stdbool.h>
#include <stdint.h>

/* Split rings (virtio 1.2, 2.7): the next available index. One that makes no sense is left for the
 * back end to refuse. */
uint16_t nic_ring_resume_receive(const void *used);
uint16_t nic_ring_resume_transmit(const void *avail, void *used, uint16_t size);

/*
 * Packed rings (2.8). There is no index in memory, but the bits of the entries tell: the AVAIL bits
 * are those of the driver's lap up to where it stands, and those of the lap before from there on;
 * a device never changes them. Going back from there, what is available and not used was not
 * returned. A back end may have died with a batch half published: used entries behind one that is
 * still available, which no driver has seen. They are published, without lengths: drivers drop such
 * frames.
 *
 * Behind the last used entry may lie entries of the same chain (only its first one must be marked;
 * ours marks all): of the same id, in a ring whose buffers are chains. In a receive ring they are
 * passed over.
 *
 * *base: place and wrap counter, for the available and for the used side (SET_VRING_BASE). False:
 * the bits make no sense now. The driver may just be in the middle of adding a chain: try again.
 */
bool nic_ring_resume_packed(void *desc, uint16_t size, bool transmit, uint32_t *base);

#endif
