#!/bin/sh
# What libdist.so exports is what the headers declare and the symbol map lists; and the static library puts
# nothing into a program's name space that does not begin with dist_.
#
#   symbols.sh BUILD_FOLDER
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tr '\n' ' ' <"$root/cmake/libdist.map" | sed 's:/\*[^*]*\*/::g' | grep -o '\bdist_[a-z0-9_]*' | sort >"$work/map"
cat "$root"/include/libdist/*.h | grep -v '^ *#' | tr '\n' ' ' | grep -o 'DIST_API [^;(]*\bdist_[a-z0-9_]*(' |
    sed 's/($//; s/.*[ *]//' | sort >"$work/headers"
nm -D --defined-only "$1/libdist.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/exported"
nm -g --defined-only "$1/libdist.a" | awk 'NF == 3 { print $3 }' | sort -u >"$work/static"

failed=0
# compare FILE FILE SENTENCE: SENTENCE and the lines that only the first has.
compare() {
    only=$(comm -23 "$work/$1" "$work/$2")
    [ -n "$only" ] || return 0
    printf '%s:\n%s\n' "$3" "$only"
    failed=1
}
[ "$(wc -l <"$work/headers")" -ge 50 ] || { echo "the declarations in include/libdist/ cannot be read"; failed=1; }
compare headers exported "declared DIST_API but not exported"
compare exported headers "exported but not declared DIST_API"
compare headers map "declared DIST_API but not in cmake/libdist.map"
compare map headers "in cmake/libdist.map but not declared DIST_API"

if grep -v '^dist_' "$work/static"; then
    echo "the names above are global in libdist.a but do not begin with dist_"
    failed=1
fi
exit $failed
