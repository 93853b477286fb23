#!/bin/sh
# train_gpt --mesh: every schedule and mesh has the losses of one process on the same batches, and what cannot be is refused.
#
#   tests/mpi/test_train_gpt_mesh.sh FOLDER-OF-PROGRAMS
set -eu

bin=$1
mpirun=$(cd "$(dirname "$0")/.." && pwd)/mpirun.sh
if [ ! -x "$bin/train_gpt" ]; then
    echo "no $bin/train_gpt: it is built where there is a CBLAS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
small='--layers 9 --heads 2 --width 16 --context 16 --batch 16 --lr 0.003 --untied --steps 12'
failures=0

problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
train() { # NAME RANKS OPTION...
    name=$1 ranks=$2
    shift 2
    sites=a,b
    [ "$ranks" -gt 1 ] || sites=a
    # shellcheck disable=SC2086
    "$mpirun" -s $sites "$ranks" "$bin/train_gpt" --quiet $small --report "$work/$name" "$@" >"$work/output" 2>&1 || {
        problem "$name did not finish: $(cat "$work/output")"
        exit 1
    }
    grep -q '"replicas_identical": true' "$work/$name" || problem "$name: replicas differ"
}
curve() { # NAME
    sed -n 's/^  "loss_curve": \[\(.*\)\]$/\1/p' "$work/$1" | tr -d ' ' | tr ',' '\n'
}
near_one() { # NAME LIMIT
    curve one >"$work/left"
    curve "$1" >"$work/right"
    worst=$(paste "$work/left" "$work/right" | awk '
        { d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (d > worst) worst = d }
        END { print NR ? worst + 0 : "none" }')
    echo "$1: losses differ from those of one process by at most $worst"
    awk -v d="$worst" -v limit="$2" 'BEGIN { exit !(d != "none" && d + 0 <= limit) }' ||
        problem "$1 differs by $worst, more than $2"
}

train one 1
for schedule in gpipe 1f1b eager1f1b interleaved:v=2 zb-h1 zb-h2 zb-v v-half v-min dualpipev wan-1f1b wan-zb auto; do
    train "pp2dp2-$schedule" 4 --mesh pp:2,dp:2 --microbatches 4 --schedule $schedule --algo hier
    near_one "pp2dp2-$schedule" 2e-6
done
train pp4 4 --mesh pp:4 --microbatches 16 --schedule interleaved:v=2 # nine blocks on eight stages
near_one pp4 2e-6
train dp2pp2 4 --mesh dp:2,pp:2 --microbatches 2 --schedule zb-h1 # fewer microbatches than would fill it
near_one dp2pp2 2e-6
train chosen 4 --mesh pp:2
near_one chosen 2e-6
train pp1 2 --mesh pp:1 --microbatches 2
near_one pp1 2e-6
train boundary 4 --mesh pp:2,dp:2 --microbatches 4 --schedule 1f1b --boundary-codec bf16 --codec int8 --algo hier
near_one boundary 1e-2

refused() { # PART-OF-THE-SENTENCE OPTION...
    part=$1 code=0
    shift
    "$mpirun" -s a,b 4 "$bin/train_gpt" --quiet --steps 2 "$@" >"$work/output" 2>&1 || code=$?
    [ $code = 2 ] || problem "$*: exit code $code, not 2"
    grep -qF -e "$part" "$work/output" || problem "$*: no \"$part\" in: $(cat "$work/output")"
}
refused 'needs --untied' --mesh pp:4
refused 'are no multiple of 3' --mesh pp:3 --untied
refused 'write pp:2,dp:2' --mesh 4x2 --untied
refused 'use a multiple of 10' --mesh pp:2,dp:2 --untied --microbatches 5
refused '--validate does not go with --mesh' --mesh pp:4 --untied --validate 1
refused '--layers 2 on 4 stages' --mesh pp:4 --untied --layers 2 --schedule 1f1b
refused '2f2b' --mesh pp:4 --untied --schedule 2f2b

[ $failures = 0 ] || exit 1
echo "train_gpt --mesh: all is well"
