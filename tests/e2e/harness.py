# SPDX-License-Identifier: GPL-2.0-or-later
"""A private pvcallsd with everything it needs, its guests, and what may be asked of them.

Everything is bounded in time: wait_for() has a deadline, every process a timeout. Nothing sleeps
for luck. A daemon that leaves a process behind, ends with another status than 0 or was caught by a
sanitizer fails the test that used it.
"""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid

PYTHON = "/usr/bin/python3"
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PEERS = os.path.join(HERE, "peers.py")
SECONDS = 30  # longest wait for a condition, unless said otherwise
SANITIZER = re.compile(r"(Address|Leak|UndefinedBehavior|Thread)Sanitizer|runtime error: ")

LOOPBACK = ["127.0.0.0/8"]
OPEN_LOOPBACK = {"allow": [{"on": ["connect", "bind"], "to": {"net": LOOPBACK}}]}


def build_dir():
    """The build whose programs are tested."""
    chosen = os.environ.get("PVCALLS_BUILD")
    candidates = [chosen] if chosen else [os.path.join(ROOT, "build", p) for p in ("dev", "release")]
    for candidate in candidates:
        if os.access(os.path.join(candidate, "bin", "pvcallsd"), os.X_OK):
            return os.path.abspath(candidate)
    raise RuntimeError(f"no pvcallsd in {' or '.join(candidates)}: build first, or set PVCALLS_BUILD")


def program(name):
    """Path of a program of ours."""
    return os.path.join(build_dir(), "bin", name)


def has_sanitizer():
    """Whether the build carries AddressSanitizer: slower, and larger in memory."""
    with open(program("pvcalls-engine"), "rb") as file:
        return b"__asan_init" in file.read()


# --- waiting ---------------------------------------------------------------------------------


def wait_for(condition, what, seconds=SECONDS, pause=0.01):
    """Calls condition() until it is true and returns what it gave; fails at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {seconds} s (last seen: {result!r})")
        time.sleep(pause)


def can_connect(address, port):
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def wait_port(port, address="127.0.0.1", seconds=SECONDS, process=None):
    """Waits until something listens; a process that ends meanwhile fails at once."""

    def listening():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}: {output_of(process)}")
        return can_connect(address, port)

    wait_for(listening, f"a listener on {address}:{port}", seconds)


def listens(port):
    """Whether a socket of this network namespace listens on the port, asked without connecting."""
    wanted = f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        return any(f[1].endswith(wanted) and f[3] == "0A" for f in map(str.split, table))


_given_ports = set()


def free_port(address="127.0.0.1"):
    """A port that nothing uses, below the range from which the kernel takes ports by itself."""
    for _ in range(1000):
        port = random.randint(12000, 31000)
        with socket.socket() as probe:
            if port in _given_ports or probe.connect_ex((address, port)) == 0:
                continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        _given_ports.add(port)
        return port
    raise RuntimeError("no free port")


def output_of(process):
    """What a process that ended had printed."""
    try:
        out, err = process.communicate(timeout=5)
    except (subprocess.TimeoutExpired, ValueError):
        return ""
    return "".join(part.decode(errors="replace") if isinstance(part, bytes) else part or "" for part in (out, err))


# --- processes -------------------------------------------------------------------------------


def proc_status(pid):
    """/proc/PID/status as a dictionary; empty if the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    state = proc_status(pid).get("State", "Z")
    return not state.startswith(("Z", "X"))


def rss_kib(pid):
    """Resident memory of a process that is its own: without pages shared with the guest."""
    status = proc_status(pid)
    return int(status["RssAnon"].split()[0])


