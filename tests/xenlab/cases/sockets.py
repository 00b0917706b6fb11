# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs expect of sockets beyond connect, send and receive, and that the trail has each of their calls."""
import signal
import socket
import threading
import time
from collections import Counter

from client_programs import attempts, popen_attempts, told
from daemon import SERVE
from network import DOM0, FAR, PORTS
from registry import case
from tools import wait_for, xenstore

BOTH = ("hook", "user")
CLOSED = 1999  # the policy lets it through, and nothing listens there


class Peer:
    """A client in Dom0 of a server in the guest."""

    def __init__(self, job):
        wait_for(lambda: job.ended() or "listening" in job.said()[1], "the guest listens", 20, 0.1)
        assert not job.ended(), job.wait().stderr
        self.socket = socket.create_connection((DOM0, SERVE), 10)
        self.address = list(self.socket.getsockname())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def listens():
    """Whether anybody in Dom0 listens on the guests' port, which they share."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(row[1].endswith(f":{SERVE:04X}") and row[3] == "0A" for row in map(str.split, file))


@case(kinds=BOTH)
def names(lab, kind):
    """getsockname and getpeername tell what the other end sees, on a client and on a server."""
    guest = lab.shared(kind)
    new, greeted, mine, peer = attempts(guest, f"""
client = socket.socket()
new = [attempt(client.getpeername), client.getsockname()]
client.connect(("{FAR}", {PORTS["greet"]}))
mine, peer = client.getsockname(), client.getpeername()
tell(new, client.makefile().read().strip(), mine, peer)
""")
    assert new == ["ENOTCONN", ["0.0.0.0", 0]], new
    assert (greeted, peer) == (f"{mine[0]}:{mine[1]}", [FAR, PORTS["greet"]]) and mine[0] == DOM0, (greeted, mine, peer)
    job = popen_attempts(guest, """
server = listen()
say("listening")
connection, accepted = server.accept()
tell(server.getsockname(), attempt(server.getpeername), accepted, connection.getpeername(), connection.getsockname())
""")
    with Peer(job) as client:
        own, far, accepted, peer, mine = told(job)
    # The answer to bind tells the port only: a listener does not know to which address the policy has moved it.
    assert (own, far) == (["0.0.0.0", SERVE], "ENOTCONN"), (own, far)
    assert accepted == peer == client.address and mine == [DOM0, SERVE], (accepted, peer, mine, client.address)


@case(kinds=BOTH)
def options(lab, kind):
    """The usual options can be set and are told back; time-outs hold."""
    wrong, fixed, seconds = attempts(lab.shared(kind), f"""
import struct, time
usual = {{
    "SOL_SOCKET": dict(SO_REUSEADDR=1, SO_KEEPALIVE=1, SO_RCVBUF=65536, SO_SNDBUF=65536, SO_OOBINLINE=1, SO_PRIORITY=3),
    "IPPROTO_TCP": dict(TCP_NODELAY=1, TCP_KEEPIDLE=30, TCP_KEEPINTVL=5, TCP_KEEPCNT=4, TCP_CORK=1, TCP_QUICKACK=1, TCP_SYNCNT=3,
                        TCP_USER_TIMEOUT=9000, TCP_DEFER_ACCEPT=1, TCP_LINGER2=10, TCP_NOTSENT_LOWAT=16384),
    "IPPROTO_IP": dict(IP_TOS=16, IP_TTL=32, IP_RECVERR=1),
}}
wrong = []
def try_all(client, when):
    for level, values in usual.items():
        for option, value in values.items():
            number = getattr(socket, level), getattr(socket, option, {{"IP_RECVERR": 11}}.get(option))
            said = attempt(client.setsockopt, *number, value)
            if said != "ok" or not client.getsockopt(*number):
                wrong.append([when, option, said])
