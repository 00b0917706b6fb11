# SPDX-License-Identifier: GPL-2.0-or-later
"""pvcallsctl: what is, and orders; who may give them."""
import json
import os
import signal
import socket

import pytest

from harness import GUEST_PRELUDE, PYTHON, check, end_process, free_port, make_policy, output_of, peers, program, run, running, wait_for
from test_bad_input import plugin_dir

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
    assert status["policies"]["names"] == ["test"]
    assert f"policies    test ({daemon.policy_dir}/test.yaml)" in text.splitlines()


COUNTING = """
#include <pvcalls/plugin.h>
#include <stdio.h>
static const struct pvcalls_host *of(void *instance) { return *(const struct pvcalls_host **)instance; }
static void *create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	const struct pvcalls_host **made = host->alloc(host, sizeof(*made));
	(void)section;
	if (made) *made = host;
	return made;
}
static void decide(void *instance, const struct pvcalls_call *call, struct pvcalls_verdict *verdict)
{
	(void)call; (void)verdict;
	of(instance)->count(of(instance), "asked", 1);
}
static size_t metrics(void *instance, char *text, size_t size)
{
	(void)instance;
	return (size_t)snprintf(text, size, "level 7\\n");
}
PVCALLS_PLUGIN(.name = "counting", .version = "1", .description = "counts connects", .ops = 1u << PVCALLS_OP_CONNECT,
	       .create = create, .decide = decide, .metrics = metrics);
"""


@pytest.mark.needs("gcc")
def test_metrics_of_plugins(make_daemon):
    """status shows what plugins count, of all guests together, and reloads keep it."""
    daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "counting"}])}, start=False)
    daemon.arguments = ["--plugin-dir", plugin_dir(daemon, COUNTING, "counting")]
    daemon.start()
    code = f"""
for line in sys.stdin:
    attempt(socket.socket().connect, ('127.0.0.1', {free_port()})); print(flush=True)
"""
    guests = [daemon.popen(name, [PYTHON, "-S", "-c", GUEST_PRELUDE + code], stdin=-1, text=True) for name in ("one", "two")]

    def ask(guest):
        guest.stdin.write("\n")
        guest.stdin.flush()
        assert guest.stdout.readline() == "\n"

    ask(guests[0])
    ask(guests[1])
    daemon.reload()
    ask(guests[1])
    status = daemon.ctl_json("status")
    assert status["metrics"]["counting.asked"] == 3 and status["metrics"]["counting.level"] == 14
    assert status["metrics"]["counting.faults"] == 0 and status["engines_silent"] == 0
    lines = check(daemon.ctl("status")).stdout.splitlines()
    assert "metrics     counting.asked 3" in lines and "            counting.level 14" in lines, lines
    for guest in guests:
        guest.stdin.close()
        assert guest.wait(20) == 0


def test_status_of_engines_that_hang(make_daemon):
    """Engines are asked at once: several that hang cost the time of one, and are said."""
    daemon = make_daemon({"test.yaml": make_policy()})

    def silent(number, count=3):
        guests = [daemon.popen(f"hangs-{number}-{i}", ["sleep", "60"]) for i in range(count)]
        pids = [daemon.engine_pid(f"hangs-{number}-{i}") for i in range(count)]
        wait_for(lambda: daemon.guest(f"hangs-{number}-{count - 1}")["backend"] == "connected", "the last is attached")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        lines = check(daemon.ctl("status")).stdout.splitlines()
        for guest in guests:
            end_process(guest)
        daemon.settle()
        return "metrics     3 engines did not answer within 1 s and are not in them" in lines

    # One after the other, the watchdog would have ended the third before it was given up; it may
    # be early where the machine is slow.
    assert any(silent(number) for number in range(5))


def test_reload_tells_what_it_did(make_daemon):
    """How many policies there are, which have changed, and how many guests are served otherwise."""
    policies = {f"{n}.yaml": make_policy(name, name) for n, name in enumerate(("one", "two", "three"))}
    daemon = make_daemon(policies)
    guests = [daemon.popen(name, [PYTHON, "-S", "-c", "import socket, sys; socket.socket(); sys.stdin.read()"], stdin=-1) for name in ("one", "two")]
    for name in ("one", "two"):
        daemon.engine_pid(name)
    wait_for(lambda: {g["backend"] for g in daemon.ctl_json("guests")} == {"connected"}, "both are attached")
    assert check(daemon.ctl("reload")).stdout == "3 policies in force (none changed); 0 of 2 guests moved to another or a changed one\n"
    daemon.write_policy("1.yaml", make_policy("two", "two", default="deny"))
    os.unlink(os.path.join(daemon.policy_dir, "2.yaml"))
    daemon.write_policy("3.yaml", make_policy("four", "four"))
    text = "3 policies in force (changed: two; new: four; gone: three); 1 of 2 guests moved to another or a changed one"
    assert check(daemon.ctl("reload")).stdout == text + "\n"
    daemon.write_policy("0.yaml", make_policy("all", "*"))
    assert "(changed: all); 2 of 2 guests moved" in check(daemon.ctl("reload")).stdout
    for guest in guests:
        guest.stdin.close()
        assert guest.wait(20) == 0
    daemon.settle()
    assert text in [event["text"] for event in daemon.events("reload")]
    assert f"reload: {text}" in daemon.log()


def test_reload_refused(make_daemon):
    """Each error is a line of its own wherever it is told; a directory that is gone is an error, too."""
    daemon = make_daemon()
    daemon.write_policy("1.yaml", make_policy("one", "one", default="perhaps"))
    daemon.write_policy("2.yaml", make_policy("two", "two", mode="perhaps"))
    done = daemon.ctl("reload")
    assert done.returncode == 3 and [line.split(":")[1].rsplit("/")[-1] for line in done.stderr.splitlines()] == ["1.yaml", "2.yaml"]
    status = check(daemon.ctl("status")).stdout
    assert "\\x0a" not in status and "STALE" in status
    assert [line.split(":")[0].rsplit("/")[-1] for line in status.splitlines() if ".yaml:" in line] == ["1.yaml", "2.yaml"]
    refused = [line for line in daemon.log().splitlines() if "reload refused, the policies in force stay: " in line]
    assert len(refused) == 2 and "1.yaml:" in refused[0] and "2.yaml:" in refused[1]
    wait_for(lambda: len(daemon.events("policy_refused")) == 2, "both are recorded")
    assert all("\n" not in event["text"] for event in daemon.events("policy_refused"))
    for name in ("1.yaml", "2.yaml"):
        os.unlink(os.path.join(daemon.policy_dir, name))
    daemon.reload()
    assert daemon.ctl_json("status")["policies"]["stale"] is False
    os.rename(daemon.policy_dir, daemon.policy_dir + ".gone")
    assert daemon.ctl("reload").returncode == 3
    policies = daemon.ctl_json("status")["policies"]
    assert policies["stale"] is True and daemon.policy_dir in policies["stale_reason"] and policies["names"] == ["test"]
    os.rename(daemon.policy_dir + ".gone", daemon.policy_dir)
    daemon.reload()
    assert daemon.ctl_json("status")["policies"]["stale"] is False


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
