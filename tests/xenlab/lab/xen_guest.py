# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest: its configuration, its life by xl, programs in it by its agent."""
import contextlib
import os
import re
import signal

from channel import Channel, GuestGone
from tools import check, run, wait_for, xenstore

BOOT_SECONDS = 60
RUN = ["/opt/pvcalls/bin/pvcalls-run", "--"]
KINDS = {
    "hook": "Debian's kernel, the driver as a module, a hook that makes sockets PV Calls: no other network",
    "user": "Debian's kernel as it is; pvcalls-run is the frontend",
    "net": "Debian's kernel with a network card (netfront), for comparison",
}


class Done:
    """A program that has ended in a guest."""

    def __init__(self, argv, frame):
        self.args = argv
        self.returncode = frame["status"]
        self.stdout, self.stderr = frame["out"], frame["err"]
        self.seconds = frame["seconds"]
        self.timed_out = frame["timed_out"]


class Job:
    """A program that runs in a guest."""

    def __init__(self, guest, argv, answer, seconds):
        self.guest, self.argv, self.answer, self.seconds = guest, argv, answer, seconds

    def wait(self, seconds=None):
        """Its end; raises GuestGone if the guest ends before."""
        done = Done(self.argv, self.answer.wait((seconds or self.seconds) + 5))
        assert not done.timed_out, (f"{self.argv} in {self.guest.name}: not finished within {self.seconds} s; "
                                    f"it said: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")
        return done

    def ended(self):
        return self.answer.ready()

    def said(self):
        """What it has said so far: (stdout, stderr)."""
        frame = self.guest.ask("said", job=self.answer.number).wait(10)
        return frame["out"], frame["err"]

    def kill(self, number=signal.SIGKILL):
        self.guest.ask("kill", job=self.answer.number, signal=int(number)).wait(10)


