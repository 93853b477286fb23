#!/bin/sh
# train_gpt --dump-gradients: one rank's own gradients, whole, before they are averaged; dist_perf codec reads them.
#
#   tests/mpi/test_train_gpt_dump.sh FOLDER-OF-PROGRAMS
set -eu

bin=$1
mpirun=$(cd "$(dirname "$0")/.." && pwd)/mpirun.sh
if [ ! -x "$bin/train_gpt" ]; then
    echo "no $bin/train_gpt: it is built where there is a CBLAS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
dump() { # NAME RANKS OPTION...
    name=$1 ranks=$2
    shift 2
    "$mpirun" -s a,b "$ranks" "$bin/train_gpt" --quiet --layers 2 --heads 2 --width 32 --context 32 --steps 3 \
        --dump-gradients "$work/$name" --report "$work/$name.json" "$@" || problem "$name did not finish"
}

# In the first step rank 0 of two has the batch that one rank has alone, but not the same average.
dump one 1 --batch 2 --dump-step 1
dump two 2 --batch 4 --dump-step 1 --algo hier --bucket 4K
dump both 1 --batch 4 --dump-step 1
dump later 1 --batch 2 --dump-step 2
cmp "$work/one" "$work/two" || problem 'rank 0 of two wrote other gradients than one rank with the same batch'
! cmp -s "$work/one" "$work/both" || problem 'another batch has the same gradients'
! cmp -s "$work/one" "$work/later" || problem 'another step has the same gradients'
parameters=$(sed -n 's/^  "params": \([0-9]*\),$/\1/p' "$work/one.json")
[ "$(wc -c <"$work/one")" = $((4 * parameters)) ] ||
    problem "$(wc -c <"$work/one") bytes for $parameters parameters"

# A batch in two parts has the gradients of the whole, but for rounding.
dump parts 1 --batch 4 --dump-step 1 --accumulate 2
values() { # NAME
    od -An -v -w4 -tf4 "$work/$1"
}
values parts >"$work/left"
values both >"$work/right"
paste "$work/left" "$work/right" | awk '
    { d = $1 - $2; wrong += d * d; all += $2 * $2 }
    END { exit !(NR && all > 0 && wrong / all < 1e-9) }' || problem 'a batch in parts has other gradients'

# Each codec keeps its bound on them.
"$bin/dist_perf" codec -b 64K -e 64K -n 1 -w 0 --data "$work/one" -J "$work/codec.json" >"$work/table" ||
    problem "dist_perf codec: exit code $?: $(cat "$work/table")"
[ "$(grep -c '"nmse_gradient":[0-9].*"bound_met":true' "$work/codec.json")" = 15 ] ||
    problem "not all codecs keep their bound: $(cat "$work/table")"

refused() { # PART-OF-THE-SENTENCE CODE OPTION...
    part=$1 wanted=$2 code=0
    shift 2
    "$bin/train_gpt" --quiet --steps 2 --batch 2 --width 32 --context 32 "$@" >"$work/output" 2>&1 || code=$?
    { [ $code = "$wanted" ] && grep -qF -e "$part" "$work/output"; } ||
        problem "$*: exit code $code, $(cat "$work/output")"
}
refused '--dump-step 20 never comes with --steps 2' 2 --dump-gradients "$work/never"
refused '--dump-step takes a whole number' 2 --dump-step 0
refused 'cannot write --dump-gradients' 2 --dump-step 1 --dump-gradients "$work/no/folder"
if [ -w /dev/full ]; then
    refused 'cannot write all of --dump-gradients' 1 --dump-step 1 --dump-gradients /dev/full
fi

[ $failures = 0 ] || exit 1
echo 'train_gpt --dump-gradients: all is well'
