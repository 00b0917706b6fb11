# SPDX-License-Identifier: GPL-2.0-or-later
"""Which cases there are. Read in Dom0 to run them, and on the host to know which must have run."""
import importlib.util
import os

CASES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cases")
# The order they run in: what a guest needs at all comes first, what Dom0 does not survive comes last.
FILES = ["boot", "real_programs", "sockets", "binds", "waiting", "per_guest_policy", "life", "rogue", "xenstored"]
SECONDS = 60


class Case:
    """A function, perhaps for one kind of guest."""

    def __init__(self, name, function, arguments, seconds, needs):
        self.name, self.function, self.arguments, self.seconds, self.needs = name, function, arguments, seconds, needs

    def run(self, lab):
        self.function(lab, *self.arguments)


_found = []


def case(kinds=(), seconds=SECONDS, needs=()):
    """Makes a case of a function. With kinds: one for each kind of guest, which is its second argument.

    needs names what must be there, see runner.MISSING; a guest's kind is added by itself.
    """

    def register(function):
        base = f"{os.path.splitext(os.path.basename(function.__code__.co_filename))[0]}/{function.__name__}"
        for kind in kinds:
            _found.append(Case(f"{base}/{kind}", function, (kind,), seconds, (*needs, kind)))
        if not kinds:
            _found.append(Case(base, function, (), seconds, tuple(needs)))
        return function

    return register


def cases():
    """All of them, in the order of the files and of the functions in each."""
    if not _found:
        there = {name[:-3] for name in os.listdir(CASES) if name.endswith(".py")}
        assert there == set(FILES), f"cases/ and FILES of registry.py differ: {there ^ set(FILES)}"
        for name in FILES:
            spec = importlib.util.spec_from_file_location(f"cases_{name}", os.path.join(CASES, name + ".py"))
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return _found
