install(TARGETS tessera_static tessera_shared)
install(FILES include/tessera.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
