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

set(TSR_LIBRARIES PkgConfig::JPEG PkgConfig::PNG PkgConfig::CJSON PkgConfig::PCRE2 Threads::Threads m
                  ${CMAKE_DL_LIBS})

if(TESSERA_PORTABLE)
  set(TESSERA_ONEDNN OFF)
endif()
if(TESSERA_ONEDNN)
  find_package(dnnl CONFIG QUIET)
  if(NOT dnnl_FOUND)
    message(FATAL_ERROR "oneDNN was not found; on Debian: apt-get install libdnnl-dev "
                        "(or configure with -DTESSERA_ONEDNN=OFF for the built-in kernels)")
  endif()
  list(APPEND TSR_LIBRARIES DNNL::dnnl)
endif()