def descriptors(pid):
    """What each descriptor of a process is: {number: target}."""
    result = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            result[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return result


def tagged(tag):
    """Processes that carry a tag in their environment: {pid: command line}."""
    wanted = tag.encode()
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            if is_alive(int(name)):
                found[int(name)] = command
    return found


def end_process(process, number=signal.SIGKILL):
    """Ends a process of ours with all of its session, and reaps it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


@contextlib.contextmanager
def running(argv, port=None, address="127.0.0.1", **options):
    """A process for the time of the block; waits for its port if it has one."""
    options.setdefault("stdout", subprocess.DEVNULL)
    options.setdefault("stderr", subprocess.STDOUT)
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen(argv, start_new_session=True, **options)
    try:
        if port:
            wait_port(port, address, process=process)
        yield process
    finally:
        end_process(process)


def peers(*arguments, **options):
    """Command line of one of peers.py's roles."""
    return [PYTHON, "-S", PEERS, *map(str, arguments)]


# --- policies --------------------------------------------------------------------------------


def make_policy(name="test", match="*", **keys):
    """A policy as text. JSON is YAML; by default loopback is open and everything is allowed."""
    policy = {"version": 1, "name": name, "match": {"name": match}, "default": "allow"}
    policy["floor"] = OPEN_LOOPBACK
    policy.update(keys)
    return json.dumps({key: value for key, value in policy.items() if value is not None}, indent=1)


def filter_rules(*rules):
    """A chain of one filter."""
    return [{"plugin": "filter", "rules": list(rules)}]


# --- the daemon ------------------------------------------------------------------------------


class Daemon:
    """A pvcallsd of its own, in directories of its own."""

    def __init__(self, policies=None, config="", arguments=(), netns=None, state_dir=None, build=None):
        self.tag = f"PVCALLS_E2E={uuid.uuid4().hex}"
        self.dir = tempfile.mkdtemp(prefix="pvc-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.policy_dir = os.path.join(self.dir, "policy.d")
        self.runtime_dir = os.path.join(self.dir, "run")
        self.state_dir = state_dir or os.path.join(self.dir, "state")
        self.config_path = os.path.join(self.dir, "pvcallsd.yaml")
        self.log_path = os.path.join(self.dir, "log")
        self.netns = netns
        self.arguments = list(arguments)
        self.bin = os.path.join(build or build_dir(), "bin")
        self.process = None
        self.guests = []
        self.guest_tag = f"PVCALLS_E2E_GUEST={uuid.uuid4().hex}"
        os.mkdir(self.policy_dir, 0o755)
        self.write_config(config)
        for file, text in (policies if policies is not None else {"test.yaml": make_policy()}).items():
            self.write_policy(file, text)

    # files

    def write_policy(self, file, text):
        """Writes a policy as editors do: aside, then renamed."""
        path = os.path.join(self.policy_dir, file)
        with open(path + ".new", "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    def write_config(self, text):
        with open(self.config_path, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(self.config_path, 0o644)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    # life

    def command(self):
        argv = [os.path.join(self.bin, "pvcallsd"), "--transport", "local", "--foreground"]
        argv += ["--policy-dir", self.policy_dir, "--state-dir", self.state_dir]
        argv += ["--runtime-dir", self.runtime_dir, "--config", self.config_path, *self.arguments]
        return (["ip", "netns", "exec", self.netns] if self.netns else []) + argv

    def environment(self, tag):
        key, value = tag.split("=")
        # A process that gave up its rights can't look for leaks: that takes ptrace.
        sanitizers = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
        return {**os.environ, key: value, **sanitizers}

    def launch(self):
        """Starts it and does not wait."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment(self.tag), cwd="/", start_new_session=True)

    def start(self, seconds=SECONDS):
        """Starts it and waits until its control socket answers."""
        self.launch()

        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"pvcallsd ended with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError, ValueError):
                return self.ask("status")["ok"]
            return False

        wait_for(answers, "pvcallsd answers on its control socket", seconds)
        return self

    def stop(self, expect=0, seconds=20):
        """Stops it in order and checks that it left nothing behind."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pvcallsd did not stop within {seconds} s:\n{self.log()}") from None
        assert status == expect, f"pvcallsd ended with {status}, expected {expect}:\n{self.log()}"
        self.check_gone()

    def check_gone(self, seconds=5):
        """No process of the daemon is left, and no sanitizer has complained."""
        wait_for(lambda: not tagged(self.tag), f"no process is left of {tagged(self.tag)}", seconds)
        self.check_log()

    def check_log(self):
        complaint = SANITIZER.search(self.log())
        assert not complaint, f"a sanitizer complained:\n{self.log()}"

    def close(self):
        """Ends whatever still runs, without checks, and removes the directories."""
        for guest in self.guests:
            end_process(guest)
        for tag in (self.guest_tag, self.tag):
            for pid in tagged(tag):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)

    # the control socket

    def ask(self, command, **keys):
        """One request, as the protocol has it."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(SECONDS)
            control.connect(os.path.join(self.runtime_dir, "control.sock"))
            control.sendall(json.dumps({"command": command, **keys}).encode() + b"\n")
            with control.makefile("rb") as stream:
                return json.loads(stream.readline())

    def ctl(self, *arguments, user=None):
        """pvcallsctl; returns the finished process."""
        return run([os.path.join(self.bin, "pvcallsctl"), "--runtime-dir", self.runtime_dir, *arguments], user=user)

    def ctl_json(self, *arguments):
        done = self.ctl("-o", "json", *arguments)
        assert done.returncode == 0, f"pvcallsctl {arguments}: {done.stderr}"
        return json.loads(done.stdout)

    def reload(self):
        """Reloads the policies, which must succeed."""
        done = self.ctl("reload")
        assert done.returncode == 0, f"reload: {done.stderr}"

    def guest(self, name):
        """What pvcallsctl says of one guest; None if it is not attached."""
        return next((g for g in self.ctl_json("guests") if g["name"] == name), None)

    def engine_pid(self, name):
        return wait_for(lambda: (self.guest(name) or {}).get("engine_pid"), f"guest {name} has an engine")

    def writer_pid(self):
        return wait_for(lambda: self.ask("status")["result"]["writer"]["pid"], "there is an audit writer")

    def processes(self, kind):
        """The daemon's processes whose program is of this name."""
        found = []
        for pid in tagged(self.tag):
            with contextlib.suppress(OSError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == kind:
                    found.append(pid)
        return found

    # guests

    def guest_command(self, name, argv):
        return [os.path.join(self.bin, "pvcalls-run"), "--runtime-dir", self.runtime_dir, "--name", name, "--", *argv]

    def popen(self, name, argv, port=None, address="127.0.0.1", **options):
        """Starts a program as a guest. With port, waits until the guest listens there."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("env", self.environment(self.guest_tag))
        guest = subprocess.Popen(self.guest_command(name, argv), start_new_session=True, **options)
        self.guests.append(guest)
        if port:
            def listening():
                assert guest.poll() is None, f"guest {name} ended with {guest.returncode}: {output_of(guest)}"
                return listens(port)
            wait_for(listening, f"guest {name} listens on {port}")
        return guest

    def run(self, name, argv, timeout=60, **options):
        """Runs a program as a guest to its end."""
        options.setdefault("env", self.environment(self.guest_tag))
        return run(self.guest_command(name, argv), timeout=timeout, **options)

    def python(self, name, code, *arguments, timeout=60, **options):
        """Runs Python as a guest to its end."""
        return self.run(name, [PYTHON, "-S", "-c", GUEST_PRELUDE + code, *map(str, arguments)], timeout, **options)

    def end_guest(self, guest, number=signal.SIGTERM):
        """Ends a guest that popen() started, and waits until the daemon has noticed."""
        name = guest.args[guest.args.index("--name") + 1]
        end_process(guest, number)
        wait_for(lambda: self.guest(name) is None, f"guest {name} is gone")

    # the trail

    def settle(self, seconds=SECONDS):
        """Waits until no guest is attached and everything of the trail is on disk."""

        def quiet():
            status = self.ask("status")["result"]
            return status["guests"] == 0 and status["engines"] == 0 and status["writer"]["pending"] == 0

        wait_for(quiet, "all guests are gone and all records are stored", seconds)

    def audit_command(self, *arguments):
        trail = os.path.join(self.state_dir, "audit")
        return [os.path.join(self.bin, "pvcalls-audit"), "--trail", trail, *map(str, arguments)]

    def audit(self, *filters):
        """Rows of the trail, oldest first, as the real pvcalls-audit gives them."""
        done = run(self.audit_command("-o", "jsonl", "--all", *filters))
        assert done.returncode in (0, 1), f"pvcalls-audit {filters}: {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def calls(self, guest=None, operation=None, **wanted):
        """Rows of calls, chosen here and not by filters: what a test counts."""
        rows = self.audit(*(["--guest", guest] if guest else []))
        if operation:
            wanted["operation"] = operation
        return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]

    def events(self, event=None, guest=None):
        """Rows of the events table."""
        rows = self.audit("--events=only")
        return [row for row in rows if (not event or row["event"] == event) and (not guest or row["guest"] == guest)]


GUEST_PRELUDE = """
import errno, os, socket, sys
def name(error): return errno.errorcode.get(error, str(error))
def attempt(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return name(error.errno)
    return "ok"
"""


def run(argv, timeout=60, **options):
    """Runs a program to its end; its session dies with it."""
    options.setdefault("stdin", subprocess.DEVNULL)
    binary = options.pop("binary", False)
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=not binary, start_new_session=True, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"{' '.join(argv)}: not finished within {timeout} s; it said: {out!r} {err!r}") from None
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def check(done, status=0):
    """A finished process, which must have had this exit status."""
    assert done.returncode == status, (
        f"{' '.join(map(str, done.args))}: exit status {done.returncode}, expected {status}; "
        f"it said: {done.stdout[-2000:]!r} {done.stderr[-2000:]!r}")
    return done


# --- network namespaces ----------------------------------------------------------------------


class Network:
    """Two namespaces with a cable: in `host` the daemon runs, `far` is another machine."""

    HOST = "10.83.0.1"
    FAR = "10.83.0.2"

    def __init__(self):
        number = uuid.uuid4().hex[:8]
        self.host = f"pvc-h-{number}"
        self.far = f"pvc-f-{number}"
        self.cables = f"ph{number}", f"pf{number}"

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        for space in (self.host, self.far):
            self.ip("netns", "add", space)
            self.ip("-n", space, "link", "set", "lo", "up")
        self.ip("link", "add", self.cables[0], "netns", self.host, "type", "veth",
                "peer", "name", self.cables[1], "netns", self.far)
        for space, cable, address in zip((self.host, self.far), self.cables, (self.HOST, self.FAR)):
            self.ip("-n", space, "address", "add", f"{address}/24", "broadcast", "10.83.0.255", "dev", cable)
            self.ip("-n", space, "link", "set", cable, "up")
            self.ip("-n", space, "route", "add", "default", "dev", cable)

    @staticmethod
    def ip(*arguments):
        check(run(["ip", *arguments]))

    def inside(self, space, argv):
        return ["ip", "netns", "exec", space, *argv]

    def wait_port(self, space, port):
        table = f"cat /proc/net/tcp | grep -q ':{port:04X} 00000000:0000 0A'"
        wait_for(lambda: run(self.inside(space, ["sh", "-c", table])).returncode == 0, f"a listener on {port} in {space}")

    def __exit__(self, *_):
        for space in (self.host, self.far):
            run(["ip", "netns", "delete", space])


def linger_reset(connection):
    """Closes a connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
