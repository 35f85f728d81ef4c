#!/bin/sh
# constructors.sh LIBRARY - loading it runs no code of ours: .init_array and .fini_array hold the compiler's one entry
# each
# (frame_dummy, __do_global_dtors_aux), and there is nothing before or beside them.
set -eu
[ -s "$1" ] || { echo "FAILED: there is no $1"; exit 1; }
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: sanitizers register their own constructors"
  exit 77
fi
library=$1
pointer_bytes=8
readelf -hW "$library" | grep -q 'Class:.*ELF32' && pointer_bytes=4
for section in .init_array .fini_array; do
  size=$(readelf -SW "$library" | sed 's/^ *\[ *[0-9]*\] *//' | awk -v name=$section '$1 == name { print $5 }')
  if [ $((0x${size:-0})) -gt $pointer_bytes ]; then
    echo "FAILED: $section of $library holds $((0x$size / pointer_bytes)) entries; who else registered?"
    nm -C "$library" | grep -E '_GLOBAL__sub_I|_sub_D|init_priority' || true
    exit 1
  fi
  echo "$section: ${size:-0} bytes (hexadecimal)"
done
for section in .preinit_array .ctors .dtors; do
  if readelf -SW "$library" | grep -qF " $section "; then
    echo "FAILED: $library has a $section section"
    exit 1
  fi
done
if nm "$library" 2>/dev/null | grep -E '_GLOBAL__(sub_)?[ID]'; then
  echo "FAILED: $library has global constructors"
  exit 1
fi
# The one entry of .init_array is frame_dummy's, where there are symbols to tell by.
entry=$(readelf -SW "$library" | sed 's/^ *\[ *[0-9]*\] *//' | awk '$1 == ".init_array" { print $3 }')
target=$(readelf -rW "$library" | awk -v at="$entry" '$1 == at && /RELATIVE/ { print $NF }')
dummy=$(nm "$library" 2>/dev/null | awk '$3 == "frame_dummy" { print $1 }')
if [ -n "$target" ] && [ -n "$dummy" ] && [ $((0x$target)) -ne $((0x$dummy)) ]; then
  echo "FAILED: .init_array of $library points to 0x$target, frame_dummy is at 0x$dummy"
  exit 1
fi
