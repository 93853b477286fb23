#!/usr/bin/env bash
# Two sites are two hosts to Open MPI, and each rank knows its site.
. "$(dirname "$0")/common.sh"
need_wan
build_where

equal 'two sites of two ranks' "$("$WAN" run --sites 2 --ranks 2 --rate 200mbit -- "$WORK/where")" \
    "$(printf 'rank=%d host=%s site=%s\n' 0 site0 site0 1 site0 site0 2 site1 site1 3 site1 site1)"
equal 'sites of 2, 1 and 1' "$("$WAN" run --sites 3 --ranks 2,1,1 --mpirun '--tag-output' -- "$WORK/where" |
    sed 's/.*>://')" \
    "$(printf 'rank=%d host=%s site=%s\n' 0 site0 site0 1 site0 site0 2 site1 site1 3 site2 site2)"

cd "$WORK"
equal 'the folder and the environment' "$(WAN_TEST='a b' "$WAN" run --ranks 1 -- sh -c 'echo "$PWD $WAN_TEST"')" \
    "$(printf '%s a b\n' "$WORK" "$WORK")"
equal "the program's input" "$(echo hello | "$WAN" run --sites 1 -- cat)" hello

# an emulation that stays up, beside another one
"$WAN" up --sites 2 --ranks 1,2 --rate 100mbit >/dev/null
"$WAN" up --name other >/dev/null
equal 'a second one of the name' "$(status_of "$WAN" up)" 1
equal status "$("$WAN" status --name default)" \
    'name=default state=up sites=2 ranks=1,2 rate=100000000bit/s delay=0us loss=0.000000% link=plain congestion=default'
equal 'status of both' "$("$WAN" status | wc -l)" 2
equal 'run in it' "$("$WAN" run --name default -- "$WORK/where" | tail -n 1)" 'rank=2 host=site1 site=site1'
equal 'exec' "$("$WAN" exec site1 -- sh -c 'echo "$(uname -n) $DIST_SITE"')" 'site1 site1'
equal "exec's status" "$(status_of "$WAN" exec 0 -- sh -c 'exit 9')" 9
"$WAN" exec 0 -- touch /dev/shm/mine
equal 'shared memory of the other site' "$(status_of "$WAN" exec 1 -- test -e /dev/shm/mine)" 1
equal 'shared memory of this host' "$(status_of test -e /dev/shm/mine)" 1
"$WAN" down --name other
"$WAN" down
equal 'status afterwards' "$(status_of "$WAN" status)" 1
equal 'left behind' "$(leftovers)$(ls -A "$TMPDIR")" ''

for congestion in cubic bbr; do # what the kernel has is really used
    grep -qw $congestion /proc/sys/net/ipv4/tcp_available_congestion_control || continue
    "$WAN" up --congestion $congestion >/dev/null
    equal congestion "$("$WAN" exec 0 -- ip route get 10.77.0.2 | grep -o "congctl $congestion")" "congctl $congestion"
    "$WAN" down
done
equal 'an unknown congestion control' "$(status_of "$WAN" up --congestion nosuch)" 1
echo 'sites: passed'
