#!/bin/sh
# dist_perf all-reduce between two sites with every codec and type: elements within the codec's bound, and the check can fail.
#
#   tests/mpi/test_dist_perf.sh FOLDER-OF-PROGRAMS
. "$(dirname "$0")/perf_common.sh"
reduce() { # EXIT-CODE FLAG...
    wanted=$1 code=0
    shift
    rm -f "$work/json"
    "$mpirun" -s a,b 2 "$perf" all-reduce -b 64K -e 64K -n 2 -w 0 -J "$work/json" "$@" >"$work/table" 2>&1 || code=$?
    [ $code = "$wanted" ] || problem "all-reduce $*: exit code $code, not $wanted: $(cat "$work/table")"
}
wrong() { # elements, of each row
    figures wrong
}

codecs=none,bf16:sr,fp16,int8,int4,int4:hadamard,mxfp8,mxfp4,nvfp4,topk:density=0.01,sparseloco
reduce 0 --algo hier,mpi --codec $codecs --place out --link-rate 1G
[ "$(wrong)" = '0 0 0 0 0 0 0 0 0 0 0 0 ' ] || problem "wrong elements: $(cat "$work/table")"
for each in 'float16 sum' 'float16 average' 'bfloat16 average' 'bfloat16 min' 'float64 average' 'int32 average' 'int64 max'; do
    reduce 0 --algo auto,ring --type ${each% *} --op ${each#* } --link-rate off
    [ "$(wrong)" = '0 0 0 0 ' ] || problem "$each: wrong elements: $(cat "$work/table")"
done
reduce 2 --algo mpi -d float16

# What each row says; without a link rate the goodput of plain TCP is measured.
reduce 0 --algo auto -m 2 --memory malloc --wire mpi --streams 2
for field in size algo codec ranks sites time_us algbw busbw wan_bytes bound_us time_over_bound wrong diverge; do
    grep -q "\"$field\":[^n]" "$work/json" || problem "no $field in $(cat "$work/json")"
done
grep -q '"goodput":[1-9]' "$work/json" || problem "plain TCP was not measured: $(cat "$work/json")"
grep -q 'in_place":true' "$work/json" || problem "nothing was measured in place: $(cat "$work/json")"
awk '$1 == 65536 && NF != 27 { bad = 1 } END { exit bad }' "$work/table" || problem "columns: $(cat "$work/table")"

reduce 2 -e 900G --place in          # more than this memory
reduce 3 --algo auto --min-bw 1T     # nothing is as fast
for flags in '-r 2 --algo mpi' '--csv /nowhere/at/all' '--svg /nowhere/at/all' '--algo' '-b 2 -e 1' '--place here' '--memory gold' \
    '--link-rate 0' '-m 0' '--codec ,' '-d float8' '-J /nowhere/at/all' '--wire pigeon' '--streams 65'; do
    # shellcheck disable=SC2086 # several words
    refused all-reduce $flags
done
reduce 0 --algo hier:shots=2 --codec int8 -o average --place in --link-rate 1G
[ "$(wrong)" = '0 ' ] || problem "int8, two shots, average: $(cat "$work/table")"

# A bound that does not hold is found out.
cat >"$work/tight.c" <<'END'
int dist_codec_error_bound(const void *c, const void *f, unsigned long long b, unsigned long long n, double *bound);
int dist_codec_error_bound(const void *c, const void *f, unsigned long long b, unsigned long long n, double *bound)
{
    (void)c, (void)f, (void)b, (void)n;
    *bound = 0;
    return 0;
}
END
if ${CC:-cc} -shared -fPIC -o "$work/tight.so" "$work/tight.c"; then
    (
        export LD_PRELOAD="$work/tight.so"
        reduce 1 --algo hier --codec int8 --link-rate off
        [ $failures = 0 ]
    ) || problem 'errors beyond a bound of 0 were not counted'
fi

code=0
"$perf" >"$work/table" 2>&1 || code=$?
{ [ $code = 2 ] && grep -q 'dist_perf matrix' "$work/table"; } || problem "no command: exit code $code, $(cat "$work/table")"
for command in all-reduce matrix streams compare step codec; do
    "$perf" --help | grep -q "^  $command " || problem "--help does not name $command"
    "$perf" $command --help | grep -q "dist_perf $command" || problem "$command --help does not name it"
done

finish 'dist_perf all-reduce'
