# The libraries of docs/licences.md. A missing one is named with its Debian package.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(tsr_require target module package)
  pkg_check_modules(${target} IMPORTED_TARGET ${module})
  if(NOT ${target}_FOUND)
    message(FATAL_ERROR "${module} was not found; on Debian: apt-get install ${package}")
  endif()
endfunction()

tsr_require(JPEG libjpeg libjpeg62-turbo-dev)
tsr_require(PNG libpng libpng-dev)
tsr_require(CJSON libcjson libcjson-dev)
tsr_require(PCRE2 libpcre2-8 libpcre2-dev)

find_path(STB_INCLUDE stb_image_resize.h PATH_SUFFIXES stb)
find_path(STB_INCLUDE2 stb_image_resize2.h PATH_SUFFIXES stb)
if(NOT STB_INCLUDE AND NOT STB_INCLUDE2)
  message(FATAL_ERROR "stb_image_resize.h was not found; on Debian: apt-get install libstb-dev")
endif()

set(TSR_LIBRARIES Threads::Threads m ${CMAKE_DL_LIBS})
if(TESSERA_PORTABLE)
  set(TESSERA_ONEDNN OFF)
  # The archives in front of the system's libraries. Debian has no archive of cJSON: its one small shared library
  # travels beside the program (apps/CMakeLists.txt).
  foreach(archive libpng16.a libz.a libjpeg.a libpcre2-8.a)
    find_library(ARCHIVE_${archive} ${archive} REQUIRED)
    list(APPEND TSR_ARCHIVES ${ARCHIVE_${archive}})
  endforeach()
  list(PREPEND TSR_LIBRARIES ${TSR_ARCHIVES})
else()
  list(PREPEND TSR_LIBRARIES PkgConfig::JPEG PkgConfig::PNG PkgConfig::PCRE2)
endif()
list(PREPEND TSR_LIBRARIES PkgConfig::CJSON)

# Not by its CMake package: bookworm's asks for OpenCL's development files, which nothing here needs.
if(TESSERA_ONEDNN)
  find_path(DNNL_INCLUDE oneapi/dnnl/dnnl.h)
  find_library(DNNL_LIBRARY dnnl)
  if(NOT DNNL_INCLUDE OR NOT DNNL_LIBRARY)
    message(FATAL_ERROR "oneDNN was not found; on Debian: apt-get install libdnnl-dev "
                        "(or configure with -DTESSERA_ONEDNN=OFF for the built-in kernels)")
  endif()
  add_library(DNNL::dnnl UNKNOWN IMPORTED)
  set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY}
                                              INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE}
                                              INTERFACE_LINK_LIBRARIES gomp)  # to hold it to one thread
  list(APPEND TSR_LIBRARIES DNNL::dnnl)
endif()
