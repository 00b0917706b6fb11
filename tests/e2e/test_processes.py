# SPDX-License-Identifier: GPL-2.0-or-later
"""Who runs with which rights, and who suffers when one of them dies."""
import contextlib
import os
import random
import re
import signal
import struct
import subprocess
import time

import pytest

from frontend import ACCEPT, BIND, LISTEN, RELEASE, SLOTS, Frontend, sockaddr
from harness import (GUEST_PRELUDE, PYTHON, check, descriptors, free_port, has_sanitizer, is_alive, output_of, peers, proc_status,
                     rss_kib, running, tagged, wait_for)
from test_audit import check_serials, no_gaps

pytestmark = pytest.mark.root

UIDS = range(2_000_000_000, 2_000_000_512)
AUDIT_UID = 2_000_000_512
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
NET_BIND_SERVICE = 1 << 10


def idle(daemon, name):
    """A guest that only waits; returns it and its engine's process."""
    guest = daemon.popen(name, ["/bin/sh", "-c", "read line"], stdin=-1)
    return guest, daemon.engine_pid(name)


def attached(daemon, name):
    return wait_for(lambda: (daemon.guest(name) or {}).get("backend") == "connected", f"{name} is attached")


def test_identities(daemon):
    """Each engine has a user of its own, the writer another; none is root, none has capabilities."""
    engines = []
    for name in ("one", "two", "three"):
        engines.append(idle(daemon, name)[1])
        attached(daemon, name)
    uids = set()
    for pid in [*engines, daemon.writer_pid()]:
        status = proc_status(pid)
        users = set(map(int, status["Uid"].split()))
        groups = set(map(int, status["Gid"].split()))
        assert len(users) == len(groups) == 1 and not status["Groups"].strip()
        uids |= users
        assert users <= set(UIDS) if pid in engines else users == {AUDIT_UID}
        assert {key: int(status[key], 16) for key in CAPABILITIES} == dict.fromkeys(CAPABILITIES, 0)
        assert status["NoNewPrivs"] == "1"
        # The sanitizers make system calls of their own: then the writer goes without a filter.
        assert status["Seccomp"] == "2" or (has_sanitizer() and pid not in engines)
    assert len(uids) == 4, "nobody shares a user"


def test_low_ports_capability(make_daemon):
    """Where configured an engine keeps one capability and no other."""
    daemon = make_daemon(config="engine: {low_ports: true}\n")
    _, pid = idle(daemon, "one")
    attached(daemon, "one")
    status = proc_status(pid)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == NET_BIND_SERVICE
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_configured_uids(make_daemon):
    """Users come from the range that pvcallsd.yaml gives; when it is used up, a guest is refused."""
    daemon = make_daemon(config="engine: {uids: 61000-61001}\naudit: {uid: 61005}\n")
    for name in ("one", "two"):
        _, pid = idle(daemon, name)
        attached(daemon, name)
        assert int(proc_status(pid)["Uid"].split()[0]) in (61000, 61001)
    assert int(proc_status(daemon.writer_pid())["Uid"].split()[0]) == 61005
    done = daemon.run("three", ["/bin/true"])
    assert done.returncode != 0 and "uids" in done.stderr, done.stderr


def test_descriptors_of_an_engine(daemon):
    """An engine has no file open, no directory, nothing of another guest: what it needs and no more."""
    port = free_port()
    with running(peers("echo", port), port=port):
        _, first = idle(daemon, "first")
        attached(daemon, "first")
        guest = daemon.popen("second", [PYTHON, "-S", "-c", f"""
import socket, sys
kept = [socket.create_connection(('127.0.0.1', {port})) for _ in range(5)]
print('ready', flush=True); sys.stdin.read()
"""], stdin=-1, text=True)
        assert guest.stdout.readline() == "ready\n"
        second = daemon.engine_pid("second")
        kinds = {pid: {} for pid in (first, second)}
        for pid in kinds:
            for target in descriptors(pid).values():
                kind = re.sub(r"[:\[ ].*", "", target) if not target.startswith("/") else target
                kinds[pid][kind] = kinds[pid].get(kind, 0) + 1
            files = {t for t in kinds[pid] if t.startswith("/") and not t.startswith("/memfd:")}
            assert files <= {"/dev/null", daemon.log_path}, files
            assert kinds[pid].get("anon_inode", 0) <= 8
        assert kinds[second]["socket"] == kinds[first]["socket"] + 5, "a descriptor for each connection"
        assert kinds[first]["socket"] <= 4, "control and the kernel's two netlink sockets"
        inodes = [{t for t in descriptors(pid).values() if t.startswith("socket:")} for pid in (first, second)]
        assert not inodes[0] & inodes[1]
        guest.stdin.close()
        assert guest.wait(20) == 0


