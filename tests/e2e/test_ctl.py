# SPDX-License-Identifier: GPL-2.0-or-later
"""pvcallsctl: what is, and orders; who may give them."""
import json
import os
import socket

import pytest

from harness import PYTHON, check, free_port, output_of, peers, program, run, running, wait_for

pytestmark = pytest.mark.root


@pytest.fixture
def busy(daemon):
    """A daemon with a guest `busy` that has two connections and a listener."""
    port, mine = free_port(), free_port()
    code = f"""
import socket, sys
a, b = (socket.create_connection(('127.0.0.1', {port})) for _ in range(2))
a.sendall(b'x' * 1000)
n = 0
while n < 1000: n += len(a.recv(1000))
s = socket.socket(); s.bind(('127.0.0.1', {mine})); s.listen(5)
print('ready', flush=True)
for line in sys.stdin:
    try: print(a.recv(1) or 'end', flush=True)
    except OSError as error: print('error', flush=True)
"""
    with running(peers("echo", port), port=port):
        guest = daemon.popen("busy", [PYTHON, "-S", "-c", code], stdin=-1, text=True)
        assert guest.stdout.readline() == "ready\n", output_of(guest)
        yield daemon, guest, port, mine
        if guest.poll() is None:
            daemon.end_guest(guest)


def test_status(busy):
    """status: the daemon, its policies, its writer; as text and as JSON."""
    daemon = busy[0]
    status = daemon.ctl_json("status")
    assert status["pid"] == daemon.process.pid and status["transport"] == "local"
    assert status["guests"] == status["engines"] == 1
    assert status["durability"] == "crash" and status["writer"]["ready"] is True
    assert status["policies"]["files"] == [os.path.join(daemon.policy_dir, "test.yaml")]
    assert status["policies"]["stale"] is False
    text = check(daemon.ctl("status")).stdout
    assert str(daemon.process.pid) in text and "\033" not in text


def test_guests(busy):
    """guests: each with its policy, engine, state and counters."""
    daemon = busy[0]
    guest, = daemon.ctl_json("guests")
    assert (guest["name"], guest["frontend"], guest["backend"], guest["policy"]) == ("busy", "connected", "connected", "test")
    assert guest["policy_file"].endswith("test.yaml") and guest["engine_pid"] > 0
    counters = guest["counters"]
    assert counters["sockets"] == 3 and counters["calls"] >= 7 and counters["denied"] == 0
    assert (counters["bytes_in"], counters["bytes_out"]) == (1000, 1000)
    assert "busy" in check(daemon.ctl("guests")).stdout


def test_sockets(busy):
    """sockets: state, addresses and bytes of each; of one guest by name or domid, or of all."""
    daemon, _, port, mine = busy
    sockets = daemon.ctl_json("sockets", "busy")
    streams = [s for s in sockets if s["state"] == "stream"]
    listener, = [s for s in sockets if s["state"] == "listening"]
    assert {s["peer"] for s in streams} == {f"127.0.0.1:{port}"}
    assert sorted((s["in"], s["out"]) for s in streams) == [(0, 0), (1000, 1000)]
    assert listener["local"] == f"127.0.0.1:{mine}"
    domid = str(daemon.guest("busy")["domid"])
    assert {s["socket"] for s in daemon.ctl_json("sockets", domid)} == {s["socket"] for s in sockets}
    assert f"127.0.0.1:{port}" in check(daemon.ctl("sockets")).stdout
    done = daemon.ctl("sockets", "nobody")
    assert done.returncode == 1 and "no such guest" in done.stderr


def test_kill_a_socket(busy):
    """kill GUEST SOCKET closes that one, is recorded, and leaves the rest."""
    daemon, guest, _, _ = busy
    victim = next(s for s in daemon.ctl_json("sockets", "busy") if s["in"] == 1000)
    check(daemon.ctl("kill", "busy", str(victim["socket"])))
    left = daemon.ctl_json("sockets", "busy")
    assert len(left) == 2 and victim["socket"] not in {s["socket"] for s in left}
    guest.stdin.write("\n")
    guest.stdin.flush()
    assert guest.stdout.readline().strip() in ("end", "error"), "the program sees its connection end"
    assert daemon.ctl("kill", "busy", "99999").returncode == 1
    row = wait_for(lambda: daemon.calls("busy", "release", close_reason="operator"), "the release is recorded")[0]
    assert (row["socket"], row["bytes_in"], row["bytes_out"]) == (victim["socket"], 1000, 1000)
    event = wait_for(lambda: daemon.events("operator", "busy"), "the command is recorded")[0]
    assert event["uid"] == 0 and str(victim["socket"]) in event["text"]


