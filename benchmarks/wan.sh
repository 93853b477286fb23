#!/usr/bin/env bash
# wan.sh: an emulated WAN on one Linux machine, for programs that run under Open MPI.
#
#   wan.sh run     [LINK] [--timeout S] [--bytes] [--mpirun "FLAGS"] [--name NAME] -- PROGRAM [ARGUMENT...]
#   wan.sh goodput [LINK] [--time S] [--streams N] [--name NAME]
#   wan.sh rtt     [LINK] [--count N] [--name NAME]
#   wan.sh up      [LINK] [--name NAME]
#   wan.sh exec    [--name NAME] SITE -- COMMAND [ARGUMENT...]
#   wan.sh bytes   [--name NAME]
#   wan.sh status  [--name NAME]
#   wan.sh down    [--name NAME | --all]
#
# Each site is a host of its own: its network, hostname, shared memory and IPC are apart, so that Open MPI crosses
# from site to site by TCP and nothing else. The sites hang on a bridge in a star; a link of LINK joins each to it.
#
# LINK:
#   --sites N            sites, named site0, site1, ... (default 2)
#   --ranks N[,N...]     MPI ranks of every site, or of each (default 1)
#   --rate RATE          each site's link, in each direction: 200mbit, 1gbit, ... (default: not limited)
#   --delay TIME         one way from site to site: 15ms makes a round trip of 30 ms (default: none)
#   --loss PERCENT       of the packets on the way from site to site, drawn one by one (default: none)
#   --seed N             of the losses that wan_link draws (default 1)
#   --congestion NAME    TCP's congestion control between sites: cubic, bbr, ... (default: the machine's)
#
# run      sets up, runs the program under mpirun with DIST_SITE set to its site in each rank (and WAN_EMULATED=1, by which
#          dist_perf marks its rows), cleans up, and ends
#          with the program's status; after S seconds (default 600) it ends the program and the status is 124.
#          --bytes: the counters of `bytes` on stderr when the program has ended. --mpirun: more flags for mpirun.
#          Where namespaces are not permitted it says so and runs the same ranks on this host, link not slowed.
# goodput  iperf3 both ways at once between the first two sites: one line, bytes a second in each direction.
# rtt      the time to be refused a TCP connection from site0 to site1, N times (default 11): one line, milliseconds.
# bytes    one line a site: what its link's interface counted (tx, rx), and what went over the wire with the header of
#          each packet (wire_tx, wire_rx), out of the site and into it.
# up, exec, down: the emulation without mpirun. It lives until `down`. `down --all` removes what dead ones left.
#          run, goodput, rtt, bytes and exec with --name use an emulation that is up; LINK must not be given then.
#          run, goodput and rtt without --name make their own and remove it.
#
# Environment: TMPDIR holds the state. Open MPI's own settings (OMPI_MCA_*) win over those made here.
# WAN_FORCE_LOCAL=1 does as if namespaces were not permitted. WAN_LINK_THREADS=1 gives each delayed link a thread: for many streams at
# once, at the price of 0.1 ms a round trip.
# Exit status: 2 usage, 77 not possible here (run: only if the link cannot be delayed), 1 failed, else the program's.

# shellcheck disable=SC2015 # "a && b || fail" is meant so: fail ends
# shellcheck disable=SC2034 # settings are named to be saved
set -euo pipefail

SELF=$(realpath -- "${BASH_SOURCE[0]}")
ROOT="${TMPDIR:-/tmp}/libdist-wan-$(id -u)"
NET=10.77.0
PORT=5201

