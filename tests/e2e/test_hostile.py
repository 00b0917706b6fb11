# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile guest hurts itself only.

Whatever it writes into its pages, says to the daemon or leaves undone: it is answered with an error
or cut off, its host sockets close within a second, the trail says why; a neighbour's transfer meets
no error, the daemon lives, and its memory and descriptors are what they were.
"""
import contextlib
import os
import random
import signal
import socket
import struct
import threading
import time

import pytest

import frontend
from frontend import ACCEPT, BIND, CONNECT, LISTEN, PAGE, POLL, RELEASE, SOCKET, Frontend
from harness import descriptors, free_port, has_sanitizer, make_policy, peers, rss_kib, running, wait_for

pytestmark = pytest.mark.root

EINVAL, EEXIST, ENOTSUP = -22, -17, -524

POLICIES = {
    # Random requests must not reach any other machine.
    "10-hostile.yaml": make_policy("hostile", "evil*", default="deny", chain=[
        {"plugin": "filter", "rules": [
            {"id": "loopback", "on": "connect", "to": {"net": ["127.0.0.0/8"]}, "verdict": "allow"},
            {"id": "rest", "on": ["socket", "release", "poll"], "verdict": "allow"},
        ]}]),
    "20-open.yaml": make_policy("open"),
}


@pytest.fixture
def host(make_daemon):
    return make_daemon(POLICIES)


@contextlib.contextmanager
def neighbour(daemon):
    """Another guest whose transfer, from before until after the block, must meet no error."""
    port = free_port()
    stop = os.path.join(daemon.dir, f"stop-{port}")
    with running(peers("echo", port), port=port):
        guest = daemon.popen("neighbour", peers("chat", "127.0.0.1", port, stop))
        wait_for(lambda: daemon.guest("neighbour") and daemon.ctl_json("sockets", "neighbour"), "the neighbour is connected")
        yield guest
        open(stop, "w").close()
        out, err = guest.communicate(timeout=30)
        assert guest.returncode == 0, f"the neighbour suffered: {err!r}"
        rounds, moved = map(int, out.split())
        assert rounds > 0
        wait_for(lambda: daemon.guest("neighbour") is None, "the neighbour is gone")
        daemon.settle()
        release = daemon.calls("neighbour", "release")[-1]
        assert (release["bytes_in"], release["bytes_out"]) == (moved, moved)


class Baseline:
    """Descriptors and memory of the supervisor, compared with later ones."""

    def __init__(self, daemon):
        self.daemon = daemon
        daemon.settle()
        pid = daemon.process.pid
        # settle() asked over the control socket, and that connection may still be open.
        self.fds = min((descriptors(pid) for _ in range(20) if not time.sleep(0.01)), key=len)
        self.rss = rss_kib(daemon.process.pid)

    def check(self, kib=None):
        # The sanitizer keeps freed memory in quarantine.
        kib = kib or (65536 if has_sanitizer() else 1024)
        self.daemon.settle()
        pid = self.daemon.process.pid
        wait_for(lambda: len(descriptors(pid)) <= len(self.fds),
                 f"descriptors of the supervisor are {self.fds} again, and not {descriptors(pid)}", 5)
        grown = rss_kib(self.daemon.process.pid) - self.rss
        assert grown <= kib, f"the supervisor has grown by {grown} KiB, at most {kib} are fine"
        assert not self.daemon.processes("pvcalls-engine"), "an engine is left"


def events_of(daemon, guest, kind="guest_cut_off"):
    return wait_for(lambda: [e["text"] for e in daemon.events(kind, guest)], f"an event {kind} of {guest}")


class Peer:
    """A host's socket that guests connect to: watches when its connections end."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(10)
        self.port = self.server.getsockname()[1]

    def accept(self):
        connection = self.server.accept()[0]
        connection.settimeout(10)
        return connection

    @staticmethod
    def ended_after(connection, since):
        """Seconds from `since` to the end of the connection; what it still carries is read."""
        with connection, contextlib.suppress(ConnectionError):
            while connection.recv(1 << 20):
                pass
        return time.monotonic() - since

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


