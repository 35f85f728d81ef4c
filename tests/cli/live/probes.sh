#!/bin/sh
# probes.sh LIBRARY ON|OFF - the library has the notes of its four probes, where they were asked for.
set -eu
case $2 in
1 | ON | TRUE) ;;
*)
  echo "SKIP: built without probes (no <sys/sdt.h>: systemtap-sdt-dev)"
  exit 77
  ;;
esac
notes=$(readelf -nW "$1")
for probe in submit route complete notify; do
  if ! printf '%s\n' "$notes" | grep -A1 'Provider: aiox' | grep -q "Name: $probe\$"; then
    echo "FAILED: $1 has no probe aiox:$probe"
    exit 1
  fi
done
# Each argument that docs/tracing.md tells of.
printf '%s\n' "$notes" | awk '
  /Name:/ { name = $2 }
  /Arguments:/ { if (!(name in count)) count[name] = NF - 1 }
  END {
    split("submit 5 route 3 complete 5 notify 2", want, " ")
    for (i = 1; i < 9; i += 2) if (count[want[i]] != want[i + 1]) {
      print "FAILED: aiox:" want[i] " has " count[want[i]] " arguments, not " want[i + 1]; bad = 1 }
    exit bad
  }'
