# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways from a program to a server in Dom0: those that are compared. Runs in Dom0."""
import os
import signal
import subprocess
import time

from daemon import LOG, Daemon
from xen_guest import Guest
from harness import make_policy
from tools import check, run, wait_for

PLAIN = "/opt/lab/extra/plain"
OTHER_PACKED = "/opt/lab/extra/other.tar"  # another build's programs and plugins, see other_build.py
OTHER = "/opt/other"  # and where they are unpacked, in Dom0 and in guests
UNPACK = ["sh", "-c", f"mkdir -p {OTHER} && tar -xf {OTHER_PACKED} -C {OTHER}"]
BACKEND = "/opt/lab/modules/pvcalls-back.ko"
PORT, IPERF = 7000, 5201
LOOPBACK, VIF = "127.0.0.1", "10.84.0.1"
SECONDS = 30  # longest time of one work

# What a policy does for a living: it logs, it limits, it has rules before the one that fits.
RULES = [
    {"id": "no-smtp", "on": "connect", "to": {"ports": [25, 465, 587]}, "verdict": "deny", "errno": "ECONNREFUSED"},
    {"id": "no-vnc", "on": "connect", "to": {"ports": ["5900-5999"]}, "verdict": "deny"},
    *({"id": f"other-{number}", "on": "connect", "to": {"net": f"198.51.100.{number}/32"}, "verdict": "deny"} for number in range(50)),
    {"id": "bench", "on": "connect", "to": {"net": LOOPBACK, "ports": [PORT, IPERF]}, "verdict": "allow"},
]
LIMITS = [
    {"id": "connects", "on": "connect", "per": "destination", "rate": "100000/s", "over": "delay"},
    {"id": "open", "on": "connect", "concurrent": 500},
]
POLICY = make_policy(
    "bench", "bench-*", default="deny",
    floor={"allow": [{"on": "connect", "to": {"net": f"{LOOPBACK}/32", "ports": [PORT, IPERF]}}]},
    chain=[LOG, {"plugin": "ratelimit", "limits": LIMITS}, {"plugin": "filter", "rules": RULES}])


class Wrong(Exception):
    """The bytes, the counts or the trail were not what they must be: the figure does not count."""


def listens(port):
    rows = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}", encoding="ascii")]
    return any(row[3] == "0A" and row[1].endswith(f":{port:04X}") for row in rows)


def bind(domain, processor):
    """Keeps a domain on one of the two processors, if Dom0 does not want both.

    Else the hypervisor moves all of them to and fro as soon as a third one is there, even an idle one.
    """
    if os.cpu_count() == 1:
        check(run(["xl", "vcpu-pin", domain, "all", str(processor)]))


class Servers:
    """What all of them talk to, in Dom0."""

    def __enter__(self):
        bind("Domain-0", 0)
        self.log = open("/out/servers.log", "ab")
        self.started = [self._start(PLAIN, "serve", "0.0.0.0", PORT, 1), self._start("iperf3", "-s", "-p", IPERF)]
        wait_for(lambda: listens(PORT) and listens(IPERF), "the servers listen")
        # Connections that were closed must not be in the way of later ones
        with open("/proc/sys/net/ipv4/tcp_max_tw_buckets", "w", encoding="ascii") as file:
            file.write("1024")
        return self

    def _start(self, *argv):
        return subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def __exit__(self, *_):
        for process in self.started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def results(line):
    """The figures of the line that `plain` prints."""
    values = dict(word.split("=", 1) for word in line.split())
    if values.pop("sound", "0") != "1":
        raise Wrong(f"wrong bytes: {line}")
    return {key: float(value) for key, value in values.items()}


