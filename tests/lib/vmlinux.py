# SPDX-License-Identifier: Apache-2.0
"""The ELF inside a bzImage: what PVH boots from.

A bzImage's setup header says where its payload is (Linux: Documentation/arch/x86/boot.rst): the
kernel's ELF, compressed, and behind it its size, 4 bytes, little-endian.

    extract("/boot/vmlinuz-6.1.0-56-amd64", "vmlinux")
"""
import lzma
import os
import struct
import subprocess
import sys

HEADER_MAGIC = b"HdrS"
VERSION_WITH_PAYLOAD = 0x0208


def _by(program):
    def unpack(data):
        try:
            done = subprocess.run([program, "-dc"], input=data, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise RuntimeError(f"{program} is not installed (tools/install-deps test installs "
                               "it)") from None
        if done.returncode:
            raise RuntimeError(f"{program} -dc: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    return unpack


# How a payload begins, and who unpacks it.
FORMATS = ((b"\x02\x21\x4c\x18", "LZ4", _by("lz4")),
           (b"\xfd7zXZ\0", "XZ", lzma.decompress),
           (b"\x28\xb5\x2f\xfd", "ZSTD", _by("zstd")))


def payload(image):
    """The compressed part of a bzImage: (format's name, function, data, size unpacked)."""
    if len(image) < 0x250 or image[0x202:0x206] != HEADER_MAGIC:
        raise RuntimeError("no bzImage: no HdrS at 0x202")
    version, = struct.unpack_from("<H", image, 0x206)
    if version < VERSION_WITH_PAYLOAD:
        raise RuntimeError(f"a bzImage of boot protocol {version >> 8}.{version & 255:02}, "
                           "expected 2.08 or newer, which says where its payload is")
    sects = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sects + 1) * 512 + offset
    data = image[start:start + length]
    if len(data) != length or length < 8:
        raise RuntimeError(f"a bzImage cut short: its payload is at {start}, {length} bytes, of a "
                           f"file of {len(image)}")
    size, = struct.unpack("<I", data[-4:])
    for magic, name, unpack in FORMATS:
        if data.startswith(magic):
            return name, unpack, data[:-4], size
    raise RuntimeError(f"a payload that begins with {data[:6].hex()}, expected LZ4, XZ or ZSTD")


def extract(bzimage, path):
    """Writes the ELF; says how it was compressed."""
    with open(bzimage, "rb") as f:
        image = f.read()
    try:
        name, unpack, data, size = payload(image)
        elf = unpack(data)
        if len(elf) != size or elf[:4] != b"\x7fELF":
            raise RuntimeError(f"{name} payload of {len(elf)} bytes beginning with "
                               f"{elf[:4].hex()}, expected an ELF of {size} bytes")
    except (RuntimeError, lzma.LZMAError) as e:
        raise RuntimeError(f"{bzimage}: {e}") from None
    with open(path + ".new", "wb") as f:
        f.write(elf)
    os.rename(path + ".new", path)
    return name


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: vmlinux.py BZIMAGE ELF")
    print(extract(*sys.argv[1:]))
