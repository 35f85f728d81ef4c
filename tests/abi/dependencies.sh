#!/bin/sh
# dependencies.sh LIBRARY - it needs libc and the loader, nothing else: no C++ runtime, no liburing, no Boost.
set -eu
[ -s "$1" ] || { echo "FAILED: there is no $1"; exit 1; }
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: a sanitized library needs the sanitizer's runtime and with it the C++ one"
  exit 77
fi
needed=$(readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
echo "NEEDED: $needed"
for name in $needed; do
  case $name in
  libc.so.* | ld-linux*.so.* | ld64.so.* | ld.so.*) ;;
  *) echo "FAILED: $1 needs $name"; exit 1 ;;
  esac
done
# What ldd adds are the dependencies of dependencies.
extra=$(ldd "$1" | sed 's/^[ \t]*//' | grep -Ev '^(linux-vdso|linux-gate|libc\.so|/.*/ld-linux|/.*/ld64|ld-linux)' ||
  true)
[ -z "$extra" ] || { echo "FAILED: ldd shows more than libc: $extra"; exit 1; }
