/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's fixed addresses (docs/control.md tells guests of them). Data only. */
#ifndef LANYARD_VMM_LAYOUT_H
#define LANYARD_VMM_LAYOUT_H

/* RAM: [0, LOW_RAM_MAX) and [4 GiB, ...). */
#define LAYOUT_LOW_RAM_MAX 0xc0000000ull
#define LAYOUT_HIGH_RAM    0x100000000ull
#define LAYOUT_HOLE_BELOW  0xa0000ull  /* not told to the guest as RAM up to 1 MiB */
#define LAYOUT_IMAGE_MIN   0x100000ull /* ELF segments at or above 1 MiB */

/* What a guest is handed over: PVH's start info (EBX) and what it points to; Linux's boot_params
 * (RSI) and the page tables that its 64-bit entry wants. */
#define LAYOUT_GDT         0x500ull
#define LAYOUT_START_INFO  0x6000ull
#define LAYOUT_MODLIST     0x6800ull
#define LAYOUT_MEMMAP      0x7000ull
#define LAYOUT_BOOT_PARAMS 0x8000ull
#define LAYOUT_PAGE_TABLES 0x9000ull /* six pages: the first 4 GiB, as they are */
#define LAYOUT_CMDLINE     0x20000ull
#define LAYOUT_CMDLINE_MAX 0x10000ull /* bytes with NUL */

/* The RSDP, which a guest may look for here, and the other ACPI tables. */
#define LAYOUT_ACPI      0xe0000ull
#define LAYOUT_ACPI_SIZE 0x20000ull

#define LAYOUT_ECAM         0xe0000000ull
#define LAYOUT_ECAM_SIZE    0x10000000ull
#define LAYOUT_ECAM_BUSES   1 /* that may have functions; the window is reserved as a whole */
#define LAYOUT_IOAPIC       0xfec00000ull
#define LAYOUT_LAPIC        0xfee00000ull
#define LAYOUT_KVM_IDENTITY 0xfffbc000ull
#define LAYOUT_KVM_TSS      0xfffbd000ull

/* 32-bit BARs, for functions that have some: from where low RAM must end to the ECAM window. */
#define LAYOUT_BARS32     LAYOUT_LOW_RAM_MAX
#define LAYOUT_BARS32_END LAYOUT_ECAM

/* 64-bit BARs: from here, or above RAM if that ends later. */
#define LAYOUT_BARS64      0x4000000000ull
#define LAYOUT_BARS64_SIZE 0x4000000000ull /* up to 39 bits of address where RAM ends before */
#define LAYOUT_BARS64_SLOT 0x100000ull     /* a function's share: 1 MiB */

/* Ports. */
#define PORT_COM2         0x2f8
#define PORT_COM1         0x3f8
#define PORT_KBD_CMD      0x64
#define PORT_PCI_CONFIG   0xcf8 /* and PORT_RESET in the middle of it */
#define PORT_PCI_PORTS    8
#define PORT_RESET        0xcf9
#define PORT_RESET_VALUE  6
#define PORT_SLEEP        0x600
#define PORT_SLEEP_STATUS 0x601
#define PORT_SLEEP_S5     0x34 /* ACPI 6.4, 4.8.3.7: SLP_TYP 5, SLP_EN */
#define PORT_UART_COUNTS  0x610
#define PORT_UART_STRINGS 0x620
#define PORT_PCI_FIRST    0x1000 /* ports for functions that have some */
#define PORT_PCI_LAST     0xffff

#define PORT_SLEEP_TYPE_S5 5

#define IRQ_COM2         3
#define IRQ_COM1         4
#define IRQ_POWER_BUTTON 9
#define GSI_PINS         24 /* of the IOAPIC; MSI routes come after */

#endif
