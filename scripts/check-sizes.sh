#!/usr/bin/env bash
# House rule: no Rust file over 400 lines (functions are clippy's `too_many_lines`).
set -euo pipefail
cd "$(dirname "$0")/.."
long=$(git ls-files -co --exclude-standard '*.rs' | while read -r file; do
    [ -f "$file" ] && lines=$(wc -l <"$file") && [ "$lines" -gt 400 ] && echo "  $file: $lines lines"
done || true)
if [ -n "$long" ]; then
    printf 'files over 400 lines:\n%s\n' "$long" >&2
    exit 1
fi
