# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs cases in Dom0, one after the other, and says one line of JSON about each.

What cases share (the daemon, the other machine, a guest of each kind) is made when the first of them
asks for it. After a case that failed everything is thrown away, so that the next one starts anew.
"""
import fnmatch
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import traceback

from daemon import Daemon
from xen_guest import Guest, destroy_all
from network import Far
from registry import cases

OUT = "/out"
MODULES = "/opt/lab/modules"
SHARED_NAMES = {"hook": "web-1", "user": "tool-1", "net": "net-1"}


class NotRun(Exception):
    """What a case needs is not there."""


class Lab:
    """What a case is given."""

    def __init__(self):
        self.far_machine = None
        self._daemon = None
        self._shared = {}
        self._own = []
        self.without_toolstack = False  # a case has taken xenstored away: domains can't be ended any more

    @property
    def far(self):
        """The other machine, with its servers."""
        if not self.far_machine:
            self.far_machine = Far()
            self.far_machine.serve()
        return self.far_machine

    @property
    def daemon(self):
        """The daemon, started if none runs."""
        if not self._daemon:
            self._daemon = Daemon()
            self._daemon.start()
        return self._daemon

    def shared(self, kind, name=None, daemon=True, **options):
        """The guest of this kind (and name) that cases share; they leave it as they found it. It is up and
        served; without the daemon it is only created.
        """
        name = name or SHARED_NAMES[kind]
        if not daemon:
            self._shared[name] = Guest(name, kind, **options).create()
            return self._shared[name]
        serving = self.daemon if kind != "net" and self.far else None
        if name not in self._shared:
            self._shared[name] = Guest(name, kind, **options)
            self._shared[name].create()
        guest = self._shared[name].wait_up()
        if serving and kind == "hook":  # a guest of the other kind has a frontend only while one runs
            serving.connected(guest.name)
        return guest

    def take(self, guest):
        """A shared guest becomes the case's own, which need not leave anything of it."""
        self._own.append(self._shared.pop(guest.name))
        return guest

    def guest(self, name, kind="hook", **options):
        """A guest of the case's own, not yet started; it is destroyed when the case ends. Daemon and other
        machine are there before it: a driver that finds no backend waits for half a minute.
        """
        self._own.append(Guest(name, kind, **options))
        if self._own[-1].pvcalls:
            assert self.far and self.daemon
        return self._own[-1]

    def end_case(self):
        """Ends what the case has made. A domain that does not go away fails it, and so does a kernel that finds fault with itself."""
        own, self._own = self._own, []
        for guest in own:
            guest.destroy()
        for guest in (*own, *self._shared.values()):
            assert "rogue" in guest.hook or not (found := guest.complaints()), f"{guest.name}: {found}"

    def reset(self):
        """Throws everything away but the other machine."""
        self._own.clear()
        self._shared.clear()
        daemon, self._daemon = self._daemon, None
        if daemon:
            daemon.close()
        if not self.without_toolstack:
            destroy_all()

    def finish(self):
        """The end of the run, in order: the daemon must stop and leave nothing behind."""
        for guest in self._shared.values():
            if not self.without_toolstack:
                guest.destroy()
        self._shared.clear()
        if self._daemon:
            self._daemon.stop()
            self._daemon.close()
            self._daemon = None

    def keep(self, folder):
        """Writes what tells why a case failed."""
        commands = {"xenstore": ["xenstore-ls", "-fp"], "xl-list": ["xl", "list"], "xl-dmesg": ["xl", "dmesg"], "dmesg": ["dmesg"],
                    "processes": ["ps"], "sockets": ["ss", "-tanp"]}
        if self._daemon:
            shutil.copy(self._daemon.log_path, os.path.join(folder, "pvcallsd.log"))
            commands["trail.jsonl"] = self._daemon.audit_command("-o", "jsonl", "--last", 2000, "--events")
        for guest in {*self._own, *self._shared.values()}:
            if os.path.exists(guest.log_path):
                shutil.copy(guest.log_path, folder)
        for name, argv in commands.items():
            with open(os.path.join(folder, name), "wb") as file, contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=10, check=False)


def say(**line):
    print(json.dumps(line), flush=True)


def _expire(seconds):
    def expired(*_):
        raise AssertionError(f"the case did not end within {seconds} s")

    signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)


def _needs(case):
    """Fails if something that the case needs was not built."""
    for need in case.needs:
        path = {"hook": f"{MODULES}/pvcalls-hook.ko", "kernel": f"{MODULES}/pvcalls-back.ko", "user": "/opt/pvcalls/bin/pvcallsd"}.get(need)
        if path and not os.path.exists(path):
            raise NotRun(f"there is no {os.path.basename(path)}")


def run_case(lab, case):
    """One case; returns its result."""
    _expire(case.seconds)
    try:
        _needs(case)
        case.run(lab)
        lab.end_case()
        return {"result": "ok"}
    except NotRun as why:
        return {"result": "not run", "why": str(why)}
    except Exception as error:
        _expire(60)
        return {"result": "not ok", "why": str(error)[:2000] or repr(error), "trace": traceback.format_exc()}
    finally:
        signal.alarm(0)


def _failed(lab, case, result):
    """Keeps what tells why, and makes room for the next case."""
    folder = os.path.join(OUT, case.name.replace("/", "-"))
    _expire(90)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "why"), "w", encoding="utf-8") as file:
        file.write(result["trace"])
    for step in (lambda: lab.keep(folder), lab.reset):
        try:
            step()
        except Exception as error:
            say(note=f"after {case.name}: {error!r}"[:2000])
    signal.alarm(0)


def run_cases(pattern):
    """All cases that the pattern fits; returns the exit status."""
    lab = Lab()
    chosen = [case for case in cases() if fnmatch.fnmatch(case.name, pattern)]
    status = 0
    for case in chosen:
        started = time.monotonic()
        result = run_case(lab, case)
        result["seconds"] = round(time.monotonic() - started, 1)
        say(case=case.name, **{key: value for key, value in result.items() if key != "trace"})
        if result["result"] == "not ok":
            _failed(lab, case, result)
        if result["result"] != "ok":
            status = 1
    try:
        _expire(60)
        lab.finish()
    except Exception as error:
        say(note=f"at the end: {error}")
        status = 1
    finally:
        signal.alarm(0)
    return status
