#!/bin/sh
# dist_perf step between two sites: what it writes, that its prediction counts the bytes that cross, and what it refuses.
#
#   tests/mpi/test_dist_perf_step.sh FOLDER-OF-PROGRAMS
. "$(dirname "$0")/perf_common.sh"
ranks=2
step() { # EXIT-CODE FLAG...
    wanted=$1 code=0
    shift
    rm -f "$work/json" "$work/csv"
    "$mpirun" -s a,b $ranks "$perf" step -J "$work/json" --csv "$work/csv" "$@" >"$work/out" 2>&1 || code=$?
    [ $code = "$wanted" ] || problem "step $*: exit code $code, not $wanted: $(cat "$work/out")"
}
value() { # predicted|replayed FIELD
    sed -n "s/.*\"what\":\"$1\".*\"$2\":\([-0-9.]*\).*/\1/p" "$work/json"
}
check() { # WHAT; the compute in microseconds is the least that a step can take
    what=$1
    for field in params type tensors buckets compute_us algo codec ranks sites fit_average_us fit_residual error results; do
        grep -q "\"$field\":" "$work/json" || problem "$what: no $field in $(cat "$work/json")"
    done
    awk -v p="$(value predicted across_bytes)" -v r="$(value replayed across_bytes)" \
        'BEGIN { exit !(r > 0 && p > 0.98 * r && p < 1.02 * r) }' || problem "$what: bytes across: $(cat "$work/json")"
    for row in predicted replayed; do
        awk -v s="$(value $row step_us)" -v e="$(value $row exposed_us)" -v u="$(value $row utilisation)" \
            'BEGIN { d = s - e - 30000; exit !(s >= 30000 * 0.999 && d < 40 && d > -40 && u > 0 && u <= 1.001) }' ||
            problem "$what: $row: $(cat "$work/json")"
    done
    awk -F, '!/^#/ { rows++; bad += NF != 10; step += /^(predicted|replayed),[0-9]/ } END { exit !(rows == 3 && step == 2 && !bad) }' \
        "$work/csv" || problem "$what: columns of $(cat "$work/csv")"
    grep -q '^  predicted ' "$work/out" && grep -q '^  error ' "$work/out" || problem "$what: table: $(cat "$work/out")"
}

step 0 --params 300K --compute-ms 30 --steps 4 --svg "$work/svg"
check 'data parallel'
{ [ "$(tail -n 1 "$work/svg")" = '</svg>' ] && grep -q 'bucket 0' "$work/svg" && grep -q backward "$work/svg"; } ||
    problem "picture: $(head -n 20 "$work/svg")"
step 0 --params 1.1M --compute-ms 30 --steps 3 --codec int8 --algo hier --type bfloat16 --bucket 500K --tensors 7
check int8
step 0 --params 100K --compute-ms 30 --steps 3 -w 0 --accumulate 3 --mesh dp:2
check 'three rounds'
grep -q '"accumulate":3' "$work/json" || problem "accumulate: $(cat "$work/json")"
step 0 --params 100K --compute-ms 30 --steps 3 --mesh pp:2 --microbatches 3 --boundary 8K --schedule 1f1b
grep -q '"fit_average_us":null' "$work/json" || problem "one replica has no averages: $(cat "$work/json")"
check 'a pipeline of one replica'
# On paper: three microbatches and the bubble of one, 40 ms, and what messages take.
awk -v s="$(value predicted step_us)" 'BEGIN { exit !(s >= 39999 && s < 100000) }' || problem "1f1b: $(cat "$work/json")"
step 0 --params 100K --compute-ms 30 --steps 3 --mesh pp:2,dp:1 --microbatches 4 --schedule zb-v
check 'zb-v'
ranks=4
step 0 --params 400K --compute-ms 30 --steps 3 --mesh dp:2,pp:2 --microbatches 4 --boundary 16K --codec bf16 \
    --schedule interleaved:v=2
check 'replicas on both sites'
grep -q '"schedule":"interleaved' "$work/json" || problem "schedule: $(cat "$work/json")"
step 0 --params 400K --compute-ms 30 --steps 3 --mesh pp:2,dp:2 --microbatches 4 --boundary 16K
check 'stages on both sites'
grep -q '"schedule":"auto"' "$work/json" && problem "auto did not say what it took: $(cat "$work/json")"
ranks=2

# Small, odd and empty shapes.
step 0 --params 1 --compute-ms 1 --steps 1
step 0 --params 5 --compute-ms 0 --steps 1 --tensors 3 --bucket 1G
step 0 --params 2 --compute-ms 1 --steps 1 --mesh pp:2 --microbatches 1 --boundary 4

# What cannot be is a matter of usage, before anything is measured.
model='--params 1M --compute-ms 10'
# alone(): by one rank, which is as good and quicker.
alone() { # FLAG...
    code=0
    DIST_SITE=a timeout 30 "$perf" step "$@" >"$work/out" 2>&1 || code=$?
    { [ $code = 2 ] && grep -q 'dist_perf: ' "$work/out"; } || problem "step $*: exit code $code: $(cat "$work/out")"
}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
for flags in '--params 1M' "$model --params 0" "$model --params nan" "$model --compute-ms -1" "$model --compute-ms" "$model --tensors 0" \
    "$model --type int32" "$model --bucket 0" "$model --mesh pp:0" "$model --mesh rows:2" "$model --mesh pp:2" "$model --mesh pp:1,pp:1" \
    "$model --boundary 4G" "$model --codec powersgd" "$model --algo sideways" "$model --sideways 1" "$model -J /nowhere/at/all" \
    "$model --svg /nowhere/at/all" '--params 1000G --compute-ms 10'; do
    # shellcheck disable=SC2086 # several words
    alone $flags
done
grep -q 'GB' "$work/out" || problem "too large a model: $(cat "$work/out")"
for flags in '--mesh dp:3' '--mesh pp:2 --schedule sideways' '--mesh pp:2 --accumulate 2' '--codec int9'; do
    # shellcheck disable=SC2086 # several words
    step 2 $model $flags
    grep -q 'dist_perf: ' "$work/out" || problem "step $flags says nothing: $(cat "$work/out")"
done

"$mpirun" 1 "$perf" step --help | grep -q 'compute-ms' || problem '--help does not name --compute-ms'

finish 'dist_perf step'
