#!/bin/sh
# Ranks of a node that share memory: what each setting leads to, a /dev/shm without room, and a rank that is stopped in the middle.
#
#   tests/mpi/test_shm.sh FOLDER-OF-PROGRAMS
set -eu

bin=$1
mpirun=$(cd "$(dirname "$0")/.." && pwd)/mpirun.sh
if [ ! -x "$bin/dist_perf" ]; then
    echo "no $bin/dist_perf: it is built with DIST_PROGRAMS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
# WAY, as dist_info calls it, under the settings of the environment: sums are right, and no more is left in /dev/shm than before
expect() {
    code=0
    "$mpirun" 3 "$bin/dist_info" -t >"$work/info" 2>&1 || code=$?
    grep -q "^inside sites: $1" "$work/info" || problem "not '$1': exit code $code, $(cat "$work/info")"
    for memory in dist_alloc malloc; do
        code=0
        "$mpirun" 3 "$bin/dist_perf" all-reduce -b 8 -e 8M -f 32 -n 3 -w 1 --algo auto --memory $memory --link-rate off \
            -J "$work/json" >"$work/table" 2>&1 || code=$?
        { [ $code = 0 ] && grep -q '"wrong":0,' "$work/json"; } ||
            problem "$1, $memory: exit code $code, $(cat "$work/table")"
    done
    ! ls /dev/shm/libdist-* 2>/dev/null || problem "$1: segments keep their names"
}
expect 'shared memory, and'
(DIST_SHM=stage && export DIST_SHM && expect 'shared memory, in' && [ $failures = 0 ]) || problem 'DIST_SHM=stage'
(DIST_SHM=off && export DIST_SHM && expect 'mpi' && [ $failures = 0 ]) || problem 'DIST_SHM=off'

# Room for nothing, and for the segments but not for buffers; Open MPI keeps its own elsewhere.
if ! "$bin/dist_info" | grep -q 'Open MPI'; then
    echo 'a file system of our own at /dev/shm: this MPI cannot do without room there itself, left out'
elif unshare -m sh -c 'mount -t tmpfs -o size=64k none /dev/shm' 2>/dev/null; then
    cat >"$work/little" <<'END'
#!/bin/sh
mount -t tmpfs -o size=$1 none /dev/shm
shift
"$@"
END
    chmod +x "$work/little"
    whole=$mpirun
    mpirun=$work/mpirun
    for size in 64k 24m; do
        cat >"$mpirun" <<END
#!/bin/sh
export OMPI_MCA_btl_vader_backing_directory=/tmp DIST_LOG=info
exec unshare -m "$work/little" $size "$whole" "\$@"
END
        chmod +x "$mpirun"
        if [ $size = 64k ]; then expect 'mpi'; else expect 'shared memory, and'; fi
    done
    mpirun=$whole
else
    echo 'a file system of our own at /dev/shm: not permitted here, left out'
fi

# One is stopped while all add up: the others end within the deadline and name it.
code=0
cat >"$work/stopping" <<'END'
#!/bin/sh
"$@" &
if [ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-}}" = 1 ]; then
    sleep 3
    kill -STOP $!
    sleep 8
    kill -KILL $!
fi
wait $!
END
chmod +x "$work/stopping"
"$mpirun" 2 "$work/stopping" "$bin/dist_perf" all-reduce -b 1M -e 1M -n 1000000 --algo auto -T 2 --link-rate off -c 0 \
    >"$work/table" 2>&1 || code=$?
{ [ $code != 0 ] && grep -q 'rank 0 .*deadline.*in shared memory rank 1 has not come' "$work/table"; } ||
    problem "a stopped rank: exit code $code, $(cat "$work/table")"

[ $failures = 0 ] || exit 1
echo 'shared memory inside a node: all is well'
