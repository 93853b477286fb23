#!/usr/bin/env bash
# Where namespaces are not permitted, wan.sh says so and runs the same ranks on this host.
. "$(dirname "$0")/common.sh"
build_where
ranks="$(printf "rank=%d host=$(uname -n) site=%s\n" 0 site0 1 site0 2 site1)"

equal 'forced: status' "$(WAN_FORCE_LOCAL=1 status_of "$WAN" run --ranks 2,1 --rate 1mbit --delay 1s -- "$WORK/where" 5)" 5
equal 'forced: ranks' "$(grep '^rank' "$WORK/out")" "$ranks"
grep -q 'link not slowed' "$WORK/err" || die "it does not say so: $(cat "$WORK/err")"
equal 'forced: timeout' "$(WAN_FORCE_LOCAL=1 status_of "$WAN" run --timeout 1 -- sleep 60)" 124
equal 'forced: up' "$(WAN_FORCE_LOCAL=1 status_of "$WAN" up)" 77
equal 'left behind' "$(leftovers)$(ls -A "$TMPDIR")" ''

# the kernel itself refuses: a user namespace that may hold no network namespaces
if unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_net_namespaces' 2>/dev/null; then
    equal 'refused: status' "$(status_of unshare --user --map-root-user sh -c \
        'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"' sh "$WAN" run --ranks 2,1 -- "$WORK/where")" 0
    equal 'refused: ranks' "$(grep '^rank' "$WORK/out")" "$ranks"
    grep -q 'link not slowed' "$WORK/err" || die "it does not say so: $(cat "$WORK/err")"
fi
echo 'local: passed'
