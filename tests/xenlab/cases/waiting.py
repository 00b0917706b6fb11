# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls that wait, in great number, and what else their guest does meanwhile."""
import socket

from client_programs import attempts, popen_attempts, told
from daemon import FIRST, OWN, SLOWNESS
from network import DARK, DOM0, FAR, PORTS
from registry import case
from tools import check, wait_for

BOTH = ("hook", "user")
CHANNELS = 64  # of a guest that has few

# Listens on so many ports, fetches the other machine's word, then greets with a port's number whoever comes to it.
SERVERS = """
import selectors
count, peers = int(sys.argv[1]), int(sys.argv[2])
chosen = selectors.DefaultSelector()
for number in range(count):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("0.0.0.0", int(sys.argv[3]) + number))
    server.listen()
    chosen.register(server, selectors.EVENT_READ, number)
chosen.select(0)
for _ in range(5):
    with socket.create_connection((sys.argv[4], int(sys.argv[5])), 15) as client:
        assert client.recv(100)
say("listening")
for _ in range(peers):
    key, _ = chosen.select()[0]
    connection, _ = key.fileobj.accept()
    connection.sendall(b"%d" % key.data)
    connection.close()
tell(peers)
"""


def answers(guest, count, order):
    """Whether each of so many listeners answers who comes to it, in this order."""
    job = popen_attempts(guest, SERVERS, count, len(order), FIRST, FAR, PORTS["greet"], seconds=90)
    wait_for(lambda: job.ended() or "listening" in job.said()[1], "the guest listens", 30, 0.1)
    assert not job.ended(), job.wait().stderr
    for number in order:
        with socket.create_connection((DOM0, FIRST + number), 10 * SLOWNESS) as client:
            assert client.recv(100) == b"%d" % number
    assert told(job) == [len(order)]


@case(kinds=BOTH, seconds=120)
def many_listeners(lab, kind):
    """Each of 30 listeners answers, whichever is asked."""
    answers(lab.shared(kind), 30, [*reversed(range(30)), *range(30)])


@case(kinds=BOTH, seconds=120)
def beside_the_dark(lab, kind):
    """40 connects that nobody answers wait; a page is fetched, and others connect and listen, before any of them ends."""
    status, greeted, waiting = attempts(lab.shared(kind), f"""
import subprocess
waiting = [socket.socket() for _ in range(40)]
for one in waiting:
    one.setblocking(False)
    assert one.connect_ex(("{DARK}", 2000)) == errno.EINPROGRESS
curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{{http_code}}", "-m", "20", "http://{FAR}:{PORTS["web"]}/"]
status = subprocess.run(curl, stdout=subprocess.PIPE, text=True).stdout
greeted = 0
for _ in range(5):
    with socket.create_connection(("{FAR}", {PORTS["greet"]}), 15) as client:
        greeted += client.recv(100) != b""
    listen().close()
poller = select.poll()
for one in waiting:
    poller.register(one, select.POLLOUT)
tell(status, greeted, 40 - len(poller.poll(0)))
""", seconds=90)
    assert (status, greeted, waiting) == ("200", 5, 40), (status, greeted, waiting)


@case(kinds=BOTH, seconds=120)
def delayed(lab, kind):
    """A limit makes 56 connects to one address wait; another address is reached, and a port opened, long before slots are free."""
    guest = lab.guest(f"slow-{kind}", kind).start()
    with socket.create_server((DOM0, OWN)):
        reached, listening, done = attempts(guest, f"""
waiting = [socket.socket() for _ in range(56)]
for one in waiting:
    one.setblocking(False)
    assert one.connect_ex(("{FAR}", {PORTS["echo"]})) == errno.EINPROGRESS
with socket.socket() as other:
    reached = attempt(other.connect, ("{DOM0}", {OWN}))
with socket.socket() as server:
    server.bind(("{DOM0}", {OWN + 1}))
    listening = attempt(server.listen)
poller = select.poll()
for one in waiting:
    poller.register(one, select.POLLOUT)
tell(reached, listening, len(poller.poll(0)))
""", seconds=60)
    # With all of the ring's 32 slots held, 24 would have to be through before.
    assert (reached, listening) == ("ok", "ok") and done < 20, (reached, listening, done)


@case(kinds=BOTH, seconds=120)
def closed_early(lab, kind):
    """Sockets are closed while their connects wait, or have just succeeded; others are as well off as before."""
    guest = lab.shared(kind)
    said = attempts(guest, f"""
for _ in range(3):
    clients = [socket.socket() for _ in range(60)]
    for number, client in enumerate(clients):
        client.setblocking(False)
        client.connect_ex(("{DARK}", 2000) if number % 2 else ("{FAR}", {PORTS["echo"]}))
    for client in clients:
        client.close()
with socket.create_connection(("{FAR}", {PORTS["greet"]}), 15) as client:
    tell(client.recv(100) != b"")
""", seconds=90)
    assert said == [True]


@case(needs=("hook",), seconds=120)
def without_extensions(lab):
    """A frontend that takes nothing beyond the protocol: its listeners take turns, and it connects beside them."""
    guest = lab.guest("web-plain", hook="extensions=0").start()
    lab.daemon.connected(guest.name)
    answers(guest, 25, [*range(25), *range(25)])
    counters = lab.daemon.guest(guest.name)["counters"]
    assert counters["parked"] == 0, counters


@case(kinds=BOTH, seconds=120)
def few_event_channels(lab, kind):
    """More connections than the guest may have event channels: an error, a word about what to do, and no harm."""
    guest = lab.guest("web-few" if kind == "hook" else "tool-few", kind, channels=CHANNELS).start()
    job = popen_attempts(guest, f"""
import time
clients = [socket.socket() for _ in range(100)]
said = [attempt(client.connect, ("{FAR}", {PORTS["echo"]})) for client in clients]
good = [client for client, word in zip(clients, said) if word == "ok"]
for client in good:
    client.sendall(b"x")
    assert client.recv(1) == b"x"
refused = sorted(set(said) - {{"ok"}})
for client in clients:
    client.close()
again = 0
while again < 20:
    with socket.socket() as client:
        again += attempt(client.connect, ("{FAR}", {PORTS["echo"]})) == "ok"
tell(len(good), refused, again)
""", seconds=50)
    done = check(job.wait())
    good, refused, again = told(job)
    assert CHANNELS // 2 < good < CHANNELS and (refused, again) == (["ENOBUFS"], 20), (good, refused, again)
    said = done.stderr if kind == "user" else check(guest.sh("dmesg")).stdout
    assert "no event channel is left: raise max_event_channels in the guest's configuration" in said, said[-2000:]
