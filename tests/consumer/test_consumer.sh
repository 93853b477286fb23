#!/bin/sh
# Installs libdist, moves what was installed, and uses it as others would: with CMake and with pkg-config, shared
# and static, and each header alone in C and in C++.
#
#   test_consumer.sh BUILD_FOLDER WORK_FOLDER

# shellcheck disable=SC2046,SC2086 # flags are words
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1
work=$2
cc=${CC:-cc}

fail() {
    echo "$*"
    exit 1
}

rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/moved"
prefix=$work/moved
library_dir=$(dirname "$(find "$prefix" -name libdist.so)")
version=$(PKG_CONFIG_PATH=$library_dir/pkgconfig pkg-config --modversion libdist)
if grep -rIlF -e "$work/first" -e "$build" "$prefix"; then
    fail "the installed files above name the folder that they were built in or installed to"
fi

# run NAME PROGRAM: on two ranks.
run() {
    echo "$1:"
    "$here/../mpirun.sh" 2 "$2" || fail "$1: the program failed"
}
# A program must use the library that it was meant to, wherever its path says.
shared_of() {
    readlink -f "$(ldd "$1" | awk '$1 ~ /^libdist\.so/ { print $3 }')" || true
}
expect_shared() {
    [ "$(shared_of "$1")" = "$(readlink -f "$library_dir/libdist.so")" ] || fail "$1 does not use $library_dir"
}
expect_static() {
    [ -z "$(shared_of "$1")" ] || fail "$1 was to be linked statically"
}

cmake -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DLIBDIST_VERSION="$version" >"$work/cmake.log" ||
    { cat "$work/cmake.log" && fail "find_package(libdist) failed"; }
cmake --build "$work/cmake" >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log" && fail "CMake build failed"; }
expect_shared "$work/cmake/consumer_dist"
expect_static "$work/cmake/consumer_dist_static"
run "CMake, shared" "$work/cmake/consumer_dist"
run "CMake, static" "$work/cmake/consumer_dist_static"
! cmake -S "$here" -B "$work/newer" -DCMAKE_PREFIX_PATH="$prefix" -DLIBDIST_VERSION=99.0 >"$work/newer.log" 2>&1 ||
    fail "find_package(libdist 99.0) was satisfied by $version"

compile() {
    $cc -std=c11 -DEXPECTED_VERSION="\"$version\"" "$here/consumer.c" -o "$@"
}
export PKG_CONFIG_PATH="$library_dir/pkgconfig"
compile "$work/pc_shared" $(pkg-config --cflags --libs libdist) -Wl,-rpath,"$library_dir"
expect_shared "$work/pc_shared"
run "pkg-config, shared" "$work/pc_shared"

# With both libraries in a folder a linker takes the shared one, so the static one gets a folder of its own.
cp -r "$prefix" "$work/static"
find "$work/static" -name 'libdist.so*' -exec rm {} +
PKG_CONFIG_PATH=$work/static/${library_dir#"$prefix"/}/pkgconfig
compile "$work/pc_static" $(pkg-config --static --cflags --libs libdist)
expect_static "$work/pc_static"
run "pkg-config, static" "$work/pc_static"

# What the static library needs, its packages must ask for, also where MPI brings it.
if "$prefix/bin/dist_info" -V | grep -q ' hwloc [0-9]'; then
    pkg-config --static --libs libdist | grep -q -e -lhwloc || fail "libdist.pc does not ask for hwloc"
fi

mpi_flags=$(pkg-config --cflags libdist)
for header in "$prefix"/include/libdist/*.h; do
    name=libdist/$(basename "$header")
    for language in "c -std=c11" "c++ -std=c++17"; do
        printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$name" "$name" >"$work/header.c"
        # Open MPI's own C++ headers are not under test.
        $cc -x $language -pedantic -Wall -Wextra -Werror -fsyntax-only -DOMPI_SKIP_MPICXX -I"$prefix/include" \
            $(printf '%s' "$mpi_flags" | sed 's/-I/-isystem /g') "$work/header.c" || fail "$name fails as $language"
    done
done

for page in man1/dist_info.1 man1/dist_plan.1 man7/libdist.7; do
    [ -f "$prefix/share/man/$page" ] || fail "the manual page $page is not installed"
done

# The tools are moved along and still find their library.
for tool in "$prefix"/bin/dist_*; do
    expect_shared "$tool"
done
"$prefix/bin/dist_info" >"$work/info.log" || { cat "$work/info.log" && fail "dist_info failed"; }
