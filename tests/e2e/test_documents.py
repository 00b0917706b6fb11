# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped policies, the tutorial and the examples of manual pages: each does what its text says."""
import contextlib
import glob
import os
import re
import shlex
import time

import pytest

from harness import GUEST_PRELUDE, PYTHON, ROOT, build_dir, check, free_port, has_sanitizer, make_policy, peers, proc_status, program, run, running, wait_for
from test_bad_input import plugin_dir
from test_policy import binds, connects

pytestmark = pytest.mark.root

# A server of one page, for programs that would not start where no name can be looked up.
PAGE = """
import socket, sys
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((sys.argv[1], int(sys.argv[2])))
server.listen(64)
while True:
    connection, _ = server.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n")
    connection.close()
"""


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def yaml_blocks(*path):
    """The policies, or parts of them, that a Markdown file shows."""
    return re.findall(r"^```yaml\n(.*?)^```", text_of(*path), re.DOTALL | re.MULTILINE)


def manual_blocks(page):
    """What a manual page shows as it is."""
    return re.findall(r"^```\n(.*?)^```", text_of("man", page), re.DOTALL | re.MULTILINE)


def manual_commands(page):
    """The commands under EXAMPLES, as words."""
    examples = text_of("man", page).split("# EXAMPLES", 1)[1].split("\n# ", 1)[0]
    return [shlex.split(line) for line in re.findall(r"^\t(.*)$", examples, re.MULTILINE)]


def shipped():
    return {os.path.basename(path): text_of("policies", os.path.basename(path))
            for path in glob.glob(os.path.join(ROOT, "policies", "*.yaml"))}


def is_valid(make_daemon, policies, config=""):
    """--check-config takes them, tests and all."""
    daemon = make_daemon(policies, config=config, start=False)
    done = check(run([*daemon.command(), "--check-config"]))
    assert all(file in done.stdout for file in policies), done.stdout


def add_addresses(network, *addresses):
    """Addresses that the other machine has beside its own."""
    for address in addresses:
        network.ip("-n", network.far, "address", "add", f"{address}/32", "dev", network.cables[1])


@contextlib.contextmanager
def far_servers(network, pages=(), greeters=()):
    """Servers on the other machine: of a page, or of a greeting. Each is (address, port)."""
    with contextlib.ExitStack() as stack:
        for address, port in pages:
            stack.enter_context(running(network.inside(network.far, [PYTHON, "-S", "-c", PAGE, address, str(port)])))
        for address, port in greeters:
            stack.enter_context(running(network.inside(network.far, peers("greet", port, address))))
        for _, port in (*pages, *greeters):
            network.wait_port(network.far, port)
        yield


def curl(daemon, guest, url):
    """What curl as a guest gets, or None."""
    done = daemon.run(guest, ["curl", "-sS", "-m", "20", url])
    return done.stdout if done.returncode == 0 else None


def greeting(network, source, port):
    """What a client on the other machine hears, calling from this address."""
    return run(network.inside(network.far, ["nc", "-w", "20", "-s", source, network.HOST, str(port)])).stdout


# --- policies/ ---


def test_deny_all(make_daemon, network):
    """A guest that may do nothing."""
    daemon = make_daemon(shipped(), netns=network.host)
    with far_servers(network, pages=[(network.FAR, 80)]):
        assert connects(daemon, "quarantine-1", [[network.FAR, 80], ["127.0.0.1", 80]]) == ["EACCES"] * 2
    assert binds(daemon, "quarantine-1", [[network.HOST, 8080], ["0.0.0.0", 8080]]) == ["EACCES"] * 2


