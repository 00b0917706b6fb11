# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls that wait for a policy's delay: what ends or changes meanwhile harms nobody and opens nothing."""
import contextlib
import datetime
import errno
import signal
import socket
import struct
import time

import pytest

from frontend import ACCEPT, BIND, CONNECT, LISTEN, POLL, RELEASE, Frontend, connect_payload, sockaddr
from harness import GUEST_PRELUDE, PYTHON, filter_rules, free_port, make_policy, peers, running, wait_for

pytestmark = pytest.mark.root

# As policies/web-client.yaml: what is too much waits, what goes out is shaped, one kind is rewritten.
WEB_CLIENT = make_policy("web-client", "client-*", default="deny", chain=[
    {"plugin": "log", "calls": "denied"},
    {"plugin": "ratelimit", "limits": [
        {"id": "connects", "on": "connect", "per": "destination", "rate": "1/s", "burst": 1, "over": "delay"},
        {"id": "open", "on": "connect", "concurrent": 500},
        {"id": "egress", "direction": "out", "bandwidth": "100Mbit/s"}]},
    {"plugin": "rewrite", "rewrites": [
        {"id": "dns", "on": "connect", "to": {"ports": [53]}, "set": {"address": "127.0.0.1"}}]},
    {"plugin": "filter", "rules": [
        {"id": "web", "on": "connect", "to": {"net": ["127.0.0.0/8"]}, "verdict": "allow"}]},
])

# Connects without waiting, says so, and ends in the middle of it: by itself, or when it is killed.
HURRIED = GUEST_PRELUDE + """
import os, threading, time
port, ends = int(sys.argv[1]), sys.argv[2] == "ends"
def connect():
    s = socket.socket()
    attempt(s.connect, ('127.0.0.1', port))
    kept.append(s)
kept = []
for _ in range(6):
    threading.Thread(target=connect, daemon=True).start()
deadline = time.monotonic() + 20
while not kept and time.monotonic() < deadline:
    time.sleep(0.002)
print("waits", flush=True)
if ends:
    os._exit(0)
time.sleep(60)
"""


def waits(row):
    """Whether a CONNECT was allowed, waited and never was executed."""
    return row["verdict"] == "allow" and row["errno"] != 0


def test_programs_that_end_while_their_connects_wait(make_daemon):
    """Twenty programs, half of which are killed: no engine crashes, and every call is recorded once."""
    daemon = make_daemon({"web-client.yaml": WEB_CLIENT})
    port = free_port()
    programs = 20
    with running(peers("greet", port), port=port):
        for number in range(programs):
            name = f"client-{number % 5}"
            ends = number % 2
            guest = daemon.popen(name, [PYTHON, "-S", "-c", HURRIED, str(port), "ends" if ends else "stays"], text=True)
            assert guest.stdout.readline() == "waits\n", guest.stderr.read()
            if ends:
                assert guest.wait(20) == 0
            else:
                guest.send_signal(signal.SIGKILL)
                guest.wait(20)
            wait_for(lambda: daemon.guest(name) is None, f"guest {name} is gone")
    daemon.settle()
    assert not daemon.events("engine_crashed") and not daemon.events("guest_cut_off")
    assert "assertion failed" not in daemon.log()
    rows = [row for number in range(5) for row in daemon.calls(f"client-{number}", "connect")]
    waited = [row for row in rows if waits(row)]
    # One in six went through at once; the others were on their way when it was over.
    assert len(waited) >= programs, f"{len(waited)} of {len(rows)} connects waited"
    assert len(rows) >= len(waited) + programs
    assert {row["errno"] for row in waited} == {errno.ECONNABORTED}
    daemon.stop()


def test_the_host_is_judged_as_it_is_in_the_end(make_daemon, network):
    """A delayed CONNECT to what becomes the host's address, a delayed BIND to a port it takes: denied, the port as in use."""
    daemon = make_daemon({"slow.yaml": make_policy("slow", "slow", floor=None, chain=[
        {"plugin": "ratelimit", "limits": [
            {"id": "slow", "on": ["connect", "bind"], "rate": "20/m", "burst": 1, "over": "delay"}]}])},
        netns=network.host)
    address, port, bound = "10.83.0.78", 23457, 23458
    greet = peers("greet", port, "0.0.0.0")
    with contextlib.closing(Frontend(daemon.runtime_dir, "slow")) as front, contextlib.ExitStack() as stack:
        for space in (network.far, network.host):
            stack.enter_context(running(network.inside(space, greet)))
            network.wait_port(space, port)
        front.attach()
        front.connect(network.FAR, port)  # the one that need not wait

        connecting, binding = front.new_socket(), front.new_socket()
        connect = front.place(CONNECT, connecting, connect_payload(address, port, front.make_ring(), front.new_port()))
        bind = front.place(BIND, binding, sockaddr(network.HOST, bound))
        front.show()
        # Both are decided, or the daemon would not answer a call that came behind them.
        front.new_socket()
        network.ip("-n", network.host, "address", "add", f"{address}/32", "dev", network.cables[0])
        stack.enter_context(running(network.inside(network.host, peers("greet", bound, "0.0.0.0"))))
        network.wait_port(network.host, bound)
        assert not front.take(), "both wait still"
        assert front.wait_answer(connect, 20) == -errno.EACCES
        assert front.wait_answer(bind, 20) == -errno.EADDRINUSE
        assert front.call(LISTEN, binding, struct.pack("<I", 4)) == -errno.EADDRINUSE
    daemon.settle()
    for operation, rule, number in (("connect", "host-address", errno.EACCES), ("bind", "host-port", errno.EADDRINUSE)):
        row = daemon.calls("slow", operation)[-1]
        assert (row["verdict"], row["decider"], row["rule"], row["errno"]) == ("deny", "floor", rule, number)
    daemon.stop()


