# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose kernel breaks the protocol on purpose (guest-hook/hook_rogue.c): it is cut off, and the other
guest's error count stays 0.
"""
import re
import time

from client_programs import PEERS, Pulse
from network import FAR, PORTS
from registry import case
from tools import check, wait_for

# Each way with the number of its rounds.
WAYS = {"requests": 200, "refs": 60, "orders": 60, "ports": 60, "command-slots": 50, "command-indexes": 50, "data-indexes": 50,
        "data-pages": 100, "events": 20, "states": 100, "nodes": 300}
CUT_OFF = ("command-indexes", "data-indexes")  # no honest frontend does that
LIES = ("requests", "refs", "orders", "ports")  # each of them is answered
WITH_BYTES = ("data-indexes", "data-pages", "events")  # these want open connections
SECONDS = 140
# Between the other guest's rounds, in seconds: the rogue needs a processor, too, most of all for a hundred times a hundred states.
PAUSE = 0.02
PAUSES = {"states": 0.2}


class Rogue:
    """The guest. Cases share it for as long as the daemon serves it; one that was cut off is so until its domain ends."""

    def __init__(self, lab):
        self.lab = lab
        self.guest = lab.shared("hook", "web-rogue", hook="rogue=1")

    def served(self):
        try:
            self.lab.daemon.connected(self.guest.name, 1.5)
        except AssertionError:
            return False
        return True

    def leave(self):
        """Ends it if it is of no more use."""
        if not self.served():
            self.lab.take(self.guest).destroy()

    def does(self, way, count):
        """One way; returns what /proc/pvcalls-rogue says came of it, as numbers."""
        jobs = []
        if way in WITH_BYTES:
            jobs = [self.guest.popen_client([*PEERS, "fetch", FAR, PORTS["flood"]], SECONDS) for _ in range(2)]
            wait_for(lambda: len(self.lab.daemon.ctl_json("sockets", self.guest.name)) >= 2, "its connections are open", 10, 0.1)
        line = f"{way} seed=7 count={count} to={FAR}:{PORTS['echo']}"
        check(self.guest.sh(f"echo '{line}' >/proc/pvcalls-rogue", SECONDS))
        for job in jobs:
            job.kill()
        last = check(self.guest.run(["cat", "/proc/pvcalls-rogue"])).stdout.splitlines()[-1]
        assert last.startswith(f"last: {way} "), last
        return {key: int(value) for key, value in re.findall(r"(\w+)=(-?\d+)", last)}


def behaves(lab, ways):
    """The other guest's pulses beat on while the rogue goes its ways."""
    other, since = lab.shared("hook"), time.time()
    for way in ways:
        rogue, began = Rogue(lab), time.time()
        seconds, pause = SECONDS + 10, PAUSES.get(way, PAUSE)
        with Pulse(other, "short", seconds, pause) as short, Pulse(other, "long", seconds, pause) as long:
            did = rogue.does(way, WAYS[way])
        for pulse in (short, long):
            try:
                pulse.check()
            except AssertionError as error:
                raise AssertionError(f"{way}, {did}: {error}") from None
        assert lab.daemon.process.poll() is None, f"{way}: the daemon has ended"
        lab.daemon.check_log()
        check_deed(lab, began, way, did)
        rogue.leave()
    rows = lab.daemon.recent(since, other.name, "connect")
    assert rows and {row["verdict"] for row in rows} == {"allow"}
    # An engine may be ended because it does not end by itself in time, never because of what the guest said.
    crashes = [row for row in lab.daemon.recent_events(since, "engine_crashed") if "did not end in time" not in row["text"]]
    assert not crashes, crashes[0]


def check_deed(lab, began, way, did):
    """The rogue did what it was to do, all of it unless it was cut off before."""
    if way in CUT_OFF:
        lab.daemon.wait_event("guest_cut_off", "web-rogue", since=began)
    elif not lab.daemon.recent_events(began, "guest_cut_off", "web-rogue"):
        assert not did["ended"], f"{way}: {did}"
    assert did["ended"] or did["rounds"] == WAYS[way], f"{way}: {did}"
    assert not did["silent"], f"{way}: calls were not answered: {did}"
    if way in LIES:
        assert did["refused"] > WAYS[way] / 3, f"{way}: too few were refused: {did}"


@case(needs=("hook",), seconds=170)
def requests(lab):
    """Calls that lie: garbage, false references, orders and event channels."""
    behaves(lab, ["requests", "refs", "orders", "ports"])


@case(needs=("hook",), seconds=100)
def storms(lab):
    """Events and false nodes without end."""
    behaves(lab, ["events", "nodes"])


@case(needs=("hook",), seconds=170)
def rings(lab):
    """Rings that are scribbled over."""
    behaves(lab, ["data-pages", "data-indexes", "command-slots", "command-indexes"])


@case(needs=("hook",), seconds=SECONDS + 30)
def states(lab):
    """Ten thousand random xenstore states, eight on their way at a time."""
    behaves(lab, ["states"])
