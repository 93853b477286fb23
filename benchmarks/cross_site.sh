#!/usr/bin/env bash
# What all-reduces between emulated sites cost, beside plain TCP and the linked MPI: the rows of results/cross-site.md.
#
#   cross_site.sh [--bin DIR] [-n 7] [PART...]
#
# Parts, all but `quick` when none is named:
#   flat    two sites of two ranks, 200 Mbit/s: uncompressed, int8, int4; MPI as it comes, and with coll/han
#   long    the same at 30 ms round trip
#   lossy   two sites of one rank at 30 ms, cubic and 0.05 % loss: streams by number and auto, and MPI
#   four    four sites of one rank, 200 Mbit/s each
#   quick   two sites of two ranks, 200 Mbit/s, 16M alone: two minutes
#
# In each run dist_perf measures the goodput of plain TCP first; time/bound is the median over the bytes that must cross a direction at
# that goodput. Run it on an idle machine; nothing here is a test.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/../build/release/bin iterations=7 parts=()
while [ $# -gt 0 ]; do
    case $1 in
    --bin) bin=$2 && shift ;;
    -n) iterations=$2 && shift ;;
    flat | long | lossy | four | quick) parts+=("$1") ;;
    *)
        sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=(flat long lossy four)
bin=$(cd "$bin" && pwd)
name=cross-site-$$
trap '"$here/wan.sh" down --name "$name" >/dev/null 2>&1 || true' EXIT

emulate() { # LINK...
    "$here/wan.sh" down --name "$name" >/dev/null 2>&1 || true
    "$here/wan.sh" up --name "$name" "$@" >/dev/null
    echo
    echo "### ${*//--/}"
    echo
    echo '| what | size | median s | p95 s | wan bytes | bound s | time/bound | cpu | #wrong | #diverge |'
    echo '|---|---|---|---|---|---|---|---|---|---|'
}
# WHAT [NAME=VALUE...] -- FLAG...: rows, and what the bound was made of
rows() {
    local what=$1 settings=()
    shift
    while [ "$1" != -- ]; do
        settings+=("$1")
        shift
    done
    shift
    "$here/wan.sh" run --name "$name" -- env "${settings[@]}" "$bin/dist_perf" all-reduce -n "$iterations" -w 2 \
        --place out "$@" |
        awk -v what="$what" '
            /^# bound/ { sub(/^# bound: at the goodput of plain TCP, all links both ways at once: /, ""); bound = $0 }
            !/^#/ && NF == 27 {
                printf "| %s %s %s | %d MiB | %.3f | %.3f | %s | %.3f | %s | %s | %s | %s |\n", what, $14, $15,
                    $1 / 1048576, $16 / 1e6, $17 / 1e6, $20, $23 / 1e6, $24, $26, $9, $25
            }
            END { print "<!-- plain TCP: " bound " -->" }'
}

echo "# $(date -u +%Y-%m-%d), $(uname -r), $(nproc) cores"
for part in "${parts[@]}"; do
    case $part in
    flat)
        emulate --sites 2 --ranks 2 --rate 200mbit
        rows '' -- -b 16M -e 64M -f 4 --algo hier,mpi --codec none,int8,int4
        rows coll/han OMPI_MCA_coll_han_priority=100 -- -b 16M -e 64M -f 4 --algo mpi
        ;;
    long)
        export WAN_LINK_THREADS=1 # one core is too little for what these streams send
        emulate --sites 2 --ranks 2 --rate 200mbit --delay 15ms
        rows '' -- -b 16M -e 64M -f 4 --algo hier,mpi --codec none,int8
        rows coll/han OMPI_MCA_coll_han_priority=100 -- -b 64M -e 64M --algo mpi -n 1 -w 0 # 46 s each
        ;;
    lossy)
        export WAN_LINK_THREADS=1
        emulate --sites 2 --ranks 1 --rate 200mbit --delay 15ms --congestion cubic --loss 0.05
        rows 'auto streams' -- -b 16M -e 16M --algo auto
        for streams in 1 4 16 64; do
            rows "$streams streams" -- -b 16M -e 16M --algo auto --streams "$streams"
        done
        rows MPI -- -b 16M -e 16M --algo mpi
        ;;
    four)
        emulate --sites 4 --ranks 1 --rate 200mbit
        rows '' -- -b 16M -e 64M -f 4 --algo hier,mpi --codec none,int8
        ;;
    quick)
        emulate --sites 2 --ranks 2 --rate 200mbit
        rows '' -- -b 16M -e 16M --algo hier --codec none,int8,int4
        ;;
    esac
done
