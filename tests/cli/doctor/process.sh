#!/bin/bash
# process.sh AIOX ASLEEP - aiox doctor --pid: whether aiox is loaded in a process, which file and version, and at work.
# ASLEEP is a program that does AIO and then sleeps.
# shellcheck disable=SC2016  # the programs that are started expand their own variables
set -u
aiox=$1
asleep=$2
# shellcheck source=tests/cli/expect.sh
. "$(dirname "$0")/../expect.sh"
work=$(mktemp -d)
pid=
stop() {
  [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null
  pid=
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# begin COMMAND... - until it has said that it is ready.
begin() {
  : >"$work/ready"
  "$@" >"$work/ready" &
  pid=$!
  for _ in $(seq 200); do
    grep -q ready "$work/ready" && return
    sleep 0.05
  done
  echo "FAILED: $* does not get ready"
  exit 1
}

expect 1 'there is no process 4194305' "$aiox" doctor --pid 4194305
begin env "$asleep"
expect 1 '^aiox is not loaded\. Its LD_PRELOAD is not set\. Start it again with aiox run' "$aiox" doctor --pid "$pid"
expect 1 '"loaded": false' "$aiox" doctor --json --pid "$pid"
stop
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: preloaded processes, since a sanitized library cannot be preloaded"
  [ "$failures" -eq 0 ]
  exit
fi

begin "$aiox" run --backend threads -- "$asleep"
expect 0 '^aiox +yes /.*/libaiox-preload\.so, version [0-9.]+, preloaded$' "$aiox" doctor --pid "$pid"
also '^aiox is loaded and at work\.' '^settings +.*AIOX_BACKEND=threads' '^threads +aiox-' \
  '^figures +none: started with AIOX_STATS=1' '^preload +LD_PRELOAD=/.*/libaiox-preload'
expect 0 '"loaded": true' "$aiox" doctor --json --pid "$pid"
also '"is_replaced": false' '"aiox-' '"AIOX_BACKEND=threads"'
if [ "$(id -u)" -eq 0 ] && as_nobody test -x "$aiox"; then
  expect 1 '^It cannot be told: /proc/[0-9]+/maps: Permission denied\. Ask as its user \(0\) or as root' as_nobody \
    "$aiox" doctor --pid "$pid"
fi
stop

# aiox stat and the doctor say the same of a process: with figures, before its first request, and of a parent whose
# child does the I/O.
if [ -r /proc/sysvipc/shm ]; then
  begin "$aiox" run --stats 1 -- "$asleep"
  expect 0 '^aiox is loaded; of 2 operations asked for 1 is in flight\.' "$aiox" doctor --pid "$pid"
  also "^figures +aiox stat $pid shows what it does"
  expect 0 'op/s' "$aiox" stat "$pid" 1 1
  stop
  begin "$aiox" run --stats 1 -- sh -c '"$0" & wait' "$asleep"
  child=$(cat "/proc/$pid/task/$pid/children")
  yet="keeps no statistics yet: it has made no AIO request itself, or could not .*; below it ${child% } has some"
  expect 0 "^figures +none: it $yet" "$aiox" doctor --pid "$pid"
  also '^aiox is loaded, and has not been asked by this process\.'
  expect 1 "process $pid .* $yet" "$aiox" stat "$pid"
  kill "$child"
  stop
  begin env -u AIOX_STATS "$aiox" run -- "$asleep"
  expect 1 'keeps no statistics: it was started without AIOX_STATS=1' "$aiox" stat "$pid"
  stop
fi
# Root without the right to look is not told to ask as root.
begin env "$asleep"
limited="setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace"
if [ "$(id -u)" -eq 0 ] && $limited true 2>/dev/null && ! $limited readlink "/proc/$pid/exe" >/dev/null; then
  # shellcheck disable=SC2086  # words
  expect 1 'It cannot be told: .*: Permission denied\. Root is refused here' $limited "$aiox" doctor --pid "$pid"
  never 'as root'
fi
stop

# The file is replaced, then gone, while the process goes on.
cp "$AIOX_TEST_PRELOAD" "$work/libaiox-preload.so"
begin env AIOX_PRELOAD="$work/libaiox-preload.so" "$aiox" run -- "$asleep"
cp "$AIOX_TEST_PRELOAD" "$work/new" && mv "$work/new" "$work/libaiox-preload.so"
expect 0 'its file is another one now \(version [0-9.]+\)' "$aiox" doctor --pid "$pid"
also 'has been replaced since: what is loaded stays until the process starts again'
rm "$work/libaiox-preload.so"
expect 0 'its file is gone' "$aiox" doctor --pid "$pid"
stop

# A drop-in that another library needs, or that a plugin brings, comes behind libc.
drop_in=$(dirname "$AIOX_TEST_PRELOAD")/libaio
cd "$work" || exit 1
echo 'int io_setup(); int library() { return io_setup(); }' >user.c
echo 'int main(void) { LOOK; puts("ready"); fflush(0); pause(); }' >host.c
cc -w -shared -fPIC -o libuser.so user.c -L"$drop_in" -l:libaio.so.1
cc -w '-DLOOK=' -o through host.c -Wl,--no-as-needed -L. -luser -Wl,-rpath,"$work" -Wl,--allow-shlib-undefined
cc -w '-DLOOK=' -o before host.c -Wl,--no-as-needed -L"$drop_in" -l:libaio.so.1
cc -w '-DLOOK=dlopen("libaio.so.1",2)' -o plugin host.c
for kind in through plugin; do
  begin env LD_LIBRARY_PATH="$drop_in" "./$kind"
  expect 1 '^aiox +yes .*libaio\.so\.1, version [0-9.]+, in place of libaio; closes unseen$' "$aiox" doctor --pid "$pid"
  also '^aiox is loaded behind libc, where it does not see what the program closes'
  expect 1 '"closes_unseen": true' "$aiox" doctor --json --pid "$pid"
  stop
done
begin env LD_LIBRARY_PATH="$drop_in" ./before
expect 0 '^aiox +yes .*libaio\.so\.1, version [0-9.]+, in place of libaio$' "$aiox" doctor --pid "$pid"
stop
cd / || exit 1

# Named, and not taken.
begin env LD_PRELOAD="$work/libaiox-preload.so" sh -c 'echo ready; exec sleep 60' 2>/dev/null
expect 1 'names it, but the loader did not take it' "$aiox" doctor --pid "$pid"
stop
echo 'int main(void) { puts("ready"); fflush(0); pause(); }' >"$work/static.c"
if cc -w -static -o "$work/static" "$work/static.c" 2>/dev/null; then
  begin "$aiox" run "$work/static" 2>/dev/null
  expect 1 'LD_PRELOAD names it, but the program is statically linked' "$aiox" doctor --pid "$pid"
  stop
fi
[ "$failures" -eq 0 ]
