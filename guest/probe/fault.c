/* SPDX-License-Identifier: Apache-2.0 */
/* A fault in the probe: boot.S saved the registers and jumps here, in ring 3. Never silent. */
#include "guest/probe/cpu.h"
#include "guest/probe/serial.h"

extern const uint64_t fault_regs[22];
_Noreturn void fault_report(void);

void fault_report(void)
{
	static const char names[22][4] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8 ",
		"r9 ", "r10", "r11", "r12", "r13", "r14", "r15", "cr2", "vec", "err", "rip", "cs ",
		"rfl", "rsp" };

	serial_print("probe: fault\n");
	for (int i = 0; i < 22; i++) {
		serial_print(names[i]);
		serial_print("=");
		serial_print_hex(fault_regs[i]);
		serial_print(i % 4 == 3 ? "\n" : " ");
	}
	serial_print("\nprobe: halted; `lanyard down` and up, or reset it\n");
	cpu_halt();
}
