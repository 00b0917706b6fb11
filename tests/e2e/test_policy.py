# SPDX-License-Identifier: GPL-2.0-or-later
"""What policies say holds: for the program that meets an errno, and in the trail."""
import contextlib
import hashlib
import json
import os
import shlex
import signal
import socket
import time

import pytest

from harness import (GUEST_PRELUDE, LOOPBACK, PYTHON, check, filter_rules, free_port, listens, make_policy,
                     output_of, peers, run, running, wait_for)

pytestmark = pytest.mark.root

TRY = """
import json
results = []
for address, port in json.loads(sys.argv[1]):
    s = socket.socket(); s.settimeout(15)
    results.append(attempt(s.connect, (address, port)))
    s.close()
print(json.dumps(results))
"""
BIND = """
import json
results = []
for address, port in json.loads(sys.argv[1]):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    def serve():
        s.bind((address, port)); s.listen(5)
    results.append(attempt(serve))
    s.close()
print(json.dumps(results))
"""


def connects(daemon, guest, targets):
    """What a guest meets that connects to each target, one after the other."""
    return json.loads(check(daemon.python(guest, TRY, json.dumps(targets), timeout=100)).stdout)


def binds(daemon, guest, targets):
    """What a guest meets that binds to each target and listens there."""
    return json.loads(check(daemon.python(guest, BIND, json.dumps(targets))).stdout)


@contextlib.contextmanager
def servers(count):
    """Ports with somebody behind."""
    with contextlib.ExitStack() as stack:
        ports = [free_port() for _ in range(count)]
        for port in ports:
            stack.enter_context(running(peers("greet", port), port=port))
        yield ports


# --- verdicts ---


def test_allow_deny_and_errno(make_daemon):
    """Each rule's verdict and errno reach the program; the row names plugin, rule and near miss."""
    with servers(4) as (good, refused, plain, other):
        daemon = make_daemon({"test.yaml": make_policy(default="deny", chain=filter_rules(
            {"id": "no-refused", "on": "connect", "to": {"ports": [refused]}, "verdict": "deny", "errno": "ECONNREFUSED"},
            {"id": "no-plain", "on": "connect", "to": {"net": ["127.0.0.1"], "ports": [plain]}, "verdict": "deny"},
            {"id": "good", "on": "connect", "to": {"net": ["127.0.0.1"], "ports": [good]}, "verdict": "allow"}))})
        found = connects(daemon, "shop", [["127.0.0.1", port] for port in (good, refused, plain, other)])
        assert found == ["ok", "ECONNREFUSED", "EACCES", "EACCES"]
        daemon.settle()
        rows = daemon.calls("shop", "connect")
        assert [(r["verdict"], r["decider"], r["rule"], r["errno_name"]) for r in rows[:3]] == [
            ("allow", "filter", "good", None), ("deny", "filter", "no-refused", "ECONNREFUSED"),
            ("deny", "filter", "no-plain", "EACCES")]
        last = rows[3]
        assert (last["verdict"], last["decider"], last["errno_name"]) == ("deny", "default", "EACCES")
        assert f"port {other} is not in" in last["reason"], last["reason"]
        assert {row["policy"] for row in rows} == {"test"}
        text = open(os.path.join(daemon.policy_dir, "test.yaml"), "rb").read()
        assert {row["policy_digest"] for row in rows} == {hashlib.sha256(text).hexdigest()}


def test_ports_are_numbers(make_daemon):
    """A range is one of numbers, not of texts: 9 lies outside 80-1000, 100 inside 20-1000."""
    daemon = make_daemon({"test.yaml": make_policy(default="deny", chain=filter_rules(
        {"id": "range", "on": "connect", "to": {"ports": ["20000-100000".replace("100000", "30000")]}, "verdict": "allow"}))})
    found = connects(daemon, "shop", [["127.0.0.1", port] for port in (3, 9999, 19999, 20000, 25000, 30000, 30001, 65535)])
    allowed = [result != "EACCES" for result in found]
    assert allowed == [False, False, False, True, True, True, False, False], found


def test_guest_without_a_policy(make_daemon):
    """A guest that no policy fits is refused every call, and the trail says so."""
    daemon = make_daemon({"test.yaml": make_policy(match="somebody-else")})
    with servers(1) as (port,):
        assert connects(daemon, "nobody", [["127.0.0.1", port]]) == ["EACCES"]
    found = binds(daemon, "nobody", [["127.0.0.1", free_port()]])
    assert found == ["EACCES"]
    daemon.settle()
    rows = daemon.calls("nobody")
    assert rows and not [row for row in rows if row["verdict"] == "allow" and row["operation"] not in ("release",)], rows
    assert any("no policy" in (row["reason"] or "") for row in rows)
    assert "every call is denied" in daemon.events("guest_attached", "nobody")[0]["text"]


