#!/bin/sh
# Builds and runs the GPU tests and the GPU benchmarks. A CUDA compiler and a C compiler are all that the codecs need; what has several
# ranks also needs an MPI, which may be one that was carried here.
#
#   tests/gpu/run.sh [--build-only | --quick] [--mpi FOLDER | --mpi FILE.tar.xz]
#
# --quick takes the small part of the tests and few rounds of the benchmarks. --mpi (or DIST_GPU_MPI) names a folder with env.sh,
# which sets PATH, MPI_CFLAGS and MPI_LIBS, or an archive of one; else mpicc of the PATH is taken. gpu.json and table.txt go to
# $OUT, or to build/gpu/ with what is built. Exit: 0, 1 (something failed), 2 (usage), 77 (no CUDA compiler, or no device).
# DIST_GPU_PLUGIN=FILE runs what has several ranks, streams and reductions with that plugin instead, and needs no device: with the
# fake of tests/fake this tries the script.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built="${DIST_GPU_BUILD:-$root/build/gpu}"
out="${OUT:-$built}"
mode=all
mpi="${DIST_GPU_MPI:-}"
usage() {
    sed -n '5,12s/^# \{0,1\}//p' "$0"
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --build-only | --quick) mode=$1 ;;
    --mpi)
        [ $# -gt 1 ] || usage
        mpi=$2
        shift
        ;;
    *) usage ;;
    esac
    shift
done

nvcc="${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}"
cc="${CC:-$(command -v cc || echo gcc)}"
if ! "$nvcc" --version >/dev/null 2>&1; then
    echo "no CUDA compiler: $nvcc does not run; set CUDACXX to nvcc's path"
    exit 77
fi
toolkit=$(cd "$(dirname "$(readlink -f "$(command -v "$nvcc")")")/.." && pwd)
objects="$built/objects"
mkdir -p "$objects" "$out"
cd "$root"

# compile COMPILER FLAGS..., sources on stdin: as many at once as there are processors.
compile() {
    # shellcheck disable=SC2016 # the inner shell expands them
    xargs -P "$(nproc 2>/dev/null || echo 1)" -I '{}' sh -c \
        'object=$1/$(echo "$2" | tr / _).o; source=$2; shift 2; exec "$@" -c "$source" -o "$object"' \
        compile "$objects" '{}' "$@"
}

# Sets MPI_CFLAGS, MPI_LIBS and PATH, or no_mpi to the reason.
no_mpi=
find_mpi() {
    if [ -f "$mpi" ]; then
        mkdir -p "$built/mpi"
        tar xf "$mpi" -C "$built/mpi"
        mpi=$(dirname "$(find "$built/mpi" -maxdepth 2 -name env.sh | head -n 1)")
    fi
    if [ -n "$mpi" ] && [ -f "$mpi/env.sh" ]; then
        # it asks bash where it lies
        env=$(bash -c '. "$1/env.sh"; export -p' env "$(cd "$mpi" && pwd)")
        eval "$(printf '%s\n' "$env" | grep -E '^declare -x (PATH|LD_LIBRARY_PATH|MPI_|OPAL_|PMIX_|OMPI_)' | sed 's/^declare -x/export/')"
    elif [ -n "$mpi" ]; then
        no_mpi="$mpi has no env.sh"
    elif command -v mpicc >/dev/null; then
        MPI_CFLAGS=$(mpicc --showme:compile)
        MPI_LIBS=$(mpicc --showme:link)
    else
        no_mpi='no mpicc; --mpi names an MPI that was carried here'
    fi
}

# The options are those of cmake/compile.cmake and cmake/cuda.cmake.
c_options='-std=c11 -O3 -fno-fast-math -ffp-contract=off -Wall -Wextra -Werror -I. -Ilibdist -Iinclude'

