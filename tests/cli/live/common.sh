# common.sh - for the tests of what is looked at from outside: programs that are started and ended, and what is
# expected.
# shellcheck shell=sh
failures=0
work=$(mktemp -d "${AIOX_TEST_SCRATCH:-/tmp}/live.XXXXXX")
started=
# shellcheck disable=SC2154,SC2086  # a list of numbers
trap '[ -z "$started" ] || kill -9 $started 2>/dev/null; rm -rf "$work"' EXIT

if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: a sanitized library cannot be preloaded"
  exit 77
fi
if ! [ -r /proc/sysvipc/shm ]; then
  echo "SKIP: no System V shared memory here"
  exit 77
fi

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# expect STATUS PATTERN COMMAND... - COMMAND ends with STATUS and prints, on stdout or stderr, a line that has PATTERN.
expect() {
  status=$1 pattern=$2
  shift 2
  out=$(timeout 20 "$@" 2>&1)
  actual=$?
  if [ "$actual" -ne "$status" ] || ! printf '%s\n' "$out" | grep -Eq -e "$pattern"; then
    fail "$*: exit status $actual (expected $status), output (expected /$pattern/):"
    printf '%s\n' "$out" | sed 's/^/  | /'
  fi
}

# start COMMAND... - in the background; waits for its line "ready PID": `pid` is the number of the program.
start() {
  : >"$work/ready"
  "$@" >"$work/ready" 2>"$work/errors" &
  started="$started $!"
  for _ in $(seq 100); do
    pid=$(sed -n 's/^ready //p' "$work/ready")
    [ -z "$pid" ] || break
    sleep 0.05
  done
  started="$started $pid"
  [ -n "$pid" ] || fail "$*: does not get ready: $(cat "$work/ready" "$work/errors")"
}

# segments_of PID - the segments that the process has made.
segments_of() { awk -v pid="$1" 'NR > 1 && $5 == pid { print $2 }' /proc/sysvipc/shm; }

# gone PID - its segments are.
gone() {
  for _ in $(seq 100); do
    [ -n "$(segments_of "$1")" ] || return 0
    sleep 0.05
  done
  fail "the segment of process $1 is still there: $(segments_of "$1")"
}
