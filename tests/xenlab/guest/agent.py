# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's first process: does what Dom0 asks for over the console.

A line that begins with MARK holds one JSON object; every other line is the kernel's. Requests:

    {"id": 1, "op": "run", "argv": [...], "seconds": 60}    answered when the program has ended
    {"id": 2, "op": "kill", "job": 1, "signal": 9}          the job is the request that ran it
    {"id": 3, "op": "said", "job": 1}                       what the program has said so far
    {"id": 4, "op": "file", "path": "...", "data": "..."}   writes a file
    {"id": 5, "op": "ping"}

Any number of programs run at once. "run" also takes "env", "stdin" (text) and "limit" (bytes of
output that are returned, the last ones).
"""
import json
import os
import select
import signal
import subprocess
import time
import tty

CONSOLE = "/dev/hvc0"
MARK = "@lab "
LIMIT = 64 << 10


class Job:
    """A program that runs, and what it says."""

    def __init__(self, request):
        self.request = request
        self.base = f"/tmp/job-{request['id']}"
        self.timed_out = False
        self.deadline = time.monotonic() + request.get("seconds", 60)
        with open(self.base + ".in", "w+", encoding="utf-8") as source:
            source.write(request.get("stdin", ""))
            source.seek(0)
            with open(self.base + ".out", "wb") as out, open(self.base + ".err", "wb") as err:
                self.process = subprocess.Popen(
                    request["argv"], stdin=source, stdout=out, stderr=err, start_new_session=True, cwd="/tmp",
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **request.get("env", {})})
        self.started = time.monotonic()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def said(self):
        limit = self.request.get("limit", LIMIT)
        texts = {}
        for stream in ("out", "err"):
            with open(f"{self.base}.{stream}", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
                texts[stream] = file.read().decode(errors="backslashreplace")
        return texts

    def result(self, status):
        self.process.returncode = status  # so that Popen does not look for it
        answer = {"id": self.request["id"], "status": status, "timed_out": self.timed_out,
                  "seconds": round(time.monotonic() - self.started, 3), **self.said()}
        for stream in ("in", "out", "err"):
            os.unlink(f"{self.base}.{stream}")
        return answer


class Agent:
    """The loop."""

    def __init__(self):
        self.console = os.open(CONSOLE, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.console)
        self.kmsg = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        self.jobs = {}
        self.unread = b""
        self.wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.end = None
        for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._signalled)

    def _signalled(self, number, _):
        # what busybox's poweroff, halt and reboot tell the first process
        self.end = {signal.SIGTERM: "reboot", signal.SIGUSR1: "halt", signal.SIGUSR2: "poweroff"}.get(number, self.end)

    def say(self, **frame):
        data = (MARK + json.dumps(frame) + "\n").encode()
        while data:
            data = data[os.write(self.console, data):]

    def serve(self):
        self.say(hello=os.uname().release, seconds=time.monotonic())
        poll = select.poll()
        for fd in (self.console, self.kmsg, self.wake):
            poll.register(fd, select.POLLIN)
        while not self.end:
            for fd, _ in poll.poll(self._patience()):
                {self.console: self._requests, self.kmsg: self._kernel, self.wake: self._woken}[fd]()
            self._reap()
        self._finish()

    def _patience(self):
        if not self.jobs:
            return None
        return max(0, min(job.deadline for job in self.jobs.values()) - time.monotonic()) * 1000 + 1

    def _woken(self):
        os.read(self.wake, 4096)

    def _kernel(self):
        """Passes on what the kernel logs: its own console lines would run into ours."""
        try:
            while True:
                text = os.read(self.kmsg, 8192).decode(errors="backslashreplace")
                self.say(kernel=text.split(";", 1)[-1].split("\n")[0])
        except BlockingIOError:
            pass
        except OSError:
            self.say(kernel="(lines were lost)")

    def _requests(self):
        *lines, self.unread = (self.unread + os.read(self.console, 65536)).split(b"\n")
        for line in lines:
            request = {}
            try:
                request = json.loads(line)
                self._serve(request)
            except Exception as error:  # whatever was asked for, the agent lives on
                self.say(id=request.get("id"), error=f"{type(error).__name__}: {error}")

    def _serve(self, request):
        if request["op"] == "run":
            self.jobs[request["id"]] = Job(request)
            return
        answer = {}
        if request["op"] == "file":
            with open(request["path"], "w", encoding="utf-8") as file:
                file.write(request["data"])
        elif request["op"] == "kill":
            if request["job"] in self.jobs:
                self.jobs[request["job"]].signal(request["signal"])
        elif request["op"] == "said":
            answer = self.jobs[request["job"]].said()
        elif request["op"] != "ping":
            raise ValueError(f"no such operation: {request['op']}")
        self.say(id=request["id"], status=0, **answer)

    def _reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            for number, job in list(self.jobs.items()):
                if job.process.pid == pid:
                    del self.jobs[number]
                    self.say(**job.result(os.waitstatus_to_exitcode(status)))
        for job in self.jobs.values():
            if time.monotonic() > job.deadline:
                job.timed_out = True
                job.deadline += 3600
                job.signal(signal.SIGKILL)

    def _finish(self):
        """Ends programs as a machine does that goes down in order."""
        self.say(ending=self.end)
        for job in self.jobs.values():
            job.signal(signal.SIGTERM)
        deadline = time.monotonic() + 2
        while self.jobs and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)
        os.execvp(self.end, [self.end, "-f"])


if __name__ == "__main__":
    with open("/proc/sys/kernel/printk", "w", encoding="ascii") as level:
        level.write("1")
    Agent().serve()
