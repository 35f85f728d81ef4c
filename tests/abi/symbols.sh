#!/bin/sh
# symbols.sh LIBRARY - its visible names and their versions are those of docs/symbols.txt, all of them and no others.
set -eu
if [ "${AIOX_TEST_SANITIZE:-}" = thread ]; then
  echo "SKIP: the thread sanitizer has the names that set handlers, so that the library defines none of them"
  exit 77
fi
list=$AIOX_TEST_SOURCE/docs/symbols.txt
case ${1##*/} in
*preload*) kind='preload' ;;
libaio.so*) kind='drop-in' ;;
*) kind='link' ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v kind=$kind '!/^#/ && NF && (NF == 1 || ("," $2 ",") ~ ("," kind ",")) { print $1 }' "$list" |
  LC_ALL=C sort >"$work/documented"
# A version node (type A) is not a name anybody can call.
nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort >"$work/visible"
if ! diff "$work/documented" "$work/visible" >"$work/difference"; then
  sed -n "s/^</FAILED: listed in docs\/symbols.txt, not defined:/p
    s/^>/FAILED: defined, not listed in docs\/symbols.txt:/p" "$work/difference"
  exit 1
fi
echo "$(wc -l <"$work/visible") names"
