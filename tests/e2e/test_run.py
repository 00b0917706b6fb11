# SPDX-License-Identifier: GPL-2.0-or-later
"""pvcalls-run: a program in it can't tell, except that its network is what the policy says."""
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import GUEST_PRELUDE, PYTHON, check, free_port, make_policy, output_of, peers, program, run, running, tagged, wait_for

pytestmark = pytest.mark.root

NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


def sh(daemon, script, **options):
    return daemon.run("shell", ["/bin/sh", "-c", script], **options)


# --- exit status, streams, signals ---


@pytest.mark.parametrize("status", [0, 1, 42, 125, 255])
def test_exit_status(daemon, status):
    """The command's exit status is pvcalls-run's."""
    assert sh(daemon, f"exit {status}").returncode == status


def test_exit_status_of_what_can_not_be_run(daemon, tmp_path):
    """127 for a command that is not there, 126 for one that can't be executed, as shells do."""
    done = daemon.run("shell", ["/nowhere/command"])
    assert done.returncode == 127 and "/nowhere/command" in done.stderr
    assert daemon.run("shell", ["no-such-command-anywhere"]).returncode == 127
    file = tmp_path / "plain"
    file.write_text("no program\n")
    done = daemon.run("shell", [str(file)])
    assert done.returncode == 126 and str(file) in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_exit_status_of_a_signal(daemon, number):
    """A command that a signal ended: 128 and the signal, as shells do."""
    assert sh(daemon, f"ulimit -c 0; kill -{int(number)} $$").returncode == 128 + number


def test_signals_are_passed_on(daemon):
    """SIGTERM and SIGINT sent to pvcalls-run reach the command."""
    for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGINT, "INT"), (signal.SIGHUP, "HUP")):
        guest = daemon.popen("shell", ["/bin/sh", "-c", f"trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"], text=True)
        assert guest.stdout.readline() == "ready\n"
        guest.send_signal(number)
        out, err = guest.communicate(timeout=20)
        assert (guest.returncode, out) == (7, f"got {name}\n"), err
        wait_for(lambda: daemon.guest("shell") is None, "the guest is gone")


def test_standard_streams_and_environment(daemon):
    """Standard input and output, arguments, directory and environment are the command's own."""
    done = check(run(daemon.guest_command("shell", ["/bin/sh", "-c", 'cat; printf "%s|" "$@" "$PWD" "$MARK"; echo err >&2', "sh", "a b", ""]),
                     stdin=subprocess.DEVNULL, cwd="/usr", env={**os.environ, "MARK": "here"}))
    assert done.stdout == "a b||/usr|here|" and "err" in done.stderr
    command = daemon.guest_command("shell", ["cat"])
    done = subprocess.run(command, input=b"through", capture_output=True, timeout=30, check=True)
    assert done.stdout == b"through"


def test_killed_runner_takes_its_command_along(daemon):
    """kill -9 of pvcalls-run: its command ends, the guest is gone, its host socket is closed."""
    server = socket.create_server(("127.0.0.1", 0))
    code = f"c = socket.create_connection(('127.0.0.1', {server.getsockname()[1]})); print(os.getpid(), flush=True); c.recv(1)"
    guest = daemon.popen("shell", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], text=True)
    connection = server.accept()[0]
    connection.settimeout(10)
    guest.stdout.readline()
    since = time.monotonic()
    guest.kill()
    guest.wait(10)
    try:
        assert connection.recv(1) == b""
    except ConnectionResetError:
        pass
    took = time.monotonic() - since
    assert took <= 1, f"the host socket closed after {took:.2f} s, 1 s is allowed"
    connection.close()
    server.close()
    wait_for(lambda: not tagged(daemon.guest_tag), "nothing of it is left")
    wait_for(lambda: daemon.guest("shell") is None, "the guest is gone")


def test_usage(daemon, tmp_path):
    """Wrong command lines and daemons that are not there: one clear line and a status of its own."""
    for argv in ([], ["--nonsense"], ["--name", "", "--", "true"], ["--ring-order", "10", "--", "true"]):
        done = run([program("pvcalls-run"), *argv])
        assert done.returncode not in (0, 1) and done.stderr, argv
    done = run([program("pvcalls-run"), "--runtime-dir", str(tmp_path), "--name", "x", "--", "true"])
    assert done.returncode not in (0, 1) and str(tmp_path) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# --- no other network ---


