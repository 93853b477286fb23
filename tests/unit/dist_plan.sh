#!/bin/sh
# dist_plan: its table, JSON and diagram of pipelines and all-reduces, the figures of slow edges, layers split over
# stages, schedules written and read, plans that do not verify, and bad input.
#
#   dist_plan.sh BUILD-FOLDER
set -eu

plan=$1/bin/dist_plan
if [ ! -x "$plan" ]; then
    echo "no $plan: it is built with DIST_PROGRAMS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/all"
failures=0
problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
written=0
keep() { # FILE KIND: for one look at all of them at the end
    written=$((written + 1))
    cp "$1" "$work/all/$written.$2"
}
valid_json() {
    keep "$1" json
    head -n 1 "$1" | grep -q '^{"version":"[0-9.]*","command":"[a-z-]*",$' || problem "the JSON begins with $(head -n 1 "$1")"
    tail -n 1 "$1" | grep -q ']}$' || problem "the JSON ends with $(tail -n 1 "$1")"
}
run() { # COMMAND FLAG...: into $work/table and $work/json
    code=0
    "$plan" "$@" --json "$work/json" >"$work/table" 2>"$work/err" || code=$?
    [ $code = 0 ] || problem "$*: exit code $code: $(cat "$work/err")"
    valid_json "$work/json"
}
field() { # KEY: a number, null, a text, or all of a list
    sed -n "s/.*\"$1\":\(\[[^]]*\]\|\"[^\"]*\"\|[-+0-9.e]*\|null\|true\|false\)\([,}].*\|\)\$/\1/p" "$work/json" | head -n 1
}
is() { # KEY VALUE
    [ "$(field "$1")" = "$2" ] || problem "$1 is $(field "$1"), not $2"
}

# One slow edge in the middle of eight stages: schedule, then makespan and bound by its latency.
while read -r schedule c makespan bound; do
    run pipeline --schedule "$schedule" --stages 8 --microbatches 128 --latency "0,0,0,$c,0,0,0" --times 1,1,1
    is schedule "\"$schedule\""
    is makespan "$makespan"
    is bound "$bound"
    is ratio "$(awk -v a="$makespan" -v b="$bound" 'BEGIN { printf "%.15g", a / b }')"
done <<'END'
1f1b 0 405 405
1f1b 3 783 411
1f1b 24 3429 453
eager1f1b 0 405 405
eager1f1b 3 525 411
eager1f1b 24 2247 453
zb-h1 0 391 391
zb-h1 3 709 394
zb-h1 24 3355 415
wan-1f1b 0 405 405
wan-1f1b 3 411 411
wan-1f1b 24 453 453
wan-zb 0 391 391
wan-zb 3 394 394
wan-zb 24 415 415
END

# Every field of a pipeline.
run pipeline --schedule 1f1b --stages 3 --microbatches 4 --boundary 136 --stash 1K --bandwidth 200 --verify --predict
is stages 3
is microbatches 4
is chunks 1
is split false
is verified true
is peak '[3,2,1]'
is busy '[12,12,12]'
grep -q '^{"from":"rank 1","to":"rank 2","bytes":800,"messages":4,"busy":4}' "$work/json" || problem "links: $(cat "$work/json")"
for key in makespan span bound ratio begin end bubble peak_bytes; do
    [ -n "$(field $key)" ] || problem "no $key in $(cat "$work/json")"
done
[ "$(grep -vc '^#' "$work/table")" = 3 ] || problem "the table has other rows: $(cat "$work/table")"
grep -q "^# makespan $(field makespan), span .*, bound $(field bound), makespan / bound" "$work/table" ||
    problem "the last line of the table: $(cat "$work/table")"
grep -q '^# verified: 1f1b, 3 ranks, 4 microbatches$' "$work/table" || problem "verified: $(cat "$work/table")"
run pipeline --schedule zb-h1 --stages 2 --microbatches 2 --ops
[ "$(grep -c '"kind":"W"' "$work/json")" = 4 ] || problem "W among the ops: $(cat "$work/json")"
grep -q '^{"rank":0,"op":0,"kind":"F","start":0,"end":1,"stage":0,"microbatch":0}' "$work/json" || problem 'the first op'

# Times: one set, one a stage, a file; latencies: one, or one an edge.
run pipeline --schedule gpipe --stages 2 --microbatches 3 --times '1,2,3;2,1,.5'
is busy '[18,10.5]'
printf '# a comment\n1,2,3\n\n  2 1 0.5 # blanks do as well\n' >"$work/times"
run pipeline --schedule gpipe --stages 2 --microbatches 3 --times "$work/times"
is busy '[18,10.5]'
run pipeline --schedule gpipe --stages 3 --microbatches 1 --latency 2
is makespan 17

