# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies: each guest has its own, and the floor is under all of them."""
import threading
import time

import peers
from client_programs import PEERS, Pulse, connects, page
from daemon import OPEN_UUID
from network import FAR, PORTS, dom0_addresses
from registry import case
from tools import check, run, xenstore

SSH = 22
LATE = "10.83.0.77"  # becomes an address of Dom0's while the guest runs


@case(needs=("hook",), seconds=120)
def two_guests(lab):
    """Two guests at once: what one may do the other may not, and the trail keeps them apart."""
    web, since = lab.shared("hook"), time.time()
    echo = lab.guest("echo-1").start()
    lab.daemon.connected("echo-1")
    with Pulse(web) as pulse:
        ports = [PORTS["echo"], PORTS["web"], PORTS["lines"]]
        assert connects(echo, [(FAR, port) for port in ports]) == ["ok", "EACCES", "EACCES"]
        assert check(echo.client([*PEERS, "crowd", FAR, PORTS["echo"], 10])).stdout.strip() == "10"
        assert page(echo).returncode == 7
    pulse.check()
    assert check(page(web)).stdout.startswith("200 ")
    lab.daemon.wait_calls(12, since, "echo-1", "connect")
    for guest, policy in ((web, "web"), (echo, "echo")):
        rows = lab.daemon.recent(since, guest.name, "connect")
        assert {(row["policy"], row["domid"]) for row in rows} == {(policy, guest.domid)}


@case(needs=("hook",), seconds=120)
def by_uuid(lab):
    """A policy that names a uuid is in force for the guest that has it, whatever its name; nobody else's is."""
    guest, since = lab.shared("hook", "any-name", uuid=OPEN_UUID), time.time()
    assert xenstore(f"/local/domain/{guest.domid}/vm") == f"/vm/{OPEN_UUID}"
    assert connects(guest, [(FAR, PORTS["web"]), (FAR, PORTS["lines"])]) == ["ok", "ok"]
    rows = lab.daemon.wait_calls(2, since, guest.name, "connect")
    assert {(row["policy"], row["uuid"], row["domid"]) for row in rows} == {("open", OPEN_UUID, guest.domid)}
    assert lab.daemon.ctl_json("sockets", OPEN_UUID) == [], "the uuid names the guest for pvcallsctl, too"


@case(needs=("hook",), seconds=120)
def floor(lab):
    """Under a policy that allows everything: no port of Dom0, by whichever of its addresses."""
    reached = []
    server = peers.listen(SSH, "0.0.0.0")
    threading.Thread(target=peers.serve, args=(server, reached.append), daemon=True).start()
    guest, since = lab.take(lab.shared("hook", "any-name", uuid=OPEN_UUID)), time.time()
    check(run(["ip", "address", "add", f"{LATE}/32", "dev", "far0"]))
    try:
        addresses = {*dom0_addresses(), "127.0.0.1", "127.255.0.9", "0.0.0.0"}
        targets = [(address, port) for address in sorted(addresses) for port in (SSH, 7003)]
        assert LATE in addresses and set(connects(guest, targets)) == {"EACCES"}
    finally:
        check(run(["ip", "address", "delete", f"{LATE}/32", "dev", "far0"]))
    assert connects(guest, [(FAR, PORTS["echo"])]) == ["ok"], "the other machine is no address of Dom0's"
    assert not reached
    rows = lab.daemon.wait_calls(len(targets), since, guest.name, "connect", verdict="deny")
    assert {row["decider"] for row in rows} == {"floor"}
    assert {(row["requested_address"], row["requested_port"]) for row in rows} == set(targets)
