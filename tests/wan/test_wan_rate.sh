#!/usr/bin/env bash
# The link has its rate in both directions at once, and the counters tell what crossed it.
. "$(dirname "$0")/common.sh"
need iperf3
need_wan --rate 200mbit

# 200 Mbit/s carry 23.9 MB/s of data beside the headers; a busy machine only ever makes it less, so the best of three
for try in 1 2 3; do
    line=$("$WAN" goodput --rate 200mbit --time 3)
    there=$(value "$line" site0_to_site1) back=$(value "$line" site1_to_site0)
    if ((there >= 22500000 && back >= 22500000)); then break; fi
    echo "try $try: $line"
done
within 'site0 to site1, bytes/s' "$there" 22500000 25000000
within 'site1 to site0, bytes/s' "$back" 22500000 25000000

"$WAN" up --rate 200mbit >/dev/null
"$WAN" exec 1 -- iperf3 --server --one-off --bind 10.77.0.2 >/dev/null &
server=$!
until "$WAN" exec 1 -- grep -qi ':1451 0*:0000 0A' /proc/net/tcp; do sleep 0.05; done # port 5201 listens
"$WAN" exec 0 -- iperf3 --client 10.77.0.2 --bytes 10M --json >"$WORK/json"
wait $server
count() { # KEY
    awk -v key="\"$1\"" '$1 ~ key { found = 1 } found && /"bytes"/ { gsub(/[^0-9]/, "", $2); print $2; exit }' "$WORK/json"
}
mapfile -t lines < <("$WAN" bytes)
equal 'sites that counted' "${#lines[@]}" 2
# on the wire 66 bytes of headers come with each 1448; what iperf3 sent last may not have been waited for
least=$(count sum_received) most=$(($(count sum_sent) * 102 / 100))
for key in wire_tx:0 wire_rx:1; do
    within "${key%:*} of site${key#*:}" "$(value "${lines[${key#*:}]}" "${key%:*}")" \
        $((least * 1514 / 1448)) $((most * 1514 / 1448))
done
within 'tx of site0' "$(value "${lines[0]}" tx)" "$least" $((most * 1514 / 1448))
within 'rx of site1' "$(value "${lines[1]}" rx)" "$least" $((most * 1514 / 1448))
within 'wire_tx of site1' "$(value "${lines[1]}" wire_tx)" 1000 $((most / 20))
echo 'rate: passed'
