# SPDX-License-Identifier: Apache-2.0
"""A kernel that boots nothing, with its modules, as files: for tests of what `lanyard` does about
kernels and initramfs images on a host that has none."""
import os
import struct

VERSION = "6.1.0-99-fake-amd64"
MODULES = ["virtio", "virtio_ring", "virtio_pci", "virtio_net", "virtio_blk", "virtio_rng", "fuse",
           "virtiofs", "overlay", "ext4", "af_packet", "8021q"]


def bzimage(version=VERSION):
    """What is read of one: its magic number and its version."""
    image = bytearray(4096)
    image[0x1fe:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20e, 0x400)
    text = f"{version} (fake@fake)".encode() + b"\0"
    image[0x600:0x600 + len(text)] = text
    return bytes(image)


def make(folder, version=VERSION, modules=True):
    """folder/boot/vmlinuz-VERSION and folder/lib/modules/VERSION, all of whose modules are built
    in; returns folder/boot."""
    boot = os.path.join(folder, "boot")
    os.makedirs(boot, exist_ok=True)
    with open(os.path.join(boot, f"vmlinuz-{version}"), "wb") as f:
        f.write(bzimage(version))
    if modules:
        tree = os.path.join(folder, "lib/modules", version)
        os.makedirs(tree, exist_ok=True)
        for name in ("modules.dep", "modules.softdep", "modules.alias"):
            open(os.path.join(tree, name), "w").close()
        with open(os.path.join(tree, "modules.builtin"), "w") as f:
            f.writelines(f"kernel/{name}.ko\n" for name in MODULES)
    return boot
