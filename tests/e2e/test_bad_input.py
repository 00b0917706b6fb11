# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that can be wrong before or beside a guest: one clear line, a documented status."""
import contextlib
import os
import shutil
import sqlite3
import tempfile

import pytest

from frontend import RELEASE, Frontend
from harness import ROOT, build_dir, check, filter_rules, free_port, make_policy, peers, program, run, running, tagged, wait_for
from test_audit import check_serials, no_gaps

pytestmark = pytest.mark.root

INPUT, ENVIRONMENT, PERMISSION, RUNNING, USAGE = 3, 4, 5, 6, 2


def fails(daemon, status, *words, lines=1):
    """The daemon does not start: this status, so many lines of complaint, these words in them."""
    daemon.launch()
    got = daemon.process.wait(30)
    complaints = [line for line in daemon.log().splitlines() if ": error: " in line or line.startswith("pvcallsd: ") and ": info:" not in line]
    assert got == status, f"exit status {got}, expected {status}: {daemon.log()}"
    assert len(complaints) == lines, daemon.log()
    for word in words:
        assert word in "\n".join(complaints), f"{word!r} is not in: {daemon.log()}"
    daemon.check_gone()
    return complaints


GOOD = make_policy()
POLICIES = {
    "not yaml": ("version: 1\nname: [a\nmatch: {name: x}\n", "test.yaml:"),
    "not closed": ("version: 1\nname: \"a\n", "test.yaml:"),
    "empty": ("", "test.yaml"),
    "a list": ("- 1\n", "test.yaml:1"),
    "unknown key": ("version: 1\nname: a\nmatch: {name: x}\ndefualt: deny\n", "test.yaml:4:1"),
    "duplicate key": ("version: 1\nname: a\nname: b\nmatch: {name: x}\n", "test.yaml:3:1"),
    "alias": ("version: 1\nname: x\nmatch: {name: *a}\n", "test.yaml:3:15"),
    "tag": ("version: 1\nname: !!str a\nmatch: {name: x}\n", "test.yaml:2"),
    "version": ("version: 2\nname: a\nmatch: {name: x}\n", "test.yaml:1:10"),
    "bad prefix": (make_policy(groups={"g": ["10.0.0.0/33"]}), "10.0.0.0/33"),
    "bad port range": (make_policy(chain=[{"plugin": "filter", "rules": [
        {"id": "a", "on": "connect", "to": {"ports": ["9-1"]}, "verdict": "allow"}]}]), "9-1"),
    "duplicate id": (make_policy(chain=[{"plugin": "filter", "rules": [
        {"id": "a", "on": "connect", "verdict": "allow"}, {"id": "a", "on": "bind", "verdict": "allow"}]}]), "test.yaml:"),
    "unknown plugin": (make_policy(chain=[{"plugin": "nonesuch"}]), "nonesuch"),
    "unknown group": (make_policy(chain=[{"plugin": "filter", "rules": [
        {"id": "a", "on": "connect", "to": {"net": ["nogroup"]}, "verdict": "allow"}]}]), "nogroup"),
    "unknown errno": (make_policy(chain=[{"plugin": "filter", "rules": [
        {"id": "a", "on": "connect", "verdict": "deny", "errno": "EWHAT"}]}]), "EWHAT"),
    "failed test": (make_policy(tests=[{"call": "connect 8.8.8.8:1", "expect": "deny default"}]),
                    'test "connect 8.8.8.8:1" failed: it came out as allow by default: default: allow; expected deny default'),
    "too deep": ("version: 1\nname: a\nmatch: {name: x}\nchain: " + "[" * 40 + "]" * 40 + "\n", "test.yaml:"),
    "too large": ("# " + "x" * (1 << 20) + "\n" + GOOD, "test.yaml"),
    "nul byte": ("version: 1\0\nname: a\n", "test.yaml"),
    "not utf-8": ("version: 1\nname: \udcff\n", "test.yaml"),
}


