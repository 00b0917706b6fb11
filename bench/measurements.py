# SPDX-License-Identifier: GPL-2.0-or-later
"""Speeds of bytes, round trips, connections, decisions and rows, divided by something else's."""

import pathlib
import re
import subprocess

import subjects
from before_after import NOW, Table
from processes import Invalid

IN_FLIGHT = 16
STREAMS = 4
# A connection is three calls, one after the other, each of which waits for a commit: 1/3 at most
SYNC_REACH, SYNC_AIM = 0.05, 0.2
DARK = 1000  # connects that nobody answers
LISTENERS = 200  # that nobody comes to
ONES = {"ratio": 1, "look-up": 1, "decision": 1}  # divides what is a ratio already


def works(contestants, *arguments, **options):
    """What each of some subjects does, as functions."""
    return {name: lambda subject=subject: subject.work(*arguments, **options)
            for name, subject in contestants.items()}


def bulk_of(bench, contestants, verb, pairs=None):
    scaled = {name: lambda subject=subject: subject.work(verb, int(bench.bulk * subject.scale))
              for name, subject in contestants.items()}
    title = f"bulk {verb}, {next(iter(contestants.values())).name}"
    figure, = bench.alternate(title, scaled, lambda: bench.plain.work(verb, bench.bulk), ["gbit"],
                              pairs)
    return figure


def bulk(bench, contestants, pairs=None):
    """The figure of the worse direction, which one it is, and the other's figure."""
    found = []
    for verb in ("out", "in"):
        figure = bulk_of(bench, contestants, verb, pairs)
        if figure.of[NOW].trouble:
            return figure, verb, figure
        found.append((figure.of[NOW].median(), verb, figure))
    found.sort(key=lambda item: item[0])
    return found[0][2], found[0][1], found[1][2]


def streams(bench, verb):
    """Several streams of one client at once, each with a peer of its own."""
    amount = bench.bulk // STREAMS * STREAMS
    figure, = bench.alternate(
        f"{STREAMS} streams {verb}",
        works(bench.of_sides(lambda side: side.ring(9)), verb, amount, streams=STREAMS),
        lambda: bench.plain.work(verb, amount, streams=STREAMS), ["gbit"])
    return figure


def round_trip(bench, contestants, pairs=None):
    return bench.alternate(f"round trip, {next(iter(contestants.values())).name}",
                           works(contestants, "rtt", bench.round_trips),
                           lambda: bench.plain.work("rtt", bench.round_trips), ["p50", "p99"],
                           pairs)


def connects_with_byte(bench, contestants, pairs=None):
    """Connections with a byte there and back: what a proxy can't pretend to have made."""
    amount = bench.connects // 2
    scaled = {name: lambda subject=subject: subject.work(
        "connect", max(int(amount * subject.scale), 1000), in_flight=IN_FLIGHT, byte=1)
              for name, subject in contestants.items()}
    figure, = bench.alternate(
        f"connect, byte, close, {next(iter(contestants.values())).name}", scaled,
        lambda: bench.plain.work("connect", amount, in_flight=IN_FLIGHT, byte=1), ["rate"], pairs)
    return figure


def connect(bench, subject):
    return subject.work("connect", bench.connects, first=0, destinations=subjects.RULES_ALLOW,
                        in_flight=IN_FLIGHT)


def connect_ruled(bench, ring):
    """The rate with 10,000 rules; the refused ones are made beside it, not counted."""
    result = connect(bench, ring)
    ring.work("denied", 200, first=subjects.RULES_ALLOW, destinations=subjects.RULES_DENY,
              in_flight=IN_FLIGHT)
    return result


def connects(bench):
    rings = bench.of_sides(lambda side: side.ring(4))
    figure, = bench.alternate("connect", {name: lambda ring=ring: connect_ruled(bench, ring)
                                          for name, ring in rings.items()},
                              lambda: connect(bench, bench.plain), ["rate"])
    return figure


def connects_beside(bench, in_flight):
    """Connects beside much that waits, divided by those of the same guest alone."""
    amount = bench.connects if in_flight > 1 else bench.connects // 8
    waits = {"dark": DARK, "listeners": LISTENERS}
    rings = bench.of_sides(lambda side: side.ring(1))
    figure, = bench.alternate(
        f"connects beside what waits, {in_flight} in flight",
        works(rings, "connect", amount, in_flight=in_flight, **waits),
        works(rings, "connect", amount, in_flight=in_flight), ["rate"])
    return figure


def audit_cost(bench):
    audited = bench.of_sides(lambda side: lambda: connect(bench, side.ring(4)))
    silent = bench.of_sides(lambda side: lambda: connect(bench, side.ring(4, side.unaudited)))
    figure, = bench.alternate("connects with audit on / off", audited, silent, ["rate"])
    return figure


