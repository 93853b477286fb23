# How every source here is compiled.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Kind of build" FORCE)
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)

# Results must not depend on whether a compiler fuses a multiply with an add. The last flag wins, so a
# -ffast-math in the user's CFLAGS is undone too.
add_compile_options(-fno-fast-math -ffp-contract=off)

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes)
if(DIST_WERROR)
    add_compile_options(-Werror)
endif()

if(DIST_SANITIZE)
    add_compile_options(-fsanitize=${DIST_SANITIZE} -fno-omit-frame-pointer)
    add_compile_options(-Wno-error=maybe-uninitialized -Wno-error=format-truncation) # guesses, which sanitizers mislead
    add_link_options(-fsanitize=${DIST_SANITIZE})
    if(DIST_SANITIZE MATCHES "undefined")
        add_compile_options(-fno-sanitize-recover=undefined)
    endif()
endif()
