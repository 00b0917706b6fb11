# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes: those that run on beside a measurement, and those that are one."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time


class Invalid(Exception):
    """A run whose bytes, records or verdicts were wrong: its figure does not count."""


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
    except OSError as problem:
        raise Invalid(f"{argv[0]}: {problem.strerror}") from problem
    if done.returncode != 0:
        raise Invalid((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return parse(done.stdout.strip().splitlines()[-1])


def run_held(argv, probe):
    """The same for a program that waits before its work and after it (load_hold()), for a probe.

    probe.begin(pid) and probe.end(pid) look at processes then.
    """
    with subprocess.Popen(argv + ["hold=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            read_until_held(process)
            probe.begin(process.pid)
            go_on(process)
            result = parse(read_until_held(process))
            probe.end(process.pid)
            go_on(process)
            if process.wait(30) != 0:
                raise Invalid(f"{argv[0]} ended with {process.returncode}")
            return result
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise Invalid(f"{argv[0]} or what was measured of it ended: {problem}") from problem
        finally:
            process.kill()


def read_until_held(process):
    """The line before the one that says that a program waits; it ends itself if it never does."""
    last = ""
    for line in process.stdout:
        if line == "held\n":
            return last
        last = line
    raise Invalid((process.stderr.read().strip().splitlines() or ["it ended early"])[-1])


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


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


def children(parent, program):
    """The processes of a program that another one has started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f"/proc/{name}/stat").read_text(encoding="ascii", errors="replace")
            if (int(stat.rpartition(")")[2].split()[1]) == parent and
                    os.path.basename(os.readlink(f"/proc/{name}/exe")) == program):
                found.append(int(name))
    return found


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
