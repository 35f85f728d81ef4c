# expect.sh - what the scripts here share; sourced. `failures` counts.
# shellcheck shell=sh
failures=0

# What is set for the tests, or by the caller's shell, is not for the command: the former stay as variables of the
# script.
unset LD_PRELOAD LD_LIBRARY_PATH
for variable in $(env | sed -n 's/^\(AIOX_[A-Z_]*\)=.*/\1/p'); do
  eval "value=\$$variable"
  unset "$variable"
  # shellcheck disable=SC2154  # eval sets it
  case $variable in AIOX_TEST_*) eval "$variable=\$value" ;; esac
done

# expect STATUS PATTERN COMMAND... - COMMAND ends with STATUS and prints, on stdout or stderr, a line that has PATTERN.
expect() {
  status=$1 pattern=$2
  shift 2
  out=$("$@" 2>&1)
  actual=$?
  if [ "$actual" -ne "$status" ] || ! printf '%s\n' "$out" | grep -Eq -e "$pattern"; then
    echo "FAILED: $*: exit status $actual (expected $status), output (expected /$pattern/):"
    printf '%s\n' "$out" | sed 's/^/  | /'
    failures=$((failures + 1))
  fi
}

# also PATTERN... - what the last `expect` ran has printed lines with these, too.
also() {
  for pattern in "$@"; do
    printf '%s\n' "$out" | grep -Eq -e "$pattern" && continue
    echo "FAILED: no /$pattern/ in:"
    printf '%s\n' "$out" | sed 's/^/  | /'
    failures=$((failures + 1))
  done
}

# never PATTERN - and no line with this.
never() {
  printf '%s\n' "$out" | grep -Eq -e "$1" || return 0
  echo "FAILED: there is /$1/ in:"
  printf '%s\n' "$out" | sed 's/^/  | /'
  failures=$((failures + 1))
}

# as_nobody COMMAND... - without root's rights; limits are then in force.
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$@"; }
