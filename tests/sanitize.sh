#!/usr/bin/env bash
# The tests under a sanitizer, with a nightly compiler.
#
#   bash tests/sanitize.sh address            AddressSanitizer, the whole suite (leaks included)
#   bash tests/sanitize.sh thread             ThreadSanitizer, the tests in which threads meet
#   bash tests/sanitize.sh thread --test api  other arguments go to `cargo test`
#
# Left out under either: `loom` (its threads are no threads, its memory no memory), the tests that
# step a process through its instructions or count them, those that run cargo themselves, and
# documentation tests. What is copied by vector instructions otherwise is copied by the portable
# loops, since sanitizers do not see into assembly.
#
# What this can show, and what it cannot: `docs/verification.md`, section "Sanitizers".
set -euo pipefail
cd "$(dirname "$0")/.."

readonly kind=${1:-}
shift || true
readonly host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Zsanitizer=$kind --cfg shmkv_portable_copy ${RUSTFLAGS:-}"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize-$kind
options=()
case $kind in
    address)
        # Processes that are killed or end by _exit leave what they have; fork handlers run in children.
        # Signals as ever: a test sees that a store to a read-only mapping is one's death by SIGSEGV.
        defaults=detect_stack_use_after_return=1:allocator_may_return_null=1
        export ASAN_OPTIONS=${ASAN_OPTIONS:-$defaults:handle_segv=0:handle_sigbus=0}
        tests=(--lib --test api --test processes)
        filters=(--skip examples::)
        programs=(--test linearizability --test storm)
        ;;
    thread)
        # The standard library has to be instrumented too, or its locks and channels would be
        # invisible and everything that they order a race.
        if ! [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
            echo "sanitize.sh: the sources of the standard library are missing:" \
                "rustup component add --toolchain nightly rust-src" >&2
            exit 2
        fi
        options=(-Zbuild-std)
        # A child of a process of several threads starts none; see TSAN's die_after_fork. Signals as
        # above.
        export TSAN_OPTIONS=${TSAN_OPTIONS:-die_after_fork=0:halt_on_error=1:handle_segv=0:handle_sigbus=0}
        tests=(--lib --test api --test processes)
        filters=(tests:: map:: interleaved:: cache:: several:: cache_load::)
        programs=(--test linearizability)
        ;;
    *)
        echo "usage: bash tests/sanitize.sh address|thread [arguments of cargo test]" >&2
        exit 2
        ;;
esac
run() { cargo +nightly test --target "$host" "${options[@]}" "$@"; }
if [ $# -ne 0 ]; then
    run "$@"
else
    run "${tests[@]}" -- "${filters[@]}"
    # These have no test harness, so they take no filters.
    run "${programs[@]}"
fi
