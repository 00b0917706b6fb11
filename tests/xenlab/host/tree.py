# SPDX-License-Identifier: GPL-2.0-or-later
"""A root file system in the making, written as a cpio archive that the kernel takes as it is.

Not compressed: under software emulation unpacking costs more than reading. Archives can be joined,
so what rarely changes is written once and what changes often is put behind it.
"""
import os
import py_compile
import re
import stat
import subprocess
import tempfile

MERGED = ("bin", "sbin", "lib", "lib64")


class Tree:
    """Paths and what is there: bytes, a file of the host, a link or a folder."""

    def __init__(self, merged=True):
        self.entries = {}
        if merged:
            for name in MERGED:
                self.folder(f"usr/{name}")
                self.link(name, f"usr/{name}")

    # what is in it

    def _put(self, path, mode, content):
        path = self._merge(path)
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.folder(parent)
        self.entries[path] = (mode, content)

    @staticmethod
    def _merge(path):
        path = path.strip("/")
        first, _, rest = path.partition("/")
        return f"usr/{path}" if first in MERGED and rest else path

    def folder(self, path, mode=0o755):
        self._put(path, stat.S_IFDIR | mode, b"")

    def link(self, path, target):
        self._put(path, stat.S_IFLNK | 0o777, target.encode())

    def text(self, path, text, mode=0o644):
        self._put(path, stat.S_IFREG | mode, text.encode())

    def data(self, path, content, mode=0o644):
        self._put(path, stat.S_IFREG | mode, content)

    def device(self, path, major, minor):
        self._put(path, stat.S_IFCHR | 0o600, (major, minor))

    def file(self, source, path=None, mode=None):
        """One file of the host, under the same name if none is given."""
        mode = stat.S_IMODE(os.stat(source).st_mode) if mode is None else mode
        self._put(path or source, stat.S_IFREG | mode, source)

    def below(self, source, path, wanted=lambda name: True):
        """A folder of the host with what is in it."""
        for folder, _, names in os.walk(source):
            inside = os.path.relpath(folder, source)
            for name in names:
                if wanted(os.path.join(folder, name)):
                    self.file(os.path.join(folder, name), os.path.normpath(os.path.join(path, inside, name)))

    def program(self, source, path=None, libraries=None):
        """A program of the host with every library that it names."""
        self.file(source, path)
        for library in shared_libraries(source, libraries):
            self.file(os.path.realpath(library), library)

    def python(self, folder, path, wanted):
        """Modules of Python's library, compiled: compiling them under emulation takes seconds."""
        with tempfile.TemporaryDirectory() as scratch:
            compiled = os.path.join(scratch, "module.pyc")
            for source in _python_files(folder, wanted):
                inside = os.path.relpath(source, folder)
                if source.endswith(".py"):
                    py_compile.compile(source, compiled, dfile=inside, doraise=True,
                                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
                    with open(compiled, "rb") as code:
                        self.data(os.path.join(path, inside + "c"), code.read())
                else:
                    self.program(source, os.path.join(path, inside))

    # writing

    def write(self, path):
        """Writes the archive, aside and then in place."""
        with open(path + ".new", "wb") as out:
            for number, name in enumerate(sorted(self.entries)):
                self._entry(out, number + 1, name, *self.entries[name])
            self._entry(out, 0, "TRAILER!!!", 0, b"")
            out.write(bytes(-out.tell() % 512))
        os.rename(path + ".new", path)

    @staticmethod
    def _entry(out, number, name, mode, content):
        major = minor = 0
        if isinstance(content, tuple):
            (major, minor), content = content, b""
        elif isinstance(content, str):
            with open(content, "rb") as file:
                content = file.read()
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name) + 1, 0)
        out.write(b"070701" + b"".join(b"%08X" % field for field in fields))
        out.write(name.encode() + b"\0")
        out.write(bytes(-out.tell() % 4))
        out.write(content)
        out.write(bytes(-out.tell() % 4))


def _python_files(folder, wanted):
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if wanted(os.path.relpath(os.path.join(here, name), folder))]
        for name in names:
            path = os.path.join(here, name)
            if name.endswith((".py", ".so")) and wanted(os.path.relpath(path, folder)):
                yield path


def shared_libraries(program, folders=None):
    """What ldd names for a program; nothing for a static one."""
    environment = {**os.environ, "LC_ALL": "C"}
    if folders:
        environment["LD_LIBRARY_PATH"] = folders
    done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        if "not a dynamic executable" in done.stderr + done.stdout:
            return []
        raise RuntimeError(f"ldd {program}: {done.stderr.strip()}")
    missing = re.findall(r"(\S+) => not found", done.stdout)
    if missing:
        raise RuntimeError(f"{program} needs {', '.join(missing)}, not installed here")
    return re.findall(r"(/\S+) \(0x", done.stdout)


def join(path, *archives):
    """Joins archives: the later ones go over the earlier ones."""
    with open(path + ".new", "wb") as out:
        for archive in archives:
            with open(archive, "rb") as part:
                out.write(part.read())
            out.write(bytes(-out.tell() % 512))
    os.rename(path + ".new", path)