class Subject:
    """One way. begin() brings it up, end() takes it down; between them it works."""

    address = LOOPBACK
    lasting = False  # whether it is kept from one round to the next
    done = (0, "")  # how much the last work was, and of what

    def begin(self):
        pass

    def end(self):
        pass

    def execute(self, argv):
        """Runs a program where the way starts; has returncode, stdout, stderr."""
        raise NotImplementedError

    def program(self, *argv):
        done = self.execute(list(map(str, argv)))
        if done.returncode != 0:
            raise Wrong(f"{argv[0]} ended with {done.returncode}: {(done.stderr + done.stdout)[-300:]}")
        return done.stdout

    def plain(self, verb, amount, *options):
        return results(self.program(PLAIN, verb, self.address, PORT, amount, *options).strip().splitlines()[-1])

    def warm(self):
        """Each piece of code is slow when the emulator meets it for the first time."""
        self.plain("rtt", 50)
        self.plain("dial", 30)
        self.made(31)

    def made(self, connections, size=0, port=PORT):
        """Notes what a work has done."""

    def check(self):
        """Whether the notes agree with what was kept of it; raises Wrong."""

    def uptime(self):
        return float(self.read("/proc/uptime").split()[0])

    def read(self, path):
        with open(path, encoding="ascii") as file:
            return file.read()


class Loopback(Subject):
    """Dom0 itself."""

    def execute(self, argv):
        return run(argv, SECONDS)


class InGuest(Subject):
    """A program of a guest."""

    kind = "hook"
    guest = None

    def begin(self):
        if not self.guest:
            self.guest = Guest(f"bench-{self.kind}", self.kind).start()
            bind(self.guest.name, 1)

    def end(self):
        self.guest.destroy()
        self.guest = None

    def execute(self, argv):
        return self.guest.client(argv, SECONDS)

    def read(self, path):
        return check(self.guest.run(["cat", path])).stdout


class Net(InGuest):
    """netfront and netback."""

    kind = "net"
    address = VIF
    lasting = True

    def begin(self):
        check(run(["modprobe", "xen-netback"]))
        super().begin()


class Kernel(InGuest):
    """Linux's own backend."""

    def begin(self):
        check(run(["insmod", BACKEND]))
        super().begin()

    def end(self):
        super().end()
        check(run(["rmmod", "pvcalls_back"]))


class Ours(InGuest):
    """pvcallsd, with a policy and a trail."""

    daemon = None

    def begin(self):
        self.daemon = self.make_daemon()
        self.daemon.start()
        self.connects = {PORT: 0, IPERF: 0}
        self.bytes = 0
        self.since = time.time()
        super().begin()
        if self.kind == "hook":
            self.daemon.connected(self.guest.name)

    def make_daemon(self):
        return Daemon({"bench.yaml": POLICY}, config="durability: crash\n")

    def end(self):
        super().end()
        self.daemon.stop()
        self.daemon.close()

    def made(self, connections, size=0, port=PORT):
        self.connects[port] += connections
        self.bytes += size

    def check(self):
        """The trail has each connect, allowed by the rule."""
        for port, count in self.connects.items():
            try:
                wait_for(lambda port=port, count=count: self.trail(
                    "--op", "connect", "--port", port, "--rule", "bench", "--verdict", "allow", "--errno", "ok") == count,
                    f"{count} connects to port {port} are in the trail", 10, 0.3)
            except AssertionError as late:
                raise Wrong(str(late)) from late

    def trail(self, *filters):
        """How many rows there are."""
        done = run(self.daemon.audit_command("-o", "jsonl", "--all", *filters), 60)
        if done.returncode not in (0, 1):
            raise Wrong(f"pvcalls-audit: {done.stderr}")
        return done.stdout.count("\n")


class User(Ours):
    """The same with the frontend in user space."""

    kind = "user"


class Before(Ours):
    """pvcallsd of another build."""

    def make_daemon(self):
        if not os.path.exists(OTHER):
            check(run(UNPACK))
        daemon = super().make_daemon()
        daemon.bin = f"{OTHER}/bin"
        return daemon


class UserBefore(Before):
    """Daemon and frontend in user space of another build."""

    kind = "user"

    def begin(self):
        super().begin()
        check(self.guest.run(UNPACK))

    def execute(self, argv):
        return self.guest.run([f"{OTHER}/bin/pvcalls-run", "--", *argv], SECONDS)


SUBJECTS = {"ours": Ours, "before": Before, "kernel": Kernel, "net": Net, "loopback": Loopback, "user": User, "user-before": UserBefore}
