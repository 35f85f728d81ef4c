# shellcheck shell=sh
# common.sh - what the scripts that run real programs share; sourced, not run.
#
# Environment (set by CTest): AIOX_TEST_PRELOAD the library, AIOX_TEST_SCRATCH a folder on a disk.
# AIOX_TEST_AGAINST=glibc runs the same without aiox, to tell a fault of the script from one of the library.
set -eu

: "${AIOX_TEST_SCRATCH:=${TMPDIR:-/tmp}}"
work=$(mktemp -d "$AIOX_TEST_SCRATCH/programs-XXXXXX")
child=
cleanup() {
  if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

skip() {
  echo "SKIP: $*"
  exit 77
}

fail() {
  echo "FAILED: $*"
  exit 1
}

need_program() {
  command -v "$1" >/dev/null || skip "$1 is not installed (apt-get install $1)"
}

# preloaded BACKEND command...: output to $work/out, what goes to stderr to $work/err; ends after 100 s at the latest.
preloaded() {
  backend=$1
  shift
  if [ "${AIOX_TEST_AGAINST:-aiox}" = glibc ]; then
    timeout 100 "$@" >"$work/out" 2>"$work/err" &
  else
    [ -r "${AIOX_TEST_PRELOAD:-}" ] || fail "AIOX_TEST_PRELOAD does not name the library"
    timeout 100 env AIOX_BACKEND="$backend" AIOX_VERBOSE=1 LD_PRELOAD="$AIOX_TEST_PRELOAD" "$@" \
      >"$work/out" 2>"$work/err" &
  fi
  child=$!
  status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

# answered_by_aiox LOW HIGH: between so many processes said which lanes they chose, so it was aiox that answered them.
answered_by_aiox() {
  [ "${AIOX_TEST_AGAINST:-aiox}" = glibc ] && return 0
  # grep -a: programs may leave terminal control bytes in what they print.
  lines=$(grep -a -c '^aiox:' "$work/err" || true)
  if [ "$lines" -lt "$1" ] || [ "$lines" -gt "$2" ]; then
    cat "$work/err"
    fail "$lines processes were answered by aiox, expected $1 to $2"
  fi
}