def synced_connects(bench):
    """Connections whose calls wait for the disk, against what it could take: full batches."""
    rings = bench.of_sides(lambda side: side.ring(4, side.synced))
    disk = bench.sides[-1].synced

    def limit():
        return {"rate": disk.disk_syncs(max(bench.synced // 10, 100)) * IN_FLIGHT}

    figure, = bench.alternate("connects with durability: sync",
                              works(rings, "connect", bench.synced, in_flight=IN_FLIGHT), limit,
                              ["rate"])
    return figure


def printed(argv, patterns):
    """The ratios that a program of its own prints: {key: ratio}; it pairs inside."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired as late:
        raise Invalid(f"{pathlib.Path(argv[0]).name} took more than {late.timeout} s") from late
    found = {key: re.search(pattern, done.stdout) for key, pattern in patterns.items()}
    if done.returncode != 0 or not all(found.values()):
        raise Invalid(f"{pathlib.Path(argv[0]).name} ended with {done.returncode}")
    return {key: float(match[1]) for key, match in found.items()}


def decisions(bench):
    patterns = {"look-up": r"look-up: large to small p50 [0-9.]+, p99 ([0-9.]+)",
                "decision": r"decision: large to small p50 [0-9.]+, p99 ([0-9.]+)"}
    return bench.alternate("decision", bench.of_sides(
        lambda side: lambda: printed([side.program("decision"), str(side.build / "plugins")],
                                     patterns)), lambda: ONES, list(patterns))


def audit_rows(bench):
    def rows(side):
        folder = side.folder / "rows"
        folder.mkdir(exist_ok=True)
        return printed([side.program("audit_rows"), str(side.build / "bin/pvcalls-auditd"),
                        str(folder), str(bench.rows)], {"ratio": r"ratio: +([0-9.]+)"})

    figure, = bench.alternate("audit rows", bench.of_sides(lambda side: lambda: rows(side)),
                              lambda: ONES, ["ratio"])
    return figure


def add_bulk(bench, table):
    for order, reach, aim in ((9, 0.9, 1.10), (4, 0.4, 0.85)):
        if bench.wanted(f"bulk{order}"):
            worse, verb, other = bulk(bench, bench.of_sides(lambda side, o=order: side.ring(o)))
            rest = "" if other.of[NOW].trouble else f"{other.of[NOW].median():.2f}"
            table.add_judged(f"bulk / loopback, one stream, order {order}, worse direction "
                             f"({verb}); the other {rest}", worse, worse.absolute("Gbit/s"), reach,
                             aim)
    if bench.wanted("streams"):
        for verb, title in (("out", "guest sends"), ("in", "guest receives")):
            figure = streams(bench, verb)
            table.add(f"bulk / loopback, {STREAMS} streams at once, order 9, {title}", figure,
                      figure.absolute("Gbit/s"))


def add_calls(bench, table):
    if bench.wanted("rtt"):
        half, tail = round_trip(bench, bench.of_sides(lambda side: side.ring(9)))
        table.add_judged("1-byte round trip / loopback, median", half, half.absolute("µs"), 1.7,
                         0.5, True)
        table.add("1-byte round trip / loopback, p99", tail, tail.absolute("µs"))
    if bench.wanted("connect"):
        figure = connects(bench)
        table.add_judged("connect+close per second / loopback, 10,000 rules, audit on, "
                         f"{IN_FLIGHT} in flight", figure, figure.absolute("/s", 0), 0.6, 0.95)
    if bench.wanted("beside"):
        for in_flight in (IN_FLIGHT, 1):
            figure = connects_beside(bench, in_flight)
            table.add_judged(f"connect+close per second beside {DARK:,} connects into the dark "
                             f"and {LISTENERS} listeners / alone, {in_flight} in flight", figure,
                             figure.absolute("/s", 0), 0.8, 0.95)
    if bench.wanted("audit-cost"):
        figure = audit_cost(bench)
        table.add_judged("connect rate, audit on / off", figure, figure.absolute("/s", 0), 0.9,
                         0.98)
    if bench.wanted("sync"):
        figure = synced_connects(bench)
        table.add_judged(f"connect+close per second, durability sync, {IN_FLIGHT} in flight / "
                         f"the disk's syncs per second * {IN_FLIGHT}", figure,
                         figure.absolute("/s", 0), SYNC_REACH, SYNC_AIM)
    if bench.wanted("decision"):
        found = decisions(bench)
        for title, figure in zip(("look-up, 100,000 rules / 10 rules, p99",
                                  "decision by the chain, as many rules as fit a policy / 10, p99"),
                                 found):
            table.add_judged(title, figure, "", 3, 1.25, True)
    if bench.wanted("audit-rows"):
        table.add_judged("audit rows stored per second / row-by-row transactions",
                         audit_rows(bench), "", 10, 20)


def table(bench):
    """The table of speeds, as lines of Markdown."""
    made = Table("figure", bench.both(),
                 "before / now / base" if bench.both() else "ours / base", "reach", "aim", "")
    add_bulk(bench, made)
    add_calls(bench, made)
    return made
