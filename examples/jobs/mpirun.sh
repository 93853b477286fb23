#!/bin/sh
# Trains on two sites without a batch system, with nothing but mpirun and ssh from this host to all others:
#
#     examples/jobs/mpirun.sh [PROGRAM [ARGUMENT...]]
#
# To change: the hosts of each site with the ranks of each (in `sites`, or SITES of the environment), PROGRAM, and what more mpirun needs
# (MPIRUN_FLAGS). PROGRAM has the same path on all hosts.
set -eu
sites=${SITES:-'east=e1:4,e2:4 west=w1:4,w2:4'}

[ $# -gt 0 ] || set -- build/release/bin/train_gpt --steps 100

# One group of ranks for each site, joined by colons: mpirun -n 8 ... -x DIST_SITE=east PROGRAM : -n 8 ... -x DIST_SITE=west PROGRAM
# PROGRAM is repeated in each group: it is kept in "$@", the groups are appended behind it, then it is shifted away.
case $(mpirun --version 2>&1) in
*'Open MPI'*) open_mpi=1 ;;
*) open_mpi= ;; # MPICH, Intel MPI
esac
words=$# all_hosts=
for site in $sites; do
    hosts=${site#*=}
    name=${site%%=*}
    ranks=$(printf '%s\n' "$hosts" | tr , '\n' | awk -F: '!($2 > 0) { bad = 1 } { n += $2 } END { print bad ? 0 : n }')
    if [ "$hosts" = "$site" ] || [ "$ranks" = 0 ]; then
        echo "\"$site\" is not SITE=HOST:RANKS,HOST:RANKS,..." >&2
        exit 2
    fi
    [ -z "$all_hosts" ] || set -- "$@" :
    all_hosts=$all_hosts${all_hosts:+,}$hosts
    if [ $open_mpi ]; then
        set -- "$@" -n "$ranks" --host "$hosts" -x DIST_SITE="$name"
    else
        set -- "$@" -n "$ranks" -env DIST_SITE "$name" # ranks fill the hosts below in their order
    fi
    i=0
    for word; do
        [ $i -lt $words ] || break
        set -- "$@" "$word"
        i=$((i + 1))
    done
done
shift $words

# shellcheck disable=SC2086 # flags are words
if [ $open_mpi ]; then
    exec mpirun --bind-to numa ${MPIRUN_FLAGS:-} "$@"
else
    exec mpirun -hosts "$all_hosts" -bind-to numa ${MPIRUN_FLAGS:-} "$@"
fi
