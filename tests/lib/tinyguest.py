# SPDX-License-Identifier: Apache-2.0
"""Guests of a few instructions, as PVH ELF files, written by hand: what the VMM does with a guest that
powers off, resets, crashes or starts a second CPU is tested with them, without the probe.

Code is 32-bit, entered at BASE with paging off. write_elf() makes good images and, by its arguments,
the bad ones that the VMM must refuse.
"""
import struct

BASE = 0x100000

HLT = b"\xf4\xeb\xfd"  # hlt; jmp back to it


def out8(port, value):
    """mov dx, port; mov al, value; out dx, al"""
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"


def puts(text, port=0x3F8):
    return b"".join(out8(port, c) for c in text.encode())


def store32(addr, value):
    """mov dword [addr], value"""
    return b"\xc7\x05" + struct.pack("<II", addr, value)


def wait32(addr):
    """0: cmp dword [addr], 0; je 0. Until somebody else writes there."""
    return b"\x83\x3d" + struct.pack("<I", addr) + b"\x00\x74\xf7"


def delay(rounds):
    """mov ecx, rounds; loop $"""
    return b"\xb9" + struct.pack("<I", rounds) + b"\xe2\xfe"


POWER_OFF = out8(0x600, 0x34) + HLT
RESET_CF9 = out8(0xCF9, 6) + HLT
RESET_KBD = out8(0x64, 0xFE) + HLT
TRIPLE_FAULT = b"\x0f\x0b"  # ud2, and there is no IDT

# In a loop: wait for a byte on COM2, send it back on COM2 and show it on COM1.
ECHO = bytes.fromhex(
    "66bafd02"  # 0: mov dx, 0x2fd
    "ec"        #    in al, dx
    "a801"      #    test al, 1
    "74f7"      #    jz 0
    "66baf802"  #    mov dx, 0x2f8
    "ec"        #    in al, dx
    "ee"        #    out dx, al
    "66baf803"  #    mov dx, 0x3f8
    "ee"        #    out dx, al
    "ebea"      #    jmp 0
)

# In a loop: wait for a byte on COM1 and send it back there.
CONSOLE_ECHO = bytes.fromhex("66bafd03" "ec" "a801" "74f7" "66baf803" "ec" "ee" "ebef")

# In a loop: take what waits on COM2 by one rep insb, and send it back by one rep outsb.
STRING_ECHO = bytes.fromhex(
    "66ba1806"    # 0: mov dx, 0x618
    "ed"          #    in eax, dx         how many bytes
    "85c0"        #    test eax, eax
    "74f7"        #    jz 0
    "89c3"        #    mov ebx, eax
    "bf00002000"  #    mov edi, 0x200000
    "89c1"        #    mov ecx, eax
    "66baf802"    #    mov dx, 0x2f8
    "fc"          #    cld
    "f36c"        #    rep insb
    "be00002000"  #    mov esi, 0x200000
    "89d9"        #    mov ecx, ebx
    "f36e"        #    rep outsb
    "ebdc"        #    jmp 0
)

# Prints 1 MiB of zeros on COM1 by its string port, and says so on COM2 when all of it was taken.
PRINT_1_MIB = (
    store32(0x201000, 0x202000) + store32(0x201004, 0) + store32(0x20100C, 0)
    + bytes.fromhex(
        "bb00001000"            # mov ebx, 1 MiB
        "c7050810200000100000"  # 0: mov dword [0x201008], 4096
        "b800102000"            #    mov eax, 0x201000
        "66ba2006"              #    mov dx, 0x620
        "ef"                    #    out dx, eax
        "2b1d08102000"          #    sub ebx, [0x201008]
        "7fe4"                  #    jg 0
    ) + puts("done\n", 0x2F8) + HLT
)

