# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified programs in guests of both kinds, under a policy; the trail agrees with them."""
import hashlib
import json
import os
import time

from client_programs import PEERS, connects, page, attempts
from daemon import SERVE
from network import DOM0, FAR, IPERF, PORTS, SIZE
from peers import digest_of
from registry import case
from tools import check, run, wait_for

BOTH = ("hook", "user")
PAGE = 1 << 20
NGINX = f"""
daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp; uwsgi_temp_path /tmp; scgi_temp_path /tmp;
    server {{ listen 0.0.0.0:{SERVE}; root /tmp/www; }}
}}
"""


def one_connect(lab, guest, since, port):
    """The trail has the connect, with the guest's name and the rule that allowed it."""
    row = lab.daemon.wait_calls(1, since, guest.name, "connect", effective_address=FAR, effective_port=port)[0]
    assert (row["verdict"], row["rule"], row["policy"]) == ("allow", "out", "web"), row
    assert row["domid"] == guest.domid and row["errno"] in (0, None), row
    return row


@case(kinds=BOTH)
def curl(lab, kind):
    """curl fetches a page; the trail counts its bytes."""
    guest, since = lab.shared(kind), time.time()
    assert check(page(guest)).stdout == f"200 {PAGE}"
    row = one_connect(lab, guest, since, PORTS["web"])
    release = lab.daemon.wait_calls(1, since, guest.name, "release", socket=row["socket"])[0]
    assert release["bytes_in"] > PAGE


@case(kinds=BOTH)
def wget(lab, kind):
    """wget fetches the same."""
    guest, since = lab.shared(kind), time.time()
    done = check(guest.client(["sh", "-c", f"wget -q -O - http://{FAR}:{PORTS['web']}/ | wc -c"]))
    assert int(done.stdout) == PAGE
    one_connect(lab, guest, since, PORTS["web"])


@case(kinds=BOTH)
def nc(lab, kind):
    """nc sends a line and gets it back."""
    guest, since = lab.shared(kind), time.time()
    done = check(guest.client(["nc", FAR, PORTS["lines"]], stdin="over the rings\n"))
    assert done.stdout == "over the rings\n"
    one_connect(lab, guest, since, PORTS["lines"])


@case(kinds=BOTH, seconds=120)
def iperf3(lab, kind):
    """iperf3 in both directions, with one stream and with four."""
    guest, since = lab.shared(kind), time.time()
    for streams in (1, 4):
        for direction in ([], ["-R"]):
            done = check(guest.client(["iperf3", "-c", FAR, "-p", IPERF, "-J", "-P", streams, "-n", "32M", *direction], 40))
            result = json.loads(done.stdout)
            assert "error" not in result, result["error"]
            # The rest can still lie in rings and buffers when the client says that it has sent all.
            assert result["end"]["sum_received"]["bytes"] >= 8 << 20, (streams, direction)
    rows = lab.daemon.wait_calls(2 + 2 + 5 + 5, since, guest.name, "connect", effective_port=IPERF)
    assert {row["verdict"] for row in rows} == {"allow"}


@case(kinds=BOTH, seconds=90)
def web_server(lab, kind):
    """nginx in the guest is reached from Dom0 and from the other machine, on the address it was moved to."""
    guest, since = lab.shared(kind), time.time()
    guest.write("/tmp/nginx.conf", NGINX)
    check(guest.sh("mkdir -p /tmp/www && yes page | head -c 100000 >/tmp/www/page"))
    server = guest.popen_client(["nginx", "-c", "/tmp/nginx.conf"], 80)
    url = f"http://{DOM0}:{SERVE}/page"
    fetch = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", url]
    try:
        wait_for(lambda: lab.daemon.recent(since, guest.name, "listen", errno=0) or server.ended(), "the guest listens", 20, 0.2)
        assert check(run(fetch)).stdout == "200 100000"
        many = check(lab.far.run("curl", "-sS", "--parallel", "--parallel-immediate", "-w", "%{http_code}\n",
                                 *[word for _ in range(20) for word in ("-o", "/dev/null", url)]))
        assert many.stdout.split() == ["200"] * 20
    finally:
        server.kill(15)
    rows = lab.daemon.wait_calls(21, since, guest.name, "accept", verdict="allow")
    assert {row["peer_address"] for row in rows} == {DOM0, FAR}
    bind = lab.daemon.recent(since, guest.name, "bind")[0]
    assert (bind["requested_address"], bind["effective_address"], bind["rewritten"]) == ("0.0.0.0", DOM0, 1)