def test_matching_and_layers(make_daemon, tmp_path):
    """Files in name order, first match wins; a later directory's file replaces an earlier one's."""
    layer = tmp_path / "layer"
    layer.mkdir(mode=0o755)
    with servers(1) as (port,):
        daemon = make_daemon({
            "20-all.yaml": make_policy("all", "*"),
            "10-web.yaml": make_policy("web", ["web-*", "shop"], default="deny"),
            "30-never.yaml": make_policy("never", "*", default="deny"),
            ".hidden.yaml": "not yaml: [",
            "note.txt": "not yaml: [",
        }, arguments=["--policy-dir", str(layer)])
        assert connects(daemon, "web-1", [["127.0.0.1", port]]) == ["EACCES"]
        assert connects(daemon, "shop", [["127.0.0.1", port]]) == ["EACCES"]
        assert connects(daemon, "shopper", [["127.0.0.1", port]]) == ["ok"]
        (layer / "10-web.yaml").write_text(make_policy("replaced", "shop"))
        daemon.reload()
        assert connects(daemon, "shop", [["127.0.0.1", port]]) == ["ok"]
        assert connects(daemon, "web-1", [["127.0.0.1", port]]) == ["ok"], "the replaced file does not match it any more"
        daemon.settle()
        assert [row["policy"] for row in daemon.calls("shop", "connect")] == ["web", "replaced"]


def test_mode_audit(make_daemon):
    """mode: audit lets through what the chain denies and records what it would have done."""
    with servers(1) as (port,):
        daemon = make_daemon({"test.yaml": make_policy(mode="audit", default="deny", chain=filter_rules(
            {"id": "nothing", "on": "connect", "to": {"ports": [port]}, "verdict": "deny", "errno": "EPERM"}))})
        other = free_port()
        assert connects(daemon, "shop", [["127.0.0.1", port], ["127.0.0.1", other], ["169.254.169.254", 80]]) == [
            "ok", "ECONNREFUSED", "EACCES"]
        daemon.settle()
        rows = daemon.calls("shop", "connect")
        assert [(r["verdict"], r["decider"], r["rule"]) for r in rows] == [
            ("would_deny", "filter", "nothing"), ("would_deny", "default", rows[1]["rule"]), ("deny", "floor", "link-local")]
        assert rows[0]["errno"] == 0 and rows[1]["errno_name"] == "ECONNREFUSED"


def test_one_rule_tried_out(make_daemon):
    """A rule with mode: audit is recorded and does not hold."""
    with servers(1) as (port,):
        daemon = make_daemon({"test.yaml": make_policy(chain=filter_rules(
            {"id": "trial", "on": "connect", "to": {"ports": [port]}, "verdict": "deny", "mode": "audit"}))})
        assert connects(daemon, "shop", [["127.0.0.1", port]]) == ["ok"]
        daemon.settle()
        row, = daemon.calls("shop", "connect")
        assert (row["verdict"], row["decider"], row["rule"], row["errno"]) == ("would_deny", "filter", "trial", 0)


# --- the other plugins ---


def test_rewrite(make_daemon):
    """A rewritten connect and bind reach the other address; the row has both."""
    wanted, public = free_port(), free_port()
    with servers(1) as (real,):
        daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "rewrite", "rewrites": [
            {"id": "resolver", "on": "connect", "to": {"net": ["192.0.2.0/24"], "ports": [wanted]},
             "set": {"address": "127.0.0.1", "port": real}},
            {"id": "publish", "on": "bind", "to": {"ports": [80]}, "set": {"address": "127.0.0.9", "port": public}}]}])})
        assert connects(daemon, "shop", [["192.0.2.77", wanted]]) == ["ok"]
        code = """
s = socket.socket(); s.bind(('0.0.0.0', 80)); s.listen(5)
c, _ = s.accept(); c.sendall(b'published'); c.close()
"""
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], port=public)
        with socket.create_connection(("127.0.0.9", public), timeout=20) as client:
            assert client.makefile().read() == "published"
        assert guest.wait(20) == 0, output_of(guest)
        daemon.settle()
        connect, = daemon.calls("shop", "connect")
        assert connect["rewritten"] and connect["verdict"] == "allow" and connect["errno"] == 0
        assert (connect["requested_address"], connect["requested_port"]) == ("192.0.2.77", wanted)
        assert (connect["effective_address"], connect["effective_port"]) == ("127.0.0.1", real)
        bind, = daemon.calls("shop", "bind")
        assert (bind["requested_port"], bind["effective_address"], bind["effective_port"]) == (80, "127.0.0.9", public)
        assert (connect["rewriter"], connect["rewrite_rule"], bind["rewrite_rule"]) == ("rewrite", "resolver", "publish")
        socket_, = daemon.calls("shop", "socket")[:1]
        assert (socket_["rewriter"], socket_["rewrite_rule"]) == (None, None)
        for form in ("table", "compact"):
            shown = check(run(daemon.audit_command("-o", form, "--op", "connect"), env={**os.environ, "LC_ALL": "C"})).stdout
            assert f" 192.0.2.77:{wanted} -> 127.0.0.1:{real} (rewrite/resolver) " in shown, shown


