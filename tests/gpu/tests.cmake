# What runs on a machine with a GPU must compile where there is a CUDA compiler, with a GPU or without. With one,
# tests/gpu/run.sh by itself runs it.

if(TARGET dist_cuda)
    dist_test(gpu/builds gpu 600 "${CMAKE_CURRENT_LIST_DIR}/run.sh" --build-only)
    set_property(TEST gpu/builds APPEND PROPERTY ENVIRONMENT "CUDACXX=${CMAKE_CUDA_COMPILER}" "CC=${CMAKE_C_COMPILER}"
                                                             "DIST_GPU_BUILD=${PROJECT_BINARY_DIR}/tests/gpu"
                                                             "OUT=${PROJECT_BINARY_DIR}/tests/gpu")
endif()
