#!/bin/sh
# train_gpt under mpirun: the same losses for any number of ranks, nearly the same with a codec between sites, and
# all ranks end together when their input is bad.
#
#   tests/mpi/test_train_gpt.sh FOLDER-OF-PROGRAMS
set -eu

bin=$1
mpirun=$(cd "$(dirname "$0")/.." && pwd)/mpirun.sh
if [ ! -x "$bin/train_gpt" ]; then
    echo "no $bin/train_gpt: it is built where there is a CBLAS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
small='--layers 2 --heads 2 --width 32 --context 32 --batch 8 --lr 0.003'
failures=0

problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
# A train_gpt under mpirun whose report is $work/NAME.
train() { # NAME SITES RANKS OPTION...
    name=$1 sites=$2 ranks=$3
    shift 3
    # shellcheck disable=SC2086
    if ! "$mpirun" -s "$sites" "$ranks" "$bin/train_gpt" --quiet $small --report "$work/$name" "$@"; then
        problem "$name did not finish"
        exit 1
    fi
    grep -q '"replicas_identical": true' "$work/$name" || problem "$name: replicas differ"
}
value() { # FIELD NAME
    sed -n 's/^  "'"$1"'": "\{0,1\}\([^",]*\)"\{0,1\},$/\1/p' "$work/$2"
}
curve() { # NAME
    sed -n 's/^  "loss_curve": \[\(.*\)\]$/\1/p' "$work/$1" | tr -d ' ' | tr ',' '\n'
}
# The losses of two runs differ nowhere by more than LIMIT, relatively.
near() { # NAME NAME LIMIT
    curve "$1" >"$work/left"
    curve "$2" >"$work/right"
    worst=$(paste "$work/left" "$work/right" | awk '
        { d = ($1 - $2) / $2; d = d < 0 ? -d : d; if (d > worst) worst = d }
        END { print NR ? worst + 0 : "none" }')
    echo "$1 and $2: losses differ by at most $worst"
    awk -v d="$worst" -v limit="$3" 'BEGIN { exit !(d != "none" && d + 0 <= limit) }' ||
        problem "$1 and $2 differ by $worst, more than $3"
}

# Steps are the same for any number of ranks, sites, parts of a batch and for a head of its own.
train one a 1 --steps 50
train four a,b 4 --steps 50 --algo hier --codec none
train mpi a,b 4 --steps 50 --algo mpi
train parts a,b 2 --steps 50 --accumulate 2 --algo hier --codec none
train untied1 a 1 --steps 20 --untied
train untied2 a,b 2 --steps 20 --untied --algo hier --codec none --bucket 4K
near four one 1e-3
near mpi one 1e-3
near parts one 1e-3
near untied2 untied1 1e-3
awk -v first="$(value loss_first one)" -v last="$(value loss_last one)" 'BEGIN { exit !(last < 0.75 * first) }' ||
    problem "the loss fell from $(value loss_first one) to $(value loss_last one) only"

# Codecs cost little. Both runs end on the same sequences, so that the last losses compare.
close_to() { # NAME NAME LIMIT
    echo "$1: $(value loss_last "$1"), $2: $(value loss_last "$2")"
    awk -v a="$(value loss_last "$1")" -v b="$(value loss_last "$2")" -v limit="$3" 'BEGIN {
        d = (a - b) / b; exit !((d < 0 ? -d : d) <= limit) }' ||
        problem "$1 ends at $(value loss_last "$1"), $2 at $(value loss_last "$2"): more than $3 apart"
}
for codec in none int8 int4; do
    train $codec a,b 4 --steps 200 --algo hier --codec $codec
done
close_to int8 none 0.01
close_to int4 none 0.03
awk -v none="$(value wan_bytes_per_step none)" -v int8="$(value wan_bytes_per_step int8)" \
    -v int4="$(value wan_bytes_per_step int4)" 'BEGIN { exit !(int8 < none / 3.5 && int4 < none / 6 && int4 > 0) }' ||
    problem "bytes across: $(for codec in none int8 int4; do value wan_bytes_per_step $codec; done)"

# Bad input: a sentence, exit code 2, and no rank waits for another until its deadline.
refused() { # PART-OF-THE-SENTENCE RANKS OPTION...
    part=$1 ranks=$2 code=0
    shift 2
    begin=$(date +%s)
    "$mpirun" -s a,b "$ranks" "$bin/train_gpt" --quiet --steps 2 "$@" >"$work/output" 2>&1 || code=$?
    end=$(date +%s)
    [ $code = 2 ] || problem "$*: exit code $code, not 2"
    grep -qF -e "$part" "$work/output" || problem "$*: no \"$part\" in: $(cat "$work/output")"
    [ "$(grep -c '^train_gpt: ' "$work/output")" = 1 ] || problem "$*: not one sentence: $(cat "$work/output")"
    [ $((end - begin)) -lt 15 ] || problem "$*: took $((end - begin)) seconds"
}
printf 'too short' >"$work/short"
refused 'No such file' 4 --data "$work/missing"
refused 'has 9 bytes, but one sequence takes 129' 4 --data "$work/short"
refused 'unknown option "--bogus"' 2 --bogus
refused 'cannot be split evenly over 4 ranks' 4 --batch 6
refused 'cannot write --report' 2 --report "$work/no/folder"
refused '--accumulate 3' 2 --batch 16 --accumulate 3

# A text that only one rank misses: the others must not wait for it. The same for different options.
mkdir "$work/a"
head -c 5000 "$0" >"$work/a/text"
cat >"$work/one_rank" <<'EOF'
#!/bin/sh
[ "$DIST_SITE" = a ] || set -- "$@" --data /nonexistent/text
exec "$PROGRAM" --quiet --steps 2 --batch 4 "$@"
EOF
cat >"$work/other_seed" <<'EOF'
#!/bin/sh
[ "$DIST_SITE" = a ] || set -- "$@" --seed 2
exec "$PROGRAM" --quiet --steps 2 --batch 4 "$@"
EOF
chmod +x "$work/one_rank" "$work/other_seed"
export PROGRAM="$bin/train_gpt"
code=0
"$mpirun" -s a,b 2 "$work/one_rank" --data "$work/a" >"$work/output" 2>&1 || code=$?
{ [ $code = 2 ] && grep -q '^train_gpt: .*/nonexistent/text' "$work/output"; } ||
    problem "a text that one rank misses: exit code $code, $(cat "$work/output")"
code=0
"$mpirun" -s a,b 2 "$work/other_seed" >"$work/output" 2>&1 || code=$?
{ [ $code = 2 ] && grep -q 'different options' "$work/output"; } ||
    problem "different seeds: exit code $code, $(cat "$work/output")"

"$bin/train_gpt" --help >"$work/output" || problem "--help: exit code $?"
grep -q -e --accumulate "$work/output" || problem "--help does not name --accumulate"

[ $failures = 0 ] || exit 1
echo "train_gpt: all is well"
