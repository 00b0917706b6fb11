# SPDX-License-Identifier: GPL-2.0-or-later
"""What every subject does, and the figures that come of it."""
import json
from dataclasses import dataclass

from xen_subjects import IPERF, Wrong


@dataclass
class Amounts:
    """How much of each."""

    round_trips: int
    connects: int
    mebibytes: int
    iperf_seconds: float


def rtt(subject, amounts):
    """One byte there and back, on one connection."""
    result = subject.plain("rtt", amounts.round_trips)
    subject.made(1)
    subject.done = amounts.round_trips, "round trip"
    return {"rtt": result["p50"], "rtt-p99": result["p99"]}


def connect(subject, amounts):
    """Connections one after the other, closed at once."""
    result = subject.plain("dial", amounts.connects)
    subject.made(amounts.connects)
    subject.done = amounts.connects, "connect and close"
    return {"connect": result["rate"]}


def connect16(subject, amounts):
    """The same, 16 at a time."""
    result = subject.plain("connect", amounts.connects, "in-flight=16")
    subject.made(amounts.connects)
    subject.done = amounts.connects, "connect and close"
    return {"connect16": result["rate"]}


def bulk(subject, amounts, verb):
    size = amounts.mebibytes << 20
    result = subject.plain(verb, size, "sample=1")
    subject.made(1, size)
    subject.done = amounts.mebibytes, "MiB"
    return {verb: result["gbit"]}


def iperf(subject, amounts, streams, direction):
    """Unmodified iperf3."""
    reverse = ["-R"] if direction == "in" else []
    done = subject.program("iperf3", "-c", subject.address, "-p", IPERF, "-J", "-P", streams, "-t", amounts.iperf_seconds, *reverse)
    try:
        result = json.loads(done)
        got = result["end"]["sum_received"]
    except (ValueError, KeyError) as problem:
        raise Wrong(f"iperf3 said {done[-300:]}") from problem
    if "error" in result or not got["bytes"]:
        raise Wrong(f"iperf3: {result.get('error', 'no bytes')}")
    subject.made(streams + 1, got["bytes"], IPERF)
    subject.done = got["bytes"] / (1 << 20), "MiB"
    return {f"iperf{streams}-{direction}": got["bits_per_second"] / 1e9}


WORKS = {
    "rtt": rtt,
    "connect": connect,
    "connect16": connect16,
    "out": lambda subject, amounts: bulk(subject, amounts, "out"),
    "in": lambda subject, amounts: bulk(subject, amounts, "in"),
    **{f"iperf{streams}-{direction}": lambda subject, amounts, s=streams, d=direction: iperf(subject, amounts, s, d)
       for streams in (1, 4) for direction in ("out", "in")},
}