@pytest.mark.needs("curl")
def test_web_client(make_daemon, network):
    """A guest that fetches from the web, and asks one resolver, whichever it has been told to ask."""
    add_addresses(network, "1.1.1.1", "10.0.0.53")
    daemon = make_daemon(shipped(), netns=network.host)
    with far_servers(network, pages=[("1.1.1.1", 80), ("1.1.1.1", 8443)], greeters=[("10.0.0.53", 53), ("1.1.1.1", 587)]):
        assert curl(daemon, "client-1", "http://1.1.1.1/") == "hello\n"
        assert curl(daemon, "client-1", "http://1.1.1.1:8443/") is None
        assert connects(daemon, "client-1", [
            ["9.9.9.9", 53], ["10.0.0.53", 53], ["1.1.1.1", 587], ["1.1.1.1", 8443], ["10.1.2.3", 443], ["127.0.0.1", 443],
        ]) == ["ok", "ok", "ECONNREFUSED", "EACCES", "EACCES", "EACCES"]
        assert binds(daemon, "client-1", [[network.HOST, 8080]]) == ["EACCES"]
    daemon.settle()
    row = next(row for row in daemon.calls("client-1", "connect") if row["requested_address"] == "9.9.9.9")
    assert (row["effective_address"], row["rewritten"], row["rule"]) == ("10.0.0.53", 1, "resolve")


@pytest.mark.needs("nc")
@pytest.mark.parametrize("port", [80, 8080])
def test_web_server(make_daemon, network, port):
    """A guest that serves behind load balancers, at 8080 also if it asks for 80, and asks its database."""
    add_addresses(network, "10.0.0.9", "10.20.0.5")
    daemon = make_daemon(shipped(), netns=network.host)
    guest = daemon.popen("shop", peers("greet", port, "0.0.0.0"))
    network.wait_port(network.host, 8080)
    assert greeting(network, "10.0.0.9", 8080).startswith("10.0.0.9:")
    assert greeting(network, network.FAR, 8080) == "", "it is no load balancer"
    daemon.end_guest(guest)
    with far_servers(network, greeters=[("10.20.0.5", 5432), ("10.20.0.5", 22)]):
        assert connects(daemon, "shop", [["10.20.0.5", 5432], ["10.20.0.5", 22]]) == ["ok", "EACCES"]


@pytest.mark.needs("nc")
def test_sandbox(make_daemon, network):
    """A program under test: its lab, one service of the host opened by name, one rule tried out."""
    add_addresses(network, "10.30.1.1", "10.30.9.1")
    daemon = make_daemon(shipped(), netns=network.host)
    with far_servers(network, greeters=[("10.30.1.1", 22), ("10.30.9.1", 23)]), \
            running(network.inside(network.host, peers("greet", 5432))), \
            running(network.inside(network.host, peers("greet", 2222))):
        for port in (5432, 2222):
            network.wait_port(network.host, port)
        assert connects(daemon, "sandbox-1", [
            ["127.0.0.1", 5432], ["127.0.0.1", 2222], ["10.30.1.1", 22], ["10.30.9.1", 23], ["1.1.1.1", 443],
        ]) == ["ok", "EACCES", "ok", "ok", "EACCES"]
    guest = daemon.popen("sandbox-1", peers("greet", 20080, "0.0.0.0"))
    network.wait_port(network.host, 20080)
    assert greeting(network, "10.30.1.1", 20080).startswith("10.30.1.1:")
    assert greeting(network, network.FAR, 20080) == ""
    daemon.end_guest(guest)
    daemon.settle()
    tried = daemon.calls("sandbox-1", "connect", verdict="would_deny")
    assert [(row["requested_address"], row["rule"]) for row in tried] == [("10.30.9.1", "no-legacy")]


# --- the tutorial ---


def tutorial():
    """The policy after each of the tutorial's steps; a step's parts go where its text puts them."""
    nothing, chain, groups, serve, floor, tests = yaml_blocks("policies", "README.md")
    return [nothing, nothing + chain, nothing + groups + chain, nothing + groups + chain + serve,
            nothing + groups + floor + chain + serve, nothing + groups + floor + chain + serve + tests]


