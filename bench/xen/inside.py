# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the benchmark that runs in Dom0: all subjects do the same work, in turns.

What it finds it says as one JSON object a line, which `run` reads; other lines are for people.
"""
import json
import sys
import time

EXTRA = "/opt/lab/extra"
sys.path.insert(0, EXTRA)

from profile import Profile  # noqa: E402
from xen_subjects import SUBJECTS, Servers, Wrong  # noqa: E402
from works import WORKS, Amounts  # noqa: E402


def say(**line):
    print(json.dumps(line), flush=True)


def order_of(names, number):
    """Every other round goes backwards, so that a machine that gets slower wrongs nobody."""
    return names if number % 2 == 0 else names[::-1]


def profiled(subject, name, amounts):
    """One work, and what it took."""
    with Profile() as profile:
        figures = WORKS[name](subject, amounts)
    say(profile=[f"{type(subject).__name__.lower()}, {name}: {figures}", *profile.lines(*subject.done)])
    return figures


def measure(subject, works, amounts, work):
    """All works of one subject; a dictionary of figures, and what went wrong."""
    figures, trouble = {}, {}
    subject.warm()
    started = time.monotonic(), subject.uptime()
    for name in works:
        try:
            figures.update(work(subject, name, amounts))
        except (Wrong, AssertionError) as problem:
            trouble[name] = str(problem)[-400:]
    # The guest's clock against Dom0's: /proc/uptime has hundredths of a second
    outside, inside = time.monotonic() - started[0], subject.uptime() - started[1]
    try:
        subject.check()
    except (Wrong, AssertionError) as problem:
        trouble = {**{name: str(problem)[-400:] for name in works}, **trouble}
    return {"figures": figures, "trouble": trouble, "clock": inside / outside if outside else 1, "seconds": outside}


def main(text):
    asked = json.loads(text)
    amounts = Amounts(**asked["amounts"])
    work = profiled if asked["profile"] else lambda subject, name, amounts: WORKS[name](subject, amounts)
    with Servers():
        kept = {}
        for number in range(asked["rounds"]):
            for name in order_of(asked["subjects"], number):
                subject = kept.pop(name, None) or SUBJECTS[name]()
                started = time.monotonic()
                subject.begin()
                begun = time.monotonic() - started
                result = measure(subject, asked["works"], amounts, work)
                if subject.lasting:
                    kept[name] = subject
                else:
                    subject.end()
                say(subject=name, round=number, begun=round(begun, 2), **result, dom0=time.monotonic())
        for subject in kept.values():
            subject.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
