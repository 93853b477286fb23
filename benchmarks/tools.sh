#!/usr/bin/env bash
# How far dist_perf is from the tools that everybody knows, and its predictions from what happens: the rows of results/dist_perf.md.
#
#   tools.sh [--bin DIR] [-n 5] [PART...]
#
# Parts, all when none is named:
#   node   latency and bandwidth of two ranks of this machine through MPI: dist_perf, and the loops of the OSU micro-benchmarks
#   link   the same over emulated links, beside iperf3 and a TCP round trip too
#   step   three training steps: predicted, and replayed
#
# What is compared takes turns N times; figures are medians. Run it on an idle machine; nothing here is a test.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/../build/release/bin times=5 parts=()
while [ $# -gt 0 ]; do
    case $1 in
    --bin) bin=$2 && shift ;;
    -n) times=$2 && shift ;;
    node | link | step) parts+=("$1") ;;
    *)
        sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=(node link step)
bin=$(cd "$bin" && pwd)
name=tools-$$
work=$(mktemp -d)
trap '"$here/wan.sh" down --name "$name" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
field() { # PATTERN NAME: of the first row with the pattern
    grep "$1" "$work/json" | sed -n "s/.*\"$2\":\([-0-9.e+]*\).*/\1/p" | head -n 1
}
# Two functions that print a figure each take turns.
compare() { # WHAT OURS THEIRS
    local i
    : >"$work/ours"
    : >"$work/theirs"
    for ((i = 0; i < times; i++)); do
        "$2" >>"$work/ours"
        "$3" >>"$work/theirs"
    done
    awk -v what="$1" -v a="$(median <"$work/ours")" -v b="$(median <"$work/theirs")" \
        'BEGIN { printf "| %s | %.2f | %.2f | %.3f |\n", what, a, b, a / b }'
}
launch() { "$here/../tests/mpirun.sh" 2 "$@"; }
across() { "$here/wan.sh" run --name "$name" -- "$@"; }
emulate() {
    "$here/wan.sh" down --name "$name" >/dev/null 2>&1 || true
    "$here/wan.sh" up --name "$name" --sites 2 "$@" >/dev/null
}
# ours COMMAND SIZE VIA FIELD; osu LOOP SIZE
ours() {
    "$run" "$bin/dist_perf" "$1" -b "$2" -e "$2" --via "$3" --seconds "${seconds:-1}" -J "$work/json" >/dev/null 2>&1
    field "\"algo\":\"$3\"" "$4"
}
osu() { "$run" "$bin/mpi_pattern" "$1" "$2" 1 2>/dev/null; }

node_part() {
    run=launch seconds=1
    echo '| two ranks of a node | dist_perf | OSU pattern | ratio |'
    echo '|---|---|---|---|'
    a() { ours latency 8 mpi time_us; } && b() { osu latency 8; }
    compare 'MPI, latency of 8 B, us' a b
    a() { ours latency 64K mpi time_us; } && b() { osu latency 65536; }
    compare 'MPI, latency of 64 KiB, us' a b
    a() { ours bandwidth 64K mpi forth_mbs; } && b() { osu bandwidth 65536; }
    compare 'MPI, bandwidth at 64 KiB, MB/s' a b
    a() { ours latency 8 libdist time_us; } && b() { osu latency 8; }
    compare 'libdist, latency of 8 B, and the same loop over MPI, us' a b
    a() { ours bandwidth 1M libdist forth_mbs; } && b() { osu bandwidth 1048576; }
    compare 'libdist, bandwidth at 1 MiB, and the same loop over MPI, MB/s' a b
}
iperf() { "$here/wan.sh" goodput --name "$name" --time 4 --streams "${1:-1}" | sed 's/.*site0_to_site1=\([0-9]*\).*/\1/' | awk '{ print $1 / 1e6 }'; }
half_rtt() { "$here/wan.sh" rtt --name "$name" | sed 's/.*median=\([0-9.]*\).*/\1/' | awk '{ print $1 * 500 }'; }
link_part() {
    local rate delay
    run=across seconds=3
    for link in '200mbit 0ms' '200mbit 15ms' '1gbit 0ms'; do
        read -r rate delay <<<"$link"
        emulate --ranks 1 --rate "$rate" --delay "$delay"
        echo
        echo "| two sites, $rate, $delay one way | dist_perf | the other | ratio |"
        echo '|---|---|---|---|'
        a() { ours bandwidth 256K libdist both_mbs; } && b() { iperf 1; }
        compare 'both ways at once, and iperf3 --bidir, MB/s' a b
        a() { ours latency 8 libdist time_us; } && b() { half_rtt; }
        compare 'latency, and half of a TCP round trip, us' a b
        a() { ours latency 8 mpi time_us; } && b() { osu latency 8; }
        compare 'MPI, latency, and the OSU pattern, us' a b
    done
}
step_part() {
    local i
    echo
    echo '| step | predicted ms | replayed ms | error |'
    echo '|---|---|---|---|'
    row() { # WHAT LINK... -- FLAG...
        local what=$1 links=()
        shift
        while [ "$1" != -- ]; do links+=("$1") && shift; done
        shift
        emulate "${links[@]}"
        for ((i = 0; i < times; i++)); do
            across "$bin/dist_perf" step "$@" -J "$work/json" >/dev/null
            awk -v what="$what" -v p="$(field '"what":"predicted"' step_us)" -v r="$(field '"what":"replayed"' step_us)" \
                'BEGIN { printf "| %s | %.1f | %.1f | %+.1f %% |\n", what, p / 1e3, r / 1e3, 100 * (p - r) / r }'
        done
    }
    row 'data parallel, 200 Mbit/s' --ranks 2 --rate 200mbit -- --params 4M --compute-ms 300
    row 'data parallel, int8, 200 Mbit/s, 30 ms' --ranks 2 --rate 200mbit --delay 15ms -- --params 10M --compute-ms 400 --codec int8
    row 'pp:2,dp:2, 100 Mbit/s, 30 ms' --ranks 2 --rate 100mbit --delay 15ms -- --params 4M --compute-ms 400 --mesh pp:2,dp:2 --microbatches 8 --boundary 256K
}
echo "# $(date -u +%Y-%m-%d), $(uname -r), $(nproc) cores, medians of $times"
for part in "${parts[@]}"; do "${part}_part"; done
