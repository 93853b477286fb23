#!/bin/sh
# Runs a program under mpirun on this machine, whoever runs it and however many processors there are.
#
#   tests/mpirun.sh [-s SITE,SITE,...] RANKS PROGRAM [ARGUMENT...]
#
# Ranks are dealt to the sites in blocks, the first sites getting one more when they do not divide: 3 ranks on
# `-s a,b` are a, a, b. Without -s DIST_SITE is left as it is. Exits as the program does (77 is a skip), or 124
# after TEST_TIMEOUT seconds (default 150). TEST_MPIRUN is the mpirun of the MPI that the program was built with (default
# mpirun): Open MPI's, or MPICH's hydra. The only place that holds flags of mpirun for tests.
set -eu

sites=
if [ "$1" = -s ]; then
    sites=$2
    shift 2
fi
ranks=$1
shift

mpirun=${TEST_MPIRUN:-mpirun}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export DIST_TIMEOUT="${DIST_TIMEOUT:-20}" # a rank that hangs ends with a sentence, long before the test is ended
export TEST_RANKS="$ranks"
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
# mpirun looks its machine's name up, for which a bare container asks a name server that may never answer.
export RES_OPTIONS="${RES_OPTIONS:-timeout:1 attempts:1}"

case $("$mpirun" --version 2>&1) in
*HYDRA*) hydra=1 ;;
*) hydra= ;;
esac

# No other machine is needed, so neither asks for ssh. More ranks than cores must yield to each other, which MPICH has no
# setting for; and containers often forbid the copies that vader would make out of another process's memory.
run() {
    if [ $hydra ]; then
        exec timeout -k 5 "${TEST_TIMEOUT:-150}" "$mpirun" -launcher fork -hosts localhost "$@" </dev/null
    fi
    exec timeout -k 5 "${TEST_TIMEOUT:-150}" "$mpirun" --oversubscribe --bind-to none \
        --mca mpi_yield_when_idle 1 --mca btl self,vader --mca btl_vader_single_copy_mechanism none \
        --mca plm isolated "$@" </dev/null
}

if [ -z "$sites" ]; then
    run -np "$ranks" "$@"
fi

# One group of ranks for each site, joined by colons. What is to run is repeated in each group, so it is kept
# in "$@" and the groups are appended behind it; then it is shifted away.
words=$#
site_count=$(printf '%s\n' "$sites" | tr ',' '\n' | wc -l)
site_number=0
for site in $(printf '%s' "$sites" | tr ',' ' '); do
    size=$(((ranks + site_count - 1 - site_number) / site_count))
    [ "$size" -gt 0 ] || break # mpirun takes no ranks for all that fit
    [ $site_number = 0 ] || set -- "$@" :
    if [ $hydra ]; then
        set -- "$@" -np "$size" -env DIST_SITE "$site"
    else
        set -- "$@" -np "$size" -x DIST_SITE="$site"
    fi
    i=0
    for word; do
        [ $i -lt $words ] || break
        set -- "$@" "$word"
        i=$((i + 1))
    done
    site_number=$((site_number + 1))
done
shift $words
run "$@"
