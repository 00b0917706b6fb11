#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Starts a test as root in such a way that the test can become another user who runs programs of the
# build, and that the daemon loads the build's plugins and runs its programs.
#
# usage: tests/launcher.sh PROGRAM [ARGUMENT...]      ctest starts each unit test this way
#
# Two things may stand against that; for either, PROGRAM gets a mount namespace, so that every path stays
# what it is and nothing changes outside:
#   A home directory is closed to others (Debian gives it mode 0700). An empty folder comes over it,
#   with the checkout at the old path in it. The rest of the closed folder can't be seen from inside.
#   The checkout is another user's. Root runs no program and loads no plugin and no policy that others
#   could change, so copies that are root's come over those folders.
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

# Lays an empty folder over one; descriptor 9 is then the way to what lies below.
cover() { # FOLDER
	exec 9<"$1"
	mount -t tmpfs -o mode=755 tmpfs "$1"
}

open_the_way() { # CLOSED
	exec 8<"$checkout"
	cover "$1"
	mkdir -p "$checkout"
	# Not canonical: the descriptor's path leads to what has just been covered.
	mount --no-canonicalize --rbind /proc/self/fd/8 "$checkout"
	exec 8<&- 9<&-
}

own() { # FOLDER...
	local folder
	for folder in "$@"; do
		[ -d "$folder" ] || continue
		cover "$folder"
		cp -r /proc/self/fd/9/. "$folder"
		exec 9<&-
	done
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
fi
if [ -z "$closed" ] && [ -O "$checkout" ]; then
	exec "$@"
fi
if [ "${PVCALLS_TESTS_UNSHARED-}" != 1 ]; then
	PVCALLS_TESTS_UNSHARED=1 exec unshare --mount -- "$self" "$@"
fi
unset PVCALLS_TESTS_UNSHARED
umask 022
shopt -s nullglob
mapfile -t plugins < <(printf '%s\n' "$checkout"/build/*/{,*/}*/*.so | sed 's|/[^/]*$||' | sort -u)
[ -z "$closed" ] || open_the_way "$closed"
[ -O "$checkout" ] || own "$checkout/policies" "$checkout"/build/*/bin "${plugins[@]}"
cd "$PWD" 2>/dev/null || cd "$checkout"
exec "$@"
