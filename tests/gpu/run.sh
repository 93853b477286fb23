#!/bin/sh
# Builds and runs the GPU tests and the GPU benchmark. A CUDA compiler and a C compiler are all it needs.
#
#   tests/gpu/run.sh [--build-only | --quick]
#
# --quick takes the small part of the tests and few rounds of the benchmark. gpu.json and table.txt go to $OUT, or to
# build/gpu/ with what is built. Exit: 0, 1 (something failed), 2 (usage), 77 (no CUDA compiler, or no device).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built="${DIST_GPU_BUILD:-$root/build/gpu}"
out="${OUT:-$built}"
mode="${1:-all}"
case $mode in
all | --build-only | --quick) ;;
*)
    sed -n '4,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

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

# The options are those of cmake/compile.cmake and cmake/cuda.cmake. What encodes on the CPU needs no MPI.
build() {
    rm -f "$objects"/*
    printf '%s\n' libdist/codec.c libdist/codec_cuda.c libdist/codec/*.c libdist/base/*.c libdist/device/cuda.c \
        tests/gpu/*.c |
        compile "$cc" -std=c11 -O3 -fno-fast-math -ffp-contract=off -Wall -Wextra -Werror -I. -Ilibdist -Iinclude \
            -isystem "$toolkit/include"
    printf '%s\n' kernels/*.cu tests/gpu/*.cu |
        compile "$nvcc" -std=c++17 -O3 -fmad=false --Werror=all-warnings \
            -Xcompiler=-fPIC,-fvisibility=hidden,-ffp-contract=off,-Wall,-Wextra -I. -Ilibdist -Iinclude \
            -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
            -gencode arch=compute_90,code=compute_90
    cd "$objects"
    "$nvcc" -cudart static -shared kernels_*.o -o "$built/libdist_cuda.so"
    "$nvcc" -cudart static libdist_*.o tests_gpu_test_codec_identity.c.o -o "$built/test_codec_identity" -lm -ldl -lpthread
    "$nvcc" -cudart static libdist_*.o kernels_*.o tests_gpu_bench_codec.cu.o -o "$built/bench_codec" -lm -ldl -lpthread
    "$nvcc" -cudart static tests_gpu_device_info.c.o -o "$built/device_info"
    cd "$root"
}

failed=0
# ran NAME COMMAND...: adds a row to the list of tests.
ran() {
    name=$1
    shift
    echo "== $name"
    status=0
    "$@" >"$out/$name.log" 2>&1 || status=$?
    tail -25 "$out/$name.log"
    verdict=passed
    if [ "$status" -ne 0 ]; then # there is a device: a skip is a failure too
        verdict=failed
        failed=1
    fi
    printf '%s %s\n' "$name" "$verdict" >>"$out/tests"
}

# A sanitizer that hangs must not keep the device.
sanitize() {
    # shellcheck disable=SC2317 # it is called by ran
    timeout 900 "$sanitizer" --tool "$1" --error-exitcode 1 "$built/test_codec_identity" --small
}

# field FILE NAME: a number in one line of JSON, null without.
field() {
    value=$(sed -n "s/.*\"$2\": \([0-9]*\).*/\1/p" "$1" 2>/dev/null)
    echo "${value:-null}"
}

write_json() {
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1) || driver=
    echo "{"
    echo "  \"date\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\", \"driver\": \"${driver:-unknown}\","
    echo "  $(cat "$out/device"),"
    echo "  \"comparisons_equal\": $(field "$out/identity.json" passed)," \
        "\"comparisons_different\": $(field "$out/identity.json" failed),"
    echo "  \"tests\": {$(sed 's/\(.*\) \(.*\)/"\1": "\2"/' "$out/tests" | paste -s -d, -)},"
    echo "  \"figures\": $(cat "$out/bench.json" 2>/dev/null || echo null)"
    echo "}"
}

build
echo "built in $built"
[ "$mode" = --build-only ] && exit 0

"$built/device_info" >"$out/device" || exit $?
export DIST_CUDA_PLUGIN="$built/libdist_cuda.so"
: >"$out/tests"
rm -f "$out/identity.json" "$out/bench.json"
small=
quick=
if [ "$mode" = --quick ]; then
    small=--small
    quick=--quick
fi
# Options that are empty are left out.
ran identity "$built/test_codec_identity" --json "$out/identity.json" ${small:+"$small"}
sanitizer=$(command -v compute-sanitizer || ls "$toolkit/bin/compute-sanitizer" 2>/dev/null) || sanitizer=
if [ -n "$sanitizer" ]; then
    ran memcheck sanitize memcheck
    ran racecheck sanitize racecheck
else
    printf 'memcheck skipped\nracecheck skipped\n' >>"$out/tests"
fi
ran bench "$built/bench_codec" --json "$out/bench.json" ${quick:+"$quick"}
write_json >"$out/gpu.json"
{
    sed 's/"//g' "$out/device"
    echo "date: $(date -u +%Y-%m-%d), commit: $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)"
    sed 's/^/test: /' "$out/tests"
    echo "comparisons: $(field "$out/identity.json" passed) equal, $(field "$out/identity.json" failed) different"
    cat "$out/bench.log"
} >"$out/table.txt"
cat "$out/table.txt"
exit "$failed"
