#!/bin/sh
# Trains a GPT on two sites of two ranks with 200 Mbit/s between them, four ways, and shows what each costs; then, with 100
# Mbit/s and a round trip of 30 ms, as a pipeline across the slow link.
#
#   examples/demo.sh [options]
#
#   --steps N    optimizer steps of each way (default 30: about five minutes on two cores)
#   --rate RATE  of the first link between the sites, in each direction (default 200mbit)
#   --quick      a small model and few steps, to see that everything works
#   --bin DIR    use the programs in DIR; install and build nothing
#   --out DIR    where the reports go (default build/demo)
#   --help       print this
#
# On a fresh Debian or Ubuntu it installs what is missing (as root or with sudo) and builds the library. Then it
# trains on this machine's licence texts: with plain MPI, with libdist's hierarchical all-reduce, and with that
# and gradients of 8 and of 4 bits between the sites; then data-parallel and pipeline-parallel across a slower link. The sites are network namespaces (benchmarks/wan.sh); where
# those are not permitted the link is not slowed, and it says so.
#
# Writes report.json (all reports) and trace.json (open it in ui.perfetto.dev or chrome://tracing).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
steps=30
rate=200mbit
bin=
out=$root/build/demo
model='--batch 32' microbatches=8

usage() {
    printf 'demo.sh: %s; --help lists the options\n' "$1" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0" && exit 0 ;;
    --quick) steps=6 model='--batch 8 --layers 2 --width 64 --context 64' microbatches=4 && shift && continue ;;
    --steps | --rate | --bin | --out) [ $# -ge 2 ] || usage "$1 needs a value" ;;
    *) usage "unknown option '$1'" ;;
    esac
    case $1 in
    --steps) steps=$2 ;;
    --rate) rate=$2 ;;
    --bin) bin=$2 ;;
    --out) out=$2 ;;
    esac
    shift 2
done
case $steps in
'' | *[!0-9]* | 0*) usage "--steps takes a whole number above 0, not '$steps'" ;;
esac

say() {
    printf '\n== %s\n' "$*"
}
field() { # NAME FILE
    sed -n 's/^  "'"$1"'": "\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' "$2"
}

prepare() {
    say "Installing what is missing (cmake/install-dependencies.sh build wan examples)"
    "$root/cmake/install-dependencies.sh" build wan examples
    say "Building (cmake --preset release)"
    (cd "$root" && cmake --preset release && cmake --build --preset release --parallel "$(nproc)" --target train_gpt)
    bin=$root/build/release/bin
}

# Two sites of two ranks; the rest are options of train_gpt. The link's counters go to $out/link.
train() {
    # shellcheck disable=SC2086
    "$root/benchmarks/wan.sh" run --sites 2 --ranks 2 $limits --bytes --mpirun "$bind" -- \
        "$bin/train_gpt" --steps "$steps" --progress "$progress" $model "$@" 2>"$out/errors" || {
        code=$?
        cat "$out/errors" >&2
        exit $code
    }
    sed -n 's/^site=.* tx=\([0-9]*\) .*/\1/p' "$out/errors" >"$out/link"
    grep -v '^site=' "$out/errors" >&2 || true
    ! grep -q 'link not slowed' "$out/errors" || link='a link that is not slowed'
}

