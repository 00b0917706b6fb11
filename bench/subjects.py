# SPDX-License-Identifier: GPL-2.0-or-later
"""What does the work that is measured: the daemon with its trail, our library, plain programs."""

import os
import shutil
import socket
import sqlite3
import time

from processes import Invalid, children, run, run_held, wait_for

PORT = 7000
DARK = PORT + 1  # nobody answers there
RULES_ALLOW = 8000  # rules of the policy that let a destination in, one address each
RULES_DENY = 2000  # and that refuse one, in the addresses behind them
SYNC_BYTES = 4096  # of one write of the disk's own rate: what the journal grows by at least
BASE = (127 << 24) + (10 << 16)  # the first of these addresses


def address(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def write_policy(path):
    """10,000 rules of one address each, of which no connection of the load is spared one."""
    lines = ["version: 1", "name: bench", 'match: {name: ["*"]}', "default: deny", "floor:",
             "  allow:",
             f"    - {{on: connect, to: {{net: [127.0.0.0/8], ports: [{PORT}, {DARK}]}}}}",
             "    - {on: bind, to: {net: [127.0.0.0/8], ports: 0-65535}}",
             "chain:", "  - plugin: filter", "    rules:"]
    for number in range(RULES_ALLOW + RULES_DENY):
        verdict = "allow" if number < RULES_ALLOW else "deny"
        lines.append(f"      - {{id: r{number}, on: connect, to: {{net: "
                     f"[{address(BASE + number)}/32], ports: [{PORT}]}}, verdict: {verdict}}}")
    lines.append(f"      - {{id: bulk, on: connect, to: {{net: [127.0.0.1/32], ports: [{PORT}]}}, "
                 "verdict: allow}")
    lines.append(f"      - {{id: dark, on: connect, to: {{net: [127.0.0.1/32], ports: [{DARK}]}}, "
                 "verdict: allow}")
    lines.append("      - {id: listen, on: [bind, listen], verdict: allow}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def darkness():
    """A listener whose backlog is full, with what fills it: who connects to it waits."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", DARK))
    listener.listen(0)
    fill = [socket.socket() for _ in range(4)]
    for connection in fill:
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", DARK))
    return [listener, *fill]


class Daemon:
    """A pvcallsd of its own, with its trail."""

    def __init__(self, processes, folder, build, null_writer=None, config="", durability="crash"):
        self.folder = folder
        self.keeps_trail = not null_writer
        self.expected = {}
        for name in ("policy.d", "state", "run"):
            (folder / name).mkdir(parents=True)
        write_policy(folder / "policy.d/bench.yaml")
        # Root runs no program and loads no plugin that whoever built them could change
        for name in ("bin", "plugins"):
            shutil.copytree(build / name, folder / name)
        programs = folder / "bin"
        if null_writer:
            shutil.copy(null_writer, programs / "pvcalls-auditd")
        self.process = processes.start(
            [programs / "pvcallsd", "--transport", "local", "--foreground",
             "--policy-dir", folder / "policy.d", "--state-dir", folder / "state",
             "--runtime-dir", folder / "run", "--plugin-dir", folder / "plugins",
             "--config", self.config(config, durability)], folder / "log")
        wait_for(self.ready, f"the daemon in {folder}")

    def config(self, text, durability):
        path = self.folder / "pvcallsd.yaml"
        path.write_text(f"durability: {durability}\n{text}", encoding="ascii")
        return path

    def ready(self):
        if self.process.poll() is not None:
            raise SystemExit((self.folder / "log").read_text())
        return (self.folder / "run/local.sock").exists()

    def disk_syncs(self, count):
        """How many small appended writes a second the disk takes where the trail lies."""
        block = bytes(SYNC_BYTES)
        path = self.folder / "state/audit/disk-syncs"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            begun = time.monotonic()
            for _ in range(count):
                os.write(file, block)
                os.fdatasync(file)
            return count / (time.monotonic() - begun)
        finally:
            os.close(file)
            path.unlink()

    def engine(self):
        """The process that serves the guest; there is one guest at a time."""
        found = []

        def alone():
            found[:] = children(self.process.pid, "pvcalls-engine")
            return len(found) == 1

        wait_for(alone, "one engine")
        return found[0]

    def rows(self):
        """How many rows the trail holds, by operation, verdict and rule."""
        counts = {}
        for file in (self.folder / "state/audit").glob("audit-*.db"):
            database = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
            found = database.execute(
                "SELECT n.name, c.kind >> 3 & 3, d.rule, c.effective >> 16, count(*)"
                " FROM call_log AS c JOIN decisions AS d ON d.id = c.decision"
                " JOIN names AS n ON n.kind = 'operation' AND n.id = c.kind & 7"
                " GROUP BY 1, 2, 3, 4")
            for name, verdict, rule, host, count in found:
                # How many of those that wait for nobody were asked for is not the load's business
                if name == "accept":
                    continue
                key = (name, verdict, rule if name == "connect" else "",
                       host if name == "connect" else 0)
                counts[key] = counts.get(key, 0) + count
            database.close()
        return counts

    def expect(self, connects, first=None, destinations=1, allowed=True):
        """Notes what a run must leave in the trail."""
        verdict = 1 if allowed else 0
        self.add(("socket", 1, "", 0), connects)
        self.add(("release", 1, "", 0), connects)
        for number in range(destinations):
            share = connects // destinations + (number < connects % destinations)
            if share and first is None:
                self.add(("connect", 1, "bulk", (127 << 24) + 1), share)
            elif share:
                self.add(("connect", verdict, f"r{first + number}", BASE + first + number), share)

    def expect_waiting(self, dark, listeners):
        """What waits beside the load, until the guest ends; behind it comes a connect that does not wait."""
        self.expect(int(dark > 0), None, 1, True)
        for name, count in (("socket", dark + listeners), ("release", dark + listeners),
                            ("bind", listeners), ("listen", listeners)):
            self.add((name, 1, "", 0), count)
        self.add(("connect", 1, "dark", (127 << 24) + 1), dark)

    def add(self, key, count):
        if count:
            self.expected[key] = self.expected.get(key, 0) + count

    def check_trail(self):
        """Every call made is in the trail, once, with the right verdict and rule."""
        if not self.keeps_trail:
            return
        total = sum(self.expected.values())
        end = time.monotonic() + 10
        while True:
            rows = self.rows()
            if sum(rows.values()) >= total or time.monotonic() > end:
                break
            time.sleep(0.05)
        if rows != self.expected:
            wrong = {key: (rows.get(key, 0), self.expected.get(key, 0))
                     for key in rows.keys() | self.expected.keys()
                     if rows.get(key, 0) != self.expected.get(key, 0)}
            self.expected = rows
            raise Invalid(f"the trail is wrong (found, expected): {dict(list(wrong.items())[:4])}")


class Subject:
    """Something that does the work of the plain client; amounts are scaled to its speed."""

    def __init__(self, name, scale=1.0):
        self.name = name
        self.scale = scale
        self.why_not = None

    def stop(self):
        pass


class Command(Subject):
    """The plain client, run by or through something."""

    def __init__(self, bench, name, prefix=(), host="127.0.0.1", port=PORT, scale=1.0,
                 process=None):
        super().__init__(name, scale)
        self.bench = bench
        self.prefix = list(prefix)
        self.host = host
        self.port = port
        self.process = process

    def work(self, verb, amount, first=None, destinations=1, probe=None, **options):
        host = self.host
        if first is not None and self.port == PORT and not self.prefix:
            host = address(BASE + first)
            options["destinations"] = destinations
        argv = self.prefix + [self.bench.program("plain"), verb, host, str(self.port),
                              str(amount)] + arguments(options)
        return run_held(argv, probe) if probe else run(argv)

    def stop(self):
        if self.process:
            self.bench.processes.stop(self.process)


class Ring(Subject):
    """Our library, with rings of an order, at a daemon."""

    def __init__(self, program, daemon, order, name):
        super().__init__(name)
        self.program = program
        self.daemon = daemon
        self.order = order

    def work(self, verb, amount, first=None, destinations=1, probe=None, **options):
        host = "127.0.0.1" if first is None else address(BASE + first)
        connects = amount if verb in ("connect", "denied") else options.get("streams", 1)
        connects += options.get("idle", 0)
        if first is not None:
            options["destinations"] = destinations
        argv = [self.program, verb, host, str(PORT), str(amount)] + arguments(
            {**options, "order": self.order, "name": "bench",
             "runtime_dir": self.daemon.folder / "run"})
        result = run_held(argv, probe) if probe else run(argv)
        self.daemon.expect(connects, first, destinations, verb != "denied")
        self.daemon.expect_waiting(options.get("dark", 0), options.get("listeners", 0))
        self.daemon.check_trail()
        return result


class Guest(Command):
    """The plain client as an unmodified program under pvcalls-run."""

    def __init__(self, bench, side):
        super().__init__(bench, "pvcalls-run (unmodified program)",
                         [side.build / "bin/pvcalls-run", "--runtime-dir",
                          side.daemon.folder / "run", "--name", "bench", "--"], scale=0.25)
        self.daemon = side.daemon

    def work(self, verb, amount, first=None, destinations=1, **options):
        result = super().work(verb, amount, **options)
        self.daemon.expect(amount if verb == "connect" else 1)
        self.daemon.check_trail()
        return result


def arguments(options):
    return [f"{key.replace('_', '-')}={value}" for key, value in options.items()]
