#!/bin/sh
# The plugin exports what begins with dist_ and nothing else, with the tables of devices and of codecs among it, needs no
# library but the C library's, and says where there is no driver that it can use no device.
#
#   plugin.sh PLUGIN [COMPILER]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

exported=$(nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }')
for wanted in dist_cuda_table dist_codec_cuda_table; do
    printf '%s\n' "$exported" | grep -qx "$wanted" || { echo "$1 does not export $wanted"; exit 1; }
done
if printf '%s\n' "$exported" | grep -v '^dist_'; then
    echo "the names above are exported but do not begin with dist_"
    exit 1
fi
needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
if printf '%s\n' "$needed" | grep -Ev '^(lib(c|m|dl|rt|pthread)|ld-linux.*)\.so\.'; then
    echo "the libraries above are needed at run time"
    exit 1
fi

# Prints what a machine with a driver has, too, and uses no device.
cat >"$work/open.c" <<'SOURCE'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "kernels/device_cuda.h"

static int has_a_gap(const dist_cuda *table)
{
    const size_t functions = (sizeof *table - sizeof(void *)) / sizeof(void (*)(void));
    for (size_t i = 0; i < functions; i++) {
        void (*function)(void);
        memcpy(&function, (const char *)table + sizeof(void *) + i * sizeof function, sizeof function);
        if (!function)
            return 1;
    }
    return 0;
}

int main(int count, char **arguments)
{
    const dist_cuda *(*find)(uint32_t version);
    dist_cuda_counts counts;
    int devices = 9, where = -1, device = 9;
    void *const plugin = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void *const symbol = plugin ? dlsym(plugin, "dist_cuda_table") : NULL;
    if (!symbol)
        return printf("%s\n", dlerror()), 1;
    memcpy(&find, &symbol, sizeof find);
    const dist_cuda *const table = find(DIST_CUDA_VERSION);
    if (find(DIST_CUDA_VERSION + 1) || !table || table->version != DIST_CUDA_VERSION || has_a_gap(table))
        return puts("the table of devices has gaps, or the wrong version"), 1;
    const int error = table->devices(&devices);
    const int again = table->devices(&devices);
    const int located = table->locate(&devices, &where, &device);
    printf("%d devices, error %d: %s\n", devices, error, table->error_name(error));
    if (error != again || (error ? devices != 0 : devices < 0))
        return puts("the number of devices is not what its error says"), 1;
    if (where != DIST_CUDA_AT_HOST || device != -1 || (error != 0) != (located != 0))
        return printf("the stack is at %d of device %d, error %d\n", where, device, located), 1;
    table->counts(&counts);
    if (counts.kernels + counts.copies + counts.synchronizations + counts.allocations != 0)
        return puts("looking is counted as work"), 1;
    if (!table->ranges() && table->range_begin("nobody listens") != 0)
        return puts("a range began where nobody listens"), 1;
    if (error && (!table->identify(0, &(dist_cuda_identity){0}) || !table->synchronize(NULL)))
        return puts("without a driver calls succeed"), 1;
    return 0;
}
SOURCE
"${2:-cc}" -std=c11 -Wall -Wextra -I"$root" "$work/open.c" -o "$work/open" -ldl
"$work/open" "$(readlink -f "$1")"
