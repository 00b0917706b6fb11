# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that notices when something hangs: pulse.py WAY ADDRESS PORT STOP_FILE PAUSE

WAY short: connects, has a line given back, closes. WAY long: one connection, a block to and fro.
Both go on until STOP_FILE is there, with PAUSE seconds between two rounds, then print JSON: how often
it went well and wrong, the first errors by name, and the longest time that one round took.
"""
import errno
import json
import os
import socket
import sys
import time

BLOCK = bytes(4096)
ERRORS_KEPT = 5


class Pulse:
    """What was seen so far."""

    def __init__(self, address, port):
        self.peer = (address, int(port))
        self.good = self.bad = 0
        self.longest = 0.0
        self.errors = []
        self.connection = None

    def short(self):
        with socket.create_connection(self.peer) as connection:
            connection.sendall(b"pulse\n")
            line = connection.makefile("rb").readline()
        if line != b"pulse\n":
            raise ConnectionError(errno.EPIPE, "the line did not come back")

    def long(self):
        if not self.connection:
            self.connection = socket.create_connection(self.peer)
        self.connection.sendall(BLOCK)
        missing = len(BLOCK)
        while missing:
            data = self.connection.recv(missing)
            if not data:
                raise ConnectionError(errno.EPIPE, "the stream ended")
            missing -= len(data)

    def round(self, way):
        started = time.monotonic()
        try:
            way()
            self.good += 1
        except OSError as error:
            self.bad += 1
            self.errors.append(errno.errorcode.get(error.errno, str(error)))
            del self.errors[ERRORS_KEPT:]
            if self.connection:
                self.connection.close()
            self.connection = None
            time.sleep(0.05)  # an error that comes at once must not fill the trail
        self.longest = max(self.longest, time.monotonic() - started)


def main(way, address, port, stop_file, pause):
    pulse = Pulse(address, port)
    print("beats", flush=True)
    while not os.path.exists(stop_file):
        pulse.round(getattr(pulse, way))
        time.sleep(float(pause))
    print(json.dumps({"good": pulse.good, "bad": pulse.bad, "longest": round(pulse.longest, 3), "errors": pulse.errors}))


if __name__ == "__main__":
    main(*sys.argv[1:])