@pytest.mark.parametrize("what", POLICIES)
def test_malformed_policy(make_daemon, what):
    """Malformed policies: status 3, one line with file and position; --check-config says the same."""
    text, word = POLICIES[what]
    daemon = make_daemon(start=False)
    with open(os.path.join(daemon.policy_dir, "test.yaml"), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    fails(daemon, INPUT, "test.yaml", word)
    done = run([*daemon.command(), "--check-config"])
    assert done.returncode == INPUT and word in done.stderr, done
    assert not os.path.exists(daemon.state_dir) or not os.listdir(os.path.join(daemon.state_dir, "audit")), "nothing was begun"


def test_all_errors_are_told(make_daemon):
    """Three files with an error each: three lines, not just the first."""
    daemon = make_daemon({f"{n}.yaml": make_policy(version=n + 5) for n in range(3)}, start=False)
    fails(daemon, INPUT, "0.yaml", "1.yaml", "2.yaml", lines=3)


def test_check_config(make_daemon):
    """--check-config of something good: status 0, and nothing is made or started."""
    daemon = make_daemon(start=False)
    done = check(run([*daemon.command(), "--check-config"]))
    assert "test.yaml" in done.stdout
    assert not os.path.exists(daemon.state_dir) and not os.path.exists(daemon.runtime_dir)


def test_rules_that_never_speak_are_warned_of(make_daemon):
    """By --check-config, the start and a reload; the policy is used all the same, and nothing is said of a good one."""
    hidden = make_policy(chain=filter_rules({"id": "lan", "on": "connect", "to": {"net": "10.0.0.0/8"}, "verdict": "allow"},
                                            {"id": "no-db", "on": "connect", "to": {"net": "10.20.0.5"}, "verdict": "deny"}))
    words = "warning: rule no-db can never speak: what it is for is matched before it, as by rule lan"
    daemon = make_daemon({"test.yaml": hidden}, start=False)
    done = check(run([*daemon.command(), "--check-config"]))
    assert words in done.stdout and "policy.d/test.yaml:" in done.stdout and not done.stderr
    daemon.start()
    assert daemon.log().count(words) == 1
    daemon.write_policy("test.yaml", make_policy())
    assert "warnings" not in check(daemon.ctl("reload")).stdout
    daemon.write_policy("test.yaml", hidden)
    assert "with warnings, see the log" in check(daemon.ctl("reload")).stdout
    assert daemon.log().count(words) == 2


@pytest.mark.parametrize("text, word", [
    ("durability: perhaps\n", ":1:13"), ("nonsense: 1\n", "nonsense"), ("engine: {uids: 0-10}\n", "user ids"),
    ("audit: {uid: 2000000001}\n", "audit.uid"), ("local: {guests: [{name: a}]}\n", "users"), ("engine: [\n", ":"),
    ("audit: {segment_bytes: 1}\n", "bytes"), ("control: {users: [no-such-user-here]}\n", "no such user")])
def test_malformed_configuration(make_daemon, text, word):
    """pvcallsd.yaml: status 3 and the position."""
    daemon = make_daemon(config=text, start=False)
    fails(daemon, INPUT, "pvcallsd.yaml", word)


def test_configuration_others_may_write(make_daemon):
    """A configuration that others could change is not taken."""
    daemon = make_daemon(start=False)
    os.chmod(daemon.config_path, 0o666)
    fails(daemon, INPUT, "pvcallsd.yaml", "writable")


@pytest.mark.parametrize("argv", [["--nonsense"], ["--transport", "smoke"], ["--log-level", "loud"], ["word"], ["--state-dir"]])
def test_usage(argv):
    """Wrong command lines: status 2, one line."""
    done = run([program("pvcallsd"), *argv])
    assert done.returncode == USAGE and len(done.stderr.strip().splitlines()) == 1, done
    assert argv[-1] in done.stderr


# --- plugins ---

ABI = """
#include <pvcalls/plugin.h>
static void *create(const struct pvcalls_host *h, const struct pvcalls_value *v) {{ (void)h; (void)v; return (void *)1; }}
static void destroy(void *i) {{ (void)i; }}
extern PVCALLS_EXPORT const struct pvcalls_plugin pvcalls_plugin;
PVCALLS_EXPORT const struct pvcalls_plugin pvcalls_plugin = {{
	.size = {size}, .abi_major = {major}, .abi_minor = 0, .name = "{name}", .version = "1",
	.description = "a test", .ops = 2, .create = create, .destroy = destroy }};
"""


def plugin_dir(daemon, source=None, name="odd", raw=None):
    """A copy of the plugins with one more."""
    folder = os.path.join(daemon.dir, "plugins")
    os.mkdir(folder, 0o755)
    for file in os.listdir(os.path.join(build_dir(), "plugins")):
        if file.endswith(".so"):
            shutil.copy(os.path.join(build_dir(), "plugins", file), folder)
    path = os.path.join(folder, f"{name}.so")
    if raw is not None:
        with open(path, "wb") as file:
            file.write(raw)
    else:
        check(run(["gcc", "-shared", "-fPIC", "-fvisibility=hidden", "-I", os.path.join(ROOT, "include"), "-x", "c", "-", "-o", path],
                  stdin=_pipe(source)))
    os.chmod(path, 0o755)
    return folder


def _pipe(text):
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return read


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("fault, source", [
    ("major", ABI.format(size="sizeof(struct pvcalls_plugin)", major=99, name="odd")),
    ("size", ABI.format(size=4, major="PVCALLS_ABI_MAJOR", name="odd")),
    ("name", ABI.format(size="sizeof(struct pvcalls_plugin)", major="PVCALLS_ABI_MAJOR", name="even")),
    ("symbol", "int something_else = 1;\n"),
])
def test_plugin_of_another_abi(make_daemon, fault, source):
    """A plugin that does not fit is refused by name when a policy asks for it: status 3, one line."""
    daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "odd"}])}, start=False)
    daemon.arguments = ["--plugin-dir", plugin_dir(daemon, source)]
    fails(daemon, INPUT, "odd")
    assert fault


