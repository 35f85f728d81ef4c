# lib.sh - what the scripts share: messages, long steps that show that they are alive, and what measuring with fio
# needs. Sourced by bash; never run by itself.
# shellcheck shell=bash

if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' DIM=$'\e[2m' PLAIN=$'\e[0m' CLEAR_LINE=$'\r\e[K' \
    IS_TERMINAL=1
else
  BOLD='' RED='' GREEN='' YELLOW='' DIM='' PLAIN='' CLEAR_LINE='' IS_TERMINAL=0
fi
# shellcheck disable=SC2034  # used by the scripts that source this file
readonly BOLD RED GREEN YELLOW DIM PLAIN CLEAR_LINE IS_TERMINAL

say() { printf '%s\n' "$*"; }
heading() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
complain() { printf '%s%s:%s %s\n' "$RED" "${0##*/}" "$PLAIN" "$*" >&2; }
die() {
  complain "$*"
  exit 1
}

# min_sec 83 -> 1:23
min_sec() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# start_step COMMAND... - starts the command in a process group of its own: stop_step reaches the grandchildren too, and
# Ctrl-C does not reach it first. wait_step returns its exit status.
STEP_PID=
start_step() {
  set -m
  "$@" &
  STEP_PID=$!
  set +m
}
wait_step() {
  local status=0
  wait "$STEP_PID" || status=$?
  STEP_PID=
  return "$status"
}
stop_step() {
  local waited
  [[ -n $STEP_PID ]] || return 0
  kill -TERM -- "-$STEP_PID" 2>/dev/null
  for ((waited = 0; waited < 20; ++waited)); do
    kill -0 -- "-$STEP_PID" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL -- "-$STEP_PID" 2>/dev/null
  STEP_PID=
}
# run_step TITLE LOG COMMAND... - runs the command with its output in LOG. On a terminal one line shows the time and the
# command's last line; elsewhere a line every 30 seconds. When the command fails, the end of LOG is shown.
# Returns the command's exit status.
run_step() {
  local title=$1 log=$2 began=$SECONDS shown=0 status=0 last
  shift 2
  ((IS_TERMINAL)) || say "$title ..."
  start_step "$@" >"$log" 2>&1 </dev/null
  while kill -0 "$STEP_PID" 2>/dev/null; do
    sleep 0.3
    ((IS_TERMINAL || SECONDS - began >= shown + 30)) || continue
    shown=$((SECONDS - began))
    last=$(tail -n 1 "$log" 2>/dev/null | tr -d '\000-\037' | cut -c 1-70)
    if ((IS_TERMINAL)); then
      printf '%s%s %s(%s) %s%s' "$CLEAR_LINE" "$title" "$DIM" "$(min_sec "$shown")" "$last" "$PLAIN"
    else
      say "  $(min_sec "$shown")  $last"
    fi
  done
  wait_step || status=$?
  if ((status == 0)); then
    printf '%s%s: %sdone%s in %s\n' "$CLEAR_LINE" "$title" "$GREEN" "$PLAIN" "$(min_sec $((SECONDS - began)))"
  else
    printf '%s%s: %sfailed%s (exit status %d); the end of %s:\n' "$CLEAR_LINE" "$title" "$RED" "$PLAIN" "$status" "$log"
    tail -n 40 "$log" | sed 's/^/  | /'
  fi
  return "$status"
}

# --- what scripts/try and scripts/compare share

is_number() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]; }

# What is measured is said on the command line; settings left in the shell would change it unseen.
drop_settings() {
  local variable
  for variable in ${!AIOX_@} LD_PRELOAD; do
    [[ -z ${!variable:-} ]] || say "Leaving $variable=${!variable} out of account."
    unset "$variable"
  done
}

# build_libraries DIR LOGS - builds the libraries and the aiox command in DIR, with the output in the directory LOGS.
build_libraries() {
  local dir=$1 logs=$2 settings=()
  # A tree that builds the tests too keeps them; one that was made here never needs Catch2.
  grep -qs '^AIOX_BUILD_TESTS:BOOL=ON' "$dir/CMakeCache.txt" || settings=(-DAIOX_BUILD_TESTS=OFF -DAIOX_BUILD_BENCH=OFF)
  # A tree configured at another path (the checkout was moved) cannot be configured again.
  if [[ -f $dir/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$dir/CMakeCache.txt"; then
    [[ $dir == build/* ]] || die "$dir was configured for another checkout"
    rm -rf "$dir"
  fi
  run_step "Configuring" "$logs/configure.log" cmake --preset release -B "$dir" "${settings[@]}" || return 1
  run_step "Building the libraries and the aiox command" "$logs/build.log" \
    cmake --build "$dir" -j "$(nproc)" --target aiox aiox-preload aiox-cli || return 1
  [[ -f $dir/lib/libaiox-preload.so ]] || die "the build did not make $dir/lib/libaiox-preload.so"
}

free_mib() { echo $(($(df -kP "$1" | awk 'NR == 2 { print $4 }') / 1024)); }

# fitting_mib DIR MIB - MIB, halved until DIR and the memory have twice as much: a file that is to be cached has to fit,
# and nothing here may fill somebody's disk.
fitting_mib() {
  local mib=$2 disk memory
  disk=$(free_mib "$1")
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  while ((mib > 64 && (mib > disk / 2 || mib > memory / 2))); do ((mib /= 2)); done
  echo "$mib"
}

# write_whole TITLE WORK FILE MIB [FIO-OPTION...] - has fio write all of FILE, to the disk.
write_whole() {
  local title=$1 work=$2 file=$3 mib=$4
  shift 4
  run_step "$title" "$work/layout.log" fio --name=layout --ioengine=psync --rw=write --bs=1M --filename="$file" \
    --size="${mib}M" --end_fsync=1 --output="$work/layout.out" "$@"
}

filesystem_of() {
  local type
  type=$(findmnt -n -o FSTYPE -T "$1" 2>/dev/null | tail -n 1)
  [[ -n $type ]] || type=$(stat -f -c %T "$1")
  echo "$type"
}

takes_direct() { dd if="$1" of=/dev/null iflag=direct bs=4096 count=1 2>/dev/null; }
