#!/usr/bin/env bash
# against_fio.sh - whether aiox bench measures what fio measures. See --help.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1

usage() {
  cat <<END
usage: bench/against_fio.sh [--rounds N] [--seconds N] [--size SIZE] [--dir DIR] [--build DIR]
                            [--engines NAMES] [--rows NAMES]

Lets aiox bench and fio do the same work with the same engine on the same file, in turn, and prints the quotient of
their operations per second, aiox bench over fio: the median over the rounds, and the least and the greatest. fio runs
with its defaults: one request per submitting call, one completion per reaping call, and the kernel told that access is
random; but writes the same bytes again, as aiox bench does (scramble_buffers=0).

  --engines NAMES  some of psync,libaio,io_uring,glibc,aiox,aiox-libaio (default: all); fio's posixaio is glibc, and
                   with libaiox-preload.so it is aiox
  --rows NAMES     KIND-DEPTH or KIND-DEPTH-SIZE: direct (random reads, O_DIRECT), cached (the same by the page cache)
                   or write (random writes, O_DIRECT), with 4k unless a size is given. Default:
                   direct-1,direct-32,cached-1,cached-32,cached-1-64k,write-32
  --rounds N       default 7
  --seconds N      length of one run, which 0.3 s more go before (default 1)
  --size SIZE      of the file (default 256m)
  --dir DIR        where to make it (default: the current directory, which should be on a disk); it is removed at
                   the end
  --build DIR      the build to measure (default build/release)
END
}

rounds=7 seconds=1 size=256m dir=. build=$here/build/release
engines=psync,libaio,io_uring,glibc,aiox,aiox-libaio rows=direct-1,direct-32,cached-1,cached-32,cached-1-64k,write-32
while (($#)); do
  case $1 in
  --rounds | --seconds | --size | --dir | --build | --engines | --rows)
    [[ -n ${2:-} ]] || { echo "against_fio.sh: $1 wants a value" >&2; exit 2; }
    declare "${1#--}=$2"
    shift
    ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    echo "against_fio.sh: unknown option $1; --help lists them" >&2
    exit 2
    ;;
  esac
  shift
done
for program in fio python3; do
  command -v $program >/dev/null || { echo "against_fio.sh: $program is missing" >&2; exit 1; }
done
aiox=$build/bin/aiox preload=$build/lib/libaiox-preload.so
[[ -x $aiox && -f $preload ]] ||
  { echo "against_fio.sh: $build has no bin/aiox; build it, or name another with --build" >&2; exit 1; }
for variable in ${!AIOX_@} LD_PRELOAD; do unset "$variable"; done

work=$(mktemp -d "$dir/against_fio.XXXXXX") || exit 1
work=$(cd "$work" && pwd)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fio --name=layout --ioengine=psync --rw=write --bs=1M --filename="$work/file" --size="$size" --end_fsync=1 \
  --output="$work/layout" || { cat "$work/layout"; exit 1; }

# by_aiox ENGINE DIRECT DEPTH RW BS, by_fio ... - one run; prints operations per second.
by_aiox() {
  "$aiox" bench --engine "$1" --direct "$2" --iodepth "$3" --rw "$4" --bs "$5" --filename "$work/file" --overwrite \
    --rounds 1 \
    --runtime "${seconds}s" --ramp_time 300ms --json >"$work/report" || return 1
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["rows"][0]["figures"]["iops"]["median"])' \
    "$work/report"
}
by_fio() {
  local engine=$1 with=()
  case $engine in
  glibc) engine=posixaio ;;
  aiox) engine=posixaio with=(LD_PRELOAD="$preload") ;;
  aiox-libaio) engine=libaio with=(LD_PRELOAD="$preload") ;;
  esac
  [[ $2 == 1 ]] || cat "$work/file" >/dev/null
  env "${with[@]}" fio --name=a --ioengine="$engine" --direct="$2" --iodepth="$3" --rw="$4" --bs="$5" \
    --filename="$work/file" --size="$size" --invalidate=0 --scramble_buffers=0 --time_based --runtime="$seconds" \
    --ramp_time=300ms --randrepeat=0 \
    --output-format=json --output="$work/fio" >"$work/log" 2>&1 || { cat "$work/log" "$work/fio" >&2; return 1; }
  python3 -c 'import json, sys
text = open(sys.argv[1]).read()
job = json.loads(text[text.index("{"):])["jobs"][0]
print(max(job["read"]["iops"], job["write"]["iops"]))' "$work/fio"
}

declare -A direct_of=([direct]=1 [cached]=0 [write]=1) \
  pattern_of=([direct]=randread [cached]=randread [write]=randwrite)
for ((round = 1; round <= rounds; ++round)); do
  for row in ${rows//,/ }; do
    IFS=- read -r kind depth bs <<<"$row"
    [[ -n ${direct_of[$kind]:-} && $depth =~ ^[1-9][0-9]*$ ]] ||
      { echo "against_fio.sh: there is no row $row; --help lists them" >&2; exit 2; }
    for engine in ${engines//,/ }; do
      # psync has one request in flight whatever it is told.
      [[ $engine != psync || $depth == 1 ]] || continue
      sides='aiox fio'
      ((round % 2)) || sides='fio aiox'
      for side in $sides; do
        iops=$("by_$side" "$engine" "${direct_of[$kind]}" "$depth" "${pattern_of[$kind]}" "${bs:-4k}") || exit 1
        echo "$row $engine $side $iops" >>"$work/results"
      done
      [[ ! -t 2 ]] || printf '\r\e[Kround %d of %d: %s, %s' "$round" "$rounds" "$row" "$engine" >&2
    done
  done
done
[[ ! -t 2 ]] || printf '\r\e[K' >&2

python3 - "$work/results" <<'END'
import collections, statistics, sys
runs = collections.defaultdict(lambda: {"aiox": [], "fio": []})
for line in open(sys.argv[1]):
    row, engine, side, iops = line.split()
    runs[row, engine][side].append(float(iops))
print("%-12s %-12s %12s %12s   %s" % ("row", "engine", "aiox bench", "fio", "quotient (min..max)"))
for (row, engine), sides in runs.items():
    quotients = [a / b for a, b in zip(sides["aiox"], sides["fio"])]
    print("%-12s %-12s %12.0f %12.0f   %.2f (%.2f..%.2f)" % (row, engine, statistics.median(sides["aiox"]),
          statistics.median(sides["fio"]), statistics.median(quotients), min(quotients), max(quotients)))
END
