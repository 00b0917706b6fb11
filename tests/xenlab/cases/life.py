# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests and the daemon come and go. Nothing hangs, nothing stays mapped, the trail says what happened."""
import contextlib
import json
import os
import signal
import time

from client_programs import PEERS, Pulse, page, popen_page
from daemon import POLICIES, SLOWNESS, Daemon
from xen_guest import GuestGone
from network import FAR, PORTS
from registry import case
from tools import check, mapped_grants, run, wait_for, xenstore

HOOK = ("hook",)
QUICKLY = 2.0 * SLOWNESS  # the longest that anything may hang
GONE = 4.0 * SLOWNESS  # a destroyed domain has gone when xl has cleaned up after it


def busy(lab, guest, seconds=100):
    """A transfer that has no end, in the middle of it."""
    before = moved(lab, guest.name)
    job = guest.popen_client([*PEERS, "fetch", FAR, PORTS["flood"]], seconds)
    wait_for(lambda: moved(lab, guest.name) > before + (1 << 20), f"bytes move to {guest.name}", 20, 0.1)
    return job


def moved(lab, name):
    """Bytes that a guest's open sockets have been given."""
    return sum(row["in"] or 0 for row in lab.daemon.ctl_json("sockets", name))


def check_release(lab, since, guest, *reasons):
    """The trail has how the transfer of busy() ended: with its bytes, and why."""
    rows = lab.daemon.wait_calls(1, since, guest.name, "release", domid=guest.domid, peer_port=PORTS["flood"])
    assert rows[-1]["close_reason"] in reasons and rows[-1]["bytes_in"] > 1 << 20, rows[-1]


def let_go(lab, name):
    wait_for(lambda: lab.daemon.guest(name) is None, f"the daemon has let go of {name}", QUICKLY)


def took(call, *arguments):
    started = time.monotonic()
    call(*arguments)
    return time.monotonic() - started


@case(needs=HOOK, seconds=120)
def paused(lab):
    """A paused guest hinders nobody, stays attached and goes on where it was."""
    other, guest = lab.shared("hook"), lab.shared("hook", "web-2")
    job = busy(lab, guest)
    with Pulse(other) as pulse:
        guest.pause()
        wait_for(lambda: xl_state(guest)[2] == "p", "the guest is paused")
        before = at_rest(lab, "web-2")
        assert lab.daemon.guest("web-2")["backend"] == "connected"
        guest.unpause()
        wait_for(lambda: moved(lab, "web-2") > before + (1 << 20), "its stream goes on", 20, 0.1)
    pulse.check()
    assert not job.ended()
    job.kill()


def at_rest(lab, name):
    """Waits until a guest's sockets get no more bytes: its rings are full."""
    seen = []

    def same():
        seen.append(moved(lab, name))
        return len(seen) > 1 and seen[-1] == seen[-2]

    wait_for(same, f"the streams of {name} rest", 10, 0.3)
    return seen[-1]


def xl_state(guest):
    return check(run(["xl", "list", guest.domid])).stdout.splitlines()[-1].split()[4]


@case(needs=HOOK, seconds=120)
def engine_killed(lab):
    """kill -9 of an engine: only its guest notices, and is served again."""
    other, guest, since = lab.shared("hook"), lab.shared("hook", "web-2"), time.time()
    job = busy(lab, guest)
    with Pulse(other) as pulse:
        os.kill(lab.daemon.engine_pid("web-2"), signal.SIGKILL)
        wait_for(job.ended, "the guest's transfer has ended", QUICKLY)
        assert check(page(guest, 5)).stdout.startswith("200 ")
    pulse.check()
    lab.daemon.wait_event("engine_crashed", "web-2", since=since)
    assert "taken over" in lab.daemon.wait_event("guest_attached", "web-2", since=since)["text"]


HELD = 80  # connections: the kernel's queue of events has room for 64 at first
HOLD = f"""
import socket, sys
held = [socket.create_connection(('{FAR}', {PORTS['echo']})) for _ in range({HELD})]
print('held', flush=True)
for connection in held:
    try: connection.recv(1)
    except OSError: pass
"""


