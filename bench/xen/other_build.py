# SPDX-License-Identifier: GPL-2.0-or-later
"""Packs another build's programs for the lab, which takes one build by itself. Runs on the host."""
import glob
import os
import re
import subprocess
import tarfile

PROGRAMS = ["pvcallsd", "pvcalls-engine", "pvcalls-auditd", "pvcalls-audit", "pvcallsctl", "pvcalls-policy", "pvcalls-run"]
NEEDED = ["pvcallsd", "pvcalls-engine", "pvcalls-auditd", "pvcalls-audit", "pvcallsctl", "pvcalls-run"]
NAME = "other.tar"


class Unfit(Exception):
    """The build can't be measured; says why."""


def files_of(build):
    """{place in the archive: path} of what is measured of a build."""
    found = {f"bin/{name}": os.path.join(build, "bin", name) for name in PROGRAMS}
    found = {place: path for place, path in found.items() if os.access(path, os.X_OK)}
    found.update({f"plugins/{os.path.basename(path)}": path for path in sorted(glob.glob(os.path.join(build, "plugins", "*.so")))})
    missing = [name for name in NEEDED if f"bin/{name}" not in found]
    if missing:
        raise Unfit(f"{build}/bin lacks {', '.join(missing)}")
    return found


def libraries(paths):
    """The shared libraries that programs need."""
    done = subprocess.run(["ldd", *paths], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "LC_ALL": "C"}, check=False)
    return set(re.findall(r"^\t(?:\S+ => )?(\S+) \(0x", done.stdout, re.M)) | set(re.findall(r"(\S+ => not found)", done.stdout))


def check(other, ours):
    """The files of the other build; Unfit if it would not run in the lab, which has our libraries only."""
    files = files_of(other)
    lacking = libraries(files.values()) - libraries(files_of(ours).values())
    if lacking:
        raise Unfit(f"{other} needs libraries that this build does not: {', '.join(sorted(lacking))}")
    return files


def _owned_by_root(member):
    """The daemon loads nothing that others could change."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o755
    return member


def pack(files, folder):
    """Writes the archive; returns its path."""
    path = os.path.join(folder, NAME)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for place, source in files.items():
            archive.add(os.path.realpath(source), place, filter=_owned_by_root)
    return path