def test_descriptors_of_the_writer(daemon):
    """The writer has its folder, its queues and its control socket: no network."""
    targets = descriptors(daemon.writer_pid())
    sockets = [t for t in targets.values() if t.startswith("socket:")]
    assert len(sockets) == 1
    own = (os.path.join(daemon.state_dir, "audit"), "/dev/null", daemon.log_path, "/memfd:")
    for target in targets.values():
        assert not target.startswith("/") or target.startswith(own), targets


def test_writer_and_engine_cannot_touch_each_others(daemon):
    """The trail's folder is the writer's alone."""
    folder = os.path.join(daemon.state_dir, "audit")
    status = os.stat(folder)
    assert (status.st_uid, status.st_mode & 0o777) == (AUDIT_UID, 0o700)


def test_killed_engine_costs_its_guest_only(daemon):
    """kill -9 of an engine: its guest ends with an error, another's transfer goes on, it may come back."""
    port = free_port()
    stop = os.path.join(daemon.dir, "stop")
    with running(peers("echo", port), port=port):
        other = daemon.popen("other", peers("chat", "127.0.0.1", port, stop), text=True)
        for round_ in range(5):
            victim = daemon.popen("victim", peers("chat", "127.0.0.1", port, stop))
            pid = daemon.engine_pid("victim")
            wait_for(lambda: any(s["out"] for s in daemon.ctl_json("sockets", "victim")), "bytes move")
            since = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            status = victim.wait(20)
            took = time.monotonic() - since
            assert status != 0
            assert took <= 2, f"round {round_}: the guest's call hung for {took:.2f} s, 2 s are allowed"
            wait_for(lambda: daemon.guest("victim") is None, "the victim is gone")
        open(stop, "w").close()
        out, err = other.communicate(timeout=30)
        assert other.returncode == 0 and int(out.split()[0]) > 0, err
    daemon.settle()
    assert len(daemon.events("engine_crashed", "victim")) == 5
    assert daemon.process.poll() is None
    no_gaps(daemon.audit())


def test_what_waits_when_an_engine_dies_is_recorded(daemon):
    """An ACCEPT in flight has a row, dated by the engine's end; no call of the guest's is missing."""
    port = free_port()
    with contextlib.closing(Frontend(daemon.runtime_dir, "server")) as front:
        front.attach()
        listener = front.new_socket()
        assert front.call(BIND, listener, sockaddr("127.0.0.1", port)) == 0
        assert front.call(LISTEN, listener, struct.pack("<I", 8)) == 0
        for _ in range(3):
            front.place(ACCEPT, listener, struct.pack("<QII", front.new_id(), front.make_ring(), front.new_port()))
        front.show()
        front.new_socket()  # answered after the ACCEPTs were taken
        since = time.time_ns()
        os.kill(daemon.engine_pid("server"), signal.SIGKILL)
        wait_for(lambda: daemon.guest("server") is None, "the guest is gone")
    daemon.settle()
    rows = daemon.calls("server", "accept")
    assert [(row["verdict"], row["outcome"], row["peer_address"], row["local_port"]) for row in rows] == [
        ("none", "unknown", None, port)] * 3
    assert all(since <= row["time_ns"] <= time.time_ns() and row["errno"] is None for row in rows)
    check_serials(daemon.calls("server"))


def test_nothing_hangs_when_an_engine_dies(daemon):
    """C4: blocked connect, accept, recv and a full send all return within 2 s."""
    echo, stuck, mine = free_port(), free_port(), free_port()
    code = f"""
import threading, time
done = []
def note(what, call):
    try: call()
    except OSError as error: result = name(error.errno)
    else: result = 'end'
    done.append((what, result, time.time()))
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('127.0.0.1', {mine})); listener.listen(5)
reading = [socket.create_connection(('127.0.0.1', {echo})) for _ in range(32)]
writing = socket.create_connection(('127.0.0.1', {stuck}))
def pour():
    while True: writing.sendall(bytes(1 << 20))
import signal
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
def receive(c):
    if c.recv(1): raise AssertionError
jobs = [('accept', listener.accept), ('send', pour)] + [('recv', lambda c=c: receive(c)) for c in reading]
threads = [threading.Thread(target=note, args=job, daemon=True) for job in jobs]
for t in threads: t.start()
print('blocked', flush=True)
for t in threads: t.join()
print(len(done), max(when for _, _, when in done), flush=True)
"""
    with running(peers("echo", echo), port=echo), running(peers("stuck", stuck), port=stuck):
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], text=True)
        assert guest.stdout.readline() == "blocked\n"
        seen = [-1]

        def full():
            before, seen[0] = seen[0], sum(s["out"] for s in daemon.ctl_json("sockets", "shop"))
            return before == seen[0] > 0

        wait_for(full, "the sender is blocked", pause=0.1)
        pid = daemon.engine_pid("shop")
        since = time.time()
        os.kill(pid, signal.SIGKILL)
        out, err = guest.communicate(timeout=20)
        ended = time.time()
    if out:
        count, last = out.split()
        took = float(last) - since
        assert int(count) == 34
    else:
        # the guest was ended as a whole: then nothing hangs either
        took = ended - since
    print(f"the last blocked call returned after {took:.2f} s")
    assert took <= 2, f"a call hung for {took:.2f} s, 2 s are allowed: {err}"


