#!/bin/sh
# dist_perf: every collective brings what it must, in every way that it is called; its outputs agree; and its check finds a wrong byte.
#
#   tests/mpi/test_dist_perf_collectives.sh FOLDER-OF-PROGRAMS
. "$(dirname "$0")/perf_common.sh"
perf() { # EXIT-CODE SITES RANKS COMMAND FLAG...
    wanted=$1 sites=$2 ranks=$3 code=0
    shift 3
    rm -f "$work/json" "$work/csv" "$work/svg"
    "$mpirun" -s "$sites" "$ranks" "$perf" "$@" -J "$work/json" --csv "$work/csv" --svg "$work/svg" >"$work/table" 2>&1 || code=$?
    [ $code = "$wanted" ] || problem "$*: exit code $code, not $wanted: $(cat "$work/table")"
}
for collective in all-reduce reduce-scatter all-gather broadcast all-to-all send-recv; do
    perf 0 a,b 3 $collective -b 12 -e 40000 -f 60 -n 2 -w 1 --algo auto,mpi --link-rate 1G
    case $(figures wrong) in
    *[1-9]* | *null* | '') problem "$collective: wrong elements: $(cat "$work/table")" ;;
    esac
    case $(figures diverge) in
    *[1-9]*) problem "$collective: ranks differ: $(cat "$work/table")" ;;
    esac
    # a row of the CSV for each of the JSON, and as many fields as names
    [ "$(grep -c '"size"' "$work/json")" = "$(($(grep -vc '^#' "$work/csv") - 1))" ] || problem "$collective: $(cat "$work/csv")"
    awk -F, '!/^#/ { if (!fields) fields = NF; if (NF != fields) exit 1 }' "$work/csv" || problem "$collective: $(cat "$work/csv")"
    grep -q '^collective,size,count,algo,codec' "$work/csv" || problem "$collective: names of the CSV: $(cat "$work/csv")"
    grep -q '</svg>' "$work/svg" || problem "$collective: no picture"
    grep -q '^# Out of bounds values : 0 OK' "$work/table" || problem "$collective: no footer"
done
# What has to cross: with three ranks on sites of two and one.
perf 0 a,b 3 all-to-all -b 12M -e 12M -n 1 -w 0 --algo ring --link-rate 1G
[ "$(figures wan_bytes)" = '8388608 ' ] || problem "all-to-all: $(figures wan_bytes) bytes across"
perf 0 a,b 3 all-gather -b 12M -e 12M -n 1 -w 0 --algo hier --link-rate 1G --place in
[ "$(figures bound_us)" = '67108.864 ' ] || problem "all-gather: bound $(figures bound_us)" # two parts of three, 125 MB/s
perf 0 a,b 3 broadcast -b 1M -e 1M -n 1 -w 0 --algo auto,mpi -r -1 --link-rate 1G
[ "$(figures root)" = '0 0 1 1 2 2 ' ] || problem "broadcast: roots $(figures root)"
for type in bfloat16 float64 int32; do
    for collective in reduce-scatter all-to-all; do
        perf 0 a,b 2 $collective -b 4K -e 4K -n 1 -w 0 --algo auto,ring --type $type -z 0 -m 2 -a 1 --link-rate off
        case $(figures wrong) in
        *[1-9]* | *null* | '') problem "$collective of $type: wrong elements: $(cat "$work/table")" ;;
        esac
    done
done

# Memory of a device that is none (tests/fake), and without one.
if [ -e "$1/../tests/fake/libfake_cuda.so" ]; then
    (
        export DIST_CUDA_PLUGIN="$1/../tests/fake/libfake_cuda.so" DIST_NCCL=off FAKE_CUDA_SHARED=1
        for memory in cuda pinned; do
            perf 0 a,b 2 all-to-all -b 4K -e 4K -n 1 -w 0 --algo auto --memory $memory --link-rate off
            [ "$(figures wrong)" = '0 ' ] || problem "$memory memory: $(cat "$work/table")"
        done
        perf 2 a,b 2 all-reduce -b 4K -e 4K --algo mpi --memory cuda
        [ $failures = 0 ]
    ) || problem 'memory of a device'
fi
DIST_CUDA=off perf 2 a,b 2 all-reduce -b 4K -e 4K --algo auto --memory cuda

# A byte that is wrong is found, by the figures and by the exit status.
cat >"$work/wrong.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
typedef int call(void *, const void *, void *, size_t, int, const void *);
int dist_all_to_all(void *c, const void *s, void *r, size_t n, int t, const void *o);
int dist_all_to_all(void *c, const void *s, void *r, size_t n, int t, const void *o)
{
    call *real = (call *)dlsym(RTLD_NEXT, "dist_all_to_all");
    const int status = real(c, s, r, n, t, o);
    ((char *)r)[5] ^= 64;
    return status;
}
END
if ${CC:-cc} -shared -fPIC -o "$work/wrong.so" "$work/wrong.c" -ldl; then
    (
        export LD_PRELOAD="$work/wrong.so"
        perf 1 a,b 2 all-to-all -b 4K -e 4K -n 1 -w 0 --algo auto --link-rate off
        [ $failures = 0 ]
    ) || problem 'a wrong byte was not found'
fi
finish 'dist_perf collectives'
