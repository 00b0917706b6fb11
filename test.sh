#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what the tests need, builds everything and runs every test, as root or with sudo.
#
# usage: ./test.sh [STAGE...]     stages: lint gcc structure clang tidy cppcheck fuzz release
#                                 e2e xenlab fresh; without any: all of them
#
# Each stage prints what it does and ends with one line. The last line sums up; exit status 0 means
# that everything passed. Everything is built by the user that calls this, with warnings as errors;
# tests run as root, where need be by sudo (tests/launcher.sh).
set -uo pipefail
cd "$(dirname "$0")" || exit 2
umask 022
export PVCALLS_TESTS_SUDO=1
# git trusts a repository of the caller's own only, but `sudo ./test.sh` is meant to work, too.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

# In this order, each with the lists of packages that it needs.
all=(lint gcc structure clang tidy cppcheck fuzz release e2e xenlab fresh)
declare -A needs=(
	[lint]='lint' [gcc]='build test' [structure]='build test lint' [clang]='build test clang'
	[tidy]='build test clang lint' [cppcheck]='build test lint' [fuzz]='build test clang'
	[release]='build test' [e2e]='build test e2e' [xenlab]='build test xenlab'
	[fresh]='fresh'
)
stages=("$@")
[ "${#stages[@]}" -gt 0 ] || stages=("${all[@]}")
logs=build/logs
passed=0
failed=0
failures=()

result() { # NAME STATUS [COUNT]: one stage, of COUNT tests if it has some
	if [ "$2" -eq 0 ]; then
		passed=$((passed + ${3:-1}))
		echo "ok      $1 (${3:-1}, ${SECONDS} s)"
	else
		failed=$((failed + 1))
		failures+=("$1")
		echo "not ok  $1: see $logs/$1.log"
		tail -n 40 "$logs/$1.log"
	fi
}

build() { # PRESET
	cmake --preset "$1" && cmake --build --preset "$1"
}

count_ctest() { # LOG: tests that passed
	sed -nE 's/.* ([0-9]+) tests? failed out of ([0-9]+)/\2/p' "$1" | tail -n 1
}

stage_lint() {
	scripts/lint.sh >"$logs/lint.log" 2>&1
	result lint $?
}

unit_tests() { # STAGE PRESET
	{ build "$2" && ctest --preset "$2"; } >"$logs/$1.log" 2>&1
	result "$1" $? "$(count_ctest "$logs/$1.log")"
}

stage_gcc() { unit_tests gcc dev; }

stage_structure() {
	{ tests/scripts/test_structure.py && build dev && scripts/structure.py build/dev; } \
		>"$logs/structure.log" 2>&1
	result structure $?
}

stage_clang() { unit_tests clang dev-clang; }

stage_tidy() {
	build tidy >"$logs/tidy.log" 2>&1
	result tidy $?
}

stage_cppcheck() {
	{ cmake --preset dev && scripts/cppcheck.sh; } >"$logs/cppcheck.log" 2>&1
	result cppcheck $?
}

stage_fuzz() {
	{ build fuzz && ctest --preset fuzz -R '^fuzz/'; } >"$logs/fuzz.log" 2>&1
	result fuzz $? "$(count_ctest "$logs/fuzz.log")"
}

# What is shipped: its flags find other warnings, and without sanitizers its timing is another.
stage_release() {
	{ build release-tests && scripts/plugin-symbols.sh build/release-tests/plugins &&
		ctest --preset release-tests; } >"$logs/release.log" 2>&1
	result release $? "$(count_ctest "$logs/release.log")"
}

stage_e2e() {
	{ build dev && PVCALLS_BUILD=$PWD/build/dev tests/launcher.sh /usr/bin/python3 -B -m pytest -q \
		-p no:cacheprovider -n 2 --durations 10 tests/e2e; } >"$logs/e2e.log" 2>&1
	result e2e $? "$(sed -nE 's/^=*\s*([0-9]+) passed.*/\1/p' "$logs/e2e.log" | tail -n 1)"
}

stage_xenlab() {
	{ build release-tests && tests/xenlab/run --build build/release-tests; } >"$logs/xenlab.log" 2>&1
	result xenlab $? "$(sed -nE 's/^([0-9]+) passed, .*/\1/p' "$logs/xenlab.log" | tail -n 1)"
}

# The commands of README on a minimal system; counts the tests that ran there.
stage_fresh() {
	tests/fresh/fresh.sh >"$logs/fresh.log" 2>&1
	result fresh $? "$(sed -nE 's/^([0-9]+) passed, 0 failed$/\1/p' "$logs/fresh.log" | tail -n 1)"
}

install() { # STAGE...
	local stage list lists=()
	for stage in "$@"; do
		[ -n "${needs[$stage]-}" ] || {
			echo "test.sh: there is no stage $stage; there are: ${all[*]}" >&2
			exit 2
		}
		for list in ${needs[$stage]}; do
			lists+=("scripts/packages/$list.txt")
		done
	done
	scripts/need.sh "${lists[@]}" || exit
}

install "${stages[@]}"
mkdir -p "$logs"
for stage in "${stages[@]}"; do
	SECONDS=0
	echo "--      $stage"
	"stage_$stage"
done
[ "$failed" -eq 0 ] || echo "failed: ${failures[*]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