@pytest.mark.slow
@pytest.mark.limit(180)
@pytest.mark.parametrize("durability", ["crash", "sync"])
def test_killed_writer_loses_nothing(make_daemon, durability):
    """kill -9 of pvcalls-auditd 20 times under load: every call is stored, none twice.

    Each daemon's writer is killed four times: one that keeps dying is started after pauses that grow.
    """
    kills = connections = 0
    for _ in range(5):
        daemon = make_daemon(config=f"durability: {durability}\n")
        port = free_port()
        stop = os.path.join(daemon.dir, "stop")
        with running(peers("greet", port), port=port):
            guests = [daemon.popen(f"load-{n}", peers("churn", "127.0.0.1", port, stop), text=True) for n in range(2)]
            wait_for(lambda: daemon.guest("load-0") and daemon.guest("load-1"), "the load has begun")
            killed = set()
            while len(killed) < 4:
                status = wait_for(lambda: (s := daemon.ask("status")["result"]["writer"])["ready"] and s["pid"] not in killed and s,
                                  "a writer is ready")
                # at any moment, not only when it has just begun
                calls = daemon.guest("load-0")["counters"]["calls"] + random.randrange(100)
                wait_for(lambda: daemon.guest("load-0")["counters"]["calls"] >= calls, "the load goes on")
                os.kill(status["pid"], signal.SIGKILL)
                killed.add(status["pid"])
            wait_for(lambda: daemon.ask("status")["result"]["writer"]["pid"] not in (0, *killed), "another writer runs")
            open(stop, "w").close()
            counts = [tuple(map(int, guest.communicate(timeout=60)[0].split())) for guest in guests]
        daemon.settle()
        assert all(good > 0 and bad == 0 for good, bad in counts), f"guests met errors: {counts}"
        rows = daemon.audit()
        no_gaps(rows)
        check_serials(rows)
        no_gaps(daemon.events())
        for number, (good, _) in enumerate(counts):
            for operation in ("socket", "connect", "release"):
                assert len([r for r in rows if r["guest"] == f"load-{number}" and r["operation"] == operation]) == good
        assert {row["outcome"] for row in rows} == {"ok"}
        assert len(daemon.events("writer_crashed")) == len(killed)
        kills += len(killed)
        connections += sum(good for good, _ in counts)
        daemon.stop()
    assert kills == 20
    print(f"{kills} kills, {connections} connections, none lost, none twice")


def test_killed_supervisor_leaves_no_orphan(make_daemon):
    """kill -9 of pvcallsd: all of its processes end within 3 s, the trail is whole, it starts again."""
    daemon = make_daemon()
    port = free_port()
    stop = os.path.join(daemon.dir, "stop")
    with running(peers("echo", port), port=port):
        for round_ in range(3):
            guests = [daemon.popen(f"g{round_}-{n}", peers("chat", "127.0.0.1", port, stop)) for n in range(3)]
            for n in range(3):
                wait_for(lambda n=n: daemon.guest(f"g{round_}-{n}") and any(
                    s["out"] for s in daemon.ctl_json("sockets", f"g{round_}-{n}")), "bytes move")
            since = time.monotonic()
            os.kill(daemon.process.pid, signal.SIGKILL)
            daemon.process.wait(10)
            wait_for(lambda: not tagged(daemon.tag), f"no orphan is left of {tagged(daemon.tag)}", 10)
            took = time.monotonic() - since
            print(f"round {round_}: all gone after {took:.2f} s")
            assert took <= 3, f"the last orphan ended after {took:.2f} s, 3 s are allowed"
            for guest in guests:
                assert guest.wait(20) != 0
            rows = daemon.audit()
            no_gaps(rows)
            check_serials(rows)
            for n in range(3):
                mine = [r for r in rows if r["guest"] == f"g{round_}-{n}"]
                assert [r["operation"] for r in mine] == ["socket", "connect", "release"]
                assert mine[-1]["close_reason"] == "shutdown" and mine[-1]["bytes_out"] > 0
            daemon.start()
            # The new daemon's first word is how the one before it ended; nothing was lost.
            end, start = daemon.events()[-2:]
            assert (end["event"], start["event"]) == ("unclean_end", "start"), (end, start)
            assert "ended without an orderly stop" in end["text"] and " 0 of them with an unknown outcome" in end["text"], end
            assert all(f"g{round_}-{n}" in end["text"] for n in range(3)), end
    daemon.settle()
    no_gaps(daemon.audit())
    no_gaps(daemon.events())
    daemon.stop()
    daemon.start()
    assert [e["event"] for e in daemon.events()][-2:] == ["stop", "start"]


