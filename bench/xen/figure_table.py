# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of all turns as a table."""
import statistics

FIGURES = {
    "rtt": ("1-byte round trip, median", "µs", 0),
    "rtt-p99": ("1-byte round trip, p99", "µs", 0),
    "connect": ("connect and close, one at a time", "/s", 0),
    "connect16": ("connect and close, 16 at a time", "/s", 0),
    "out": ("guest sends", "Gbit/s", 2),
    "in": ("guest receives", "Gbit/s", 2),
    "iperf1-out": ("iperf3, guest sends, 1 stream", "Gbit/s", 2),
    "iperf1-in": ("iperf3, guest receives, 1 stream", "Gbit/s", 2),
    "iperf4-out": ("iperf3, guest sends, 4 streams", "Gbit/s", 2),
    "iperf4-in": ("iperf3, guest receives, 4 streams", "Gbit/s", 2),
}
NAMES = {"ours": "pvcallsd", "kernel": "kernel backend", "net": "netfront", "loopback": "loopback in Dom0", "user": "pvcallsd, user-space frontend"}


class Table:
    """Medians over the rounds."""

    def __init__(self, turns, subjects, works):
        self.turns, self.subjects, self.works = turns, subjects, works

    def values(self, subject, figure):
        return [turn["figures"][figure] for turn in self.turns if turn["subject"] == subject and figure in turn["figures"]
                and figure.removesuffix("-p99") not in turn["trouble"]]

    def invalid(self):
        return [turn for turn in self.turns if turn["trouble"]] or not self.turns

    def clocks(self):
        clocks = [turn["clock"] for turn in self.turns if turn["subject"] != "loopback"] or [1]
        return f"{min(clocks):.3f} to {max(clocks):.3f}"

    def cell(self, subject, figure):
        values, digits = self.values(subject, figure), FIGURES[figure][2]
        if not values:
            return "invalid" if any(figure in turn["trouble"] for turn in self.turns) else ""
        return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    def ratio(self, subject, figure):
        ours, other = self.values("ours", figure), self.values(subject, figure)
        return f"**{statistics.median(ours) / statistics.median(other):.2f}**" if ours and other else ""

    def lines(self):
        others = [name for name in self.subjects if name not in ("ours", "user")] if "ours" in self.subjects else []
        head = ["figure", *(NAMES[name] for name in self.subjects), *(f"ours / {NAMES[name]}" for name in others)]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for figure, (title, unit, _) in FIGURES.items():
            if not any(figure in turn["figures"] or figure in turn["trouble"] for turn in self.turns):
                continue
            cells = [f"{title}, {unit}", *(self.cell(name, figure) for name in self.subjects), *(self.ratio(name, figure) for name in others)]
            lines.append("| " + " | ".join(cells) + " |")
        return lines
