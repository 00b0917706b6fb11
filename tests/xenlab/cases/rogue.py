# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose kernel breaks the protocol on purpose (guest-hook/rogue.c): it is cut off, and the other
guest's error count stays 0.
"""
import time

from clients import PEERS, Pulse
from network import FAR, PORTS
from registry import case
from tools import check

# Each way with the number of its rounds.
WAYS = {"requests": 300, "refs": 100, "orders": 100, "ports": 100, "command-slots": 50, "command-indexes": 50, "data-indexes": 50,
        "data-pages": 200, "events": 20, "states": 10_000, "nodes": 300}
CUT_OFF = ("command-indexes", "data-indexes")  # no honest frontend does that
SECONDS = 140


class Rogue:
    """The guest, made anew whenever the daemon has enough of it."""

    def __init__(self, lab):
        self.lab, self.guest, self.count = lab, None, 0

    def ready(self):
        """A rogue guest whose device is served."""
        if self.guest:
            try:
                self.lab.daemon.connected(self.guest.name, 2)
                return self.guest
            except AssertionError:
                self.guest.destroy()
        self.count += 1
        self.guest = self.lab.guest(f"web-rogue-{self.count}", hook="rogue=1").start()
        self.lab.daemon.connected(self.guest.name)
        return self.guest

    def does(self, way, count):
        """One way; returns what /proc/pvcalls-rogue says came of it."""
        guest = self.ready()
        # open connections for those ways that work on them
        guest.popen_client([*PEERS, "fetch", FAR, PORTS["flood"]], SECONDS)
        line = f"{way} seed=7 count={count} to={FAR}:{PORTS['echo']}"
        check(guest.sh(f"echo '{line}' >/proc/pvcalls-rogue", SECONDS))
        return check(guest.run(["cat", "/proc/pvcalls-rogue"])).stdout


def behaves(lab, ways):
    """The other guest's pulses beat on while the rogue goes its ways."""
    other, since = lab.shared("hook"), time.time()
    rogue = Rogue(lab)
    for way in ways:
        with Pulse(other, "short", SECONDS + 10) as short, Pulse(other, "long", SECONDS + 10) as long:
            said = rogue.does(way, WAYS[way])
        for pulse in (short, long):
            try:
                pulse.check()
            except AssertionError as error:
                raise AssertionError(f"{way}: {error}; the rogue: {said}") from None
        assert lab.daemon.process.poll() is None, f"{way}: the daemon has ended"
        lab.daemon.check_log()
        if way in CUT_OFF:
            lab.daemon.wait_event("guest_cut_off", rogue.guest.name)
    rows = lab.daemon.recent(since, other.name, "connect")
    assert rows and {row["verdict"] for row in rows} == {"allow"}


@case(needs=("hook",), seconds=170)
def requests(lab):
    """Calls that lie: garbage, false references, orders and event channels."""
    behaves(lab, ["requests", "refs", "orders", "ports"])


@case(needs=("hook",), seconds=170)
def rings(lab):
    """Rings that are scribbled over."""
    behaves(lab, ["data-pages", "data-indexes", "command-slots", "command-indexes"])


@case(needs=("hook",), seconds=100)
def storms(lab):
    """Events and false nodes without end."""
    behaves(lab, ["events", "nodes"])


@case(needs=("hook",), seconds=SECONDS + 30)
def states(lab):
    """Ten thousand random xenstore states."""
    behaves(lab, ["states"])
