# SPDX-License-Identifier: GPL-2.0-or-later
"""pvcallsd in Dom0: the harness of the end-to-end tests, with Xen guests instead of processes."""
import json
import os
import time

import harness
from harness import filter_rules, make_policy
from network import DARK, DOM0, FAR, NET
from tools import wait_for

BUILD = "/opt/pvcalls"
SERVE = 8080  # where guests serve
FIRST = 8100  # and where they have many listeners
MANY = f"{FIRST}-{FIRST + 49}"
OWN = 8200  # where nothing rewrites the address that they bind to
LOW = 99    # likewise; below 1024
OPEN_UUID = "6f2d2f3a-5c1e-4a7b-9c1d-0a83b7c4e001"


def slowness():
    """How many times longer than on a real machine something may take.

    All processors are emulated, on a machine that may have other work; a build with sanitizers is slower still.
    """
    path = f"{BUILD}/bin/pvcalls-engine"
    if not os.path.exists(path):
        return 1  # not in Dom0: cases are only named
    with open(path, "rb") as file:
        return 20 if b"__asan_init" in file.read() else 4


SLOWNESS = slowness()

WEB_RULES = [
    {"id": "no-smtp", "on": "connect", "to": {"ports": [25]}, "verdict": "deny", "errno": "ECONNREFUSED"},
    {"id": "no-vnc", "on": "connect", "to": {"ports": ["5900-5999"]}, "verdict": "deny", "errno": "ENETUNREACH"},
    {"id": "out", "on": "connect", "to": {"net": FAR, "ports": ["1024-65535"]}, "verdict": "allow"},
    {"id": "dark", "on": "connect", "to": {"net": DARK}, "verdict": "allow"},
    {"id": "serve", "on": ["bind", "listen"], "at": {"ports": [SERVE, MANY]}, "verdict": "allow"},
    {"id": "own", "on": ["bind", "listen"], "at": {"ports": [LOW, f"{OWN}-{OWN + 9}"]}, "verdict": "allow"},
    {"id": "clients", "on": "accept", "from": {"net": NET}, "verdict": "allow"},
]
PUBLISH = {"plugin": "rewrite", "rewrites": [{"id": "publish", "on": "bind", "to": {"ports": [SERVE, MANY]}, "set": {"address": DOM0}}]}
LOG = {"plugin": "log", "calls": "denied"}

POLICIES = {
    # what most cases run under: out to the other machine, a server on one port, two ports denied by name
    "web.yaml": make_policy("web", ["web-*", "tool-*"], default="deny", floor={"allow": [{"on": "bind", "to": {"net": DOM0, "ports": LOW}}]},
                            chain=[LOG, PUBLISH, *filter_rules(*WEB_RULES)]),
    # a second policy beside it: the other machine's echo and nothing else
    "echo.yaml": make_policy("echo", "echo-*", default="deny", floor=None, chain=filter_rules(
        {"id": "echo", "on": "connect", "to": {"net": FAR, "ports": [7003]}, "verdict": "allow"})),
    # two connects a second to each address; the others wait
    "slow.yaml": make_policy("slow", "slow-*", default="deny", floor={"allow": [{"on": "connect", "to": {"net": DOM0, "ports": OWN}}]}, chain=[
        {"plugin": "ratelimit", "limits": [{"id": "each", "on": "connect", "per": "destination", "rate": "2/s", "burst": 1, "over": "delay"}]},
        *filter_rules({"id": "out", "on": "connect", "to": {"net": NET}, "verdict": "allow"},
                      {"id": "own", "on": ["bind", "listen"], "at": {"ports": OWN + 1}, "verdict": "allow"})]),
    # everything that the floor lets through, for one guest, whatever its name
    "open.yaml": json.dumps({"version": 1, "name": "open", "match": {"uuid": OPEN_UUID}, "default": "allow"}),
}


class Daemon(harness.Daemon):
    """The daemon that serves the guests of this Dom0."""

    def __init__(self, policies=None, config="", arguments=()):
        super().__init__(policies or POLICIES, config=config, arguments=arguments, build=BUILD)

    def command(self):
        argv = super().command()
        argv[argv.index("local")] = "xen"
        return argv

    def connected(self, name, seconds=30):
        """Waits until the guest's device is served."""
        wait_for(lambda: (self.guest(name) or {}).get("backend") == "connected", f"{name} is connected", seconds, 0.1)

    def stored(self, seconds=10):
        """Waits until the trail holds everything that was said so far."""
        wait_for(lambda: not self.ask("status")["result"]["writer"]["pending"], "all records are stored", seconds, 0.1)

    def recent(self, since, guest, operation, **wanted):
        """Calls since a time (time.time()), as the trail has them."""
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
        rows = self.audit("--since", start, "--guest", guest, "--op", operation)
        return [row for row in rows if row["time_ns"] >= since * 1e9 and all(row[key] == value for key, value in wanted.items())]

    def wait_calls(self, count, since, guest, operation, seconds=10, **wanted):
        """The same, as soon as there are so many."""
        rows = []

        def enough():
            rows[:] = self.recent(since, guest, operation, **wanted)
            return len(rows) >= count

        wait_for(enough, f"{count} records of {operation} by {guest}", seconds, 0.1)
        return rows

    def recent_events(self, since, event, guest=None):
        """Events since a time (time.time())."""
        return [row for row in self.events(event, guest) if row["time_ns"] >= since * 1e9]

    def wait_event(self, event, guest=None, seconds=10, since=0.0):
        """The last event of this kind, as soon as there is one."""
        return wait_for(lambda: self.recent_events(since, event, guest), f"the event {event} of {guest}", seconds, 0.1)[-1]
