# What `cmake --install` puts where: headers, libraries, a CMake package and a pkg-config file, all relocatable.

include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/libdist")
set(generated "${PROJECT_BINARY_DIR}/package")

install(DIRECTORY include/libdist DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(TARGETS dist dist_static EXPORT libdistTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT libdistTargets NAMESPACE libdist:: DESTINATION "${package_dir}")

find_program(mpi_wrapper NAMES "${MPI_C_COMPILER}" NO_CACHE) # by name as well as by path
if(NOT mpi_wrapper)
    set(mpi_wrapper "")
endif()
configure_package_config_file(cmake/libdistConfig.cmake.in "${generated}/libdistConfig.cmake"
                              INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
# Until 1.0 a minor version may break its users.
write_basic_package_version_file("${generated}/libdistConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${generated}/libdistConfig.cmake" "${generated}/libdistConfigVersion.cmake"
        DESTINATION "${package_dir}")

# pkg-config: by the name of MPI's own .pc file where there is one of the MPI that was found (several may be installed), else
# by the paths that were found.
set(pc_mpi "")
set(mpi_files "")
foreach(library IN LISTS MPI_C_LIBRARIES)
    file(REAL_PATH "${library}" file)
    list(APPEND mpi_files "${file}")
endforeach()
set(pc_libraries ${CMAKE_THREAD_LIBS_INIT} -lm)
foreach(library IN LISTS CMAKE_DL_LIBS)
    list(APPEND pc_libraries "-l${library}")
endforeach()
find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
    foreach(name mpi-c ompi-c mpich mpi)
        pkg_check_modules(pc_${name} QUIET ${name})
        foreach(library IN LISTS pc_${name}_LINK_LIBRARIES)
            file(REAL_PATH "${library}" file)
            if(NOT pc_mpi AND file IN_LIST mpi_files)
                set(pc_mpi ${name})
            endif()
        endforeach()
    endforeach()
endif()
if(NOT pc_mpi)
    list(PREPEND pc_libraries ${MPI_C_LIBRARIES})
endif()
if(dist_hwloc) # not by its name, which would ask for what a static hwloc needs
    list(APPEND pc_libraries ${hwloc_LDFLAGS})
endif()
list(JOIN pc_libraries " " pc_libraries)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}" OUTPUT_VARIABLE pc_libdir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}"
           OUTPUT_VARIABLE pc_includedir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig"
           OUTPUT_VARIABLE pc_prefix)
configure_file(cmake/libdist.pc.in "${generated}/libdist.pc" @ONLY)
install(FILES "${generated}/libdist.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
