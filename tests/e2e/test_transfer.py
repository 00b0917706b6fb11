# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes arrive whole, in order and once, however slow, half-closed or rude either side is."""
import os
import signal
import socket
import subprocess
import time

import pytest

from frontend import OUT_PROD, RELEASE, Frontend
from harness import PYTHON, check, free_port, has_sanitizer, linger_reset, make_policy, output_of, peers, rss_kib, run, running, wait_for
from peers import digest_of, receive, stream

pytestmark = pytest.mark.root

GIB = 1 << 30
SLOW = 4 << 20  # bytes that a slow reader takes in 4 KiB pieces with pauses


def totals(daemon, guest):
    """Bytes in and out of all of a guest's sockets, after it has gone."""
    daemon.settle()
    rows = daemon.calls(guest, "release")
    return sum(row["bytes_in"] or 0 for row in rows), sum(row["bytes_out"] or 0 for row in rows)


@pytest.mark.slow
@pytest.mark.limit(240)
@pytest.mark.parametrize("slow", [0, SLOW], ids=["fast", "slow reader"])
def test_download_of_a_gibibyte(daemon, slow):
    """1 GiB down; the slow reader is the guest."""
    port = free_port()
    with running(peers("source", port, GIB, 7), port=port):
        done = check(daemon.run("down", peers("fetch", "127.0.0.1", port, slow), timeout=230))
    assert done.stdout.split() == [str(GIB), digest_of(GIB, 7)]
    assert totals(daemon, "down") == (GIB, 0)


@pytest.mark.slow
@pytest.mark.limit(240)
@pytest.mark.parametrize("slow", [0, SLOW], ids=["fast", "slow reader"])
def test_upload_of_a_gibibyte(daemon, slow):
    """1 GiB up; the slow reader is the host."""
    port = free_port()
    with running(peers("sink", port, slow), port=port):
        done = check(daemon.run("up", peers("push", "127.0.0.1", port, GIB, 8), timeout=230))
    digest = digest_of(GIB, 8)
    assert done.stdout.split() == [str(GIB), digest]
    assert totals(daemon, "up") == (len(f"{GIB} {digest}\n"), GIB + 8)


@pytest.mark.parametrize("order", [1, 4, 9])
def test_ring_orders(daemon, order):
    """The smallest, the Linux frontend's and the largest ring carry the same bytes, both ways at once."""
    size = 24 << 20
    down, up = free_port(), free_port()
    command = daemon.guest_command("orders", ["sh", "-c", f"{' '.join(peers('fetch', '127.0.0.1', down))} & "
                                                          f"{' '.join(peers('push', '127.0.0.1', up, size, 3))}; wait"])
    command[command.index("--")] = f"--ring-order={order}"
    command.insert(command.index(f"--ring-order={order}") + 1, "--")
    with running(peers("source", down, size, 3), port=down), running(peers("sink", up), port=up):
        done = check(run(command))
    assert done.stdout.splitlines() == [f"{size} {digest_of(size, 3)}"] * 2


def test_many_transfers_at_once(daemon):
    """Sixteen streams of one guest: one that is busy or stuck does not starve the others."""
    size = 8 << 20
    port, stuck = free_port(), free_port()
    code = f"""
import threading
sys.path.insert(0, {os.path.dirname(__file__)!r})
import peers
def jam():
    c = socket.create_connection(('127.0.0.1', {stuck}))
    try:
        while True: c.sendall(bytes(1 << 20))
    except OSError: pass
for _ in range(4): threading.Thread(target=jam, daemon=True).start()
results = []
def work():
    with socket.create_connection(('127.0.0.1', {port})) as c: results.append(peers.receive(c))
workers = [threading.Thread(target=work) for _ in range(16)]
for w in workers: w.start()
for w in workers: w.join()
print(len(results), set(results), flush=True)
os._exit(0)
"""
    with running(peers("source", port, size, 5), port=port), running(peers("stuck", stuck), port=stuck):
        done = check(daemon.python("many", code, timeout=100))
    assert done.stdout.strip() == f"16 {{({size}, '{digest_of(size, 5)}')}}"


