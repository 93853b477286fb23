# libdist, shared and static, from one set of objects.

find_package(MPI REQUIRED COMPONENTS C)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

file(GLOB_RECURSE library_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/libdist/*.c")
set(private_includes "${PROJECT_SOURCE_DIR}/libdist" "${PROJECT_SOURCE_DIR}")
set(private_libraries MPI::MPI_C Threads::Threads m ${CMAKE_DL_LIBS})
include(hwloc)

add_library(dist_objects OBJECT ${library_sources})
set_target_properties(dist_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(dist_objects PRIVATE "${PROJECT_SOURCE_DIR}/include" ${private_includes})
target_link_libraries(dist_objects PRIVATE ${private_libraries})

add_library(dist SHARED $<TARGET_OBJECTS:dist_objects>)
add_library(dist_static STATIC $<TARGET_OBJECTS:dist_objects>)
add_library(libdist::dist ALIAS dist)
add_library(libdist::dist_static ALIAS dist_static)

set_target_properties(dist PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                                      LINKER_LANGUAGE C)
set_target_properties(dist_static PROPERTIES OUTPUT_NAME dist LINKER_LANGUAGE C)

set(symbol_map "${PROJECT_SOURCE_DIR}/cmake/libdist.map")
target_link_options(dist PRIVATE "LINKER:--version-script=${symbol_map}")
set_target_properties(dist PROPERTIES LINK_DEPENDS "${symbol_map}")
if(NOT DIST_SANITIZE) # a sanitizer's symbols may come with the program
    target_link_options(dist PRIVATE LINKER:--no-undefined)
endif()

foreach(library dist dist_static)
    target_link_libraries(${library} PRIVATE ${private_libraries})
    target_include_directories(${library} INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
                                                    "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
endforeach()
