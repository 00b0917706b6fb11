# SPDX-License-Identifier: GPL-2.0-or-later
"""What does the work that run.py measures: the daemon with its trail, our library, and others."""

import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import time

PORT = 7000
RULES_ALLOW = 8000  # rules of the policy that let a destination in, one address each
RULES_DENY = 2000  # and that refuse one, in the addresses behind them
BASE = (127 << 24) + (10 << 16)  # the first of these addresses


class Invalid(Exception):
    """A run whose bytes, records or verdicts were wrong: its figure does not count."""


def address(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def parse(line):
    """The key=value pairs of a line of results."""
    values = dict(word.split("=", 1) for word in line.split())
    if values.pop("sound") != "1":
        raise Invalid("wrong bytes or verdicts: " + line.strip())
    return {key: float(value) for key, value in values.items()}


def run(argv, seconds=60):
    """The results of a program that prints one line of them; Invalid if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        raise Invalid(f"{argv[0]} took more than {seconds} s") from late
    if done.returncode != 0:
        raise Invalid((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return parse(done.stdout.strip().splitlines()[-1])


class Processes:
    """What was started; all of it is ended, also when the benchmark fails."""

    def __init__(self):
        self.started = []

    def start(self, argv, log, **options):
        with open(log, "ab") as output:
            process = subprocess.Popen(argv, stdout=output, stderr=output,
                                       stdin=subprocess.DEVNULL, **options)
        self.started.append(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.started.remove(process)

    def stop_all(self):
        for process in reversed(self.started[:]):
            self.stop(process)


def wait_for(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Invalid(f"{what} did not come within {seconds} s")
        time.sleep(0.02)


def port_open(port, host="127.0.0.1"):
    wanted = f"{int.from_bytes(bytes(map(int, host.split('.'))), sys.byteorder):08X}:{port:04X}"
    anyone = f"00000000:{port:04X}"
    for line in open("/proc/net/tcp", encoding="ascii").readlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[1] in (wanted, anyone):
            return True
    return False


def write_policy(path):
    """10,000 rules of one address each, of which no connection of the load is spared one."""
    lines = ["version: 1", "name: bench", 'match: {name: ["*"]}', "default: deny", "floor:",
             "  allow:",
             f"    - {{on: connect, to: {{net: [127.0.0.0/8], ports: [{PORT}]}}}}",
             "chain:", "  - plugin: filter", "    rules:"]
    for number in range(RULES_ALLOW + RULES_DENY):
        verdict = "allow" if number < RULES_ALLOW else "deny"
        lines.append(f"      - {{id: r{number}, on: connect, to: {{net: "
                     f"[{address(BASE + number)}/32], ports: [{PORT}]}}, verdict: {verdict}}}")
    lines.append(f"      - {{id: bulk, on: connect, to: {{net: [127.0.0.1/32], ports: [{PORT}]}}, "
                 "verdict: allow}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


class Daemon:
    """A pvcallsd of its own, with its trail."""

    def __init__(self, processes, folder, build, keeps_trail=True):
        self.folder = folder
        self.keeps_trail = keeps_trail
        self.expected = {}
        for name in ("policy.d", "state", "run"):
            (folder / name).mkdir(parents=True)
        write_policy(folder / "policy.d/bench.yaml")
        programs = build / "bin"
        if not keeps_trail:
            programs = folder / "bin"
            shutil.copytree(build / "bin", programs)
            shutil.copy(build / "bench/null_writer", programs / "pvcalls-auditd")
        self.process = processes.start(
            [programs / "pvcallsd", "--transport", "local", "--foreground",
             "--policy-dir", folder / "policy.d", "--state-dir", folder / "state",
             "--runtime-dir", folder / "run", "--plugin-dir", build / "plugins",
             "--config", self.config()], folder / "log")
        wait_for(self.ready, f"the daemon in {folder}")

    def config(self):
        path = self.folder / "pvcallsd.yaml"
        path.write_text("durability: crash\n", encoding="ascii")
        return path

    def ready(self):
        if self.process.poll() is not None:
            raise SystemExit((self.folder / "log").read_text())
        return (self.folder / "run/local.sock").exists()

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

    def add(self, key, count):
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

    def work(self, verb, amount, first=None, destinations=1, **options):
        host = self.host
        if first is not None and self.port == PORT and not self.prefix:
            host = address(BASE + first)
            options["destinations"] = destinations
        return run(self.prefix + [self.bench.program("plain"), verb, host, str(self.port),
                                  str(amount)] + arguments(options))

    def stop(self):
        if self.process:
            self.bench.processes.stop(self.process)


class Ring(Subject):
    """Our library, with rings of an order, at a daemon."""

    def __init__(self, bench, daemon, order, name):
        super().__init__(name)
        self.bench = bench
        self.daemon = daemon
        self.order = order

    def work(self, verb, amount, first=None, destinations=1, **options):
        host = "127.0.0.1" if first is None else address(BASE + first)
        connects = amount if verb in ("connect", "denied") else 1
        if first is not None:
            options["destinations"] = destinations
        result = run([self.bench.program("ring"), verb, host, str(PORT), str(amount)] +
                     arguments({**options, "order": self.order, "name": "bench",
                                "runtime_dir": self.daemon.folder / "run"}))
        self.daemon.expect(connects, first, destinations, verb != "denied")
        self.daemon.check_trail()
        return result


class Guest(Command):
    """The plain client as an unmodified program under pvcalls-run."""

    def __init__(self, bench, daemon):
        super().__init__(bench, "pvcalls-run (unmodified program)",
                         [bench.build / "bin/pvcalls-run", "--runtime-dir",
                          daemon.folder / "run", "--name", "bench", "--"], scale=0.25)
        self.daemon = daemon

    def work(self, verb, amount, first=None, destinations=1, **options):
        result = super().work(verb, amount, **options)
        self.daemon.expect(amount if verb == "connect" else 1)
        self.daemon.check_trail()
        return result


def arguments(options):
    return [f"{key.replace('_', '-')}={value}" for key, value in options.items()]


def start_socat(bench):
    process = bench.processes.start(
        ["socat", "-b", "65536", "TCP-LISTEN:7001,fork,reuseaddr,nodelay,backlog=1024,bind=127.0.0.1",
         f"TCP:127.0.0.1:{PORT},nodelay"], bench.folder / "socat.log")
    wait_for(lambda: port_open(7001), "socat")
    return Command(bench, "socat", port=7001, scale=0.1, process=process)


def start_haproxy(bench):
    config = bench.folder / "haproxy.cfg"
    config.write_text(
        "global\n  maxconn 2000\ndefaults\n  mode tcp\n  option splice-auto\n"
        "  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen bench\n  bind 127.0.0.1:7002\n  server one 127.0.0.1:{PORT}\n", encoding="ascii")
    process = bench.processes.start(["haproxy", "-db", "-f", config], bench.folder / "haproxy.log")
    wait_for(lambda: port_open(7002), "haproxy")
    return Command(bench, "haproxy (TCP mode)", port=7002, scale=0.5, process=process)


def pasta(bench, name, ports, host):
    options = ["-f", "--runas", "0", "-4", "--config-net", "-T", ports, "-t", "none",
               "-u", "none", "-U", "none", "--"]
    return Command(bench, name, ["pasta"] + options, host=host, scale=0.5)


def start_pasta_splice(bench):
    return pasta(bench, "pasta (splice)", str(PORT), "127.0.0.1")


def start_pasta_tap(bench):
    return pasta(bench, "pasta (tap)", "none", bench.gateway)


def start_slirp(bench):
    inner = bench.processes.start(["unshare", "--net", "sleep", "3600"], bench.folder / "log")
    own = os.readlink("/proc/self/ns/net")
    wait_for(lambda: os.readlink(f"/proc/{inner.pid}/ns/net") != own, "slirp4netns' namespace")
    process = bench.processes.start(
        ["slirp4netns", "--configure", "--mtu=65520", str(inner.pid), "tap0"],
        bench.folder / "slirp.log")
    enter = ["nsenter", "--net", "--target", str(inner.pid), "--"]
    wait_for(lambda: subprocess.run(enter + ["ip", "route", "get", "10.0.2.2"], check=False,
                                    capture_output=True).returncode == 0, "slirp4netns")
    return Command(bench, "slirp4netns", enter, host="10.0.2.2", scale=0.25, process=process)


PEERS = (
    ("pasta", "pasta (splice)", start_pasta_splice),
    ("pasta", "pasta (tap)", start_pasta_tap),
    ("slirp4netns", "slirp4netns", start_slirp),
    ("socat", "socat", start_socat),
    ("haproxy", "haproxy (TCP mode)", start_haproxy),
)
