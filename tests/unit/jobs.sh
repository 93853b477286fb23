#!/bin/sh
# The job scripts without their batch systems: with the variables that those would set, a scontrol and an mpirun that write down what they
# are asked, and at the end with the real mpirun on this host.
#   jobs.sh BUILD
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
jobs=$root/examples/jobs
info=$1/bin/dist_info
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
mkdir "$work/bin" "$work/submit"

wrong() {
    echo "$*"
    [ ! -f "$work/out" ] || sed 's/^/    /' "$work/out"
    failures=1
}

for script in "$jobs"/*; do
    sh -n "$script" || wrong "$script is no shell script"
    if command -v shellcheck >/dev/null; then
        shellcheck "$script" || wrong "$script: see above"
    fi
done

# mpirun says which MPI it is of, or keeps its arguments, the hosts and the sites; and runs the program as one process with what -x or
# -genv hand on.
cat >"$work/bin/mpirun" <<'END'
#!/bin/sh
if [ "$1" = --version ]; then
    echo "$FAKE_MPI"
    exit
fi
printf '%s\n' "$*" >"$FAKE_OUT/arguments"
cp "$DIST_SITES" "$FAKE_OUT/sites"
while [ "$1" != -- ]; do
    case $1 in --hostfile | -f) cp "$2" "$FAKE_OUT/hosts" ;; esac
    shift
done
shift
exec "$@"
END
# n[1-2] and the like; a name stands for itself.
cat >"$work/bin/scontrol" <<'END'
#!/bin/sh
[ "$1 $2" = 'show hostnames' ] || exit 1
for n in $(printf '%s' "$3" | sed -n 's/.*\[\([0-9]*\)-\([0-9]*\)\]$/\1 \2/p'); do
    ends="${ends:-} $n"
done
[ -n "${ends:-}" ] || { echo "$3" | tr , '\n' && exit; }
seq ${ends:-} | sed "s/^/${3%%\[*}/"
END
chmod +x "$work/bin/mpirun" "$work/bin/scontrol"

# job CODE SCRIPT ARGUMENT...: runs a script with the stand-ins.
job() {
    expected=$1 script=$2
    shift 2
    rm -f "$work/arguments" "$work/hosts" "$work/sites"
    code=0
    (cd "$work/submit" && PATH=$work/bin:$PATH FAKE_OUT=$work sh "$jobs/$script" "$@") >"$work/out" 2>&1 || code=$?
    [ $code = "$expected" ] || wrong "$script: exit code $code, not $expected:"
    [ -z "$(ls "$work/submit")" ] || { wrong "$script leaves files:" && ls "$work/submit" && rm -f "$work/submit"/*; }
}
# kept FILE TEXT: what mpirun got.
kept() {
    printf '%s\n' "$2" >"$work/expected"
    diff "$work/expected" "$work/$1" >"$work/difference" 2>&1 && return
    wrong "$script: these $1 (>) and not those (<):"
    cat "$work/difference"
}
says() {
    grep -q -e "$1" "$work/out" || wrong "$script: no line says '$1':"
}
here=$(uname -n)
open_mpi='mpirun (Open MPI) 4.1.4' mpich='HYDRA build details: Version: 4.0.2'
export FAKE_MPI="$open_mpi" DIST_TIMEOUT=20 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# ---- Slurm ----

job 2 slurm.sbatch -- true
says 'for sbatch'
export SLURM_JOB_ID=77 SLURM_SUBMIT_DIR="$work/submit" SLURM_HET_SIZE=2
export SLURM_JOB_NODELIST='e[1-2]' SLURM_TASKS_PER_NODE='4(x2)'
export SLURM_JOB_NODELIST_HET_GROUP_0='e[1-2]' SLURM_TASKS_PER_NODE_HET_GROUP_0='4(x2)'
export SLURM_JOB_NODELIST_HET_GROUP_1="w[8-9]" SLURM_TASKS_PER_NODE_HET_GROUP_1='4,3'
job 0 slurm.sbatch -- true
kept sites "$(printf '%s\n' 'e1 east' 'e1.* east' 'e2 east' 'e2.* east' 'w8 west' 'w8.* west' 'w9 west' 'w9.* west')"
kept hosts "$(printf '%s\n' 'e1 slots=4' 'e2 slots=4' 'w8 slots=4' 'w9 slots=3')"
kept arguments '--mca ras ^slurm --mca plm rsh --hostfile libdist-77.hosts -n 15 --bind-to numa -x DIST_SITES -- true'
FAKE_MPI=$mpich job 0 slurm.sbatch -- true
kept hosts "$(printf '%s\n' e1:4 e2:4 w8:4 w9:3)"
kept arguments "-launcher ssh -f libdist-77.hosts -n 15 -bind-to numa -genv DIST_SITES $work/submit/libdist-77.sites -- true"

# libdist reads the file as it was meant: this host is of the second site.
if [ -x "$info" ]; then
    SLURM_JOB_NODELIST_HET_GROUP_1="$here" SLURM_TASKS_PER_NODE_HET_GROUP_1=1 job 0 slurm.sbatch -- "$info" -t
    says 'in 1 site (from the file of DIST_SITES)'
    says '^site 0 west'
fi
SLURM_HET_SIZE=3 job 2 slurm.sbatch -- true
says '3 components, but these sites: east west'
SLURM_HET_SIZE=1 SLURM_JOB_NODELIST_HET_GROUP_1='' job 2 slurm.sbatch -- true
says 'site west has no component'
unset SLURM_HET_SIZE
job 2 slurm.sbatch -- true
says 'no DIST_SITES'
printf 'e1 east\ne2 west\n' >"$work/own"
DIST_SITES=$work/own job 0 slurm.sbatch -- true
kept sites "$(cat "$work/own")"
kept arguments '--hostfile libdist-77.hosts -n 8 --bind-to numa -x DIST_SITES -- true'

# ---- PBS ----

job 2 pbs.sh -- true
says 'for qsub'
export PBS_O_WORKDIR="$work/submit" PBS_JOBID=12.server PBS_NODEFILE="$work/nodes"
for host in e1 e2 w1.cluster w2.cluster; do
    printf '%s\n' $host $host $host $host
done >"$PBS_NODEFILE"
job 0 pbs.sh -- true
kept sites "$(printf '%s\n' 'e1 east' 'e1.* east' 'e2 east' 'e2.* east' 'w1 west' 'w1.* west' 'w2 west' 'w2.* west')"
kept arguments "--hostfile $work/nodes -n 16 --bind-to numa -x DIST_SITES -- true"
FAKE_MPI=$mpich job 0 pbs.sh -- true
kept arguments "-f $work/nodes -n 16 -bind-to numa -genv DIST_SITES $work/submit/libdist-12.sites -- true"
PROGRAM='-- echo from qsub' job 0 pbs.sh
says 'from qsub'
if [ -x "$info" ]; then
    sed "s/^w.*/$here/" "$PBS_NODEFILE" >"$work/with_here"
    PBS_NODEFILE=$work/with_here job 0 pbs.sh -- "$info" -t
    says '^site 0 west'
