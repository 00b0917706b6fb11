#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Measures pvcallsd against plain loopback TCP and other user-space networks; see README.md.
# Everything happens in a network namespace of its own, so no address of the machine is touched.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" != 0 ]; then
	echo "run.sh: needs root, for a network namespace of its own: use sudo" >&2
	exit 5
fi
exec unshare --net --mount -- python3 -B "$here/run.py" "$@"
