#!/bin/sh
# command.sh AIOX - the aiox command: what it passes on, what it refuses and in which words, with which exit status.
# shellcheck disable=SC2016  # the programs that are started expand their own variables
set -u
aiox=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/cli/expect.sh
. "$(dirname "$0")/../expect.sh"

expect 0 '^aiox [0-9]+\.[0-9]+\.[0-9]+' "$aiox" --version
expect 0 '^Examples:' "$aiox" --help
expect 0 '^Examples:' "$aiox" run --help
expect 0 '--direct 0\.\.1 ' "$aiox" run --help
expect 2 'Subcommands:' "$aiox"
expect 2 '"nonsense" is no command' "$aiox" nonsense

# Refused before anything runs, with the accepted values.
expect 125 'which program' "$aiox" run
expect 125 '--nonsense' "$aiox" run --nonsense -- true
expect 125 'give auto, io_uring or threads' "$aiox" run --backend fast -- true
expect 125 'from 1 to 1024' "$aiox" run --workers-max 0 -- true
expect 125 'from 1 to ' "$aiox" run --queue-max=none -- true
expect 125 'from 0 to ' "$aiox" run --idle-ms=-1 -- true
expect 125 'from 0 to 1' "$aiox" run --direct 2 -- true
expect 125 'from 0 to 1' "$aiox" run --direct=no -- true
expect 125 '--backend wants a value' "$aiox" run --backend
expect 125 'AIOX_PRELOAD names /nonexistent' env AIOX_PRELOAD=/nonexistent "$aiox" run true

# The shell's statuses, and the program's own.
expect 127 'not found in PATH' "$aiox" run -- no-such-program-anywhere
expect 127 'No such file' "$aiox" run "$work/nothing"
: >"$work/plain"
expect 126 'denied' "$aiox" run "$work/plain"

if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  # A sanitized library cannot be preloaded; what is above does not start a program with it.
  echo "SKIP: aiox run, since a sanitized library cannot be preloaded"
else
  # Warnings that cannot be written keep no program from its start, and no file of ours gets a standard number.
  # shellcheck disable=SC2188,SC2129
  for place in '2>/dev/full' '2>&-' '>&-' '<&-' '>/dev/full 2>&1' '<&- >&- 2>&-'; do
    rm -f "$work/started"
    expect 7 '' timeout 20 sh -c "exec \"$aiox\" run -- sh -c ': >\"$work/started\"; exit 7' $place"
    [ -e "$work/started" ] || { echo "FAILED: $place keeps the program from its start"; failures=$((failures + 1)); }
    expect 0 '' timeout 20 sh -c "exec \"$aiox\" run -- true $place"
  done
  expect 0 '^0 1 $' timeout 20 sh \
    -c '"$1" run -- sh -c "for n in 0 1 2; do [ -e /proc/\$\$/fd/\$n ] && printf \"%s \" \$n; done; echo" 2>&-' \
    - "$aiox"
  # A FIFO is no program, and nothing waits for what may be written to it.
  mkfifo -m 755 "$work/fifo"
  expect 126 'denied' timeout 20 "$aiox" run "$work/fifo"
  # A file made to waste memory and time: names without end, named again and again.
  python3 - "$work/hostile" <<'END'
import struct, sys
strings, symbols, names = b'A' * (1 << 20), 20000, b'\0.symtab\0.strtab\0.shstrtab\0'
table = struct.pack('<IBBHQQ', 0, 0x12, 0, 1, 0x1000, 16) * symbols
at_strings, at_table = 120, 120 + len(strings)
at_names = at_table + len(table)
at_sections = at_names + len(names)
def section(name, kind, offset, size, link=0):
    return struct.pack('<IIQQQQIIQQ', name, kind, 0, 0, offset, size, link, 0, 1, 24 if kind == 2 else 0)
with open(sys.argv[1], 'wb') as out:
    out.write(b'\x7fELF\2\1\1' + b'\0' * 9 +
              struct.pack('<HHIQQQIHHHHHH', 2, 62, 1, 0x1000, 64, at_sections, 0, 64, 56, 1, 64, 4, 3))
    out.write(struct.pack('<IIQQQQQQ', 1, 5, 0, 0, 0, at_sections, at_sections, 4096) + strings + table + names)
    out.write(section(0, 0, 0, 0) + section(1, 2, at_table, len(table), 2) +
              section(9, 3, at_strings, len(strings)) + section(17, 3, at_names, len(names)))
END
  chmod +x "$work/hostile"
  (
    ulimit -v 2000000
    expect 1 'statically linked|another kind of processor' timeout 20 "$aiox" doctor --program "$work/hostile"
    exit "$failures"
  ) || failures=$((failures + 1))

  expect 3 '' "$aiox" run -- sh -c 'exit 3'
  expect 143 '' "$aiox" run -- sh -c 'kill -TERM $$'
  expect 0 '^--verbose --backend$' "$aiox" run sh -c 'echo "$@"' -- --verbose --backend
  expect 0 '^threads 3 9 7 0 1 1$' "$aiox" run --backend threads --workers-max 3 --queue-max=9 --idle-ms 7 --inline 0 \
    --notifiers-max 1 --verbose -- sh \
    -c 'echo $AIOX_BACKEND $AIOX_WORKERS_MAX $AIOX_QUEUE_MAX $AIOX_IDLE_MS $AIOX_INLINE \
    $AIOX_NOTIFIERS_MAX $AIOX_VERBOSE'
  expect 0 '^0$' "$aiox" run --direct 0 -- sh -c 'echo $AIOX_DIRECT'
  expect 0 '^always$' "$aiox" run --direct-block always -- sh -c 'echo $AIOX_DIRECT_BLOCK'
  expect 0 '^1$' env AIOX_DIRECT=0 "$aiox" run --direct=1 sh -c 'echo $AIOX_DIRECT'
  expect 0 '^$' env -u AIOX_DIRECT "$aiox" run sh -c 'echo $AIOX_DIRECT'
  expect 0 '^threads$' env AIOX_BACKEND=threads "$aiox" run sh -c 'echo $AIOX_BACKEND'
  # In front of what was there, and once only.
  other=$(ldd /bin/sh | sed -n 's/.*=> \(\/.*libc\.so[^ ]*\) .*/\1/p')
  expect 0 "^[^:]*/libaiox-preload\\.so:$other\$" env LD_PRELOAD="$other" "$aiox" run "$aiox" run sh \
    -c 'echo "$LD_PRELOAD"'
  expect 0 "^$work/libaiox-preload\\.so\$" env AIOX_PRELOAD="$work/libaiox-preload.so" sh -c \
    'cp "$1" "$AIOX_PRELOAD" && "$2" run -- sh -c "echo \$LD_PRELOAD"' - "$AIOX_TEST_PRELOAD" "$aiox"
  mkdir "$work/a b"
  cp "$AIOX_TEST_PRELOAD" "$work/a b/"
  expect 125 'space or a colon' env AIOX_PRELOAD="$work/a b/libaiox-preload.so" "$aiox" run true

  # What LD_PRELOAD does not reach is said, and runs all the same.
  echo 'int main(void) { return 5; }' >"$work/static.c"
  if cc -static -o "$work/static" "$work/static.c" 2>/dev/null; then
    expect 5 'warning: .*/static is statically linked' "$aiox" run "$work/static"
    printf '#!%s\n' "$work/static" >"$work/script"
    chmod +x "$work/script"
    expect 5 'which is statically linked' "$aiox" run "$work/script"
  fi
fi
[ "$failures" -eq 0 ]
