# shellcheck shell=bash
# What the tests of wan.sh share: source it. Every process they start carries a TMPDIR of the test's own, so that what is
# left behind can be told from what others run at the same time.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WAN=$HERE/../../benchmarks/wan.sh
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/wan-test-XXXXXX")
WORK=$(mktemp -d "${TMPDIR%/*}/wan-work-XXXXXX")
export TMPDIR
trap 'tidy' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tidy() {
    local each
    for each in "$TMPDIR"/libdist-wan-*/*/; do "$WAN" down --name "$(basename "$each")" >/dev/null 2>&1 || true; done
    rm -rf "$TMPDIR" "$WORK"
}

skip() {
    echo "skipped: $1"
    exit 77
}
die() {
    echo "FAILED: $1" >&2
    exit 1
}
equal() { # WHAT IS WANTED
    [ "$2" = "$3" ] || die "$1: '$2', not '$3'"
}
# VALUE is a number from LOWEST to HIGHEST
within() { # WHAT VALUE LOWEST HIGHEST
    echo "$1: $2 (from $3 to $4)"
    awk -v v="$2" -v lo="$3" -v hi="$4" 'BEGIN { exit !(v != "" && v + 0 >= lo && v + 0 <= hi) }' || die "$1: '$2'"
}
# the value of KEY in a line of KEY=VALUE
value() { # LINE KEY
    local word
    for word in $1; do
        [ "${word%%=*}" != "$2" ] || echo "${word#*=}"
    done
}
status_of() { # COMMAND...
    local status=0
    "$@" >"$WORK/out" 2>"$WORK/err" || status=$?
    echo $status
}
need_wan() { # LINK...
    local status=0
    "$WAN" up --name probe "$@" >"$WORK/probe" 2>&1 || status=$?
    [ $status -ne 77 ] || skip "$(cat "$WORK/probe")"
    [ $status -eq 0 ] || die "wan.sh up: $(cat "$WORK/probe")"
    "$WAN" down --name probe
}
need() { # TOOL...
    local tool
    for tool; do command -v "$tool" >/dev/null || skip "$tool is missing"; done
}
build_where() {
    need mpicc mpirun
    mpicc -std=c11 -D_POSIX_C_SOURCE=200809L -o "$WORK/where" "$HERE/where.c"
}
# the processes that this test left behind
leftovers() {
    local pid found=''
    for pid in $(grep -lzFx "TMPDIR=$TMPDIR" /proc/[0-9]*/environ 2>/dev/null); do
        pid=${pid//[!0-9]/}
        if [ -d "/proc/$pid" ]; then found+=" $pid:$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"; fi
    done
    echo "$found"
}
surroundings() {
    ip netns
    ip -o link | cut -d: -f2
    cut -d' ' -f3- /proc/self/mountinfo
}
