#!/bin/sh
# segment.sh AIOX WORK REFUSE FORGE - the shared memory of the statistics: for the same user only, without a descriptor,
# gone with its process however that ends, not a child's; and a program that cannot have it does its I/O all the same.
set -u
aiox=$1 program=$2 refuse=$3 forge=$4
# shellcheck source=tests/cli/live/common.sh
. "$(dirname "$0")/common.sh"

# Off unless asked for.
start "$aiox" run -- "$program" "$work/data" 10 stay
[ -z "$(segments_of "$pid")" ] || fail "statistics are on, and nobody asked for them"
expect 1 "process $pid .*keeps no statistics" "$aiox" stat "$pid"
kill -9 "$pid"

# One segment, for the same user only. That descriptors are as before, the program itself looks.
start "$aiox" run --stats 1 -- "$program" "$work/data" 10 stay
[ "$(segments_of "$pid" | wc -l)" = 1 ] || fail "process $pid has $(segments_of "$pid" | wc -l) segments"
mode=$(awk -v pid="$pid" 'NR > 1 && $5 == pid { print $3 }' /proc/sysvipc/shm)
[ "$mode" = 1600 ] || fail "its mode is $mode, not 600 and marked for removal (1600)"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  expect 1 "process $pid .* is root's: run this as that user, or as root" \
    setpriv --reuid 65534 --regid 65534 --clear-groups "$aiox" stat "$pid" 1 1
  expect 0 'are other users' setpriv --reuid 65534 --regid 65534 --clear-groups "$aiox" top --count 1
else
  echo "not tried: another user's look, since this is not root"
fi
expect 0 '^ +[0-9.]+k? ' "$aiox" stat "$pid" 1 1
# What another user's memory says of it is not believed, neither shown nor in place of what is true.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  true_pid=$pid
  start setpriv --reuid 65534 --regid 65534 --clear-groups "$forge" "$true_pid" FORGED
  start setpriv --reuid 65534 --regid 65534 --clear-groups "$forge" "$true_pid" FORGED 5000
  expect 0 "^ *$true_pid root +live_work" "$aiox" top --count 1
  ! printf '%s' "$out" | grep -q FORGED || fail "a forged row is shown: $out"
  # Its maker's own: nothing of it that cannot be.
  expect 0 'process' setpriv --reuid 65534 --regid 65534 --clear-groups "$aiox" top --count 1
  kill -9 "$pid"
  pid=$true_pid
fi
kill -9 "$pid"
gone "$pid"

# A child of fork neither keeps it nor counts into it.
start "$aiox" run --stats 1 -- "$program" "$work/data" 10 child
kill -9 "$pid"
gone "$pid"

# Programs that end by _exit and by a signal.
timeout 20 "$aiox" run --stats 1 -- "$program" "$work/data" 10 || fail "the program ended with $?"
timeout 20 "$aiox" run --stats 1 -- "$program" "$work/data" 10 fork || fail "the program with a child ended with $?"

# Where it is refused, the reason is said, and everything else works.
for call in shmget shmat shmctl; do
  for error in EPERM ENOSYS; do
    "$refuse" "$error" "$call" -- true
    [ $? -ne 77 ] || break
    expect 0 "no statistics: $call: " "$refuse" "$error" "$call" -- "$aiox" run --stats 1 --verbose -- "$program" \
      "$work/data" 10
  done
done
expect 125 'no shared memory for the summary .*shmget' "$refuse" EPERM shmget -- "$aiox" run --summary -- true
# unused - segments of such a size that nobody has: for more than a moment there is none.
unused() { awk 'NR > 1 && $7 == 0 && $4 > 500000 { print $2 }' /proc/sysvipc/shm; }
left=$(unused)
if [ -n "$left" ]; then
  sleep 1
  for id in $left; do
    unused | grep -qx "$id" && fail "segment $id was left behind"
  done
fi
[ "$failures" -eq 0 ]
