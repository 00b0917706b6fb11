# SPDX-License-Identifier: GPL-2.0-or-later
"""Ordinary clients, unmodified, as guests of an allowing policy; the trail agrees with them."""
import http.server
import json
import os
import pty
import re
import select
import ssl
import sys
import threading
import time

import pytest

from harness import HERE, check, free_port, peers, run, running, wait_for
from peers import digest_of

pytestmark = pytest.mark.root

BODY = bytes(range(256)) * 4096  # 1 MiB


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_PUT(self):
        size = int(self.headers["Content-Length"])
        same = self.rfile.read(size) == BODY
        answer = b"same\n" if same else b"other\n"
        self.send_response(201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    """An HTTP server on 127.0.0.1; yields its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1, of its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    check(run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
               "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]))
    return folder


@pytest.fixture
def secure_web(certificate):
    """The same over TLS; yields port and certificate."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], str(certificate / "cert.pem")
    server.shutdown()
    server.server_close()


def one_connection(daemon, guest, port):
    """The connect and the release of a guest's only connection, after it has gone."""
    daemon.settle()
    connects = daemon.calls(guest, "connect")
    releases = [row for row in daemon.calls(guest, "release") if row["socket"] == connects[0]["socket"]]
    assert len(connects) == 1 and len(releases) == 1, (connects, releases)
    assert connects[0]["verdict"] == "allow" and connects[0]["errno"] == 0
    assert (connects[0]["effective_address"], connects[0]["effective_port"]) == ("127.0.0.1", port)
    return connects[0], releases[0]


@pytest.mark.needs("curl")
def test_curl_download(daemon, web):
    """curl over http; the trail counts the bytes curl counted."""
    done = check(daemon.run("curl", ["curl", "-sS", "-o", "/dev/null", "-w",
                                     "%{http_code} %{size_download} %{size_header} %{size_request}", f"http://127.0.0.1:{web}/"]))
    code, body, header, request = map(int, done.stdout.split())
    assert (code, body) == (200, len(BODY))
    _, release = one_connection(daemon, "curl", web)
    assert release["bytes_in"] == body + header
    assert release["bytes_out"] == request


@pytest.mark.needs("curl")
def test_curl_upload(daemon, web, tmp_path):
    """curl sends a file whole."""
    file = tmp_path / "body"
    file.write_bytes(BODY)
    done = check(daemon.run("curl", ["curl", "-sS", "-T", str(file), "-w", "%{size_upload} %{size_request}",
                                     f"http://127.0.0.1:{web}/x"]))
    answer, sizes = done.stdout.split("\n")
    upload, request = map(int, sizes.split())
    assert answer == "same" and upload == len(BODY)
    _, release = one_connection(daemon, "curl", web)
    assert release["bytes_out"] == (request if request > upload else request + upload)


@pytest.mark.needs("curl", "openssl")
def test_curl_https(daemon, secure_web):
    """curl over https, the certificate checked."""
    port, certificate = secure_web
    done = check(daemon.run("curl", ["curl", "-sS", "--cacert", certificate, "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
                                     f"https://127.0.0.1:{port}/"]))
    assert done.stdout == f"200 {len(BODY)}"
    _, release = one_connection(daemon, "curl", port)
    assert release["bytes_in"] > len(BODY)


@pytest.mark.needs("curl")
def test_curl_parallel(daemon, web):
    """Twenty transfers of one curl at once."""
    done = check(daemon.run("curl", ["curl", "-sS", "--parallel", "--parallel-max", "20", "--parallel-immediate",
                                     "-w", "%{size_download}\n", *[f"http://127.0.0.1:{web}/{n}" for n in range(20)],
                                     *["-o", "/dev/null"] * 20]))
    assert done.stdout.split() == [str(len(BODY))] * 20
    daemon.settle()
    moved = sum(row["bytes_in"] or 0 for row in daemon.calls("curl", "release"))
    assert moved > 20 * len(BODY)


@pytest.mark.needs("wget")
def test_wget(daemon, web, tmp_path):
    """wget fetches the same bytes."""
    file = tmp_path / "out"
    check(daemon.run("wget", ["wget", "-q", "-O", str(file), f"http://127.0.0.1:{web}/"]))
    assert file.read_bytes() == BODY
    _, release = one_connection(daemon, "wget", web)
    assert release["bytes_in"] > len(BODY)


@pytest.mark.needs("curl")
@pytest.mark.needs("nc")
def test_nc_that_waits_for_the_answer(daemon):
    """nc -N says that its input has ended, and gets what the server answers to that."""
    port = free_port()
    with running(peers("verdict", port), port=port):
        done = check(daemon.run("nc", ["sh", "-c", f"echo that was all | nc -N 127.0.0.1 {port}"]))
    assert done.stdout.startswith("13 ")
    _, release = one_connection(daemon, "nc", port)
    assert (release["bytes_out"], release["bytes_in"]) == (13, len(done.stdout))


def test_connection_refused(daemon):
    """A port where nobody listens: the program sees ECONNREFUSED, the trail that it was allowed."""
    port = free_port()
    done = daemon.run("curl", ["curl", "-sS", f"http://127.0.0.1:{port}/"])
    assert done.returncode == 7, done.stderr
    daemon.settle()
    row, = daemon.calls("curl", "connect")
    assert (row["verdict"], row["errno_name"]) == ("allow", "ECONNREFUSED")


@pytest.mark.needs("iperf3")
@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_iperf3(daemon, streams, direction):
    """iperf3 in both directions with one and with eight streams; its sums are the trail's."""
    port = free_port()
    amount = 32 << 20
    options = ["-R"] if direction == "down" else []
    with running(["iperf3", "-s", "-1", "-p", str(port)]) as server:
        # not by connecting: iperf3 would take that for its only client
        wait_for(lambda: _listening(port, server), "iperf3 listens")
        done = check(daemon.run("iperf", ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-J", "-P", str(streams),
                                          "-n", str(amount), *options]))
        server.wait(20)
    result = json.loads(done.stdout)
    assert "error" not in result
    sent, got = result["end"]["sum_sent"]["bytes"], result["end"]["sum_received"]["bytes"]
    assert sent >= amount // 2
    daemon.settle()
    connects = daemon.calls("iperf", "connect")
    assert len(connects) == streams + 1 and {row["verdict"] for row in connects} == {"allow"}
    releases = daemon.calls("iperf", "release")
    moved = sorted(row["bytes_out" if direction == "up" else "bytes_in"] or 0 for row in releases)[-streams:]
    # What iperf3 counts as sent may still be under way when its test ends; each stream begins with
    # a cookie of 37 bytes.
    low, high = (got, sent + 37 * streams) if direction == "up" else (got, max(sent, got) + (1 << 20))
    assert low <= sum(moved) <= high, f"the trail has {sum(moved)}, iperf3 sent {sent} and received {got}"