@pytest.mark.limit(240)
def test_garbage_on_the_command_ring(host):
    """R1: 100,000 malformed requests are each answered; nobody else notices."""
    count = 100_000
    seed = random.randrange(1 << 32)
    base = Baseline(host)
    answered = 0
    with neighbour(host):
        evil = Frontend(host.runtime_dir, "evil").attach()
        for number, request in enumerate(frontend.garbage(seed, count)):
            # Only the commands that wait for somebody else are left out: POLL and ACCEPT of
            # listeners, of which there is none here.
            evil.place_raw(request)
            if (number + 1) % 32 == 0 or number + 1 == count:
                evil.show()
                expected = 32 if (number + 1) % 32 == 0 else count % 32
                got = 0
                deadline = time.monotonic() + 20
                while got < expected:
                    got += evil.take()
                    assert time.monotonic() < deadline, f"seed {seed}: {got} of {expected} answers, near request {number}"
                answered += got
        print(f"seed {seed}: sent {count}, answered {answered}")
        assert answered == count
        grown = host.guest("evil")["counters"]
        assert grown["malformed"] > count // 4, "most of it was garbage"
        evil.detach()
        evil.close()
    rows = host.calls("evil")
    assert len(rows) >= count, "each request has a row"
    serials = sorted(row["serial"] for row in rows)
    assert serials == list(range(1, len(rows) + 1)), "no call is missing, none is there twice"
    base.check()


