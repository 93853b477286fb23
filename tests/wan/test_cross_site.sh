#!/usr/bin/env bash
# All-reduces between sites: right, the same on every rank, and as many bytes on the link as the library says it sent.
. "$(dirname "$0")/common.sh"
need_wan --rate 200mbit
bin=$(cd "${1:-$HERE/../../build/release/bin}" && pwd)
perf=$bin/dist_perf
[ -x "$perf" ] || skip "$perf is not built"

runs=5 # 4 iterations and one for the check
size=$((4 << 20))
field() { # KEY: its number in the JSON that dist_perf wrote
    sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$WORK/perf.json" | head -n 1
}
measure() { # SITES RANKS CODEC ALGO
    "$WAN" run --sites "$1" --ranks "$2" --rate 200mbit --bytes -- "$perf" all-reduce -b $size -e $size -n 4 -w 0 \
        --algo "$4" --codec "$3" --place out --link-rate 200M -T 60 -J "$WORK/perf.json" >"$WORK/out" 2>"$WORK/err" ||
        die "dist_perf on $1 sites of $2 with $3: $(cat "$WORK/out" "$WORK/err")"
    equal 'wrong elements' "$(field wrong)" 0
    equal 'ranks that differ' "$(field diverge)" 0
}
agree() { # WHAT: the library's count and the interface's, which sees headers and Open MPI's own talk too
    local payload counted
    payload=$(field wan_bytes)
    counted=$(value "$(grep site=site0 "$WORK/err")" tx)
    within "$1: interface / library" "$(awk -v c="$counted" -v p="$payload" -v r=$runs 'BEGIN { print c / (p * r) }')" \
        1.0 1.12
}

# What `auto` sends to look at the link, the library does not count.
export DIST_WIRE=mpi DIST_STREAMS=4
measure 2 2 none hier
agree 'two sites of two, no codec, by MPI'
export DIST_WIRE=tcp
measure 2 2 none hier
agree 'two sites of two, no codec'
equal 'bytes a direction' "$(field wan_bytes)" $size
measure 2 2 int8 hier
agree 'two sites of two, int8'
# the codes and scales, and what the headers of frames add
within 'bytes a direction over codes and scales' \
    "$(awk -v b="$(field wan_bytes)" -v p=$((size / 4 + size / 256)) 'BEGIN { print b / p }')" 1.0 1.002
measure 2 3,1 int4 hier
agree 'sites of three and one, int4'
measure 3 1 none hier # two shots: 2(k-1)/k
agree 'three sites of one'
within 'bytes a direction over the vector' "$(awk -v b="$(field wan_bytes)" -v s=$size 'BEGIN { print b / s }')" 1.32 1.35
measure 5 1 int8 hier
agree 'five sites of one, int8'
