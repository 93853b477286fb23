#!/bin/sh
# dist_perf codec: its table and JSON for all codecs, types and data, sizes of frames to the byte, errors that are known
# beforehand, bounds that hold and one that does not, and bad input.
#
#   dist_perf_codec.sh BUILD-FOLDER
set -eu

perf=$1/bin/dist_perf
if [ ! -x "$perf" ]; then
    echo "no $perf: it is built with DIST_PROGRAMS"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
problem() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
measure() { # FLAG...: into $work/table and $work/json
    code=0
    "$perf" codec -n 2 -w 0 -J "$work/json" "$@" >"$work/table" 2>"$work/err" || code=$?
    [ $code = 0 ] || problem "codec $*: exit code $code: $(cat "$work/table" "$work/err")"
}
field() { # KEY CODEC: of the only row of that codec
    grep -F "\"codec\":\"$2\"" "$work/json" | sed -n "s/.*\"$1\":\([-+0-9.e]*\|null\|true\|false\)[,}].*/\1/p"
}
# A field is within LOW and HIGH.
between() { # KEY CODEC LOW HIGH
    awk -v v="$(field "$1" "$2")" -v low="$3" -v high="$4" 'BEGIN { exit !(v != "" && v >= low + 0 && v <= high + 0) }' ||
        problem "$1 of $2 is $(field "$1" "$2"), not from $3 to $4"
}
all='none bf16 bf16:sr fp16 int8 int8:ef=fp32 int8:sr int4 int4:ef=none int4:hadamard mxfp8 mxfp4 nvfp4 topk:density=0.01 sparseloco'

# 7 and 3.5, over and over.
i=0
while [ $i -lt 100 ]; do
    printf '\000\000\340\100\000\000\140\100'
    i=$((i + 1))
done >"$work/known"

# Every codec by default, on all data, with every field.
for type in float32 bfloat16 float16; do
    measure -b 20000 -e 20000 --type $type --data "student,$work/known,normal"
    rows=$(grep -c '^{"codec":' "$work/json" || true)
    [ "$rows" = "$(echo "$all" | wc -w)" ] || problem "$type: $rows rows in the JSON"
    [ "$(grep -vc '^#' "$work/table")" = "$rows" ] || problem "$type: the table has other rows: $(cat "$work/table")"
    head -n 1 "$work/json" | grep -q '^{"version":"[0-9.]*","command":"codec",.*"results":\[$' ||
        problem "the JSON begins with $(head -n 1 "$work/json")"
    [ "$(tail -n 1 "$work/json")" = ']}' ] || problem "the JSON ends with $(tail -n 1 "$work/json")"
    for codec in $all; do
        for key in elements encode_gbps decode_gbps encode_of_copy decode_of_copy ratio; do
            between $key "$codec" 1e-9 1e9
        done
        for key in nmse_normal nmse_student nmse_gradient bound max_error; do
            between $key "$codec" 0 1e9
        done
        [ "$(field bound_met "$codec")" = true ] || problem "$type $codec: bound_met is $(field bound_met "$codec")"
        grep -F "\"codec\":\"$codec\"" "$work/json" | grep -qF "\"type\":\"$type\"" || problem "$codec is not of $type"
    done
done

# Bytes of a frame of 5000 elements, by the page in codec.h, in this order.
set -- 20032 10032 10032 10032 5112 5112 5112 2852 2852 2624 5192 2692 2868 440 196
measure -b 20000 -e 20000 --data normal
for codec in $all; do
    between ratio "$codec" "$(awk -v f="$1" 'BEGIN { printf "%.9g", 20000 / f - 1e-6 }')" \
        "$(awk -v f="$1" 'BEGIN { printf "%.9g", 20000 / f + 1e-6 }')"
    shift
done
[ "$(field nmse_student int8)$(field nmse_gradient int8)" = nullnull ] || problem 'data that were not asked for have an NMSE'

# int4 with a scale of 1 sends 3.5 as 4. The file is shorter than the vector: it repeats.
measure -b 256K -e 256K --codec int4,none --data "$work/known"
between nmse_gradient int4 0.00408162 0.00408164
between max_error int4 0.5 0.5
between bound int4 0.5 0.5001
between max_error none 0 0
grep -q '"gradient_elements":200,' "$work/json" || problem "200 elements of a file: $(head -n 1 "$work/json")"

