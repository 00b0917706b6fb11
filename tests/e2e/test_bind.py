# SPDX-License-Identifier: GPL-2.0-or-later
"""Binding as programs do it: to every address, to port 0 before a connect, to the next port that is free."""
import json

import pytest

from harness import PYTHON, check, filter_rules, make_policy, peers, run, running, wait_for

pytestmark = pytest.mark.root

# Step 3 of policies/README.md.
TUTORIAL = filter_rules(
    {"id": "serve", "on": ["bind", "listen"], "at": {"ports": [8080]}, "verdict": "allow"},
    {"id": "clients", "on": "accept", "from": {"net": "private"}, "verdict": "allow"})


def fetch(network, space, address, port):
    """What curl gets there: the page, or curl's exit status."""
    done = run(network.inside(space, ["curl", "-sS", "-m", "20", f"http://{address}:{port}/"]))
    return done.stdout if done.returncode == 0 else done.returncode


@pytest.mark.needs("curl")
def test_server_at_every_address(make_daemon, network, tmp_path):
    """A server that binds to 0.0.0.0 serves at the host's addresses, and not at loopback."""
    (tmp_path / "index.html").write_text("hello")
    daemon = make_daemon({"test.yaml": make_policy(floor=None, default="deny", chain=TUTORIAL)}, netns=network.host)
    guest = daemon.popen("shop", [PYTHON, "-m", "http.server", "8080", "-d", str(tmp_path)])
    network.wait_port(network.host, 8080)
    assert fetch(network, network.far, network.HOST, 8080) == "hello"
    assert fetch(network, network.host, network.HOST, 8080) == "hello"
    assert isinstance(fetch(network, network.host, "127.0.0.1", 8080), int), "it is refused, however early curl sees that"
    daemon.end_guest(guest)
    daemon.settle()
    bind, = daemon.calls("shop", "bind")
    assert (bind["effective_address"], bind["verdict"], bind["rule"]) == ("0.0.0.0", "allow", "serve")
    row, = daemon.calls("shop", "accept", verdict="deny", decider="floor")
    assert (row["rule"], row["local_address"], row["local_port"]) == ("loopback", "127.0.0.1", 8080)


@pytest.mark.needs("curl")
@pytest.mark.parametrize("how", ["deny", "allow", "pair"])
def test_accept_at_an_address(make_daemon, network, tmp_path, how):
    """A rule for peers at one address holds of a server at 0.0.0.0, too."""
    (tmp_path / "index.html").write_text("hello")
    network.ip("-n", network.host, "address", "add", "10.83.1.1/24", "dev", network.cables[0])
    serve = {"id": "serve", "on": ["bind", "listen"], "at": {"ports": [8080]}, "verdict": "allow"}
    rules = {
        "deny": [{"id": "closed", "on": "accept", "at": {"net": "10.83.1.1"}, "verdict": "deny"},
                 {"id": "rest", "on": "accept", "verdict": "allow"}],
        "allow": [{"id": "open", "on": "accept", "at": {"net": network.HOST, "ports": 8080}, "verdict": "allow"}],
        "pair": [{"id": "open", "on": "accept", "from": {"net": network.FAR}, "at": {"net": network.HOST}, "verdict": "allow"}],
    }
    daemon = make_daemon({"test.yaml": make_policy(floor=None, default="deny", chain=filter_rules(serve, *rules[how]))}, netns=network.host)
    guest = daemon.popen("shop", [PYTHON, "-m", "http.server", "8080", "-d", str(tmp_path)])
    network.wait_port(network.host, 8080)
    assert fetch(network, network.far, network.HOST, 8080) == "hello"
    assert isinstance(fetch(network, network.far, "10.83.1.1", 8080), int)
    assert fetch(network, network.far, network.HOST, 8080) == "hello"
    daemon.end_guest(guest)
    daemon.settle()
    rows = [(row["local_address"], row["verdict"]) for row in daemon.calls("shop", "accept") if row["verdict"] != "none"]
    assert rows == [(network.HOST, "allow"), ("10.83.1.1", "deny"), (network.HOST, "allow")]


@pytest.mark.needs("curl")
def test_loopback_opened_by_name(make_daemon, network, tmp_path):
    """Where the policy opens loopback for a bind, a server at 0.0.0.0 is reached there, too."""
    (tmp_path / "index.html").write_text("hello")
    floor = {"allow": [{"on": "bind", "to": {"net": "127.0.0.1", "ports": 8080}}]}
    daemon = make_daemon({"test.yaml": make_policy(floor=floor)}, netns=network.host)
    guest = daemon.popen("shop", [PYTHON, "-m", "http.server", "8080", "-d", str(tmp_path)])
    network.wait_port(network.host, 8080)
    assert fetch(network, network.host, "127.0.0.1", 8080) == "hello"
    daemon.end_guest(guest)


