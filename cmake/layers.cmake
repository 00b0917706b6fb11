# SPDX-License-Identifier: GPL-2.0-or-later
# Layers that the build enforces.
#
# A layer is a folder of daemon/, or a folder in such a folder ("supervisor/guests"), and a static
# library. It sees its own headers and those of the layers it NEEDS, under their whole path
# ("folder/header.h", "supervisor/guests/header.h"): each layer has an include root of its own in the
# build tree, with a link to each of its headers and to no others. So an include that goes up or
# sideways finds nothing and does not compile, and a layer does not show the layers in its folder.
# Every header is also compiled alone.
#
#   pvcalls_layer(base)
#   pvcalls_layer(supervisor/children NEEDS base ipc LIBS PkgConfig::CAPNG)
#
# NEEDS names layers that were declared before: that is what makes them lower. Their own needs come
# with them. The library's target is the layer's name with '-' for '/': supervisor-children. A folder
# may hold both files of its own, as the layer of its name, and layers; each is declared by itself.

function(pvcalls_layer name)
	cmake_parse_arguments(ARG "" "" "NEEDS;LIBS" ${ARGN})
	string(REPLACE "/" "-" target ${name})
	string(REPLACE "/" "-" needs "${ARG_NEEDS}")
	foreach(lower IN LISTS needs)
		if(NOT TARGET ${lower})
			message(FATAL_ERROR "layer ${name} needs ${lower}, which is no lower layer")
		endif()
	endforeach()

	set(dir ${CMAKE_CURRENT_SOURCE_DIR}/${name})
	set(root ${CMAKE_BINARY_DIR}/layers/${target})
	file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c)
	file(GLOB headers RELATIVE ${dir} CONFIGURE_DEPENDS ${dir}/*.h)

	# Made anew, so that no link to a header that was moved stays.
	file(REMOVE_RECURSE ${root})
	file(MAKE_DIRECTORY ${root}/${name})
	string(MAKE_C_IDENTIFIER ${target} identifier)
	set(alone ${CMAKE_BINARY_DIR}/headers/${target}.c)
	file(CONFIGURE OUTPUT ${alone} CONTENT "typedef int ${identifier}_layer;\n")
	foreach(header IN LISTS headers)
		file(CREATE_LINK ${dir}/${header} ${root}/${name}/${header} SYMBOLIC)
		set(unit ${CMAKE_BINARY_DIR}/headers/${target}_${header}.c)
		file(CONFIGURE OUTPUT ${unit} CONTENT "#include \"${name}/${header}\"\n")
		list(APPEND alone ${unit})
	endforeach()
	set_source_files_properties(${alone} PROPERTIES SKIP_LINTING ON)

	add_library(${target} STATIC ${sources} ${alone})
	target_include_directories(${target} PUBLIC ${root} ${CMAKE_SOURCE_DIR}/include)
	target_link_libraries(${target} PUBLIC ${needs} PRIVATE ${ARG_LIBS})
endfunction()
