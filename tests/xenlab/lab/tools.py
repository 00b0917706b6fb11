# SPDX-License-Identifier: GPL-2.0-or-later
"""What every part of the lab's library uses: bounded waits, programs in Dom0, xenstore."""
import os
import re
import signal
import subprocess
import time

SECONDS = 30  # longest wait for a condition, unless said otherwise


def wait_for(condition, what, seconds=SECONDS, pause=0.02):
    """Calls condition() until it is true and returns what it gave; fails at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {seconds} s (last seen: {result!r})")
        time.sleep(pause)


def run(argv, seconds=60, **options):
    """Runs a program in Dom0 to its end; its session dies with it."""
    options.setdefault("stdin", subprocess.DEVNULL)
    argv = list(map(str, argv))
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True, **options)
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise AssertionError(f"{' '.join(argv)}: not finished within {seconds} s; it said: {out[-2000:]!r} {err[-2000:]!r}") from None
        raise
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def check(done, status=0):
    """A finished process, which must have had this exit status."""
    assert done.returncode == status, (
        f"{' '.join(map(str, done.args))}: exit status {done.returncode}, expected {status}; "
        f"it said: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")
    return done


def xenstore(path):
    """One node, None if it is not there."""
    done = run(["xenstore-read", path])
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


RESERVED_GRANTS = 8  # console, xenstore and their like: the toolstack's programs map those


def mapped_grants(domid):
    """The grants of a domain that somebody has mapped, as the hypervisor knows them."""
    check(run(["xl", "debug-keys", "g"]))
    said = check(run(["xl", "dmesg"])).stdout
    start = said.rfind("gnttab_usage_print_all [ key")
    assert start >= 0, "the hypervisor's log has no room for its grants: make conring_size larger"
    said = said[start:]
    # one table for each domain, the ones that are mapped with their count and number
    table = re.search(rf"\bd{domid} \(v\d\)\n(.*?)(?=grant-table for|no active|gnttab_usage_print_all \]|\Z)", said, re.S)
    numbers = re.findall(r"\[ *(?:0x)?([0-9a-f]+)\]", table[1], re.I) if table else []
    return [number for number in (int(text, 16) for text in numbers) if number >= RESERVED_GRANTS]