def test_plugin_that_is_no_library(make_daemon):
    """A file of random bytes with a plugin's name."""
    daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "odd"}])}, start=False)
    daemon.arguments = ["--plugin-dir", plugin_dir(daemon, raw=os.urandom(5000))]
    fails(daemon, INPUT, "odd.so")


@pytest.mark.needs("gcc")
def test_plugin_that_others_may_write(make_daemon):
    """Code that others could change is not loaded."""
    daemon = make_daemon({"test.yaml": make_policy(chain=[{"plugin": "odd"}])}, start=False)
    folder = plugin_dir(daemon, ABI.format(size="sizeof(struct pvcalls_plugin)", major="PVCALLS_ABI_MAJOR", name="odd"))
    daemon.arguments = ["--plugin-dir", folder]
    os.chmod(os.path.join(folder, "odd.so"), 0o777)
    fails(daemon, INPUT, "odd")


CRASHING = r"""
#include <stdlib.h>
#include <string.h>
#include <pvcalls/plugin.h>
static void die_in(const char *hook, const struct pvcalls_call *call)
{
	if (!strcmp(hook, HOOK) && call->requested.port == 6666) abort();
}
static void *create(const struct pvcalls_host *h, const struct pvcalls_value *v) { (void)h; (void)v; return (void *)1; }
static void decide(void *i, const struct pvcalls_call *call, struct pvcalls_verdict *verdict)
{
	(void)i;
	die_in("decide", call);
	if (!strcmp(HOOK, "explain")) return;
	verdict->kind = PVCALLS_REWRITE;
	verdict->endpoint = call->effective;
	verdict->endpoint.port++;
}
static void check(void *i, const struct pvcalls_call *call, struct pvcalls_verdict *v) { (void)i; (void)v; die_in("check", call); }
static void observe(void *i, const struct pvcalls_call *call, const struct pvcalls_outcome *o) { (void)i; (void)o; die_in("observe", call); }
static int32_t explain(void *i, const struct pvcalls_call *call, char *rule, char *reason)
{
	(void)i; (void)rule; (void)reason;
	die_in("explain", call);
	return 0;
}
PVCALLS_PLUGIN(.name = "odd", .version = "1", .description = "a test", .ops = 2, .create = create, .decide = decide,
	       .check = check, .observe = observe, .explain = explain);
"""


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("hook", ["decide", "check", "explain", "observe"])
def test_plugin_that_crashes(make_daemon, hook):
    """The call in which it ends the engine is recorded, and the event says which hook of which plugin it was."""
    policy = make_policy(default="deny" if hook == "explain" else "allow", chain=[{"plugin": "odd"}])
    daemon = make_daemon({"test.yaml": policy}, start=False)
    daemon.arguments = ["--plugin-dir", plugin_dir(daemon, CRASHING.replace("HOOK", f'"{hook}"'))]
    daemon.start()
    done = daemon.python("victim", "print(attempt(socket.create_connection, ('127.0.0.1', 6665)), flush=True)\n"
                         "print(attempt(socket.create_connection, ('127.0.0.1', 6666)), flush=True)\n")
    # The guest hears that its network is gone, not what ended it.
    assert check(done).stdout == ("EACCES" if hook == "explain" else "ECONNREFUSED") + "\nENETDOWN\n"
    daemon.settle()
    before, row = daemon.calls("victim", "connect")
    assert (before["requested_port"], before["outcome"]) == (6665, "error")
    assert (row["requested_address"], row["requested_port"], row["outcome"], row["errno"]) == ("127.0.0.1", 6666, "unknown", None)
    if hook == "observe":
        assert (row["verdict"], row["decider"], row["effective_port"]) == ("allow", "default", 6667)
    else:
        assert (row["verdict"], row["decider"], row["rule"], row["rewritten"]) == ("fault", "odd", None, False)
        assert hook in row["reason"]
    event, = daemon.events("engine_crashed", "victim")
    assert f"in hook {hook} of plugin odd" in event["text"]
    daemon.stop()


