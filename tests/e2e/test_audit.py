# SPDX-License-Identifier: GPL-2.0-or-later
"""The trail has everything that was done, once, in order, and gives it back as asked."""
import csv
import datetime
import io
import json
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from frontend import RELEASE, Frontend
from harness import (GUEST_PRELUDE, PYTHON, check, filter_rules, free_port, make_policy, output_of, peers, run, running, tagged,
                     wait_for)

pytestmark = pytest.mark.root


def no_gaps(rows):
    """seq counts without a gap and in the order of the list."""
    numbers = [row["seq"] for row in rows]
    assert numbers == list(range(1, len(numbers) + 1)), "seq has gaps or doubles"


def check_serials(rows):
    """Each engine's calls are all there, once."""
    for guest in {row["guest"] for row in rows}:
        serials = sorted(row["serial"] for row in rows if row["guest"] == guest)
        assert serials == list(range(1, len(serials) + 1)), f"{guest}: calls are missing or doubled"


@pytest.mark.parametrize("durability", ["crash", "sync"])
def test_everything_is_recorded(make_daemon, durability):
    """Three guests at once, in both durabilities: calls, verdicts, bytes and close reasons."""
    daemon = make_daemon({"test.yaml": make_policy(chain=filter_rules(
        {"id": "no", "on": "connect", "to": {"net": ["127.0.0.99"]}, "verdict": "deny", "errno": "EPERM"}))},
        config=f"durability: {durability}\n")
    port = free_port()
    times = 100 if durability == "crash" else 30  # each call waits for the disk
    code = f"""
for number in range({times}):
    with socket.create_connection(('127.0.0.1', {port})) as c:
        c.sendall(b'x' * (number + 1))
        got = b''
        while len(got) < number + 1: got += c.recv(1000)
    s = socket.socket(); assert attempt(s.connect, ('127.0.0.99', {port})) == 'EPERM'; s.close()
"""
    with running(peers("echo", port), port=port):
        guests = [daemon.popen(f"guest-{n}", [PYTHON, "-S", "-c", GUEST_PRELUDE + code]) for n in range(3)]
        for guest in guests:
            assert guest.wait(60) == 0, output_of(guest)
    daemon.settle()
    rows = daemon.audit()
    no_gaps(rows)
    check_serials(rows)
    no_gaps(daemon.events())
    for number in range(3):
        mine = [row for row in rows if row["guest"] == f"guest-{number}"]
        count = {op: len([r for r in mine if r["operation"] == op]) for op in ("socket", "connect", "release")}
        assert count == dict.fromkeys(("socket", "connect", "release"), 2 * times)
        assert len([r for r in mine if r["operation"] == "connect" and r["verdict"] == "deny" and r["rule"] == "no"]) == times
        sizes = sorted(r["bytes_out"] for r in mine if r["operation"] == "release" and r["bytes_out"])
        assert sizes == list(range(1, times + 1))
        assert sizes == sorted(r["bytes_in"] for r in mine if r["operation"] == "release" and r["bytes_in"])
        assert {r["close_reason"] for r in mine if r["operation"] == "release"} == {"released"}
        assert {r["outcome"] for r in mine} == {"ok", "error"}


def test_columns(make_daemon):
    """A connect's row: who, when, what was asked, done and decided."""
    daemon = make_daemon(config="engine: {local_addresses: always}\n")
    port = free_port()
    begun = time.time_ns()
    with running(peers("greet", port), port=port):
        check(daemon.run("shop", peers("fetch", "127.0.0.1", port)))
    daemon.settle()
    row, = daemon.calls("shop", "connect")
    assert begun - 10**9 < row["time_ns"] < time.time_ns()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", row["time"])
    seconds = datetime.datetime.fromisoformat(row["time"][:19] + "+00:00").timestamp()
    assert int(seconds) == row["time_ns"] // 10**9
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        assert row["boot_id"] == file.read().strip()
    assert row["domid"] >= 0x8000 and row["guest"] == "shop"
    assert row["requested_address"] == row["effective_address"] == row["peer_address"] == "127.0.0.1"
    assert row["requested_port"] == row["effective_port"] == row["peer_port"] == port
    assert row["local_address"] == "127.0.0.1" and row["local_port"] > 0
    assert not row["rewritten"] and row["verdict"] == "allow" and row["policy"] == "test"
    assert 0 < row["decision_ns"] <= row["total_ns"]
    release, = daemon.calls("shop", "release")
    assert release["duration_ns"] > 0 and release["socket"] == row["socket"]


