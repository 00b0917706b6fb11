#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the benchmark in the namespace that run.sh made; see README.md for what it measures."""

import argparse
import datetime
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import subjects
from subjects import Invalid, wait_for

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
MARK_BEGIN = "<!-- begin: written by run.sh --write -->"
MARK_END = "<!-- end -->"
IN_FLIGHT = 16


class Ratios:
    """The ratios of one figure's pairs, and what they are ratios of."""

    def __init__(self):
        self.values = []
        self.ours = []
        self.base = []
        self.trouble = None

    def add(self, ours, base):
        self.values.append(ours / base)
        self.ours.append(ours)
        self.base.append(base)

    def median(self):
        return statistics.median(self.values)

    def text(self):
        if self.trouble:
            return f"invalid: {self.trouble}"
        return f"**{self.median():.2f}** ({min(self.values):.2f} to {max(self.values):.2f})"

    def absolute(self, unit, digits=1):
        if self.trouble:
            return ""
        return (f"{statistics.median(self.ours):.{digits}f} / "
                f"{statistics.median(self.base):.{digits}f} {unit}")


class Bench:
    """The folder, the server, the daemons and the amounts of a run."""

    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(os.environ.get("PVCALLS_BUILD", ROOT / "build/bench")).resolve()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pvcalls-bench-"))
        self.folder.chmod(0o755)
        self.processes = subjects.Processes()
        self.gateway = "192.0.2.254"
        part = 8 if options.quick else 1
        self.bulk = (2 << 30) // part
        self.round_trips = 40000 // part
        self.connects = 48000 // part
        self.rows = 1000000 // part

    def program(self, name):
        return str(self.build / "bench" / name)

    def prepare(self):
        if not pathlib.Path(self.program("ring")).exists():
            raise SystemExit(f"{self.build} holds no build: cmake --preset bench && "
                             "cmake --build --preset bench")
        for command in ("mount --make-rprivate /", "ip link set lo up",
                        "ip tuntap add bench0 mode tap", "ip addr add 192.0.2.1/24 dev bench0",
                        "ip link set bench0 up",
                        f"ip route add default via {self.gateway} dev bench0"):
            subprocess.run(command.split(), check=False, capture_output=True)
        # Closed connections must not pile up from one run to the next.
        limit = pathlib.Path("/proc/sys/net/ipv4/tcp_max_tw_buckets")
        if limit.exists():
            limit.write_text("8192", encoding="ascii")
        self.processes.start([self.program("plain"), "serve", "0.0.0.0", str(subjects.PORT), "1"],
                             self.folder / "server.log")
        wait_for(lambda: subjects.port_open(subjects.PORT), "the server")
        self.daemon = subjects.Daemon(self.processes, self.folder / "daemon", self.build)
        self.unaudited = subjects.Daemon(self.processes, self.folder / "unaudited", self.build,
                                         keeps_trail=False)
        self.plain = subjects.Command(self, "plain loopback TCP")
        self.ring9 = subjects.Ring(self, self.daemon, 9, "library, order 9")
        self.ring4 = subjects.Ring(self, self.daemon, 4, "library, order 4")

    def end(self):
        self.processes.stop_all()
        if self.options.keep:
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def wanted(self, name):
        return not self.options.only or any(re.search(word, name) for word in self.options.only)

    def pairs(self, title, ours, base, keys, pairs=None):
        """Alternating runs of two functions that return results; the ratios of each key."""
        found = {key: Ratios() for key in keys}
        count = pairs or self.options.pairs
        try:
            for number in range(count):
                if number % 2:
                    mine, other = ours(), base()
                else:
                    other, mine = base(), ours()
                for key, ratios in found.items():
                    ratios.add(mine[key], other[key])
                    print(f"{title}: {number + 1}/{count}: {key} {mine[key]:.2f} / {other[key]:.2f}"
                          f" = {ratios.values[-1]:.3f}", file=sys.stderr)
        except Invalid as problem:
            print(f"{title}: invalid: {problem}", file=sys.stderr)
            for ratios in found.values():
                ratios.trouble = str(problem)
        return [found[key] for key in keys]

    # --- the figures ---

    def bulk_of(self, subject, pairs=None):
        """The worse direction's ratio, and which one it is."""
        amount = int(self.bulk * subject.scale)
        found = []
        for verb in ("out", "in"):
            ratios, = self.pairs(f"bulk {verb}, {subject.name}",
                                 lambda verb=verb: subject.work(verb, amount),
                                 lambda verb=verb: self.plain.work(verb, self.bulk),
                                 ["gbit"], pairs)
            if ratios.trouble:
                return ratios, verb, ratios
            found.append((ratios.median(), verb, ratios))
        found.sort(key=lambda item: item[0])
        return found[0][2], found[0][1], found[1][2]

    def round_trip_of(self, subject, pairs=None):
        return self.pairs(f"round trip, {subject.name}",
                          lambda: subject.work("rtt", self.round_trips),
                          lambda: self.plain.work("rtt", self.round_trips), ["p50", "p99"], pairs)

    def connect_of(self, subject, pairs=None):
        """Connections with a byte there and back: what a proxy can't pretend to have made."""
        amount = max(int(self.connects // 2 * subject.scale), 1000)
        ratios, = self.pairs(
            f"connect, byte, close, {subject.name}",
            lambda: subject.work("connect", amount, in_flight=IN_FLIGHT, byte=1),
            lambda: self.plain.work("connect", self.connects // 2, in_flight=IN_FLIGHT, byte=1),
            ["rate"], pairs)
        return ratios

    def connect(self, subject):
        return subject.work("connect", self.connects, first=0, destinations=subjects.RULES_ALLOW,
                            in_flight=IN_FLIGHT)

    def connect_ruled(self):
        """The rate with 10,000 rules; the refused ones are made beside it, not counted."""
        result = self.connect(self.ring4)
        self.ring4.work("denied", 200, first=subjects.RULES_ALLOW,
                        destinations=subjects.RULES_DENY, in_flight=IN_FLIGHT)
        return result

    def audit_cost(self):
        silent = subjects.Ring(self, self.unaudited, 4, "library without a trail")
        ratios, = self.pairs("connects with audit on / off", lambda: self.connect(self.ring4),
                             lambda: self.connect(silent), ["rate"])
        return ratios

    def printed(self, title, argv, pattern):
        """A ratio that a program of its own prints; it pairs inside."""
        ratios = Ratios()
        for number in range(self.options.pairs):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
            match = re.search(pattern, done.stdout)
            if done.returncode != 0 or not match:
                ratios.trouble = f"{pathlib.Path(argv[0]).name} ended with {done.returncode}"
                break
            ratios.values.append(float(match.group(1)))
            print(f"{title}: {number + 1}/{self.options.pairs}: {ratios.values[-1]}",
                  file=sys.stderr)
        return ratios

    def decision(self, pattern):
        return self.printed("decision", [self.program("decision"), str(self.build / "plugins")],
                            pattern)

    def audit_rows(self):
        folder = self.folder / "rows"
        folder.mkdir(exist_ok=True)
        return self.printed("audit rows", [self.program("audit_rows"),
                                           str(self.build / "bin/pvcalls-auditd"), str(folder),
                                           str(self.rows)], r"ratio: +([0-9.]+)")


def judged(ratios, reach, aim, less=False):
    """Whether a figure reached what it must, and its aim."""
    if ratios.trouble:
        return "invalid"
    value = ratios.median()
    if value <= aim if less else value >= aim:
        return "aim reached"
    return "reached" if (value <= reach if less else value >= reach) else "**missed**"


def figures(bench):
    """The table of figures, as lines of Markdown."""
    lines = ["| figure | measured (min to max) | ours / base | reach | aim | |",
             "|---|---|---|---|---|---|"]

    def add(name, ratios, absolute, reach, aim, less=False):
        sign = "≤" if less else "≥"
        lines.append(f"| {name} | {ratios.text()} | {absolute} | {sign} {reach} | {sign} {aim} | "
                     f"{judged(ratios, reach, aim, less)} |")

    for order, ring, reach, aim in ((9, bench.ring9, 0.9, 1.10), (4, bench.ring4, 0.4, 0.85)):
        if bench.wanted(f"bulk{order}"):
            worse, verb, other = bench.bulk_of(ring)
            add(f"bulk, one stream, order {order}, worse direction ({verb}); the other "
                f"{'' if other.trouble else f'{other.median():.2f}'}", worse,
                worse.absolute("Gbit/s"), reach, aim)
    if bench.wanted("rtt"):
        half, tail = bench.round_trip_of(bench.ring9)
        add("1-byte round trip, median", half, half.absolute("µs"), 1.7, 0.5, True)
        lines.append(f"| 1-byte round trip, p99 | {tail.text()} | {tail.absolute('µs')} | | | |")
    if bench.wanted("connect"):
        ratios, = bench.pairs("connect", bench.connect_ruled, lambda: bench.connect(bench.plain),
                              ["rate"])
        add("connect+close per second, 10,000 rules, audit on, 16 in flight", ratios,
            ratios.absolute("/s", 0), 0.6, 0.95)
    if bench.wanted("audit-cost"):
        ratios = bench.audit_cost()
        add("connect rate, audit on / off", ratios, ratios.absolute("/s", 0), 0.9, 0.98)
    if bench.wanted("decision"):
        ratios = bench.decision(r"look-up: large to small p50 [0-9.]+, p99 ([0-9.]+)")
        add("look-up, 100,000 rules / 10 rules, p99", ratios, "", 3, 1.25, True)
        ratios = bench.decision(r"decision: large to small p50 [0-9.]+, p99 ([0-9.]+)")
        add("decision by the chain, as many rules as fit a policy / 10, p99", ratios, "", 3, 1.25,
            True)
    if bench.wanted("audit-rows"):
        add("audit rows stored per second / row-by-row transactions", bench.audit_rows(), "", 10,
            20)
    return lines


def start_subject(bench, name, start, program):
    """A subject to compare with, or why it is not there."""
    if not shutil.which(program):
        return None, f"{program} is not installed"
    try:
        return start(bench), None
    except Invalid as problem:
        return None, str(problem)


def fewer(bench):
    """Pairs of the others: their differences are larger than what more pairs would show."""
    return max(3, bench.options.pairs // 2)


def comparison(bench):
    """The table of others, as lines of Markdown."""
    lines = ["| path | bulk, worse direction | 1-byte round trip, median | p99 | "
             "connect, byte, close per second |", "|---|---|---|---|---|"]
    ours = [("library, order 9", str(bench.build / "bin/pvcallsd"), lambda b: b.ring9),
            ("library, order 4", str(bench.build / "bin/pvcallsd"), lambda b: b.ring4),
            ("pvcalls-run", str(bench.build / "bin/pvcalls-run"),
             lambda b: subjects.Guest(b, b.daemon))]
    others = [(name, program, start) for program, name, start in subjects.PEERS]
    for name, program, start in ours + others:
        if not bench.wanted(f"path {name}"):
            continue
        subject, why_not = start_subject(bench, name, start, program)
        if not subject:
            lines.append(f"| {name} | not run: {why_not} | | | |")
            continue
        pairs = fewer(bench)
        bulk, verb, _ = bench.bulk_of(subject, pairs)
        half, tail = bench.round_trip_of(subject, pairs)
        rate = bench.connect_of(subject, pairs)
        lines.append(f"| {subject.name} | {bulk.text()} ({verb}) | {half.text()} | {tail.text()} | "
                     f"{rate.text()} |")
        subject.stop()
    return lines


def machine():
    model = "unknown CPU"
    for line in open("/proc/cpuinfo", encoding="ascii"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return f"{date}, Linux {platform.release()}, {os.cpu_count()} CPUs ({model})"


def report(bench):
    command = " ".join(["bench/run.sh"] + sys.argv[1:])
    head = (f"`{command}` on {machine()}. Each figure is the median of {bench.options.pairs} "
            "alternating pairs of one run.")
    lines = [head, ""] + figures(bench)
    if not bench.options.only or any("path" in word for word in bench.options.only):
        lines += ["", "Others on the same work, as ratios to plain loopback TCP in the same run, "
                  f"{fewer(bench)} pairs each (round trips: less is better):", ""]
        lines += comparison(bench)
    return "\n".join(lines)


def write_readme(text):
    readme = HERE / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(MARK_BEGIN)
    after = rest.split(MARK_END)[1]
    readme.write_text(f"{before}{MARK_BEGIN}\n{text}\n{MARK_END}{after}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh", description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="pairs for each figure (7)")
    parser.add_argument("--quick", action="store_true", help="an eighth of the load, 3 pairs")
    parser.add_argument("--only", action="append", metavar="REGEX",
                        help="bulk9, bulk4, rtt, connect, audit-cost, decision, audit-rows, path ...")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    options = parser.parse_args()
    if options.quick:
        options.pairs = min(options.pairs, 3)
    bench = Bench(options)
    try:
        bench.prepare()
        text = report(bench)
    finally:
        bench.end()
    print(text)
    if options.write:
        write_readme(text)


if __name__ == "__main__":
    main()