WRONG_PRODUCERS = [33, 64, 1 << 15, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


@pytest.mark.parametrize("after", [0, 5], ids=["fresh", "used"])
def test_command_ring_producer_index(host, after):
    """Every impossible producer index cuts the guest off, with the reason in the trail."""
    base = Baseline(host)
    with neighbour(host):
        for number, ahead in enumerate(WRONG_PRODUCERS):
            name = f"evil-{after}-{number}"
            evil = Frontend(host.runtime_dir, name).attach()
            for _ in range(after):
                evil.call(RELEASE, 1)
            evil.put(frontend.REQ_PROD, evil.req_prod + ahead)
            evil.notify()
            why = evil.wait_end()
            assert "producer index is impossible" in why
            assert events_of(host, name) == ["the command ring's producer index is impossible"]
            evil.close()
    base.check()


def test_other_indexes_of_the_command_ring_are_never_read_back(host):
    """What the guest may scribble over is ours only in our own copy."""
    evil = Frontend(host.runtime_dir, "evil").attach()
    for value in [0, 1, 33, 0x80000000, 0xFFFFFFFF]:
        for field in (frontend.REQ_EVENT, frontend.RSP_EVENT):
            evil.put(field, value)
        assert evil.call(RELEASE, 1) == 0
    # rsp_prod: ours goes on from where we know we were.
    evil.put(frontend.RSP_PROD, 0x12345678)
    evil.place(RELEASE, 7)
    evil.show()
    wait_for(lambda: evil.get(frontend.RSP_PROD) == evil.req_prod, "the producer index of responses is what it should be")
    evil.detach()
    evil.close()


# How many bytes the index claims to be in the ring.
DATA_INDEXES = [(field, claim)
                for field in (frontend.IN_CONS, frontend.OUT_PROD)
                for claim in ("size+1", 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)]


@pytest.mark.limit(180)
def test_data_ring_indexes(host):
    """An impossible index of a data ring cuts off; the host's sockets close within a second."""
    base = Baseline(host)
    worst = 0.0
    with neighbour(host), Peer() as peer:
        for number, (field, claim) in enumerate(DATA_INDEXES):
            name = f"evil-{number}"
            evil = Frontend(host.runtime_dir, name).attach()
            streams = [evil.connect("127.0.0.1", peer.port, order) for order in (1, 4)]
            others = [peer.accept() for _ in streams]
            streams[0].write(b"x" * 100)
            assert others[0].recv(100)
            others[0].sendall(b"y" * 100)
            wait_for(lambda: evil.get(streams[0].base + frontend.IN_PROD) == 100, "the bytes have come")
            claim = streams[0].size + 1 if claim == "size+1" else claim
            # Both of the engine's own indexes are at 100.
            evil.put(streams[0].base + field, 100 - claim if field == frontend.IN_CONS else 100 + claim)
            since = time.monotonic()
            evil.notify(streams[0].channel)
            if field == frontend.IN_CONS:
                # in_cons is looked at when there is something to put into the ring
                with contextlib.suppress(OSError):
                    others[0].sendall(b"z")
            took = max(Peer.ended_after(other, since) for other in others)
            worst = max(worst, took)
            assert took <= 1, f"{name}: the host's sockets closed after {took:.3f} s, 1 s is allowed"
            assert "data ring is impossible" in evil.wait_end()
            assert events_of(host, name)
            evil.close()
            rows = wait_for(lambda: [r for r in host.calls(name, "release") if r["close_reason"] == "cut_off"] or None,
                            "the releases are recorded")
            assert len(rows) == 2
    print(f"worst time until the host's sockets were closed: {worst:.3f} s")
    base.check()


def test_bytes_after_the_end(host):
    """What a guest writes after its own end, and a denial of the end, are ignored: its peer has seen the end."""
    with neighbour(host), Peer() as peer:
        evil = Frontend(host.runtime_dir, "evil").attach(feature_shutdown=1)
        stream = evil.connect("127.0.0.1", peer.port)
        with peer.accept() as other:
            stream.write(b"all")
            stream.end(0x80000000)
            assert other.recv(9) == b"all"
            assert other.recv(1) == b""
            for number in range(20):
                evil.put(stream.base + frontend.OUT_PROD, 3 + number * 977)
                stream.end(number % 2)
                other.sendall(b"go on")
                assert stream.read(5) == b"go on"
            assert evil.get(stream.base + frontend.OUT_CONS) == 3
            assert evil.get(stream.base + frontend.OUT_ERROR) == 0
        assert stream.release() == 0
        # The pages' next connection begins open, whatever the last one was.
        stream = evil.connect("127.0.0.1", peer.port)
        with peer.accept() as other:
            stream.write(b"again")
            assert other.recv(5) == b"again"
            stream.end()
            assert other.recv(1) == b""
            assert stream.release() == 0
        evil.detach()
        evil.close()
        moved = wait_for(lambda: len(rows := host.calls("evil", "release")) == 2 and [row["bytes_out"] for row in rows], "both are recorded")
        assert sorted(moved) == [3, 5]


def test_end_that_was_not_agreed_on(host):
    """Without feature-shutdown the word in the padding means nothing."""
    with Peer() as peer:
        guest = Frontend(host.runtime_dir, "plain").attach()
        stream = guest.connect("127.0.0.1", peer.port)
        with peer.accept() as other:
            stream.end()
            stream.write(b"more")
            assert other.recv(5) == b"more"
            assert stream.release() == 0
            assert other.recv(1) == b""
        guest.close()


def test_what_the_guest_scribbles_over_a_data_ring_is_never_read_back(host):
    """in_prod, out_cons and the errors are ours: overwritten, the stream goes on right."""
    with Peer() as peer:
        evil = Frontend(host.runtime_dir, "evil").attach()
        stream = evil.connect("127.0.0.1", peer.port)
        other = peer.accept()
        stream.write(b"a" * 1000)
        assert other.recv(2000) == b"a" * 1000
        evil.put(stream.base + frontend.OUT_CONS, 0xDEADBEEF)
        evil.put(stream.base + frontend.IN_PROD, 0xDEADBEEF)
        evil.put(stream.base + frontend.RING_ORDER, 77)
        evil.put(stream.base + frontend.REFS, 0xFFFFFFFF)
        other.sendall(b"b" * 500)
        wait_for(lambda: evil.get(stream.base + frontend.IN_PROD) == 500, "in_prod is written again")
        start = stream.data
        assert evil.memory[start : start + 500] == b"b" * 500
        evil.detach()
        evil.close()
        other.close()


def test_impossible_references_orders_and_ports(host):
    """What can't be mapped or bound is answered with an error; the guest goes on."""
    with Peer() as peer:
        evil = Frontend(host.runtime_dir, "evil").attach()

        def attempt(index, channel, address="127.0.0.1"):
            return evil.call(CONNECT, evil.new_socket(),
                             frontend.connect_payload(address, peer.port, index, channel))

        for ref in (2048, 4095, 99999, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            assert attempt(ref, evil.new_port()) == EINVAL, f"indexes page {ref:#x}"
        for order in (0, 10, 11, 31, 32, 0x80000001, 0xFFFFFFFF):
            index = evil.make_ring()
            evil.put(index * PAGE + frontend.RING_ORDER, order)
            assert attempt(index, evil.new_port()) == EINVAL, f"ring order {order}"
        for refs in ([5, 5], [0xFFFFFFFF, 6], [2048, 2049], [7, 0x80000000]):
            assert attempt(evil.make_ring(1, refs), evil.new_port()) == EINVAL, f"references {refs}"
        index = evil.make_ring()
        evil.put(index * PAGE + frontend.REFS, index)
        assert attempt(index, evil.new_port()) == EINVAL, "the indexes page as data"
        for channel in (0, 32768, 40000, 0xFFFFFFFF):
            assert attempt(evil.make_ring(), channel) == EINVAL, f"port {channel}"
        assert attempt(evil.make_ring(), 1) == EEXIST, "the command ring's own port"
        # Each of these was asked of the policy, failed, and left nothing behind.
        assert host.ctl_json("sockets", "evil")
        stream = evil.connect("127.0.0.1", peer.port)
        peer_end = peer.accept()
        stream.write(b"still there")
        assert peer_end.recv(100) == b"still there"
        assert attempt(evil.make_ring(), stream.channel) == EEXIST, "a port in use"
        peer_end.close()
        evil.detach()
        evil.close()
        rows = wait_for(lambda: host.calls("evil", "connect"), "the calls are recorded")
        assert {row["errno_name"] for row in rows if row["errno"]} == {"EINVAL", "EEXIST"}


def test_data_pages_that_overlap_other_pages(host):
    """A ring whose pages are the command page or another ring harms its guest's data only."""
    base = Baseline(host)
    with neighbour(host), Peer() as peer:
        evil = Frontend(host.runtime_dir, "evil").attach()
        index = evil.make_ring(1, [0, evil.next_page + 1])  # data over the command page itself
        evil.place(SOCKET, 50, struct.pack("<III", 2, 1, 0))
        evil.show()
        evil.wait_answer(evil.req_prod - 1)
        evil.place(CONNECT, 50, frontend.connect_payload("127.0.0.1", peer.port, index, evil.new_port()))
        evil.show()
        other = peer.accept()
        for _ in range(50):
            with contextlib.suppress(OSError):
                other.sendall(os.urandom(2048))
            evil.put(index * PAGE + frontend.IN_CONS, evil.get(index * PAGE + frontend.IN_PROD))
            evil.notify(evil.next_port)
        # Whether it was cut off depends on the bytes; that it harms nobody does not.
        since = time.monotonic()
        evil.close()
        took = Peer.ended_after(other, since)
        assert took <= 1, f"closed after {took:.3f} s"
        wait_for(lambda: host.guest("evil") is None, "the guest is gone")
    base.check()


BAD_NODES = [
    ({"ring_ref": 99999, "port": 1, "version": 1}, "ring-ref"),
    ({"ring_ref": 0xFFFFFFFF, "port": 1, "version": 1}, "ring-ref"),
    ({"ring_ref": 0, "port": 0, "version": 1}, "port"),
    ({"ring_ref": 0, "port": 32768, "version": 1}, "port"),
    ({"ring_ref": -1, "port": 1, "version": 1}, "ring-ref"),
    ({"ring_ref": "0x0", "port": 1, "version": 1}, "ring-ref"),
    ({"port": 1, "version": 1}, "ring-ref"),
    ({"ring_ref": 0, "version": 1}, "port"),
    ({"ring_ref": 0, "port": "18446744073709551617", "version": 1}, "port"),
    ({"ring_ref": 0, "port": 1, "version": 2}, "version"),
    ({"ring_ref": 0, "port": 1, "version": 1, "feature_names": "yes"}, "feature-names"),
    ({"ring_ref": 0, "port": 1, "version": 1, "feature_shutdown": "yes"}, "feature-shutdown"),
]


def test_nodes(host):
    """A device whose nodes are missing or wrong is cut off and the record names the node."""
    base = Baseline(host)
    for number, (nodes, named) in enumerate(BAD_NODES):
        name = f"evil-{number}"
        evil = Frontend(host.runtime_dir, name)
        evil.nodes(state=1)
        evil.wait_state(2)
        evil.nodes(**nodes, state=3)
        assert named in evil.wait_end(), nodes
        assert any(named in text for text in events_of(host, name)), nodes
        evil.close()
    base.check()


@pytest.mark.parametrize("what", ["short", "wrong kind", "wrong version", "no memory", "unsealed", "half sealed", "odd size",
                                  "tiny", "file", "read-only seal", "huge name", "no name", "path as name", "many descriptors"])
def test_hello(host, tmp_path, what):
    """A first message that is wrong is refused with the reason, and costs nothing."""
    base = Baseline(host)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.settimeout(10)
    link.connect(os.path.join(host.runtime_dir, "local.sock"))
    head, name, fds = struct.pack("<II", 1, 1), b"evil", []
    if what == "short":
        head, name = b"\1", b""
    elif what == "wrong kind":
        head = struct.pack("<II", 4, 1)
    elif what == "wrong version":
        head = struct.pack("<II", 1, 99)
    elif what == "huge name":
        name = b"x" * 900
    elif what == "no name":
        name = b""
    elif what == "path as name":
        name = b"../../etc/passwd"
    if what == "unsealed":
        fds = [frontend.memory(seals=0)]
    elif what == "half sealed":
        fds = [frontend.memory(seals=2)]
    elif what == "read-only seal":
        fds = [frontend.memory(seals=1 | 2 | 4 | 8)]
    elif what == "odd size":
        fd = os.memfd_create("guest", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 100 * PAGE + 1)
        frontend.fcntl.fcntl(fd, frontend.F_ADD_SEALS, frontend.SEALS)
        fds = [fd]
    elif what == "tiny":
        fds = [frontend.memory(pages=1)]
    elif what == "file":
        path = tmp_path / "memory"
        path.write_bytes(bytes(1 << 20))
        fds = [os.open(path, os.O_RDWR)]
    elif what == "many descriptors":
        head = struct.pack("<II", 1, 7)
        fds = [frontend.memory() for _ in range(8)]
    elif what != "no memory":
        fds = [frontend.memory()]
    socket.send_fds(link, [head + name + (b"\0" if what != "short" else b"")], fds)
    answer = link.recv(2048)
    if what == "short":
        assert answer == b""
    else:
        kind, value = struct.unpack_from("<II", answer)
        assert kind == frontend.REFUSED and value, answer
        assert len(answer) > 20, "the reason is given"
        assert link.recv(2048) == b""
    link.close()
    for fd in fds:
        os.close(fd)
    base.check()


def test_silent_connections(host):
    """Connections that say nothing are ended after a while and keep nobody out."""
    base = Baseline(host)
    silent = []
    for _ in range(100):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(os.path.join(host.runtime_dir, "local.sock"))
        link.settimeout(10)
        silent.append(link)
    Frontend(host.runtime_dir, "honest").attach().close()
    for link in silent:
        assert link.recv(100) == b""
        link.close()
    base.check()


def test_state_flapping(host):
    """R5: states in any order, any number of times; then the guest is gone and nothing is left."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    base = Baseline(host)
    with neighbour(host):
        for number in range(5):
            evil = Frontend(host.runtime_dir, f"evil-{number}")
            for _ in range(2000):
                if evil.closed:
                    break
                what = chance.random()
                if what < 0.8:
                    evil.nodes(state=chance.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, "x", ""]))
                elif what < 0.95:
                    evil.nodes(ring_ref=chance.choice([0, 1, 99999]), port=chance.choice([1, 2, 0]), version=1,
                               state=chance.choice([3, 4]))
                else:
                    evil.say(chance.getrandbits(32), chance.getrandbits(32), chance.randbytes(chance.randrange(900)))
                if chance.random() < 0.1:
                    evil.listen()
            evil.close()
            wait_for(lambda name=evil.name: host.guest(name) is None, f"seed {seed}: {evil.name} is gone")
    print(f"seed {seed}")
    base.check()


def test_attach_and_detach_again_and_again(host):
    """R5: devices come and go, in order and mid-call, and leave nothing."""
    base = Baseline(host)
    with neighbour(host), Peer() as peer:
        for number in range(60):
            guest = Frontend(host.runtime_dir, "evil").attach()
            if number % 2:
                guest.connect("127.0.0.1", peer.port)
                other = peer.accept()
            if number % 3:
                guest.detach()
            guest.close()
            if number % 2:
                took = Peer.ended_after(other, time.monotonic())
                assert took <= 1, f"closed after {took:.3f} s"
            wait_for(lambda: host.guest("evil") is None, "the guest is gone")
    base.check()


def test_event_storm(host):
    """Events on every port, as fast as they can be sent, for two seconds: the neighbour goes on."""
    base = Baseline(host)
    with neighbour(host), Peer() as peer:
        evil = Frontend(host.runtime_dir, "evil").attach()
        stream = evil.connect("127.0.0.1", peer.port)
        other = peer.accept()
        ones = b"\xff" * (8 * 8 + 512 * 8)
        end = time.monotonic() + 2
        sent = 0
        while time.monotonic() < end:
            evil.events[64 : 64 + len(ones)] = ones
            os.write(evil.bell, struct.pack("<Q", 1))
            sent += 1
        print(f"{sent} storms of 32768 events")
        assert host.guest("evil")["counters"]["calls"] >= 2, "its engine still answers"
        stream.write(b"after the storm")
        assert other.recv(100) == b"after the storm"
        other.close()
        evil.detach()
        evil.close()
    base.check()


def test_garbage_in_the_event_page(host):
    """The page of event bits holds no index: whatever is in it can only be noise."""
    base = Baseline(host)
    with neighbour(host):
        evil = Frontend(host.runtime_dir, "evil").attach()
        end = time.monotonic() + 1
        while time.monotonic() < end:
            evil.events[0 : len(evil.events)] = os.urandom(len(evil.events))
            with contextlib.suppress(BlockingIOError):
                os.write(evil.bell, struct.pack("<Q", 0xFFFFFFFFFFFFFFFE))
        for _ in range(100):
            evil.notify()
        assert evil.call(RELEASE, 1) == 0
        evil.close()
        wait_for(lambda: host.guest("evil") is None, "the guest is gone")
    base.check()


def test_requests_that_change_while_they_are_read(host):
    """R2: what is recorded is what was done, however the guest rewrites a request meanwhile."""
    with Peer() as good, Peer() as bad:
        host.write_policy("10-hostile.yaml", make_policy("hostile", "evil", default="deny", chain=[
            {"plugin": "filter", "rules": [
                {"id": "good", "on": "connect", "to": {"net": ["127.0.0.1"], "ports": [good.port]}, "verdict": "allow"},
                {"id": "rest", "on": ["socket", "release"], "verdict": "allow"}]}]))
        host.reload()
        evil = Frontend(host.runtime_dir, "evil", pages=8192).attach()
        stop = threading.Event()
        flips = [0]
        target = [None]  # where the port of the CONNECT in flight is, if one is

        def flip():
            ports = struct.pack(">H", good.port), struct.pack(">H", bad.port)
            while not stop.is_set():
                at = target[0]
                if at is None:
                    continue
                evil.memory[at : at + 2] = ports[flips[0] & 1]
                flips[0] += 1

        flipper = threading.Thread(target=flip)
        flipper.start()
        try:
            connected = denied = 0
            for _ in range(300):
                socket_id = evil.new_id()
                evil.place(SOCKET, socket_id, struct.pack("<III", 2, 1, 0))
                evil.show()
                evil.wait_answer(evil.req_prod - 1)
                payload = frontend.connect_payload("127.0.0.1", good.port, evil.make_ring(), evil.new_port())
                request = evil.place(CONNECT, socket_id, payload)
                target[0] = frontend.SLOT_BASE + request % frontend.SLOTS * frontend.SLOT_BYTES + 16 + 2
                evil.show()
                result = evil.wait_answer(request)
                target[0] = None
                if result == 0:
                    good.accept().close()
                    connected += 1
                denied += result == -13
                evil.call(RELEASE, socket_id)
        finally:
            stop.set()
            flipper.join()
        print(f"{flips[0]} flips, {connected} connected, {denied} denied")
        assert connected and flips[0] > 10_000
        good.server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            good.accept()
        bad.server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            bad.accept()
        evil.detach()
        evil.close()
        host.settle()
        rows = host.calls("evil", "connect", verdict="allow")
        assert {row["effective_port"] for row in rows} == {good.port}
        assert len([row for row in rows if row["errno"] == 0]) == connected


def die_somewhere(runtime_dir, name, port, seed):
    """In a child: attaches, transfers, and goes on until it is killed."""
    chance = random.Random(seed)
    try:
        guest = Frontend(runtime_dir, name).attach()
        stream = guest.connect("127.0.0.1", port, chance.choice([1, 4, 9]))
        while True:
            size = chance.randrange(1, 20000)
            stream.write(chance.randbytes(size), seconds=60)
            stream.read(size, seconds=60)
    finally:
        os._exit(1)


@pytest.mark.limit(300)
def test_death_at_random_moments(host):
    """R6: killed 200 times anywhere from its first word to mid-transfer; sockets close within 1 s."""
    times = 200
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    base = Baseline(host)
    worst, transferring = 0.0, 0
    with neighbour(host), Peer() as peer:
        peer.server.settimeout(0.005)
        for number in range(times):
            name = f"evil-{number}"
            child = os.fork()
            if child == 0:
                die_somewhere(host.runtime_dir, name, peer.port, chance.random() + number)
            other = None
            # A third dies before it is connected, the others some time into a transfer.
            end = time.monotonic() + (chance.random() * 0.03 if number % 3 == 0 else 10)
            while other is None and time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    other = peer.accept()
            if other is not None:
                transferring += 1
                echo = threading.Thread(target=echo_until_end, args=(other,), daemon=True)
                echo.start()
                threading.Event().wait(chance.random() * 0.05)
            since = time.monotonic()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            if other is not None:
                echo.join(10)
                took = time.monotonic() - since
                assert not echo.is_alive(), f"seed {seed}, guest {number}: its host socket stays open"
                worst = max(worst, took)
                assert took <= 1, f"seed {seed}, guest {number}: its host socket closed after {took:.3f} s"
        print(f"seed {seed}: {times} deaths, {transferring} while connected, worst close {worst:.3f} s")
        assert times // 3 < transferring < times
        # A connection that was made while the guest was being killed is still there to be taken.
        peer.server.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                took = Peer.ended_after(peer.accept(), time.monotonic())
                assert took <= 1
                transferring += 1
    host.settle()
    rows = [row for row in host.calls(operation="release") if row["guest"].startswith("evil-")]
    connected = [row for row in host.calls(operation="connect") if row["guest"].startswith("evil-") and row["errno"] == 0]
    assert {row["close_reason"] for row in rows} == {"guest_gone"}
    closed = {(row["guest"], row["socket"]) for row in rows}
    assert {(row["guest"], row["socket"]) for row in connected} <= closed, "every connection has its release"
    base.check()


def echo_until_end(connection):
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(1 << 16):
            connection.sendall(data)


def test_memory_of_a_hostile_guests_engine(host):
    """R1, memory: 20,000 sockets made and released leave the engine as large as 1,000 did."""
    evil = Frontend(host.runtime_dir, "evil").attach()
    pid = host.engine_pid("evil")

    def cycle(count):
        for _ in range(count):
            socket_id = evil.new_id()
            evil.place(SOCKET, socket_id, struct.pack("<III", 2, 1, 0))
            evil.place(RELEASE, socket_id)
            evil.show()
            evil.wait_answer(evil.req_prod - 1)
        evil.answers.clear()

    cycle(1000)
    before = rss_kib(pid), len(descriptors(pid))
    cycle(5000 if has_sanitizer() else 20000)
    after = rss_kib(pid), len(descriptors(pid))
    assert after[1] == before[1], f"descriptors: {before[1]} before, {after[1]} after"
    allowed = 65536 if has_sanitizer() else 1024
    assert after[0] - before[0] <= allowed, f"memory: {before[0]} KiB before, {after[0]} after"
    evil.detach()
    evil.close()


def test_socket_limit(make_daemon):
    """A guest gets as many sockets as it was granted and no more; then an error, not a crash."""
    host = make_daemon(POLICIES, config="engine: {sockets: 50}\n")
    evil = Frontend(host.runtime_dir, "evil").attach()
    results = [evil.call(SOCKET, 1000 + n, struct.pack("<III", 2, 1, 0)) for n in range(60)]
    assert results[:50] == [0] * 50
    assert set(results[50:]) == {-12} or set(results[50:]) == {-23} or set(results[50:]) == {-24}, results[50:]
    assert evil.call(RELEASE, 1000) == 0
    assert evil.call(SOCKET, 2000, struct.pack("<III", 2, 1, 0)) == 0
    evil.detach()
    evil.close()


def test_sockets_in_the_wrong_state(host):
    """Calls that don't fit a socket's state are refused by the protocol, not by accident."""
    guest = Frontend(host.runtime_dir, "open").attach()
    ring = guest.make_ring()

    def call(cmd, socket_id, payload=b""):
        return guest.call(cmd, socket_id, payload)

    any_port = frontend.sockaddr("127.0.0.1", free_port())
    assert call(SOCKET, 1, struct.pack("<III", 2, 1, 0)) == 0
    assert call(SOCKET, 1, struct.pack("<III", 2, 1, 0)) == EEXIST
    assert call(SOCKET, 2, struct.pack("<III", 10, 1, 0)) < 0
    assert call(SOCKET, 2, struct.pack("<III", 2, 2, 0)) < 0
    assert call(LISTEN, 1, struct.pack("<I", 1)) == EINVAL
    assert call(ACCEPT, 1, struct.pack("<QII", 9, ring, 9)) == EINVAL
    assert call(POLL, 1) == EINVAL
    assert call(BIND, 99, any_port) == EINVAL
    assert call(CONNECT, 99, frontend.connect_payload("127.0.0.1", 9, ring, 9)) == EINVAL
    assert call(BIND, 1, any_port) == 0
    assert call(BIND, 1, any_port) == EINVAL
    assert call(LISTEN, 1, struct.pack("<I", 1)) == 0
    assert call(ACCEPT, 1, struct.pack("<QII", 1, ring, 9)) == EEXIST
    assert call(CONNECT, 1, frontend.connect_payload("127.0.0.1", 9, ring, 9)) == EINVAL
    assert call(7, 1) == ENOTSUP
    assert call(0xFFFFFFFF, 1) == ENOTSUP
    assert call(RELEASE, 1) == 0
    assert call(RELEASE, 1) == 0, "what is not there is released already"
    guest.detach()
    guest.close()


def test_order_of_the_device(host):
    """A frontend may go through its states twice; after the hold-off it is served again."""
    guest = Frontend(host.runtime_dir, "open").attach()
    assert guest.call(SOCKET, 1, struct.pack("<III", 2, 1, 0)) == 0
    guest.detach()
    guest.memory[0:PAGE] = bytes(PAGE)
    guest.req_prod = guest.rsp_cons = 0
    guest.attach()
    assert guest.call(SOCKET, 1, struct.pack("<III", 2, 1, 0)) == 0
    guest.close()
    wait_for(lambda: host.guest("open") is None, "the guest is gone")
    host.settle()
    assert [row["operation"] for row in host.calls("open")] == ["socket", "release", "socket", "release"]