def test_own_address_when_somebody_asked(daemon):
    """The own address of a connection: nobody is told who does not ask, and pvcallsctl asks."""
    port = free_port()
    with running(peers("echo", port), port=port):
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + f"""
silent, asking = [socket.create_connection(('127.0.0.1', {port})) for _ in range(2)]
print(asking.getsockname()[1], flush=True)
sys.stdin.readline(); silent.close(); asking.close()
third = socket.create_connection(('127.0.0.1', {port})); print('third', flush=True)
sys.stdin.readline(); third.close()
"""], stdin=subprocess.PIPE, text=True)
        asked = int(guest.stdout.readline())
        guest.stdin.write("\n")
        guest.stdin.flush()
        assert guest.stdout.readline() == "third\n"
        wait_for(lambda: len(daemon.calls("shop", "release")) == 2, "two sockets are released")
        shown, = [row["local"] for row in daemon.ctl_json("sockets", "shop") if row["state"] == "stream"]
        guest.stdin.write("\n")
        guest.stdin.close()
        assert guest.wait(20) == 0
    daemon.settle()
    assert [row["local_port"] for row in daemon.calls("shop", "connect")] == [None] * 3
    ports = {row["local_port"] for row in daemon.calls("shop", "release")}
    assert ports == {None, asked, int(shown.split(":")[1])}


@pytest.fixture
def full(make_daemon):
    """A trail with something to look for; yields daemon and ports."""
    daemon = make_daemon({"test.yaml": make_policy(chain=filter_rules(
        {"id": "no-nine", "on": "connect", "to": {"ports": [9]}, "verdict": "deny"}))})
    port, served = free_port(), free_port()
    with running(peers("greet", port), port=port):
        for guest in ("web-1", "web-2", "shop"):
            check(daemon.python(guest, f"""
for target in [('127.0.0.1', {port}), ('127.0.0.2', 9), ('127.0.0.3', 1)]:
    s = socket.socket(); attempt(s.connect, target); s.close()
"""))
    server = daemon.popen("server", peers("greet", served, "127.0.0.1", 1), port=served)
    with socket.create_connection(("127.0.0.1", served), source_address=("127.0.0.50", 0)) as client:
        client.makefile().read()
    assert server.wait(20) == 0
    daemon.settle()
    return daemon, port, served


def test_filters(full):
    """Each filter of pvcalls-audit, their combinations, --not, and the exit status of nothing."""
    daemon, port, served = full
    rows = daemon.audit()

    def same(filters, wanted):
        expected = [row["seq"] for row in rows if wanted(row)]
        assert expected, f"{filters}: the test looks for nothing"
        assert [row["seq"] for row in daemon.audit(*filters)] == expected, filters

    same(["--guest", "web-1"], lambda r: r["guest"] == "web-1")
    same(["--guest", "web-*"], lambda r: r["guest"].startswith("web-"))
    same(["--guest", "web-1", "--guest", "shop"], lambda r: r["guest"] in ("web-1", "shop"))
    same(["--guest", "web-1", "--op", "connect"], lambda r: r["guest"] == "web-1" and r["operation"] == "connect")
    same(["--not", "--guest", "web-*"], lambda r: not r["guest"].startswith("web-"))
    same(["--guest", str(rows[0]["domid"])], lambda r: r["domid"] == rows[0]["domid"])
    same(["--op", "connect", "--op", "accept"], lambda r: r["operation"] in ("connect", "accept"))
    same(["--verdict", "deny"], lambda r: r["verdict"] == "deny")
    same(["--rule", "no-nine"], lambda r: r["rule"] == "no-nine")
    same(["--decider", "filter"], lambda r: r["decider"] == "filter")
    same(["--policy", "test"], lambda r: r["policy"] == "test")
    same(["--to", "127.0.0.2"], lambda r: r["operation"] == "connect" and r["effective_address"] == "127.0.0.2")
    same(["--to", "127.0.0.2/31"], lambda r: r["operation"] == "connect" and r["effective_address"] in ("127.0.0.2", "127.0.0.3"))
    same(["--from", "127.0.0.50"], lambda r: r["operation"] == "accept" and r["peer_address"] == "127.0.0.50")
    same(["--op", "connect", "--port", "9"], lambda r: r["operation"] == "connect" and r["effective_port"] == 9)
    same(["--op", "connect", "--port", "1-9"], lambda r: r["operation"] == "connect" and 1 <= r["effective_port"] <= 9)
    same(["--errno", "ECONNREFUSED"], lambda r: r["errno_name"] == "ECONNREFUSED")
    same(["--errno", "ok", "--op", "connect"], lambda r: r["operation"] == "connect" and r["errno"] == 0)
    same(["--serial", "2"], lambda r: r["serial"] == 2)
    same(["--since", rows[3]["time"]], lambda r: r["time_ns"] >= rows[3]["time_ns"])
    same(["--until", rows[3]["time"]], lambda r: r["time_ns"] < rows[3]["time_ns"])
    same(["--since", "-1h"], lambda r: True)
    listener = next(r for r in rows if r["operation"] == "listen")
    same(["--guest", "server", "--socket", str(listener["socket"])],
         lambda r: r["guest"] == "server" and listener["socket"] in (r["socket"], r["parent"]))
    assert port and served
    for argv, status in ((["--guest", "nobody"], 1), (["--guest"], 2), (["--nonsense"], 2), (["--to", "400.1.1.1"], 3),
                         (["--since", "whenever"], 3), (["--verdict", "perhaps"], 3)):
        done = run(daemon.audit_command(*argv))
        assert done.returncode == status, (argv, done)
        # getopt says which option it was, in a line of its own
        assert status == 1 or len(done.stderr.strip().splitlines()) <= (2 if status == 2 else 1), done.stderr


