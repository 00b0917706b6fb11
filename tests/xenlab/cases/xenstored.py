# SPDX-License-Identifier: GPL-2.0-or-later
"""xenstored is lost. Dom0 does not get over that, so these cases are the last ones."""
import os
import signal

from clients import PEERS, Pulse
from network import FAR, PORTS
from registry import case
from tools import check, wait_for


def pid():
    with open("/run/xen/xenstored.pid", encoding="ascii") as file:
        return int(file.read())


@case(needs=("hook",), seconds=90)
def killed(lab):
    """kill -9 of xenstored: connections go on, new ones are made, the trail says that it went away."""
    guest = lab.shared("hook")
    lab.daemon.connected(guest.name)
    lab.without_toolstack = True
    with Pulse(guest, "short") as short, Pulse(guest, "long") as long:
        os.kill(pid(), signal.SIGKILL)
        lab.daemon.wait_event("transport")
        assert check(guest.client([*PEERS, "crowd", FAR, PORTS["echo"], 20])).stdout.strip() == "20"
    short.check()
    long.check()
    assert lab.daemon.process.poll() is None
    wait_for(lambda: lab.daemon.ask("status")["ok"], "the daemon answers", 5)
