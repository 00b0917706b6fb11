# SPDX-License-Identifier: GPL-2.0-or-later
"""Much that waits in one guest: what else it does goes on, and each of its listeners answers."""
import contextlib
import errno
import socket
import struct

import pytest

from frontend import BIND, COLLECT, CONNECT, LISTEN, POLL, SLOTS, Frontend, connect_payload, sockaddr
from harness import GUEST_PRELUDE, PYTHON, free_port, make_policy, peers, running, wait_for

DARK = "10.83.0.99"  # frames to it go to a machine that is not there

# Listens on 50 ports, says which, and greets on each with its number.
LISTENERS = GUEST_PRELUDE + """
import selectors
listeners = []
for _ in range(50):
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen()
    listeners.append(s)
chosen = selectors.DefaultSelector()
for number, s in enumerate(listeners):
    chosen.register(s, selectors.EVENT_READ, number)
print(*(s.getsockname()[1] for s in listeners), flush=True)
while True:
    for key, _ in chosen.select():
        c, _ = key.fileobj.accept()
        c.sendall(b'%d' % key.data)
        c.close()
"""

# Connects 100 times into the dark, then does what else a program does; says how many still wait.
DARK_AND_BRIGHT = GUEST_PRELUDE + """
import select
dark, port = sys.argv[1], int(sys.argv[2])
waiting = [socket.socket() for _ in range(100)]
for s in waiting:
    s.setblocking(False)
    assert s.connect_ex((dark, 80)) == 115
done = 0
for _ in range(200):
    with socket.create_connection(('10.83.0.2', port)) as c:
        done += c.recv(100) != b''
    with socket.socket() as l:
        l.bind(('10.83.0.1', 0))
        l.listen()
poll = select.poll()
for s in waiting:
    poll.register(s, select.POLLOUT)
print(done, 100 - len(poll.poll(0)), flush=True)
for s in waiting:
    s.close()
with socket.create_connection(('10.83.0.2', port)) as c:
    print(c.recv(100) != b'', flush=True)
"""


def test_each_of_fifty_listeners_answers(daemon):
    """In any order, and again, whether or not others were ever asked."""
    guest = daemon.popen("server", [PYTHON, "-S", "-c", LISTENERS], text=True)
    ports = [int(word) for word in guest.stdout.readline().split()]
    assert len(ports) == 50, guest.stderr.read()
    for round_of in (reversed(range(50)), [49] * 20, range(50)):
        for number in round_of:
            with socket.create_connection(("127.0.0.1", ports[number]), timeout=20) as connection:
                assert connection.recv(100) == b"%d" % number
    daemon.end_guest(guest)
    daemon.stop()


