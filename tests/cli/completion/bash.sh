#!/bin/bash
# bash.sh AIOX COMPLETION-FILE - completion for bash: what is offered is what --help has, and values, files and
# processes where they are wanted.
set -u
aiox=$1
completion=$2
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/cli/expect.sh
. "$here/../expect.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
: >a-file
mkdir a-folder

# offers LINE WORD... - at the end of LINE just these, in any order.
offers() {
  local line=$1
  shift
  local actual expected
  actual=$("$here/drive.bash" "$completion" "$aiox $line" | tr ' ' '\n' | sort | xargs)
  expected=$(printf '%s\n' "$@" | sort | xargs)
  [ "$actual" = "$expected" ] && return
  echo "FAILED: \"aiox $line\" offers \"$actual\", expected \"$expected\""
  failures=$((failures + 1))
}

commands_of() { "$@" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'; }
options_of() { "$@" --help | grep -oE '^  -[-a-zA-Z_,]+' | tr -d ' ' | tr ',' '\n' | grep -E '^--'; }

# shellcheck disable=SC2046  # words
offers '' $(commands_of "$aiox")
# shellcheck disable=SC2046
offers '--' $(options_of "$aiox")
for command in $(commands_of "$aiox"); do
  # shellcheck disable=SC2046
  offers "$command --" $(options_of "$aiox" "$command")
  for sub in $(commands_of "$aiox" "$command"); do
    # shellcheck disable=SC2046
    offers "$command $sub --" $(options_of "$aiox" "$command" "$sub")
  done
done
offers 'doc' doctor
offers 'nonsense ' ''
offers 'run --backend ' auto io_uring threads
offers 'run --backend=io' io_uring
offers 'run --inline ' 0 1
offers 'run --direct-block a' always
offers 'run --workers-max ' ''
offers 'run --verbose --backend threads --dir' --direct --direct-block
# A program's own words are no options of ours.
offers 'run --backend threads ./a- ' a-file a-folder
offers 'run ./a-fi' ./a-file
offers 'run -- cat --back' ''
offers 'run -- cat a-fo' a-folder
offers 'doctor a-' a-file a-folder
offers 'doctor --json a-fi' a-file
offers 'doctor --program ./a-fi' ./a-file
offers "doctor --pid $$" $$
# A value has the words that the command itself takes: those in --help.
if commands_of "$aiox" | grep -qx bench; then
  help=$("$aiox" bench --help)
  for word in $("$here/drive.bash" "$completion" "$aiox bench --engine "
    "$here/drive.bash" "$completion" "$aiox bench --rw "); do
    # Of an engine with a suffix each part is looked for: --help has the suffixes once.
    for part in "${word%%:*}" ${word#"${word%%:*}"}; do
      grep -qE "(^|[ ,]|aiox)$part([ ,.:]|\$)" <<<"$help" ||
        { echo "FAILED: aiox bench has no $word"; failures=$((failures + 1)); }
    done
  done
  offers 'bench --engine glibc,ps' glibc,psync
  offers 'bench --engine aiox:th' threads
  offers 'bench diff a-fi' a-file
  offers 'bench --directory a-' a-folder
fi
if commands_of "$aiox" | grep -qx top; then
  for word in $("$here/drive.bash" "$completion" "$aiox top --sort "); do
    "$aiox" top --help | grep -qE "(^|[ ,])$word([ ,.]|\$)" ||
      { echo "FAILED: aiox top --sort has no $word"; failures=$((failures + 1)); }
  done
fi
if commands_of "$aiox" | grep -qx stat; then offers "stat $$" $$; fi
[ "$failures" -eq 0 ]
