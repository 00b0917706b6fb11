# SPDX-License-Identifier: GPL-2.0-or-later
# How everything is compiled: one language level, one set of warnings, and what each preset adds.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations
	-Wundef -Wvla -Wformat=2 -Wswitch-enum -Wpointer-arith -Wconversion
	-Wno-sign-conversion -fno-strict-aliasing)

# clang also blames the users of linux/netlink.h's macros for what those macros do.
add_compile_options($<$<C_COMPILER_ID:GNU>:-Wcast-qual>)

if(PVCALLS_WERROR)
	add_compile_options(-Werror)
endif()

if(PVCALLS_SANITIZE)
	add_compile_definitions(PVCALLS_SANITIZED)
	add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all
		-fno-omit-frame-pointer)
	add_link_options(-fsanitize=address,undefined)
	if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
		# clang's UBSan runtime is linked into programs, not into the plugins they load.
		add_compile_options(-fno-sanitize=function)
	endif()
endif()

# A program needs only the libraries that it really calls.
add_link_options(-Wl,--as-needed)

if(PVCALLS_FUZZ)
	add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(PVCALLS_HARDEN)
	set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
	add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
		-fstack-clash-protection -fcf-protection)
	add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
	add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()
