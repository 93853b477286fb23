#!/bin/sh
# dist_info without mpirun: each flag prints its part, with a GPU, as the fake CUDA has one, and without.
#   dist_info.sh BUILD
set -eu
info=$1/bin/dist_info
fakes=$1/tests/fake
[ -x "$info" ] || { echo "no $info"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# says WORDS FLAG...: the output has a line with these words.
says() {
    words=$1
    shift
    "$info" "$@" >"$work/out" 2>&1 || { echo "dist_info $*: exit code $?"; failures=1; }
    grep -q -e "$words" "$work/out" && return
    echo "dist_info $*: no line says '$words':"
    cat "$work/out"
    failures=1
}

export DIST_CUDA=off
says '^libdist [0-9.]*, MPI' -t
says '^1 rank on 1 node in 1 site' -t
says '^DIST_CUDA  *off  *environment' -c
says '^DIST_TUNING  *""  *default' -c
says '^CUDA: none: CUDA is switched off' -d
says '^NCCL: ' -d
says '^MPI: ' -d
says '^# predicted microseconds' -a
for words in '^libdist' '^DIST_SITE' '^1 rank' '^CUDA: ' '^# predicted'; do
    says "$words"
done
DIST_NCCL=off says '^NCCL: off' -d
DIST_NCCL=/no/such/library says '^NCCL: none: .*no/such/library' -d

export DIST_CUDA=auto DIST_CUDA_PLUGIN="$fakes/libfake_cuda.so" DIST_NCCL="$fakes/libfake_nccl.so"
says '^CUDA device 0: a fake, compute 9.0, 1.0 GiB, driver 13.0' -d
says '^NCCL: 2.28.9' -d
FAKE_CUDA_DEVICES=-1 says '^CUDA: none: .*error 35' -d
FAKE_CUDA_DEVICES=0 says '^CUDA: none: .*no CUDA device' -d

printf 'libdist-tuning 1\ncluster sites site0:0\nall-reduce none 0 4096 ring\n' >"$work/tuning"
export DIST_TUNING="$work/tuning"
says "^DIST_TUNING  *$work/tuning  *environment" -c
says "^tuning file: $work/tuning: 1 choice" -t
says '^  *4096 .*  ring (tuning file)' -a
says '^all-reduce none 0 4096 ring' -a
printf 'libdist-tuning 1\ncluster sites site0:0-1\n' >"$work/tuning"
code=0
"$info" >"$work/out" 2>&1 || code=$?
{ [ $code = 1 ] && grep -q "tuning:2: the file is of another cluster" "$work/out"; } || {
    echo "a tuning file of another cluster: exit code $code"
    cat "$work/out"
    failures=1
}
unset DIST_TUNING

code=0
"$info" --nonsense >"$work/out" 2>&1 || code=$?
[ $code = 2 ] || { echo "a flag that is none: exit code $code, not 2"; failures=1; }
[ $failures = 0 ] || exit 1
echo 'dist_info: all is well'
