# SPDX-License-Identifier: GPL-2.0-or-later
"""Other user-space networks on the same work as ours, each as a ratio to plain loopback TCP."""

import os
import shutil
import subprocess

import measurements
from before_after import NOW
from processes import Invalid, port_open, wait_for
from subjects import PORT, Command, Guest


def start_socat(bench):
    process = bench.processes.start(
        ["socat", "-b", "65536",
         "TCP-LISTEN:7001,fork,reuseaddr,nodelay,backlog=1024,bind=127.0.0.1",
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


OTHERS = (
    ("pasta", "pasta (splice)", start_pasta_splice),
    ("pasta", "pasta (tap)", start_pasta_tap),
    ("slirp4netns", "slirp4netns", start_slirp),
    ("socat", "socat", start_socat),
    ("haproxy", "haproxy (TCP mode)", start_haproxy),
)


def start_other(bench, start, program):
    """One to compare with, or why it is not there."""
    if not shutil.which(program):
        return None, f"{program} is not installed"
    try:
        return start(bench), None
    except Invalid as problem:
        return None, str(problem)


def fewer(bench):
    """Pairs of the others: their differences are larger than what more pairs would show."""
    return max(3, bench.options.pairs // 2)


def rows(bench, name, subjects):
    """The rows of what does the same work, of one build or of two."""
    pairs = fewer(bench)
    bulk, verb, _ = measurements.bulk(bench, subjects, pairs)
    half, tail = measurements.round_trip(bench, subjects, pairs)
    rate = measurements.connects_with_byte(bench, subjects, pairs)

    def row(title, pick):
        cells = [f"{pick(bulk)} ({verb})", pick(half), pick(tail), pick(rate)]
        return "| " + " | ".join([title, *cells]) + " |"

    if list(subjects) == [NOW]:
        return [row(name, lambda figure: figure.of[NOW].text())]
    lines = [row(f"{name}, {side}", lambda figure, side=side: figure.of[side].text())
             for side in subjects]
    return lines + [row(f"{name}, now / before", lambda figure: figure.change().text())]


def comparison(bench):
    """The table, as lines of Markdown."""
    lines = ["| path | bulk, worse direction | 1-byte round trip, median | p99 | "
             "connect, byte, close per second |", "|---|---|---|---|---|"]
    ours = {"library, order 9": lambda side: side.ring(9),
            "library, order 4": lambda side: side.ring(4),
            "pvcalls-run (unmodified program)": lambda side: Guest(bench, side)}
    for name, subject_of in ours.items():
        if bench.wanted(f"path {name}"):
            lines += rows(bench, name, {side.name: subject_of(side) for side in bench.sides})
    for program, name, start in OTHERS:
        if not bench.wanted(f"path {name}"):
            continue
        subject, why_not = start_other(bench, start, program)
        if not subject:
            lines.append(f"| {name} | not run: {why_not} | | | |")
            continue
        lines += rows(bench, name, {NOW: subject})
        subject.stop()
    return lines
