# shellcheck shell=sh
# common.sh - what the scripts of this folder share beyond that of tests/programs; sourced, not run.
# shellcheck source=tests/programs/common.sh
. "$(dirname "$0")/../programs/common.sh"
[ -z "${AIOX_TEST_SANITIZE:-}" ] || skip "a sanitized library cannot be preloaded"
# What CTest sets for sanitized tests is not for the programs here.
unset ASAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS
export AIOX_VERBOSE=1

# together WHAT STATUS LIBRARIES command...: runs the command with these preloaded; STATUS and "aiox:" are expected of
# it.
together() {
  what=$1 expected=$2 libraries=$3
  shift 3
  status=0
  timeout 60 env LD_PRELOAD="$libraries" "$@" >"$work/out" 2>"$work/err" || status=$?
  if [ "$status" -ne "$expected" ]; then
    cat "$work/out" "$work/err"
    fail "$what: status $status"
  fi
  if grep -q 'cannot be preloaded' "$work/err"; then
    cat "$work/err"
    fail "$what: a library was left out"
  fi
  if [ "$expected" = 0 ]; then answered_by_aiox 1 1; fi
  echo "ok: $what"
}

# library_of NAME: where the loader finds it.
library_of() {
  PATH=$PATH:/sbin:/usr/sbin ldconfig -p | sed -n "s/^[[:space:]]*$1 .*=> //p" | head -n 1
}