# What encodes on the CPU needs no MPI.
build_alone() {
    rm -f "$objects"/*
    # shellcheck disable=SC2086 # options
    printf '%s\n' libdist/codec.c libdist/codec_cuda.c libdist/codec/*.c libdist/base/*.c libdist/device/*.c \
        tests/gpu/test_*.c tests/gpu/device_info.c |
        compile "$cc" $c_options -isystem "$toolkit/include"
    printf '%s\n' kernels/*.cu tests/gpu/*.cu |
        compile "$nvcc" -std=c++17 -O3 -fmad=false --Werror=all-warnings \
            -Xcompiler=-fPIC,-fvisibility=hidden,-ffp-contract=off,-Wall,-Wextra -I. -Ilibdist -Iinclude \
            -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
            -gencode arch=compute_90,code=compute_90
    cd "$objects"
    "$nvcc" -cudart static -shared kernels_*.o -o "$built/libdist_cuda.so" -ldl
    for test in codec_identity reduce_identity streams; do
        "$nvcc" -cudart static libdist_*.o tests_gpu_test_$test.c.o -o "$built/test_$test" -lm -ldl -lpthread
    done
    "$nvcc" -cudart static libdist_*.o kernels_*.o tests_gpu_bench_codec.cu.o -o "$built/bench_codec" -lm -ldl -lpthread
    "$nvcc" -cudart static tests_gpu_device_info.c.o -o "$built/device_info"
    cd "$root"
}

mpi_tests='collective data_parallel pipeline'

# All of libdist, and programs of several ranks.
build_with_mpi() {
    cmocka=
    echo '#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>' | "$cc" -E - >/dev/null 2>&1 && cmocka=-lcmocka
    rm -f "$objects"/*
    # shellcheck disable=SC2086 # options
    {
        find libdist -name '*.c'
        for test in $mpi_tests; do echo "tests/mpi/test_device_$test.c"; done
        printf '%s\n' tests/gpu/bench_step.c tests/gpu/mpi_nccl_one.c
    } | compile "$cc" $c_options ${MPI_CFLAGS:-} -Itests/mpi ${cmocka:--Itests/gpu/cmocka} -DFAKE_CUDA_PLUGIN='""' \
        -DFAKE_NCCL_LIBRARY='""'
    cd "$objects"
    # shellcheck disable=SC2086
    for program in mpi_test_device_collective mpi_test_device_data_parallel mpi_test_device_pipeline gpu_bench_step \
        gpu_mpi_nccl_one; do
        "$cc" libdist_*.o "tests_${program%%_*}_${program#*_}.c.o" -o "$built/${program#gpu_}" ${MPI_LIBS:-} $cmocka -lm \
            -ldl -lpthread
    done
    cd "$root"
}

failed=0
# ran NAME COMMAND...: adds a row to the list of tests. Without an NCCL its row is a skip.
ran() {
    name=$1
    shift
    echo "== $name"
    status=0
    "$@" >"$out/$name.log" 2>&1 || status=$?
    tail -25 "$out/$name.log"
    verdict=passed
    if [ "$status" = 77 ] && [ "$name" = nccl ]; then
        verdict=skipped
    elif [ "$status" -ne 0 ]; then # there is a device: a skip is a failure too
        verdict=failed
        failed=1
    fi
    printf '%s %s\n' "$name" "$verdict" >>"$out/tests"
}

# A sanitizer that hangs must not keep the device.
# shellcheck disable=SC2317 # it is called by ran
sanitize() {
    tool=$1
    shift
    timeout 300 "$sanitizer" --tool "$tool" --error-exitcode 1 --target-processes all "$@"
}

# field FILE NAME: a number in one line of JSON, null without.
field() {
    value=
    [ ! -f "$1" ] || value=$(sed -n "s/.*\"$2\": \([0-9]*\).*/\1/p" "$1")
    echo "${value:-null}"
}

# With one rank wherever there is NCCL; with two where each has a device, or NCCL takes two on one.
run_nccl() {
    if [ -n "$fake" ] && [ -z "${DIST_NCCL:-}" ]; then
        echo 'nccl skipped' >>"$out/tests"
        return
    fi
    ran nccl tests/mpirun.sh 1 "$built/mpi_nccl_one"
    version=$(sed -n 's/^NCCL \([0-9]*\)$/\1/p' "$out/nccl.log")
    devices=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU') || devices=0
    if [ -z "$fake" ] && { [ "$devices" -gt 1 ] || [ "${version:-0}" -ge 23000 ]; }; then
        for test in $mpi_tests; do
            ran "nccl-$test-2" env DIST_TEST_GPU=nccl NCCL_MULTI_RANK_GPU_ENABLE=1 tests/mpirun.sh 2 \
                "$built/mpi_test_device_$test"
        done
    else
        echo 'nccl-2 skipped' >>"$out/tests"
    fi
}