def test_peer_that_half_closes(daemon):
    """A peer that has sent all and shut down its side still takes everything from the guest."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    size = 5 << 20
    code = f"""
c = socket.create_connection(('127.0.0.1', {port}))
data = c.makefile('rb').read()
sys.path.insert(0, {os.path.dirname(__file__)!r})
import peers
for block in peers.stream({size}, 9): c.sendall(block)
c.close()
print(len(data))
"""
    guest = daemon.popen("half", [PYTHON, "-S", "-c", "import socket, sys\n" + code], text=True)
    with server, server.accept()[0] as connection:
        connection.settimeout(30)
        connection.sendall(b"x" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection) == (size, digest_of(size, 9))
    out, err = guest.communicate(timeout=30)
    assert (guest.returncode, out) == (0, "100000\n"), err
    assert totals(daemon, "half") == (100_000, size)


@pytest.mark.parametrize("size, slow", [(0, 0), (1, 0), (24 << 20, 0), (12 << 20, 1 << 20)],
                         ids=["nothing", "a byte", "much", "slow reader"])
def test_guest_that_half_closes(daemon, size, slow):
    """A guest that has sent all and says so gets the answer that its peer gives after the end."""
    port = free_port()
    with running(peers("verdict", port, slow), port=port):
        done = check(daemon.run("finish", peers("finish", "127.0.0.1", port, size, 4), timeout=100))
    answer = f"{size} {digest_of(size, 4)}"
    assert done.stdout.strip() == answer
    daemon.settle()
    released = [(row["close_reason"], row["bytes_in"], row["bytes_out"]) for row in daemon.calls("finish", "release")]
    assert released == [("released", len(answer) + 1, size)]


def test_half_close_under_a_limit(make_daemon):
    """Bytes that a limit holds back come before the end."""
    size = 600_000
    port = free_port()
    daemon = make_daemon({"slow.yaml": make_policy("slow", chain=[{"plugin": "ratelimit", "limits": [
        {"id": "up", "direction": "out", "bandwidth": "300kB/s"}]}])})
    with running(peers("verdict", port), port=port):
        since = time.monotonic()
        done = check(daemon.run("slow", peers("finish", "127.0.0.1", port, size)))
    assert done.stdout.strip() == f"{size} {digest_of(size)}"
    assert time.monotonic() - since > 1


def test_guest_server_that_half_closes(daemon):
    """A server that answers and says that this was all goes on reading what its client sends."""
    port = free_port()
    code = f"""
s = socket.create_server(('127.0.0.1', {port}))
c, _ = s.accept()
c.sendall(b'x' * 100_000); c.shutdown(socket.SHUT_WR)
sys.path.insert(0, {os.path.dirname(__file__)!r})
import peers
print(*peers.receive(c))
"""
    guest = daemon.popen("server", [PYTHON, "-S", "-c", "import socket, sys\n" + code], port=port, text=True)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(30)
        assert receive(connection)[0] == 100_000
        for block in stream(3 << 20, 2):
            connection.sendall(block)
    out, err = guest.communicate(timeout=30)
    assert (guest.returncode, out.split()) == (0, [str(3 << 20), digest_of(3 << 20, 2)]), err


def test_guest_that_writes_and_goes(daemon):
    """What a guest had written before it closed and ended is delivered, and then the end."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    for size in (1, 1000, 3_000_000):
        guest = daemon.popen("goes", peers("push", "127.0.0.1", port, 0)[:2] + ["-c", f"""
import socket
c = socket.create_connection(('127.0.0.1', {port}))
c.sendall(b'z' * {size}); c.close()
"""])
        connection = server.accept()[0]
        connection.settimeout(30)
        if size > 1_000_000:
            # Nobody reads for a while: it must wait in the daemon or in the kernel.
            wait_for(lambda: guest.poll() is not None or daemon.guest("goes"), "the guest runs")
        count, _ = receive(connection)
        connection.close()
        assert count == size
        assert guest.wait(30) == 0, output_of(guest)
        wait_for(lambda: daemon.guest("goes") is None, "the guest is gone")
    server.close()