def test_no_other_network(daemon):
    """The program's own namespace has no interface that is up; other families reach nothing."""
    done = check(daemon.python("shell", """
print(open('/proc/net/dev').read().count(':'))
def dial(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(3); s.connect(address)
    if kind != socket.SOCK_STREAM: s.send(b'x')
print(attempt(dial, socket.AF_INET6, socket.SOCK_STREAM, ('::1', 80)))
print(attempt(dial, socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', 53)))
print(attempt(dial, socket.AF_INET, socket.SOCK_DGRAM, ('192.0.2.1', 53)))
print(attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)))
print(attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)))
"""))
    devices, *results = done.stdout.split()
    assert int(devices) <= 1
    assert results[0] != "ok"
    assert results[2] != "ok", "no datagram leaves"


def test_abstract_sockets_of_the_host_are_out_of_reach(daemon):
    """Abstract unix sockets belong to the network namespace: the host's are not there."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"\0pvcalls-test-{os.getpid()}")
    server.listen(1)
    done = check(daemon.python("shell", f"""
s = socket.socket(socket.AF_UNIX); print(attempt(s.connect, '\\0pvcalls-test-{os.getpid()}'))
"""))
    server.close()
    assert done.stdout.strip() == "ECONNREFUSED"


def test_unix_sockets_and_pairs_work(daemon, tmp_path):
    """What is no TCP stays what it is: unix sockets, pairs, pipes."""
    check(daemon.python("shell", f"""
a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'
s = socket.socket(socket.AF_UNIX); s.bind({str(tmp_path / 'sock')!r}); s.listen(1)
c = socket.socket(socket.AF_UNIX); c.connect({str(tmp_path / 'sock')!r})
d, _ = s.accept(); c.send(b'y'); assert d.recv(1) == b'y'
r, w = os.pipe(); os.write(w, b'z'); assert os.read(r, 1) == b'z'
"""))


def test_names_go_over_tcp(daemon):
    """RES_OPTIONS asks the resolver to use TCP."""
    assert "use-vc" in check(sh(daemon, 'echo "$RES_OPTIONS"')).stdout


def test_as_an_ordinary_user(make_daemon):
    """No privilege is needed: another user's program runs as a guest that it was granted."""
    daemon = make_daemon(config="local: {guests: [{name: 'n-*', users: [65534]}]}\n")
    port = free_port()
    with running(peers("greet", port), port=port):
        done = check(daemon.python("n-1", f"""
c = socket.create_connection(('127.0.0.1', {port})); print(c.makefile().read().strip(), os.getuid(), os.geteuid())
status = dict(l.split(':\\t', 1) for l in open('/proc/self/status') if ':\\t' in l)
print(status['CapEff'].strip(), status['NoNewPrivs'].strip())
""", **NOBODY))
    address, privileges = done.stdout.splitlines()
    assert address.startswith("127.0.0.1:") and address.endswith(" 65534 65534")
    assert privileges.split()[1] == "1"
    assert daemon.guest("n-1") is None
    done = daemon.run("other", ["true"], **NOBODY)
    assert done.returncode not in (0, 1) and "65534" in done.stderr and "'other'" in done.stderr


# --- what programs do with sockets ---


@pytest.fixture
def echo():
    with running(peers("echo", port := free_port()), port=port):
        yield port


def test_names_of_sockets(daemon):
    """getsockname and getpeername say what the peer sees, on both sides of a connection."""
    port, mine = free_port(), free_port()
    with running(peers("greet", port), port=port):
        done = check(daemon.python("shell", f"""
c = socket.create_connection(('127.0.0.1', {port}))
print('%s:%d' % c.getsockname(), c.makefile().read().strip(), '%s:%d' % c.getpeername())
"""))
    own, seen, peer = done.stdout.split()
    assert own == seen and peer == f"127.0.0.1:{port}"
    code = f"""
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', {mine})); print('%s:%d' % s.getsockname(), flush=True); s.listen(5)
c, peer = s.accept(); print('%s:%d' % peer, '%s:%d' % c.getpeername(), '%s:%d' % c.getsockname(), flush=True)
"""
    guest = daemon.popen("shell", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], port=mine, text=True)
    with socket.create_connection(("127.0.0.1", mine), timeout=20) as client:
        out, err = guest.communicate(timeout=20)
        bound, accepted, theirs, ours = out.split()
        me = "%s:%d" % client.getsockname()
        assert (bound, accepted, theirs, ours) == (f"127.0.0.1:{mine}", me, me, f"127.0.0.1:{mine}"), err


