#!/usr/bin/env bash
# Shows that the targets find things: plants each bug of fuzz/planted.txt, one at a time, into a
# copy of the sources, and runs the target that has to find it, from the seeds.
#
#     fuzz/planted.sh                   all of them: a quarter of an hour, most of it builds
#     fuzz/planted.sh 'geometry'        those whose names match
#     SECONDS_MAX=300 fuzz/planted.sh   with more patience than a minute
#
# For each bug: its name, the target, after how many seconds it was found and by what. Exits with 1
# if one was not found, with 2 if one could not be planted or does not compile.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly pattern=${1:-.} seconds=${SECONDS_MAX:-60}
readonly tree=$PWD/fuzz/target/planted
missed=0

die() {
    printf 'planted.sh: %s\n' "$*" >&2
    exit 2
}

# The sources as they are. What was built of them last time stays.
copy() {
    mkdir -p "$tree/fuzz"
    for part in Cargo.toml Cargo.lock README.md src derive benches examples tests; do
        [ -e "$part" ] || continue
        rm -rf "${tree:?}/$part"
        cp -r --preserve=timestamps "$part" "$tree/$part"
    done
    for part in Cargo.toml Cargo.lock src fuzz_targets dictionaries; do
        rm -rf "$tree/fuzz/$part"
        cp -r --preserve=timestamps "fuzz/$part" "$tree/fuzz/$part"
    done
}

# Replaces the one occurrence of $2 by $3 in file $1 of the tree.
replace() {
    local file=$tree/$1 old=$2 new=$3 content rest
    content=$(cat "$file"; printf x)
    content=${content%x}
    [[ $content == *"$old"* ]] || die "$name: no match in $1 for:"$'\n'"$old"
    rest=${content#*"$old"}
    [[ $rest != *"$old"* ]] || die "$name: more than one match in $1 for:"$'\n'"$old"
    printf '%s' "${content%%"$old"*}$new$rest" > "$file"
}

plant_and_run() {
    [[ -n $name && $name =~ $pattern ]] || return 0
    replace "$file" "$old" "$new"
    local log=$tree/$target.log options=(-timeout=10 -rss_limit_mb=2048)
    case $target in
        ops | corrupt | scribble | cache | cache_scribble) options+=(-len_control=0 -max_len=2048) ;;
    esac
    [ -f "fuzz/dictionaries/$target.dict" ] && options+=(-dict="fuzz/dictionaries/$target.dict")
    (cd "$tree" && cargo +nightly fuzz build "$target" > "$log" 2>&1) ||
        { tail -30 "$log" >&2; die "$name: does not compile"; }
    rm -rf "$tree/fuzz/corpus" "$tree/fuzz/artifacts"
    cp -r "$seeds" "$tree/fuzz/corpus"
    local begun=$EPOCHREALTIME what
    if (cd "$tree" && cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" \
        "${options[@]}" > "$log" 2>&1); then
        what='NOT FOUND'
        missed=$((missed + 1))
    else
        what=$(grep -a -m 1 -A 1 'panicked at' "$log" | tail -1 || true)
        [ -n "$what" ] || what=$(grep -a -m 1 -oE 'ERROR: .*' "$log" || echo '?')
    fi
    printf '%-72s %-9s %6.1f s  %s\n' "$name" "$target" \
        "$(awk "BEGIN { print $EPOCHREALTIME - $begun }")" "${what:0:90}"
    cp --preserve=timestamps "$file" "$tree/$file"
    touch "$tree/$file"
}

copy
# The seeds alone, whatever campaigns have collected.
readonly seeds=$tree/seeds
rm -rf "$seeds" "$tree/fuzz/corpus"
(cd "$tree" && cargo run --quiet --manifest-path fuzz/Cargo.toml --no-default-features --bin seeds > /dev/null)
mv "$tree/fuzz/corpus" "$seeds"

name='' target='' file='' old='' new='' last=''
while IFS= read -r line || [[ -n $line ]]; do
    case $line in
        '== '*)
            plant_and_run
            name=${line#== } target='' file='' old='' new='' last=''
            ;;
        'target: '*) target=${line#target: } ;;
        'file: '*) file=${line#file: } ;;
        -*)
            [[ $last == - ]] && old+=$'\n'
            old+=${line#-} last=-
            ;;
        +*)
            [[ $last == + ]] && new+=$'\n'
            new+=${line#+} last=+
            ;;
        '#'* | '') ;;
        *) die "what is this: $line" ;;
    esac
done < fuzz/planted.txt
plant_and_run
[ $missed -eq 0 ]
