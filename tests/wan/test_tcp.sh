#!/usr/bin/env bash
# The TCP wire between sites: it is chosen, measured at start, finds its interface, and takes what can go wrong with a link or a peer.
. "$(dirname "$0")/common.sh"
need_wan --rate 200mbit
need tc pgrep
bin=$(cd "${1:-$HERE/../../build/release/bin}" && pwd)
perf=$bin/dist_perf info=$bin/dist_info
[ -x "$perf" ] || skip "$perf is not built"

# run NAME VARIABLE=VALUE... PROGRAM...: status in $status, words in $WORK/out and $WORK/err
run() {
    local name=$1
    shift
    status=0
    "$WAN" run --name "$name" --timeout 100 -- env "$@" >"$WORK/out" 2>"$WORK/err" || status=$?
}
fine() { # WHAT: the last run was, and all ranks have the same, right, bits
    [ $status -eq 0 ] || die "$1: status $status: $(cat "$WORK/out" "$WORK/err")"
    # one #wrong out of place and one in place, and #diverge
    awk '!/^#/ && NF == 27 { rows++; bad += $9 != 0 || $13 + 0 != 0 || $25 + 0 != 0 } END { exit !(rows > 0 && bad == 0) }' "$WORK/out" ||
        die "$1: $(cat "$WORK/out")"
    echo "$1: fine"
}
says() { # WHAT WORDS
    grep -q -- "$2" "$WORK/out" "$WORK/err" || die "$1 should say '$2': $(cat "$WORK/out" "$WORK/err")"
    echo "$1: $(grep -ho -- "$2.*" "$WORK/out" "$WORK/err" | head -n 1 | cut -c1-160)"
}

# --- the choice at start -------------------------------------------------------------------------------------------------
"$WAN" up --name far --sites 2 --ranks 2 --rate 200mbit --delay 15ms >/dev/null
run far "$info" -t
says 'a long link' 'between sites: tcp, '
latency=$(sed -n 's/.*site0 to site1 \([0-9.]*\) ms.*/\1/p' "$WORK/out")
within 'its latency as measured, ms' "$latency" 15 22
streams=$(sed -n 's/.*tcp, \([0-9]*\) streams.*/\1/p' "$WORK/out")
within 'its streams' "$streams" 4 32 # rate x round trip is 16 shares; a busy machine measures less
run far DIST_WIRE=mpi "$info" -t
says 'a long link, when told so' 'between sites: mpi'
"$WAN" down --name far

# --- interfaces ----------------------------------------------------------------------------------------------------------
"$WAN" up --name near --sites 2 --ranks 2 --rate 200mbit >/dev/null
for site in 0 1; do # one that leads nowhere, and looks as if it did
    "$WAN" exec --name near site$site -- sh -c "ip link add away type veth peer name nobody &&
        ip addr add 10.99.0.$((site + 1))/24 dev away && ip link set away up && ip link set nobody up"
done
measure=("$perf" all-reduce -b 256K -e 256K -n 2 -w 1 --algo hier --link-rate 200M)
run near DIST_WIRE=tcp DIST_STREAMS=4 DIST_IFACE=wan0 "${measure[@]}"
fine 'DIST_IFACE=wan0'
run near DIST_WIRE=tcp DIST_STREAMS=4 "${measure[@]}"
fine 'two interfaces, one of which leads nowhere'
run near DIST_WIRE=tcp DIST_STREAMS=4 DIST_IFACE=away "${measure[@]}" -T 2
[ $status -ne 0 ] || die 'DIST_IFACE=away led somewhere'
says 'DIST_IFACE=away' 'could not be reached at 10.99.0'
run near DIST_WIRE=tcp DIST_IFACE=ether9 "${measure[@]}"
[ $status -ne 0 ] || die 'DIST_IFACE=ether9 was taken'
says 'DIST_IFACE=ether9' "DIST_IFACE is 'ether9', but this host has: .*wan0"
run near DIST_WIRE=tcp DIST_STREAMS=4 DIST_PORTS=7000-7001 DIST_IFACE=wan0 "${measure[@]}"
fine 'two ports for two ranks of a host'
run near DIST_WIRE=tcp DIST_STREAMS=4 DIST_PORTS=7000 DIST_IFACE=wan0 "${measure[@]}"
[ $status -ne 0 ] || die 'two ranks of a host listen on one port'
says 'one port for two ranks of a host' 'cannot listen at .*:7000'
run near DIST_WIRE=tcp DIST_STREAMS=4 DIST_CONGESTION=reno DIST_IFACE=wan0 "${measure[@]}"
fine 'DIST_CONGESTION=reno'
run near DIST_WIRE=tcp DIST_STREAMS=4 DIST_CONGESTION=none DIST_LOG=warn DIST_IFACE=wan0 "${measure[@]}"
fine 'a congestion control that does not exist'
says 'a congestion control that does not exist' 'DIST_CONGESTION=none: '

# --- a job that is disturbed ---------------------------------------------------------------------------------------------
# disturbed NAME ARGUMENTS: starts dist_perf on all ranks, which write their process ids, and waits until rows come
disturbed() {
    rm -f "$WORK"/pid.*
    # shellcheck disable=SC2016 # the ranks expand it
    "$WAN" run --name near --timeout 100 -- env DIST_WIRE=tcp DIST_STREAMS=4 DIST_IFACE=wan0 \
        bash -c 'echo $$ >"$0.$OMPI_COMM_WORLD_RANK"; exec "$@"' "$WORK/pid" "$perf" all-reduce -b 1M -e 1M -w 0 -n "$2" \
        -T "$1" --algo hier --place out --link-rate 200M >"$WORK/out" 2>"$WORK/err" &
    job=$!
    for _ in $(seq 100); do
        [ ! -s "$WORK/pid.3" ] || break
        sleep 0.1
    done
    sleep 1.5
    [ -s "$WORK/pid.3" ] || die "the job did not start: $(cat "$WORK/out" "$WORK/err")"
}
tell() { # SIGNAL: to rank 3, whose process id counts inside the emulation
    "$WAN" exec --name near site1 -- kill -"$1" "$(cat "$WORK/pid.3")"
}
ended() {
    status=0
    wait $job || status=$?
}

disturbed 20 60
for site in 0 1; do # 1 % of the rate
    "$WAN" exec --name near site$site -- tc qdisc change dev wan0 root tbf rate 2mbit burst 32k limit 4m
done
sleep 3
for site in 0 1; do
    "$WAN" exec --name near site$site -- tc qdisc change dev wan0 root tbf rate 200mbit burst 64k limit 4m
done
ended
fine 'a link that had a hundredth of its rate for a while'

disturbed 3 100000
tell STOP
ended
[ $status -ne 0 ] || die 'a job with a stopped rank was fine'
says 'a stopped rank' 'the deadline of 3 s has passed.* rank 3 '

disturbed 20 100000
tell KILL
ended
case $status in
0 | 124) die "a job with a killed rank: status $status" ;;
esac
echo "a killed rank: status $status"

disturbed 3 100000 # some of the streams end, as when a router forgets them
port=$("$WAN" exec --name near site0 -- ss -Htn state established | awk '$4 ~ /^10\.77/ { print $3 }' | sed -n 's/.*://p' | sort -n | tail -n 1)
"$WAN" exec --name near site0 -- ss -K state established sport = ":$port" >/dev/null || tell KILL
ended
[ $status -ne 0 ] || die 'a job that lost a stream was fine'
says 'a lost stream' 'stream'
"$WAN" down --name near
equal 'processes left' "$(leftovers)" ''
