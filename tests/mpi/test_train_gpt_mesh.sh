#!/bin/sh
# train_gpt --mesh: every schedule on every mesh has the losses of data parallel on the same microbatches, and those
# have the losses of one process; what cannot be is refused.
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
small='--layers 9 --heads 2 --width 16 --context 16 --batch 16 --lr 0.003 --steps 20 --algo hier'
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
    "$mpirun" -s $sites "$ranks" "$bin/train_gpt" --quiet $small --untied --report "$work/$name" "$@" >"$work/output" 2>&1 || {
        problem "$name did not finish: $(cat "$work/output")"
        exit 1
    }
    grep -q '"replicas_identical": true' "$work/$name" || problem "$name: replicas differ"
}
value() { # FIELD NAME
    sed -n 's/^  "'"$1"'": "\{0,1\}\([^",]*\)"\{0,1\},$/\1/p' "$work/$2"
}
curve() { # NAME
    sed -n 's/^  "loss_curve": \[\(.*\)\]$/\1/p' "$work/$1" | tr -d ' ' | tr ',' '\n'
}
# The losses of two runs of 20 steps differ somewhere by LEAST at least and nowhere by more than MOST, relatively.
differ() { # NAME NAME LEAST MOST
    curve "$1" >"$work/left"
    curve "$2" >"$work/right"
    worst=$(paste "$work/left" "$work/right" | awk '
        { d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (!(d <= worst)) worst = d }
        END { print NR == 20 ? worst + 0 : "none" }')
    echo "$1 and $2: losses differ by at most $worst"
    awk -v d="$worst" -v least="$3" -v most="$4" 'BEGIN { exit !(d != "none" && d + 0 >= least && d + 0 <= most) }' ||
        problem "losses of $1 and $2 differ by $worst, not by $3 to $4"
}
# The same additions in the same order: but for a last digit nothing differs. AdamW hides gradients of twice the size
# until losses differ by no more than 1e-7.
same() { # NAME NAME
    differ "$1" "$2" 0 1e-8
}

train one 1
train parts8 1 --accumulate 8
train parts4x2 2 --accumulate 4
differ parts8 one 0 2e-6
differ parts4x2 one 0 2e-6

for schedule in gpipe 1f1b eager1f1b interleaved:v=2 zb-h1 zb-h2 zb-v v-half v-min dualpipev wan-1f1b wan-zb auto; do
    train "pp4-$schedule" 4 --mesh pp:4 --microbatches 8 --schedule $schedule
    same "pp4-$schedule" parts8
    train "pp2dp2-$schedule" 4 --mesh pp:2,dp:2 --microbatches 4 --schedule $schedule
    same "pp2dp2-$schedule" parts4x2
done
for schedule in 1f1b zb-h1 zb-v; do # the other order takes the same way through all of them
    train "dp2pp2-$schedule" 4 --mesh dp:2,pp:2 --microbatches 4 --schedule $schedule
    same "dp2pp2-$schedule" parts4x2
done

# The library's order of axes and the default number of microbatches, 4.
train chosen 4 --mesh pp:2
same chosen parts4x2

# One stage: the weights themselves are the same.
train pp1 1 --mesh pp:1 --microbatches 8
train pp1dp2 2 --mesh pp:1,dp:2 --microbatches 4
for pair in pp1:parts8 pp1dp2:parts4x2; do
    [ "$(value weights_hash ${pair%:*})" = "$(value weights_hash ${pair#*:})" ] ||
        problem "$pair have different weights"
done

# Layers that do not divide, fewer microbatches than stages, sequences that were held out.
train uneven1 1 --layers 5 --accumulate 2 --validate 10
train uneven4 4 --layers 5 --mesh pp:4 --microbatches 2 --schedule zb-h1 --validate 10
same uneven4 uneven1
[ "$(value params uneven4)" = "$(value params uneven1)" ] || problem "uneven4 has $(value params uneven4) parameters"
awk -v a="$(value validation_loss uneven4)" -v b="$(value validation_loss uneven1)" 'BEGIN {
    d = (a - b) / b; exit !(b > 0 && (d < 0 ? -d : d) <= 1e-8) }' ||
    problem "validation: $(value validation_loss uneven4), in one process $(value validation_loss uneven1)"
train held2 2 --layers 5 --accumulate 4 --validate 20
train held2x2 4 --layers 5 --mesh dp:2,pp:2 --schedule v-half --validate 20
[ "$(value validation_loss held2)" = "$(value validation_loss held2x2)" ] ||
    problem "validation: $(value validation_loss held2x2), data-parallel $(value validation_loss held2)"

# Codecs between sites are at work, and cost little.
train boundary 4 --mesh pp:2,dp:2 --microbatches 4 --schedule 1f1b --boundary-codec bf16
differ boundary parts4x2 1e-7 1e-3
train both 4 --mesh dp:2,pp:2 --microbatches 4 --schedule 1f1b --codec int8
differ both parts4x2 1e-7 1e-2

awk -v mesh="$(value mesh pp4-gpipe)" -v schedule="$(value schedule pp4-gpipe)" -v m="$(value microbatches pp4-gpipe)" \
    -v span="$(value pipeline_ms_median pp4-gpipe)" -v predicted="$(value pipeline_predicted_ms pp4-gpipe)" \
    -v bubble="$(value pipeline_bubble pp4-gpipe)" -v expected="$(value pipeline_bubble_predicted pp4-gpipe)" 'BEGIN {
        exit !(mesh ~ /^pp:4/ && schedule == "gpipe" && m == 8 && span > 0 && predicted > 0 &&
            bubble >= 0 && bubble < 1 && expected > 3 / 11 - 0.001 && expected < 1) }' ||
    problem "the report of a pipeline: $(cat "$work/pp4-gpipe")"

refused() { # PART-OF-THE-SENTENCE RANKS OPTION...
    part=$1 ranks=$2 code=0
    shift 2
    # shellcheck disable=SC2086
    "$mpirun" "$ranks" "$bin/train_gpt" --quiet $small "$@" >"$work/output" 2>&1 || code=$?
    [ $code = 2 ] || problem "$*: exit code $code, not 2"
    grep -qF -e "$part" "$work/output" || problem "$*: no \"$part\" in: $(cat "$work/output")"
    [ "$(grep -c '^train_gpt: ' "$work/output")" = 1 ] || problem "$*: not one sentence: $(cat "$work/output")"
}
refused 'needs --untied' 1 --mesh pp:4
refused 'are no multiple of 3' 4 --untied --mesh pp:3
refused 'write pp:2,dp:2' 1 --untied --mesh 4x2
refused 'use a multiple of 10' 4 --untied --mesh pp:2,dp:2 --microbatches 5
refused '--accumulate does not go with --mesh' 1 --untied --mesh pp:4 --accumulate 2
refused '--save does not go with --mesh' 1 --untied --mesh pp:4 --save "$work/checkpoint"
refused '--load does not go with --mesh' 1 --untied --mesh pp:4 --load "$work/checkpoint"
refused '--dump-gradients does not go with --mesh' 1 --untied --mesh pp:4 --dump-gradients "$work/d" --dump-step 1
refused '--layers 2 on 4 stages' 4 --untied --mesh pp:4 --layers 2 --schedule 1f1b
refused '2f2b' 4 --untied --mesh pp:4 --schedule 2f2b
refused 'at least 8 microbatches' 4 --untied --mesh pp:4 --microbatches 4 --schedule dualpipev

[ $failures = 0 ] || exit 1
echo "train_gpt --mesh: all is well"
