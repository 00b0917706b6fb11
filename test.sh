#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what the tests need, builds everything and runs every test.
#
# usage: ./test.sh [STAGE...]     stages: lint gcc structure clang tidy cppcheck fuzz plugins
#                                 e2e xenlab; without any: all of them
#
# Each stage prints what it does and ends with one line. The last line sums up; exit status 0 means
# that everything passed.
set -uo pipefail
cd "$(dirname "$0")" || exit 2

stages=("$@")
[ "${#stages[@]}" -gt 0 ] || stages=(lint gcc structure clang tidy cppcheck fuzz plugins e2e xenlab)
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
	scripts/cppcheck.sh >"$logs/cppcheck.log" 2>&1
	result cppcheck $?
}

stage_fuzz() {
	{ build fuzz && ctest --preset fuzz -R '^fuzz/'; } >"$logs/fuzz.log" 2>&1
	result fuzz $? "$(count_ctest "$logs/fuzz.log")"
}

stage_plugins() {
	{ build release && scripts/plugin-symbols.sh build/release/plugins; } \
		>"$logs/plugins.log" 2>&1
	result plugins $?
}

stage_e2e() {
	{ build dev && PVCALLS_BUILD=$PWD/build/dev /usr/bin/python3 -m pytest -q -p no:cacheprovider \
		tests/e2e; } >"$logs/e2e.log" 2>&1
	result e2e $? "$(sed -nE 's/^=*\s*([0-9]+) passed.*/\1/p' "$logs/e2e.log" | tail -n 1)"
}

stage_xenlab() {
	{ build release && tests/xenlab/run --build build/release; } >"$logs/xenlab.log" 2>&1
	result xenlab $? "$(sed -nE 's/^([0-9]+) passed, .*/\1/p' "$logs/xenlab.log" | tail -n 1)"
}

mkdir -p "$logs"
scripts/need.sh scripts/packages/*.txt tests/e2e/packages.txt || exit
for stage in "${stages[@]}"; do
	SECONDS=0
	echo "--      $stage"
	"stage_$stage"
done
[ "$failed" -eq 0 ] || echo "failed: ${failures[*]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