def test_port_zero(daemon):
    """bind to port 0 and listen: the program learns the port that it got."""
    code = """
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(5)
print(s.getsockname()[1], flush=True)
c, _ = s.accept(); c.sendall(b'found'); c.close()
"""
    guest = daemon.popen("shell", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], text=True)
    port = int(guest.stdout.readline())
    assert port > 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        assert client.makefile().read() == "found"
    assert guest.wait(20) == 0


def test_nonblocking_connect_with_edge_triggered_epoll(daemon, echo):
    """EINPROGRESS, EPOLLOUT once, SO_ERROR 0; refused: EPOLLERR and SO_ERROR says so."""
    closed = free_port()
    check(daemon.python("shell", f"""
import select
poller = select.epoll()
def start(port):
    s = socket.socket(); s.setblocking(False)
    result = s.connect_ex(('127.0.0.1', port))
    assert result in (0, errno.EINPROGRESS), result
    poller.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    return s
for _ in range(50):
    s = start({echo})
    while not s.getpeername_ok if hasattr(s, 'getpeername_ok') else False: pass
    seen = 0
    while not seen & select.EPOLLOUT:
        ready = dict(poller.poll(20)); assert ready, 'no event'
        seen |= ready.get(s.fileno(), 0)
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    s.send(b'edge')
    got = b''
    while got != b'edge':
        ready = dict(poller.poll(20)); assert ready, 'no answer'
        try:
            while True: 
                part = s.recv(2); got += part
                if not part: break
        except BlockingIOError: pass
    poller.unregister(s); s.close()
for _ in range(20):
    s = start({closed})
    ready = dict(poller.poll(20)); assert ready, 'no event for a refused connect'
    assert ready[s.fileno()] & (select.EPOLLERR | select.EPOLLHUP), ready
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    poller.unregister(s); s.close()
""".replace("    while not s.getpeername_ok if hasattr(s, 'getpeername_ok') else False: pass\n", "")))


def test_connect_while_it_is_under_way(make_daemon, network):
    """A connect to nobody waits; a second one meets EALREADY; a timeout of the program's own works."""
    daemon = make_daemon(netns=network.host)
    network.ip("-n", network.far, "route", "add", "blackhole", "10.84.0.0/16")
    check(daemon.python("shell", """
import select, time
s = socket.socket(); s.setblocking(False)
assert s.connect_ex(('10.83.0.99', 80)) == errno.EINPROGRESS
assert s.connect_ex(('10.83.0.99', 80)) == errno.EALREADY
assert not select.select([], [s], [], 0.3)[1]
t = socket.socket(); t.settimeout(0.3)
try:
    t.connect(('10.83.0.98', 80))
except TimeoutError: pass
else: raise SystemExit('connected to nobody')
s.close(); t.close()
"""))


def test_threads(daemon, echo):
    """Forty threads, each with connections of its own, at once."""
    done = check(daemon.python("shell", f"""
import threading
good = []
def work(n):
    for _ in range(10):
        with socket.create_connection(('127.0.0.1', {echo})) as c:
            c.sendall(b'%04d' % n); assert c.recv(4, socket.MSG_WAITALL) == b'%04d' % n; good.append(n)
workers = [threading.Thread(target=work, args=(n,)) for n in range(40)]
for w in workers: w.start()
for w in workers: w.join()
print(len(good))
"""))
    assert done.stdout == "400\n"


def test_fork_and_inheritance(daemon, echo):
    """A connection made by a parent is used by its child, and one made by a child by itself."""
    check(daemon.python("shell", f"""
c = socket.create_connection(('127.0.0.1', {echo}))
for n in range(20):
    pid = os.fork()
    if not pid:
        c.sendall(b'kid'); assert c.recv(3, socket.MSG_WAITALL) == b'kid'
        with socket.create_connection(('127.0.0.1', {echo})) as own:
            own.sendall(b'own'); assert own.recv(3, socket.MSG_WAITALL) == b'own'
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
c.sendall(b'dad'); assert c.recv(3, socket.MSG_WAITALL) == b'dad'
"""))