def test_tutorial_steps_are_valid(make_daemon):
    """The policy after each step is one, and its tests pass; so are the things to try out."""
    steps = tutorial()
    for text in steps:
        is_valid(make_daemon, {"50-shop.yaml": text})
    is_valid(make_daemon, {"50-shop.yaml": "mode: audit\n" + steps[-1].replace("deny default", "would_deny default")})
    limit, = re.findall(r"`(- \{id: connects.*?\})` in the plugin `ratelimit`", text_of("policies", "README.md"))
    is_valid(make_daemon, {"50-shop.yaml": steps[0] + f"chain:\n  - plugin: ratelimit\n    limits:\n      {limit}\n"})


@pytest.mark.needs("curl")
def test_tutorial(make_daemon, network, tmp_path):
    """Step by step: nothing, the web, a server, a service of the host."""
    add_addresses(network, "1.1.1.1")
    (tmp_path / "index.html").write_text("served\n")
    steps = tutorial()
    targets = [["1.1.1.1", 80], ["1.1.1.1", 25], ["127.0.0.1", 5432], ["127.0.0.1", 22]]
    with far_servers(network, pages=[("1.1.1.1", 80)]), running(network.inside(network.host, peers("greet", 5432))):
        network.wait_port(network.host, 5432)
        daemon = make_daemon({"50-shop.yaml": steps[0]}, netns=network.host)
        assert connects(daemon, "shop-1", targets) == ["EACCES"] * 4
        daemon.write_policy("50-shop.yaml", steps[2])
        daemon.reload()
        assert curl(daemon, "shop-1", "http://1.1.1.1/") == "hello\n"
        assert connects(daemon, "shop-1", targets) == ["ok"] + ["EACCES"] * 3

        daemon.write_policy("50-shop.yaml", steps[3])
        daemon.reload()
        guest = daemon.popen("shop-1", [PYTHON, "-m", "http.server", "8080", "-d", str(tmp_path)])
        network.wait_port(network.host, 8080)
        for space in (network.far, network.host):
            done = run(network.inside(space, ["curl", "-sS", "-m", "20", f"http://{network.HOST}:8080/"]))
            assert done.stdout == "served\n", done.stderr
        done = run(network.inside(network.host, ["curl", "-sS", "-m", "20", "http://127.0.0.1:8080/"]))
        assert done.returncode, "reached at all of the host's addresses but loopback"
        daemon.end_guest(guest)

        daemon.write_policy("50-shop.yaml", steps[5])
        daemon.reload()
        assert connects(daemon, "shop-1", targets) == ["ok"] + ["EACCES"] * 3, "what is opened is not allowed yet"
        rule = "      - {id: db, on: connect, to: {net: 127.0.0.1, ports: 5432}, verdict: allow}\n"
        daemon.write_policy("50-shop.yaml", steps[4] + rule)
        daemon.reload()
        assert connects(daemon, "shop-1", targets) == ["ok", "EACCES", "ok", "EACCES"]
        daemon.write_policy("50-shop.yaml", "mode: audit\n" + steps[4])
        daemon.reload()
        assert connects(daemon, "shop-1", targets) == ["ok", "ECONNREFUSED", "ok", "EACCES"]
    daemon.settle()
    tried = daemon.calls("shop-1", "connect", verdict="would_deny")
    assert [row["requested_port"] for row in tried] == [25, 5432]


# --- manual pages, and the other pages ---


def test_policies_of_pages_are_valid(make_daemon):
    """What README.md, the plugins' pages and pvcalls-policy(5) show is taken."""
    head = "version: 1\nname: page\nmatch: {name: page}\n"
    readme, = yaml_blocks("README.md")
    floor, example = manual_blocks("pvcalls-policy.5.scd")
    is_valid(make_daemon, {"1.yaml": readme, "2.yaml": example, "3.yaml": head + floor})
    plugins = sorted(glob.glob(os.path.join(ROOT, "plugins", "*", "README.md")))
    assert len(plugins) >= 5
    is_valid(make_daemon, {f"{number}.yaml": head + "chain:\n" + "".join(yaml_blocks(os.path.relpath(path, ROOT)))
                           for number, path in enumerate(plugins)})


