#!/bin/sh
# train_gpt --save and --load: a job that goes on from a checkpoint trains as if it had not been interrupted, on other
# ranks and sites nearly so, and a bad checkpoint ends all ranks with a sentence.
#
#   tests/mpi/test_train_gpt_checkpoint.sh FOLDER-OF-PROGRAMS
set -eu

bin=$1
mpirun=$(cd "$(dirname "$0")/.." && pwd)/mpirun.sh
if [ ! -x "$bin/train_gpt" ]; then
    echo "no $bin/train_gpt: it is built where there is a CBLAS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DIST_CHUNK=1K # every rank of a site has a share of what its codec rounds away
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

# 20 steps, a checkpoint and 20 more are 40 steps: the same losses and weights, bit for bit.
same_as_uninterrupted() { # NAME SITES RANKS OPTION...
    run=$1
    shift
    train "$run.whole" "$@" --steps 40
    train "$run.begin" "$@" --steps 20 --save "$work/$run.saved"
    train "$run.end" "$@" --steps 40 --load "$work/$run.saved"
    curve "$run.whole" >"$work/wanted"
    curve "$run.begin" >"$work/found"
    curve "$run.end" >>"$work/found"
    [ "$(wc -l <"$work/found")" = 40 ] || problem "$run: $(wc -l <"$work/found") steps, not 40"
    cmp "$work/wanted" "$work/found" || problem "$run: the losses are not those of a job without a checkpoint"
    [ "$(value weights_hash "$run.whole")" = "$(value weights_hash "$run.end")" ] ||
        problem "$run: other weights after a checkpoint"
}
same_as_uninterrupted int4 a,b 4 --algo hier --codec int4
same_as_uninterrupted stochastic a,b 4 --algo hier --codec int4:sr
same_as_uninterrupted powersgd a,b 2 --algo hier --codec powersgd:rank=2:dense=25
same_as_uninterrupted none a,b 2 --algo hier --codec none

# A file for each rank, and none where nothing is kept.
saved=$(cd "$work" && echo int4.saved*)
[ "$saved" = 'int4.saved int4.saved.0 int4.saved.1 int4.saved.2 int4.saved.3' ] || problem "4 ranks saved $saved"
[ ! -f "$work/none.saved.0" ] || problem 'ranks that keep nothing saved it'

# On other ranks and sites it goes on: close to the job that was not interrupted.
close_to() { # NAME NAME LIMIT
    echo "$1: $(value loss_last "$1"), $2: $(value loss_last "$2")"
    awk -v a="$(value loss_last "$1")" -v b="$(value loss_last "$2")" -v limit="$3" 'BEGIN {
        d = (a - b) / b; exit !((d < 0 ? -d : d) <= limit) }' ||
        problem "$1 ends at $(value loss_last "$1"), $2 at $(value loss_last "$2"): more than $3 apart"
}
train fewer a,b 2 --steps 40 --algo hier --codec int4 --load "$work/int4.saved" --save "$work/fewer.saved"
train alone a 1 --steps 40 --load "$work/int4.saved"
train others a,b 4 --steps 40 --algo hier --codec int8:ef=bf16 --bucket 4K --load "$work/int4.saved"
close_to fewer int4.whole 0.02
close_to alone int4.whole 0.02
close_to others int4.whole 0.02
[ ! -f "$work/fewer.saved.2" ] || problem '2 ranks saved more than 2 parts'

# Parts that only some ranks can read, as where sites share no files, are handed in by these.
mkdir "$work/a" "$work/b"
cp "$work/int4.saved" "$work/int4.saved.0" "$work/int4.saved.1" "$work/a"
cp "$work/int4.saved.2" "$work/int4.saved.3" "$work/b"
cat >"$work/apart" <<'SCRIPT'
#!/bin/sh
exec "$PROGRAM" "$@" --load "$WORK/$DIST_SITE/int4.saved"
SCRIPT
chmod +x "$work/apart"
export PROGRAM="$bin/train_gpt" WORK="$work"
for ranks in 4 2; do
    # shellcheck disable=SC2086
    "$mpirun" -s a,b $ranks "$work/apart" --quiet $small --steps 40 --algo hier --codec int4 \
        --report "$work/apart.$ranks" || problem "$ranks ranks that share no files did not finish"
done
[ "$(value weights_hash apart.4)" = "$(value weights_hash int4.whole)" ] ||
    problem 'other weights where sites share no files'
[ "$(value weights_hash apart.2)" = "$(value weights_hash fewer)" ] ||
    problem 'other weights when other ranks hand in the parts'

# A bad checkpoint: one sentence, exit code 2, and no rank waits for another until its deadline.
refused() { # PART-OF-THE-SENTENCE OPTION...
    part=$1 code=0
    shift
    begin=$(date +%s)
    # shellcheck disable=SC2086
    "$mpirun" -s a,b 4 "$bin/train_gpt" --quiet $small --algo hier --codec int4 --steps 40 "$@" \
        >"$work/output" 2>&1 || code=$?
    end=$(date +%s)
    [ $code = 2 ] || problem "$*: exit code $code, not 2"
    grep -qF -e "$part" "$work/output" || problem "$*: no \"$part\" in: $(cat "$work/output")"
    [ "$(grep -c '^train_gpt: ' "$work/output")" = 1 ] || problem "$*: not one sentence: $(cat "$work/output")"
    [ $((end - begin)) -lt 15 ] || problem "$*: took $((end - begin)) seconds"
}
copy() {
    for end in '' .0 .1 .2 .3; do
        cp "$work/int4.saved$end" "$work/bad$end"
    done
}
refused 'No such file' --load "$work/missing"
refused 'it has done 20 steps' --load "$work/int4.saved" --steps 20
refused 'it has 2 layers' --load "$work/int4.saved" --layers 3
copy
rm "$work/bad.2"
refused 'no rank can read it' --load "$work/bad"
copy
head -c 100 "$work/int4.saved.1" >"$work/bad.1"
refused 'bad.*: rank 1: ' --load "$work/bad"
copy
cp "$work/int4.saved.0" "$work/bad.1"
refused 'twice' --load "$work/bad"
copy
cp "$work/stochastic.saved.3" "$work/bad.3"
printf 'x' | dd of="$work/bad.3" bs=1 seek=200 conv=notrunc 2>/dev/null
refused 'checksum' --load "$work/bad"
copy
head -c 5000 "$work/int4.saved" >"$work/bad"
refused 'truncated' --load "$work/bad"
code=0
# shellcheck disable=SC2086
"$mpirun" -s a,b 2 "$bin/train_gpt" --quiet $small --codec int4 --steps 2 --save "$work/no/folder" \
    >"$work/output" 2>&1 || code=$?
{ [ $code = 1 ] && grep -q 'cannot write .*no/folder' "$work/output"; } ||
    problem "a folder that is not there: exit code $code, $(cat "$work/output")"

[ $failures = 0 ] || exit 1
echo 'train_gpt --save and --load: all is well'
