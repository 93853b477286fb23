# The CUDA kernels, kernels/*.cu, as the plugin libdist_cuda, where there is a CUDA compiler. libdist opens it at run
# time, so one libdist serves machines with and without a GPU; the plugin carries its own CUDA run-time library.
#
# kernels/registers.txt of the build folder keeps the registers, stack and spills of each kernel;
# `dist_cuda_registers` is its path.

option(DIST_CUDA "Build the CUDA kernels where there is a CUDA compiler" ON)
file(GLOB kernel_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/kernels/*.cu")

set(reason "")
if(NOT kernel_sources)
    set(reason "kernels/ has no .cu")
elseif(NOT DIST_CUDA)
    set(reason "DIST_CUDA is off")
elseif(DIST_SANITIZE)
    set(reason "a tree with a sanitizer")
else()
    # By the compiler: the toolkit's libraries are also found where nvcc is not.
    include(CheckLanguage)
    check_language(CUDA)
    if(NOT CMAKE_CUDA_COMPILER)
        set(reason "no CUDA compiler; set CUDACXX to nvcc's path if there is one")
    endif()
endif()
if(reason)
    message(STATUS "CUDA kernels: off (${reason})")
    return()
endif()

enable_language(CUDA)
message(STATUS "CUDA kernels: on (${CMAKE_CUDA_COMPILER_ID} ${CMAKE_CUDA_COMPILER_VERSION})")

add_library(dist_cuda MODULE ${kernel_sources})
target_include_directories(dist_cuda PRIVATE "${PROJECT_SOURCE_DIR}")

# Results must be those of the host: no multiply-add where the source has two steps. The options of compile.cmake are
# gcc's, not nvcc's.
set(options -fmad=false -Xptxas=-v -Xcompiler=-ffp-contract=off,-Wall,-Wextra,-Wshadow)
if(DIST_WERROR)
    list(APPEND options --Werror=all-warnings -Xcompiler=-Werror)
endif()
set_target_properties(
    dist_cuda
    PROPERTIES COMPILE_OPTIONS "${options}"
               CUDA_ARCHITECTURES "80-real;90-real;90-virtual"
               CUDA_STANDARD 17
               CUDA_STANDARD_REQUIRED ON
               CUDA_RUNTIME_LIBRARY Static
               SUFFIX ".so.${PROJECT_VERSION_MAJOR}" # what libdist of this version looks for
               CUDA_VISIBILITY_PRESET hidden)

# A machine needs nothing for the plugin but libc, and the plugin's libraries meet no others in the process.
target_link_options(dist_cuda PRIVATE -static-libstdc++ -static-libgcc LINKER:--exclude-libs,ALL
                    LINKER:--no-undefined)

set(reports "${PROJECT_BINARY_DIR}/kernels")
set(dist_cuda_registers "${reports}/registers.txt")
set_target_properties(dist_cuda PROPERTIES CUDA_COMPILER_LAUNCHER
                                           "${PROJECT_SOURCE_DIR}/cmake/keep-registers.sh;${reports}")
set(parts "")
foreach(source IN LISTS kernel_sources)
    cmake_path(GET source FILENAME name)
    list(APPEND parts "${reports}/${name}.txt")
endforeach()
add_custom_command(TARGET dist_cuda POST_BUILD COMMAND ${CMAKE_COMMAND} -E cat ${parts} > "${dist_cuda_registers}"
                   VERBATIM)

install(TARGETS dist_cuda LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