class Guest:
    """One guest. Made by name; start() brings it up."""

    def __init__(self, name, kind="hook", memory=256, vcpus=1, pvcalls=None, hook="", uuid=None, channels=None, out="/out"):
        assert kind in KINDS, kind
        self.name, self.kind, self.memory, self.vcpus = name, kind, memory, vcpus
        self.pvcalls = kind != "net" if pvcalls is None else pvcalls
        self.hook = hook  # a parameter of the module, such as rogue=1
        self.uuid = uuid  # one is drawn if none is given
        self.channels = channels  # that it may have; 1,023 if nothing is said
        self.log_path = os.path.join(out, f"guest-{name}.log")
        self.domid = None
        self.channel = None
        self.heard = len(self.log())  # what complaints() has looked at; others of this name have used it

    # life

    def config(self):
        """What xl create takes."""
        lines = [f'name = "{self.name}"', 'type = "pv"', 'kernel = "/boot/vmlinux"', 'ramdisk = "/boot/guest.cpio"',
                 f"memory = {self.memory}", f"vcpus = {self.vcpus}",
                 f'extra = "console=hvc0 rdinit=/init loglevel=5 panic=1 lab.kind={self.kind} lab.hook={self.hook}"',
                 'on_poweroff = "destroy"', 'on_reboot = "restart"', 'on_crash = "destroy"']
        if self.channels:
            lines.append(f"max_event_channels = {self.channels}")
        if self.uuid:
            lines.append(f'uuid = "{self.uuid}"')
        if self.pvcalls:
            lines.append("pvcalls = ['']")
        if self.kind == "net":
            lines.append("vif = ['script=vif-lab']")
        return "\n".join(lines) + "\n"

    def create(self, paused=False):
        """Creates the domain and does not wait for it to come up."""
        path = f"/tmp/{self.name}.xl"
        with open(path, "w", encoding="ascii") as file:
            file.write(self.config())
        check(run(["xl", "create", "-q", *(["-p"] if paused else []), path], 60))
        self.attach()
        return self

    def attach(self):
        """Takes up the console of the domain that has this name now."""
        if self.channel:
            self.channel.close()
        self.domid = int(check(run(["xl", "domid", self.name])).stdout)
        terminal = wait_for(lambda: xenstore(f"/local/domain/{self.domid}/console/tty"), f"{self.name} has a console")
        self.channel = Channel(terminal, self.log_path)

    def wait_up(self, seconds=BOOT_SECONDS):
        """Waits until the agent says hello."""
        try:
            self.channel.hello.wait(seconds)
        except AssertionError:
            raise AssertionError(f"{self.name} did not come up within {seconds} s:\n{self.log()[-3000:]}") from None
        return self

    def start(self):
        return self.create().wait_up()

    def exists(self):
        """Whether a domain of this number is there, dying ones too."""
        return run(["xl", "list", str(self.domid)]).returncode == 0

    def wait_gone(self, seconds=30):
        """Waits until nothing is left of the domain: no page of it is mapped by anybody."""
        wait_for(lambda: not self.exists(), f"domain {self.domid} ({self.name}) is gone", seconds, 0.1)
        self.channel.close()

    def destroy(self, seconds=30):
        if self.domid is not None and self.exists():
            check(run(["xl", "destroy", str(self.domid)]))
            self.wait_gone(seconds)

    def shutdown(self, seconds=30):
        """Asks it to go down in order."""
        check(run(["xl", "shutdown", str(self.domid)]))
        self.wait_gone(seconds)

    def crash(self, seconds=30):
        """Has its kernel panic."""
        self.popen(["sh", "-c", "echo c >/proc/sysrq-trigger"])
        self.wait_gone(seconds)

    def reboot(self, seconds=BOOT_SECONDS):
        """Asks it to go down and come up again, as another domain."""
        before = self.domid
        check(run(["xl", "reboot", str(before)]))
        wait_for(lambda: (found := run(["xl", "domid", self.name])).returncode == 0 and int(found.stdout) != before,
                 f"{self.name} has rebooted", seconds, 0.1)
        self.attach()
        return self.wait_up(seconds)

    def pause(self):
        check(run(["xl", "pause", str(self.domid)]))

    def unpause(self):
        check(run(["xl", "unpause", str(self.domid)]))

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()
        return ""

    def complaints(self):
        """What its kernel has found wrong with itself since this was asked last."""
        said, self.heard = self.log()[self.heard :], len(self.log())
        return re.findall(r"(?:WARNING: |BUG: |Oops: ).*", said)

    # programs in it

    def ask(self, op, **keys):
        return self.channel.ask(op, **keys)

    def popen(self, argv, seconds=60, **keys):
        """Starts a program; returns a Job."""
        argv = list(map(str, argv))
        return Job(self, argv, self.ask("run", argv=argv, seconds=seconds, **keys), seconds)

    def run(self, argv, seconds=60, **keys):
        """Runs a program to its end."""
        return self.popen(argv, seconds, **keys).wait()

    def client(self, argv, seconds=60, **keys):
        """Runs a program that uses the network, the way this kind of guest does."""
        return self.popen_client(argv, seconds, **keys).wait()

    def popen_client(self, argv, seconds=60, **keys):
        return self.popen([*(RUN if self.kind == "user" else []), *argv], seconds, **keys)

    def sh(self, line, seconds=60):
        return self.run(["sh", "-c", line], seconds)

    def python(self, code, *arguments, seconds=60):
        return self.run(["python3", "-S", "-c", code, *arguments], seconds)

    def write(self, path, text):
        self.ask("file", path=path, data=text).wait(20)

    def ping(self, seconds=5):
        self.ask("ping").wait(seconds)


def domains():
    """{name: (domid, state)} of all but Dom0."""
    rows = [line.split() for line in check(run(["xl", "list"])).stdout.splitlines()[2:]]
    return {row[0]: (int(row[1]), row[4]) for row in rows}


def destroy_all():
    """Removes every guest, whatever state it is in."""
    for name, (domid, _) in domains().items():
        run(["xl", "destroy", str(domid)])
        wait_for(lambda number=domid: run(["xl", "list", str(number)]).returncode, f"{name} is gone", 30, 0.1)


__all__ = ["Guest", "GuestGone", "Job", "Done", "destroy_all", "domains"]