def test_data_and_end_at_once(daemon):
    """A server that answers and closes in one breath: the end is seen each time, at once."""
    port = free_port()
    code = f"""
import time
worst = 0
for _ in range(300):
    since = time.monotonic()
    with socket.create_connection(('127.0.0.1', {port}), 20) as c:
        assert c.makefile().read().endswith('\\n')
    worst = max(worst, time.monotonic() - since)
print(round(worst, 3))
"""
    with running(peers("greet", port), port=port):
        print("slowest:", check(daemon.python("quick", code, timeout=100)).stdout)


def test_data_and_end_at_once_over_a_wire(make_daemon, network):
    """The same where the connect takes a moment, so that data and end may come with it."""
    daemon = make_daemon(netns=network.host)
    port = 12345
    code = f"""
for _ in range(300):
    with socket.create_connection(('{network.FAR}', {port}), 20) as c:
        assert c.makefile().read().endswith('\\n')
print('all')
"""
    with running(network.inside(network.far, peers("greet", port, network.FAR))) as server:
        network.wait_port(network.far, port)
        assert check(daemon.python("quick", code, timeout=100)).stdout == "all\n"
        assert server.poll() is None


def test_data_and_end_with_the_connect(daemon):
    """The engine hears at once that it is connected, that bytes have come and that they are all."""
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = server.getsockname()[1]
    code = f"""
c = socket.create_connection(('127.0.0.1', {port}), 20)
print(c.makefile().read(), flush=True)
"""
    with socket.create_connection(("127.0.0.1", port)):
        # Nobody has accepted that one: the next connect has to wait until the kernel tries again.
        guest = daemon.popen("late", [PYTHON, "-S", "-c", prelude() + code], text=True)
        wait_for(lambda: daemon.guest("late") and any(s["state"] == "connecting" for s in daemon.ctl_json("sockets", "late")),
                 "the connect is under way")
        pid = daemon.engine_pid("late")
        server.accept()[0].close()
        os.kill(pid, signal.SIGSTOP)
        try:
            server.settimeout(20)
            connection = server.accept()[0]
            connection.sendall(b"all at once")
            connection.close()
        finally:
            os.kill(pid, signal.SIGCONT)
    server.close()
    out, err = guest.communicate(timeout=20)
    assert (guest.returncode, out) == (0, "all at once\n"), err


def test_reset_by_the_peer(daemon):
    """A peer's reset is an error for the guest, not an end; a reset before that, of a write, too."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    code = f"""
c = socket.create_connection(('127.0.0.1', {port}))
got = b''
try:
    while True:
        data = c.recv(100)
        if not data:
            print('end', len(got)); break
        got += data
except OSError as error:
    print(name(error.errno), len(got))
def write():
    while True: c.sendall(b'x' * 1000)
print(attempt(write))
"""
    for _ in range(5):
        guest = daemon.popen("reset", [PYTHON, "-S", "-c", "import signal; signal.signal(13, signal.SIG_IGN)\n" + prelude() + code], text=True)
        connection = server.accept()[0]
        connection.sendall(b"five!")
        wait_for(lambda: any(s["in"] == 5 for s in daemon.ctl_json("sockets", "reset")), "the bytes are in the ring")
        linger_reset(connection)
        out, err = guest.communicate(timeout=30)
        assert guest.returncode == 0, err
        first, second = out.splitlines()
        assert first.split()[0] == "ECONNRESET" and int(first.split()[1]) in (0, 5), out
        assert second in ("EPIPE", "ECONNRESET"), out
        wait_for(lambda: daemon.guest("reset") is None, "the guest is gone")
    server.close()


HOLDERS = {
    "who accepted": "print(end(c))",
    "after shutdown": "attempt(c.shutdown, socket.SHUT_WR); print(end(c))",
    "a duplicate": "d = c.dup(); c.close(); print(end(d))",
    "a child": "if os.fork(): c.close(); os.wait()\nelse: print(end(c))",
    "a child's duplicate": "if os.fork(): c.close(); os.wait()\nelse: d = c.dup(); c.close(); print(end(d))",
    "another program": "os.dup2(c.fileno(), 0); c.close(); os.execl('/bin/sh', 'sh', '-c', 'cat 2>&1')",
}


@pytest.mark.parametrize("early", [True, False], ids=["reset before accept", "reset later"])
@pytest.mark.parametrize("holder", HOLDERS)
def test_reset_reaches_whoever_has_the_socket(daemon, holder, early):
    """What came before a reset is read, then the reset, by whichever process and descriptor has the socket by then."""
    port = free_port()
    code = f"""
