#!/bin/sh
# sysbench_fileio.sh [BACKEND [WAY]] - sysbench's asynchronous file I/O, unmodified: each thread has a context of its
# own, into which it puts reads and writes one by one up to the backlog, and waits for at least one. Sequential writes,
# random reads, and both mixed; with and without O_DIRECT; fsync (a plain call, once all is reaped), fdatasync, one
# after each write, none. Every request asked for has to be counted. (What was written is not looked at: sysbench lets
# requests share a buffer.)
. "$(dirname "$0")/common.sh"
need_program sysbench
cd "$work"

sysbench fileio --file-num=4 --file-total-size=16M prepare >"$work/out" 2>&1 || fail_with_output "prepare: status $?"
cksum=$(cat test_file.* | cksum)

# run MODE EVENTS sysbench-option...
run() {
  mode=$1
  events=$2
  shift 2
  if ! under_aiox sysbench fileio --file-num=4 --file-total-size=16M --file-io-mode=async --file-test-mode="$mode" \
    --events="$events" --time=0 "$@" run; then
    fail_with_output "$mode $*: status $status"
  fi
  if cat out err | grep -a -v '^aiox:' | grep -i 'fatal\|error\|warning'; then fail_with_output "$mode $*"; fi
  counted=$(sed -n 's/.*total number of events: *\([0-9]*\).*/\1/p' out)
  [ "${counted:-0}" -ge "$events" ] || fail_with_output "$mode $*: ${counted:-no} events of $events"
  answered_by_aiox 1 1
  echo "ok: $mode $*"
}

for flags in '' direct; do
  if [ -n "$flags" ] && ! direct_works; then
    left_out "O_DIRECT, which $work does not support"
    continue
  fi
  run rndrd 20000 --file-extra-flags=$flags --file-block-size=4096 --threads=4
  run rndrd 2000 --file-extra-flags=$flags --file-block-size=65536 --threads=1 --file-async-backlog=1
  [ "$(cat test_file.* | cksum)" = "$cksum" ] || fail "reads have changed the files"
  run rndrw 8000 --file-extra-flags=$flags --file-block-size=4096 --threads=4
  run rndrw 2000 --file-extra-flags=$flags --threads=4 --file-fsync-freq=10 --file-async-backlog=16
  run rndrw 1000 --file-extra-flags=$flags --threads=4 --file-fsync-freq=50 --file-fsync-mode=fdatasync
  run seqwr 1024 --file-extra-flags=$flags --threads=2 --file-fsync-freq=100
  run seqwr 4096 --file-extra-flags=$flags --file-block-size=4096 --threads=2 --file-fsync-freq=0 --file-fsync-end=off
  run rndwr 200 --file-extra-flags=$flags --threads=2 --file-fsync-all=on
  run seqrd 1024 --file-extra-flags=$flags --threads=3
done
sysbench fileio --file-num=4 --file-total-size=16M cleanup >"$work/out" 2>&1 || fail_with_output "cleanup: status $?"
if ls test_file.* 2>/dev/null; then fail "cleanup has left files"; fi
echo "ok: cleanup"