fi
sed 's/^w.*/e2/' "$PBS_NODEFILE" >"$work/packed"
PBS_NODEFILE=$work/packed job 2 pbs.sh -- true
says 'host e2 would be on two sites'
sed '$d' "$PBS_NODEFILE" >"$work/short"
PBS_NODEFILE=$work/short job 2 pbs.sh -- true
says 'has 15 ranks, but .* has 16'
sed '$p' "$PBS_NODEFILE" >"$work/long"
PBS_NODEFILE=$work/long job 2 pbs.sh -- true
says 'more ranks than the 16'

# ---- bare mpirun ----

cat >"$work/bin/mpirun" <<'END'
#!/bin/sh
[ "$1" = --version ] && echo "$FAKE_MPI" && exit
printf '%s\n' "$*" >"$FAKE_OUT/arguments"
END
SITES='east=e1:4,e2:4 west=w1:3' job 0 mpirun.sh train --steps 5
kept arguments '--bind-to numa -n 8 --host e1:4,e2:4 -x DIST_SITE=east train --steps 5 : -n 3 --host w1:3 -x DIST_SITE=west train --steps 5'
SITES='east=e1:4,e2:4 west=w1:3' FAKE_MPI=$mpich MPIRUN_FLAGS='-iface ib0' job 0 mpirun.sh train --steps 5
kept arguments '-hosts e1:4,e2:4,w1:3 -bind-to numa -iface ib0 -n 8 -env DIST_SITE east train --steps 5 : -n 3 -env DIST_SITE west train --steps 5'
for sites in 'east=e1' 'e1:4' 'east=e1:x' 'east=e1:4,e2'; do
    SITES=$sites job 2 mpirun.sh train
    says 'is not SITE=HOST:RANKS'
done

# The same with the mpirun that is here, if it is Open MPI's: two sites of this host.
if [ -x "$info" ] && mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
    rm "$work/bin/mpirun"
    export RES_OPTIONS='timeout:1 attempts:1'
    SITES='east=localhost:2 west=localhost:2' MPIRUN_FLAGS='--oversubscribe --mca plm isolated' job 0 mpirun.sh "$info" -t
    says '^4 ranks on 1 node in 2 sites (from DIST_SITE)'
    says '^site 0 east: 2 ranks'
    says '^site 1 west: 2 ranks'
fi
[ $failures = 0 ] || exit 1
echo 'jobs: all is well'