usage() {
    printf 'wan.sh: %s\nwan.sh: see wan.sh --help\n' "$1" >&2
    exit 2
}
fail() {
    printf 'wan.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}
help() {
    sed -n '2,/^$/{s/^# \{0,1\}//p}' "$SELF"
}

# --- options ---------------------------------------------------------------------------------------------------------

# number UNIT... of TEXT, scaled: scaled 1.5gbit bit=1 kbit=1e3 ... ; fails if TEXT is no such thing
scaled() {
    local text=$1 unit
    shift
    [[ $text =~ ^([0-9]+(\.[0-9]+)?)([a-zA-Z%]*)$ ]] || return 1
    for unit; do
        if [ "${unit%%=*}" = "${BASH_REMATCH[3]}" ]; then
            awk -v n="${BASH_REMATCH[1]}" -v f="${unit#*=}" 'BEGIN { printf "%.0f\n", n * f }'
            return
        fi
    done
    return 1
}
whole() { # NAME TEXT LOWEST HIGHEST
    [[ $2 =~ ^[0-9]{1,9}$ ]] && (($2 >= $3 && $2 <= $4)) || usage "$1 must be a whole number from $3 to $4, not '$2'"
}

SITES=2 RANKS=1 RATE=0 DELAY=0 LOSS=0 SEED=1 CONGESTION=''
NAME='' LINKED=0 ALL=0 BYTES=0 TIMEOUT=600 MPIRUN='' TIME=5 STREAMS=1 COUNT=11 REST=()

# Reads the options that are in ALLOWED; what follows them goes to REST.
options() { # ALLOWED ARGUMENT...
    local allowed=" $1 " link=' --sites --ranks --rate --delay --loss --seed --congestion '
    allowed=${allowed/ LINK / $link}
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) help && exit 0 ;;
        --) shift && break ;;
        --*) ;;
        *) break ;;
        esac
        [[ $allowed == *" $1 "* ]] || usage "unknown option '$1' here"
        [[ $link != *" $1 "* ]] || LINKED=1
        case $1 in
        --all) ALL=1 && shift && continue ;;
        --bytes) BYTES=1 && shift && continue ;;
        esac
        [ $# -ge 2 ] || usage "$1 wants a value"
        case $1 in
        --sites) whole "$1" "$2" 1 64 && SITES=$2 ;;
        --ranks) RANKS=$2 ;;
        --rate) RATE=$(scaled "$2" bit=1 kbit=1e3 mbit=1e6 gbit=1e9 kbps=8e3 mbps=8e6 gbps=8e9) && ((RATE >= 8000)) ||
            usage "--rate must be at least 8kbit, like 200mbit or 1.5gbit, not '$2'" ;;
        --delay) DELAY=$(scaled "$2" us=1 ms=1e3 s=1e6) && ((DELAY <= 10000000)) ||
            usage "--delay must be a time of at most 10s, like 15ms or 500us, not '$2'" ;;
        --loss) LOSS=$(scaled "$2" %=1e6 =1e6) && ((LOSS <= 100000000)) ||
            usage "--loss must be a percentage, like 0.05%, not '$2'" ;;
        --seed) whole "$1" "$2" 0 999999999 && SEED=$2 ;;
        --congestion) [[ $2 =~ ^[a-z0-9_]+$ ]] || usage "--congestion must be like cubic or bbr, not '$2'"
            CONGESTION=$2 ;;
        --name) [[ $2 =~ ^[A-Za-z0-9._-]+$ && $2 != .* ]] || usage "--name may hold letters, digits, . _ -, not '$2'"
            NAME=$2 ;;
        --timeout) whole "$1" "$2" 1 999999 && TIMEOUT=$2 ;;
        --mpirun) MPIRUN=$2 ;;
        --time) whole "$1" "$2" 1 86400 && TIME=$2 ;;
        --streams) whole "$1" "$2" 1 128 && STREAMS=$2 ;;
        --count) whole "$1" "$2" 1 100000 && COUNT=$2 ;;
        esac
        shift 2
    done
    REST=("$@")
    spread_ranks
}

