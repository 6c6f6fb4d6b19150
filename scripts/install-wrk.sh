#!/bin/sh
# Installs wrk, which `make perf` loads the servers with, where it is missing and the system has apt.
set -eu

if command -v wrk >/dev/null 2>&1 && command -v taskset >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "wrk and taskset (util-linux) are needed for make perf: please install them by your package manager" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo"
fi
install() {
    $as_root apt-get install -y --no-install-recommends wrk util-linux >&2
}
# A fresh image has no package lists yet.
install || { $as_root apt-get update >&2 && install; }
