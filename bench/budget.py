# SPDX-License-Identifier: GPL-2.0-or-later
"""System calls that the engine makes for a connection that carries a byte each way and is closed.

Two runs, one with twice the connections of the other: the difference is what connections take,
without what a guest takes once.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import subjects
from processes import Invalid, wait_for

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
        try:
            self.process = subprocess.Popen(
                ["perf", "stat", "-x,", "-e", EVENT, "-D", "-1", "--control", f"fd:{orders},{answers}",
                 "-p", str(pid)], pass_fds=(orders, answers), stderr=subprocess.PIPE, text=True,
                stdin=subprocess.DEVNULL)
            os.write(order, b"enable\n")
            os.close(answers)  # so that its end is noticed
            answers = None
            if not os.read(answer, 4):
                raise Invalid(f"perf: {self.process.communicate(timeout=SECONDS)[1].strip()}")
        finally:
            for fd in (orders, order, answer, answers):
                if fd is not None:
                    os.close(fd)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        told = self.process.communicate(timeout=SECONDS)[1]
        found = re.search(rf"^(\d+),.*{EVENT}", told, re.M)
        if not found:
            raise Invalid(f"perf: {told.strip()}")
        return int(found[1])


class Tracefs:
    """The kernel counts in a trace buffer of our own; needs no program, only a kernel with ftrace."""

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
        for number, task in enumerate(os.listdir(f"/proc/{pid}/task")):
            with open(self.folder / "set_event_pid", "a" if number else "w", encoding="ascii") as file:
                file.write(task)
        self._write("events/raw_syscalls/sys_enter/enable", "1")

    def end(self):
        try:
            self._write("events/raw_syscalls/sys_enter/enable", "0")
            told = "".join(path.read_text(encoding="ascii")
                           for path in self.folder.glob("per_cpu/cpu*/stats"))
        finally:
            self.folder.rmdir()
        # What the small buffer lost is counted as well
        return sum(map(int, re.findall(r"^(?:entries|overrun|dropped events): (\d+)", told, re.M)))


class Strace:
    """strace stops the engine at each call, which changes how much of its work comes together."""

    name = "strace -c"

    @staticmethod
    def unfit():
        return None if shutil.which("strace") else "strace is not installed"

    def begin(self, pid):
        self.output = tempfile.NamedTemporaryFile("r", encoding="ascii")
        self.process = subprocess.Popen(["strace", "-c", "-f", "-o", self.output.name, "-p", str(pid)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        status = pathlib.Path(f"/proc/{pid}/status")
        wait_for(lambda: f"TracerPid:\t{self.process.pid}" in status.read_text(encoding="ascii"),
                 "strace")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(SECONDS)
        with self.output as file:
            told = file.read()
        # "100.00    0.036114    1   24157    12 total"
        found = re.search(r"^ *100\.00 +\S+ +(?:\d+ +)?(\d+) +(?:\d+ +)?total$", told, re.M)
        if not found:
            raise Invalid(f"strace: {told.strip()[-200:]}")
        return int(found[1])


COUNTERS = {"perf": Perf, "tracefs": Tracefs, "strace": Strace}


class Count:
    """A probe: what a counter counts of the engine."""

    def __init__(self, counter, daemon):
        self.counter = counter()
        self.daemon = daemon

    def begin(self, _pid):
        self.counter.begin(self.daemon.engine())

    def end(self, _pid):
        self.calls = self.counter.end()


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
    probe = Count(counter, ring.daemon)
    ring.work("connect", count, first=0, destinations=subjects.RULES_ALLOW, in_flight=in_flight,
              byte=1, probe=probe)
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
        title = f"system calls of the engine: connect, a byte each way, close; {in_flight} in flight"
        if not counter:
            table.note(title, f"not measured: {why_not}")
            continue
        figure, = bench.alternate(
            f"system calls, {in_flight} in flight",
            {name: lambda ring=ring, many=in_flight: per_connection(bench, ring, counter, many)
             for name, ring in rings.items()}, lambda: {"calls": 1}, ["calls"])
        table.add(f"{title} ({counter.name})", figure)
