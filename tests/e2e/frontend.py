# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's side of the local transport, written apart from the one that ships.

It can do everything right, and it checks nothing: whatever a test wants written into the shared pages
or said to the daemon is written and said. See daemon/transport/local_wire.h and daemon/ring/layout.h.
"""
import contextlib
import errno
import fcntl
import mmap
import os
import random
import socket
import struct
import time

HELLO, WELCOME, REFUSED, NODES = 1, 2, 3, 4
SOCKET, CONNECT, RELEASE, BIND, LISTEN, ACCEPT, POLL = range(7)
COLLECT = 0x100
PAGE = 4096
SLOTS = 32
EVENTS_BYTES = 64 + 8 * 8 + 512 * 8
SEALS = 1 | 2 | 4  # seal, shrink, grow
F_ADD_SEALS = 1033

# the command page
REQ_PROD, REQ_EVENT, RSP_PROD, RSP_EVENT, SLOT_BASE, SLOT_BYTES = 0, 4, 8, 12, 64, 64
# the indexes page
IN_CONS, IN_PROD, IN_ERROR, OUT_CONS, OUT_PROD, OUT_ERROR, OUT_END, RING_ORDER, REFS = 0, 4, 8, 64, 68, 72, 76, 128, 132


class CutOff(Exception):
    """The daemon has ended the connection; text is what it said last."""


def sockaddr(address, port, family=2):
    """An address as on the wire: 28 bytes and its length."""
    return struct.pack("<H", family) + struct.pack(">H", port) + socket.inet_aton(address) + bytes(20) + struct.pack("<I", 16)


def memory(pages=256, seals=SEALS, flags=0):
    """A guest's memory; the caller owns the descriptor."""
    fd = os.memfd_create("guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
    os.ftruncate(fd, pages * PAGE)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


class Frontend:
    """One guest. Page 0 is the command ring; pages are given out by pages()."""

    def __init__(self, runtime_dir, name, pages=2048):
        self.name = name
        self.said = []
        self.closed = False
        self.parks = False
        self.next_page = 1
        self.next_port = 2
        self.req_prod = 0
        self.rsp_cons = 0
        self.next_id = 1
        self.answers = {}
        self.parked = {}  # with feature_park: the requests that were parked, by their tickets
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.connect(os.path.join(runtime_dir, "local.sock"))
        self.link.settimeout(10)
        fd = memory(pages)
        self.memory = mmap.mmap(fd, pages * PAGE)
        self.words = memoryview(self.memory).cast("I")
        try:
            socket.send_fds(self.link, [struct.pack("<II", HELLO, 1) + name.encode() + b"\0"], [fd])
        finally:
            os.close(fd)
        message, fds, _, _ = socket.recv_fds(self.link, 2048, 8)
        kind, value = struct.unpack_from("<II", message)
        if kind != WELCOME:
            self._take(message)
            raise CutOff(self.said[-1][2])
        self.domid = value
        self.events = mmap.mmap(fds[0], 2 * EVENTS_BYTES)
        self.asleep = memoryview(self.events).cast("I")
        self.bits = memoryview(self.events).cast("Q")
        os.close(fds[0])
        self.bell, self.our_bell = fds[1], fds[2]
        self.backend = {}

    # what is said over the socket

    def _take(self, message):
        if len(message) < 8:
            self.closed = True
            return
        kind, value = struct.unpack_from("<II", message)
        text = message[8:].split(b"\0")[0].decode(errors="replace")
        self.said.append((kind, value, text))
        if kind == NODES:
            self.backend.update(line.split("=", 1) for line in text.splitlines())

    def listen(self, seconds=0.0):
        """Takes what the daemon says, waiting at most so long for the first."""
        self.link.settimeout(seconds if seconds else 0.000001)
        try:
            while not self.closed:
                self._take(self.link.recv(2048))
                self.link.settimeout(0.000001)
        except (TimeoutError, BlockingIOError):
            pass
        except OSError:
            self.closed = True

    def say(self, kind, value=0, text=b""):
        """Any message at all."""
        try:
            self.link.settimeout(5)
            self.link.send(struct.pack("<II", kind & 0xFFFFFFFF, value & 0xFFFFFFFF) + text + b"\0")
        except OSError:
            self.closed = True

    def nodes(self, **values):
        """Writes nodes into the frontend's directory; _ stands for -."""
        text = "".join(f"{key.replace('_', '-')}={value}\n" for key, value in values.items())
        self.say(NODES, 0, text.encode())

    def wait_state(self, state, seconds=30):
        """Waits until the backend is in this state."""
        deadline = time.monotonic() + seconds
        while self.backend.get("state") != str(state):
            self.listen(0.05)
            if self.closed:
                raise CutOff(self.why())
            if time.monotonic() > deadline:
                raise AssertionError(f"the backend is in state {self.backend.get('state')}, expected {state}")

    def wait_end(self, seconds=10):
        """Waits until the daemon has ended the connection; returns why."""
        deadline = time.monotonic() + seconds
        while not self.closed:
            self.listen(0.05)
            if time.monotonic() > deadline:
                raise AssertionError("the daemon did not cut this guest off")
        return self.why()

    def why(self):
        return next((text for kind, _, text in reversed(self.said) if kind == REFUSED), "")

    def attach(self, ring_ref=0, port=1, **features):
        """Brings the device up; features are nodes of the frontend's."""
        self.nodes(state=1)
        self.wait_state(2)
        self.parks = features.get("feature_park") == 1
        self.nodes(ring_ref=ring_ref, port=port, version=1, **features, state=3)
        self.wait_state(4)
        self.nodes(state=4)
        return self

    def detach(self):
        """Ends the device in order."""
        self.nodes(state=5)
        self.wait_state(5)
        self.nodes(state=6)
        self.wait_state(6)

    def close(self):
        self.link.close()
        for fd in (self.bell, self.our_bell):
            os.close(fd)
        for view in (self.words, self.asleep, self.bits):
            view.release()
        self.memory.close()
        self.events.close()

    # shared pages

    def get(self, offset):
        return self.words[offset // 4]

    def put(self, offset, value):
        # One store: struct.pack_into() would write zeros first, and the other side could see them.
        self.words[offset // 4] = value & 0xFFFFFFFF

    def pages(self, count=1):
        first = self.next_page
        self.next_page += count
        return first

    def notify(self, port=1):
        """Sends an event."""
        word, selector = 16 + port // 64, 8 + port // 4096
        self.bits[word] |= 1 << port % 64
        self.bits[selector] |= 1 << port // 64 % 64
        if self.asleep[0]:
            self.asleep[0] = 0
            with contextlib.suppress(BlockingIOError):  # it is full: it rings already
                os.write(self.bell, struct.pack("<Q", 1))

    # calls

    def place(self, cmd, socket_id, payload=b"", req_id=None):
        """Puts a request on the ring, unseen until show()."""
        offset = SLOT_BASE + self.req_prod % SLOTS * SLOT_BYTES
        req_id = self.req_prod if req_id is None else req_id
        self.memory[offset : offset + SLOT_BYTES] = (
            struct.pack("<IIQ", req_id & 0xFFFFFFFF, cmd & 0xFFFFFFFF, socket_id) + payload[:48].ljust(48, b"\0"))
        self.req_prod = self.req_prod + 1 & 0xFFFFFFFF
        return req_id

    def place_raw(self, data):
        """Puts any 64 bytes on the ring."""
        offset = SLOT_BASE + self.req_prod % SLOTS * SLOT_BYTES
        self.memory[offset : offset + SLOT_BYTES] = data
        self.req_prod = self.req_prod + 1 & 0xFFFFFFFF

    def show(self):
        self.put(REQ_PROD, self.req_prod)
        self.notify()

    def take(self):
        """Takes the responses that are there; returns how many came."""
        produced = self.get(RSP_PROD)
        count = 0
        while self.rsp_cons != produced:
            offset = SLOT_BASE + self.rsp_cons % SLOTS * SLOT_BYTES
            req_id, cmd, result, extra, name = struct.unpack_from("<IIiIQ", self.memory, offset)
            if self.parks and cmd == COLLECT:
                req_id = self.parked.pop(name)
            if self.parks and cmd != COLLECT and result == -errno.EINPROGRESS:
                assert extra not in self.parked
                self.parked[extra] = req_id
            else:
                assert not self.parks or req_id not in self.answers
                self.answers[req_id] = (cmd, result)
            self.rsp_cons = self.rsp_cons + 1 & 0xFFFFFFFF
            count += 1
        return count

    def wait_answer(self, req_id, seconds=10):
        deadline = time.monotonic() + seconds
        looks = 0
        while req_id not in self.answers:
            if not self.take():
                looks += 1
                if looks % 64 == 0:
                    self.listen()
                    if self.closed:
                        raise CutOff(self.why())
                    if time.monotonic() > deadline:
                        raise AssertionError(f"request {req_id} was not answered within {seconds} s")
                time.sleep(0.0002)
        return self.answers.pop(req_id)[1]

    def call(self, cmd, socket_id, payload=b""):
        """A call from beginning to end; returns its result."""
        req_id = self.place(cmd, socket_id, payload)
        self.show()
        return self.wait_answer(req_id)

    def new_id(self):
        self.next_id += 1
        return self.next_id

    def new_socket(self):
        socket_id = self.new_id()
        result = self.call(SOCKET, socket_id, struct.pack("<III", 2, 1, 0))
        assert result == 0, f"SOCKET: {result}"
        return socket_id

    def make_ring(self, order=1, refs=None):
        """Pages of a data ring. Returns the reference of its indexes page."""
        index = self.pages()
        count = 1 << order
        first = self.pages(count)
        base = index * PAGE
        self.memory[base : base + PAGE] = bytes(PAGE)
        self.put(base + RING_ORDER, order)
        for number, ref in enumerate(refs if refs is not None else range(first, first + count)):
            self.put(base + REFS + 4 * number, ref)
        return index

    def new_port(self):
        self.next_port += 1
        return self.next_port

    def connect(self, address, port, order=1):
        """A connected stream. Returns a Stream; raises OSError."""
        socket_id = self.new_socket()
        index, channel = self.make_ring(order), self.new_port()
        result = self.call(CONNECT, socket_id, connect_payload(address, port, index, channel))
        if result:
            raise OSError(-result, os.strerror(-result))
        return Stream(self, socket_id, index, channel, order)


def connect_payload(address, port, ref, channel, family=2):
    return sockaddr(address, port, family) + struct.pack("<III", 0, ref, channel)


class Stream:
    """A data ring in use."""

    def __init__(self, front, socket_id, index, channel, order):
        self.front, self.id, self.index, self.channel = front, socket_id, index, channel
        self.size = 1 << order + 11
        self.base = index * PAGE
        self.data = front.get(self.base + REFS) * PAGE

    def write(self, data, seconds=10):
        """Writes all, waiting for room."""
        front, sent = self.front, 0
        deadline = time.monotonic() + seconds
        while sent < len(data):
            prod, cons = front.get(self.base + OUT_PROD), front.get(self.base + OUT_CONS)
            room = self.size - (prod - cons & 0xFFFFFFFF)
            if not room:
                if time.monotonic() > deadline:
                    raise AssertionError("the backend takes no bytes")
                time.sleep(0.0002)
                continue
            at = prod % self.size
            part = data[sent : sent + min(room, self.size - at)]
            start = self.data + self.size + at
            front.memory[start : start + len(part)] = part
            front.put(self.base + OUT_PROD, prod + len(part))
            front.notify(self.channel)
            sent += len(part)

    def read(self, size, seconds=10):
        """Reads exactly size bytes, fewer at the end of the stream."""
        front, got = self.front, bytearray()
        deadline = time.monotonic() + seconds
        while len(got) < size:
            prod, cons = front.get(self.base + IN_PROD), front.get(self.base + IN_CONS)
            there = prod - cons & 0xFFFFFFFF
            if not there:
                if front.get(self.base + IN_ERROR):
                    return bytes(got)
                if time.monotonic() > deadline:
                    raise AssertionError(f"only {len(got)} of {size} bytes came")
                time.sleep(0.0002)
                continue
            at = cons % self.size
            count = min(there, self.size - at, size - len(got))
            got += front.memory[self.data + at : self.data + at + count]
            front.put(self.base + IN_CONS, cons + count)
            front.notify(self.channel)
        return bytes(got)

    def end(self, value=1):
        """Says that nothing more is written."""
        self.front.put(self.base + OUT_END, value)
        self.front.notify(self.channel)

    def release(self):
        return self.front.call(RELEASE, self.id)


def garbage(seed, count):
    """Requests that are mostly wrong, some of them only a little."""
    chance = random.Random(seed)
    for _ in range(count):
        kind = chance.random()
        if kind < 0.3:
            yield chance.randbytes(64)
            continue
        cmd = chance.choice([0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 255, 0xFFFFFFFF])
        socket_id = chance.choice([0, 1, 2, 3, 4, 5, 6, 7, 0xFFFFFFFFFFFFFFFF])
        payload = chance.randbytes(48)
        if cmd in (CONNECT, BIND) and kind < 0.8:
            payload = sockaddr(f"127.0.0.{chance.randrange(256)}", chance.choice([0, 1, 9]), chance.choice([0, 2, 2, 10]))
            payload += struct.pack("<III", 0, chance.choice([0, 1, 2, 99999, 0xFFFFFFFF]), chance.choice([0, 1, 2, 40000]))
        if cmd == SOCKET and kind < 0.8:
            payload = struct.pack("<III", chance.choice([2, 2, 2, 10, 1]), chance.choice([1, 1, 1, 2, 3]), chance.choice([0, 0, 6, 17]))
        yield struct.pack("<IIQ", chance.getrandbits(32), cmd, socket_id) + payload.ljust(48, b"\0")
