# SPDX-License-Identifier: GPL-2.0-or-later
"""Ordinary servers, unmodified, as guests: the host is their client."""
import os
import re
import socket
import urllib.request

import pytest

from harness import (check, filter_rules, free_port, has_sanitizer, listens, make_policy, output_of, peers, run, running, wait_for)

pytestmark = pytest.mark.root


@pytest.fixture
def nginx(daemon, tmp_path):
    """nginx with four workers as guest `web`; yields its port."""
    port = free_port()
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "small").write_bytes(b"small page\n")
    (tmp_path / "www" / "large").write_bytes(os.urandom(4 << 20))
    os.chmod(tmp_path, 0o755)
    (tmp_path / "nginx.conf").write_text(f"""
daemon off; user root; worker_processes 4; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{ use epoll; worker_connections 512; }}
http {{
  access_log off; sendfile on; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;
  fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
  server {{ listen 127.0.0.1:{port}; root {tmp_path}/www; keepalive_requests 1000000; }}
}}
""")
    guest = daemon.popen("web", ["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")], port=port)
    yield port, tmp_path, guest
    daemon.end_guest(guest)


@pytest.mark.needs("nginx", "wrk")
def test_nginx_hammered_by_wrk(daemon, nginx):
    """nginx (epoll, several workers) under wrk with 64 connections: no error, every call recorded."""
    port, folder, guest = nginx
    seconds = 3 if has_sanitizer() else 5
    done = check(run(["wrk", "-t", "2", "-c", "64", "-d", str(seconds), f"http://127.0.0.1:{port}/small"]))
    assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    assert requests > 500, done.stdout
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/large", timeout=30) as answer:
        assert answer.read() == (folder / "www" / "large").read_bytes()
    daemon.end_guest(guest)
    daemon.settle()
    assert not (folder / "error.log").read_text(), (folder / "error.log").read_text()
    accepts = daemon.calls("web", "accept", verdict="allow", errno=0)
    assert len(accepts) >= 65
    assert {row["peer_address"] for row in accepts} == {"127.0.0.1"}
    made = {row["socket"] for row in accepts}
    released = {row["socket"]: row for row in daemon.calls("web", "release")}
    assert made <= set(released), "each accepted connection has its release"
    assert sum(released[number]["bytes_out"] for number in made) > requests * len("small page\n")


@pytest.mark.needs("nginx", "wrk")
def test_nginx_new_connection_each(daemon, nginx):
    """The same with a connection for every request."""
    port, _, guest = nginx
    done = check(run(["wrk", "-t", "2", "-c", "32", "-d", "2", "-H", "Connection: close", f"http://127.0.0.1:{port}/small"]))
    assert "Non-2xx" not in done.stdout, done.stdout
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", done.stdout)
    assert not errors or errors[1] == errors[3] == errors[4] == "0", done.stdout
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    daemon.end_guest(guest)
    daemon.settle()
    accepts = daemon.calls("web", "accept", verdict="allow", errno=0)
    assert len(accepts) >= requests


@pytest.mark.needs("redis-server", "redis-benchmark")
def test_redis_server(daemon, tmp_path):
    """redis-server as guest answers 50 connections of a benchmark and keeps its data."""
    port = free_port()
    guest = daemon.popen("redis", ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)], port=port)
    check(run(["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-n", "5000", "-c", "50", "-q", "-t", "set,get"]))
    check(run(["redis-cli", "-p", str(port), "set", "key", "x" * 100_000]))
    assert check(run(["redis-cli", "-p", str(port), "get", "key"])).stdout == "x" * 100_000 + "\n"
    info = check(run(["redis-cli", "-p", str(port), "info", "commandstats"])).stdout
    assert int(re.search(r"cmdstat_set:calls=(\d+)", info)[1]) == 5001
    daemon.end_guest(guest)
    daemon.settle()
    assert len(daemon.calls("redis", "accept", errno=0, verdict="allow")) >= 103