write_json() {
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1) || driver=
    echo "{"
    echo "  \"date\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\", \"driver\": \"${driver:-unknown}\","
    echo "  $(cat "$out/device"),"
    echo "  \"comparisons_equal\": $(field "$out/identity.json" passed)," \
        "\"comparisons_different\": $(field "$out/identity.json" failed),"
    echo "  \"tests\": {$(sed 's/\(.*\) \(.*\)/"\1": "\2"/' "$out/tests" | paste -s -d, -)},"
    echo "  \"step\": $(cat "$out/step.json" 2>/dev/null || echo null),"
    echo "  \"figures\": $(cat "$out/bench.json" 2>/dev/null || echo null)"
    echo "}"
}

build_alone
find_mpi
[ -n "$no_mpi" ] || build_with_mpi
echo "built in $built${no_mpi:+; without MPI: $no_mpi}"
[ "$mode" = --build-only ] && exit 0

fake="${DIST_GPU_PLUGIN:-}"
if [ -n "$fake" ]; then
    echo "\"device\": \"none: $fake\"" >"$out/device"
else
    "$built/device_info" >"$out/device" || exit $?
fi
export DIST_CUDA_PLUGIN="${fake:-$built/libdist_cuda.so}"
: >"$out/tests"
rm -f "$out/identity.json" "$out/bench.json" "$out/step.json"
small=
quick=
if [ "$mode" = --quick ]; then
    small=--small
    quick=--quick
fi

# Options that are empty are left out.
ran streams "$built/test_streams"
ran reduce "$built/test_reduce_identity" ${small:+"$small"}
if [ -z "$fake" ]; then
    ran identity "$built/test_codec_identity" --json "$out/identity.json" ${small:+"$small"}
    sanitizer=$(command -v compute-sanitizer || ls "$toolkit/bin/compute-sanitizer" 2>/dev/null) || sanitizer=
    if [ -n "$sanitizer" ]; then
        for tool in memcheck racecheck; do
            ran $tool sanitize $tool "$built/test_codec_identity" --small
            ran $tool-reduce sanitize $tool "$built/test_reduce_identity" --small
        done
    else
        printf 'memcheck skipped\nracecheck skipped\n' >>"$out/tests"
    fi
    ran bench "$built/bench_codec" --json "$out/bench.json" ${quick:+"$quick"}
fi

if [ -z "$no_mpi" ]; then
    export DIST_TEST_GPU=1 FAKE_CUDA_SHARED=1
    for ranks in 1 2 4; do
        for test in $mpi_tests; do
            ran "$test-$ranks" tests/mpirun.sh $ranks "$built/mpi_test_device_$test"
        done
    done
    ran pipeline-4-sites tests/mpirun.sh -s a,b 4 "$built/mpi_test_device_pipeline"
    [ -z "${sanitizer:-}" ] || ran memcheck-step sanitize memcheck tests/mpirun.sh 1 "$built/mpi_test_device_data_parallel"
    run_nccl
    elements=67108864
    [ -z "$fake$quick" ] || elements=4194304
    ran step tests/mpirun.sh 4 "$built/bench_step" --elements $elements --json "$out/step.json"
else
    for test in $mpi_tests nccl step; do
        echo "$test skipped" >>"$out/tests"
    done
fi

write_json >"$out/gpu.json"
{
    sed 's/"//g' "$out/device"
    echo "date: $(date -u +%Y-%m-%d), commit: $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)"
    sed 's/^/test: /' "$out/tests"
    echo "comparisons: $(field "$out/identity.json" passed) equal, $(field "$out/identity.json" failed) different"
    cat "$out/step.log" "$out/bench.log" 2>/dev/null || true
} >"$out/table.txt"
cat "$out/table.txt"
exit "$failed"