# RANKS becomes one number a site
spread_ranks() {
    local each
    local -a list
    [[ $RANKS =~ ^[0-9]+(,[0-9]+)*$ ]] || usage "--ranks must be like 2 or 2,1, not '$RANKS'"
    IFS=, read -ra list <<<"$RANKS"
    if [ ${#list[@]} -eq 1 ]; then
        while [ ${#list[@]} -lt "$SITES" ]; do list+=("${list[0]}"); done
    fi
    [ ${#list[@]} -eq "$SITES" ] || usage "--ranks names ${#list[@]} sites, but there are $SITES"
    for each in "${list[@]}"; do whole --ranks "$each" 1 1024; done
    RANKS="${list[*]}"
}

# --- state -----------------------------------------------------------------------------------------------------------
# ROOT/NAME holds: config (what was asked for), maker (the process that made it; owned: it dies with it), init (the
# emulation's first process), sites (a process of each, as the emulation counts them), log. Everything else lives in
# namespaces that die with the first process.

# start time in ticks: with it a pid is never mistaken for a later process
started() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    read -ra stat <<<"$stat"
    [ "${stat[0]}" != Z ] && echo "${stat[19]}"
}
alive() { # DIRECTORY: sets INIT
    local ticks
    { read -r INIT ticks <"$1/init"; } 2>/dev/null && [ "$(started "$INIT")" = "$ticks" ]
}
in_use() { # DIRECTORY: its maker is alive, or it was made to outlive it and does
    local maker ticks kind
    { read -r maker ticks kind <"$1/maker"; } 2>/dev/null || return 1
    [ "$(started "$maker")" = "$ticks" ] || { [ "$kind" = free ] && alive "$1"; }
}
# Takes the state folder NAME for this process.
take() { # owned | free
    mkdir -p "$ROOT" && chmod 700 "$ROOT" && [ ! -L "$ROOT" ] || fail "$ROOT is not a folder of this user"
    STATE=$ROOT/$NAME
    if [ -e "$STATE" ] && ! in_use "$STATE"; then demolish "$STATE"; fi
    mkdir -p "$ROOT" && mkdir -m 700 "$STATE" 2>/dev/null ||
        fail "an emulation '$NAME' is up already: wan.sh down --name $NAME ends it"
    echo "$$ $(started $$) $1" >"$STATE/maker"
    guard
}
attach() { # the emulation NAME, which must be up
    STATE=$ROOT/${NAME:=default}
    alive "$STATE" || fail "no emulation '$NAME' is up: start one with wan.sh up --name $NAME"
    # shellcheck disable=SC1091
    . "$STATE/config"
    read -ra SITE_PIDS <"$STATE/sites"
}
# Why the kernel or the rights do not allow an emulation; nothing if they do.
obstacle() {
    local tool why
    if [ "${WAN_FORCE_LOCAL:-0}" != 0 ]; then
        echo 'WAN_FORCE_LOCAL is set'
        return
    fi
    for tool in ip tc unshare nsenter; do
        command -v $tool >/dev/null || {
            echo "$tool is missing"
            return
        }
    done
    # shellcheck disable=SC2016
    why=$(unshare "${NEW[@]}" sh -c 'ip link add wan0 type veth && ip link add wan type bridge || exit
        [ "$(stat -c %d:%i /)" = "$(nsenter -t 1 --mount stat -c %d:%i /)" ] && exit
        echo "this is a chroot, and to enter a namespace is to leave it" >&2
        exit 1' 2>&1 >/dev/null) || echo "${why:-unshare failed}" | head -n 1
}
NEW=(--mount --pid --net --uts --ipc --fork --kill-child --mount-proc)
USERNS=()
if [ "$(id -u)" != 0 ]; then # an ordinary user is root in a user namespace of its own, where the kernel permits
    NEW=(--user --map-root-user "${NEW[@]}")
    USERNS=(--user --preserve-credentials)
fi

# --- running inside --------------------------------------------------------------------------------------------------

DIE=()
! command -v setpriv >/dev/null || DIE=(setpriv --pdeathsig TERM)

in_world() {
    nsenter -t "$INIT" "${USERNS[@]}" --mount --pid --net -- "$@"
}
# INSIDE becomes the command as a process of the site, in the same folder as here, which ends if its caller is killed.
into() { # SITE COMMAND...
    local site=$1
    shift
    # shellcheck disable=SC2016
    INSIDE=(nsenter -t "$INIT" "${USERNS[@]}" --mount --pid --
        nsenter -t "${SITE_PIDS[site]}" --net --uts --ipc --mount -- "${DIE[@]}"
        env DIST_SITE="site$site" WAN_EMULATED=1 sh -c 'cd "$0" && exec "$@"' "$PWD" "$@")
}
in_site() { # SITE COMMAND...
    into "$@"
    "${INSIDE[@]}"
}
default() { # NAME VALUE: a setting of Open MPI that the user may have made already
    [ -n "${!1+set}" ] || export "$1=$2"
}
# Shared memory inside a site, TCP over the link between sites; no rank is bound, since each site believes that it has
# the machine to itself and all would be bound to the same cores.
settings() {
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    default OMPI_MCA_pml ob1
    default OMPI_MCA_btl vader,self,tcp
    default OMPI_MCA_hwloc_base_binding_policy none
    default OMPI_MCA_rmaps_base_oversubscribe 1
    local ranks
    ranks=$((${RANKS// /+}))
    ((ranks <= $(nproc))) || default OMPI_MCA_mpi_yield_when_idle 1
    [ "$1" = sites ] || return 0
    default OMPI_MCA_btl_tcp_if_include wan0
    default OMPI_MCA_oob_tcp_if_include wan0
    export OMPI_MCA_orte_tmpdir_base=/dev/shm OMPI_MCA_plm_rsh_agent=/dev/shm/wan-agent
    export OMPI_MCA_plm_rsh_no_tree_spawn=1
}

# --- the emulation ---------------------------------------------------------------------------------------------------

percent() { # of millionths of a percent
    awk -v n="$1" 'BEGIN { printf "%.6f\n", n / 1e6 }'
}

# How the link is delayed here: netem if the kernel has it, which only trying can tell; else TAP devices.
delay_by() {
    if unshare "${NEW[@]}" sh -c 'ip link set lo up && tc qdisc add dev lo root netem delay 1ms' >/dev/null 2>&1; then
        echo netem
    elif [ -r /dev/net/tun ] && [ -w /dev/net/tun ]; then
        echo tap
    else
        return 1
    fi
}

# Makes the emulation NAME. owned: it dies with this process, however that ends.
start() { # owned | free
    local why site setting tied=()
    why=$(obstacle)
    [ -z "$why" ] || fail "no emulated WAN here: $why" 77
    LINK=''
    if ((DELAY + LOSS > 0)); then
        LINK=$(delay_by) || fail 'the link cannot be delayed here: the kernel has no netem, and no /dev/net/tun' 77
    fi
    take "$1"
    PERCENT=$(percent "$LOSS")
    for setting in SITES RANKS RATE DELAY PERCENT SEED CONGESTION LINK NET; do
        printf '%s=%q\n' $setting "${!setting}"
    done >"$STATE/config"
    {
        echo '127.0.0.1 localhost'
        for ((site = 0; site < SITES; site++)); do echo "$NET.$((site + 1)) site$site"; done
    } >"$STATE/hosts"
    [ "$1" != owned ] || [ ${#DIE[@]} -eq 0 ] || tied=(setpriv --pdeathsig KILL)
    setsid "${tied[@]}" unshare "${NEW[@]}" bash "${SELF%/*}/wan_init.sh" "$STATE" </dev/null >"$STATE/log" 2>&1 &
    WORLD=$!
    for ((site = 0; ; site++)); do
        [ ! -e "$STATE/ready" ] || break
        if ! started "$WORLD" >/dev/null || ((site > 600)); then
            cat "$STATE/log" >&2
            fail 'could not set up the emulated WAN'
        fi
        sleep 0.05
    done
    INIT=$(child "$WORLD")
    echo "$INIT $(started "$INIT")" >"$STATE/init"
    read -ra SITE_PIDS <"$STATE/sites"
}
child() { # the one child of a process
    local stat line
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue
        read -r _ line _ <<<"${line##*) }"
        if [ "$line" = "$1" ]; then
            stat=${stat%/stat}
            echo "${stat#/proc/}"
            return
        fi
    done
    return 1
}

guard() {
    trap 'stop' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}
# Ends what runs, then the emulation if it is this process's own. Safe at any moment, and more than once.
stop() {
    trap '' INT TERM HUP
    end_job
    [ -z "${STATE:-}" ] || [ -n "${KEEP:-}" ] || demolish "$STATE" "${WORLD:-}"
}
demolish() { # STATE [PID of its unshare]
    local tries unshared=${2:-}
    INIT=
    if ! alive "$1" && [ -n "$unshared" ]; then INIT=$(child "$unshared") || INIT=; fi
    if [ -n "$INIT" ]; then
        kill -TERM "$INIT" 2>/dev/null || true
        for ((tries = 0; tries < 100; tries++)); do
            started "$INIT" >/dev/null || break
            ((tries != 40)) || kill -KILL "$INIT" 2>/dev/null || true
            sleep 0.05
        done
    fi
    if [ -n "$unshared" ]; then
        [ -n "$INIT" ] || kill -KILL "$unshared" 2>/dev/null || true
        wait "$unshared" 2>/dev/null || true
    fi
    rm -rf "$1"
    rmdir "$ROOT" 2>/dev/null || true
}

# --- jobs ------------------------------------------------------------------------------------------------------------

JOB='' HELPERS=()
# Runs the command, in the site if there is one, for TIMEOUT seconds at most; STATUS is its status, or 124.
job() { # SITE|here COMMAND...
    local where=$1
    shift
    # shellcheck disable=SC2016
    set -- sh -c 'echo $$ >"$0" && exec "$@"' "$PIDFILE" "$@"
    INSIDE=("$@")
    [ "$where" = here ] || into "$where" "$@"
    "${INSIDE[@]}" <&0 &
    JOB=$!
    "${DIE[@]}" sleep "$TIMEOUT" &
    local timer=$!
    HELPERS+=("$timer")
    STATUS=0
    wait -n "$JOB" "$timer" || STATUS=$?
    if ! kill -0 "$timer" 2>/dev/null; then
        echo "wan.sh: ended after $TIMEOUT seconds" >&2
        STATUS=124
    else
        JOB=''
    fi
    end_job
}
signal_job() {
    local pid
    read -r pid <"$PIDFILE" || return 0
    if [ -n "${INIT:-}" ]; then
        in_world sh -c "kill -$1 $pid"
    else
        kill "-$1" "$pid"
    fi
} 2>/dev/null
end_job() {
    local tries helper patience=60
    [ -n "${KEEP:-}" ] || [ -z "${INIT:-}" ] || patience=20 # what does not heed it by then ends with the emulation
    for helper in "${HELPERS[@]}"; do
        kill "$helper" 2>/dev/null || true
        wait "$helper" 2>/dev/null || true
    done
    HELPERS=()
    [ -n "$JOB" ] || return 0
    signal_job TERM || true
    for ((tries = 0; tries < 100; tries++)); do
        started "$JOB" >/dev/null || break
        ((tries != patience)) || signal_job KILL || true
        sleep 0.05
    done
    kill -KILL "$JOB" 2>/dev/null || true
    wait "$JOB" 2>/dev/null || true
    JOB=''
}

# the emulation NAME if there is one, else one of our own
enter() {
    if [ -n "$NAME" ]; then
        ((LINKED == 0)) || usage "the emulation '$NAME' has its link already: no --sites, --ranks, --rate, ... here"
        KEEP=1
        attach
        guard
    else
        NAME=run-$$
        start owned
    fi
}

run() {
    local site hosts='' total why flags ranks
    options 'LINK --name --timeout --bytes --mpirun' "$@"
    [ ${#REST[@]} -gt 0 ] || usage 'run: which program?'
    command -v mpirun >/dev/null || fail 'mpirun (Open MPI) is missing' 77
    read -ra flags <<<"$MPIRUN" || true
    why=$(obstacle)
    if [ -n "$why" ] && [ -z "$NAME" ]; then
        run_here "$why"
        return
    fi
    enter
    settings sites
    read -ra ranks <<<"$RANKS"
    total=$((${RANKS// /+}))
    for ((site = 0; site < SITES; site++)); do hosts+=",site$site:${ranks[site]}"; done
    PIDFILE=$STATE/job-$$
    job 0 mpirun -n "$total" --host "${hosts#,}" --map-by slot "${flags[@]}" "${REST[@]}"
    rm -f "$PIDFILE"
    ((BYTES == 0)) || counters >&2 || true
    return "$STATUS"
}
run_here() { # WHY
    local site ranks line=()
    read -ra ranks <<<"$RANKS"
    printf 'wan.sh: no emulated WAN here (%s): running the same ranks on this host, link not slowed\n' "$1" >&2
    settings here
    for ((site = 0; site < SITES; site++)); do
        ((site == 0)) || line+=(:)
        line+=(-n "${ranks[site]}" "${flags[@]}" env DIST_SITE="site$site" "${REST[@]}")
    done
    NAME=run-$$
    take owned
    PIDFILE=$STATE/job
    job here mpirun "${line[@]}"
    return "$STATUS"
}

# --- measuring -------------------------------------------------------------------------------------------------------

counters() {
    local site wire
    for ((site = 0; site < SITES; site++)); do
        wire=$(in_world tc -s qdisc show dev "far$site" | awk '$1 == "Sent" { print $2; exit }')
        # shellcheck disable=SC2016
        in_site "$site" sh -c 'cat /proc/net/dev && tc -s qdisc show dev wan0' | awk -v site="site$site" -v rx="$wire" '
            sub(/^ *wan0:/, "") { line = "site=" site " tx=" $9 " rx=" $1 }
            $1 == "Sent" { printf "%s wire_tx=%s wire_rx=%s\n", line, $2, rx; exit }'
    done
}

goodput() {
    local tries out
    options 'LINK --name --time --streams' "$@"
    [ ${#REST[@]} -eq 0 ] || usage "goodput: what is '${REST[0]}'?"
    command -v iperf3 >/dev/null || fail 'iperf3 is missing' 77
    enter
    ((SITES >= 2)) || usage 'goodput wants two sites'
    out=$STATE/goodput-$$
    PIDFILE=$out.pid TIMEOUT=$((TIME + 60))
    into 1 iperf3 --server --one-off --bind "$NET.2" --port $PORT
    "${INSIDE[@]}" >/dev/null 2>&1 &
    HELPERS=($!)
    for ((tries = 0; tries < 100; tries++)); do
        ! in_site 1 grep -qi "$(printf ':%04X 0*:0000 0A' $PORT)" /proc/net/tcp || break
        sleep 0.05
    done
    # the first second, while TCP finds the rate, does not count
    job 0 iperf3 --client "$NET.2" --port $PORT --bidir --time "$TIME" --omit 1 --parallel "$STREAMS" --json >"$out"
    awk -v seconds="$TIME" -v streams="$STREAMS" '
        /"error"/ { sub(/^[ \t]*"error":[ \t]*/, ""); print "wan.sh: iperf3: " $0 >"/dev/stderr"; failed = 1 }
        /"sum_received"/ { way = "there" }
        /"sum_received_bidir_reverse"/ { way = "back" }
        way && /"bits_per_second"/ { gsub(/[^0-9.e+]/, "", $2); rate[way] = $2 / 8; way = "" }
        END {
            if (failed || !("there" in rate) || !("back" in rate)) exit 1
            printf "goodput site0_to_site1=%.0f site1_to_site0=%.0f unit=bytes/s seconds=%d streams=%d\n",
                rate["there"], rate["back"], seconds, streams
        }' "$out" || STATUS=1
    rm -f "$out" "$PIDFILE"
    return "$STATUS"
}

rtt() {
    options 'LINK --name --count' "$@"
    [ ${#REST[@]} -eq 0 ] || usage "rtt: what is '${REST[0]}'?"
    enter
    ((SITES >= 2)) || usage 'rtt wants two sites'
    # The refusal comes after one round trip. The first one also asks for the other's hardware address: it does not count.
    # shellcheck disable=SC2016
    in_site 0 bash -c 'for ((i = 0; i <= $1; i++)); do
            t=${EPOCHREALTIME/./}
            { : <>/dev/tcp/$0/9; } 2>/dev/null || true
            ((i == 0)) || echo $((${EPOCHREALTIME/./} - t))
        done' "$NET.2" "$COUNT" | sort -n | awk '
        { t[NR] = $1 / 1000 }
        END { printf "rtt min=%.3f median=%.3f max=%.3f unit=ms count=%d\n", t[1], t[int((NR + 1) / 2)], t[NR], NR }'
}

# --- commands --------------------------------------------------------------------------------------------------------

up() {
    options 'LINK --name' "$@"
    [ ${#REST[@]} -eq 0 ] || usage "up: what is '${REST[0]}'?"
    : "${NAME:=default}"
    start free
    KEEP=1
    status_of "$STATE"
}
execute() {
    local site
    options '--name' "$@"
    [ ${#REST[@]} -gt 0 ] || usage 'exec: in which site?'
    site=${REST[0]#site}
    REST=("${REST[@]:1}")
    [ "${REST[0]:-}" != -- ] || REST=("${REST[@]:1}")
    attach
    whole 'exec: the site' "$site" 0 $((SITES - 1))
    [ ${#REST[@]} -gt 0 ] || usage 'exec: which command?'
    settings sites
    into "$site" "${REST[@]}"
    exec "${INSIDE[@]}"
}
status_of() ( # STATE
    # shellcheck disable=SC1091
    . "$1/config"
    if alive "$1"; then up=up; else up=dead; fi
    rate=unlimited congestion=${CONGESTION:-default}
    ((RATE == 0)) || rate=${RATE}bit/s
    printf 'name=%s state=%s sites=%d ranks=%s rate=%s delay=%dus loss=%s%% link=%s congestion=%s\n' \
        "${1##*/}" $up "$SITES" "${RANKS// /,}" "$rate" "$DELAY" "$PERCENT" "${LINK:-plain}" "$congestion"
)
status() {
    local each found=0
    options '--name' "$@"
    for each in "$ROOT"/*/; do
        each=${each%/}
        [ -e "$each/config" ] && [ "${each##*/}" = "${NAME:-${each##*/}}" ] || continue
        status_of "$each"
        found=1
    done
    ((found)) || fail "no emulation${NAME:+ \'$NAME\'} is up"
}
down() {
    local each
    options '--name --all' "$@"
    if ((ALL)); then
        for each in "$ROOT"/*/; do
            each=${each%/}
            [ -d "$each" ] || continue
            in_use "$each" || demolish "$each"
        done
        rmdir "$ROOT" 2>/dev/null || true
        return
    fi
    [ -d "$ROOT/${NAME:=default}" ] || fail "no emulation '$NAME' is up"
    demolish "$ROOT/$NAME"
}
bytes() {
    options '--name' "$@"
    attach
    counters
}

[ $# -gt 0 ] || usage 'which command?'
command=$1
shift
case $command in
-h | --help | help) help ;;
run | goodput | rtt | up | bytes | status | down) "$command" "$@" ;;
exec) execute "$@" ;;
*) usage "unknown command '$command'" ;;
esac
