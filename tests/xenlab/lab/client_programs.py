# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that cases run in guests, and what they say."""
import json
import uuid

from daemon import SERVE, SLOWNESS
from network import FAR, PORTS
from tools import check, wait_for

PEERS = ["python3", "-S", "/opt/lab/peers.py"]
ATTEMPT = f"""
import errno, json, select, socket, sys
def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "ok"
def tell(*results):
    print(json.dumps(results))
def poll(one, events, milliseconds=20000):
    poller = select.poll()
    poller.register(one, events)
    return dict(poller.poll(milliseconds)).get(one.fileno(), 0)
def say(word):
    print(word, file=sys.stderr, flush=True)
def listen():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", {SERVE}))
    server.listen()
    return server
"""


def popen_page(guest, seconds=30):
    """Begins to fetch the other machine's page with curl."""
    written = "%{http_code} %{size_download}"
    return guest.popen_client(["curl", "-sS", "-o", "/dev/null", "-w", written, f"http://{FAR}:{PORTS['web']}/"], seconds)


def page(guest, seconds=30):
    """Fetches it; returns the finished program."""
    return popen_page(guest, seconds).wait()


def popen_attempts(guest, code, *arguments, seconds=30):
    """Starts Python in the guest that ends with tell(RESULT, ...); attempt(call, ...) gives the name of the error."""
    return guest.popen_client(["python3", "-S", "-c", ATTEMPT + code, *arguments], seconds)


def told(job):
    """What it has told, at its end."""
    return json.loads(check(job.wait()).stdout)


def attempts(guest, code, *arguments, seconds=30):
    """The same, run to its end; returns what it has told."""
    return told(popen_attempts(guest, code, *arguments, seconds=seconds))


def connects(guest, targets, seconds=60):
    """The error of a connect to each (address, port), "ok" without one."""
    code = """
results = []
for target in json.loads(sys.argv[1]):
    with socket.socket() as client:
        results.append(attempt(client.connect, tuple(target)))
print(json.dumps(results))
"""
    return attempts(guest, code, json.dumps(targets), seconds=seconds)


class Pulse:
    """guest/pulse.py at work: `with Pulse(guest, "short") as pulse: ...`, then pulse.result."""

    def __init__(self, guest, way="short", seconds=90, pause=0.0):
        self.guest, self.way, self.seconds, self.pause = guest, way, seconds, pause
        self.stop_file = f"/tmp/stop-{uuid.uuid4().hex[:8]}"
        self.result = None

    def __enter__(self):
        port = PORTS["lines" if self.way == "short" else "echo"]
        self.job = self.guest.popen_client(
            ["python3", "-S", "/opt/lab/pulse.py", self.way, FAR, port, self.stop_file, self.pause], self.seconds)
        wait_for(lambda: "beats" in self.job.said()[0] or self.job.ended(), "the pulse beats", 20, 0.1)
        return self

    def stop(self):
        self.guest.write(self.stop_file, "")
        self.result = json.loads(check(self.job.wait()).stdout.splitlines()[-1])
        return self.result

    def __exit__(self, kind, *_):
        if kind is None and self.result is None:
            self.stop()

    def check(self, longest=2.0 * SLOWNESS, bad=0):
        """No more errors than that, and no round that took longer."""
        assert self.result["good"] > 0, f"nothing went well: {self.result}"
        assert self.result["bad"] <= bad, f"{self.guest.name} has noticed: {self.result}"
        assert self.result["longest"] <= longest, f"a round took {self.result['longest']} s, {longest} are allowed: {self.result}"