def test_rewrite_never_escapes_a_deny(make_daemon):
    """Floor and checks look again at the address that will really be used."""
    with servers(2) as (secret, fine):
        policy = make_policy(floor={"allow": [{"on": "connect", "to": {"net": LOOPBACK, "ports": [secret, fine]}}]}, chain=[
            {"plugin": "filter", "rules": [
                {"id": "secret", "on": "connect", "to": {"net": LOOPBACK, "ports": [secret]}, "verdict": "deny"},
                {"id": "all", "on": "connect", "verdict": "allow"}]},
            {"plugin": "rewrite", "rewrites": [
                {"id": "a", "on": "connect", "to": {"net": ["192.0.2.1"]}, "set": {"address": "127.0.0.1", "port": secret}},
                {"id": "b", "on": "connect", "to": {"net": ["192.0.2.2"]}, "set": {"address": "169.254.169.254", "port": 80}},
                {"id": "c", "on": "connect", "to": {"net": ["192.0.2.3"]}, "set": {"address": "127.0.0.1", "port": 22}},
                {"id": "d", "on": "connect", "to": {"net": ["192.0.2.4"]}, "set": {"address": "127.0.0.1", "port": fine}}]}])
        daemon = make_daemon({"test.yaml": policy})
        assert connects(daemon, "shop", [[f"192.0.2.{n}", 1000] for n in (1, 2, 3, 4)]) == ["EACCES", "EACCES", "EACCES", "ok"]
        daemon.settle()
        rows = daemon.calls("shop", "connect")
        assert [(r["decider"], r["rule"]) for r in rows[:3]] == [("filter", "secret"), ("floor", "link-local"), ("floor", "loopback")]
        assert [r["requested_address"] for r in rows] == [f"192.0.2.{n}" for n in (1, 2, 3, 4)]
        assert all(r["rewritten"] for r in rows)


def test_ratelimit_rate_and_reload(make_daemon):
    """A burst, then the errno of the limit; a reload does not fill the bucket again."""
    def policy(note):
        return make_policy(chain=[{"plugin": "ratelimit", "limits": [
            {"id": "connects", "on": "connect", "rate": "1/h", "burst": 5}]}], groups={note: ["192.0.2.1"]})

    with servers(1) as (port,):
        daemon = make_daemon({"test.yaml": policy("one")})
        code = f"""
import json
for line in sys.stdin:
    results = []
    for _ in range(int(line)):
        s = socket.socket(); results.append(attempt(s.connect, ('127.0.0.1', {port}))); s.close()
    print(json.dumps(results), flush=True)
"""
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], stdin=-1, text=True)

        def ask(count):
            guest.stdin.write(f"{count}\n")
            guest.stdin.flush()
            return json.loads(guest.stdout.readline())

        assert ask(3) == ["ok"] * 3
        daemon.write_policy("test.yaml", policy("two"))
        daemon.reload()
        assert ask(4) == ["ok", "ok", "ECONNREFUSED", "ECONNREFUSED"]
        daemon.reload()
        assert ask(1) == ["ECONNREFUSED"]
        guest.stdin.close()
        assert guest.wait(20) == 0
        daemon.settle()
        denied = daemon.calls("shop", "connect", verdict="deny")
        assert [(r["decider"], r["rule"], r["errno_name"]) for r in denied] == [("ratelimit", "connects", "ECONNREFUSED")] * 3
        assert len({row["policy_digest"] for row in daemon.calls("shop", "connect")}) == 2


