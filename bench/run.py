#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the benchmark in the namespace that run.sh made; see README.md for what it measures."""

import argparse
import datetime
import os
import pathlib
import platform
import sys

import before_after
import budget
import footprint
import measurements
import others
from stage import Bench

README = pathlib.Path(__file__).resolve().parent / "README.md"
MARK_BEGIN = "<!-- begin: written by run.sh --write -->"
MARK_END = "<!-- end -->"


def machine():
    model = "unknown CPU"
    for line in open("/proc/cpuinfo", encoding="ascii"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return f"{date}, Linux {platform.release()}, {os.cpu_count()} CPUs ({model})"


def command(options):
    """What was called, without the folders of this machine."""
    words = ["bench/run.sh", *sys.argv[1:]]
    return " ".join(words if not options.against else
                    [word.replace(options.against, "BUILD") for word in words])


def head(bench):
    builds = ""
    if bench.both():
        builds = " Builds of: " + ", ".join(
            f"{before_after.commit_of(side.build)} ({side.name})" for side in bench.sides) + "."
    return (f"`{command(bench.options)}` on {machine()}.{builds} Each figure is the median of "
            f"{bench.options.pairs} alternating pairs of one run (of idle sockets: "
            f"{footprint.few(bench)}), with the smallest and the largest.")


def report(bench):
    """All tables, as Markdown."""
    speeds = measurements.table(bench)
    footprint.add_speeds(bench, speeds)
    counts = before_after.Table("count", bench.both())
    budget.add_counts(bench, counts)
    footprint.add_sizes(bench, counts)
    lines = [head(bench)]
    for table, words in ((speeds, ""), (counts, "Counts and sizes, which are not ratios:")):
        if table.filled():
            lines += ["", *([words, ""] if words else []), *table.lines]
    if not bench.options.only or any("path" in word for word in bench.options.only):
        lines += ["", "Others on the same work, as ratios to plain loopback TCP in the same run, "
                  f"{others.fewer(bench)} pairs each (round trips: less is better):", ""]
        lines += others.comparison(bench)
    return "\n".join(lines)


def write_readme(text):
    before, rest = README.read_text(encoding="utf-8").split(MARK_BEGIN)
    after = rest.split(MARK_END)[1]
    README.write_text(f"{before}{MARK_BEGIN}\n{text}\n{MARK_END}{after}", encoding="utf-8")


def parse():
    parser = argparse.ArgumentParser(prog="bench/run.sh", description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="pairs for each figure (7)")
    parser.add_argument("--quick", action="store_true", help="an eighth of the load, 3 pairs")
    parser.add_argument("--only", action="append", metavar="REGEX",
                        help="bulk9, bulk4, streams, rtt, connect, beside, audit-cost, sync, decision, "
                        "audit-rows, cpu, idle, budget, memory, path ...")
    parser.add_argument("--against", metavar="BUILD",
                        help="the folder of another build, measured in turn with this one")
    parser.add_argument("--counter", choices=budget.COUNTERS,
                        help="what counts system calls (the first one that works)")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    options = parser.parse_args()
    if options.quick:
        options.pairs = min(options.pairs, 3)
    return options


def main():
    options = parse()
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
