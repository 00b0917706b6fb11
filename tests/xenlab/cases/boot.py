# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab itself, and the two orders in which a guest and the daemon can come up."""
import os

from client_programs import Pulse, page
from daemon import Daemon
from xen_guest import Guest
from network import FAR
from registry import case
from tools import check, run, wait_for, xenstore

KERNEL_BACKEND = "/opt/lab/modules/pvcalls-back.ko"
DRIVER = "/sys/bus/xen-backend/drivers/pvcalls"


@case()
def stock_guest(lab):
    """A guest without our parts boots, runs programs, and is gone after xl destroy."""
    guest = lab.guest("plain-1", "user", pvcalls=False).start()
    assert check(guest.run(["uname", "-r"])).stdout.strip() == guest.channel.hello.wait(1)["hello"]
    assert guest.run(["sh", "-c", "echo out; echo err >&2; exit 3"]).returncode == 3
    guest.destroy()
    assert not guest.exists()


@case(needs=("hook", "kernel"), seconds=90)
def beside_the_kernel_backend(lab):
    """pvcallsd refuses to start while Linux's own backend serves guests, and does not touch it."""
    # Before any other guest with a device is there: that backend would serve it, too.
    assert lab.far
    check(run(["insmod", KERNEL_BACKEND]))
    daemon = Daemon()
    guest = Guest("web-0")
    try:
        guest.start()
        with Pulse(guest, "long") as pulse:
            daemon.launch()
            assert daemon.process.wait(10) == 6, daemon.log()
            assert "the kernel's own PV Calls backend is active" in daemon.log(), daemon.log()
            daemon.check_gone()
        pulse.check()
        backend = f"/local/domain/0/backend/pvcalls/{guest.domid}/0"
        assert (xenstore(f"{backend}/state"), xenstore(f"{backend}/feature-names")) == ("4", None)
        assert os.listdir(DRIVER)
    finally:
        daemon.close()
        guest.destroy()
        check(run(["rmmod", "pvcalls_back"]))
    assert not os.path.exists(DRIVER)


@case(needs=("hook",), seconds=90)
def guest_before_the_daemon(lab):
    """A guest that is there before the daemon is served as soon as that starts."""
    guest = lab.shared("hook", daemon=False)
    # The driver looks for its backend when it is loaded, and waits a while for one.
    wait_for(lambda: "pvcalls_hook: loading" in guest.log(), "the guest has loaded its driver", 30, 0.1)
    assert lab.far and lab.daemon
    guest.wait_up()
    lab.daemon.connected(guest.name)
    assert check(page(guest)).stdout == "200 1048576"


@case(needs=("user",), seconds=90)
def guest_after_the_daemon(lab):
    """The daemon is there first; the guest has Debian's kernel as it is."""
    assert lab.daemon.guest("tool-1") is None
    guest = lab.shared("user")
    assert check(page(guest)).stdout == "200 1048576"


@case(needs=("hook",))
def no_other_network(lab):
    """What the cases see goes over PV Calls: a guest has no network card and no route."""
    links = check(lab.shared("hook").run(["ip", "-o", "link"])).stdout.splitlines()
    assert len(links) == 1 and ": lo:" in links[0], links
    assert FAR not in check(lab.shared("hook").run(["ip", "route"])).stdout
