# gpt_on_a_cpu(TARGET): gives a program examples/train_gpt_cuda, with kernels that the shim runs, cuBLAS and the CUDA
# runtime made of CBLAS and host memory, and the sources of examples/train_gpt beside it; both without their main.c.
function(gpt_on_a_cpu target)
    set(examples "${PROJECT_SOURCE_DIR}/examples")
    set(here "${PROJECT_SOURCE_DIR}/tests/simt/gpt")
    file(GLOB sources CONFIGURE_DEPENDS "${examples}/train_gpt/*.c" "${examples}/train_gpt_cuda/*.c")
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    target_sources(${target} PRIVATE ${sources} "${here}/kernels.cpp" "${here}/cublas.c" "${here}/runtime.c")
    target_include_directories(${target} PRIVATE "${here}/include" "${here}" "${examples}/train_gpt"
                                                 "${examples}/train_gpt_cuda")
    target_link_libraries(${target} PRIVATE CBLAS::CBLAS)
    target_compile_definitions(${target} PRIVATE GPT_GRADIENT_MEMORY=DIST_MEMORY_HOST)
endfunction()

# The program itself, beside train_gpt: the same losses, and checkpoints of each other.
if(TARGET train_gpt AND NOT DIST_SANITIZE)
    add_executable(simt_train_gpt_cuda "${PROJECT_SOURCE_DIR}/examples/train_gpt_cuda/main.c")
    gpt_on_a_cpu(simt_train_gpt_cuda)
    target_link_libraries(simt_train_gpt_cuda PRIVATE simt dist_static MPI::MPI_C Threads::Threads m)
    target_compile_definitions(simt_train_gpt_cuda PRIVATE GPT_PROGRAM="train_gpt_cuda")
    set_target_properties(simt_train_gpt_cuda PROPERTIES COMPILE_OPTIONS "${options};-O2" CXX_EXTENSIONS OFF
                                                         RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
    dist_test(simt/train_gpt_cuda simt 300 "${CMAKE_CURRENT_LIST_DIR}/train_gpt_cuda.sh" $<TARGET_FILE:train_gpt>
              $<TARGET_FILE:simt_train_gpt_cuda>)
    dist_test_properties(simt/train_gpt_cuda PROCESSORS 2)
endif()

# The same on a GPU, where there is one.
if(TARGET train_gpt AND TARGET train_gpt_kernels)
    dist_test(examples/train_gpt_cuda examples 300 "${CMAKE_CURRENT_LIST_DIR}/train_gpt_cuda.sh"
              $<TARGET_FILE:train_gpt> $<TARGET_FILE:train_gpt_cuda>)
endif()