def _listening(port, process):
    assert process.poll() is None
    with open("/proc/net/tcp6", encoding="ascii") as six, open("/proc/net/tcp", encoding="ascii") as four:
        return f":{port:04X} 00000000" in (text := six.read() + four.read()) and " 0A " in text


@pytest.mark.needs("redis-server", "redis-benchmark")
def test_redis_benchmark(daemon, tmp_path):
    """redis-benchmark with 50 connections; the server has seen each request."""
    port = free_port()
    with running(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)], port=port):
        done = check(daemon.run("redis", ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-n", "5000", "-c", "50", "-q",
                                          "-t", "set,get,lpush", "--csv"]))
        info = check(run(["redis-cli", "-p", str(port), "info", "commandstats"])).stdout
    assert len(done.stdout.splitlines()) == 4, done.stdout
    for command in ("set", "get", "lpush"):
        assert int(re.search(rf"cmdstat_{command}:calls=(\d+)", info)[1]) == 5000
    daemon.settle()
    connects = daemon.calls("redis", "connect")
    assert len(connects) >= 150 and {row["errno"] for row in connects} == {0}
    assert len(daemon.calls("redis", "release")) == len(daemon.calls("redis", "socket"))


GO = """
package main
import ("fmt"; "io"; "net"; "os"; "sync")
func main() {
	var wait sync.WaitGroup
	var lock sync.Mutex
	total := 0
	for i := 0; i < 20; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			c, err := net.Dial("tcp4", os.Args[1])
			if err != nil { fmt.Println(err); os.Exit(1) }
			data, err := io.ReadAll(c)
			if err != nil { fmt.Println(err); os.Exit(1) }
			c.Close()
			lock.Lock(); total += len(data); lock.Unlock()
		}()
	}
	wait.Wait()
	fmt.Println(total)
}
"""


