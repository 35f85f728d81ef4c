# lib.sh - what scripts/try and scripts/test share: messages, and long steps that show that they are alive.
# Sourced by bash; never run by itself.
# shellcheck shell=bash

if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' DIM=$'\e[2m' PLAIN=$'\e[0m' CLEAR_LINE=$'\r\e[K' IS_TERMINAL=1
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

# run_step TITLE LOG COMMAND... - runs the command with its output in LOG. On a terminal one line shows the time and the
# command's last line; elsewhere a line every 30 seconds. When the command fails, the end of LOG is shown.
# Returns the command's exit status.
STEP_PID=
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
run_step() {
  local title=$1 log=$2 began=$SECONDS shown=0 status=0 last
  shift 2
  ((IS_TERMINAL)) || say "$title ..."
  set -m # a process group of its own: stop_step reaches the grandchildren too, and Ctrl-C does not reach it first
  "$@" >"$log" 2>&1 </dev/null &
  STEP_PID=$!
  set +m
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
  wait "$STEP_PID" || status=$?
  STEP_PID=
  if ((status == 0)); then
    printf '%s%s: %sdone%s in %s\n' "$CLEAR_LINE" "$title" "$GREEN" "$PLAIN" "$(min_sec $((SECONDS - began)))"
  else
    printf '%s%s: %sfailed%s (exit status %d); the end of %s:\n' "$CLEAR_LINE" "$title" "$RED" "$PLAIN" "$status" "$log"
    tail -n 40 "$log" | sed 's/^/  | /'
  fi
  return "$status"
}
