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
LONG_HEADERS='^include/pvcalls/(plugin|frontend)[.]h$'
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

# Prints each line that it reads as a finding.
say_each() {
	local line
	while IFS= read -r line; do
		say "$line"
	done
}

format=$(printf '%s\0' "${sources[@]}" |
	xargs -0 -n 32 -P "$(nproc)" clang-format --dry-run --Werror 2>&1) || {
	say "clang-format has findings: run clang-format -i on these files"
	# What is no finding, such as a program that is not there, is shown as it is.
	say_each < <(sed -nE -e 's/^([^:]+):[0-9]+:[0-9]+: error.*/\1/p' -e '/^(xargs|clang-format): /p' \
		<<<"$format" | sort -u)
}

for file in "${sources[@]}"; do
	[ -s "$file" ] || say "$file:1: the SPDX line is missing"
done
# What tests share is code in headers, too.
say_each < <(awk -v most="$MAX_FILE_LINES" -v most_header="$MAX_HEADER_LINES" -v long="$LONG_HEADERS" '
	function end_file(    limit) {
		limit = file ~ /\.h$/ && file !~ /^tests\// && file !~ long ? most_header : most
		if (lines > limit)
			print file ": " lines " lines, at most " limit " are allowed"
	}
	FNR == 1 {
		if (file)
			end_file()
		file = FILENAME
		if (!/SPDX-License-Identifier: GPL-2.0-or-later/)
			print file ":1: the SPDX line is missing"
	}
	{ lines = FNR }
	END { end_file() }' "${sources[@]}")

git grep -nE '#include "\.\.?/' -- '*.c' '*.h' && say "the includes above go around the layers"
# The compiler also looks beside the including file, where no layer is asked.
while IFS=: read -r file line include; do
	include=${include#*\"}
	[ -e "daemon/${include%\"*}" ] || say "$file:$line: an include is named by its path from daemon/"
done < <(git grep -nE '^#include "' -- 'daemon/*.c' 'daemon/*.h')
git grep -nE '#include [<"]' -- include/pvcalls/plugin.h | grep -vE '<std(def|int)\.h>' &&
	say "include/pvcalls/plugin.h may include <stdint.h> and <stddef.h> only"

say_each < <(printf '%s\n' "${sources[@]}" |
	ctags -L - -f - --kinds-C=f --fields=+ne --sort=no 2>/dev/null |
	awk -F '\t' -v most="$MAX_FUNCTION_LINES" '
		END {
			if (!NR)
				print "ctags lists no function here: install universal-ctags"
		}
		{
			start = end = 0
			for (i = 4; i <= NF; i++) {
				if ($i ~ /^line:/)
					start = substr($i, 6)
				if ($i ~ /^end:/)
					end = substr($i, 5)
			}
			if (end - start + 1 > most)
				print $2 ":" start ": " $1 " has " end - start + 1 \
					" lines, at most " most " are allowed"
		}')

[ "${#scripts[@]}" -eq 0 ] || shellcheck "${scripts[@]}" || say "shellcheck has findings"

exit $found