# Errors that are known from theory or measured elsewhere.
measure -b 1M -e 1M
between nmse_normal none 0 0
between nmse_normal bf16 2.5e-6 3e-6
between nmse_normal int8 4.5e-5 5.2e-5
between nmse_student int8 1.5e-4 6e-4
between nmse_normal int4:ef=none 9e-3 1e-2
between nmse_student int4:hadamard 9e-3 1e-2
between nmse_normal mxfp8 6.5e-4 7.5e-4
between nmse_normal sparseloco 0.8 0.95

# Sizes: as nccl-tests has them.
measure -b 400 -e 40000 -f 10 --codec int8,none
[ "$(sed -n 's/.*"codec":"int8".*"elements":\([0-9]*\),.*/\1/p' "$work/json" | tr '\n' ' ')" = '100 1000 10000 ' ] ||
    problem "sizes by factor: $(cat "$work/table")"
measure -b 4 -e 12 -i 4 --codec bf16
[ "$(grep -vc '^#' "$work/table")" = 3 ] || problem "sizes by step: $(cat "$work/table")"
measure -b 4K -e 4K --seed 7 --codec int8
seven=$(field nmse_normal int8)
measure -b 4K -e 4K --seed 7 --codec int8
[ "$seven" = "$(field nmse_normal int8)" ] || problem 'the same seed gave another error'
measure -b 4K -e 4K --seed 8 --codec int8
[ "$seven" != "$(field nmse_normal int8)" ] || problem 'another seed gave the same error'

# A library whose bound is too tight is found out.
cat >"$work/tight.c" <<'END'
int dist_codec_error_bound(const void *c, const void *f, unsigned long long b, unsigned long long n, double *bound);
int dist_codec_error_bound(const void *c, const void *f, unsigned long long b, unsigned long long n, double *bound)
{
    (void)c, (void)f, (void)b, (void)n;
    *bound = 1e-6;
    return 0;
}
END
if ${CC:-cc} -shared -fPIC -o "$work/tight.so" "$work/tight.c"; then
    code=0
    LD_PRELOAD="$work/tight.so" "$perf" codec -b 4K -e 4K -n 1 --codec none,int8 -J "$work/json" >"$work/table" || code=$?
    [ $code = 1 ] || problem "an error beyond its bound: exit code $code, not 1"
    [ "$(field bound_met none) $(field bound_met int8)" = 'true false' ] ||
        problem "an error beyond its bound: $(cat "$work/table")"
fi

refused() { # PART-OF-THE-SENTENCE FLAG...
    part=$1 code=0
    shift
    "$perf" codec "$@" >"$work/table" 2>"$work/err" || code=$?
    [ $code = 2 ] || problem "$*: exit code $code, not 2"
    { [ "$(wc -l <"$work/err")" = 1 ] && grep -qF -e "$part" "$work/err"; } ||
        problem "$*: no \"$part\" in: $(cat "$work/err")"
    [ ! -s "$work/table" ] || problem "$*: printed $(cat "$work/table")"
}
: >"$work/empty"
printf '12345' >"$work/odd"
printf '\000\000\300\177' >"$work/nan"
printf '\000\000\000\177' >"$work/huge"
refused 'int9' --codec none,int9
refused 'topk needs a density' --codec topk
refused 'powersgd sums matrices and has no frames' --codec powersgd
refused 'names of codecs' --codec ,
refused 'normal, student and one file' --data ,
refused 'cannot be read: No such file' --data "normal,$work/missing"
refused 'cannot be read' --data nomal
refused 'no elements' --data "$work/empty"
refused 'multiple of 4' --data "$work/odd"
refused 'not finite' --data "$work/nan"
refused 'too large for float16' --type float16 --data "$work/huge"
refused 'two files' --data "$work/known,$work/nan"
refused '0 elements' -b 0 -e 8
refused '0 elements' -b 3 -e 8
refused 'larger than the largest' -b 8K -e 4K
refused 'float32, bfloat16 or float16' --type int32
refused 'float32, bfloat16 or float16' -d floaty
refused 'takes a size' -b 4Q
refused 'number of iterations' -n 0
refused 'above 1' -f 1
refused 'whole number' --seed x
refused 'is no flag' --bogus 1
refused 'needs a value' -n
refused 'cannot be written' -J "$work/no/folder"

"$perf" codec --help >"$work/table" || problem "codec --help: exit code $?"
grep -q -e '--codec LIST' "$work/table" || problem 'codec --help does not name --codec'

[ $failures = 0 ] || exit 1
echo 'dist_perf codec: all is well'
