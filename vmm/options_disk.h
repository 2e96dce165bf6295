/* SPDX-License-Identifier: Apache-2.0 */
/* --disk, --fs, --vfio of lanyard-vmm's command line (docs/control.md), typed, checked. Pure. */
#ifndef LANYARD_VMM_OPTIONS_DISK_H
#define LANYARD_VMM_OPTIONS_DISK_H

#include <stdbool.h>

#include "base/err.h"

#define DISK_QUEUES_MAX 16
#define FS_QUEUES_MAX   16
#define FS_TAG_MAX      36 /* bytes; virtio 1.2, 5.11.4 */
#define VFIO_TOKEN_LEN  36 /* a UUID as text */
#define DISK_SERIAL_MAX 20 /* bytes; 5.2.6 */

/* A disk is a file (or block device) that we serve, or the socket of a back end. */
struct disk_setup {
	char *file, *socket; /* one of them is NULL */
	bool readonly;       /* file only */
	char *serial;        /* file only; NULL: none */
	unsigned queues;     /* 1 .. DISK_QUEUES_MAX */
};

struct fs_setup {
	char *socket;
	char *tag;       /* what the guest mounts it by */
	unsigned queues; /* for requests: 1 .. FS_QUEUES_MAX */
};

/* A device of the host's that the guest has to itself. */
struct vfio_setup {
	char *pci;   /* its address */
	char *token; /* a UUID, for a VF whose PF is bound to vfio-pci as well; NULL: none */
};

/* text: what follows --disk, --fs or --vfio. Strings are owned by the setup: to be freed, also
 * after a failure. ERR_REQUEST with a sentence. */
int disk_setup_parse(struct disk_setup *d, const char *text, struct err *e);
void disk_setup_free(struct disk_setup *d);
int fs_setup_parse(struct fs_setup *f, const char *text, struct err *e);
void fs_setup_free(struct fs_setup *f);
int vfio_setup_parse(struct vfio_setup *v, const char *text, struct err *e);
void vfio_setup_free(struct vfio_setup *v);

#endif