# --- programs ---


@pytest.mark.parametrize("part", ["pvcalls-engine", "pvcalls-auditd", ""])
def test_program_that_others_may_write(make_daemon, part):
    """What the daemon runs, or its directory, could be changed by others: status 5, its path and what to do."""
    daemon = make_daemon(start=False)
    daemon.arguments = ["--plugin-dir", os.path.join(build_dir(), "plugins")]
    daemon.bin = shutil.copytree(daemon.bin, os.path.join(daemon.dir, "bin"))
    path = os.path.join(daemon.bin, part).rstrip("/")
    os.chmod(path, 0o777)
    fails(daemon, PERMISSION, f"{path}: writable by group or others (mode 0777); expected chmod go-w")


# --- directories, other daemons, names ---


@pytest.mark.parametrize("option", ["--policy-dir", "--state-dir", "--runtime-dir", "--plugin-dir"])
def test_missing_directories(make_daemon, option):
    """A directory whose parent is missing: status 4 and its path."""
    daemon = make_daemon(start=False)
    daemon.arguments = [option, os.path.join(daemon.dir, "no", "such", "place")]
    fails(daemon, ENVIRONMENT, "no/such/place")


@pytest.mark.parametrize("option", ["--state-dir", "--runtime-dir"])
def test_a_file_where_a_directory_should_be(make_daemon, option):
    """A path that is a file: status 4 and its path."""
    daemon = make_daemon(start=False)
    path = os.path.join(daemon.dir, "file")
    open(path, "w").close()
    daemon.arguments = [option, path]
    fails(daemon, ENVIRONMENT, path)


def test_runtime_directory_too_long(make_daemon):
    """A path that does not fit a socket's address: status 4, and what to do."""
    daemon = make_daemon(start=False)
    path = os.path.join(daemon.dir, "x" * 120)
    os.mkdir(path)
    daemon.arguments = ["--runtime-dir", path]
    fails(daemon, ENVIRONMENT, "x" * 20)


@pytest.mark.parametrize("shared", ["state", "runtime", "both"])
def test_second_daemon(make_daemon, shared):
    """A second daemon on one of the directories: status 6; the first notices nothing."""
    first = make_daemon()
    second = make_daemon(start=False)
    if shared in ("state", "both"):
        second.state_dir = first.state_dir
    if shared in ("runtime", "both"):
        second.runtime_dir = first.runtime_dir
    fails(second, RUNNING, first.state_dir if shared == "state" else first.runtime_dir)
    with running(peers("greet", port := free_port()), port=port):
        check(first.run("shop", peers("fetch", "127.0.0.1", port)))
    first.settle()
    assert len(first.calls("shop")) == 3


def test_guest_name_taken(daemon):
    """A name that is attached: the newcomer is told so, the first is not disturbed, the event stored."""
    first = Frontend(daemon.runtime_dir, "shop").attach()
    done = daemon.run("shop", ["true"])
    assert done.returncode not in (0, 1) and len(done.stderr.strip().splitlines()) == 1
    assert "'shop' is attached already" in done.stderr
    assert first.call(RELEASE, 1) == 0
    first.detach()
    first.close()
    daemon.settle()
    assert "attached already" in daemon.events("guest_refused", "shop")[0]["text"]


