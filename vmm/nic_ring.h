/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a new back end begins in a split ring that an earlier one left without a word (virtio 1.2,
 * section 2.7). Pure: works on the two rings' memory, which no back end uses meanwhile; the driver
 * may go on adding to the available ring.
 */
#ifndef LANYARD_VMM_NIC_RING_H
#define LANYARD_VMM_NIC_RING_H

#include <stdint.h>

/* A receive ring: the first buffer that was not returned. What lay in it was never seen. */
uint16_t nic_ring_resume_receive(const void *used);

/*
 * A transmit ring. The frames between used and available may have been delivered already, only
 * not returned: sent again they would be duplicates. So they are returned to the driver as sent,
 * lost if they were not, as frames on a line that goes down are. Relies on a back end that returns
 * buffers in order, as ours and DPDK's do. An available index that makes no sense is left for the
 * back end to refuse.
 */
uint16_t nic_ring_resume_transmit(const void *avail, void *used, uint16_t size);

#endif
