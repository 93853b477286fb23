#!/usr/bin/env bash
# dist_perf on emulated links: its figures are those of iperf3 and of a TCP round trip, it names a slow pair and an asymmetric link that were planted,
# and counts streams on a link that loses packets.
. "$(dirname "$0")/common.sh"
need_wan --rate 200mbit
need tc iperf3
bin=$(cd "${1:-$HERE/../../build/release/bin}" && pwd)
perf=$bin/dist_perf
[ -x "$perf" ] || skip "$perf is not built"

run() { # NAME FLAG...
    local name=$1
    shift
    "$WAN" run --name "$name" --timeout 120 -- "$perf" "$@" -J "$WORK/json" >"$WORK/out" 2>"$WORK/err" ||
        die "dist_perf $*: $(cat "$WORK/out" "$WORK/err")"
}
field() { # PATTERN NAME: of the first row with the pattern
    grep "$1" "$WORK/json" | sed -n "s/.*\"$2\":\([-0-9.e+]*\).*/\1/p" | head -n 1
}
# near WHAT COMMAND...: which prints a figure and another tool's; as these machines are shared, one time out of three is enough. The
# figures of results/dist_perf.md are closer.
near() {
    local what=$1 try figures
    shift
    for try in 1 2 3; do
        figures=$("$@")
        echo "$what: $figures"
        ! awk -v f="$figures" 'BEGIN { split(f, v); exit !(v[2] > 0 && v[1] / v[2] > 0.9 && v[1] / v[2] < 1.1) }' || return 0
    done
    die "$what: $figures differ by more than a tenth"
}

# --- against iperf3, and a TCP round trip ---------------------------------------------------------------------------------
"$WAN" up --name plain --sites 2 --ranks 1 --rate 200mbit --delay 5ms >/dev/null
bandwidths() {
    run plain bandwidth -b 256K -e 256K --seconds 2 --via libdist
    echo "$(field '"algo":"libdist"' both_mbs) $(value "$("$WAN" goodput --name plain --time 3)" site0_to_site1)" | awk '{ print $1, $2 / 1e6 }'
}
latencies() {
    run plain latency -b 8 -e 8 --seconds 1 --via libdist
    echo "$(field '"algo":"libdist"' time_us) $(value "$("$WAN" rtt --name plain)" median)" | awk '{ print $1, $2 * 1000 / 2 }'
}
near 'MB/s both ways at once, and iperf3' bandwidths
near 'latency in us, and half of a TCP round trip' latencies
grep -q ' emulated$' "$WORK/out" || die "rows are not marked as emulated: $(cat "$WORK/out")"
"$WAN" down --name plain

# --- a slow pair and an asymmetric link ----------------------------------------------------------------------------------
"$WAN" up --name planted --sites 4 --ranks 1 --rate 200mbit >/dev/null
run planted matrix --seconds 0.2
! grep -q '^# BAD' "$WORK/out" || die "bad pairs where there are none: $(cat "$WORK/out")"
# what site0 sends to site2 goes through a tenth of the rate; what site3 sends, through a quarter
"$WAN" exec --name planted site0 -- sh -ec '
    tc qdisc replace dev wan0 root handle 1: htb default 30
    tc class add dev wan0 parent 1: classid 1:10 htb rate 20mbit burst 32k quantum 1514
    tc class add dev wan0 parent 1: classid 1:30 htb rate 200mbit burst 50k quantum 1514
    tc filter add dev wan0 parent 1: protocol ip prio 1 u32 match ip dst 10.77.0.3/32 flowid 1:10' ||
    die 'this kernel has no htb to plant a slow pair with'
"$WAN" exec --name planted site3 -- tc qdisc replace dev wan0 root tbf rate 50mbit burst 32000 limit 312500
run planted matrix --seconds 0.2
grep '^# BAD' "$WORK/out" || die "nothing is bad: $(cat "$WORK/out")"
grep -q '^# BAD site site0 -> site2 .*slow.*asymmetric' "$WORK/out" || die "the slow pair is not named: $(cat "$WORK/out")"
for site in 0 1 2; do
    grep -q "^# BAD site site3 -> site$site .*asymmetric" "$WORK/out" || die "the asymmetric link is not named: $(cat "$WORK/out")"
done
[ "$(grep -c '^# BAD site' "$WORK/out")" = 4 ] || die "others are named, too: $(cat "$WORK/out")"
"$WAN" down --name planted

# --- streams -------------------------------------------------------------------------------------------------------------
"$WAN" up --name lossy --sites 2 --ranks 1 --rate 200mbit --delay 15ms --congestion cubic --loss 0.05 >/dev/null
run lossy streams --max-streams 32 --tuning "$WORK/tuning"
within 'one stream, MB/s' "$(field '"streams":1,' sum_mbs)" 1 12
within 'streams that are enough' "$(field '"enough":true' streams)" 4 32
grep -q "^streams $(field '"enough":true' streams)\$" "$WORK/tuning" || die "the tuning file has $(cat "$WORK/tuning")"
export DIST_TUNING=$WORK/tuning
"$WAN" run --name lossy --timeout 60 -- "$bin/dist_info" -t >"$WORK/out" 2>"$WORK/err" || die "dist_info: $(cat "$WORK/err")"
grep -q "tcp, $(field '"enough":true' streams) streams" "$WORK/out" || die "the file is not read: $(cat "$WORK/out")"
