#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what is missing of the Debian packages listed in the given files, as root or with sudo.
#
# usage: scripts/need.sh LIST...
#
# Services that come with packages (nginx, redis) are not started: a temporary policy-rc.d says so.
set -euo pipefail

LOCK_SECONDS=300 # how long another apt-get is waited for

missing=()
while read -r package; do
	[ -n "$package" ] || continue
	if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
		missing+=("$package")
	fi
done < <(cat -- "$@" | sort -u)
[ "${#missing[@]}" -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "need.sh: these packages are missing: ${missing[*]}; run this as root or install sudo" >&2
		exit 5
	}
	as_root=(sudo)
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=

finish() {
	rm -f "$log"
	[ -z "$made_policy" ] || "${as_root[@]}" rm -f "$policy"
}
trap finish EXIT

# Runs apt-get; what it says goes to the log.
apt() { # ARGUMENT...
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 \
		-o DPkg::Lock::Timeout=$LOCK_SECONDS "$@" >"$log" 2>&1 </dev/null
}

# apt-get waits for the lock of the package database, but not for that of the package lists.
renew_lists() {
	local end=$((SECONDS + LOCK_SECONDS))
	until apt update; do
		grep -q 'Could not get lock' "$log" && [ "$SECONDS" -lt "$end" ] || return 1
		sleep 2
	done
}

if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	made_policy=1
	"${as_root[@]}" chmod 755 "$policy"
fi

echo "need.sh: installing ${missing[*]}"
renew_lists || {
	tail -n 20 "$log" >&2
	echo "need.sh: apt-get update failed; going on with the package lists that are there" >&2
}
apt install -y --no-install-recommends "${missing[@]}" || {
	tail -n 20 "$log" >&2
	echo "need.sh: apt-get could not install ${missing[*]}; see above why," \
		"mend the network or /etc/apt, and run this again" >&2
	exit 5
}
