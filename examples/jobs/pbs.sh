#!/bin/sh
# Trains on two sites with PBS (OpenPBS, PBS Pro, Torque):
#
#     qsub examples/jobs/pbs.sh                                          from the folder of libdist
#     qsub -v PROGRAM='build/release/bin/03_data_parallel' examples/jobs/pbs.sh
#
# To change: the chunks of `select`, first those of one site, then those of the other, each with whatever of your cluster names the site
# (here a resource "site"; a host group or a queue does as well); `sites`, which says how many ranks (mpiprocs) each site has, in the
# same order; PROGRAM. place=scatter keeps chunks of two sites from sharing a host.
#
#PBS -N libdist
#PBS -l select=2:ncpus=4:mpiprocs=4:site=east+2:ncpus=4:mpiprocs=4:site=west
#PBS -l place=scatter
#PBS -l walltime=01:00:00

set -eu
sites='east:8 west:8'

if [ $# = 0 ]; then
    # shellcheck disable=SC2086 # a program and its arguments
    set -- ${PROGRAM:-build/release/bin/train_gpt --steps 100}
fi
[ -n "${PBS_NODEFILE:-}" ] || { echo "$0 is for qsub" >&2 && exit 2; }
cd "${PBS_O_WORKDIR:-.}" # which all nodes can read
job=${PBS_JOBID:-$$}
made=libdist-${job%%.*}
trap 'rm -f "$made.sites"' EXIT

# The node file has a line for each rank, in the order of the chunks; so the first 8 are of the first site.
ranks=$(wc -l <"$PBS_NODEFILE")
awk -v sites="$sites" '
    function stop(sentence) { print sentence >"/dev/stderr"; failed = 1; exit 2 }
    BEGIN {
        n = split(sites, site, " ")
        for (s = 1; s <= n; s++) {
            split(site[s], part, ":")
            for (i = 0; i < part[2]; i++) of[++all] = part[1]
        }
    }
    NR > all { stop("the job has more ranks than the " all " of sites=\"" sites "\"") }
    of_host[$1] && of_host[$1] != of[NR] { stop("host " $1 " would be on two sites; see place=scatter") }
    !of_host[$1] {
        of_host[$1] = of[NR]
        short = $1
        sub(/\..*/, "", short) # a host may call itself by its short name or by its long one
        print short, of[NR]
        print short ".*", of[NR]
    }
    END { if (!failed && NR < all) stop("the job has " NR " ranks, but sites=\"" sites "\" has " all) }
' "$PBS_NODEFILE" >"$made.sites"
export DIST_SITES="$PWD/$made.sites"

# mpirun of the MPI that PROGRAM is linked with.
case $(mpirun --version 2>&1) in
*'Open MPI'*) mpirun --hostfile "$PBS_NODEFILE" -n "$ranks" --bind-to numa -x DIST_SITES "$@" ;;
*) mpirun -f "$PBS_NODEFILE" -n "$ranks" -bind-to numa -genv DIST_SITES "$DIST_SITES" "$@" ;; # MPICH, Intel MPI
esac