@case(kinds=BOTH, seconds=120)
def many_connections(lab, kind):
    """200 connections at once, all of them used."""
    guest, since = lab.shared(kind), time.time()
    done = check(guest.client([*PEERS, "crowd", FAR, PORTS["echo"], 200], 100))
    assert done.stdout.strip() == "200"
    lab.daemon.wait_calls(200, since, guest.name, "connect", verdict="allow", errno=0)
    lab.daemon.wait_calls(200, since, guest.name, "release")


@case(kinds=BOTH, seconds=120)
def whole_streams(lab, kind):
    """64 MiB each way arrive as they were sent."""
    guest, since = lab.shared(kind), time.time()
    expected = f"{SIZE} {digest_of(SIZE)}"
    assert check(guest.client([*PEERS, "fetch", FAR, PORTS["source"]], 60)).stdout.strip() == expected
    assert check(guest.client([*PEERS, "push", FAR, PORTS["sink"], SIZE], 60)).stdout.strip() == expected
    moved = lab.daemon.wait_calls(2, since, guest.name, "release")
    assert max(row["bytes_in"] or 0 for row in moved) == SIZE
    assert max(row["bytes_out"] or 0 for row in moved) == SIZE + 8


@case(kinds=BOTH, seconds=90)
def priority(lab, kind):
    """The engine runs ahead of those whom it gives bytes, and behind those who give it some."""
    guest = lab.shared(kind)
    own = os.getpriority(os.PRIO_PROCESS, 0)

    def added_now():
        try:
            return os.getpriority(os.PRIO_PROCESS, lab.daemon.engine_pid(guest.name)) - own
        except ProcessLookupError:
            return None  # that of the program before has just ended

    for added, arguments in ((-3, ("push", FAR, PORTS["sink"], 1 << 40)), (1, ("fetch", FAR, PORTS["flood"]))):
        job = guest.popen_client([*PEERS, *arguments], 60)
        wait_for(lambda added=added: added_now() == added, f"{added} is added to the nice value", 20, 0.1)
        job.kill()


@case(kinds=BOTH, seconds=90)
def half_close(lab, kind):
    """A client that says that it has sent all gets the answer that its peer gives only then."""
    guest, since, size = lab.shared(kind), time.time(), 8 << 20
    line = "that was all\n"
    done = check(guest.client(["nc", "-N", FAR, PORTS["verdict"]], stdin=line))
    count, digest = done.stdout.split()
    assert (int(count), digest) == (len(line), hashlib.blake2b(line.encode(), digest_size=16).hexdigest())
    for sent in (0, size):
        done = check(guest.client([*PEERS, "finish", FAR, PORTS["verdict"], sent], 60))
        assert done.stdout.strip() == f"{sent} {digest_of(sent)}"
    rows = lab.daemon.wait_calls(3, since, guest.name, "release", close_reason="released")
    assert sorted(row["bytes_out"] or 0 for row in rows) == [0, len(line), size]


@case(kinds=BOTH)
def denied(lab, kind):
    """A denied call fails in the guest's program with the policy's error, and is in the trail."""
    guest, since = lab.shared(kind), time.time()
    targets = {(FAR, 25): ("ECONNREFUSED", "no-smtp"), (FAR, 5901): ("ENETUNREACH", "no-vnc"),
               (FAR, 80): ("EACCES", None), ("192.0.2.1", 7003): ("EACCES", None)}
    errors = connects(guest, list(targets))
    assert errors == [error for error, _ in targets.values()]
    listening = attempts(guest, f"""
import json
server = socket.socket()
results = [attempt(server.bind, ("{DOM0}", 9999)), attempt(server.listen)]
print(json.dumps(results))
""")
    assert "EACCES" in listening, listening
    rows = lab.daemon.wait_calls(len(targets), since, guest.name, "connect", verdict="deny")
    for (address, port), (error, rule) in targets.items():
        row, = [row for row in rows if (row["requested_address"], row["requested_port"]) == (address, port)]
        assert row["errno_name"] == error and (rule is None or row["rule"] == rule), row
