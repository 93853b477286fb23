#!/usr/bin/env bash
# wan_init.sh STATE: the first process of an emulated WAN, started by wan.sh in new namespaces; with it all that is in them
# ends. It makes the bridge, the sites and their links as STATE/config says, then STATE/sites (a process of each) and
# STATE/ready, and waits. What goes wrong it says on stderr.
set -euo pipefail
trap 'exit 0' TERM
SELF=$(realpath -- "${BASH_SOURCE[0]}")
STATE=$1
# shellcheck disable=SC1091
. "$STATE/config"

init() {
    local site pid pids=()
    if [ ! -e /etc/hosts ]; then # a bare system: here alone, a copy of what may be read of /etc that has one
        cp -r /etc "$STATE/etc" 2>/dev/null || true
        : >"$STATE/etc/hosts"
        mount --bind "$STATE/etc" /etc
    fi
    mount --bind "$STATE/hosts" /etc/hosts
    ip link set lo up
    ip link add wan type bridge
    ip link set wan addrgenmode none up
    for ((site = 0; site < SITES; site++)); do
        unshare --net --uts --ipc --mount sleep infinity &
        pids+=($!)
    done
    agent "${pids[@]}" >"$STATE/agent"
    [ -z "$LINK" ] || start_link
    for ((site = 0; site < SITES; site++)); do
        pid=${pids[site]}
        until [ "$(readlink "/proc/$pid/ns/mnt")" != "$(readlink /proc/1/ns/mnt)" ]; do sleep 0.01; done
        join "$site" "$pid"
    done
    echo "${pids[*]}" >"$STATE/sites"
    : >"$STATE/ready"
    wait -n || true
    echo "a process of the emulation ended: it is of no use any more"
    exit 1
}

# Open MPI's launch agent: runs a command in the site whose name is the first argument, as ssh would.
agent() { # PID...
    local site=0 pid
    echo '#!/bin/sh'
    # shellcheck disable=SC2016
    echo 'site=$1; shift; case $site in'
    for pid; do echo "site$site) pid=$pid ;;" && ((++site)); done
    # shellcheck disable=SC2016
    echo '*) echo "wan.sh: no site $site" >&2; exit 1 ;; esac'
    # shellcheck disable=SC2016
    echo 'exec nsenter -t $pid --net --uts --ipc --mount -- env DIST_SITE=$site WAN_EMULATED=1 sh -c "$*"'
}

# tbf's burst is what passes at once after an idle moment. 256k would be a quarter of a 1 MiB message at 1 Gbit/s for
# nothing; 250 us of the rate is all that the kernel's timers need, and 32000 bytes hold a super-packet while the next is
# made (tbf cuts up what is larger than the burst, at a high price: so TCP is told to make none over 16 KiB). The queue is
# 50 ms of the rate.
limit_rate() { # DEVICE, in this network namespace
    if ((RATE == 0)); then
        tc qdisc add dev "$1" root pfifo limit 10000
        return
    fi
    local burst=$((RATE / 8 / 4000)) queue=$((RATE / 8 / 20))
    ((burst >= 32000)) || burst=32000
    ((queue >= 262144)) || queue=262144
    tc qdisc add dev "$1" root tbf rate "${RATE}bit" burst "$burst" limit "$queue"
}

# One site's link: wan0 in the site, PORT on the bridge's side; both limit the rate of what they send.
#   no delay     wan0 = far (veth), far on the bridge
#   netem        the same, but far and the bridge are joined through a veth pair: up (delayed) and down
#   wan_link     wan0 and far are TAP devices of that program, far on the bridge
join() { # SITE PID
    local site=$1 pid=$2 near="near$1" far="far$1" route
    case $LINK in
    tap) ;;
    *) ip link add "$near" type veth peer name "$far" ;;
    esac
    ip link set "$near" gso_max_size 16384 addrgenmode none
    ip link set "$far" gso_max_size 16384 addrgenmode none
    if [ "$LINK" = netem ]; then
        # each packet is to be lost by itself, hence no super-packets where there is loss
        [ "$PERCENT" = 0.000000 ] || ip link set "$near" gso_max_segs 1
        ip link add "mid$site" type bridge
        ip link add "up$site" type veth peer name "down$site"
        tc qdisc add dev "up$site" root netem delay "${DELAY}us" limit 1000000 \
            loss "$PERCENT%"
        ip link set "$far" master "mid$site"
        ip link set "up$site" master "mid$site"
        ip link set "down$site" master wan
        for route in "mid$site" "up$site" "down$site"; do ip link set "$route" addrgenmode none up; done
    else
        ip link set "$far" master wan
    fi
    limit_rate "$far"
    ip link set "$far" up
    ip link set "$near" netns "$pid"
    export -f limit_rate
    export RATE CONGESTION STATE NET
    # shellcheck disable=SC2016
    nsenter -t "$pid" --net --uts --ipc --mount -- bash -euc '
        hostname "site$0" 2>/dev/null || echo "site$0" >/proc/sys/kernel/hostname
        mount -t tmpfs -o mode=1777 wan /dev/shm
        cp "$STATE/agent" /dev/shm/wan-agent && chmod 755 /dev/shm/wan-agent
        ip link set lo up
        ip link set "$1" name wan0
        limit_rate wan0
        ip link set wan0 up
        ip addr add "$NET.$(($0 + 1))/24" dev wan0
        if [ -n "$CONGESTION" ]; then # the sysctl may not be writable in a namespace; the route always is
            ip route replace "$NET.0/24" dev wan0 src "$NET.$(($0 + 1))" congctl "$CONGESTION" ||
                { echo "the kernel refuses the congestion control $CONGESTION"; exit 1; }
        fi' "$site" "$near"
}
start_link() {
    local pairs=() site program
    [ "$LINK" = tap ] || return 0
    for ((site = 0; site < SITES; site++)); do pairs+=("near$site:far$site"); done
    program=$(find_link) || exit 1
    # shellcheck disable=SC2086 # nothing, or a flag
    "$program" --delay "$DELAY" --loss "$PERCENT" --seed "$SEED" ${WAN_LINK_THREADS:+--threads} "${pairs[@]}" >"$STATE/link" &
    local link=$!
    until [ -s "$STATE/link" ]; do
        kill -0 $link 2>/dev/null || { echo 'wan_link did not start' && exit 1; }
        sleep 0.02
    done
}
# wan_link as CMake built it, else made here and now
find_link() {
    local here=${SELF%/*} built
    built=$here/../build/release/bin/wan_link
    [ ! -x "$here/wan_link" ] || built=$here/wan_link
    if [ ! -x "$built" ] || [ "$built" -ot "$here/wan_link.c" ]; then
        built=$STATE/wan_link
        "${CC:-cc}" -std=c11 -O2 -pthread -o "$built" "$here/wan_link.c" >&2 || return 1
    fi
    echo "$built"
}

init
