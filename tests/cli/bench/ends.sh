#!/bin/sh
# ends.sh AIOX WORKER REFUSE - however it ends, it says so in one line, with a status that tells, and leaves no file and
# no process.
# shellcheck disable=SC2016  # the shells that are started expand their own variables
# shellcheck source=tests/cli/bench/common.sh
. "$(dirname "$0")/common.sh"
command -v pgrep >/dev/null || skip "pgrep is missing"

nothing_left() {
  [ -z "$(ls -A "$1")" ] || complain "$2: files are left: $(ls -A "$1")"
}
mkdir made

# start OPTION... - in the background, until a worker is at work.
start() {
  "$aiox" bench --size 8m --runtime 30s --rounds 1 --engine psync "$@" >out 2>&1 &
  command_pid=$!
  tries=0
  worker_pid=
  while [ -z "$worker_pid" ] && [ "$tries" -lt 200 ]; do
    sleep 0.05
    worker_pid=$(pgrep -P "$command_pid" -f "$worker")
    tries=$((tries + 1))
  done
  [ -n "$worker_pid" ] || complain "no worker was started: $(cat out)"
}
# ended STATUS PATTERN WHAT
ended() {
  wait "$command_pid"
  actual=$?
  [ "$actual" -eq "$1" ] || complain "$3: exit status $actual instead of $1: $(cat out)"
  grep -Eq "$2" out || complain "$3: said: $(cat out)"
  [ "$(wc -l <out)" -eq 1 ] || complain "$3: not one line: $(cat out)"
  tries=0
  while is_alive "$worker_pid" && [ "$tries" -lt 100 ]; do
    sleep 0.05
    tries=$((tries + 1))
  done
  if is_alive "$worker_pid"; then complain "$3: the worker is still there"; fi
  nothing_left made "$3"
}

start --directory made
kill -TERM "$command_pid"
ended 143 'interrupted \(SIGTERM\)' "SIGTERM"
start --filename made/named
kill -HUP "$command_pid"
ended 129 'interrupted \(SIGHUP\)' "SIGHUP with a named file"
start --directory made
kill -KILL "$worker_pid"
ended 1 'psync, cached, depth 1: the worker was killed by signal 9' "a killed worker"
start --directory made
kill -KILL "$command_pid"
wait "$command_pid" 2>/dev/null
tries=0
while is_alive "$worker_pid" && [ "$tries" -lt 100 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
if is_alive "$worker_pid"; then complain "the worker outlives its command"; fi
nothing_left made "a killed command"

if command -v python3 >/dev/null; then
  python3 - "$aiox" >out 2>&1 <<'END' || complain "Ctrl-C: $(cat out)"
import os, pty, signal, sys, time
aiox = sys.argv[1]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(aiox, [aiox, "bench", "--size", "8m", "--filename", "made/named", "--runtime", "30s", "--engine", "psync"])
said = b""
while b"round 1 of 5" not in said:  # the progress line, since this is a terminal
    said += os.read(terminal, 4096)
time.sleep(0.3)
os.write(terminal, b"\x03")
try:
    while True:
        more = os.read(terminal, 4096)
        if not more:
            break
        said += more
except OSError:
    pass
status = os.waitpid(pid, 0)[1]
if os.waitstatus_to_exitcode(status) != 130 or b"interrupted (Ctrl-C)" not in said:
    sys.exit("status %d, said %r" % (status, said))
END
  nothing_left made "Ctrl-C"
fi

# A file that becomes shorter, or is full of something else, while it is worked on.
head -c 8388608 /dev/zero >shrinks
"$aiox" bench --engine psync --filename shrinks --runtime 30s --rounds 1 >out 2>&1 &
command_pid=$!
tries=0
until worker_pid=$(pgrep -P "$command_pid" -f "$worker") || [ "$tries" -gt 200 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
sleep 0.2
: >shrinks
wait "$command_pid"
[ $? -eq 1 ] || complain "a file that shrinks: wrong status"
grep -Eq 'only 0 were; has the file become shorter' out || complain "a file that shrinks: $(cat out)"
# One that is deleted stays what it was until its last user has gone.
head -c 4194304 /dev/zero >vanishes
(sleep 0.4; rm -f vanishes) &
expect 0 'psync' "$aiox" bench --engine psync,aiox --filename vanishes --runtime 300ms --rounds 2
wait

# Reads of what was written in the same run are checked too, so it does not matter when the other one comes.
head -c 1048576 /dev/zero >garbled
(while [ ! -e stop ]; do dd if=/dev/zero of=garbled bs=1M count=1 conv=notrunc 2>/dev/null; done) &
expect 1 '--verify: the block at offset [0-9]+ of garbled' "$aiox" bench --engine psync --filename garbled --overwrite \
  --rw randrw --verify crc32c --runtime 5s --rounds 1
: >stop
wait

# A disk that is full.
if unshare -m true 2>/dev/null; then
  mkdir small
  expect 1 'cannot make files of 64 MiB in all: No space left on device \([1-9].* free there\); give a smaller --size' \
    unshare -m sh -c \
    'mount -t tmpfs -o size=16m none small && "$0" bench --engine psync --size 64m --directory small
     status=$?; [ -z "$(ls -A small)" ] || exit 9; exit $status' "$aiox"
  expect 1 'No space left|cannot write small/report' unshare -m sh -c \
    'mount -t tmpfs -o size=40k none small && head -c 36864 /dev/zero >small/f
     "$0" bench --engine psync,threads,glibc --size 4m --runtime 20ms --rounds 3 --iodepth 1,2,3,4 \
       --output small/report' "$aiox"
fi
expect 1 'File too large.*ulimit|cannot make files.*File too large' sh \
  -c 'ulimit -f 1000; exec "$0" bench --engine psync --size 64m' "$aiox"
# A place to print to that is full.
if [ -w /dev/full ]; then expect 1 'cannot print the report' sh \
  -c '"$0" bench --engine psync --size 4m --runtime 20ms --rounds 1 >/dev/full' "$aiox"; fi
[ "$failures" -eq 0 ]