@case(needs=HOOK, seconds=120)
def engine_with_many_killed(lab):
    """kill -9 of an engine with many connections: its successor resets them all, and hears of every event."""
    guest, since = lab.shared("hook", "web-2"), time.time()
    job = guest.popen_client(["python3", "-S", "-c", HOLD], 100)
    wait_for(lambda: "held" in job.said()[0] or job.ended(), "the connections are there", 40, 0.1)
    os.kill(lab.daemon.engine_pid("web-2"), signal.SIGKILL)
    assert "taken over" in lab.daemon.wait_event("guest_attached", "web-2", since=since)["text"]
    check(job.wait())
    assert check(guest.client([*PEERS, "fetch", FAR, PORTS["source"]], 60)).stdout.startswith(str(64 << 20))


@case(needs=HOOK, seconds=120)
def destroyed(lab):
    """xl destroy in the middle of a transfer: the domain goes away, the other guest notices nothing."""
    other, guest, since = lab.shared("hook"), lab.take(lab.shared("hook", "web-2")), time.time()
    job = busy(lab, guest)
    with Pulse(other, "long") as pulse:
        seconds = took(guest.destroy)
    pulse.check()
    assert seconds <= GONE, f"the domain was there for {seconds:.1f} s"
    wait_for(job.ended, "the job is over")
    let_go(lab, "web-2")
    # xl takes the device away before it ends the domain
    check_release(lab, since, guest, "operator", "guest_gone")
    lab.daemon.wait_event("guest_detached", "web-2", since=since)


@case(needs=HOOK, seconds=120)
def rebooted(lab):
    """A guest that reboots in the middle of a transfer is another domain of the same name, and is served again."""
    guest, since = lab.shared("hook", "web-3"), time.time()
    first = guest.domid
    busy(lab, guest)
    guest.reboot()
    assert guest.domid != first
    assert run(["xl", "list", first]).returncode, "nothing is left of the domain it was"
    lab.daemon.connected("web-3")
    assert check(page(guest)).stdout.startswith("200 ")
    assert {row["domid"] for row in lab.daemon.wait_calls(2, since, "web-3", "connect")} == {first, guest.domid}
    gone = lab.daemon.wait_event("guest_detached", "web-3", since=since)
    assert lab.daemon.wait_event("guest_attached", "web-3", since=since)["seq"] > gone["seq"]


@case(needs=HOOK, seconds=120)
def crashed(lab):
    """A guest's kernel panics in the middle of a transfer."""
    other, guest, since = lab.shared("hook"), lab.take(lab.shared("hook", "web-3")), time.time()
    job = busy(lab, guest)
    with Pulse(other, "long") as pulse:
        seconds = took(guest.crash)
    pulse.check()
    assert seconds <= GONE, f"the domain was there for {seconds:.1f} s"
    wait_for(job.ended, "the job is over")
    let_go(lab, "web-3")
    check_release(lab, since, guest, "operator", "guest_gone")
    lab.daemon.wait_event("guest_detached", "web-3", since=since)


@case(needs=HOOK, seconds=120)
def device_removed(lab):
    """The toolstack takes the device away: the guest's calls end, its pages are let go, the guest lives."""
    other, guest, since = lab.shared("hook"), lab.guest("web-4").start(), time.time()
    lab.daemon.connected("web-4")
    job = busy(lab, guest)
    backend = f"/local/domain/0/backend/pvcalls/{guest.domid}/0"
    assert len(mapped_grants(guest.domid)) > 2, "the command ring and a connection are mapped"
    with Pulse(other) as pulse:
        check(run(["xenstore-write", f"{backend}/online", "0", f"{backend}/state", "5"]))
        wait_for(lambda: xenstore(f"{backend}/state") in ("6", None), "the backend has closed", QUICKLY, 0.05)
        wait_for(job.ended, "the guest's transfer has ended", QUICKLY)
    pulse.check()
    # The device is still there, and closed, until the domain goes.
    wait_for(lambda: not (lab.daemon.guest("web-4") or {}).get("engine_pid"), "its engine has ended", QUICKLY)
    check_release(lab, since, guest, "operator")
    lab.daemon.wait_event("guest_detached", "web-4", since=since)
    assert not mapped_grants(guest.domid)
    guest.ping()


@case(needs=HOOK, seconds=120)
def shut_down(lab):
    """A guest that goes down in order with a connection open."""
    guest, since = lab.guest("web-5").start(), time.time()
    lab.daemon.connected("web-5")
    job = busy(lab, guest)
    guest.shutdown(20)
    with contextlib.suppress(GuestGone):
        job.wait()
    let_go(lab, "web-5")
    check_release(lab, since, guest, "released", "guest_gone")
    lab.daemon.wait_event("guest_detached", "web-5", since=since)


