#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# no_statics.sh NM PLUGIN: fails if the plugin has writable data of its own, or exports anything but
# its descriptor. What the compiler's start files bring along is known by name.
set -eu
found=$("$1" -f sysv "$2" | awk -F'|' '
	{ name = $1; class = $3; section = $7; gsub(/ /, "", name); gsub(/ /, "", section) }
	section !~ /^\.(data|bss)$/ { next }
	name ~ /^(completed\.[0-9]+|__dso_handle|__TMC_END__|__bss_start|_edata|_end|\.data|\.bss)$/ { next }
	{ print name }')
if [ -n "$found" ]; then
	echo "$2: writable data: $found"
	exit 1
fi
exported=$("$1" -D --defined-only "$2" | awk '{ print $NF }' | grep -v '^pvcalls_plugin$' || true)
if [ -n "$exported" ]; then
	echo "$2: exports beside pvcalls_plugin: $exported"
	exit 1
fi
