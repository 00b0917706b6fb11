# SPDX-License-Identifier: GPL-2.0-or-later
# Layers that the build enforces.
#
# A layer is a folder of daemon/ and a static library. It sees its own headers and those of the layers
# it NEEDS, as "folder/header.h"; each folder has an include root of its own (a symlink in the build
# tree), so an include that goes up or sideways finds nothing and does not compile. Every header is
# also compiled alone.

function(pvcalls_layer name)
	cmake_parse_arguments(ARG "" "" "NEEDS;LIBS" ${ARGN})
	set(dir ${CMAKE_CURRENT_SOURCE_DIR}/${name})
	set(root ${CMAKE_BINARY_DIR}/layers/${name})
	file(MAKE_DIRECTORY ${root})
	file(CREATE_LINK ${dir} ${root}/${name} SYMBOLIC)

	file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c)
	file(GLOB headers RELATIVE ${dir} CONFIGURE_DEPENDS ${dir}/*.h)
	set(alone ${CMAKE_BINARY_DIR}/headers/${name}.c)
	file(CONFIGURE OUTPUT ${alone} CONTENT "typedef int ${name}_layer;\n")
	foreach(header IN LISTS headers)
		set(unit ${CMAKE_BINARY_DIR}/headers/${name}_${header}.c)
		file(CONFIGURE OUTPUT ${unit} CONTENT "#include \"${name}/${header}\"\n")
		list(APPEND alone ${unit})
	endforeach()
	set_source_files_properties(${alone} PROPERTIES SKIP_LINTING ON)

	add_library(${name} STATIC ${sources} ${alone})
	target_include_directories(${name} PUBLIC ${root} ${CMAKE_SOURCE_DIR}/include)
	target_link_libraries(${name} PUBLIC ${ARG_NEEDS} PRIVATE ${ARG_LIBS})
endfunction()
