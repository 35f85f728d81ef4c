# shellcheck shell=sh
# common.sh - what the scripts that run real programs share; sourced, not run.
#
#   script.sh [BACKEND [WAY]]
#     BACKEND  AIOX_BACKEND: threads, io_uring or auto
#     WAY      how the program gets aiox: preload (LD_PRELOAD) or dropin (a libaio.so.1 of its own, found by
#              LD_LIBRARY_PATH)
#
# Environment (set by CTest): AIOX_TEST_PRELOAD the library, AIOX_TEST_LIBAIO the libaio.so.1 of the drop-in way,
# AIOX_TEST_SCRATCH a folder on a disk.
#
# AIOX_TEST_AGAINST runs the same without aiox, to tell a fault of the script from one of the library. To be done by
# hand whenever a script changes; everything has to pass:
#   AIOX_TEST_AGAINST=glibc   the programs that use POSIX AIO
#   AIOX_TEST_AGAINST=kernel  those that use libaio or io_submit(2). With strace installed it is also checked that they
#   do.
set -eu

# shellcheck disable=SC2034  # of the scripts that source this
backend=${1:-auto} way=${2:-preload}
against=${AIOX_TEST_AGAINST:-aiox}
: "${AIOX_TEST_SCRATCH:=${TMPDIR:-/tmp}}"
work=$(mktemp -d "$AIOX_TEST_SCRATCH/programs-XXXXXX")
child=
input=/dev/null
loops=
cleanup() {
  if [ -n "$child" ]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  for loop in $loops; do losetup -d "$loop" || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

skip() {
  echo "SKIP: $*"
  exit 77
}

# left_out WHAT: a part that cannot run here; the rest does.
left_out() {
  echo "SKIP: $*"
}

fail() {
  echo "FAILED: $*"
  exit 1
}

# fail_with_output WHAT: the same, after what the program printed.
fail_with_output() {
  cat "$work/out" "$work/err"
  fail "$@"
}

# need_program NAME [PACKAGE]
need_program() {
  command -v "$1" >/dev/null || skip "$1 is not installed (apt-get install ${2:-$1})"
}

direct_works() {
  dd if=/dev/zero of="$work/probe" bs=4096 count=1 oflag=direct 2>/dev/null
}

# make_loop FILE: a loop device over FILE, its name in $loop; gone when the script ends.
make_loop() {
  loop=$(losetup -f --show "$1" 2>"$work/err") || skip "no loop device: $(cat "$work/err")"
  loops="$loops $loop"
}

# start_under_aiox command...: in the background as $child, reading from $input; output to $work/out, what goes to
# stderr to $work/err; ends after 100 s at the latest.
start_under_aiox() {
  : >"$work/calls"
  case $against in
  aiox)
    case $way in
    preload)
      [ -r "${AIOX_TEST_PRELOAD:-}" ] || fail "AIOX_TEST_PRELOAD does not name the library"
      how=LD_PRELOAD=$AIOX_TEST_PRELOAD
      ;;
    dropin)
      [ -r "${AIOX_TEST_LIBAIO:-}" ] || fail "AIOX_TEST_LIBAIO does not name a libaio.so.1"
      how=LD_LIBRARY_PATH=$(dirname "$AIOX_TEST_LIBAIO")
      ;;
    *) fail "there is no way \"$way\"" ;;
    esac
    set -- env AIOX_BACKEND="$backend" AIOX_VERBOSE=1 "$how" "$@"
    ;;
  kernel)
    if command -v strace >/dev/null; then
      set -- strace -f --seccomp-bpf -qq -e trace=io_setup -e signal=none -o "$work/calls" "$@"
    fi
    ;;
  glibc) ;;
  *) fail "AIOX_TEST_AGAINST is glibc or kernel, not \"$against\"" ;;
  esac
  timeout -k 5 100 "$@" <"$input" >"$work/out" 2>"$work/err" &
  child=$!
}

# finish_under_aiox: waits for it; its exit status also in $status.
finish_under_aiox() {
  status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

# under_aiox command...: both.
under_aiox() {
  start_under_aiox "$@"
  finish_under_aiox
}

# answered_by_aiox LOW HIGH: between so many processes said which lanes they chose, so it was aiox that answered them.
# Against the kernel: at least LOW contexts were made, so it was native AIO that the program used.
answered_by_aiox() {
  case $against in
  glibc) return 0 ;;
  kernel)
    command -v strace >/dev/null || return 0
    lines=$(grep -c 'io_setup(.*= 0$\|io_setup resumed.*= 0$' "$work/calls" || true)
    [ "$lines" -ge "$1" ] || fail_with_output "$lines contexts were made, expected $1 or more"
    return 0
    ;;
  esac
  # grep -a: programs may leave terminal control bytes in what they print.
  lines=$(grep -a -c '^aiox:' "$work/err" || true)
  if [ "$lines" -lt "$1" ] || [ "$lines" -gt "$2" ]; then
    fail_with_output "$lines processes were answered by aiox, expected $1 to $2"
  fi
}

# stress_ng NAME WHAT SECONDS option...: runs four of stress-ng's stressor NAME with these options and --verify; it must
# report no failure, be answered by aiox, and have done something.
stress_ng() {
  stressor=$1 what=$2 seconds=$3
  shift 3
  if ! under_aiox stress-ng "--$stressor" 4 "$@" --verify --timeout "${seconds}s" --metrics-brief \
    --temp-path "$work"; then
    fail_with_output "stress-ng, $what: status $status"
  fi
  if grep -a -q 'fail:\|stressor skipped\|stressor terminated\|unsuccessful run' "$work/out" "$work/err"; then
    fail_with_output "stress-ng, $what: reports failures"
  fi
  answered_by_aiox 4 4
  # metrc lines: [pid] NAME <bogo ops> ...
  operations=$(cat "$work/out" "$work/err" | sed -n "s/.*metrc.* $stressor  *\([0-9][0-9]*\) .*/\1/p" | head -n 1)
  [ -n "$operations" ] || fail_with_output "stress-ng, $what: no figures"
  [ "$operations" -gt 0 ] || fail "stress-ng, $what: completed no operation"
  echo "ok: $what: $operations operations"
}