@pytest.mark.root
def test_beside_a_hundred_connects_into_the_dark(make_daemon, network):
    """200 connects and 200 listeners come and go while all 100 still wait."""
    port = free_port()
    daemon = make_daemon({"open.yaml": make_policy("open", floor={"allow": [
        {"on": ["connect", "bind"], "to": {"net": "any", "ports": "0-65535"}}]})}, netns=network.host)
    network.ip("-n", network.host, "neigh", "add", DARK, "lladdr", "02:00:00:00:00:01", "dev", network.cables[0])
    with running(network.inside(network.far, peers("greet", port, "0.0.0.0"))):
        network.wait_port(network.far, port)
        done = daemon.run("crawler", [PYTHON, "-S", "-c", DARK_AND_BRIGHT, DARK, str(port)], timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["200", "100", "True"]
    daemon.settle()
    rows = daemon.calls("crawler", "connect")
    assert len([row for row in rows if row["errno"] == 0]) == 201
    assert len([row for row in rows if row["errno"] != 0]) == 100
    daemon.stop()


def test_full_slots_are_told(daemon):
    """A frontend that knows nothing of parked calls fills its ring: the trail and pvcallsctl say of what."""
    with contextlib.closing(Frontend(daemon.runtime_dir, "old")) as front:
        front.attach()
        listener = front.new_socket()
        assert front.call(BIND, listener, sockaddr("127.0.0.1", 0)) == 0
        assert front.call(LISTEN, listener, struct.pack("<I", 4)) == 0
        for _ in range(SLOTS):
            front.place(POLL, listener)
        front.show()
        events = wait_for(lambda: daemon.events("slots_full", "old"), "an event")
        assert [event["text"] for event in events] == [f"all slots of the command ring wait: {SLOTS} poll"]
        counters = daemon.guest("old")["counters"]
        assert (counters["slots"], counters["parked"], counters["waiting"]) == (SLOTS, 0, f"{SLOTS} poll")
        assert f"{SLOTS} poll" in daemon.ctl("guests").stdout
    daemon.stop()


@contextlib.contextmanager
def dark_port():
    """A port of this host on which nobody is let in: who connects to it waits."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            fill = open_sockets.enter_context(socket.socket())
            fill.setblocking(False)
            fill.connect_ex(("127.0.0.1", port))
        yield port


def test_the_oldest_connect_gives_way(daemon):
    """A frontend that knows nothing of parked calls has 32 connects in the dark: there is room again before they end."""
    with contextlib.closing(Frontend(daemon.runtime_dir, "old")) as front, dark_port() as dark, \
            socket.create_server(("127.0.0.1", 0)) as bright:
        front.attach()
        waiting = []
        for _ in range(SLOTS):
            socket_id = front.new_socket()
            ring, port = front.make_ring(), front.new_port()
            waiting.append(front.place(CONNECT, socket_id, connect_payload("127.0.0.1", dark, ring, port)))
            front.show()
        events = wait_for(lambda: daemon.events("slots_full", "old"), "an event")
        assert [event["text"] for event in events] == [f"all slots of the command ring wait: {SLOTS} connect"]
        assert front.wait_answer(waiting.pop(0)) == -errno.ETIMEDOUT
        # What comes now waits for the next oldest one at most, which has had its time as well.
        stream = front.connect(*bright.getsockname())
        assert stream.release() == 0
        front.take()
        assert len([one for one in waiting if one not in front.answers]) >= SLOTS - 4
        assert len(daemon.events("slots_full", "old")) == 1
    daemon.stop()


def take_until(front, condition, what):
    """Takes answers until it is so."""
    wait_for(lambda: (front.take(), condition())[1], what, pause=0.0002)


def waiting_of(daemon, name):
    """A guest's calls that have a slot, and those that were parked."""
    counters = daemon.guest(name)["counters"]
    return counters["slots"], counters["parked"]


def park(front, count, listener):
    """Has so many POLLs of a listener wait, most of them parked."""
    for _ in range(count):
        take_until(front, lambda: front.req_prod - front.rsp_cons < SLOTS, "there is room in the ring")
        front.place(POLL, listener)
        front.show()
    take_until(front, lambda: len(front.parked) > count - SLOTS, "they are parked")


def test_a_thousand_parked_calls_end_with_their_guest(daemon):
    """Each that was collected is answered once; the others end when the guest goes without a word."""
    with contextlib.closing(Frontend(daemon.runtime_dir, "greedy")) as front:
        front.attach(feature_park=1)
        listener, port = front.new_socket(), free_port()
        assert front.call(BIND, listener, sockaddr("127.0.0.1", port)) == 0
        assert front.call(LISTEN, listener, struct.pack("<I", 4)) == 0
        park(front, 1000, listener)
        counts = wait_for(lambda: sum(found := waiting_of(daemon, "greedy")) == 1000 and found, "all were asked for")
        front.take()
        assert counts == (1000 - len(front.parked), len(front.parked))
        assert front.call(BIND, listener, sockaddr("127.0.0.1", 0)) == -errno.EINVAL, "what ends at once is answered at once"
        with socket.create_connection(("127.0.0.1", port)):
            take_until(front, lambda: front.rsp_cons == front.req_prod, "those with a slot are answered")
            answered = len(front.answers)
            for _ in range(10):
                front.place(COLLECT, 0)
            front.show()
            take_until(front, lambda: len(front.answers) == answered + 10, "ten are collected")
        assert {result for _, result in front.answers.values()} == {0}
        assert waiting_of(daemon, "greedy") == (0, len(front.parked)) == (0, 990 - answered)
    daemon.settle()
    assert len(daemon.calls("greedy", "poll")) == 1000
    assert not daemon.events("engine_crashed")
    daemon.stop()
