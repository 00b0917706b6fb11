# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that cases run in guests, and what they say."""
import json
import uuid

from network import FAR, PORTS
from tools import check, wait_for

PEERS = ["python3", "-S", "/opt/lab/peers.py"]
ATTEMPT = """
import errno, socket, sys
def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok"
"""


def page(guest, seconds=30):
    """Fetches the other machine's page with curl; returns the finished program."""
    return guest.client(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"http://{FAR}:{PORTS['web']}/"], seconds)


def attempts(guest, code, *arguments, seconds=30):
    """Runs Python in the guest that prints JSON; attempt(call, ...) gives the name of the error."""
    done = check(guest.client(["python3", "-S", "-c", ATTEMPT + code, *arguments], seconds))
    return json.loads(done.stdout)


def connects(guest, targets, seconds=60):
    """The error of a connect to each (address, port), "ok" without one."""
    code = """
import json
results = []
for target in json.loads(sys.argv[1]):
    with socket.socket() as client:
        results.append(attempt(client.connect, tuple(target)))
print(json.dumps(results))
"""
    return attempts(guest, code, json.dumps(targets), seconds=seconds)


class Pulse:
    """guest/pulse.py at work: `with Pulse(guest, "short") as pulse: ...`, then pulse.result."""

    def __init__(self, guest, way="short", seconds=90):
        self.guest, self.way, self.seconds = guest, way, seconds
        self.stop_file = f"/tmp/stop-{uuid.uuid4().hex[:8]}"
        self.result = None

    def __enter__(self):
        port = PORTS["lines" if self.way == "short" else "echo"]
        self.job = self.guest.popen_client(
            ["python3", "-S", "/opt/lab/pulse.py", self.way, FAR, port, self.stop_file], self.seconds)
        wait_for(lambda: "beats" in self.job.said()[0] or self.job.ended(), "the pulse beats", 20, 0.1)
        return self

    def stop(self):
        self.guest.write(self.stop_file, "")
        self.result = json.loads(check(self.job.wait()).stdout.splitlines()[-1])
        return self.result

    def __exit__(self, kind, *_):
        if kind is None and self.result is None:
            self.stop()

    def check(self, longest=2.0, bad=0):
        """No more errors than that, and no round that took longer."""
        assert self.result["good"] > 0, f"nothing went well: {self.result}"
        assert self.result["bad"] <= bad, f"{self.guest.name} has noticed: {self.result}"
        assert self.result["longest"] <= longest, f"a round took {self.result['longest']} s, {longest} are allowed: {self.result}"
