# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages that the lab boots: downloaded and unpacked beside the build, never installed.

A kernel or a hypervisor that is installed would end up in the boot loader of the machine that runs
the tests.
"""
import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess

XEN = "4.17"
FIXED = [f"xen-hypervisor-{XEN}-amd64", f"xen-utils-{XEN}", "xenstore-utils"]
HEADERS = "linux-headers-amd64"


class PackageError(Exception):
    """A package is not to be had, or is not what the lab needs."""


def _run(*argv, **options):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        raise PackageError(f"{' '.join(argv)}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _dependency(package, pattern):
    """What a meta-package stands for today."""
    found = re.search(pattern, _run("dpkg-query", "-W", "-f", "${Depends}", package))
    if not found:
        raise PackageError(f"{package} depends on nothing like {pattern}")
    return found


def unpack_kernel(image):
    """The ELF file within a bzImage (see Documentation/x86/boot.rst). Xen and its toolstack would unpack
    it themselves at every boot, which takes seconds under emulation.
    """
    if image[0x202:0x206] != b"HdrS":
        raise PackageError("the kernel is no bzImage")
    setup = ((image[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    return lzma.LZMADecompressor().decompress(image[setup + offset : setup + offset + length])


class Packages:
    """The unpacked tree, below `cache`."""

    def __init__(self, cache):
        # The kernel is chosen by the headers that are installed: modules are built against these.
        found = _dependency(HEADERS, r"linux-headers-(\S+) \(= ([^)]+)\)")
        self.release, version = found[1], found[2]
        self.wanted = [f"linux-image-{self.release}={version}", *FIXED]
        self.cache = cache
        self.root = os.path.join(cache, "root")
        self.stamp = os.path.join(cache, "stamp")

    @property
    def headers(self):
        """Where modules for the lab's kernel are built against."""
        return f"/usr/src/linux-headers-{self.release}"

    @property
    def kernel(self):
        return os.path.join(self.root, "boot", f"vmlinux-{self.release}")

    @property
    def hypervisor(self):
        return os.path.join(self.root, "boot", f"xen-{XEN}-amd64")

    @property
    def modules(self):
        return os.path.join(self.root, "lib", "modules", self.release)

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def fetch(self):
        """Downloads and unpacks what is not there yet."""
        if self._stamped():
            return
        shutil.rmtree(self.cache, ignore_errors=True)
        downloads = os.path.join(self.cache, "deb")
        os.makedirs(downloads)
        _run("apt-get", "download", "-qq", *self.wanted, cwd=downloads)
        for name in sorted(os.listdir(downloads)):
            _run("dpkg", "-x", os.path.join(downloads, name), self.root)
        shutil.rmtree(downloads)
        # QEMU takes the 32-bit multiboot image, not the compressed one
        with gzip.open(self.hypervisor + ".gz") as packed, open(self.hypervisor, "wb") as out:
            shutil.copyfileobj(packed, out)
        with open(os.path.join(self.root, "boot", f"vmlinuz-{self.release}"), "rb") as file:
            unpacked = unpack_kernel(file.read())
        with open(self.kernel, "wb") as out:
            out.write(unpacked)
        _run("strip", self.kernel)
        _run("depmod", "-b", self.root, self.release)
        with open(self.stamp, "w", encoding="ascii") as stamp:
            stamp.write("\n".join(self.wanted))

    def _stamped(self):
        try:
            with open(self.stamp, encoding="ascii") as stamp:
                return stamp.read() == "\n".join(self.wanted)
        except FileNotFoundError:
            return False
