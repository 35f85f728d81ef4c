#!/bin/sh
# bound.sh PROGRAM NAME... - PROGRAM is bound to each NAME (name, or name@version), works on libc, and works on aiox
# when that is preloaded, which then answers all its requests; likewise through AIOX_VERBOSE's one line.
set -u
program=$1
shift
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: a sanitized library cannot be preloaded into a program without sanitizers"
  exit 77
fi
fail() { echo "FAILED: $*"; exit 1; }

bound=$(nm -D --undefined-only "$program")
for name in "$@"; do
  case $name in
  *@*) pattern="^ *U ${name%@*}(64)?@${name#*@}\$" ;;
  *) pattern="^ *U $name(64)?(@.*)?\$" ;;
  esac
  echo "$bound" | grep -Eq "$pattern" ||
    fail "$program is not bound to $name but to: $(echo "$bound" | grep -E 'aio_|lio_')"
done

out=$("$program") || fail "on libc: $out"
[ "$out" = 'answered by libc' ] || fail "without aiox it says: $out"

out=$(LD_PRELOAD=$AIOX_TEST_PRELOAD "$program" 2>&1) || fail "on aiox: $out"
[ "$out" = 'answered by aiox' ] || fail "under LD_PRELOAD it says: $out"

for backend in auto threads io_uring; do
  out=$(LD_PRELOAD=$AIOX_TEST_PRELOAD AIOX_VERBOSE=1 AIOX_BACKEND=$backend "$program" 2>&1) || fail "$backend: $out"
  [ "$(echo "$out" | grep -c '^aiox: ')" = 1 ] || fail "AIOX_VERBOSE=1 prints one line, here it printed: $out"
  echo "$backend: $out"
done
