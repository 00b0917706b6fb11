# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls that the engine makes for a connection that carries a byte each way and is closed.

Two runs, one with twice the connections of the other: the difference is what connections take,
without what a guest takes once.
"""

import contextlib
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess

import subjects
from processes import Invalid

EVENT = "raw_syscalls:sys_enter"
TRACING = pathlib.Path("/sys/kernel/tracing")
SECONDS = 10  # for a counter to come up, or to tell
IN_FLIGHT = {16: 4000, 1: 2000}  # connections of the smaller run


class Perf:
    """perf counts; it is told when to begin, and says when it has."""

    name = f"perf stat -e {EVENT}"

    @staticmethod
    def unfit():
        """Why it can't be used, or None."""
        if not shutil.which("perf"):
            return "perf is not installed"
        done = subprocess.run(["perf", "stat", "-x,", "-e", EVENT, "true"], capture_output=True,
                              text=True, timeout=SECONDS, check=False)
        if done.returncode != 0 or not re.match(r"\d+,", done.stderr.strip()):
            return "perf: " + (done.stderr.strip().splitlines() or ["no count"])[-1]
        return None

    def begin(self, pid):
        (orders, order), (answer, answers) = os.pipe(), os.pipe()
        self.process = subprocess.Popen(
            ["perf", "stat", "-x,", "-e", EVENT, "-D", "-1", "--control", f"fd:{orders},{answers}",
             "-p", str(pid)], pass_fds=(orders, answers), stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        os.close(orders)
        os.close(answers)  # so that perf's end is noticed
        with open(order, "wb", buffering=0) as ask, open(answer, "rb", buffering=0) as hear:
            ask.write(b"enable\n")
            if not select.select([hear], [], [], SECONDS)[0] or not hear.read(4):
                raise Invalid("perf did not begin to count")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        told = self.process.communicate(timeout=SECONDS)[1]
        found = re.search(rf"^(\d+),.*{EVENT}", told, re.M)
        if not found:
            raise Invalid(f"perf: {told.strip()}")
        return int(found[1])

    def close(self):
        self.process.kill()
        self.process.communicate()


class Tracefs:
    """The kernel counts in a trace buffer of our own: needs a kernel with ftrace, no program."""

    name = f"tracefs, {EVENT}"
    folder = TRACING / "instances" / f"pvcalls-bench-{os.getpid()}"

    @staticmethod
    def unfit():
        if not (TRACING / "instances").exists():
            subprocess.run(["mount", "-t", "tracefs", "none", TRACING], capture_output=True,
                           check=False)
        if not (TRACING / "events/raw_syscalls/sys_enter").exists():
            return "no tracefs"
        return None

    def _write(self, name, text):
        (self.folder / name).write_text(text, encoding="ascii")

    def begin(self, pid):
        self.folder.mkdir()
        self._write("buffer_size_kb", "64")
        self._write("set_event_pid", " ".join(os.listdir(f"/proc/{pid}/task")))
        self._write("events/raw_syscalls/sys_enter/enable", "1")

    def end(self):
        self._write("events/raw_syscalls/sys_enter/enable", "0")
        told = "".join(path.read_text(encoding="ascii")
                       for path in self.folder.glob("per_cpu/cpu*/stats"))
        # What the small buffer lost is counted as well
        return sum(map(int, re.findall(r"^(?:entries|overrun|dropped events): (\d+)", told, re.M)))

    def close(self):
        with contextlib.suppress(FileNotFoundError):
            self.folder.rmdir()


# Not strace: the engine takes its stops for a plugin that sleeps, and records that as a fault.
COUNTERS = {"perf": Perf, "tracefs": Tracefs}


class Count:
    """A probe: what a counter counts of the engine."""

    def __init__(self, counter, daemon):
        self.counter = counter()
        self.daemon = daemon
        self.calls = None
        self.begun = False

    def begin(self, _pid):
        engine = self.daemon.engine()
        self.begun = True
        self.counter.begin(engine)

    def end(self, _pid):
        self.calls = self.counter.end()

    def close(self):
        if self.begun:
            self.counter.close()


def choose(wanted):
    """The first counter that works here, or None and why."""
    reasons = []
    for name, counter in COUNTERS.items():
        if wanted and name != wanted:
            continue
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            reasons.append(counter.unfit())
            if not reasons[-1]:
                return counter, ""
    return None, "; ".join(filter(None, reasons))


def calls(bench, ring, counter, count, in_flight):
    with contextlib.closing(Count(counter, ring.daemon)) as probe:
        ring.work("connect", count, first=0, destinations=subjects.RULES_ALLOW,
                  in_flight=in_flight, byte=1, probe=probe)
        return probe.calls


def per_connection(bench, ring, counter, in_flight):
    count = IN_FLIGHT[in_flight] // (4 if bench.options.quick else 1)
    single, double = (calls(bench, ring, counter, times * count, in_flight) for times in (1, 2))
    return {"calls": (double - single) / count}


def add_counts(bench, table):
    if not bench.wanted("budget"):
        return
    counter, why_not = choose(bench.options.counter)
    rings = bench.of_sides(lambda side: side.ring(4))
    for in_flight in IN_FLIGHT:
        title = ("system calls of the engine: connect, a byte each way, close; "
                 f"{in_flight} in flight")
        if not counter:
            table.note(title, f"not measured: {why_not}")
            continue
        figure, = bench.alternate(
            f"system calls, {in_flight} in flight",
            {name: lambda ring=ring, many=in_flight: per_connection(bench, ring, counter, many)
             for name, ring in rings.items()}, lambda: {"calls": 1}, ["calls"])
        table.add(f"{title} ({counter.name})", figure)