def test_killed_with_all_its_processes(make_daemon):
    """kill -9 of every process, as a power cut has it: the next start says since when, and what is lost."""
    daemon = make_daemon()
    guest = daemon.popen("shop", ["sleep", "100"])
    wait_for(lambda: daemon.guest("shop"), "the guest is attached")
    for pid in list(tagged(daemon.tag)):
        os.kill(pid, signal.SIGKILL)
    daemon.process.wait(10)
    guest.kill()
    wait_for(lambda: not tagged(daemon.tag), "all are gone")
    daemon.start()
    end, = daemon.events("unclean_end")
    assert "last sign of life" in end["text"] and "what that had not stored is lost" in end["text"], end
    assert "ended without an orderly stop" in daemon.log()


def test_orderly_end_under_load(make_daemon):
    """SIGTERM while guests work: exit status 0, every socket has its release, nothing is left."""
    for number in (signal.SIGTERM, signal.SIGINT):
        daemon = make_daemon()
        port = free_port()
        with running(peers("echo", port), port=port):
            guests = [daemon.popen(f"g{n}", peers("chat", "127.0.0.1", port, "/nowhere/stop")) for n in range(3)]
            for n in range(3):
                wait_for(lambda n=n: daemon.guest(f"g{n}") and any(s["out"] for s in daemon.ctl_json("sockets", f"g{n}")), "bytes move")
            daemon.process.send_signal(number)
            assert daemon.process.wait(20) == 0, daemon.log()
            daemon.check_gone()
            for guest in guests:
                assert guest.wait(20) != 0
        rows = daemon.audit()
        no_gaps(rows)
        assert len([r for r in rows if r["operation"] == "release" and r["close_reason"] == "shutdown"]) == 3
        assert daemon.events()[-1]["event"] == "stop"
        assert not os.path.exists(os.path.join(daemon.runtime_dir, "local.sock"))


def test_engine_that_hangs(daemon):
    """An engine that does not answer is killed; it costs its guest only."""
    port = free_port()
    stop = os.path.join(daemon.dir, "stop")
    with running(peers("echo", port), port=port):
        other = daemon.popen("other", peers("chat", "127.0.0.1", port, stop))
        victim = daemon.popen("victim", peers("chat", "127.0.0.1", port, stop))
        pid = daemon.engine_pid("victim")
        wait_for(lambda: any(s["out"] for s in daemon.ctl_json("sockets", "victim")), "bytes move")
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: not is_alive(pid), "the engine was killed", 10)
        assert victim.wait(20) != 0
        open(stop, "w").close()
        assert other.wait(30) == 0, output_of(other)
    daemon.settle()
    crash, = daemon.events("engine_crashed", "victim")
    assert "did not answer" in crash["text"]


def test_writer_that_hangs(daemon):
    """A writer that is stopped for a while: guests wait or go on, and all rows come when it goes on."""
    port = free_port()
    with running(peers("greet", port), port=port):
        pid = daemon.writer_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            check(daemon.run("shop", peers("fetch", "127.0.0.1", port)))
        finally:
            os.kill(pid, signal.SIGCONT)
    daemon.settle()
    assert [row["operation"] for row in daemon.calls("shop")] == ["socket", "connect", "release"]


