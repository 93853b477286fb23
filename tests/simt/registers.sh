#!/bin/sh
# No kernel spills or uses a stack unless registers.allowed lists it; and a report with such a kernel is found.
#
#   registers.sh REPORT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk -f "$here/registers.awk" "$here/registers.allowed" "$1" >"$work/table"
cat "$work/table"
[ -s "$work/table" ] || { echo "$1: no kernel is in the report"; exit 1; }
if grep 'not listed$' "$work/table" >"$work/found"; then
    echo "these spill registers or use a stack, and registers.allowed does not list them:"
    cat "$work/found"
    exit 1
fi

# planted STACK STORES LOADS LIST WANTED: how a report of one kernel with these bytes must end.
planted() {
    cat >"$work/report" <<REPORT
ptxas info    : Compiling entry function '_Z7plantedPf' for 'sm_80'
ptxas info    : Function properties for _Z7plantedPf
    $1 bytes stack frame, $2 bytes spill stores, $3 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers
REPORT
    printf '# a comment\n%s\n' "$4" >"$work/list"
    found=$(awk -f "$here/registers.awk" "$work/list" "$work/report")
    case $found in
    "sm_80 _Z7plantedPf: 255 registers, $1 bytes of stack, $2 stored and $3 loaded by spills$5") ;;
    *) echo "planted $*: found: $found" && exit 1 ;;
    esac
}
planted 0 0 0 '' ''
planted 8 0 0 '' ', not listed'
planted 8 16 24 other ', not listed'
planted 0 16 24 'planted of long ago' ', listed'
