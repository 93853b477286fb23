#!/bin/sh
# dist_perf latency, bandwidth, matrix, streams and compare: they run, their outputs agree, and a tuning file changes what `auto` does.
#
#   tests/mpi/test_dist_perf_links.sh FOLDER-OF-PROGRAMS
. "$(dirname "$0")/perf_common.sh"
perf() { # EXIT-CODE RANKS COMMAND FLAG...
    wanted=$1 ranks=$2 code=0
    shift 2
    rm -f "$work/json" "$work/csv" "$work/svg"
    "$mpirun" -s a,b "$ranks" "$perf" "$@" -J "$work/json" --csv "$work/csv" --svg "$work/svg" >"$work/table" 2>&1 || code=$?
    [ $code = "$wanted" ] || problem "$*: exit code $code, not $wanted: $(cat "$work/table")"
    [ $code -ne 0 ] || grep -q '</svg>' "$work/svg" || problem "$*: no picture"
}
rows() { # PATTERN: how many rows of the JSON have it
    grep -c "$1" "$work/json" || true
}

perf 0 3 latency -b 8 -e 64K -f 64 --seconds 0.05
[ "$(rows '"algo":"libdist".*"time_us":[0-9]')" = 3 ] || problem "latency: $(cat "$work/json")"
[ "$(rows '"algo":"mpi".*"from":0,"to":2,')" = 3 ] || problem "latency: the first ranks of both sites: $(cat "$work/json")"
perf 0 3 bandwidth -b 64K -e 64K --seconds 0.1 --pair 0-1,2-1 --via libdist
[ "$(rows '"forth_mbs":[1-9].*"back_mbs":[1-9].*"algbw":')" = 2 ] || problem "bandwidth: $(cat "$work/json")"
perf 0 3 matrix --seconds 0.05
[ "$(rows '"level":"rank"')" = 6 ] || problem "matrix: $(cat "$work/json")"
[ "$(rows '"level":"site"')" = 3 ] || problem "matrix: two links and the inside of the larger site: $(cat "$work/json")"
perf 0 3 matrix --seconds 0.05 --level site
[ "$(rows '"level":"rank"')" = 0 ] || problem "matrix --level site: $(cat "$work/json")"
perf 3 2 matrix --seconds 0.05 --min-bw 100000
perf 0 2 streams --max-streams 2
[ "$(rows '"streams":[12],"sum_mbs":[1-9]')" = 2 ] || problem "streams: $(cat "$work/json")"
[ "$(rows '"enough":true')" = 1 ] || problem "streams: none is enough: $(cat "$work/json")"

# compare writes a file that auto reads
rm -f "$work/tuning"
perf 0 4 compare -b 1K -e 64K -f 64 -n 2 -w 1 --algo ring --codec none,int8 --tuning "$work/tuning" --link-rate off
grep -q '^all-reduce none 0 max ring' "$work/tuning" || problem "tuning: $(cat "$work/tuning")"
grep -q 'codec none: ring from 0 on' "$work/table" || problem "compare says: $(cat "$work/table")"
DIST_TUNING=$work/tuning "$mpirun" -s a,b 4 "$info" -a >"$work/info" 2>&1 || problem "dist_info: $(cat "$work/info")"
DIST_TUNING=$work/tuning perf 0 4 all-reduce -b 64K -e 64K -n 1 -w 0 --algo auto,ring --place out --link-rate off
# a ring sends the same bytes across again
awk '/"algo"/ { match($0, /"wan_bytes":[0-9]+/); seen[substr($0, RSTART, RLENGTH)] = 1; n++ }
     END { for (s in seen) d++; exit !(n == 2 && d == 1) }' "$work/json" || problem "auto does not take the ring: $(cat "$work/json")"
perf 0 4 all-reduce -b 64K -e 64K -n 1 -w 0 --algo auto,ring --place out --link-rate off
awk '/"algo"/ { match($0, /"wan_bytes":[0-9]+/); seen[substr($0, RSTART, RLENGTH)] = 1 }
     END { for (s in seen) d++; exit !(d == 2) }' "$work/json" || problem "auto takes the ring by itself: $(cat "$work/json")"
DIST_TUNING=$work/tuning perf 2 2 all-reduce -b 64K -e 64K # of another cluster
grep -q 'cluster' "$work/table" || problem "another cluster: $(cat "$work/table")"
# what is there already is kept, and not of another cluster
perf 0 4 streams --max-streams 1 --tuning "$work/tuning"
{ grep -q '^all-reduce none 0 max ring' "$work/tuning" && grep -q '^streams 1$' "$work/tuning"; } || problem "tuning: $(cat "$work/tuning")"
cp "$work/tuning" "$work/before"
perf 2 2 streams --max-streams 1 --tuning "$work/tuning"
cmp "$work/before" "$work/tuning" || problem 'the tuning file of another cluster was touched'

for flags in 'latency --pair 0-9' 'latency --pair 0-0' 'latency --via pigeon' 'bandwidth --window 0' 'matrix --level planet' \
    'matrix --slow 1' 'streams --max-streams 65' 'compare --tuning /nowhere/at/all' 'latency -b 2 -e 1' 'matrix -J' 'matrix --algo x' nothing; do
    # shellcheck disable=SC2086 # several words
    refused $flags
done
refused matrix  # one rank
refused streams # one site and node
finish 'dist_perf links'