def test_exec_and_passed_descriptors(daemon, echo):
    """A connection goes to another program as its standard input, and over a unix socket."""
    check(daemon.python("shell", f"""
import subprocess
c = socket.create_connection(('127.0.0.1', {echo}))
c.sendall(b'line\\n')
assert subprocess.run(['head', '-n', '1'], stdin=c.fileno(), capture_output=True).stdout == b'line\\n'
a, b = socket.socketpair()
socket.send_fds(a, [b'x'], [c.fileno()]); c.close()
_, fds, _, _ = socket.recv_fds(b, 1, 1)
d = socket.socket(fileno=fds[0]); d.sendall(b'again'); assert d.recv(5, socket.MSG_WAITALL) == b'again'
"""))


def test_dup(daemon, echo):
    """A duplicate keeps the connection; it ends when the last one is closed."""
    check(daemon.python("shell", f"""
c = socket.create_connection(('127.0.0.1', {echo}))
d = os.dup(c.fileno()); c.close()
os.write(d, b'dup'); assert os.read(d, 3) == b'dup'
e = os.dup2(d, 77); os.close(d)
os.write(e, b'two'); assert os.read(e, 3) == b'two'
s = socket.socket(); f = s.dup(); f.connect(('127.0.0.1', {echo})); s.sendall(b'early'); assert f.recv(5, socket.MSG_WAITALL) == b'early'
"""))


def test_calls_of_every_kind(daemon, echo, tmp_path):
    """read, write, readv, writev, send, recv, peek, sendfile, sendmsg and splice on a connection."""
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    check(daemon.python("shell", f"""
c = socket.create_connection(('127.0.0.1', {echo}))
def get(n): return c.recv(n, socket.MSG_WAITALL)
os.write(c.fileno(), b'write'); assert os.read(c.fileno(), 1) == b'w' and get(4) == b'rite'
os.writev(c.fileno(), [b'wri', b'tev']); assert get(6) == b'writev'
c.send(b'peek'); assert c.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL) == b'peek' == get(4)
c.sendmsg([b'send', b'msg']); assert get(7) == b'sendmsg'
with open({str(file)!r}, 'rb') as f:
    sent = os.sendfile(c.fileno(), f.fileno(), 0, 100000)
assert get(sent) == (bytes(range(256)) * 1000)[:sent]
r, w = os.pipe(); os.write(w, b'splice'); os.splice(r, c.fileno(), 6); assert get(6) == b'splice'
assert attempt(lambda: c.recv(1, socket.MSG_DONTWAIT)) == 'EAGAIN'
"""))


def test_socket_options(daemon, echo):
    """Options that programs set on TCP sockets are taken, and what they read back makes sense."""
    check(daemon.python("shell", f"""
s = socket.socket()
assert s.family == socket.AF_INET and s.type == socket.SOCK_STREAM
for level, option in [(socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                      (socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                      (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT)]:
    s.setsockopt(level, option, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
s.connect(('127.0.0.1', {echo}))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
assert s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
assert s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_INET
s.sendall(b'x'); assert s.recv(1) == b'x'
"""))


def test_errors_of_wrong_calls(daemon, echo):
    """Calls that make no sense meet the errno they meet everywhere."""
    closed = free_port()
    done = check(daemon.python("shell", f"""
s = socket.socket(); print(attempt(s.connect, ('127.0.0.1', {closed})))
s = socket.socket(); print(attempt(s.getpeername))
s = socket.socket(); print(attempt(s.accept))
s = socket.socket(); s.connect(('127.0.0.1', {echo})); print(attempt(s.connect, ('127.0.0.1', {echo})))
s = socket.socket(); s.bind(('127.0.0.1', 0)); print(attempt(s.bind, ('127.0.0.1', 0)))
"""))
    assert done.stdout.split() == ["ECONNREFUSED", "ENOTCONN", "EINVAL", "EISCONN", "EINVAL"]


