#!/usr/bin/env bash
# Installs, only where it is missing, what the tests need beyond a Rust toolchain, a C compiler and make:
# the Python HdrHistogram reader that checks our logs from outside. `stop` stops what this started (nothing yet).
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-start}" in
start)
    if ! command -v cc >/dev/null || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        if ! command -v apt-get >/dev/null; then
            echo "make services: needs cc and python3 with venv; install them and try again" >&2
            exit 1
        fi
        sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
        $sudo apt-get update -qq
        $sudo apt-get install -y -qq --no-install-recommends gcc libc6-dev python3 python3-venv >/dev/null
    fi
    sh results/tests/install_foreign_readers.sh
    ;;
stop) ;;
*)
    echo "usage: $0 [start|stop]" >&2
    exit 2
    ;;
esac
