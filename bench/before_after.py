# SPDX-License-Identifier: GPL-2.0-or-later
"""The builds that are measured, in turn, and the figures that come of their turns."""

import functools
import re
import statistics
import subprocess
import sys

from processes import Invalid
from subjects import Daemon, Ring

NOW, BEFORE = "now", "before"
SOCKETS = 12000  # that a guest of the daemon for crowds may have
LIBRARIES = ("xenstore", "xengnttab", "xenevtchn")  # what the frontend's library is linked with


def commit_of(build):
    """What a build was made from, as far as its folder tells."""
    cache = build / "CMakeCache.txt"
    found = re.search(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", cache.read_text(encoding="utf-8"),
                      re.M) if cache.exists() else None
    if found:
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", found[1], "describe", "--always", "--dirty"],
            capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return "unknown"


class Side:
    """One of the builds: its programs, and its daemons, which start when they are first needed."""

    def __init__(self, bench, name, build):
        self.bench = bench
        self.name = name
        self.build = build
        self.folder = bench.folder / name
        self.folder.mkdir()

    def program(self, name):
        path = self.build / "bench" / name
        if not path.exists():
            raise Invalid(f"the build has no bench/{name}")
        return str(path)

    def _daemon(self, name, **options):
        return Daemon(self.bench.processes, self.folder / name, self.build, **options)

    @functools.cached_property
    def daemon(self):
        return self._daemon("daemon")

    @functools.cached_property
    def unaudited(self):
        """One whose records nobody keeps."""
        return self._daemon("unaudited", null_writer=self.program("null_writer"))

    @functools.cached_property
    def synced(self):
        """One whose guests are answered when the record is on the disk."""
        return self._daemon("synced", durability="sync")

    @functools.cached_property
    def crowded(self):
        """One whose guest may have thousands of sockets."""
        return self._daemon("crowded", config=f"engine:\n  sockets: {SOCKETS}\n")

    @functools.cached_property
    def ring_program(self):
        """The load program with this build's library: of an older one nothing else is older."""
        if self.name == NOW:
            return self.program("ring")
        path = str(self.folder / "ring")
        ours = self.bench.build / "bench"
        done = subprocess.run(
            ["cc", "-o", path, ours / "CMakeFiles/bench-ring.dir/ring.c.o",
             ours / "libbench-load.a", self.build / "lib/libpvcalls-frontend.a",
             "-Wl,--as-needed", "-Wl,-z,relro,-z,now", "-pthread",
             *(f"-l{name}" for name in LIBRARIES)],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"the load program can't be linked with {self.build}:\n{done.stderr}")
        return path

    def ring(self, order, daemon=None):
        return Ring(self.ring_program, daemon or self.daemon, order, f"library, order {order}")


class Ratios:
    """The ratios of one figure's pairs, and what they are ratios of."""

    def __init__(self, digits=2):
        self.values = []
        self.ours = []
        self.base = []
        self.digits = digits
        self.trouble = None

    def add(self, ours, base):
        self.values.append(ours / base)
        self.ours.append(ours)
        self.base.append(base)

    def median(self):
        return statistics.median(self.values)

    def text(self):
        if self.trouble:
            return f"invalid: {self.trouble}"
        digits = self.digits
        return (f"**{self.median():.{digits}f}** "
                f"({min(self.values):.{digits}f} to {max(self.values):.{digits}f})")


class Figure:
    """The ratios of each build."""

    def __init__(self, names, digits=2):
        self.of = {name: Ratios(digits) for name in names}

    def change(self):
        """The ratio now to that before, turn by turn."""
        before, now = self.of[BEFORE], self.of[NOW]
        change = Ratios()
        change.trouble = before.trouble or now.trouble
        for old, new in zip(before.values, now.values):
            if old:
                change.add(new, old)
        if not change.values:
            change.trouble = change.trouble or "nothing to divide by"
        return change

    def absolute(self, unit, digits=1):
        """The medians of what was divided: each build's, then the base's."""
        sound = [ratios for ratios in self.of.values() if not ratios.trouble]
        if not sound:
            return ""
        values = [*(ratios.ours for ratios in sound), sound[-1].base]
        return " / ".join(f"{statistics.median(row):.{digits}f}" for row in values) + f" {unit}"

    def cells(self):
        """What stands in the table: the figure, or that before, that now and how they differ."""
        cells = [ratios.text() for ratios in self.of.values()]
        return cells + [self.change().text()] if BEFORE in self.of else cells


class Turns:
    """One figure's turns: what each of the contestants does, and what that is divided by."""

    def __init__(self, title, contestants, base):
        """contestants: {name: function}; base: one function for all of them, or one for each."""
        self.title = title
        self.names = list(contestants)
        self.shared = callable(base)
        self.trouble = {}
        self.work = {}
        if self.shared:
            self.work["base", None] = base
        for name, function in contestants.items():
            if not self.shared:
                self.work["base", name] = base[name]
            self.work["ours", name] = function

    def left(self):
        return [name for name in self.names if name not in self.trouble]

    def take(self, backwards):
        """A turn of everybody that had no trouble: {name: (its result, its base's)}."""
        results = {}
        for key in reversed(list(self.work)) if backwards else list(self.work):
            concerned = self.names if key[1] is None else [key[1]]
            if not set(concerned) & set(self.left()):
                continue
            try:
                results[key] = self.work[key]()
            except Invalid as problem:
                print(f"{self.title}: invalid: {problem}", file=sys.stderr)
                self.trouble.update({name: str(problem) for name in concerned})
        return {name: (results["ours", name], results["base", None if self.shared else name])
                for name in self.left()}


def alternate(title, contestants, base, keys, count, digits=2):
    """Turns, every other one backwards, of functions that return results; a figure of each key."""
    found = {key: Figure(contestants, digits) for key in keys}
    turns = Turns(title, contestants, base)
    for number in range(count):
        for name, (mine, other) in turns.take(number % 2 == 1).items():
            for key, figure in found.items():
                figure.of[name].add(mine[key], other[key])
                print(f"{title}, {name}: {number + 1}/{count}: {key} {mine[key]:.2f} / "
                      f"{other[key]:.2f} = {figure.of[name].values[-1]:.3f}", file=sys.stderr)
    for name, why in turns.trouble.items():
        for figure in found.values():
            figure.of[name].trouble = why
    return [found[key] for key in keys]


def judged(ratios, reach, aim, less=False):
    """Whether a figure reached what it must, and its aim."""
    if ratios.trouble:
        return "invalid"
    value = ratios.median()
    if value <= aim if less else value >= aim:
        return "aim reached"
    return "reached" if (value <= reach if less else value >= reach) else "**missed**"


class Table:
    """Rows of Markdown, with a column for each build and one for what changed, if there are two."""

    def __init__(self, title, both, *more):
        columns = ["before (min to max)", "now (min to max)", "now / before"] if both else [
            "measured (min to max)"]
        head = [title, *columns, *more]
        self.width = len(head)
        self.lines = [self.row(head), "|" + "---|" * self.width]

    def row(self, cells):
        return "| " + " | ".join(cells + [""] * (self.width - len(cells))) + " |"

    def add(self, name, figure, *more):
        self.lines.append(self.row([name, *figure.cells(), *more]))

    def add_judged(self, name, figure, absolute, reach, aim, less=False):
        sign = "≤" if less else "≥"
        self.add(name, figure, absolute, f"{sign} {reach}", f"{sign} {aim}",
                 judged(figure.of[NOW], reach, aim, less))

    def filled(self):
        return len(self.lines) > 2

    def note(self, name, why):
        """A row without figures."""
        self.lines.append(self.row([name, why]))