def test_bind_before_a_connect(make_daemon, network):
    """Port 0 before a connect needs no rule, at 0.0.0.0 and at an address; to listen there does."""
    daemon = make_daemon({"test.yaml": make_policy(floor=None, default="deny", chain=filter_rules(
        {"id": "far", "on": "connect", "to": {"net": network.FAR}, "verdict": "allow"},
        {"id": "serve", "on": "bind", "to": {"ports": 8080}, "verdict": "allow"},
        {"id": "listen", "on": "listen", "verdict": "allow"}))}, netns=network.host)
    code = """
import json
far, own = sys.argv[1:3]
found = []
for address in ('0.0.0.0', own):
    s = socket.socket(); s.bind((address, 0)); s.connect((far, 7001))
    found.append((s.getsockname()[0], s.getsockname()[1] > 0)); s.close()
for address in ('0.0.0.0', own, '127.0.0.1'):
    s = socket.socket(); s.bind((address, 0)); found.append(attempt(s.listen, 5)); s.close()
print(json.dumps(found))
"""
    with running(network.inside(network.far, peers("greet", 7001, "0.0.0.0"))):
        network.wait_port(network.far, 7001)
        found = json.loads(check(daemon.python("shop", code, network.FAR, network.HOST)).stdout)
    assert found == [[network.HOST, True]] * 2 + ["EACCES"] * 3
    daemon.settle()
    assert all("only to connect" in row["reason"] for row in daemon.calls("shop", "listen"))


@pytest.mark.needs("nc")
def test_nc_from_an_address(make_daemon, network):
    """nc -s binds to the address, port 0; the rule for the connect is all it takes."""
    daemon = make_daemon({"test.yaml": make_policy(floor=None, default="deny", chain=filter_rules(
        {"id": "far", "on": "connect", "to": {"net": network.FAR}, "verdict": "allow"}))}, netns=network.host)
    with running(network.inside(network.far, peers("greet", 7001, "0.0.0.0"))):
        network.wait_port(network.far, 7001)
        check(daemon.run("shop", ["nc", "-z", "-w", "20", "-s", network.HOST, network.FAR, "7001"]))


def test_free_binds_take_no_port(make_daemon, network):
    """Ports that nobody allowed are not taken from the host: thousands of such sockets leave it all of them."""
    sysctl = "/proc/sys/net/ipv4/ip_local_port_range"
    check(run(network.inside(network.host, ["sh", "-c", f"echo 40000 40063 > {sysctl}"])))
    daemon = make_daemon({"test.yaml": make_policy(floor=None, default="deny")}, netns=network.host)
    code = "kept = [socket.socket() for _ in range(200)]\nprint([attempt(s.bind, ('0.0.0.0', 0)) for s in kept].count('ok'))"
    assert check(daemon.python("shop", code)).stdout == "200\n"


@pytest.mark.needs("dig")
def test_dig_over_tcp(make_daemon, network):
    """dig +tcp binds to 0.0.0.0:0 first; a policy that allows the resolver is enough for it."""
    daemon = make_daemon({"test.yaml": make_policy(floor=None, default="deny", chain=filter_rules(
        {"id": "dns", "on": "connect", "to": {"net": network.FAR, "ports": 53}, "verdict": "allow"}))}, netns=network.host)
    with running(network.inside(network.far, peers("echo", 53, "0.0.0.0"))):
        network.wait_port(network.far, 53)
        # What comes back is the question: no answer, but it was asked and heard.
        daemon.run("shop", ["dig", "+tcp", "+time=5", "+tries=1", f"@{network.FAR}", "example.test"])
    daemon.settle()
    row = daemon.calls("shop", "connect")[0]
    assert (row["verdict"], row["errno"]) == ("allow", 0)


def test_next_free_port(make_daemon, network):
    """A server that takes the next port when one is in use meets EADDRINUSE where the host, or a guest, has it."""
    daemon = make_daemon({"test.yaml": make_policy(floor=None)}, netns=network.host)
    code = """
for port in range(8888, 8892):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try: s.bind(('0.0.0.0', port)); s.listen(); break
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
print(port, flush=True)
sys.stdin.read()
"""
    with running(network.inside(network.host, peers("greet", 8888, "127.0.0.1"))):
        network.wait_port(network.host, 8888)
        first = daemon.popen("first", [PYTHON, "-S", "-c", "import errno, socket, sys" + code], stdin=-1, text=True)
        assert [first.stdout.readline() for _ in range(2)] == ["EADDRINUSE\n", "8889\n"]
        wait_for(lambda: daemon.ctl_json("sockets", "first"), "the first guest listens")
        second = daemon.popen("second", [PYTHON, "-S", "-c", "import errno, socket, sys" + code], stdin=-1, text=True)
        assert [second.stdout.readline() for _ in range(3)] == ["EADDRINUSE\n"] * 2 + ["8890\n"]
        for guest in (first, second):
            guest.stdin.close()
            assert guest.wait(20) == 0
    daemon.settle()
    row = daemon.calls("first", "bind")[0]
    assert (row["verdict"], row["rule"], row["errno_name"]) == ("deny", "host-port", "EADDRINUSE")


def test_ports_of_the_host_are_not_told(make_daemon, network):
    """Who may not have a port does not learn whether the host listens on it."""
    daemon = make_daemon({"test.yaml": make_policy(floor=None, default="deny")}, netns=network.host)
    code = """
print([attempt(socket.socket().bind, ('0.0.0.0', port)) for port in (8888, 8889)])
"""
    with running(network.inside(network.host, peers("greet", 8888, "127.0.0.1"))):
        network.wait_port(network.host, 8888)
        assert check(daemon.python("shop", code)).stdout == "['EACCES', 'EACCES']\n"
