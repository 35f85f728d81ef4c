#!/bin/bash
# drive.bash COMPLETION LINE... - completes each LINE at its end as bash would, and prints what would be offered, in a line.
# Words are taken apart as readline does it.
# shellcheck source=src/cli/completion/aiox.bash
. "$1" || exit 1
shift
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
for COMP_LINE; do
  COMP_POINT=${#COMP_LINE} COMP_WORDS=() COMPREPLY=()
  for word in $COMP_LINE; do
    while [[ $word =~ ^([^=:]*)([=:])(.*)$ ]]; do
      [[ -z ${BASH_REMATCH[1]} ]] || COMP_WORDS+=("${BASH_REMATCH[1]}")
      COMP_WORDS+=("${BASH_REMATCH[2]}")
      word=${BASH_REMATCH[3]}
    done
    [[ -z $word ]] || COMP_WORDS+=("$word")
  done
  [[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _aiox
  printf '%s\n' "${COMPREPLY[*]}"
done
