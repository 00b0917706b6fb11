# SPDX-License-Identifier: GPL-2.0-or-later
"""What bytes and sockets take: processor time; memory, and others' time, while they do nothing."""

import pathlib
import time

from processes import Invalid

IDLE = 10000  # sockets that do nothing
FEW = 16  # those that their memory is compared with
ORDER = 1  # of their rings, the smallest: a kernel's frontend would take 9
STILL_NS = 1000000  # of processor time in STILL_SECONDS: the engine does nothing any more
STILL_SECONDS = 0.3


def cpu_ns(pid):
    """Processor time of a process with all of its threads."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks)


def settle(pid, seconds=10):
    """Waits until a process has done what is left to do after many calls."""
    end = time.monotonic() + seconds
    before = cpu_ns(pid)
    while time.monotonic() < end:
        time.sleep(STILL_SECONDS)
        now = cpu_ns(pid)
        if now - before < STILL_NS:
            return
        before = now
    raise Invalid(f"the engine was still busy after {seconds} s")


def sizes(path):
    """The sizes that a file of /proc lists, in KiB."""
    lines = path.read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


class ProcessorTime:
    """A probe: the processor time that server and engine take for some work."""

    def __init__(self, bench, daemon=None):
        self.bench = bench
        self.daemon = daemon
        self.engine = self.server = 0.0

    def _read(self):
        engine = cpu_ns(self.daemon.engine()) if self.daemon else 0
        return engine, cpu_ns(self.bench.server.pid)

    def begin(self, _pid):
        self.before = self._read()

    def end(self, _pid):
        self.engine, self.server = ((after - before) / 1e9
                                    for before, after in zip(self.before, self._read()))


class Quiet:
    """A probe that waits until the engine has come to rest before the work, and looks at memory."""

    def __init__(self, daemon):
        self.daemon = daemon

    def begin(self, pid):
        engine = self.daemon.engine()
        settle(engine)
        self.engine = sizes(pathlib.Path(f"/proc/{engine}/smaps_rollup"))
        self.guest = sizes(pathlib.Path(f"/proc/{pid}/status"))

    def end(self, _pid):
        pass


def per_gigabyte(bench, subject, verb, daemon=None):
    """Seconds of processor time for 1e9 bytes: of the engine, and of all that take part."""
    probe = ProcessorTime(bench, daemon)
    result = subject.work(verb, bench.bulk, probe=probe)
    scale = 1e9 / bench.bulk
    return {"all": (result["cpu"] + probe.server + probe.engine) * scale,
            "engine": probe.engine * scale}


def processor_time(bench, verb):
    """Two figures, all processes' and the engine's; both are divided by both of loopback's."""
    def base():
        taken = per_gigabyte(bench, bench.plain, verb)["all"]
        return {"all": taken, "engine": taken}

    rings = bench.of_sides(lambda side: side.ring(9))
    return bench.alternate(
        f"processor time {verb}",
        {name: lambda ring=ring: per_gigabyte(bench, ring, verb, ring.daemon)
         for name, ring in rings.items()}, base, ["all", "engine"])


def crowded_rings(bench):
    return bench.of_sides(lambda side: side.ring(ORDER, side.crowded))


def few(bench):
    """Turns of figures for which thousands of connections are made each time."""
    return max(bench.options.pairs // 2, min(bench.options.pairs, 3))


def round_trip_beside(bench):
    """Two figures: round trips beside idle sockets against those of a socket that is alone, and
    against those of loopback beside as many."""
    def half(subject, idle, **options):
        return subject.work("rtt", bench.round_trips, idle=idle, **options)["p50"]

    def ours(ring, idle):
        return half(ring, idle, probe=Quiet(ring.daemon))

    def crowded(ring):
        return dict.fromkeys(["alone", "loopback"], ours(ring, IDLE))

    rings = crowded_rings(bench)
    return bench.alternate(
        f"round trip beside {IDLE}", {name: lambda ring=ring: crowded(ring)
                                      for name, ring in rings.items()},
        {name: lambda ring=ring: {"alone": ours(ring, 0), "loopback": half(bench.plain, IDLE)}
         for name, ring in rings.items()}, ["alone", "loopback"], few(bench))


def memory_of(ring, idle):
    """The engine's and the guest's memory while there are idle sockets, in KiB."""
    probe = Quiet(ring.daemon)
    ring.work("rtt", 1, idle=idle, probe=probe)
    return {"own": probe.engine["Pss_Anon"], "rss": probe.engine["Rss"], "pss": probe.engine["Pss"],
            "guest": probe.guest["RssAnon"], "rings": probe.guest["RssShmem"]}


def memory_per_socket(ring):
    least, most = memory_of(ring, FEW), memory_of(ring, IDLE)
    return {key: (most[key] - least[key]) * 1024 / (IDLE - FEW) for key in least}


def memory(bench):
    """Bytes that a socket takes: {which: figure}."""
    keys = ["own", "rss", "pss", "guest", "rings"]
    rings = crowded_rings(bench)
    found = bench.alternate("memory of a socket", {
        name: lambda ring=ring: memory_per_socket(ring) for name, ring in rings.items()},
        lambda: dict.fromkeys(keys, 1), keys, few(bench), 0)
    return dict(zip(keys, found))


def add_speeds(bench, table):
    """The rows that are ratios to something else."""
    if bench.wanted("cpu"):
        for verb, title in (("out", "guest sends"), ("in", "guest receives")):
            everybody, engine = processor_time(bench, verb)
            for takers, figure in (("engine, guest and peer", everybody),
                                   ("the engine alone", engine)):
                table.add(f"processor time per GB / loopback's two processes, {title}: {takers}",
                          figure, figure.absolute("s", 2))
    if bench.wanted("idle"):
        itself, plain = round_trip_beside(bench)
        table.add(f"1-byte round trip beside {IDLE:,} idle sockets / alone, median", itself,
                  itself.absolute("µs"))
        table.add(f"1-byte round trip beside {IDLE:,} idle sockets / loopback beside as many, "
                  "median", plain, plain.absolute("µs"))


def add_sizes(bench, table):
    """The rows that are bytes."""
    if not bench.wanted("memory"):
        return
    found = memory(bench)
    rings = f"rings of order {ORDER}"
    for key, title in (
            ("own", "engine's own memory (anonymous)"),
            ("rss", "engine's resident memory, pages shared with others included (Rss)"),
            ("pss", "engine's share of memory, of shared pages its part (Pss)"),
            ("guest", "guest process's own memory"),
            ("rings", f"guest process's pages that are shared with the engine, {rings}")):
        table.add(f"bytes of one idle socket, {IDLE:,} against {FEW}: {title}", found[key])
