# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run of the benchmark stands on: namespace, server, builds, the amounts of each load."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

import subjects
from before_after import BEFORE, NOW, Side, alternate
from processes import Processes, port_open, wait_for

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = 65536  # descriptors that a program may have; thousands of idle sockets take as many
DEVICES = ("mount --make-rprivate /", "ip link set lo up", "ip tuntap add bench0 mode tap",
           "ip addr add 192.0.2.1/24 dev bench0", "ip link set bench0 up")
SETTINGS = {
    # Closed connections must not pile up from one run to the next
    "net/ipv4/tcp_max_tw_buckets": "8192",
    # Thousands of connections to one address beside those that were closed lately
    "net/ipv4/ip_local_port_range": "10240 65000",
}


class Bench:
    """The folder, the server, the builds and the amounts of a run."""

    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(os.environ.get("PVCALLS_BUILD", ROOT / "build/bench")).resolve()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pvcalls-bench-"))
        self.folder.chmod(0o755)
        self.processes = Processes()
        self.gateway = "192.0.2.254"
        part = 8 if options.quick else 1
        self.bulk = (2 << 30) // part
        self.round_trips = 40000 // part
        self.connects = 48000 // part
        self.rows = 1000000 // part
        self.synced = 4000 // part

    def program(self, name):
        return str(self.build / "bench" / name)

    def prepare(self):
        if not pathlib.Path(self.program("ring")).exists():
            raise SystemExit(f"{self.build} holds no build: cmake --preset bench && "
                             "cmake --build --preset bench")
        self._make_network()
        self._raise_limits()
        self.server = self.processes.start(
            [self.program("plain"), "serve", "0.0.0.0", str(subjects.PORT), "1"],
            self.folder / "server.log")
        wait_for(lambda: port_open(subjects.PORT), "the server")
        self.dark = subjects.darkness()
        self.plain = subjects.Command(self, "plain loopback TCP")
        self.sides = [Side(self, NOW, self.build)]
        if self.options.against:
            self.sides.insert(0, Side(self, BEFORE, self._other_build()))

    def _other_build(self):
        build = pathlib.Path(self.options.against).resolve()
        if not os.access(build / "bin/pvcallsd", os.X_OK):
            raise SystemExit(f"{build} holds no build: there is no bin/pvcallsd in it")
        return build

    def _make_network(self):
        for command in (*DEVICES, f"ip route add default via {self.gateway} dev bench0"):
            subprocess.run(command.split(), check=False, capture_output=True)
        for name, value in SETTINGS.items():
            path = pathlib.Path("/proc/sys") / name
            if path.exists():
                path.write_text(value, encoding="ascii")

    @staticmethod
    def _raise_limits():
        """As many descriptors as may be had: daemons and clients inherit it."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, max(most, FILES)))
            return
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FILES), most))

    def end(self):
        self.processes.stop_all()
        if self.options.keep:
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def wanted(self, name):
        return not self.options.only or any(re.search(word, name) for word in self.options.only)

    def both(self):
        """Whether there are two builds."""
        return len(self.sides) > 1

    def of_sides(self, make):
        """{name of a build: what make(it) gives}."""
        return {side.name: make(side) for side in self.sides}

    def alternate(self, title, contestants, base, keys, count=None, digits=2):
        return alternate(title, contestants, base, keys, count or self.options.pairs, digits)