client = socket.socket()
try_all(client, "new")
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
client.connect(("{FAR}", {PORTS["echo"]}))
try_all(client, "connected")
fixed = [client.getsockopt(socket.SOL_SOCKET, option) for option in
         (socket.SO_TYPE, socket.SO_DOMAIN, socket.SO_PROTOCOL, socket.SO_ERROR, socket.SO_ACCEPTCONN)]
fixed.append(struct.unpack("ii", client.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
fixed.append(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 300000))
started = time.monotonic()
fixed.append(attempt(client.recv, 1))
tell(wrong, fixed, time.monotonic() - started)
""")
    assert not wrong, wrong
    assert fixed == [socket.SOCK_STREAM, socket.AF_INET, socket.IPPROTO_TCP, 0, 0, [1, 5], 1, "EAGAIN"], fixed
    assert 0.25 < seconds < 2, seconds


@case(kinds=BOTH)
def peeking(lab, kind):
    """MSG_PEEK leaves the bytes where they are; MSG_WAITALL, MSG_DONTWAIT and FIONREAD agree."""
    said = attempts(lab.shared(kind), f"""
import array, fcntl, termios
client = socket.create_connection(("{FAR}", {PORTS["echo"]}))
said = [attempt(client.recv, 1, socket.MSG_DONTWAIT)]
client.sendall(b"peeked")
for size, flags in ((1, socket.MSG_PEEK), (6, socket.MSG_PEEK | socket.MSG_WAITALL), (3, socket.MSG_PEEK)):
    said.append(client.recv(size, flags).decode())
waiting = array.array("i", [0])
fcntl.ioctl(client, termios.FIONREAD, waiting)
said += [waiting[0], client.recv(2).decode(), client.recv(9, socket.MSG_PEEK).decode(), client.recv(4, socket.MSG_WAITALL).decode()]
tell(*said, attempt(client.recv, 1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
""")
    assert said == ["EAGAIN", "p", "peeked", "pee", 6, "pe", "eked", "eked", "EAGAIN"], said


@case(kinds=BOTH)
def shutting_down(lab, kind):
    """shutdown ends the direction that it names; both: the peer sees the end."""
    guest = lab.shared(kind)
    said = attempts(guest, f"""
import signal
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
said = [attempt(socket.socket().shutdown, socket.SHUT_RDWR)]
client = socket.create_connection(("{FAR}", {PORTS["echo"]}))
client.settimeout(10)
client.sendall(b"first")
said.append(client.recv(5, socket.MSG_WAITALL).decode())
client.shutdown(socket.SHUT_RD)
said += [client.recv(1).decode(), attempt(client.sendall, b"x")]
other = socket.create_connection(("{FAR}", {PORTS["lines"]}))
other.settimeout(10)
other.sendall(b"second\\n")
other.shutdown(socket.SHUT_WR)
said += [attempt(other.send, b"x"), other.recv(7, socket.MSG_WAITALL).decode()]
tell(*said)
""")
    assert said == ["ENOTCONN", "first", "", "ok", "EPIPE", "second\n"], said
    job = popen_attempts(guest, """
import time
server = listen()
say("listening")
connection = server.accept()[0]
connection.shutdown(socket.SHUT_RDWR)
time.sleep(20)
""")
    with Peer(job) as client:
        client.socket.settimeout(5)
        assert client.socket.recv(1) == b"", "the end came while the guest holds its socket open"
    job.kill(signal.SIGTERM)
    wait_for(lambda: not listens(), "the server's port is free", 5, 0.05)


@case(kinds=BOTH)
def not_waiting(lab, kind):
    """connect and accept that do not wait: EINPROGRESS, EAGAIN, and poll tells when and how they ended."""
    guest = lab.shared(kind)
    reached, denied, closed = attempts(guest, f"""
def begin(port):
    client = socket.socket()
    client.setblocking(False)
    said = [attempt(client.connect, ("{FAR}", port))]
    ready = poll(client, select.POLLOUT)
    said += [ready & select.POLLOUT, bool(ready & select.POLLERR)]
    said.append(errno.errorcode.get(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "ok"))
    return client, said
client, reached = begin({PORTS["echo"]})
reached += [attempt(client.connect, ("{FAR}", {PORTS["echo"]})) for _ in range(2)]
reached += [client.getpeername()[1], attempt(client.recv, 1)]
client.send(b"x")
reached += [poll(client, select.POLLIN), client.recv(2).decode()]
tell(reached, begin(25)[1], begin({CLOSED})[1])
""")
    assert reached == ["EINPROGRESS", 4, False, "ok", "ok", "EISCONN", PORTS["echo"], "EAGAIN", 1, "x"], reached
    assert denied == ["EINPROGRESS", 4, True, "ECONNREFUSED"], denied
    assert closed == ["EINPROGRESS", 4, True, "ECONNREFUSED"], closed
    job = popen_attempts(guest, """
server = listen()
server.setblocking(False)
said = [attempt(server.accept), poll(server, select.POLLIN, 0)]
say("listening")
said.append(poll(server, select.POLLIN))
connection = server.accept()[0]
said.append(attempt(server.accept))
connection.setblocking(False)
said.append(attempt(connection.recv, 1))
sent = 0
while True:
    try:
        sent += connection.send(bytes(65536))
    except BlockingIOError:
        if not poll(connection, select.POLLOUT, 500):
            break
say("full")
said.append(poll(connection, select.POLLOUT))
connection.close()
tell(said, sent)
""")
    with Peer(job) as client:
        wait_for(lambda: job.ended() or "full" in job.said()[1], "the guest can't send more", 30, 0.1)
        reader = threading.Thread(target=read_all, args=(client.socket, received := []))
        reader.start()
        said, sent = told(job)
        reader.join(30)
    assert said == ["EAGAIN", 0, 1, "EAGAIN", "EAGAIN", 4], said
    assert received == [sent], (received, sent)


def read_all(connection, result):
    count = 0
    while data := connection.recv(1 << 20):
        count += len(data)
    result.append(count)


@case(kinds=BOTH)
def each_call(lab, kind):
    """The trail has each call of a program, once, with the guest's name, number and uuid."""
    guest = lab.shared(kind)
    wait_for(lambda: not lab.daemon.guest(guest.name) or not lab.daemon.ctl_json("sockets", guest.name), "no socket is open")
    since = time.time()
    job = popen_attempts(guest, f"""
for port in ({PORTS["greet"]}, {CLOSED}, 25):
    with socket.socket() as client:
        attempt(client.connect, ("{FAR}", port))
with listen() as server:
    say("listening")
    server.accept()[0].close()
tell()
""")
    with Peer(job):
        told(job)
    expected = {"socket": 4, "connect": 3, "bind": 1, "listen": 1, "accept": 1, "release": 5}
    wait_for(lambda: len(rows_of(lab, since, guest)) >= sum(expected.values()), "all of them are in the trail", 10, 0.2)
    rows = rows_of(lab, since, guest)
    assert Counter(row["operation"] for row in rows) == expected, [(row["operation"], row["socket"], row["errno_name"]) for row in rows]
    uuid = xenstore(f"/local/domain/{guest.domid}/vm").removeprefix("/vm/")
    assert {(row["guest"], row["domid"], row["uuid"]) for row in rows} == {(guest.name, guest.domid, uuid)}
    results = [(row["verdict"], row["errno_name"], row["effective_port"]) for row in rows if row["operation"] == "connect"]
    assert [(verdict, port) for verdict, _, port in results] == [("allow", PORTS["greet"]), ("allow", CLOSED), ("deny", 25)]
    assert [error for _, error, _ in results][1:] == ["ECONNREFUSED", "ECONNREFUSED"], results


def rows_of(lab, since, guest):
    """All calls since then but those that come as a frontend likes: polls, and accepts that were taken back."""
    return [row for row in lab.daemon.calls(guest.name) if row["time_ns"] >= since * 1e9
            and row["operation"] != "poll" and (row["operation"], row["errno_name"]) != ("accept", "ECANCELED")]
