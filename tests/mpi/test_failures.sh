#!/bin/sh
# Ranks that stay away, call something else or die: the others end, with a sentence, within the deadline.
#   test_failures.sh BINDIR
set -eu
here=$(cd "$(dirname "$0")" && pwd)
programs=$(dirname "$1")/tests/bin
if [ ! -x "$programs/mpi_test_failures" ]; then
    echo "no $programs/mpi_test_failures: it is built where there is cmocka"
    exit 77
fi
ranks=4
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# expect PROGRAM CASE
expect() {
    program=$programs/mpi_test_$1
    case=$2
    export FAILING_FOLDER="$work/$1.$2"
    mkdir "$FAILING_FOLDER"
    # mpirun complains of processes that did not finalize MPI: after a failure they must not
    output=$("$here/../mpirun.sh" $ranks "$program" $case 2>&1) || true
    content=$(printf '%s\n' "$output" | grep -c 'is content' || true)
    if [ "$content" = $ranks ]; then
        echo "$case: all $ranks ranks got the status they should"
    else
        echo "$case: only $content of $ranks ranks got the status they should"
        printf '%s\n' "$output"
        failed=1
    fi
}
for case in stays-away never-prepares absent-partner elsewhere leaves-a-pipeline failing-stage; do
    expect failures $case
done
for case in copy-fails kernel-fails stream-stands stays-away nccl-breaks nccl-stands no-device; do
    expect device_failures $case
done
begin=$(date +%s)
if "$here/../mpirun.sh" $ranks "$programs/mpi_test_failures" dies >/dev/null 2>&1; then
    echo "dies: mpirun says that a job with a killed rank was fine"
    failed=1
elif [ $(($(date +%s) - begin)) -gt 30 ]; then
    echo "dies: the job outlived its killed rank by half a minute"
    failed=1
else
    echo "dies: the job ended"
fi
exit $failed
