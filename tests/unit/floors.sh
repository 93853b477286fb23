#!/bin/sh
# Holds the sources to the floors of CONTRIBUTING.md by reading their #includes, and proves that it would notice.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

# Prints what is wrong in the tree at $1.
check() {
    (cd "$1" && find include libdist kernels benchmarks examples \
        -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' | sort |
        xargs awk -f "$here/floors.awk" CONTRIBUTING.md)
}

found=$(check "$root")
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi

planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT

# plant PATH LINE [MESSAGE]: a tree with one line in one file must give one complaint with MESSAGE in it, or none.
failures=0
plant() {
    rm -rf "${planted:?}"/*
    (cd "$planted" && mkdir -p include libdist kernels benchmarks examples "$(dirname "$1")")
    cp "$root/CONTRIBUTING.md" "$planted"
    printf '/* planted */\n%s\n' "$2" >"$planted/$1"
    complaint=$(check "$planted")
    if [ $# = 2 ]; then
        [ -n "$complaint" ] || return 0
    elif [ "$(printf '%s\n' "$complaint" | wc -l)" = 1 ]; then
        case $complaint in *"$3"*) return 0 ;; esac
    fi
    printf 'planted in %s: %s\n    expected: %s\n    got: %s\n' "$1" "$2" "${3:-no complaint}" "$complaint"
    failures=1
}

plant libdist/plan/x.c '#include "collective/algo.h"' 'upstairs'
plant libdist/base/x.h '#include "wire/wire.h"' 'upstairs'
plant libdist/wire/x.c '#include "context_internal.h"' 'upstairs'
plant libdist/wire/x.c '#  include "plan/plan.h"' 'upstairs'
plant libdist/codec/x.c '#include "topology/topology.h"' 'same floor'
plant libdist/base/x.c '#include "kernels/half.h"' 'same floor'
plant libdist/codec/x.c '#include "../base/error.h"' 'not at ..'
plant libdist/codec/x.c '#include <base/error.h>' 'quotes'
plant libdist/codec/x.c '#include "attic/error.h"' 'no room'
plant libdist/attic/x.c '#include <stdio.h>' 'no floor'
plant libdist/plan/x.c '#include <mpi.h>' 'belongs to libdist/wire/'
plant libdist/plan/x.c '#include <libdist/mpi.h>' 'belongs to libdist/wire/'
plant libdist/plan/x.c '#include "libdist/status.h"' 'public headers'
plant libdist/plan/x.c '#if defined(DIST_CUDA)' 'CUDA or NCCL'
plant libdist/codec/x.c '#ifdef DIST_HAVE_NCCL' 'CUDA or NCCL'
plant kernels/x.h '#include <libdist/status.h>' 'nothing of libdist'
plant kernels/x.cu '#include "base/error.h"' 'same floor'
plant kernels/x.h '#ifdef DIST_CUDA' 'CUDA or NCCL'
plant include/libdist/x.h '#include "base/error.h"' 'public header'
plant include/libdist/x.h '#include <mpi.h>' 'belongs to libdist/wire/'
plant benchmarks/x.c '#include "base/clock.h"' 'programs include'
plant examples/train_gpt/x.c '#include "../../libdist/base/clock.h"' 'programs include'
plant examples/x.c '#include <base/clock.h>' 'quotes'

plant libdist/x.c '#include "parallel/buckets.h"'
plant libdist/x.c '#include <libdist/mpi.h>'
plant libdist/plan/x.c '#include "plan/plan.h"'
plant libdist/plan/x.c '#include "base/error.h"'
plant libdist/plan/x.c '#include <sys/stat.h>'
plant libdist/codec/x.c '#include "kernels/half.h"'
plant libdist/wire/x.c '#ifdef DIST_NCCL'
plant libdist/wire/x.c '#include <mpi.h>'
plant kernels/x.h '#include "half.h"'
plant kernels/x.cu '#include "kernels/half.h"'
plant kernels/x.h '#ifdef __CUDACC__'
plant examples/train_gpt/x.c '#include "model.h"'
plant benchmarks/x.c '#include <libdist/dist.h>'
plant benchmarks/x.c '#include <libdist/mpi.h>'
exit $failures
