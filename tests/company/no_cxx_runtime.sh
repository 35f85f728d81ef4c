#!/bin/sh
# no_cxx_runtime.sh PROGRAM - a C program that has used aiox has the files mapped that it has without it, and the
# library: no C++ runtime, no liburing.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
"$1" maps 2>/dev/null | grep '^/' | sort -u >"$work/plain" || true
for backend in auto io_uring threads; do
  AIOX_BACKEND=$backend together "mapped files, $backend" 0 "$AIOX_TEST_PRELOAD" "$1" maps
  grep '^/' "$work/out" | sort -u >"$work/guested"
  grep -q '/libaiox-preload' "$work/guested" || fail "the library is not mapped at all"
  # /dev/zero and the like would be a mapping of a kind that was not there before, too.
  more=$(comm -13 "$work/plain" "$work/guested" | grep -v '/libaiox-preload\|^/\[aio\]' || true)
  [ -z "$more" ] || fail "mapped only with aiox: $more"
done