def test_full_queue_stops_the_guest_and_loses_nothing(daemon):
    """While the writer stands still, a guest is served until its queue is full and then waits."""
    guest = Frontend(daemon.runtime_dir, "busy").attach()
    assert guest.call(RELEASE, 1) == 0
    pid = daemon.writer_pid()
    os.kill(pid, signal.SIGSTOP)
    sent = answered = 0
    try:
        quiet = time.monotonic()
        while time.monotonic() - quiet < 1:
            while guest.req_prod - guest.rsp_cons < 32:
                guest.place(RELEASE, 1)
                sent += 1
            guest.show()
            got = guest.take()
            guest.answers.clear()
            answered += got
            if got:
                quiet = time.monotonic()
            assert answered < 100_000, "the queue has no end"
    finally:
        os.kill(pid, signal.SIGCONT)
    print(f"{answered} calls were served while the writer stood still")
    assert answered >= 1000
    deadline = time.monotonic() + 20
    while answered < sent:
        answered += guest.take()
        assert time.monotonic() < deadline, f"{answered} of {sent} were answered"
    guest.detach()
    guest.close()
    daemon.settle()
    rows = daemon.calls("busy")
    assert len(rows) == sent + 1
    check_serials(rows)


def test_what_ends_on_a_full_trail_is_recorded(daemon):
    """While the writer stands still and the queue is full: a kill is answered at once, a guest may go, and no row is lost."""
    guest = Frontend(daemon.runtime_dir, "busy").attach(feature_cancel=1)
    sockets = [guest.new_socket() for _ in range(6)]
    number = min(row["socket"] for row in daemon.ctl_json("sockets", "busy"))
    pid = daemon.writer_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        quiet = time.monotonic()
        while time.monotonic() - quiet < 0.5:
            while guest.req_prod - guest.rsp_cons < SLOTS:
                guest.place(RELEASE, 0xDEAD)
            guest.show()
            quiet = time.monotonic() if guest.take() else quiet
        begun = time.time_ns()
        assert daemon.ctl("kill", "busy", str(number)).returncode == 0
        killed = time.time_ns()
        guest.close()
        wait_for(lambda: daemon.guest("busy") is None, "the guest is gone")
        gone = time.time_ns()
        # Longer than an engine gets that has nothing left to do.
        time.sleep(1.5)
        assert daemon.processes("pvcalls-engine"), "the engine waits for the trail"
    finally:
        os.kill(pid, signal.SIGCONT)
    daemon.settle()
    wait_for(lambda: not daemon.processes("pvcalls-engine"), "the engine has ended")
    rows = [row for row in daemon.calls("busy", "release") if row["socket"]]
    assert [row["close_reason"] for row in rows] == ["operator"] + ["guest_gone"] * (len(sockets) - 1)
    assert rows[0]["socket"] == number and begun - 10**7 <= rows[0]["time_ns"] <= killed + 10**7
    assert all(killed - 10**7 <= row["time_ns"] <= gone + 10**7 for row in rows[1:])
    times = [row["time_ns"] for row in daemon.calls("busy")]
    assert times == sorted(times)
    assert not daemon.events("engine_crashed")
    check_serials(daemon.calls("busy"))


def test_many_guests(daemon):
    """Forty guests come and go; the supervisor is as large as before, the slots are free again."""
    port = free_port()
    with running(peers("greet", port), port=port):
        sizes = []
        for _ in range(2):
            guests = [daemon.popen(f"guest-{n}", peers("fetch", "127.0.0.1", port)) for n in range(20)]
            for guest in guests:
                assert guest.wait(60) == 0, output_of(guest)
            daemon.settle()
            sizes.append((rss_kib(daemon.process.pid), len(descriptors(daemon.process.pid))))
    assert sizes[1][1] <= sizes[0][1] + 1
    assert len(daemon.calls(operation="connect", errno=0)) == 40


def test_as_an_ordinary_user(make_daemon, tmp_path):
    """Without root the daemon serves its own user, and says that nobody is kept apart."""
    daemon = make_daemon(start=False)
    for path in (daemon.dir, daemon.policy_dir, daemon.config_path, os.path.join(daemon.policy_dir, "test.yaml"), str(tmp_path)):
        os.chown(path, 65534, 65534)
    port = free_port()
    with open(daemon.log_path, "ab") as log:
        os.chown(daemon.log_path, 65534, 65534)
        daemon.process = subprocess.Popen(daemon.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                          env=daemon.environment(daemon.tag), start_new_session=True,
                                          user=65534, group=65534, extra_groups=[])
    wait_for(lambda: os.path.exists(os.path.join(daemon.runtime_dir, "local.sock")) or daemon.process.poll() is not None, "it starts")
    assert daemon.process.poll() is None, daemon.log()
    wait_for(lambda: "not root" in daemon.log(), "it says what that means")
    with running(peers("greet", port), port=port):
        done = check(daemon.run("mine", peers("fetch", "127.0.0.1", port), user=65534, group=65534, extra_groups=[]))
    assert int(done.stdout.split()[0]) > 0
