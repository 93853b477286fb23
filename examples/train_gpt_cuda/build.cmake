# The parts of train_gpt that know no device, the kernels, and cuBLAS.
if(NOT TARGET dist_cuda)
    leave_out(train_gpt_cuda "the CUDA kernels are off")
    return()
endif()
find_package(CUDAToolkit QUIET)
if(NOT TARGET CUDA::cublas)
    leave_out(train_gpt_cuda "no cuBLAS beside the CUDA compiler")
    return()
endif()

set(here "${CMAKE_CURRENT_LIST_DIR}")
set(shared "${CMAKE_CURRENT_SOURCE_DIR}/train_gpt")
file(GLOB kernels CONFIGURE_DEPENDS "${here}/*.cu")

# The options of compile.cmake are gcc's, not nvcc's.
set(options -Xcompiler=-Wall,-Wextra,-Wshadow)
if(DIST_WERROR)
    list(APPEND options --Werror=all-warnings -Xcompiler=-Werror)
endif()
add_library(train_gpt_kernels OBJECT ${kernels})
target_include_directories(train_gpt_kernels PRIVATE "${shared}")
set_target_properties(
    train_gpt_kernels
    PROPERTIES COMPILE_OPTIONS "${options}"
               CUDA_ARCHITECTURES "80-real;90-real;90-virtual"
               CUDA_STANDARD 17
               CUDA_STANDARD_REQUIRED ON)

foreach(part IN ITEMS adamw agree checkpoint data dump job model options parameters progress report)
    target_sources(train_gpt_cuda PRIVATE "${shared}/${part}.c")
endforeach()
target_sources(train_gpt_cuda PRIVATE $<TARGET_OBJECTS:train_gpt_kernels>)
target_include_directories(train_gpt_cuda PRIVATE "${here}" "${shared}")
target_compile_definitions(train_gpt_cuda PRIVATE GPT_PROGRAM="train_gpt_cuda")
target_link_libraries(train_gpt_cuda PRIVATE CUDA::cublas CUDA::cudart_static)
set_target_properties(train_gpt_cuda PROPERTIES LINKER_LANGUAGE C)
