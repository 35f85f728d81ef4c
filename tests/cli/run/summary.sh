#!/bin/sh
# summary.sh AIOX WORK PTY - aiox run --summary tells what the program and its children did, however they ended, and is
# otherwise as if it was not there: exit status, signals, job control.
# shellcheck disable=SC2016  # the programs that are started expand their own variables
set -u
aiox=$1 program=$2 pty=$3
# shellcheck source=tests/cli/live/common.sh
. "$(dirname "$0")/../live/common.sh"

# What a program of known work did.
out=$("$aiox" run --summary -- "$program" "$work/data" 100 2>&1) || fail "exit status $?"
for pattern in 'exit status 0 in .*, 1 process with AIO' '^read +101 +404 KiB +4 KiB 100%' \
  '^write +100 +100 KiB +1 KiB 100%' \
  '^depth 1.0 on average, 1 at most' '^(inline|waiter|threads) +[0-9]+ +[0-9.]+% ' \
  '^read +[0-9.]+ (ns|us|ms) +[0-9.]+ (ns|us|ms) +- +[0-9.]+ (ns|us|ms)$' '^errors +EBADF 1, 0 cancelled' \
  '^system calls +[0-9.]+ per operation' '^threads +[0-9]+ started' "^ +200 +[0-9]+ KiB +$work/data\$"; do
  printf '%s\n' "$out" | grep -Eq -e "$pattern" || fail "no /$pattern/ in: $out"
done

# Children that do the I/O, each with a place of its own; ends by _exit, abort and kill -9.
expect 0 '3 processes with AIO' "$aiox" run --summary -- sh -c '"$0" "$1" 10; "$0" "$1" 10 fork; true' "$program" \
  "$work/data"
expect 134 'ended by SIGABRT in .*, 1 process' "$aiox" run --summary -- "$program" "$work/data" 10 abort
expect 137 'ended by SIGKILL in .*, 1 process' "$aiox" run --summary -- \
  sh -c '"$0" "$1" 10 >/dev/null; exec 2>&1; kill -9 $$' "$program" "$work/data"
expect 0 'aiox was never asked for anything' "$aiox" run --summary -- sh -c true
# As many as will, one after the other: the places of those that have ended are gone on in, and nothing of them is lost,
# be they asked about by their parent or not.
expect 0 '70 processes with AIO' "$aiox" run --summary -- \
  sh -c 'for i in $(seq 70); do "$0" "$1" 1; done' "$program" "$work/data"
printf '%s\n' "$out" | grep -Eq '^read +140 +560 KiB' || fail "reads of 70 processes: $out"
printf '%s\n' "$out" | grep -Eq '^errors +EBADF 70,' || fail "errors of 70 processes: $out"
if command -v python3 >/dev/null; then
  cat >"$work/zombies.py" <<'END'
import os, sys
for i in range(70):
    if os.fork() == 0: os.execv(sys.argv[1], [sys.argv[1], sys.argv[2], "1"])
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
END
  expect 0 '70 processes with AIO' "$aiox" run --summary -- python3 "$work/zombies.py" "$program" "$work/data"
fi

# Rates are those of the time from the first request to the last, not of the program's whole life.
expect 0 'op/s from first to last' "$aiox" run --summary --summary-json "$work/rates.json" -- \
  sh -c '"$0" "$1" 100; sleep 2' "$program" "$work/data"
# field NAME - of that report.
field() { sed -n "s/^  \"$1\": \([0-9]*\).*/\1/p" "$work/rates.json"; }
[ "$(field seconds)" -ge 2 ] && [ "$(field seconds_from_first_to_last)" -lt 2 ] ||
  fail "the times are: $(head -8 "$work/rates.json")"
# One that asks a hundred times a second, of which few are timed.
timeout -s KILL 20 "$aiox" run --summary-json "$work/rates.json" -- \
  sh -c '"$0" "$1" 100 slowly & sleep 2; kill $!' "$program" "$work/data" >/dev/null
[ "$(field seconds_from_first_to_last)" -ge 1 ] || fail "a time of $(head -8 "$work/rates.json")"

# As if it was not there.
expect 7 'exit status 7' "$aiox" run --summary -- sh -c 'exit 7'
expect 127 'not found in PATH' "$aiox" run --summary -- no-such-program-anywhere
expect 126 'denied' "$aiox" run --summary -- "$work"
expect 0 '^out$' sh -c '"$0" run --summary -- echo out 2>/dev/null' "$aiox"
expect 0 '^SigBlk:.0*$' "$aiox" run --summary -- grep SigBlk /proc/self/status
"$aiox" run --summary -- sh -c 'trap "exit 9" TERM; echo ready $$; while :; do sleep 0.05; done' >"$work/ready" \
  2>/dev/null &
above=$!
for _ in $(seq 100); do grep -q ready "$work/ready" && break; sleep 0.05; done
kill -TERM "$above"
wait "$above"
[ $? = 9 ] || fail "SIGTERM is not handed on to the program"
"$aiox" run --summary -- sh -c 'echo ready $$; exec sleep 60' >"$work/ready" 2>/dev/null &
above=$!
for _ in $(seq 100); do grep -q ready "$work/ready" && break; sleep 0.05; done
below=$(sed -n 's/^ready //p' "$work/ready")
kill -9 "$above"
wait "$above" 2>/dev/null
for _ in $(seq 100); do kill -0 "$below" 2>/dev/null || break; sleep 0.05; done
kill -0 "$below" 2>/dev/null && fail "the program outlives a kill -9 of aiox run"

