#!/bin/sh
# sanitized.sh PROGRAM KIND - a program that was built with a sanitizer (KIND: asan or tsan), with a plain aiox
# preloaded or linked: it runs to its end, every byte is right, and the sanitizer has nothing to say.
# shellcheck source=tests/company/common.sh
. "$(dirname "$0")/common.sh"
program=$1 kind=$2
runtime=$(ldd "$program" | sed -n "s/^[[:space:]]*lib$kind\\.so[^ ]* => \\([^ ]*\\) .*/\\1/p")
[ -n "$runtime" ] || skip "$program is not linked with lib$kind.so"
launcher=
# tsan sleeps for a second at the end of a program otherwise.
export TSAN_OPTIONS=atexit_sleep_ms=0
# Sanitizers of this age want addresses that kernels with a high vm.mmap_rnd_bits do not always give.
if [ "$kind" = tsan ]; then
  launcher='setarch -R'
  setarch -R true 2>/dev/null || skip "setarch -R is not allowed here"
fi

quiet() {
  if grep -q 'WARNING: \|ERROR: \|SUMMARY: ' "$work/err"; then
    cat "$work/err"
    fail "the sanitizer complains"
  fi
}

for backend in auto io_uring threads; do
  export AIOX_BACKEND=$backend
  # The runtime in front, as it asks for itself.
  # shellcheck disable=SC2086  # the launcher is two words or none
  together "$kind: its runtime in front, $backend" 0 "$runtime $AIOX_TEST_PRELOAD" $launcher "$program"
  quiet
  if [ "$kind" = asan ]; then
    ASAN_OPTIONS=verify_asan_link_order=0 \
      together "$kind: aiox in front, link order not verified, $backend" 0 "$AIOX_TEST_PRELOAD" "$program"
    quiet
  else
    # shellcheck disable=SC2086
    together "$kind: aiox in front, $backend" 0 "$AIOX_TEST_PRELOAD" $launcher "$program"
    quiet
  fi
  # shellcheck disable=SC2086
  together "$kind: linked, $backend" 0 "" $launcher "${program}_linked"
  quiet
done
if [ "$kind" = asan ]; then
  # What users meet who preload aiox alone: ASan's refusal, before the program has begun.
  together "$kind: aiox in front is refused by asan itself" 1 "$AIOX_TEST_PRELOAD" "$program"
  grep -q 'ASan runtime does not come first' "$work/err" || fail "asan ended for another reason: $(cat "$work/err")"
fi
