#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Starts a test so that it can become another user and, as that user, run programs of the build.
#
# usage: tests/launcher.sh PROGRAM [ARGUMENT...]      ctest starts each unit test this way
#
# A home directory is closed to others (Debian gives it mode 0700), and so is a checkout in it. Then root
# gets a mount namespace for PROGRAM in which an empty folder lies over the closed one and the checkout is
# at its old path in it: nothing is copied, each path that was compiled in holds, and nothing changes
# outside. The rest of the closed folder can't be seen from inside.
#
# With PVCALLS_TESTS_SUDO=1 an ordinary user's tests run as root, by sudo; ./test.sh sets it. Without it,
# they run as that user, and those that need root say that they were not run.
set -euo pipefail
self=$(realpath "$0")
checkout=${self%/tests/*}

# Prints the first folder on the way to a path that others may not pass; the path itself counts, too.
closed_on_the_way() { # PATH
	local folder='' part parts
	IFS=/ read -ra parts <<<"${1#/}"
	for part in "${parts[@]}"; do
		folder=$folder/$part
		if [ $(($(stat -c '0%a' "$folder") & 1)) -eq 0 ]; then
			echo "$folder"
			return
		fi
	done
}

# Lays an empty folder over one that is closed; in a mount namespace of its own.
open_the_way() { # CLOSED
	local here=$PWD
	umask 022
	exec 9<"$checkout"
	mount -t tmpfs -o mode=755 tmpfs "$1"
	mkdir -p "$checkout"
	# Not canonical: the descriptor's path leads to what has just been covered.
	mount --no-canonicalize --rbind /proc/self/fd/9 "$checkout"
	exec 9<&-
	cd "$here" 2>/dev/null || cd "$checkout"
}

if [ "$(id -u)" -ne 0 ]; then
	[ "${PVCALLS_TESTS_SUDO-}" = 1 ] || exec "$@"
	kept=()
	for name in CI PVCALLS_BUILD ASAN_OPTIONS UBSAN_OPTIONS; do
		[ -z "${!name+set}" ] || kept+=("$name=${!name}")
	done
	# Who ends sudo ends the test: an ordinary user can't signal it.
	exec sudo -- env "${kept[@]}" setpriv --pdeathsig KILL -- "$self" "$@"
fi

closed=$(closed_on_the_way "$checkout")
if [ "$closed" = "$checkout" ]; then
	echo "launcher.sh: others may not enter $checkout: chmod -R go+rX it" >&2
	exit 5
elif [ -n "$closed" ]; then
	if [ "${PVCALLS_TESTS_UNSHARED-}" != 1 ]; then
		PVCALLS_TESTS_UNSHARED=1 exec unshare --mount -- "$self" "$@"
	fi
	unset PVCALLS_TESTS_UNSHARED
	open_the_way "$closed"
fi
exec "$@"
