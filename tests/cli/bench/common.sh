# common.sh - sourced by the scripts of this folder: AIOX WORKER REFUSE, a scratch directory on the disk of the build,
# and the one way to look at a command.
# shellcheck shell=sh
set -u
# shellcheck disable=SC2034  # used by the scripts that source this file
aiox=$1 worker=$2 refuse=$3
failures=0
work=$(mktemp -d "${AIOX_TEST_SCRATCH:-$PWD}/bench.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
unset LD_PRELOAD AIOX_BACKEND AIOX_INLINE AIOX_DIRECT AIOX_VERBOSE
cd "$work" || exit 1

skip() {
  echo "SKIP: $*"
  exit 77
}
complain() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then skip "a sanitized library cannot be preloaded"; fi

# expect STATUS PATTERN COMMAND... - COMMAND ends with STATUS and prints, on stdout or stderr, a line that has PATTERN.
# The command "short" is a run of aiox bench that is as short as one can be.
expect() {
  status=$1 pattern=$2
  shift 2
  if [ "$1" = short ]; then
    shift
    set -- "$aiox" bench --size 4m --runtime 50ms --ramp_time 0 --rounds 1 "$@"
  fi
  out=$(timeout 60 "$@" 2>&1)
  actual=$?
  if [ "$actual" -ne "$status" ] || ! printf '%s\n' "$out" | grep -Eq -e "$pattern"; then
    complain "$*: exit status $actual (expected $status), output (expected /$pattern/):"
    printf '%s\n' "$out" | sed 's/^/  | /'
  fi
}

# A process that has ended and that nobody has asked about is not there.
is_alive() { [ -d "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
