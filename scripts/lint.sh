#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Checks what no compiler checks: format, sizes, licence lines, includes that dodge the layers.
#
# usage: scripts/lint.sh   (from anywhere; prints each finding, exit status 1 if there is one)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

MAX_FILE_LINES=600
MAX_HEADER_LINES=120
MAX_FUNCTION_LINES=80
# The two public headers are contracts whose documentation is in them.
LONG_HEADERS='^include/pvcalls/(plugin|frontend)\.h$'
# A frozen copy of a released header is what it was.
FROZEN='tests/unit/policy/abi/'

found=0
say() {
	echo "lint: $*"
	found=1
}

mapfile -t sources < <(git ls-files '*.c' '*.h' | grep -v "$FROZEN")
mapfile -t scripts < <(git ls-files '*.sh' '.ci/run')
# A tree that git does not know, or does not trust, would pass unseen.
if [ "${#sources[@]}" -eq 0 ] || [ "${#scripts[@]}" -eq 0 ]; then
	say "git lists no files to check here: run it in a checkout of yours (git ls-files)"
fi

for file in "${sources[@]}"; do
	clang-format --dry-run --Werror "$file" 2>/dev/null || say "$file: run clang-format -i on it"
	head -n 1 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-or-later' ||
		say "$file:1: the SPDX line is missing"
	lines=$(wc -l <"$file")
	limit=$MAX_FILE_LINES
	case "$file" in
	tests/*) ;; # what tests share is code in headers, too
	*.h) echo "$file" | grep -qE "$LONG_HEADERS" || limit=$MAX_HEADER_LINES ;;
	esac
	[ "$lines" -le "$limit" ] || say "$file: $lines lines, at most $limit are allowed"
done

git grep -nE '#include "\.\.?/' -- '*.c' '*.h' && say "the includes above go around the layers"
# The compiler also looks beside the including file, where no layer is asked.
while IFS=: read -r file line include; do
	include=${include#*\"}
	[ -e "daemon/${include%\"*}" ] || say "$file:$line: an include is named by its path from daemon/"
done < <(git grep -nE '^#include "' -- 'daemon/*.c' 'daemon/*.h')
git grep -nE '#include [<"]' -- include/pvcalls/plugin.h | grep -vE '<std(def|int)\.h>' &&
	say "include/pvcalls/plugin.h may include <stdint.h> and <stddef.h> only"

while IFS=$'\t' read -r name file rest; do
	start=$(sed -nE 's/.*line:([0-9]+).*/\1/p' <<<"$rest")
	end=$(sed -nE 's/.*end:([0-9]+).*/\1/p' <<<"$rest")
	[ $((end - start + 1)) -le $MAX_FUNCTION_LINES ] ||
		say "$file:$start: $name has $((end - start + 1)) lines, at most $MAX_FUNCTION_LINES are allowed"
done < <(printf '%s\n' "${sources[@]}" |
	ctags -L - -f - --kinds-C=f --fields=+ne --sort=no 2>/dev/null)

[ "${#scripts[@]}" -eq 0 ] || shellcheck "${scripts[@]}" || say "shellcheck has findings"

exit $found
