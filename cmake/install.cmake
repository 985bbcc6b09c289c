# What `cmake --install` puts where: program, libraries, header, pkg-config file, CMake package, default model.
install(TARGETS tessera_static EXPORT tessera ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tessera_shared EXPORT tessera LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS tessera RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/tessera.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY assets/default-model DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera)

set(TSR_PRIVATE_MODULES "libjpeg libpng libcjson libpcre2-8")
set(TSR_PRIVATE_LIBS "-pthread -lm")
if(TESSERA_ONEDNN)
  string(APPEND TSR_PRIVATE_LIBS " -ldnnl")
endif()
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
