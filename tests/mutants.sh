#!/usr/bin/env bash
# Shows that the models can fail: breaks the protocol's sources in each of the ways that
# tests/mutants/*.txt list, and runs the models (and the unit tests of these sources) against
# each, until one of them notices.
#
#   bash tests/mutants.sh                 all mutants
#   bash tests/mutants.sh --quick         a fixed handful: about two minutes
#   bash tests/mutants.sh 'take_over'     those whose "file: name" contains the text
#   bash tests/mutants.sh --killable      without those that are argued equivalent: nothing notices
#                                         them, so all models run against each, for minutes
#   bash tests/mutants.sh --no-baseline   does not first run the tests without any mutant, for those
#                                         who have just done so
#   bash tests/mutants.sh --check         whether all of them apply and compile: runs nothing
#   bash tests/mutants.sh --real          some of them in the library, with real processes instead of
#                                         models: tests/linearizability.rs finds them within seconds
#
# For each mutant: what noticed it, and after how many executions of the model. The last line is
# "N mutants, K killed, E argued equivalent, S survived". Exit status 0 only if S is 0, 1 if not, 2
# if nothing was shown: a mutant that no longer applies, or does not compile.
#
# How it is done is told at the head of tests/mutants/src/main.rs.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly target=${CARGO_TARGET_DIR:-$PWD/target}/mutants
CARGO_TARGET_DIR=$target/tool cargo build --quiet --release --offline --manifest-path tests/mutants/Cargo.toml || exit 2
exec "$target/tool/release/shmkv-mutants" "$target" "$@"