@pytest.mark.parametrize("how", ["ends", "killed", "engine", "reload"])
def test_limits_outlive_the_guest(make_daemon, how):
    """A guest that starts again has what it had left, however it ended; another guest has its own."""
    policy = make_policy(chain=[{"plugin": "ratelimit", "limits": [
        {"id": "connects", "on": "connect", "rate": "1/h", "burst": 5}]}])
    code = f"""
import json
port = int(sys.argv[1])
print(json.dumps([attempt(socket.socket().connect, ('127.0.0.1', port)) for _ in range(int(sys.argv[2]))]), flush=True)
sys.stdin.read()
"""
    with servers(1) as (port,):
        daemon = make_daemon({"test.yaml": policy})

        def tries(name, count):
            guest = daemon.popen(name, [PYTHON, "-S", "-c", GUEST_PRELUDE + code, str(port), str(count)], stdin=-1, text=True)
            return guest, json.loads(guest.stdout.readline())

        guest, found = tries("shop", 3)
        assert found == ["ok"] * 3
        if how == "killed":
            daemon.end_guest(guest, signal.SIGKILL)
        elif how == "engine":
            os.kill(daemon.engine_pid("shop"), signal.SIGKILL)
        elif how == "reload":
            daemon.write_policy("test.yaml", policy + "\n")
            daemon.reload()
        guest.stdin.close()
        guest.wait(20)
        wait_for(lambda: daemon.guest("shop") is None, "the guest is gone")
        guest, found = tries("shop", 4)
        assert found == ["ok"] * 2 + ["ECONNREFUSED"] * 2
        guest.stdin.close()
        guest.wait(20)
        guest, found = tries("other", 4)
        assert found == ["ok"] * 4
        guest.stdin.close()
        guest.wait(20)


def test_ratelimit_concurrent(make_daemon):
    """Only so many sockets at once; one that is closed makes room. A reload does not forget them."""
    policy = make_policy(chain=[{"plugin": "ratelimit", "limits": [
        {"id": "open", "on": ["connect", "accept"], "concurrent": 3, "errno": "EPERM"}]}])
    with servers(1) as (greeting,), running(peers("echo", port := free_port()), port=port):
        daemon = make_daemon({"test.yaml": policy})
        code = f"""
import json
kept = []
for line in sys.stdin:
    if line == 'close\\n':
        kept.pop().close(); print('closed', flush=True); continue
    s = socket.socket(); result = attempt(s.connect, ('127.0.0.1', {port}))
    if result == 'ok': kept.append(s)
    else: s.close()
    print(result, flush=True)
"""
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], stdin=-1, text=True)

        def ask(word):
            guest.stdin.write(word + "\n")
            guest.stdin.flush()
            return guest.stdout.readline().strip()

        assert [ask("open") for _ in range(5)] == ["ok", "ok", "ok", "EPERM", "EPERM"]
        daemon.reload()
        assert ask("open") == "EPERM"
        assert ask("close") == "closed"
        wait_for(lambda: len([s for s in daemon.ctl_json("sockets", "shop") if s["state"] == "stream"]) == 2, "one is released")
        assert [ask("open") for _ in range(2)] == ["ok", "EPERM"]
        guest.stdin.close()
        assert guest.wait(20) == 0
        assert greeting


def test_ratelimit_bandwidth(make_daemon):
    """A stream of 2 MB/s does not carry 3 MB in less than a second."""
    daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "ratelimit", "limits": [
        {"id": "ingress", "direction": "in", "bandwidth": "2MB/s"}]}])})
    size = 3_000_000
    with running(peers("source", port := free_port(), size), port=port):
        since = time.monotonic()
        done = check(daemon.run("shop", peers("fetch", "127.0.0.1", port)))
        took = time.monotonic() - since
    assert done.stdout.split()[0] == str(size)
    assert took >= 1.0, f"3 MB came in {took:.2f} s"


def test_ratelimit_under_audit(make_daemon):
    """mode: audit holds back neither bytes nor calls; the rows say what would have waited."""
    daemon = make_daemon({"test.yaml": make_policy(mode="audit", chain=[{"plugin": "ratelimit", "limits": [
        {"id": "slow", "on": "connect", "rate": "3/m", "burst": 1, "over": "delay"},
        {"id": "ingress", "direction": "in", "bandwidth": "8kB/s"}]}])})
    size = 3_000_000  # six minutes at that rate
    with running(peers("source", port := free_port(), size), port=port):
        fetch = shlex.join(peers("fetch", "127.0.0.1", port))
        done = check(daemon.run("shop", ["/bin/sh", "-c", f"{fetch} && {fetch}"]))
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(size)] * 2
    daemon.settle()
    reasons = [row["reason"] for row in daemon.calls("shop", "connect")]
    assert "wait" not in reasons[0] and "ratelimit slow would have had it wait " in reasons[1], reasons
    for row in daemon.calls("shop", "release"):
        assert "bytes were over the bandwidth and would have had to wait" in row["reason"], row["reason"]


