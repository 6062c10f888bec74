# SPDX-License-Identifier: BSD-3-Clause
# What `cmake --install` puts where: library, headers, pkg-config and CMake package files. Tools
# and man pages are installed by their own folders.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/farbus)

install(TARGETS farbus EXPORT farbusTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/farbus DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
	FILES_MATCHING PATTERN "*.h")

install(EXPORT farbusTargets NAMESPACE farbus:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/farbusConfig.cmake.in
	${PROJECT_BINARY_DIR}/farbusConfig.cmake INSTALL_DESTINATION ${package_dir})
# Until 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/farbusConfigVersion.cmake
	COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/farbusConfig.cmake
	${PROJECT_BINARY_DIR}/farbusConfigVersion.cmake DESTINATION ${package_dir})

# farbus.pc finds the prefix from its own place, so that an installed tree can be moved; the way
# up is as long as the library folder's path. Absolute folders, as distributions give, stay.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
	set(pc_prefix ${CMAKE_INSTALL_PREFIX})
	set(pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
	set(pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
	string(REGEX REPLACE "[^/]+" ".." up ${CMAKE_INSTALL_LIBDIR})
	set(pc_prefix "\${pcfiledir}/../${up}")
	set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
	set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/farbus.pc.in ${PROJECT_BINARY_DIR}/farbus.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/farbus.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
