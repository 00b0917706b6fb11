# SPDX-License-Identifier: GPL-2.0-or-later
"""Another machine, as far as Dom0 is concerned: a network namespace with servers in it.

Guests may be allowed to reach it; Dom0's own addresses are closed to them by the floor.
"""
import os
import subprocess

from tools import check, run, wait_for

DOM0 = "10.83.0.1"
FAR = "10.83.0.2"
DARK = "10.83.0.99"  # a machine that is not there: what is sent to it is lost
NET = "10.83.0.0/24"
PORTS = {"source": 7001, "sink": 7002, "echo": 7003, "greet": 7004, "web": 7080, "lines": 7005, "flood": 7006,
         "verdict": 7007}
IPERF = 5201
SIZE = 64 << 20  # of what the source sends
SERVERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "servers.py")


class Far:
    """The namespace, joined to Dom0 by a cable."""

    def __init__(self):
        run(["ip", "netns", "delete", "far"])  # of one whose making failed
        self.servers = []
        ip = lambda *arguments: check(run(["ip", *arguments]))  # noqa: E731
        ip("netns", "add", "far")
        ip("link", "add", "far0", "type", "veth", "peer", "name", "eth0", "netns", "far")
        ip("address", "add", f"{DOM0}/24", "dev", "far0")
        ip("link", "set", "far0", "up")
        ip("neigh", "replace", DARK, "lladdr", "02:00:00:00:00:01", "dev", "far0")
        for words in ("link set lo up", f"address add {FAR}/24 dev eth0", "link set eth0 up"):
            ip("-n", "far", *words.split())

    def inside(self, *argv):
        return ["ip", "netns", "exec", "far", *map(str, argv)]

    def run(self, *argv, seconds=60):
        """Runs a program on the other machine to its end."""
        return run(self.inside(*argv), seconds)

    def serve(self):
        """Starts the servers that every case may use."""
        self.popen("python3", "-S", SERVERS, FAR, SIZE, *(f"{role}={port}" for role, port in PORTS.items()))
        self.popen("iperf3", "-s", "-p", IPERF)
        wait_for(lambda: self.listening() >= {*PORTS.values(), IPERF}, "the servers listen")

    def popen(self, *argv):
        with open("/out/servers.log", "ab") as log:
            process = subprocess.Popen(self.inside(*argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.servers.append(process)
        return process

    def listening(self):
        """Ports on which something listens there."""
        table = check(self.run("cat", "/proc/net/tcp", "/proc/net/tcp6")).stdout
        rows = map(str.split, table.splitlines())
        return {int(row[1].rsplit(":", 1)[1], 16) for row in rows if len(row) > 3 and row[3] == "0A"}


def dom0_addresses():
    """Each IPv4 address of Dom0."""
    rows = check(run(["ip", "-4", "-o", "address"])).stdout.splitlines()
    return [row.split()[3].split("/")[0] for row in rows]