def test_python_http_server(daemon, tmp_path):
    """python3 -m http.server: blocking accepts, and files that come whole."""
    port = free_port()
    content = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(content)
    guest = daemon.popen("web", ["/usr/bin/python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(tmp_path)], port=port)
    for _ in range(5):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/file", timeout=30) as answer:
            assert answer.read() == content
    daemon.end_guest(guest)
    daemon.settle()
    accepts = daemon.calls("web", "accept", errno=0, verdict="allow")
    assert len(accepts) == 5
    released = {row["socket"]: row for row in daemon.calls("web", "release")}
    listener = daemon.calls("web", "listen")[0]["socket"]
    for row in accepts:
        assert row["parent"] == listener
        assert released[row["socket"]]["bytes_out"] > len(content)


def test_accept_filtered_by_source(make_daemon):
    """Peers whose address the policy does not allow are reset and recorded; the others are served."""
    daemon = make_daemon({"test.yaml": make_policy(default="deny", chain=filter_rules(
        {"id": "serve", "on": ["socket", "bind", "listen", "release", "poll"], "verdict": "allow"},
        {"id": "banned", "on": "accept", "from": {"net": ["127.0.0.66"]}, "verdict": "deny"},
        {"id": "clients", "on": "accept", "from": {"net": ["127.0.0.64/28"]}, "verdict": "allow"}))})
    port = free_port()
    guest = daemon.popen("server", peers("greet", port), port=port)

    def client(source):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as connection:
                return connection.makefile().readline()
        except ConnectionResetError:
            return "reset"

    for _ in range(20):
        assert client("127.0.0.65").startswith("127.0.0.65:")
        assert client("127.0.0.66") in ("reset", "")
        assert client("127.0.0.79").startswith("127.0.0.79:")
        assert client("127.0.0.80") in ("reset", "")
    daemon.end_guest(guest)
    daemon.settle()
    accepts = [row for row in daemon.calls("server", "accept") if row["peer_address"]]
    seen = {}
    for row in accepts:
        seen.setdefault((row["peer_address"], row["verdict"], row["decider"], row["rule"]), 0)
        seen[row["peer_address"], row["verdict"], row["decider"], row["rule"]] += 1
    assert seen.pop(("127.0.0.65", "allow", "filter", "clients")) == 20
    assert seen.pop(("127.0.0.79", "allow", "filter", "clients")) == 20
    assert seen.pop(("127.0.0.66", "deny", "filter", "banned")) == 20
    (address, verdict, decider, rule), count = seen.popitem()
    assert (address, verdict, decider, count) == ("127.0.0.80", "deny", "default", 20)
    assert not seen
    reason = next(row["reason"] for row in accepts if row["peer_address"] == "127.0.0.80")
    assert any(rule in reason for rule in ("clients", "serve")), f"a default deny names the nearest miss: {reason!r}"


def test_backlog_and_poll(daemon):
    """Connections that wait in the backlog while the guest does not accept are there when it does."""
    port = free_port()
    gate = os.path.join(daemon.dir, "gate")
    code = f"""
import select, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', {port})); s.listen(64)
while not os.path.exists({gate!r}): time.sleep(0.01)
p = select.poll(); p.register(s, select.POLLIN)
for _ in range(30):
    assert p.poll(20000)
    c, peer = s.accept()
    c.sendall(b'in'); c.close()
"""
    guest = daemon.popen("slow", ["/usr/bin/python3", "-S", "-c", "import os, socket\n" + code], port=port)
    clients = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(30)]
    open(gate, "w").close()
    assert [client.recv(10) for client in clients] == [b"in"] * 30
    assert guest.wait(20) == 0, output_of(guest)
    for client in clients:
        client.close()


def test_listener_goes_with_its_guest(daemon):
    """When the guest ends, its port is free again and connections of its are closed."""
    port = free_port()
    guest = daemon.popen("server", peers("echo", port), port=port)
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    daemon.end_guest(guest, 9)
    try:
        assert client.recv(1) == b""
    except ConnectionResetError:
        pass
    client.close()
    wait_for(lambda: not listens(port), "the port is free")
    with running(peers("echo", port), port=port):
        pass
    with running(peers("echo", port), port=port):
        pass


def test_two_servers_of_one_guest(daemon):
    """Several listeners, several accepts in flight on each."""
    ports = [free_port() for _ in range(4)]
    code = f"""
import threading
def serve(port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', port)); s.listen(64)
    def worker():
        while True:
            c, _ = s.accept()
            c.sendall(b'%d' % port); c.close()
    for _ in range(4): threading.Thread(target=worker, daemon=True).start()
for port in {ports!r}: serve(port)
sys.stdin.read()
"""
    guest = daemon.popen("multi", ["/usr/bin/python3", "-S", "-c", "import sys, socket\n" + code], port=ports[-1], stdin=-1)
    for _ in range(10):
        for port in ports:
            wait_for(lambda port=port: listens(port), f"port {port}")
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                assert client.makefile().read() == str(port)
    daemon.end_guest(guest)