def test_first_and_last(full):
    """How many: the last 20 unless told otherwise, always oldest first."""
    daemon = full[0]
    every = [row["seq"] for row in daemon.audit()]
    assert len(every) > 20

    def shown(*argv):
        done = check(run(daemon.audit_command("-o", "jsonl", *argv)))
        return [json.loads(line)["seq"] for line in done.stdout.splitlines()]

    assert shown() == every[-20:]
    assert shown("--last", 3) == every[-3:]
    assert shown("--first", 3) == every[:3]
    assert shown("--all") == every


@pytest.mark.parametrize("what", [[], ["--events=only"]], ids=["calls", "events"])
def test_formats(full, what):
    """Every output format holds the same rows and can be read by what reads that format."""
    daemon = full[0]

    def out(form):
        return check(run(daemon.audit_command("-o", form, "--all", *what))).stdout

    lines = [json.loads(line) for line in out("jsonl").splitlines()]
    assert json.loads(out("json")) == lines
    table = list(csv.DictReader(io.StringIO(out("csv"))))
    assert [int(row["seq"]) for row in table] == [row["seq"] for row in lines]
    for row, line in zip(table, lines):
        for key, text in row.items():
            value = line[key]
            assert text == ("" if value is None else str(int(value)) if isinstance(value, bool) else str(value)), (key, text, value)
    assert len(out("compact").splitlines()) == len(lines)
    assert len(out("table").splitlines()) == len(lines) + 1
    assert "\033" not in out("table") + out("compact"), "no colours where there is no terminal"


def test_empty_trail_and_none(daemon, tmp_path):
    """No row: status 1, and formats that are valid nevertheless. No trail: status 4."""
    assert run(daemon.audit_command()).returncode == 1
    assert json.loads(run(daemon.audit_command("-o", "json")).stdout) == []
    done = run([daemon.audit_command()[0], "--trail", str(tmp_path / "none")])
    assert done.returncode == 4 and str(tmp_path / "none") in done.stderr


def test_follow(daemon):
    """-f prints what is there and then each new row while it is still the guest's moment."""
    port = free_port()
    with running(peers("greet", port), port=port):
        check(daemon.run("before", peers("fetch", "127.0.0.1", port)))
        follower = subprocess.Popen(daemon.audit_command("-f", "-o", "jsonl", "--op", "connect"), stdout=subprocess.PIPE)
        try:
            def next_row():
                assert select.select([follower.stdout], [], [], 20)[0], "no row came"
                return json.loads(follower.stdout.readline())

            assert next_row()["guest"] == "before"
            for number in range(5):
                check(daemon.run(f"new-{number}", peers("fetch", "127.0.0.1", port)))
                assert next_row()["guest"] == f"new-{number}"
            assert follower.poll() is None
        finally:
            follower.kill()
            follower.wait(10)
            follower.stdout.close()


def test_follow_ends_with_its_reader(daemon):
    """A reader that goes away ends -f; it does not stay for ever."""
    follower = subprocess.Popen(daemon.audit_command("-f", "-o", "jsonl"), stdout=subprocess.PIPE)
    follower.stdout.close()
    port = free_port()
    with running(peers("greet", port), port=port):
        for _ in range(3):
            check(daemon.run("shop", peers("fetch", "127.0.0.1", port)))
    try:
        wait_for(lambda: follower.poll() is not None, "the follower has ended")
    finally:
        follower.kill()
        follower.wait(10)


