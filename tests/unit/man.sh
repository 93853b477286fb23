#!/bin/sh
# The manual pages: no formatter complains of them, libdist(7) has each variable of the option table and no other, and the pages of the
# tools have each flag that --help lists.
#   man.sh BUILD
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$1/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
complain() {
    echo "$*"
    failures=1
}

formatter=
command -v groff >/dev/null && formatter='groff -man -ww -Tutf8'
command -v mandoc >/dev/null && formatter='mandoc -Tlint -Wwarning'
for page in "$root"/benchmarks/man/*.[1-8]; do
    name=$(basename "$page")
    if [ -n "$formatter" ]; then
        code=0
        $formatter "$page" >"$work/out" 2>"$work/warnings" || code=$?
        case $formatter in mandoc*) mv "$work/out" "$work/warnings" ;; esac # which prints warnings there
        if [ $code != 0 ] || [ -s "$work/warnings" ]; then
            complain "$name: $formatter says:"
            cat "$work/warnings"
        fi
    fi
    # Without a formatter too: the parts that a page has, in capitals, and no long line that a terminal would break in an example.
    for section in NAME SYNOPSIS DESCRIPTION "EXIT STATUS" "SEE ALSO"; do
        grep -q "^\.SH \"\{0,1\}$section" "$page" || complain "$name: there is no section $section"
    done
done

# What a page says, without its markup.
words_of() {
    sed 's/\\f[A-Z]//g; s/\\-/-/g' "$1"
}
flags_of() { # stdin -> the flags in it, one a line
    grep -o -e '\(^\|[^A-Za-z0-9-]\)--\{0,1\}[A-Za-z][A-Za-z-]*' | sed 's/^[^-]*//' | sort -u
}

# The option table of the library, which has no other list.
sed -n 's/.*X(DIST_OPTION_[A-Z_]*, "\(DIST_[A-Z_]*\)".*/\1/p' "$root/libdist/base/options.h" | sort -u >"$work/table"
[ "$(wc -l <"$work/table")" -ge 20 ] || complain 'the option table in libdist/base/options.h cannot be read'
words_of "$root/benchmarks/man/libdist.7" | sed -n '/^\.SH ENVIRONMENT/,/^\.SH FILES/p' | grep -o 'DIST_[A-Z][A-Z_]*' |
    sort -u >"$work/page"
comm -23 "$work/table" "$work/page" >"$work/missing"
[ ! -s "$work/missing" ] || complain "libdist.7 does not have: $(tr '\n' ' ' <"$work/missing")"
comm -13 "$work/table" "$work/page" >"$work/unknown"
[ ! -s "$work/unknown" ] || complain "libdist.7 has what is no option: $(tr '\n' ' ' <"$work/unknown")"

for tool in dist_info dist_plan; do
    [ -x "$bin/$tool" ] || continue
    "$bin/$tool" --help | flags_of >"$work/help"
    [ -s "$work/help" ] || complain "$tool --help lists no flags"
    words_of "$root/benchmarks/man/$tool.1" | flags_of >"$work/page"
    comm -23 "$work/help" "$work/page" >"$work/missing"
    [ ! -s "$work/missing" ] || complain "$tool.1 does not have: $(tr '\n' ' ' <"$work/missing")"
done

if [ -x "$bin/dist_perf" ]; then
    for command in $("$bin/dist_perf" --help | sed -n 's/^  \([a-z-]*\)  *[A-Z].*/\1/p'); do
        "$bin/dist_perf" "$command" --help >>"$work/helps"
        words_of "$root/benchmarks/man/dist_perf.1" | grep -q "$command" || complain "dist_perf.1 does not have: $command"
    done
    flags_of <"$work/helps" >"$work/help"
    [ "$(wc -l <"$work/help")" -ge 40 ] || complain 'dist_perf --help lists few flags'
    words_of "$root/benchmarks/man/dist_perf.1" | flags_of >"$work/page"
    comm -23 "$work/help" "$work/page" >"$work/missing"
    [ ! -s "$work/missing" ] || complain "dist_perf.1 does not have: $(tr '\n' ' ' <"$work/missing")"
fi

[ $failures = 0 ] || exit 1
[ -n "$formatter" ] || { echo 'neither mandoc nor groff is here' && exit 77; }
echo 'man: all is well'
