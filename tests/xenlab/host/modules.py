# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel modules of this folder, built against the kernel that the lab boots."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.dirname(HERE)
MODULES = {"guest-hook": "pvcalls-hook.ko", "kernel-backend": "pvcalls-back.ko"}
SOURCE = "/usr/src/linux-source-6.1.tar.xz"


class BuildError(Exception):
    """A module could not be built."""


def build(packages, work):
    """Builds all that are there to be built; returns their paths."""
    return [_build(packages, folder, name, os.path.join(work, folder)) for folder, name in MODULES.items()
            if os.path.exists(os.path.join(LAB, folder, "Makefile"))]


def _build(packages, folder, name, out):
    os.makedirs(out, exist_ok=True)
    log = os.path.join(out, "build.log")
    with open(log, "wb") as file:
        done = subprocess.run(["make", "-C", os.path.join(LAB, folder), f"O={out}", f"KDIR={packages.headers}", f"SOURCE={SOURCE}"],
                              stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
    if done.returncode:
        with open(log, encoding="utf-8", errors="replace") as file:
            raise BuildError(f"{folder} does not build, see {log}:\n{file.read()[-2000:]}")
    return os.path.join(out, name)
