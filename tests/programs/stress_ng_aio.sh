#!/bin/sh
# stress_ng_aio.sh BACKEND - stress-ng's POSIX AIO stressor, unmodified: four processes, sixteen requests each with
# SIGUSR1 and a pointer in si_value, cancels and flushes between, contents verified.
. "$(dirname "$0")/common.sh"
need_program stress-ng

stress_ng aio '16 requests' 4 --aio-requests 16