def test_delay(make_daemon):
    """over: delay lets calls through, later."""
    with servers(1) as (port,):
        daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "ratelimit", "limits": [
            {"id": "slow", "on": "connect", "rate": "10/s", "burst": 1, "over": "delay"}]}])})
        since = time.monotonic()
        assert connects(daemon, "shop", [["127.0.0.1", port]] * 8) == ["ok"] * 8
        assert time.monotonic() - since >= 0.6


def test_log_plugin(make_daemon):
    """The log plugin writes a line for each call it is asked to log."""
    with servers(1) as (port,):
        daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "log", "calls": "all"}, *filter_rules(
            {"id": "no", "on": "connect", "to": {"ports": [9]}, "verdict": "deny"})])})
        connects(daemon, "shop", [["127.0.0.1", port], ["127.0.0.1", 9]])
        daemon.settle()
        lines = [line for line in daemon.log().splitlines() if "connect" in line]
        assert any(f"127.0.0.1:{port}" in line and "allowed" in line for line in lines), lines
        assert any("127.0.0.1:9" in line and "denied by filter no" in line for line in lines), lines


# --- the host floor ---


def local_addresses(network):
    """Every address in the kernel's local table of the host's namespace, and the edges of ranges."""
    text = check(run(network.inside(network.host, ["ip", "-4", "route", "show", "table", "local"]))).stdout
    found = []
    for line in text.splitlines():
        words = line.split()
        found.append(words[1].split("/")[0])
    return found


def test_floor_connect(make_daemon, network):
    """N1: with an allow-all policy no address of the host is reached, by any name it has."""
    daemon = make_daemon({"test.yaml": make_policy(floor=None, chain=filter_rules(
        {"id": "all", "on": "connect", "verdict": "allow"}))}, netns=network.host)
    port = 23456
    with running(network.inside(network.host, peers("greet", port, "0.0.0.0"))) as inner, \
            running(network.inside(network.far, peers("greet", port, "0.0.0.0"))) as outer:
        network.wait_port(network.host, port)
        network.wait_port(network.far, port)
        targets = local_addresses(network) + [
            "127.0.0.1", "127.255.255.254", "127.77.1.2", "0.0.0.0", "0.1.2.3", network.HOST, "10.83.0.255",
            "169.254.169.254", "169.254.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"]
        found = connects(daemon, "shop", [[address, port] for address in targets])
        assert dict(zip(targets, found)) == {address: "EACCES" for address in targets}
        assert connects(daemon, "shop", [[network.FAR, port]]) == ["ok"], "the other machine is reached"

        # An address that the host gets while the guest runs is its own at once.
        code = """
s = socket.socket(); print(attempt(s.connect, ('10.83.0.77', int(sys.argv[1]))), flush=True)
sys.stdin.readline()
s = socket.socket(); print(attempt(s.connect, ('10.83.0.77', int(sys.argv[1]))), flush=True)
"""
        network.ip("-n", network.far, "address", "add", "10.83.0.77/24", "dev", network.cables[1])
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + code, str(port)], stdin=-1, text=True)
        assert guest.stdout.readline() == "ok\n"
        network.ip("-n", network.far, "address", "delete", "10.83.0.77/24", "dev", network.cables[1])
        network.ip("-n", network.host, "address", "add", "10.83.0.77/24", "dev", network.cables[0])
        guest.stdin.write("\n")
        guest.stdin.close()
        assert guest.stdout.readline() == "EACCES\n"
        assert guest.wait(20) == 0
        assert inner.poll() is None and outer.poll() is None
    daemon.settle()
    denied = daemon.calls("shop", "connect", verdict="deny")
    assert len(denied) == len(targets) + 1
    assert {row["decider"] for row in denied} == {"floor"}
    assert {"loopback", "unspecified", "link-local", "multicast", "reserved", "host-address"} == {row["rule"] for row in denied}
    assert denied[-1]["effective_address"] == "10.83.0.77" and denied[-1]["rule"] == "host-address"


def test_floor_opened_by_name(make_daemon, network):
    """What floor.allow names is open; its neighbours, ports and addresses, stay shut."""
    daemon = make_daemon({"test.yaml": make_policy(floor={"allow": [
        {"on": "connect", "to": {"net": ["127.0.0.1/32"], "ports": [23456]}},
        {"on": "connect", "to": {"net": [network.HOST], "ports": ["23000-23100"]}}]})}, netns=network.host)
    with running(network.inside(network.host, peers("greet", 23456, "0.0.0.0"))), \
            running(network.inside(network.host, peers("greet", 23050, "0.0.0.0"))):
        for port in (23456, 23050):
            network.wait_port(network.host, port)
        assert connects(daemon, "shop", [
            ["127.0.0.1", 23456], ["127.0.0.2", 23456], ["127.0.0.1", 23457], [network.HOST, 23456], [network.HOST, 23050],
            ["127.0.0.1", 23050]]) == ["ok", "EACCES", "EACCES", "EACCES", "ok", "EACCES"]


