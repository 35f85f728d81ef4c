#!/bin/sh
# stress_ng_aiol.sh [BACKEND] - stress-ng's Linux AIO stressor, unmodified: four processes that make every call by
# syscall(2) and check what they read: vectors and plain buffers, io_getevents and io_pgetevents, and calls that have to
# be refused (contexts that are none, impossible counts and times, polls with a length), after which it has to go on.
. "$(dirname "$0")/common.sh"
need_program stress-ng

# run REQUESTS SECONDS
run() {
  stress_ng aiol "$1 requests" "$2" --aiol-requests "$1"
}

run 1 2
run 16 4
run 64 3
run 1024 3