def listen(front, port):
    """A listening socket of this guest's."""
    listener = front.new_socket()
    assert front.call(BIND, listener, sockaddr("127.0.0.1", port)) == 0
    assert front.call(LISTEN, listener, struct.pack("<I", 8)) == 0
    return listener


def accept(front, listener):
    """An ACCEPT in flight: the number of the request, and the name of the socket it will make."""
    new = front.new_id()
    payload = struct.pack("<QII", new, front.make_ring(), front.new_port())
    return front.place(ACCEPT, listener, payload), new


def test_who_comes_is_recorded_when_he_comes(make_daemon):
    """An ACCEPT that has waited: whoever is denied now is found as of now, and is not there again when it ends."""
    daemon = make_daemon({"test.yaml": make_policy(chain=filter_rules(
        {"id": "no-nine", "on": "accept", "from": {"net": ["127.0.0.9"]}, "verdict": "deny"}))})
    port = free_port()
    with contextlib.closing(Frontend(daemon.runtime_dir, "server")) as front:
        front.attach(feature_cancel=1)
        listener = listen(front, port)
        request, _ = accept(front, listener)
        front.show()
        front.new_socket()  # answered after the ACCEPT was taken
        since = time.time_ns()
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.9", 0)) as peer:
            wait_for(lambda: daemon.calls("server", "accept"), "the peer is recorded")
        text = datetime.datetime.fromtimestamp(since // 10**9, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        denied, = daemon.audit("--since", f"{text}.{since % 10**9:09d}Z", "--verdict", "deny")
        assert (denied["peer_address"], denied["rule"], denied["decider"]) == ("127.0.0.9", "no-nine", "filter")
        assert since <= denied["time_ns"] <= time.time_ns() and denied["decision_ns"] <= denied["total_ns"]
        until = time.time_ns()
        release = front.place(RELEASE, listener)
        front.show()
        assert front.wait_answer(request) == -errno.ECANCELED
        assert front.wait_answer(release) == 0
    daemon.settle()
    rows = daemon.calls("server")
    assert [row["time_ns"] for row in rows] == sorted(row["time_ns"] for row in rows)
    _, ended = daemon.calls("server", "accept")
    assert (ended["verdict"], ended["outcome"], ended["errno_name"]) == ("none", "cancelled", "ECANCELED")
    assert (ended["peer_address"], ended["requested_address"], ended["decision_ns"]) == (None, None, 0)
    assert ended["time_ns"] >= until
    daemon.stop()


def test_a_listener_that_is_closed_denies_nobody(daemon):
    """What ends with its socket was cancelled: no search for denials finds it."""
    with contextlib.closing(Frontend(daemon.runtime_dir, "server")) as front:
        front.attach(feature_cancel=1)
        listener = listen(front, free_port())
        waiting = [accept(front, listener)[0] for _ in range(4)]
        poll = front.place(POLL, listener)
        release = front.place(RELEASE, listener)
        front.show()
        assert [front.wait_answer(request) for request in waiting] == [-errno.ECANCELED] * 4
        assert front.wait_answer(poll) == 0 and front.wait_answer(release) == 0
        counters = daemon.guest("server")["counters"]
        assert (counters["cancelled"], counters["denied"]) == (5, 0)
    daemon.settle()
    assert not daemon.audit("--not", "--verdict", "allow", "--not", "--verdict", "none")
    assert [(row["operation"], row["verdict"], row["errno"]) for row in daemon.audit("--outcome", "cancelled")] == [
        ("accept", "none", errno.ECANCELED)] * 4 + [("poll", "allow", 0)]
    assert len(daemon.audit("--verdict", "none")) == 4
    daemon.stop()


def test_a_killed_socket_is_released_once(daemon):
    """The operator's kill is what ended it; the guest's own RELEASE afterwards ends nothing."""
    port = free_port()
    with running(peers("echo", port), port=port), contextlib.closing(Frontend(daemon.runtime_dir, "victim")) as front:
        front.attach()
        stream = front.connect("127.0.0.1", port)
        stream.write(b"hello")
        assert stream.read(5) == b"hello"
        number = daemon.ctl_json("sockets", "victim")[0]["socket"]
        assert daemon.ctl("kill", "victim", str(number)).returncode == 0
        assert stream.read(1) == b""
        assert daemon.ctl_json("sockets", "victim") == [] and daemon.guest("victim")["counters"]["sockets"] == 0
        assert daemon.ctl("kill", "victim", str(number)).returncode != 0
        assert stream.release() == 0
        assert stream.release() == 0, "of a name that is free again"
    daemon.settle()
    killed, nothing = daemon.calls("victim", "release")
    assert (killed["socket"], killed["close_reason"]) == (number, "operator")
    assert (killed["bytes_in"], killed["bytes_out"], killed["peer_port"]) == (5, 5, port)
    assert (nothing["socket"], nothing["close_reason"]) == (None, None)
    daemon.stop()
