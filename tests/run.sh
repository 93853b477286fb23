#!/bin/sh
# The test command: installs what is missing, builds, and runs every test.
#
#   tests/run.sh [--quick] [--filter REGEX]
#
# --quick    without the trees that are built with sanitizers or MPICH
# --filter   only tests whose name matches, such as ^mpi/ or ^tsan/ (ctest -N --test-dir build lists them)
set -eu
cd "$(dirname "$0")/.."

usage() {
    sed -n '4s/^#  *//p; 6,7s/^#/ /p' tests/run.sh >&2
    exit 2
}

trees="release mpich asan tsan"
filter=.
while [ $# -gt 0 ]; do
    case $1 in
    --quick) trees=release ;;
    --filter)
        [ $# -gt 1 ] || usage
        filter=$2
        shift
        ;;
    *) usage ;;
    esac
    shift
done

cmake/install-dependencies.sh build tests examples wan
case $trees in
*mpich*) cmake/install-dependencies.sh mpich ;; # after the first MPI, which stays what mpicc and mpirun mean
esac

cores=$(nproc)
mkdir -p build
for tree in $trees; do
    echo "== building $tree"
    cmake --preset "$tree" -DDIST_WERROR=ON >"build/$tree.log" || { cat "build/$tree.log" && exit 1; }
    cmake --build --preset "$tree" -j "$cores" >"build/$tree.log" 2>&1 || { cat "build/$tree.log" && exit 1; }
done

# One run of ctest over all trees. Tests wait for deadlines and for mpirun to start as much as they compute.
echo "subdirs($trees)" >build/CTestTestfile.cmake
exec ctest --test-dir build --output-on-failure --no-tests=error --no-label-summary -j "$((2 * cores))" -R "$filter" </dev/null
