# cmake --install: the libraries, the command with its pages and completion, the header, a pkg-config file and a CMake
# package. The prefix can be moved:
# each finds the others from where it is itself.
include(CMakePackageConfigHelpers)

install(TARGETS aiox EXPORT aiox
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS aiox-preload LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
# The drop-in libaio.so.1, apart: installing it changes nothing for anybody who does not name the folder
# (pkg-config --variable=libaiodir aiox).
install(TARGETS aiox-libaio LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/aiox NAMELINK_SKIP)
install(FILES $<TARGET_FILE_DIR:aiox-libaio>/libaio.so.1t64 DESTINATION ${CMAKE_INSTALL_LIBDIR}/aiox)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/aiox DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h*")

if(TARGET aiox-cli)
  file(RELATIVE_PATH libraries_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(aiox-cli PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries_from_bin}")
  install(TARGETS aiox-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(TARGETS aiox-bench-worker RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/aiox)
endif()

# Manual pages, and completion where the shells look for it.
file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[1-8])
foreach(page ${pages})
  string(REGEX REPLACE ".*\\.([1-8])$" "\\1" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
if(TARGET aiox-cli)
  install(FILES ${PROJECT_SOURCE_DIR}/src/cli/completion/aiox.bash RENAME aiox
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${PROJECT_SOURCE_DIR}/src/cli/completion/_aiox DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/aiox)
install(EXPORT aiox NAMESPACE aiox:: FILE aioxTargets.cmake DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/aioxConfig.cmake.in ${PROJECT_BINARY_DIR}/aioxConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/aioxConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/aioxConfig.cmake ${PROJECT_BINARY_DIR}/aioxConfigVersion.cmake
  DESTINATION ${package_dir})

file(RELATIVE_PATH prefix_from_pkgconfig ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" prefix_from_pkgconfig "${prefix_from_pkgconfig}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/aiox.pc.in ${PROJECT_BINARY_DIR}/aiox.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/aiox.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
