#!/usr/bin/env bash
# However a run ends, nothing of it is left.
. "$(dirname "$0")/common.sh"
need mpirun ip
need_wan
LINK=(--ranks 1 --rate 200mbit)
if "$WAN" up --delay 1ms >/dev/null 2>&1; then
    "$WAN" down
    LINK+=(--delay 1ms)
fi

surroundings >"$WORK/before"
clean() { # WHAT
    local tries left
    for ((tries = 0; tries < 50; tries++)); do
        left=$(leftovers)
        [ -n "$left" ] || break
        sleep 0.1
    done
    equal "$1: processes left" "$left" ''
    equal "$1: files left" "$(ls -A "$TMPDIR")" ''
    surroundings >"$WORK/after"
    cmp "$WORK/before" "$WORK/after" || die "$1: $(diff "$WORK/before" "$WORK/after")"
    echo "clean: $1 ($SECONDS s)"
}
run() { # PROGRAM...: in the background, in a process group of its own as from a terminal; returns when both ranks run
    local tries
    rm -f "$WORK"/rank*
    set -m
    "$WAN" run "${LINK[@]}" -- sh -c ': >"$0/rank$OMPI_COMM_WORLD_RANK"; '"$1" "$WORK" >"$WORK/out" 2>&1 &
    set +m
    for ((tries = 0; tries < 200; tries++)); do
        if [ -e "$WORK/rank0" ] && [ -e "$WORK/rank1" ]; then return; fi
        sleep 0.05
    done
    die "the ranks did not start: $(cat "$WORK/out")"
}
ended() { # WHAT STATUS
    local status=0
    wait $! || status=$?
    equal "$1: status" $status "$2"
    clean "$1"
}

equal 'a failing program' "$(status_of "$WAN" run "${LINK[@]}" -- sh -c 'exit 7')" 7
clean 'a failing program'
equal 'no such program' "$(status_of "$WAN" run "${LINK[@]}" -- "$WORK/nosuch" | sed 's/[1-9][0-9]*/not 0/')" 'not 0'
clean 'no such program'
equal timeout "$(status_of "$WAN" run "${LINK[@]}" --timeout 1 -- sleep 60)" 124
clean timeout
run 'sleep 60'
kill -INT -- -$!
ended 'Ctrl-C' 130
run 'trap "" INT TERM; sleep 60; sleep 60'
kill -INT $!
ended 'INT, and ranks that ignore it' 130
run 'sleep 60'
kill -TERM $!
ended TERM 143
# the parent of a rank of site0 is mpirun
run 'sleep 0.5; [ "$DIST_SITE" = site1 ] || kill -KILL $PPID; sleep 60'
ended 'mpirun killed' 137

run 'sleep 60'
kill -KILL $!
wait $! 2>/dev/null || true
"$WAN" down --all
clean 'wan.sh killed'

for delay in 0.02 0.06 0.1 0.15 0.2 0.3; do
    set -m
    "$WAN" up "${LINK[@]}" >/dev/null 2>&1 &
    set +m
    sleep $delay
    kill -INT -- -$! 2>/dev/null || true
    wait $! || true
    "$WAN" down >/dev/null 2>&1 || true
done
clean 'INT while setting up'

"$WAN" up "${LINK[@]}" >/dev/null
read -r pid _ <"$TMPDIR/libdist-wan-$(id -u)/default/init"
kill -KILL "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.05; done # the kernel takes its namespaces apart first
equal 'run in a dead emulation' "$(status_of "$WAN" run --name default -- true)" 1
"$WAN" down --all
clean 'an emulation killed'
echo 'cleanup: passed'
