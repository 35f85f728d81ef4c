# shellcheck shell=sh
# fio_jobs.sh - jobs of fio that read back what they wrote, with crc32c in every block; sourced, after common.sh, with
# $engine and $default_size set.

# run_and_keep NAME PROCESSES fio-option...: PROCESSES is how many processes use AIO. Leaves the files.
run_and_keep() {
  name=$1
  processes=$2
  shift 2
  # shellcheck disable=SC2154  # set by who sources this
  if ! under_aiox fio --name="$name" --directory="$work" --ioengine="$engine" --size="$default_size" --verify=crc32c \
    --verify_fatal=1 --verify_state_save=0 --randrepeat=0 --allrandrepeat=0 --group_reporting --output-format=terse \
    "$@"; then
    fail_with_output "$name $*: status $status"
  fi
  if grep -a -q -i 'verify:\|bad magic\|checksum' "$work/out" "$work/err"; then
    fail_with_output "$name $*: verification failed"
  fi
  answered_by_aiox "$processes" "$processes"
  echo "ok: $name $*"
}

run() {
  run_and_keep "$@"
  rm -f "$work"/"$name".*
}
