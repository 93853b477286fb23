#!/bin/sh
# Installs what is missing of what libdist needs, from the distribution (Debian 12 and later, Ubuntu 22.04 and later).
#
#   cmake/install-dependencies.sh [GROUP...]
#
# Groups: build, tests, examples, wan, mpich (a second MPI, beside the first); all but the last when none is named. What is
# there already, from wherever, is left alone, and when nothing is missing nothing is done.
set -eu

# group; how to know that it is there; the package that brings it
table() {
    cat <<'TABLE'
build    command -v cc                         gcc
build    command -v c++                        g++
build    command -v make                       make
build    command -v cmake                      cmake
build    command -v pkg-config                 pkg-config
build    command -v mpicc                      libopenmpi-dev
build    command -v mpirun                     openmpi-bin
build    pkg-config --exists hwloc             libhwloc-dev
tests    pkg-config --exists cmocka            libcmocka-dev
tests    command -v awk                        mawk
examples pkg-config --exists openblas || pkg-config --exists cblas  libopenblas-dev
wan      command -v ip                         iproute2
wan      command -v iperf3                     iperf3
wan      command -v nsenter                    util-linux
wan      command -v ps                         procps
mpich    command -v mpicc.mpich                libmpich-dev
mpich    command -v mpirun.mpich               mpich
TABLE
}

[ $# -gt 0 ] || set -- build tests examples wan
packages=
for group; do
    rows=$(table | grep "^$group ") || {
        echo "$0: there is no group \"$group\"; the groups are build, tests, examples, wan, mpich" >&2
        exit 2
    }
    while read -r _ row; do
        package=${row##* }
        sh -c "${row% *}" >/dev/null 2>&1 || packages="$packages $package"
    done <<ROWS
$rows
ROWS
done
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "$0: these Debian packages or their like are missing, and there is no apt-get to install them:$packages" >&2
    exit 1
fi
become_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "$0: these packages are missing; install them as root:$packages" >&2
        exit 1
    fi
    become_root=sudo
fi
echo "installing:$packages"
# The packages are words; sudo drops the environment.
# shellcheck disable=SC2086
{
    $become_root apt-get update -qq
    $become_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
}
