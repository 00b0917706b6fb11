# SPDX-License-Identifier: GPL-2.0-or-later
"""What Dom0 and the guests boot into: two archives each, one of Debian's programs, kept between runs,
and one of ours, made anew for every run.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess

from tree import Tree, join

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.dirname(HERE)

XEN_BIN = "usr/lib/xen-4.17/bin"
DOM0_MODULES = ["xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "xen-netback", "virtio_pci", "9p",
                "9pnet_virtio", "veth", "nf_tables", "nft_chain_nat", "tcp_diag", "inet_diag"]
GUEST_MODULES = ["xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "xen-netfront"]
XEN_TOOLS = ["xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "lsevtchn", "xenstore-control"]
FOR_DOM0 = ["pvcallsd", "pvcalls-engine", "pvcalls-auditd", "pvcalls-audit", "pvcallsctl", "pvcalls-policy"]
FOR_GUESTS = ["pvcalls-run"]
# What the library holds for people, for building and for other worlds is not needed, nor are its test suites.
PYTHON_WITHOUT = {
    "test", "tests", "idlelib", "lib2to3", "ensurepip", "distutils", "pydoc_data", "turtledemo", "turtle.py", "tkinter",
    "dist-packages", "site-packages", "__pycache__", "venv", "wsgiref", "unittest", "sqlite3", "curses", "dbm", "asyncio",
    "multiprocessing", "xml", "xmlrpc", "decimal.py", "_pydecimal.py", "pydoc.py", "doctest.py", "pdb.py", "tarfile.py",
    "mailbox.py", "imaplib.py", "optparse.py", "ftplib.py", "nntplib.py", "zoneinfo", "tomllib"}
PYTHON_WITHOUT_NAMES = re.compile(
    r"config-|lib-dynload/(_test|_codecs_|_decimal|_sqlite|_curses|_tkinter|_dbm|_xx|audioop|ossaudio|nis|_elementtree|pyexpat)"
    r"|encodings/(?!__init__|aliases|ascii|utf_8|latin_1|idna|cp437|punycode)")
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def find(name):
    """A program of this machine."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not found:
        raise RuntimeError(f"{name} is not installed: scripts/need.sh scripts/packages/xenlab.txt")
    return found


def _python_wanted(path):
    parts = set(path.split(os.sep))
    return not parts & PYTHON_WITHOUT and not PYTHON_WITHOUT_NAMES.match(path)


