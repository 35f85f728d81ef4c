#!/bin/sh
# layers.sh SOURCE-DIR - includes point one way, from the interfaces down: shim -> engine -> waiting -> workers ->
# lanes -> files -> native -> core -> backend -> kernel -> base, with stats, the figures that others may read, beside
# the backends; only the shim knows the control blocks of <aio.h> and <libaio.h>.
set -eu
cd "$1/src"
status=0
complain() { echo "FAILED: $*"; status=1; }

rooms="base kernel stats backend core native files lanes workers waiting engine shim cli"

# may FOLDER ALLOWED... - the folders of src/ that FOLDER's files may include from.
may() {
  folder=$1
  shift
  [ -d "$folder" ] || return 0
  for other in $rooms; do
    case " $folder $* " in
    *" $other "*) continue ;;
    esac
    found=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+\"(\.\./)?$other/" "$folder" || true)
    [ -z "$found" ] || complain "src/$folder is below src/$other and may not include it:
$found"
  done
}
may base
may kernel base
may backend kernel base
may stats kernel base
may core backend stats kernel base
may native core backend stats kernel base
may files native core backend stats kernel base
may lanes files native core backend stats kernel base
may workers lanes files native core backend stats kernel base
may waiting workers lanes files native core backend stats kernel base
may engine waiting workers lanes files native core backend stats kernel base
may shim engine waiting workers lanes files native core backend stats kernel base
# The command reads what the library has written, and knows nothing else of it.
may cli stats base

# src/cli/bench/worker and src/cli/doctor/trial are programs for these interfaces, like any other.
for folder in $rooms; do
  [ "$folder" != shim ] || continue
  [ -d "$folder" ] || continue
  found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"](aio|libaio)\.h[>"]' "$folder" |
    grep -Ev '^cli/(bench/worker|doctor/trial)/' || true)
  [ -z "$found" ] || complain "only src/shim may include <aio.h> or <libaio.h>:
$found"
done

# An include written "file.h" would slip past the rule above.
found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[^/"]+"' $rooms 2>/dev/null || true)
[ -z "$found" ] || complain "includes of our own files name their folder:
$found"
exit $status
