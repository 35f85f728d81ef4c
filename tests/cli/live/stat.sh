#!/bin/sh
# stat.sh AIOX WORK REFUSE - aiox stat says what a program of known work has done, and what is wrong where it cannot.
set -u
aiox=$1 program=$2
# shellcheck source=tests/cli/live/common.sh
. "$(dirname "$0")/common.sh"

start "$aiox" run --stats 1 --direct 0 -- "$program" "$work/data" 100 slowly
json=$("$aiox" stat "$pid" 1 1 --json --files)

# field NAME PATTERN - the JSON line has it.
field() {
  printf '%s\n' "$json" | grep -Eq -e "$2" || fail "$1: no /$2/ in: $json"
}
field "reads of 4 KiB" \
  '"read":\{"operations":[0-9]+,"bytes":[0-9]+,"sizes":\[\{"from_bytes":4096,"to_bytes":8191,"operations":[0-9]+\}\]'
field "100 writes of 1 KiB" \
  '"write":\{"operations":100,"bytes":102400,"sizes":\[\{"from_bytes":1024,"to_bytes":2047,"operations":100\}\]'
field "one error" '"errors":\{"EBADF":1\}'
field "nothing in flight" '"in_flight":0,"queued":0'
field "latency of reads" '"latency_ns":\{"read":\{"p50":[1-9]'
field "the file" "\"name\":\"$work/data\""
field "a depth of one" '"depth":\{"mean":1\.0,"max":1,'
printf '%s\n' "$json" | grep -q '"cancelled":0,"refused":0' || fail "cancelled or refused: $json"

# Lines, an interval apart: the rate is that of the program, and the file is there.
out=$("$aiox" stat "$pid" 0.3 3 --files)
[ "$(printf '%s\n' "$out" | grep -c "$work/data")" = 3 ] || fail "not three lines of the file: $out"
[ "$(printf '%s\n' "$out" | grep -c 'inline')" = 1 ] || fail "not one heading: $out"

expect 2 'from 0.05 to 3600' "$aiox" stat "$pid" 0
expect 2 'give seconds' "$aiox" stat "$pid" soon
expect 2 'number of a process' "$aiox" stat nobody
expect 2 'PID' "$aiox" stat
expect 0 '^Examples:' "$aiox" stat --help
expect 0 '^Examples:' "$aiox" top --help
expect 2 'ops, bytes, flight, p99, errors or pid' "$aiox" top --sort size
expect 1 'cannot write: No space left' sh -c "exec '$aiox' stat $pid 1 1 >/dev/full"
expect 1 'cannot write: No space left' sh -c "exec '$aiox' top --count 1 >/dev/full"
expect 1 'there is no process 4194303' "$aiox" stat 4194303
expect 1 'aiox is not loaded in process' "$aiox" stat $$

# Batches.
expect 0 " +$pid .* live_work " "$aiox" top --count 1
expect 0 "^ +[0-9.]+k? .*$work/data" "$aiox" top --count 1 --files
expect 0 "\"processes\":\\[.*\"pid\":$pid,.*\"name\":\"live_work\"" "$aiox" top --json --count 2 --interval 0.1

# The end of the process is seen, and said.
"$aiox" stat "$pid" 0.2 >"$work/out" 2>"$work/err" &
watcher=$!
sleep 0.5
kill -9 "$pid"
wait "$watcher" && fail "aiox stat of a process that was killed ended with 0"
grep -q "process $pid has ended" "$work/err" || fail "it does not say that the process has ended: $(cat "$work/err")"
gone "$pid"
[ "$failures" -eq 0 ]