def _base(tree):
    """What any Linux needs to come up, and Python."""
    tree.device("dev/console", 5, 1)
    for name in ("proc", "sys", "run", "tmp", "root", "var/log", "var/lib", "var/lock", "mnt"):
        tree.folder(name)
    for path, text in ACCOUNTS.items():
        tree.text(path, text)
    busybox = find("busybox")
    tree.program(busybox, "usr/bin/busybox")
    applets = subprocess.run([busybox, "--list-full"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for applet in applets:
        # The kernel calls modprobe, poweroff and reboot in /sbin
        if os.path.basename(applet) != "busybox":
            tree.link(applet, "/usr/bin/busybox")
    tree.program("/usr/bin/python3.11")
    tree.link("usr/bin/python3", "python3.11")
    tree.python("/usr/lib/python3.11", "usr/lib/python3.11", _python_wanted)


def _modules(tree, packages, names):
    """Kernel modules with those that they need."""
    wanted = subprocess.run(
        ["modprobe", "-d", packages.root, "-S", packages.release, "--ignore-install", "--show-depends", "-a", *names],
        stdout=subprocess.PIPE, text=True, check=True).stdout
    inside = {os.path.relpath(line.split()[1], packages.modules)
              for line in wanted.splitlines() if line.startswith("insmod ")}
    folder = f"usr/lib/modules/{packages.release}"
    for path in inside:
        tree.file(os.path.join(packages.modules, path), os.path.join(folder, path))
    names = {os.path.basename(path)[:-3].replace("-", "_") for path in inside}
    for list_, key in (("modules.dep", lambda line: line.split(":")[0] in inside),
                       ("modules.alias", lambda line: line.split()[-1] in names)):
        with open(os.path.join(packages.modules, list_), encoding="ascii") as file:
            tree.text(os.path.join(folder, list_), "".join(filter(key, file)))
    tree.file(os.path.join(packages.modules, "modules.builtin"), folder + "/modules.builtin")


def _instead(tree, name):
    """A program of this machine, also where busybox has one of that name."""
    for folder in ("usr/bin", "usr/sbin"):
        tree.entries.pop(f"{folder}/{name}", None)
    tree.program(find(name), f"usr/bin/{name}")


def dom0_base(packages):
    """Debian's share of Dom0."""
    tree = Tree()
    _base(tree)
    _modules(tree, packages, DOM0_MODULES)
    for name in XEN_TOOLS:
        tree.program(packages.path(XEN_BIN, name), f"usr/sbin/{name}")
    # xl and the library look for their helpers there
    tree.link("usr/lib/xen-4.17/bin", "../../sbin")
    for name in ("read", "write", "ls", "list", "rm", "exists", "watch", "chmod"):
        tree.program(packages.path(f"usr/bin/xenstore-{name}"), f"usr/bin/xenstore-{name}")
    tree.program("/usr/lib/x86_64-linux-gnu/libgcc_s.so.1")
    for name in ("ip", "ss", "iperf3", "curl", "wget", "nc.openbsd"):
        _instead(tree, name)
    tree.link("usr/bin/nc", "nc.openbsd")
    return tree


def guest_base(packages):
    """Debian's share of a guest."""
    tree = Tree()
    _base(tree)
    _modules(tree, packages, GUEST_MODULES)
    for name in ("iperf3", "curl", "wget", "nc.openbsd", "nginx"):
        _instead(tree, name)
    tree.link("usr/bin/nc", "nc.openbsd")
    tree.program("/usr/lib/x86_64-linux-gnu/libgcc_s.so.1")
    return tree


def _built(tree, build, names):
    """The programs that are tested, with their libraries."""
    for name in names:
        path = os.path.join(build, "bin", name)
        if os.access(path, os.X_OK):
            tree.program(path, f"opt/pvcalls/bin/{name}")


def _plugins(tree, build):
    for path in glob.glob(os.path.join(build, "plugins", "*.so")):
        tree.program(path, "opt/pvcalls/plugins/" + os.path.basename(path))


def dom0_ours(build, modules, guest_image, kernel, extra=()):
    """Our share of Dom0: the programs that are tested, the guests' kernel and image, the init."""
    tree = Tree(merged=False)
    tree.file(os.path.join(LAB, "dom0", "init"), "init", 0o755)
    tree.file(os.path.join(LAB, "dom0", "vif"), "etc/xen/scripts/vif-lab", 0o755)
    tree.text("etc/xen/xl.conf", 'autoballoon="off"\nclaim_mode=0\nrun_hotplug_scripts=1\n')
    tree.file(kernel, "boot/vmlinux")
    tree.file(guest_image, "boot/guest.cpio")
    _built(tree, build, FOR_DOM0)
    _plugins(tree, build)
    _extra_modules(tree, modules)
    _extra_files(tree, extra)
    return tree


def guest_ours(build, modules, extra=()):
    """Our share of a guest."""
    tree = Tree(merged=False)
    tree.file(os.path.join(LAB, "guest", "init"), "init", 0o755)
    for name in ("agent.py", "pulse.py"):
        tree.file(os.path.join(LAB, "guest", name), f"opt/lab/{name}")
    tree.file(os.path.join(os.path.dirname(LAB), "e2e", "peers.py"), "opt/lab/peers.py")
    _built(tree, build, FOR_GUESTS)
    _extra_modules(tree, modules)
    _extra_files(tree, extra)
    return tree


def _extra_modules(tree, modules):
    for path in modules:
        tree.file(path, "opt/lab/modules/" + os.path.basename(path))


def _extra_files(tree, paths):
    for path in paths:
        tree.program(path, "opt/lab/extra/" + os.path.basename(path))


def _key(packages):
    """Changes with everything that the kept archives are made of."""
    digest = hashlib.sha256("\n".join(packages.wanted).encode())
    for path in (os.path.join(HERE, "images.py"), os.path.join(HERE, "tree.py"), "/var/lib/dpkg/status"):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:16]


class Images:
    """The archives below `cache`."""

    def __init__(self, packages, cache):
        self.packages = packages
        self.cache = cache
        os.makedirs(cache, exist_ok=True)

    def _kept(self, kind, make):
        path = os.path.join(self.cache, f"{kind}-{_key(self.packages)}.cpio")
        if not os.path.exists(path):
            for old in glob.glob(os.path.join(self.cache, f"{kind}-*.cpio")):
                os.unlink(old)
            make(self.packages).write(path)
        return path

    def make(self, build, modules, extra=()):
        """Makes what Dom0 boots; returns its path."""
        guest, ours, dom0 = (os.path.join(self.cache, name) for name in ("guest.cpio", "ours.cpio", "dom0.cpio"))
        guest_ours(build, modules, extra).write(ours)
        join(guest, self._kept("guest", guest_base), ours)
        dom0_ours(build, modules, guest, self.packages.kernel, extra).write(ours)
        join(dom0, self._kept("dom0", dom0_base), ours)
        return dom0
