# SPDX-License-Identifier: GPL-2.0-or-later
"""Binding as programs do it: to every address, to the next port that is free, to port 0 before a connect, below 1024."""
import socket
import time

from client_programs import attempts, popen_attempts, told
from daemon import LOW, OWN
from network import DOM0, FAR, PORTS
from registry import case
from tools import wait_for

BOTH = ("hook", "user")


@case(kinds=BOTH)
def next_free_port(lab, kind):
    """A server that meets EADDRINUSE takes the next port, at 0.0.0.0; it is reached, and its end denies nobody."""
    guest, since = lab.shared(kind), time.time()
    with socket.create_server(("0.0.0.0", OWN)):
        job = popen_attempts(guest, f"""
said = []
for port in range({OWN}, {OWN} + 3):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    said.append(attempt(server.bind, ("0.0.0.0", port)))
    if said[-1] == "ok":
        said[-1] = attempt(server.listen)
    if said[-1] != "EADDRINUSE":
        break
    server.close()
say("listening")
connection, _ = server.accept()
connection.sendall(b"hello")
connection.close()
server.close()
tell(said, port)
""")
        wait_for(lambda: job.ended() or "listening" in job.said()[1], "the guest listens", 20, 0.1)
        assert not job.ended(), job.wait().stderr
        with socket.create_connection((DOM0, OWN + 1), 20) as client:
            assert client.recv(10) == b"hello"
        assert told(job) == [["EADDRINUSE", "ok"], OWN + 1]
    taken, bound = sorted(lab.daemon.wait_calls(2, since, guest.name, "bind"), key=lambda row: row["effective_port"])
    assert (taken["verdict"], taken["rule"], taken["errno_name"]) == ("deny", "host-port", "EADDRINUSE"), taken
    assert (bound["verdict"], bound["effective_address"]) == ("allow", "0.0.0.0"), bound
    lab.daemon.wait_calls(1, since, guest.name, "release", close_reason="released", local_port=OWN + 1)
    accepts = lab.daemon.recent(since, guest.name, "accept")
    assert [row["peer_address"] for row in accepts if row["verdict"] == "allow"] == [DOM0], accepts
    assert {row["verdict"] for row in accepts} <= {"allow", "none"}, accepts


@case(kinds=BOTH)
def before_a_connect(lab, kind):
    """Port 0 needs no rule to connect from, at 0.0.0.0 and at an address; to listen there does."""
    guest = lab.shared(kind)
    names, listening = attempts(guest, f"""
names, listening = [], []
for address in ("0.0.0.0", "{DOM0}"):
    with socket.socket() as client:
        client.bind((address, 0))
        client.connect(("{FAR}", {PORTS["greet"]}))
        names.append([client.getsockname()[0], client.makefile().read().strip() == "%s:%d" % client.getsockname()])
    with socket.socket() as server:
        server.bind((address, 0))
        listening.append(attempt(server.listen))
tell(names, listening)
""")
    assert (names, listening) == ([[DOM0, True]] * 2, ["EACCES"] * 2), (names, listening)


@case(kinds=BOTH)
def low_port(lab, kind):
    """A port below 1024 that the policy opens is denied without the capability, with the setting's name."""
    guest, since = lab.shared(kind), time.time()
    assert attempts(guest, f"""
with socket.socket() as server:
    said = attempt(server.bind, ("{DOM0}", {LOW}))
    tell(said if said != "ok" else attempt(server.listen))
""") == ["EACCES"]
    row, = lab.daemon.wait_calls(1, since, guest.name, "bind", effective_port=LOW)
    assert (row["verdict"], row["rule"]) == ("deny", "low-port") and "engine: {low_ports: true}" in row["reason"], row