def test_example_of_pvcalls_policy(make_daemon, network):
    """pvcalls-policy(5): the guests that it names reach what it says, and no more."""
    add_addresses(network, "1.1.1.1", "10.20.1.1", "192.0.2.7")
    _, example = manual_blocks("pvcalls-policy.5.scd")
    daemon = make_daemon({"web.yaml": example}, netns=network.host)
    with far_servers(network, greeters=[("1.1.1.1", 443), ("10.20.1.1", 8100), ("192.0.2.7", 8000)]):
        targets = [["1.1.1.1", 443], ["10.20.1.1", 8100], ["192.0.2.7", 8000], ["1.1.1.1", 25], ["10.20.1.1", 8101], ["10.21.1.1", 443],
                   ["127.0.0.1", 22]]
        expected = ["ok"] * 3 + ["ECONNREFUSED"] + ["EACCES"] * 3
        assert connects(daemon, "web-1", targets) == expected
        assert connects(daemon, "shop", targets) == expected
        assert connects(daemon, "db", targets) == ["EACCES"] * len(targets)
    assert binds(daemon, "shop", [["0.0.0.0", 8080]]) == ["EACCES"]
    daemon.settle()
    rows = daemon.calls("shop", "connect")
    assert [row["rule"] for row in rows[:4]] == ["out"] * 3 + ["no-smtp"] and rows[-1]["decider"] == "floor"
    lines = [line for line in daemon.log().splitlines() if ": connect 1.1.1.1:" in line]
    assert len(lines) == 2 and all("1.1.1.1:25 denied by filter no-smtp" in line for line in lines), lines


def test_floor_of_pvcalls_policy(make_daemon, network):
    """pvcalls-policy(5): what it opens by name is open to who has a rule for it, and nothing beside it is."""
    floor, _ = manual_blocks("pvcalls-policy.5.scd")
    head = "version: 1\nname: page\nmatch: {name: page}\n"
    rule = "chain:\n  - plugin: filter\n    rules:\n      - {id: all, on: connect, verdict: allow}\n"
    targets = [["127.0.0.1", 5432], ["127.0.0.1", 5433], ["127.0.0.2", 5432], [network.HOST, 5432]]
    daemon = make_daemon({"page.yaml": head + floor}, netns=network.host)
    with running(network.inside(network.host, peers("greet", 5432, "0.0.0.0"))):
        network.wait_port(network.host, 5432)
        assert connects(daemon, "page", targets) == ["EACCES"] * 4
        daemon.write_policy("page.yaml", head + floor + rule)
        daemon.reload()
        assert connects(daemon, "page", targets) == ["ok"] + ["EACCES"] * 3
        daemon.write_policy("page.yaml", head + "mode: audit\n" + rule)
        daemon.reload()
        assert connects(daemon, "page", targets) == ["EACCES"] * 4, "mode: audit opens nothing"
    daemon.settle()
    assert [row["decider"] for row in daemon.calls("page", "connect")] == ["default"] + ["floor"] * 3 + ["filter"] + ["floor"] * 7


def test_policy_of_the_first_page(make_daemon, network):
    """README.md: a web frontend fetches by https from the public, so often, and does nothing else."""
    add_addresses(network, "1.1.1.1", "9.9.9.9")
    readme, = yaml_blocks("README.md")
    assert "rate: 200/s, burst: 400" in readme
    daemon = make_daemon({"web.yaml": readme.replace("rate: 200/s, burst: 400", "rate: 1/h, burst: 2")}, netns=network.host)
    with far_servers(network, greeters=[("1.1.1.1", 443), ("9.9.9.9", 443)]):
        found = connects(daemon, "web-7", [["1.1.1.1", 443], ["10.1.1.1", 443], ["1.1.1.1", 443], ["1.1.1.1", 443], ["9.9.9.9", 443]])
    assert found == ["ok", "EACCES", "ok", "ECONNREFUSED", "ok"]


