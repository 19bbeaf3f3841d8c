#!/usr/bin/env bash
# Shows that the models can fail: applies each mutant of tests/mutants/*.txt, one at a time, to a
# copy of the protocol's sources, and runs the models (and the unit tests of these sources)
# until one of them notices.
#
#   bash tests/mutants.sh                 all mutants: about a quarter of an hour on two cores
#   bash tests/mutants.sh 'take_over'     those whose "file: name" matches the regular expression
#
# For each mutant: what noticed it, and after how many executions of the model. The last line is
# "N mutants, K killed, E argued equivalent, S survived". Exit status 0 only if S is 0.
#
# A mutant is a list of exact replacements. Each must match exactly once, else the script ends with
# status 2: a mutant that no longer applies shows nothing. The same if it does not compile.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly pattern=${1:-.}
# Nothing here needs the network once the dependencies are there.
export CARGO_NET_OFFLINE=${CARGO_NET_OFFLINE:-true}
readonly root=${CARGO_TARGET_DIR:-$PWD/target}/mutants
readonly tree=$root/tree
readonly sources=(bucket copy hash image iter moves repair table tags table/tests owner/token)
# Whole builds: a mutant that is judged by a mixture with the one before it shows nothing.
export CARGO_TARGET_DIR=$root/build CARGO_INCREMENTAL=0 RUST_BACKTRACE=0 SHMKV_MODEL_EXIT=1
unset LOOM_MAX_PREEMPTIONS

die() {
    printf 'mutants.sh: %s\n' "$*" >&2
    exit 2
}

# A package of the models and what they include, so that nothing else is built again and again.
rm -rf "$tree"
mkdir -p "$tree/tests" "$tree/src/table" "$tree/src/owner"
for source in "${sources[@]}"; do
    cp "src/$source.rs" "$tree/src/$source.rs"
done
cp -r tests/loom.rs tests/loom "$tree/tests/"
cp Cargo.lock "$tree/" 2>/dev/null || true
cat > "$tree/Cargo.toml" <<'TOML'
[package]
name = "shmkv-mutants"
version = "0.0.0"
edition = "2024"
publish = false
autotests = false

[workspace]

[[test]]
name = "loom"
path = "tests/loom.rs"

[dependencies]
loom = "0.7"
proptest = "1.12"
rapidhash = { version = "4.5", default-features = false }
siphasher = { version = "1.0", default-features = false }
zerocopy = { version = "0.8", features = ["derive"] }

[lints.rust]
unexpected_cfgs = { level = "allow" }
warnings = "allow"

# Compiling the models takes longer than running them.
[profile.dev]
opt-level = 0
debug = false

[profile.dev.package."*"]
opt-level = 2
TOML

build() {
    (cd "$tree" && cargo test --quiet --test loom --no-run) > "$root/build.log" 2>&1
}

# Runs the tests that the arguments name, or all. Status 0 if all pass.
run() {
    (cd "$tree" && timeout 1800 cargo test --quiet --test loom -- "$@") > "$root/run.log" 2>&1
}

# What noticed, from the log of a run that failed, with a tab before the number of executions.
noticed() {
    local line
    line=$(grep -m 1 -E '^model .* failed after' "$root/run.log" || true)
    if [[ $line =~ ^model\ (.*)\ failed\ after\ ([0-9]+) ]]; then
        printf '%s\t%s' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    else
        line=$(grep -m 1 -oE "^---- .* stdout" "$root/run.log" || true)
        line=${line#---- }
        line=${line% stdout}
        printf '%s\t-' "${line:-a crash or the clock}"
    fi
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

build || { cat "$root/build.log" >&2; die 'the models do not compile'; }
run || { cat "$root/run.log" >&2; die 'the models fail without any mutant'; }

count=0 killed=0 equivalent=0 survived=0
printf '%-12s %-68s %-75s %s\n' file mutant 'killed by' executions

# Applies and judges the mutant in the variables name, file, killers, argument, hunks.
judge() {
    [[ -n $name && "$file: $name" =~ $pattern ]] || return 0
    local hunk verdict executions
    declare -A touched=()
    for hunk in "${!olds[@]}"; do
        touched[${files[$hunk]}]=1
        replace "${files[$hunk]}" "${olds[$hunk]}" "${news[$hunk]}"
    done
    count=$((count + 1))
    build || { cat "$root/build.log" >&2; die "$file: $name: does not compile"; }
    if [[ ${#killers[@]} -gt 0 ]] && ! run "${killers[@]}"; then
        IFS=$'\t' read -r verdict executions < <(noticed) || true
    elif ! run; then
        IFS=$'\t' read -r verdict executions < <(noticed) || true
    elif [[ -n $argument ]]; then
        verdict='- (argued equivalent)' executions=-
        equivalent=$((equivalent + 1))
    else
        verdict='- SURVIVED' executions=-
        survived=$((survived + 1))
    fi
    [[ $verdict == -* ]] || killed=$((killed + 1))
    printf '%-12s %-68s %-75s %s\n' "${file#src/}" "$name" "${verdict:-?}" "$executions"
    for hunk in "${!touched[@]}"; do
        cp "$hunk" "$tree/$hunk"
    done
}

for list in tests/mutants/*.txt; do
    file='' name='' last='' killers=() argument='' target='' files=() olds=() news=()
    while IFS= read -r line || [[ -n $line ]]; do
        case $line in
            '== '*)
                judge
                name=${line#== } last='' killers=() argument='' target=$file files=() olds=() news=()
                ;;
            'file: '*) file=${line#file: } ;;
            'file+: '*) target=${line#file+: } last='' ;;
            'killer: '*) killers+=("${line#killer: }") ;;
            'equivalent: '*) argument+=${line#equivalent: }' ' ;;
            -*)
                if [[ $last == - ]]; then
                    olds[-1]+=$'\n'${line#-}
                else
                    files+=("$target") olds+=("${line#-}") news+=('')
                fi
                last=-
                ;;
            +*)
                [[ -n $last ]] || die "$list: $name: a replacement without what it replaces"
                if [[ $last == + ]]; then
                    news[-1]+=$'\n'${line#+}
                else
                    news[-1]=${line#+}
                fi
                last=+
                ;;
            '#'* | '') ;;
            *) die "$list: what is this: $line" ;;
        esac
    done < "$list"
    judge
done

printf '%d mutants, %d killed, %d argued equivalent, %d survived\n' \
    "$count" "$killed" "$equivalent" "$survived"
[[ $survived -eq 0 ]]
