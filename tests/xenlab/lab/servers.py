# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers of the other machine, in one process: servers.py ADDRESS SIZE ROLE=PORT...

What they do is in tests/e2e/peers.py; here are only those that peers.py lacks.
"""
import http.server
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))

import peers  # noqa: E402

PAGE = bytes(range(256)) * 4096  # 1 MiB


class Pages(http.server.BaseHTTPRequestHandler):
    """One page, whatever is asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


def web(port, address):
    http.server.ThreadingHTTPServer((address, port), Pages).serve_forever()


def lines(port, address):
    """Gives back the first line, and closes."""

    def handle(connection):
        with connection.makefile("rwb") as stream:
            stream.write(stream.readline())

    peers.serve(peers.listen(port, address), handle)


def flood(port, address):
    """Sends for as long as somebody takes it."""
    block = bytes(1 << 16)

    def handle(connection):
        while True:
            connection.sendall(block)

    peers.serve(peers.listen(port, address), handle)


def main(address, size, *roles):
    jobs = {
        "source": lambda port: peers.source(port, size, 1, address),
        "sink": lambda port: peers.sink(port, 0, address),
        "verdict": lambda port: peers.verdict(port, 0, address),
        "echo": lambda port: peers.echo(port, address),
        "greet": lambda port: peers.greet(port, address),
        "web": lambda port: web(port, address),
        "lines": lambda port: lines(port, address),
        "flood": lambda port: flood(port, address),
    }
    threads = []
    for role in roles:
        name, _, port = role.partition("=")
        threads.append(threading.Thread(target=jobs[name], args=(int(port),)))
        threads[-1].start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
