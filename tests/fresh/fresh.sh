#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Tries README's two commands where nobody has installed anything: in a minimal Debian 12, as an
# ordinary user with sudo whose home is closed to others (mode 0700).
#
# usage: tests/fresh/fresh.sh [STAGE...]     as root or with sudo; ./test.sh fresh calls it
#
# debootstrap makes the system from the mirror that this machine's apt uses; what is committed is cloned
# into the user's home; pivot.sh enters the system; there the user runs ./demo.sh and then ./test.sh with
# the stages gcc and e2e, or those given. A package that no list of scripts/packages/ has is missing
# there, and the run fails.
#
# All of it lies in build/fresh/ and goes with it. The minimal system (base.tar, at most a week), the
# packages that were fetched (debs/) and the logs of the stages (logs/) stay there, the system itself does
# not. Mounts and processes end with their namespaces, however this ends. The network is the machine's.
set -euo pipefail

SUITE=bookworm
BASE_DAYS=7 # how long a minimal system is used again
USER_NAME=newcomer

here=$(dirname "$(realpath "$0")")
checkout=$(realpath "$here/../..")
work=$checkout/build/fresh
root=$work/root
home=$root/home/$USER_NAME

say() {
	echo "fresh.sh: $*"
}

# As whoever calls, not by sudo, so that what it makes is his.
clone() {
	mkdir -p "$work"
	rm -rf "$work/clone"
	[ -z "$(git -C "$checkout" status --porcelain)" ] ||
		say "what is not committed is not part of the clone"
	# The other side of a clone is told anew whom to trust; see test.sh.
	git clone --quiet --depth 1 --upload-pack 'git -c safe.directory=* upload-pack' \
		"file://$checkout" "$work/clone"
}

# Prints "URI SUITE" of each source of apt that is Debian's own of this suite, the suite itself first.
sources() {
	# The fields are apt's, not the shell's.
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$SUITE" '$1 == "main" && $2 ~ "^" suite "(-updates|-security)?$" { print $3, $2 }' |
		sort -u -k 2
}

# Makes $work/base.tar, unless there is a recent one from this mirror.
make_base() { # MIRROR
	local base=$work/base.tar include=sudo
	if [ -e "$base" ] && [ "$(cat "$work/base.mirror")" = "$1" ] &&
		[ -n "$(find "$base" -mtime "-$BASE_DAYS")" ]; then
		return
	fi
	say "debootstrap, $SUITE"
	case $1 in https:*) include+=,ca-certificates ;; esac
	rm -rf "$base" "$root"
	debootstrap --variant=minbase --include="$include" "$SUITE" "$root" "$1" >"$work/debootstrap.log" ||
		{
			tail -n 20 "$work/debootstrap.log"
			return 1
		}
	rm -f "$root"/var/cache/apt/archives/*.deb
	echo "$1" >"$work/base.mirror"
	tar --one-file-system -C "$root" -cf "$base.new" .
	mv "$base.new" "$base"
}

# The machine's sources, proxies and other ways to a mirror; its name servers; the packages of last time.
reach_mirror() {
	local uri suite
	sources | while read -r uri suite; do
		echo "deb $uri $suite main"
	done >"$root/etc/apt/sources.list"
	{
		apt-config dump | grep -E '^Acquire::(https?|Check-|Retries|Force)' || true
		echo "Acquire::http::Proxy \"${http_proxy-}\"; Acquire::https::Proxy \"${https_proxy-}\";"
	} >"$root/etc/apt/apt.conf.d/80machine"
	cat /etc/resolv.conf >"$root/etc/resolv.conf"
	if [ -e "$root/etc/ssl/certs/ca-certificates.crt" ] && [ -e /etc/ssl/certs/ca-certificates.crt ]; then
		cat /etc/ssl/certs/ca-certificates.crt >"$root/etc/ssl/certs/ca-certificates.crt"
	fi
	# A system that is thrown away need not reach the disk.
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
	[ ! -d "$work/debs" ] || cp -l "$work"/debs/*.deb "$root/var/cache/apt/archives/"
}

add_user() {
	chroot "$root" useradd --create-home --shell /bin/bash "$USER_NAME"
	chmod 700 "$home"
	echo "$USER_NAME ALL=(ALL:ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$USER_NAME"
	mv "$work/clone" "$home/pvcalls"
	chroot "$root" chown -R "$USER_NAME:$USER_NAME" "/home/$USER_NAME/pvcalls"
}

# The packages and logs stay, what stays is the caller's, and the system goes.
finish() {
	rm -rf "$work/logs"
	cp -r "$home/pvcalls/build/logs" "$work/logs" 2>/dev/null || true
	if [ -n "$(ls "$root/var/cache/apt/archives")" ]; then
		rm -rf "$work/debs"
		mkdir "$work/debs"
		cp -l "$root"/var/cache/apt/archives/*.deb "$work/debs/" || true
	fi
	chown -R --reference="$work" "$work"/{debs,logs} "$work"/*.* 2>/dev/null || true
	rm -rf "$root"
}

# Under CI, a test for which something is missing fails instead of being skipped.
enter() { # COMMAND: of the user's shell, in the folder of the clone
	unshare --mount --pid --fork --kill-child --uts -- "$here/pivot.sh" "$root" \
		runuser -l "$USER_NAME" -c "cd pvcalls && CI=true $1" </dev/null
}

run() { # STAGE...
	local mirror _
	read -r mirror _ < <(sources) || {
		say "apt's sources name no mirror of Debian $SUITE" >&2
		exit 5
	}
	# What apt is told of proxies debootstrap has from the environment.
	eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
	export http_proxy https_proxy
	make_base "$mirror"
	rm -rf "$root"
	trap finish EXIT
	mkdir "$root"
	tar -C "$root" -xf "$work/base.tar"
	reach_mirror
	add_user
	say "./demo.sh"
	enter ./demo.sh
	say "./test.sh $*"
	enter "./test.sh $*"
}

as_root=
if [ "${1-}" = --as-root ]; then
	as_root=1
	shift
fi
[ $# -gt 0 ] || set -- gcc e2e
[ -n "$as_root" ] || clone
if [ "$(id -u)" -ne 0 ]; then
	exec sudo -- env "http_proxy=${http_proxy-}" "https_proxy=${https_proxy-}" \
		"$here/fresh.sh" --as-root "$@"
fi
run "$@"
