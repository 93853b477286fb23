#!/bin/sh
# Compiles one CUDA source and keeps what ptxas says of its kernels (nvcc -Xptxas=-v) in FOLDER/SOURCE.txt.
#
#   keep-registers.sh FOLDER COMMAND...
set -u
folder=$1
shift
source=
for argument; do
    case $argument in *.cu) source=$argument ;; esac
done
[ "$source" ] || exec "$@"

mkdir -p "$folder"
kept=$folder/${source##*/}.txt
"$@" 2>"$kept.said"
code=$?
grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame' "$kept.said" >&2
grep -E '^ptxas info|^ +[0-9]+ bytes stack frame' "$kept.said" | grep -v 'Compile time' >"$kept"
rm -f "$kept.said"
exit $code
