#!/bin/sh
# layers.sh SOURCE-DIR - includes point one way, shim -> engine -> backend -> kernel -> base, with stats, the figures
# that others may read, beside the backends; only the shim knows the control blocks of <aio.h> and <libaio.h>.
set -eu
cd "$1/src"
status=0
complain() { echo "FAILED: $*"; status=1; }

# may FOLDER ALLOWED... - the folders of src/ that FOLDER's files may include from.
may() {
  folder=$1
  shift
  [ -d "$folder" ] || return 0
  for other in base kernel stats backend engine shim cli; do
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
may engine backend stats kernel base
may shim engine backend stats kernel base
# The command reads what the library has written, and knows nothing else of it.
may cli stats base

# src/cli/bench/worker and src/cli/doctor/trial are programs for these interfaces, like any other.
for folder in base kernel stats backend engine cli; do
  [ -d "$folder" ] || continue
  found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"](aio|libaio)\.h[>"]' "$folder" |
    grep -Ev '^cli/(bench/worker|doctor/trial)/' || true)
  [ -z "$found" ] || complain "only src/shim may include <aio.h> or <libaio.h>:
$found"
done

# An include written "file.h" would slip past the rule above.
found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"[^/"]+"' base kernel stats backend engine shim cli \
  2>/dev/null || true)
[ -z "$found" ] || complain "includes of our own files name their folder:
$found"
exit $status