# A signal reaches the program once: sent to aiox alone it is handed on, sent to the group of both it is not.
cat >"$work/count.c" <<'END'
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static volatile sig_atomic_t count;
static void add(int signal) {
  count += signal == SIGINT;
  if (write(1, "interrupted\n", 12) != 12) _exit(99);
}
static void tell(int signal) {
  (void)signal;
  for (int i = 0; i < 30; i++) usleep(10000);  // a second one may be on its way
  _exit(count);
}
int main(void) {
  signal(SIGINT, add);
  signal(SIGQUIT, tell);
  printf("ready %d counting\n", (int)getpid());
  fflush(stdout);
  for (;;) pause();
}
END
cc -o "$work/count" "$work/count.c" || fail "count.c"
# counted NAME COMMAND... - COMMAND interrupts aiox, $above, or its group: the program, $below, has one interrupt.
counted() {
  name=$1
  shift
  setsid "$aiox" run --summary -- "$work/count" >"$work/ready" 2>/dev/null &
  above=$!
  for _ in $(seq 100); do grep -q ready "$work/ready" && break; sleep 0.05; done
  below=$(sed -n 's/^ready \([0-9]*\).*/\1/p' "$work/ready")
  eval "$@"
  sleep 0.1
  kill -QUIT "$below"
  wait "$above" 2>/dev/null
  count=$?
  [ "$count" = 1 ] || fail "$name: the program was interrupted $count times"
}
counted "sent to aiox" 'kill -INT $above'
counted "sent to the group" 'kill -INT -$above'
if command -v pkill >/dev/null; then counted "sent by name" 'pkill -INT -g $above -x aiox'; fi

# In a shell's foreground: stopped and continued with the program, and interrupted as it is.
if command -v bash >/dev/null; then
  cat >"$work/job.sh" <<'END'
trap 'echo goes on' CONT
# Once it is up it starts nothing more: a shell that is in vfork(2) when the stop comes does not stop.
sleep 10 &
echo up
while :; do wait; done
END
  cat >"$work/script" <<END
expect ready>
type '$aiox' run --summary -- sh job.sh\x0d
expect up
type \x1a
expect Stopped
type fg\x0d
expect goes on
type \x03
expect ended by SIGINT
type echo status=\$?\x0d
expect status=130
type '$aiox' run --summary -- ./count\x0d
expect counting
type \x03
expect interrupted
type \x1c
expect exit status 1 in
type exit 5\x0d
end 5
END
  (cd "$work" && PS1='ready> ' timeout 60 "$pty" 24 120 "$work/script" "$(command -v bash)" --norc --noprofile -i) ||
    fail "job control: exit status $?"
fi

# The file for programs: whole, or as it was.
"$aiox" run --summary-json "$work/report.json" -- "$program" "$work/data" 100 2>"$work/errors" || fail "exit status $?"
[ -s "$work/errors" ] && fail "--summary-json alone is not quiet: $(cat "$work/errors")"
for pattern in '"exit_status": 0' '"operations": 101' '"EBADF": 1' '"p99": [0-9]' '"p99.9": null' \
  '"system_calls_per_operation": [0-9]' '"inode": [1-9]'; do
  grep -q "$pattern" "$work/report.json" || fail "no $pattern in $work/report.json: $(cat "$work/report.json")"
done
python3 -m json.tool "$work/report.json" >/dev/null || fail "the report is no JSON"
expect 0 '"signal": 6' sh -c '"$0" run --summary-json - -- "$1" "$2" 5 abort; true' "$aiox" "$program" "$work/data"
expect 125 'summary-json: /nonexistent/a: No such file' "$aiox" run --summary-json /nonexistent/a -- touch "$work/ran"
[ -e "$work/ran" ] && fail "the program ran though its report could not be written"
expect 125 'is a directory' "$aiox" run --summary-json "$work" -- true
expect 125 'cannot write the summary to /dev/full: No space left' "$aiox" run --summary-json /dev/full -- true
[ "$(find "$work" -name '*.tmp')" = "" ] || fail "temporary files are left"

# A program that makes no AIO call is named before it starts; one that may is not.
cat >"$work/plain.c" <<'END'
int puts(const char*);
int main(void) { return puts("plain") < 0; }
END
if cc -o "$work/plain" "$work/plain.c" 2>/dev/null; then
  expect 0 'warning: neither .*/plain nor its libraries import an AIO call' "$aiox" run -- "$work/plain"
fi
for quiet in "$program $work/data 1" "sh -c true" "env true" "python3 -c 0"; do
  # shellcheck disable=SC2086  # words
  out=$("$aiox" run -- $quiet 2>&1)
  [ -z "$out" ] || fail "aiox run -- $quiet: $out"
done
[ "$failures" -eq 0 ]
