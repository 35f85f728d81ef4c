#!/bin/bash
# pages.sh AIOX SOURCE-DIR LIST-TABLES - the manual pages say what is so: they are well-formed, each command has one,
# with just the options that its --help has, each setting of src/base/settings.h is told of, with what it accepts and
# its default, and so is each lane of src/stats/lanes.h.
set -u
aiox=$1
source=$2
list_tables=$3
man=$source/docs/man
failures=0
complain() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}
if command -v groff >/dev/null; then
  # Without hyphens in words, and in lines that end where ours do.
  render() { (echo '.nh' && echo '.ad l' && cat "$1") | groff -man -Tascii -P-cbou -rLL=500n; }
elif command -v mandoc >/dev/null; then
  render() { mandoc -T ascii -O width=500 "$1" | sed 's/.\x08//g'; }
else
  echo "SKIP: neither groff nor mandoc is here to read the pages"
  exit 77
fi

for page in "$man"/*.[1-8]; do
  [ "$(head -c 3 "$page")" != .so ] || continue
  if command -v groff >/dev/null; then
    said=$(groff -ww -man -Tutf8 "$page" 2>&1 >/dev/null)
    [ -z "$said" ] || complain "groff: $said"
  fi
  if command -v mandoc >/dev/null; then
    said=$(mandoc -T lint -W warning "$page" 2>&1)
    [ -z "$said" ] || complain "$said"
  fi
done
for link in "$man"/*.3; do
  target=$(sed -n 's/^\.so //p' "$link")
  [ -z "$target" ] || [ -e "$man/${target#man?/}" ] || complain "$link leads to $target, which is not there"
done

# The subcommands of COMMAND..., which is aiox and what follows it.
commands_of() { "$@" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'; }
# A line for each option, with all its names; not --help, which all have.
options_of_help() { "$@" --help | grep -oE '^  -[-a-zA-Z_,]+' | tr -d ' ' | grep -v '^-h,--help$'; }
options_of_page() { render "$1" | sed -n 's/^ \{2,12\}\(-[-a-zA-Z_].*\)/\1/p' | sed 's/  .*//' |
  grep -oE '(^|, )--?[a-zA-Z][-a-zA-Z_]*' |
  sed 's/^, //' | grep -vxE -e '-h|--help' | sort -u; }

# compare PAGE COMMAND... - PAGE has the options that COMMAND... prints, by one of their names at least, and no others.
compare() {
  local page=$1 option names
  shift
  if [ ! -e "$page" ]; then
    complain "there is no page $page"
    return
  fi
  names=$(options_of_page "$page")
  for option in $("$@"); do
    grep -qxFf <(tr ',' '\n' <<<"$option") <<<"$names" || complain "$page does not have $option"
  done
  for option in $names; do
    "$@" | tr ',' '\n' | grep -qxF -e "$option" || complain "$page has $option, which is no option"
  done
}
with_subcommands() {
  options_of_help "$@"
  for command in $(commands_of "$@"); do options_of_help "$@" "$command"; done
}
compare "$man/aiox.1" options_of_help "$aiox"
for command in $(commands_of "$aiox"); do
  compare "$man/aiox-$command.1" with_subcommands "$aiox" "$command"
  render "$man/aiox.1" | grep -qE "^ +$command( |\$)" || complain "aiox.1 does not name $command"
done

# Each variable that is read, with range and default, as an option, and where people look first.
library=$(render "$man/aiox.7")
run=$(render "$man/aiox-run.1")
settings=$("$list_tables" settings)
[ -n "$settings" ] || complain "there are no settings"
while read -r variable accepted default option takes; do
  grep -qF -- "$variable=$accepted ($default)" <<<"$library" ||
    complain "aiox.7 does not have \"$variable=$accepted ($default)\""
  [ "$takes" = switch ] || option="$option $accepted"
  grep -qE -- "^ +${option//|/\\|}\$" <<<"$run" || complain "aiox-run.1 does not have \"$option\""
  grep -q "($variable)" <<<"$run" || complain "aiox-run.1 does not name $variable"
  grep -q "$variable" "$source/README.md" "$source"/docs/*.md "$source"/docs/architecture/*.md ||
    complain "neither README nor docs/ have $variable"
done <<<"$settings"
# Each lane that a program can ask about.
lanes=$("$list_tables" lanes)
[ -n "$lanes" ] || complain "there are no lanes"
lanes_section=$(sed -n '/^ *Lanes *$/,/^[A-Z]/p' <<<"$library")
for lane in $lanes; do
  grep -qE "^ +$lane( |\$)" <<<"$lanes_section" || complain "aiox.7 does not have the lane $lane"
done
grep -q "^ *AIOX_STATS_SEGMENT=" <<<"$library" || complain "aiox.7 does not have AIOX_STATS_SEGMENT"
[ "$failures" -eq 0 ]
