# shellcheck shell=sh
# What the tests of dist_perf share: source it with the folder of programs as $1. Sets perf, info, mpirun, work and failures.
set -eu

perf=$1/dist_perf info=$1/dist_info
mpirun=$(cd "$(dirname "$0")/.." && pwd)/mpirun.sh
if [ ! -x "$perf" ]; then
    echo "no $perf: it is built with DIST_PROGRAMS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
finish() { # WHAT
    [ $failures = 0 ] || exit 1
    echo "$1: all is well"
    exit 0
}
# What a row of the JSON has under a name, of all rows: "0 0 null ".
figures() { # NAME
    sed -n "s/.*\"$1\":\([-0-9.e+]*\|null\)[,}].*/\1/p" "$work/json" | tr '\n' ' '
}
# Wrong usage, by one rank alone, which is as good as many and quicker.
refused() { # COMMAND FLAG...
    code=0
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 DIST_SITE=a timeout 60 "$perf" "$@" >"$work/table" 2>&1 || code=$?
    { [ $code = 2 ] && grep -q dist_perf "$work/table"; } || problem "$*: exit code $code, not 2: $(cat "$work/table")"
}
