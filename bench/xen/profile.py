# SPDX-License-Identifier: GPL-2.0-or-later
"""Where Dom0's time goes during one work: system calls by kind, event channels, wake-ups, processor time.

The kernel counts by itself (tracefs' histograms): a tracer that stops the engine at each call would
change how much of its work comes together, which is what is to be seen. Runs in Dom0.
"""
import contextlib
import os
import re
import subprocess
import time

from tools import check, run

TRACING = "/sys/kernel/tracing"
CALLS = f"{TRACING}/events/raw_syscalls/sys_enter"
IOCTLS = f"{TRACING}/events/syscalls/sys_enter_ioctl"
HISTOGRAMS = {CALLS: "hist:keys=common_pid,id.syscall:size=4096", IOCTLS: "hist:keys=common_pid,cmd:size=4096"}
ROW = re.compile(r"\{ common_pid: +(\d+), (?:id|cmd): +([^}]*?) *\} hitcount: +(\d+)")
# The commands of /dev/xen/evtchn (E) and /dev/xen/gntdev (G)
COMMANDS = {"E0": "bind virq", "E1": "bind", "E2": "bind unbound", "E3": "unbind", "E4": "notify", "E5": "reset", "E6": "restrict",
            "G0": "map", "G1": "unmap", "G2": "get offset", "G7": "unmap notify", "G8": "copy"}
PROGRAMS = ("pvcalls-engine", "pvcalls-auditd", "pvcallsd", "plain", "iperf3")
PERF = "/opt/lab/extra/perf"
LEAST = 0.005  # of an operation: what happens more seldom is left out
SAMPLES = 25  # functions shown


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _processes():
    """{pid: program} of those that are looked at, their threads too."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            program = os.path.basename(os.readlink(f"/proc/{name}/exe"))
            if program in PROGRAMS:
                found.update({int(task): program for task in os.listdir(f"/proc/{name}/task")})
    return found


def _wakes(pids):
    """Times that processes slept, and nanoseconds that they ran, by program."""
    wakes, ran = {}, {}
    for pid, program in pids.items():
        with contextlib.suppress(OSError):
            status = _read(f"/proc/{pid}/status")
            switches = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[1])
            wakes[program] = wakes.get(program, 0) + switches
            ran[program] = ran.get(program, 0) + int(_read(f"/proc/{pid}/schedstat").split()[0])
    return wakes, ran


def _interrupts():
    """How often each interrupt came, by its name; those of one name together."""
    found = {}
    for line in _read("/proc/interrupts").splitlines()[1:]:
        words = line.split()
        counts = [int(word) for word in words[1:9] if word.isdigit()]
        name = words[-1] if words[0].rstrip(":").isdigit() else words[0].rstrip(":")
        if counts:
            found[name] = found.get(name, 0) + sum(counts)
    return found


def _domains():
    """Seconds of processor time of each domain."""
    rows = [line.split() for line in check(run(["xl", "list"])).stdout.splitlines()[1:]]
    return {row[0]: float(row[-1]) for row in rows}


def _difference(before, after):
    return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}


class Profile:
    """`with Profile() as profile: ...`, then profile.lines(how many operations, what one is)."""

    def __enter__(self):
        if not os.path.exists(f"{TRACING}/trace"):
            check(run(["mount", "-t", "tracefs", "none", TRACING]))
        self.pids = _processes()
        self.domains = _domains()
        self.perf = None
        if os.path.exists(PERF):
            self.perf = subprocess.Popen([PERF, "record", "-q", "-a", "-g", "-e", "cpu-clock", "-F", "1500", "-o", "/tmp/perf.data"],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
        for folder, trigger in HISTOGRAMS.items():
            _write(f"{folder}/trigger", trigger)
        self.interrupts = _interrupts()
        self.wakes, self.ran = _wakes(self.pids)
        self.started = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.started
        wakes, ran = _wakes(self.pids)
        self.wakes, self.ran = _difference(self.wakes, wakes), _difference(self.ran, ran)
        self.interrupts = _difference(self.interrupts, _interrupts())
        self.counts = {folder: ROW.findall(_read(f"{folder}/hist")) for folder in HISTOGRAMS}
        for folder, trigger in HISTOGRAMS.items():
            _write(f"{folder}/trigger", "!" + trigger)
        if self.perf:
            self.perf.terminate()
            self.perf.wait(30)
        self.domains = _difference(self.domains, _domains())

    def lines(self, operations, unit):
        """What one operation took."""
        lines = [f"{operations} times {unit} in {self.seconds:.2f} s; what follows is per {unit}"]

        def add(title, counts, scale=1.0, digits=2):
            shown = sorted(((value / operations * scale, name) for name, value in counts.items()), reverse=True)
            words = [f"{name} {value:.{digits}f}" for value, name in shown if value >= LEAST]
            if words:
                lines.append(f"  {title}: " + ", ".join(words))

        for program in PROGRAMS:
            add(f"system calls of {program}", self._of(CALLS, program))
            add(f"ioctls of {program}", self._of(IOCTLS, program))
        add("times asleep", self.wakes)
        add("processor time of programs, us", self.ran, 1e-3, 0)
        add("processor time of domains, us", self.domains, 1e6, 0)
        add("interrupts of Dom0", self.interrupts)
        return lines + self._sampled()

    def _of(self, folder, program):
        counts = {}
        for pid, name, count in self.counts[folder]:
            if self.pids.get(int(pid)) == program:
                name = self._command(name) if folder == IOCTLS else re.sub(r"^sys_| *\[.*", "", name)
                counts[name] = counts.get(name, 0) + int(count)
        if folder == CALLS and counts:
            counts["all"] = sum(counts.values())
        return counts

    @staticmethod
    def _command(text):
        number = int(text, 0)
        key = f"{chr(number >> 8 & 255)}{number & 255}"
        return COMMANDS.get(key, key)

    def _sampled(self):
        """What Dom0's processor was found at, if perf is there: by program and system call, then by function."""
        if not self.perf:
            return []
        done = run([PERF, "script", "-i", "/tmp/perf.data", "-F", "comm,ip,sym", "-G"][:-1], 300)
        doings, functions, samples = {}, {}, 0
        for sample in done.stdout.split("\n\n"):
            program, *frames = [line.strip() for line in sample.splitlines() if line.strip()]or [""]
            if not program:
                continue
            names = [frame.split(" ", 1)[-1].split("+")[0] for frame in frames]
            samples += 1
            doing = next((name for name in names if re.match(r"__x64_sys_|__do_sys_", name)), None)
            doing = doing or next((name for name in names if re.search(r"softirq|upcall|idle|schedule|fault", name)), "itself")
            for table, key in ((doings, (program, doing)), (functions, (program, names[0] if names else "?"))):
                table[key] = table.get(key, 0) + 1
        lines = [f"  {samples} samples of Dom0's processor: {done.stderr[-200:]}"]
        for table in (doings, functions):
            rows = sorted(table.items(), key=lambda row: -row[1])[:SAMPLES]
            lines += [f"    {100 * count / samples:5.1f} %  {program}: {name}" for (program, name), count in rows]
        return lines