def test_line_of_the_log_plugin(make_daemon, network):
    """plugins/log/README.md: the line that it shows is what the plugin writes."""
    line, = re.findall(r"^    (log: call .*)$", text_of("plugins", "log", "README.md"), re.MULTILINE)
    policy = make_policy(floor=None, default="deny", chain=[
        {"plugin": "log"},
        {"plugin": "rewrite", "rewrites": [{"id": "dns", "on": "connect", "to": {"ports": 53}, "set": {"address": network.FAR}}]},
        {"plugin": "filter", "rules": [{"id": "resolve", "on": "connect", "to": {"net": network.FAR, "ports": 53}, "verdict": "allow"}]}])
    daemon = make_daemon({"test.yaml": policy}, netns=network.host)
    with far_servers(network, greeters=[(network.FAR, 53)]):
        assert connects(daemon, "shop", [["192.0.2.1", 53]]) == ["ok"]
    daemon.settle()
    wanted = re.escape(line.replace("10.0.0.53", network.FAR)).replace("call\\ 12\\ socket\\ 5", r"call\ \d+\ socket\ \d+")
    assert re.search(wanted + "$", daemon.log(), re.MULTILINE), daemon.log()


def test_configuration_of_its_page(make_daemon):
    """pvcallsd.yaml(5): the daemon of its example; but for the user that this host has not."""
    example, = manual_blocks("pvcallsd.yaml.5.scd")
    assert "users: [monitor]" in example
    daemon = make_daemon(config=example.replace("monitor", "nobody"))
    assert daemon.ctl_json("status")["durability"] == "sync"
    for user, name, status in (("www-data", "web-1", 0), ("www-data", "backup", 5), ("backup", "backup", 0), (1004, "backup", 0), ("nobody", "web-1", 5)):
        done = daemon.python(name, "print(os.getuid())", user=user)
        assert done.returncode == status, (user, name, done.stderr)
    assert daemon.ctl("status", user="nobody").returncode == 0
    assert daemon.ctl("reload", user="nobody").returncode == 5
    assert daemon.ctl("status", user="www-data").returncode != 0
    guest = daemon.popen("web-1", [PYTHON, "-S", "-c", "import socket, sys; s = socket.socket(); print('ready', flush=True); sys.stdin.read()"],
                         stdin=-1, text=True)
    assert guest.stdout.readline() == "ready\n"
    assert 2000000000 <= int(proc_status(daemon.engine_pid("web-1"))["Uid"].split()[0]) <= 2000000127
    guest.stdin.close()
    assert guest.wait(20) == 0
    code = "kept = []\ndef more(): kept.append(s := socket.socket()); s.bind(('127.0.0.1', 0))\n" \
        "while (found := attempt(more)) == 'ok': pass\nprint(len(kept) - 1, found)"
    found = check(daemon.run("web-1", ["sh", "-c", 'ulimit -n 4096; exec "$@"', "sh", PYTHON, "-S", "-c", GUEST_PRELUDE + code])).stdout
    assert found.split()[0] == "1024", found


@pytest.mark.needs("sqlite3")
def test_example_of_the_schema(make_daemon):
    """pvcalls-audit-schema(7): its query finds the denied calls, in the live segment and in one that is sealed."""
    line, = re.findall(r"^\t(sqlite3 .*)$", text_of("man", "pvcalls-audit-schema.7.scd"), re.MULTILINE)
    daemon = make_daemon({"test.yaml": make_policy(default="deny", chain=[{"plugin": "filter", "rules": [
        {"id": "one", "on": "connect", "to": {"net": "127.0.0.1"}, "verdict": "allow"}]}])}, config="audit: {segment_bytes: 1MiB}\n")

    def found():
        done = check(run(shlex.split(line), cwd=os.path.join(daemon.state_dir, "audit")))
        return [row.split("|")[1:] for row in done.stdout.splitlines()]

    connects(daemon, "web-1", [["127.0.0.1", 9], ["192.0.2.1", 80], ["198.51.100.1", 80]])
    daemon.settle()
    assert found() == [["web-1", "192.0.2.1"], ["web-1", "198.51.100.1"]]
    sealed = os.path.join(daemon.state_dir, "audit", "audit-00000001.db")
    code = "for _ in range(1000): attempt(socket.socket().connect, ('192.0.2.2', 80))"
    wait_for(lambda: check(daemon.python("web-2", code)) and not os.stat(sealed).st_mode & 0o222, "the first segment is sealed")
    assert found()[:2] == [["web-1", "192.0.2.1"], ["web-1", "198.51.100.1"]] and ["web-2", "192.0.2.2"] in found()


