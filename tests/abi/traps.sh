#!/bin/sh
# traps.sh SOURCE BUILD - every test that docs/traps.md names is one: of ctest, or a case of the suite in front of it.
set -u
source=$1 build=$2
if [ -n "${AIOX_TEST_SANITIZE:-}" ]; then
  echo "SKIP: a sanitized build has some of the tests only"
  exit 77
fi
page=$source/docs/traps.md
failures=0
complain() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

known=$(mktemp)
trap 'rm -f "$known"' EXIT
# As in the page: suite, tab, name.
tab=$(printf '\t')
{
  (cd "$build" && ctest -N) | sed -n "s/^ *Test *#[0-9]*: /test$tab/p"
  "$build/tests/aiox-conformance" --list | sed "s/^/conformance$tab/"
  "$build/tests/aiox_libaio_conformance" --list | sed "s/^/conformance_libaio$tab/"
} >"$known"
for suite in test conformance conformance_libaio; do
  grep -q "^$suite$tab" "$known" || complain "$suite lists nothing in $build"
done

# The cells with the tests, a name a line; in front of a sentence the suite that it is a case of.
names=$(awk -F ' [|] ' '/^[|] / && $3 != "" && $3 !~ /^tests/ { print $3 }' "$page" | awk '{
  while (match($0, /`[^`]*`(: )?|conformance(_libaio)?: /)) {
    word = substr($0, RSTART, RLENGTH)
    $0 = substr($0, RSTART + RLENGTH)
    is_suite = word ~ /: $/
    gsub(/`|: $/, "", word)
    if (is_suite) { suite = word; if (word ~ /^unit_/) print "test\t" word }
    else if (word ~ / /) print suite "\t" word
    else { suite = ""; print "test\t" word }
  }
  suite = ""
}')
[ "$(printf '%s\n' "$names" | wc -l)" -gt 100 ] || complain "$page has too few names: is it read right?"

checked=$(printf '%s\n' "$names" | while IFS=$tab read -r suite name; do
  case $suite/$name in
    test/*\*) grep -q "^test$tab${name%\*}" "$known" ;;
    test/*) grep -qx "test$tab$name\(_auto\|_threads\|_io_uring\)\{0,1\}" "$known" ;;
    unit_*) grep -qF "\"$name\"" "$source/tests/unit/${suite#unit_}_test.cc" ;;
    *) grep -qxF "$suite$tab$name" "$known" ;;
  esac || echo "$suite: $name"
done)
[ -z "$checked" ] || complain "no such test: $checked"
echo "$(printf '%s\n' "$names" | wc -l) names in $page"
[ "$failures" -eq 0 ]