def test_name_not_granted(make_daemon):
    """A user is what pvcallsd.yaml grants and nothing else; root is anything."""
    daemon = make_daemon(config="local: {guests: [{name: 'web-*', users: [61001]}, {name: db, users: [61001, 61002]}]}\n")

    def attempt(uid, name):
        done = daemon.run(name, ["true"], user=uid, group=uid, extra_groups=[])
        if done.returncode:
            assert f"user {uid} may not be guest '{name}'" in done.stderr and "pvcallsd.yaml" in done.stderr, done.stderr
        return done.returncode == 0

    wanted = {(61001, "web-1"): True, (61001, "db"): True, (61001, "web"): False, (61002, "web-1"): False,
              (61002, "db"): True, (61003, "db"): False}
    assert {pair: attempt(*pair) for pair in wanted} == wanted
    check(daemon.run("anything", ["true"]))
    daemon.settle()
    refused = [(event["uid"], event["guest"]) for event in daemon.events("guest_refused")]
    assert refused == [pair for pair, granted in wanted.items() if not granted]


# --- the trail ---


def test_trail_of_another_schema(make_daemon):
    """A trail written by another version: status 4, one line with the file; it is left as it is."""
    daemon = make_daemon()
    with running(peers("greet", port := free_port()), port=port):
        check(daemon.run("shop", peers("fetch", "127.0.0.1", port)))
    daemon.settle()
    daemon.stop()
    folder = os.path.join(daemon.state_dir, "audit")
    name = max(file for file in os.listdir(folder) if file.endswith(".db"))
    database = sqlite3.connect(os.path.join(folder, name))
    version, = database.execute("PRAGMA user_version").fetchone()
    database.execute("PRAGMA user_version = 4711")
    database.commit()
    database.close()
    os.truncate(daemon.log_path, 0)
    daemon.launch()
    assert daemon.process.wait(30) == ENVIRONMENT, daemon.log()
    assert name in daemon.log() and "4711" in daemon.log()
    done = run(daemon.audit_command("--all"))
    assert done.returncode == 4 and "4711" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done
    database = sqlite3.connect(os.path.join(folder, name))
    database.execute(f"PRAGMA user_version = {version}")
    database.commit()
    database.close()
    for file in os.listdir(folder):
        os.chown(os.path.join(folder, file), 2_000_000_512, 2_000_000_512)
    daemon.start()
    assert len(daemon.calls("shop")) == 3, "nothing was lost"


def test_trail_that_is_no_database(make_daemon):
    """A file in the trail's place that is no database: status 4 and its name; it is not overwritten."""
    daemon = make_daemon()
    daemon.stop()
    folder = os.path.join(daemon.state_dir, "audit")
    name = max(file for file in os.listdir(folder) if file.endswith(".db"))
    with open(os.path.join(folder, name), "wb") as file:
        file.write(b"This is my diary.\n" * 500)
    os.truncate(daemon.log_path, 0)
    daemon.launch()
    assert daemon.process.wait(30) == ENVIRONMENT, daemon.log()
    assert name in daemon.log()
    with open(os.path.join(folder, name), "rb") as file:
        assert file.read().startswith(b"This is my diary.")