def test_kill_a_guest(busy):
    """kill GUEST cuts it off: its program ends or meets errors, its releases say who did it."""
    daemon, guest, _, _ = busy
    check(daemon.ctl("kill", "busy"))
    wait_for(lambda: daemon.guest("busy") is None, "the guest is gone")
    guest.stdin.write("\n")
    guest.stdin.flush()
    assert guest.stdout.readline().strip() in ("end", "error"), "the program sees its connection end"
    guest.stdin.close()
    guest.wait(20)
    daemon.settle()
    rows = daemon.calls("busy", "release")
    assert len(rows) == 3 and {row["close_reason"] for row in rows} == {"operator"}
    assert daemon.events("operator", "busy")
    done = daemon.ctl("kill", "busy")
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    check(daemon.run("busy", ["/bin/true"]))


def test_plugins(daemon):
    """plugins: what each says of itself; a file that is none is refused."""
    text = check(daemon.ctl("plugins")).stdout
    for name in ("log", "filter", "ratelimit", "rewrite"):
        assert name in text
    found = json.loads(check(daemon.ctl("-o", "json", "plugins")).stdout)
    assert all(plugin["valid"] for plugin in found) and len(found) >= 4
    one = os.path.join(os.path.dirname(os.path.dirname(program("pvcallsd"))), "plugins", "filter.so")
    assert "filter" in check(run([program("pvcallsctl"), "plugins", "--file", one])).stdout
    done = run([program("pvcallsctl"), "plugins", "--file", program("pvcallsctl")])
    assert done.returncode == 3 and "pvcallsctl" in done.stderr


def test_usage_and_out_of_reach(daemon, tmp_path):
    """Wrong command lines are status 2, a daemon that is not there status 4; one line each."""
    for argv in ([], ["nonsense"], ["kill"], ["status", "too", "much"], ["-o", "xml", "status"]):
        assert daemon.ctl(*argv).returncode == 2, argv
    done = run([program("pvcallsctl"), "--runtime-dir", str(tmp_path), "status"])
    assert done.returncode == 4 and len(done.stderr.strip().splitlines()) == 1
    assert "pvcallsd running" in done.stderr


def test_who_may(make_daemon):
    """U1: readers may look and not order; others may not even look."""
    daemon = make_daemon(config="control: {users: [61001]}\n")
    looks, orders = ("status", "guests", "sockets"), ("reload", "kill")
    expected = {}
    found = {}
    for uid in (0, 61001, 61002):
        for verb in looks + orders:
            argv = [verb, "nobody"] if verb == "kill" else [verb]
            found[uid, verb] = daemon.ctl(*argv, user=uid or None).returncode
            permitted = uid == 0 or (uid == 61001 and verb in looks)
            expected[uid, verb] = (1 if verb == "kill" else 0) if permitted else 5
    assert found == expected
    assert os.stat(os.path.join(daemon.runtime_dir, "control.sock")).st_mode & 0o777 == 0o666
    closed = make_daemon()
    assert os.stat(os.path.join(closed.runtime_dir, "control.sock")).st_mode & 0o777 == 0o600
    assert closed.ctl("status", user=61001).returncode == 5


def test_garbage_on_the_control_socket(daemon):
    """Whatever is said to it, it answers or hangs up, and goes on."""
    path = os.path.join(daemon.runtime_dir, "control.sock")
    for text in (b"\n", b"null\n", b"[]\n", b"{}\n", b'{"command": 5}\n', b'{"command": "status", "x": 1}\n', b'{"command": "kill"}\n',
                 b'{"command": "sockets", "guest": "' + b"x" * 500 + b'"}\n', b"\xff\xfe\n", b"\0\n", b"[" * 5000 + b"\n",
                 b'{"command": "kill", "guest": "a", "socket": -1}\n', b'{"command": "status", "command": "guests"}\n'):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(path)
            control.sendall(text)
            answer = json.loads(control.makefile().readline())
            assert answer["ok"] is False and answer["status"] == 2 and answer["error"], text
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(path)
        with pytest.raises((ConnectionError, AssertionError)):
            control.sendall(b"x" * 200_000)
            assert not control.makefile().readline()
            raise AssertionError
    halves = []
    for _ in range(20):
        control = socket.socket(socket.AF_UNIX)
        control.connect(path)
        control.sendall(b'{"comm')
        halves.append(control)
    assert daemon.ctl_json("status")["guests"] == 0
    for control in halves:
        control.close()
