#!/usr/bin/env bash
# What the corpus of a target reaches in the sources: regions and lines of each file, into
# fuzz/reports/TARGET.coverage.txt, and line by line into TARGET.coverage.html/.
#
#     fuzz/coverage.sh TARGET [TARGET...]
#
# Needs llvm-tools: rustup component add llvm-tools --toolchain nightly
set -euo pipefail
cd "$(dirname "$0")/.."

sysroot=$(rustc +nightly --print sysroot)
llvm=$(find "$sysroot" -name llvm-cov -printf '%h\n' -quit)
[ -n "$llvm" ] || {
    echo "llvm-tools are missing: rustup component add llvm-tools --toolchain nightly" >&2
    exit 2
}
mkdir -p fuzz/reports

for target in "$@"; do
    cargo +nightly fuzz coverage "$target" >"fuzz/reports/$target.coverage.log" 2>&1
    binary=$(find fuzz/target target -path "*coverage*/release/$target" -type f -executable -print -quit 2>/dev/null)
    profile=fuzz/coverage/$target/coverage.profdata
    show=("$llvm/llvm-cov")
    sources=(-ignore-filename-regex="(/rustc/|\.cargo/registry|library/|^$PWD/fuzz/)")
    "${show[@]}" report "$binary" -instr-profile="$profile" "${sources[@]}" \
        >"fuzz/reports/$target.coverage.txt"
    "${show[@]}" show "$binary" -instr-profile="$profile" "${sources[@]}" -format=html \
        -output-dir="fuzz/reports/$target.coverage.html" >/dev/null
    echo "=== $target: regions covered"
    awk 'NR > 2 && NF >= 10 && $2 > 0 {
        if ($1 ~ /(layout|bucket|table|iter|moves|repair|recovery|map|copy|tags|builder|cache|entry|evict)\.rs$|schema\/|owner\/|segment\/name|TOTAL/)
            printf "    %-28s %5d of %5d  %s\n", $1, $2 - $3, $2, $4
    }' "fuzz/reports/$target.coverage.txt"
done