@pytest.mark.needs("curl")
def test_examples_of_pvcalls_run(make_daemon, network, tmp_path):
    """pvcalls-run(1): a page is fetched, a directory is served, by the commands that stand there."""
    add_addresses(network, "1.1.1.1")
    (tmp_path / "index.html").write_text("served\n")
    fetch, serve = manual_commands("pvcalls-run.1.scd")
    name = serve[serve.index("--name") + 1]
    policy = make_policy(floor=None, default="deny", chain=[{"plugin": "filter", "rules": [
        {"id": "web", "on": "connect", "to": {"net": "public", "ports": [80, 443]}, "verdict": "allow"},
        {"id": "serve", "on": ["bind", "listen"], "at": {"ports": 8080}, "verdict": "allow"},
        {"id": "clients", "on": "accept", "from": {"net": "private"}, "verdict": "allow"}]}])
    daemon = make_daemon({"test.yaml": policy}, netns=network.host)
    with far_servers(network, pages=[("1.1.1.1", 80)]):
        # Here is no name that could be looked up, and no certificate.
        assert fetch[-1] == "https://example.com/"
        own = [program(fetch[0]), "--runtime-dir", daemon.runtime_dir, *fetch[1:-1], "-sS", "http://1.1.1.1/"]
        assert check(run(own, env=daemon.environment(daemon.guest_tag))).stdout == "hello\n"
    own = [program(serve[0]), "--runtime-dir", daemon.runtime_dir, *serve[1:]]
    with running(own, cwd=tmp_path, env=daemon.environment(daemon.guest_tag)):
        network.wait_port(network.host, int(serve[-1]))
        done = run(network.inside(network.far, ["curl", "-sS", "-m", "20", f"http://{network.HOST}:{serve[-1]}/"]))
        assert done.stdout == "served\n", done.stderr
    wait_for(lambda: daemon.guest(name) is None, "the guest is gone")


def test_examples_of_pvcalls_audit(make_daemon):
    """pvcalls-audit(1): each command finds what it is to find."""
    daemon = make_daemon({"test.yaml": make_policy(default="deny")})
    recent, elsewhere, follow = manual_commands("pvcalls-audit.1.scd")
    connects(daemon, "web-1", [["192.0.2.1", 80], ["192.0.2.1", 443], ["198.51.100.1", 80]])
    daemon.settle()
    trail = ["--trail", os.path.join(daemon.state_dir, "audit")]
    found = check(run([program(recent[0]), *trail, *recent[1:], "-o", "jsonl"])).stdout.splitlines()
    assert len(found) == 3
    found = check(run([program(elsewhere[0]), *trail, *elsewhere[1:]])).stdout.splitlines()
    assert len(found) == 2 and "192.0.2.1" in found[1], "a heading and one call"
    with running([program(follow[0]), *trail, *follow[1:]], stdout=(output := open(daemon.dir + "/followed", "w+", encoding="utf-8"))):
        connects(daemon, "web-1", [["192.0.2.9", 80]])

        def seen():
            output.seek(0)
            return "192.0.2.9" in output.read()

        wait_for(seen, "the new call is told")
    output.close()