@pytest.mark.parametrize("kill", ["engine", "all"])
def test_sync_means_stored(make_daemon, kill):
    """durability: sync. What a guest was answered is on disk, though everything is killed at once."""
    daemon = make_daemon(config="durability: sync\nengine: {local_addresses: always}\n")
    port = free_port()
    code = f"""
while True:
    with socket.create_connection(('127.0.0.1', {port})) as c:
        print(c.getsockname()[1], flush=True)
"""
    with running(peers("greet", port), port=port):
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], text=True)
        seen = [int(guest.stdout.readline()) for _ in range(60)]
        if kill == "engine":
            os.kill(daemon.engine_pid("shop"), signal.SIGKILL)
        else:
            pids = list(tagged(daemon.tag))
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            daemon.process.wait(10)
        guest.kill()
        # Not communicate(): what readline() has read ahead would be lost.
        seen += [int(line) for line in guest.stdout.read().splitlines() if line.isdigit()]
        guest.wait(20)
    if kill == "all":
        wait_for(lambda: not tagged(daemon.tag), "all are gone")
        daemon.start()
    daemon.settle()
    rows = daemon.calls("shop", "connect")
    acknowledged = len(seen)
    print(f"{acknowledged} connects were answered, {len(rows)} are stored")
    assert len([row for row in rows if row["errno"] == 0]) >= acknowledged
    assert [row["local_port"] for row in rows][:acknowledged] == seen
    no_gaps(daemon.audit())


def test_segments(make_daemon):
    """A trail of many segments counts on without a gap; a sealed one is an ordinary SQLite file."""
    daemon = make_daemon(config="audit: {segment_bytes: 1MiB, segment_age: 1s}\n")
    guest = Frontend(daemon.runtime_dir, "busy").attach()
    rounds = 1000
    for _ in range(rounds):
        for _ in range(31):
            guest.place(RELEASE, 1)
        guest.show()
        guest.wait_answer(guest.req_prod - 1)
        guest.answers.clear()
    guest.detach()
    guest.close()
    daemon.settle()
    rows = daemon.calls("busy")
    assert len(rows) == rounds * 31
    no_gaps(daemon.audit())
    check_serials(rows)
    folder = os.path.join(daemon.state_dir, "audit")
    segments = sorted(name for name in os.listdir(folder) if not name.endswith(("-wal", "-shm", "-journal")) and "." in name)
    print(segments)
    assert len([name for name in segments if re.search(r"\d", name)]) >= 3, segments
    daemon.stop()
    counted = 0
    for name in segments:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            if file.read(15) != b"SQLite format 3":
                continue
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        counted += database.execute("SELECT count(*) FROM calls WHERE guest = 'busy'").fetchone()[0]
        database.close()
    assert counted == len(rows)


def test_trail_outlives_the_daemon(make_daemon):
    """Started again on the same directory, the trail goes on where it was."""
    daemon = make_daemon()
    port = free_port()
    with running(peers("greet", port), port=port):
        for number in range(3):
            check(daemon.run(f"guest-{number}", peers("fetch", "127.0.0.1", port)))
            daemon.settle()
            daemon.stop()
            daemon.start()
    rows = daemon.audit()
    no_gaps(rows)
    no_gaps(daemon.events())
    assert [row["guest"] for row in rows if row["operation"] == "connect"] == [f"guest-{n}" for n in range(3)]
    assert [event["event"] for event in daemon.events() if event["event"] in ("start", "stop")] == ["start", "stop"] * 3 + ["start"]


def test_a_reader_never_stops_the_writer(daemon):
    """D3: a reader that holds a snapshot open does not keep rows from being stored."""
    guest = Frontend(daemon.runtime_dir, "busy").attach()
    assert guest.call(RELEASE, 1) == 0
    folder = os.path.join(daemon.state_dir, "audit")
    wait_for(lambda: daemon.calls("busy"), "the first row is stored")
    live = max((os.path.join(folder, name) for name in os.listdir(folder)
                if open(os.path.join(folder, name), "rb").read(15) == b"SQLite format 3"), key=os.path.getmtime)
    reader = sqlite3.connect(f"file:{live}?mode=ro", uri=True)
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM calls").fetchone()[0]
    for _ in range(200):
        for _ in range(31):
            guest.place(RELEASE, 1)
        guest.show()
        guest.wait_answer(guest.req_prod - 1)
        guest.answers.clear()
    wait_for(lambda: len(daemon.calls("busy")) == 1 + 200 * 31, "all rows are stored")
    assert reader.execute("SELECT count(*) FROM calls").fetchone()[0] == before, "the snapshot is what it was"
    reader.close()
    guest.detach()
    guest.close()
