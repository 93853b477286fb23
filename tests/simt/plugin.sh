#!/bin/sh
# The plugin exports what begins with dist_ and nothing else, and needs no library but the C library's.
#
#   plugin.sh PLUGIN
set -eu
exported=$(nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }')
[ -n "$exported" ] || { echo "$1 exports nothing"; exit 1; }
if printf '%s\n' "$exported" | grep -v '^dist_'; then
    echo "the names above are exported but do not begin with dist_"
    exit 1
fi
needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
if printf '%s\n' "$needed" | grep -Ev '^(lib(c|m|dl|rt|pthread)|ld-linux.*)\.so\.'; then
    echo "the libraries above are needed at run time"
    exit 1
fi
