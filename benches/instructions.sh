#!/usr/bin/env bash
# Instructions an operation, counted by callgrind: independent of noise, so that
# a slow-down is visible in review.
#
#   benches/instructions.sh            compare with benches/instructions.json; exit 1 if slower by more than 3 %
#   benches/instructions.sh --record   write it anew, after a change that is meant
#   benches/instructions.sh get_hit    only these operations
set -euo pipefail
cd "$(dirname "$0")/.."

record=()
operations=()
for argument in "$@"; do
    case "$argument" in
        --record) record=(--record) ;;
        *) operations+=("$argument") ;;
    esac
done

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed" >&2
    exit 2
fi
if ((${#record[@]} && ${#operations[@]})); then
    echo "--record records all operations" >&2
    exit 2
fi

cargo build --quiet --profile bench -p shmkv-benches --bin instructions
# Cargo calls the directory of the bench profile "release".
program="${CARGO_TARGET_DIR:-target}/release/instructions"
counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT

if ((${#operations[@]} == 0)); then
    mapfile -t operations < <("$program" list)
fi
# Each segment draws its own secret, by which its keys fall into buckets: so several are counted,
# and their median is compared.
for operation in "${operations[@]}"; do
    for _ in {1..7}; do
        if ! valgrind --tool=callgrind --callgrind-out-file="$counts/$operation" \
            --collect-atstart=no --toggle-collect='instructions::each*' \
            "$program" run "$operation" >"$counts/log" 2>&1; then
            cat "$counts/log" >&2
            exit 2
        fi
        total=$(sed -n 's/^\(summary\|totals\): *\([0-9]*\).*/\2/p' "$counts/$operation" | head -n 1)
        echo "$operation $total" >>"$counts/all"
    done
done
"$program" compare benches/instructions.json "${record[@]}" <"$counts/all"
