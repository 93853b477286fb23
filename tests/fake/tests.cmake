# The fake CUDA and the fake NCCL, for tests that name them: DIST_CUDA_PLUGIN=..., DIST_NCCL=.... Programs know the paths as
# FAKE_CUDA_PLUGIN, FAKE_NCCL_LIBRARY and FAKE_NCCL_OLD_LIBRARY; scripts find them in tests/fake of the build folder.
set(fake_folder "${PROJECT_BINARY_DIR}/tests/fake")
file(GLOB fake_nccl_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/fake_nccl*.c")
file(GLOB fake_cuda_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/fake_*.c")
list(REMOVE_ITEM fake_cuda_sources ${fake_nccl_sources})

# dist_fake(TARGET SOURCE...)
function(dist_fake target)
    add_library(${target} SHARED ${ARGN})
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/libdist" "${PROJECT_SOURCE_DIR}")
    # Each has libdist's arithmetic to itself.
    target_link_libraries(${target} PRIVATE dist_static Threads::Threads m ${CMAKE_DL_LIBS})
    target_link_options(${target} PRIVATE LINKER:--exclude-libs,ALL LINKER:-Bsymbolic)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${fake_folder}")
endfunction()

dist_fake(fake_cuda ${fake_cuda_sources})
set(fakes fake_cuda)
dist_fake(fake_nccl ${fake_nccl_sources})
dist_fake(fake_nccl_old ${fake_nccl_sources})
target_compile_definitions(fake_nccl_old PRIVATE FAKE_NCCL_OLD)
foreach(fake fake_nccl fake_nccl_old)
    target_link_libraries(${fake} PRIVATE fake_cuda)
endforeach()
list(APPEND fakes fake_nccl fake_nccl_old)
