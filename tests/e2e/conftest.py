# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests share: daemons that are checked when the test ends, and a bound on every test."""
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402

TEST_SECONDS = 120
CLONE_NEWNET = 0x40000000


def leave_network():
    """A network of its own, with loopback: workers beside one another (-n) don't take each other's ports."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "a worker's network namespace can't be made")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def pytest_configure(config):
    here = pathlib.Path(harness.ROOT)
    closed = [str(folder) for folder in (here, *here.parents) if not folder.stat().st_mode & 1]
    if closed and os.geteuid() == 0:
        raise pytest.UsageError(f"{closed[-1]} is closed to the users that tests become: put tests/launcher.sh before the command")
    if "PYTEST_XDIST_WORKER" in os.environ and os.geteuid() == 0:
        leave_network()
    # In the background or under nohup they are ignored, and so they would be in what the tests start. A
    # handler is not passed on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    config.addinivalue_line("markers", "limit(seconds): longest time of this test (120 s)")
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    config.addinivalue_line("markers", "root: needs root")
    config.addinivalue_line("markers", "needs(program...): programs that must be installed")


def not_run(why):
    """A test that can't run is skipped, but not where everything has to be seen to work."""
    print(f"not run: {why}")
    if os.environ.get("CI"):
        pytest.fail(f"not run: {why}", pytrace=False)
    pytest.skip(f"not run: {why}")


@pytest.fixture(autouse=True)
def preconditions(request):
    if request.node.get_closest_marker("root") and os.geteuid() != 0:
        not_run("needs root")
    marker = request.node.get_closest_marker("needs")
    for name in marker.args if marker else ():
        if not shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            not_run(f"{name} is not installed; scripts/packages/e2e.txt lists what is needed")


@pytest.fixture(autouse=True)
def bounded(request):
    """No test hangs."""
    marker = request.node.get_closest_marker("limit")
    seconds = marker.args[0] if marker else TEST_SECONDS

    def expire(*_):
        raise AssertionError(f"the test did not end within {seconds} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def make_daemon(request):
    """Makes daemons, started; those that still run when the test ends must stop in order."""
    daemons = []

    def make(policies=None, start=True, **options):
        daemon = harness.Daemon(policies, **options)
        daemons.append(daemon)
        return daemon.start() if start else daemon

    yield make
    failures = []
    for daemon in daemons:
        try:
            if daemon.process and daemon.process.poll() is None:
                daemon.stop()
            elif daemon.process:
                daemon.check_gone()
        except AssertionError as error:
            failures.append(str(error))
        if getattr(request.node, "failed", False) or failures:
            print(f"--- log of {daemon.dir}:\n{daemon.log()[-6000:] if daemon.process else ''}")
        daemon.close()
    assert not failures, "\n".join(failures)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.failed = True


@pytest.fixture
def daemon(make_daemon):
    """A daemon that allows everything on loopback."""
    return make_daemon()


@pytest.fixture
def network():
    """Two network namespaces, joined; see harness.Network."""
    with harness.Network() as made:
        yield made