@pytest.mark.needs("gcc")
def test_building_a_plugin(make_daemon):
    """pvcalls-plugin(3): its command makes a plugin that loads, of the one to copy; and that one does what its page says."""
    command, = re.findall(r"^cc (.*)$", text_of("man", "pvcalls-plugin.3.scd"), re.MULTILINE)
    section, = yaml_blocks("plugins", "example", "README.md")
    assert "from: 8\n  to: 18\n" in section
    policy = make_policy(chain=None) + "\n"
    daemon = make_daemon({"test.yaml": policy}, start=False)
    folder = plugin_dir(daemon, raw=b"")
    os.unlink(os.path.join(folder, "odd.so"))
    os.unlink(os.path.join(folder, "example.so"))
    daemon.arguments = ["--plugin-dir", folder]
    words = shlex.split(command.replace("_NAME_.so", "example.so").replace("_NAME_.c", os.path.join(ROOT, "plugins/example/example_plugin.c")))
    check(run(["gcc", "-I", os.path.join(ROOT, "include"), *words], cwd=folder))
    path = os.path.join(folder, "example.so")
    os.chmod(path, 0o755)
    assert "office hours" in check(run([program("pvcallsctl"), "plugins", "--file", path])).stdout
    daemon.start()
    hour = time.gmtime().tm_hour
    day, night = f"from: {max(hour - 1, 0)}\n  to: {min(hour + 3, 24)}\n", f"from: {(hour + 5) % 20}\n  to: {(hour + 5) % 20 + 2}\n"
    head = "version: 1\nname: hours\nmatch: {name: shop}\ndefault: allow\nfloor: {allow: [{on: connect, to: {net: loopback}}]}\nchain:\n"
    for hours, expected in ((day, "ECONNREFUSED"), (night, "EACCES")):
        daemon.write_policy("test.yaml", head + section.replace("from: 8\n  to: 18\n", hours))
        daemon.reload()
        assert connects(daemon, "shop", [["127.0.0.1", free_port()]]) == [expected]
    daemon.settle()
    assert [row["rule"] for row in daemon.calls("shop", "connect", verdict="deny")] == ["closed"]


@pytest.mark.needs("gcc")
def test_building_a_frontend(make_daemon, network):
    """pvcalls-frontend(3): what it shows compiles, and gets the page."""
    loop, example = manual_blocks("pvcalls-frontend.3.scd")
    daemon = make_daemon({"test.yaml": make_policy(floor=None)}, netns=network.host)
    for shown, ours in (('.name = "demo"', f'.name = "demo", .runtime_dir = "{daemon.runtime_dir}"'), ("\\\\", "\\"),
                        (", ...}", f', .sin_addr = {{inet_addr("{network.FAR}")}}}}'),
                        ("\t...\n", "\tchar text[64];\n\tlong got = pvcalls_front_read(socket, text, sizeof(text));\n\tprintf(\"%.*s\", (int)got, text);\n")):
        assert example.count(shown), shown
        example = example.replace(shown, ours)
    source = "#include <arpa/inet.h>\n#include <err.h>\n#include <poll.h>\n#include <stdio.h>\n#include <pvcalls/frontend.h>\n" \
        f"void loop(struct pvcalls_front *front);\nvoid loop(struct pvcalls_front *front)\n{{\n{loop}}}\n" \
        f"int main(void)\n{{\n{example}\treturn 0;\n}}\n"
    path = os.path.join(daemon.dir, "example")
    with open(path + ".c", "w", encoding="utf-8") as file:
        file.write(source)
    links = re.findall(r"^\*cc\* \.\.\. \*(-l.*)\*$", text_of("man", "pvcalls-frontend.3.scd"), re.MULTILINE)
    libraries = os.path.join(build_dir(), "lib")
    checked = ["-fsanitize=address,undefined"] if has_sanitizer() else []
    check(run(["gcc", "-Wall", "-Wextra", "-Werror", *checked, "-I", os.path.join(ROOT, "include"), path + ".c", "-o", path,
               "-L", libraries, f"-Wl,-rpath,{libraries}", *links]))
    with far_servers(network, pages=[(network.FAR, 80)]):
        assert check(run([path], env=daemon.environment(daemon.guest_tag))).stdout.startswith("HTTP/1.0 200 OK")