# Layers: their best split, on ranks with one stage and with two.
printf '1,1,1,5\n1,1,1,5\n2,2,2,5\n1,1,1,5\n1,1,1,5\n4,4,4,5\n' >"$work/layers"
run pipeline --schedule 1f1b --stages 3 --microbatches 2 --layers "$work/layers" --predict
is first_layer '[0,2,5,6]'
is busy '[12,24,24]'
grep -q '^# stage 1 on rank 1: layers 2 to 4$' "$work/table" || problem "layers: $(cat "$work/table")"
run pipeline --schedule zb-v --stages 2 --microbatches 4 --layers "$work/layers"
is first_layer '[0,2,3,5,6]'
is busy '[72,48]'
run pipeline --schedule 1f1b --stages 3 --microbatches 2 --layers "$work/layers" --layer-memory 10
is first_layer '[0,2,4,6]'

# A schedule that was written is the same when it is read; one that is broken is refused.
run pipeline --schedule interleaved:v=2 --stages 3 --microbatches 6 --latency 1 --write "$work/schedule"
made=$(field makespan)
run pipeline --schedule "file:$work/schedule" --latency 1 --verify
is makespan "$made"
is stages 3
"$plan" pipeline --schedule "file:$work/schedule" --write "$work/again"
cmp "$work/schedule" "$work/again" || problem 'a schedule changes when it is read and written'

# All-reduces.
run all-reduce --sites 2 --ranks 2 --algo hier --codec none --size 1M --bandwidth 1M --latency 0.5 --verify --predict
is bound 1.048576
is ranks 4
is sites 2
grep -q '^{"from":"site0","to":"site1","bytes":1048576,' "$work/json" || problem "links: $(cat "$work/json")"
grep -q '^# site1 to site0: 1048576 bytes' "$work/table" || problem "links: $(cat "$work/table")"
run all-reduce --ranks 4 --algo ring --size 400 --inside-latency 2 --inside-bandwidth 10 --reduce-rate 50
is makespan 78
is bound 60
run all-reduce --ranks 3,1 --codec int8 --size 4M --codec-rate 1G --copy-rate 5G --type bfloat16
is sites 2
run all-reduce --ranks 1
is bound null

# All-to-alls and shifts: bounds of the busiest link, which crossing first nearly reaches.
run all-to-all --sites 2 --ranks 2 --size 1M --bandwidth 1M --latency 0.5 --verify --predict --print
is bound 4.194304
is verified true
grep -q '^{"from":"site0","to":"site1","bytes":4194304,' "$work/json" || problem "links: $(cat "$work/json")"
grep -q 'all-to-all of 262144 float32, hier' "$work/table" || problem "labels: $(head "$work/table")"
awk -v r="$(field ratio)" 'BEGIN { exit !(r >= 1 && r < 1.3) }' || problem "an all-to-all takes $(field ratio) of its bound"
run all-to-all --ranks 4 --algo ring --size 400 --inside-latency 2 --inside-bandwidth 10 --verify --predict
is bound 120
run send-recv --ranks 4 --size 400 --inside-latency 2 --inside-bandwidth 10 --verify --predict
is bound 40
is makespan 42
run send-recv --ranks 3,1 --size 1M --bandwidth 1M --cuda --verify --predict
is bound 1.048576
run send-recv --ranks 1 --size 1M --verify --predict
is bound null

# On devices: the slow link is the bound as before, frames go through pinned memory, and NCCL does what is inside a site.
run all-reduce --ranks 2,2 --algo hier --codec int8 --size 1M --bandwidth 1M
bound=$(field bound)
for device in --cuda --nccl; do
    run all-reduce --ranks 2,2 --algo hier --codec int8 --size 1M --bandwidth 1M $device --verify --predict --print
    is bound "$bound"
    grep -q '^# buffer h:frames: scratch, pinned' "$work/table" || problem "$device: frames are not staged"
done
grep -q 'NATIVE team reduce-scatter' "$work/table" || problem '--nccl: no reduce-scatter of the team'
grep -q 'h:inside' "$work/table" && problem '--nccl: something is staged inside the site'
run all-reduce --ranks 3,1 --codec int8 --nccl --verify

