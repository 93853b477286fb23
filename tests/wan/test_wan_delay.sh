#!/usr/bin/env bash
# The link delays and loses as much as asked for.
. "$(dirname "$0")/common.sh"
need iperf3 cc
need_wan --delay 1ms

# wan_link's cuts and draws, without a network
cc -std=c11 -O1 -pthread -o "$WORK/cut" "$HERE/cut.c" || die 'cut.c does not compile'
"$WORK/cut" || die 'cut'

for try in 1 2 3; do # a busy machine only ever makes it more
    line=$("$WAN" rtt --delay 15ms --rate 200mbit)
    if awk -v t="$(value "$line" median)" 'BEGIN { exit t > 30.8 }'; then break; fi
    echo "try $try: $line"
done
within 'round trip, ms' "$(value "$line" median)" 30.0 30.8

# super-packets of TCP lose packet by packet: bytes sent less bytes received are the loss
"$WAN" up --rate 200mbit --delay 100us --loss 1% >/dev/null
"$WAN" goodput --name default --time 2
mapfile -t lines < <("$WAN" bytes)
within 'loss of TCP, percent' "$(awk -v tx="$(value "${lines[0]}" wire_tx)" -v rx="$(value "${lines[1]}" wire_rx)" \
    'BEGIN { print 100 * (tx - rx) / tx }')" 0.6 1.4
"$WAN" down
echo 'delay: passed'
