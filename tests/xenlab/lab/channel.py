# SPDX-License-Identifier: GPL-2.0-or-later
"""Dom0's end of a guest's console: requests to the agent (guest/agent.py) and its answers."""
import json
import os
import select
import threading
import time
import tty

MARK = b"@lab "


class GuestGone(Exception):
    """The guest ended before it answered."""


class Answer:
    """What a request will bring."""

    def __init__(self, number):
        self.number = number
        self._done = threading.Event()
        self._frame = None

    def give(self, frame):
        self._frame = frame
        self._done.set()

    def ready(self):
        return self._done.is_set()

    def wait(self, seconds):
        """The answer as a dictionary; raises GuestGone, or AssertionError at the deadline."""
        assert self._done.wait(seconds), f"the guest did not answer within {seconds} s"
        if self._frame is None:
            raise GuestGone("the guest has gone")
        assert "error" not in self._frame, self._frame["error"]
        return self._frame


class Channel:
    """One console. What is no answer goes to `log`, a path."""

    def __init__(self, terminal, log):
        self.hello = Answer(0)
        self._fd = os.open(terminal, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        tty.setraw(self._fd)
        self._log = open(log, "ab", buffering=0)
        self._lock = threading.Lock()
        self._answers = {}
        self._last = 0
        self._closed = False
        self._stop, self._stopped = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, op, **keys):
        """Sends a request; returns its Answer."""
        with self._lock:
            self._last += 1
            answer = self._answers[self._last] = Answer(self._last)
            if self._closed:
                answer.give(None)
                return answer
            data = (json.dumps({"id": self._last, "op": op, **keys}) + "\n").encode()
            while data:
                data = data[os.write(self._fd, data):]
        return answer

    def note(self, text):
        """Writes into the log between the guest's lines."""
        self._log.write(f"[{time.monotonic():8.3f}] ({text})\n".encode())

    def close(self):
        """Ends it: whoever waits is told that the guest has gone."""
        if not self._closed:
            self._closed = True
            os.close(self._stopped)
            self._reader.join(10)

    def _read(self):
        unread = b""
        try:
            while self._stop not in (ready := select.select([self._fd, self._stop], [], [])[0]):
                data = os.read(self._fd, 65536) if ready else b""
                if not data:
                    break
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._take(line)
        except OSError:
            pass  # xenconsoled has closed the terminal: the guest has gone
        self._ended(unread)

    def _ended(self, unread):
        self._log.write(unread)
        with self._lock:
            self._closed = True
            answers = list(self._answers.values()) + [self.hello]
            self._answers.clear()
        for answer in answers:
            if not answer.ready():
                answer.give(None)
        os.close(self._fd)
        os.close(self._stop)
        self._log.close()

    def _take(self, line):
        start = line.find(MARK)
        try:
            frame = json.loads(line[start + len(MARK):]) if start >= 0 else {}
        except ValueError:
            frame = {}
        if "id" in frame:
            with self._lock:
                answer = self._answers.pop(frame["id"], None)
            if answer:
                answer.give(frame)
        elif "hello" in frame:
            self.hello.give(frame)
        text = frame["kernel"].encode() if "kernel" in frame else line.rstrip(b"\r")
        self._log.write(b"[%8.3f] " % time.monotonic() + text + b"\n")
