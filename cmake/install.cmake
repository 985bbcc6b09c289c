# What `cmake --install` puts where: the program and the default model; and, but for the portable form, the libraries,
# the header, a pkg-config file and a CMake package. Everything finds everything relative to itself.
install(TARGETS tessera RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY assets/default-model DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera)
if(TESSERA_PORTABLE)
  return()
endif()

install(TARGETS tessera_static EXPORT tessera ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tessera_shared EXPORT tessera LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/tessera.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# What a program that links libtessera.a needs besides; oneDNN has no pkg-config file.
set(TSR_PRIVATE_MODULES libjpeg libpng libcjson libpcre2-8)
set(TSR_PRIVATE_LIBS pthread m)
if(TESSERA_ONEDNN)
  list(APPEND TSR_PRIVATE_LIBS dnnl)
endif()
string(REPLACE ";" " " TSR_PC_MODULES "${TSR_PRIVATE_MODULES}")
string(REGEX REPLACE "([^;]+)(;|$)" "-l\\1 " TSR_PC_LIBS "${TSR_PRIVATE_LIBS}")
file(RELATIVE_PATH TSR_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/tessera.pc.in tessera.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tessera.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT tessera NAMESPACE tessera:: FILE tessera-targets.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(tessera-config-version.cmake COMPATIBILITY SameMinorVersion)
configure_package_config_file(cmake/tessera-config.cmake.in tessera-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)
install(FILES ${PROJECT_BINARY_DIR}/tessera-config.cmake ${PROJECT_BINARY_DIR}/tessera-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)
