# SPDX-License-Identifier: GPL-2.0-or-later
"""xenstored is lost. Dom0 does not get over that, so these cases are the last ones."""
import os
import signal
import time

from client_programs import PEERS, Pulse
from network import FAR, PORTS
from registry import case
from tools import check, wait_for


def pid():
    with open("/run/xen/xenstored.pid", encoding="ascii") as file:
        return int(file.read())


@case(needs=("hook",), seconds=90)
def killed(lab):
    """kill -9 of xenstored: connections go on, new ones are made, the trail says that it went away."""
    guest, since = lab.shared("hook"), time.time()
    lab.without_toolstack = True
    with Pulse(guest, "short") as short, Pulse(guest, "long") as long:
        os.kill(pid(), signal.SIGKILL)
        assert "xenstored does not answer" in lab.daemon.wait_event("transport", since=since)["text"]
        assert check(guest.client([*PEERS, "crowd", FAR, PORTS["echo"], 20])).stdout.strip() == "20"
    short.check()
    long.check()
    assert {row["verdict"] for row in lab.daemon.wait_calls(20, since, guest.name, "connect")} == {"allow"}
    assert lab.daemon.process.poll() is None
    wait_for(lambda: lab.daemon.ask("status")["ok"], "the daemon answers", 5)