@case(needs=HOOK, seconds=120)
def daemon_stopped(lab):
    """The daemon ends in order and starts again: no page stays mapped, what is called meanwhile waits for the new one."""
    guest, since = lab.shared("hook"), time.time()
    job = busy(lab, guest)
    assert len(mapped_grants(guest.domid)) > 2
    seconds = took(lab.daemon.stop)
    assert seconds < QUICKLY, f"the daemon took {seconds:.1f} s to stop"
    wait_for(job.ended, "the guest's transfer has ended", QUICKLY)
    waiting = popen_page(guest)
    assert not mapped_grants(guest.domid)
    assert not waiting.ended()
    seconds = took(lab.daemon.start)
    assert seconds < QUICKLY, f"the daemon took {seconds:.1f} s to start"
    wait_for(waiting.ended, "the call that waited is served", QUICKLY)
    assert check(waiting.wait()).stdout.startswith("200 ")
    check_release(lab, since, guest, "shutdown")
    assert "the daemon stops" in lab.daemon.wait_event("guest_detached", guest.name, since=since)["text"]
    stop, start = (lab.daemon.wait_event(event, since=since) for event in ("stop", "start"))
    assert stop["seq"] < start["seq"]


@case(needs=HOOK, seconds=120)
def daemon_killed(lab):
    """kill -9 of the daemon and a new one at once: what was open ends, what comes waits for the new one."""
    guest, since = lab.shared("hook"), time.time()
    job = busy(lab, guest)
    with Pulse(guest, "short") as pulse:
        os.kill(lab.daemon.process.pid, signal.SIGKILL)
        lab.daemon.process.wait(10)
        lab.daemon.start()
        wait_for(job.ended, "the connection of before has ended", QUICKLY)
        assert check(page(guest)).stdout.startswith("200 ")
    pulse.check(bad=2)  # one was under way, and perhaps another when the new daemon took over
    check_release(lab, since, guest, "shutdown")
    lab.daemon.wait_event("start", since=since)
    assert "taken over" in lab.daemon.wait_event("guest_attached", guest.name, since=since)["text"]


@case(needs=HOOK)
def second_daemon(lab):
    """Another pvcallsd refuses to start, and changes nothing for the guests of the first."""
    guest = lab.shared("hook")
    with Pulse(guest, "long") as pulse:
        refused(Daemon(), 6, "another pvcallsd serves the guests")
    pulse.check()
    assert lab.daemon.guest(guest.name)["backend"] == "connected"


def refused(daemon, status, why):
    """The daemon does not start, and says why."""
    daemon.launch()
    try:
        assert daemon.process.wait(10) == status, daemon.log()
        assert why in daemon.log(), daemon.log()
        daemon.check_gone()
    finally:
        daemon.close()


@case(needs=HOOK, seconds=120)
def policy_reloaded(lab):
    """Twenty reloads under load: no call fails, none hangs, every record names the policy that decided it."""
    guest, since = lab.shared("hook"), time.time()
    with Pulse(guest, "short") as short, Pulse(guest, "long") as long:
        for number in range(20):
            policy = {**json.loads(POLICIES["web.yaml"]), "name": f"web-{number % 2}"}
            lab.daemon.write_policy("web.yaml", json.dumps(policy))
            lab.daemon.reload()
    lab.daemon.write_policy("web.yaml", POLICIES["web.yaml"])
    lab.daemon.reload()
    rows = lab.daemon.wait_calls(short.result["good"], since, guest.name, "connect")
    refused_ones = [{key: row[key] for key in ("time", "policy", "verdict", "decider", "rule", "reason", "errno_name")}
                    for row in rows if row["verdict"] != "allow"]
    assert not refused_ones, f"{len(refused_ones)} of {len(rows)} were not allowed: {refused_ones[:10]}"
    short.check()
    long.check()
    seen = {(row["policy"], row["policy_digest"]) for row in rows}
    assert {name for name, _ in seen} >= {"web-0", "web-1"} and len(seen) == len({name for name, _ in seen})
    assert len(lab.daemon.recent_events(since, "reload")) == 21
