#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Shows the whole way of a call on this machine: builds, starts the daemon on the local transport in a
# private directory, runs curl as a guest (allowed, denied and rewritten), shows the trail, stops.
#
# usage: ./demo.sh      as root or with sudo; needs no Xen; leaves nothing behind but build/
set -euo pipefail
cd "$(dirname "$0")"

if [ "${1-}" != --built ]; then
	scripts/need.sh scripts/packages/build.txt scripts/packages/demo.txt
	echo "-- building (build/release)"
	mkdir -p build
	if ! { cmake --preset release && cmake --build --preset release; } >build/demo.log 2>&1; then
		tail -n 40 build/demo.log
		echo "demo.sh: the build failed, see build/demo.log" >&2
		exit 1
	fi
fi
if [ "$(id -u)" -ne 0 ]; then
	exec sudo "$0" --built
fi

dir=$(mktemp -d /tmp/pvcalls-demo.XXXXXX)
bin=$dir/bin
server=
daemon=

finish() {
	[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT

until_true() { # COMMAND...: repeats it for at most 10 s
	local tries=200
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || {
			echo "demo.sh: gave up waiting for: $*" >&2
			cat "$dir"/*.log >&2
			exit 1
		}
		sleep 0.05
	done
}

mkdir "$dir/policy.d" "$dir/state" "$dir/run" "$dir/www"
# Root runs no program and loads no plugin that another user could change.
cp -r build/release/bin build/release/plugins "$dir"
echo 'Hello from the host.' >"$dir/www/index.html"
/usr/bin/python3 - "$dir/www" >"$dir/server.log" 2>&1 <<'EOF' &
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
EOF
server=$!
until_true grep -qE '^[0-9]+$' "$dir/server.log"
port=$(head -n 1 "$dir/server.log")

# What the guest may do. The server is on the host's loopback, which host rules deny to every
# guest unless a policy opens it by name.
cat >"$dir/policy.d/demo.yaml" <<EOF
version: 1
name: demo
match:
  name: "demo"
default: deny
floor:
  allow:
    - {on: connect, to: {net: [127.0.0.1/32], ports: [$port]}}
chain:
  - plugin: log
    calls: all
  - plugin: rewrite
    rewrites:
      - {id: to-the-server, on: connect, to: {net: [192.0.2.1/32], ports: [80]}, set: {address: 127.0.0.1, port: $port}}
  - plugin: filter
    rules:
      - {id: the-server, on: connect, to: {net: [127.0.0.1/32], ports: [$port]}, verdict: allow}
EOF
echo "-- the guest's policy:"
sed 's/^/   /' "$dir/policy.d/demo.yaml"

"$bin/pvcallsd" --transport local --foreground --policy-dir "$dir/policy.d" \
	--plugin-dir "$dir/plugins" --state-dir "$dir/state" --runtime-dir "$dir/run" >"$dir/daemon.log" 2>&1 &
daemon=$!
until_true "$bin/pvcallsctl" --runtime-dir "$dir/run" status

as_guest() {
	echo "\$ pvcalls-run --name demo -- $*"
	"$bin/pvcalls-run" --runtime-dir "$dir/run" --name demo -- "$@"
}

echo "-- allowed: rule the-server"
as_guest curl -sS --max-time 10 "http://127.0.0.1:$port/"
echo "-- denied: no rule allows port 9"
if as_guest curl -sS --max-time 10 "http://198.51.100.7:9/"; then
	echo "demo.sh: a call that no rule allows went through" >&2
	exit 1
fi
echo "-- rewritten: 192.0.2.1:80 becomes 127.0.0.1:$port"
as_guest curl -sS --max-time 10 http://192.0.2.1/

# Rows reach the disk some milliseconds after the call (durability: crash).
releases_stored() {
	[ "$("$bin/pvcalls-audit" --trail "$dir/state/audit" --all -o jsonl --op release | wc -l)" -eq 3 ]
}
until_true releases_stored
echo "-- the trail (pvcalls-audit):"
"$bin/pvcalls-audit" --trail "$dir/state/audit" --all -o table

kill "$daemon"
wait "$daemon"
daemon=
echo "-- stopped"