def end(c):
    got = b''
    try:
        while data := c.recv(100): got += data
    except OSError as error:
        return got.decode() + name(error.errno)
    return got.decode() + 'end'
l = socket.create_server(('127.0.0.1', {port}), backlog=1)
sys.stdin.readline()
c = l.accept()[0]
print('accepted', flush=True)
{HOLDERS[holder]}
"""
    guest = daemon.popen("holder", [PYTHON, "-S", "-c", prelude() + code], port=port, text=True, stdin=subprocess.PIPE)
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"five!")
    wait_for(lambda: any(s["in"] == 5 for s in daemon.ctl_json("sockets", "holder")), "the bytes are in the ring")
    if early:
        linger_reset(connection)
    print(file=guest.stdin, flush=True)
    assert guest.stdout.readline() == "accepted\n"
    if not early:
        if holder == "after shutdown":
            assert connection.recv(1) == b""
        linger_reset(connection)
    assert guest.stdout.read() in ("five!ECONNRESET\n", "five!cat: -: Connection reset by peer\n")
    assert guest.wait(30) in (0, 1), guest.stderr.read()


@pytest.mark.parametrize("size", [0, 1 << 20])
def test_an_end_in_order_is_no_reset(daemon, size):
    """A peer that answers after the guest's end and closes: the guest reads that and the end, as often as it asks."""
    server = socket.create_server(("127.0.0.1", 0))
    code = f"""
c = socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))
c.sendall(b'x' * {size}); c.shutdown(socket.SHUT_WR)
print(c.recv(100), c.recv(100), flush=True)
sys.stdin.readline()
print(c.recv(100), c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
"""
    guest = daemon.popen("order", [PYTHON, "-S", "-c", prelude() + code], text=True, stdin=subprocess.PIPE)
    connection = server.accept()[0]
    assert receive(connection)[0] == size
    connection.sendall(b"answer")
    connection.close()
    assert guest.stdout.readline() == "b'answer' b''\n"
    wait_for(lambda: not daemon.ctl_json("sockets", "order"), "the socket is released")
    out, err = guest.communicate("\n", timeout=30)
    assert (guest.returncode, out) == (0, "b'' 0\n"), err
    server.close()


def prelude():
    from harness import GUEST_PRELUDE
    return GUEST_PRELUDE


@pytest.mark.limit(180)
@pytest.mark.parametrize("direction", ["guest does not read", "peer does not read"])
def test_nothing_is_buffered_for_who_does_not_read(daemon, direction):
    """Q6: a gibibyte is offered to somebody who does not read: the engine does not grow."""
    port = free_port()
    if direction == "guest does not read":
        code = f"""
c = socket.create_connection(('127.0.0.1', {port})); print('connected', flush=True)
sys.stdin.read(1)
"""
        server = peers("source", port, GIB)
    else:
        code = f"""
import threading
c = socket.create_connection(('127.0.0.1', {port})); print('connected', flush=True)
def pour():
    while True: c.sendall(bytes(1 << 20))
threading.Thread(target=pour, daemon=True).start()
sys.stdin.read(1)
os._exit(0)
"""
        server = peers("stuck", port)
    with running(server, port=port):
        guest = daemon.popen("still", [PYTHON, "-S", "-c", prelude() + code], stdin=-1, text=True)
        pid = daemon.engine_pid("still")
        assert guest.stdout.readline() == "connected\n"
        start = rss_kib(pid)
        key = "in" if "guest" in direction else "out"

        def moved():
            return sum(s[key] for s in daemon.ctl_json("sockets", "still"))

        # It has stopped moving when two looks, a tenth of a second apart, see the same.
        seen = [-1]

        def stopped():
            before, seen[0] = seen[0], moved()
            return before == seen[0] and before > 0

        wait_for(stopped, "the stream has filled what there is", pause=0.1)
        grown = rss_kib(pid) - start
        print(f"{seen[0]} bytes moved, the engine has grown by {grown} KiB")
        assert seen[0] < 64 << 20, "somebody buffers without bounds"
        assert grown <= (8192 if has_sanitizer() else 1024), f"the engine has grown by {grown} KiB"
        guest.stdin.write("x")
        guest.stdin.close()
        guest.wait(30)


