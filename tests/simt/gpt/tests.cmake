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
endfunction()
