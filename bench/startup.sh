#!/usr/bin/env bash
# startup.sh - what preloading aiox costs a program that never uses it: the time of a shell script that starts 500
# processes (/bin/true, from a dash loop), with libaiox-preload.so in LD_PRELOAD and without it. See --help.
#
# How to read it. A pair is one run with the library and one without, one right after the other, in an order that
# changes from pair to pair; "ratio" is the median of the quotients within the pairs, and so what a change of the
# machine's speed from one pair to the next does not move. The quartiles say how far a pair goes astray: a ratio is
# worth about their distance divided by the root of the number of pairs, so differences below that are noise, and more
# pairs help. "empty" is a library of no contents at all, built here: what it costs is the price of LD_PRELOAD itself (a
# file to find, open and map), and no library can be cheaper. The last column is what one process more costs.
set -u
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. scripts/lib.sh

usage() {
  cat <<END
usage: bench/startup.sh [--pairs N] [--processes N] [--library FILE] [--baseline FILE] [--json FILE] [--quick]

Prints the time of a shell script that starts 500 processes with libaiox-preload.so preloaded, as a ratio to the time
without: the median over the pairs, with its quartiles and extremes.

  --pairs N        default 31
  --processes N    processes in one run (default 500)
  --library FILE   default build/release/lib/libaiox-preload.so; it is not built
  --baseline FILE  another libaiox-preload.so, measured in the same rounds
  --json FILE      write every run's seconds, the medians and ratios; - is the standard output
  --quick          two pairs of 50 processes: shows that it works, too short to measure

Exit status: 0 when all runs succeeded; 1 else.
END
}

pairs=31 processes=500 library=build/release/lib/libaiox-preload.so baseline='' json=''
while (($#)); do
  case $1 in
  --pairs | --processes | --library | --baseline | --json)
    (($# > 1)) || die "$1 wants a value"
    ;;&
  --pairs | --processes) is_number "$2" || die "$1 wants a number from 1, not \"$2\"" ;;&
  --library | --baseline) [[ $2 == /* ]] || set -- "$1" "$here/$2" "${@:3}" ;;&
  --json) [[ $2 == /* || $2 == - ]] || set -- "$1" "$here/$2" "${@:3}" ;;&
  --pairs) pairs=$2 ;;
  --processes) processes=$2 ;;
  --library) library=$2 ;;
  --baseline) baseline=$2 ;;
  --json) json=$2 ;;
  --quick)
    pairs=2 processes=50
    shift
    continue
    ;;
  -h | --help)
    usage
    exit 0
    ;;
  *) die "unknown option $1; bench/startup.sh --help lists them" ;;
  esac
  shift 2
done
for program in dash python3; do command -v "$program" >/dev/null || die "$program is not installed"; done
for file in "$library" ${baseline:+"$baseline"}; do [[ -r $file ]] || die "there is no $file"; done

for variable in ${!AIOX_@} ${!LD_@}; do unset "$variable"; done
work=$(mktemp -d "${TMPDIR:-/tmp}/startup-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# All of them where paths are equally long and on the same file system.
sides=(plain aiox)
cp "$library" "$work/aiox.so"
if [[ -n $baseline ]]; then
  sides+=(baseline)
  cp "$baseline" "$work/baseline.so"
fi
if command -v cc >/dev/null && cc -shared -nostdlib -o "$work/empty.so" -x c /dev/null 2>"$work/log"; then
  sides+=(empty)
fi

# The shell itself is preloaded too, as it is when somebody exports LD_PRELOAD.
# shellcheck disable=SC2016  # for dash to expand
script='i=0; while [ $i -lt $0 ]; do /bin/true; i=$((i + 1)); done'

# A library that the loader cannot use is left out with a warning, and would be measured as none.
for side in "${sides[@]:1}"; do
  if LD_PRELOAD=$work/$side.so /bin/true 2>&1 | grep -q .; then die "$work/$side.so cannot be preloaded"; fi
done

# run SIDE: appends its microseconds to $work/SIDE.
run() {
  local began ended preload=()
  [[ $1 == plain ]] || preload=(LD_PRELOAD="$work/$1.so")
  began=${EPOCHREALTIME/[.,]/}
  env "${preload[@]}" dash -c "$script" "$processes" || die "the script failed with $1"
  ended=${EPOCHREALTIME/[.,]/}
  echo $((ended - began)) >>"$work/$1"
}

[[ $json == - ]] || say "$pairs pairs of $processes processes: ${sides[*]}"
run plain # warms up; does not count
rm "$work/plain"
for ((pair = 0; pair < pairs; ++pair)); do
  # Each library has a plain run of its own beside it, and comes first and second in turn.
  for side in "${sides[@]:1}"; do
    if ((pair % 2)); then
      run "$side"
      run plain
    else
      run plain
      run "$side"
    fi
    tail -n 1 "$work/plain" >>"$work/plain_of_$side"
  done
done

python3 - "$work" "$processes" "$json" "$library" "$baseline" "${sides[@]:1}" <<'END'
import json, os, statistics, sys
work, processes, target, library, baseline, *sides = sys.argv[1:]
read = lambda name: [int(line) / 1e6 for line in open(os.path.join(work, name))]
result = {"processes": int(processes), "library": library, "baseline": baseline or None, "kernel": os.uname().release,
          "processors": len(os.sched_getaffinity(0)), "sides": {}}
for side in sides:
    with_it, without = read(side), read("plain_of_" + side)
    ratios = sorted(a / b for a, b in zip(with_it, without))
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    more = statistics.median(a - b for a, b in zip(with_it, without))
    result["sides"][side] = {
        "pairs": len(ratios), "ratio": statistics.median(ratios), "quartiles": [quartiles[0], quartiles[2]],
        "spread": [ratios[0], ratios[-1]], "seconds": statistics.median(with_it),
        "plain_seconds": statistics.median(without), "microseconds_per_process": more / int(processes) * 1e6,
        "runs": with_it, "plain_runs": without}
if target != "-":
    print(f"\n{'':10} {'ratio':>7} {'quartiles':>16} {'min..max':>16} {'plain s':>8} {'with s':>8} {'µs/process':>11}")
    for side, r in result["sides"].items():
        quartiles = "{:.3f}..{:.3f}".format(*r["quartiles"])
        spread = "{:.3f}..{:.3f}".format(*r["spread"])
        print(f"{side:10} {r['ratio']:7.3f} {quartiles:>16} {spread:>16} {r['plain_seconds']:8.3f} "
              f"{r['seconds']:8.3f} {r['microseconds_per_process']:11.1f}")
if target:
    text = json.dumps(result, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        open(target, "w").write(text)
END
