#!/bin/sh
# run.sh SCRIPT [ARGUMENT...] - runs it with Python, or says why not.
command -v python3 >/dev/null || { echo "SKIP: there is no python3"; exit 77; }
exec python3 "$@"