def test_ipv6_is_no_way_around(make_daemon):
    """IPv6 sockets, IPv4-mapped addresses included, reach nothing."""
    daemon = make_daemon()
    with servers(1) as (port,):
        done = check(daemon.python("shop", f"""
def six(address):
    s = socket.socket(socket.AF_INET6); s.settimeout(5); s.connect((address, {port}))
print(attempt(six, '::ffff:127.0.0.1'), attempt(six, '::1'))
"""))
    assert "ok" not in done.stdout.split()


def test_floor_bind(make_daemon, network):
    """N2: ports below 1024, ports the host listens on, addresses that are not for guests, takeover: all denied."""
    daemon = make_daemon({"test.yaml": make_policy(floor=None)}, netns=network.host)
    with running(network.inside(network.host, peers("greet", 23456, network.HOST))), \
            running(network.inside(network.host, peers("greet", 23457, "127.0.0.1"))):
        for port in (23456, 23457):
            network.wait_port(network.host, port)
        low = [[network.HOST, 22], [network.HOST, 80], [network.HOST, 1023], ["0.0.0.0", 80]]
        taken = [[network.HOST, 23456], [network.HOST, 23457], ["0.0.0.0", 23456], ["127.0.0.1", 23456]]
        others = [["127.0.0.1", 8080], ["0.1.2.3", 8080], ["10.83.0.255", 8080], ["224.0.0.1", 8080], ["169.254.1.1", 8080]]
        refused = [*low, *taken, *others]
        found = binds(daemon, "shop", [*refused, [network.HOST, 1024], [network.HOST, 8080], ["0.0.0.0", 8081]])
        assert found == ["EACCES"] * 4 + ["EADDRINUSE"] * 4 + ["EACCES"] * 5 + ["ok"] * 3
        answer = check(run(network.inside(network.far, peers("fetch", network.HOST, 23456))))
        assert int(answer.stdout.split()[0]) > 0, "the host's own listener is unaffected"
    daemon.settle()
    rows = daemon.calls("shop", "bind")
    assert [row["rule"] for row in rows[:8]] == ["low-port"] * 4 + ["host-port"] * 4
    assert {row["decider"] for row in rows[:len(refused)]} == {"floor"}


def test_low_ports_where_configured(make_daemon, network):
    """A port below 1024 needs the floor opened by name and the engine's capability."""
    opened = {"test.yaml": make_policy(floor={"allow": [{"on": "bind", "to": {"net": [network.HOST], "ports": [80]}}]})}
    plain = make_daemon(opened, netns=network.host)
    assert binds(plain, "shop", [[network.HOST, 80]]) == ["EACCES"]
    plain.settle()
    row, = plain.calls("shop", "bind")
    assert (row["verdict"], row["decider"], row["rule"], row["errno_name"]) == ("deny", "floor", "low-port", "EACCES")
    assert "engine: {low_ports: true} in pvcallsd.yaml" in row["reason"], "the setting is named"
    plain.stop()
    able = make_daemon(opened, config="engine: {low_ports: true}\n", netns=network.host)
    assert binds(able, "shop", [[network.HOST, 80], [network.HOST, 81]]) == ["ok", "EACCES"]


def test_low_ports_in_policy_tests(make_daemon, network):
    """What a policy's tests say of a port below 1024 is what its guests will meet with this configuration."""
    policy = make_policy(floor={"allow": [{"on": "bind", "to": {"net": network.HOST, "ports": 80}}]},
                         tests=[{"call": f"bind {network.HOST}:80", "expect": "allow"}])
    daemon = make_daemon({"test.yaml": policy}, netns=network.host, start=False)
    refused = check(run([*daemon.command(), "--check-config"]), 3)
    assert "it came out as deny by floor low-port" in refused.stderr and "engine: {low_ports: true}" in refused.stderr, refused.stderr
    daemon.write_config("engine: {low_ports: true}\n")
    check(run([*daemon.command(), "--check-config"]))
    daemon.start()
    assert binds(daemon, "shop", [[network.HOST, 80]]) == ["ok"]


