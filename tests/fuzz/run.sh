#!/bin/sh
# Fuzzes the decoders and the readers of codec strings and tuning files by hand, with the address and undefined behaviour sanitizers.
#
#   tests/fuzz/run.sh [AMOUNT] [SUBJECT...]
#
# AMOUNT     inputs for each subject, such as 20000000 (the default), or seconds for each, such as 60s
# SUBJECT    one or more of: none bf16 fp16 int8 int4 int4:hadamard mxfp8 mxfp4 nvfp4 topk sparseloco text tuning
#
# CC=clang ENGINE=libfuzzer builds with libFuzzer instead, which looks for inputs that reach new code; its subjects are
# codec, text and tuning. SEED=K mutates otherwise. An input that fails is left in build/fuzz.
set -eu
cd "$(dirname "$0")/../.."

amount=${1:-20000000}
[ $# -eq 0 ] || shift
case $amount in
*[!0-9s]* | '' | s) sed -n '4,7s/^#  *//p' tests/fuzz/run.sh >&2 && exit 2 ;;
esac
engine=${ENGINE:-driver}
sanitizers=address,undefined
last=tests/fuzz/driver.c
subjects=${*:-none bf16 fp16 int8 int4 int4:hadamard mxfp8 mxfp4 nvfp4 topk sparseloco text tuning}
if [ "$engine" = libfuzzer ]; then
    sanitizers=fuzzer,$sanitizers
    last=
    subjects=${*:-codec text tuning}
fi

mkdir -p build/fuzz
for target in codec text tuning; do
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c11 -O2 -g -fsanitize=$sanitizers -fno-sanitize-recover=undefined -ffp-contract=off -I. -Ilibdist \
        -Iinclude -o "build/fuzz/fuzz_$target" "tests/fuzz/fuzz_$target.c" $last libdist/codec.c libdist/codec/*.c \
        libdist/collective/tuning*.c libdist/collective/algo.c libdist/collective/choose.c libdist/topology/*.c \
        libdist/base/*.c -lm -lpthread
done

cd build/fuzz
for subject in $subjects; do
    target=codec
    case $subject in text | tuning) target=$subject ;; esac
    case $engine$amount in
    libfuzzer*s) "./fuzz_$target" -max_total_time="${amount%s}" -max_len=8192 -seed="${SEED:-1}" ;;
    libfuzzer*) "./fuzz_$target" -runs="$amount" -max_len=8192 -seed="${SEED:-1}" ;;
    *s) "./fuzz_$target" -seconds="${amount%s}" -seed="${SEED:-1}" -subject="$subject" ;;
    *) "./fuzz_$target" -frames="$amount" -seed="${SEED:-1}" -subject="$subject" ;;
    esac
done