# Diagrams: well-formed, with what belongs in them and no scripts.
draw() { # FLAG...
    "$plan" "$@" --svg "$work/svg" >"$work/table" || problem "$*: exit code $?"
    keep "$work/svg" svg
    grep -q '^<svg xmlns="http://www.w3.org/2000/svg"' "$work/svg" || problem "$*: begins with $(head -n 1 "$work/svg")"
    [ "$(tail -n 1 "$work/svg")" = '</svg>' ] || problem "$*: ends with $(tail -n 1 "$work/svg")"
    grep -qi '<script\|nan\|inf[^o]' "$work/svg" && problem "$*: scripts or numbers that are none"
    [ "$(wc -c <"$work/svg")" -lt 4000000 ] || problem "$*: $(wc -c <"$work/svg") bytes"
}
draw pipeline --schedule zb-h1 --stages 4 --microbatches 8 --latency 1
for text in 'zb-h1, 4 ranks, 8 microbatches' 'bound ' 'F forward' 'B backward of the input' 'W backward' '>message<' '>rank 3<'; do
    grep -qF -e "$text" "$work/svg" || problem "no '$text' in the diagram"
done
[ "$(grep -c 'text-anchor="middle" fill="#[a-f0-9]*">7<' "$work/svg")" = 12 ] || problem 'microbatch 7 is not in 12 boxes'
draw pipeline --schedule 1f1b --stages 100 --microbatches 300
grep -q 'one rank in 2 is shown' "$work/svg" || problem 'nothing says which ranks are shown'
draw pipeline --schedule gpipe --stages 1 --microbatches 1 --times 0,0,0
draw all-reduce --sites 3 --ranks 2 --codec int8 --codec-rate 1G
for text in 'message between sites' 'codec' '>bound'; do
    grep -qF -e "$text" "$work/svg" || problem "no '$text' in the diagram"
done

# What is printed without a prediction.
"$plan" pipeline --schedule gpipe --stages 2 --microbatches 2 --print >"$work/table" || problem "--print: exit code $?"
grep -q '^# rank 1 of 2: pipeline gpipe' "$work/table" || problem "--print: $(cat "$work/table")"
grep -q 'makespan' "$work/table" && problem '--print predicts'
"$plan" pipeline --schedule gpipe --stages 2 --microbatches 2 >"$work/table"
grep -q '^# makespan' "$work/table" || problem 'no table without flags'

# Plans that hold more than is allowed.
code=0
"$plan" pipeline --schedule gpipe --stages 2 --microbatches 8 --stash 1M --memory-bytes 4M --verify >"$work/table" 2>"$work/err" ||
    code=$?
[ $code = 1 ] || problem "too much memory: exit code $code, not 1"
grep -q 'do not verify: .*rank 0' "$work/err" || problem "too much memory: $(cat "$work/err")"

refused() { # PART-OF-THE-SENTENCE COMMAND FLAG...
    part=$1 code=0
    shift
    "$plan" "$@" >"$work/table" 2>"$work/err" || code=$?
    [ $code = 2 ] || problem "$*: exit code $code, not 2"
    { [ "$(wc -l <"$work/err")" = 1 ] && grep -qF -e "$part" "$work/err"; } ||
        problem "$*: no \"$part\" in: $(cat "$work/err")"
    [ ! -s "$work/table" ] || problem "$*: printed $(cat "$work/table")"
}
printf '1,1\n' >"$work/short"
printf '1,1,1\n1,1,-1\n' >"$work/negative"
: >"$work/empty"
printf 'schedule x ranks 2 chunks 1 microbatches 1 fused\nstages 0 1\n0: F0.0 B0.0\n1: B1.0 F1.0\n' >"$work/broken"
shape='--stages 3 --microbatches 6'
# shellcheck disable=SC2086
{
    refused 'needs --stages and --microbatches' pipeline --schedule 1f1b --stages 3
    refused 'a whole number' pipeline --stages x --microbatches 3
    refused 'a whole number' pipeline --stages 0 --microbatches 3
    refused "no schedule is called '2f2b'" pipeline --schedule 2f2b $shape
    refused 'interleaved' pipeline --schedule interleaved:v=2 --stages 4 --microbatches 6
    refused 'three numbers' pipeline $shape --times 1,2
    refused 'three numbers' pipeline $shape --times 1,2,3,4
    refused 'three numbers' pipeline $shape --times '1,2,3;'
    refused 'three numbers' pipeline $shape --times 1,2,inf
    refused 'three numbers' pipeline $shape --times "$work/missing"
    refused 'three numbers' pipeline $shape --times "$work/short"
    refused 'three numbers' pipeline $shape --times "$work/negative"
    refused 'three numbers' pipeline $shape --times "$work/empty"
    refused '2 times for 3 ranks' pipeline $shape --times '1,1,1;1,1,1'
    refused 'separated by commas' pipeline $shape --latency 1,,2
    refused 'separated by commas' pipeline $shape --latency -1
    refused '3 latencies between 3 ranks' pipeline $shape --latency 1,2,3
    refused 'rank 0 would hold 3 microbatches' pipeline --schedule 1f1b $shape --memory 2
    refused 'at least 0' pipeline $shape --memory -2
    refused 'a size in bytes' pipeline $shape --boundary 4Q
    refused 'bytes between stages' pipeline $shape --boundary 4G
    refused 'give one of them' pipeline $shape --times 1,1,1 --layers "$work/layers"
    refused 'a line a layer' pipeline $shape --layers "$work/short"
    refused 'too few' pipeline --stages 7 --microbatches 2 --layers "$work/layers"
    refused 'least that would do is 10' pipeline $shape --layers "$work/layers" --layer-memory 9
    refused 'give --layers too' pipeline $shape --layer-memory 9
    refused 'its forward has not run' pipeline --schedule "file:$work/broken" --times 1,1,1
    refused 'cannot be read' pipeline --schedule "file:$work/missing"
    refused 'not of 4' pipeline --schedule "file:$work/schedule" --stages 4
    refused 'is no flag of pipeline' pipeline $shape --codec int8
    refused 'is no flag of all-reduce' all-reduce --ranks 2 --stages 3
    refused 'needs a value' pipeline --stages
    refused 'give --json' pipeline $shape --ops
}
refused 'needs --ranks' all-reduce --sites 2
refused 'is no flag of all-to-all' all-to-all --ranks 2 --stages 3
refused 'works in an all-reduce' send-recv --sites 2 --ranks 2 --codec int8
refused 'does not describe a cluster' all-reduce --ranks 2,x
refused 'does not describe a cluster' all-reduce --ranks 0
refused '--sites is 3' all-reduce --sites 3 --ranks 2,2
refused 'int9' all-reduce --sites 2 --ranks 2 --codec int9
refused 'spiral' all-reduce --ranks 2 --algo spiral
refused "needs algorithm 'hier'" all-reduce --sites 2 --ranks 2 --algo ring --codec int8
refused 'multiple of the 4 bytes' all-reduce --ranks 2 --size 6
refused 'float32, float16' all-reduce --ranks 2 --type floaty
refused 'takes one number' all-reduce --ranks 2 --latency 1,2
code=0
"$plan" pipeline --stages 2 --microbatches 2 --svg "$work/no/folder" 2>"$work/err" || code=$?
[ $code = 4 ] || problem "a file that cannot be written: exit code $code, not 4"
grep -q 'cannot be written' "$work/err" || problem "a file that cannot be written: $(cat "$work/err")"
code=0
"$plan" 2>"$work/err" || code=$?
[ $code = 2 ] || problem "no command: exit code $code, not 2"

# All JSON and all diagrams, by Python where there is one.
if command -v python3 >/dev/null && python3 -c 'import json, xml.dom.minidom' 2>/dev/null; then
    python3 - "$work/all" >"$work/err" 2>&1 <<'END' || problem "not well-formed: $(tail -n 1 "$work/err")"
import glob, json, sys, xml.dom.minidom
for path in glob.glob(sys.argv[1] + '/*.json'):
    with open(path) as file:
        found = json.load(file)
    ranks = found.get('ranks', found.get('stages'))
    assert all(len(found[key]) == ranks for key in ('bubble', 'peak', 'busy', 'begin', 'end', 'peak_bytes')), path
    assert all(b == found['makespan'] - a or abs(b - found['makespan'] + a) < 1e-9 * found['makespan']
               for a, b in zip(found['busy'], found['bubble'])), path
    assert all(link['bytes'] > 0 for link in found['bytes']), path
for path in glob.glob(sys.argv[1] + '/*.svg'):
    xml.dom.minidom.parse(path)
END
fi

# --help names every flag that there is.
"$plan" --help >"$work/help" || problem "--help: exit code $?"
"$plan" pipeline --help | cmp - "$work/help" || problem 'pipeline --help is another'
for flag in schedule stages microbatches times layers layer-memory latency bandwidth boundary stash memory memory-bytes write \
    sites ranks algo codec size type inside-latency inside-bandwidth copy-rate reduce-rate codec-rate cuda nccl predict verify print \
    json ops svg; do
    grep -q -e "--$flag\\b" "$work/help" || problem "--help does not name --$flag"
done

[ $failures = 0 ] || exit 1
echo 'dist_plan: all is well'