@pytest.fixture
def small_disk():
    """A file system of 2 MiB; yields its path. Ask for it before make_daemon, which uses it."""
    path = tempfile.mkdtemp(prefix="pvc-disk-", dir="/tmp")
    check(run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", path]))
    yield path
    if run(["umount", path]).returncode:
        run(["umount", "-l", path])
        pytest.fail(f"something still uses {path}")
    os.rmdir(path)


def fill(path):
    """Writes a file until there is no room for more."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 16, 512):
        with contextlib.suppress(OSError):
            while os.write(fd, b"x" * size):
                pass
    os.close(fd)


@pytest.mark.limit(180)
def test_full_disk(small_disk, make_daemon):
    """D1: a disk that fills: calls wait, none is executed unrecorded; with room again all goes on."""
    state = os.path.join(small_disk, "state")
    daemon = make_daemon(state_dir=state)
    ballast = os.path.join(small_disk, "ballast")
    guest = Frontend(daemon.runtime_dir, "busy").attach()
    assert guest.call(RELEASE, 1) == 0
    fill(ballast)
    sent, answered = 0, 0

    def push():
        nonlocal sent, answered
        while guest.req_prod - guest.rsp_cons < 32:
            guest.place(RELEASE, 1)
            sent += 1
        guest.show()
        got = guest.take()
        answered += got
        guest.answers.clear()
        return got

    def troubled():
        push()
        assert answered < 200_000, "calls go on unrecorded"
        return daemon.ask("status")["result"]["writer"]["trouble"]

    trouble = wait_for(troubled, "the daemon tells that rows can't be stored")
    assert "audit" in trouble
    # Beyond what the queue keeps, nothing is answered.
    quiet = 0

    def stopped():
        nonlocal quiet
        quiet = 0 if push() else quiet + 1
        assert answered < 200_000, "calls go on unrecorded"
        return quiet >= 50

    wait_for(stopped, "the guest has to wait")
    stored = len(daemon.calls("busy"))
    print(f"{answered} calls answered, {stored} stored when the disk was full: {trouble}")
    os.unlink(ballast)
    wait_for(lambda: push() >= 0 and not daemon.ask("status")["result"]["writer"]["trouble"], "rows are stored again")

    def drained():
        nonlocal answered
        answered += guest.take()
        guest.answers.clear()
        return answered >= sent

    wait_for(drained, "every call is answered")
    guest.detach()
    guest.close()
    daemon.settle()
    rows = daemon.calls("busy")
    assert len(rows) == sent + 1, "nothing is lost"
    no_gaps(daemon.audit())
    check_serials(rows)
    assert any("disk" in event["event"] for event in daemon.events()), "the event is recorded"
    daemon.stop()


def test_start_on_a_full_disk(small_disk, make_daemon):
    """No room for the trail at the start: status 4 and one line that says where."""
    daemon = make_daemon(state_dir=os.path.join(small_disk, "state"), start=False)
    os.mkdir(daemon.state_dir)
    fill(os.path.join(small_disk, "ballast"))
    daemon.launch()
    assert daemon.process.wait(30) == ENVIRONMENT, daemon.log()
    assert small_disk in daemon.log()


@pytest.mark.limit(180)
def test_few_descriptors(make_daemon):
    """D6: with a low limit a guest that opens until it is full leaves the rest alone."""
    daemon = make_daemon(config="engine: {sockets: 40}\n")
    port = free_port()
    code = f"""
kept, errors = [], set()
for _ in range(80):
    s = socket.socket()
    result = attempt(s.connect, ('127.0.0.1', {port}))
    if result == 'ok': kept.append(s)
    else: errors.add(result); s.close()
print(len(kept), *errors)
"""
    with running(peers("echo", port), port=port):
        done = check(daemon.python("greedy", code))
        count, *errors = done.stdout.split()
        assert 30 <= int(count) <= 40 and errors, done.stdout
        check(daemon.run("other", peers("crowd", "127.0.0.1", port, 20)))
    assert daemon.ctl_json("status")["guests"] >= 0


def test_state_directory_others_own(make_daemon):
    """Started by a user who may not write there: status 4 or 5, and the path."""
    daemon = make_daemon(start=False)
    os.mkdir(daemon.state_dir, 0o700)
    done = run(daemon.command(), user=65534, group=65534, extra_groups=[])
    assert done.returncode in (ENVIRONMENT, PERMISSION, INPUT), done
    assert daemon.dir in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_in_the_background(make_daemon):
    """Without --foreground the caller gets the status of the start, and the log goes to a file."""
    daemon = make_daemon(start=False)
    command = [argument for argument in daemon.command() if argument != "--foreground"]
    check(run(command, env=daemon.environment(daemon.tag)))
    assert daemon.ask("status")["ok"]
    pid = daemon.ask("status")["result"]["pid"]
    check(daemon.run("shop", ["true"]))
    with open(os.path.join(daemon.state_dir, "pvcallsd.log"), encoding="utf-8") as file:
        assert "guest shop: attached" in file.read()
    again = run(command, env=daemon.environment(daemon.tag))
    assert again.returncode == RUNNING and again.stderr
    os.kill(pid, 15)
    wait_for(lambda: not tagged(daemon.tag), "it has stopped")
