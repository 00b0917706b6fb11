#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a folder the root of this mount namespace and runs a command there, as the first process of
# its PID namespace: whatever the command leaves running ends with it.
#
# usage: unshare --mount --pid --fork --kill-child --uts -- tests/fresh/pivot.sh ROOT COMMAND [ARGUMENT...]
#
# Not chroot: in a process whose root is not that of its mount namespace the kernel refuses user
# namespaces, which pvcalls-run and the daemon's children need. Devices are those that any machine has.
set -euo pipefail
root=$1
shift

mount --bind "$root" "$root" # the new root has to be a mount
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"

mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for name in null zero full random urandom tty; do
	touch "$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"
done

hostname fresh
printf '127.0.0.1 localhost\n127.0.1.1 fresh\n::1 localhost\n' >"$root/etc/hosts"
echo fresh >"$root/etc/hostname"

# The old root lands on top of the new one, and is taken off.
cd "$root"
pivot_root . .
umount --lazy .
cd /
# Not exec: as process 1 the shell also reaps what others leave.
"$@"
