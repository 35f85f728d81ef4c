#!/bin/sh
# sysctl.sh AIOX IO_URING|AIO - aiox doctor names the sysctl that forbids a lane. Changes it for a moment, for all of
# the machine; however this ends, it is put back.
set -u
aiox=$1
# shellcheck source=tests/cli/expect.sh
. "$(dirname "$0")/../expect.sh"
case $2 in
io_uring) file=/proc/sys/kernel/io_uring_disabled ;;
aio) file=/proc/sys/fs/aio-max-nr ;;
esac
[ -w "$file" ] || { echo "SKIP: $file cannot be written"; exit 77; }
before=$(cat "$file")
trap 'echo "$before" >"$file"' EXIT
trap 'exit 1' INT TERM HUP
set_to() { echo "$1" >"$file" 2>/dev/null || { echo "SKIP: $file does not take $1"; exit 77; }; }

if [ "$2" = io_uring ]; then
  set_to 2
  expect 1 '^io_uring +no +kernel.io_uring_disabled=2 forbids it: sysctl -w kernel.io_uring_disabled=0' "$aiox" doctor
  also '^ +2: for nobody, root included' 'kernel.io_uring_disabled 2' '^Does not work here: the lane io_uring\.'
  expect 1 '"cause": "sysctl"' "$aiox" doctor --json
  also '"io_uring_disabled": 2'
  if [ "$(id -u)" -eq 0 ] && as_nobody test -x "$aiox"; then
    set_to 1
    expect 1 '^io_uring +no +kernel.io_uring_disabled=1 forbids it' as_nobody "$aiox" doctor
    also '^ +1: only for processes with CAP_SYS_ADMIN or of the group'
  fi
else
  # Used up by others: as if all that is in use were all there may be.
  set_to 0
  expect 1 '^direct +no +io_setup: fs.aio-max-nr is used up: sysctl -w fs.aio-max-nr=1048576, or more' "$aiox" doctor
  also '^ +fs.aio-nr is [0-9]+ of fs.aio-max-nr 0; aiox takes 1 ' '^Does not work here: the lane direct\.'
  expect 1 '"cause": "sysctl"' "$aiox" doctor --json
  also '"aio_max_nr": 0'
fi
[ "$failures" -eq 0 ]
