#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the plugin ABI promises and the linker can show: each plugin exports `pvcalls_plugin` and nothing
# else, needs nothing of the daemon, and has no writable variables of its own.
#
# usage: scripts/plugin-symbols.sh FOLDER
set -uo pipefail

found=0
count=0
for plugin in "$1"/*.so; do
	count=$((count + 1))
	exported=$(nm -D --defined-only "$plugin" | awk '{print $3}' | tr '\n' ' ')
	[ "$exported" = "pvcalls_plugin " ] || {
		echo "$plugin exports $exported: pvcalls_plugin alone is allowed"
		found=1
	}
	needs=$(nm -D --undefined-only "$plugin" | grep -E ' (policy|audit|call|loop|engine|meter)_')
	[ -z "$needs" ] || {
		echo "$plugin needs functions of the daemon: $needs"
		found=1
	}
	# Tables of pointers (.data.rel.ro) are read-only once loaded; completed.0 and __dso_handle are
	# the C runtime's own.
	writable=$(objdump -t "$plugin" | awk '/ O \.(data|bss)\t/ { print $NF }' |
		grep -vE '^(completed\.0|__dso_handle|__TMC_END__)$')
	[ -z "$writable" ] || {
		echo "$plugin has writable variables: $writable"
		found=1
	}
done
[ "$count" -gt 0 ] || {
	echo "no plugin in $1"
	exit 1
}
exit $found
