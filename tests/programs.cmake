# Tests of what a user sees: the examples, the tools across an emulated WAN, the installed package.

set(example_ranks 1 2 4)
if(DIST_TESTS_OF)
    set(example_ranks 4)
endif()
file(GLOB examples CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/0*.c")
foreach(example IN LISTS examples)
    cmake_path(GET example STEM name)
    if(TARGET ${name})
        foreach(ranks IN LISTS example_ranks)
            dist_test(examples/${name}/${ranks} examples 120 ${mpirun} ${ranks} $<TARGET_FILE:${name}>)
            dist_test_properties(examples/${name}/${ranks} PROCESSORS 2)
        endforeach()
    endif()
endforeach()

file(GLOB scripts CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/consumer/test_*.sh")
foreach(script IN LISTS scripts)
    cmake_path(GET script STEM stem)
    string(REGEX REPLACE "^test_" "" name "${stem}")
    dist_test(package/${name} package 300 ${script} ${PROJECT_BINARY_DIR} ${CMAKE_CURRENT_BINARY_DIR}/${name})
endforeach()

if(DIST_TESTS_OF) # the emulated WAN runs Open MPI
    return()
endif()

file(GLOB scripts CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/wan/test_*.sh")
foreach(script IN LISTS scripts)
    cmake_path(GET script STEM stem)
    string(REGEX REPLACE "^test_" "" name "${stem}")
    dist_test(wan/${name} wan 300 ${script} ${bin})
    dist_test_properties(wan/${name} RUN_SERIAL ON)
endforeach()

if(TARGET train_gpt AND CBLAS_FOUND)
    dist_test(examples/demo examples 400 "${PROJECT_SOURCE_DIR}/examples/demo.sh" --quick --bin ${bin}
              --out "${CMAKE_CURRENT_BINARY_DIR}/demo")
    dist_test_properties(examples/demo RUN_SERIAL ON)
endif()
