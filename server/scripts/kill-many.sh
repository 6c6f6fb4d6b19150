#!/bin/sh
# Kills the server at many random instants under load and checks the money: kill-many.sh [KILLS [PAYERS [SEED]]]
# (50 kills and 60 payers by default). Prints figures and the seed; fails on the first finding.
set -eu
cd "$(dirname "$0")/../.."
export PAYRIG_KILLS="${1:-50}" PAYRIG_PAYERS="${2:-60}"
if [ -n "${3:-}" ]; then export PAYRIG_SEED="$3"; fi
exec timeout 1800 cargo test --release -p payrig-server --test kill -- --nocapture
