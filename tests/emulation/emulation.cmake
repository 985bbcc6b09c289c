# The .cu files of kernels/cuda as C++ for the host, where there is a C++ compiler. Nothing of the C++ library is
# linked. ThreadSanitizer does not know our fibres, and there is one thread.
include(CheckLanguage)
if(NOT TESSERA_SANITIZE MATCHES thread)
  check_language(CXX)
endif()
if(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  set(TSR_EMULATION ON)
  if(TESSERA_SANITIZE AND NOT CMAKE_CXX_COMPILER_ID STREQUAL CMAKE_C_COMPILER_ID)
    set(TSR_EMULATION OFF) # each compiler's sanitizers have a run-time library of their own
  endif()
endif()

set(TSR_EMULATED norm convert gather pixel_shuffle vit_enter patchify embed kv_write slot_copy gated_norm conv
  moe_route scan scan_tensor mamba_mix mamba_stream sample advance)

list(APPEND TSR_EMULATED linear linear_dot linear_plain linear_tensor linear_pack attend attend_decode kv_attend attention moe_ffn)
function(tsr_emulation target)
  if(NOT TSR_EMULATION)
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/emulation/none.c)
    return()
  endif()
  add_library(tsr_emulation OBJECT ${PROJECT_SOURCE_DIR}/tests/emulation/fibres.cpp
                                   ${PROJECT_SOURCE_DIR}/tests/emulation/table.cpp)
  foreach(op ${TSR_EMULATED})
    set(file ${PROJECT_SOURCE_DIR}/kernels/cuda/${op}.cu)
    target_sources(tsr_emulation PRIVATE ${file})
    set_source_files_properties(${file} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
  endforeach()
  target_include_directories(tsr_emulation PRIVATE ${PROJECT_SOURCE_DIR}/tests/emulation ${PROJECT_SOURCE_DIR})
  target_compile_features(tsr_emulation PRIVATE cxx_std_17)
  target_compile_definitions(tsr_emulation PRIVATE _GNU_SOURCE)
  target_compile_options(tsr_emulation PRIVATE -Wall -Wextra -Wno-unknown-pragmas -Wno-missing-field-initializers
    -ffp-contract=off -fno-math-errno -fno-exceptions -fno-rtti -fno-threadsafe-statics -UNDEBUG)
  if(TESSERA_SANITIZE)
    target_compile_options(tsr_emulation PRIVATE -fsanitize=${TESSERA_SANITIZE} -fno-omit-frame-pointer
                                                 -fno-sanitize-recover=all -fno-sanitize=vptr)
  endif()
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:tsr_emulation>)
endfunction()
