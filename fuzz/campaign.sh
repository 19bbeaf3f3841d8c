#!/usr/bin/env bash
# Fuzzes on all cores, then says what was reached.
#
#     fuzz/campaign.sh [SECONDS [TARGET...]]        an hour for each target unless said otherwise
#
# Makes the seeds, runs one target after the other with as many processes as there are cores
# (JOBS=n: so many), and writes into fuzz/reports/: the log of each target, and for each the
# coverage of the sources by the corpus that it has collected (COVERAGE=no: not that). Exits with 1
# if anything was found; what was found is in fuzz/artifacts/TARGET/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-3600}
shift || true
jobs=${JOBS:-$(nproc)}
reports=fuzz/reports
found=0

# Options without which a target wastes its time.
options() {
    case $1 in
        ops | corrupt | scribble | cache | cache_scribble) echo "-len_control=0 -max_len=2048 -timeout=30" ;;
        validate) echo "-max_len=16384 -timeout=30" ;;
        *) echo "-max_len=4096 -timeout=10" ;;
    esac
    [ -f "fuzz/dictionaries/$1.dict" ] && echo "-dict=fuzz/dictionaries/$1.dict" || true
}

mkdir -p "$reports"
cargo run --quiet --manifest-path fuzz/Cargo.toml --no-default-features --bin seeds
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)

for target in "${targets[@]}"; do
    log=$reports/$target.log
    echo "=== $target: $seconds s, $jobs processes, $log"
    fork=()
    [ "$jobs" = 1 ] || fork=(-fork="$jobs" -ignore_crashes=0)
    # shellcheck disable=SC2046
    if ! cargo +nightly fuzz run "$target" -- "${fork[@]}" -print_final_stats=1 \
        -max_total_time="$seconds" $(options "$target") >"$log" 2>&1; then
        found=1
        echo "    FOUND SOMETHING: $(grep -aE 'panicked at|ERROR:|Test unit written' "$log" | head -3 | tr '\n' ' ')"
    fi
    grep -aE '^#[0-9]+' "$log" | tail -1 | sed 's/^/    /' || true
done

[ "${COVERAGE:-yes}" = yes ] || exit $found
for target in "${targets[@]}"; do
    fuzz/coverage.sh "$target" || echo "    no coverage of $target"
done
exit $found
