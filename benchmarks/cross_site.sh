#!/usr/bin/env bash
# What all-reduces between two emulated sites cost, beside what the link can do and what the linked MPI does:
#
#   cross_site.sh [--rate 200mbit] [--ranks 2] [--size 16M] [-n 9] [--delay 15ms] [--bin DIR]
#
# Measures the goodput of plain TCP both ways at once before and after (iperf3), then MPI_Allreduce and libdist's `hier`
# uncompressed in turn, then `hier` with int8 and int4. time/bound is the time over the bytes that must cross a direction
# at that goodput. Last, messages of 8 bytes on one node. Run it on an idle machine; nothing here is a test.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rate=200mbit ranks=2 size=16M iterations=9 bin=$here/../build/release/bin
link=()
while [ $# -gt 0 ]; do
    case $1 in
    --rate) rate=$2 ;;
    --ranks) ranks=$2 ;;
    --size) size=$2 ;;
    -n) iterations=$2 ;;
    --delay) link+=(--delay "$2") ;;
    --bin) bin=$2 ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift 2
done
bin=$(cd "$bin" && pwd)
name=cross-site-$$
trap '"$here/wan.sh" down --name "$name" >/dev/null 2>&1 || true' EXIT
"$here/wan.sh" up --name "$name" --sites 2 --ranks "$ranks" --rate "$rate" "${link[@]}" >/dev/null

goodput() { # bytes a second of the slower direction
    "$here/wan.sh" goodput --name "$name" --time 5 | tr ' ' '\n' | sed -n 's/^site[01]_to_site[01]=//p' | sort -g | head -n 1
}
table() { # CODEC ALGOS
    "$here/wan.sh" run --name "$name" -- "$bin/dist_perf" all-reduce -b "$size" -e "$size" -n "$iterations" -w 2 \
        --algo "$2" --codec "$1" --link-rate "$bits"
}
before=$(goodput)
bits=$(awk -v b="$before" 'BEGIN { printf "%.0f", b * 8 }')
echo "# $(date -u +%Y-%m-%d), $(uname -r), $(nproc) cores, two sites of $ranks at $rate ${link[*]}"
echo "# goodput of plain TCP, both ways at once: $before bytes/s"
table none hier,mpi
table int8 hier
table int4 hier
echo "# goodput afterwards: $(goodput) bytes/s"
echo "# 8 bytes between the sites, and on one node"
"$here/wan.sh" run --name "$name" -- "$bin/dist_perf" all-reduce -b 8 -e 8 -n 1000 -w 100 --algo auto,mpi | grep -v '^#'
"$here/wan.sh" run --sites 1 --ranks 2 -- "$bin/dist_perf" all-reduce -b 8 -e 8 -n 20000 -w 100 --algo auto,mpi | grep -v '^#'