def test_denied_bind_is_remembered(make_daemon):
    """A frontend that does not look at BIND's result meets its error at LISTEN."""
    import frontend
    import struct

    daemon = make_daemon({"test.yaml": make_policy(chain=filter_rules(
        {"id": "no", "on": "bind", "verdict": "deny", "errno": "EPERM"}))})
    guest = frontend.Frontend(daemon.runtime_dir, "linux").attach()
    socket_id = guest.new_socket()
    assert guest.call(frontend.BIND, socket_id, frontend.sockaddr("127.0.0.1", free_port())) == -1
    assert guest.call(frontend.LISTEN, socket_id, struct.pack("<I", 5)) == -1
    guest.detach()
    guest.close()


def test_listen_without_bind(make_daemon):
    """listen() without bind() would listen on every address: it takes a rule for that, not for listen alone."""
    daemon = make_daemon({"test.yaml": make_policy(default="deny", chain=filter_rules(
        {"id": "listen", "on": "listen", "verdict": "allow"},
        {"id": "serve", "on": "bind", "at": {"ports": [8080]}, "verdict": "allow"}))})
    done = check(daemon.python("shop", """
s = socket.socket()
print(attempt(s.listen, 5))
"""))
    assert done.stdout.strip() == "EACCES"


def test_second_guest_takes_no_port(daemon):
    """A port that one guest serves is not given to another, whatever the address; nor is it stolen."""
    port = free_port()
    first = daemon.popen("first", peers("echo", port), port=port)
    found = binds(daemon, "second", [["127.0.0.1", port]])
    assert found[0] != "ok", found
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"mine")
        assert client.recv(10) == b"mine"
    daemon.end_guest(first)
    wait_for(lambda: not listens(port), "the port is free")
    assert binds(daemon, "second", [["127.0.0.1", port]]) == ["ok"]


# --- reload ---


def test_reload_good_and_bad(make_daemon):
    """A good policy holds from the next call on, a bad one changes nothing; both are recorded."""
    with servers(1) as (port,):
        allow = make_policy()
        deny = make_policy(chain=filter_rules({"id": "shut", "on": "connect", "verdict": "deny"}))
        daemon = make_daemon({"test.yaml": allow})
        code = f"""
for line in sys.stdin:
    s = socket.socket(); print(attempt(s.connect, ('127.0.0.1', {port})), flush=True); s.close()
"""
        guest = daemon.popen("shop", [PYTHON, "-S", "-c", GUEST_PRELUDE + code], stdin=-1, text=True)

        def ask():
            guest.stdin.write("\n")
            guest.stdin.flush()
            return guest.stdout.readline().strip()

        assert ask() == "ok"
        daemon.write_policy("test.yaml", deny)
        assert ask() == "ok", "nothing changes until it is asked for"
        daemon.reload()
        assert ask() == "EACCES"
        daemon.write_policy("test.yaml", allow.replace('"default"', '"defualt"'))
        done = daemon.ctl("reload")
        assert done.returncode == 3
        assert "test.yaml:" in done.stderr and "defualt" in done.stderr, done.stderr
        where = done.stderr.split("test.yaml:")[1].split(":")
        assert where[0].isdigit() and where[1].isdigit(), "the position is file:line:column"
        assert ask() == "EACCES", "the running policy stays"
        assert daemon.ask("status")["result"]["policies"]["stale"] is True
        daemon.write_policy("test.yaml", allow)
        # By signal, which nobody answers: it has come when the call gets through.
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not daemon.ask("status")["result"]["policies"]["stale"], "SIGHUP has loaded the policy")
        wait_for(lambda: ask() == "ok", "the policy has reached the engine")
        guest.stdin.close()
        assert guest.wait(20) == 0
        daemon.settle()
        assert len(daemon.events("reload")) == 2
        refused, = daemon.events("policy_refused")
        assert "defualt" in refused["text"]


def test_several_files_all_or_none(make_daemon):
    """Of several files changed at once none is taken if one is bad."""
    with servers(1) as (port,):
        daemon = make_daemon({"10-a.yaml": make_policy("a", "a"), "20-b.yaml": make_policy("b", "b")})
        daemon.write_policy("10-a.yaml", make_policy("a", "a", default="deny"))
        daemon.write_policy("20-b.yaml", make_policy("b", "b", default="perhaps"))
        assert daemon.ctl("reload").returncode == 3
        assert connects(daemon, "a", [["127.0.0.1", port]]) == ["ok"]
        daemon.write_policy("20-b.yaml", make_policy("b", "b", default="deny"))
        daemon.reload()
        assert connects(daemon, "a", [["127.0.0.1", port]]) == ["EACCES"]
        assert connects(daemon, "b", [["127.0.0.1", port]]) == ["EACCES"]


