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
NAMES = {"ours": "pvcallsd", "kernel": "kernel backend", "net": "netfront", "loopback": "loopback in Dom0", "user": "pvcallsd, user-space frontend",
         "before": "pvcallsd before", "user-before": "pvcallsd before, user-space frontend"}
CHANGES = [("ours", "before"), ("user", "user-before")]  # what is compared with itself, build by build


class Table:
    """Medians over the rounds."""

    def __init__(self, turns, subjects, works):
        self.turns, self.subjects, self.works = turns, subjects, works

    @staticmethod
    def counts(turn, figure):
        return figure in turn["figures"] and figure.removesuffix("-p99") not in turn["trouble"]

    def values(self, subject, figure):
        return [turn["figures"][figure] for turn in self.turns if turn["subject"] == subject and self.counts(turn, figure)]

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

    def ratio(self, figure, ours, other):
        ours, other = self.values(ours, figure), self.values(other, figure)
        return f"**{statistics.median(ours) / statistics.median(other):.2f}**" if ours and other else ""

    def change(self, figure, now, before):
        """The ratio of two builds, round by round."""
        found = {name: {turn["round"]: turn["figures"][figure] for turn in self.turns if turn["subject"] == name and self.counts(turn, figure)}
                 for name in (now, before)}
        ratios = [value / found[before][number] for number, value in found[now].items() if number in found[before]]
        return f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""

    def ratios(self):
        """{head of a column: what its cells are}."""
        columns = {}
        for now, before in CHANGES:
            if now in self.subjects and before in self.subjects:
                columns[f"{NAMES[now]}, now / before"] = lambda figure, n=now, b=before: self.change(figure, n, b)
        for name in self.subjects:
            if name in ("kernel", "net", "loopback"):
                for ours, title in (("ours", "ours"), ("before", "before")):
                    if ours in self.subjects:
                        columns[f"{title} / {NAMES[name]}"] = lambda figure, o=ours, n=name: self.ratio(figure, o, n)
        return columns

    def lines(self):
        ratios = self.ratios()
        head = ["figure", *(NAMES[name] for name in self.subjects), *ratios]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for figure, (title, unit, _) in FIGURES.items():
            if not any(figure in turn["figures"] or figure in turn["trouble"] for turn in self.turns):
                continue
            cells = [f"{title}, {unit}", *(self.cell(name, figure) for name in self.subjects), *(cell(figure) for cell in ratios.values())]
            lines.append("| " + " | ".join(cells) + " |")
        return lines
