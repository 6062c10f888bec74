#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""image.py -- makes what QEMU boots out of an unpacked Debian kernel package

    image.py TREE INIT OUT    writes OUT/vmlinux and OUT/initrd

The ELF kernel is taken out of vmlinuz, because QEMU boots it at once (PVH) and the guest would take
seconds to unpack it. The initramfs has busybox, INIT, and the modules that are needed to mount
the host's root and to have soft-RoCE, in the order in which they can be loaded. Needs no root.
"""
import glob
import lzma
import os
import stat
import subprocess
import sys

WANTED = """virtio_pci virtio_console virtio_rng 9pnet_virtio 9p overlay veth dummy sch_netem
ib_umad rdma_ucm rdma_rxe""".split()
# What other modules ask for by the name of an algorithm, which no dependency says.
FIRST = ["crc32_generic", "crc32c_generic"]
PACKED = [(b"\xfd7zXZ\0", ["xz", "-dc", "--single-stream"]), (b"\x28\xb5\x2f\xfd", ["zstd", "-dc"])]


def kernel_unpack(path):
    """The ELF file inside of a vmlinuz."""
    data = open(path, "rb").read()
    for magic, command in PACKED:
        at = data.find(magic)
        while at != -1:
            found = subprocess.run(command, input=data[at:], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, check=False).stdout
            if found[:4] == b"\x7fELF":
                return found
            at = data.find(magic, at + 1)
    sys.exit(f"image.py: no ELF kernel in {path}")


def module_read(path):
    if path.endswith(".xz"):
        return lzma.open(path).read()
    if path.endswith(".zst"):
        return subprocess.check_output(["zstd", "-dc", path])
    return open(path, "rb").read()


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


class Modules:
    """Those that are wanted and what they need, in the order of loading."""

    def __init__(self, folder):
        self.path = {module_name(path): path
                     for path in glob.glob(folder + "/kernel/**/*.ko*", recursive=True)}
        with open(folder + "/modules.builtin", encoding="ascii") as builtin:
            self.builtin = {module_name(line.strip()) for line in builtin}
        self.data = {}

    def add(self, name):
        if name in self.data or name in self.builtin:
            return
        if name not in self.path:
            sys.exit(f"image.py: the kernel package has no module {name}: choose another one")
        data = module_read(self.path[name])
        at = data.find(b"\0depends=")
        if at >= 0:
            for need in data[at + 9:data.index(b"\0", at + 9)].decode().split(","):
                if need:
                    self.add(need.replace("-", "_"))
        self.data[name] = data


class Archive:
    """A cpio archive as the kernel wants it ("newc")."""

    def __init__(self):
        self.bytes = bytearray()
        self.count = 0

    def pad(self):
        self.bytes.extend(b"\0" * (-len(self.bytes) % 4))

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.count += 1
        text = name.encode() + b"\0"
        fields = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(text), 0)
        self.bytes.extend(b"070701" + ("%08x" * 13 % fields).encode() + text)
        self.pad()
        self.bytes.extend(data)
        self.pad()


def initrd(modules, init):
    archive = Archive()
    for folder in "bin dev proc sys lower upper newroot modules".split():
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, open("/bin/busybox", "rb").read())
    archive.add("init", stat.S_IFREG | 0o755, open(init, "rb").read())
    archive.add("modules/order", stat.S_IFREG | 0o644,
                "".join(name + "\n" for name in modules.data).encode())
    for name, data in modules.data.items():
        archive.add(f"modules/{name}.ko", stat.S_IFREG | 0o644, data)
    archive.add("TRAILER!!!", 0)
    return bytes(archive.bytes)


def main():
    tree, init, out = sys.argv[1:]
    folder = (glob.glob(tree + "/lib/modules/*") + glob.glob(tree + "/usr/lib/modules/*"))[0]
    kernel = (glob.glob(tree + "/boot/vmlinuz-*") + glob.glob(folder + "/vmlinuz"))[0]
    modules = Modules(folder)
    for name in FIRST + WANTED:
        modules.add(name)
    with open(out + "/vmlinux", "wb") as file:
        file.write(kernel_unpack(kernel))
    with open(out + "/initrd", "wb") as file:
        file.write(initrd(modules, init))


if __name__ == "__main__":
    main()