def test_released_tail_is_bounded(daemon):
    """Bytes of released sockets whose peers don't read are kept up to a bound; then RELEASE waits."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    front = Frontend(daemon.runtime_dir, "tail", pages=40_000).attach()
    peers_of, written, waiting = [], [], []
    for _ in range(40):
        stream = front.connect(*server.getsockname(), order=9)
        peers_of.append(server.accept()[0])
        count = 0
        block = os.urandom(1 << 18)
        try:
            while True:
                stream.write(block, seconds=0.1)
                count += len(block)
        except AssertionError:  # its ring is full, and nobody reads
            count = front.get(stream.base + OUT_PROD)
        written.append(count)
        waiting.append(front.place(RELEASE, stream.id))
        front.show()
    time_for_all = time.monotonic() + 1
    while time.monotonic() < time_for_all and len(front.answers) < 40:
        front.take()
        time.sleep(0.01)
    kept = daemon.guest("tail")["counters"]["linger_bytes"]
    print(f"{kept} bytes are kept, {len(front.answers)} of 40 releases are answered")
    assert 16 << 20 < kept <= 32 << 20
    assert 16 <= len(front.answers) < 40, "beyond the bound RELEASE waits"
    for connection, count in zip(peers_of, written):
        connection.settimeout(30)
        assert receive(connection)[0] == count
        connection.close()
    for number in waiting:
        assert front.wait_answer(number) == 0
    wait_for(lambda: not daemon.guest("tail")["counters"]["linger_bytes"], "nothing is kept any more")
    front.detach()
    front.close()
    server.close()
    daemon.settle()
    rows = daemon.calls("tail", "release")
    assert sorted(row["bytes_out"] for row in rows) == sorted(written)


def test_engine_is_fair(daemon):
    """While one connection is flooded, another of the same guest is answered."""
    flood, port = free_port(), free_port()
    code = f"""
import threading, time
def drink():
    c = socket.create_connection(('127.0.0.1', {flood}))
    b = bytearray(1 << 20)
    while c.recv_into(b): pass
threading.Thread(target=drink, daemon=True).start()
c = socket.create_connection(('127.0.0.1', {port})); c.settimeout(20)
times = []
for _ in range(200):
    since = time.monotonic(); c.sendall(b'x'); assert c.recv(1) == b'x'; times.append(time.monotonic() - since)
print(sorted(times)[100], max(times), flush=True)
os._exit(0)
"""
    with running(peers("source", flood, 1 << 40), port=flood), running(peers("echo", port), port=port):
        print("median and worst round trip:", check(daemon.python("fair", code)).stdout)


def test_threads_that_share_a_connection(daemon):
    """One thread reads, another writes the same socket; nothing is lost in either direction."""
    port = free_port()
    size = 16 << 20
    code = f"""
import hashlib, threading
sys.path.insert(0, {os.path.dirname(__file__)!r})
import peers
c = socket.create_connection(('127.0.0.1', {port}))
def pour():
    for block in peers.stream({size}, 4): c.sendall(block)
w = threading.Thread(target=pour); w.start()
print(peers.receive(c, 0, {size})[1]); w.join()
"""
    with running(peers("echo", port), port=port):
        done = check(daemon.python("both", code, timeout=100))
    assert done.stdout.strip() == digest_of(size, 4)
    assert totals(daemon, "both") == (size, size)