@pytest.mark.slow
@pytest.mark.limit(180)
def test_reload_under_load(make_daemon):
    """C5: two guests that never stop, reloads good and bad in turn: no call is lost, none is judged
    by a policy that its record does not name, no connection is cut."""
    rounds = 24
    with servers(1) as (port,):
        texts = {
            "allow": make_policy("allow"),
            "deny": make_policy("deny", chain=filter_rules(
                {"id": "shut", "on": "connect", "to": {"ports": [port]}, "verdict": "deny"})),
        }
        digests = {hashlib.sha256(text.encode()).hexdigest(): name for name, text in texts.items()}
        daemon = make_daemon({"test.yaml": texts["allow"]})
        echo = free_port()
        stop = os.path.join(daemon.dir, "stop")
        with running(peers("echo", echo), port=echo):
            keeper = daemon.popen("keeper", peers("chat", "127.0.0.1", echo, stop), text=True)
            wait_for(lambda: daemon.guest("keeper") and daemon.ctl_json("sockets", "keeper"), "the keeper is connected")
            guests = [daemon.popen(f"load-{n}", peers("churn", "127.0.0.1", port, stop), text=True) for n in range(2)]
            wait_for(lambda: all((daemon.guest(f"load-{n}") or {}).get("counters", {}).get("calls", 0) > 10 for n in range(2)),
                     "the load runs")
            for number in range(rounds):
                kind = number % 3
                if kind == 2:
                    daemon.write_policy("test.yaml", "version: 1\nname: [broken\n")
                    assert daemon.ctl("reload").returncode == 3
                else:
                    daemon.write_policy("test.yaml", texts["deny" if kind == 0 else "allow"])
                    if number % 2:
                        before = daemon.ask("status")["result"]["policies"]["loaded_ns"]
                        daemon.process.send_signal(signal.SIGHUP)
                        wait_for(lambda: daemon.ask("status")["result"]["policies"]["loaded_ns"] != before, "SIGHUP is served")
                        wait_for(lambda: daemon.ctl("reload").returncode == 0, "the reload is over")
                    else:
                        wait_for(lambda: daemon.ctl("reload").returncode == 0, "the reload is over")
            open(stop, "w").close()
            counts = [tuple(map(int, guest.communicate(timeout=30)[0].split())) for guest in guests]
            out, err = keeper.communicate(timeout=30)
            assert keeper.returncode == 0 and int(out.split()[0]) > 0, f"a connection did not outlive a reload: {err}"
        daemon.settle()
        for number, (good, bad) in enumerate(counts):
            rows = daemon.calls(f"load-{number}", "connect")
            print(f"load-{number}: {good} allowed, {bad} denied")
            assert good and bad, "both policies were met"
            assert len(rows) == good + bad, "no call is lost"
            assert len([row for row in rows if row["verdict"] == "allow"]) == good
            for row in rows:
                assert digests[row["policy_digest"]] == row["policy"]
                assert row["verdict"] == row["policy"], row


def test_policies_may_not_be_writable_by_others(make_daemon):
    """A policy or a directory that others may write is not taken."""
    daemon = make_daemon()
    path = os.path.join(daemon.policy_dir, "test.yaml")
    os.chmod(path, 0o666)
    done = daemon.ctl("reload")
    assert done.returncode == 3 and "writable" in done.stderr, done.stderr
    os.chmod(path, 0o644)
    os.chown(path, 12345, 12345)
    assert daemon.ctl("reload").returncode == 3
    os.chown(path, 0, 0)
    os.chmod(daemon.policy_dir, 0o777)
    assert daemon.ctl("reload").returncode == 3
    os.chmod(daemon.policy_dir, 0o755)
    daemon.reload()


def test_large_policy(make_daemon):
    """10,000 rules are compiled, loaded and decide."""
    rules = [{"id": f"r{n}", "on": "connect", "to": {"net": [f"10.{n >> 8}.{n & 255}.0/24"], "ports": [1 + n % 60000]}, "verdict": "deny"}
             for n in range(10_000)]
    with servers(1) as (port,):
        text = make_policy(chain=filter_rules(*rules, {"id": "last", "on": "connect", "to": {"net": LOOPBACK}, "verdict": "allow"}))
        text = json.dumps(json.loads(text), separators=(",", ":"))
        if len(text) >= 1 << 20:
            text = text.replace('"on":"connect"', '"on":connect').replace('"verdict":"deny"', '"verdict":deny')
        daemon = make_daemon({"test.yaml": text})
        assert connects(daemon, "shop", [["127.0.0.1", port]]) == ["ok"]
        daemon.settle()
        row, = daemon.calls("shop", "connect")
        assert row["rule"] == "last"
