# SPDX-License-Identifier: GPL-2.0-or-later
# Libraries of the system. One that is missing ends the configuration with the command that installs it.

find_package(PkgConfig QUIET)
if(NOT PkgConfig_FOUND)
	message(FATAL_ERROR "pkg-config is missing: scripts/need.sh scripts/packages/build.txt")
endif()

# The library that pkg-config knows as MODULE (with a version: "name>=1.2") becomes the target
# PkgConfig::PREFIX; LIST is the file of scripts/packages/ that its package stands in.
function(pvcalls_library prefix module list)
	pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL ${module})
	if(NOT ${prefix}_FOUND)
		message(FATAL_ERROR "${module} is missing: scripts/need.sh scripts/packages/${list}")
	endif()
endfunction()
