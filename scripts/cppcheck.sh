#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# cppcheck over everything that build/dev compiles; findings are errors.
#
# Suppressed, each with its reason:
#   missingIncludeSystem      the system's headers are not what is checked
#   unusedFunction            public functions of a layer may be used by tests only
#   unmatchedSuppression      not every file has every finding
#   constParameterCallback, constParameterPointer, constVariablePointer, constParameter
#                             callbacks' types are fixed by those who call them
#   variableScope             declarations stand at the top of a block, as in the Linux kernel
#   unusedStructMember        members that only the kernel or the other side of a socket reads
#   shadowFunction            a variable may be called what a static function elsewhere is called
#   knownConditionTrueFalse   it does not see that a function called between changes the value
#   checkersReport, normalCheckLevelMaxBranches   remarks about cppcheck itself
set -euo pipefail
cd "$(dirname "$0")/.."
exec cppcheck --project=build/dev/compile_commands.json --quiet --inline-suppr -j "$(nproc)" \
	--enable=warning,style,performance,portability --inconclusive --error-exitcode=1 \
	--suppress=missingIncludeSystem --suppress=unusedFunction --suppress=unmatchedSuppression \
	--suppress=constParameterCallback --suppress=constParameterPointer \
	--suppress=constVariablePointer --suppress=constParameter --suppress=variableScope \
	--suppress=constVariable --suppress=unusedStructMember --suppress=shadowFunction \
	--library=scripts/cppcheck.cfg \
	--suppress=knownConditionTrueFalse --suppress='*:*tests/*' --suppress='*:*/headers/*'