# Adds to a report what the link's interfaces counted. MPI does not tell which of its bytes cross sites: there the
# count stands in.
add_link_bytes() { # REPORT
    bytes=$(awk -v steps="$steps" '
        { sum += $1 }
        END { if (NR) printf "%.0f", sum / steps; else print "null" }' "$out/link")
    sed "s/^  \"wan_bytes_per_step\": null,/  \"wan_bytes_per_step\": $bytes,/
        s/^  \"wan_bytes_total\".*/&\n  \"link_bytes_per_step\": $bytes,/" "$1" >"$1.new"
    mv "$1.new" "$1"
}

one_way() { # ALGO CODEC
    say "Training with algo $1, codec $2"
    train --algo "$1" --codec "$2" --report "$out/$1-$2.json"
    add_link_bytes "$out/$1-$2.json"
}

# The same model across a slower link, data-parallel or with its blocks on both sites; a head of its own, as pipelines need.
across() { # NAME OPTION...
    name=$1
    shift
    say "Training across 100 Mbit/s and 30 ms: $name"
    train --untied --algo hier "$@" --report "$out/$name.json"
    add_link_bytes "$out/$name.json"
}

reference() {
    count=$((steps < 50 ? steps : 50))
    say "Training the first $count steps in a single process"
    # shellcheck disable=SC2086
    "$bin/train_gpt" --steps $count --progress "$progress" $model --report "$out/single.json"
}

row() { # REPORT
    awk -v report="$1" -v base="$(field step_ms_median "$out/mpi-none.json")" '
        { gsub(/[",]/, ""); sub(/:$/, "", $1); value[$1] = $2 }
        END {
            link = value["wan_bytes_per_step"]
            link = link == "null" ? "-" : sprintf("%.2f", link / 1e6)
            printf "%-5s %-6s %10.4f %10.4f %9.0f %11.0f %11.0f %10s %8.2fx  %s\n", value["algo"], value["codec"],
                value["loss_first"], value["loss_last"], value["step_ms_median"], value["compute_ms_median"],
                value["exposed_ms_median"], link, base / value["step_ms_median"],
                value["replicas_identical"] == "true" ? "yes" : "NO"
        }' "$1"
}

table() {
    say "Two sites of two ranks, $link between them, $(field params "$out/hier-none.json") parameters, $steps steps"
    printf '%-5s %-6s %10s %10s %9s %11s %11s %10s %9s  %s\n' algo codec 'loss first' 'loss last' 'step ms' \
        'compute ms' 'exposed ms' 'link MB' speedup identical
    for report; do row "$report"; done
    echo '(times: medians of a step; link MB: sent between the sites in a step; speedup: over mpi)'
}

pipeline_row() { # NAME: step, what the pipeline took and was predicted to
    awk -v name="$1" -v base="$(field step_ms_median "$out/dp4.json")" '
        { gsub(/[",]/, ""); sub(/:$/, "", $1); value[$1] = $2 }
        END {
            link = value["wan_bytes_per_step"]
            link = link == "null" ? "-" : sprintf("%.2f", link / 1e6)
            pipeline = predicted = "-"
            if ("pipeline_ms_median" in value) {
                pipeline = sprintf("%.0f", value["pipeline_ms_median"])
                predicted = sprintf("%.0f", value["pipeline_predicted_ms"])
            }
            printf "%-22s %10.4f %9.0f %12s %13s %10s %8.2fx  %s\n", name, value["loss_last"], value["step_ms_median"],
                pipeline, predicted, link, base / value["step_ms_median"],
                value["replicas_identical"] == "true" ? "yes" : "NO"
        }' "$out/$1.json"
}

pipeline_table() {
    say "Two sites of two ranks, 100 Mbit/s and a round trip of 30 ms between them, $steps steps"
    printf '%-22s %10s %9s %12s %13s %10s %9s  %s\n' way 'loss last' 'step ms' 'pipeline ms' 'predicted ms' 'link MB' speedup \
        identical
    for name; do pipeline_row "$name"; done
    echo '(dp4: data-parallel; pp2dp2: two stages, one on each site, and two replicas; pipeline: from its start to the end of its'
    echo ' last call, without averages and optimizer; speedup: over dp4)'
}

# The largest relative difference of two loss curves, as far as both go.
curve_difference() { # REPORT REPORT
    sed -n 's/^  "loss_curve": \[\(.*\)\]$/\1/p' "$1" "$2" | awk -F ', ' '
        NR == 1 { n = split($0, first) }
        NR == 2 {
            for (i = 1; i <= n && i <= NF; i++) {
                d = (first[i] - $i) / $i
                d = d < 0 ? -d : d
                worst = d > worst ? d : worst
            }
            printf "%.1e", worst
        }'
}

compare() {
    echo
    printf 'hier+none and a single process: losses of the first %d steps differ by at most %s\n' "$count" \
        "$(curve_difference "$out/hier-none.json" "$out/single.json")"
    for codec in int8 int4; do
        awk -v codec=$codec -v none="$(field loss_last "$out/hier-none.json")" \
            -v lossy="$(field loss_last "$out/hier-$codec.json")" \
            -v all="$(field exposed_fraction "$out/hier-$codec.json")" \
            -v last="$(field exposed_last_rank_fraction "$out/hier-$codec.json")" 'BEGIN {
                printf "hier+%s: last loss %+.2f%% against uncompressed; exposed: %.0f%% of the communication, ",
                    codec, (lossy / none - 1) * 100, all * 100
                printf "%.0f%% on the last rank to be ready (others wait for its compute, too)\n", last * 100 }'
    done
}

# On two cores each gets one rank of either site; left alone, the kernel now and then runs three on one core and one
# on the other, and all wait for the three.
bind=
[ "$(nproc)" != 2 ] || bind='--bind-to core:overload-allowed:if-supported'
link=$rate
limits="--rate $rate"
progress=lines
[ ! -t 1 ] || progress=line
[ -n "$bin" ] || prepare
mkdir -p "$out"
one_way mpi none
one_way hier none
one_way hier int8
one_way hier int4
reference
say "Tracing four steps with algo hier, codec int8"
all=$steps steps=4
train --algo hier --codec int8 --trace "$out/trace.json"
steps=$((all < 10 ? all : 10))
limits='--rate 100mbit --delay 15ms'
across dp4
across dp4-int8 --codec int8
across pp2dp2-1f1b --mesh pp:2,dp:2 --microbatches "$microbatches" --schedule 1f1b
across pp2dp2-wan-1f1b --mesh pp:2,dp:2 --microbatches "$microbatches" --schedule wan-1f1b
set -- "$out/mpi-none.json" "$out/hier-none.json" "$out/hier-int8.json" "$out/hier-int4.json"
{
    separator='['
    for report in "$@" "$out/dp4.json" "$out/dp4-int8.json" "$out/pp2dp2-1f1b.json" "$out/pp2dp2-wan-1f1b.json"; do
        printf '%s\n' "$separator" && cat "$report"
        separator=,
    done
    echo ']'
} >"$out/report.json"
few=$steps steps=$all
table "$@"
compare
steps=$few
pipeline_table dp4 dp4-int8 pp2dp2-1f1b pp2dp2-wan-1f1b
rm -f "$out/errors" "$out/link"
printf '\nReports: %s\nTrace:   %s (open it in ui.perfetto.dev or chrome://tracing)\n' "$out/report.json" \
    "$out/trace.json"
