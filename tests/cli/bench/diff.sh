#!/bin/sh
# diff.sh AIOX WORKER REFUSE - aiox bench diff tells what lies beyond the noise of the rounds, and in which direction;
# what cannot be compared is refused.
# shellcheck disable=SC2016  # the shells that are started expand their own variables
# shellcheck source=tests/cli/bench/common.sh
. "$(dirname "$0")/common.sh"

# report FILE ENGINE BS IOPS P99 - samples as JSON lists.
report() {
  cat >"$1" <<END
{"format": "aiox-bench-1", "command": "aiox bench", "started": "now", "subject": "s", "rounds": 5, "runtime_ns": 1000,
 "machine": {"kernel": "k"}, "work": {"rw": "randread", "bs": "$3"},
 "rows": [{"engine": "$2", "access": "direct", "iodepth": 8, "answered_by": "libc.so.6", "percentiles_ns": [],
   "figures": {"iops": {"samples": $4}, "latency_p99_ns": {"samples": $5}}},
  {"engine": "io_uring", "access": "direct", "iodepth": 8, "unavailable": "forbidden"}]}
END
}
report base glibc 4096 '[1000, 1010, 990, 1005, 995]' '[100, 110, 90, 105, 95]'
report same glibc 4096 '[1004, 1001, 996, 1012, 991]' '[104, 99, 93, 108, 97]'
report fast glibc 4096 '[1500, 1510, 1490, 1505, 1495]' '[100, 104, 90, 105, 95]'
report slow glibc 4096 '[1000, 1010, 990, 1005, 995]' '[200, 210, 190, 205, 195]'
report little glibc 4096 '[1030, 1031, 1032, 1033, 1034]' '[100, 110, 90, 105, 95]'
report noisy glibc 4096 '[700, 1600, 900, 1500, 1200]' '[100, 110, 90, 105, 95]'
report other aiox 4096 '[1000]' '[100]'
report large glibc 8192 '[1000]' '[100]'

expect 0 '^No difference beyond the noise in 2 figures' "$aiox" bench diff base same
expect 0 '^No difference' "$aiox" bench diff base base
expect 1 'glibc +requests per second +1\.00k +1\.50k +\+50\.0 % +better$' "$aiox" bench diff base fast
expect 1 'requests per second.*-33\.3 % +worse$' "$aiox" bench diff fast base
expect 1 'latency, p99 +100 ns +200 ns +\+100\.0 % +worse$' "$aiox" bench diff base slow
expect 1 '^1 of 2 figures differs' "$aiox" bench diff base slow
expect 0 '^No difference' "$aiox" bench diff base noisy
expect 0 '^No difference' "$aiox" bench diff base little
expect 1 '\+3\.2 %' "$aiox" bench diff --threshold 1 base little
expect 0 'within the noise' "$aiox" bench diff --all base same
expect 1 '"exceeds_noise": true' "$aiox" bench diff --json base fast
expect 2 'not the same work: bs is 4096 and 8192' "$aiox" bench diff base large
expect 2 'no row in common' "$aiox" bench diff base other
expect 2 'No such file' "$aiox" bench diff base missing
echo '{"rows": []}' >strange
expect 2 'strange: it has no report of aiox bench' "$aiox" bench diff base strange
echo 'words' >strange
expect 2 'strange: .*give a file that' "$aiox" bench diff strange base
expect 2 'FIRST' "$aiox" bench diff
expect 2 'SECOND' "$aiox" bench diff base
expect 2 'threshold' "$aiox" bench diff --threshold -1 base same
expect 0 '^Exit status: 0 no difference' "$aiox" bench diff --help
# What aiox bench writes is what this reads.
"$aiox" bench --size 4m --runtime 20ms --rounds 2 --engine psync --output real >/dev/null ||
  complain "aiox bench --output"
expect 0 '^No difference beyond the noise in 4 figures' "$aiox" bench diff real real
[ "$failures" -eq 0 ]
