#!/bin/sh
# Installs the Python HdrHistogram library where tests/foreign.rs looks for it: target/foreign-readers.
set -eu
cd "$(dirname "$0")/../.."
venv=target/foreign-readers
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import hdrh' 2>/dev/null || "$venv/bin/python" -m pip install --quiet hdrhistogram==0.10.8
