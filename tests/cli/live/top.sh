#!/bin/sh
# top.sh AIOX WORK PTY - aiox top on a terminal: what it shows, its keys, sizes, and how it leaves the terminal behind.
set -u
aiox=$1 program=$2 pty=$3
# shellcheck source=tests/cli/live/common.sh
. "$(dirname "$0")/common.sh"

# on_terminal ROWS COLUMNS ARGUMENT... - runs aiox top there, with the script on standard input.
on_terminal() {
  rows=$1 columns=$2
  shift 2
  cat >"$work/script"
  timeout 60 "$pty" "$rows" "$columns" "$work/script" "$aiox" "$@" || fail "top on $rows by $columns: exit status $?"
}

start "$aiox" run --stats 1 -- "$program" "$work/data" 50 slowly
first=$pid
start "$aiox" run --stats 1 -- "$program" "$work/other" 50 slowly
second=$pid

# What is there, each key, and q.
on_terminal 24 120 top --interval 0.2 <<END
expect PID USER
expect $first
expect $second
expect by ops
type s
expect by bytes
type s
type s
type s
type s
expect by pid
type \e[H
type f
expect op/s    B/s file
expect $work/data
type \e[B
expect $work/other
absent $work/data
type \e[A
expect $work/data
type f
expect $second
absent $work/data
type  
expect PAUSED
type  
absent PAUSED
type q
end 0
restored
END

# One that ends goes from the screen, and the rest goes on.
kill -9 "$second"
on_terminal 24 120 top --interval 0.2 <<END
expect $first
absent $second
type \x03
end 130
restored
END

# Sizes: made smaller, too small, and large again.
on_terminal 24 120 top --interval 0.2 <<END
expect $first
size 6 60
expect $first
size 3 40
expect too small: takes 60 by 6
size 30 130
expect $first
absent too small
signal 15
end 143
restored
END
on_terminal 4 50 top <<END
expect terminal is too small: 50 by 4
end 1
restored
END

# The last process ends under it.
cat >"$work/later" <<END
expect $first
expect No process keeps statistics
type q
end 0
restored
END
(sleep 1; kill -9 "$first") &
timeout 60 "$pty" 24 120 "$work/later" "$aiox" top --interval 0.2 || fail "top with nobody left: exit status $?"
gone "$first"
[ "$failures" -eq 0 ]
