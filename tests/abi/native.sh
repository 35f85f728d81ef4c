#!/bin/sh
# native.sh linked|versions|t64|no_versions LIBAIO-FOLDER PROGRAM [PLUGIN] - native AIO by the names of libaio, in every
# way that one gets at aiox: PROGRAM works on the distribution's libaio, and on aiox where that is preloaded, where the
# drop-in of the folder takes the other's place, and where it was linked with; each time, it is told who answered.
set -u
bound=$1 folder=$2
shift 2
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: a sanitized library cannot be loaded into a program without sanitizers"
  exit 77
fi
fail() { echo "FAILED: $*"; exit 1; }

# answered LIBRARY ASSIGNMENT... - the program says that LIBRARY answered (a pattern for its path).
answered() {
  library=$1
  shift
  echo "-- $*"
  out=$(env "$@") || fail "$* says: $out"
  echo "$out"
  # shellcheck disable=SC2254  # it is a pattern
  case $out in
  "answered by "$library) ;;
  *) fail "$library was to answer" ;;
  esac
}

if [ "$bound" = linked ]; then
  answered "*/libaiox.so.1" "$@"
  exit 0
fi
# The stock library is the oracle of what is checked. It does not have the other name here, and takes references without
# a version for the four-argument one.
if [ "$bound" = versions ] && /sbin/ldconfig -p | grep -q 'libaio\.so\.1 '; then
  answered "/*lib*/libaio.so.1" "$@"
fi
# A plugin finds libaio's names in the drop-in that it brings, but syscall in libc, which was there before.
names_only=
[ $# -eq 1 ] || names_only=NATIVE_NAMES_ONLY=1
answered "$folder/libaio.so.1*" LD_LIBRARY_PATH="$folder" $names_only "$@"
answered "$AIOX_TEST_PRELOAD" LD_LIBRARY_PATH="$folder" LD_PRELOAD="$AIOX_TEST_PRELOAD" "$@"
if [ "$bound" = versions ] && /sbin/ldconfig -p | grep -q 'libaio\.so\.1 '; then
  answered "$AIOX_TEST_PRELOAD" LD_PRELOAD="$AIOX_TEST_PRELOAD" "$@"
fi
