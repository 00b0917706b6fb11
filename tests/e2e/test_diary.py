# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that makes calls by chance and keeps a diary: the trail has the same to say, row by row.

Each step of the guest is one thing that it, a peer or the operator does, and is over before the next
begins. So the order in which answers come is the order of the rows, and what a row tells of happened
between the beginning of its step and the moment at which the guest saw the answer. The engine reads
the clock once in a turn, which is what SLACK_NS is for; a loaded machine only makes steps longer.
"""
import contextlib
import errno
import os
import random
import socket
import struct
import time

import pytest

from frontend import (ACCEPT, BIND, CONNECT, LISTEN, PAGE, POLL, REFS, RELEASE, RING_ORDER, RSP_PROD, SLOT_BASE, SLOT_BYTES,
                      SLOTS, SOCKET, Frontend, Stream, connect_payload, sockaddr)
from harness import filter_rules, free_port, linger_reset, make_policy

pytestmark = [pytest.mark.root, pytest.mark.slow]

CALLS = 10000
SLACK_NS = 10_000_000
HOST, STRANGER = "127.0.0.1", "127.0.0.9"  # who comes from there is not let in
NAMES = {SOCKET: "socket", CONNECT: "connect", RELEASE: "release", BIND: "bind", LISTEN: "listen", ACCEPT: "accept", POLL: "poll"}
MOST = {"sockets": 40, "listeners": 4, "dark": 3, "accepts": 6, "polls": 3, "rings": 48}


class Entry:
    """What is to be in a row: some of its columns, and the bounds of its time."""

    def __init__(self, operation, **columns):
        self.columns = {"operation": operation, "verdict": "allow", "outcome": "ok", "errno": 0, **columns}
        self.asked = self.begun = self.seen = 0

    def change(self, **columns):
        self.columns.update(columns)
        return self

    def differs(self, row):
        """What a row has otherwise; empty if it is this one's."""
        wrong = [f"{key} is {row[key]!r}, not {value!r}" for key, value in self.columns.items() if row[key] != value]
        if not self.begun - SLACK_NS <= row["time_ns"] <= self.seen + SLACK_NS:
            wrong.append(f"time {row['time_ns']} is not in {self.begun} to {self.seen}")
        if not row["decision_ns"] <= row["total_ns"] <= self.seen - self.asked + SLACK_NS:
            wrong.append(f"it took {row['decision_ns']} of {row['total_ns']} ns; it was asked for at {self.asked}")
        return wrong


def error(number, **columns):
    """Columns of a call that failed."""
    return {"outcome": "error", "errno": number, **columns}


def refused_by(decider, number, rule=None):
    return error(number, verdict="deny", decider=decider, rule=rule)


PROTOCOL = "protocol"
CANCELLED = {"outcome": "cancelled", "errno": errno.ECANCELED}


class Diarist(Frontend):
    """A frontend that notes every answer as it comes."""

    def __init__(self, *arguments):
        super().__init__(*arguments, pages=1024)
        self.diary = []
        self.open = {}
        self.calls = 0
        self.begun = 0

    def ask(self, entry, cmd, socket_id, payload=b""):
        """Puts a request on the ring whose row is to be this one. Returns its number."""
        entry.asked = self.begun
        number = self.place(cmd, socket_id, payload)
        self.open[number] = entry
        self.calls += 1
        return number

    def note(self, entry):
        """What has no answer has happened."""
        entry.asked = entry.asked or self.begun
        entry.begun, entry.seen = self.begun, time.time_ns()
        self.diary.append(entry)

    def take(self):
        produced, count = self.get(RSP_PROD), 0
        while self.rsp_cons != produced:
            number, _, result = struct.unpack_from("<IIi", self.memory, SLOT_BASE + self.rsp_cons % SLOTS * SLOT_BYTES)
            self.rsp_cons = self.rsp_cons + 1 & 0xFFFFFFFF
            self.answers[number] = (0, result)
            entry = self.open.pop(number)
            count += 1
            if entry is None:
                continue
            assert result == -entry.columns["errno"], f"{entry.columns}: answered with {result}"
            self.note(entry)
        return count

    def step(self):
        """Begins a step."""
        self.begun = time.time_ns()

    def answered(self, *numbers):
        """Shows what was asked and waits for these answers."""
        self.show()
        for number in numbers:
            self.wait_answer(number)


