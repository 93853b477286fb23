#!/bin/sh
# dist_info, mostly without mpirun: each flag prints its part, with a GPU, as the fake CUDA has one, and without.
#   dist_info.sh BUILD
set -eu
info=$1/bin/dist_info
fakes=$1/tests/fake
[ -x "$info" ] || { echo "no $info"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
asked=

wrong() {
    echo "dist_info $asked: $*:"
    cat "$work/out"
    failures=1
}
# run FLAG...: what it prints is kept.
run() {
    asked=$*
    code=0
    "$info" "$@" >"$work/out" 2>&1 || code=$?
    [ $code = 0 ] || wrong "exit code $code"
}
# has WORDS...: each is in a line of what was printed; and lacks: in none.
has() {
    for words; do
        grep -q -e "$words" "$work/out" || wrong "no line says '$words'"
    done
}
lacks() {
    for words; do
        ! grep -q -e "$words" "$work/out" || wrong "a line says '$words'"
    done
}
export DIST_CUDA=off
build='^libdist [0-9.]*, .*(MPI [0-9.]*), compiler .* loops, .*hwloc.*, no sanitizers, .*CUDA plugin'
machine='^MPI library: .*[0-9]' options='^DIST_CUDA  *off  *environment' topology='^1 rank on 1 node in 1 site'
devices='^CUDA: none: CUDA is switched off' algorithms='^# predicted microseconds' links='^inside site0: latency'

# ---- flags ----

run
has "$build" "$machine" "$options" "$topology" "$devices" "$algorithms"
lacks "$links"
run -m -d
has "$build" "$machine" "$devices"
lacks "$options" "$topology" "$links" "$algorithms"
run -c -t
has "$options" "$topology"
lacks "$machine" "$devices" "$links" "$algorithms"
run -l -a
has "$topology" "$links" "$algorithms"
lacks "$machine" "$devices" "$options"
run --machine --links --devices
has "$machine" "$topology" "$links" "$devices"
lacks "$options" "$algorithms"
run --cpu --options
has "$machine" "$options"
lacks "$topology" "$algorithms"
run --topology --algorithms
has "$topology" "$algorithms"
lacks "$options" "$links"

for flag in -V --version; do
    run $flag
    has "$build"
    [ "$(wc -l <"$work/out")" = 1 ] || wrong 'more than a line'
done
run --help
has '^usage: dist_info'
asked=--nonsense code=0
"$info" --nonsense >"$work/out" 2>&1 || code=$?
[ $code = 2 ] || wrong "exit code $code, not 2"
has 'no flag "--nonsense"' '^usage: dist_info'

# ---- the machine ----

DIST_SIMD=scalar run -m
has '^MPI threads: MPI_THREAD_[A-Z]*' '^SIMD scalar: runs here; codecs take it: DIST_SIMD asks for it' '^SIMD of sums: ' \
    '^processors: this process may run on [1-9][0-9]* of [1-9]' '^NUMA: '

# One of two NUMA nodes, as hwloc describes it; unbound, and bound to the first node.
if grep -q ' hwloc [0-9]' "$work/out"; then
    export HWLOC_SYNTHETIC='numa:2 core:2 pu:1'
    run -m
    has '^SIMD .*: runs here; codecs take it: the best that runs here' \
        '^NUMA: 2 nodes (described .*); this process may run near 2 of them'
    if taskset -c 0 true 2>/dev/null; then
        printf '#!/bin/sh\nexec taskset -c 0 "%s" "$@"\n' "$info" >"$work/bound"
        chmod +x "$work/bound"
        export HWLOC_THISSYSTEM=1
        program=$info info=$work/bound
        run -m
        has '^NUMA: 2 nodes; this process is bound to node 0'
        unset HWLOC_THISSYSTEM
        info=$program
    fi
    unset HWLOC_SYNTHETIC
else
    has '^NUMA: not known: .*without hwloc'
fi

# ---- rails of two sites of unequal size ----

asked='-t on 3 ranks'
"$(dirname "$0")/../mpirun.sh" -s a,b 3 "$info" -t >"$work/out" 2>&1 || wrong 'it failed'
has '^rail 0: ranks 0,2$' '^on no rail.*: ranks 1$'

# ---- a tuning file ----

printf 'libdist-tuning 1\ncluster sites site0:0\nall-reduce none 0 4096 ring\n' >"$work/tuning"
export DIST_TUNING="$work/tuning"
run -c -t -a
has "^DIST_TUNING  *$work/tuning  *environment" "^tuning file: $work/tuning: 1 choice" \
    '^  *4096 .*  ring (tuning file)' '^all-reduce none 0 4096 ring'
printf 'libdist-tuning 1\ncluster sites site0:0-1\n' >"$work/tuning"
asked='of another cluster' code=0
"$info" >"$work/out" 2>&1 || code=$?
[ $code = 1 ] || wrong "exit code $code, not 1"
has 'tuning:2: the file is of another cluster'
unset DIST_TUNING

# ---- devices ----

DIST_NCCL=off run -d
has '^NCCL: off' '^MPI: '
DIST_NCCL=/no/such/library run -d
has '^NCCL: none: .*no/such/library'
export DIST_CUDA=auto DIST_CUDA_PLUGIN="$fakes/libfake_cuda.so" DIST_NCCL="$fakes/libfake_nccl.so"
run -d
has '^CUDA device 0: a fake, compute 9.0, 1.0 GiB, driver 13.0' '^NCCL: 2.28.9'
FAKE_CUDA_DEVICES=-1 run -d
has '^CUDA: none: .*error 35'
FAKE_CUDA_DEVICES=0 run -d
has '^CUDA: none: .*no CUDA device'

[ $failures = 0 ] || exit 1
echo 'dist_info: all is well'