# The first CPU starts the second by INIT and SIPI to 0x8000, where real-mode code says "2":
# mov dx,0x3f8 (ba f8 03); mov al,'2' (b0 32); out dx,al (ee); hlt (f4); jmp -3 (eb fd)
_AP = bytes.fromhex("baf803b032eef4ebfd909090")
SECOND_CPU = (
    b"".join(store32(0x8000 + i, struct.unpack_from("<I", _AP, i)[0]) for i in range(0, 12, 4))
    + store32(0xFEE000F0, 0x1FF)
    + store32(0xFEE00310, 1 << 24)
    + store32(0xFEE00300, 0x4500)
    + delay(1000)
    + store32(0xFEE00300, 0x4608)
    + puts("1")
    + HLT
)

def nic_write(offset, length, value, slot=1):
    """Writes a register of a NIC's BAR through the window in its configuration space (virtio 1.2,
    4.1.4.9; the capability is at 0x90), which 32-bit code reaches where the BAR is out of reach."""
    config = 0xE0000000 + (slot << 15)
    return (store32(config + 0x98, offset) + store32(config + 0x9C, length)
            + store32(config + 0xA0, value))


def nic_negotiate(slot=1, features=1 << 32):
    """Up to FEATURES_OK, with VERSION_1 alone or these."""
    return b"".join(nic_write(*a, slot) for a in (
        (20, 1, 0), (20, 1, 1), (20, 1, 3), (8, 4, 0), (12, 4, features & 0xFFFFFFFF), (8, 4, 1),
        (12, 4, features >> 32), (20, 1, 11)))


def nic_queue(i, size, at, slot=1):
    """Queue i with its three parts from `at` on, 0x1000 apart."""
    return b"".join(nic_write(*a, slot) for a in (
        (22, 2, i), (24, 2, size), (32, 4, at), (40, 4, at + 0x1000), (48, 4, at + 0x2000),
        (28, 2, 1)))


PVPANIC = 0xE0000000 + (31 << 15)  # its configuration space


def panic(events):
    """Moves pvpanic's BAR to where 32-bit code can reach it, and says that the kernel panicked."""
    return (store32(PVPANIC + 0x10, 0xD0000000) + store32(PVPANIC + 0x14, 0)
            + store32(PVPANIC + 4, 2)
            + b"\xc6\x05" + struct.pack("<IB", 0xD0000000, events))


# Writes "." to COM1 for ever.
DOTS = b"\x66\xba\xf8\x03\xb0." b"\xee\xeb\xfd"

# Waits until the power button's line was raised (IRQ 9: bit 1 of the second PIC's request register):
# mov al,0x0a; out 0xa0,al; in al,0xa0; test al,2; jz to the beginning.
POWER_BUTTON = bytes.fromhex("b00a" "e6a0" "e4a0" "a802" "74f6")

# Writes the TSC to COM1 in binary, low byte first, and halts.
TSC = bytes.fromhex("0f31" "89d3" "66baf803" + "eec1e808" * 4 + "89d8" + "eec1e808" * 4) + HLT


def elf(code, paddr=BASE, note=True, machine=62, memsz=None, magic=b"\x7fELF", entry=None):
    """An ELF-64 with one segment of code at paddr and, if note, the PVH note."""
    note_bytes = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", paddr if entry is None else entry)
    header = 64 + 2 * 56
    note_off = header
    code_off = (note_off + len(note_bytes) + 15) & ~15
    eh = magic + bytes([2, 1, 1]) + bytes(9)
    eh += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, paddr, 64, 0, 0, 64, 56, 2 if note else 1,
                      0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, code_off, paddr, paddr, len(code),
                       memsz or max(len(code), 4096), 16)
    notes = struct.pack("<IIQQQQQQ", 4, 4, note_off, 0, 0, len(note_bytes), len(note_bytes), 4)
    image = eh + load + (notes if note else bytes(56)) + note_bytes
    return image + bytes(code_off - len(image)) + code


def write_elf(path, code, **kwargs):
    with open(path, "wb") as f:
        f.write(elf(code, **kwargs))
    return path
