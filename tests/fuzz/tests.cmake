# Mutated frames, codec strings and tuning files against their readers, for half a minute in all; tests/fuzz/run.sh goes on for longer.
if(NOT DIST_SANITIZE MATCHES "address")
    return()
endif()
foreach(target codec text tuning)
    add_executable(fuzz_${target} "${CMAKE_CURRENT_LIST_DIR}/fuzz_${target}.c" "${CMAKE_CURRENT_LIST_DIR}/driver.c")
    target_link_libraries(fuzz_${target} PRIVATE dist_static MPI::MPI_C Threads::Threads m)
    target_include_directories(fuzz_${target} PRIVATE "${PROJECT_SOURCE_DIR}/libdist" "${PROJECT_SOURCE_DIR}")
    set_target_properties(fuzz_${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
endforeach()
dist_test(fuzz/codec fuzz 200 $<TARGET_FILE:fuzz_codec> -seconds=25)
dist_test(fuzz/text fuzz 100 $<TARGET_FILE:fuzz_text> -seconds=5)
dist_test(fuzz/tuning fuzz 100 $<TARGET_FILE:fuzz_tuning> -seconds=5)
dist_test_properties(fuzz/codec COST 1000) # the longest begins first, beside the others that take one processor
