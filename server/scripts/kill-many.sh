#!/bin/sh
# Kills at many random instants under load and checks the money: kill-many.sh [TEST [KILLS [PAYERS [SEED]]]], by default
# kill, 50 kills and 60 payers. TEST is kill (of the server), kill_channel (server and channel, so many of each) or
# kill_refunds (the same while money goes back). Prints figures and the seed; fails on the first finding.
set -eu
cd "$(dirname "$0")/../.."
test="${1:-kill}"
export PAYRIG_KILLS="${2:-50}" PAYRIG_PAYERS="${3:-60}"
if [ -n "${4:-}" ]; then export PAYRIG_SEED="$4"; fi
case "$test" in
  kill) ;;
  kill_channel | kill_refunds) cargo build --release -p payrig-channel ;;
  *) echo "kill-many.sh: no test $test: kill, kill_channel or kill_refunds" >&2; exit 2 ;;
esac
exec timeout 1800 cargo test --release -p payrig-server --test "$test" -- --nocapture
