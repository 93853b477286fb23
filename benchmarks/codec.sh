#!/usr/bin/env bash
# What codecs cost and lose, on random data and on real gradients:
#
#   codec.sh [--out DIR] [--steps 20] [--text PATH] [--bin DIR] [FLAG OF dist_perf codec...]
#
# Trains train_gpt for some steps on one rank, keeps the gradients of the last, and runs dist_perf codec with them. Writes
# codec.json, codec.txt (the table) and gradients.f32 to DIR (default: codec-results). Run it on an idle machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=codec-results steps=20 bin=$here/../build/release/bin
text=() flags=()
usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in -h | --help) usage ;; esac
    [ $# -gt 1 ] || usage
    case $1 in
    --out) out=$2 ;;
    --steps) steps=$2 ;;
    --text) text=(--data "$2") ;;
    --bin) bin=$2 ;;
    *) flags+=("$1" "$2") ;;
    esac
    shift 2
done
bin=$(cd "$bin" && pwd)
mkdir -p "$out"
"$bin/train_gpt" --quiet "${text[@]}" --steps "$steps" --dump-step "$steps" --dump-gradients "$out/gradients.f32"
{
    echo "# $(date -u +%Y-%m-%d), $(uname -r), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
    echo "# load before: $(cut -d ' ' -f 1-3 /proc/loadavg)"
    "$bin/dist_perf" codec --data "normal,student,$out/gradients.f32" -J "$out/codec.json" "${flags[@]}"
    echo "# load after: $(cut -d ' ' -f 1-3 /proc/loadavg)"
} | tee "$out/codec.txt"