class Ring:
    """Pages and an event channel, used again for each connection that has them."""

    def __init__(self, front):
        self.front, self.index, self.channel = front, front.make_ring(), front.new_port()
        base = self.index * PAGE
        self.first = front.memory[base : base + PAGE]

    def ready(self):
        """As it was at first."""
        base = self.index * PAGE
        self.front.memory[base : base + PAGE] = self.first
        assert self.front.get(base + RING_ORDER) == 1 and self.front.get(base + REFS)
        return self


class Socket:
    """What the guest knows of a socket of its own."""

    def __init__(self, name):
        self.name, self.state = name, "new"
        self.peer = self.peer_port = self.ring = self.stream = self.port = self.connecting = None
        self.bytes_in = self.bytes_out = 0
        self.accepts, self.poll = [], None

    def release(self, reason):
        """The row of its end."""
        joined = self.state == "stream"
        return Entry("release", close_reason=reason, bytes_in=self.bytes_in, bytes_out=self.bytes_out,
                     peer_address=HOST if joined else None, peer_port=self.peer_port if joined else None)


class Guest:
    """All that is drawn by chance."""

    def __init__(self, daemon, seed):
        self.daemon, self.chance = daemon, random.Random(seed)
        self.front = Diarist(daemon.runtime_dir, "diarist")
        self.front.attach(feature_cancel=1)
        self.rings = [Ring(self.front) for _ in range(MOST["rings"])]
        self.sockets, self.killed = [], []
        self.ports = [free_port() for _ in range(MOST["listeners"])]
        self.server = self.listening(64)
        self.closed, self.banned, self.moved = free_port(), BANNED, MOVED
        # A listener that takes no more: who connects waits.
        self.busy = self.listening(0)
        self.backlog = [self.connecting_to(self.busy) for _ in range(4)]

    @staticmethod
    def listening(backlog):
        listener = socket.socket()
        listener.bind((HOST, PORT if backlog else 0))
        listener.listen(backlog)
        return listener

    @staticmethod
    def connecting_to(listener):
        peer = socket.socket()
        peer.setblocking(False)
        peer.connect_ex(listener.getsockname())
        return peer

    def close(self):
        for one in [self.server, self.busy, *self.backlog, *(s.peer for s in self.sockets if s.peer)]:
            one.close()
        self.front.close()

    # what there is

    def of(self, *states):
        return [s for s in self.sockets if s.state in states]

    def any(self, *states):
        """One of the sockets in these states, or None."""
        found = self.of(*states)
        return self.chance.choice(found) if found else None

    def waiting(self, what):
        return sum(len(s.accepts) if what == "accepts" else s.poll is not None for s in self.of("listening"))

    # steps: each returns whether there was anything to do

    def make(self):
        if len(self.sockets) >= MOST["sockets"]:
            return False
        kind = self.chance.random()
        made = Socket(self.front.new_id())
        if kind < 0.1:
            number = self.front.ask(Entry("socket", **refused_by(PROTOCOL, 97)), SOCKET, made.name, struct.pack("<III", 10, 1, 0))
        elif kind < 0.2 and self.sockets:
            number = self.front.ask(Entry("socket", **refused_by(PROTOCOL, errno.EEXIST)), SOCKET,
                                    self.chance.choice(self.sockets).name, struct.pack("<III", 2, 1, 0))
        else:
            number = self.front.ask(Entry("socket"), SOCKET, made.name, struct.pack("<III", 2, 1, 0))
            self.sockets.append(made)
        self.front.answered(number)
        return True

    def connect(self):
        """To somebody, to nobody, to where it may not, to whom nobody answers."""
        one = self.any("new")
        if not one or not self.rings:
            return False
        port, columns = self.chance.choice([
            (PORT, {}), (PORT, {}), (PORT, {}),
            (self.moved, {"rewritten": True, "effective_port": PORT}),
            (self.closed, error(errno.ECONNREFUSED)),
            (self.banned, refused_by("filter", errno.EPERM, "no-port")),
            (self.busy.getsockname()[1], None)])
        if columns is None:
            return self.connect_dark(one, port)
        ring = self.rings.pop().ready()
        entry = Entry("connect", requested_address=HOST, requested_port=port, **columns)
        if entry.columns["outcome"] == "ok":
            entry.change(peer_address=HOST, peer_port=PORT)
        self.front.answered(self.front.ask(entry, CONNECT, one.name, connect_payload(HOST, port, ring.index, ring.channel)))
        if entry.columns["outcome"] == "ok":
            self.joined(one, ring, self.server.accept()[0], PORT)
        else:
            self.rings.append(ring)
        return True

    def connect_dark(self, one, port):
        """In flight until its socket goes."""
        if len(self.of("connecting")) >= MOST["dark"]:
            return False
        ring = self.rings.pop().ready()
        one.connecting = Entry("connect", requested_address=HOST, requested_port=port, effective_port=port, decider="default")
        self.front.ask(one.connecting, CONNECT, one.name, connect_payload(HOST, port, ring.index, ring.channel))
        one.state, one.ring = "connecting", ring
        self.synced()
        return True

    def synced(self):
        """Makes a call, so that all before it has been taken."""
        self.front.answered(self.front.ask(Entry("release", socket=None, close_reason=None), RELEASE, 1))

    def joined(self, one, ring, peer, peer_port):
        peer.settimeout(20)
        one.state, one.ring, one.peer, one.peer_port = "stream", ring, peer, peer_port
        one.stream = Stream(self.front, one.name, ring.index, ring.channel, 1)

    def bind(self):
        """A listener; sometimes one more that is not let."""
        one, free = self.any("new"), [p for p in self.ports if p not in {s.port for s in self.sockets}]
        if not one or not free:
            return False
        port = self.chance.choice(free)
        entry = Entry("bind", requested_address=HOST, requested_port=port, local_address=HOST, local_port=port)
        self.front.answered(self.front.ask(entry, BIND, one.name, sockaddr(HOST, port)))
        entry = Entry("listen", local_address=HOST, local_port=port)
        self.front.answered(self.front.ask(entry, LISTEN, one.name, struct.pack("<I", 8)))
        one.state, one.port = "listening", port
        return True

    def accept(self):
        """An ACCEPT in flight, before anybody is there."""
        one = self.any("listening")
        if not one or not self.rings or self.waiting("accepts") >= MOST["accepts"]:
            return False
        ring, name = self.rings.pop().ready(), self.front.new_id()
        entry = Entry("accept", local_address=HOST, local_port=one.port, decider="default")
        self.front.ask(entry, ACCEPT, one.name, struct.pack("<QII", name, ring.index, ring.channel))
        one.accepts.append((entry, name, ring))
        self.synced()
        return True

    def poll(self):
        one = self.any("listening")
        if not one or one.poll or self.waiting("polls") >= MOST["polls"]:
            return False
        one.poll = Entry("poll")
        self.front.ask(one.poll, POLL, one.name)
        self.synced()
        return True

    def come(self):
        """Somebody comes to a listener at which the guest waits: it is let in, or it is a stranger."""
        one = self.any("listening")
        if not one or not one.accepts:
            return False
        stranger = self.chance.random() < 0.3
        peer = socket.socket()
        peer.settimeout(20)
        peer.bind((STRANGER if stranger else HOST, 0))
        address, port = peer.getsockname()
        with contextlib.suppress(ConnectionResetError) if stranger else contextlib.nullcontext():
            peer.connect((HOST, one.port))
        entry, name, ring = one.accepts[0]
        seen = {"peer_address": address, "peer_port": port, "requested_address": address, "requested_port": port}
        polled, one.poll = one.poll, None
        if stranger:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                assert peer.recv(1) == b""
            peer.close()
            self.until(lambda: polled not in self.front.open.values())
            refused = Entry("accept", local_address=HOST, local_port=one.port, **refused_by("filter", errno.EACCES, "no-nine"), **seen)
            refused.asked = self.front.begun
            self.front.note(refused)
            # The request waits on, as the youngest.
            entry.asked = self.front.begun
            one.accepts.append(one.accepts.pop(0))
            return True
        entry.change(**seen).asked = self.front.begun
        one.accepts.pop(0)
        self.until(lambda: entry not in self.front.open.values() and polled not in self.front.open.values())
        made = Socket(name)
        self.sockets.append(made)
        self.joined(made, ring, peer, port)
        return True

    def until(self, condition):
        """Takes answers until this is so."""
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "an answer did not come"
            if not self.front.take():
                time.sleep(0.0002)

    def talk(self):
        """Some bytes each way, all of which arrive."""
        one = self.any("stream")
        if not one:
            return False
        size = self.chance.randrange(5000)
        one.stream.write(bytes(size))
        left = size
        while left:
            left -= len(one.peer.recv(left))
        one.bytes_out += size
        size = self.chance.randrange(2000)
        one.peer.sendall(bytes(size))
        assert len(one.stream.read(size)) == size
        one.bytes_in += size
        return True

    def refused(self):
        """What the protocol does not let a socket do."""
        one = self.any("listening", "stream", "connecting")
        if not one or not self.rings:
            return False
        ring = self.rings[-1].ready()
        payload = connect_payload(HOST, PORT, ring.index, ring.channel)
        number = {"listening": errno.EINVAL, "stream": errno.EISCONN, "connecting": errno.EALREADY}[one.state]
        entry = Entry("connect", requested_port=PORT, **refused_by(PROTOCOL, number))
        self.front.answered(self.front.ask(entry, CONNECT, one.name, payload))
        return True

    def unknown(self):
        self.front.answered(self.front.ask(Entry("unknown", **refused_by(PROTOCOL, 524)), 99, 1))
        return True

    def end(self, one, reason, ended):
        """What ends with a socket: the calls in flight on it, oldest first, then it. ended: its own row."""
        if one.connecting:
            one.connecting.change(outcome="cancelled", errno=errno.ECONNABORTED)
        for entry, _, ring in one.accepts:
            entry.change(verdict="none", decider=PROTOCOL, peer_address=None, requested_address=None, reason=reason, **CANCELLED)
            self.rings.append(ring)
        if one.poll:
            one.poll.change(outcome="cancelled")
        if one.ring:
            self.rings.append(one.ring)
        if one.peer:
            one.peer.close()
            one.peer = None
        self.sockets.remove(one)
        return ended

    def release(self):
        one = self.any("new", "stream", "listening", "connecting")
        if not one:
            return False
        in_flight = self.in_flight(one)
        entry = self.end(one, "its socket was released", one.release("released"))
        number = self.front.ask(entry, RELEASE, one.name)
        self.front.answered(number)
        assert not in_flight & set(self.front.open), "what ends with the socket is answered before it"
        return True

    def in_flight(self, one):
        entries = [one.connecting, one.poll, *(entry for entry, _, _ in one.accepts)]
        return {number for number, entry in self.front.open.items() if entry in entries}

    def kill(self):
        """The operator ends a socket; the guest releases its name later."""
        one = self.any("stream", "listening", "connecting", "new")
        if not one:
            return False
        number = self.number_of(one)
        if number is None:
            return False
        # Finding it took a while.
        self.front.step()
        in_flight = self.in_flight(one)
        entry = self.end(one, "its socket was killed", one.release("operator").change(socket=number))
        assert self.daemon.ask("kill", guest="diarist", socket=number)["ok"]
        self.until(lambda: not in_flight & set(self.front.open))
        self.front.note(entry)
        self.killed.append(one.name)
        return True

    def number_of(self, one):
        """The host's number of a socket that can be told from the others."""
        shown = self.daemon.ask("sockets", guest="diarist")["result"]
        if one.state == "stream":
            mine, theirs = "{}:{}".format(*one.peer.getpeername()), "{}:{}".format(*one.peer.getsockname())
            found = [s for s in shown if s["state"] == "stream" and (s["local"], s["peer"]) == (mine, theirs)]
        elif one.state == "listening":
            found = [s for s in shown if s["state"] == "listening" and s["local"] == f"{HOST}:{one.port}"]
        else:
            found = [s for s in shown if s["state"] == one.state]
        return found[0]["socket"] if len(found) == 1 else None

    def release_killed(self):
        """Nothing is left of it: the call is answered, and has no row."""
        if not self.killed:
            return False
        number = self.front.place(RELEASE, self.killed.pop())
        self.front.open[number] = None
        self.front.calls += 1
        self.front.answered(number)
        return True

    def go(self):
        """Makes steps until there were enough calls."""
        steps = {self.make: 8, self.connect: 8, self.bind: 3, self.accept: 6, self.poll: 2, self.come: 8, self.talk: 4,
                 self.refused: 2, self.unknown: 1, self.release: 7, self.kill: 0.4, self.release_killed: 0.4}
        while self.front.calls < CALLS:
            step, = self.chance.choices(list(steps), list(steps.values()))
            self.front.step()
            step()

    def leave(self):
        """Goes with all that there is. Returns the rows of that, whose order is the host's."""
        self.front.step()
        left = list(self.front.open.values())
        left += [self.end(one, "its guest has gone", one.release("guest_gone")) for one in list(self.sockets)]
        self.close()
        return left


