# SPDX-License-Identifier: GPL-2.0-or-later
"""The other ends of connections: small servers and clients, run on the host or as guests.

usage: peers.py ROLE ARGUMENT...     (see the functions; each prints one line of result)

Bytes come from one endless stream that a seed determines: a lost, doubled or moved byte changes the
digest.
"""
import hashlib
import os
import random
import select
import socket
import sys
import threading
import time

BLOCK = 1 << 20


def stream(size, seed=1):
    """The first `size` bytes of the seed's stream, in blocks; no two blocks are alike."""
    block = bytearray(random.Random(int(seed)).randbytes(BLOCK))
    number = 0
    while size > 0:
        block[:8] = number.to_bytes(8, "big")
        number += 1
        yield memoryview(block)[: min(size, BLOCK)]
        size -= BLOCK


def digest_of(size, seed=1):
    """Digest of the first `size` bytes of a stream."""
    digest = hashlib.blake2b(digest_size=16)
    for block in stream(int(size), seed):
        digest.update(block)
    return digest.hexdigest()


def report(*values):
    """Prints a line in one piece: programs that share an output don't write into each other's."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, values)) + "\n").encode())


def listen(port, address="127.0.0.1", backlog=512):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, int(port)))
    server.listen(backlog)
    return server


def serve(server, handle):
    """A thread for each connection, for ever."""

    def one(connection):
        with connection:
            try:
                handle(connection)
            except OSError:
                pass

    while True:
        connection, _ = server.accept()
        threading.Thread(target=one, args=(connection,), daemon=True).start()


def receive(connection, slow_bytes=0, expected=None):
    """Reads to the end, or so many bytes; the first slow_bytes in small pieces with pauses.

    Returns their number and digest.
    """
    digest = hashlib.blake2b(digest_size=16)
    count = 0
    buffer = bytearray(BLOCK)
    while True:
        size = 4096 if count < slow_bytes else BLOCK
        if expected is not None:
            size = min(size, expected - count)
            if not size:
                return count, digest.hexdigest()
        got = connection.recv_into(buffer, size)
        if not got:
            return count, digest.hexdigest()
        digest.update(memoryview(buffer)[:got])
        count += got
        if count < slow_bytes:
            time.sleep(0.001)


def source(port, size, seed=1, address="127.0.0.1"):
    """Server: sends a stream to each connection."""

    def handle(connection):
        for block in stream(int(size), seed):
            connection.sendall(block)

    serve(listen(port, address), handle)


def sink(port, slow_bytes=0, address="127.0.0.1"):
    """Server: reads a length and so many bytes, then answers "COUNT DIGEST"."""

    def handle(connection):
        if int(slow_bytes):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        expected = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
        connection.sendall("{} {}\n".format(*receive(connection, int(slow_bytes), expected)).encode())

    serve(listen(port, address), handle)


def verdict(port, slow_bytes=0, address="127.0.0.1"):
    """Server: reads to the end of the stream, and only then answers "COUNT DIGEST"."""

    def handle(connection):
        if int(slow_bytes):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        connection.sendall("{} {}\n".format(*receive(connection, int(slow_bytes))).encode())

    serve(listen(port, address), handle)


def echo(port, address="127.0.0.1"):
    """Server: gives back what it gets; ends when its peer does."""

    def handle(connection):
        while True:
            data = connection.recv(65536)
            if not data:
                return
            connection.sendall(data)

    serve(listen(port, address), handle)


def stuck(port, address="127.0.0.1"):
    """Server: accepts and never reads."""
    server = listen(port, address)
    kept = []
    while True:
        kept.append(server.accept()[0])


def greet(port, address="127.0.0.1", count=0):
    """Server: tells each connection its peer's address, and closes. With count, so many of them."""
    server = listen(port, address)
    left = int(count) or -1
    while left:
        connection, peer = server.accept()
        with connection:
            try:
                connection.sendall("{}:{}\n".format(*peer).encode())
            except OSError:
                pass
        left -= 1


def fetch(address, port, slow_bytes=0):
    """Client: reads a stream to its end; prints "COUNT DIGEST"."""
    with socket.create_connection((address, int(port))) as connection:
        report(*receive(connection, int(slow_bytes)))


def push(address, port, size, seed=1):
    """Client: sends a length and a stream, prints what the server answered."""
    with socket.create_connection((address, int(port))) as connection:
        connection.sendall(int(size).to_bytes(8, "big"))
        for block in stream(int(size), seed):
            connection.sendall(block)
        report(connection.makefile().readline().strip())


def finish(address, port, size, seed=1):
    """Client: sends a stream, says that this was all, prints what the server answers to that."""
    with socket.create_connection((address, int(port))) as connection:
        connection.settimeout(60)
        for block in stream(int(size), seed):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        report(connection.makefile().read().strip())


def chat(address, port, stop_file, size=65536):
    """Client: echoes blocks and compares them until stop_file is there; prints "ROUNDS BYTES"."""
    with socket.create_connection((address, int(port))) as connection:
        connection.settimeout(30)
        rounds = 0
        while not os.path.exists(stop_file):
            sent = rounds.to_bytes(8, "big") + random.randbytes(int(size) - 8)
            connection.sendall(sent)
            got = bytearray()
            while len(got) < len(sent):
                part = connection.recv(len(sent) - len(got))
                if not part:
                    sys.exit(f"the stream ended in round {rounds}")
                got += part
            if got != sent:
                sys.exit(f"round {rounds}: other bytes came back")
            rounds += 1
        report(rounds, rounds * int(size))


def crowd(address, port, count):
    """Client: holds `count` connections open at once, then uses each; prints how many worked."""
    connections = []
    for _ in range(int(count)):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex((address, int(port)))
        connections.append(connection)
    poller = select.epoll()
    for connection in connections:
        poller.register(connection, select.EPOLLOUT)
    open_ones = 0
    while open_ones < int(count):
        ready = poller.poll(30)
        if not ready:
            sys.exit(f"only {open_ones} of {count} connected")
        for number, _ in ready:
            poller.unregister(number)
            open_ones += 1
    for connection in connections:
        error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            sys.exit(f"connect: {os.strerror(error)}")
        connection.setblocking(True)
        connection.settimeout(30)
    for number, connection in enumerate(connections):
        connection.sendall(b"%07d\n" % number)
    good = 0
    for number, connection in enumerate(connections):
        answer = b""
        while len(answer) < 8:
            part = connection.recv(8 - len(answer))
            if not part:
                sys.exit(f"connection {number} ended early")
            answer += part
        good += answer == b"%07d\n" % number
    for connection in connections:
        connection.close()
    report(good)


def churn(address, port, stop_file):
    """Client: connects, reads a line, closes, until stop_file is there; prints "GOOD BAD"."""
    good = bad = 0
    while not os.path.exists(stop_file):
        try:
            with socket.create_connection((address, int(port)), 30) as connection:
                good += connection.makefile().readline().endswith("\n")
        except OSError:
            bad += 1
    report(good, bad)


ROLES = (source, sink, verdict, echo, stuck, greet, fetch, push, finish, chat, crowd, churn)

if __name__ == "__main__":
    {role.__name__: role for role in ROLES}[sys.argv[1]](*sys.argv[2:])
