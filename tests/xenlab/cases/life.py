# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests and the daemon come and go. Nothing hangs, nothing stays mapped, the trail says what happened."""
import json
import os
import signal
import time

from clients import PEERS, Pulse, page
from daemon import POLICIES
from guest import GuestGone
from network import FAR, PORTS
from registry import case
from tools import check, run, wait_for, xenstore

HOOK = ("hook",)
QUICKLY = 2.0  # the longest that anything may hang
# A destroyed domain has gone when xl has cleaned up after it, which takes some time under emulation.
GONE = 8.0


def busy(lab, name):
    """A guest of the case's own in the middle of a transfer that has no end."""
    guest = lab.guest(name).start()
    lab.daemon.connected(name)
    job = guest.popen_client([*PEERS, "fetch", FAR, PORTS["flood"]], 100)
    wait_for(lambda: moved(lab, name) > 1 << 20, f"bytes move to {name}", 20, 0.1)
    return guest, job


def moved(lab, name):
    """Bytes that a guest's open sockets have been given."""
    return sum(row["in"] or 0 for row in lab.daemon.ctl_json("sockets", name))


def last_release(lab, since, guest):
    return lab.daemon.wait_calls(1, since, guest.name, "release", domid=guest.domid)[-1]


def took(call, *arguments):
    started = time.monotonic()
    call(*arguments)
    return time.monotonic() - started


@case(needs=HOOK, seconds=120)
def destroyed(lab):
    """xl destroy in the middle of a transfer: the domain goes away, the other guest notices nothing."""
    other, since = lab.shared("hook"), time.time()
    guest, job = busy(lab, "web-2")
    with Pulse(other, "long") as pulse:
        seconds = took(guest.destroy)
    pulse.check()
    assert seconds <= GONE, f"the domain was there for {seconds:.1f} s"
    wait_for(job.ended, "the job is over")
    wait_for(lambda: lab.daemon.guest("web-2") is None, "the daemon has let go of it", QUICKLY)
    # xl takes the device away before it ends the domain
    assert last_release(lab, since, guest)["close_reason"] in ("operator", "guest_gone")
    lab.daemon.wait_event("guest_detached", "web-2")


@case(needs=HOOK, seconds=120)
def rebooted(lab):
    """A guest that reboots is another domain of the same name, and is served again."""
    guest, since = lab.guest("web-3").start(), time.time()
    first = guest.domid
    lab.daemon.connected("web-3")
    assert check(page(guest)).stdout.startswith("200 ")
    guest.reboot()
    assert guest.domid != first
    assert run(["xl", "list", first]).returncode, "nothing is left of the domain it was"
    lab.daemon.connected("web-3")
    assert check(page(guest)).stdout.startswith("200 ")
    assert {row["domid"] for row in lab.daemon.wait_calls(2, since, "web-3", "connect")} == {first, guest.domid}


@case(needs=HOOK, seconds=120)
def shut_down(lab):
    """A guest that goes down in order with a connection open."""
    since = time.time()
    guest, job = busy(lab, "web-4")
    guest.shutdown(20)
    try:
        job.wait()
    except GuestGone:
        pass
    wait_for(lambda: lab.daemon.guest("web-4") is None, "the daemon has let go of it", QUICKLY)
    assert last_release(lab, since, guest)["close_reason"] in ("released", "guest_gone")


@case(needs=HOOK, seconds=120)
def paused(lab):
    """A paused guest hinders nobody, stays attached and goes on where it was."""
    other = lab.shared("hook")
    guest, job = busy(lab, "web-5")
    with Pulse(other) as pulse:
        guest.pause()
        wait_for(lambda: xl_state(guest)[2] == "p", "the guest is paused")
        before = at_rest(lab, "web-5")
        assert lab.daemon.guest("web-5")["backend"] == "connected"
        guest.unpause()
        wait_for(lambda: moved(lab, "web-5") > before + (1 << 20), "its stream goes on", 20, 0.1)
    pulse.check()
    assert not job.ended()


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
def device_removed(lab):
    """The toolstack takes the device away: the guest's calls end, the backend closes, the guest lives."""
    other, since = lab.shared("hook"), time.time()
    guest, job = busy(lab, "web-6")
    backend = f"/local/domain/0/backend/pvcalls/{guest.domid}/0"
    with Pulse(other) as pulse:
        check(run(["xenstore-write", f"{backend}/online", "0", f"{backend}/state", "5"]))
        wait_for(lambda: xenstore(f"{backend}/state") in ("6", None), "the backend has closed", 5, 0.05)
        wait_for(job.ended, "the guest's transfer has ended", QUICKLY)
    pulse.check()
    # The device is still there, and closed, until the domain goes.
    wait_for(lambda: not (lab.daemon.guest("web-6") or {}).get("engine_pid"), "its engine has ended", QUICKLY)
    assert last_release(lab, since, guest)["close_reason"] == "operator"
    guest.ping()


@case(needs=HOOK, seconds=120)
def daemon_killed(lab):
    """kill -9 of the daemon: what guests had open ends, and a new daemon serves them at once."""
    guest = lab.shared("hook")
    job = guest.popen_client([*PEERS, "fetch", FAR, PORTS["flood"]], 60)
    wait_for(lambda: moved(lab, guest.name) > 1 << 20, "bytes move", 20, 0.1)
    os.kill(lab.daemon.process.pid, signal.SIGKILL)
    lab.daemon.process.wait(10)
    lab.daemon.check_gone()
    since = time.time()
    lab.daemon.start()
    lab.daemon.connected(guest.name)
    wait_for(job.ended, "the connection of before has ended", QUICKLY)
    assert check(page(guest)).stdout.startswith("200 ")
    lab.daemon.wait_calls(1, since, guest.name, "connect", verdict="allow")
    assert len(lab.daemon.events("start")) >= 2


@case(needs=HOOK, seconds=120)
def engine_killed(lab):
    """kill -9 of an engine: only its guest notices, and is served again."""
    other, guest = lab.shared("hook"), lab.guest("web-7").start()
    lab.daemon.connected("web-7")
    job = guest.popen_client([*PEERS, "fetch", FAR, PORTS["flood"]], 60)
    wait_for(lambda: moved(lab, "web-7") > 1 << 20, "bytes move", 20, 0.1)
    with Pulse(other) as pulse:
        os.kill(lab.daemon.engine_pid("web-7"), signal.SIGKILL)
        wait_for(job.ended, "the guest's transfer has ended", QUICKLY)
        lab.daemon.wait_event("engine_crashed", "web-7")
    pulse.check()


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
    short.check()
    long.check()
    rows = lab.daemon.wait_calls(short.result["good"], since, guest.name, "connect")
    seen = {(row["policy"], row["policy_digest"]) for row in rows}
    assert {name for name, _ in seen} >= {"web-0", "web-1"} and len(seen) == len({name for name, _ in seen})
    assert all(row["verdict"] == "allow" for row in rows)