def test_connect_again_after_a_refusal(daemon):
    """A socket whose connect was refused may try again, and succeeds when somebody listens."""
    port = free_port()
    code = f"""
s = socket.socket(); print(attempt(s.connect, ('127.0.0.1', {port})), flush=True)
sys.stdin.readline()
print(attempt(s.connect, ('127.0.0.1', {port})), flush=True)
s.sendall(b'x'); print(s.recv(1), flush=True)
"""
    guest = daemon.popen("shell", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], stdin=subprocess.PIPE, text=True)
    assert guest.stdout.readline() == "ECONNREFUSED\n"
    with running(peers("echo", port), port=port):
        out, err = guest.communicate("\n", timeout=20)
    assert (guest.returncode, out) == (0, "ok\nb'x'\n"), err


def test_accept_loop(daemon):
    """An accept loop with a thread for each connection, and several threads that accept."""
    port = free_port()
    code = f"""
import threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', {port})); s.listen(128)
def loop():
    while True:
        c, _ = s.accept()
        threading.Thread(target=lambda c=c: (c.sendall(c.recv(100)), c.close()), daemon=True).start()
for _ in range(4): threading.Thread(target=loop, daemon=True).start()
sys.stdin.read()
"""
    guest = daemon.popen("server", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], port=port, stdin=subprocess.PIPE)
    for _ in range(5):
        clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(50)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            assert client.makefile().read() == str(number)
            client.close()
    guest.stdin.close()
    assert guest.wait(20) == 0


def test_nonblocking_accept_with_epoll(daemon):
    """A listener in edge-triggered epoll: EAGAIN when empty, an event for what comes."""
    port = free_port()
    code = f"""
import select
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.setblocking(False)
s.bind(('127.0.0.1', {port})); s.listen(128)
assert attempt(s.accept) == 'EAGAIN'
p = select.epoll(); p.register(s, select.EPOLLIN | select.EPOLLET)
served = 0
while served < 60:
    assert p.poll(20), 'no event'
    while True:
        try: c, _ = s.accept()
        except BlockingIOError: break
        c.setblocking(True); c.sendall(b'hi'); c.close(); served += 1
"""
    guest = daemon.popen("server", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], port=port)
    for number in range(20):
        clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(3)]
        for client in clients:
            assert client.makefile().read() == "hi", number
            client.close()
    assert guest.wait(20) == 0, output_of(guest)


def test_shutdown(daemon):
    """shutdown for writing delivers what was written before, and the end; for reading ends reads."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    code = f"""
c = socket.create_connection(('127.0.0.1', {port}))
c.sendall(b'all of it'); c.shutdown(socket.SHUT_WR)
assert c.recv(100) == b'answer'
import signal; signal.signal(signal.SIGPIPE, signal.SIG_IGN)
assert attempt(c.send, b'x') == 'EPIPE'
"""
    guest = daemon.popen("shell", [PYTHON, "-S", "-c", GUEST_PRELUDE + code])
    connection = server.accept()[0]
    connection.settimeout(20)
    assert connection.recv(10) == b"all of it"
    assert connection.recv(1) == b""
    connection.sendall(b"answer")
    connection.close()
    server.close()
    assert guest.wait(20) == 0, output_of(guest)


def test_every_second_guest_name(daemon):
    """Two at once with one name: the second is refused; without a name each gets its own."""
    first = daemon.popen("twin", ["cat"], stdin=subprocess.PIPE)
    wait_for(lambda: daemon.guest("twin"), "the first is attached")
    done = daemon.run("twin", ["true"])
    assert done.returncode not in (0, 1) and "attached already" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    first.stdin.close()
    assert first.wait(20) == 0
    check(run([program("pvcalls-run"), "--runtime-dir", daemon.runtime_dir, "--", "true"]))


def test_startup_is_quick_and_ends_clean(daemon):
    """Thirty short guests one after the other, with one name: each finds the name free again."""
    since = time.monotonic()
    for _ in range(30):
        check(daemon.run("again", ["/bin/true"]))
    print(f"{(time.monotonic() - since) / 30:.3f} s each")
    daemon.settle()
    assert len(daemon.events("guest_attached", "again")) == len(daemon.events("guest_detached", "again")) == 30


def test_policy_chosen_by_name(make_daemon):
    """--name decides which policy holds."""
    port = free_port()
    with running(peers("greet", port), port=port):
        daemon = make_daemon({"10.yaml": make_policy("shut", "shut", default="deny"), "20.yaml": make_policy()})
        assert daemon.run("shut", peers("fetch", "127.0.0.1", port)).returncode != 0
        check(daemon.run("open", peers("fetch", "127.0.0.1", port)))
