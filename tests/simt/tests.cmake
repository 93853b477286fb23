# Kernels: their source run on a CPU, and the plugin that nvcc made of it.

include(CheckLanguage)
check_language(CXX)
file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/test_*.cpp")
if(NOT CMAKE_CXX_COMPILER)
    message(STATUS "Tests of the kernels on a CPU are left out: no C++ compiler (Debian: g++)")
    set(sources "")
elseif(NOT Cmocka_FOUND OR DIST_SANITIZE STREQUAL "thread") # the thread sanitizer does not follow fibers
    set(sources "")
else()
    enable_language(CXX)
    file(GLOB shim CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.cpp")
    list(REMOVE_ITEM shim ${sources})
    add_library(simt STATIC ${shim})
    get_target_property(options simt COMPILE_OPTIONS)
    list(FILTER options EXCLUDE REGEX "-prototypes$") # C's
    set_target_properties(simt PROPERTIES COMPILE_OPTIONS "${options};-O2" CXX_EXTENSIONS OFF)
    target_compile_features(simt PUBLIC cxx_std_17)
    target_compile_definitions(simt PUBLIC DIST_SIMT)
    target_include_directories(simt PUBLIC "${CMAKE_CURRENT_LIST_DIR}" "${PROJECT_SOURCE_DIR}"
                                           "${PROJECT_SOURCE_DIR}/libdist")
endif()
if(DIST_SANITIZE) # these take a minute each to compile there; the others go through the same shared code
    list(FILTER sources EXCLUDE REGEX "test_codec_(blocks|cuda|topk|values)")
endif()
foreach(source IN LISTS sources)
    cmake_path(GET source STEM stem)
    string(REGEX REPLACE "^test_" "" name "${stem}")
    dist_test_program(simt_${name} ${source})
    target_link_libraries(simt_${name} PRIVATE simt)
    set_target_properties(simt_${name} PROPERTIES COMPILE_OPTIONS "${options};-O2" CXX_EXTENSIONS OFF)
    dist_test(simt/${name} simt 300 $<TARGET_FILE:simt_${name}>)
endforeach()

if(TARGET dist_cuda)
    dist_test(kernels/registers kernels 60 "${CMAKE_CURRENT_LIST_DIR}/registers.sh" "${dist_cuda_registers}")
    dist_test(kernels/plugin kernels 60 "${CMAKE_CURRENT_LIST_DIR}/plugin.sh" $<TARGET_FILE:dist_cuda>)
endif()