PORT, BANNED, MOVED = (free_port() for _ in range(3))


@pytest.mark.limit(300)
def test_the_trail_is_what_happened(make_daemon):
    """10,000 calls of all kinds: who, what, when, with what outcome, in the order in which it was."""
    seed = int(os.environ.get("PVCALLS_TEST_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}")
    daemon = make_daemon({"test.yaml": make_policy(chain=filter_rules(
        {"id": "no-port", "on": "connect", "to": {"ports": [BANNED]}, "verdict": "deny", "errno": "EPERM"},
        {"id": "no-nine", "on": "accept", "from": {"net": [STRANGER]}, "verdict": "deny"}) + [
        {"plugin": "rewrite", "rewrites": [{"id": "moved", "on": "connect", "to": {"ports": [MOVED]}, "set": {"port": PORT}}]}])})
    guest = Guest(daemon, seed)
    guest.go()
    diary, calls = guest.front.diary, guest.front.calls
    left = guest.leave()
    daemon.settle()
    for entry in left:
        entry.begun, entry.seen = guest.front.begun, time.time_ns()
    rows = daemon.calls("diarist")
    print(f"{calls} calls, {len(rows)} rows, {len(diary)} of them before the end")
    for number, (entry, row) in enumerate(zip(diary, rows)):
        wrong = entry.differs(row)
        assert not wrong, f"seed {seed}, row {number + 1}: {'; '.join(wrong)}\n{row}\n{entry.columns}"
    assert len(rows) == len(diary) + len(left), f"seed {seed}: {len(rows)} rows, {len(diary)} and {len(left)} in the diary"
    for row in rows[len(diary) :]:
        fits = next((entry for entry in left if not entry.differs(row)), None)
        assert fits, f"seed {seed}: a row that nobody knows of: {row}; {[entry.columns for entry in left]}"
        left.remove(fits)
    times = [row["time_ns"] for row in rows]
    assert times == sorted(times)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    daemon.stop()
