#!/bin/sh
# train_gpt_cuda, on a GPU or with its kernels run on a CPU, against train_gpt: the same losses within rounding, the
# same fields in the report, checkpoints that the other one loads, and gradients dumped alike.
#
#   tests/simt/gpt/train_gpt_cuda.sh TRAIN_GPT TRAIN_GPT_CUDA
set -eu

cpu=$1
gpu=$2
mpirun=$(cd "$(dirname "$0")/../.." && pwd)/mpirun.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
small='--layers 2 --heads 2 --width 40 --context 24 --batch 4 --lr 0.003'
failures=0

problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
train() { # NAME PROGRAM SITES RANKS OPTION...
    name=$1 program=$2 sites=$3 ranks=$4
    shift 4
    # shellcheck disable=SC2086
    if ! "$mpirun" -s "$sites" "$ranks" "$program" $small --report "$work/$name" "$@" >"$work/$name.out" 2>&1; then
        problem "$name did not finish: $(cat "$work/$name.out")"
        exit 1
    fi
    grep -q '"replicas_identical": true' "$work/$name" || problem "$name: replicas differ"
}
numbers() { # FIELD NAME
    sed -n 's/^  "'"$1"'": \[\{0,1\}\([^]]*[^],]\)\]\{0,1\},\{0,1\}$/\1/p' "$work/$2" | tr -d ' ' | tr ',' '\n'
}
# A field of two reports differs nowhere by more than LIMIT, relatively.
near() { # FIELD NAME NAME LIMIT
    numbers "$1" "$2" >"$work/left"
    numbers "$1" "$3" >"$work/right"
    worst=$(paste "$work/left" "$work/right" | awk '
        NF == 2 { d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (d > worst) worst = d; n++ }
        END { print n && n == NR ? worst + 0 : "not comparable" }')
    echo "$2 and $3: $1 differs by at most $worst in $(wc -l <"$work/left") numbers"
    awk -v d="$worst" -v limit="$4" 'BEGIN { exit !(d ~ /^[0-9.e+-]+$/ && d + 0 <= limit) }' ||
        problem "$1 of $2 and $3: $worst, more than $4"
}
same_options() { # BASE SITES RANKS OPTION...
    base=$1
    shift
    train "$base.cpu" "$cpu" "$@"
    train "$base.gpu" "$gpu" "$@"
    near loss_curve "$base.gpu" "$base.cpu" 2e-5
}

code=0
"$mpirun" 1 "$gpu" --quiet --steps 1 --batch 1 --layers 1 --width 4 --context 4 >"$work/output" 2>&1 || code=$?
if [ $code = 77 ]; then
    grep '^train_gpt_cuda: no CUDA device' "$work/output" || exit 1
    exit 77
fi

same_options one a 1 --steps 6 --untied --dump-gradients "$work/dump" --dump-step 3
same_options two a,b 2 --steps 12 --algo hier --codec none --validate 5
near validation_loss two.gpu two.cpu 2e-5
near wan_bytes_total two.gpu two.cpu 0
near buckets two.gpu two.cpu 0
same_options parts a,b 2 --steps 6 --accumulate 2 --algo hier --codec int8
near wan_bytes_total parts.gpu parts.cpu 0
fields() {
    sed -n 's/^  \("[a-z_]*"\).*/\1/p' "$work/$1"
}
[ "$(fields two.gpu)" = "$(fields two.cpu)" ] || problem "the reports have different fields"

# Figures are read now and then; no loss is left out of the report.
[ "$(numbers loss_curve two.gpu | wc -l)" = 12 ] || problem "not 12 losses: $(numbers loss_curve two.gpu)"
[ "$(grep -o 'step [0-9]*/12  [vl][^ ]*' "$work/two.gpu.out" | tr '\n' ';')" = \
    'step 5/12  loss;step 5/12  validation;step 10/12  loss;step 10/12  validation;step 12/12  loss;' ] ||
    problem "shown: $(cat "$work/two.gpu.out")"

# Each goes on from the other's checkpoint, with what the codec owes, as it does from its own.
codec='--algo hier --codec int4'
# shellcheck disable=SC2086
{
    train whole "$cpu" a,b 2 --steps 8 $codec
    train from_cpu.first "$cpu" a,b 2 --steps 4 --warmup 10 $codec --save "$work/cpu.checkpoint"
    train from_cpu "$gpu" a,b 2 --steps 8 $codec --load "$work/cpu.checkpoint" --save "$work/gpu.checkpoint"
    train from_gpu "$cpu" a,b 2 --steps 9 $codec --load "$work/gpu.checkpoint"
    train whole9 "$cpu" a,b 2 --steps 9 $codec
}
near loss_last from_cpu whole 1e-4
near loss_last from_gpu whole9 1e-4

train again "$cpu" a 1 --steps 6 --untied --dump-gradients "$work/dump.cpu" --dump-step 3
for file in dump dump.cpu; do
    od -An -v -tf4 -w4 "$work/$file" >"$work/$file.numbers"
done
error=$(paste "$work/dump.numbers" "$work/dump.cpu.numbers" | awk '
    NF == 2 { d += ($1 - $2) ^ 2; size += $2 ^ 2; n++ } END { print n && n == NR ? sqrt(d / size) : "not comparable" }')
echo "dumped gradients differ by $error in $(wc -l <"$work/dump.numbers") numbers"
awk -v d="$error" 'BEGIN { exit !(d ~ /^[0-9.e+-]+$/ && d + 0 <= 1e-5) }' || problem "dumped gradients differ: $error"

# What GPUs do not have is refused, and a failure is told once.
code=0
"$mpirun" 2 "$gpu" --untied --mesh pp:2 >"$work/output" 2>&1 || code=$?
{ [ $code = 2 ] && [ "$(grep -c '^train_gpt_cuda: --mesh' "$work/output")" = 1 ]; } ||
    problem "--mesh: exit code $code, $(cat "$work/output")"

[ $failures = 0 ] || exit 1
echo "train_gpt_cuda: all is well"