@pytest.fixture(scope="module")
def go_program(tmp_path_factory):
    """A static binary that speaks to the kernel without any C library."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOCACHE": str(folder / "cache"), "GO111MODULE": "off", "GOFLAGS": "-p=2"}
    check(run(["go", "build", "-o", str(folder / "client"), str(folder / "main.go")], env=environment, timeout=110))
    with open(folder / "client", "rb") as binary:
        assert b"ld-linux" not in binary.read(4096), "the binary is static"
    return str(folder / "client")


@pytest.mark.needs("go")
def test_static_go_binary(daemon, go_program):
    """A static Go binary with twenty goroutines: no library is there to be replaced."""
    port = free_port()
    with running(peers("source", port, 300_000), port=port):
        done = check(daemon.run("go", [go_program, f"127.0.0.1:{port}"]))
    assert done.stdout.strip() == str(20 * 300_000)
    daemon.settle()
    assert len(daemon.calls("go", "connect")) == 20
    assert sum(row["bytes_in"] or 0 for row in daemon.calls("go", "release")) == 20 * 300_000


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """An SSH server for root with a key; yields port and key."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        check(run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]))
    os.rename(folder / "user.pub", folder / "authorized")
    os.makedirs("/run/sshd", exist_ok=True)
    port = free_port()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PermitRootLogin yes\nUsePAM no\nStrictModes no\nPidFile none\nSubsystem sftp internal-sftp\n")
    with running(["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")], port=port):
        yield port, str(folder / "user")


def ssh_command(port, key, *rest):
    return ["ssh", "-F", "none", "-i", key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", *rest]


@pytest.mark.needs("ssh", "sshd")
def test_ssh_interactive(daemon, sshd):
    """An interactive ssh session on a terminal: prompts, echo, a full-screen size, an exit status."""
    port, key = sshd
    main, other = pty.openpty()
    try:
        guest = daemon.popen("ssh", ssh_command(port, key, "-tt", "root@127.0.0.1", "PS1=READY: exec sh -i"),
                             stdin=other, stdout=other, stderr=other)
        os.close(other)
        screen = b""

        def see(text, seconds=20):
            nonlocal screen
            end = time.monotonic() + seconds
            while text not in screen:
                assert time.monotonic() < end, f"{text} is not on the screen: {screen!r}"
                if select.select([main], [], [], 0.1)[0]:
                    screen += os.read(main, 4096)
            screen = screen.split(text, 1)[1]

        see(b"READY:")
        for number in range(5):
            os.write(main, f"echo one-$(({number}+1))-two\n".encode())
            see(f"one-{number + 1}-two".encode())
        os.write(main, b"tty && exit 42\n")
        see(b"/dev/pts/")
        assert guest.wait(20) == 42
    finally:
        os.close(main)
    daemon.settle()
    row, = daemon.calls("ssh", "connect")
    assert row["effective_port"] == port


@pytest.mark.needs("ssh", "sshd")
def test_ssh_pipe(daemon, sshd):
    """20 MiB through ssh and back, with ssh's own checks of each packet."""
    port, key = sshd
    size = 20 << 20
    command = " ".join(ssh_command(port, key, "root@127.0.0.1", "cat"))
    done = check(daemon.run("ssh", ["bash", "-c", f"head -c {size} /dev/urandom | tee >(md5sum >&2) | {command} | md5sum"], timeout=100))
    assert done.stdout == done.stderr


@pytest.mark.limit(180)
def test_thousand_connections(daemon):
    """1,000 connections of one guest at once; each carries its bytes."""
    port = free_port()
    with running(peers("echo", port), port=port):
        done = check(daemon.run("crowd", peers("crowd", "127.0.0.1", port, 1000), timeout=120))
    assert done.stdout.strip() == "1000"
    daemon.settle()
    connects = daemon.calls("crowd", "connect")
    assert len(connects) == 1000 and {row["errno"] for row in connects} == {0}
    releases = daemon.calls("crowd", "release")
    assert sorted((row["bytes_in"], row["bytes_out"]) for row in releases)[-1000:] == [(8, 8)] * 1000


def test_many_short_connections(daemon):
    """A thousand connections one after the other, with a guest that uses the same ports again."""
    port = free_port()
    code = f"""
for number in range(1000):
    with socket.create_connection(('127.0.0.1', {port})) as c:
        assert c.makefile().readline().startswith('127.0.0.1:')
print('all')
"""
    with running(peers("greet", port), port=port):
        done = check(daemon.python("short", code))
    assert done.stdout == "all\n"
    daemon.settle()
    assert len(daemon.calls("short", "connect", errno=0)) == 1000


def test_digest_is_of_the_stream():
    """The tests' own measure: a stream with two blocks swapped has another digest."""
    size = 3 << 20
    assert digest_of(size, 1) != digest_of(size, 2)
    assert digest_of(size, 1) != digest_of(size - 1, 1)
    code = f"import sys; sys.path.insert(0, {HERE!r}); import peers; print(peers.digest_of({size}))"
    assert check(run([sys.executable, "-c", code])).stdout.strip() == digest_of(size)
