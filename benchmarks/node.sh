#!/usr/bin/env bash
# What all-reduces inside one machine cost beside the linked MPI and a copy: the rows of results/node.md.
#
#   node.sh [--bin DIR] [--ranks 2,4] [--memory dist_alloc,malloc] [--mpirun COMMAND]
#
# Sizes from 8 bytes to 128 MiB; short ones in turns of 200 calls. A row has the medians of MPI_Allreduce and of `auto`, which take turns,
# and their ratio; time/copy is that of `auto` over a copy of the size by all ranks at once. Run it on an idle machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/../build/release/bin ranks=2,4 memories=dist_alloc,malloc mpirun=$here/../tests/mpirun.sh
while [ $# -gt 0 ]; do
    case $1 in
    --bin) bin=$2 ;;
    --ranks) ranks=$2 ;;
    --memory) memories=$2 ;;
    --mpirun) mpirun=$2 ;;
    *)
        sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift 2
done

rows() { # RANKS MEMORY FLAG...
    local n=$1 memory=$2
    shift 2
    "$mpirun" "$n" "$bin/dist_perf" all-reduce --algo mpi,auto --place out --memory "$memory" "$@" |
        awk '
            function size(b) { return b >= 1048576 ? b / 1048576 " MiB" : b >= 1024 ? b / 1024 " KiB" : b " B" }
            /^#/ || NF != 27 { next }
            $14 == "mpi" { mpi = $16; next }
            { printf "| %s | %.2f | %.2f | %.2f | %s | %s | %s |\n", size($1), mpi, $16, mpi / $16, $24, $9, $25 }'
}

echo "# $(date -u +%Y-%m-%d), $(uname -r), $(nproc) cores, $("$bin/dist_perf" --help >/dev/null && "$bin/dist_info" | sed -n 1p)"
for n in ${ranks//,/ }; do
    for memory in ${memories//,/ }; do
        printf '\n### %s ranks, memory of %s\n\n' "$n" "$memory"
        echo '| size | MPI us | auto us | MPI / auto | time/copy | #wrong | #diverge |'
        echo '|---|---|---|---|---|---|---|'
        rows "$n" "$memory" -b 8 -e 64K -f 2 -m 200 -n 21
        rows "$n" "$memory" -b 128K -e 128M -f 2 -n 21
    done
done
