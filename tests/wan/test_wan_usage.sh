#!/usr/bin/env bash
# Wrong calls end with status 2 and a sentence; help goes to stdout.
. "$(dirname "$0")/common.sh"

wrong() {
    equal "$*" "$(status_of "$WAN" "$@")" 2
    [ -s "$WORK/err" ] || die "$*: no sentence"
}
wrong
wrong nosuch
wrong run
wrong run --sites
wrong run --sites 0 -- true
wrong run --sites two -- true
wrong run --ranks 0 -- true
wrong run --ranks 1,2,3 -- true
wrong run --ranks 1, -- true
wrong run --rate fast -- true
wrong run --rate 200 -- true
wrong run --rate 1bit -- true
wrong run --delay 15 -- true
wrong run --delay -15ms -- true
wrong run --loss 101% -- true
wrong run --congestion 'a b' -- true
wrong run --name ../x -- true
wrong run --timeout 0 -- true
wrong run --count 3 -- true
wrong up --name
wrong up now
wrong exec
wrong goodput --time 0
wrong rtt there
wrong bytes --all

equal help "$(status_of "$WAN" --help)" 0
grep -q 'wan.sh run' "$WORK/out" || die 'help says nothing about run'
equal "run's help" "$(status_of "$WAN" run --help)" 0
equal 'down with nothing up' "$(status_of "$WAN" down)" 1
equal 'down --all with nothing up' "$(status_of "$WAN" down --all)" 0

command -v cc >/dev/null || skip 'cc is missing, to compile wan_link'
cc -std=c11 -o "$WORK/wan_link" "$HERE/../../benchmarks/wan_link.c" || die 'wan_link.c does not compile'
for arguments in '' 'a' 'a:' ':b' 'a:b --nosuch' 'a:b --delay x' 'a:b --loss 101' 'a:12345678901234567'; do
    # shellcheck disable=SC2086
    equal "wan_link $arguments" "$(status_of "$WORK/wan_link" $arguments)" 2
done
echo 'usage: passed'
